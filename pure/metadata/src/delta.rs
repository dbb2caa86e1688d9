//! What a batch of records changed, so that the broker touches only that.

use crate::config::Resource;
use crate::image::Topic;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use types::{NodeId, PartitionIndex, TopicId};

/// What became of a topic.
#[derive(Clone, Debug, PartialEq)]
pub enum TopicChange {
    Created,
    /// These partitions are new or changed.
    Changed(BTreeSet<PartitionIndex>),
    /// The topic as it was.
    Deleted(Arc<Topic>),
}

/// The changes between two images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    pub topics: BTreeMap<TopicId, TopicChange>,
    /// Resources whose configurations changed; not those of deleted topics.
    pub configs: BTreeSet<Resource>,
    pub brokers: BTreeSet<NodeId>,
    pub features: bool,
}

impl Delta {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Delta::default()
    }

    /// Adds what changed after this.
    pub fn merge(&mut self, later: Delta) {
        for (id, change) in later.topics {
            match change {
                TopicChange::Created => self.created(id),
                TopicChange::Changed(partitions) => {
                    partitions.into_iter().for_each(|partition| self.changed(id, partition));
                }
                TopicChange::Deleted(topic) => self.deleted(topic),
            }
        }
        self.configs.extend(later.configs);
        self.brokers.extend(later.brokers);
        self.features |= later.features;
    }

    pub(crate) fn created(&mut self, topic: TopicId) {
        self.topics.insert(topic, TopicChange::Created);
    }

    pub(crate) fn changed(&mut self, topic: TopicId, partition: PartitionIndex) {
        let change = self.topics.entry(topic).or_insert_with(|| TopicChange::Changed(BTreeSet::new()));
        if let TopicChange::Changed(partitions) = change {
            partitions.insert(partition);
        }
    }

    pub(crate) fn deleted(&mut self, topic: Arc<Topic>) {
        self.configs.remove(&Resource::topic(topic.name.clone()));
        if self.topics.get(&topic.id) == Some(&TopicChange::Created) {
            self.topics.remove(&topic.id);
        } else {
            self.topics.insert(topic.id, TopicChange::Deleted(topic));
        }
    }
}
