//! ListOffsets 1 to 11: offsets by timestamp and by the special values.
//!
//! 2 has an isolation level, 4 checks the leader epoch (KIP-320), 6 is flexible, 7 asks for the maximum timestamp
//! (KIP-734), 8 and 9 for local and tiered offsets (KIP-405, KIP-1005), 10 has a time-out for tiered storage, 11 asks
//! for the earliest offset that waits for upload (KIP-1023).

use super::{Disk, Outcome, PartitionOp, Request, Shard, Step, Work, of_each};
use replica::{Isolation, OffsetSpec};
use types::{ErrorCode, LeaderEpoch, PartitionIndex, Text, Uuid};
use wire::list_offsets_request::ListOffsetsPartition;
use wire::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use wire::{ListOffsetsRequest, ListOffsetsResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: ListOffsetsRequest) -> Step<D> {
    // A follower wants to know where the log ends: how much of it is committed may not be known before it follows.
    let isolation = match (asked.replica_id, asked.isolation_level) {
        (0.., _) => Isolation::LogEnd,
        (_, 1) => Isolation::Committed,
        _ => Isolation::HighWatermark,
    };
    let version = request.version;
    let topics = asked.topics.into_iter().map(|topic| (topic.name, topic.partitions)).collect();
    let work = |topic: &Text, part: &ListOffsetsPartition| {
        let resolved = shard.resolve(Uuid::ZERO, topic, PartitionIndex(part.partition_index));
        let current_leader_epoch = LeaderEpoch(part.current_leader_epoch);
        match resolved.and_then(|partition| Ok((partition, query(part.timestamp, version)?))) {
            Ok((partition, spec)) => {
                Work::Partition { partition, op: PartitionOp::ListOffset { spec, isolation, current_leader_epoch } }
            }
            Err(code) => Work::refused(code, String::new()),
        }
    };
    of_each(request, topics, work, answer, |topics| {
        let topic = |(name, partitions)| ListOffsetsTopicResponse { name, partitions, ..Default::default() };
        ListOffsetsResponse { topics: topics.into_iter().map(topic).collect(), ..Default::default() }
    })
}

/// The special values, each of which has a first version.
fn query(timestamp: i64, version: i16) -> Result<OffsetSpec, ErrorCode> {
    let spec = OffsetSpec::from_timestamp(timestamp).ok_or(ErrorCode::UNSUPPORTED_VERSION)?;
    let since = match spec {
        OffsetSpec::Latest | OffsetSpec::Earliest | OffsetSpec::At(_) => 1,
        OffsetSpec::MaxTimestamp => 7,
        OffsetSpec::EarliestLocal => 8,
        OffsetSpec::LatestTiered => 9,
        OffsetSpec::EarliestPendingUpload => 11,
    };
    if version < since { Err(ErrorCode::UNSUPPORTED_VERSION) } else { Ok(spec) }
}

fn answer<D: Disk>(asked: ListOffsetsPartition, outcome: Outcome<D>) -> (ErrorCode, ListOffsetsPartitionResponse) {
    let mut response = ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        timestamp: -1,
        offset: -1,
        leader_epoch: -1,
        ..Default::default()
    };
    match outcome {
        Outcome::Listed(found) => {
            response.timestamp = found.timestamp.0;
            response.offset = found.offset.0;
            response.leader_epoch = found.leader_epoch.0;
        }
        other => response.error_code = other.into_failure().0,
    }
    (response.error_code, response)
}
