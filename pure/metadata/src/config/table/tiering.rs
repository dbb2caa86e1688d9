//! Broker configurations of tiered storage.

use super::super::definition::{Definition, NULL, Valid, boolean, double, int, long, string};
use super::TIERING;

pub const TABLE: &[Definition] = &[
    boolean("follower.fetch.last.tiered.offset.enable", "false").cluster_wide().inactive(TIERING),
    int("remote.fetch.max.wait.ms", "500").at_least(1).cluster_wide().inactive(TIERING),
    long("remote.list.offsets.request.timeout.ms", "30000").at_least(1).cluster_wide().inactive(TIERING),
    long("remote.log.index.file.cache.total.size.bytes", "1073741824").at_least(1).cluster_wide().inactive(TIERING),
    long("remote.log.index.file.cache.ttl.ms", "900000").at_least(-1).inactive(TIERING).internal(),
    int("remote.log.manager.copier.thread.pool.size", "10").at_least(1).cluster_wide().inactive(TIERING),
    long("remote.log.manager.copy.max.bytes.per.second", "9223372036854775807")
        .at_least(1)
        .cluster_wide()
        .inactive(TIERING),
    int("remote.log.manager.copy.quota.window.num", "11").at_least(1).inactive(TIERING),
    int("remote.log.manager.copy.quota.window.size.seconds", "1").at_least(1).inactive(TIERING),
    int("remote.log.manager.expiration.thread.pool.size", "10").at_least(1).cluster_wide().inactive(TIERING),
    long("remote.log.manager.fetch.max.bytes.per.second", "9223372036854775807")
        .at_least(1)
        .cluster_wide()
        .inactive(TIERING),
    int("remote.log.manager.fetch.quota.window.num", "11").at_least(1).inactive(TIERING),
    int("remote.log.manager.fetch.quota.window.size.seconds", "1").at_least(1).inactive(TIERING),
    int("remote.log.manager.follower.thread.pool.size", "2").at_least(1).cluster_wide().inactive(TIERING),
    long("remote.log.manager.task.interval.ms", "30000").at_least(1).inactive(TIERING),
    long("remote.log.manager.task.retry.backoff.max.ms", "30000").at_least(1).inactive(TIERING).internal(),
    long("remote.log.manager.task.retry.backoff.ms", "500").at_least(1).inactive(TIERING).internal(),
    double("remote.log.manager.task.retry.jitter", "0.2").valid(Valid::Fraction(0.0, 0.5)).inactive(TIERING).internal(),
    int("remote.log.manager.thread.pool.size", "2").at_least(1).inactive(TIERING),
    int("remote.log.metadata.custom.metadata.max.bytes", "128").at_least(0).inactive(TIERING),
    string(
        "remote.log.metadata.manager.class.name",
        "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager",
    )
    .valid(Valid::NotEmpty)
    .inactive(TIERING),
    string("remote.log.metadata.manager.class.path", NULL).inactive(TIERING),
    string("remote.log.metadata.manager.impl.prefix", "rlmm.config.").valid(Valid::NotEmpty).inactive(TIERING),
    string("remote.log.metadata.manager.listener.name", NULL).valid(Valid::NotEmpty).inactive(TIERING),
    int("remote.log.reader.max.pending.tasks", "100").at_least(1).inactive(TIERING),
    int("remote.log.reader.threads", "10").at_least(1).cluster_wide().inactive(TIERING),
    string("remote.log.storage.manager.class.name", NULL).valid(Valid::NotEmpty).inactive(TIERING),
    string("remote.log.storage.manager.class.path", NULL).inactive(TIERING),
    string("remote.log.storage.manager.impl.prefix", "rsm.config.").valid(Valid::NotEmpty).inactive(TIERING),
    boolean("remote.log.storage.system.enable", "false").inactive(TIERING),
];
