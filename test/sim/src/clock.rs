//! The clocks of one process: how fast they run beside the world's, and how far its wall clock is off.

use types::Instant;

/// How fast a clock runs that is right, in parts of a thousand.
const RIGHT: u64 = 1000;

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Parts of a thousand.
    rate: u64,
    /// When the rate was set: by the world, and as this clock had it.
    since: Instant,
    since_here: Instant,
    pub wall_skew_ms: i64,
}

impl Default for Clock {
    fn default() -> Self {
        Clock { rate: RIGHT, since: Instant(0), since_here: Instant(0), wall_skew_ms: 0 }
    }
}

impl Clock {
    /// What this clock shows at a moment of the world.
    #[must_use]
    pub fn here(&self, world: Instant) -> Instant {
        Instant(self.since_here.0 + (world.0 - self.since.0) * self.rate / RIGHT)
    }

    /// The first moment of the world at which this clock shows `here`, or the moment its rate was set.
    #[must_use]
    pub fn world(&self, here: Instant) -> Instant {
        let ahead = u128::from(here.0.saturating_sub(self.since_here.0));
        let ahead = (ahead * u128::from(RIGHT)).div_ceil(u128::from(self.rate));
        Instant(self.since.0.saturating_add(u64::try_from(ahead).unwrap_or(u64::MAX)))
    }

    /// Runs at another rate from now on; what it shows now does not change.
    pub fn set_rate(&mut self, now: Instant, rate: u64) {
        assert!(rate > 0, "a clock never stands still");
        (self.since_here, self.since, self.rate) = (self.here(now), now, rate);
    }
}

#[test]
fn a_moment_is_found_again() {
    let mut clock = Clock::default();
    assert_eq!((clock.here(Instant(7)), clock.world(Instant(7))), (Instant(7), Instant(7)));
    for (now, rate) in [(1_000_003, 901), (5_000_001, 1100), (9_999_999, 999)] {
        clock.set_rate(Instant(now), rate);
        for after in 0..3000 {
            let here = Instant(clock.here(Instant(now)).0 + after);
            let world = clock.world(here);
            assert!(clock.here(world) >= here, "a timer that fires is due");
            assert!(world.0 == now || clock.here(Instant(world.0 - 1)) < here, "and was not before");
        }
    }
}
