//! Which brokers get the replicas of new partitions.

use crate::Refused;
use crate::image::{Broker, Image, Partition};
use std::collections::BTreeMap;
use types::{ErrorCode, LeaderEpoch, NodeId, Rng, Text, Uuid};

/// Replicas of `count` partitions: in turn over the living brokers, which alternate between racks, so that leaders are
/// even and the replicas of a partition lie in as many racks as there are. `first` is the number of the first one.
pub(crate) fn place(
    image: &Image,
    count: i32,
    replication_factor: i16,
    rng: &mut Rng,
) -> Result<Vec<Vec<NodeId>>, Refused> {
    let refuse = |reason: String| {
        let message = format!("Unable to replicate the partition {replication_factor} time(s): {reason}");
        Err(Refused::new(ErrorCode::INVALID_REPLICATION_FACTOR, message))
    };
    let brokers = alternate_racks(image.alive_brokers());
    let wanted = usize::try_from(replication_factor).unwrap_or(0);
    if brokers.is_empty() {
        return refuse("All brokers are currently fenced.".to_owned());
    }
    if wanted > brokers.len() {
        let registered = image.brokers().count();
        return refuse(format!(
            "The target replication factor of {replication_factor} cannot be reached because only {registered} \
             broker(s) are registered."
        ));
    }
    let start = usize::try_from(rng.below(brokers.len() as u64)).expect("below a length");
    let at = |index: usize| brokers[index % brokers.len()];
    let partitions = (0..usize::try_from(count).unwrap_or(0)).map(|partition| start + partition);
    Ok(partitions.map(|leader| (leader..leader + wanted).map(at).collect()).collect())
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
    // A broker with one directory has no choice, so the answer is known at once.
    let directory = |id: &NodeId| match image.broker(*id).map(|broker| broker.directories.as_slice()) {
        Some([only]) => *only,
        _ => Uuid::ZERO,
    };
    Some(Partition {
        directories: replicas.iter().map(directory).collect(),
        replicas,
        isr,
        removing_replicas: Vec::new(),
        adding_replicas: Vec::new(),
        eligible_leader_replicas: Vec::new(),
        last_known_elr: Vec::new(),
        leader,
        recovering: false,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: 0,
    })
}
