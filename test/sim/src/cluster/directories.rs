//! Several log directories in each broker: replicas move between them, one may fail, fill up or be lost for good.
//!
//! All of it is drawn apart from the rest, so that a world without it is what it is for the others.

use super::{Cluster, OFFSETS, WELL_MS, Weather, node};
use crate::actors::{Mover, options};
use crate::broker::ROOTS;
use crate::node::Crash;
use crate::oracle::Excused;
use crate::scenario::Sim;
use client::{Options, Spot};
use log::{ErrorKind, Fault, MemoryDisk, Operation};
use std::collections::{BTreeMap, BTreeSet};
use types::{Instant, PartitionIndex, Rng, Text};

/// What the draw is told apart by.
const SALT: u64 = 0x6a62_6f64;

#[derive(Debug)]
pub struct Directories {
    rng: Rng,
    /// By process, how many log directories it has.
    counts: Vec<usize>,
    /// Whose directory fails now and then.
    victim: Option<usize>,
    /// It is replaced by an empty one then, else it comes back as it was.
    pub is_lost: bool,
    /// The one that has failed.
    failed: Option<usize>,
}

impl Directories {
    pub fn draw(seed: u64, processes: usize, weather: &mut Weather) -> Directories {
        let mut rng = Rng::new(seed ^ SALT);
        let mut counts = vec![1; processes];
        let mut victim = None;
        if rng.one_in(4) {
            let some = |rng: &mut Rng| 1 + usize::try_from(rng.below(ROOTS.len() as u64)).expect("few");
            counts = (0..processes).map(|_| some(&mut rng)).collect();
            victim = (0..processes).rfind(|process| counts[*process] > 1 && rng.one_in(2));
        }
        let victim = victim.filter(|_| weather.wipe.is_none());
        let is_lost = processes >= 3 && weather.full.is_none() && rng.one_in(2) && victim.is_some();
        if let Some(victim) = victim.filter(|_| is_lost) {
            weather.save_what_is_at(victim);
        }
        Directories { rng, counts, victim, is_lost, failed: None }
    }

    fn are_several(&self) -> bool {
        self.counts.iter().any(|count| *count > 1)
    }

    /// The log directories of a process, the first of which is given.
    pub fn of(&mut self, process: usize, home: MemoryDisk) -> Vec<MemoryDisk> {
        let mut all = vec![home];
        for root in &ROOTS[1..self.counts[process]] {
            all.push(MemoryDisk::new(self.rng.next_u64()).named(root));
        }
        all
    }

    pub fn one_of(&mut self, process: usize) -> usize {
        match self.counts[process] {
            1 => 0,
            count => usize::try_from(self.rng.below(count as u64)).expect("few"),
        }
    }

    pub fn fails(&self) -> bool {
        self.failed.is_some()
    }
}

impl Cluster {
    /// Somebody moves replicas about.
    pub(super) fn move_replicas(&mut self, world: &mut Sim) {
        if !self.directories.are_several() {
            return;
        }
        let (nodes, scenario, rng) = (self.nodes(), &self.scenario, &mut self.directories.rng);
        let options = Options { version_caps: BTreeMap::new(), ..options(rng, &scenario.hosts) };
        let stable = scenario.topics.iter().map(|topic| topic.name.clone());
        let topics = stable.chain(scenario.fleeting.iter().cloned()).chain([Text::from_static(OFFSETS)]).collect();
        world.add_actor(Box::new(Mover::new(options, scenario.oracle.clone(), nodes, topics, rng.next_u64())));
        scenario.oracle.borrow_mut().subjects.push("directories");
    }

    /// A directory fails, or is there again.
    pub(super) fn directory_fault(&mut self, world: &mut Sim) {
        let Some(victim) = self.directories.victim else { return };
        match self.directories.failed {
            None if self.directories.rng.one_in(6) => self.fail_directory(world, victim),
            Some(_) if self.directories.rng.one_in(12) => self.repair_directory(world),
            None | Some(_) => {}
        }
    }

    fn fail_directory(&mut self, world: &mut Sim, victim: usize) {
        let recently = Instant(world.now().at.0.saturating_sub(1_000_000));
        // What is lost must be elsewhere.
        if self.directories.is_lost && !self.scenario.oracle.borrow().ailments(&self.nodes(), recently).is_empty() {
            return;
        }
        let rng = &mut self.directories.rng;
        let count = self.directories.counts[victim] as u64;
        let number = 1 + usize::try_from(rng.below(count - 1)).expect("few");
        let program = &mut world.processes[victim].program;
        use Operation::{Change, Open, Read, Remove, Rename, Sync, Write};
        let writes_only = rng.one_in(3);
        for operation in [Open, Read, Write, Sync, Rename, Remove, Change] {
            let torn_bytes = usize::try_from(rng.below(400)).expect("small");
            let after = u32::try_from(rng.below(10)).expect("small");
            let (path, kind, times) = (String::new(), ErrorKind::Failed, u32::MAX);
            if !writes_only || !matches!(operation, Open | Read) {
                program.disks[number].inject(Fault { operation, path, kind, after, times, torn_bytes });
            }
        }
        program.unmounted = rng.one_in(2).then_some(number);
        self.directories.failed = Some(number);
        let words = format_args!("directory {number} of process {victim} fails, writes alone: {writes_only}");
        world.trace.say(world.now().at, words);
    }

    /// The operator mends it, or puts an empty one in its place, and starts the broker again.
    fn repair_directory(&mut self, world: &mut Sim) {
        let (Some(victim), Some(number)) = (self.directories.victim, self.directories.failed.take()) else { return };
        let program = &mut world.processes[victim].program;
        program.unmounted = None;
        if self.directories.is_lost {
            program.disks[number] = MemoryDisk::new(self.directories.rng.next_u64()).named(ROOTS[number]);
        } else {
            program.disks[number].clear_faults();
        }
        world.trace.say(world.now().at, format_args!("directory {number} of process {victim} is there again"));
        self.crash_one(world, victim, Crash::Kill);
        self.booked[victim] = world.processes[victim].ends();
        world.boot_later(victim, 1000 * self.directories.rng.below(500));
    }

    /// A directory that has failed has taken its replicas down and nothing else; then it is repaired, too.
    pub(super) fn end_directory_faults(&mut self, world: &mut Sim) {
        if self.directories.is_lost && self.directories.fails() {
            let since = world.now().at;
            loop {
                self.boot_all(world);
                self.excuse_failed(world);
                world.run(world.now().at.plus_ms(200));
                let ailments = self.ailments(world);
                let late = world.now().at >= since.plus_ms(WELL_MS);
                assert!(!late, "{WELL_MS} ms after the last fault but a directory's not all is well: {ailments:?}");
                if ailments.is_empty() {
                    break;
                }
            }
        }
        self.scenario.oracle.borrow_mut().excused = None;
        self.repair_directory(world);
    }

    /// Of what is or may be in the failed directory, that replica need not be in sync.
    fn excuse_failed(&mut self, world: &Sim) {
        let (Some(victim), Some(number)) = (self.directories.victim, self.directories.failed) else { return };
        let mut oracle = self.scenario.oracle.borrow_mut();
        let disks = &world.processes[victim].program.disks;
        let folders = |at: usize| disks[at].files().into_iter().filter_map(|(path, _)| spot(&path));
        let mut served: BTreeSet<Spot> = (0..disks.len()).filter(|at| *at != number).flat_map(folders).collect();
        folders(number).for_each(|lost| _ = served.remove(&lost));
        oracle.excused = Some(Excused { node: node(victim), root: ROOTS[number], served });
    }
}

/// The partition that a file belongs to.
fn spot(path: &str) -> Option<Spot> {
    let (topic, index) = path.split_once('/')?.0.rsplit_once('-')?;
    Some((Text::from(topic), PartitionIndex(index.parse().ok()?)))
}
