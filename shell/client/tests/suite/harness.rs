//! A cluster for each test: what `VLTAVA_CLIENT_BOOTSTRAP` names, which all tests share, or a broker of its own in this
//! process. Names are a test's own, so that tests on one cluster do not meet.

use server::Server;
use server::config::{Config, Options};
use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use vltava_client::{
    Client, ConsumedRecord, Consumer, Error, NewTopic, Offset, PartitionIndex, ProducerOptions, ProducerRecord, Spot,
    Text,
};

pub const PATIENCE: Duration = Duration::from_secs(30);

thread_local! {
    static NAME: RefCell<Text> = RefCell::default();
}

/// This test's topic, of two partitions.
pub fn topic() -> Text {
    NAME.with_borrow(Clone::clone)
}

/// This test's group.
pub fn readers() -> Text {
    format!("{}-readers", topic()).into()
}

pub fn spot(partition: i32) -> Spot {
    (topic(), PartitionIndex(partition))
}

pub fn record(partition: i32, value: &'static str) -> ProducerRecord {
    ProducerRecord::new(topic(), value).partition(partition)
}

/// Whether the cluster is not this repository's own.
pub fn is_outside() -> bool {
    std::env::var_os("VLTAVA_CLIENT_BOOTSTRAP").is_some()
}

/// What a broker outside may be too old for.
pub fn if_known<T>(asked: Result<T, Error>) -> Result<Option<T>, Error> {
    match asked {
        Err(Error::Unsupported) if is_outside() => Ok(None),
        asked => asked.map(Some),
    }
}

enum Cluster {
    Outside(String),
    Inside { server: Option<Server>, folder: PathBuf },
}

impl Cluster {
    fn start() -> Cluster {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("client-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        NAME.set(name.as_str().into());
        if let Ok(bootstrap) = std::env::var("VLTAVA_CLIENT_BOOTSTRAP") {
            return Cluster::Outside(bootstrap);
        }
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let options = Options {
            listen: Some("127.0.0.1:0".to_owned()),
            data_dir: Some(folder.clone()),
            set: vec!["vltava.http.listen=127.0.0.1:0".to_owned()],
            ..Options::default()
        };
        let config = Config::read(&options, &[]).expect("the settings of the test are valid");
        Cluster::Inside { server: Some(Server::start(config).expect("nothing is in the way")), folder }
    }

    fn bootstrap(&self) -> String {
        match self {
            Cluster::Outside(bootstrap) => bootstrap.clone(),
            Cluster::Inside { server, .. } => {
                server.as_ref().expect("it runs until it is dropped").addresses()[0].to_string()
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Cluster::Inside { server, folder } = self else { return };
        let stopped = server.take().map(Server::stop);
        let _ = std::fs::remove_dir_all(&*folder);
        assert!(std::thread::panicking() || stopped.is_some_and(|stopped| stopped.is_ok()), "the broker does not stop");
    }
}

/// Runs a test with the address of a cluster that has this test's topic.
pub fn with_cluster<F: Future<Output = Result<(), Error>>>(test: impl FnOnce(String) -> F) {
    let cluster = Cluster::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let done = runtime.block_on(async {
        let client = Client::connect(&cluster.bootstrap()).await?;
        // Some tests date records long ago.
        let configs = vec![("retention.ms".into(), "-1".into())];
        let new = NewTopic { name: topic(), partitions: Some(2), configs, ..NewTopic::default() };
        match client.create_topic(new.clone()).await {
            // Kafka before 2.4 does not choose.
            Err(Error::BadOption(_)) if is_outside() => {
                client.create_topic(NewTopic { replication_factor: Some(1), ..new }).await?;
            }
            created => created?,
        }
        test(cluster.bootstrap()).await
    });
    assert_eq!(done, Ok(()));
}

/// As `with_cluster`, with a client.
pub fn with_client<F: Future<Output = Result<(), Error>>>(test: impl FnOnce(Client) -> F) {
    with_cluster(async |bootstrap| test(Client::connect(&bootstrap).await?).await);
}

pub async fn produce(client: &Client, records: Vec<ProducerRecord>) -> Result<Vec<Offset>, Error> {
    let producer = client.producer(ProducerOptions::default());
    let mut sending = Vec::new();
    for record in records {
        sending.push(producer.send(record).await?);
    }
    let mut offsets = Vec::new();
    for sending in sending {
        offsets.push(sending.await?.offset.expect("all replicas acknowledge"));
    }
    producer.close().await;
    Ok(offsets)
}

/// Polls until `count` records have come.
pub async fn read(consumer: &Consumer, count: usize) -> Result<Vec<ConsumedRecord>, Error> {
    let mut records = Vec::new();
    while records.len() < count {
        let polled = consumer.poll(PATIENCE).await?;
        assert!(!polled.partitions().is_empty(), "nothing comes");
        records.extend(polled.into_iter().flat_map(|consumed| consumed.records));
    }
    Ok(records)
}
