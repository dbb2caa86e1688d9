//! The client: a connection to a cluster, what an administrator asks over it, and the origin of producers and consumers.
//!
//! Must never know how an answer is laid out; questions that need several brokers are put together here.

use crate::clock::{Clock, seed};
use crate::consumer::Consumer;
use crate::dial::Dialer;
use crate::driver::{Engine, Owner, Shared, forward};
use crate::error::Error;
use crate::link::address;
use crate::options::AdminConfig;
use crate::producer::Producer;
use client::admin::*;
use client::{ConsumerOptions, Failure, NodeId, Now, Offset, Options, ProducerOptions, Spot, Target, Text, Topic};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use tokio::sync::oneshot;

/// Between two tries of a question whose answer was that it may be answered later.
pub(crate) const RETRY_WAIT: Duration = Duration::from_millis(100);

/// A connection to a cluster. Cloning it is cheap and shares the connections.
///
/// Every question takes `default.api.timeout.ms` of the options at most (60 s where nothing is set) and then fails with
/// [`Error::TimedOut`].
#[derive(Clone, Debug)]
pub struct Client {
    shared: Shared<Asking>,
    options: Options,
    dialer: Dialer,
    clock: Clock,
}

impl Client {
    /// Connects to the cluster of which these are members: `bootstrap.servers`, as `HOST:PORT,HOST:PORT`.
    ///
    /// # Errors
    /// [`Error::BadAddress`], or [`Error::Unreachable`] once each address has failed.
    pub async fn connect(bootstrap: &str) -> Result<Client, Error> {
        Client::with_options(Options { bootstrap: addresses(bootstrap)?, ..Options::default() }).await
    }

    /// Connects with other options. Their `seed` is replaced by a random one.
    ///
    /// # Errors
    /// [`Error::Unreachable`] once each of `options.bootstrap` has failed, or none has answered in the time for connecting.
    pub async fn with_options(options: Options) -> Result<Client, Error> {
        Client::new(options.into()).await
    }

    /// Connects as the options say: see [`AdminConfig`].
    ///
    /// # Errors
    /// As `with_options`, [`Error::Authentication`] once one of them has not accepted this client, or the client not it,
    /// and [`Error::BadOption`] where `bootstrap.servers` is empty.
    pub async fn new(config: AdminConfig) -> Result<Client, Error> {
        let (options, dialer) = config.ready(|options| options)?;
        let (reply, answer) = oneshot::channel();
        let left = options.bootstrap.iter().map(|(host, port)| address(host, *port)).collect();
        let client = Client::start(options, dialer, Some(Hello { left, reply }));
        let patience = Duration::from_millis(client.options.connect_timeout_ms);
        match tokio::time::timeout(patience, answer).await {
            Ok(answered) => answered.map_err(|_| Error::Closed)??,
            Err(_) => {
                let asked = client.options.bootstrap.iter().map(|(host, port)| format!("{host}:{port}: no answer"));
                let problems = client.shared.trouble().map_or_else(|| asked.collect(), |problem| vec![problem]);
                return Err(Error::Unreachable { problems });
            }
        }
        Ok(client)
    }

    /// Connects at once only where somebody waits for that.
    pub(crate) fn start(options: Options, dialer: Dialer, hello: Option<Hello>) -> Client {
        let clock = Clock::start();
        let mut engine = Admin::new(options.clone());
        if hello.is_some() {
            engine.cluster.learn(clock.now().at);
        }
        let asking = Asking { engine, open: HashMap::new(), hello, problems: Vec::new() };
        Client { shared: Owner::start(asking, clock, dialer.clone()), options, dialer, clock }
    }

    /// A producer with connections of its own. `options.cluster` is taken from this client.
    #[must_use]
    pub fn producer(&self, mut options: ProducerOptions) -> Producer {
        let allow_auto_create_topics = options.cluster.allow_auto_create_topics;
        options.cluster = Options { seed: seed(), allow_auto_create_topics, ..self.options.clone() };
        Producer::start(options, self.clock, self.dialer.clone())
    }

    /// A consumer with connections of its own. `options.cluster` is taken from this client.
    #[must_use]
    pub fn consumer(&self, mut options: ConsumerOptions) -> Consumer {
        let allow_auto_create_topics = options.cluster.allow_auto_create_topics;
        options.cluster = Options { seed: seed(), allow_auto_create_topics, ..self.options.clone() };
        Consumer::start(options, self.clone())
    }

    /// What a client of its own kind beside this one is started with.
    pub(crate) fn parts(&self) -> (Clock, Dialer) {
        (self.clock, self.dialer.clone())
    }

    /// All topics, internal ones too, and the brokers.
    pub async fn overview(&self) -> Result<Overview, Error> {
        self.ask(Target::Any, DescribeTopics { names: None }).await
    }

    /// One topic. Never creates it.
    ///
    /// # Errors
    /// [`Error::Refused`] with `UNKNOWN_TOPIC_OR_PARTITION` where there is none of this name.
    pub async fn topic(&self, name: impl Into<Text>) -> Result<Topic, Error> {
        let question = DescribeTopics { names: Some(vec![name.into()]) };
        let overview = self.ask(Target::Any, question).await?;
        let unknown = || Error::of_code(client::ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        let topic = overview.topics.into_iter().next().ok_or_else(unknown)?;
        if topic.error.is_ok() { Ok(topic) } else { Err(Error::of_code(topic.error)) }
    }

    /// Creates a topic, and returns once it is there.
    ///
    /// # Errors
    /// [`Error::Refused`], for instance with `TOPIC_ALREADY_EXISTS` or `INVALID_CONFIG`.
    pub async fn create_topic(&self, topic: NewTopic) -> Result<(), Error> {
        let name = topic.name.clone();
        self.try_create_topic(topic, false).await?;
        // Brokers learn of it one after the other.
        for _ in 0..50 {
            match self.topic(name.clone()).await {
                Ok(topic) if topic.partitions.iter().all(|partition| partition.leader.is_some()) => break,
                _ => tokio::time::sleep(RETRY_WAIT).await,
            }
        }
        Ok(())
    }

    /// Creates a topic, or with `validate_only` only says whether it could.
    pub async fn try_create_topic(&self, topic: NewTopic, validate_only: bool) -> Result<(), Error> {
        let timeout_ms = self.timeout_ms();
        let created = self.ask(Target::Controller, CreateTopic { topic, timeout_ms, validate_only }).await;
        created.map_err(|error| match error {
            Error::Unsupported => {
                let why = "brokers before Kafka 2.4 do not choose: say how many partitions and how many replicas";
                Error::BadOption(why.to_owned())
            }
            other => other,
        })
    }

    /// Deletes a topic and its data.
    pub async fn delete_topic(&self, name: impl Into<Text>) -> Result<(), Error> {
        self.ask(Target::Controller, DeleteTopic { name: name.into(), timeout_ms: self.timeout_ms() }).await
    }

    /// Grows a topic to this many partitions in all; keys then go to other partitions than before.
    /// With `validate_only` it only says whether it could.
    pub async fn create_partitions(
        &self,
        topic: impl Into<Text>,
        total: i32,
        validate_only: bool,
    ) -> Result<(), Error> {
        let (topic, timeout_ms) = (topic.into(), self.timeout_ms());
        self.ask(Target::Controller, CreatePartitions { topic, total, timeout_ms, validate_only }).await
    }

    /// All settings of a topic, broker or group, in the order of their names.
    pub async fn configs(&self, resource: Resource) -> Result<Vec<Config>, Error> {
        self.ask(owner(&resource), DescribeConfigs(resource)).await
    }

    /// Changes some settings and leaves the others as they are; with `validate_only` it only says whether it could.
    ///
    /// # Errors
    /// [`Error::Refused`] with `INVALID_CONFIG` and the broker's words; then nothing was changed.
    pub async fn alter_configs(
        &self,
        resource: Resource,
        changes: Vec<(Text, ConfigChange)>,
        validate_only: bool,
    ) -> Result<(), Error> {
        self.ask(owner(&resource), AlterConfigs { resource, changes, validate_only }).await
    }

    /// What has settings of its own, besides what the cluster knows as topic or broker.
    pub async fn config_resources(&self) -> Result<Vec<Resource>, Error> {
        self.ask(Target::Any, ListConfigResources).await
    }

    /// The groups of all brokers, in the order of their names.
    pub async fn groups(&self) -> Result<Vec<ListedGroup>, Error> {
        let mut groups = BTreeSet::new();
        for broker in self.overview().await?.brokers {
            groups.extend(self.ask_patiently(Target::Node(broker.node), ListGroups).await?);
        }
        Ok(groups.into_iter().collect())
    }

    /// A group and its members, of the classic or of the consumer protocol.
    ///
    /// # Errors
    /// [`Error::Refused`] with `GROUP_ID_NOT_FOUND` where there is none of this name.
    pub async fn group(&self, id: impl Into<Text>) -> Result<Group, Error> {
        let id = id.into();
        let unknown = Error::of_code(client::ErrorCode::GROUP_ID_NOT_FOUND);
        match self.ask_coordinator(&id, DescribeGroup(id.clone())).await {
            // Older brokers have no error for that.
            Ok(group) if group.state != "Dead" => return Ok(group),
            Err(error) if error.code() != unknown.code() => return Err(error),
            Ok(_) | Err(_) => {}
        }
        match self.ask_coordinator(&id, DescribeConsumerGroup(id.clone())).await {
            Err(Error::Unsupported) => Err(unknown),
            other => other,
        }
    }

    /// What a group has committed, of topics that still exist: the offsets at which it goes on.
    pub async fn committed_offsets(&self, group: impl Into<Text>) -> Result<BTreeMap<Spot, Offset>, Error> {
        let group = group.into();
        let known = self.overview().await?.topics;
        let topics = known.iter().map(|topic| (topic.id, topic.name.clone())).collect();
        let mut offsets = self.ask_coordinator(&group.clone(), CommittedOffsets { group, topics }).await?;
        offsets.retain(|spot, _| known.iter().any(|topic| topic.name == spot.0 && topic.partition(spot.1).is_some()));
        Ok(offsets)
    }

    /// Sets offsets of a group that has no members at the moment.
    ///
    /// # Errors
    /// [`Error::Refused`] with `UNKNOWN_MEMBER_ID` while the group has members.
    pub async fn alter_offsets(&self, group: impl Into<Text>, offsets: BTreeMap<Spot, Offset>) -> Result<(), Error> {
        let group = group.into();
        let topics = self.overview().await?.topics.into_iter().map(|topic| (topic.name, topic.id)).collect();
        self.ask_coordinator(&group.clone(), AlterOffsets { group, offsets, topics }).await
    }

    /// Makes a group forget offsets, of topics that none of its members reads; what became of each.
    pub async fn delete_offsets(&self, group: impl Into<Text>, spots: Vec<Spot>) -> Result<Each<()>, Error> {
        let group = group.into();
        self.ask_coordinator(&group.clone(), DeleteOffsets { group, spots }).await
    }

    /// Puts members out of a group, by member id (empty for a static member) and instance id. They may come back.
    /// Returns those that could not be put out.
    pub async fn remove_members(
        &self,
        group: impl Into<Text>,
        members: Vec<(Text, Option<Text>)>,
    ) -> Result<Vec<(String, Refused)>, Error> {
        let group = group.into();
        self.ask_coordinator(&group.clone(), RemoveMembers { group, members }).await
    }

    /// The node that coordinates a group.
    pub async fn coordinator(&self, group: impl Into<Text>) -> Result<NodeId, Error> {
        self.ask_patiently(Target::Any, FindCoordinator(group.into())).await
    }

    /// Deletes a group and its offsets.
    ///
    /// # Errors
    /// [`Error::Refused`] with `NON_EMPTY_GROUP` while it has members, or `GROUP_ID_NOT_FOUND`.
    pub async fn delete_group(&self, id: impl Into<Text>) -> Result<(), Error> {
        let id = id.into();
        self.ask_coordinator(&id, DeleteGroup(id.clone())).await
    }

    async fn ask_coordinator<Q: Question + Clone>(&self, group: &Text, question: Q) -> Result<Q::Answer, Error> {
        let ask = || async {
            let node = self.coordinator(group.clone()).await?;
            self.ask(Target::Node(node), question.clone()).await
        };
        self.patiently(ask).await
    }

    pub(crate) async fn ask_patiently<Q: Question + Clone>(&self, to: Target, ask: Q) -> Result<Q::Answer, Error> {
        self.patiently(|| self.ask(to, ask.clone())).await
    }

    /// Asks again while the answer may pass and there is time.
    async fn patiently<R, F: Future<Output = Result<R, Error>>>(&self, ask: impl Fn() -> F) -> Result<R, Error> {
        let give_up = self.give_up();
        loop {
            match ask().await {
                Err(Error::Refused(refused)) => self.may_retry(&refused, give_up)?,
                other => return other,
            }
            tokio::time::sleep(RETRY_WAIT).await;
        }
    }

    pub(crate) fn may_retry(&self, refused: &Refused, give_up: tokio::time::Instant) -> Result<(), Error> {
        let is_time = tokio::time::Instant::now() < give_up;
        if is_time && refused.may_pass() { Ok(()) } else { Err(Error::Refused(refused.clone())) }
    }

    pub(crate) async fn ask<Q: Question>(&self, target: Target, question: Q) -> Result<Q::Answer, Error> {
        let (reply, answer) = oneshot::channel();
        let timeout_ms = self.options.api_timeout_ms;
        let request = question.request();
        self.shared.with(|asking, now| {
            // Who did not connect at first knows no node yet that an answer may name.
            if asking.engine.cluster.metadata_epoch() == 0 {
                asking.engine.cluster.learn(now.at);
            }
            let task = asking.engine.ask(now.at, target, request, timeout_ms);
            asking.open.insert(task, reply);
        })?;
        let result = answer.await.map_err(|_| Error::Closed)?;
        let response = result.map_err(|failure| Error::of_failure(failure, self.shared.trouble()))?;
        Ok(question.read(response)?)
    }

    /// The moment at which a question is no longer asked again.
    pub(crate) fn give_up(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + Duration::from_millis(self.options.api_timeout_ms)
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(crate) fn timeout_ms(&self) -> i32 {
        i32::try_from(self.options.request_timeout_ms).unwrap_or(i32::MAX)
    }
}

/// Who keeps settings: a broker its own, any broker the rest.
fn owner(resource: &Resource) -> Target {
    match resource {
        Resource::Broker(name) | Resource::BrokerLogger(name) => {
            name.parse().map_or(Target::Any, |id| Target::Node(NodeId(id)))
        }
        Resource::Topic(_) | Resource::Group(_) | Resource::ClientMetrics(_) => Target::Any,
    }
}

/// Reads what `bootstrap.servers` is given as: `HOST:PORT,[HOST6]:PORT`.
///
/// # Errors
/// [`Error::BadAddress`]
pub fn addresses(text: &str) -> Result<Vec<(String, u16)>, Error> {
    let one = |part: &str| {
        let (host, port) = part.trim().rsplit_once(':')?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        let is_host = !host.is_empty() && !host.contains('/') && (bare.is_some() || !host.contains(':'));
        let port = port.parse().ok().filter(|port| *port != 0)?;
        is_host.then(|| (host.to_owned(), port))
    };
    text.split(',').map(one).collect::<Option<Vec<_>>>().ok_or_else(|| Error::BadAddress(text.to_owned()))
}

/// Waits for the first word from the cluster.
#[derive(Debug)]
pub(crate) struct Hello {
    /// Addresses that have not failed yet.
    left: BTreeSet<String>,
    reply: oneshot::Sender<Result<(), Error>>,
}

struct Asking {
    engine: Admin,
    open: HashMap<u64, oneshot::Sender<Result<Response, Failure>>>,
    hello: Option<Hello>,
    problems: Vec<String>,
}

impl Engine for Asking {
    type News = ();

    forward!(now => now.at);

    fn settle(&mut self, _now: Now, _news: &mut ()) {
        while let Some((task, result)) = self.engine.poll() {
            if let Some(reply) = self.open.remove(&task) {
                // Who no longer waits does not care.
                let _ = reply.send(result);
            }
        }
        let is_known = self.engine.cluster.metadata_epoch() > 0;
        if is_known && let Some(hello) = self.hello.take() {
            let _ = hello.reply.send(Ok(()));
        } else if let Some(hello) = self.hello.take_if(|hello| hello.left.is_empty()) {
            let _ = hello.reply.send(Err(Error::Unreachable { problems: self.problems.clone() }));
        }
    }

    fn trouble(&mut self, problem: &str) {
        let Some(hello) = &mut self.hello else { return };
        let failed = hello.left.extract_if(.., |address| problem.starts_with(&format!("{address}: ")));
        self.problems.extend(failed.map(|_| problem.to_owned()));
    }

    fn denied(&mut self, problem: &str) {
        if let Some(hello) = self.hello.take() {
            let _ = hello.reply.send(Err(Error::Authentication(problem.to_owned())));
        }
    }

    fn abandon(&mut self, _now: Now) {}

    fn is_done(&self) -> bool {
        true
    }

    fn end(&mut self, _news: &mut ()) {
        self.open.clear();
        self.hello = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_and_ports() {
        let good = addresses("a:1, [::1]:9092").expect("both are addresses");
        assert_eq!(good, [("a".to_owned(), 1), ("::1".to_owned(), 9092)]);
        for bad in ["", "a", "a:", ":1", "a:0", "a:70000", "::1:9092", "http://a:1", "a:1,"] {
            assert_eq!(addresses(bad), Err(Error::BadAddress(bad.to_owned())), "{bad}");
        }
    }
}
