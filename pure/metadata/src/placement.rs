//! Which brokers get the replicas of new partitions.

use crate::Refused;
use crate::image::{Broker, Image, Partition};
use crate::refused::refuse;
use std::collections::{BTreeMap, BTreeSet};
use types::{LeaderEpoch, NodeId, Rng, Text, Uuid};

/// Replicas of `count` partitions. Leaders go round over the living brokers, from one of those that lead least, so
/// that they stay even; the replicas of a partition lie in as many racks as there are. Fenced brokers make up the
/// number where the living are too few, unless only those are asked for.
pub(crate) fn place(
    image: &Image,
    count: i32,
    replication_factor: i16,
    living_only: bool,
    rng: &mut Rng,
) -> Result<Vec<Vec<NodeId>>, Refused> {
    let refuse = |reason: String| {
        refuse!(INVALID_REPLICATION_FACTOR, "Unable to replicate the partition {replication_factor} time(s): {reason}")
    };
    let living = alternate_racks(image.brokers().filter(|broker| is_usable(broker) && !broker.fenced));
    let fenced = alternate_racks(image.brokers().filter(|broker| is_usable(broker) && broker.fenced));
    let wanted = usize::try_from(replication_factor).unwrap_or(0);
    if living.is_empty() {
        return refuse("All brokers are currently fenced.".to_owned());
    }
    if living_only && wanted > living.len() {
        return refuse(format!("Only {} broker(s) are alive.", living.len()));
    }
    if wanted > living.len() + fenced.len() {
        let registered = image.brokers().count();
        return refuse(format!(
            "The target replication factor of {replication_factor} cannot be reached because only {registered} \
             broker(s) are registered."
        ));
    }
    let start = start(image, &living, rng);
    let partitions = 0..usize::try_from(count).unwrap_or(0);
    Ok(partitions.map(|partition| replicas(image, &living, &fenced, start + partition, wanted)).collect())
}

/// Whether a broker may be given replicas once it lives.
fn is_usable(broker: &Broker) -> bool {
    let cordoned = |directory| broker.cordoned_directories.contains(directory);
    let full = !broker.directories.is_empty() && broker.directories.iter().all(cordoned);
    !broker.in_controlled_shutdown && !full
}

/// Any one of those that lead least.
fn start(image: &Image, living: &[NodeId], rng: &mut Rng) -> usize {
    let leads = |position: &usize| image.leaderships(living[*position]);
    let least = (0..living.len()).map(|position| leads(&position)).min().unwrap_or(0);
    let candidates: Vec<usize> = (0..living.len()).filter(|position| leads(position) == least).collect();
    let chosen = usize::try_from(rng.below(candidates.len() as u64)).expect("below a length");
    candidates.get(chosen).copied().unwrap_or(0)
}

/// The replicas of one partition: its leader, then others from where that stands, racks that have fewest first. Each
/// round of leaders turns the others one further, so that the leaderships of one that dies fall to all.
fn replicas(image: &Image, living: &[NodeId], fenced: &[NodeId], leader: usize, wanted: usize) -> Vec<NodeId> {
    let rack = |node: NodeId| image.broker(node).and_then(|broker| broker.rack.as_ref());
    let first = leader % living.len();
    let mut chosen = vec![living[first]];
    let mut used: BTreeMap<Option<&Text>, usize> = BTreeMap::from([(rack(living[first]), 1)]);
    let mut others: Vec<NodeId> = (first + 1..first + living.len()).map(|at| living[at % living.len()]).collect();
    others.extend(fenced);
    let mut taken: BTreeSet<NodeId> = chosen.iter().copied().collect();
    while chosen.len() < wanted {
        let left = others.iter().copied().filter(|node| !taken.contains(node));
        let is_fenced = |node: &NodeId| fenced.contains(node);
        let best = left.min_by_key(|node| (is_fenced(node), used.get(&rack(*node)).copied().unwrap_or(0)));
        let Some(best) = best else { break };
        taken.insert(best);
        *used.entry(rack(best)).or_insert(0) += 1;
        chosen.push(best);
    }
    if let Some(followers) = chosen.get_mut(1..).filter(|followers| !followers.is_empty()) {
        let turn = (leader / living.len()) % followers.len();
        followers.rotate_left(turn);
    }
    chosen
}

fn alternate_racks<'a>(brokers: impl Iterator<Item = &'a Broker>) -> Vec<NodeId> {
    let mut racks: BTreeMap<Option<&Text>, Vec<NodeId>> = BTreeMap::new();
    for broker in brokers {
        racks.entry(broker.rack.as_ref()).or_default().push(broker.id);
    }
    let rounds = racks.values().map(Vec::len).max().unwrap_or(0);
    (0..rounds).flat_map(|round| racks.values().filter_map(move |rack| rack.get(round).copied())).collect()
}

/// A new partition on these brokers: those alive are in sync, the first of them leads.
pub(crate) fn new_partition(image: &Image, replicas: Vec<NodeId>) -> Option<Partition> {
    let is_alive = |id: &NodeId| image.broker(*id).is_some_and(Broker::is_alive);
    let isr: Vec<NodeId> = replicas.iter().copied().filter(is_alive).collect();
    let leader = Some(*isr.first()?);
    Some(Partition {
        directories: replicas.iter().map(|id| only_directory(image.broker(*id))).collect(),
        replicas,
        isr,
        removing_replicas: Vec::new(),
        adding_replicas: Vec::new(),
        eligible_leader_replicas: Vec::new(),
        last_known_elr: Vec::new(),
        leader,
        recovering: false,
        unclean_epoch: LeaderEpoch::NONE,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: 0,
    })
}

/// The directory of a replica on this broker: one with a single directory has no choice, so the answer is known.
pub(crate) fn only_directory(broker: Option<&Broker>) -> Uuid {
    match broker.map(|broker| broker.directories.as_slice()) {
        Some([only]) => *only,
        _ => Uuid::ZERO,
    }
}
