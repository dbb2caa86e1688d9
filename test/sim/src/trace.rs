//! What happened, as one number: the same seed must come to the same number twice. Prints it too where asked to.

use std::fmt;
use std::hash::Hasher;
use types::{FixedHasher, Instant};

#[derive(Debug)]
pub struct Trace {
    hash: u64,
    /// Print every event to standard error while it happens.
    pub print: bool,
}

impl Trace {
    #[must_use]
    pub fn new(print: bool) -> Trace {
        Trace { hash: 0, print }
    }

    /// Takes note of an event: what it was, to whom it happened, and with which bytes.
    pub fn note(&mut self, at: Instant, what: &str, whom: u64, bytes: &[u8]) {
        let mut hasher = FixedHasher::default();
        hasher.write_u64(self.hash);
        hasher.write_u64(at.0);
        hasher.write(what.as_bytes());
        hasher.write_u64(whom);
        hasher.write(bytes);
        self.hash = hasher.finish();
    }

    /// A line for people; the arguments are only put together where lines are printed.
    #[expect(clippy::print_stderr, reason = "a replayed seed tells its story on standard error")]
    pub fn say(&self, at: Instant, line: fmt::Arguments) {
        if self.print {
            eprintln!("{:>10}.{:03} {line}", at.0 / 1000, at.0 % 1000);
        }
    }

    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }
}
