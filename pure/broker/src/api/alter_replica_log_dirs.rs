//! AlterReplicaLogDirs 1 and 2: replicas of this broker are to be in other log directories of it (KIP-113).
//!
//! It is answered when the move has begun; DescribeLogDirs shows how far it is. For a replica that is not here the wish is
//! kept until a reassignment brings it, and refused all the same, as Kafka does. 2 is flexible.

use super::{Disk, Outcome, PartitionOp, Request, Shard, Step, Work};
use std::collections::BTreeMap;
use types::{ErrorCode, PartitionIndex, Text, Uuid};
use wire::alter_replica_log_dirs_response::{AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult};
use wire::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: AlterReplicaLogDirsRequest) -> Step<D> {
    let mut named = Vec::new();
    let mut works = Vec::new();
    for wanted in &asked.dirs {
        let path = wanted.path.trim_end_matches('/');
        let directory = shard.directories.iter().position(|known| known.path.trim_end_matches('/') == path);
        for topic in &wanted.topics {
            for index in &topic.partitions {
                named.push((topic.name.detached(), *index));
                let resolved = shard.resolve(Uuid::ZERO, &topic.name, PartitionIndex(*index));
                works.push(match directory {
                    None => Work::refused(ErrorCode::LOG_DIR_NOT_FOUND, String::new()),
                    Some(directory) => Work::of_partition(resolved, PartitionOp::MoveTo { directory }),
                });
            }
        }
    }
    Step::all(works, move |shard, outcomes| {
        let mut topics: BTreeMap<Text, Vec<AlterReplicaLogDirPartitionResult>> = BTreeMap::new();
        for ((topic, partition_index), outcome) in named.into_iter().zip(outcomes) {
            let error_code = match outcome {
                Outcome::Changed => ErrorCode::NONE,
                other => other.into_failure().0,
            };
            shard.figures.error(request.key, error_code);
            let result = AlterReplicaLogDirPartitionResult { partition_index, error_code, ..Default::default() };
            topics.entry(topic).or_default().push(result);
        }
        let topic =
            |(topic_name, partitions)| AlterReplicaLogDirTopicResult { topic_name, partitions, ..Default::default() };
        let results = topics.into_iter().map(topic).collect();
        request.reply(&AlterReplicaLogDirsResponse { results, ..Default::default() })
    })
}
