//! The commands of the suite: install the clients, the long runs, and the shared suite.

use conform_suite::{broker, crash, foreign, roundtrip, shared};
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: vltava-conform COMMAND

  install                          the foreign clients, into target/foreign
  roundtrip [--lines N] [--seed N]
  crash [--rounds N] [--seed N]
  bench [OPTIONS]                  test/bench/measure.py; OPTIONS go to it
  shared SUITE [OPTIONS]           a suite outside of this repository; OPTIONS go to it";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let (command, options) = arguments.split_first().ok_or(USAGE)?;
    match command.as_str() {
        "install" => foreign::install(),
        "roundtrip" => {
            foreign::install()?;
            roundtrip::run(usize::try_from(option(options, "--lines", 1_000_000)?).map_err(|_| USAGE)?, seed(options)?)
        }
        "crash" => {
            foreign::install()?;
            crash::run(option(options, "--rounds", 50)?, seed(options)?)
        }
        "bench" => {
            foreign::install()?;
            bench(options)
        }
        "shared" => {
            let (suite, options) = options.split_first().ok_or(USAGE)?;
            shared::run(suite, options)
        }
        _ => Err(USAGE.to_owned()),
    }
}

/// Measures the broker built beside this program.
fn bench(options: &[String]) -> Result<(), String> {
    let script = conform_suite::home().with_file_name("bench").join("measure.py");
    let mut python = Command::new(foreign::python());
    python.arg(script).arg("--broker").arg(broker::binary()).args(options);
    let status = python.status().map_err(|error| format!("cannot start {python:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("the measurement ended with {status}")) }
}

/// The number after `name`, or the default.
fn option(options: &[String], name: &str, default: u64) -> Result<u64, String> {
    match options.iter().position(|option| option == name) {
        None => Ok(default),
        Some(at) => options.get(at + 1).and_then(|value| value.parse().ok()).ok_or_else(|| USAGE.to_owned()),
    }
}

/// A fresh seed unless one is given; every report names it.
fn seed(options: &[String]) -> Result<u64, String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    option(options, "--seed", u64::try_from(now % 1_000_000).expect("below a million"))
}
