//! What will happen when: events ordered by time, then by the order in which they were planned.

use std::collections::BTreeMap;
use types::Instant;

#[derive(Debug)]
pub struct Schedule<E> {
    events: BTreeMap<(Instant, u64), E>,
    planned: u64,
}

impl<E> Default for Schedule<E> {
    fn default() -> Self {
        Schedule { events: BTreeMap::new(), planned: 0 }
    }
}

impl<E> Schedule<E> {
    pub fn plan(&mut self, at: Instant, event: E) {
        self.events.insert((at, self.planned), event);
        self.planned += 1;
    }

    /// The next event, where it happens no later than `until`.
    pub fn next(&mut self, until: Instant) -> Option<(Instant, E)> {
        let first = self.events.first_entry()?;
        let at = first.key().0;
        (at <= until).then(|| (at, first.remove()))
    }
}
