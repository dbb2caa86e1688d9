//! AlterPartitionReassignments: replicas move to other brokers, and stay where they were until those are in sync.

use super::change::{Change, Rules};
use super::elections::find;
use super::topics::check_replicas;
use super::{Reassignment, repeated};
use crate::Refused;
use crate::config::Settings;
use crate::generated::Record;
use crate::image::{Image, Partition};
use crate::placement::only_directory;
use crate::refused::refuse;
use types::{ErrorCode, NodeId, PartitionIndex, Text};

type Reassigned = Vec<(Text, PartitionIndex, Result<(), Refused>)>;

pub(super) fn alter(
    image: &Image,
    settings: &Settings,
    asked: &[Reassignment],
    allow_replication_factor_change: bool,
) -> (Vec<Record>, Reassigned) {
    let rules = Rules::new(image, settings);
    let repeated = repeated(asked.iter().map(|asked| (&asked.topic, asked.partition)));
    let mut records = Vec::new();
    let answers = asked.iter().map(|asked| {
        let result = if repeated.contains(&(&asked.topic, asked.partition)) {
            Err(Refused::new(ErrorCode::INVALID_REQUEST, "The partition was named more than once."))
        } else {
            alter_one(&rules, asked, allow_replication_factor_change).map(|record| records.extend(record))
        };
        (asked.topic.clone(), asked.partition, result)
    });
    let answers = answers.collect();
    (records, answers)
}

fn alter_one(rules: &Rules<'_>, asked: &Reassignment, allow_other_factor: bool) -> Result<Option<Record>, Refused> {
    let (topic, partition) = find(rules.image, &asked.topic, asked.partition)?;
    let topic_rules = rules.topic(topic);
    let mut change = Change::new(rules, &topic_rules, partition);
    match &asked.replicas {
        None => cancel(&mut change, asked, topic_rules.unclean)?,
        Some(target) => {
            check_replicas(rules.image, target)?;
            let current = partition.replicas.len().saturating_sub(partition.removing_replicas.len());
            if !allow_other_factor && target.len() != current {
                let message = format!(
                    "The replication factor is changed from {current} to {}, which the request does not allow.",
                    target.len()
                );
                return Err(Refused::new(ErrorCode::INVALID_REPLICATION_FACTOR, message));
            }
            reassign(&mut change, rules.image, target);
        }
    }
    Ok(change.record(asked.partition.0))
}

/// The new replicas come first, in their order, and then those that go once the new ones are in sync.
fn reassign(change: &mut Change<'_>, image: &Image, target: &[NodeId]) {
    let before = change.before().clone();
    let leaving = |node: &NodeId| !target.contains(node);
    // One that an earlier reassignment adds is still awaited.
    let awaited = |node: &NodeId| before.adding_replicas.contains(node) && !before.isr.contains(node);
    let removing: Vec<NodeId> = before.replicas.iter().copied().filter(leaving).collect();
    let after = &mut change.after;
    after.adding_replicas =
        target.iter().copied().filter(|node| !before.replicas.contains(node) || awaited(node)).collect();
    after.replicas = target.iter().chain(&removing).copied().collect();
    after.removing_replicas = removing;
    after.directories = after.replicas.iter().map(|node| directory(image, &before, *node)).collect();
}

fn directory(image: &Image, before: &Partition, node: NodeId) -> types::Uuid {
    before.directory(node).unwrap_or_else(|| only_directory(image.broker(node)))
}

/// What was added goes, what was to be removed stays.
fn cancel(change: &mut Change<'_>, asked: &Reassignment, may_be_unclean: bool) -> Result<(), Refused> {
    let before = change.before().clone();
    if !before.is_reassigning() {
        return refuse!(NO_REASSIGNMENT_IN_PROGRESS, "No partition reassignment is in progress.");
    }
    let stays = |node: &NodeId| !before.adding_replicas.contains(node);
    let holders = if before.isr.is_empty() { &before.eligible_leader_replicas } else { &before.isr };
    if !holders.iter().any(stays) && !may_be_unclean {
        let message = format!(
            "Unable to revert partition assignment for {}-{} because it would require an unclean leader election.",
            asked.topic, asked.partition
        );
        return Err(Refused::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
    }
    let placed = before.replicas.iter().copied().zip(before.directories.iter().copied());
    let after = &mut change.after;
    (after.replicas, after.directories) = placed.filter(|(node, _)| stays(node)).unzip();
    after.isr.retain(stays);
    after.adding_replicas.clear();
    after.removing_replicas.clear();
    Ok(())
}
