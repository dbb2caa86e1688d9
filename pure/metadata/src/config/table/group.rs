//! Configurations of one group.

use super::super::definition::{Definition, Valid, boolean, int, string};
use super::GROUP_PROTOCOLS;

pub const TABLE: &[Definition] = &[
    int("consumer.assignment.interval.ms", "1000").at_least(0).inactive(GROUP_PROTOCOLS),
    int("consumer.heartbeat.interval.ms", "5000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("consumer.session.timeout.ms", "45000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("share.assignment.interval.ms", "1000").at_least(0).inactive(GROUP_PROTOCOLS),
    string("share.auto.offset.reset", "latest").valid(Valid::OffsetReset).inactive(GROUP_PROTOCOLS),
    int("share.delivery.count.limit", "5").at_least(2).inactive(GROUP_PROTOCOLS),
    int("share.heartbeat.interval.ms", "5000").at_least(1).inactive(GROUP_PROTOCOLS),
    string("share.isolation.level", "read_uncommitted")
        .valid(Valid::OneOf(&["read_committed", "read_uncommitted"]))
        .inactive(GROUP_PROTOCOLS),
    int("share.partition.max.record.locks", "2000").at_least(100).inactive(GROUP_PROTOCOLS),
    int("share.record.lock.duration.ms", "30000").at_least(1000).inactive(GROUP_PROTOCOLS),
    boolean("share.renew.acknowledge.enable", "true").inactive(GROUP_PROTOCOLS),
    int("share.session.timeout.ms", "45000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("streams.assignment.interval.ms", "1000").at_least(0).inactive(GROUP_PROTOCOLS),
    int("streams.heartbeat.interval.ms", "5000").at_least(1).inactive(GROUP_PROTOCOLS),
    int("streams.initial.rebalance.delay.ms", "3000").at_least(0).inactive(GROUP_PROTOCOLS),
    int("streams.num.standby.replicas", "0").at_least(0).inactive(GROUP_PROTOCOLS),
    int("streams.session.timeout.ms", "45000").at_least(1).inactive(GROUP_PROTOCOLS),
];
