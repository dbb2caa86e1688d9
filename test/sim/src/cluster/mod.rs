//! Several brokers as one cluster: what goes wrong with them and between them, and what must hold all the same.
//!
//! First nothing acknowledged may be lost and nobody may contradict anybody, whatever fails. Then all faults end, and
//! within a bound every partition is led and fully in sync, all clients come to their ends, and new ones get through.

mod directories;
mod failover;

use crate::actors::{Inspector, Sender, options};
use crate::broker::BrokerProgram;
use crate::network::Place::{self, Client, Process};
use crate::node::Crash;
use crate::oracle::Nature;
use crate::replicas::{Stored, holdings};
use crate::scenario::{Outcome, Scenario, Sim};
use crate::world::World;
use broker::Settings;
use client::{Acks, Options, ProducerOptions, Spot};
use directories::Directories;
use log::MemoryDisk;
use std::collections::BTreeMap;
use types::{Instant, NodeId, Offset, Text};

/// How long a cluster may take to be well again after the last fault, in simulated time.
const WELL_MS: u64 = 30_000;
/// How long a cluster that is well may take for some new records.
const PROOF_MS: u64 = 10_000;
/// The number of the sender that shows it.
const PROOF: usize = 1000;
const OFFSETS: &str = "__consumer_offsets";

/// What may go wrong in this world.
#[derive(Clone, Copy, Debug)]
struct Weather {
    kills: bool,
    stops: bool,
    /// Whose machine loses power: of all, or of one whose page cache alone is lost each time.
    power: Power,
    cuts: bool,
    clocks: bool,
    pauses: bool,
    /// Whose disk is full now and then.
    full: Option<usize>,
    /// Whose disk is lost for good, once: it comes back with an empty one, as another who must not vote.
    wipe: Option<usize>,
}

impl Weather {
    /// What this process holds and acknowledged must be elsewhere, and remembered there.
    fn save_what_is_at(&mut self, process: usize) {
        self.full = None;
        self.power = if self.power == Power::Stays { Power::Stays } else { Power::GoesAt(process) };
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    Stays,
    /// All that is acknowledged was synced.
    GoesAnywhere,
    /// The others' page caches have what was not.
    GoesAt(usize),
}

struct Cluster {
    scenario: Scenario,
    weather: Weather,
    directories: Directories,
    /// A voter comes back as another, who has no vote.
    wipes: bool,
    /// Those who vote; the others follow.
    voters: usize,
    /// By process: the end after which a start is planned.
    booked: Vec<u64>,
    clients: usize,
}

pub fn run(scenario: Scenario, seed: u64, print: bool) -> Outcome {
    let mut scenario = scenario;
    let rng = &mut scenario.rng;
    let (count, voters) = match rng.below(16) {
        0 => (1, 1),
        1 => (5, 5),
        2 | 3 => (4, 3),
        _ => (3, 3),
    };
    let mut weather = Weather {
        kills: rng.below(4) > 0,
        stops: rng.one_in(2),
        power: match rng.below(4) {
            0 => Power::GoesAnywhere,
            // Alone it has nobody who remembers.
            1 if count > 1 => Power::GoesAt(usize::try_from(rng.below(count as u64)).expect("few")),
            _ => Power::Stays,
        },
        cuts: rng.one_in(2),
        clocks: rng.one_in(3),
        pauses: rng.one_in(3),
        full: rng.one_in(6).then(|| usize::try_from(rng.below(count as u64)).expect("few")),
        wipe: (count >= 3 && rng.one_in(5)).then(|| usize::try_from(rng.below(3)).expect("few")),
    };
    if let Some(victim) = weather.wipe {
        weather.save_what_is_at(victim);
    }
    let directories = Directories::draw(seed, count, &mut weather);
    scenario.hosts = (0..count).map(Sim::host).collect();
    let booked = vec![u64::MAX; count];
    let wipes = weather.wipe.is_some();
    let mut cluster = Cluster { scenario, weather, directories, wipes, voters, booked, clients: 0 };
    cluster.shape_topics();
    let mut world = cluster.world(print);
    world
        .trace
        .say(world.now().at, format_args!("{count} brokers, {voters} vote: {weather:?}, {:?}", cluster.directories));
    for process in 0..count {
        let later_us = cluster.scenario.rng.below(500_000);
        world.boot_later(process, later_us);
    }
    cluster.scenario.people(&mut world);
    cluster.inspect(&mut world);
    cluster.move_replicas(&mut world);
    cluster.faults(&mut world);
    cluster.heal(&mut world);
    cluster.prove(&mut world);
    cluster.fail_over(&mut world);
    cluster.scenario.audit(&mut world);
    cluster.wait_until_well(&mut world);
    cluster.compare(&world);
    cluster.scenario.outcome(&world)
}

impl Cluster {
    fn count(&self) -> usize {
        self.scenario.hosts.len()
    }

    fn nodes(&self) -> Vec<NodeId> {
        (0..self.count()).map(node).collect()
    }

    fn replicas(&self) -> i16 {
        i16::try_from(self.count().min(3)).expect("few")
    }

    /// Every topic has three replicas where there are three brokers, and most want two of them in sync.
    fn shape_topics(&mut self) {
        let (replicas, power) = (self.replicas(), self.weather.power);
        for topic in &mut self.scenario.topics {
            let rng = &mut self.scenario.rng;
            topic.replicas = replicas;
            let alone = rng.one_in(4) && !self.wipes && !self.directories.is_lost;
            if alone {
                topic.configs.push(("min.insync.replicas".to_owned(), "1".to_owned()));
            }
            // One in sync is enough: then its page cache must not be all that has it when its machine goes.
            if alone && matches!(power, Power::GoesAt(_)) || rng.one_in(6) {
                topic.configs.push(("flush.messages".to_owned(), "1".to_owned()));
            }
        }
    }

    fn world(&mut self, print: bool) -> Sim {
        let count = self.count();
        let rng = &mut self.scenario.rng;
        let mut common: Vec<(&str, String)> = vec![
            ("auto.create.topics.enable", "false".to_owned()),
            ("offsets.topic.num.partitions", (1 + rng.below(3)).to_string()),
            ("offsets.topic.replication.factor", count.min(3).to_string()),
            ("min.insync.replicas", count.min(2).to_string()),
            ("group.min.session.timeout.ms", "50".to_owned()),
            ("group.initial.rebalance.delay.ms", rng.below(200).to_string()),
            ("log.retention.check.interval.ms", (100 + rng.below(1000)).to_string()),
            ("log.cleaner.backoff.ms", (50 + rng.below(500)).to_string()),
            ("log.segment.delete.delay.ms", rng.below(1000).to_string()),
        ];
        if rng.one_in(2) {
            common.push(("broker.session.timeout.ms", (1000 + rng.below(4000)).to_string()));
            common.push(("broker.heartbeat.interval.ms", (100 + rng.below(400)).to_string()));
        }
        if rng.one_in(2) {
            common.push(("controller.quorum.election.timeout.ms", (200 + rng.below(800)).to_string()));
            common.push(("controller.quorum.fetch.timeout.ms", (400 + rng.below(1600)).to_string()));
            common.push(("controller.quorum.election.backoff.max.ms", (50 + rng.below(500)).to_string()));
        }
        if rng.below(4) > 0 {
            common.push(("replica.lag.time.max.ms", (400 + rng.below(3000)).to_string()));
        }
        if rng.one_in(2) {
            common.push(("replica.fetch.wait.max.ms", (20 + rng.below(480)).to_string()));
        }
        if self.weather.power == Power::GoesAnywhere {
            common.push(("log.flush.interval.messages", "1".to_owned()));
        }
        let voter = |process| (node(process), Text::from(Sim::host(process)), crate::broker::PORT);
        let voters: Vec<_> = (0..self.voters).map(voter).collect();
        let mut programs = Vec::new();
        for process in 0..count {
            let own = ("node.id", node(process).to_string());
            let given = common.iter().chain([&own]).map(|(name, value)| (*name, value.as_str()));
            let settings = Settings::read(given);
            let home = MemoryDisk::new(rng.next_u64());
            programs.push(BrokerProgram {
                disks: self.directories.of(process, home),
                unmounted: None,
                settings: settings.unwrap_or_else(|problems| panic!("the settings are refused: {problems:?}")),
                shards: 1 + u16::try_from(rng.below(3)).expect("small"),
                host: Sim::host(process),
                voters: voters.clone(),
            });
        }
        let mut world = World::new(rng.next_u64(), programs, print);
        world.may_fail = self.weather.full.is_some();
        world.power_loss_is_silent = rng.one_in(2);
        if rng.one_in(4) {
            world.pace.network_us = (100, 10_000);
        }
        if rng.one_in(4) {
            world.pace.job_us = (100, 20_000);
        }
        world
    }

    fn inspect(&mut self, world: &mut Sim) {
        let nodes = self.nodes();
        let scenario = &mut self.scenario;
        let options = Options { version_caps: BTreeMap::new(), ..options(&mut scenario.rng, &scenario.hosts) };
        let inspector = Inspector::new(options, scenario.oracle.clone(), nodes, scenario.rng.next_u64());
        let inspector = inspector.losing_disks(self.wipes || self.directories.is_lost);
        self.clients = world.add_actor(Box::new(inspector)) + 1;
    }

    fn faults(&mut self, world: &mut Sim) {
        // First they find together.
        let calm_ms = 300 + self.scenario.rng.below(1500);
        world.run(world.now().at.plus_ms(calm_ms));
        let until = world.now().at.plus_ms(2000 + self.scenario.rng.below(12_000));
        let often = [60, 300, 1200][usize::try_from(self.scenario.rng.below(3)).expect("small")];
        while world.now().at < until {
            let step = world.now().at.plus_ms(1 + self.scenario.rng.below(often));
            world.run(step);
            self.fault(world);
            self.directory_fault(world);
            self.book_starts(world);
        }
    }

    fn fault(&mut self, world: &mut Sim) {
        let count = self.count();
        let rng = &mut self.scenario.rng;
        let victim = usize::try_from(rng.below(count as u64)).expect("few");
        let weather = self.weather;
        match rng.below(20) {
            0..3 => world.reset(),
            3..5 => world.hold_up(1000 * rng.below(1500)),
            5 | 6 => {
                let shard = usize::try_from(rng.below(3)).expect("small");
                world.stall(victim, shard, 1000 * rng.below(800));
            }
            7 | 8 if weather.kills => self.crash(world, victim, Crash::Kill),
            9 if weather.kills && rng.one_in(4) => {
                (0..count).for_each(|victim| self.crash_one(world, victim, Crash::Kill));
            }
            10 if weather.stops => self.stop(world, victim),
            11 | 12 => match weather.power {
                Power::Stays => {}
                Power::GoesAt(victim) => self.crash_one(world, victim, Crash::PowerLoss),
                Power::GoesAnywhere if rng.one_in(4) => {
                    (0..count).for_each(|victim| self.crash_one(world, victim, Crash::PowerLoss));
                }
                Power::GoesAnywhere => self.crash(world, victim, Crash::PowerLoss),
            },
            13 | 14 if weather.cuts => self.cut(world, victim),
            15 if weather.cuts => world.heal_all(),
            16 if weather.clocks => {
                world.set_clock_rate(victim, 900 + rng.below(200));
                world.set_wall_skew(victim, i64::try_from(rng.below(4000)).expect("small") - 2000);
            }
            17 if weather.pauses => world.pause(victim, 1000 * rng.below(4000)),
            18 | 19 if weather.full.is_some() => self.fill_disk(world),
            18 | 19 if weather.wipe.is_some() => self.wipe(world),
            _ => {}
        }
    }

    /// Ends a process, unless that would leave too few.
    fn crash(&mut self, world: &mut Sim, victim: usize, crash: Crash) {
        let down = world.processes.iter().filter(|process| !process.is_up()).count();
        if down < self.count().div_ceil(2) {
            self.crash_one(world, victim, crash);
        }
    }

    fn crash_one(&mut self, world: &mut Sim, victim: usize, crash: Crash) {
        if world.processes[victim].is_up() {
            world.crash(victim, crash);
        }
    }

    fn stop(&mut self, world: &mut Sim, victim: usize) {
        if world.processes.iter().all(|process| process.is_up()) {
            world.stop(victim);
        }
    }

    /// Cuts a broker off from another, from all others or from a client, one way or both.
    fn cut(&mut self, world: &mut Sim, victim: usize) {
        let rng = &mut self.scenario.rng;
        let others: Vec<Place> = match rng.below(4) {
            0 => vec![Client(usize::try_from(rng.below(self.clients as u64)).expect("few"))],
            1 | 2 => vec![Process(usize::try_from(rng.below(self.scenario.hosts.len() as u64)).expect("few"))],
            _ => (0..self.scenario.hosts.len()).map(Process).collect(),
        };
        let way = rng.below(4);
        for other in others {
            match way {
                0 => world.cut(Process(victim), other),
                1 => world.cut(other, Process(victim)),
                _ => world.part(Process(victim), other),
            }
        }
    }

    /// A machine dies and another takes its place, with its name and an empty disk.
    fn wipe(&mut self, world: &mut Sim) {
        // Where it alone is in sync, what it holds is nowhere else.
        let recently = Instant(world.now().at.0.saturating_sub(1_000_000));
        if !self.scenario.oracle.borrow().ailments(&self.nodes(), recently).is_empty() {
            return;
        }
        let Some(victim) = self.weather.wipe.take() else { return };
        let (laggard, third) = if self.scenario.rng.one_in(2) { (1, 2) } else { (2, 1) };
        let (laggard, third) = ((victim + laggard) % 3, (victim + third) % 3);
        let is_tempted = self.scenario.rng.below(4) > 0;
        if is_tempted {
            // One that lacks what the others committed would be elected if the one that forgot it had a vote.
            (0..self.count()).for_each(|other| world.part(Process(laggard), Process(other)));
            let behind_ms = 200 + self.scenario.rng.below(2500);
            world.run(world.now().at.plus_ms(behind_ms));
        }
        self.crash_one(world, victim, Crash::PowerLoss);
        world.trace.say(world.now().at, format_args!("the disk of process {victim} is lost"));
        let home = MemoryDisk::new(self.scenario.rng.next_u64());
        world.processes[victim].program.disks = self.directories.of(victim, home);
        if is_tempted {
            self.crash_one(world, third, Crash::Kill);
            for process in [victim, third] {
                self.booked[process] = world.processes[process].ends();
            }
            world.boot_later(victim, 1000 * self.scenario.rng.below(200));
            world.boot_later(third, 1_000_000 + 1000 * self.scenario.rng.below(5000));
            world.heal_all();
            world.run(world.now().at.plus_ms(500));
        }
    }

    fn fill_disk(&mut self, world: &mut Sim) {
        let Some(victim) = self.weather.full else { return };
        let disk = &world.processes[victim].program.disks[self.directories.one_of(victim)];
        let used: u64 = disk.files().iter().map(|(_, bytes)| bytes.len() as u64).sum();
        let is_full = self.scenario.rng.one_in(2);
        disk.set_capacity_bytes(if is_full { used + self.scenario.rng.below(2000) } else { u64::MAX });
    }

    /// Who is down comes back after a while.
    fn book_starts(&mut self, world: &mut Sim) {
        for process in 0..self.count() {
            let ends = world.processes[process].ends();
            if !world.processes[process].is_up() && self.booked[process] != ends && ends > 0 {
                self.booked[process] = ends;
                let down_ms = [50, 500, 4000][usize::try_from(self.scenario.rng.below(3)).expect("small")];
                let down_us = 1000 * self.scenario.rng.below(down_ms);
                world.boot_later(process, down_us);
            }
        }
    }

    /// All faults end.
    fn heal(&mut self, world: &mut Sim) {
        world.heal_all();
        for process in 0..self.count() {
            world.processes[process].program.disks.iter().for_each(|disk| disk.set_capacity_bytes(u64::MAX));
            world.set_clock_rate(process, 1000);
        }
        self.boot_all(world);
        self.scenario.oracle.borrow_mut().is_healing = true;
        let since = world.now().at;
        world.trace.say(since, format_args!("all faults end"));
        self.end_directory_faults(world);
        self.wait_until_well(world);
    }

    fn boot_all(&self, world: &mut Sim) {
        for process in 0..self.count() {
            if !world.processes[process].is_up() {
                world.boot_later(process, 0);
            }
        }
    }

    fn wait_until_well(&self, world: &mut Sim) {
        let since = world.now().at;
        loop {
            world.run(world.now().at.plus_ms(200));
            // A clean stop that was under way ends now.
            self.boot_all(world);
            let ailments = self.ailments(world);
            if ailments.is_empty() {
                break;
            }
            let late = world.now().at >= since.plus_ms(WELL_MS);
            assert!(!late, "{WELL_MS} ms after the last fault not all is well: {ailments:?}");
        }
    }

    fn ailments(&self, world: &Sim) -> Vec<String> {
        let oracle = self.scenario.oracle.borrow();
        let recently = Instant(world.now().at.0.saturating_sub(1_500_000));
        let mut ailments = oracle.ailments(&self.nodes(), recently);
        let open: usize = oracle.open.values().sum();
        if open > 0 && !oracle.is_probing {
            ailments.push(format!("{open} records have no answer"));
        }
        // A stop that a fault delayed is no fault, and whoever it stops is started again.
        let stopping = (0..self.count()).filter(|process| world.processes[*process].is_stopping());
        ailments.extend(stopping.map(|process| format!("process {process} is stopping")));
        let missing = self.scenario.topics.iter().filter(|topic| !oracle.partitions.contains_key(&topic.name));
        ailments.extend(missing.map(|topic| format!("{} has not been created", topic.name)));
        ailments
    }

    /// New clients get through to every topic, and nothing is refused.
    fn prove(&mut self, world: &mut Sim) {
        let scenario = &mut self.scenario;
        let names: Vec<Text> = scenario.topics.iter().map(|topic| topic.name.clone()).collect();
        let options = ProducerOptions {
            cluster: Options { version_caps: BTreeMap::new(), ..options(&mut scenario.rng, &scenario.hosts) },
            acks: Acks::All,
            idempotent: true,
            delivery_timeout_ms: PROOF_MS,
            ..ProducerOptions::default()
        };
        let sender = Sender::proof(PROOF, options, scenario.oracle.clone(), names, scenario.rng.next_u64());
        world.add_actor(Box::new(sender));
        let since = world.now().at;
        while world.now().at < since.plus_ms(1000) || scenario.oracle.borrow().open.get(&PROOF) != Some(&0) {
            world.run(world.now().at.plus_ms(200));
            let late = world.now().at >= since.plus_ms(PROOF_MS);
            assert!(!late, "{PROOF_MS} ms are not enough for new records where all is well");
        }
    }

    /// What is committed lies in every replica, the same at the same offset.
    fn compare(&self, world: &Sim) {
        let mut oracle = self.scenario.oracle.borrow_mut();
        let offsets = Text::from_static(OFFSETS);
        oracle.natures.insert(offsets.clone(), Nature { compacted: true, ..Nature::default() });
        let mut known: BTreeMap<Spot, BTreeMap<Offset, (NodeId, Stored)>> = BTreeMap::new();
        for process in 0..self.count() {
            let nature = |topic: &Text| oracle.natures.get(topic).copied().filter(|nature| !nature.fleeting);
            for (spot, stored) in holdings(&world.processes[process].program.disks, nature) {
                let values = known.entry(spot.clone()).or_default();
                for (offset, here) in &stored {
                    let (first, there) = *values.entry(*offset).or_insert((node(process), *here));
                    let (one, other) = (first, node(process));
                    let (topic, index) = (&spot.0, spot.1);
                    assert_eq!(there, *here, "{one} and {other} hold different things at {offset} of {topic}-{index}");
                }
                if spot.0 != offsets {
                    let numbered = stored.iter().filter_map(|(offset, stored)| Some((*offset, stored.id?))).collect();
                    oracle.holds(node(process), &spot, &numbered);
                }
            }
        }
        oracle.check_end();
    }
}

fn node(process: usize) -> NodeId {
    NodeId(i32::try_from(process).expect("few") + 1)
}
