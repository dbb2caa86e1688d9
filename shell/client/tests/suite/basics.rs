//! The client against a real broker in this process: what the command line does not show.

use server::Server;
use server::config::{Config, Options};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use vltava_client::{
    Assignor, Client, ConfigChange, ConsumedRecord, Consumer, ConsumerEvent, ConsumerOptions, Error, ErrorCode,
    GroupOptions, Message, NewTopic, Offset, OffsetAt, PartitionIndex, Polled, ProducerOptions, Reset, Resource, Spot,
    Timestamp,
};

const PATIENCE: Duration = Duration::from_secs(30);

struct Broker {
    server: Option<Server>,
    folder: PathBuf,
}

impl Broker {
    fn start() -> Broker {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("client-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let options = Options {
            listen: Some("127.0.0.1:0".to_owned()),
            data_dir: Some(folder.clone()),
            set: vec!["vltava.http.listen=127.0.0.1:0".to_owned()],
            ..Options::default()
        };
        let config = Config::read(&options, &[]).expect("the settings of the test are valid");
        Broker { server: Some(Server::start(config).expect("nothing is in the way")), folder }
    }

    fn address(&self) -> String {
        self.server.as_ref().expect("it runs until it is dropped").addresses()[0].to_string()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let stopped = self.server.take().map(Server::stop);
        let _ = std::fs::remove_dir_all(&self.folder);
        assert!(std::thread::panicking() || stopped.is_some_and(|stopped| stopped.is_ok()), "the broker does not stop");
    }
}

/// Runs a test with a client of a broker that has the topic `rivers` of two partitions.
fn with_client<F: Future<Output = Result<(), Error>>>(test: impl FnOnce(Client) -> F) {
    let broker = Broker::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let done = runtime.block_on(async {
        let client = Client::connect(&broker.address()).await?;
        client.create_topic(NewTopic { name: "rivers".into(), partitions: Some(2), ..NewTopic::default() }).await?;
        test(client).await
    });
    assert_eq!(done, Ok(()));
}

fn spot(partition: i32) -> Spot {
    ("rivers".into(), PartitionIndex(partition))
}

fn message(partition: i32, value: &'static str) -> Message {
    let partition = Some(PartitionIndex(partition));
    Message { topic: "rivers".into(), partition, value: Some(value.into()), ..Message::default() }
}

async fn produce(client: &Client, messages: Vec<Message>) -> Result<Vec<Offset>, Error> {
    let producer = client.producer(ProducerOptions::default());
    let mut sending = Vec::new();
    for message in messages {
        sending.push(producer.send(message).await?);
    }
    let mut offsets = Vec::new();
    for sending in sending {
        offsets.push(sending.await?.offset.expect("all replicas acknowledge"));
    }
    producer.close().await;
    Ok(offsets)
}

/// Polls until `count` records have come; other events are passed over.
async fn read(consumer: &mut Consumer, count: usize) -> Result<Vec<ConsumedRecord>, Error> {
    let mut records = Vec::new();
    while records.len() < count {
        match consumer.poll(PATIENCE).await?.expect("something comes") {
            Polled::Records(consumed) => records.extend(consumed.records),
            Polled::Event(_) => {}
        }
    }
    Ok(records)
}

#[test]
fn offsets_are_found_by_time_and_sought() {
    with_client(async |client| {
        let at = |ms| Message { timestamp: Some(Timestamp(ms)), ..message(0, "x") };
        assert_eq!(produce(&client, vec![at(1000), at(3000), at(2000)]).await?, [0, 1, 2].map(Offset));
        for (place, offset) in [
            (OffsetAt::Earliest, Some(0)),
            (OffsetAt::Latest, Some(3)),
            (OffsetAt::Time(Timestamp(1500)), Some(1)),
            (OffsetAt::Time(Timestamp(9000)), None),
            (OffsetAt::MaxTimestamp, Some(1)),
        ] {
            let found = client.list_offsets([spot(0)], place).await?;
            assert_eq!(found, BTreeMap::from([(spot(0), offset.map(Offset))]), "{place:?}");
        }
        let nowhere = client.list_offsets([spot(7)], OffsetAt::Latest).await;
        assert_eq!(
            nowhere.expect_err("there is no such partition").code(),
            Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
        );
        let mut consumer = client.consumer(ConsumerOptions::default());
        consumer.assign([(spot(0), Some(Offset(1)))]).await?;
        assert_eq!(read(&mut consumer, 2).await?[0].timestamp, Timestamp(3000));
        consumer.seek(spot(0), Offset(0)).await?;
        assert_eq!(read(&mut consumer, 3).await?[0].timestamp, Timestamp(1000));
        Ok(())
    });
}

#[test]
fn a_group_goes_on_where_it_was_set() {
    with_client(async |client| {
        produce(&client, vec![message(0, "a"), message(0, "b"), message(1, "c")]).await?;
        client.alter_offsets("readers", BTreeMap::from([(spot(0), Offset(1))])).await?;
        assert_eq!(client.committed_offsets("readers").await?, BTreeMap::from([(spot(0), Offset(1))]));
        for assignor in [Assignor::Range, Assignor::CooperativeSticky] {
            let group =
                GroupOptions { id: "readers".into(), auto_commit_ms: None, assignor, ..GroupOptions::default() };
            let options = ConsumerOptions { group: Some(group), reset: Reset::Earliest, ..ConsumerOptions::default() };
            let mut consumer = client.consumer(options);
            consumer.subscribe(["rivers".into()]).await?;
            let mut values: Vec<_> = read(&mut consumer, 2).await?.into_iter().map(|record| record.value).collect();
            values.sort();
            assert_eq!(values, [Some("b".into()), Some("c".into())]);
            assert_eq!(client.group("readers").await?.members.len(), 1);
            let taken = client.alter_offsets("readers", BTreeMap::from([(spot(0), Offset(0))])).await;
            assert_eq!(taken.expect_err("it has a member").code(), Some(ErrorCode::UNKNOWN_MEMBER_ID));
            consumer.close().await;
        }
        client.delete_group("readers").await?;
        assert_eq!(client.groups().await?, []);
        Ok(())
    });
}

#[test]
fn commits_and_rebalances_are_told() {
    with_client(async |client| {
        produce(&client, vec![message(0, "a"), message(1, "b")]).await?;
        let group = GroupOptions { id: "readers".into(), auto_commit_ms: None, ..GroupOptions::default() };
        let options = ConsumerOptions { group: Some(group), reset: Reset::Earliest, ..ConsumerOptions::default() };
        let mut consumer = client.consumer(options);
        let early = consumer.commit(BTreeMap::from([(spot(0), Offset(1))])).await;
        assert_eq!(early.expect_err("it is not in the group").code(), Some(ErrorCode::UNKNOWN_MEMBER_ID));
        consumer.subscribe(["rivers".into()]).await?;
        let first = loop {
            if let Some(Polled::Event(ConsumerEvent::Assigned { all, .. })) = consumer.poll(PATIENCE).await? {
                break all;
            }
        };
        assert_eq!(first, [spot(0), spot(1)]);
        read(&mut consumer, 2).await?;
        let offsets = BTreeMap::from([(spot(0), Offset(1)), (spot(1), Offset(1))]);
        assert_eq!(consumer.positions().await?, offsets);
        consumer.commit(offsets.clone()).await?;
        assert_eq!(client.committed_offsets("readers").await?, offsets);
        consumer.close().await;
        Ok(())
    });
}

#[test]
fn a_refusal_has_the_brokers_words() {
    with_client(async |client| {
        let set = vec![("max.message.bytes".into(), ConfigChange::Set("100".into()))];
        client.alter_configs(Resource::Topic("rivers".into()), set, false).await?;
        let long = Box::leak("x".repeat(200).into_boxed_str());
        let refused = produce(&client, vec![message(0, long)]).await.expect_err("it is too large");
        assert_eq!(refused.code(), Some(ErrorCode::MESSAGE_TOO_LARGE));
        assert!(refused.to_string().contains("max.message.bytes is 100"), "{refused}");
        let absent = client.topic("lakes").await.expect_err("it was not created");
        assert_eq!(absent.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        let brokers = client.configs(Resource::Broker("1".into())).await?;
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
