//! Joining a cluster: a new node learns its id before it starts, and is made a voter of the metadata quorum where the
//! quorum gains by that.
//!
//! A cluster that grows from one node should not depend on that one for ever, nobody should have to think of it, and a
//! quorum of two is worse than one of one. So new nodes ask to vote as soon as two of them are there, until three vote.
//! A node that comes back never asks: who was removed stays removed.

use crate::peers::{Address, Lane, Question};
use crate::raft::{LISTENER, METADATA_NAME};
use crate::seam::Level;
use crate::shard::{Deadline, Shard};
use bytes::Bytes;
use log::Disk;
use types::codec::Reader;
use types::{ErrorCode, Text};
use wire::add_raft_voter_request::Listener;
use wire::describe_quorum_request::{PartitionData, TopicData};
use wire::{AddRaftVoterRequest, ApiKey, Call, DescribeClusterRequest, DescribeQuorumRequest, ResponseHeader};

const VERSION: i16 = 0;
/// How often a new node asks whether it is time to vote.
const ASK_MS: u64 = 1_000;
const TIMEOUT_MS: u64 = 5_000;
/// As many voters as a cluster gets by itself; more are the operator's wish.
const VOTERS: usize = 3;

/// The request, with its length, that a node of the cluster answers with the cluster's id.
#[must_use]
pub fn ask_cluster_id() -> Bytes {
    wire::encode_request(0, Some(&Text::from_static("vltava-join")), VERSION, &DescribeClusterRequest::default())
}

/// The cluster's id, out of the answer without its length.
pub fn read_cluster_id(answer: Bytes) -> Result<Text, String> {
    let mut reader = Reader::new(answer);
    let unreadable = |error: types::codec::DecodeError| format!("an answer that cannot be read: {error}");
    ResponseHeader::decode(&mut reader, ApiKey::DescribeCluster.response_header_version(VERSION))
        .map_err(unreadable)?;
    let response = DescribeClusterRequest::decode_response(&mut reader, VERSION).map_err(unreadable)?;
    match response.error_code {
        ErrorCode::NONE => Ok(response.cluster_id.detached()),
        code => Err(format!("it answers {code}")),
    }
}

impl<D: Disk> Shard<D> {
    /// A new node that serves: is it time to vote?
    pub(crate) fn consider_voting(&mut self) {
        let Some(life) = self.lifecycle.as_ref().filter(|life| life.wants_vote) else {
            return;
        };
        let votes = self.controlling.as_ref().is_some_and(|controlling| controlling.quorum.is_voter());
        if votes {
            return self.stop_asking_to_vote();
        }
        self.deadlines.insert((self.now.at.plus_ms(ASK_MS), Deadline::Voting));
        let (false, Some(to)) = (life.fenced, self.controller_address()) else {
            return;
        };
        let partitions = vec![PartitionData::default()];
        let topics = vec![TopicData { topic_name: METADATA_NAME, partitions, ..Default::default() }];
        let request = DescribeQuorumRequest { topics, ..Default::default() };
        let at = to.clone();
        let question =
            Question { to: &at, lane: Lane::Controller, version: 2, request: &request, timeout_ms: TIMEOUT_MS };
        self.ask_peer(&question, move |shard, answer| {
            let quorum = answer.ok().and_then(|answer| answer.topics.into_iter().next()?.partitions.into_iter().next());
            let Some(quorum) = quorum.filter(|quorum| quorum.error_code.is_ok()) else {
                return;
            };
            let voters = quorum.current_voters.len();
            if voters >= VOTERS {
                shard.stop_asking_to_vote();
            } else if voters % 2 == 0 || quorum.observers.len() >= 2 {
                shard.ask_to_vote(&to);
            }
        });
    }

    fn ask_to_vote(&mut self, to: &Address) {
        let Some(endpoint) = self.controlling.as_ref().map(|controlling| controlling.quorum.endpoint().clone()) else {
            return;
        };
        let listener = Listener { name: LISTENER, host: endpoint.host, port: endpoint.port, ..Default::default() };
        let request = AddRaftVoterRequest {
            cluster_id: Some(self.node.cluster_id.clone()),
            timeout_ms: i32::try_from(TIMEOUT_MS).unwrap_or(i32::MAX),
            voter_id: self.node.id.0,
            voter_directory_id: self.node.directory_id,
            listeners: vec![listener],
            ack_when_committed: true,
            ..Default::default()
        };
        let question =
            Question { to, lane: Lane::Controller, version: 1, request: &request, timeout_ms: 2 * TIMEOUT_MS };
        self.ask_peer(&question, |shard, answer| {
            if answer.is_ok_and(|answer| answer.error_code.is_ok()) {
                shard.log(Level::Info, "this node votes in the metadata quorum now".to_owned());
                shard.stop_asking_to_vote();
            }
        });
    }

    fn stop_asking_to_vote(&mut self) {
        if let Some(life) = &mut self.lifecycle {
            life.wants_vote = false;
        }
    }
}
