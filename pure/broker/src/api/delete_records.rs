//! DeleteRecords 0 to 2: moves the start of a partition's log (KIP-107).
//!
//! 2 is flexible.

use super::{Disk, Outcome, PartitionOp, Request, Shard, Step, Work, of_each};
use ::metadata::config::{Overrides, Resource, TopicConfig};
use ::metadata::names::is_internal;
use types::{ErrorCode, Offset, PartitionIndex, Text, Uuid};
use wire::delete_records_request::DeleteRecordsPartition;
use wire::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use wire::{DeleteRecordsRequest, DeleteRecordsResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: DeleteRecordsRequest) -> Step<D> {
    let topics = asked.topics.into_iter().map(|topic| (topic.name, topic.partitions)).collect();
    let work = |topic: &Text, part: &DeleteRecordsPartition| {
        let resolved = shard.resolve(Uuid::ZERO, topic, PartitionIndex(part.partition_index));
        let resolved = resolved.and_then(|partition| allowed(shard, topic).map(|()| partition));
        Work::of_partition(resolved, PartitionOp::DeleteRecords { before: Offset(part.offset) })
    };
    of_each(request, topics, work, answer, |topics| {
        let topic = |(name, partitions)| DeleteRecordsTopicResult { name, partitions, ..Default::default() };
        DeleteRecordsResponse { topics: topics.into_iter().map(topic).collect(), ..Default::default() }
    })
}

fn answer<D: Disk>(asked: DeleteRecordsPartition, outcome: Outcome<D>) -> (ErrorCode, DeleteRecordsPartitionResult) {
    let (error_code, low_watermark) = match outcome {
        Outcome::Deleted { log_start_offset } => (ErrorCode::NONE, log_start_offset.0),
        other => (other.into_failure().0, -1),
    };
    let partition_index = asked.partition_index;
    (error_code, DeleteRecordsPartitionResult { partition_index, low_watermark, error_code, ..Default::default() })
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
