//! The commands of the suite: install the clients, the long runs, and the shared suite.

use conform_suite::history::History;
use conform_suite::{broker, chaos, crash, foreign, nodes, roundtrip, shared};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: vltava-conform COMMAND

  install                          the foreign clients, into target/foreign
  roundtrip [--lines N] [--seed N]
  crash [--rounds N] [--seed N]
  chaos [--minutes N] [--seconds N] [--seed N] [--nodes N] [--bin PATH] [--kafka CLASSPATH]
  judge FOLDER                     the histories in a folder, such as chaos keeps
  bench [OPTIONS]                  test/bench/measure.py; OPTIONS go to it
  shared SUITE [OPTIONS]           a suite outside of this repository; OPTIONS go to it
  ctl FOLDER VERB ID               kill, stop, start, pause or resume a node of a cluster that `shared` runs";

/// The options of our own commands.
const OPTIONS: [&str; 8] = ["--lines", "--seed", "--rounds", "--minutes", "--seconds", "--nodes", "--bin", "--kafka"];

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
    if !matches!(command.as_str(), "bench" | "shared") {
        if options.iter().any(|word| word == "--help") {
            println!("{USAGE}");
            return Ok(());
        }
        let is_unknown = |word: &&String| word.starts_with("--") && !OPTIONS.contains(&word.as_str());
        if let Some(word) = options.iter().find(is_unknown) {
            return Err(format!("there is no option {word}\n{USAGE}"));
        }
    }
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
        "chaos" => chaos::run(&chaos_options(options)?, options),
        // What `chaos` starts inside namespaces of its own.
        "chaos-inside" => chaos::run_inside(&chaos_options(options)?),
        "judge" => judge(options.first().ok_or(USAGE)?),
        "bench" => {
            foreign::install()?;
            bench(options)
        }
        "ctl" => match options {
            [folder, verb, id] => nodes::ctl(Path::new(folder), verb, id.parse().map_err(|_| USAGE)?),
            _ => Err(USAGE.to_owned()),
        },
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

fn judge(folder: &str) -> Result<(), String> {
    let mut history = History::default();
    history.read_folder(Path::new(folder), |_| {})?;
    println!("{:?}", history.figures);
    let findings = history.judge();
    if findings.is_empty() { Ok(()) } else { Err(findings.to_string()) }
}

fn chaos_options(options: &[String]) -> Result<chaos::Options, String> {
    let minutes = option(options, "--minutes", 10)?;
    let nodes = option(options, "--nodes", 3)?;
    if !(1..=50).contains(&nodes) {
        return Err("--nodes takes 1 to 50".to_owned());
    }
    Ok(chaos::Options {
        seconds: option(options, "--seconds", minutes.saturating_mul(60))?,
        seed: seed(options)?,
        nodes: usize::try_from(nodes).map_err(|_| USAGE)?,
        binary: word(options, "--bin")?.map(PathBuf::from),
        kafka: word(options, "--kafka")?,
    })
}

/// The word after `name`, if it is given.
fn word(options: &[String], name: &str) -> Result<Option<String>, String> {
    match options.iter().position(|option| option == name) {
        None => Ok(None),
        Some(at) => options.get(at + 1).cloned().map(Some).ok_or_else(|| USAGE.to_owned()),
    }
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
