//! AlterPartition: a leader asks for another ISR.

use super::brokers::registered;
use super::change::{Change, Rules};
use super::{AlteredIsrs, IsrChange, PartitionState};
use crate::Refused;
use crate::config::Settings;
use crate::generated::Record;
use crate::image::{Broker, Image, Partition};
use std::collections::BTreeSet;
use types::{ErrorCode, NodeId};

pub(super) fn alter(
    image: &Image,
    settings: &Settings,
    leader: NodeId,
    epoch: i64,
    changes: &[IsrChange],
) -> Result<(Vec<Record>, AlteredIsrs), Refused> {
    registered(image, leader, epoch)?;
    let mut records = Vec::new();
    let mut altered = AlteredIsrs::new();
    let mut named = BTreeSet::new();
    for asked in changes {
        let result = if named.insert(asked.partition) {
            alter_one(image, settings, leader, asked)
        } else {
            Err(ErrorCode::INVALID_REQUEST)
        };
        let state = result.and_then(|(record, state)| {
            records.extend(record);
            // A new leader was elected on the way: the one that asked must not go on as if it led.
            if state.leader == Some(leader) { Ok(state) } else { Err(ErrorCode::NEW_LEADER_ELECTED) }
        });
        altered.push((asked.partition, state));
    }
    Ok((records, altered))
}

fn alter_one(
    image: &Image,
    settings: &Settings,
    leader: NodeId,
    asked: &IsrChange,
) -> Result<(Option<Record>, PartitionState), ErrorCode> {
    let Some(topic) = image.topic(asked.partition.topic) else {
        return Err(ErrorCode::UNKNOWN_TOPIC_ID);
    };
    let partition = topic.partition(asked.partition.partition).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    check(image, leader, partition, asked)?;
    let rules = Rules::new(image, settings);
    let topic_rules = rules.topic(topic);
    let mut change = Change::new(&rules, &topic_rules, partition);
    let wanted: BTreeSet<NodeId> = asked.isr.iter().map(|(node, _)| *node).collect();
    if wanted != partition.isr.iter().copied().collect() {
        change.after.isr = asked.isr.iter().map(|(node, _)| *node).collect();
    }
    if change.after.isr.len() > 1 && image.broker(leader).is_some_and(|broker| broker.in_controlled_shutdown) {
        // It had nobody to hand over to when it began to leave; now it has.
        change.leave_isr(leader);
    }
    change.after.recovering = asked.recovering;
    let record = change.record(asked.partition.partition.0);
    let mut state = partition.clone();
    if let Some(Record::PartitionChange(change)) = &record {
        state.merge(change);
    }
    Ok((record, PartitionState::from(state)))
}

fn check(image: &Image, leader: NodeId, partition: &Partition, asked: &IsrChange) -> Result<(), ErrorCode> {
    // A leader that knows more than this node was told so by a newer controller.
    if asked.leader_epoch > partition.leader_epoch || asked.partition_epoch > partition.partition_epoch {
        return Err(ErrorCode::NOT_CONTROLLER);
    }
    if asked.leader_epoch < partition.leader_epoch {
        return Err(ErrorCode::FENCED_LEADER_EPOCH);
    }
    if partition.leader != Some(leader) {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    if asked.partition_epoch < partition.partition_epoch {
        return Err(ErrorCode::INVALID_UPDATE_VERSION);
    }
    let mut members = BTreeSet::new();
    let valid = asked.isr.iter().all(|(node, _)| partition.replicas.contains(node) && members.insert(*node));
    let recovers_again = asked.recovering && !partition.recovering;
    let recovers_with_others = asked.recovering && members.len() > 1;
    if !valid || !members.contains(&leader) || recovers_again || recovers_with_others {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    // Its leader may not know yet that a replica's disk has failed.
    let has_log = |node: NodeId| image.broker(node).is_none_or(|broker| broker.has_directory(partition));
    let is_eligible = |(node, epoch): &(NodeId, Option<i64>)| {
        may_be_in_sync(image.broker(*node), *epoch, *node == leader) && (*node == leader || has_log(*node))
    };
    if asked.isr.iter().all(is_eligible) { Ok(()) } else { Err(ErrorCode::INELIGIBLE_REPLICA) }
}

/// A leader that shuts down and has nobody to hand over to may still take somebody in, who then leads.
fn may_be_in_sync(broker: Option<&Broker>, epoch: Option<i64>, is_leader: bool) -> bool {
    broker.is_some_and(|broker| {
        let current = epoch.is_none_or(|epoch| epoch == broker.epoch);
        current && !broker.fenced && (is_leader || !broker.in_controlled_shutdown)
    })
}

impl From<Partition> for PartitionState {
    fn from(partition: Partition) -> PartitionState {
        PartitionState {
            leader: partition.leader,
            leader_epoch: partition.leader_epoch,
            isr: partition.isr,
            recovering: partition.recovering,
            partition_epoch: partition.partition_epoch,
        }
    }
}
