//! Administrator, producer and consumer at their work.

use crate::harness::*;
use std::collections::BTreeMap;
use std::time::Instant;
use vltava_client::{
    Assignor, Client, ConfigChange, ConsumerOptions, Error, ErrorCode, GroupOptions, Offset, OffsetAt, ProducerRecord,
    Reset, Resource, Timestamp,
};

#[test]
fn offsets_are_found_by_time_and_sought() {
    with_client(async |client| {
        let at = |ms| ProducerRecord { timestamp: Some(Timestamp(ms)), ..record(0, "x") };
        assert_eq!(produce(&client, vec![at(1000), at(3000), at(2000)]).await?, [0, 1, 2].map(Offset));
        for (place, offset) in [
            (OffsetAt::Earliest, Some(0)),
            (OffsetAt::Latest, Some(3)),
            (OffsetAt::Time(Timestamp(1500)), Some(1)),
            (OffsetAt::Time(Timestamp(9000)), None),
            (OffsetAt::MaxTimestamp, Some(1)),
        ] {
            let Some(found) = if_known(client.list_offsets([spot(0)], place).await)? else {
                assert_eq!(place, OffsetAt::MaxTimestamp, "Kafka before 3.0 knows the others");
                continue;
            };
            assert_eq!(found, BTreeMap::from([(spot(0), offset.map(Offset))]), "{place:?}");
        }
        let nowhere = client.list_offsets([spot(7)], OffsetAt::Latest).await;
        assert_eq!(
            nowhere.expect_err("there is no such partition").code(),
            Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
        );
        let consumer = client.consumer(ConsumerOptions::default());
        consumer.assign([(spot(0), Some(Offset(1)))]).await?;
        assert_eq!(read(&consumer, 2).await?[0].timestamp, Timestamp(3000));
        consumer.seek(spot(0), Offset(0)).await?;
        assert_eq!(read(&consumer, 3).await?[0].timestamp, Timestamp(1000));
        Ok(())
    });
}

#[test]
fn a_group_goes_on_where_it_was_set() {
    with_client(async |client| {
        produce(&client, vec![record(0, "a"), record(0, "b"), record(1, "c")]).await?;
        client.alter_offsets(readers(), BTreeMap::from([(spot(0), Offset(1))])).await?;
        assert_eq!(client.committed_offsets(readers()).await?, BTreeMap::from([(spot(0), Offset(1))]));
        for assignor in [Assignor::Range, Assignor::CooperativeSticky] {
            let group = GroupOptions {
                id: readers(),
                auto_commit_ms: None,
                assignors: vec![assignor],
                ..GroupOptions::default()
            };
            let options = ConsumerOptions { group: Some(group), reset: Reset::Earliest, ..ConsumerOptions::default() };
            let consumer = client.consumer(options);
            consumer.subscribe([topic()]).await?;
            let mut values: Vec<_> = read(&consumer, 2).await?.into_iter().map(|record| record.value).collect();
            values.sort();
            assert_eq!(values, [Some("b".into()), Some("c".into())]);
            assert_eq!(client.group(readers()).await?.members.len(), 1);
            let taken = client.alter_offsets(readers(), BTreeMap::from([(spot(0), Offset(0))])).await;
            assert_eq!(taken.expect_err("it has a member").code(), Some(ErrorCode::UNKNOWN_MEMBER_ID));
            consumer.close().await;
        }
        if if_known(client.delete_group(readers()).await)?.is_some() {
            assert!(client.groups().await?.iter().all(|listed| *listed.id != *readers()));
        }
        Ok(())
    });
}

#[test]
fn commits_and_rebalances_are_told() {
    with_client(async |client| {
        produce(&client, vec![record(0, "a"), record(1, "b")]).await?;
        let group = GroupOptions { id: readers(), auto_commit_ms: None, ..GroupOptions::default() };
        let options = ConsumerOptions { group: Some(group), reset: Reset::Earliest, ..ConsumerOptions::default() };
        let consumer = client.consumer(options);
        consumer.subscribe([topic()]).await?;
        let early = consumer.commit(BTreeMap::from([(spot(0), Offset(1))])).await;
        assert_eq!(early.expect_err("it is not in the group").code(), Some(ErrorCode::UNKNOWN_MEMBER_ID));
        read(&consumer, 2).await?;
        assert_eq!(consumer.assignment()?, [spot(0), spot(1)].into());
        let offsets = BTreeMap::from([(spot(0), Offset(1)), (spot(1), Offset(1))]);
        assert_eq!(consumer.positions().await?, offsets);
        consumer.commit(offsets.clone()).await?;
        assert_eq!(client.committed_offsets(readers()).await?, offsets);
        consumer.close().await;
        Ok(())
    });
}

#[test]
fn a_refusal_has_the_brokers_words() {
    with_client(async |client| {
        let set = vec![("max.message.bytes".into(), ConfigChange::Set("100".into()))];
        if if_known(client.alter_configs(Resource::Topic(topic()), set, false).await)?.is_none() {
            return Ok(());
        }
        let long = Box::leak("x".repeat(200).into_boxed_str());
        // Apache Kafka answers before its logs know.
        let end = Instant::now() + PATIENCE;
        let refused = loop {
            match produce(&client, vec![record(0, long)]).await {
                Err(refused) => break refused,
                Ok(_) => assert!(Instant::now() < end, "it is taken, though it is too large"),
            }
        };
        assert_eq!(refused.code(), Some(ErrorCode::MESSAGE_TOO_LARGE));
        assert!(is_outside() || refused.to_string().contains("max.message.bytes is 100"), "{refused}");
        let absent = client.topic("no-such-topic").await.expect_err("it was not created");
        assert_eq!(absent.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        let node = client.overview().await?.brokers[0].node.0.to_string();
        let brokers = client.configs(Resource::Broker(node.into())).await?;
        assert!(brokers.iter().any(|config| config.name == "log.retention.hours"), "{brokers:?}");
        Ok(())
    });
}

#[test]
fn nobody_home_is_told_at_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let free = || std::net::TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr()).expect("a free port");
    let (one, other) = (free(), free());
    let failed = runtime.block_on(Client::connect(&format!("{one},{other}"))).expect_err("nobody listens there");
    let Error::Unreachable { problems } = failed else { panic!("{failed}") };
    let is_tried =
        |address: std::net::SocketAddr| problems.iter().any(|problem| problem.starts_with(&address.to_string()));
    assert!(is_tried(one) && is_tried(other), "{problems:?}");
}
