//! A case: one small program in `cases/CLIENT/`, run against a broker. It passes when it exits with 0.

use crate::broker::{Broker, given};
use crate::foreign;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Enough for a JVM on a busy machine; a case that waits for longer hangs.
const CASE_MAX: Duration = Duration::from_secs(180);

/// Runs a case against a fresh broker, or the one that the environment gives.
#[track_caller]
pub fn check(case: &str, arguments: &[&str]) {
    if let Some(bootstrap) = given() {
        let folder = std::env::temp_dir().join(format!("vltava-case-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the folder for temporary files takes a folder");
        return run(case, arguments, &bootstrap, &folder).unwrap_or_else(|said| panic!("{case} failed:\n{said}"));
    }
    let broker = Broker::start(&[]);
    check_on(&broker, case, arguments);
}

/// Runs a case against this broker.
#[track_caller]
pub fn check_on(broker: &Broker, case: &str, arguments: &[&str]) {
    if let Err(said) = run(case, arguments, &broker.bootstrap(), broker.folder()) {
        panic!("{case} {arguments:?} failed:\n{said}\n-- the broker's log ends with\n{}", broker.log_tail());
    }
}

/// Runs a program of `cases` that prepares something for a longer run.
pub fn prepare(case: &str, arguments: &[&str], bootstrap: &str) -> Result<(), String> {
    let output = command(case).args(arguments).env("BOOTSTRAP", bootstrap).output();
    let output = output.map_err(|error| format!("cannot start {case}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// The command that runs a case: by the ending of its name.
#[must_use]
pub fn command(case: &str) -> Command {
    let path = crate::home().join("cases").join(case);
    if let Some(class) = case.strip_prefix("java/").and_then(|name| name.strip_suffix(".java")) {
        let mut java = Command::new("java");
        // A short-lived process: the cheap compiler and collector start faster.
        java.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-cp", &foreign::classpath(), class]);
        return java;
    }
    let mut command = if case.ends_with(".py") { Command::new(foreign::python()) } else { Command::new("bash") };
    command.arg(path);
    command
}

fn run(case: &str, arguments: &[&str], bootstrap: &str, folder: &Path) -> Result<(), String> {
    foreign::install()?;
    let said = folder.join(format!("{}.out", case.replace('/', "-")));
    let output = File::create(&said).map_err(|error| format!("{}: {error}", said.display()))?;
    let errors = output.try_clone().map_err(|error| format!("{}: {error}", said.display()))?;
    let mut command = command(case);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(output).stderr(errors);
    command.env("BOOTSTRAP", bootstrap).env("PREFIX", prefix(case)).env("CLASSPATH", foreign::classpath());
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
    let mut child = command.spawn().map_err(|error| format!("cannot start {command:?}: {error}"))?;
    let start = Instant::now();
    let verdict = loop {
        match child.try_wait().map_err(|error| format!("cannot wait: {error}"))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => break status.to_string(),
            None if start.elapsed() > CASE_MAX => {
                let _ = child.kill();
                let _ = child.wait();
                break format!("no end after {} s", CASE_MAX.as_secs());
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    Err(format!("{}{verdict}", std::fs::read_to_string(&said).unwrap_or_default()))
}

/// What a case puts before each name it makes, so that cases may share a broker.
fn prefix(case: &str) -> String {
    let name = case.rsplit('/').next().unwrap_or(case).replace('.', "-");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_micros());
    format!("{name}-{now}-")
}
