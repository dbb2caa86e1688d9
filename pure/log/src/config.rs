//! What a partition's log is told to do: the domain values of the topic configurations that it enforces. Names, defaults
//! and their text belong to `metadata`; here a duration that means "never" is `u64::MAX` and a missing bound is `None`.

use record::{Codec, TimestampType};

/// `cleanup.policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanup {
    pub delete: bool,
    pub compact: bool,
}

/// The configuration of one partition's log. Shared by all partitions of a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `segment.bytes`, at most `i32::MAX`.
    pub segment_bytes: u32,
    /// `segment.ms`.
    pub segment_ms: u64,
    /// `segment.jitter.ms`.
    pub segment_jitter_ms: u64,
    /// `segment.index.bytes`.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// `retention.ms`; `None` keeps for ever.
    pub retention_ms: Option<u64>,
    /// `retention.bytes`; `None` keeps all.
    pub retention_bytes: Option<u64>,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: u64,
    /// `flush.messages`; 1 makes every append wait for a sync before it is committed.
    pub flush_messages: u64,
    /// `flush.ms`.
    pub flush_ms: u64,
    /// `min.insync.replicas`. The log itself has no use for it; it travels with what else a topic says of its partitions.
    pub min_insync_replicas: u32,
    /// `preallocate`.
    pub preallocate: bool,
    /// `cleanup.policy`.
    pub cleanup: Cleanup,
    /// `min.cleanable.dirty.ratio`.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: u64,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: u64,
    /// `delete.retention.ms`: how long a tombstone stays after its record is gone.
    pub delete_retention_ms: u64,
    /// `max.message.bytes`.
    pub max_message_bytes: u32,
    /// `compression.type` with its level; `None` is `producer`.
    pub compression: Option<(Codec, i32)>,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: u64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: u64,
    /// `producer.id.expiration.ms`, of the broker.
    pub producer_id_expiration_ms: u64,
    /// `log.cleaner.enable`, of the broker.
    pub cleaner_enable: bool,
    /// `log.cleaner.dedupe.buffer.size`, of the broker: memory that one compaction may use for its map of keys.
    pub cleaner_dedupe_buffer_bytes: u64,
}

impl Default for Config {
    /// Kafka's defaults.
    fn default() -> Config {
        Config {
            segment_bytes: 1 << 30,
            segment_ms: 604_800_000,
            segment_jitter_ms: 0,
            segment_index_bytes: 10_485_760,
            index_interval_bytes: 4096,
            retention_ms: Some(604_800_000),
            retention_bytes: None,
            file_delete_delay_ms: 60_000,
            flush_messages: u64::MAX,
            flush_ms: u64::MAX,
            min_insync_replicas: 1,
            preallocate: false,
            cleanup: Cleanup { delete: true, compact: false },
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: u64::MAX,
            delete_retention_ms: 86_400_000,
            max_message_bytes: 1_048_588,
            compression: None,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: u64::MAX,
            timestamp_after_max_ms: 3_600_000,
            producer_id_expiration_ms: 86_400_000,
            cleaner_enable: true,
            cleaner_dedupe_buffer_bytes: 134_217_728,
        }
    }
}
