//! The consumer: polls, policies, rebalances, listeners, patterns and static members.

use crate::harness::*;
use futures_core::Stream;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vltava_client::{
    Assignor, Client, Consumer, ConsumerConfig, ConsumerOptions, Error, ErrorCode, GroupOptions, Offset,
    PartitionIndex, ProducerRecord, RebalanceListener, Reset, Spot, Timestamp, Told,
};

/// Writes the numbers from 0 on, into both partitions in turn; each number is the record's time, too.
async fn write(client: &Client, count: i32) -> Result<(), Error> {
    let record = |number: i32| {
        let record = ProducerRecord::new(topic(), number.to_string()).partition(number % 2);
        record.timestamp(Timestamp(1_700_000_000_000 + i64::from(number)))
    };
    produce(client, (0..count).map(record).collect()).await.map(|_| ())
}

fn options(assignor: Assignor) -> ConsumerOptions {
    let group = GroupOptions {
        id: readers(),
        auto_commit_ms: None,
        heartbeat_ms: 200,
        session_timeout_ms: 10_000,
        assignors: vec![assignor],
        ..GroupOptions::default()
    };
    ConsumerOptions { group: Some(group), reset: Reset::Earliest, ..ConsumerOptions::default() }
}

/// Polls until `count` records have come: their places.
async fn places(consumer: &Consumer, count: usize) -> Result<Vec<(i32, i64)>, Error> {
    let mut places = Vec::new();
    while places.len() < count {
        let polled = consumer.poll(PATIENCE).await?;
        assert!(!polled.partitions().is_empty(), "nothing comes after {places:?}");
        places.extend(polled.iter().map(|(spot, record)| (spot.1.0, record.offset.0)));
    }
    places.sort_unstable();
    Ok(places)
}

#[test]
fn a_poll_brings_several_partitions_up_to_its_maximum() {
    with_client(async |client| {
        write(&client, 20).await?;
        let options = ConsumerOptions { poll_records_max: 7, reset: Reset::Earliest, ..ConsumerOptions::default() };
        let consumer = client.consumer(options);
        let spots = [spot(0), spot(1)];
        consumer.assign(spots.clone().map(|spot| (spot, None))).await?;
        let mut all = Vec::new();
        while all.len() < 20 {
            let polled = consumer.poll(PATIENCE).await?;
            assert!(polled.count() <= 7, "{} at once", polled.count());
            all.extend(polled.iter().map(|(spot, record)| (spot.1.0, record.offset.0)));
        }
        all.sort_unstable();
        assert_eq!(all, (0..2).flat_map(|partition| (0..10).map(move |at| (partition, at))).collect::<Vec<_>>());
        assert_eq!(consumer.current_lag(&spots[0])?, Some(0));
        assert_eq!(consumer.end_offsets(spots.to_vec()).await?, consumer.positions().await?);
        let time = |ms: i64| Timestamp(1_700_000_000_000 + ms);
        let times = BTreeMap::from([(spots[0].clone(), time(3)), (spots[1].clone(), time(1_000_000))]);
        let found = consumer.offsets_for_times(times).await?;
        assert_eq!(found, BTreeMap::from([(spots[0].clone(), Some(Offset(2))), (spots[1].clone(), None)]));
        consumer.pause([spots[0].clone()])?;
        consumer.seek_to_beginning(spots.clone()).await?;
        assert_eq!(places(&consumer, 10).await?, (0..10).map(|at| (1, at)).collect::<Vec<_>>());
        assert_eq!(consumer.paused()?, [spots[0].clone()].into());
        consumer.resume([spots[0].clone()])?;
        assert_eq!(places(&consumer, 10).await?, (0..10).map(|at| (0, at)).collect::<Vec<_>>());
        consumer.seek_to_end([spots[0].clone()]).await?;
        while consumer.position(&spots[0])?.is_none() {
            assert!(consumer.poll(Duration::from_millis(100)).await?.is_empty());
        }
        assert_eq!(consumer.position(&spots[0])?, Some(Offset(10)));
        let nowhere: Spot = ("nowhere".into(), PartitionIndex(0));
        assert_eq!(consumer.pause([nowhere.clone()]), Err(Error::NotAssigned { spot: nowhere }));
        Ok(())
    });
}

#[test]
fn without_a_policy_errors_say_what_to_do() {
    with_client(async |client| {
        write(&client, 4).await?;
        let consumer = client.consumer(ConsumerOptions { reset: Reset::None, ..ConsumerOptions::default() });
        let spot = spot(0);
        consumer.assign([(spot.clone(), None)]).await?;
        let error = consumer.poll(PATIENCE).await.expect_err("nothing says where to begin");
        assert_eq!(error, Error::NoOffset { spot: spot.clone() });
        consumer.seek(spot.clone(), Offset(9)).await?;
        let error = consumer.poll(PATIENCE).await.expect_err("there is no such offset");
        assert_eq!(error, Error::OutOfRange { spot: spot.clone(), position: Offset(9) });
        consumer.seek(spot, Offset(1)).await?;
        assert_eq!(places(&consumer, 1).await?, [(0, 1)]);
        let refused = consumer.subscribe([topic()]).await.expect_err("it has no group");
        assert_eq!(refused.code(), Some(ErrorCode::INVALID_GROUP_ID));
        Ok(())
    });
}

#[test]
fn a_consumer_is_a_stream() {
    with_client(async |client| {
        write(&client, 6).await?;
        let consumer = client.consumer(ConsumerOptions { reset: Reset::Earliest, ..ConsumerOptions::default() });
        consumer.assign([(spot(0), None), (spot(1), None)]).await?;
        let mut stream = pin!(consumer.stream());
        let mut values = Vec::new();
        for _ in 0..6 {
            let next = std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await;
            let (_, record) = next.expect("it does not end")?;
            values.push(String::from_utf8_lossy(&record.value.expect("it has one")).into_owned());
        }
        values.sort();
        assert_eq!(values, ["0", "1", "2", "3", "4", "5"]);
        Ok(())
    });
}

/// Notes what it is told, and commits what is taken away.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn note(&self, what: &str, spots: &[Spot]) {
        let spots: Vec<String> = spots.iter().map(|(_, partition)| partition.to_string()).collect();
        self.0.lock().expect("nobody panics").push(format!("{what} {}", spots.join(" ")));
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().expect("nobody panics").clone()
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics"))
    }
}

impl RebalanceListener for Notes {
    fn assigned<'a>(&'a mut self, _consumer: &'a Consumer, spots: &'a [Spot]) -> Told<'a> {
        self.note("assigned", spots);
        Box::pin(std::future::ready(()))
    }

    fn revoked<'a>(&'a mut self, consumer: &'a Consumer, spots: &'a [Spot]) -> Told<'a> {
        self.note("revoked", spots);
        Box::pin(async { consumer.commit_sync().await.expect("it is its own still") })
    }

    fn lost<'a>(&'a mut self, _consumer: &'a Consumer, spots: &'a [Spot]) -> Told<'a> {
        self.note("lost", spots);
        Box::pin(std::future::ready(()))
    }
}

#[test]
fn listeners_commit_what_is_taken_away() {
    for (assignor, first, second) in
        [(Assignor::Range, "revoked 0 1", "assigned"), (Assignor::CooperativeSticky, "assigned ", "revoked")]
    {
        with_client(async |client| {
            write(&client, 10).await?;
            let one = client.consumer(options(assignor.clone()));
            let notes = Notes::default();
            one.set_listener(notes.clone()).await;
            one.subscribe([topic()]).await?;
            places(&one, 10).await?;
            assert_eq!(notes.take(), ["assigned 0 1"]);
            let other = client.consumer(options(assignor.clone()));
            let others = Notes::default();
            other.set_listener(others.clone()).await;
            other.subscribe([topic()]).await?;
            let start = Instant::now();
            // Listeners are told in the poll after.
            let is_told = || notes.all().len() >= 2 && others.all().last().is_some_and(|last| last != "assigned ");
            while one.assignment()?.len() != 1 || other.assignment()?.len() != 1 || !is_told() {
                assert!(start.elapsed() < PATIENCE, "{:?} {:?}", one.assignment(), other.assignment());
                // What was committed is not read again.
                assert!(one.poll(Duration::from_millis(50)).await?.is_empty());
                assert!(other.poll(Duration::from_millis(50)).await?.is_empty());
            }
            let told = notes.take();
            assert!(told[0] == first && told[1].starts_with(second), "{told:?}");
            // Which of them is whose depends on the ids that they were given.
            let kept = one.assignment()?.into_iter().map(|(_, partition)| partition.0).sum::<i32>();
            assert_eq!(others.take().pop(), Some(format!("assigned {}", 1 - kept)));
            let spots = [spot(0), spot(1)];
            assert_eq!(other.committed(spots).await?.into_values().collect::<Vec<_>>(), [Offset(5), Offset(5)]);
            one.close().await;
            other.close().await;
            assert_eq!(notes.take().pop(), Some(format!("revoked {kept}")));
            Ok(())
        });
    }
}

#[test]
fn who_does_not_poll_loses_its_place_and_gets_it_again() {
    with_client(async |client| {
        write(&client, 4).await?;
        let mut options = options(Assignor::Range);
        options.group.as_mut().expect("it has one").poll_interval_max_ms = 1000;
        let consumer = client.consumer(options);
        let notes = Notes::default();
        consumer.set_listener(notes.clone()).await;
        consumer.subscribe([topic()]).await?;
        places(&consumer, 4).await?;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let late = consumer.commit(BTreeMap::from([(spot(0), Offset(2))])).await.expect_err("it has left");
        assert_eq!(late.code(), Some(ErrorCode::UNKNOWN_MEMBER_ID));
        assert!(late.to_string().contains("max.poll.interval.ms"), "{late}");
        assert_eq!(places(&consumer, 4).await?.len(), 4, "nothing was committed");
        assert_eq!(notes.take(), ["assigned 0 1", "lost 0 1", "assigned 0 1"]);
        consumer.commit_sync().await?;
        consumer.close().await;
        Ok(())
    });
}

#[test]
fn patterns_take_in_topics_that_come_later() {
    with_client(async |client| {
        let mut options = options(Assignor::Range);
        options.cluster.metadata_max_age_ms = 300;
        let client = client.clone();
        let consumer = client.consumer(options);
        let bad = consumer.subscribe_pattern("(").await.expect_err("it is no pattern");
        assert!(matches!(bad, Error::BadPattern(_)), "{bad}");
        consumer.subscribe_pattern(&format!("{}.*", topic())).await?;
        write(&client, 2).await?;
        assert_eq!(places(&consumer, 2).await?, [(0, 0), (1, 0)]);
        consumer.commit_sync().await?;
        consumer.close().await;
        Ok(())
    });
}

#[test]
fn a_static_member_that_comes_back_keeps_its_partitions() {
    with_client(async |client| {
        write(&client, 4).await?;
        let mut options = options(Assignor::CooperativeSticky);
        options.group.as_mut().expect("it has one").instance_id = Some("first".into());
        let consumer = client.consumer(options.clone());
        consumer.subscribe([topic()]).await?;
        match places(&consumer, 4).await {
            Err(refused) if is_outside() && refused.code() == Some(ErrorCode::UNSUPPORTED_VERSION) => {
                assert!(refused.to_string().contains("group.instance.id"), "{refused}");
                return Ok(());
            }
            placed => placed?,
        };
        consumer.commit_sync().await?;
        let before = consumer.group_metadata()?.expect("it has a group");
        consumer.close().await;
        let members = client.group(readers()).await?.members;
        assert_eq!(members.len(), 1, "it has not left");
        let again = client.consumer(options);
        again.subscribe([topic()]).await?;
        write(&client, 2).await?;
        assert_eq!(places(&again, 2).await?, [(0, 2), (1, 2)]);
        let after = again.group_metadata()?.expect("it has a group");
        assert_eq!((after.generation, after.instance_id), (before.generation, before.instance_id));
        again.close().await;
        Ok(())
    });
}

fn configured(bootstrap: &str, options: &[(&str, &str)]) -> Result<Consumer, Error> {
    let group = readers();
    let own = [("bootstrap.servers", bootstrap), ("group.id", &*group), ("auto.offset.reset", "earliest")];
    let mut config = ConsumerConfig::from_map(own.into_iter().chain(options.iter().copied()))?;
    config.options.cluster.metadata_max_age_ms = 300;
    Consumer::new(config)
}

#[test]
fn assigned_partitions_are_committed_by_themselves() {
    with_cluster(async |bootstrap| {
        let client = Client::connect(&bootstrap).await?;
        write(&client, 6).await?;
        let consumer = configured(&bootstrap, &[("auto.commit.interval.ms", "100")])?;
        consumer.assign([(spot(0), None), (spot(1), None)]).await?;
        places(&consumer, 6).await?;
        let all = BTreeMap::from([(spot(0), Offset(3)), (spot(1), Offset(3))]);
        // A cluster whose first group this is makes the topic of its offsets first.
        let started = Instant::now();
        while consumer.committed([spot(0), spot(1)]).await? != all {
            assert!(started.elapsed() < PATIENCE, "nothing is committed");
            assert!(consumer.poll(Duration::from_millis(100)).await?.is_empty());
        }
        let metrics = consumer.metrics();
        assert_eq!((metrics.records, metrics.partitions, metrics.lag_max), (6, 2, Some(0)));
        assert!(metrics.commits > 0, "{metrics:?}");
        write(&client, 2).await?;
        places(&consumer, 2).await?;
        assert!(consumer.close_within(PATIENCE).await);
        assert_eq!(client.committed_offsets(readers()).await?.into_values().collect::<Vec<_>>(), [Offset(4); 2]);
        Ok(())
    });
}

#[test]
fn by_duration_begins_with_what_is_young() {
    with_cluster(async |bootstrap| {
        let client = Client::connect(&bootstrap).await?;
        write(&client, 4).await?;
        produce(&client, vec![record(0, "new")]).await?;
        let consumer = configured(&bootstrap, &[("auto.offset.reset", "by_duration:PT1H")])?;
        consumer.assign([(spot(0), None), (spot(1), None)]).await?;
        assert_eq!(places(&consumer, 1).await?, [(0, 2)]);
        Ok(())
    });
}

/// Polls both until each has one partition, and nothing is read twice.
async fn share(one: &Consumer, other: &Consumer) -> Result<(), Error> {
    let start = Instant::now();
    while one.assignment()?.len() != 1 || other.assignment()?.len() != 1 {
        assert!(start.elapsed() < PATIENCE, "{:?} {:?}", one.assignment(), other.assignment());
        assert!(one.poll(Duration::from_millis(50)).await?.is_empty(), "it is read again");
        assert!(other.poll(Duration::from_millis(50)).await?.is_empty(), "it is read again");
    }
    Ok(())
}

#[test]
fn the_newer_protocol_shares_what_there_is() {
    with_cluster(async |bootstrap| {
        let client = Client::connect(&bootstrap).await?;
        write(&client, 6).await?;
        let newer = ("group.protocol", "consumer");
        let one = configured(&bootstrap, &[newer, ("group.remote.assignor", "uniform")])?;
        one.subscribe([topic()]).await?;
        let level = client.features().await?.features.get("group.version").map_or(0, |feature| feature.level);
        if level == 0 {
            let refused = one.poll(PATIENCE).await.expect_err("these brokers do not know it");
            assert_eq!(refused.code(), Some(ErrorCode::UNSUPPORTED_VERSION));
            assert!(refused.to_string().contains("group.protocol=classic"), "{refused}");
            return Ok(());
        }
        places(&one, 6).await?;
        let other = configured(&bootstrap, &[newer, ("group.instance.id", "other")])?;
        other.subscribe_pattern(&format!("{}.*", topic())).await?;
        share(&one, &other).await?;
        write(&client, 2).await?;
        assert_eq!(places(&one, 1).await?.len() + places(&other, 1).await?.len(), 2);
        let twin = configured(&bootstrap, &[newer, ("group.instance.id", "other")])?;
        twin.subscribe([topic()]).await?;
        let refused = twin.poll(PATIENCE).await.expect_err("its name is taken");
        assert_eq!(refused.code(), Some(ErrorCode::UNRELEASED_INSTANCE_ID));
        one.close().await;
        other.close().await;
        assert_eq!(client.committed_offsets(readers()).await?.into_values().collect::<Vec<_>>(), [Offset(4); 2]);
        let again = configured(&bootstrap, &[newer, ("group.instance.id", "other")])?;
        again.subscribe([topic()]).await?;
        let start = Instant::now();
        while again.assignment()?.len() != 2 {
            assert!(start.elapsed() < PATIENCE, "{:?}", again.assignment());
            assert!(again.poll(Duration::from_millis(50)).await?.is_empty(), "it is read again");
        }
        let bad = configured(&bootstrap, &[newer, ("group.remote.assignor", "nobody's")])?;
        bad.subscribe([topic()]).await?;
        assert_eq!(bad.poll(PATIENCE).await.expect_err("no such").code(), Some(ErrorCode::UNSUPPORTED_ASSIGNOR));
        again.close().await;
        Ok(())
    });
}
