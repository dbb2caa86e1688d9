//! The time of a broker under test: the machine's, or one that passes only when the test says so.

use broker::types::{self, Now, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// The clock of one broker, or of all brokers of a cluster. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock {
    origin: Instant,
    wall_origin: Duration,
    state: Arc<Mutex<State>>,
    /// Tells the brokers that the time was changed.
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    /// What the test has added to the machine's time.
    added: Duration,
    /// The time at which the clock stands, where it stands.
    stands_at: Option<Duration>,
}

impl Clock {
    pub(crate) fn new(stands: bool) -> Clock {
        let state = State { added: Duration::ZERO, stands_at: stands.then_some(Duration::ZERO) };
        Clock {
            origin: Instant::now(),
            wall_origin: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            state: Arc::new(Mutex::new(state)),
            changes: watch::Sender::new(()),
        }
    }

    /// Lets time pass at once for the broker: sessions end, retention falls due, delayed rebalances begin.
    pub fn advance(&self, by: Duration) {
        self.change(|state, _| match &mut state.stands_at {
            Some(at) => *at += by,
            None => state.added += by,
        });
    }

    /// Time passes by [`Clock::advance`] only, until [`Clock::go`].
    pub fn stand(&self) {
        self.change(|state, origin| {
            let at = state.stands_at.unwrap_or_else(|| origin.elapsed() + state.added);
            state.stands_at = Some(at);
        });
    }

    /// Time passes with the machine's again, from where the clock stands.
    pub fn go(&self) {
        self.change(|state, origin| {
            if let Some(at) = state.stands_at.take() {
                state.added = at.saturating_sub(origin.elapsed());
            }
        });
    }

    fn change(&self, how: impl FnOnce(&mut State, Instant)) {
        how(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner), self.origin);
        self.changes.send_replace(());
    }

    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn passed(&self) -> Duration {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.stands_at.unwrap_or_else(|| self.origin.elapsed() + state.added)
    }

    pub(crate) fn now(&self) -> Now {
        let passed = self.passed();
        let wall = i64::try_from((self.wall_origin + passed).as_millis()).unwrap_or(i64::MAX);
        Now { at: types::Instant(u64::try_from(passed.as_micros()).unwrap_or(u64::MAX)), wall: Timestamp(wall) }
    }

    /// How long until then by the machine's time; none where the clock stands before it.
    pub(crate) fn until(&self, at: types::Instant) -> Option<Duration> {
        let left = Duration::from_micros(at.0).saturating_sub(self.passed());
        let stands = self.state.lock().unwrap_or_else(PoisonError::into_inner).stands_at.is_some();
        (!stands || left.is_zero()).then_some(left)
    }
}
