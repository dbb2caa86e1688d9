//! Questions about topics: which there are, making, growing and deleting them, and where their data lies.

use super::question::{Question, Refused};
use crate::Spot;
use crate::metadata::{Broker, Metadata, Topic};
use types::{ErrorCode, NodeId, PartitionIndex, Text};
use wire::create_partitions_request::CreatePartitionsTopic;
use wire::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use wire::delete_topics_request::DeleteTopicState;
use wire::describe_log_dirs_request::DescribableLogDirTopic;
use wire::metadata_request::MetadataRequestTopic;
use wire::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeLogDirsRequest, MetadataRequest,
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
        metadata.update(&response, true);
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
    type Answer = ();

    fn request(&self) -> Request {
        let config = |(name, value): &(Text, Text)| CreatableTopicConfig {
            name: name.clone(),
            value: Some(value.clone()),
            ..Default::default()
        };
        let topic = CreatableTopic {
            name: self.topic.name.clone(),
            num_partitions: self.topic.partitions.unwrap_or(-1),
            replication_factor: self.topic.replication_factor.unwrap_or(-1),
            configs: self.topic.configs.iter().map(config).collect(),
            ..Default::default()
        };
        let (timeout_ms, validate_only) = (self.timeout_ms, self.validate_only);
        CreateTopicsRequest { topics: vec![topic], timeout_ms, validate_only, ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<(), Refused> {
        let Response::CreateTopics(response) = response else { return Err(Refused::foreign()) };
        let topic = response.topics.first().ok_or_else(Refused::foreign)?;
        Refused::check(topic.error_code, topic.error_message.as_ref())
    }
}

#[derive(Clone, Debug)]
pub struct DeleteTopic {
    pub name: Text,
    /// How long the broker may take.
    pub timeout_ms: i32,
}

impl Question for DeleteTopic {
    type Answer = ();

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

    fn read(&self, response: Response) -> Result<(), Refused> {
        let Response::DeleteTopics(response) = response else { return Err(Refused::foreign()) };
        let topic = response.responses.first().ok_or_else(Refused::foreign)?;
        Refused::check(topic.error_code, topic.error_message.as_ref())
    }
}

#[derive(Clone, Debug)]
pub struct CreatePartitions {
    pub topic: Text,
    /// How many there are to be in all.
    pub total: i32,
    /// How long the broker may take.
    pub timeout_ms: i32,
}

impl Question for CreatePartitions {
    type Answer = ();

    fn request(&self) -> Request {
        let (name, count) = (self.topic.clone(), self.total);
        let topic = CreatePartitionsTopic { name, count, assignments: None, ..Default::default() };
        CreatePartitionsRequest { topics: vec![topic], timeout_ms: self.timeout_ms, ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<(), Refused> {
        let Response::CreatePartitions(response) = response else { return Err(Refused::foreign()) };
        let topic = response.results.first().ok_or_else(Refused::foreign)?;
        Refused::check(topic.error_code, topic.error_message.as_ref())
    }
}

/// How much of a topic's data one broker has.
#[derive(Clone, Debug)]
pub struct DescribeSizes {
    pub topic: Text,
    pub partitions: Vec<PartitionIndex>,
}

/// A replica on the broker that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSize {
    pub spot: Spot,
    pub log_dir: String,
    pub size_bytes: u64,
}

impl Question for DescribeSizes {
    type Answer = Vec<ReplicaSize>;

    fn request(&self) -> Request {
        let partitions = self.partitions.iter().map(|partition| partition.0).collect();
        let topic = DescribableLogDirTopic { topic: self.topic.clone(), partitions, ..Default::default() };
        DescribeLogDirsRequest { topics: Some(vec![topic]), ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Vec<ReplicaSize>, Refused> {
        read_sizes(response)
    }
}

/// What of a broker's folders can be read; a replica that is on its way to another folder is not counted twice.
pub(super) fn read_sizes(response: Response) -> Result<Vec<ReplicaSize>, Refused> {
    let Response::DescribeLogDirs(response) = response else { return Err(Refused::foreign()) };
    Refused::check(response.error_code, None)?;
    let mut sizes = Vec::new();
    for dir in response.results.iter().filter(|dir| dir.error_code == ErrorCode::NONE) {
        for topic in &dir.topics {
            sizes.extend(topic.partitions.iter().filter(|known| !known.is_future_key).map(|known| ReplicaSize {
                spot: (topic.name.detached(), PartitionIndex(known.partition_index)),
                log_dir: dir.log_dir.to_string(),
                size_bytes: u64::try_from(known.partition_size).unwrap_or(0),
            }));
        }
    }
    Ok(sizes)
}
