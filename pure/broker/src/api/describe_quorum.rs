//! DescribeQuorum 0 to 2: who leads the metadata quorum and how far every replica is.
//!
//! 1 tells when replicas fetched (KIP-836), 2 names directories and endpoints (KIP-853).

use super::{Disk, Outcome, Request, Shard, Step, Work};
use crate::raft::{LISTENER, METADATA_NAME};
use quorum::{Description, Endpoint, ReplicaView};
use types::{ErrorCode, NodeId};
use wire::describe_quorum_response::{Listener, Node, PartitionData, ReplicaState, TopicData};
use wire::{DescribeQuorumRequest, DescribeQuorumResponse};

pub(crate) fn start<D: Disk>(_: &mut Shard<D>, request: Request, asked: DescribeQuorumRequest) -> Step<D> {
    let is_metadata = matches!(
        &asked.topics[..],
        [topic] if *topic.topic_name == *METADATA_NAME
            && matches!(&topic.partitions[..], [partition] if partition.partition_index == 0)
    );
    if !is_metadata {
        let response =
            DescribeQuorumResponse { error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ..Default::default() };
        return request.reply(&response);
    }
    Step::one(Work::DescribeQuorum, move |shard, outcome| {
        let response = match outcome {
            Outcome::QuorumView(Some(view)) => response(*view),
            Outcome::QuorumView(None) => {
                DescribeQuorumResponse { error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER, ..Default::default() }
            }
            other => DescribeQuorumResponse { error_code: other.into_failure().0, ..Default::default() },
        };
        shard.figures.error(request.key, response.error_code);
        request.reply(&response)
    })
}

fn response(view: Description) -> DescribeQuorumResponse {
    let replica = |replica: &ReplicaView| ReplicaState {
        replica_id: replica.id.0,
        replica_directory_id: replica.directory,
        log_end_offset: replica.log_end_offset.0,
        last_fetch_timestamp: replica.last_fetch.0,
        last_caught_up_timestamp: replica.last_caught_up.0,
        ..Default::default()
    };
    let node = |(id, endpoint): (NodeId, Endpoint)| Node {
        node_id: id.0,
        listeners: vec![Listener { name: LISTENER, host: endpoint.host, port: endpoint.port, ..Default::default() }],
        ..Default::default()
    };
    let partition = PartitionData {
        partition_index: 0,
        leader_id: view.leader.0,
        leader_epoch: view.epoch.0,
        high_watermark: view.high_watermark.0,
        current_voters: view.voters.iter().map(replica).collect(),
        observers: view.observers.iter().map(replica).collect(),
        ..Default::default()
    };
    let topic = TopicData { topic_name: METADATA_NAME, partitions: vec![partition], ..Default::default() };
    DescribeQuorumResponse {
        topics: vec![topic],
        nodes: view.nodes.into_iter().map(node).collect(),
        ..Default::default()
    }
}
