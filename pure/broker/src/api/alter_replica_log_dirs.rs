//! AlterReplicaLogDirs 1 and 2: replicas of this broker are to be in other log directories of it (KIP-113).
//!
//! It is answered when the move has begun; DescribeLogDirs shows how far it is. For a replica that is not here the wish is
//! kept until a reassignment brings it, and refused all the same, as Kafka does. 2 is flexible.

use crate::call::Step;
use crate::session::Request;
use crate::shard::Shard;
use crate::work::{Outcome, PartitionOp, Work};
use log::Disk;
use std::collections::BTreeMap;
use types::codec::{DecodeError, Reader};
use types::{ErrorCode, PartitionIndex, Text, Uuid};
use wire::alter_replica_log_dirs_response::{AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult};
use wire::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, body: Reader) -> Result<Step<D>, DecodeError> {
    let asked: AlterReplicaLogDirsRequest = request.decode(body)?;
    let mut named = Vec::new();
    let mut works = Vec::new();
    for wanted in &asked.dirs {
        let path = wanted.path.trim_end_matches('/');
        let directory = shard.directories.iter().position(|known| known.path.trim_end_matches('/') == path);
        for topic in &wanted.topics {
            for index in &topic.partitions {
                named.push((topic.name.detached(), *index));
                works.push(match (directory, shard.resolve(Uuid::ZERO, &topic.name, PartitionIndex(*index))) {
                    (None, _) => Work::refused(ErrorCode::LOG_DIR_NOT_FOUND, String::new()),
                    (Some(_), Err(code)) => Work::refused(code, String::new()),
                    (Some(directory), Ok(partition)) => {
                        Work::Partition { partition, op: PartitionOp::MoveTo { directory } }
                    }
                });
            }
        }
    }
    Ok(Step::all(works, move |shard, outcomes| {
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
    }))
}
