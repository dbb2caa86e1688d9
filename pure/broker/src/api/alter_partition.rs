//! AlterPartition 2 and 3: a leader tells the controller who is in sync with it.
//!
//! 2 names topics by id, 3 names the epochs of brokers, so that one that has restarted is not taken for what it was
//! (KIP-903).

use super::metadata::ids;
use super::{Disk, Outcome, Request, Shard, Step, Work};
use ::metadata::controller::{Command, IsrChange, PartitionState, Reply};
use types::{ErrorCode, LeaderEpoch, NodeId, PartitionIndex, TopicId, TopicPartition};
use wire::alter_partition_request::PartitionData as Asked;
use wire::alter_partition_response::{PartitionData, TopicData};
use wire::{AlterPartitionRequest, AlterPartitionResponse};

pub(crate) fn start<D: Disk>(_: &mut Shard<D>, request: Request, asked: AlterPartitionRequest) -> Step<D> {
    let changes = asked.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|part| {
            let partition = TopicPartition { topic: topic.topic_id, partition: PartitionIndex(part.partition_index) };
            change(partition, part)
        })
    });
    let command = Command::AlterPartition {
        broker: NodeId(asked.broker_id),
        epoch: asked.broker_epoch,
        partitions: changes.collect(),
    };
    let work = Work::controller(command);
    Step::one(work, move |shard, outcome| {
        let response = match outcome {
            Outcome::Controller(Reply::AlterPartition(Ok(answers))) => {
                AlterPartitionResponse { topics: by_topic(answers), ..Default::default() }
            }
            other => AlterPartitionResponse { error_code: other.into_failure().0, ..Default::default() },
        };
        shard.figures.error(request.key, response.error_code);
        request.reply(&response)
    })
}

fn change(partition: TopicPartition, part: &Asked) -> IsrChange {
    let known = |epoch: i64| (epoch >= 0).then_some(epoch);
    let with_epochs = part.new_isr_with_epochs.iter();
    let with_epochs = with_epochs.map(|state| (NodeId(state.broker_id), known(state.broker_epoch)));
    let without = part.new_isr.iter().map(|id| (NodeId(*id), None));
    IsrChange {
        partition,
        leader_epoch: LeaderEpoch(part.leader_epoch),
        partition_epoch: part.partition_epoch,
        isr: with_epochs.chain(without).collect(),
        recovering: part.leader_recovery_state > 0,
    }
}

fn by_topic(answers: Vec<(TopicPartition, Result<PartitionState, ErrorCode>)>) -> Vec<TopicData> {
    let mut topics: Vec<(TopicId, Vec<PartitionData>)> = Vec::new();
    for (partition, answer) in answers {
        let data = match answer {
            Ok(altered) => PartitionData {
                partition_index: partition.partition.0,
                leader_id: altered.leader.map_or(-1, |leader| leader.0),
                leader_epoch: altered.leader_epoch.0,
                isr: ids(&altered.isr),
                leader_recovery_state: i8::from(altered.recovering),
                partition_epoch: altered.partition_epoch,
                ..Default::default()
            },
            Err(error_code) => {
                PartitionData { partition_index: partition.partition.0, error_code, ..Default::default() }
            }
        };
        match topics.last_mut() {
            Some((topic, list)) if *topic == partition.topic => list.push(data),
            Some(_) | None => topics.push((partition.topic, vec![data])),
        }
    }
    topics.into_iter().map(|(topic_id, partitions)| TopicData { topic_id, partitions, ..Default::default() }).collect()
}
