//! DeleteRecords 0 to 2: moves the start of a partition's log (KIP-107).
//!
//! 2 is flexible.

use super::{Disk, Outcome, PartitionOp, Request, Shard, Step, Work};
use ::metadata::config::{Overrides, Resource, TopicConfig};
use ::metadata::names::is_internal;
use types::{ErrorCode, Offset, PartitionIndex, Text, Uuid};
use wire::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use wire::{DeleteRecordsRequest, DeleteRecordsResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: DeleteRecordsRequest) -> Step<D> {
    let mut works = Vec::new();
    for topic in &asked.topics {
        for part in &topic.partitions {
            let resolved = shard.resolve(Uuid::ZERO, &topic.name, PartitionIndex(part.partition_index));
            let resolved = resolved.and_then(|partition| allowed(shard, &topic.name).map(|()| partition));
            works.push(Work::of_partition(resolved, PartitionOp::DeleteRecords { before: Offset(part.offset) }));
        }
    }
    Step::all(works, move |shard, outcomes| {
        let mut outcomes = outcomes.into_iter();
        let mut topics = Vec::with_capacity(asked.topics.len());
        for topic in asked.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for part in topic.partitions {
                let mut result = DeleteRecordsPartitionResult {
                    partition_index: part.partition_index,
                    low_watermark: -1,
                    ..Default::default()
                };
                match outcomes.next().unwrap_or(Outcome::Pending) {
                    Outcome::Deleted { log_start_offset } => result.low_watermark = log_start_offset.0,
                    other => result.error_code = other.into_failure().0,
                }
                shard.figures.error(request.key, result.error_code);
                partitions.push(result);
            }
            topics.push(DeleteRecordsTopicResult { name: topic.name, partitions, ..Default::default() });
        }
        request.reply(&DeleteRecordsResponse { topics, ..Default::default() })
    })
}

/// Records go by an offset only where they would go by age or size too.
fn allowed<D: Disk>(shard: &Shard<D>, topic: &Text) -> Result<(), ErrorCode> {
    if is_internal(topic) {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    let set = shard.image.overrides(&Resource::topic(topic.clone()));
    let config = TopicConfig::effective(&shard.settings.values, set.unwrap_or(&Overrides::new()));
    if config.cleanup_policy.delete { Ok(()) } else { Err(ErrorCode::POLICY_VIOLATION) }
}
