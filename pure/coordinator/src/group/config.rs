//! The settings of a group coordinator, under Kafka's names where they differ from the field's.

#[derive(Clone, Debug)]
pub struct Config {
    /// `group.min.session.timeout.ms`
    pub session_timeout_min_ms: i32,
    /// `group.max.session.timeout.ms`
    pub session_timeout_max_ms: i32,
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay_ms: u64,
    /// `group.max.size`
    pub max_size: usize,
    /// `offset.metadata.max.bytes`
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    pub offsets_retention_check_interval_ms: u64,
    /// How long a member that does not know its id yet is waited for.
    pub new_member_join_timeout_ms: u64,
    /// `max.message.bytes` of `__consumer_offsets`: no batch is larger.
    pub message_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            session_timeout_min_ms: 6_000,
            session_timeout_max_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_size: usize::MAX,
            offset_metadata_bytes_max: 4_096,
            offsets_retention_ms: 10_080 * 60_000,
            offsets_retention_check_interval_ms: 600_000,
            new_member_join_timeout_ms: 300_000,
            message_bytes_max: 1_048_588,
        }
    }
}
