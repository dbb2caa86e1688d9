//! Who waits for a partition: producers for the high watermark or the leader's own disk, readers for anything new. A
//! completion race cannot be written, for all are decided on the thread that moves the offsets.

use std::collections::VecDeque;
use types::{ErrorCode, Offset};

/// What became of a waiter. Each fires once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// The offset that it waited for was reached.
    Committed { waiter: u64 },
    /// The partition can no longer commit it, or no longer here.
    Failed { waiter: u64, code: ErrorCode },
    /// What a reader could see changed.
    Changed { watcher: u64 },
}

/// Waiters, ascending by offset.
type Queue = VecDeque<(Offset, u64)>;

#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// For the high watermark.
    committed: Queue,
    /// For what the leader itself holds.
    stored: Queue,
    /// For what consumers may see.
    watchers: Vec<u64>,
    /// For the log's end: followers.
    end_watchers: Vec<u64>,
    fired: Vec<Fired>,
}

fn insert(queue: &mut Queue, offset: Offset, waiter: u64) {
    let at = queue.partition_point(|(other, _)| *other <= offset);
    queue.insert(at, (offset, waiter));
}

fn complete(queue: &mut Queue, reached: Offset, fired: &mut Vec<Fired>) {
    while let Some((offset, waiter)) = queue.front().copied()
        && offset <= reached
    {
        queue.pop_front();
        fired.push(Fired::Committed { waiter });
    }
}

fn wake(watchers: &mut Vec<u64>, fired: &mut Vec<Fired>) {
    fired.extend(watchers.drain(..).map(|watcher| Fired::Changed { watcher }));
}

impl Waiters {
    pub(crate) fn wait_committed(&mut self, offset: Offset, waiter: u64) {
        insert(&mut self.committed, offset, waiter);
    }

    pub(crate) fn wait_stored(&mut self, offset: Offset, waiter: u64) {
        insert(&mut self.stored, offset, waiter);
    }

    pub(crate) fn watch(&mut self, watcher: u64) {
        self.watchers.push(watcher);
    }

    pub(crate) fn watch_end(&mut self, watcher: u64) {
        self.end_watchers.push(watcher);
    }

    pub(crate) fn cancel(&mut self, waiter: u64) {
        self.committed.retain(|(_, other)| *other != waiter);
        self.stored.retain(|(_, other)| *other != waiter);
        self.watchers.retain(|other| *other != waiter);
        self.end_watchers.retain(|other| *other != waiter);
    }

    pub(crate) fn fire(&mut self, fired: Fired) {
        self.fired.push(fired);
    }

    /// The high watermark moved.
    pub(crate) fn commit(&mut self, high_watermark: Offset) {
        complete(&mut self.committed, high_watermark, &mut self.fired);
        wake(&mut self.watchers, &mut self.fired);
    }

    /// The leader holds everything below `own`.
    pub(crate) fn store(&mut self, own: Offset) {
        complete(&mut self.stored, own, &mut self.fired);
    }

    /// The log's end moved.
    pub(crate) fn grow(&mut self) {
        wake(&mut self.end_watchers, &mut self.fired);
    }

    /// Anything that a reader is told of changed.
    pub(crate) fn change(&mut self) {
        wake(&mut self.watchers, &mut self.fired);
        wake(&mut self.end_watchers, &mut self.fired);
    }

    pub(crate) fn fail(&mut self, code: ErrorCode) {
        let failed = self.committed.drain(..).chain(self.stored.drain(..));
        self.fired.extend(failed.map(|(_, waiter)| Fired::Failed { waiter, code }));
        self.change();
    }

    pub(crate) fn take(&mut self, into: &mut Vec<Fired>) {
        into.append(&mut self.fired);
    }

    /// Gives back memory that an idle partition needs no more.
    pub(crate) fn release(&mut self) {
        let idle = self.committed.is_empty() && self.stored.is_empty();
        if idle && self.watchers.is_empty() && self.end_watchers.is_empty() && self.fired.is_empty() {
            *self = Waiters::default();
        }
    }
}
