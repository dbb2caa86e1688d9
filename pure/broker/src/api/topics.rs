//! Finding what a request means by a topic: its name in older versions, its id in newer ones.

use super::{Disk, Shard};
use types::{ErrorCode, PartitionIndex, Text, TopicId, TopicPartition};

impl<D: Disk> Shard<D> {
    /// The partition that a request names, by id where it has one.
    pub(crate) fn resolve(
        &self,
        id: TopicId,
        name: &Text,
        partition: PartitionIndex,
    ) -> Result<TopicPartition, ErrorCode> {
        if !id.is_zero() {
            return self.resolve_id(id, partition);
        }
        let topic = self.image.topic_by_name(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?.id;
        self.partition_of(topic, partition)
    }

    /// The partition that a request names in a version that knows ids only.
    pub(crate) fn resolve_id(&self, id: TopicId, partition: PartitionIndex) -> Result<TopicPartition, ErrorCode> {
        let topic = self.image.topic(id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?.id;
        self.partition_of(topic, partition)
    }

    fn partition_of(&self, topic: TopicId, partition: PartitionIndex) -> Result<TopicPartition, ErrorCode> {
        self.image
            .partition(TopicPartition { topic, partition })
            .map(|_| TopicPartition { topic, partition })
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
    }

    /// The name of a topic by its id.
    pub(crate) fn topic_name(&self, id: TopicId) -> Option<Text> {
        self.image.topic(id).map(|topic| topic.name.clone())
    }
}
