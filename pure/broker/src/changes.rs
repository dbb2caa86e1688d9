//! What has changed on a shard since when, for fetches of many partitions.
//!
//! A follower's session holds thousands of partitions of which few change between two fetches. It looks at those alone,
//! and waits for the next change of any: what a fetch costs follows from what happens, not from how much there is.
//! Nothing is noted while nobody asks.

use crate::shard::Shard;
use crate::work::Outcome;
use log::{Disk, Log};
use replica::Replica;
use std::collections::BTreeMap;
use types::{Instant, LeaderEpoch, Offset, TopicPartition};

/// Without a question for so long, changes are noted no more.
const IDLE_MS: u64 = 10_000;

/// What a reader can see of a partition; none where it is not open here.
type Mark = Option<(bool, LeaderEpoch, [Offset; 4], bool)>;

#[derive(Default)]
pub(crate) struct Changes {
    /// When somebody asked last; none where nothing is noted.
    asked: Option<Instant>,
    /// What happened before this number is not known.
    from: u64,
    next: u64,
    order: BTreeMap<u64, TopicPartition>,
    last: BTreeMap<TopicPartition, (u64, Mark)>,
    /// Waiters for the next change.
    waiters: Vec<u64>,
}

impl Changes {
    fn has_since(&self, since: u64) -> bool {
        since < self.from || self.order.range(since..).next().is_some()
    }

    fn note(&mut self, partition: TopicPartition, mark: Mark) {
        let (number, known) = self.last.entry(partition).or_insert((0, None));
        if *number > 0 && *known == mark {
            return;
        }
        self.order.remove(number);
        self.next += 1;
        (*number, *known) = (self.next, mark);
        self.order.insert(self.next, partition);
    }

    /// Forgets everything where nobody has asked for long.
    pub fn tick(&mut self, now: Instant) {
        if self.asked.is_some_and(|asked| now.ms_since(asked) >= IDLE_MS) && self.waiters.is_empty() {
            // Above every number given out, so that nobody takes the silence since for calm.
            *self = Changes { from: self.next + 2, next: self.next + 1, ..Changes::default() };
        }
    }

    pub fn forget_waiter(&mut self, waiter: u64) {
        self.waiters.retain(|other| *other != waiter);
    }
}

fn mark<D: Disk>(replica: &Replica<D>) -> Mark {
    let log = |of: fn(&Log<D>) -> Offset| replica.log().map_or(Offset::NONE, of);
    let offsets =
        [log(Log::start_offset), log(Log::end_offset), replica.high_watermark(), replica.last_stable_offset()];
    Some((replica.is_leader(), replica.leader_epoch(), offsets, replica.offline_reason().is_some()))
}

impl<D: Disk> Shard<D> {
    /// What has changed from this number on. All may have where the number is not given or too old.
    pub(crate) fn changes_since(&mut self, since: Option<u64>) -> Outcome<D> {
        let changes = &mut self.changes;
        changes.asked = Some(self.now.at);
        let partitions = since
            .filter(|since| *since >= changes.from)
            .map(|since| changes.order.range(since..).map(|(_, partition)| *partition).collect());
        Outcome::Changes { next: changes.next + 1, partitions }
    }

    /// True where something has changed from this number on; else the waiter fires with the next change.
    pub(crate) fn watch_changes(&mut self, since: u64, waiter: u64) -> bool {
        let has = self.changes.has_since(since);
        if !has {
            self.changes.waiters.push(waiter);
        }
        has
    }

    /// A touched partition may look different to readers than before.
    pub(crate) fn note_change(&mut self, partition: TopicPartition) {
        if self.changes.asked.is_some() {
            let mark = self.partitions.replica(partition).and_then(|replica| mark(replica));
            self.changes.note(partition, mark);
        }
    }

    /// Answers those who wait for a change, where there was one since they asked. True where anybody was answered.
    pub(crate) fn tell_changes(&mut self) -> bool {
        let waiters = std::mem::take(&mut self.changes.waiters);
        let mut told = false;
        for waiter in waiters {
            if self.waits.changes_since(waiter).is_none_or(|since| self.changes.has_since(since)) {
                if let Some(waiting) = self.waits.take(waiter) {
                    self.done.push((waiting.to, Outcome::Changed));
                    told = true;
                }
            } else {
                self.changes.waiters.push(waiter);
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{PartitionIndex, Uuid};

    fn at(offset: i64) -> Mark {
        Some((true, LeaderEpoch(1), [Offset(0), Offset(offset), Offset(0), Offset(0)], false))
    }

    fn partition(index: i32) -> TopicPartition {
        TopicPartition { topic: Uuid::ZERO, partition: PartitionIndex(index) }
    }

    fn since(changes: &Changes, since: u64) -> Vec<i32> {
        changes.order.range(since..).map(|(_, partition)| partition.partition.0).collect()
    }

    #[test]
    fn each_partition_stands_once_where_it_changed_last() {
        let mut changes = Changes { asked: Some(Instant(0)), ..Changes::default() };
        for (index, offset) in [(1, 5), (2, 5), (3, 5), (2, 5), (1, 6)] {
            changes.note(partition(index), at(offset));
        }
        assert_eq!(since(&changes, 0), [2, 3, 1]);
        let next = changes.next + 1;
        assert!(!changes.has_since(next));
        changes.note(partition(3), at(5));
        assert!(!changes.has_since(next), "nothing about it is new");
        changes.note(partition(3), None);
        assert_eq!(since(&changes, next), [3]);
    }

    #[test]
    fn who_asks_after_all_was_forgotten_is_told_that_everything_may_have_changed() {
        let mut changes = Changes { asked: Some(Instant(0)), ..Changes::default() };
        changes.note(partition(1), at(5));
        let next = changes.next + 1;
        changes.tick(Instant(0).plus_ms(IDLE_MS));
        assert!(changes.asked.is_none() && changes.order.is_empty());
        assert!(changes.has_since(next));
    }
}
