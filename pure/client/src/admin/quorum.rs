//! Questions about the metadata quorum: who votes, how far each is, and changing who votes (KIP-595, KIP-853).

use super::question::{Question, Refused, done};
use std::collections::BTreeMap;
use types::{LeaderEpoch, NodeId, Offset, Text, Timestamp, Uuid};
use wire::describe_quorum_request::{PartitionData, TopicData};
use wire::describe_quorum_response::ReplicaState;
use wire::{AddRaftVoterRequest, DescribeQuorumRequest, RemoveRaftVoterRequest, Request, Response};

/// The one topic that DescribeQuorum knows.
const METADATA_TOPIC: Text = Text::from_static("__cluster_metadata");

#[derive(Clone, Copy, Debug)]
pub struct DescribeQuorum;

/// The nodes that keep the cluster's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// The active controller.
    pub leader: Option<NodeId>,
    pub epoch: LeaderEpoch,
    pub high_watermark: Offset,
    pub voters: Vec<QuorumReplica>,
    pub observers: Vec<QuorumReplica>,
    /// Where voters listen, where the answer tells.
    pub listeners: BTreeMap<NodeId, Vec<VoterListener>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumReplica {
    pub node: NodeId,
    /// Zero where it is not known.
    pub directory: Uuid,
    pub end: Option<Offset>,
    /// By the leader's clock; of the leader itself the moment of the answer.
    pub last_fetch: Option<Timestamp>,
    pub last_caught_up: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterListener {
    pub name: Text,
    pub host: Text,
    pub port: u16,
}

impl Quorum {
    /// How many records of the leader's log a replica does not have yet.
    #[must_use]
    pub fn lag(&self, replica: &QuorumReplica) -> Option<i64> {
        let leader = self.voters.iter().find(|voter| Some(voter.node) == self.leader)?;
        Some(leader.end?.minus(replica.end?).max(0))
    }
}

impl Question for DescribeQuorum {
    type Answer = Quorum;

    fn request(&self) -> Request {
        let partitions = vec![PartitionData { partition_index: 0, ..Default::default() }];
        let topic = TopicData { topic_name: METADATA_TOPIC, partitions, ..Default::default() };
        DescribeQuorumRequest { topics: vec![topic], ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Quorum, Refused> {
        let Response::DescribeQuorum(response) = response else { return Err(Refused::foreign()) };
        Refused::check(response.error_code, response.error_message.as_ref())?;
        let partition = response.topics.first().and_then(|topic| topic.partitions.first());
        let partition = partition.ok_or_else(Refused::foreign)?;
        Refused::check(partition.error_code, partition.error_message.as_ref())?;
        let listener = |known: &wire::describe_quorum_response::Listener| VoterListener {
            name: known.name.detached(),
            host: known.host.detached(),
            port: known.port,
        };
        let node = |known: &wire::describe_quorum_response::Node| {
            (NodeId(known.node_id), known.listeners.iter().map(listener).collect())
        };
        Ok(Quorum {
            leader: Some(NodeId(partition.leader_id)).filter(|node| node.0 >= 0),
            epoch: LeaderEpoch(partition.leader_epoch),
            high_watermark: Offset(partition.high_watermark),
            voters: partition.current_voters.iter().map(replica).collect(),
            observers: partition.observers.iter().map(replica).collect(),
            listeners: response.nodes.iter().map(node).collect(),
        })
    }
}

fn replica(known: &ReplicaState) -> QuorumReplica {
    QuorumReplica {
        node: NodeId(known.replica_id),
        directory: known.replica_directory_id,
        end: Some(Offset(known.log_end_offset)).filter(|offset| offset.0 >= 0),
        last_fetch: Some(Timestamp(known.last_fetch_timestamp)).filter(|at| at.0 >= 0),
        last_caught_up: Some(Timestamp(known.last_caught_up_timestamp)).filter(|at| at.0 >= 0),
    }
}

/// Lets a node vote that has followed the metadata so far.
#[derive(Clone, Debug)]
pub struct AddVoter {
    pub cluster_id: Option<Text>,
    pub node: NodeId,
    pub directory: Uuid,
    pub listeners: Vec<VoterListener>,
    /// How long the broker may take.
    pub timeout_ms: i32,
}

impl Question for AddVoter {
    done!(AddRaftVoter);

    fn request(&self) -> Request {
        let listener = |known: &VoterListener| wire::add_raft_voter_request::Listener {
            name: known.name.clone(),
            host: known.host.clone(),
            port: known.port,
            ..Default::default()
        };
        AddRaftVoterRequest {
            cluster_id: self.cluster_id.clone(),
            timeout_ms: self.timeout_ms,
            voter_id: self.node.0,
            voter_directory_id: self.directory,
            listeners: self.listeners.iter().map(listener).collect(),
            ..Default::default()
        }
        .into()
    }
}

/// Takes a node's vote away.
#[derive(Clone, Debug)]
pub struct RemoveVoter {
    pub cluster_id: Option<Text>,
    pub node: NodeId,
    pub directory: Uuid,
}

impl Question for RemoveVoter {
    done!(RemoveRaftVoter);

    fn request(&self) -> Request {
        RemoveRaftVoterRequest {
            cluster_id: self.cluster_id.clone(),
            voter_id: self.node.0,
            voter_directory_id: self.directory,
            ..Default::default()
        }
        .into()
    }
}
