//! Who reads which partition: computed by the group's leader, the same by every client library that names the strategy.

use super::{Spot, sticky};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use types::{PartitionIndex, Text};

/// A strategy of one's own. All members of the group have to know it by its name.
pub trait PartitionAssignor: std::fmt::Debug + Send + Sync {
    fn name(&self) -> &str;
    /// Whether members keep what they have until they are told what of it goes to another (KIP-429).
    fn is_cooperative(&self) -> bool {
        false
    }
    /// What each member tells the leader beside its topics.
    fn user_data(&self, _topics: &BTreeSet<Text>) -> Option<Bytes> {
        None
    }
    /// Assigns the partitions of all topics (by name, their counts) to members by their ids. What a cooperative member
    /// has may be given to another one only when it has let go of it.
    fn assign(&self, members: &Members, topics: &BTreeMap<Text, i32>) -> Assignment;
}

/// `partition.assignment.strategy`
#[derive(Clone, Debug, Default)]
pub enum Assignor {
    /// Neighbouring partitions of each topic; everybody lets go of everything for a rebalance.
    #[default]
    Range,
    /// One partition for each in turn, through all topics.
    RoundRobin,
    /// As even as possible with as few moves as possible; everybody lets go of everything for a rebalance.
    Sticky,
    /// As `Sticky`, but only what moves is let go of (KIP-429).
    CooperativeSticky,
    Custom(Arc<dyn PartitionAssignor>),
}

impl Assignor {
    /// By the group protocol's name, or by that of Kafka's class.
    #[must_use]
    pub fn parse(name: &str) -> Option<Assignor> {
        Some(match name.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(name) {
            "range" | "RangeAssignor" => Assignor::Range,
            "roundrobin" | "RoundRobinAssignor" => Assignor::RoundRobin,
            "sticky" | "StickyAssignor" => Assignor::Sticky,
            "cooperative-sticky" | "CooperativeStickyAssignor" => Assignor::CooperativeSticky,
            _ => return None,
        })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Assignor::Range => "range",
            Assignor::RoundRobin => "roundrobin",
            Assignor::Sticky => "sticky",
            Assignor::CooperativeSticky => "cooperative-sticky",
            Assignor::Custom(custom) => custom.name(),
        }
    }

    #[must_use]
    pub fn is_cooperative(&self) -> bool {
        match self {
            Assignor::Range | Assignor::RoundRobin | Assignor::Sticky => false,
            Assignor::CooperativeSticky => true,
            Assignor::Custom(custom) => custom.is_cooperative(),
        }
    }

    /// What a member that was assigned `previous` in a generation tells the leader.
    pub(super) fn user_data(
        &self,
        topics: &BTreeSet<Text>,
        previous: &BTreeSet<Spot>,
        generation: i32,
    ) -> Option<Bytes> {
        match self {
            Assignor::Range | Assignor::RoundRobin => None,
            Assignor::Sticky => sticky::user_data(previous, generation),
            Assignor::CooperativeSticky => Some(Bytes::copy_from_slice(&generation.to_be_bytes())),
            Assignor::Custom(custom) => custom.user_data(topics),
        }
    }

    /// Assigns all partitions of the topics to members.
    pub(super) fn assign(&self, members: &Members, topics: &BTreeMap<Text, i32>) -> Assignment {
        match self {
            Assignor::Range => range(members, topics),
            Assignor::RoundRobin => round_robin(members, topics),
            Assignor::Sticky => sticky::assign(members, topics, false),
            Assignor::CooperativeSticky => sticky::assign(members, topics, true),
            Assignor::Custom(custom) => {
                let mut assignment = custom.assign(members, topics);
                assignment.retain(|id, _| members.contains_key(id));
                let mut whole = nobody_has_any(members);
                whole.append(&mut assignment);
                whole
            }
        }
    }
}

/// What a member of the group said about itself when it joined.
#[derive(Clone, Debug, Default)]
pub struct Member {
    /// `group.instance.id`
    pub instance_id: Option<Text>,
    pub topics: BTreeSet<Text>,
    /// What it has and keeps if nobody else is to have it; empty unless the strategy is cooperative.
    pub owned: Vec<Spot>,
    /// In which generation it got that; -1 where it does not say.
    pub generation: i32,
    /// `client.rack`
    pub rack: Option<Text>,
    pub user_data: Option<Bytes>,
}

pub type Members = BTreeMap<Text, Member>;
pub type Assignment = BTreeMap<Text, Vec<Spot>>;

pub(super) fn nobody_has_any(members: &Members) -> Assignment {
    members.keys().map(|id| (id.clone(), Vec::new())).collect()
}

pub(super) fn partitions(topics: &BTreeMap<Text, i32>) -> impl Iterator<Item = Spot> {
    topics.iter().flat_map(|(topic, count)| (0..*count).map(|index| (topic.clone(), PartitionIndex(index))))
}

/// Static members first, by their instance ids: a member that comes back under another id gets the same again.
fn in_order(members: &Members) -> Vec<(&Text, &Member)> {
    let mut ordered: Vec<_> = members.iter().collect();
    ordered.sort_by_key(|(id, member)| (member.instance_id.is_none(), &member.instance_id, *id));
    ordered
}

fn range(members: &Members, topics: &BTreeMap<Text, i32>) -> Assignment {
    let mut assignment = nobody_has_any(members);
    let ordered = in_order(members);
    for (topic, count) in topics {
        let takers = ordered.iter().filter(|(_, member)| member.topics.contains(topic)).map(|(id, _)| *id);
        let takers: Vec<&Text> = takers.collect();
        let Ok(total @ 1..) = i32::try_from(takers.len()) else { continue };
        let (each, more) = (count / total, count % total);
        let mut next = 0;
        for (place, taker) in (0..).zip(takers) {
            let end = next + each + i32::from(place < more);
            let spots = (next..end).map(|index| (topic.clone(), PartitionIndex(index)));
            assignment.entry(taker.clone()).or_default().extend(spots);
            next = end;
        }
    }
    assignment
}

fn round_robin(members: &Members, topics: &BTreeMap<Text, i32>) -> Assignment {
    let mut assignment = nobody_has_any(members);
    let ordered = in_order(members);
    let mut turn = 0;
    for spot in partitions(topics) {
        let takers = (0..ordered.len()).map(|step| (turn + step) % ordered.len());
        let mut takers = takers.filter(|at| ordered[*at].1.topics.contains(&spot.0));
        if let Some(at) = takers.next() {
            assignment.entry(ordered[at].0.clone()).or_default().push(spot);
            turn = at + 1;
        }
    }
    assignment
}

#[cfg(test)]
mod tests;
