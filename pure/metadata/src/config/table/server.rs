//! Broker configurations of connections, requests and topics.

use super::super::definition::{Definition, NULL, Valid, boolean, class, int, list, long, string};
use super::{CODECS, JVM, PURGATORY, QUEUE, QUOTAS, REPLICATION, SECURITY, THREADS};

pub const TABLE: &[Definition] = &[
    list("advertised.listeners", NULL).doc(
        "The addresses that clients are told to use; where it is not set, the address that a client already reached.",
    ),
    class("alter.config.policy.class.name", NULL).inactive(JVM),
    boolean("auto.create.topics.enable", "true")
        .doc("Create a topic with the defaults when a client asks for one that does not exist."),
    int("background.threads", "10").at_least(1).cluster_wide().inactive(THREADS),
    int("broker.id", "-1").doc("The old name of node.id."),
    string("broker.rack", NULL).doc("The rack or zone of this broker, told to clients and used to spread replicas."),
    class("client.quota.callback.class", NULL).inactive(QUOTAS),
    int("compression.gzip.level", "-1")
        .valid(Valid::GzipLevel)
        .cluster_wide()
        .doc("The level used when the broker compresses with gzip."),
    int("compression.lz4.level", "9")
        .between(1, 17)
        .cluster_wide()
        .doc("The level used when the broker compresses with lz4."),
    string("compression.type", "producer")
        .valid(Valid::OneOf(CODECS))
        .cluster_wide()
        .doc("The codec that batches are stored with; producer keeps what the producer chose."),
    int("compression.zstd.level", "3")
        .between(-131_072, 22)
        .cluster_wide()
        .doc("The level used when the broker compresses with zstd."),
    list("config.providers", "").cluster_wide().inactive(JVM),
    long("connections.max.idle.ms", "600000").doc("A connection without a request for this long is closed."),
    class("create.topic.policy.class.name", NULL).inactive(JVM),
    int("default.replication.factor", "1").doc("Replicas of a new topic whose creator did not say."),
    int("delete.records.purgatory.purge.interval.requests", "1").inactive(PURGATORY),
    boolean("delete.topic.enable", "true").doc("Allow topics to be deleted."),
    list("early.start.listeners", NULL).inactive(SECURITY),
    int("fetch.max.bytes", "57671680")
        .at_least(1024)
        .doc("Most bytes in one fetch answer, whatever the client allows."),
    int("fetch.purgatory.purge.interval.requests", "1000").inactive(PURGATORY),
    int("kafka.metrics.polling.interval.secs", "10").at_least(1).inactive(JVM),
    list("kafka.metrics.reporters", "").inactive(JVM),
    list("listeners", "PLAINTEXT://:9092")
        .per_broker()
        .doc("The addresses that the broker listens on, as PROTOCOL://host:port; an empty host means all interfaces."),
    int("max.connection.creation.rate", "2147483647").at_least(0).cluster_wide().inactive(QUOTAS),
    int("max.connections", "2147483647").at_least(0).cluster_wide().doc("Most connections of this broker."),
    int("max.connections.per.ip", "2147483647").at_least(0).cluster_wide().doc("Most connections from one address."),
    string("max.connections.per.ip.overrides", "")
        .cluster_wide()
        .doc("Limits for single addresses, as address:count, separated by commas."),
    int("max.incremental.fetch.session.cache.slots", "1000")
        .at_least(0)
        .doc("Most incremental fetch sessions that are remembered."),
    int("max.request.partition.size.limit", "2000")
        .at_least(1)
        .doc("Most partitions in one DescribeTopicPartitions answer."),
    int("message.max.bytes", "1048588")
        .at_least(0)
        .cluster_wide()
        .doc("Largest batch that is accepted, in bytes after compression; the default of max.message.bytes."),
    list("metric.reporters", "org.apache.kafka.common.metrics.JmxReporter").cluster_wide().inactive(JVM),
    int("metrics.num.samples", "2").at_least(1).inactive(JVM),
    string("metrics.recording.level", "INFO").inactive(JVM),
    long("metrics.sample.window.ms", "30000").at_least(1).inactive(JVM),
    int("min.insync.replicas", "1")
        .at_least(1)
        .cluster_wide()
        .doc("How many replicas must have a record before acks=all is answered; below it, such writes are refused."),
    int("node.id", NULL).at_least(0).doc("The number of this node, unique in its cluster."),
    int("num.io.threads", "8").at_least(1).cluster_wide().inactive(THREADS),
    int("num.network.threads", "3").at_least(1).cluster_wide().inactive(THREADS),
    int("num.partitions", "1").at_least(1).doc("Partitions of a new topic whose creator did not say."),
    int("producer.id.expiration.check.interval.ms", "600000")
        .at_least(1)
        .doc("How often expired producers are looked for.")
        .internal(),
    int("producer.id.expiration.ms", "86400000")
        .at_least(1)
        .cluster_wide()
        .doc("An idempotent producer that was silent for this long is forgotten."),
    int("producer.purgatory.purge.interval.requests", "1000").inactive(PURGATORY),
    long("queued.max.request.bytes", "-1")
        .doc("Most bytes of requests that are held in memory; above it, sockets are not read. -1 is no limit."),
    int("queued.max.requests", "500").at_least(1).inactive(QUEUE),
    int("quota.window.num", "11").at_least(1).inactive(QUOTAS),
    int("quota.window.size.seconds", "1").at_least(1).inactive(QUOTAS),
    int("request.timeout.ms", "30000").inactive(REPLICATION),
    long("server.max.startup.time.ms", "9223372036854775807").at_least(0).inactive(JVM).internal(),
    long("socket.connection.setup.timeout.max.ms", "30000").inactive(REPLICATION),
    long("socket.connection.setup.timeout.ms", "10000").inactive(REPLICATION),
    int("socket.listen.backlog.size", "50").at_least(1).doc("How many connections may wait to be accepted."),
    int("socket.receive.buffer.bytes", "102400")
        .doc("Size of the receive buffer of a connection; -1 leaves it to the operating system."),
    int("socket.request.max.bytes", "104857600")
        .at_least(1)
        .doc("Longest request in bytes; a longer one closes the connection before anything is allocated."),
    int("socket.send.buffer.bytes", "102400")
        .doc("Size of the send buffer of a connection; -1 leaves it to the operating system."),
    int("telemetry.max.bytes", "1048576").at_least(1).doc("Largest metrics payload that a client may push."),
    boolean("unstable.api.versions.enable", "false").inactive(JVM).internal(),
    boolean("unstable.feature.versions.enable", "false").inactive(JVM).internal(),
    string("vltava.http.listen", NULL)
        .doc("Where /metrics and /health are served, as host:port, or none; where it is not set, on the host of the first listener at its port plus 10000."),
    string("vltava.log.format", "text").valid(Valid::OneOf(&["text", "json"])).doc("How the broker writes its log."),
];
