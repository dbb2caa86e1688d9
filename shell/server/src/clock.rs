//! The only place that asks for the time: both clocks as the core wants them.

use broker::types::{self, Now, Timestamp};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Clones agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Must be made once for a process: the core's moments of different clocks cannot be compared.
    #[must_use]
    pub fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    #[must_use]
    pub fn now(self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let wall = Timestamp(i64::try_from(wall).unwrap_or(i64::MAX));
        Now { at: self.at(Instant::now()), wall }
    }

    #[must_use]
    pub fn at(self, moment: Instant) -> types::Instant {
        let micros = moment.saturating_duration_since(self.origin).as_micros();
        types::Instant(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// The system's moment for one of the core's; one that lies beyond what the system can tell is far enough away.
    #[must_use]
    pub fn moment(self, at: types::Instant) -> Instant {
        const FAR: Duration = Duration::from_secs(86_400 * 365);
        self.origin.checked_add(Duration::from_micros(at.0)).unwrap_or_else(|| Instant::now() + FAR)
    }
}
