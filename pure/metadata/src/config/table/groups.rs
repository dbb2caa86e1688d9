//! Broker configurations of the coordinators of groups and of their offsets.

use super::super::definition::{Definition, Valid, int, list, long, short, string};
use super::{COORDINATOR_BATCHES, GROUP_PROTOCOLS, THREADS};

pub const TABLE: &[Definition] = &[
    int("group.consumer.assignment.interval.ms", "1000").at_least(0).cluster_wide().inactive(GROUP_PROTOCOLS),
    list("group.consumer.assignors", "uniform,range").inactive(GROUP_PROTOCOLS),
    int("group.consumer.heartbeat.interval.ms", "5000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.consumer.max.assignment.interval.ms", "15000").at_least(0).inactive(GROUP_PROTOCOLS),
    int("group.consumer.max.heartbeat.interval.ms", "15000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.consumer.max.session.timeout.ms", "60000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.consumer.max.size", "2147483647").at_least(1).inactive(GROUP_PROTOCOLS),
    string("group.consumer.migration.policy", "bidirectional")
        .valid(Valid::OneOfIgnoringCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]))
        .inactive(GROUP_PROTOCOLS),
    int("group.consumer.min.assignment.interval.ms", "0").at_least(0).inactive(GROUP_PROTOCOLS),
    int("group.consumer.min.heartbeat.interval.ms", "5000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.consumer.min.session.timeout.ms", "45000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.consumer.regex.refresh.interval.ms", "600000").at_least(10_000).inactive(GROUP_PROTOCOLS).internal(),
    int("group.consumer.session.timeout.ms", "45000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.coordinator.append.linger.ms", "-1").at_least(-1).inactive(COORDINATOR_BATCHES),
    int("group.coordinator.background.threads", "2").at_least(1).inactive(THREADS),
    int("group.coordinator.cached.buffer.max.bytes", "1048588")
        .at_least(524_288)
        .cluster_wide()
        .inactive(COORDINATOR_BATCHES),
    list("group.coordinator.rebalance.protocols", "classic,consumer,streams")
        .valid(Valid::ListOf(&["consumer", "classic", "share", "streams"]))
        .inactive(GROUP_PROTOCOLS),
    int("group.coordinator.threads", "4").at_least(1).inactive(THREADS),
    int("group.initial.rebalance.delay.ms", "3000")
        .doc("An empty group waits this long for more members before its first rebalance."),
    int("group.max.session.timeout.ms", "1800000").doc("Longest session timeout that a member may ask for."),
    int("group.max.size", "2147483647").at_least(1).doc("Most members of a group."),
    int("group.min.session.timeout.ms", "6000").doc("Shortest session timeout that a member may ask for."),
    int("group.share.assignment.interval.ms", "1000").at_least(0).cluster_wide().inactive(GROUP_PROTOCOLS),
    list("group.share.assignors", "simple").inactive(GROUP_PROTOCOLS),
    int("group.share.delivery.count.limit", "5").between(2, 10).inactive(GROUP_PROTOCOLS),
    int("group.share.heartbeat.interval.ms", "5000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.share.initialize.retry.interval.ms", "30000").at_least(1).inactive(GROUP_PROTOCOLS).internal(),
    int("group.share.max.assignment.interval.ms", "15000").at_least(0).inactive(GROUP_PROTOCOLS),
    int("group.share.max.delivery.count.limit", "10").between(5, 25).inactive(GROUP_PROTOCOLS),
    int("group.share.max.heartbeat.interval.ms", "15000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.share.max.partition.max.record.locks", "4000").between(2000, 10_000).inactive(GROUP_PROTOCOLS),
    int("group.share.max.record.lock.duration.ms", "60000").between(30_000, 3_600_000).inactive(GROUP_PROTOCOLS),
    int("group.share.max.session.timeout.ms", "60000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.share.max.share.sessions", "2000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.share.max.size", "200").between(1, 1000).inactive(GROUP_PROTOCOLS),
    int("group.share.min.assignment.interval.ms", "0").at_least(0).inactive(GROUP_PROTOCOLS),
    int("group.share.min.delivery.count.limit", "2").between(2, 5).inactive(GROUP_PROTOCOLS),
    int("group.share.min.heartbeat.interval.ms", "5000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.share.min.partition.max.record.locks", "100").between(100, 2000).inactive(GROUP_PROTOCOLS),
    int("group.share.min.record.lock.duration.ms", "15000").between(1000, 30_000).inactive(GROUP_PROTOCOLS),
    int("group.share.min.session.timeout.ms", "45000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.share.partition.max.record.locks", "2000").between(100, 10_000).inactive(GROUP_PROTOCOLS),
    string("group.share.persister.class.name", "org.apache.kafka.server.share.persister.DefaultStatePersister")
        .inactive(GROUP_PROTOCOLS)
        .internal(),
    int("group.share.record.lock.duration.ms", "30000").between(1000, 3_600_000).inactive(GROUP_PROTOCOLS),
    int("group.share.session.timeout.ms", "45000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.streams.assignment.interval.ms", "1000").at_least(0).cluster_wide().inactive(GROUP_PROTOCOLS),
    int("group.streams.heartbeat.interval.ms", "5000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.streams.initial.rebalance.delay.ms", "3000").at_least(0).inactive(GROUP_PROTOCOLS),
    int("group.streams.max.assignment.interval.ms", "15000").at_least(0).inactive(GROUP_PROTOCOLS),
    int("group.streams.max.heartbeat.interval.ms", "15000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.streams.max.session.timeout.ms", "60000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.streams.max.size", "2147483647").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.streams.max.standby.replicas", "2").at_least(0).inactive(GROUP_PROTOCOLS),
    int("group.streams.min.assignment.interval.ms", "0").at_least(0).inactive(GROUP_PROTOCOLS),
    int("group.streams.min.heartbeat.interval.ms", "5000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.streams.min.session.timeout.ms", "45000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("group.streams.num.standby.replicas", "0").at_least(0).inactive(GROUP_PROTOCOLS),
    int("group.streams.session.timeout.ms", "45000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("offset.metadata.max.bytes", "4096").doc("Longest metadata text that may be committed with an offset."),
    int("offsets.commit.timeout.ms", "5000").at_least(1).doc("A commit that is not stored in this time fails."),
    int("offsets.load.buffer.size", "5242880").at_least(1).inactive(COORDINATOR_BATCHES),
    long("offsets.retention.check.interval.ms", "600000").at_least(1).doc("How often expired offsets are looked for."),
    int("offsets.retention.minutes", "10080")
        .at_least(1)
        .doc("Offsets of a group without members are forgotten after this time."),
    int("offsets.topic.compression.codec", "0").doc("The codec of the topic of offsets, by its number."),
    int("offsets.topic.num.partitions", "50")
        .at_least(1)
        .doc("Partitions of the topic of offsets; never change it once that topic exists."),
    short("offsets.topic.replication.factor", "3")
        .at_least(1)
        .doc("Replicas of the topic of offsets; at most as many as there are brokers when it is created."),
    int("offsets.topic.segment.bytes", "104857600").at_least(1).doc("Size of a segment of the topic of offsets."),
    int("share.coordinator.append.linger.ms", "-1").at_least(-1).inactive(GROUP_PROTOCOLS),
    int("share.coordinator.cached.buffer.max.bytes", "1048588")
        .at_least(524_288)
        .cluster_wide()
        .inactive(GROUP_PROTOCOLS),
    int("share.coordinator.cold.partition.snapshot.interval.ms", "300000")
        .at_least(1)
        .inactive(GROUP_PROTOCOLS)
        .internal(),
    int("share.coordinator.load.buffer.size", "5242880").at_least(1).inactive(GROUP_PROTOCOLS),
    int("share.coordinator.snapshot.update.records.per.snapshot", "500").between(0, 500).inactive(GROUP_PROTOCOLS),
    int("share.coordinator.state.topic.compression.codec", "0").inactive(GROUP_PROTOCOLS),
    short("share.coordinator.state.topic.min.isr", "2").at_least(1).inactive(GROUP_PROTOCOLS),
    int("share.coordinator.state.topic.num.partitions", "50").at_least(1).inactive(GROUP_PROTOCOLS),
    int("share.coordinator.state.topic.prune.interval.ms", "300000").at_least(1).inactive(GROUP_PROTOCOLS).internal(),
    short("share.coordinator.state.topic.replication.factor", "3").at_least(1).inactive(GROUP_PROTOCOLS),
    int("share.coordinator.state.topic.segment.bytes", "104857600").at_least(1).inactive(GROUP_PROTOCOLS),
    int("share.coordinator.threads", "1").at_least(1).inactive(THREADS),
    int("share.coordinator.write.timeout.ms", "5000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("share.fetch.purgatory.purge.interval.requests", "1000").inactive(GROUP_PROTOCOLS),
];
