//! What every command over the protocol begins with: the broker's address, a runtime, a client, and how to print.

use crate::problem::{Problem, nearest};
use crate::table::Table;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::time::Duration;
use vltava_client::{Client, Error, ErrorCode, Options, Topic};

/// Which broker, and how to print.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Every command")]
pub struct Connection {
    /// A broker of the cluster; several with commas between them
    #[arg(long, short, value_name = "HOST:PORT", env = "VLTAVA_BOOTSTRAP", default_value = "127.0.0.1:9092")]
    #[arg(global = true, alias = "bootstrap-server")]
    pub bootstrap: String,
    /// Seconds to wait for the broker's answer to a question
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    #[arg(global = true)]
    pub timeout: u64,
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub json: bool,
}

/// For what cannot be taken back.
#[derive(Clone, Copy, Debug, Args)]
pub struct Trial {
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// A client and what it was connected with.
#[derive(Debug)]
pub struct Session {
    pub client: Client,
    pub connection: Connection,
}

impl Connection {
    /// Connects and runs a command.
    pub fn run(self, command: impl AsyncFnOnce(&Session) -> Result<(), Problem>) -> Result<(), Problem> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = self.connect().await.map_err(|error| Problem::of("connecting", &self.bootstrap, &error))?;
            command(&Session { client, connection: self }).await
        })
    }

    async fn connect(&self) -> Result<Client, Error> {
        let timeout_ms = self.timeout * 1000;
        let options = Options {
            bootstrap: vltava_client::addresses(&self.bootstrap)?,
            client_id: "vltava-cli".to_owned(),
            request_timeout_ms: timeout_ms,
            api_timeout_ms: timeout_ms,
            connect_timeout_ms: timeout_ms.min(10_000),
            ..Options::default()
        };
        Client::with_options(options).await
    }
}

impl Session {
    /// For `map_err`: what failed.
    pub fn while_doing(&self, doing: impl Into<String>) -> impl Fn(Error) -> Problem {
        let (doing, bootstrap) = (doing.into(), self.connection.bootstrap.clone());
        move |error| Problem::of(&doing, &bootstrap, &error)
    }

    /// A topic that is there, or the one that may have been meant.
    pub async fn topic(&self, name: &str) -> Result<Topic, Problem> {
        let failed = match self.client.topic(name).await {
            Ok(topic) => return Ok(topic),
            Err(error) => error,
        };
        if !matches!(failed.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::INVALID_TOPIC_EXCEPTION)) {
            return Err(self.while_doing(format!("asking about topic `{name}`"))(failed));
        }
        let overview = self.client.overview().await.map_err(self.while_doing("asking which topics there are"))?;
        let hint = match nearest(name, overview.topics.iter().map(|topic| topic.name.as_str())) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("`vltava topic list` shows those there are, `vltava topic create {name}` makes it"),
        };
        Err(Problem::missing(format!("there is no topic `{name}`: {hint}")))
    }

    /// Prints one JSON value, or what people read.
    pub fn print(&self, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) -> Result<(), Problem> {
        let text = if self.connection.json { format!("{}\n", json()) } else { text() };
        write_out(text.as_bytes())
    }

    /// Prints a table, or what stands for one without rows.
    pub fn show(&self, table: &Table, empty: &str) -> Result<(), Problem> {
        self.print(|| table.json(), || if table.is_empty() { format!("{empty}\n") } else { table.to_string() })
    }

    /// Says what was done, or would be: `[delete, deleted]` of what.
    pub fn did(&self, trial: Trial, [verb, done]: [&str; 2], what: &str, mut json: Value) -> Result<(), Problem> {
        json[done] = Value::Bool(!trial.dry_run);
        let text = || if trial.dry_run { format!("would {verb} {what}\n") } else { format!("{done} {what}\n") };
        self.print(|| json, text)
    }

    /// A bar for long work, of which the total may be known, on standard error: only where a person looks at it.
    pub fn bar(&self, total: Option<u64>, unit: Unit) -> ProgressBar {
        if self.connection.json || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let template = match (unit, total) {
            (Unit::Bytes, Some(_)) => "{wide_bar} {percent}% {bytes}/{total_bytes} {bytes_per_sec}, {eta} left {msg}",
            (Unit::Bytes, None) => "{spinner} {bytes} {bytes_per_sec} ({elapsed}) {msg}",
            (Unit::Things, Some(_)) => "{wide_bar} {percent}% {human_pos}/{human_len} {per_sec}, {eta} left {msg}",
            (Unit::Things, None) => "{spinner} {human_pos} {per_sec} ({elapsed}) {msg}",
        };
        let style = ProgressStyle::with_template(template).expect("the template is well-formed");
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr()).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

/// What a bar counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Bytes,
    Things,
}

/// Writes to standard output. Who reads it may stop early, as `head` does: that is an end, not a failure.
pub fn write_out(bytes: &[u8]) -> Result<(), Problem> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        done => Ok(done?),
    }
}

/// Reads `KEY=VALUE`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("give it as KEY=VALUE")?;
    if name.is_empty() { Err("give it as KEY=VALUE".to_owned()) } else { Ok((name.to_owned(), value.to_owned())) }
}
