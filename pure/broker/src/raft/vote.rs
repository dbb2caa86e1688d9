//! Vote 0 to 2: 1 names directories (KIP-853), 2 has the pre-vote (KIP-996).

use super::{METADATA_NAME, Question, leader_id, leader_view, node_endpoints};
use quorum::{Call, ReplicaKey, Response, Vote, VoteResponse};
use types::{ErrorCode, LeaderEpoch, NodeId, Offset, Text};
use wire::vote_request::{PartitionData, TopicData};
use wire::vote_response::{self, NodeEndpoint};
use wire::{VoteRequest, VoteResponse as Answer};

pub(crate) fn vote_request(cluster_id: Option<Text>, vote: &Vote) -> VoteRequest {
    let partition = PartitionData {
        partition_index: 0,
        replica_epoch: vote.epoch.0,
        replica_id: vote.candidate.id.0,
        replica_directory_id: vote.candidate.directory,
        voter_directory_id: vote.voter.directory,
        last_offset_epoch: vote.last_epoch.0,
        last_offset: vote.last_offset.0,
        pre_vote: vote.pre_vote,
        ..Default::default()
    };
    VoteRequest {
        cluster_id,
        voter_id: vote.voter.id.0,
        topics: vec![TopicData { topic_name: METADATA_NAME, partitions: vec![partition], ..Default::default() }],
        ..Default::default()
    }
}

impl Question for VoteRequest {
    const VERSION: i16 = 2;

    fn call(&self) -> Option<Call> {
        let part = self.topics.first()?.partitions.first()?;
        Some(Call::Vote(Vote {
            voter: ReplicaKey { id: NodeId(self.voter_id), directory: part.voter_directory_id },
            candidate: ReplicaKey { id: NodeId(part.replica_id), directory: part.replica_directory_id },
            epoch: LeaderEpoch(part.replica_epoch),
            last_epoch: LeaderEpoch(part.last_offset_epoch),
            last_offset: Offset(part.last_offset),
            pre_vote: part.pre_vote,
        }))
    }

    fn answer(&self, response: Response) -> Answer {
        let Response::Vote(VoteResponse { error, leader, granted }) = response else {
            return Answer { error_code: ErrorCode::UNKNOWN_SERVER_ERROR, ..Default::default() };
        };
        let partition = vote_response::PartitionData {
            partition_index: 0,
            error_code: error,
            leader_id: leader_id(&leader),
            leader_epoch: leader.epoch.0,
            vote_granted: granted,
            ..Default::default()
        };
        let topic =
            vote_response::TopicData { topic_name: METADATA_NAME, partitions: vec![partition], ..Default::default() };
        let node_endpoints = node_endpoints!(leader, NodeEndpoint);
        let error_code = if error == ErrorCode::INCONSISTENT_CLUSTER_ID { error } else { ErrorCode::NONE };
        Answer { error_code, topics: vec![topic], node_endpoints, ..Default::default() }
    }

    fn read(answer: Answer) -> Option<Response> {
        if !answer.error_code.is_ok() {
            let leader = leader_view(-1, -1, None);
            return Some(Response::Vote(VoteResponse { error: answer.error_code, leader, granted: false }));
        }
        let part = answer.topics.first()?.partitions.first()?;
        let endpoint = answer.node_endpoints.first().map(|node| (node.host.clone(), node.port));
        Some(Response::Vote(VoteResponse {
            error: part.error_code,
            leader: leader_view(part.leader_id, part.leader_epoch, endpoint),
            granted: part.vote_granted,
        }))
    }
}
