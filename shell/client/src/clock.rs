//! The clocks that engines are given. Must never know an engine.

use client::{Instant, Now, Timestamp};
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, SystemTime};

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
        Now {
            at: Instant(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)),
            wall: Timestamp(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)),
        }
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
