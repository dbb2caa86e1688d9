//! The limit on how fast replicas are copied: Kafka's settings for it, set before a move and taken away after.

use crate::plan::Move;
use crate::session::Session;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use vltava_client::{ConfigChange, NodeId, Resource, Text};

const RATES: [&str; 2] = ["leader.replication.throttled.rate", "follower.replication.throttled.rate"];
const LEADERS: &str = "leader.replication.throttled.replicas";
const FOLLOWERS: &str = "follower.replication.throttled.replicas";

/// Bytes in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_000_000_000, "GB/s"), (1 << 30, "GiB/s"), (1_000_000, "MB/s"), (1 << 20, "MiB/s")];
        let units = units.into_iter().chain([(1000, "kB/s"), (1 << 10, "KiB/s")]);
        match units.into_iter().find(|(factor, _)| self.0.is_multiple_of(*factor)) {
            Some((factor, unit)) => write!(f, "{}{unit}", self.0 / factor),
            None => self.0.fmt(f),
        }
    }
}

/// Reads `50MB/s`, `50M`, `64MiB/s` or a number of bytes.
pub fn rate(text: &str) -> Result<Rate, String> {
    const WANTED: &str = "give it as 50MB/s, 64MiB/s or a number of bytes";
    let plain = text.trim().trim_end_matches("/s");
    let digits = plain.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(plain.len());
    let (number, unit) = plain.split_at(digits);
    let number: u64 = number.parse().map_err(|_| WANTED)?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(WANTED.to_owned()),
    };
    number
        .checked_mul(factor)
        .filter(|rate| *rate > 0 && i64::try_from(*rate).is_ok())
        .map(Rate)
        .ok_or(WANTED.to_owned())
}

/// Limits the copying of these moves. Returns what was refused, in words; the moves are possible without it.
pub async fn set(session: &Session, rate: Rate, brokers: &BTreeSet<NodeId>, moves: &[Move]) -> Vec<String> {
    let mut refused = Refusals::default();
    for broker in brokers {
        let set = RATES.iter().map(|name| (*name, rate.0.to_string()));
        refused.note(session.client.alter_configs(resource(*broker), sets(set), false).await);
    }
    for (topic, (leaders, followers)) in replicas(moves) {
        let set = sets([(LEADERS, leaders), (FOLLOWERS, followers)]);
        refused.note(session.client.alter_configs(Resource::Topic(text(topic)), set, false).await);
    }
    refused.said
}

/// Takes the limits of these topics and brokers away. Returns what was refused, in words.
pub async fn clear(session: &Session, brokers: &BTreeSet<NodeId>, topics: &BTreeSet<String>) -> Vec<String> {
    let mut refused = Refusals::default();
    let deletes = |names: [&'static str; 2]| {
        names.into_iter().map(|name| (Text::from_static(name), ConfigChange::Delete)).collect::<Vec<_>>()
    };
    for topic in topics {
        let resource = Resource::Topic(text(topic));
        refused.note(session.client.alter_configs(resource, deletes([LEADERS, FOLLOWERS]), false).await);
    }
    for broker in brokers {
        refused.note(session.client.alter_configs(resource(*broker), deletes(RATES), false).await);
    }
    refused.said
}

/// Each cause once: all brokers refuse for the same one.
#[derive(Default)]
struct Refusals {
    said: Vec<String>,
}

impl Refusals {
    fn note(&mut self, done: Result<(), vltava_client::Error>) {
        if let Err(error) = done {
            let words = error.to_string();
            if !self.said.contains(&words) {
                self.said.push(words);
            }
        }
    }
}

/// Who sends and who copies, as Kafka's settings of a topic list them: `0:1,0:2,1:3`.
fn replicas(moves: &[Move]) -> BTreeMap<&str, (String, String)> {
    let mut lists: BTreeMap<&str, (Vec<String>, Vec<String>)> = BTreeMap::new();
    for known in moves.iter().filter(|known| known.adding().next().is_some()) {
        let (leaders, followers) = lists.entry(&known.topic).or_default();
        leaders.extend(known.from.iter().map(|id| format!("{}:{id}", known.index)));
        followers.extend(known.adding().map(|id| format!("{}:{id}", known.index)));
    }
    lists.into_iter().map(|(topic, (leaders, followers))| (topic, (leaders.join(","), followers.join(",")))).collect()
}

fn sets(pairs: impl IntoIterator<Item = (&'static str, String)>) -> Vec<(Text, ConfigChange)> {
    pairs.into_iter().map(|(name, value)| (Text::from_static(name), ConfigChange::Set(text(&value)))).collect()
}

fn resource(broker: NodeId) -> Resource {
    Resource::Broker(text(&broker.0.to_string()))
}

fn text(plain: &str) -> Text {
    Text::from(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        for (given, wanted) in
            [("50MB/s", 50_000_000), ("1MiB/s", 1 << 20), ("64kib", 64 << 10), ("2G", 2_000_000_000), ("1000", 1000)]
        {
            assert_eq!(rate(given), Ok(Rate(wanted)), "{given}");
            assert_eq!(rate(&Rate(wanted).to_string()), Ok(Rate(wanted)), "what is printed is read");
        }
        for bad in ["", "0", "MB/s", "5 parsecs", "-5MB/s", "99999999999G"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_who_copies_is_limited() {
        let known = |index, from: &[i32], to: &[i32]| Move {
            topic: "a".to_owned(),
            index,
            from: from.to_vec(),
            to: to.to_vec(),
            bytes: 1,
        };
        let moves = [known(0, &[1, 2], &[3, 2]), known(1, &[1, 2], &[2, 1])];
        assert_eq!(replicas(&moves)["a"], ("0:1,0:2".to_owned(), "0:3".to_owned()));
    }
}
