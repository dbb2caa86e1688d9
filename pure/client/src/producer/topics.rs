//! The table of the topics that a producer sends to, each with the lanes of its partitions.

use super::lane::Lane;
use super::partitioner::{self, Partitioning, Sticky};
use super::{ProducerOptions, ProducerRecord, Spot};
use crate::cluster::Cluster;
use std::collections::{BTreeMap, BTreeSet};
use types::{Instant, PartitionIndex, Text};

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
    /// Whose turn it is with `RoundRobin`.
    turn: i32,
}

impl<T: Default> Line<T> {
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

    /// Where a record of this size goes that names no partition.
    pub fn partition(
        &mut self,
        now: Instant,
        (record, size): (&ProducerRecord, usize),
        options: &ProducerOptions,
        cluster: &mut Cluster,
    ) -> Result<PartitionIndex, String> {
        match (&options.partitioning, &record.key) {
            (Partitioning::Default, Some(key)) if !options.ignores_keys => Ok(partitioner::of_key(key, self.count)),
            (Partitioning::Default | Partitioning::UniformSticky, _) => Ok(self.stick(now, size, options, cluster)),
            (Partitioning::RoundRobin, _) => Ok(self.take_turns(cluster)),
            (Partitioning::Custom(custom), _) => {
                let topic = cluster.topic(&self.name).ok_or("nothing is known of its topic")?;
                let chosen = custom.partition(record, topic)?;
                let is_there = topic.partition(chosen).is_some();
                is_there.then_some(chosen).ok_or_else(|| {
                    format!("the partitioner chose partition {chosen} of {}, which has {}", self.name, self.count)
                })
            }
        }
    }

    fn stick(&mut self, now: Instant, size: usize, options: &ProducerOptions, cluster: &mut Cluster) -> PartitionIndex {
        let lanes = &self.lanes;
        let has_room = |at: PartitionIndex| existing(lanes, at).is_none_or(|lane| lane.takes_another(size, options));
        if let Some(partition) = self.sticky.stay(size, options.batch_bytes, has_room) {
            return partition;
        }
        let topic = cluster.topic(&self.name);
        let is_led = |at| topic.and_then(|topic| topic.partition(at)).is_some_and(|known| known.leader.is_some());
        let is_adaptive = options.is_adaptive && matches!(options.partitioning, Partitioning::Default);
        let length = |at| {
            let lane = existing(lanes, at);
            let is_stuck = is_adaptive && lane.is_some_and(|lane| lane.is_stuck(now, options));
            let length = if is_adaptive { lane.map_or(0, Lane::waiting) } else { 0 };
            (is_led(at) && !is_stuck).then_some(length)
        };
        let waiting: Vec<Option<usize>> = (0..self.count).map(|at| length(PartitionIndex(at))).collect();
        self.sticky.leave(size, &waiting, &mut cluster.rng)
    }

    /// The next partition that has a leader, or the next one where none has.
    fn take_turns(&mut self, cluster: &Cluster) -> PartitionIndex {
        let topic = cluster.topic(&self.name);
        for _ in 0..self.count {
            self.turn = (self.turn + 1) % self.count;
            let known = topic.and_then(|topic| topic.partition(PartitionIndex(self.turn)));
            if known.is_some_and(|known| known.leader.is_some()) {
                break;
            }
        }
        PartitionIndex(self.turn)
    }

    pub fn existing(&self, partition: PartitionIndex) -> Option<&Lane<T>> {
        existing(&self.lanes, partition)
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

#[derive(Debug, Default)]
pub struct Topics<T> {
    pub lines: Vec<Line<T>>,
    numbers: BTreeMap<Text, usize>,
    /// The one that was asked for last, which is often the next one too.
    last: usize,
    /// Where batches may wait to be sent.
    pub active: BTreeSet<Spot>,
}

impl<T: Default> Topics<T> {
    /// The number of a topic; a new one where it was not known.
    pub fn find(&mut self, name: &Text) -> usize {
        if self.lines.get(self.last).is_none_or(|line| line.name != *name) {
            self.last = self.numbers.get(name).copied().unwrap_or_else(|| {
                // A slice of what it came in would hold all of that.
                let name = name.detached();
                self.numbers.insert(name.clone(), self.lines.len());
                let (lanes, used_at) = (Vec::new(), Instant(0));
                self.lines.push(Line { name, count: 0, epoch: 0, used_at, lanes, sticky: Sticky::default(), turn: 0 });
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
