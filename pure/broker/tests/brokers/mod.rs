//! Several whole brokers on disks in memory, which reach each other over links that take a millisecond each way. Jobs and
//! messages between shards are carried out at once.

#![allow(dead_code, reason = "each test needs a part of it")]

use broker::{Booted, ConnId, Input, LinkId, Listener, Missing, Outbox, Output, Settings, Shard, Start, boot};
use bytes::Bytes;
use log::MemoryDisk;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use types::codec::Reader;
use types::{Instant, NodeId, Now, ShardId, Text, Timestamp};
use wire::Call;

const LATENCY_US: u64 = 1000;
/// What the disks of a broker are called.
pub const ROOTS: [&str; 3] = ["/disk0", "/disk1", "/disk2"];

/// A shard of a broker.
type Place = (usize, usize);

enum Event {
    Input(Place, Input<MemoryDisk>),
    /// Bytes of a link arrive where it leads.
    Request(ConnId, Bytes),
    Response(ConnId, Bytes),
}

struct Connection {
    called: Place,
    /// None: the test itself.
    caller: Option<(Place, LinkId)>,
}

pub struct Brokers {
    shards: Vec<Vec<Shard<MemoryDisk>>>,
    /// Of each broker.
    pub disks: Vec<Vec<MemoryDisk>>,
    settings: Vec<(String, String)>,
    shard_count: u16,
    cluster_id: Option<Text>,
    schedule: BTreeMap<(Instant, u64), Event>,
    next: u64,
    pub now: Now,
    connections: BTreeMap<ConnId, Connection>,
    links: BTreeMap<(Place, LinkId), ConnId>,
    answers: BTreeMap<ConnId, VecDeque<Bytes>>,
    pub lines: Vec<String>,
    stopped: BTreeSet<Place>,
}

impl Brokers {
    /// The first broker begins a cluster that the others join. Each has `disks` disks.
    pub fn start(count: usize, disks: usize, shards: u16, settings: &[(&str, &str)]) -> Brokers {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut brokers = Brokers {
            shards: Vec::new(),
            disks: Vec::new(),
            settings,
            shard_count: shards,
            cluster_id: None,
            schedule: BTreeMap::new(),
            next: 0,
            now: Now { at: Instant(1_000_000), wall: Timestamp(1_700_000_000_000) },
            connections: BTreeMap::new(),
            links: BTreeMap::new(),
            answers: BTreeMap::new(),
            lines: Vec::new(),
            stopped: BTreeSet::new(),
        };
        for at in 0..count {
            let disk = |number: usize| MemoryDisk::new((at * 8 + number) as u64 + 1).named(ROOTS[number]);
            brokers.disks.push((0..disks).map(disk).collect());
            brokers.shards.push(Vec::new());
            let all = brokers.disks[at].iter().cloned().map(Ok).collect();
            brokers.boot(at, all);
        }
        brokers.sleep_ms(3000);
        brokers
    }

    fn boot(&mut self, at: usize, disks: Vec<Result<MemoryDisk, Missing>>) {
        let Booted { shards, cluster_id, .. } = boot(Start {
            disks,
            settings: settings_of(at, &self.settings),
            shards: self.shard_count,
            seed: self.now.at.0 + at as u64,
            now: self.now,
            listeners: vec![listener(at)],
            peer: None,
            voters: Vec::new(),
            join: if at == 0 { Vec::new() } else { vec![(listener(0).host, listener(0).port)] },
            join_cluster_id: self.cluster_id.clone(),
        })
        .expect("the broker starts");
        self.cluster_id = Some(cluster_id);
        self.shards[at] = shards;
        for shard in 0..self.shards[at].len() {
            self.plan(0, Event::Input((at, shard), Input::Started));
        }
    }

    /// Kills a broker, numbered from 1, and starts it again, without those of its disks that are not named.
    pub fn restart(&mut self, node: i32, with: &[usize]) {
        self.kill(node);
        let at = usize::try_from(node).expect("a node") - 1;
        let missing = |number: usize| Missing {
            path: Text::from(format!("{}/", ROOTS[number])),
            reason: "it is not there".to_owned(),
        };
        let disks = self.disks[at].clone().into_iter().enumerate();
        let disks = disks.map(|(number, disk)| if with.contains(&number) { Ok(disk) } else { Err(missing(number)) });
        let disks = disks.collect();
        self.boot(at, disks);
    }

    /// Stops a broker, numbered from 1, as by SIGTERM, and says how many milliseconds that took.
    pub fn stop(&mut self, node: i32) -> u64 {
        let (at, begun) = (usize::try_from(node).expect("a node") - 1, self.now.at);
        for shard in 0..self.shards[at].len() {
            self.plan(0, Event::Input((at, shard), Input::Stop));
        }
        while !(0..self.shards[at].len()).all(|shard| self.stopped.contains(&(at, shard))) {
            self.sleep_ms(1);
        }
        self.now.at.ms_since(begun)
    }

    /// Kills a broker, numbered from 1: whoever dials it is refused.
    pub fn kill(&mut self, node: i32) {
        let at = usize::try_from(node).expect("a node") - 1;
        self.shards[at].clear();
        let gone = |connection: &Connection| {
            connection.called.0 == at || connection.caller.is_some_and(|(place, _)| place.0 == at)
        };
        let ends: Vec<ConnId> =
            self.connections.iter().filter(|(_, known)| gone(known)).map(|(connection, _)| *connection).collect();
        self.schedule.retain(|_, event| match event {
            Event::Input(place, _) => place.0 != at,
            Event::Request(connection, _) | Event::Response(connection, _) => !ends.contains(connection),
        });
        for connection in ends {
            let known = self.connections.remove(&connection).expect("it was just listed");
            match known.caller {
                Some((place, link)) if place.0 != at => {
                    self.links.remove(&(place, link));
                    let reason = "it was killed".to_owned();
                    self.plan(LATENCY_US, Event::Input(place, Input::LinkClosed { link, reason }));
                }
                Some((place, link)) => {
                    self.links.remove(&(place, link));
                    self.plan(LATENCY_US, Event::Input(known.called, Input::Closed { connection }));
                }
                None => {}
            }
        }
    }

    fn plan(&mut self, in_us: u64, event: Event) {
        self.next += 1;
        self.schedule.insert((Instant(self.now.at.0 + in_us), self.next), event);
    }

    /// Lets time pass, with all that happens in it.
    pub fn sleep_ms(&mut self, ms: u64) {
        let end = self.now.at.plus_ms(ms);
        loop {
            let event = self.schedule.first_key_value().map(|((at, _), _)| *at);
            let wakes = self.shards.iter().enumerate().flat_map(|(node, shards)| {
                shards.iter().enumerate().filter_map(move |(at, shard)| Some((shard.next_wake()?, (node, at))))
            });
            let wake = wakes.min();
            match (event, wake) {
                (Some(at), _) if at <= end && wake.is_none_or(|(wake, _)| at <= wake) => {
                    self.pass_to(at);
                    let (_, event) = self.schedule.pop_first().expect("it was just seen");
                    self.happen(event);
                }
                (_, Some((wake, place))) if wake <= end => {
                    self.pass_to(wake.max(self.now.at));
                    self.input(place, Input::Wake);
                }
                _ => break,
            }
        }
        self.pass_to(end);
    }

    fn pass_to(&mut self, at: Instant) {
        let ms = i64::try_from(at.ms_since(Instant(1_000_000))).expect("short sleeps");
        self.now = Now { at, wall: Timestamp(1_700_000_000_000 + ms) };
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Input(place, input) => self.input(place, input),
            Event::Request(connection, frame) => {
                if let Some(called) = self.connections.get(&connection).map(|known| known.called) {
                    self.input(called, Input::Received { connection, frame });
                }
            }
            Event::Response(connection, frame) => {
                match self.connections.get(&connection).and_then(|known| known.caller) {
                    Some((place, link)) if self.links.contains_key(&(place, link)) => {
                        self.input(place, Input::LinkReceived { link, frame: frame.slice(4..) });
                    }
                    Some(_) => {}
                    None => self.answers.entry(connection).or_default().push_back(frame),
                }
            }
        }
    }

    fn input(&mut self, place: Place, input: Input<MemoryDisk>) {
        let mut queue = VecDeque::from([(place, input)]);
        while let Some((place, input)) = queue.pop_front() {
            let mut out = Outbox::default();
            self.shards[place.0][place.1].handle(self.now, input, &mut out);
            for output in out.outputs {
                match output {
                    Output::Job { ticket, job } => queue.push_back((place, Input::JobDone { ticket, done: job.run() })),
                    Output::ToShard { to, message } => {
                        let from = ShardId(u16::try_from(place.1).expect("few shards"));
                        queue.push_back(((place.0, usize::from(to.0)), Input::FromShard { from, message }));
                    }
                    other => self.carry_out(place, other),
                }
            }
        }
    }

    fn carry_out(&mut self, place: Place, output: Output<MemoryDisk>) {
        match output {
            Output::Send { connection, frame } => match frame.read_whole() {
                Ok(frame) => self.plan(LATENCY_US, Event::Response(connection, frame)),
                Err(_) => self.break_off(connection),
            },
            Output::Dial { link, port, .. } => {
                let node = usize::from(port) - 9001;
                if self.shards[node].is_empty() {
                    let reason = "refused".to_owned();
                    return self.plan(LATENCY_US, Event::Input(place, Input::LinkClosed { link, reason }));
                }
                let connection =
                    self.open((node, usize::try_from(link.0).expect("few links") % self.shards[node].len()));
                self.connections.get_mut(&connection).expect("just opened").caller = Some((place, link));
                self.links.insert((place, link), connection);
                self.plan(
                    LATENCY_US,
                    Event::Input(
                        place,
                        Input::LinkOpened { link, local: "127.0.0.1:1000".parse().expect("an address") },
                    ),
                );
            }
            Output::SendLink { link, frame } => {
                if let Some(connection) = self.links.get(&(place, link)) {
                    self.plan(2 * LATENCY_US, Event::Request(*connection, frame.slice(4..)));
                }
            }
            Output::Hangup { link } => {
                if let Some(connection) = self.links.remove(&(place, link))
                    && let Some(called) = self.connections.get(&connection).map(|known| known.called)
                {
                    self.plan(2 * LATENCY_US, Event::Input(called, Input::Closed { connection }));
                }
            }
            Output::Log { text, .. } => self.lines.push(format!("broker {}: {text}", place.0 + 1)),
            Output::Fatal { reason } => panic!("{reason}"),
            Output::Job { .. } | Output::ToShard { .. } => unreachable!("carried out where they come from"),
            Output::Stopped => drop(self.stopped.insert(place)),
            Output::Close { .. } | Output::Pause { .. } | Output::Resume { .. } | Output::Observed { .. } => {}
        }
    }

    /// Ends a connection whose answer cannot be read from the disk.
    fn break_off(&mut self, connection: ConnId) {
        let Some(known) = self.connections.remove(&connection) else { return };
        self.plan(LATENCY_US, Event::Input(known.called, Input::Closed { connection }));
        if let Some((place, link)) = known.caller.filter(|caller| self.links.remove(caller).is_some()) {
            let reason = "the other end closed it".to_owned();
            self.plan(LATENCY_US, Event::Input(place, Input::LinkClosed { link, reason }));
        }
    }

    fn open(&mut self, called: Place) -> ConnId {
        self.next += 1;
        let connection = ConnId(self.next);
        self.connections.insert(connection, Connection { called, caller: None });
        let peer = "127.0.0.1:1000".parse().expect("an address");
        let local = "127.0.0.1:9092".parse().expect("an address");
        self.plan(0, Event::Input(called, Input::Opened { connection, peer, local }));
        connection
    }

    /// Asks a broker, numbered from 1, and waits for its answer.
    pub fn ask<C: Call>(&mut self, node: i32, version: i16, request: &C) -> C::Response {
        let connection = self.open((usize::try_from(node).expect("a node") - 1, 0));
        let client = Text::from("test");
        let frame = wire::encode_request(7, Some(&client), version, request).slice(4..);
        self.plan(LATENCY_US, Event::Request(connection, frame));
        for _ in 0..10_000 {
            if let Some(frame) = self.answers.get_mut(&connection).and_then(VecDeque::pop_front) {
                let mut reader = Reader::new(frame.slice(4..));
                wire::ResponseHeader::decode(&mut reader, C::KEY.response_header_version(version)).expect("a header");
                return C::decode_response(&mut reader, version).expect("a response");
            }
            self.sleep_ms(1);
        }
        panic!("no answer in ten seconds");
    }
}

fn settings_of(at: usize, settings: &[(String, String)]) -> Settings {
    let id = NodeId(i32::try_from(at).expect("few nodes") + 1).to_string();
    let given = [("node.id", id.as_str())];
    let more = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Settings::read(given.into_iter().chain(more)).expect("valid settings")
}

fn listener(at: usize) -> Listener {
    let port = 9001 + u16::try_from(at).expect("few nodes");
    Listener { name: Text::from("PLAINTEXT"), host: Text::from("localhost"), port }
}
