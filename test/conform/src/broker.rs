//! A broker under test: the binary `vltava serve` in a folder of its own, which can be killed and started again.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const START_MAX: Duration = Duration::from_secs(20);
const STOP_MAX: Duration = Duration::from_secs(10);

/// Names an address to test instead of brokers of our own, such as that of an Apache Kafka.
const GIVEN: &str = "VLTAVA_CONFORM_BOOTSTRAP";

pub struct Broker {
    child: Option<Child>,
    folder: PathBuf,
    port: u16,
    settings: Vec<String>,
}

impl Broker {
    /// A broker in an empty folder. `settings` are `key=value`.
    #[must_use]
    pub fn start(settings: &[&str]) -> Broker {
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("vltava-conform-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the folder for temporary files takes a folder");
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut broker = Broker { child: None, folder, port, settings };
        broker.again();
        broker
    }

    /// Starts the broker on its data once more and waits until it takes connections.
    pub fn again(&mut self) {
        assert!(self.child.is_none(), "the broker runs already");
        let log = File::options().create(true).append(true).open(self.log()).expect("our folder takes a file");
        let mut command = Command::new(binary());
        command.args(["serve", "--listen", &self.bootstrap(), "--data-dir"]).arg(self.data());
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        // What steers the tests is no setting of a broker, which reads variables of this prefix.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("VLTAVA_")) {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file can be shared")).stderr(log);
        self.child = Some(command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")));
        self.wait_until_open();
    }

    fn wait_until_open(&mut self) {
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let child = self.child.as_mut().expect("it was started");
            let status = child.try_wait().expect("our own child can be asked");
            let late = start.elapsed() > START_MAX;
            assert!(status.is_none() && !late, "the broker does not start ({status:?}):\n{}", self.log_tail());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the broker runs");
        child.kill().expect("our own child can be killed");
        child.wait().expect("our own child can be waited for");
    }

    /// SIGTERM, and a clean end within a bounded time.
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("the broker runs");
        let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send SIGTERM");
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("our own child can be asked") {
                assert!(status.success(), "a clean stop ended with {status}:\n{}", self.log_tail());
                return;
            }
            if start.elapsed() > STOP_MAX {
                child.kill().expect("our own child can be killed");
                panic!("SIGTERM does not stop the broker:\n{}", self.log_tail());
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A folder beside the data, for what a case writes.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    /// The last lines that the broker logged, for the report of a failure.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            eprintln!("the broker's folder is kept: {}", self.folder.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// The address that the environment gives to test, if any.
#[must_use]
pub fn given() -> Option<String> {
    std::env::var(GIVEN).ok()
}

/// The broker's binary: `VLTAVA_BIN`, or the one built beside this program.
#[must_use]
pub fn binary() -> PathBuf {
    let binary = std::env::var_os("VLTAVA_BIN").map_or_else(|| crate::build_folder().join("vltava"), PathBuf::from);
    assert!(binary.exists(), "{} is missing: `cargo build --package vltava` first", binary.display());
    binary
}

/// A port that nobody listens on, below those that the system hands to outgoing connections: a client that retries
/// while the broker is down could otherwise be given that very port and connect to itself.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Metrics are served 10,000 above.
    let own = u16::try_from(std::process::id() % 10_000).expect("under 10,000");
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (own + step) % 10_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
