//! `vltava-sim`: replays a seed, or runs many.

use sim_suite::{Failed, Kind, Outcome, attempt, known_seeds};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

const USAGE: &str = "usage: vltava-sim [--kind calm|kill|power|full|bad|cluster] \
    (--seed N [--trace] | --seeds A..B | --seconds N [--from N])";

enum What {
    One(u64),
    Range(u64, u64),
    Seconds(u64),
}

struct Arguments {
    what: What,
    kind: Option<Kind>,
    trace: bool,
    /// The first of the seeds that are tried for some time, in place of one that nobody has run.
    from: Option<u64>,
}

fn arguments() -> Option<Arguments> {
    let (mut what, mut kind, mut trace, mut from) = (What::Seconds(10), None, false, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--trace" => trace = true,
            "--seed" => what = What::One(words.next()?.parse().ok()?),
            "--from" => from = Some(words.next()?.parse().ok()?),
            "--seconds" => what = What::Seconds(words.next()?.parse().ok()?),
            "--kind" => kind = Some(Kind::parse(&words.next()?)?),
            "--seeds" => {
                let range = words.next()?;
                let (first, end) = range.split_once("..")?;
                what = What::Range(first.parse().ok()?, end.parse().ok()?);
            }
            _ => return None,
        }
    }
    Some(Arguments { what, kind, trace, from })
}

#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    fn count(&mut self, result: &Result<Outcome, Failed>) {
        match result {
            Ok(_) => self.passed += 1,
            Err(failed) => {
                self.failed += 1;
                println!("{}", failed.line());
            }
        }
    }

    /// Every 16th seed runs twice, to see that it comes to the same end.
    fn run(&mut self, seed: u64, kind: Option<Kind>) {
        self.count(&attempt(seed, kind, seed.is_multiple_of(16), false));
    }
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let mut tally = Tally::default();
    if let What::One(seed) = arguments.what {
        let result = attempt(seed, arguments.kind, !arguments.trace, arguments.trace);
        if let Ok(outcome) = &result {
            println!("{outcome:?}");
        }
        tally.count(&result);
    } else {
        for (seed, kind) in known_seeds() {
            tally.run(seed, kind);
        }
        match arguments.what {
            What::Range(first, end) => (first..end).for_each(|seed| tally.run(seed, arguments.kind)),
            What::Seconds(seconds) => {
                let from = arguments.from.unwrap_or_else(unknown);
                fresh(&mut tally, arguments.kind, from, Duration::from_secs(seconds));
            }
            What::One(_) => {}
        }
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A seed from which on nobody has run any.
fn unknown() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since_1970.as_secs() * 1_000_000
}

/// Seeds from `first` on, for some time.
fn fresh(tally: &mut Tally, kind: Option<Kind>, first: u64, time: Duration) {
    let end = Instant::now() + time;
    for seed in first.. {
        if Instant::now() >= end {
            return;
        }
        tally.run(seed, kind);
    }
}
