//! Configurations of a topic. Where one is not set, the broker configuration beside it in `SYNONYMS` decides.

use super::super::definition::{Definition, NULL, Valid, boolean, double, int, list, long, string};
use super::{CODECS, POLICIES, TIERING, TIMESTAMP_TYPES};

pub const TABLE: &[Definition] = &[
    list("cleanup.policy", "delete")
        .valid(Valid::ListOf(POLICIES))
        .doc("delete removes old segments, compact keeps the last record of each key; both may be given."),
    int("compression.gzip.level", "-1")
        .valid(Valid::GzipLevel)
        .doc("The level used when the broker compresses with gzip."),
    int("compression.lz4.level", "9").between(1, 17).doc("The level used when the broker compresses with lz4."),
    string("compression.type", "producer")
        .valid(Valid::OneOf(CODECS))
        .doc("The codec that batches are stored with; producer keeps what the producer chose."),
    int("compression.zstd.level", "3")
        .between(-131_072, 22)
        .doc("The level used when the broker compresses with zstd."),
    long("delete.retention.ms", "86400000")
        .at_least(0)
        .doc("A tombstone is kept for this long after it was compacted."),
    long("file.delete.delay.ms", "60000")
        .at_least(0)
        .doc("A deleted file stays on disk for this long, for readers that still use it."),
    long("flush.messages", "9223372036854775807")
        .at_least(1)
        .doc("Sync after this many records; at 1, a write is acknowledged once it is synced."),
    long("flush.ms", "9223372036854775807")
        .at_least(0)
        .doc("Sync when the oldest record that was not synced is this old."),
    list("follower.replication.throttled.replicas", "")
        .valid(Valid::ThrottledReplicas)
        .doc("Replicas that are slowed down as they copy, as partition:broker pairs or *; the rate is the broker's."),
    int("index.interval.bytes", "4096").at_least(0).doc("A position is added to the index after this many bytes."),
    int("internal.segment.bytes", NULL).doc("As segment.bytes, without its minimum; for tests.").internal(),
    list("leader.replication.throttled.replicas", "").valid(Valid::ThrottledReplicas).doc(
        "Replicas that send slowly to others out of sync, as partition:broker pairs or *; the rate is the broker's.",
    ),
    long("local.retention.bytes", "-2").at_least(-2).inactive(TIERING),
    long("local.retention.ms", "-2").at_least(-2).inactive(TIERING),
    long("max.compaction.lag.ms", "9223372036854775807")
        .at_least(1)
        .doc("A record is compacted by this age at the latest."),
    int("max.message.bytes", "1048588").at_least(0).doc("Largest batch that is accepted, in bytes after compression."),
    long("message.timestamp.after.max.ms", "3600000")
        .at_least(0)
        .doc("How far a timestamp may lie ahead of the broker's clock."),
    long("message.timestamp.before.max.ms", "9223372036854775807")
        .at_least(0)
        .doc("How far a timestamp may lie before the broker's clock."),
    string("message.timestamp.type", "CreateTime")
        .valid(Valid::OneOf(TIMESTAMP_TYPES))
        .doc("CreateTime keeps the timestamps of producers, LogAppendTime replaces them."),
    double("min.cleanable.dirty.ratio", "0.5")
        .valid(Valid::Fraction(0.0, 1.0))
        .doc("The log is compacted when this part of it was never compacted."),
    long("min.compaction.lag.ms", "0").at_least(0).doc("A record is not compacted before this age."),
    int("min.insync.replicas", "1")
        .at_least(1)
        .doc("How many replicas must have a record before acks=all is answered; below it, such writes are refused."),
    boolean("preallocate", "false").doc("Reserve the whole size of a segment when it is created."),
    boolean("remote.log.copy.disable", "false").inactive(TIERING),
    boolean("remote.log.delete.on.disable", "false").inactive(TIERING),
    boolean("remote.storage.enable", "false").inactive(TIERING),
    long("retention.bytes", "-1")
        .doc("The oldest segments are deleted while a partition is larger than this; -1 is no limit."),
    long("retention.ms", "604800000")
        .at_least(-1)
        .doc("Closed segments older than this are deleted; -1 keeps them for ever."),
    int("segment.bytes", "1073741824").at_least(1_048_576).doc("A segment is closed at this size."),
    int("segment.index.bytes", "10485760")
        .at_least(4)
        .doc("Largest index file; a segment is closed when its index is full."),
    long("segment.jitter.ms", "0")
        .at_least(0)
        .doc("segment.ms is shortened by a random time up to this, so that segments do not all roll at once."),
    long("segment.ms", "604800000").at_least(1).doc("A segment is closed at this age, even if it is not full."),
    boolean("unclean.leader.election.enable", "false")
        .doc("Whether a replica that may lack committed records may lead where no other can."),
];
