//! Transactions, where the cluster has them: in the version that it speaks, and in the others that it could.

use crate::harness::*;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use vltava_client::{
    Client, ConsumerOptions, Error, ErrorCode, ErrorGroup, FeatureChange, GroupMetadata, Offset, OffsetAt, Producer,
    ProducerConfig,
};

fn producer(bootstrap: &str, id: &str) -> Result<Producer, Error> {
    let id = format!("{}-{id}", topic());
    Producer::new(ProducerConfig::from_map([("bootstrap.servers", bootstrap), ("transactional.id", &id)])?)
}

/// Whether a transaction is open in a partition.
async fn is_open(client: &Client, partition: i32) -> Result<bool, Error> {
    let each = client.producers([spot(partition)]).await?.remove(0).1?;
    Ok(each.iter().any(|producer| producer.transaction_start.is_some()))
}

/// Coordinators answer before all partitions know how a transaction has ended.
async fn closes(client: &Client, partition: i32) -> Result<(), Error> {
    let end = Instant::now() + PATIENCE;
    while is_open(client, partition).await? {
        assert!(Instant::now() < end, "the transaction in {partition} does not end");
    }
    Ok(())
}

/// What is committed stays, with its offsets; what is aborted does not.
async fn commits_and_aborts(client: &Client, bootstrap: &str) -> Result<(), Error> {
    let producer = producer(bootstrap, "one")?;
    let early = producer.begin_transaction().expect_err("it was not initialized");
    assert_eq!(early.group(), Some(ErrorGroup::Misuse), "{early}");
    producer.init_transactions().await?;
    let outside = producer.send(record(0, "x")).await.expect_err("no transaction is open");
    assert!(outside.to_string().contains("begin one before sending"), "{outside}");
    let group = GroupMetadata { group_id: readers(), generation: -1, member_id: "".into(), instance_id: None };
    for (offset, commits) in [(5, true), (6, false), (7, true)] {
        producer.begin_transaction()?;
        let stored = producer.send(record(0, "a")).await?;
        producer.send(record(1, "b")).await?;
        let offsets = BTreeMap::from([(spot(0), Offset(offset).into())]);
        producer.send_offsets_to_transaction(offsets, group.clone()).await?;
        producer.flush().await;
        assert!(stored.await?.offset.is_some());
        assert!(is_open(client, 0).await? && is_open(client, 1).await?);
        if commits { producer.commit_transaction().await? } else { producer.abort_transaction().await? }
    }
    let again = producer.commit_transaction().await.expect_err("none is open");
    assert_eq!(again.group(), Some(ErrorGroup::Misuse), "{again}");
    // An empty one ends as well.
    producer.begin_transaction()?;
    producer.commit_transaction().await?;
    producer.close().await;
    let end = Instant::now() + PATIENCE;
    while client.committed_offsets(readers()).await? != BTreeMap::from([(spot(0), Offset(7))]) {
        assert!(Instant::now() < end, "{:?}", client.committed_offsets(readers()).await?);
    }
    Ok(())
}

/// Whoever reads what is committed waits for what is open, and passes over what was aborted.
async fn isolates(client: &Client, bootstrap: &str) -> Result<(), Error> {
    let end = client.list_offsets([spot(0)], OffsetAt::Latest).await?[&spot(0)];
    let consumer = client.consumer(ConsumerOptions { read_committed: true, ..ConsumerOptions::default() });
    consumer.assign([(spot(0), end)]).await?;
    let producer = producer(bootstrap, "three")?;
    producer.init_transactions().await?;
    for (value, commits) in [("aborted", false), ("kept", true)] {
        producer.begin_transaction()?;
        producer.send(record(0, value)).await?;
        producer.flush().await;
        assert!(consumer.poll(Duration::from_millis(200)).await?.is_empty(), "it is open");
        if commits { producer.commit_transaction().await? } else { producer.abort_transaction().await? }
    }
    let values: Vec<_> = read(&consumer, 1).await?.into_iter().filter_map(|record| record.value).collect();
    assert_eq!(values, ["kept"]);
    producer.close().await;
    Ok(())
}

/// A commit goes on though its future is dropped, and is told of when asked for again.
async fn survives_dropped_futures(client: &Client, bootstrap: &str) -> Result<(), Error> {
    let producer = producer(bootstrap, "two")?;
    producer.init_transactions().await?;
    for _ in 0..5 {
        producer.begin_transaction()?;
        let sent = producer.send(record(1, "c")).await?;
        {
            let commit = pin!(producer.commit_transaction());
            assert!(commit.poll(&mut Context::from_waker(Waker::noop())).is_pending(), "nobody can know yet");
        }
        assert!(sent.await?.offset.is_some());
        producer.commit_transaction().await?;
    }
    // What is open is aborted at the end.
    producer.begin_transaction()?;
    producer.send(record(1, "d")).await?.await?;
    assert!(is_open(client, 1).await?);
    producer.close().await;
    closes(client, 1).await?;
    Ok(())
}

/// The one that comes later fences the one before, whose open transaction is aborted.
async fn fences(client: &Client, bootstrap: &str) -> Result<(), Error> {
    let (first, second) = (producer(bootstrap, "three")?, producer(bootstrap, "three")?);
    first.init_transactions().await?;
    first.begin_transaction()?;
    first.send(record(0, "e")).await?.await?;
    second.init_transactions().await?;
    second.begin_transaction()?;
    let sent = first.send(record(0, "f")).await?;
    let fenced = first.commit_transaction().await.expect_err("it is fenced");
    // The leader of a partition knows an old epoch; that it is fenced is for the coordinator to say.
    if fenced.group() == Some(ErrorGroup::Abortable) {
        assert_eq!(sent.await.expect_err("it is fenced").code(), Some(ErrorCode::INVALID_PRODUCER_EPOCH));
        let fenced = first.abort_transaction().await.expect_err("it is fenced");
        assert_eq!(fenced.code(), Some(ErrorCode::PRODUCER_FENCED), "{fenced}");
        assert_eq!(fenced.group(), Some(ErrorGroup::ApplicationRecoverable), "{fenced}");
    } else {
        assert_eq!(fenced.group(), Some(ErrorGroup::ApplicationRecoverable), "{fenced}");
    }
    second.send(record(0, "g")).await?.await?;
    second.commit_transaction().await?;
    second.close().await;
    closes(client, 0).await?;
    Ok(())
}

#[test]
fn transactions_are_whole_in_every_version() {
    with_cluster(async |bootstrap| {
        let client = Client::connect(&bootstrap).await?;
        let known = client.features().await?.features.get("transaction.version").copied().unwrap_or_default();
        if known.supported.1 == 0 {
            println!("the cluster has no transactions: nothing is tested");
            return Ok(());
        }
        // Producers that live through a change of the level are tested by the engine.
        for level in [known.level, 1, 2, known.level] {
            let now = client.features().await?.features["transaction.version"].level;
            if level != now {
                let change = if level > now { FeatureChange::Upgrade } else { FeatureChange::SafeDowngrade };
                client.update_features(vec![("transaction.version".into(), level)], change, false).await?;
            }
            commits_and_aborts(&client, &bootstrap).await?;
            survives_dropped_futures(&client, &bootstrap).await?;
            fences(&client, &bootstrap).await?;
            client.delete_group(readers()).await?;
        }
        isolates(&client, &bootstrap).await?;
        let consumer = client.consumer(ConsumerOptions::default());
        consumer.assign([(spot(0), Some(Offset(0)))]).await?;
        let values: Vec<_> = read(&consumer, 4).await?.into_iter().filter_map(|record| record.value).collect();
        assert_eq!(values[..4], ["a", "a", "a", "e"]);
        Ok(())
    });
}
