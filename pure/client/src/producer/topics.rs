//! The table of the topics that a producer sends to, each with the lanes of its partitions.

use super::lane::Lane;
use super::partitioner::{self, Sticky};
use super::{Message, ProducerOptions, Spot};
use crate::cluster::Cluster;
use std::collections::{BTreeMap, BTreeSet};
use types::{Instant, PartitionIndex, Rng, Text};

#[derive(Debug)]
pub struct Line<T> {
    pub name: Text,
    /// Partitions it has, none as long as it is not known; as of this answer about metadata.
    pub count: i32,
    pub epoch: u64,
    /// When something was last sent there.
    pub used_at: Instant,
    /// By partition, as far as records were sent there.
    lanes: Vec<Lane<T>>,
    sticky: Sticky,
}

impl<T> Line<T> {
    pub fn update(&mut self, cluster: &Cluster) {
        let count = cluster.topic(&self.name).map_or(0, |known| known.partitions.len());
        self.count = i32::try_from(count).unwrap_or(i32::MAX);
        self.epoch = cluster.metadata_epoch();
    }

    /// Lets go of what is known of the topic; false where it is known no more, or records of it are under way.
    pub fn forget(&mut self) -> bool {
        let is_idle = self.count > 0 && self.lanes.iter().all(|lane| lane.batches().next().is_none());
        if is_idle {
            self.count = 0;
        }
        is_idle
    }

    /// Where a record of this size goes, whose partition exists if it names one.
    pub fn partition(
        &mut self,
        message: &Message,
        size: usize,
        options: &ProducerOptions,
        rng: &mut Rng,
    ) -> PartitionIndex {
        if let Some(partition) = message.partition {
            return partition;
        }
        if let Some(key) = &message.key {
            return partitioner::of_key(key, self.count);
        }
        let lanes = &self.lanes;
        let has_room = |at: PartitionIndex| existing(lanes, at).is_none_or(|lane| lane.takes_another(size, options));
        self.sticky.next((self.count, size), options.batch_bytes, has_room, rng)
    }

    pub fn existing(&self, partition: PartitionIndex) -> Option<&Lane<T>> {
        existing(&self.lanes, partition)
    }

    pub fn is_waiting(&self, partition: PartitionIndex) -> bool {
        self.existing(partition).is_some_and(Lane::is_waiting)
    }

    /// The lane of a partition that exists.
    pub fn lane(&mut self, partition: PartitionIndex) -> &mut Lane<T> {
        let at = usize::try_from(partition.0).expect("partitions are counted from zero");
        if self.lanes.len() <= at {
            self.lanes.resize_with(at + 1, Lane::default);
        }
        &mut self.lanes[at]
    }
}

fn existing<T>(lanes: &[Lane<T>], partition: PartitionIndex) -> Option<&Lane<T>> {
    lanes.get(usize::try_from(partition.0).ok()?)
}

#[derive(Debug)]
pub struct Topics<T> {
    pub lines: Vec<Line<T>>,
    numbers: BTreeMap<Text, usize>,
    /// The one that was asked for last, which is often the next one too.
    last: usize,
    /// Where batches may wait to be sent.
    pub active: BTreeSet<Spot>,
}

impl<T> Default for Topics<T> {
    fn default() -> Topics<T> {
        Topics { lines: Vec::new(), numbers: BTreeMap::new(), last: 0, active: BTreeSet::new() }
    }
}

impl<T> Topics<T> {
    /// The number of a topic; a new one where it was not known.
    pub fn find(&mut self, name: &Text) -> usize {
        if self.lines.get(self.last).is_none_or(|line| line.name != *name) {
            self.last = self.numbers.get(name).copied().unwrap_or_else(|| {
                // A slice of what it came in would hold all of that.
                let name = name.detached();
                self.numbers.insert(name.clone(), self.lines.len());
                let (lanes, used_at) = (Vec::new(), Instant(0));
                self.lines.push(Line { name, count: 0, epoch: 0, used_at, lanes, sticky: Sticky::default() });
                self.lines.len() - 1
            });
        }
        self.last
    }

    pub fn lane(&mut self, (at, partition): Spot) -> Option<&mut Lane<T>> {
        self.lines.get_mut(at)?.lanes.get_mut(usize::try_from(partition.0).ok()?)
    }

    pub fn lanes(&self) -> impl Iterator<Item = &Lane<T>> {
        self.lines.iter().flat_map(|line| &line.lanes)
    }

    pub fn lanes_mut(&mut self) -> impl Iterator<Item = &mut Lane<T>> {
        self.lines.iter_mut().flat_map(|line| &mut line.lanes)
    }

    /// Lanes in which batches wait.
    pub fn waiting(&self) -> impl Iterator<Item = &Lane<T>> {
        self.active.iter().filter_map(|(at, partition)| self.lines.get(*at)?.existing(*partition))
    }
}
