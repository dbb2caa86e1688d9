//! Questions that move replicas and leaders between brokers and log directories (KIP-455, KIP-460, KIP-113).

use super::question::{Each, Question, Refused, by_topic, each, indexes_by_topic, spot};
use crate::Spot;
use std::collections::{BTreeMap, BTreeSet};
use types::{NodeId, Text};
use wire::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use wire::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use wire::elect_leaders_request::TopicPartitions;
use wire::{
    AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest, ElectLeadersRequest,
    ListPartitionReassignmentsRequest, Request, Response,
};

/// Starts moving replicas, or stops it.
#[derive(Clone, Debug)]
pub struct AlterReassignments {
    /// The brokers that are to have each partition, the preferred leader first; None takes back a move that goes on.
    pub targets: BTreeMap<Spot, Option<Vec<NodeId>>>,
    /// How long the broker may take.
    pub timeout_ms: i32,
}

impl Question for AlterReassignments {
    /// The partitions for which it was refused.
    type Answer = Vec<(Spot, Refused)>;

    fn request(&self) -> Request {
        let partitions = self.targets.iter().map(|((name, index), target)| {
            let replicas = target.as_ref().map(|nodes| nodes.iter().map(|node| node.0).collect());
            (name, ReassignablePartition { partition_index: index.0, replicas, ..Default::default() })
        });
        let topic = |(name, partitions)| ReassignableTopic { name, partitions, ..Default::default() };
        let topics = by_topic(partitions).map(topic).collect();
        AlterPartitionReassignmentsRequest { timeout_ms: self.timeout_ms, topics, ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Self::Answer, Refused> {
        let Response::AlterPartitionReassignments(response) = response else { return Err(Refused::foreign()) };
        Refused::check(response.error_code, response.error_message.as_ref())?;
        let each = each!(response.responses, name, partitions, partition_index, |known| {
            Refused::check(known.error_code, known.error_message.as_ref())
        });
        Ok(each.into_iter().filter_map(|(spot, result)| Some((spot, result.err()?))).collect())
    }
}

/// The moves that go on.
#[derive(Clone, Debug)]
pub struct ListReassignments {
    /// How long the broker may take.
    pub timeout_ms: i32,
}

/// A move that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// All that have the partition for now: those that stay, come and go.
    pub replicas: Vec<NodeId>,
    pub adding: Vec<NodeId>,
    pub removing: Vec<NodeId>,
}

impl Reassignment {
    /// The brokers that will have the partition at the end.
    #[must_use]
    pub fn target(&self) -> Vec<NodeId> {
        self.replicas.iter().copied().filter(|node| !self.removing.contains(node)).collect()
    }
}

impl Question for ListReassignments {
    type Answer = BTreeMap<Spot, Reassignment>;

    fn request(&self) -> Request {
        ListPartitionReassignmentsRequest { timeout_ms: self.timeout_ms, topics: None, ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Self::Answer, Refused> {
        let Response::ListPartitionReassignments(response) = response else { return Err(Refused::foreign()) };
        Refused::check(response.error_code, response.error_message.as_ref())?;
        let nodes = |ids: &[i32]| ids.iter().copied().map(NodeId).collect();
        let moves = each!(response.topics, name, partitions, partition_index, |known| Reassignment {
            replicas: nodes(&known.replicas),
            adding: nodes(&known.adding_replicas),
            removing: nodes(&known.removing_replicas),
        });
        Ok(moves.into_iter().collect())
    }
}

/// Elects leaders: the preferred ones, the first of the replicas, where those are in sync; or any replica that lives
/// where there is no leader, which may lose records.
#[derive(Clone, Debug)]
pub struct ElectLeaders {
    pub unclean: bool,
    /// None for all partitions.
    pub spots: Option<Vec<Spot>>,
    /// How long the broker may take.
    pub timeout_ms: i32,
}

impl Question for ElectLeaders {
    /// What became of each; a leader that leads already is refused as `ELECTION_NOT_NEEDED`.
    type Answer = Each<()>;

    fn request(&self) -> Request {
        let topic = |(topic, partitions): (Text, Vec<i32>)| TopicPartitions { topic, partitions, ..Default::default() };
        let topic_partitions = self.spots.as_ref().map(|spots| indexes_by_topic(spots).map(topic).collect());
        let (election_type, timeout_ms) = (i8::from(self.unclean), self.timeout_ms);
        ElectLeadersRequest { election_type, topic_partitions, timeout_ms, ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Self::Answer, Refused> {
        let Response::ElectLeaders(response) = response else { return Err(Refused::foreign()) };
        Refused::check(response.error_code, None)?;
        Ok(each!(response.replica_election_results, topic, partition_result, partition_id, |known| {
            Refused::check(known.error_code, known.error_message.as_ref())
        }))
    }
}

/// Moves replicas to other log directories of the broker that is asked.
#[derive(Clone, Debug)]
pub struct AlterReplicaLogDirs(pub BTreeMap<Spot, String>);

impl Question for AlterReplicaLogDirs {
    type Answer = Each<()>;

    fn request(&self) -> Request {
        let dirs: BTreeSet<&String> = self.0.values().collect();
        let topic = |(name, partitions)| AlterReplicaLogDirTopic { name, partitions, ..Default::default() };
        let dir = |path: &String| {
            let spots = self.0.iter().filter(|(_, to)| *to == path).map(|(spot, _)| spot);
            let topics = indexes_by_topic(spots).map(topic).collect();
            AlterReplicaLogDir { path: Text::from(path.as_str()), topics, ..Default::default() }
        };
        AlterReplicaLogDirsRequest { dirs: dirs.into_iter().map(dir).collect(), ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Self::Answer, Refused> {
        let Response::AlterReplicaLogDirs(response) = response else { return Err(Refused::foreign()) };
        Ok(each!(response.results, topic_name, partitions, partition_index, |known| {
            Refused::check(known.error_code, None)
        }))
    }
}
