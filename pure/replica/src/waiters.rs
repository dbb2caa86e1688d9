//! Who waits for a partition: producers for the high watermark, readers for anything new. A completion race cannot be
//! written, for both are decided on the thread that moves the offsets.

use std::collections::VecDeque;
use types::{ErrorCode, Offset};

/// What became of a waiter. Each fires once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// The high watermark reached the offset.
    Committed { waiter: u64 },
    /// The partition can no longer commit it.
    Failed { waiter: u64, code: ErrorCode },
    /// What a reader could see changed.
    Changed { watcher: u64 },
}

#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// Ascending by offset.
    committed: VecDeque<(Offset, u64)>,
    watchers: Vec<u64>,
    fired: Vec<Fired>,
}

impl Waiters {
    pub(crate) fn wait(&mut self, offset: Offset, waiter: u64) {
        let at = self.committed.partition_point(|(other, _)| *other <= offset);
        self.committed.insert(at, (offset, waiter));
    }

    pub(crate) fn watch(&mut self, watcher: u64) {
        self.watchers.push(watcher);
    }

    pub(crate) fn cancel(&mut self, waiter: u64) {
        self.committed.retain(|(_, other)| *other != waiter);
        self.watchers.retain(|other| *other != waiter);
    }

    pub(crate) fn fire(&mut self, fired: Fired) {
        self.fired.push(fired);
    }

    pub(crate) fn commit(&mut self, high_watermark: Offset) {
        while let Some((offset, waiter)) = self.committed.front().copied()
            && offset <= high_watermark
        {
            self.committed.pop_front();
            self.fired.push(Fired::Committed { waiter });
        }
    }

    pub(crate) fn change(&mut self) {
        let watchers = self.watchers.drain(..).map(|watcher| Fired::Changed { watcher });
        self.fired.extend(watchers);
    }

    pub(crate) fn fail(&mut self, code: ErrorCode) {
        let failed = self.committed.drain(..).map(|(_, waiter)| Fired::Failed { waiter, code });
        self.fired.extend(failed);
        self.change();
    }

    pub(crate) fn take(&mut self, into: &mut Vec<Fired>) {
        into.append(&mut self.fired);
    }

    /// Gives back memory that an idle partition needs no more.
    pub(crate) fn release(&mut self) {
        if self.committed.is_empty() && self.watchers.is_empty() && self.fired.is_empty() {
            *self = Waiters::default();
        }
    }
}
