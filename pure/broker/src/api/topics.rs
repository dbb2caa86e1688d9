//! Finding what a request means by a topic: its name in older versions, its id in newer ones.

use crate::shard::Shard;
use log::Disk;
use types::{ErrorCode, PartitionIndex, Text, TopicId, TopicPartition};

/// Kafka's rule for topic names: 1 to 249 of letters, digits, dot, underscore and dash, and neither "." nor "..".
pub(crate) fn is_valid_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= types::limits::TOPIC_NAME_BYTES_MAX
        && name != "."
        && name != ".."
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'))
}

impl<D: Disk> Shard<D> {
    /// The partition that a request names, by id where it has one.
    pub(crate) fn resolve(
        &self,
        id: TopicId,
        name: &Text,
        partition: PartitionIndex,
    ) -> Result<TopicPartition, ErrorCode> {
        let topic = if id.is_zero() {
            let topic = self.image.topic_by_name(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
            topic.id
        } else {
            self.image.topic(id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?.id
        };
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
