//! The broker of tests, tested by the client.

use std::time::{Duration, Instant};
use vltava_client::{Client, Error, NewTopic, Offset, OffsetAt, PartitionIndex, ProducerOptions, ProducerRecord};
use vltava_testing::{Fault, Operation, Options, TestBroker, TestCluster};

fn run<F: Future<Output = Result<(), Error>>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    assert_eq!(runtime.block_on(test), Ok(()));
}

async fn create(client: &Client, topic: &str, replicas: i16) -> Result<(), Error> {
    let topic =
        NewTopic { name: topic.into(), partitions: Some(1), replication_factor: Some(replicas), ..NewTopic::default() };
    client.create_topic(topic).await.map(drop)
}

async fn send(client: &Client, topic: &str, value: &'static str) -> Result<i64, Error> {
    let producer = client.producer(ProducerOptions::default());
    let message = ProducerRecord { topic: topic.into(), value: Some(value.into()), ..ProducerRecord::default() };
    let place = producer.send(message).await?.await?;
    producer.close().await;
    Ok(place.offset.expect("acks of all tell the offset").0)
}

#[test]
fn starts_at_once_serves_and_remembers() {
    let begun = Instant::now();
    let mut broker = TestBroker::start();
    let taken = begun.elapsed();
    // It takes a few milliseconds; a machine that builds beside it may need more.
    assert!(taken < Duration::from_millis(500), "started in {taken:?}");
    run(async {
        let client = Client::connect(&broker.bootstrap_servers()).await?;
        create(&client, "rivers", 1).await?;
        assert_eq!(send(&client, "rivers", "Vltava").await?, 0);
        broker.kill();
        broker.restart();
        assert_eq!(send(&client, "rivers", "Elbe").await?, 1);
        broker.stop();
        broker.restart();
        assert_eq!(send(&client, "rivers", "Oder").await?, 2);
        Ok(())
    });
}

#[test]
fn power_loss_takes_what_was_not_synced_and_no_more() {
    let mut broker = TestBroker::start();
    run(async {
        let client = Client::connect(&broker.bootstrap_servers()).await?;
        let synced = NewTopic { configs: vec![("flush.messages".into(), "1".into())], ..NewTopic::default() };
        client.create_topic(NewTopic { name: "safe".into(), partitions: Some(1), ..synced }).await?;
        assert_eq!(send(&client, "safe", "kept").await?, 0);
        broker.lose_power();
        broker.restart();
        assert_eq!(send(&client, "safe", "next").await?, 1);
        Ok(())
    });
}

#[test]
fn a_setting_that_is_unknown_is_named() {
    let refused = std::panic::catch_unwind(|| Options::new().set("num.partition", "3").start());
    let words = refused.expect_err("it must not start").downcast::<String>().expect("words");
    assert!(words.contains("num.partitions"), "{words}");
}

#[test]
fn time_passes_when_it_is_told_to() {
    let broker = Options::new().set("log.retention.check.interval.ms", "1000").start();
    run(async {
        let client = Client::connect(&broker.bootstrap_servers()).await?;
        let configs = vec![("retention.ms".into(), "3600000".into()), ("segment.ms".into(), "600000".into())];
        client
            .create_topic(NewTopic { name: "rivers".into(), partitions: Some(1), configs, ..NewTopic::default() })
            .await?;
        send(&client, "rivers", "old").await?;
        let spot = ("rivers".into(), PartitionIndex(0));
        let end = Instant::now() + Duration::from_secs(20);
        broker.clock().advance(Duration::from_secs(7200));
        send(&client, "rivers", "new").await?;
        while client.list_offsets([spot.clone()], OffsetAt::Earliest).await?[&spot] != Some(Offset(1)) {
            assert!(Instant::now() < end, "retention does not see the time pass");
            broker.clock().advance(Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    });
}

#[test]
fn faults_of_disk_and_network_reach_the_client() {
    let broker = TestBroker::start();
    run(async {
        let client = Client::connect(&broker.bootstrap_servers()).await?;
        create(&client, "rivers", 1).await?;
        broker.network().hang_up();
        assert_eq!(send(&client, "rivers", "Vltava").await?, 0);
        broker.network().cut();
        let sent = tokio::time::timeout(Duration::from_millis(300), send(&client, "rivers", "Elbe")).await;
        assert!(sent.is_err(), "nothing comes through: {sent:?}");
        broker.network().heal();
        broker.disk().inject(Fault {
            operation: Operation::Write,
            path: "rivers-0".into(),
            kind: vltava_testing::ErrorKind::Failed,
            after: 0,
            times: 1,
            torn_bytes: 3,
        });
        let producer = client.producer(ProducerOptions { delivery_timeout_ms: 1000, ..ProducerOptions::default() });
        let message =
            ProducerRecord { topic: "rivers".into(), value: Some("lost".into()), ..ProducerRecord::default() };
        assert!(producer.send(message).await?.await.is_err(), "a disk that failed acknowledges nothing");
        Ok(())
    });
}

#[test]
fn a_cluster_survives_a_kill() {
    let mut cluster = TestCluster::start(3, &Options::new());
    run(async {
        let client = Client::connect(&cluster.bootstrap_servers()).await?;
        create(&client, "rivers", 3).await?;
        assert_eq!(send(&client, "rivers", "Vltava").await?, 0);
        cluster.brokers[0].kill();
        assert_eq!(send(&client, "rivers", "Elbe").await?, 1);
        cluster.brokers[0].restart();
        cluster.wait_until_whole();
        cluster.brokers[1].kill();
        assert_eq!(send(&client, "rivers", "Oder").await?, 2);
        Ok(())
    });
}
