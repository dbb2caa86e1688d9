//! OffsetForLeaderEpoch 2 to 4: where a leader's term ended (KIP-279, KIP-320).
//!
//! 3 names the replica, 4 is flexible.

use super::{Disk, Outcome, PartitionOp, Request, Shard, Step, Work};
use types::{LeaderEpoch, PartitionIndex, Uuid};
use wire::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use wire::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: OffsetForLeaderEpochRequest) -> Step<D> {
    let mut works = Vec::new();
    for topic in &asked.topics {
        for part in &topic.partitions {
            let resolved = shard.resolve(Uuid::ZERO, &topic.topic, PartitionIndex(part.partition));
            let op = PartitionOp::EpochEnd {
                epoch: LeaderEpoch(part.leader_epoch),
                current_leader_epoch: LeaderEpoch(part.current_leader_epoch),
            };
            works.push(Work::of_partition(resolved, op));
        }
    }
    Step::all(works, move |shard, outcomes| {
        let mut outcomes = outcomes.into_iter();
        let mut topics = Vec::with_capacity(asked.topics.len());
        for topic in asked.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for part in topic.partitions {
                let mut result = EpochEndOffset {
                    partition: part.partition,
                    leader_epoch: -1,
                    end_offset: -1,
                    ..Default::default()
                };
                match outcomes.next().unwrap_or(Outcome::Pending) {
                    Outcome::EpochEnd { epoch, end_offset } => {
                        result.leader_epoch = epoch.0;
                        result.end_offset = end_offset.0;
                    }
                    other => result.error_code = other.into_failure().0,
                }
                shard.figures.error(request.key, result.error_code);
                partitions.push(result);
            }
            topics.push(OffsetForLeaderTopicResult { topic: topic.topic, partitions, ..Default::default() });
        }
        request.reply(&OffsetForLeaderEpochResponse { topics, ..Default::default() })
    })
}
