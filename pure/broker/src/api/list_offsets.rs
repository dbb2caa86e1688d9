//! ListOffsets 1 to 11: offsets by timestamp and by the special values.
//!
//! 2 has an isolation level, 4 checks the leader epoch (KIP-320), 6 is flexible, 7 asks for the maximum timestamp
//! (KIP-734), 8 and 9 for local and tiered offsets (KIP-405, KIP-1005), 10 has a time-out for tiered storage, 11 asks
//! for the earliest offset that waits for upload (KIP-1023).

use super::{Disk, Outcome, PartitionOp, Request, Shard, Step, Work};
use replica::{Isolation, OffsetSpec};
use types::{ErrorCode, LeaderEpoch, PartitionIndex, Uuid};
use wire::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use wire::{ListOffsetsRequest, ListOffsetsResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: ListOffsetsRequest) -> Step<D> {
    // A follower wants to know where the log ends: how much of it is committed may not be known before it follows.
    let isolation = match (asked.replica_id, asked.isolation_level) {
        (0.., _) => Isolation::LogEnd,
        (_, 1) => Isolation::Committed,
        _ => Isolation::HighWatermark,
    };
    let mut works = Vec::new();
    let mut shape = Vec::with_capacity(asked.topics.len());
    for topic in asked.topics {
        for part in &topic.partitions {
            let resolved = shard.resolve(Uuid::ZERO, &topic.name, PartitionIndex(part.partition_index));
            works.push(match (resolved, query(part.timestamp, request.version)) {
                (Err(code), _) | (Ok(_), Err(code)) => Work::refused(code, String::new()),
                (Ok(partition), Ok(spec)) => {
                    let current_leader_epoch = LeaderEpoch(part.current_leader_epoch);
                    Work::Partition { partition, op: PartitionOp::ListOffset { spec, isolation, current_leader_epoch } }
                }
            });
        }
        shape.push((topic.name, topic.partitions.iter().map(|part| part.partition_index).collect::<Vec<_>>()));
    }
    Step::all(works, move |shard, outcomes| {
        let mut outcomes = outcomes.into_iter();
        let mut topics = Vec::with_capacity(shape.len());
        for (name, indexes) in shape {
            let answer = |index| answer(shard, &request, index, outcomes.next().unwrap_or(Outcome::Pending));
            let partitions = indexes.into_iter().map(answer).collect();
            topics.push(ListOffsetsTopicResponse { name, partitions, ..Default::default() });
        }
        request.reply(&ListOffsetsResponse { topics, ..Default::default() })
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

fn answer<D: Disk>(
    shard: &mut Shard<D>,
    request: &Request,
    partition_index: i32,
    outcome: Outcome<D>,
) -> ListOffsetsPartitionResponse {
    let mut response = ListOffsetsPartitionResponse {
        partition_index,
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
        other => {
            response.error_code = other.into_failure().0;
            shard.figures.error(request.key, response.error_code);
        }
    }
    response
}
