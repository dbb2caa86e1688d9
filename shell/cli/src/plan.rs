//! Decides which replicas and leaders go where: the same cluster gives the same moves. Must never know a connection; what
//! it plans, `reassign` carries out.
//!
//! A plan keeps the number of each partition's replicas and of the racks they stand in, moves no replica without need,
//! and leaves brokers with as many replicas and leaders as each other, give or take one, where racks allow it.

mod balance;
mod drain;
mod leaders;
#[cfg(test)]
mod tests;

pub use balance::balance;
pub use drain::{Cramped, drain};

use std::collections::{BTreeMap, BTreeSet};

/// A broker's number.
pub type Id = i32;

/// What a plan is made from.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// The living brokers and their racks.
    pub brokers: BTreeMap<Id, Option<String>>,
    /// In the order of topic and number.
    pub partitions: Vec<Partition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    pub topic: String,
    pub index: i32,
    /// Where it is to lie, the preferred leader first.
    pub replicas: Vec<Id>,
    /// What a new replica has to copy.
    pub bytes: u64,
}

/// One partition's way from one set of replicas to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    pub topic: String,
    pub index: i32,
    pub from: Vec<Id>,
    pub to: Vec<Id>,
    /// Of one replica.
    pub bytes: u64,
}

impl Move {
    /// The brokers that have to copy the partition.
    pub fn adding(&self) -> impl Iterator<Item = Id> {
        self.to.iter().copied().filter(|id| !self.from.contains(id))
    }

    /// What goes over the network for it.
    pub fn bytes_copied(&self) -> u64 {
        self.adding().map(|_| self.bytes).fold(0, u64::saturating_add)
    }
}

/// The most bytes that one broker has to send or to take in for these moves: what bounds their time under a throttle. The
/// first of the replicas is taken for the sender.
pub fn busiest_bytes(moves: &[Move]) -> u64 {
    let mut busy: BTreeMap<(Id, bool), u64> = BTreeMap::new();
    let mut add = |id, is_sender, bytes: u64| {
        let sum = busy.entry((id, is_sender)).or_default();
        *sum = sum.saturating_add(bytes);
    };
    for known in moves {
        known.adding().for_each(|id| add(id, false, known.bytes));
        if let Some(leader) = known.from.first() {
            add(*leader, true, known.bytes_copied());
        }
    }
    busy.into_values().max().unwrap_or(0)
}

/// Where replicas lie while a plan is made.
struct Layout<'a> {
    cluster: &'a Cluster,
    /// By the place of the partition in `cluster.partitions`.
    replicas: Vec<Vec<Id>>,
    /// Replicas and their bytes of each living broker.
    load: BTreeMap<Id, (usize, u64)>,
    /// Replicas of each topic on each living broker.
    topics: BTreeMap<(&'a str, Id), usize>,
}

impl<'a> Layout<'a> {
    fn new(cluster: &'a Cluster) -> Layout<'a> {
        let mut layout = Layout {
            cluster,
            replicas: cluster.partitions.iter().map(|known| known.replicas.clone()).collect(),
            load: cluster.brokers.keys().map(|id| (*id, (0, 0))).collect(),
            topics: BTreeMap::new(),
        };
        for known in &cluster.partitions {
            known.replicas.iter().for_each(|id| layout.count(known, *id, true));
        }
        layout
    }

    fn count(&mut self, partition: &'a Partition, id: Id, comes: bool) {
        // Who is not alive is not compared with others.
        let Some((count, bytes)) = self.load.get_mut(&id) else { return };
        let of_topic = self.topics.entry((partition.topic.as_str(), id)).or_default();
        if comes {
            (*count, *of_topic) = (*count + 1, *of_topic + 1);
            *bytes = bytes.saturating_add(partition.bytes);
        } else {
            (*count, *of_topic) = (count.saturating_sub(1), of_topic.saturating_sub(1));
            *bytes = bytes.saturating_sub(partition.bytes);
        }
    }

    /// Puts one broker's replica, with its place in the order, on another.
    fn swap(&mut self, at: usize, from: Id, to: Id) {
        let partition = &self.cluster.partitions[at];
        if let Some(place) = self.replicas[at].iter().position(|id| *id == from) {
            self.replicas[at][place] = to;
            self.count(partition, from, false);
            self.count(partition, to, true);
        }
    }

    /// Takes a replica away without putting it elsewhere.
    fn drop(&mut self, at: usize, id: Id) {
        self.replicas[at].retain(|known| *known != id);
        self.count(&self.cluster.partitions[at], id, false);
    }

    fn of_topic(&self, at: usize, id: Id) -> usize {
        self.topics.get(&(self.cluster.partitions[at].topic.as_str(), id)).copied().unwrap_or(0)
    }

    /// In how many racks these brokers stand; one without a rack stands alone.
    fn racks(&self, ids: impl Iterator<Item = Id>) -> usize {
        let rack = |id: Id| match self.cluster.brokers.get(&id).and_then(Option::as_deref) {
            Some(rack) => (Some(rack), 0),
            None => (None, id),
        };
        ids.map(rack).collect::<BTreeSet<_>>().len()
    }

    /// In how many racks a partition would stand with one broker in another's stead.
    fn racks_after(&self, at: usize, from: Id, to: Id) -> usize {
        self.racks(self.replicas[at].iter().map(|id| if *id == from { to } else { *id }))
    }

    /// What is different now.
    fn moves(self) -> Vec<Move> {
        let changed = self.cluster.partitions.iter().zip(self.replicas).filter(|(known, to)| known.replicas != *to);
        let changed = changed.map(|(known, to)| Move {
            topic: known.topic.clone(),
            index: known.index,
            from: known.replicas.clone(),
            to,
            bytes: known.bytes,
        });
        changed.collect()
    }
}
