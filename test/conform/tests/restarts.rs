//! What must hold across a restart of the broker, clean or not. Needs brokers of our own.

use conform_suite::broker::Broker;
use conform_suite::case::check_on;
use conform_suite::{crash, roundtrip};

#[test]
#[ignore = "needs foreign clients: `cargo xtask test` runs it"]
fn all_is_kept_over_a_clean_stop() {
    let mut broker = Broker::start(&[]);
    check_on(&broker, "librdkafka/restart.py", &["before"]);
    broker.stop();
    broker.again();
    check_on(&broker, "librdkafka/restart.py", &["after"]);
}

#[test]
#[ignore = "needs foreign clients: `cargo xtask test` runs it"]
fn all_is_kept_over_a_kill() {
    let mut broker = Broker::start(&[]);
    check_on(&broker, "librdkafka/restart.py", &["before"]);
    broker.kill();
    broker.again();
    check_on(&broker, "librdkafka/restart.py", &["after"]);
}

#[test]
#[ignore = "needs foreign clients: `cargo xtask test` runs it"]
fn all_is_kept_under_group_commit() {
    let mut broker = Broker::start(&["log.flush.interval.messages=1"]);
    check_on(&broker, "librdkafka/restart.py", &["before"]);
    broker.kill();
    broker.again();
    check_on(&broker, "librdkafka/restart.py", &["after"]);
}

/// A short crash loop; `cargo xtask crash` runs the long one.
#[test]
#[ignore = "needs foreign clients: `cargo xtask test` runs it"]
fn a_few_crashes_lose_nothing() {
    conform_suite::foreign::install().expect("the clients can be installed");
    crash::run(5, 1).expect("nothing is lost");
}

/// A short round trip; `cargo xtask roundtrip` runs the long one.
#[test]
#[ignore = "needs foreign clients: `cargo xtask test` runs it"]
fn lines_come_back() {
    conform_suite::foreign::install().expect("the clients can be installed");
    roundtrip::run(50_000, 1).expect("the lines come back");
}

/// Kafka's own tool reads our segments, indexes and group offsets.
#[test]
#[ignore = "needs foreign clients: `cargo xtask test` runs it"]
fn kafka_reads_the_files() {
    let mut broker = Broker::start(&[]);
    check_on(&broker, "librdkafka/restart.py", &["before"]);
    broker.stop();
    check_on(&broker, "java/files.sh", &[&broker.data().display().to_string()]);
}
