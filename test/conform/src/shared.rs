//! Runs a conformance suite that is kept outside of this repository against a broker of ours.
//!
//! The suite is a program that takes `--list`, `--only NAME` and `--bootstrap HOST:PORT`. What needs features that are not
//! built is listed in `not-yet.txt`, each with its reason; everything else must pass.

use crate::broker::Broker;
use crate::nodes::Nodes;
use std::process::Command;

/// What the suite takes for granted of a broker; the rest are defaults.
const SETTINGS: &[&str] = &["log.retention.check.interval.ms=3000", "group.min.session.timeout.ms=6000"];

/// Runs the suite; `options` go to it as they are.
pub fn run(suite: &str, options: &[String]) -> Result<(), String> {
    let listed =
        Command::new(suite).arg("--list").output().map_err(|error| format!("cannot start {suite}: {error}"))?;
    let excluded = not_yet()?;
    let listed = String::from_utf8_lossy(&listed.stdout);
    // A line of the list: the set, the name, what it is about.
    let names = listed.lines().filter_map(|line| line.split_whitespace().nth(1));
    let (left_out, wanted): (Vec<&str>, Vec<&str>) =
        names.partition(|name| excluded.iter().any(|glob| matches(glob, name)));
    println!("{} cases, {} left out: see test/conform/not-yet.txt", wanted.len(), left_out.len());

    let (of_clusters, of_brokers): (Vec<&str>, Vec<&str>) =
        wanted.into_iter().partition(|name| name.starts_with("cluster/"));
    let broker = Broker::start(SETTINGS);
    let mut command = Command::new(suite);
    command.args(["--bootstrap", &broker.bootstrap()]).args(options);
    only(command, &of_brokers).map_err(|why| format!("{why}; the broker's log ends with\n{}", broker.log_tail()))?;
    drop(broker);
    on_nodes(suite, options, &of_clusters)
}

/// The cases that break brokers, on three of them.
fn on_nodes(suite: &str, options: &[String], names: &[&str]) -> Result<(), String> {
    if names.is_empty() {
        return Ok(());
    }
    let nodes = Nodes::start(SETTINGS)?;
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let ctl = format!("{} ctl {}", own.display(), nodes.folder().display());
    let mut command = Command::new(suite);
    command.args(["--bootstrap", &nodes.bootstrap(), "--nodes", &nodes.names(), "--ctl", &ctl]).args(options);
    only(command, names)
}

fn only(mut command: Command, names: &[&str]) -> Result<(), String> {
    for name in names {
        command.args(["--only", name]);
    }
    let status = command.status().map_err(|error| format!("cannot start {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err("the suite failed".to_owned()) }
}

/// The patterns of `not-yet.txt`. A line without a reason is an error.
fn not_yet() -> Result<Vec<String>, String> {
    let path = crate::home().join("not-yet.txt");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| match line.split_once(' ') {
            Some((pattern, reason)) if !reason.trim().is_empty() => Ok(pattern.to_owned()),
            _ => Err(format!("{}: {line:?} gives no reason", path.display())),
        })
        .collect()
}

/// Whether `name` is the pattern, or begins with what stands before its final star.
fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::{matches, not_yet};

    #[test]
    fn every_exclusion_has_a_reason() {
        let patterns = not_yet().expect("the file is whole");
        assert!(patterns.iter().any(|pattern| matches(pattern, "java_cli/acls")));
        assert!(!patterns.iter().any(|pattern| matches(pattern, "kcat/group")));
    }
}
