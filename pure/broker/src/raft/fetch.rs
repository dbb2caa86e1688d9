//! Fetch of the metadata log, 12 to 18: 13 names topics by id, 15 moves the replica id to a tagged field (KIP-903), 17
//! names its directory (KIP-853), 18 its high watermark (KIP-1166).

use super::{METADATA_NAME, METADATA_TOPIC, Question, leader_id, leader_view, node_endpoints};
use quorum::{Call, EpochEnd, Fetch, FetchResponse, ReplicaKey, Response, SnapshotId};
use types::{ErrorCode, LeaderEpoch, NodeId, Offset, Text};
use wire::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
use wire::fetch_response::{FetchableTopicResponse, NodeEndpoint, PartitionData};
use wire::{FetchRequest, FetchResponse as Answer, Records};

pub(crate) fn fetch_request(cluster_id: Option<Text>, fetch: &Fetch) -> FetchRequest {
    let partition = FetchPartition {
        partition: 0,
        current_leader_epoch: fetch.current_epoch.0,
        fetch_offset: fetch.offset.0,
        last_fetched_epoch: fetch.last_epoch.0,
        partition_max_bytes: i32::try_from(fetch.max_bytes).unwrap_or(i32::MAX),
        replica_directory_id: fetch.replica.directory,
        high_watermark: fetch.high_watermark.0,
        ..Default::default()
    };
    let topic = FetchTopic { topic_id: METADATA_TOPIC, partitions: vec![partition], ..Default::default() };
    FetchRequest {
        cluster_id,
        replica_state: ReplicaState { replica_id: fetch.replica.id.0, replica_epoch: -1, ..Default::default() },
        max_wait_ms: i32::try_from(fetch.max_wait_ms).unwrap_or(i32::MAX),
        max_bytes: i32::try_from(fetch.max_bytes).unwrap_or(i32::MAX),
        topics: vec![topic],
        ..Default::default()
    }
}

/// Whether a fetch is one of the metadata log.
pub(crate) fn is_of_metadata(asked: &FetchRequest) -> bool {
    matches!(&asked.topics[..], [only] if only.topic_id == METADATA_TOPIC || *only.topic == *METADATA_NAME)
}

impl Question for FetchRequest {
    const VERSION: i16 = 18;

    fn call(&self) -> Option<Call> {
        let part = self.topics.first()?.partitions.first()?;
        let replica_id = if self.replica_id >= 0 { self.replica_id } else { self.replica_state.replica_id };
        let bytes = self.max_bytes.min(part.partition_max_bytes);
        Some(Call::Fetch(Fetch {
            replica: ReplicaKey { id: NodeId(replica_id), directory: part.replica_directory_id },
            current_epoch: LeaderEpoch(part.current_leader_epoch),
            offset: Offset(part.fetch_offset),
            last_epoch: LeaderEpoch(part.last_fetched_epoch),
            high_watermark: Offset(part.high_watermark),
            max_wait_ms: u64::try_from(self.max_wait_ms).unwrap_or(0),
            max_bytes: u32::try_from(bytes).unwrap_or(0),
        }))
    }

    fn answer(&self, response: Response) -> Answer {
        let Response::Fetch(fetched) = response else {
            return Answer { error_code: ErrorCode::UNKNOWN_SERVER_ERROR, ..Default::default() };
        };
        let node_endpoints = node_endpoints!(fetched.leader, NodeEndpoint);
        let error_code = match fetched.error {
            error @ ErrorCode::INCONSISTENT_CLUSTER_ID => error,
            _ => ErrorCode::NONE,
        };
        let topic = FetchableTopicResponse {
            topic: METADATA_NAME,
            topic_id: METADATA_TOPIC,
            partitions: vec![partition_data(fetched)],
            ..Default::default()
        };
        Answer { error_code, responses: vec![topic], node_endpoints, ..Default::default() }
    }

    fn read(answer: Answer) -> Option<Response> {
        let endpoint =
            answer.node_endpoints.first().and_then(|node| Some((node.host.clone(), u16::try_from(node.port).ok()?)));
        let Some(part) = answer.responses.into_iter().flat_map(|topic| topic.partitions).next() else {
            return Some(Response::Fetch(FetchResponse {
                error: answer.error_code,
                leader: leader_view(-1, -1, endpoint),
                high_watermark: Offset::NONE,
                log_start_offset: Offset::NONE,
                diverging: None,
                snapshot: None,
                records: bytes::Bytes::new(),
            }));
        };
        let (diverging, snapshot) = (&part.diverging_epoch, &part.snapshot_id);
        Some(Response::Fetch(FetchResponse {
            error: if answer.error_code.is_ok() { part.error_code } else { answer.error_code },
            leader: leader_view(part.current_leader.leader_id, part.current_leader.leader_epoch, endpoint),
            high_watermark: Offset(part.high_watermark),
            log_start_offset: Offset(part.log_start_offset),
            diverging: (diverging.epoch >= 0 || diverging.end_offset >= 0)
                .then_some(EpochEnd { epoch: LeaderEpoch(diverging.epoch), end_offset: Offset(diverging.end_offset) }),
            snapshot: (snapshot.end_offset >= 0)
                .then_some(SnapshotId { end_offset: Offset(snapshot.end_offset), epoch: LeaderEpoch(snapshot.epoch) }),
            records: match part.records {
                Some(Records::Bytes(bytes)) => bytes,
                Some(Records::External { .. }) | None => bytes::Bytes::new(),
            },
        }))
    }
}

fn partition_data(fetched: FetchResponse) -> PartitionData {
    let mut data = PartitionData {
        partition_index: 0,
        error_code: fetched.error,
        high_watermark: fetched.high_watermark.0,
        log_start_offset: fetched.log_start_offset.0,
        last_stable_offset: fetched.high_watermark.0,
        aborted_transactions: None,
        preferred_read_replica: -1,
        ..Default::default()
    };
    data.current_leader.leader_id = leader_id(&fetched.leader);
    data.current_leader.leader_epoch = fetched.leader.epoch.0;
    if let Some(diverging) = fetched.diverging {
        data.diverging_epoch.epoch = diverging.epoch.0;
        data.diverging_epoch.end_offset = diverging.end_offset.0;
    }
    if let Some(snapshot) = fetched.snapshot {
        data.snapshot_id.end_offset = snapshot.end_offset.0;
        data.snapshot_id.epoch = snapshot.epoch.0;
    }
    data.records = Some(Records::Bytes(fetched.records));
    data
}
