//! The clocks that engines are given. Must never know an engine.

use client::{Instant, Now, Timestamp};
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, SystemTime};

/// For how long one clock's word is taken for the other's: the wall clock may be set.
const READING_MS_MAX: u64 = 50;

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: tokio::time::Instant,
}

impl Clock {
    pub fn start() -> Clock {
        Clock { origin: tokio::time::Instant::now() }
    }

    pub fn now(self) -> Now {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now { at: self.at(), wall: Timestamp(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)) }
    }

    /// The time a little after both clocks were read: one of them says it, where that was not long ago.
    pub fn after(self, read: &mut Now) -> Now {
        let at = self.at();
        let since_ms = at.ms_since(read.at);
        if since_ms >= READING_MS_MAX {
            *read = self.now();
            return *read;
        }
        Now { at, wall: Timestamp(read.wall.0 + i64::try_from(since_ms).unwrap_or(0)) }
    }

    fn at(self) -> Instant {
        Instant(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The runtime's name for a moment of the engines.
    pub fn moment(self, at: Instant) -> tokio::time::Instant {
        self.origin + Duration::from_micros(at.0)
    }
}

/// A number that differs from one client to the next.
pub fn seed() -> u64 {
    // The standard library seeds its hashers from the system's random source.
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
