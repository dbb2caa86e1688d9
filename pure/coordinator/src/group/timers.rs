//! Every time-out of one coordinator in one ordered structure. Knows nothing of what a timer means.

use std::collections::{BTreeMap, BTreeSet};
use types::{Instant, Text};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The look for expired offsets and groups.
    Retention,
    /// The end of a group's join phase, or of one step of its initial delay.
    Join { group: Text },
    /// The end of a group's sync phase.
    Sync { group: Text },
    /// A member was not heard of, be it pending or joined.
    Session { group: Text, member: Text },
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeSet<(Instant, Timer)>,
    due: BTreeMap<Timer, Instant>,
}

impl Timers {
    /// Sets a timer or moves it.
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        if let Some(earlier) = self.due.insert(timer.clone(), at) {
            self.queue.remove(&(earlier, timer.clone()));
        }
        self.queue.insert((at, timer));
        assert_eq!(self.queue.len(), self.due.len(), "each timer is queued once");
    }

    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some(at) = self.due.remove(timer) {
            self.queue.remove(&(at, timer.clone()));
        }
    }

    #[cfg(test)]
    pub(super) fn is_set(&self, timer: &Timer) -> bool {
        self.due.contains_key(timer)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes the first timer that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.queue.pop_first()?;
        self.due.remove(&timer);
        Some(timer)
    }
}
