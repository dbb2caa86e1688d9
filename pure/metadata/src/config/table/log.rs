//! Broker configurations of logs, most of them the defaults of a topic configuration.

use super::super::definition::{Definition, NULL, Valid, boolean, double, int, list, long, string};
use super::{CLEANER_IO, CLEANER_RATE, DIRECTORIES, JVM, POLICIES, TIERING, TIMESTAMP_TYPES};

pub const TABLE: &[Definition] = &[
    long("log.cleaner.backoff.ms", "15000")
        .at_least(0)
        .cluster_wide()
        .doc("How long to wait where no log needs compaction."),
    long("log.cleaner.dedupe.buffer.size", "134217728")
        .cluster_wide()
        .doc("Memory for the keys of the compactions that run, in bytes."),
    long("log.cleaner.delete.retention.ms", "86400000")
        .at_least(0)
        .cluster_wide()
        .doc("A tombstone is kept for this long after it was compacted."),
    boolean("log.cleaner.enable", "true").doc("Run compaction."),
    double("log.cleaner.io.buffer.load.factor", "0.9").cluster_wide().inactive(CLEANER_IO),
    int("log.cleaner.io.buffer.size", "524288").at_least(0).cluster_wide().inactive(CLEANER_IO),
    double("log.cleaner.io.max.bytes.per.second", "1.7976931348623157E308").cluster_wide().inactive(CLEANER_RATE),
    long("log.cleaner.max.compaction.lag.ms", "9223372036854775807")
        .at_least(1)
        .cluster_wide()
        .doc("A record is compacted by this age at the latest."),
    double("log.cleaner.min.cleanable.ratio", "0.5")
        .valid(Valid::Fraction(0.0, 1.0))
        .cluster_wide()
        .doc("A log is compacted when this part of it was never compacted."),
    long("log.cleaner.min.compaction.lag.ms", "0")
        .at_least(0)
        .cluster_wide()
        .doc("A record is not compacted before this age."),
    int("log.cleaner.threads", "1").at_least(0).cluster_wide().doc("How many partitions are compacted at once."),
    list("log.cleanup.policy", "delete")
        .valid(Valid::ListOf(POLICIES))
        .cluster_wide()
        .doc("delete removes old segments, compact keeps the last record of each key; both may be given."),
    list("log.dir", "/tmp/kafka-logs").doc("The log directories, where log.dirs is not set."),
    long("log.dir.failure.timeout.ms", "30000").at_least(1).inactive(DIRECTORIES),
    list("log.dirs", NULL).doc(
        "The log directories. A new one begins with the metadata log in the first; replicas go where there are fewest.",
    ),
    long("log.flush.interval.messages", "9223372036854775807")
        .at_least(1)
        .cluster_wide()
        .doc("Sync a partition after this many records; at 1, a write is acknowledged once it is synced."),
    long("log.flush.interval.ms", NULL)
        .cluster_wide()
        .doc("Sync a partition when its oldest record that was not synced is this old."),
    int("log.flush.offset.checkpoint.interval.ms", "60000")
        .at_least(0)
        .doc("How often the recovery point of each log is written down."),
    long("log.flush.scheduler.interval.ms", "9223372036854775807").doc("The default of log.flush.interval.ms."),
    int("log.flush.start.offset.checkpoint.interval.ms", "60000")
        .at_least(0)
        .doc("How often the start offset of each log is written down."),
    int("log.index.interval.bytes", "4096")
        .at_least(0)
        .cluster_wide()
        .doc("A position is added to the index after this many bytes."),
    int("log.index.size.max.bytes", "10485760")
        .at_least(4)
        .cluster_wide()
        .doc("Largest index file; a segment is closed when its index is full."),
    long("log.initial.task.delay.ms", "30000").at_least(0).inactive(JVM).internal(),
    long("log.local.retention.bytes", "-2").at_least(-2).cluster_wide().inactive(TIERING),
    long("log.local.retention.ms", "-2").at_least(-2).cluster_wide().inactive(TIERING),
    long("log.message.timestamp.after.max.ms", "3600000")
        .at_least(0)
        .cluster_wide()
        .doc("How far a timestamp may lie ahead of the broker's clock."),
    long("log.message.timestamp.before.max.ms", "9223372036854775807")
        .at_least(0)
        .cluster_wide()
        .doc("How far a timestamp may lie before the broker's clock."),
    string("log.message.timestamp.type", "CreateTime")
        .valid(Valid::OneOf(TIMESTAMP_TYPES))
        .cluster_wide()
        .doc("CreateTime keeps the timestamps of producers, LogAppendTime replaces them."),
    boolean("log.preallocate", "false").cluster_wide().doc("Reserve the whole size of a segment when it is created."),
    long("log.retention.bytes", "-1")
        .cluster_wide()
        .doc("The oldest segments are deleted while a partition is larger than this; -1 is no limit."),
    long("log.retention.check.interval.ms", "300000").at_least(1).doc("How often segments are checked for deletion."),
    int("log.retention.hours", "168").doc("As log.retention.minutes, in hours; used where neither is set."),
    int("log.retention.minutes", NULL).doc("As log.retention.ms, in minutes; used where that is not set."),
    long("log.retention.ms", NULL)
        .cluster_wide()
        .doc("Closed segments older than this are deleted; -1 keeps them for ever."),
    int("log.roll.hours", "168").at_least(1).doc("As log.roll.ms, in hours; used where that is not set."),
    int("log.roll.jitter.hours", "0").at_least(0).doc("As log.roll.jitter.ms, in hours; used where that is not set."),
    long("log.roll.jitter.ms", NULL)
        .cluster_wide()
        .doc("The age is shortened by a random time up to this, so that segments do not all roll at once."),
    long("log.roll.ms", NULL).cluster_wide().doc("A segment is closed at this age, even if it is not full."),
    int("log.segment.bytes", "1073741824")
        .at_least(1_048_576)
        .cluster_wide()
        .doc("A segment of a log is closed at this size."),
    long("log.segment.delete.delay.ms", "60000")
        .at_least(0)
        .cluster_wide()
        .doc("A deleted file stays on disk for this long, for readers that still use it."),
    int("num.recovery.threads.per.data.dir", "2")
        .at_least(1)
        .cluster_wide()
        .doc("How many partitions are recovered or closed at once."),
];
