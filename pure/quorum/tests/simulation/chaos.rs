//! The faults: what goes wrong, how often, and what must not go wrong together (no quorum survives the loss of a majority
//! of its disks).

use crate::network::Network;
use crate::node::endpoint;
use crate::world::World;
use log::Trust;
use quorum::{AddVoter, Call, RemoveVoter, ReplicaKey};
use std::collections::BTreeSet;
use types::{NodeId, Rng};

pub struct Chaos {
    /// No fault before: so long the first leader has to learn which disks the voters have.
    pub quiet_us: u64,
    may_wipe: bool,
    pause_us_max: u64,
    /// Disks of voters that are lost.
    dead: BTreeSet<ReplicaKey>,
    /// The one node that moves to other ports.
    mover: Option<NodeId>,
}

impl Chaos {
    pub fn new(rng: &mut Rng) -> Chaos {
        let may_wipe = rng.one_in(2);
        Chaos {
            quiet_us: if may_wipe { 6_000_000 } else { rng.below(500_000) },
            may_wipe,
            pause_us_max: 50_000 + rng.below(1_000_000),
            dead: BTreeSet::new(),
            mover: rng.one_in(3).then_some(NodeId(1 + i32::try_from(rng.below(3)).expect("small"))),
        }
    }

    pub fn pause_us(&self, rng: &mut Rng) -> u64 {
        rng.below(self.pause_us_max)
    }

    pub fn strike(&mut self, world: &mut World) {
        let ids = world.ids();
        let id = pick(&mut world.rng, &ids);
        let runs = world.nodes[&id].quorum.is_some();
        match world.rng.below(22) {
            0..=2 if runs => {
                let noticed = world.rng.one_in(2);
                world.end(id, noticed);
            }
            3 if runs => self.lose_power(world, id),
            4 => {
                for id in ids {
                    if world.nodes[&id].quorum.is_some() && world.rng.one_in(2) {
                        self.lose_power(world, id);
                    }
                }
            }
            5 if runs => {
                world.with(id, quorum::Quorum::stop);
                world.end(id, true);
                world.node(id).trust = Trust::Stopped;
            }
            6 if self.may_wipe => self.wipe(world, id),
            7 => cut(world, &ids),
            8 => world.network.cut.clear(),
            9 => {
                let quiet = Network::new();
                world.network.loss = [0, 0, 50, 10, 4][small(&mut world.rng, 5)];
                world.network.repeats = [0, 20, 5][small(&mut world.rng, 3)];
                world.network.delay_us_max = [quiet.delay_us_max, 20_000, 200_000][small(&mut world.rng, 3)];
            }
            10 => world.node(id).slow_disk ^= true,
            11 => {
                let other = pick(&mut world.rng, &ids);
                world.close_link(id, other);
            }
            12 if runs => world.with(id, quorum::Quorum::resign),
            13 | 14 => self.add(world),
            15 => self.remove(world),
            16 if self.may_wipe && (world.nodes[&id].drawer.is_some() || may_forget(world, id)) => swap(world, id),
            _ if !runs => {
                if self.mover == Some(id) && world.rng.one_in(2) {
                    world.node(id).moves += 1;
                }
                world.start(id);
            }
            _ => {}
        }
    }

    fn lose_power(&self, world: &mut World, id: NodeId) {
        world.end(id, false);
        let node = world.node(id);
        node.disk.lose_power();
        node.trust = Trust::PowerLost;
    }

    /// Whether every voter set that any node knows has a majority whose disks are there, should this one be lost too, or
    /// should this node vote no more.
    fn survives(&self, world: &World, lost: Option<ReplicaKey>, removed: Option<NodeId>) -> bool {
        world.nodes.values().flat_map(|node| node.known_voters()).all(|known| {
            let voters = removed.map_or(known.clone(), |id| known.without(id));
            let gone = |key: &ReplicaKey| self.dead.contains(key) || lost == Some(*key);
            let dead = voters.iter().filter(|voter| gone(&voter.key())).count();
            !voters.iter().any(|voter| voter.directory.is_zero()) && voters.len() - dead >= voters.majority()
        })
    }

    fn wipe(&mut self, world: &mut World, id: NodeId) {
        let key = ReplicaKey { id, directory: world.nodes[&id].directory };
        let votes = world.nodes.values().flat_map(|node| node.known_voters()).any(|voters| voters.contains(key));
        if votes && !self.survives(world, Some(key), None) || !may_forget(world, id) {
            return;
        }
        let noticed = world.rng.one_in(2);
        world.end(id, noticed);
        self.dead.insert(key);
        let rng = &mut world.rng;
        world.nodes.get_mut(&id).expect("it is there").wipe(rng);
        world.totals.wipes += 1;
        if world.rng.one_in(2) {
            world.start(id);
        }
    }

    fn add(&self, world: &mut World) {
        let ids = world.ids();
        let Some(leader) = leader(world) else { return };
        let id = pick(&mut world.rng, &ids);
        let node = &world.nodes[&id];
        let voter = ReplicaKey { id, directory: node.directory };
        if world.nodes[&leader].voters.get(id).is_some() || node.drawer.is_some() {
            return;
        }
        let add = AddVoter {
            voter,
            endpoint: endpoint(id, node.moves),
            timeout_ms: 5000,
            when_committed: world.rng.one_in(2),
        };
        world.tool(leader, Call::AddVoter(add));
    }

    fn remove(&self, world: &mut World) {
        let Some(leader) = leader(world) else { return };
        let voters: Vec<ReplicaKey> = world.nodes[&leader].voters.iter().map(quorum::Voter::key).collect();
        // Those without a disk are the ones that an operator removes.
        let lost = voters.iter().copied().find(|key| self.dead.contains(key));
        let voter = lost.unwrap_or_else(|| voters[small(&mut world.rng, voters.len() as u64)]);
        if self.may_wipe && !self.survives(world, None, Some(voter.id)) {
            return;
        }
        world.tool(leader, Call::RemoveVoter(RemoveVoter { voter }));
    }
}

/// Nodes that start with an empty disk believe their configuration. Where most of those that it names do, they found another
/// cluster, and nobody could tell.
fn may_forget(world: &World, id: NodeId) -> bool {
    let first = &world.setting.first_voters;
    let forgot = |other: &&NodeId| **other == id || world.nodes[other].wiped || world.nodes[other].drawer.is_some();
    first.len() == 1 || first.iter().filter(forgot).count() <= (first.len() - 1) / 2
}

/// The disk of a node is exchanged, and later put back: meanwhile it is another replica.
pub fn swap(world: &mut World, id: NodeId) {
    world.end(id, true);
    let rng = &mut world.rng;
    world.nodes.get_mut(&id).expect("it is there").swap(rng);
    world.start(id);
}

fn small(rng: &mut Rng, below: u64) -> usize {
    usize::try_from(rng.below(below)).expect("small")
}

fn pick(rng: &mut Rng, ids: &[NodeId]) -> NodeId {
    ids[small(rng, ids.len() as u64)]
}

fn leader(world: &World) -> Option<NodeId> {
    let leads = |node: &&crate::node::Node| node.quorum.as_ref().is_some_and(|quorum| quorum.leading_epoch().is_some());
    world.nodes.values().find(leads).map(|node| node.id)
}

/// Cuts some nodes off from some others, both ways or one.
fn cut(world: &mut World, ids: &[NodeId]) {
    let one_way = world.rng.one_in(2);
    let side: Vec<bool> = ids.iter().map(|_| world.rng.one_in(2)).collect();
    for (from, a) in ids.iter().zip(&side) {
        for (to, b) in ids.iter().zip(&side) {
            if a != b && (*a || !one_way) {
                world.network.cut.insert((*from, *to));
            }
        }
    }
}
