//! BeginQuorumEpoch and EndQuorumEpoch, 0 and 1: 1 names directories and endpoints (KIP-853).

use super::{LISTENER, METADATA_NAME, Question, leader_id, leader_view, node_endpoints};
use quorum::{BeginQuorumEpoch, Call, EndQuorumEpoch, Endpoint, EpochResponse, ReplicaKey, Response};
use types::{ErrorCode, LeaderEpoch, NodeId, Text};
use wire::{BeginQuorumEpochRequest, BeginQuorumEpochResponse, EndQuorumEpochRequest, EndQuorumEpochResponse};
use wire::{
    begin_quorum_epoch_request, begin_quorum_epoch_response, end_quorum_epoch_request, end_quorum_epoch_response,
};

macro_rules! leader_endpoints {
    ($endpoint:expr) => {{
        let listener = |Endpoint { host, port }| LeaderEndpoint { name: LISTENER, host, port, ..Default::default() };
        $endpoint.clone().into_iter().map(listener).collect()
    }};
}

pub(crate) fn begin_request(cluster_id: Option<Text>, begin: &BeginQuorumEpoch) -> BeginQuorumEpochRequest {
    use begin_quorum_epoch_request::{LeaderEndpoint, PartitionData, TopicData};
    let partition = PartitionData {
        partition_index: 0,
        voter_directory_id: begin.voter.directory,
        leader_id: begin.leader.0,
        leader_epoch: begin.epoch.0,
        ..Default::default()
    };
    BeginQuorumEpochRequest {
        cluster_id,
        voter_id: begin.voter.id.0,
        topics: vec![TopicData { topic_name: METADATA_NAME, partitions: vec![partition], ..Default::default() }],
        leader_endpoints: leader_endpoints!(begin.endpoint),
        ..Default::default()
    }
}

pub(crate) fn end_request(cluster_id: Option<Text>, end: &EndQuorumEpoch) -> EndQuorumEpochRequest {
    use end_quorum_epoch_request::{LeaderEndpoint, PartitionData, ReplicaInfo, TopicData};
    let candidate = |key: &ReplicaKey| ReplicaInfo {
        candidate_id: key.id.0,
        candidate_directory_id: key.directory,
        ..Default::default()
    };
    let partition = PartitionData {
        partition_index: 0,
        leader_id: end.leader.0,
        leader_epoch: end.epoch.0,
        preferred_successors: end.preferred.iter().map(|key| key.id.0).collect(),
        preferred_candidates: end.preferred.iter().map(candidate).collect(),
        ..Default::default()
    };
    EndQuorumEpochRequest {
        cluster_id,
        topics: vec![TopicData { topic_name: METADATA_NAME, partitions: vec![partition], ..Default::default() }],
        leader_endpoints: leader_endpoints!(end.endpoint),
        ..Default::default()
    }
}

/// The two answers are the same but for their names.
macro_rules! epoch_answer {
    ($kind:ident, $answer:ident, $module:ident) => {
        fn answer(&self, response: Response) -> $answer {
            use $module::{NodeEndpoint, PartitionData, TopicData};
            let Response::$kind(EpochResponse { error, leader }) = response else {
                return $answer { error_code: ErrorCode::UNKNOWN_SERVER_ERROR, ..Default::default() };
            };
            let partition = PartitionData {
                partition_index: 0,
                error_code: error,
                leader_id: leader_id(&leader),
                leader_epoch: leader.epoch.0,
                ..Default::default()
            };
            $answer {
                topics: vec![TopicData {
                    topic_name: METADATA_NAME,
                    partitions: vec![partition],
                    ..Default::default()
                }],
                node_endpoints: node_endpoints!(leader, NodeEndpoint),
                ..Default::default()
            }
        }

        fn read(answer: $answer) -> Option<Response> {
            let endpoint = answer.node_endpoints.first().map(|node| (node.host.clone(), node.port));
            let part = answer.topics.first().and_then(|topic| topic.partitions.first());
            let error = part.map_or(answer.error_code, |part| part.error_code);
            let (id, epoch) = part.map_or((-1, -1), |part| (part.leader_id, part.leader_epoch));
            Some(Response::$kind(EpochResponse { error, leader: leader_view(id, epoch, endpoint) }))
        }
    };
}

impl Question for BeginQuorumEpochRequest {
    const VERSION: i16 = 1;

    fn call(&self) -> Option<Call> {
        let part = self.topics.first()?.partitions.first()?;
        let endpoint = self.leader_endpoints.first();
        Some(Call::BeginQuorumEpoch(BeginQuorumEpoch {
            voter: ReplicaKey { id: NodeId(self.voter_id), directory: part.voter_directory_id },
            leader: NodeId(part.leader_id),
            epoch: LeaderEpoch(part.leader_epoch),
            endpoint: endpoint.map(|at| Endpoint { host: at.host.detached(), port: at.port }),
        }))
    }

    epoch_answer!(BeginQuorumEpoch, BeginQuorumEpochResponse, begin_quorum_epoch_response);
}

impl Question for EndQuorumEpochRequest {
    const VERSION: i16 = 1;

    fn call(&self) -> Option<Call> {
        let part = self.topics.first()?.partitions.first()?;
        let endpoint = self.leader_endpoints.first();
        let named = part.preferred_candidates.iter().map(|candidate| ReplicaKey {
            id: NodeId(candidate.candidate_id),
            directory: candidate.candidate_directory_id,
        });
        Some(Call::EndQuorumEpoch(EndQuorumEpoch {
            leader: NodeId(part.leader_id),
            epoch: LeaderEpoch(part.leader_epoch),
            preferred: named.collect(),
            endpoint: endpoint.map(|at| Endpoint { host: at.host.detached(), port: at.port }),
        }))
    }

    epoch_answer!(EndQuorumEpoch, EndQuorumEpochResponse, end_quorum_epoch_response);
}
