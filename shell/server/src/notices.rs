//! Lines about single connections, one for each cause and interval however many there are: hostile clients shall not
//! fill the log.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A cause is told at most once in this time.
const INTERVAL: Duration = Duration::from_secs(10);
/// Causes that are told apart at a time.
const CAUSES_MAX: usize = 64;

#[derive(Default)]
pub struct Notices {
    causes: HashMap<String, Told>,
}

struct Told {
    at: Instant,
    suppressed: u64,
}

impl Notices {
    /// Logs that a connection was closed or refused, unless the same was told just before.
    pub fn closed(&mut self, now: Instant, peer: SocketAddr, cause: &str) {
        if let Some(suppressed) = self.is_due(now, cause) {
            tracing::warn!("closed the connection from {peer}: {cause}{}", more(suppressed));
        }
    }

    /// Logs a line that belongs to no single connection, unless it was told just before.
    pub fn say(&mut self, now: Instant, line: &str) {
        if let Some(suppressed) = self.is_due(now, line) {
            tracing::warn!("{line}{}", more(suppressed));
        }
    }

    /// How many went untold since the last one, where it is time for a line.
    fn is_due(&mut self, now: Instant, cause: &str) -> Option<u64> {
        if let Some(told) = self.causes.get_mut(cause) {
            if now.saturating_duration_since(told.at) < INTERVAL {
                told.suppressed += 1;
                return None;
            }
            told.at = now;
            return Some(std::mem::take(&mut told.suppressed));
        }
        if self.causes.len() >= CAUSES_MAX {
            self.causes.retain(|_, told| now.saturating_duration_since(told.at) < INTERVAL);
        }
        if self.causes.len() >= CAUSES_MAX {
            return None;
        }
        self.causes.insert(cause.to_owned(), Told { at: now, suppressed: 0 });
        Some(0)
    }
}

fn more(suppressed: u64) -> String {
    match suppressed {
        0 => String::new(),
        count => format!(" ({count} more like this in the meantime)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once_in_an_interval_with_the_count_of_the_rest() {
        let mut notices = Notices::default();
        let start = Instant::now();
        assert_eq!(notices.is_due(start, "too large"), Some(0));
        assert_eq!(notices.is_due(start, "too large"), None);
        assert_eq!(notices.is_due(start, "too large"), None);
        assert_eq!(notices.is_due(start, "half"), Some(0));
        assert_eq!(notices.is_due(start + INTERVAL, "too large"), Some(2));
    }

    #[test]
    fn causes_are_bounded() {
        let mut notices = Notices::default();
        let start = Instant::now();
        for cause in 0..1000 {
            let _ = notices.is_due(start, &cause.to_string());
        }
        assert_eq!(notices.causes.len(), CAUSES_MAX);
        assert_eq!(notices.is_due(start + INTERVAL, "new"), Some(0));
    }
}
