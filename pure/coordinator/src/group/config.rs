//! The settings of a group coordinator, under Kafka's names where they differ from the field's.

use types::with_defaults;

with_defaults! {
    #[derive(Clone, Debug)]
    pub struct Config {
        /// `group.min.session.timeout.ms`
        pub session_timeout_min_ms: i32 = 6_000,
        /// `group.max.session.timeout.ms`
        pub session_timeout_max_ms: i32 = 1_800_000,
        /// `group.initial.rebalance.delay.ms`
        pub initial_rebalance_delay_ms: u64 = 3_000,
        /// `group.max.size`
        pub max_size: usize = usize::MAX,
        /// `offset.metadata.max.bytes`
        pub offset_metadata_bytes_max: usize = 4_096,
        /// `offsets.retention.minutes`, in milliseconds.
        pub offsets_retention_ms: i64 = 10_080 * 60_000,
        pub offsets_retention_check_interval_ms: u64 = 600_000,
        /// How long a member that does not know its id yet is waited for.
        pub new_member_join_timeout_ms: u64 = 300_000,
        /// `max.message.bytes` of `__consumer_offsets`: no batch is larger.
        pub message_bytes_max: usize = 1_048_588,
    }
}
