//! AddRaftVoter 0 and 1, RemoveRaftVoter 0, UpdateRaftVoter 0 (KIP-853): who is a voter of the metadata quorum.

use super::{LISTENER, Question, leader_id, leader_view};
use quorum::{AddVoter, Call, ChangeResponse, Endpoint, RemoveVoter, ReplicaKey, Response, UpdateVoter};
use types::{ErrorCode, LeaderEpoch, NodeId, Text};
use wire::update_raft_voter_request::{KRaftVersionFeature, Listener};
use wire::update_raft_voter_response::CurrentLeader;
use wire::{AddRaftVoterRequest, AddRaftVoterResponse, RemoveRaftVoterRequest, RemoveRaftVoterResponse};
use wire::{UpdateRaftVoterRequest, UpdateRaftVoterResponse};

pub(crate) fn update_request(cluster_id: Option<Text>, update: &UpdateVoter) -> UpdateRaftVoterRequest {
    UpdateRaftVoterRequest {
        cluster_id,
        current_leader_epoch: update.current_epoch.0,
        voter_id: update.voter.id.0,
        voter_directory_id: update.voter.directory,
        listeners: vec![Listener {
            name: LISTENER,
            host: update.endpoint.host.clone(),
            port: update.endpoint.port,
            ..Default::default()
        }],
        kraft_version_feature: KRaftVersionFeature {
            min_supported_version: 0,
            max_supported_version: 1,
            ..Default::default()
        },
        ..Default::default()
    }
}

fn change(response: Response) -> (ErrorCode, Option<Text>) {
    match response {
        Response::AddVoter(change) | Response::RemoveVoter(change) | Response::UpdateVoter(change) => {
            let message = (!change.error.is_ok()).then(|| Text::from(change.message));
            (change.error, message)
        }
        Response::Vote(_)
        | Response::BeginQuorumEpoch(_)
        | Response::EndQuorumEpoch(_)
        | Response::Fetch(_)
        | Response::FetchSnapshot(_) => (ErrorCode::UNKNOWN_SERVER_ERROR, None),
    }
}

fn changed(error: ErrorCode, message: Option<Text>) -> ChangeResponse {
    let message = message.map(|text| text.to_string()).unwrap_or_default();
    ChangeResponse { error, message, leader: leader_view(-1, -1, None) }
}

impl Question for AddRaftVoterRequest {
    const VERSION: i16 = 1;

    fn call(&self) -> Option<Call> {
        let at = self.listeners.first()?;
        Some(Call::AddVoter(AddVoter {
            voter: ReplicaKey { id: NodeId(self.voter_id), directory: self.voter_directory_id },
            endpoint: Endpoint { host: at.host.detached(), port: at.port },
            timeout_ms: u64::try_from(self.timeout_ms).unwrap_or(0),
            when_committed: self.ack_when_committed,
        }))
    }

    fn answer(&self, response: Response) -> AddRaftVoterResponse {
        let (error_code, error_message) = change(response);
        AddRaftVoterResponse { error_code, error_message, ..Default::default() }
    }

    fn read(answer: AddRaftVoterResponse) -> Option<Response> {
        Some(Response::AddVoter(changed(answer.error_code, answer.error_message)))
    }
}

impl Question for RemoveRaftVoterRequest {
    const VERSION: i16 = 0;

    fn call(&self) -> Option<Call> {
        let voter = ReplicaKey { id: NodeId(self.voter_id), directory: self.voter_directory_id };
        Some(Call::RemoveVoter(RemoveVoter { voter }))
    }

    fn answer(&self, response: Response) -> RemoveRaftVoterResponse {
        let (error_code, error_message) = change(response);
        RemoveRaftVoterResponse { error_code, error_message, ..Default::default() }
    }

    fn read(answer: RemoveRaftVoterResponse) -> Option<Response> {
        Some(Response::RemoveVoter(changed(answer.error_code, answer.error_message)))
    }
}

impl Question for UpdateRaftVoterRequest {
    const VERSION: i16 = 0;

    fn call(&self) -> Option<Call> {
        let at = self.listeners.first()?;
        Some(Call::UpdateVoter(UpdateVoter {
            current_epoch: LeaderEpoch(self.current_leader_epoch),
            voter: ReplicaKey { id: NodeId(self.voter_id), directory: self.voter_directory_id },
            endpoint: Endpoint { host: at.host.detached(), port: at.port },
        }))
    }

    fn answer(&self, response: Response) -> UpdateRaftVoterResponse {
        let Response::UpdateVoter(ChangeResponse { error, leader, .. }) = response else {
            return UpdateRaftVoterResponse { error_code: ErrorCode::UNKNOWN_SERVER_ERROR, ..Default::default() };
        };
        let at = leader.endpoint.clone();
        UpdateRaftVoterResponse {
            error_code: error,
            current_leader: CurrentLeader {
                leader_id: leader_id(&leader),
                leader_epoch: leader.epoch.0,
                host: at.as_ref().map(|at| at.host.clone()).unwrap_or_default(),
                port: at.map_or(-1, |at| i32::from(at.port)),
                ..Default::default()
            },
            ..Default::default()
        }
    }

    fn read(answer: UpdateRaftVoterResponse) -> Option<Response> {
        let leader = &answer.current_leader;
        let endpoint = u16::try_from(leader.port).ok().map(|port| (leader.host.clone(), port));
        Some(Response::UpdateVoter(ChangeResponse {
            error: answer.error_code,
            message: String::new(),
            leader: leader_view(leader.leader_id, leader.leader_epoch, endpoint),
        }))
    }
}
