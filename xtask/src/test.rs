//! `cargo xtask test`: runs every test of the project and prints one sum at the end.
//!
//! Each part is a child process whose output passes through; its result lines are counted on the way.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const USAGE: &str = "usage: cargo xtask test [--no-foreign | --foreign]

  --no-foreign  leave out the suite with foreign clients (kcat, Java, librdkafka, Python)
  --foreign     fail where those clients cannot be installed; the default is to say so and go on

  VLTAVA_FUZZ_SECONDS (10) says how long the fuzzer runs. The simulation runs the same thousand seeds always, and every
  seed that ever failed; fresh ones: cargo run -p vltava-sim -- --seconds 60";

/// What the simulation runs: fixed, so that a change is judged by what it changes.
const SIMULATED_SEEDS: &str = "0..1000";

/// What a part of the run, or all of it, came to.
#[derive(Clone, Copy, Default)]
struct Tally {
    passed: u64,
    failed: u64,
}

/// Whether the suite with foreign clients runs.
#[derive(Clone, Copy, PartialEq)]
enum Foreign {
    Never,
    IfInstallable,
    Always,
}

pub fn run(options: &[String]) -> Result<(), String> {
    let foreign = match options {
        [] => Foreign::IfInstallable,
        [option] if option == "--no-foreign" => Foreign::Never,
        [option] if option == "--foreign" => Foreign::Always,
        _ => return Err(USAGE.to_owned()),
    };
    let mut sum = Tally::default();
    let mut parts: Vec<(&str, Vec<String>)> = vec![
        ("unit and integration tests", words("test --workspace --no-fail-fast")),
        ("fuzzing", seconds("vltava-fuzz", "VLTAVA_FUZZ_SECONDS", 10)),
        (
            "simulation",
            words(&format!("run --quiet --package vltava-sim --bin vltava-sim -- --seeds {SIMULATED_SEEDS}")),
        ),
    ];
    let skipped = foreign == Foreign::Never || (!installed()? && foreign == Foreign::IfInstallable);
    if !skipped {
        parts.push((
            "foreign clients",
            words("test --package vltava-conform --test clients --test restarts --test mixed --test kafka --no-fail-fast -- --include-ignored"),
        ));
    }
    for (name, arguments) in parts {
        println!("== {name}: cargo {}", arguments.join(" "));
        let tally = part(&arguments)?;
        sum.passed += tally.passed;
        sum.failed += tally.failed;
    }
    if skipped {
        println!("The suite with foreign clients did not run.");
    }
    println!("{} passed, {} failed", sum.passed, sum.failed);
    if sum.failed == 0 { Ok(()) } else { Err("some tests failed".to_owned()) }
}

/// Passes `options` on to a command of the suite with foreign clients, which runs the release build of the broker unless
/// another is named.
pub fn conform(command: &str, options: &[String]) -> Result<(), String> {
    let names_another = options.iter().any(|option| option == "--bin" || option == "--kafka");
    if !names_another {
        let build = cargo(&words("build --release --package vltava")).status();
        if !build.is_ok_and(|status| status.success()) {
            return Err("the broker does not build".to_owned());
        }
    }
    let mut arguments = words("run --quiet --release --package vltava-conform --");
    arguments.push(command.to_owned());
    arguments.extend_from_slice(options);
    let status = cargo(&arguments).status().map_err(|error| format!("cannot start cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command} failed")) }
}

/// Builds the broker and installs the foreign clients; says what is missing where that cannot be done.
fn installed() -> Result<bool, String> {
    let build =
        cargo(&words("build --package vltava")).status().map_err(|error| format!("cannot start cargo: {error}"))?;
    if !build.success() {
        return Err("the broker does not build".to_owned());
    }
    let install = cargo(&words("run --quiet --package vltava-conform -- install")).status();
    Ok(install.is_ok_and(|status| status.success()))
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// Runs the binary of a test crate for as many seconds as the environment variable says.
fn seconds(package: &str, variable: &str, default: u64) -> Vec<String> {
    let seconds = std::env::var(variable).unwrap_or_else(|_| default.to_string());
    words(&format!("run --quiet --package {package} --bin {package} -- --seconds {seconds}"))
}

fn cargo(arguments: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(crate::root());
    command
}

fn part(arguments: &[String]) -> Result<Tally, String> {
    let mut child =
        cargo(arguments).stdout(Stdio::piped()).spawn().map_err(|error| format!("cannot start cargo: {error}"))?;
    let output = child.stdout.take().expect("stdout is piped");
    let mut tally = Tally::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.map_err(|error| format!("cannot read cargo's output: {error}"))?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        let counted = result(&line);
        tally.passed += counted.passed;
        tally.failed += counted.failed;
    }
    let status = child.wait().map_err(|error| format!("cannot wait for cargo: {error}"))?;
    // A part that dies, or does not compile, prints no result; one without counts is one test.
    match (status.success(), tally.failed) {
        (false, 0) => tally.failed = 1,
        (true, 0) if tally.passed == 0 => tally.passed = 1,
        _ => {}
    }
    Ok(tally)
}

/// The counts of a result line: `test result: ok. 3 passed; 0 failed; ..` or `3 passed, 0 failed`.
fn result(line: &str) -> Tally {
    let line = line.strip_prefix("test result: ").unwrap_or(line);
    let line = line.trim_start_matches("ok. ").trim_start_matches("FAILED. ");
    let counts = line.split_once(" passed").and_then(|(passed, rest)| {
        let failed = rest.trim_start_matches([';', ',', ' ']).split_once(" failed")?.0;
        Some(Tally { passed: passed.parse().ok()?, failed: failed.parse().ok()? })
    });
    counts.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::result;

    #[track_caller]
    fn check(line: &str, passed: u64, failed: u64) {
        let tally = result(line);
        assert_eq!((tally.passed, tally.failed), (passed, failed));
    }

    #[test]
    fn result_lines_are_counted() {
        check("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out", 12, 0);
        check("test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out", 12, 3);
        check("40 passed, 1 failed", 40, 1);
        check("seed 7: passed", 0, 0);
        check("all passed, none failed", 0, 0);
    }
}
