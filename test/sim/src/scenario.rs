//! One simulation from one seed: what kind of world it is, what goes wrong in it, and what must hold at its end.

use crate::actor::Actor;
use crate::actors::{Administrator, Auditor, GroupMember, NewTopic, Sender, SharedOracle, options};
use crate::broker::BrokerProgram;
use crate::cluster;
use crate::node::Crash;
use crate::oracle::{Figures, Nature, Oracle, Promise, Reading};
use crate::world::World;
use broker::Settings;
use client::{Acks, Assignor, ConsumerOptions, GroupOptions, Options, ProducerOptions, Reset};
use log::{ErrorKind, Fault, MemoryDisk, Operation};
use record::Codec;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use types::{Rng, Text};
use wire::ApiKey;

/// How long everything may take, in simulated time, to be well again after the last fault.
const HEAL_MS: u64 = 60_000;

/// How long a clean stop may take.
const STOP_MS: u64 = 2000;

/// What may happen to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Connections break, threads stall; the broker runs on.
    Calm,
    /// The process is killed; the page cache is what acknowledgements count on.
    Kills,
    /// The machine loses power; acknowledgements wait for a sync (group commit).
    PowerLosses,
    /// The disk is full now and then.
    FullDisk,
    /// Calls to the disk fail, and the process is killed in the midst of its writes.
    BadDisk,
    /// Several brokers, and everything that can happen to them and between them.
    Cluster,
}

impl Kind {
    #[must_use]
    pub fn parse(text: &str) -> Option<Kind> {
        match text {
            "calm" => Some(Kind::Calm),
            "kill" => Some(Kind::Kills),
            "power" => Some(Kind::PowerLosses),
            "full" => Some(Kind::FullDisk),
            "bad" => Some(Kind::BadDisk),
            "cluster" => Some(Kind::Cluster),
            _ => None,
        }
    }

    /// As the command line has it.
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Kind::Calm => " --kind calm",
            Kind::Kills => " --kind kill",
            Kind::PowerLosses => " --kind power",
            Kind::FullDisk => " --kind full",
            Kind::BadDisk => " --kind bad",
            Kind::Cluster => " --kind cluster",
        }
    }
}

/// What a simulation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub kind: Kind,
    pub figures: Figures,
    pub hash: u64,
}

pub(crate) type Sim = World<BrokerProgram, Box<dyn Actor>>;

pub(crate) struct Scenario {
    pub kind: Kind,
    pub rng: Rng,
    pub oracle: SharedOracle,
    pub topics: Vec<NewTopic>,
    pub fleeting: Vec<Text>,
    /// Where clients begin.
    pub hosts: Vec<String>,
}

/// Runs the simulation of a seed; panics where a promise is broken.
#[must_use]
pub fn run(seed: u64, kind: Option<Kind>, print: bool) -> Outcome {
    let mut rng = Rng::new(seed);
    let drawn = match rng.below(8) {
        0 => Kind::Calm,
        1 | 2 => Kind::Kills,
        3 => Kind::FullDisk,
        4 => Kind::BadDisk,
        _ => Kind::PowerLosses,
    };
    let kind = kind.unwrap_or(drawn);
    let alone = kind != Kind::Cluster;
    let leader_acks_last = !matches!(kind, Kind::PowerLosses | Kind::Cluster);
    let oracle = Rc::new(RefCell::new(Oracle::new(Promise {
        leader_acks_last,
        high_watermark_lasts: alone,
        producers_last: alone,
    })));
    let hosts = vec![Sim::host(0)];
    let mut scenario = Scenario { kind, rng, oracle, topics: Vec::new(), fleeting: Vec::new(), hosts };
    scenario.plan_topics();
    if kind == Kind::Cluster {
        return cluster::run(scenario, seed, print);
    }
    let mut world = scenario.world(print);
    world.boot(0);
    scenario.people(&mut world);
    scenario.faults(&mut world);
    scenario.heal(&mut world);
    scenario.audit(&mut world);
    scenario.outcome(&world)
}

impl Scenario {
    pub fn outcome(&self, world: &Sim) -> Outcome {
        let oracle = self.oracle.borrow();
        Outcome { kind: self.kind, figures: oracle.figures, hash: oracle.hash() ^ world.trace.hash() }
    }

    fn plan_topics(&mut self) {
        let rng = &mut self.rng;
        for number in 0..1 + rng.below(3) {
            let mut configs: Vec<(&str, String)> = Vec::new();
            let mut nature = Nature::default();
            if rng.one_in(2) {
                configs.push(("internal.segment.bytes", (3000 + rng.below(8000)).to_string()));
            }
            if rng.one_in(4) {
                configs.push(("segment.ms", (200 + rng.below(3000)).to_string()));
            }
            if rng.one_in(4) {
                configs.push(("message.timestamp.type", "LogAppendTime".to_owned()));
            }
            if rng.one_in(3) {
                let codec = ["gzip", "snappy", "lz4", "zstd", "uncompressed"];
                configs.push(("compression.type", codec[usize::try_from(rng.below(5)).expect("small")].to_owned()));
            }
            match rng.below(5) {
                0 => {
                    nature.compacted = true;
                    configs.push(("cleanup.policy", "compact".to_owned()));
                    configs.push(("min.cleanable.dirty.ratio", "0.01".to_owned()));
                    configs.push(("delete.retention.ms", rng.below(1000).to_string()));
                }
                1 => {
                    nature.trimmed = true;
                    configs.push(("retention.bytes", (2000 + rng.below(10_000)).to_string()));
                }
                2 => nature.trimmed = true,
                _ => {}
            }
            configs.push(("file.delete.delay.ms", rng.below(2000).to_string()));
            // Drawn aside, so that each seed stays the story that it was. A record fits, a few do not.
            let mut aside = Rng::new(!rng.clone().next_u64());
            if aside.one_in(3) {
                configs.push(("max.message.bytes", (600 + aside.below(2000)).to_string()));
            }
            let name = Text::from(format!("t{number}"));
            let partitions = 1 + i32::try_from(rng.below(4)).expect("small");
            self.oracle.borrow_mut().natures.insert(name.clone(), nature);
            let configs = configs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            self.topics.push(NewTopic { name, partitions, replicas: 1, configs });
        }
        for number in 0..rng.below(3) {
            let name = Text::from(format!("f{number}"));
            self.oracle.borrow_mut().natures.insert(name.clone(), Nature { fleeting: true, ..Nature::default() });
            self.fleeting.push(name);
        }
    }

    fn world(&mut self, print: bool) -> Sim {
        let rng = &mut self.rng;
        let mut given: Vec<(&str, String)> = vec![
            ("node.id", "1".to_owned()),
            ("auto.create.topics.enable", "false".to_owned()),
            ("offsets.topic.num.partitions", (1 + rng.below(3)).to_string()),
            ("offsets.topic.replication.factor", "1".to_owned()),
            ("group.min.session.timeout.ms", "50".to_owned()),
            ("group.initial.rebalance.delay.ms", rng.below(200).to_string()),
            ("log.retention.check.interval.ms", (100 + rng.below(1000)).to_string()),
            ("log.cleaner.backoff.ms", (50 + rng.below(500)).to_string()),
            ("log.segment.delete.delay.ms", rng.below(1000).to_string()),
        ];
        if self.kind == Kind::PowerLosses {
            given.push(("log.flush.interval.messages", "1".to_owned()));
        }
        let settings = Settings::read(given.iter().map(|(name, value)| (*name, value.as_str())));
        let settings = settings.unwrap_or_else(|problems| panic!("the settings are refused: {problems:?}"));
        let program = BrokerProgram {
            disks: vec![MemoryDisk::new(rng.next_u64())],
            unmounted: None,
            settings,
            shards: 1 + u16::try_from(rng.below(4)).expect("small"),
            host: Sim::host(0),
            voters: Vec::new(),
        };
        let mut world = World::new(rng.next_u64(), vec![program], print);
        world.may_fail = matches!(self.kind, Kind::BadDisk | Kind::FullDisk);
        if rng.one_in(4) {
            world.pace.network_us = (100, 20_000);
        }
        if rng.one_in(4) {
            world.pace.job_us = (100, 50_000);
        }
        world
    }

    /// Those who work with the broker.
    pub fn people(&mut self, world: &mut Sim) {
        let names: Vec<Text> = self.topics.iter().map(|topic| topic.name.clone()).collect();
        let admin = Administrator::new(
            options(&mut self.rng, &self.hosts),
            self.oracle.clone(),
            self.topics.clone(),
            self.fleeting.clone(),
            self.rng.next_u64(),
        );
        world.add_actor(Box::new(admin));
        for number in 0..1 + usize::try_from(self.rng.below(4)).expect("small") {
            let mut topics = names.clone();
            if self.rng.one_in(4) {
                topics.extend(self.fleeting.iter().cloned());
            }
            let options = self.producer_options();
            let sender = Sender::new(number, options, self.oracle.clone(), topics, self.rng.next_u64());
            world.add_actor(Box::new(if self.kind == Kind::Cluster { sender.lasting() } else { sender }));
        }
        for group in 0..self.rng.below(3) {
            let id = Text::from(format!("g{group}"));
            let assignors = match self.rng.below(6) {
                0 | 1 => vec![Assignor::Range],
                2 | 3 => vec![Assignor::CooperativeSticky],
                4 => vec![if self.rng.one_in(2) { Assignor::Sticky } else { Assignor::RoundRobin }],
                _ => vec![Assignor::CooperativeSticky, Assignor::Range],
            };
            let has_statics = self.rng.one_in(4);
            self.oracle.borrow_mut().group_topics.insert(id.clone(), Reading { has_statics });
            for number in 0..1 + usize::try_from(self.rng.below(4)).expect("small") {
                let instance = has_statics.then(|| Text::from(format!("i{number}")));
                let id = id.clone();
                let hosts = self.hosts.clone();
                let assignors = assignors.clone();
                let recipe = move |rng: &mut Rng| consumer_options(rng, &hosts, &id, instance.as_ref(), &assignors);
                let seed = self.rng.next_u64();
                let member = GroupMember::new(number, Box::new(recipe), self.oracle.clone(), names.clone(), seed);
                world.add_actor(Box::new(member));
            }
        }
    }

    pub fn producer_options(&mut self) -> ProducerOptions {
        let rng = &mut self.rng;
        let acks = match rng.below(6) {
            0 => Acks::None,
            1 => Acks::Leader,
            _ => Acks::All,
        };
        let codec = Codec::ALL[usize::try_from(rng.below(9)).expect("small").saturating_sub(4)];
        let mut cluster = options(rng, &self.hosts);
        // Brokers take zstd from those only who speak version 7 (KIP-110).
        if codec == Codec::Zstd {
            cluster.version_caps.remove(&ApiKey::Produce);
        }
        let idempotent = rng.below(4) > 0;
        ProducerOptions {
            cluster,
            acks,
            // What a leader alone acknowledged may be lost with it, and then the sequence has a gap.
            idempotent: idempotent && (self.kind != Kind::Cluster || acks == Acks::All),
            linger_ms: rng.below(20),
            batch_bytes: usize::try_from(200 + rng.below(2000)).expect("small"),
            delivery_timeout_ms: 15_000 + rng.below(10_000),
            in_flight_max: 1 + usize::try_from(rng.below(5)).expect("small"),
            codec: (codec, codec.default_level()),
            ..ProducerOptions::default()
        }
    }

    /// Lets the world run while things go wrong in it.
    fn faults(&mut self, world: &mut Sim) {
        let until = world.now().at.plus_ms(1000 + self.rng.below(4000));
        let often = [20, 100, 400][usize::try_from(self.rng.below(3)).expect("small")];
        while world.now().at < until {
            let step = world.now().at.plus_ms(1 + self.rng.below(often));
            world.run(step);
            self.fault(world);
        }
    }

    fn fault(&mut self, world: &mut Sim) {
        let is_up = world.processes[0].is_up();
        let down_us = 1000 * self.rng.below(400);
        match self.rng.below(12) {
            0..4 => world.reset(),
            4 | 5 => world.hold_up(1000 * self.rng.below(800)),
            6 | 7 => {
                let shard = usize::try_from(self.rng.below(4)).expect("small");
                world.stall(0, shard, 1000 * self.rng.below(600));
            }
            8 => world.wall_skew_ms += i64::try_from(self.rng.below(2000)).expect("small") - 500,
            9 if is_up && self.kind == Kind::Kills => {
                world.crash(0, Crash::Kill);
                world.boot_later(0, down_us);
            }
            9 | 10 if is_up && self.kind == Kind::PowerLosses => {
                world.crash(0, Crash::PowerLoss);
                world.boot_later(0, down_us);
            }
            9 | 10 if self.kind == Kind::FullDisk => self.fill_disk(world),
            9 | 10 if self.kind == Kind::BadDisk => self.break_disk(world),
            11 if is_up && self.kind != Kind::Calm && self.rng.one_in(3) => self.restart(world),
            _ => {}
        }
        if !world.processes[0].is_up() {
            world.boot_later(0, down_us);
        }
    }

    /// A clean stop takes no longer than its bound.
    fn restart(&mut self, world: &mut Sim) {
        world.stop(0);
        let bound = world.now().at.plus_ms(STOP_MS);
        let ends = world.processes[0].ends();
        while world.processes[0].ends() == ends {
            world.run(world.now().at.plus_ms(5));
            assert!(world.now().at < bound, "the broker has not stopped {STOP_MS} ms after it was asked to");
        }
    }

    /// Some other process takes all space but a little, or gives it back.
    fn fill_disk(&mut self, world: &mut Sim) {
        let disk = &world.processes[0].program.disks[0];
        let used: u64 = disk.files().iter().map(|(_, bytes)| bytes.len() as u64).sum();
        let is_full = self.rng.one_in(2);
        disk.set_capacity_bytes(if is_full { used + self.rng.below(2000) } else { u64::MAX });
    }

    /// The next calls to the disk of some kind fail; sometimes all of them, and then the process is killed.
    fn break_disk(&mut self, world: &mut Sim) {
        use Operation::{Change, Open, Read, Remove, Rename, Sync, Write};
        let disk = world.processes[0].program.disks[0].clone();
        let mut fault = |operation, after: u64, times| {
            let torn_bytes = usize::try_from(self.rng.below(400)).expect("small");
            let after = u32::try_from(self.rng.below(after)).expect("small");
            disk.inject(Fault { operation, path: String::new(), kind: ErrorKind::Failed, after, times, torn_bytes });
        };
        if world.rng.one_in(2) {
            let all = [Open, Read, Write, Write, Sync, Sync, Rename, Remove, Change];
            fault(all[usize::try_from(world.rng.below(9)).expect("small")], 20, 1);
            return;
        }
        // Dead from one write on, as far as the disk is concerned, and a little later altogether.
        for operation in [Write, Sync, Rename, Remove, Change] {
            fault(operation, 4, u32::MAX);
        }
        world.run(world.now().at.plus_ms(1 + self.rng.below(20)));
        if world.processes[0].is_up() {
            world.crash(0, Crash::Kill);
        }
        disk.clear_faults();
    }

    /// Nothing goes wrong any more: all that is open must come to its end in time.
    fn heal(&mut self, world: &mut Sim) {
        self.oracle.borrow_mut().is_healing = true;
        world.processes[0].program.disks[0].set_capacity_bytes(u64::MAX);
        world.processes[0].program.disks[0].clear_faults();
        // What a failing disk took off line comes back with the process, not before.
        if self.kind == Kind::BadDisk && world.processes[0].is_up() {
            world.crash(0, Crash::Kill);
        }
        let bound = world.now().at.plus_ms(HEAL_MS);
        loop {
            world.run(world.now().at.plus_ms(200));
            if !world.processes[0].is_up() {
                world.boot_later(0, 0);
            }
            let open: usize = self.oracle.borrow().open.values().sum();
            if open == 0 && world.processes[0].is_up() {
                break;
            }
            assert!(world.now().at < bound, "{open} records have no answer {HEAL_MS} ms after the last fault");
        }
        // Once more before the end: what is there must still be there.
        let last = match self.kind {
            Kind::Calm | Kind::FullDisk => None,
            Kind::Kills | Kind::BadDisk => Some(Crash::Kill),
            Kind::PowerLosses => Some(Crash::PowerLoss),
            Kind::Cluster => None,
        };
        if let Some(crash) = last.filter(|_| self.rng.one_in(2)) {
            world.crash(0, crash);
            world.boot(0);
        }
    }

    pub fn audit(&mut self, world: &mut Sim) {
        let names = self.topics.iter().map(|topic| topic.name.clone()).collect();
        // It must be told where a log begins, which old versions of Fetch do not say.
        let options = Options { version_caps: BTreeMap::new(), ..options(&mut self.rng, &self.hosts) };
        world.add_actor(Box::new(Auditor::new(&options, self.oracle.clone(), names)));
        let bound = world.now().at.plus_ms(HEAL_MS);
        loop {
            world.run(world.now().at.plus_ms(100));
            for process in 0..world.processes.len() {
                if !world.processes[process].is_up() {
                    world.boot(process);
                }
            }
            let (is_audited, unread) = (self.oracle.borrow().is_audited, self.oracle.borrow().unread());
            if is_audited && unread.is_empty() {
                break;
            }
            if world.now().at >= bound {
                for (number, process) in world.processes.iter().enumerate() {
                    for (path, bytes) in process.program.disks[0].files() {
                        world
                            .trace
                            .say(world.now().at, format_args!("disk {number}: {path} has {} bytes", bytes.len()));
                    }
                }
            }
            assert!(
                world.now().at < bound,
                "{HEAL_MS} ms after the last fault not all is read: audited is {is_audited}, by groups not {unread:?}"
            );
        }
        self.oracle.borrow().check_end();
    }
}

fn consumer_options(
    rng: &mut Rng,
    hosts: &[String],
    group: &Text,
    instance: Option<&Text>,
    assignors: &[Assignor],
) -> ConsumerOptions {
    let mut cluster = options(rng, hosts);
    if hosts.len() > 1 {
        // Who is not told leader epochs, or cannot commit them, goes by the word of a leader that was cut off.
        let first = [(ApiKey::Metadata, 7), (ApiKey::Fetch, 9), (ApiKey::OffsetCommit, 6), (ApiKey::OffsetFetch, 5)];
        for (key, version) in first {
            cluster.version_caps.entry(key).and_modify(|cap| *cap = version.max(*cap));
        }
    }
    // A static member says who it is in all of these, or in none (KIP-345).
    if instance.is_some() {
        use ApiKey::{Heartbeat, JoinGroup, LeaveGroup, OffsetCommit, SyncGroup};
        let keys = [JoinGroup, SyncGroup, Heartbeat, LeaveGroup, OffsetCommit];
        cluster.version_caps.retain(|key, cap| !keys.contains(key) || *cap == 9 && *key == OffsetCommit);
    }
    let session_timeout_ms = 200 + rng.below(1500);
    let group = GroupOptions {
        id: group.clone(),
        instance_id: instance.cloned(),
        session_timeout_ms,
        poll_interval_max_ms: session_timeout_ms + rng.below(1000),
        heartbeat_ms: session_timeout_ms / 4,
        assignors: assignors.to_vec(),
        auto_commit_ms: (rng.below(4) > 0).then(|| 20 + rng.below(500)),
        ..GroupOptions::default()
    };
    ConsumerOptions {
        cluster,
        group: Some(group),
        read_committed: rng.one_in(2),
        reset: Reset::Earliest,
        fetch_min_bytes: if rng.one_in(3) { 200 } else { 1 },
        fetch_wait_ms: i32::try_from(rng.below(300)).expect("small"),
        fetch_bytes_max: if rng.one_in(3) { 2000 } else { 1 << 20 },
        partition_bytes_max: if rng.one_in(3) { 500 } else { 1 << 20 },
        poll_records_max: if rng.one_in(3) { 3 } else { 500 },
        sessions: rng.below(4) > 0,
        ..ConsumerOptions::default()
    }
}
