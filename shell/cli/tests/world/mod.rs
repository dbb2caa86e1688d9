//! A broker in a folder of its own, and commands that speak to it: both the binary that was just built.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Long enough for any machine, short enough to fail a test.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    broker: Option<Child>,
    folder: PathBuf,
    bootstrap: String,
    started: Instant,
}

impl World {
    pub fn start() -> World {
        World::with(&[])
    }

    /// A broker with further words on its command line.
    pub fn with(words: &[&str]) -> World {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("cli-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut command = vltava();
        command.args(["serve", "--listen", "127.0.0.1:0", "--set", "vltava.http.listen=127.0.0.1:0", "--data-dir"]);
        let mut broker = command.arg(&folder).args(words).stdout(Stdio::piped()).spawn().expect("the binary is built");
        let mut ready = String::new();
        let mut out = BufReader::new(broker.stdout.take().expect("it is a pipe"));
        out.read_line(&mut ready).expect("a pipe can be read");
        let address = ready.strip_prefix("vltava is ready: clients at ").and_then(|rest| rest.split_once(','));
        let (address, _) = address.unwrap_or_else(|| panic!("the broker did not start: {ready}"));
        let bootstrap = address.to_owned();
        World { broker: Some(broker), folder, bootstrap, started: Instant::now() }
    }

    /// A world at whose address nobody listens.
    pub fn without_broker() -> World {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let bootstrap = listener.local_addr().expect("it is bound").to_string();
        World { broker: None, folder: PathBuf::new(), bootstrap, started: Instant::now() }
    }

    /// A path in the broker's own folder, which goes with it.
    pub fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Runs `COMMAND < INPUT`, where `|` in the input ends a line: the command, what it printed, and how it ended.
    pub fn run(&self, line: &str) -> String {
        let (command, input) = line.split_once(" < ").unwrap_or((line, ""));
        let input = if input.is_empty() { String::new() } else { input.replace('|', "\n") + "\n" };
        let output = self.feed(command, input.as_bytes());
        let code =
            output.status.code().filter(|code| *code != 0).map_or(String::new(), |code| format!("exit {code}\n"));
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        format!("$ {command}\n{}{}{code}", self.plain(&out), self.plain(&err))
    }

    /// Runs a command and lets it read these bytes.
    pub fn feed(&self, command: &str, input: &[u8]) -> Output {
        let mut child = self.spawn(command);
        let mut pipe = child.stdin.take().expect("it is a pipe");
        std::thread::scope(|scope| {
            // A command that ends early does not read everything.
            scope.spawn(move || pipe.write_all(input));
            child.wait_with_output().expect("our own child can be waited for")
        })
    }

    pub fn spawn(&self, command: &str) -> Child {
        let mut child = vltava();
        child.args(words(command)).env("VLTAVA_BOOTSTRAP", &self.bootstrap);
        if command.starts_with("kafka-") {
            child.args(["--bootstrap-server", &self.bootstrap]);
        }
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        child.spawn().expect("the binary is built")
    }

    /// Asks a command to end, and waits until it has.
    pub fn stop(&self, mut child: Child) {
        let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send SIGTERM");
        let status = child.wait().expect("our own child can be waited for");
        assert!(status.success(), "a command that is stopped has done what it could: {status}");
    }

    /// False where a test has taken too long.
    pub fn is_patient(&self) -> bool {
        self.started.elapsed() < PATIENCE
    }

    /// Without what differs from one run to the next.
    pub fn plain(&self, text: &str) -> String {
        let mut plain = String::new();
        for line in text.replace(&self.bootstrap, "BROKER").lines() {
            let line = between(line, "\"id\":\"", "\"", "ID");
            let line = between(&line, "TopicId: ", "\t", "ID");
            let line = between(&line, "\"seconds\":", ",", "SECONDS");
            let line = between(&line, "\"timestamp\":", ",", "TIME");
            let line = between(&line, "\"size_bytes\":", ",", "SIZE");
            let line = between(&line, "\"port\":", ",", "PORT");
            let line = between(&line, "(os error ", ")", "NUMBER");
            let line = if line.starts_with("id        ") { "id        ID".to_owned() } else { line };
            let line: Vec<&str> = line.split(' ').map(|word| if is_member(word) { "MEMBER" } else { word }).collect();
            plain.push_str(line.join(" ").trim_end());
            plain.push('\n');
        }
        plain
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            let _ = broker.kill();
            let _ = broker.wait();
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

fn vltava() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vltava"));
    // What the machine is set to must not steer the tests.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("VLTAVA_")) {
        command.env_remove(name);
    }
    command
}

/// Words between spaces; single quotes hold some together.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('\'').enumerate();
    let words = parts.flat_map(|(place, part)| match place % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    });
    words.collect()
}

fn between(line: &str, before: &str, after: &str, name: &str) -> String {
    let mut parts = line.split(before);
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(after).or_else(|| part.find('}')).unwrap_or(part.len());
        plain.push_str(&format!("{before}{name}{}", &part[end..]));
    }
    plain
}

/// `vltava-cli-` and a UUID.
fn is_member(word: &str) -> bool {
    word.len() > 20 && word.starts_with("vltava-cli-")
}
