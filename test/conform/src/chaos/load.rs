//! The clients of a chaos run: one process for each, which writes its own history; some of them die and are followed by
//! another life.

use super::net::End;
use crate::foreign;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use types::Rng;

pub const TOPIC: &str = "chaos";
pub const PARTITIONS: i32 = 6;
const PRODUCERS: usize = 3;
/// Groups, with how partitions are given to their members: all at once anew, and step by step.
const GROUPS: [(&str, &str); 2] = [("eager", "range"), ("steps", "cooperative-sticky")];
const MEMBERS: usize = 2;
const END_MAX: Duration = Duration::from_secs(75);

/// A client's part, kept over all its lives.
struct Part {
    name: String,
    arguments: Vec<String>,
    life: usize,
    child: Option<Child>,
}

impl Part {
    fn new(name: String, arguments: &[&str]) -> Part {
        Part { name, arguments: arguments.iter().map(|word| (*word).to_owned()).collect(), life: 0, child: None }
    }

    fn is_producer(&self) -> bool {
        self.arguments[0] == "produce"
    }

    fn who(&self) -> String {
        format!("{}.{}", self.name, self.life)
    }
}

pub struct Load {
    folder: PathBuf,
    bootstrap: String,
    parts: Vec<Part>,
    /// How many clients were ended on the way.
    pub lives_ended: u64,
}

impl Load {
    /// Creates the topic and starts all clients.
    pub fn start(bootstrap: String, nodes: usize, folder: &Path) -> Result<Load, String> {
        let folder = folder.join("clients");
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let producers = (1..=PRODUCERS).map(|index| Part::new(format!("p{index}"), &["produce"]));
        let members = GROUPS.iter().flat_map(|(group, strategy)| {
            (1..=MEMBERS).map(move |index| Part::new(format!("{group}{index}"), &["consume", group, strategy]))
        });
        let parts = producers.chain(members).collect();
        let mut load = Load { folder, bootstrap, parts, lives_ended: 0 };
        let (replicas, min_insync) = if nodes < 3 { (nodes, 1) } else { (3, 2) };
        load.once("topic", &["topic", &replicas.to_string(), &min_insync.to_string()])?;
        for index in 0..load.parts.len() {
            load.live(index)?;
        }
        Ok(load)
    }

    /// Starts the next life of a client.
    fn live(&mut self, index: usize) -> Result<(), String> {
        let (who, arguments) = (self.parts[index].who(), self.parts[index].arguments.clone());
        self.parts[index].child = Some(self.spawn(&who, &arguments)?);
        Ok(())
    }

    fn spawn(&self, who: &str, arguments: &[String]) -> Result<Child, String> {
        let errors = File::create(self.folder.join(format!("{who}.err"))).map_err(|error| format!("{who}: {error}"))?;
        let mut command: Command = End::Clients.command(&foreign::python().display().to_string());
        command.arg(crate::home().join("cases/librdkafka/chaos.py")).args(arguments);
        command.env("BOOTSTRAP", &self.bootstrap).env("TOPIC", TOPIC).env("PARTITIONS", PARTITIONS.to_string());
        command.env("WHO", who).env("HISTORY", self.folder.join(format!("{who}.jsonl")));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        command.spawn().map_err(|error| format!("cannot start {command:?}: {error}"))
    }

    /// Runs a client to its end.
    fn once(&self, who: &str, arguments: &[&str]) -> Result<(), String> {
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let status = self.spawn(who, &arguments)?.wait().map_err(|error| format!("{who}: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("{who} ended with {status}:\n{}", self.said(who))) }
    }

    /// A client that ended by itself is the error.
    pub fn check(&mut self) -> Result<(), String> {
        for index in 0..self.parts.len() {
            let part = &mut self.parts[index];
            let ended = part.child.as_mut().and_then(|child| child.try_wait().transpose());
            if let Some(status) = ended {
                part.child = None;
                let who = part.who();
                return Err(format!("{who} ended by itself with {status:?}:\n{}", self.said(&who)));
            }
        }
        Ok(())
    }

    /// Ends one client, by force or not, and starts its next life. One that is to leave its group waits for its coordinator,
    /// so nobody must wait for it while none can be elected.
    pub fn churn(&mut self, rng: &mut Rng, may_leave: bool) -> Result<(), String> {
        let index = usize::try_from(rng.below(self.parts.len() as u64)).expect("few");
        let gently = rng.one_in(2) && may_leave && !self.parts[index].is_producer();
        self.lives_ended += 1;
        if gently {
            self.end(index)?;
        } else if let Some(mut child) = self.parts[index].child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.parts[index].life += 1;
        self.live(index)
    }

    /// Tells a client to end and waits for it.
    fn end(&mut self, index: usize) -> Result<(), String> {
        let who = self.parts[index].who();
        let Some(mut child) = self.parts[index].child.take() else { return Ok(()) };
        let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        let start = Instant::now();
        loop {
            match child.try_wait().map_err(|error| format!("{who}: {error}"))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("{who} ended with {status}:\n{}", self.said(&who))),
                None if start.elapsed() > END_MAX => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(format!("{who} does not end within {} s", END_MAX.as_secs()));
                }
                None => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// The producers have all their answers, everything is read once more, and the groups have had time for the rest.
    /// What goes wrong with one client does not keep the others from telling what they saw.
    pub fn finish(&mut self, groups_read_for: Duration) -> Vec<String> {
        let mut findings = Vec::new();
        for index in (0..self.parts.len()).filter(|index| self.parts[*index].is_producer()).collect::<Vec<_>>() {
            findings.extend(self.end(index).err());
        }
        findings.extend(self.once("audit", &["audit"]).err());
        thread::sleep(groups_read_for);
        for index in 0..self.parts.len() {
            findings.extend(self.end(index).err());
        }
        findings
    }

    /// Where the histories are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The last lines that a client wrote to its standard error.
    fn said(&self, who: &str) -> String {
        let said = fs::read_to_string(self.folder.join(format!("{who}.err"))).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in self.parts.iter_mut().filter_map(|part| part.child.as_mut()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
