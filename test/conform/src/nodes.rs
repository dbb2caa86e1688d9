//! A cluster of three brokers that a suite may kill, stop, pause and start again: each is a process of its own, known by
//! its files, so that `ctl` can be another process.

use crate::broker;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const COUNT: u16 = 3;
const OPEN_MAX: Duration = Duration::from_secs(30);
const STOP_MAX: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);

/// A folder with the nodes' data, logs, ports and process ids.
pub struct Nodes {
    folder: PathBuf,
}

impl Nodes {
    /// Starts three nodes in an empty folder. `settings` are `key=value`.
    pub fn start(settings: &[&str]) -> Result<Nodes, String> {
        let folder = std::env::temp_dir().join(format!("vltava-nodes-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let ports: Vec<String> = (0..2 * COUNT).map(|_| broker::free_port().to_string()).collect();
        fs::write(folder.join("ports"), ports.join("\n")).map_err(|error| error.to_string())?;
        fs::write(folder.join("settings"), settings.join("\n")).map_err(|error| error.to_string())?;
        let nodes = Nodes { folder };
        for id in 1..=COUNT {
            ctl(&nodes.folder, "start", id)?;
        }
        Ok(nodes)
    }

    #[must_use]
    pub fn bootstrap(&self) -> String {
        let address = |id| format!("127.0.0.1:{}", port(&self.folder, id));
        (1..=COUNT).map(address).collect::<Vec<_>>().join(",")
    }

    /// `ID@HOST:PORT` of each.
    #[must_use]
    pub fn names(&self) -> String {
        let name = |id| format!("{id}@127.0.0.1:{}", port(&self.folder, id));
        (1..=COUNT).map(name).collect::<Vec<_>>().join(",")
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for id in 1..=COUNT {
            let _ = ctl(&self.folder, "kill", id);
        }
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Does something to a node: `kill`, `stop`, `start`, `pause` or `resume`. What is so already is left so.
pub fn ctl(folder: &Path, verb: &str, id: u16) -> Result<(), String> {
    let pid = running(folder, id);
    match (verb, pid) {
        ("start", None) => start(folder, id),
        ("start", Some(_)) | ("kill" | "stop" | "pause" | "resume", None) => Ok(()),
        ("kill", Some(pid)) => signal("-KILL", pid).and_then(|()| wait_until_gone(folder, id)),
        ("stop", Some(pid)) => signal("-TERM", pid).and_then(|()| wait_until_gone(folder, id)),
        ("pause", Some(pid)) => signal("-STOP", pid),
        ("resume", Some(pid)) => signal("-CONT", pid),
        (other, _) => Err(format!("`{other}` is not kill, stop, start, pause or resume")),
    }
}

fn port(folder: &Path, id: u16) -> String {
    let ports = fs::read_to_string(folder.join("ports")).unwrap_or_default();
    ports.lines().nth(usize::from(id) - 1).unwrap_or_default().to_owned()
}

/// The process of a node, where it lives. One that is dead and not waited for yet does not.
fn running(folder: &Path, id: u16) -> Option<u32> {
    let pid = fs::read_to_string(folder.join(format!("{id}.pid"))).ok()?.trim().parse().ok()?;
    let state = Command::new("ps").args(["-o", "stat=", "-p", &format!("{pid}")]).output().ok()?;
    let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
    (!state.is_empty() && !state.starts_with('Z')).then_some(pid)
}

fn signal(name: &str, pid: u32) -> Result<(), String> {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status().map_err(|error| error.to_string())?;
    if sent.success() { Ok(()) } else { Err(format!("kill {name} {pid} failed")) }
}

fn wait_until_gone(folder: &Path, id: u16) -> Result<(), String> {
    let start = Instant::now();
    while running(folder, id).is_some() {
        if start.elapsed() > STOP_MAX {
            return Err(format!("node {id} does not end"));
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn start(folder: &Path, id: u16) -> Result<(), String> {
    let log = File::options().create(true).append(true).open(folder.join(format!("{id}.log")));
    let log = log.map_err(|error| error.to_string())?;
    let voters: Vec<String> = (1..=COUNT).map(|id| format!("{id}@127.0.0.1:{}", port(folder, COUNT + id))).collect();
    let mut command = Command::new(broker::binary());
    command.args(["serve", "--node-id", &id.to_string(), "--voters", &voters.join(",")]);
    command.args(["--listen", &format!("127.0.0.1:{}", port(folder, id))]);
    command.args(["--peer-listen", &format!("127.0.0.1:{}", port(folder, COUNT + id))]);
    command.arg("--data-dir").arg(folder.join(format!("{id}")));
    for setting in fs::read_to_string(folder.join("settings")).unwrap_or_default().lines() {
        command.args(["--set", setting]);
    }
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("VLTAVA_")) {
        command.env_remove(name);
    }
    // A suite ends its cases by their groups, and a node that a case has started outlives it.
    command.process_group(0).stdin(Stdio::null());
    command.stdout(log.try_clone().map_err(|error| error.to_string())?).stderr(log);
    let child = command.spawn().map_err(|error| format!("cannot start node {id}: {error}"))?;
    fs::write(folder.join(format!("{id}.pid")), child.id().to_string()).map_err(|error| error.to_string())?;
    let begin = Instant::now();
    let port: u16 = port(folder, id).parse().map_err(|_| "the file of ports is damaged".to_owned())?;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if begin.elapsed() > OPEN_MAX {
            return Err(format!("node {id} does not open its port"));
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}
