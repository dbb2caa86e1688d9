//! `cargo run -p vltava-fuzz -- [--seconds N] [--case N]`: tries cases for a time, or replays one.

use fuzz_suite::Tally;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().ok();
    match words.as_slice() {
        [] => search(10),
        ["--seconds", seconds] => number(seconds).map_or_else(usage, search),
        ["--case", case] => number(case).map_or_else(usage, |case| run(&mut Tally::default(), case)),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: vltava-fuzz [--seconds N] [--case N]");
    ExitCode::FAILURE
}

/// Each search begins elsewhere, so that many short ones try as much as a long one.
fn search(seconds: u64) -> ExitCode {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let first = since_1970.as_secs() << 24;
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut tally = Tally::default();
    for case in first.. {
        if run(&mut tally, case) == ExitCode::FAILURE {
            return ExitCode::FAILURE;
        }
        if Instant::now() >= end {
            break;
        }
    }
    let Tally { cases, valid, worst } = tally;
    println!("{cases} cases held, {valid} of them valid messages; at worst {worst} bytes allocated for one");
    ExitCode::SUCCESS
}

fn run(tally: &mut Tally, case: u64) -> ExitCode {
    // The tally is only counters: half a case leaves nothing in it that could mislead.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tally.run(case))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => {
            eprintln!("replay: cargo run -p vltava-fuzz -- --case {case}");
            ExitCode::FAILURE
        }
    }
}
