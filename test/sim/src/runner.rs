//! Runs seeds and catches what breaks: a panic is a finding, of the simulator's checks or of the broker's own.

use crate::scenario::{self, Kind, Outcome};
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, Once};

/// Seeds that ever failed, each with a word why; lines of `SEED[:KIND] why`.
const KNOWN: &str = include_str!("../seeds.txt");

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    pub seed: u64,
    pub kind: Option<Kind>,
    pub reason: String,
}

impl Failed {
    /// The line that replays it.
    #[must_use]
    pub fn line(&self) -> String {
        let kind = self.kind.map_or("", |kind| kind.flag());
        format!("cargo run -q -p vltava-sim -- --seed {}{kind}   # {}", self.seed, self.reason)
    }
}

static HOOK: Once = Once::new();
static LAST: Mutex<String> = Mutex::new(String::new());

/// Runs one seed; twice where asked to, for the same seed must come to the same end.
pub fn attempt(seed: u64, kind: Option<Kind>, twice: bool, print: bool) -> Result<Outcome, Failed> {
    HOOK.call_once(|| panic::set_hook(Box::new(|info| keep(&info.to_string()))));
    let failed = |reason: String| Failed { seed, kind, reason };
    let caught = || panic::catch_unwind(AssertUnwindSafe(|| scenario::run(seed, kind, print)));
    let first = caught().map_err(|_| failed(kept()))?;
    if twice && caught().map_err(|_| failed(kept()))? != first {
        return Err(failed("the same seed came to another end the second time".to_owned()));
    }
    Ok(first)
}

fn keep(text: &str) {
    let line = text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    if let Ok(mut last) = LAST.lock() {
        *last = line;
    }
}

fn kept() -> String {
    LAST.lock().map(|last| last.clone()).unwrap_or_default()
}

/// The seeds that ever failed.
#[must_use]
pub fn known_seeds() -> Vec<(u64, Option<Kind>)> {
    let lines = KNOWN.lines().filter(|line| !line.starts_with('#'));
    let first = |line: &str| {
        let word = line.split_whitespace().next()?;
        let (seed, kind) = word.split_once(':').map_or((word, None), |(seed, kind)| (seed, Kind::parse(kind)));
        Some((seed.parse().ok()?, kind))
    };
    lines.filter_map(first).collect()
}
