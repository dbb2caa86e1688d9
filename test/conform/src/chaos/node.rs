//! A node of the cluster under test: one process in a network namespace of its own, ours or Apache Kafka's.

use super::net::End;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub const PORT: u16 = 9092;
const PEER_PORT: u16 = 9093;
/// Enough for a JVM on a busy machine.
const START_MAX: Duration = Duration::from_secs(180);
const STOP_MAX: Duration = Duration::from_secs(30);
/// Any will do, as long as all nodes have the same.
const KAFKA_CLUSTER: &str = "Y2hhb3NjaGFvc2NoYW9zYQ";

/// Whose broker it is.
#[derive(Clone, Debug)]
pub enum Product {
    Vltava {
        binary: PathBuf,
    },
    /// The jars, as `java -cp` wants them.
    Kafka {
        classpath: String,
    },
}

pub struct Node {
    number: usize,
    product: Product,
    folder: PathBuf,
    voters: String,
    nodes: usize,
    child: Option<Child>,
}

impl Node {
    /// Starts a node on an empty folder.
    pub fn new(number: usize, nodes: usize, product: &Product, folder: &Path) -> Result<Node, String> {
        let folder = folder.join(format!("n{number}"));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let voter = |number| format!("{number}@{}:{PEER_PORT}", End::Node(number).address());
        let voters = (1..=nodes).map(voter).collect::<Vec<_>>().join(",");
        let mut node = Node { number, product: product.clone(), folder, voters, nodes, child: None };
        node.prepare()?;
        node.spawn()?;
        Ok(node)
    }

    /// The same for both products, as far as both have a word for it.
    fn settings(&self) -> Vec<String> {
        let replicas = self.nodes.min(3);
        vec![
            format!("offsets.topic.replication.factor={replicas}"),
            "offsets.topic.num.partitions=6".to_owned(),
            "group.initial.rebalance.delay.ms=0".to_owned(),
        ]
    }

    fn address(&self) -> String {
        End::Node(self.number).address()
    }

    fn prepare(&self) -> Result<(), String> {
        let Product::Kafka { classpath } = &self.product else { return Ok(()) };
        let address = self.address();
        let mut lines = vec![
            "process.roles=broker,controller".to_owned(),
            format!("node.id={}", self.number),
            format!("listeners=PLAINTEXT://{address}:{PORT},CONTROLLER://{address}:{PEER_PORT}"),
            "controller.listener.names=CONTROLLER".to_owned(),
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
            format!("controller.quorum.voters={}", self.voters),
            format!("log.dirs={}", self.data().display()),
        ];
        lines.extend(self.settings());
        let file = self.folder.join("server.properties");
        fs::write(&file, lines.join("\n") + "\n").map_err(|error| format!("{}: {error}", file.display()))?;
        let mut format = Command::new("java");
        format.args(["-cp", classpath, "kafka.tools.StorageTool", "format", "-t", KAFKA_CLUSTER, "-c"]).arg(&file);
        let output = format.output().map_err(|error| format!("cannot start java: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(format!("{format:?} ended with {}:\n{said}", output.status)) }
    }

    fn command(&self) -> Command {
        let end = End::Node(self.number);
        match &self.product {
            Product::Vltava { binary } => {
                let mut command = end.command(&binary.display().to_string());
                command.args(["serve", "--listen", &format!("{}:{PORT}", self.address()), "--data-dir"]);
                command.arg(self.data());
                if self.nodes > 1 {
                    command.args(["--node-id", &self.number.to_string(), "--voters", &self.voters]);
                    command.args(["--peer-listen", &format!("{}:{PEER_PORT}", self.address())]);
                }
                for setting in self.settings() {
                    command.args(["--set", &setting]);
                }
                for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("VLTAVA_")) {
                    command.env_remove(name);
                }
                command
            }
            Product::Kafka { classpath } => {
                let mut command = end.command("java");
                command.args(["-Xmx384m", "-Xms384m", "-XX:+UseG1GC", "-cp", classpath, "kafka.Kafka"]);
                command.arg(self.folder.join("server.properties"));
                command
            }
        }
    }

    pub fn spawn(&mut self) -> Result<(), String> {
        let path = self.log();
        let log = File::options().create(true).append(true).open(&path);
        let log = log.map_err(|error| format!("{}: {error}", path.display()))?;
        let errors = log.try_clone().map_err(|error| format!("{}: {error}", path.display()))?;
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        self.child = Some(command.spawn().map_err(|error| format!("cannot start {command:?}: {error}"))?);
        Ok(())
    }

    /// Waits until the node takes connections.
    pub fn wait_until_open(&mut self) -> Result<(), String> {
        let address: SocketAddr = format!("{}:{PORT}", self.address()).parse().expect("an address");
        let start = Instant::now();
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            self.check()?;
            if start.elapsed() > START_MAX {
                return Err(format!("n{} does not start:\n{}", self.number, self.log_tail()));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// A node that ends by itself is a finding.
    pub fn check(&mut self) -> Result<(), String> {
        let ended = self.child.as_mut().and_then(|child| child.try_wait().transpose());
        match ended {
            None => Ok(()),
            Some(Err(error)) => Err(format!("n{}: {error}", self.number)),
            Some(Ok(status)) => {
                self.child = None;
                Err(format!("n{} ended by itself with {status}:\n{}", self.number, self.log_tail()))
            }
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn signal(&self, name: &str) -> Result<(), String> {
        let Some(child) = &self.child else { return Ok(()) };
        let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
        if sent.is_ok_and(|status| status.success()) { Ok(()) } else { Err(format!("cannot send SIG{name}")) }
    }

    /// Waits for a node that was told to stop. Where nobody is left to hand its leaderships to, it may take too long.
    pub fn wait_stopped(&mut self) -> Result<(), String> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let start = Instant::now();
        while start.elapsed() < STOP_MAX {
            if child.try_wait().map_err(|error| format!("n{}: {error}", self.number))?.is_some() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
        Err(format!("n{} did not stop within {} s of SIGTERM", self.number, STOP_MAX.as_secs()))
    }

    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Whether the node said that something of its own is broken.
    #[must_use]
    pub fn panics(&self) -> bool {
        fs::read(self.log()).is_ok_and(|log| String::from_utf8_lossy(&log).contains("panicked at"))
    }

    fn log_tail(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
