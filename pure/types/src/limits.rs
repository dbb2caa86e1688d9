//! Every queue, map and buffer of the core has its bound here; a bound that users may set is a configuration instead.

/// Longest topic name (Kafka's own bound).
pub const TOPIC_NAME_BYTES_MAX: usize = 249;
/// Most requests that one connection may have waiting for their answers; the shell stops reading at that point.
pub const REQUESTS_PER_CONNECTION_MAX: usize = 64;
/// Most bytes of answers that may wait for a slow reader before nothing more is read from its connection.
pub const UNSENT_BYTES_PER_CONNECTION_MAX: usize = 1 << 20;
/// Most bytes of requests that may wait to leave on a link to another node when one more is added; beyond it the link
/// ends. The longest request fits with all that may wait behind it.
pub const UNSENT_BYTES_PER_LINK_MAX: usize = 128 << 20;
/// What a response on a link may be longer than the longest request.
pub const LINK_RESPONSE_EXTRA_BYTES: usize = 16 << 20;
/// Longest size in bytes of one decompressed batch.
pub const DECOMPRESSED_BATCH_BYTES_MAX: usize = 256 << 20;
/// Most partitions of one topic.
pub const PARTITIONS_PER_TOPIC_MAX: i32 = 100_000;
/// Most topics that one CreateTopics, DeleteTopics or CreatePartitions request may name.
pub const TOPICS_PER_REQUEST_MAX: usize = 10_000;
/// Longest group id, member id, client id or protocol name that a group keeps: records carry them as short texts, and
/// a member id is longer than the client id in it.
pub const GROUP_TEXT_BYTES_MAX: usize = 16_384;
/// Most protocols that one member may offer.
pub const GROUP_PROTOCOLS_MAX: usize = 256;
/// Most members of one group, whatever `group.max.size` says.
pub const GROUP_MEMBERS_MAX: usize = 100_000;
/// Most members of one group that were given an id and have not joined yet.
pub const GROUP_PENDING_MEMBERS_MAX: usize = 10_000;
/// Most groups of one partition of `__consumer_offsets`.
pub const GROUPS_PER_PARTITION_MAX: usize = 1_000_000;
/// Most samples that a rate is averaged over.
pub const RATE_SAMPLES_MAX: i64 = 10_000;
/// Most nodes that follow the metadata log without a vote.
pub const METADATA_OBSERVERS_MAX: usize = 10_000;
/// Most fetches of the metadata log that may wait for something new.
pub const METADATA_FETCHES_PARKED_MAX: usize = 20_000;
