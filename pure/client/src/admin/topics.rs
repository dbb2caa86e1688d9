//! Questions about topics: which there are, making, growing and deleting them, and who may lead them.

use super::question::{Question, Refused, done};
use crate::metadata::{Broker, Metadata, Topic};
use types::{Instant, NodeId, PartitionIndex, Text};
use wire::create_partitions_request::CreatePartitionsTopic;
use wire::create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
use wire::delete_topics_request::DeleteTopicState;
use wire::describe_topic_partitions_request::{Cursor, TopicRequest};
use wire::metadata_request::MetadataRequestTopic;
use wire::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeTopicPartitionsRequest, MetadataRequest,
};
use wire::{Request, Response};

/// The cluster and these topics, or all of them. Never creates a topic.
#[derive(Clone, Debug)]
pub struct DescribeTopics {
    pub names: Option<Vec<Text>>,
}

/// What a broker knows of its cluster.
#[derive(Clone, Debug)]
pub struct Overview {
    pub cluster_id: Option<Text>,
    pub controller: Option<NodeId>,
    pub brokers: Vec<Broker>,
    /// In the order of their names; a topic that is not there has its error set.
    pub topics: Vec<Topic>,
}

impl Question for DescribeTopics {
    type Answer = Overview;

    fn request(&self) -> Request {
        let topic = |name: &Text| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() };
        MetadataRequest {
            topics: self.names.as_ref().map(|names| names.iter().map(topic).collect()),
            allow_auto_topic_creation: false,
            ..Default::default()
        }
        .into()
    }

    fn read(&self, response: Response) -> Result<Overview, Refused> {
        let Response::Metadata(response) = response else { return Err(Refused::foreign()) };
        Refused::check(response.error_code, None)?;
        let mut metadata = Metadata::default();
        metadata.update(Instant(0), &response, true);
        Ok(Overview {
            topics: metadata.topics().cloned().collect(),
            cluster_id: metadata.cluster_id,
            controller: metadata.controller,
            brokers: metadata.brokers.into_values().collect(),
        })
    }
}

/// A topic to be made.
#[derive(Clone, Debug, Default)]
pub struct NewTopic {
    pub name: Text,
    /// `num.partitions` of the broker where it is not given.
    pub partitions: Option<i32>,
    /// `default.replication.factor` of the broker where it is not given.
    pub replication_factor: Option<i16>,
    /// Kafka's names and values of the topic's own settings.
    pub configs: Vec<(Text, Text)>,
    /// The brokers of each partition, where the cluster is not to choose; then the two numbers above are left out.
    pub assignment: Vec<Vec<NodeId>>,
}

#[derive(Clone, Debug)]
pub struct CreateTopic {
    pub topic: NewTopic,
    /// How long the broker may take.
    pub timeout_ms: i32,
    /// Only says whether it could be made.
    pub validate_only: bool,
}

impl Question for CreateTopic {
    done!(CreateTopics, topics);

    fn request(&self) -> Request {
        let config = |(name, value): &(Text, Text)| CreatableTopicConfig {
            name: name.clone(),
            value: Some(value.clone()),
            ..Default::default()
        };
        let assignment = |(index, nodes): (usize, &Vec<NodeId>)| CreatableReplicaAssignment {
            partition_index: i32::try_from(index).unwrap_or(i32::MAX),
            broker_ids: nodes.iter().map(|node| node.0).collect(),
            ..Default::default()
        };
        let topic = CreatableTopic {
            name: self.topic.name.clone(),
            assignments: self.topic.assignment.iter().enumerate().map(assignment).collect(),
            num_partitions: self.topic.partitions.unwrap_or(-1),
            replication_factor: self.topic.replication_factor.unwrap_or(-1),
            configs: self.topic.configs.iter().map(config).collect(),
            ..Default::default()
        };
        let (timeout_ms, validate_only) = (self.timeout_ms, self.validate_only);
        CreateTopicsRequest { topics: vec![topic], timeout_ms, validate_only, ..Default::default() }.into()
    }
}

#[derive(Clone, Debug)]
pub struct DeleteTopic {
    pub name: Text,
    /// How long the broker may take.
    pub timeout_ms: i32,
}

impl Question for DeleteTopic {
    done!(DeleteTopics, responses);

    fn request(&self) -> Request {
        // Older versions have the one field, newer the other.
        DeleteTopicsRequest {
            topics: vec![DeleteTopicState { name: Some(self.name.clone()), ..Default::default() }],
            topic_names: vec![self.name.clone()],
            timeout_ms: self.timeout_ms,
            ..Default::default()
        }
        .into()
    }
}

#[derive(Clone, Debug)]
pub struct CreatePartitions {
    pub topic: Text,
    /// How many there are to be in all.
    pub total: i32,
    /// How long the broker may take.
    pub timeout_ms: i32,
    /// Only says whether it could be done.
    pub validate_only: bool,
}

impl Question for CreatePartitions {
    done!(CreatePartitions, results);

    fn request(&self) -> Request {
        let (name, count) = (self.topic.clone(), self.total);
        let topic = CreatePartitionsTopic { name, count, assignments: None, ..Default::default() };
        let (timeout_ms, validate_only) = (self.timeout_ms, self.validate_only);
        CreatePartitionsRequest { topics: vec![topic], timeout_ms, validate_only, ..Default::default() }.into()
    }
}

/// Which replicas may lead a topic's partitions though they are not in sync (KIP-966).
#[derive(Clone, Debug)]
pub struct DescribeEligible {
    pub topic: Text,
    /// Where to begin: an answer does not hold all of a large topic.
    pub from: PartitionIndex,
}

/// The eligible replicas of a partition, and those that were the last to be so.
pub type Eligible = (PartitionIndex, Vec<NodeId>, Vec<NodeId>);

impl Question for DescribeEligible {
    /// And where to go on.
    type Answer = (Vec<Eligible>, Option<PartitionIndex>);

    fn request(&self) -> Request {
        let topics = vec![TopicRequest { name: self.topic.clone(), ..Default::default() }];
        let cursor = Cursor { topic_name: self.topic.clone(), partition_index: self.from.0, ..Default::default() };
        DescribeTopicPartitionsRequest { topics, cursor: Some(cursor), ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Self::Answer, Refused> {
        let Response::DescribeTopicPartitions(response) = response else { return Err(Refused::foreign()) };
        let topic = response.topics.first().ok_or_else(Refused::foreign)?;
        Refused::check(topic.error_code, None)?;
        let nodes = |ids: &Option<Vec<i32>>| ids.iter().flatten().copied().map(NodeId).collect();
        let eligible = topic.partitions.iter().map(|known| {
            (
                PartitionIndex(known.partition_index),
                nodes(&known.eligible_leader_replicas),
                nodes(&known.last_known_elr),
            )
        });
        let next = response.next_cursor.as_ref().map(|cursor| PartitionIndex(cursor.partition_index));
        // Who goes on where it was begun would never end.
        Ok((eligible.collect(), next.filter(|next| *next > self.from)))
    }
}
