//! Broker configurations of the quorum, of replication and of transactions.

use super::super::definition::{Definition, NULL, Valid, boolean, int, list, long, short, string};
use super::{DIRECTORIES, QUORUM, QUOTAS, REPLICATION, THREADS, TRANSACTIONS};
use types::limits::RATE_SAMPLES_MAX;

pub const TABLE: &[Definition] = &[
    int("add.partitions.to.txn.retry.backoff.max.ms", "100").at_least(0).inactive(TRANSACTIONS),
    int("add.partitions.to.txn.retry.backoff.ms", "20").at_least(1).inactive(TRANSACTIONS),
    int("alter.log.dirs.replication.quota.window.num", "11")
        .between(1, RATE_SAMPLES_MAX)
        .doc("Over how many samples the rate of moves between log directories is averaged."),
    int("alter.log.dirs.replication.quota.window.size.seconds", "1")
        .at_least(1)
        .doc("How long a sample of the rate of moves between log directories is."),
    boolean("auto.leader.rebalance.enable", "true")
        .doc("Whether leaderships go back to preferred leaders by themselves."),
    int("broker.heartbeat.interval.ms", "2000").doc("How often a broker tells the controller that it lives."),
    int("broker.session.timeout.ms", "9000").doc("How long a broker may be silent before it is fenced."),
    boolean("controlled.shutdown.enable", "true")
        .doc("Whether a broker that stops has its leaderships moved away first."),
    list("controller.listener.names", NULL).doc("Names of listeners that are for other nodes and no clients."),
    long("controller.performance.always.log.threshold.ms", "2000").at_least(0).inactive(QUORUM).internal(),
    long("controller.performance.sample.period.ms", "60000").at_least(100).inactive(QUORUM).internal(),
    int("controller.quorum.append.linger.ms", "25").at_least(0).inactive(QUORUM),
    boolean("controller.quorum.auto.join.enable", "false")
        .doc("Whether a new node that joins asks to vote; while it is not set, it does until three nodes vote."),
    list("controller.quorum.bootstrap.servers", "")
        .doc("Nodes of a running cluster that this node is to join, as host:port."),
    int("controller.quorum.election.backoff.max.ms", "1000")
        .at_least(0)
        .doc("The longest wait before a lost election is tried again."),
    int("controller.quorum.election.timeout.ms", "1000")
        .at_least(0)
        .doc("How long a node waits for votes or for a leader."),
    int("controller.quorum.fetch.max.bytes", "1048576")
        .at_least(1)
        .doc("Most bytes of metadata that are fetched at once."),
    int("controller.quorum.fetch.snapshot.max.bytes", "1048576").at_least(1).inactive(QUORUM),
    int("controller.quorum.fetch.timeout.ms", "2000")
        .at_least(0)
        .doc("How long the leader of the quorum may be silent before another is elected."),
    int("controller.quorum.request.timeout.ms", "2000")
        .at_least(0)
        .doc("How long a node of the quorum waits for an answer."),
    int("controller.quorum.retry.backoff.ms", "20").at_least(0).doc("How soon a node of the quorum is asked again."),
    list("controller.quorum.voters", "").doc("The nodes that a new cluster begins with, as id@host:port."),
    int("controller.quota.window.num", "11").at_least(1).inactive(QUOTAS),
    int("controller.quota.window.size.seconds", "1").at_least(1).inactive(QUOTAS),
    int("controller.socket.timeout.ms", "30000").inactive(QUORUM),
    list("cordoned.log.dirs", "").per_broker().inactive(DIRECTORIES),
    long("follower.replication.throttled.rate", "9223372036854775807")
        .at_least(0)
        .cluster_wide()
        .doc("Most bytes in a second that this broker copies into its replicas that are throttled as followers."),
    int("initial.broker.registration.timeout.ms", "60000").inactive(QUORUM),
    string("inter.broker.listener.name", NULL).inactive(REPLICATION),
    long("internal.metadata.delete.delay.millis", "60000").inactive(QUORUM).internal(),
    int("internal.metadata.log.segment.bytes", NULL).inactive(QUORUM).internal(),
    int("internal.metadata.max.batch.size.in.bytes", "8388608").inactive(QUORUM).internal(),
    long("leader.imbalance.check.interval.seconds", "300")
        .at_least(1)
        .doc("How often preferred leaders are looked after."),
    long("leader.replication.throttled.rate", "9223372036854775807")
        .at_least(0)
        .cluster_wide()
        .doc("Most bytes in a second that this broker sends from its replicas that are throttled as leaders."),
    string("metadata.log.dir", NULL).inactive(QUORUM),
    long("metadata.log.max.record.bytes.between.snapshots", "20971520")
        .at_least(1)
        .doc("Bytes of the metadata log after which a snapshot is written."),
    long("metadata.log.max.snapshot.interval.ms", "3600000").at_least(0).inactive(QUORUM),
    int("metadata.log.segment.bytes", "1073741824")
        .at_least(8_388_608)
        .doc("The size of a segment of the metadata log."),
    long("metadata.log.segment.ms", "604800000").inactive(QUORUM),
    int("metadata.max.idle.interval.ms", "500").at_least(0).inactive(QUORUM),
    long("metadata.max.retention.bytes", "104857600").inactive(QUORUM),
    long("metadata.max.retention.ms", "604800000").inactive(QUORUM),
    int("num.replica.alter.log.dirs.threads", NULL).inactive(THREADS),
    int("num.replica.fetchers", "1").at_least(1).cluster_wide().inactive(REPLICATION),
    list("process.roles", NULL).valid(Valid::ListOf(&["broker", "controller"])).inactive(QUORUM),
    long("replica.alter.log.dirs.io.max.bytes.per.second", "9223372036854775807")
        .at_least(0)
        .cluster_wide()
        .doc("Most bytes in a second that replicas copy which move between log directories; each core has its part."),
    int("replica.fetch.backoff.ms", "1000")
        .at_least(0)
        .doc("How soon a leader that does not answer is asked again; 200 ms at the most."),
    int("replica.fetch.max.bytes", "1048576")
        .at_least(0)
        .doc("Most bytes of one partition that a follower fetches at once."),
    int("replica.fetch.min.bytes", "1").doc("Fewest bytes that a follower's fetch waits for."),
    int("replica.fetch.response.max.bytes", "10485760").at_least(0).doc("Most bytes that a follower fetches at once."),
    int("replica.fetch.wait.max.ms", "500").doc("How long a follower's fetch may wait for records."),
    long("replica.high.watermark.checkpoint.interval.ms", "5000").inactive(REPLICATION),
    long("replica.lag.time.max.ms", "30000").doc("How long a follower may lag before it is out of sync."),
    string("replica.selector.class", NULL)
        .doc("With RackAwareReplicaSelector consumers that tell their rack are sent to a replica in it."),
    int("replica.socket.receive.buffer.bytes", "65536").inactive(REPLICATION),
    int("replica.socket.timeout.ms", "30000").inactive(REPLICATION),
    int("replication.quota.window.num", "11")
        .between(1, RATE_SAMPLES_MAX)
        .doc("Over how many samples the rate of throttled replication is averaged."),
    int("replication.quota.window.size.seconds", "1")
        .at_least(1)
        .doc("How long a sample of the rate of throttled replication is."),
    int("transaction.abort.timed.out.transaction.cleanup.interval.ms", "10000").at_least(1).inactive(TRANSACTIONS),
    int("transaction.max.timeout.ms", "900000").at_least(1).inactive(TRANSACTIONS),
    boolean("transaction.partition.verification.enable", "true").cluster_wide().inactive(TRANSACTIONS),
    int("transaction.remove.expired.transaction.cleanup.interval.ms", "3600000").at_least(1).inactive(TRANSACTIONS),
    int("transaction.state.log.load.buffer.size", "5242880").at_least(1).inactive(TRANSACTIONS),
    int("transaction.state.log.min.isr", "2").at_least(1).inactive(TRANSACTIONS),
    int("transaction.state.log.num.partitions", "50").at_least(1).inactive(TRANSACTIONS),
    short("transaction.state.log.replication.factor", "3").at_least(1).inactive(TRANSACTIONS),
    int("transaction.state.log.segment.bytes", "104857600").at_least(1).inactive(TRANSACTIONS),
    boolean("transaction.two.phase.commit.enable", "false").inactive(TRANSACTIONS),
    int("transactional.id.expiration.ms", "604800000").at_least(1).inactive(TRANSACTIONS),
    boolean("unclean.leader.election.enable", "false")
        .cluster_wide()
        .doc("Whether a replica that may lack committed records may lead where no other can."),
    long("unclean.leader.election.interval.ms", "300000").at_least(1).inactive(REPLICATION).internal(),
];
