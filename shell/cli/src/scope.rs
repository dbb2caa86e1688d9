//! What people name on a command line: partitions of topics, moments and spans of time. Must never know what is done
//! with them.

use crate::problem::Problem;
use crate::session::Session;
use jiff::{SignedDuration, Span, Timestamp as Moment, civil::DateTime, tz::TimeZone};
use std::str::FromStr;
use vltava_client::{PartitionIndex, Spot, Timestamp, Topic};

/// A topic, or some of its partitions: `rivers`, `rivers:0,4-6`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub topic: String,
    /// All where there are none.
    pub partitions: Vec<(i32, i32)>,
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Scope, String> {
        const WANTED: &str = "give it as TOPIC or TOPIC:0,4-6";
        let (topic, list) = text.split_once(':').unwrap_or((text, ""));
        let number = |text: &str| text.trim().parse().ok().filter(|number: &i32| *number >= 0).ok_or(WANTED);
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Ok::<_, &str>((number(first)?, number(last)?))
                .and_then(|(first, last)| if first <= last { Ok((first, last)) } else { Err(WANTED) })
        };
        let parts = list.split(',').filter(|_| text.contains(':'));
        let partitions = parts.map(range).collect::<Result<_, _>>()?;
        if topic.is_empty() { Err(WANTED.to_owned()) } else { Ok(Scope { topic: topic.to_owned(), partitions }) }
    }
}

impl Scope {
    /// The partitions, all of which are there.
    pub async fn spots(&self, session: &Session) -> Result<Vec<Spot>, Problem> {
        self.within(&session.topic(&self.topic).await?)
    }

    pub fn within(&self, topic: &Topic) -> Result<Vec<Spot>, Problem> {
        let (name, last) = (&topic.name, topic.partitions.len().saturating_sub(1));
        let is_there = |number: i32| topic.partition(PartitionIndex(number)).is_some();
        if let Some(none) = self.partitions.iter().flat_map(|(from, to)| [*from, *to]).find(|number| !is_there(*number))
        {
            return Err(Problem::missing(format!("topic `{name}` has no partition {none}: they are 0 to {last}")));
        }
        let is_asked = |number| self.partitions.iter().any(|(first, last)| (*first..=*last).contains(&number));
        let known = topic.partitions.iter().map(|known| known.index);
        let asked = known.filter(|index| self.partitions.is_empty() || is_asked(index.0));
        Ok(asked.map(|index| (name.clone(), index)).collect())
    }
}

/// The partitions of several scopes.
pub async fn spots(session: &Session, scopes: &[Scope]) -> Result<Vec<Spot>, Problem> {
    let mut all = Vec::new();
    for scope in scopes {
        all.extend(scope.spots(session).await?);
    }
    Ok(all)
}

/// Reads a moment: milliseconds since 1970, `2026-11-26`, `2026-11-26T10:00:00.000`, with a zone or in UTC, or how long
/// ago, `-90m`.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    let ms = text.parse().ok().filter(|ms: &i64| *ms >= 0);
    let ago = || Some(Moment::now().as_millisecond() - span(text.strip_prefix('-')?).ok()?);
    let zoned = || text.parse::<Moment>().ok().map(Moment::as_millisecond);
    let plain = || Some(TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok()?.as_millisecond());
    let found = ms.or_else(ago).or_else(zoned).or_else(plain).map(Timestamp);
    found.ok_or_else(|| "give it as 2026-11-26T10:00:00 (UTC, or with a zone), ms since 1970, or -90m".to_owned())
}

/// Reads a span of time in milliseconds: `90m`, `1h 30m`, `P1DT2H`.
pub fn span(text: &str) -> Result<i64, String> {
    let span: Span = text.parse().map_err(|_| "give it as 90m, 1h30m, 7d or PT90M")?;
    let relative = jiff::SpanRelativeTo::days_are_24_hours();
    let duration: SignedDuration =
        span.to_duration(relative).map_err(|_| "give it in weeks, days, hours, minutes, seconds")?;
    i64::try_from(duration.as_millis()).map_err(|_| "it is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_read() {
        let scope = |topic: &str, partitions: &[(i32, i32)]| {
            Ok(Scope { topic: topic.to_owned(), partitions: partitions.to_vec() })
        };
        assert_eq!("rivers".parse(), scope("rivers", &[]));
        assert_eq!("rivers:0,4-6".parse(), scope("rivers", &[(0, 0), (4, 6)]));
        for bad in ["", ":1", "a:", "a:x", "a:1-", "a:3-1", "a:-1"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_and_spans_are_read() {
        for (text, ms) in [
            ("1500", 1500),
            ("1970-01-02", 86_400_000),
            ("1970-01-01T00:00:01.500", 1500),
            ("1970-01-01T01:00:01+01:00", 1000),
            ("1970-01-01 00:00:02Z", 2000),
        ] {
            assert_eq!(moment(text), Ok(Timestamp(ms)), "{text}");
        }
        assert!(moment("-1h").is_ok_and(|at| at.0 > 1_600_000_000_000));
        for bad in ["", "soon", "-", "1970-13-01", "-soon"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
        assert_eq!(span("1h30m"), Ok(5_400_000));
        assert_eq!(span("P1DT2H"), Ok(93_600_000));
        assert!(span("a while").is_err() && span("1 month").is_err());
    }
}
