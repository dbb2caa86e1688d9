//! AssignReplicasToDirs 0: a broker tells the controller in which of its log directories its replicas are (KIP-858).

use super::{Disk, Outcome, Request, Shard, Step, Work};
use ::metadata::controller::{Command, Reply};
use types::{ErrorCode, NodeId, PartitionIndex, TopicPartition, Uuid};
use wire::assign_replicas_to_dirs_response::{DirectoryData, PartitionData, TopicData};
use wire::{AssignReplicasToDirsRequest, AssignReplicasToDirsResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: AssignReplicasToDirsRequest) -> Step<D> {
    let mut assignments = Vec::new();
    for directory in &asked.directories {
        for topic in &directory.topics {
            let partition = |index| TopicPartition { topic: topic.topic_id, partition: PartitionIndex(index) };
            assignments.extend(topic.partitions.iter().map(|part| (partition(part.partition_index), directory.id)));
        }
    }
    shard.figures.error(request.key, ErrorCode::NONE);
    let (broker, epoch) = (NodeId(asked.broker_id), asked.broker_epoch);
    let work = Work::controller(Command::AssignReplicasToDirs { broker, epoch, assignments });
    Step::one(work, move |_, outcome| {
        let response = match outcome {
            Outcome::Controller(Reply::AssignReplicasToDirs(Ok(answers))) => {
                AssignReplicasToDirsResponse { directories: grouped(&answers), ..Default::default() }
            }
            other => AssignReplicasToDirsResponse { error_code: other.into_failure().0, ..Default::default() },
        };
        request.reply(&response)
    })
}

/// The answers in the order of the question, which had those of one directory and topic together.
fn grouped(answers: &[(TopicPartition, Uuid, ErrorCode)]) -> Vec<DirectoryData> {
    let mut directories: Vec<DirectoryData> = Vec::new();
    for (partition, id, error_code) in answers {
        if directories.last().is_none_or(|last| last.id != *id) {
            directories.push(DirectoryData { id: *id, ..Default::default() });
        }
        let topics = &mut directories.last_mut().expect("one was just made").topics;
        if topics.last().is_none_or(|last| last.topic_id != partition.topic) {
            topics.push(TopicData { topic_id: partition.topic, ..Default::default() });
        }
        let part =
            PartitionData { partition_index: partition.partition.0, error_code: *error_code, ..Default::default() };
        topics.last_mut().expect("one was just made").partitions.push(part);
    }
    directories
}
