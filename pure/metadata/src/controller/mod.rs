//! The controller: every change of the cluster is decided here, as records and a reply.
//!
//! Owns the image as it will be once everything decided so far is committed, so that a decision sees those before it.
//! Must never know how records are stored or when they commit. The caller appends `Decision::records` as one atomic
//! batch and sends the reply when they are committed; where an append fails, it makes a new controller from the
//! committed image. Called by the broker's shard 0.

mod brokers;
mod configs;
mod delete;
mod partitions;
mod topics;

use crate::config::{ConfigEntry, Operation, Overrides, Resource, ResourceKind, Settings};
use crate::delta::Delta;
use crate::generated::Record;
use crate::image::{Broker, Image};
use crate::refused::Refused;
use types::{NodeId, PartitionIndex, ProducerId, Rng, Text, TopicId};

pub use brokers::{PRODUCER_IDS_PER_BLOCK, SUPPORTED_FEATURES};

/// What may be asked of the controller.
#[derive(Clone, Debug)]
pub enum Command {
    CreateTopics { topics: Vec<NewTopic>, validate_only: bool },
    DeleteTopics { topics: Vec<TopicName> },
    CreatePartitions { topics: Vec<NewPartitions>, validate_only: bool },
    AlterConfigs { changes: Vec<(Resource, ConfigChange)>, validate_only: bool },
    AllocateProducerIds { broker: NodeId, epoch: i64 },
    RegisterBroker { broker: Broker, clean_start: bool },
}

/// A topic to be created.
#[derive(Clone, Debug, Default)]
pub struct NewTopic {
    pub name: Text,
    /// -1 for `num.partitions`, or where `assignments` are given.
    pub partitions: i32,
    /// -1 for `default.replication.factor`, or where `assignments` are given.
    pub replication_factor: i16,
    pub assignments: Vec<(PartitionIndex, Vec<NodeId>)>,
    pub configs: Vec<(Text, Option<Text>)>,
}

/// A topic by name or by id, never both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicName {
    pub name: Option<Text>,
    /// `Uuid::ZERO` where the name is given.
    pub id: TopicId,
}

#[derive(Clone, Debug)]
pub struct NewPartitions {
    pub topic: Text,
    /// How many there are to be in all.
    pub count: i32,
    /// Replicas of each added partition, where the client chooses them.
    pub assignments: Option<Vec<Vec<NodeId>>>,
}

/// A change of one resource's configurations.
#[derive(Clone, Debug)]
pub enum ConfigChange {
    /// AlterConfigs: what is not named returns to its default.
    Replace(Vec<(Text, Option<Text>)>),
    /// IncrementalAlterConfigs.
    Incremental(Vec<(Text, Operation)>),
    /// A change that the request itself got wrong.
    Refused(Refused),
}

/// A topic as it was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    pub id: TopicId,
    pub partitions: i32,
    pub replication_factor: i16,
    pub configs: Vec<ConfigEntry>,
}

/// The answers to a command, in the order of what it named.
#[derive(Clone, Debug)]
pub enum Reply {
    CreateTopics(Vec<(Text, Result<CreatedTopic, Refused>)>),
    DeleteTopics(Vec<(TopicName, Result<(), Refused>)>),
    CreatePartitions(Vec<(Text, Result<(), Refused>)>),
    AlterConfigs(Vec<(Resource, Result<(), Refused>)>),
    AllocateProducerIds { first: ProducerId, count: i32 },
    RegisterBroker,
}

#[derive(Clone, Debug)]
pub struct Decision {
    /// To be appended as one batch; none where nothing changes.
    pub records: Vec<Record>,
    pub reply: Reply,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Controller {
    image: Image,
    /// As the operator gave them.
    given: Settings,
    /// Under the dynamic configurations of the image.
    settings: Settings,
}

impl Controller {
    #[must_use]
    pub fn new(image: Image, given: Settings) -> Controller {
        let settings = given.with_dynamic(&image);
        Controller { image, given, settings }
    }

    /// The image under everything decided so far, committed or not.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Decides, and counts on the records being committed.
    pub fn decide(&mut self, command: &Command, rng: &mut Rng) -> Decision {
        let (image, settings) = (&self.image, &self.settings);
        let (records, reply) = match command {
            Command::CreateTopics { topics, validate_only } => {
                let (records, created) = topics::create(image, settings, topics, rng);
                (kept(records, *validate_only), Reply::CreateTopics(created))
            }
            Command::DeleteTopics { topics } => {
                let (records, deleted) = delete::delete(image, settings, topics);
                (records, Reply::DeleteTopics(deleted))
            }
            Command::CreatePartitions { topics, validate_only } => {
                let (records, created) = partitions::create(image, topics, rng);
                (kept(records, *validate_only), Reply::CreatePartitions(created))
            }
            Command::AlterConfigs { changes, validate_only } => {
                let (records, altered) = configs::alter(image, settings, changes);
                (kept(records, *validate_only), Reply::AlterConfigs(altered))
            }
            Command::AllocateProducerIds { broker, epoch } => brokers::allocate_producer_ids(image, *broker, *epoch),
            Command::RegisterBroker { broker, clean_start } => {
                (brokers::register(image, broker, *clean_start), Reply::RegisterBroker)
            }
        };
        self.apply(&records);
        Decision { records, reply }
    }

    /// A topic that is created because a client asked for it: an internal one with its own shape, any other with the
    /// defaults.
    #[must_use]
    pub fn auto_topic(&self, name: &Text) -> NewTopic {
        topics::auto(&self.image, &self.settings, name)
    }

    fn apply(&mut self, records: &[Record]) {
        let mut delta = Delta::default();
        for record in records {
            self.image.apply(record, &mut delta).expect("a decision fits the image that it was made on");
        }
        if delta.configs.iter().any(|resource| resource.kind == ResourceKind::Broker) {
            self.settings = self.given.with_dynamic(&self.image);
        }
    }
}

fn kept(records: Vec<Record>, validate_only: bool) -> Vec<Record> {
    if validate_only { Vec::new() } else { records }
}

/// The records that change a resource's configurations from `current` to `next`.
fn config_changes(resource: &Resource, current: &Overrides, next: &Overrides) -> Vec<Record> {
    let record = |name, value| crate::snapshot::config_record(resource.kind, &resource.name, name, value);
    let removed = current.keys().filter(|name| !next.contains_key(*name)).map(|name| record(name, None));
    let set = next.iter().filter(|(name, value)| current.get(*name) != Some(value));
    removed.chain(set.map(|(name, value)| record(name, Some(value)))).collect()
}

#[cfg(test)]
mod tests;
