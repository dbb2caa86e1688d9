//! Questions that move replicas and leaders between brokers (KIP-455, KIP-460).

use super::question::{Question, Refused};
use crate::Spot;
use std::collections::BTreeMap;
use types::{ErrorCode, NodeId, PartitionIndex, Text};
use wire::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use wire::elect_leaders_request::TopicPartitions;
use wire::{
    AlterPartitionReassignmentsRequest, ElectLeadersRequest, ListPartitionReassignmentsRequest, Request, Response,
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
        let mut topics: BTreeMap<&Text, Vec<ReassignablePartition>> = BTreeMap::new();
        for ((name, partition), target) in &self.targets {
            let replicas = target.as_ref().map(|nodes| nodes.iter().map(|node| node.0).collect());
            let partition = ReassignablePartition { partition_index: partition.0, replicas, ..Default::default() };
            topics.entry(name).or_default().push(partition);
        }
        let topic = |(name, partitions): (&Text, Vec<ReassignablePartition>)| ReassignableTopic {
            name: name.clone(),
            partitions,
            ..Default::default()
        };
        let topics = topics.into_iter().map(topic).collect();
        AlterPartitionReassignmentsRequest { timeout_ms: self.timeout_ms, topics, ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Self::Answer, Refused> {
        let Response::AlterPartitionReassignments(response) = response else { return Err(Refused::foreign()) };
        Refused::check(response.error_code, response.error_message.as_ref())?;
        let mut failed = Vec::new();
        for topic in &response.responses {
            for known in &topic.partitions {
                if let Err(refused) = Refused::check(known.error_code, known.error_message.as_ref()) {
                    failed.push(((topic.name.detached(), PartitionIndex(known.partition_index)), refused));
                }
            }
        }
        Ok(failed)
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
        let mut moves = BTreeMap::new();
        for topic in &response.topics {
            for known in &topic.partitions {
                let reassignment = Reassignment {
                    replicas: nodes(&known.replicas),
                    adding: nodes(&known.adding_replicas),
                    removing: nodes(&known.removing_replicas),
                };
                moves.insert((topic.name.detached(), PartitionIndex(known.partition_index)), reassignment);
            }
        }
        Ok(moves)
    }
}

/// Hands partitions to their preferred leaders, the first of their replicas, where those are in sync.
#[derive(Clone, Debug)]
pub struct ElectPreferred {
    pub spots: Vec<Spot>,
    /// How long the broker may take.
    pub timeout_ms: i32,
}

impl Question for ElectPreferred {
    /// The partitions whose preferred leader could not take over.
    type Answer = Vec<(Spot, Refused)>;

    fn request(&self) -> Request {
        let mut topics: BTreeMap<&Text, Vec<i32>> = BTreeMap::new();
        for (name, partition) in &self.spots {
            topics.entry(name).or_default().push(partition.0);
        }
        let topic = |(name, partitions): (&Text, Vec<i32>)| TopicPartitions {
            topic: name.clone(),
            partitions,
            ..Default::default()
        };
        let topic_partitions = Some(topics.into_iter().map(topic).collect());
        ElectLeadersRequest { election_type: 0, topic_partitions, timeout_ms: self.timeout_ms, ..Default::default() }
            .into()
    }

    fn read(&self, response: Response) -> Result<Self::Answer, Refused> {
        let Response::ElectLeaders(response) = response else { return Err(Refused::foreign()) };
        Refused::check(response.error_code, None)?;
        let mut failed = Vec::new();
        for topic in &response.replica_election_results {
            // A leader that leads already is what was wanted.
            let wanted =
                topic.partition_result.iter().filter(|known| known.error_code != ErrorCode::ELECTION_NOT_NEEDED);
            for known in wanted {
                if let Err(refused) = Refused::check(known.error_code, known.error_message.as_ref()) {
                    failed.push(((topic.topic.detached(), PartitionIndex(known.partition_id)), refused));
                }
            }
        }
        Ok(failed)
    }
}
