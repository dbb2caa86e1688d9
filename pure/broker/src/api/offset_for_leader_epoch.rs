//! OffsetForLeaderEpoch 2 to 4: where a leader's term ended (KIP-279, KIP-320).
//!
//! 3 names the replica, 4 is flexible.

use super::{Disk, Outcome, PartitionOp, Request, Shard, Step, Work, of_each};
use types::{ErrorCode, LeaderEpoch, PartitionIndex, Text, Uuid};
use wire::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use wire::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use wire::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: OffsetForLeaderEpochRequest) -> Step<D> {
    let topics = asked.topics.into_iter().map(|topic| (topic.topic, topic.partitions)).collect();
    let work = |topic: &Text, part: &OffsetForLeaderPartition| {
        let epoch = LeaderEpoch(part.leader_epoch);
        let current_leader_epoch = LeaderEpoch(part.current_leader_epoch);
        let resolved = shard.resolve(Uuid::ZERO, topic, PartitionIndex(part.partition));
        Work::of_partition(resolved, PartitionOp::EpochEnd { epoch, current_leader_epoch })
    };
    of_each(request, topics, work, answer, |topics| {
        let topic = |(topic, partitions)| OffsetForLeaderTopicResult { topic, partitions, ..Default::default() };
        OffsetForLeaderEpochResponse { topics: topics.into_iter().map(topic).collect(), ..Default::default() }
    })
}

fn answer<D: Disk>(asked: OffsetForLeaderPartition, outcome: Outcome<D>) -> (ErrorCode, EpochEndOffset) {
    let (error_code, leader_epoch, end_offset) = match outcome {
        Outcome::EpochEnd { epoch, end_offset } => (ErrorCode::NONE, epoch.0, end_offset.0),
        other => (other.into_failure().0, -1, -1),
    };
    let partition = asked.partition;
    (error_code, EpochEndOffset { partition, leader_epoch, end_offset, error_code, ..Default::default() })
}
