//! The connections of one client and what it knows of the cluster: calls go to a node, to the controller or to anyone,
//! and come back as answers.
//!
//! Owns connecting, backing off, time-outs and metadata. Must never know what an answer means beyond metadata; whether
//! a failed call is made again is its caller's decision.

use crate::link::{ANY_VERSION, Answer, Broken, Link, Range, Waiting};
use crate::metadata::{Broker, Metadata, Topic};
use crate::protocol::versions_of;
use crate::sasl::SaslMechanism;
use crate::{Event, LinkId, Transmit};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use types::{Instant, LeaderEpoch, NodeId, PartitionIndex, Rng, Text, TopicId, with_defaults};
use wire::metadata_request::MetadataRequestTopic;
use wire::{ApiKey, MetadataRequest, Request, Response};

with_defaults! {
    /// Kafka's names and defaults, in milliseconds.
    #[derive(Clone, Debug)]
    pub struct Options {
        /// `bootstrap.servers`
        pub bootstrap: Vec<(String, u16)> = Vec::new(),
        /// `client.id`
        pub client_id: String = "vltava".to_owned(),
        /// `default.api.timeout.ms`
        pub api_timeout_ms: u64 = 60_000,
        /// `retries`
        pub retries_max: u32 = i32::MAX.cast_unsigned(),
        /// `request.timeout.ms`
        pub request_timeout_ms: u64 = 30_000,
        /// `socket.connection.setup.timeout.ms`
        pub connect_timeout_ms: u64 = 10_000,
        /// `socket.connection.setup.timeout.max.ms`: what that grows to with failures.
        pub connect_timeout_ms_max: u64 = 30_000,
        /// `connections.max.idle.ms`
        pub connection_idle_ms_max: u64 = 540_000,
        /// `retry.backoff.ms` and `retry.backoff.max.ms`
        pub retry_backoff_ms: (u64, u64) = (100, 1000),
        /// `reconnect.backoff.ms` and `reconnect.backoff.max.ms`
        pub reconnect_backoff_ms: (u64, u64) = (50, 1000),
        /// `metadata.max.age.ms`
        pub metadata_max_age_ms: u64 = 300_000,
        /// `metadata.recovery.strategy` is rebootstrap.
        pub rebootstraps: bool = true,
        /// `allow.auto.create.topics`
        pub allow_auto_create_topics: bool = true,
        /// `sasl.mechanism`, where brokers are to be told who this client is: the driver is asked for its credentials.
        pub sasl: Option<SaslMechanism> = None,
        /// Highest versions to use, by API key, where they are to be lower than what this library speaks.
        pub version_caps: BTreeMap<ApiKey, i16> = BTreeMap::new(),
        /// Where this client's chance comes from.
        pub seed: u64 = 0,
    }
}

/// To whom a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Any,
    Controller,
    Node(NodeId),
    /// A node in its role as coordinator: on a connection of its own, so that a rebalance that waits holds up nothing.
    Coordinator(NodeId),
}

/// Names a call until its answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call(pub u64);

/// Why there is no answer to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The request never left: nobody was there to take it.
    NotSent,
    /// The connection broke before the answer; the broker may have done what was asked.
    Disconnected,
    /// No answer in time; the broker may yet do what was asked.
    TimedOut,
    /// The broker does not speak a version of this request that we do.
    Unsupported,
    /// The request was sent and has no answer (produce with acks=0).
    Unanswered,
    /// The request never left: the broker does not let this client in, or the client does not trust the broker.
    Denied,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Peer {
    Bootstrap(usize),
    Node(NodeId),
    Coordinator(NodeId),
}

#[derive(Debug, Default)]
struct Attempts {
    failed: u32,
    not_before: Instant,
    is_denied: bool,
}

#[derive(Debug)]
pub struct Cluster {
    pub options: Options,
    pub rng: Rng,
    metadata: Metadata,
    links: BTreeMap<LinkId, (Peer, Link)>,
    attempts: BTreeMap<Peer, Attempts>,
    held: VecDeque<(Target, Waiting)>,
    answers: Vec<Answer>,
    transmits: VecDeque<Transmit>,
    next_link: u64,
    next_call: u64,
    pub wanted: BTreeSet<Text>,
    wants_all: bool,
    /// The question that is under way, and whether it is for all topics.
    refresh: Option<(Call, bool)>,
    refresh_at: Instant,
    refresh_failed: u32,
    /// The latest moment that was heard of.
    now: Instant,
    /// Counts answers about metadata, so that callers can tell whether something may have changed.
    epoch: u64,
    /// The epoch of the features that a broker told last, and their `transaction.version`.
    transaction_version: (i64, i16),
}

impl Cluster {
    #[must_use]
    pub fn new(options: Options) -> Cluster {
        Cluster {
            rng: Rng::new(options.seed),
            options,
            metadata: Metadata::default(),
            links: BTreeMap::new(),
            attempts: BTreeMap::new(),
            held: VecDeque::new(),
            answers: Vec::new(),
            transmits: VecDeque::new(),
            next_link: 0,
            next_call: 0,
            wanted: BTreeSet::new(),
            wants_all: false,
            refresh: None,
            refresh_at: Instant(u64::MAX),
            refresh_failed: 0,
            now: Instant(0),
            epoch: 0,
            transaction_version: (-1, 0),
        }
    }

    /// Sends a request; its answer or failure comes out of `take_answers`.
    pub fn call(&mut self, now: Instant, target: Target, request: impl Into<Request>) -> Call {
        self.call_for(now, target, request, self.options.request_timeout_ms)
    }

    /// As `call`, with an answer expected within `timeout_ms`.
    pub fn call_for(&mut self, now: Instant, target: Target, request: impl Into<Request>, timeout_ms: u64) -> Call {
        let request = request.into();
        let versions = versions_of(&request);
        self.hold(target, request, versions, now.plus_ms(timeout_ms), now)
    }

    /// As `call`, in none but these versions of the request: what it means differs from one to the next.
    pub fn call_in(&mut self, now: Instant, target: Target, request: impl Into<Request>, versions: Range) -> Call {
        self.hold(target, request.into(), versions, now.plus_ms(self.options.request_timeout_ms), now)
    }

    fn hold(&mut self, target: Target, request: Request, versions: Range, deadline: Instant, now: Instant) -> Call {
        let call = Call(self.next_call);
        self.next_call += 1;
        self.held.push_back((target, Waiting { call, request, versions, deadline }));
        self.place(now);
        call
    }

    /// What has been answered or has failed since the last time.
    pub fn take_answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.answers)
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Whether a request to a node would leave at once, and how many wait there for their answers; connects to it where
    /// nobody has.
    pub fn load(&mut self, now: Instant, node: NodeId) -> Option<usize> {
        let id = self.link_to(now, Peer::Node(node))?;
        let (_, link) = self.links.get(&id)?;
        link.is_ready().then(|| link.load())
    }

    /// In which version the brokers that are connected all take a request.
    pub fn version(&self, key: ApiKey) -> Option<i16> {
        self.links.values().filter_map(|(_, link)| link.version(key, ANY_VERSION)).min()
    }

    /// Waits longer after each failure, with some chance in it.
    pub fn backoff_ms(&mut self, failed: u32) -> u64 {
        let range = self.options.retry_backoff_ms;
        self.spread(range, failed)
    }

    fn spread(&mut self, (first, most): (u64, u64), failed: u32) -> u64 {
        let full = first.saturating_mul(1 << failed.min(10)).min(most).max(1);
        full - full / 5 + self.rng.below(full * 2 / 5 + 1)
    }

    pub fn handle(&mut self, now: Instant, event: Event<'_>) {
        match event {
            Event::Connected(id) => {
                if let Some((_, link)) = self.links.get_mut(&id) {
                    link.connected();
                    link.used_at = now;
                }
            }
            Event::Received(id, bytes) => {
                if let Some((peer, link)) = self.links.get_mut(&id) {
                    let was_ready = link.is_ready();
                    let received = link.received(now, bytes, &mut self.answers);
                    // Brokers learn of a new level one after the other.
                    self.transaction_version = self.transaction_version.max(link.transaction_version);
                    match received {
                        Err(broken) => self.drop_link(now, id, broken),
                        Ok(()) if !was_ready && link.is_ready() => drop(self.attempts.remove(peer)),
                        Ok(()) => {}
                    }
                }
            }
            Event::Identified(id, credentials) => {
                if let Some((_, link)) = self.links.get_mut(&id) {
                    link.identified(credentials);
                }
            }
            Event::Closed(id) => self.lose_link(now, id, Failure::Disconnected),
            Event::Denied(id) => self.lose_link(now, id, Failure::Denied),
            Event::Wake => {}
        }
        self.expire(now);
        self.metadata_answered(now);
        self.refresh(now);
        self.place(now);
    }

    pub fn next_wake(&self) -> Option<Instant> {
        let links = self.links.values().filter_map(|(_, link)| link.deadline().or(self.idle_at(link)));
        let held = self.held.iter().map(|(_, held)| held.deadline);
        let attempts = self.attempts.values().map(|attempts| attempts.not_before);
        let attempts = attempts.filter(|at| !self.held.is_empty() && *at > self.now);
        let refresh = self.refresh.is_none().then_some(self.refresh_at).filter(|at| at.0 != u64::MAX);
        // What is sent without an answer is answered for at once, and looked at when next woken; what is to be sent, too.
        let answered = (!self.answers.is_empty() || !self.transmits.is_empty()).then_some(self.now);
        links.chain(held).chain(attempts).chain(refresh).chain(answered).min()
    }
}

/// Metadata.
impl Cluster {
    /// Asks about a topic from now on. True where it is known already.
    pub fn want(&mut self, now: Instant, topic: &Text) -> bool {
        if !self.wanted.contains(topic.as_str()) {
            self.wanted.insert(topic.detached());
            self.refresh_at = now;
            self.refresh(now);
        }
        self.metadata.topic(topic).is_some()
    }

    /// Asks who the brokers are, whatever topics are wanted.
    pub fn learn(&mut self, now: Instant) {
        self.refresh_at = now;
        self.refresh(now);
    }

    /// Asks about all topics from now on, or only about wanted ones again.
    pub fn want_all(&mut self, now: Instant, wants_all: bool) {
        self.wants_all = wants_all;
        self.refresh_at = now;
        self.refresh(now);
    }

    /// Something that was known turned out to be wrong: asks again soon.
    pub fn refresh_soon(&mut self, now: Instant) {
        let at = now.plus_ms(self.backoff_ms(self.refresh_failed));
        self.refresh_at = self.refresh_at.min(at);
    }

    /// Takes note that a partition had a leader in this epoch.
    pub fn saw_epoch(&mut self, spot: &(Text, PartitionIndex), epoch: LeaderEpoch) {
        if self.metadata.outdate(self.now, spot, epoch) {
            self.refresh_soon(self.now);
        }
    }

    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.metadata.topic(name)
    }

    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Topic> {
        self.metadata.by_id(id)
    }

    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.metadata.topics()
    }

    pub fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.metadata.brokers.values()
    }

    #[must_use]
    pub fn cluster_id(&self) -> Option<&Text> {
        self.metadata.cluster_id.as_ref()
    }

    /// The level of the feature `transaction.version`, as far as brokers have told.
    #[must_use]
    pub fn transaction_version(&self) -> i16 {
        self.transaction_version.1
    }

    /// Grows with every answer about metadata.
    #[must_use]
    pub fn metadata_epoch(&self) -> u64 {
        self.epoch
    }

    fn refresh(&mut self, now: Instant) {
        if self.refresh.is_some() || now < self.refresh_at {
            return;
        }
        let topic = |name: &Text| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() };
        let topics = if self.wants_all { None } else { Some(self.wanted.iter().map(topic).collect()) };
        let request = MetadataRequest {
            topics,
            allow_auto_topic_creation: self.options.allow_auto_create_topics,
            ..Default::default()
        };
        self.refresh_at = Instant(u64::MAX);
        let call = self.call(now, Target::Any, request);
        self.refresh = Some((call, self.wants_all));
    }

    fn metadata_answered(&mut self, now: Instant) {
        let Some((call, all)) = self.refresh else { return };
        let Some(at) = self.answers.iter().position(|(answered, _)| *answered == call) else { return };
        let (_, result) = self.answers.remove(at);
        self.refresh = None;
        let complete = if let Ok(Response::Metadata(response)) = result {
            self.metadata.update(now, &response, all);
            self.epoch += 1;
            self.is_complete()
        } else {
            false
        };
        let wait_ms = if complete {
            self.refresh_failed = 0;
            self.options.metadata_max_age_ms
        } else {
            self.refresh_failed += 1;
            self.backoff_ms(self.refresh_failed)
        };
        self.refresh_at = self.refresh_at.min(now.plus_ms(wait_ms));
    }

    /// Whether every topic that is wanted is there with a leader for each partition.
    fn is_complete(&self) -> bool {
        self.wanted.iter().all(|name| {
            self.metadata.topic(name).is_some_and(|topic| {
                topic.error.is_ok() && topic.partitions.iter().all(|partition| partition.leader.is_some())
            })
        })
    }
}

/// Connections.
impl Cluster {
    /// Hands over held calls whose peers are there, connecting where nobody is.
    fn place(&mut self, now: Instant) {
        self.now = now;
        for (target, held) in std::mem::take(&mut self.held) {
            match self.find(now, target) {
                Some(id) => self.submit(id, held),
                None if self.is_denied(now, target) => self.answers.push((held.call, Err(Failure::Denied))),
                None => self.held.push_back((target, held)),
            }
        }
        self.flush();
    }

    /// Whether those a call could go to have just denied this client: asking on would not help.
    fn is_denied(&self, now: Instant, target: Target) -> bool {
        let is_asked = |peer: &Peer| match (target, *peer) {
            (Target::Node(node), Peer::Node(other)) | (Target::Coordinator(node), Peer::Coordinator(other)) => {
                node == other
            }
            (Target::Any | Target::Controller, _) => true,
            (Target::Node(_) | Target::Coordinator(_), _) => false,
        };
        self.attempts.iter().any(|(peer, known)| known.is_denied && now < known.not_before && is_asked(peer))
    }

    fn submit(&mut self, id: LinkId, held: Waiting) {
        let (_, link) = self.links.get_mut(&id).expect("it was just found");
        link.used_at = self.now;
        link.submit(held, &mut self.answers);
    }

    fn flush(&mut self) {
        for (id, (_, link)) in &mut self.links {
            if std::mem::take(&mut link.wants_credentials) {
                self.transmits.push_back(Transmit::Identify { link: *id });
            }
            for bytes in link.outbox.drain(..) {
                self.transmits.push_back(Transmit::Send { link: *id, bytes });
            }
        }
    }

    fn find(&mut self, now: Instant, target: Target) -> Option<LinkId> {
        match target {
            Target::Any => self.find_any(now),
            Target::Controller => match self.metadata.controller {
                Some(node) if self.metadata.brokers.contains_key(&node) => self.link_to(now, Peer::Node(node)),
                _ => self.find_any(now),
            },
            Target::Node(node) => self.link_to(now, Peer::Node(node)),
            Target::Coordinator(node) => self.link_to(now, Peer::Coordinator(node)),
        }
    }

    /// The ready connection with the least to do, else one that is coming up, else a new one.
    fn find_any(&mut self, now: Instant) -> Option<LinkId> {
        let usable = self.links.iter().filter(|(_, (peer, _))| !matches!(peer, Peer::Coordinator(_)));
        let best = usable.min_by_key(|(_, (_, link))| (!link.is_ready(), link.load()));
        if let Some((id, _)) = best {
            return Some(*id);
        }
        let mut peers: Vec<Peer> = self.metadata.brokers.keys().map(|node| Peer::Node(*node)).collect();
        if self.options.rebootstraps || peers.is_empty() {
            peers.extend((0..self.options.bootstrap.len()).map(Peer::Bootstrap));
        }
        let first = usize::try_from(self.rng.below(peers.len() as u64)).unwrap_or(0);
        peers.rotate_left(first);
        // By chance, but not twice to one that has failed while another was not tried.
        peers.sort_by_key(|peer| self.attempts.get(peer).map_or(0, |attempts| attempts.failed));
        peers.into_iter().find_map(|peer| self.link_to(now, peer))
    }

    fn link_to(&mut self, now: Instant, peer: Peer) -> Option<LinkId> {
        if let Some((id, _)) = self.links.iter().find(|(_, (known, _))| *known == peer) {
            return Some(*id);
        }
        let (host, port) = self.address(peer)?;
        if self.attempts.get(&peer).is_some_and(|attempts| now < attempts.not_before) {
            return None;
        }
        let id = LinkId(self.next_link);
        self.next_link += 1;
        let failed = self.attempts.get(&peer).map_or(0, |attempts| attempts.failed);
        let timeout_ms = self.options.connect_timeout_ms.saturating_mul(1 << failed.min(10));
        let most_ms = self.options.connect_timeout_ms_max.max(self.options.connect_timeout_ms);
        let by = now.plus_ms(timeout_ms.min(most_ms));
        let session_percent = if self.options.sasl.is_some() { 85 + self.rng.below(11) } else { 0 };
        let link = Link::new(&self.options, by, session_percent);
        self.links.insert(id, (peer, link));
        self.transmits.push_back(Transmit::Connect { link: id, host, port });
        Some(id)
    }

    fn address(&self, peer: Peer) -> Option<(String, u16)> {
        match peer {
            Peer::Bootstrap(at) => self.options.bootstrap.get(at).cloned(),
            Peer::Node(node) | Peer::Coordinator(node) => {
                self.metadata.brokers.get(&node).map(|broker| (broker.host.clone(), broker.port))
            }
        }
    }

    /// Closes a connection that is of no more use.
    fn drop_link(&mut self, now: Instant, id: LinkId, broken: Broken) {
        let is_denied = broken.failure == Failure::Denied;
        self.transmits.push_back(Transmit::Close { link: id, why: Some(broken.why), is_denied });
        self.lose_link(now, id, broken.failure);
    }

    /// When a connection is closed for which nobody has a use.
    fn idle_at(&self, link: &Link) -> Option<Instant> {
        let is_idle = link.is_ready() && link.load() == 0;
        is_idle.then(|| link.used_at.plus_ms(self.options.connection_idle_ms_max)).filter(|at| at.0 != u64::MAX)
    }

    fn lose_link(&mut self, now: Instant, id: LinkId, failure: Failure) {
        let Some((peer, link)) = self.links.remove(&id) else { return };
        link.close(failure, &mut self.answers);
        let failed = self.attempts.get(&peer).map_or(0, |attempts| attempts.failed);
        let range = self.options.reconnect_backoff_ms;
        let not_before = now.plus_ms(self.spread(range, failed));
        self.attempts.insert(peer, Attempts { failed: failed + 1, not_before, is_denied: failure == Failure::Denied });
        self.refresh_soon(now);
    }

    fn expire(&mut self, now: Instant) {
        let late = |(_, (_, link)): &(&LinkId, &(Peer, Link))| link.deadline().is_some_and(|deadline| deadline <= now);
        let late: Vec<LinkId> = self.links.iter().filter(late).map(|(id, _)| *id).collect();
        for id in late {
            let why = "it does not answer in time, or not in Kafka's protocol".to_owned();
            self.drop_link(now, id, Broken { why, failure: Failure::TimedOut });
        }
        let is_idle = |(_, link): &(Peer, Link)| self.idle_at(link).is_some_and(|at| at <= now);
        let idle: Vec<LinkId> = self.links.iter().filter(|(_, link)| is_idle(link)).map(|(id, _)| *id).collect();
        for id in idle {
            self.links.remove(&id);
            self.transmits.push_back(Transmit::Close { link: id, why: None, is_denied: false });
        }
        for (target, held) in std::mem::take(&mut self.held) {
            // A node that the cluster no longer names is not there under its old address; it may be known anew.
            let gone = matches!(target, Target::Node(node) | Target::Coordinator(node)
                if !self.metadata.brokers.contains_key(&node));
            if gone {
                self.refresh_soon(now);
            }
            if held.deadline <= now || gone {
                self.answers.push((held.call, Err(Failure::NotSent)));
            } else {
                self.held.push_back((target, held));
            }
        }
    }
}
