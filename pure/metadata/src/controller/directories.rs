//! AssignReplicasToDirs: a broker says in which of its directories its replicas are.

use super::brokers::registered;
use super::change::{Change, Rules};
use crate::Refused;
use crate::config::Settings;
use crate::generated::Record;
use crate::image::{Broker, Image};
use std::collections::BTreeSet;
use types::{ErrorCode, NodeId, TopicPartition, Uuid};

type Assigned = Vec<(TopicPartition, Uuid, ErrorCode)>;

pub(super) fn assign(
    image: &Image,
    settings: &Settings,
    broker: NodeId,
    epoch: i64,
    assignments: &[(TopicPartition, Uuid)],
) -> Result<(Vec<Record>, Assigned), Refused> {
    let broker = registered(image, broker, epoch)?;
    let mut records = Vec::new();
    let mut named = BTreeSet::new();
    let answers = assignments.iter().map(|(partition, directory)| {
        let result = if named.insert(*partition) {
            assign_one(image, settings, broker, *partition, *directory)
        } else {
            Err(ErrorCode::INVALID_REQUEST)
        };
        let assigned = result.map(|record| records.extend(record));
        (*partition, *directory, assigned.err().unwrap_or(ErrorCode::NONE))
    });
    let answers = answers.collect();
    Ok((records, answers))
}

fn assign_one(
    image: &Image,
    settings: &Settings,
    broker: &Broker,
    of: TopicPartition,
    directory: Uuid,
) -> Result<Option<Record>, ErrorCode> {
    let topic = image.topic(of.topic).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?;
    let partition = topic.partition(of.partition).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let position = partition.replicas.iter().position(|replica| *replica == broker.id);
    let position = position.ok_or(ErrorCode::NOT_LEADER_OR_FOLLOWER)?;
    // In a directory that is not there any more the replica cannot be in sync.
    let lost = !directory.is_zero() && !broker.directories.contains(&directory);
    let rules = Rules::new(image, settings);
    let rules = if lost { rules.without(broker.id) } else { rules };
    let topic_rules = rules.topic(topic);
    let mut change = Change::new(&rules, &topic_rules, partition);
    if let Some(assigned) = change.after.directories.get_mut(position) {
        *assigned = directory;
    }
    if lost {
        change.leave_isr(broker.id);
    }
    Ok(change.record(of.partition.0))
}
