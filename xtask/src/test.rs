//! `cargo xtask test`: runs every test of the project and prints one sum at the end.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// What a part of the run came to.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
}

pub fn run(_options: &[String]) -> Result<(), String> {
    let tally = workspace()?;
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 { Ok(()) } else { Err("some tests failed".to_owned()) }
}

/// `cargo test` over the workspace, summing the result line of each test binary.
fn workspace() -> Result<Tally, String> {
    let mut child = Command::new(env!("CARGO"))
        .args(["test", "--workspace", "--no-fail-fast"])
        .current_dir(crate::root())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    let output = child.stdout.take().expect("stdout is piped");
    let mut tally = Tally::default();
    for line in BufReader::new(output).lines() {
        let line = line.map_err(|error| format!("cannot read cargo's output: {error}"))?;
        println!("{line}");
        if let Some(counts) = line.strip_prefix("test result: ") {
            tally.passed += count_before(counts, " passed");
            tally.failed += count_before(counts, " failed");
        }
    }
    let status = child.wait().map_err(|error| format!("cannot wait for cargo: {error}"))?;
    // A test binary that dies, or code that does not compile, prints no result line.
    if !status.success() && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}

/// The number that stands before `word` in `line`.
fn count_before(line: &str, word: &str) -> u64 {
    let before = line.split(word).next().unwrap_or("");
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::count_before;

    #[test]
    fn result_lines_are_counted() {
        let line = "ok. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!((count_before(line, " passed"), count_before(line, " failed")), (12, 3));
    }
}
