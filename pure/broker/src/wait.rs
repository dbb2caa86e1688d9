//! What this shard has promised to answer later, and to whom.
//!
//! A waiter is a number that a replica or a coordinator holds; here is what it stands for. A waiter ends when it fires,
//! when its time is up, or when whoever asked no longer waits.

use crate::call::ReplyTo;
use crate::work::CallId;
use log::Disk;
use replica::Slice;
use std::collections::{BTreeMap, BTreeSet};
use types::{HashMap, Instant, ShardId, TopicPartition};

/// What a waiter stands for.
pub(crate) enum Wait<D: Disk> {
    /// A produce request that waits for its records to be committed.
    Produce { partition: TopicPartition, appended: replica::Appended, deadline: Instant },
    /// A fetch that waits for a change of the partition.
    Watch { partition: TopicPartition },
    /// A fetch of many partitions that waits for a change of any on this shard.
    Changes { since: u64 },
    /// A fetch that waits until what it found is in the page cache.
    Warm { partition: TopicPartition, slice: Slice<D::File> },
    /// A command that a group coordinator holds (a join, a sync) or whose records are not committed yet.
    Group,
}

pub(crate) struct Waiting<D: Disk> {
    pub to: ReplyTo,
    pub wait: Wait<D>,
}

pub(crate) struct Waits<D: Disk> {
    waiting: HashMap<u64, Waiting<D>>,
    /// By who asked, so that all of a call's waiters can be dropped.
    by_call: BTreeMap<(ShardId, CallId), BTreeSet<u64>>,
}

impl<D: Disk> Default for Waits<D> {
    fn default() -> Self {
        Waits { waiting: HashMap::default(), by_call: BTreeMap::new() }
    }
}

impl<D: Disk> Waits<D> {
    pub fn insert(&mut self, waiter: u64, waiting: Waiting<D>) {
        self.by_call.entry((waiting.to.shard, waiting.to.call)).or_default().insert(waiter);
        self.waiting.insert(waiter, waiting);
    }

    pub fn take(&mut self, waiter: u64) -> Option<Waiting<D>> {
        let waiting = self.waiting.remove(&waiter)?;
        let key = (waiting.to.shard, waiting.to.call);
        if let Some(waiters) = self.by_call.get_mut(&key) {
            waiters.remove(&waiter);
            if waiters.is_empty() {
                self.by_call.remove(&key);
            }
        }
        Some(waiting)
    }

    /// From where on a waiter waits for changes; none where it no longer does.
    pub fn changes_since(&self, waiter: u64) -> Option<u64> {
        match self.waiting.get(&waiter)?.wait {
            Wait::Changes { since } => Some(since),
            _ => None,
        }
    }

    /// Everything that a call still waits for.
    pub fn take_call(&mut self, shard: ShardId, call: CallId) -> Vec<(u64, Waiting<D>)> {
        let waiters = self.by_call.remove(&(shard, call)).unwrap_or_default();
        waiters.into_iter().filter_map(|waiter| Some((waiter, self.waiting.remove(&waiter)?))).collect()
    }
}
