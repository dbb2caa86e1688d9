//! How fast replicas may be copied (KIP-73): each broker has a rate for what it sends and one for what it takes in, and each
//! topic says which of its replicas count. What is in sync counts, but is never held back: a throttle must not make
//! producers wait.
//!
//! A rate is the broker's and a partition is its shard's, so that each shard gets the share of the rate that it has of the
//! throttled replicas that are not in sync. That follows from the image, so no shard has to ask another.

use crate::call::Step;
use crate::checkpoint::NOBODY;
use crate::shard::Shard;
use crate::work::{PartitionOp, Work};
use log::Disk;
use metadata::config::{ResourceKind, ThrottledReplicas};
use metadata::{Image, Partition};
use std::collections::{BTreeSet, VecDeque};
use types::{Instant, NodeId, PartitionIndex, TopicPartition};

/// The rate that is none, as Kafka's defaults have it.
const UNLIMITED: u64 = i64::MAX.unsigned_abs();
const MOVES_RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";

/// What one shard may send to followers, and take in from leaders.
#[derive(Debug, Default)]
pub(crate) struct Throttles {
    pub leader: Throttle,
    pub follower: Throttle,
    pub moves: Pace,
}

/// How fast replicas may move between log directories; each shard has an equal part of the broker's rate.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Bytes in a second; none where there is no limit.
    rate: Option<u64>,
    window: Window,
}

impl Pace {
    pub fn left_at(&self, now: Instant) -> u64 {
        self.rate.map_or(u64::MAX, |rate| self.window.left(now, rate))
    }

    pub fn add(&mut self, now: Instant, bytes: u64) {
        if bytes > 0 && self.rate.is_some() {
            self.window.add(now, bytes);
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Throttle {
    /// Bytes in a second; none where nothing is throttled.
    rate: Option<u64>,
    replicas: BTreeSet<TopicPartition>,
    window: Window,
}

impl Throttle {
    /// Whether anything is throttled on this broker.
    pub fn is_on(&self) -> bool {
        self.rate.is_some()
    }

    /// How many bytes of a partition may be copied now, if it is not in sync; none where it is not throttled.
    pub fn left(&self, now: Instant, partition: TopicPartition) -> Option<u64> {
        let rate = self.rate.filter(|_| self.replicas.contains(&partition))?;
        Some(self.window.left(now, rate))
    }

    /// Bytes of a partition were copied.
    pub fn record(&mut self, now: Instant, partition: TopicPartition, bytes: u64) {
        if bytes > 0 && self.rate.is_some() && self.replicas.contains(&partition) {
            self.window.add(now, bytes);
        }
    }

    fn set(&mut self, rate: u64, here: Vec<Candidate>, all_lagging: u64) {
        let lagging = here.iter().filter(|known| known.lags).count() as u64;
        let share = u128::from(rate) * u128::from(lagging) / u128::from(all_lagging.max(1));
        self.rate = Some(u64::try_from(share).expect("a part of a rate"));
        self.replicas = here.into_iter().map(|known| known.partition).collect();
    }
}

/// Bytes of the last moments, averaged as Kafka does: over the time since the oldest of them, but at least one sample.
#[derive(Debug)]
struct Window {
    /// When each began, and its bytes.
    samples: VecDeque<(Instant, u64)>,
    sample_ms: u64,
    count: usize,
}

impl Default for Window {
    fn default() -> Window {
        Window { samples: VecDeque::new(), sample_ms: 1000, count: 11 }
    }
}

impl Window {
    fn left(&self, now: Instant, rate: u64) -> u64 {
        let lives = |sample: &&(Instant, u64)| self.lives(now, sample.0);
        let oldest = self.samples.iter().find(lives).map_or(now, |(began, _)| *began);
        let elapsed_ms = now.ms_since(oldest).max(self.sample_ms);
        let used: u64 = self.samples.iter().filter(lives).map(|(_, bytes)| bytes).sum();
        let allowed = u128::from(rate) * u128::from(elapsed_ms) / 1000;
        u64::try_from(allowed.saturating_sub(u128::from(used))).unwrap_or(u64::MAX)
    }

    fn lives(&self, now: Instant, began: Instant) -> bool {
        now.ms_since(began) < self.sample_ms.saturating_mul(self.count as u64)
    }

    fn add(&mut self, now: Instant, bytes: u64) {
        while self.samples.front().is_some_and(|(began, _)| !self.lives(now, *began)) {
            self.samples.pop_front();
        }
        match self.samples.back_mut().filter(|(began, _)| now.ms_since(*began) < self.sample_ms) {
            Some((_, sum)) => *sum += bytes,
            None => self.samples.push_back((now, bytes)),
        }
    }

    /// Bytes that were counted did not leave after all.
    fn take_back(&mut self, mut bytes: u64) {
        for (_, sum) in self.samples.iter_mut().rev() {
            let part = bytes.min(*sum);
            *sum -= part;
            bytes -= part;
        }
    }
}

/// A throttled replica.
struct Candidate {
    partition: TopicPartition,
    /// Somebody is not in sync, so that it is of use to give it a share.
    lags: bool,
}

impl<D: Disk> Shard<D> {
    /// The image or the settings have changed.
    pub(crate) fn set_throttles(&mut self) {
        let (me, image) = (self.node.id, self.image.clone());
        let sends = |of: &Partition| (of.leader == Some(me)).then(|| of.replicas.iter().any(|id| !of.isr.contains(id)));
        let takes = |of: &Partition| of.replicas.contains(&me).then(|| of.leader != Some(me) && !of.isr.contains(&me));
        let leader = self.throttled(&image, "leader.replication.throttled", sends);
        let follower = self.throttled(&image, "follower.replication.throttled", takes);
        let samples = self.samples("replication.quota.window");
        let moves = (self.settings.unsigned(MOVES_RATE), self.samples("alter.log.dirs.replication.quota.window"));
        let shards = u64::from(self.node.shards);
        let pace = &mut self.throttles.moves;
        pace.rate = (moves.0 != UNLIMITED).then(|| moves.0.div_ceil(shards));
        (pace.window.sample_ms, pace.window.count) = moves.1;
        let throttles = &mut self.throttles;
        for (throttle, found) in [(&mut throttles.leader, leader), (&mut throttles.follower, follower)] {
            (throttle.window.sample_ms, throttle.window.count) = samples;
            match found {
                Some((rate, here, lagging)) => throttle.set(rate, here, lagging),
                None => *throttle = Throttle::default(),
            }
        }
    }

    /// How long each sample of a rate is, and how many count.
    fn samples(&self, prefix: &str) -> (u64, usize) {
        let size_ms = self.settings.unsigned(&format!("{prefix}.size.seconds")).saturating_mul(1000);
        let count = self.settings.unsigned(&format!("{prefix}.num"));
        (size_ms, usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// The rate of this broker, the throttled replicas of this shard, and how many of all shards lag; none where nothing is
    /// throttled. `role` says whether a partition counts, and whether it lags.
    fn throttled(
        &self,
        image: &Image,
        prefix: &str,
        role: impl Fn(&Partition) -> Option<bool>,
    ) -> Option<(u64, Vec<Candidate>, u64)> {
        let rate = self.settings.unsigned(&format!("{prefix}.rate"));
        if rate == UNLIMITED {
            return None;
        }
        let (mut here, mut lagging) = (Vec::new(), 0);
        for (resource, set) in image.configured().filter(|(resource, _)| resource.kind == ResourceKind::Topic) {
            let listed = ThrottledReplicas::of(set, &format!("{prefix}.replicas"));
            let Some(topic) = image.topic_by_name(&resource.name).filter(|_| listed != ThrottledReplicas::None) else {
                continue;
            };
            for (index, known) in (0..).map(PartitionIndex).zip(&topic.partitions) {
                let Some(lags) = role(known).filter(|_| listed.contains(index, self.node.id)) else {
                    continue;
                };
                let partition = TopicPartition { topic: topic.id, partition: index };
                lagging += u64::from(lags);
                if partition.shard(self.node.shards) == self.me {
                    here.push(Candidate { partition, lags });
                }
            }
        }
        (!here.is_empty() || lagging > 0).then_some((rate, here, lagging))
    }

    /// How many bytes a follower may be sent of a partition; none where it is not held back.
    pub(crate) fn may_send(&mut self, partition: TopicPartition, follower: NodeId) -> Option<u64> {
        let left = self.throttles.leader.left(self.now.at, partition)?;
        let replica = self.partitions.replica(partition)?;
        (!replica.waits_for(follower)).then_some(left)
    }

    /// An answer to a follower had no room for these bytes, which their partitions' shards have counted as sent.
    pub(crate) fn count_as_unsent(&mut self, unsent: Vec<(TopicPartition, u64)>) {
        if unsent.is_empty() {
            return;
        }
        let work = |(partition, bytes)| Work::Partition { partition, op: PartitionOp::Unsent { bytes } };
        self.run(NOBODY, Step::all(unsent.into_iter().map(work).collect(), |_, _| Step::Silent));
    }

    pub(crate) fn take_back(&mut self, partition: TopicPartition, bytes: u64) {
        if self.throttles.leader.replicas.contains(&partition) {
            self.throttles.leader.window.take_back(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(ms: u64) -> Instant {
        Instant(1_000_000_000).plus_ms(ms)
    }

    #[test]
    fn a_rate_is_averaged_over_the_samples_that_live() {
        let mut window = Window { samples: VecDeque::new(), sample_ms: 1000, count: 3 };
        let left = |window: &Window, ms| window.left(at_ms(ms), 100);
        assert_eq!(left(&window, 0), 100, "one sample at least counts as time that has passed");
        window.add(at_ms(0), 100);
        assert_eq!((left(&window, 500), left(&window, 1500)), (0, 50));
        window.add(at_ms(1500), 350);
        assert_eq!((left(&window, 2000), left(&window, 2999)), (0, 0));
        assert_eq!(left(&window, 3000), 0, "the first sample is forgotten, the second lives");
        assert_eq!(left(&window, 4499), 0);
        assert_eq!(left(&window, 4500), 100, "all are forgotten");
        window.take_back(300);
        assert_eq!(left(&window, 2500), 250 - 150);
    }

    #[test]
    fn what_is_copied_at_every_chance_is_no_more_than_the_rate() {
        let mut window = Window::default();
        let mut sent = 0;
        for ms in (0..60_000).step_by(50) {
            let bytes = window.left(at_ms(ms), 10_000).min(4000);
            window.add(at_ms(ms), bytes);
            sent += bytes;
            assert!(sent <= 10 * ms.max(1000), "{sent} bytes in {ms} ms");
        }
        assert!(sent >= 590_000, "{sent}");
    }
}
