//! ElectLeaders, the balance of leaders, and second looks at partitions whose rules changed.

use super::ElectionKind;
use super::change::{Change, Election, Rules, walk};
use crate::Refused;
use crate::config::Settings;
use crate::generated::Record;
use crate::image::{Image, Partition, Topic};
use std::collections::BTreeSet;
use types::{ErrorCode, PartitionIndex, Text};

/// So many partitions are given back at once, so that a balance of thousands does not hold up everything else.
const MOVED_AT_ONCE_MAX: usize = 1000;

type Elected = Vec<(Text, PartitionIndex, Result<(), Refused>)>;

pub(super) fn elect(
    image: &Image,
    settings: &Settings,
    kind: ElectionKind,
    asked: Option<&[(Text, PartitionIndex)]>,
) -> (Vec<Record>, Elected) {
    let rules = Rules::new(image, settings);
    let mut records = Vec::new();
    let mut elected = Elected::new();
    let mut answer = |name: &Text, index: PartitionIndex, result: Result<Record, Refused>| {
        let unneeded = result.as_ref().is_err_and(|refused| refused.code == ErrorCode::ELECTION_NOT_NEEDED);
        if asked.is_some() || !unneeded {
            elected.push((name.clone(), index, result.map(|record| records.push(record))));
        }
    };
    if let Some(asked) = asked {
        // A partition that is named twice is elected for once.
        let mut answered = BTreeSet::new();
        for (name, index) in asked.iter().filter(|(name, index)| answered.insert((name, *index))) {
            let found = find(image, name, *index);
            let elected = found.and_then(|(topic, known)| elect_one(&rules, kind, topic, *index, known));
            answer(name, *index, elected);
        }
    } else {
        for topic in image.topics() {
            for (index, partition) in (0..).map(PartitionIndex).zip(&topic.partitions) {
                answer(&topic.name, index, elect_one(&rules, kind, topic, index, partition));
            }
        }
    }
    (records, elected)
}

/// A partition by the name of its topic.
pub(super) fn find<'a>(
    image: &'a Image,
    name: &Text,
    index: PartitionIndex,
) -> Result<(&'a Topic, &'a Partition), Refused> {
    let unknown = |message: String| Refused::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message);
    let topic = image.topic_by_name(name).ok_or_else(|| unknown(format!("No such topic as {name}")))?;
    let partition = topic.partition(index).ok_or_else(|| unknown(format!("No such partition as {name}-{index}")))?;
    Ok((topic, partition))
}

fn elect_one(
    rules: &Rules<'_>,
    kind: ElectionKind,
    topic: &Topic,
    index: PartitionIndex,
    partition: &Partition,
) -> Result<Record, Refused> {
    let (needed, election, code, message) = match kind {
        ElectionKind::Preferred => (
            partition.leader.is_none() || partition.leader != partition.replicas.first().copied(),
            Election::Preferred,
            ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE,
            "The preferred leader was not available.",
        ),
        ElectionKind::Unclean => (
            partition.leader.is_none(),
            Election::Unclean,
            ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE,
            "No eligible leaders were available.",
        ),
    };
    if !needed {
        return Err(Refused::new(ErrorCode::ELECTION_NOT_NEEDED, "Leader election not needed for topic partition."));
    }
    let topic_rules = rules.topic(topic);
    let mut change = Change::new(rules, &topic_rules, partition);
    change.election = election;
    change.record(index.0).ok_or_else(|| Refused::new(code, message))
}

/// Gives partitions back to those preferred leaders that are in sync. Says whether some are left for another turn.
pub(super) fn balance(image: &Image, settings: &Settings) -> (Vec<Record>, bool) {
    let rules = Rules::new(image, settings);
    let misplaced = |partition: &Partition| {
        partition.replicas.first().is_some_and(|preferred| {
            partition.leader != Some(*preferred)
                && partition.isr.contains(preferred)
                && rules.may_lead(partition, *preferred)
        })
    };
    let mut records = Vec::new();
    for topic in image.topics() {
        let topic_rules = rules.topic(topic);
        for (index, partition) in (0..).zip(&topic.partitions).filter(|(_, partition)| misplaced(partition)) {
            if records.len() >= MOVED_AT_ONCE_MAX {
                return (records, true);
            }
            let mut change = Change::new(&rules, &topic_rules, partition);
            change.election = Election::Preferred;
            records.extend(change.record(index));
        }
    }
    (records, false)
}

/// Looks again at partitions without a leader, and at replicas that are eligible under a min.insync.replicas that
/// may have changed.
pub(super) fn reconsider(image: &Image, settings: &Settings) -> Vec<Record> {
    let rules = Rules::new(image, settings);
    let concerns = |partition: &Partition| partition.leader.is_none() || !partition.eligible_leader_replicas.is_empty();
    walk(&rules, concerns, |_| ())
}

/// Eligible replicas are kept from now on: where there is no leader, those that the ISR remembers are eligible.
pub(super) fn keep_eligible(image: &Image, settings: &Settings) -> Vec<Record> {
    let rules = Rules::new(image, settings);
    let concerns = |partition: &Partition| partition.leader.is_none() && !partition.isr.is_empty();
    walk(&rules, concerns, |change| change.after.isr.clear())
}

/// Eligible replicas are no longer kept: where there is no leader, the ISR remembers who held everything.
pub(super) fn forget_eligible(image: &Image, settings: &Settings) -> Vec<Record> {
    let rules = Rules::new(image, settings);
    let concerns =
        |partition: &Partition| !partition.eligible_leader_replicas.is_empty() || !partition.last_known_elr.is_empty();
    walk(&rules, concerns, |change| {
        if change.after.isr.is_empty() {
            change.after.isr = change.before().eligible_leader_replicas.clone();
        }
    })
}
