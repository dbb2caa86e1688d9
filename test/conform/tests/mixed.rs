//! One classic group of this client, the Java client and librdkafka, with the strategy cooperative-sticky: members come
//! and go, and every record is read once. Ignored by a plain `cargo test`, because it installs clients.

use conform_suite::broker::{Broker, given};
use conform_suite::{case, foreign};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use vltava_client::{
    Assignor, Client, ConsumerOptions, Error, GroupOptions, NewTopic, PartitionIndex, ProducerOptions, ProducerRecord,
    Reset,
};

const PARTITIONS: i32 = 12;
/// A JVM on a busy machine needs its time.
const PATIENCE: Duration = Duration::from_secs(90);

/// Who read which record: each by its partition and offset.
type Seen = Arc<Mutex<BTreeMap<(i32, i64), Vec<String>>>>;

enum Member {
    Own { leave: oneshot::Sender<()>, left: tokio::task::JoinHandle<Result<(), Error>> },
    Foreign(Child),
}

struct Group {
    client: Client,
    bootstrap: String,
    name: String,
    seen: Seen,
    members: Vec<(String, Member)>,
    produced: usize,
}

impl Group {
    fn note(seen: &Seen, who: &str, place: (i32, i64)) {
        seen.lock().expect("nobody panics with it").entry(place).or_default().push(who.to_owned());
    }

    fn join_own(&mut self, who: &str) {
        let group = GroupOptions {
            id: self.name.as_str().into(),
            heartbeat_ms: 300,
            auto_commit_ms: Some(300),
            assignors: vec![Assignor::CooperativeSticky],
            ..GroupOptions::default()
        };
        let options = ConsumerOptions { group: Some(group), reset: Reset::Earliest, ..ConsumerOptions::default() };
        let consumer = self.client.consumer(options);
        let (leave, mut leaving) = oneshot::channel();
        let (seen, name, topic) = (self.seen.clone(), who.to_owned(), self.name.clone());
        let left = tokio::spawn(async move {
            consumer.subscribe([topic.as_str().into()]).await?;
            while leaving.try_recv().is_err() {
                for (spot, record) in consumer.poll(Duration::from_millis(50)).await?.iter() {
                    Group::note(&seen, &name, (spot.1.0, record.offset.0));
                }
            }
            consumer.close().await;
            Ok(())
        });
        self.members.push((who.to_owned(), Member::Own { leave, left }));
    }

    fn join_foreign(&mut self, who: &str, program: &str) {
        let mut command = case::command(program);
        command.args([&self.name, &self.name]).env("BOOTSTRAP", &self.bootstrap).env("PYTHONDONTWRITEBYTECODE", "1");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it is installed");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let (seen, name) = (self.seen.clone(), who.to_owned());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let place = line
                    .split_once(' ')
                    .and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?)));
                Group::note(&seen, &name, place.unwrap_or_else(|| panic!("{name} says {line}")));
            }
        });
        self.members.push((who.to_owned(), Member::Foreign(child)));
    }

    async fn leave(&mut self, who: &str) {
        let at = self.members.iter().position(|(name, _)| name == who).expect("it is a member");
        match self.members.remove(at).1 {
            Member::Own { leave, left } => {
                leave.send(()).expect("it polls until it is told");
                left.await.expect("it does not panic").unwrap_or_else(|error| panic!("{who}: {error}"));
            }
            Member::Foreign(mut child) => {
                drop(child.stdin.take());
                let status = tokio::task::spawn_blocking(move || child.wait()).await.expect("it waits");
                assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{who} ended with {status:?}");
            }
        }
    }

    /// Writes records while something happens to the group.
    async fn produce(&mut self, count: usize) -> Result<(), Error> {
        let producer = self.client.producer(ProducerOptions::default());
        for number in 0..count {
            let partition = i32::try_from((self.produced + number) % 12).expect("small");
            let topic = self.name.as_str().into();
            let message =
                ProducerRecord { topic, partition: Some(PartitionIndex(partition)), ..ProducerRecord::default() };
            producer.send(message).await?.await?;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.produced += count;
        producer.close().await;
        Ok(())
    }

    /// Waits until all members are in the group and everything is read.
    async fn settle(&self) {
        let start = Instant::now();
        loop {
            let described = self.client.group(self.name.as_str()).await;
            let (state, members) = described.map_or_else(
                |error| (error.to_string(), 0),
                |group| (group.state.to_string(), group.members.iter().filter(|one| !one.client_id.is_empty()).count()),
            );
            let read = self.seen.lock().expect("nobody panics with it").len();
            if state == "Stable" && members == self.members.len() && read == self.produced {
                return;
            }
            let names: Vec<&String> = self.members.iter().map(|(name, _)| name).collect();
            assert!(
                start.elapsed() < PATIENCE,
                "not in time: {names:?} are to share; it is {state} with {members} members and has read {read} of {}",
                self.produced
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn readers(&self) -> BTreeMap<String, usize> {
        let mut readers = BTreeMap::new();
        for who in self.seen.lock().expect("nobody panics with it").values().flatten() {
            *readers.entry(who.clone()).or_default() += 1;
        }
        readers
    }
}

#[test]
#[ignore = "needs foreign clients: `cargo xtask test` runs it"]
fn members_of_three_clients_share_a_group() {
    foreign::install().expect("the clients can be installed");
    let broker = given().is_none().then(|| Broker::start(&[]));
    let bootstrap = given().or_else(|| broker.as_ref().map(Broker::bootstrap)).expect("one of them is there");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let client = Client::connect(&bootstrap).await.expect("the broker runs");
        let name = format!("mixed-{}", std::process::id());
        let topic = NewTopic { name: name.as_str().into(), partitions: Some(PARTITIONS), ..NewTopic::default() };
        client.create_topic(topic).await.expect("it is new");
        let seen = Seen::default();
        let mut group = Group { client, bootstrap, name, seen, members: Vec::new(), produced: 0 };
        come_and_go(&mut group).await.expect("the producer has a broker");
        let twice: Vec<_> = group.seen.lock().expect("nobody panics with it").clone().into_iter().collect();
        let twice: Vec<_> = twice.into_iter().filter(|(_, readers)| readers.len() != 1).collect();
        assert!(twice.is_empty(), "not read once: {twice:?}");
        let readers = group.readers();
        for who in ["own-1", "own-2", "java-1", "java-2", "rdkafka-1"] {
            assert!(readers.contains_key(who), "{who} has read nothing: {readers:?}");
        }
    });
}

async fn come_and_go(group: &mut Group) -> Result<(), Error> {
    group.join_own("own-1");
    group.join_foreign("java-1", "java/Member.java");
    group.join_foreign("rdkafka-1", "librdkafka/member.py");
    group.produce(300).await?;
    group.settle().await;
    group.produce(300).await?;
    group.settle().await;
    group.join_own("own-2");
    group.produce(600).await?;
    group.settle().await;
    // The leader goes, whoever it is by then; each kind leads once.
    group.leave("own-1").await;
    group.produce(600).await?;
    group.settle().await;
    group.leave("java-1").await;
    group.join_foreign("java-2", "java/Member.java");
    group.produce(600).await?;
    group.settle().await;
    group.leave("rdkafka-1").await;
    group.produce(300).await?;
    group.settle().await;
    group.produce(300).await?;
    group.settle().await;
    group.leave("own-2").await;
    group.leave("java-2").await;
    Ok(())
}
