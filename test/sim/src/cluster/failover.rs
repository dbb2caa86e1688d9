//! How soon others lead what a killed broker led, or what it can no longer write, where nothing else is wrong.

use super::{Cluster, node};
use crate::actors::{Sender, options};
use crate::node::Crash;
use crate::scenario::Sim;
use crate::world::Pace;
use client::{Acks, Options, ProducerOptions, Spot};
use log::{ErrorKind, Fault, Operation};
use std::collections::BTreeMap;
use types::{NodeId, Text};

/// How long a partition may take no records after its leader's process is killed or its log has failed, in simulated time.
const FAIL_OVER_MS: u64 = 1500;
/// The number of the sender that measures it.
const PROBE: usize = 1001;

impl Cluster {
    /// Kills a broker of a cluster that is well: all that it led takes records again within the bound.
    pub(super) fn fail_over(&mut self, world: &mut Sim) {
        // Enough must be in sync afterwards, and vote.
        if self.count() < 3 || self.wipes || self.scenario.rng.one_in(2) || self.led_together().is_empty() {
            return;
        }
        // Delays that a healthy network has.
        let pace = std::mem::replace(&mut world.pace, Pace { slow_one_in: u64::MAX, ..Pace::default() });
        self.probe(world);
        world.run(world.now().at.plus_ms(500));
        self.wait_until_well(world);
        let led = self.led_together();
        let leads = |process: &usize| led.values().next() == Some(&node(*process));
        let victim = (0..self.count()).find(leads).expect("brokers lead");
        self.crash_one(world, victim, Crash::Kill);
        self.wait_until_taken(world, &led, "was killed");
        self.wait_until_well(world);
        self.lose_log(world);
        self.scenario.oracle.borrow_mut().is_probing = false;
        world.pace = pace;
        self.wait_until_well(world);
    }

    /// One log of a leader takes no more writes: others lead that partition, until the broker starts again.
    fn lose_log(&mut self, world: &mut Sim) {
        let Some((spot, leader)) = self.led_together().pop_first() else { return };
        let process = (0..self.count()).find(|process| node(*process) == leader).expect("a broker leads");
        let (path, kind, times) = (format!("{}-{}/", spot.0, spot.1), ErrorKind::Failed, u32::MAX);
        let home = world.processes[process].program.disks[0].clone();
        if !home.files().iter().any(|(file, _)| file.starts_with(&path)) {
            // A directory that fails besides the home goes with all that is in it.
            return;
        }
        home.inject(Fault { operation: Operation::Write, path, kind, after: 0, times, torn_bytes: 0 });
        self.wait_until_taken(world, &BTreeMap::from([(spot, leader)]), "could not write");
        home.clear_faults();
        self.crash_one(world, process, Crash::Kill);
    }

    /// Waits until partitions take records again, which has a bound.
    fn wait_until_taken(&mut self, world: &mut Sim, led: &BTreeMap<Spot, NodeId>, what: &str) {
        let since = world.now().at;
        let late = loop {
            world.run(world.now().at.plus_ms(20));
            let oracle = self.scenario.oracle.borrow();
            let is_open = |spot: &&Spot| oracle.taken.get(*spot).is_none_or(|sent_at| *sent_at <= since);
            let open: Vec<String> =
                led.keys().filter(is_open).map(|(topic, index)| format!("{topic}-{index}")).collect();
            if open.is_empty() || world.now().at >= since.plus_ms(FAIL_OVER_MS) {
                break open;
            }
        };
        let after_ms = (world.now().at.0 - since.0) / 1000;
        world
            .trace
            .say(world.now().at, format_args!("led by others {after_ms} ms after {led:?} {what}: late {late:?}"));
        assert!(late.is_empty(), "{FAIL_OVER_MS} ms after their leader {what}, {late:?} take no records");
    }

    /// What one broker leads of the topics that stay, with that broker.
    fn led_together(&mut self) -> BTreeMap<Spot, NodeId> {
        let oracle = self.scenario.oracle.borrow();
        let stays = |spot: &Spot| oracle.partitions.get(&spot.0).is_some_and(|count| spot.1.0 < *count);
        let all: BTreeMap<Spot, NodeId> = oracle
            .led_by
            .iter()
            .filter(|(spot, _)| stays(spot))
            .map(|(spot, (_, leader))| (spot.clone(), *leader))
            .collect();
        let at = usize::try_from(self.scenario.rng.below(all.len() as u64)).expect("few");
        let Some(leader) = all.values().nth(at).copied() else { return all };
        all.into_iter().filter(|(_, other)| *other == leader).collect()
    }

    fn probe(&mut self, world: &mut Sim) {
        let (oracle, rng) = (self.scenario.oracle.clone(), &mut self.scenario.rng);
        let names: Vec<Text> = self.scenario.topics.iter().map(|topic| topic.name.clone()).collect();
        let options = ProducerOptions {
            cluster: Options { version_caps: BTreeMap::new(), ..options(rng, &self.scenario.hosts) },
            acks: Acks::All,
            idempotent: true,
            // A segment may have no more than 3000.
            batch_bytes: 1500,
            ..ProducerOptions::default()
        };
        oracle.borrow_mut().is_probing = true;
        let seed = rng.next_u64();
        world.add_actor(Box::new(Sender::proof(PROBE, options, oracle, names, seed).probe()));
    }
}
