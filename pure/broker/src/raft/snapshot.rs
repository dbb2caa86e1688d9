//! FetchSnapshot 0 and 1 (KIP-630): 1 names the directory of the replica and the leader's endpoint (KIP-853).

use super::{METADATA_NAME, Question, leader_id, leader_view, node_endpoints};
use quorum::{Call, FetchSnapshot, FetchSnapshotResponse, ReplicaKey, Response, SnapshotId};
use types::{ErrorCode, LeaderEpoch, NodeId, Offset, Text};
use wire::{FetchSnapshotRequest, FetchSnapshotResponse as Answer, Records};
use wire::{fetch_snapshot_request, fetch_snapshot_response};

pub(crate) fn snapshot_request(cluster_id: Option<Text>, fetch: &FetchSnapshot) -> FetchSnapshotRequest {
    use fetch_snapshot_request::{PartitionSnapshot, TopicSnapshot};
    let partition = PartitionSnapshot {
        partition: 0,
        current_leader_epoch: fetch.current_epoch.0,
        snapshot_id: fetch_snapshot_request::SnapshotId {
            end_offset: fetch.snapshot.end_offset.0,
            epoch: fetch.snapshot.epoch.0,
            ..Default::default()
        },
        position: i64::try_from(fetch.position).unwrap_or(i64::MAX),
        replica_directory_id: fetch.replica.directory,
        ..Default::default()
    };
    FetchSnapshotRequest {
        cluster_id,
        replica_id: fetch.replica.id.0,
        max_bytes: i32::try_from(fetch.max_bytes).unwrap_or(i32::MAX),
        topics: vec![TopicSnapshot { name: METADATA_NAME, partitions: vec![partition], ..Default::default() }],
        ..Default::default()
    }
}

impl Question for FetchSnapshotRequest {
    const VERSION: i16 = 1;

    fn call(&self) -> Option<Call> {
        let part = self.topics.first()?.partitions.first()?;
        Some(Call::FetchSnapshot(FetchSnapshot {
            replica: ReplicaKey { id: NodeId(self.replica_id), directory: part.replica_directory_id },
            current_epoch: LeaderEpoch(part.current_leader_epoch),
            snapshot: SnapshotId {
                end_offset: Offset(part.snapshot_id.end_offset),
                epoch: LeaderEpoch(part.snapshot_id.epoch),
            },
            position: u64::try_from(part.position).unwrap_or(0),
            max_bytes: u32::try_from(self.max_bytes).unwrap_or(0),
        }))
    }

    fn answer(&self, response: Response) -> Answer {
        use fetch_snapshot_response::{LeaderIdAndEpoch, NodeEndpoint, PartitionSnapshot, TopicSnapshot};
        let Response::FetchSnapshot(given) = response else {
            return Answer { error_code: ErrorCode::UNKNOWN_SERVER_ERROR, ..Default::default() };
        };
        let node_endpoints = node_endpoints!(given.leader, NodeEndpoint);
        let partition = PartitionSnapshot {
            index: 0,
            error_code: given.error,
            snapshot_id: fetch_snapshot_response::SnapshotId {
                end_offset: given.snapshot.end_offset.0,
                epoch: given.snapshot.epoch.0,
                ..Default::default()
            },
            current_leader: LeaderIdAndEpoch {
                leader_id: leader_id(&given.leader),
                leader_epoch: given.leader.epoch.0,
                ..Default::default()
            },
            size: i64::try_from(given.size).unwrap_or(i64::MAX),
            position: i64::try_from(given.position).unwrap_or(i64::MAX),
            unaligned_records: Records::Bytes(given.bytes),
            ..Default::default()
        };
        let topic = TopicSnapshot { name: METADATA_NAME, partitions: vec![partition], ..Default::default() };
        Answer { topics: vec![topic], node_endpoints, ..Default::default() }
    }

    fn read(answer: Answer) -> Option<Response> {
        let endpoint = answer.node_endpoints.first().map(|node| (node.host.clone(), node.port));
        let part = answer.topics.into_iter().flat_map(|topic| topic.partitions).next()?;
        Some(Response::FetchSnapshot(FetchSnapshotResponse {
            error: if answer.error_code.is_ok() { part.error_code } else { answer.error_code },
            leader: leader_view(part.current_leader.leader_id, part.current_leader.leader_epoch, endpoint),
            snapshot: SnapshotId {
                end_offset: Offset(part.snapshot_id.end_offset),
                epoch: LeaderEpoch(part.snapshot_id.epoch),
            },
            size: u64::try_from(part.size).unwrap_or(0),
            position: u64::try_from(part.position).unwrap_or(0),
            bytes: match part.unaligned_records {
                Records::Bytes(bytes) => bytes,
                Records::External { .. } => bytes::Bytes::new(),
            },
        }))
    }
}
