//! What every command over the protocol begins with: the broker's address, a runtime, a client, and how to print.

use crate::problem::{Problem, nearest};
use crate::table::Table;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use vltava_client::{ADMIN, AdminConfig, Client, Error, ErrorCode, Topic, definitions, read_properties};

/// Which broker, and how to print.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Every command")]
pub struct Connection {
    /// A broker of the cluster; several with commas between them [default: bootstrap.servers, or 127.0.0.1:9092]
    #[arg(
        long,
        short,
        value_name = "HOST:PORT",
        env = "VLTAVA_BOOTSTRAP",
        default_value = "",
        hide_default_value = true
    )]
    #[arg(global = true, alias = "bootstrap-server")]
    pub bootstrap: String,
    /// An option of Kafka's clients, such as security.protocol=SSL; may be given several times
    #[arg(short = 'X', value_name = "NAME=VALUE", value_parser = pair, global = true)]
    pub options: Vec<(String, String)>,
    /// A .properties file with such options
    #[arg(long, value_name = "FILE", global = true)]
    pub command_config: Option<PathBuf>,
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
        self.run_as(ADMIN, command)
    }

    /// As `run`, for a command that is this kind of client as well and takes its options.
    pub fn run_as(
        mut self,
        clients: u8,
        command: impl AsyncFnOnce(&Session) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        self.gather()?;
        let is_other = |name: &str| {
            let is_of = |clients| definitions(clients).any(|known| known.name == name);
            is_of(clients) && !is_of(ADMIN)
        };
        let own = self.options.iter().filter(|(name, _)| !is_other(name)).cloned().collect();
        let bootstrap = self.bootstrap.clone();
        let failed = |error: Error| Problem::of("connecting", &bootstrap, &error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let config = self.config("vltava-cli", self.timeout * 1000, own).map_err(failed)?;
            let client = Client::new(config).await.map_err(failed)?;
            command(&Session { client, connection: self }).await
        })
    }

    /// Puts together what files, words and defaults say.
    pub fn gather(&mut self) -> Result<(), Problem> {
        if let Some(file) = self.command_config.take() {
            let options = read_properties(file).map_err(|error| Problem::usage(error.to_string()))?;
            self.options.splice(..0, options);
        }
        let servers = self.options.extract_if(.., |(name, _)| name == "bootstrap.servers").last();
        if self.bootstrap.is_empty() {
            self.bootstrap = servers.map_or("127.0.0.1:9092".to_owned(), |(_, servers)| servers);
        }
        Ok(())
    }

    /// How to connect as these options say, with a client's name and patience where they are silent.
    pub fn config(
        &self,
        client_id: &str,
        timeout_ms: u64,
        options: Vec<(String, String)>,
    ) -> Result<AdminConfig, Error> {
        let bootstrap = vltava_client::addresses(&self.bootstrap)?;
        let (patience, setup) = (timeout_ms.to_string(), timeout_ms.min(10_000).to_string());
        let defaults = [
            ("client.id", client_id),
            ("request.timeout.ms", &patience),
            ("default.api.timeout.ms", &patience),
            ("socket.connection.setup.timeout.ms", &setup),
        ];
        let defaults = defaults.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut config = AdminConfig::from_map(defaults.into_iter().chain(options))?;
        config.options.bootstrap = bootstrap;
        Ok(config)
    }

    /// Whether an option was given.
    pub fn given(&self, name: &str) -> bool {
        self.options.iter().any(|(known, _)| known == name)
    }

    /// Those of the given options that one kind of client takes.
    pub fn of(&self, clients: u8) -> Vec<(&str, &str)> {
        let names: Vec<&str> = definitions(clients).map(|known| known.name).collect();
        let options = self.options.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        options.filter(|(name, _)| names.contains(name)).collect()
    }
}

impl Session {
    /// For `map_err`: what failed.
    pub fn while_doing(&self, doing: impl Into<String>) -> impl Fn(Error) -> Problem {
        let (doing, bootstrap) = (doing.into(), self.connection.bootstrap.clone());
        move |error| Problem::of(&doing, &bootstrap, &error)
    }

    /// What the cluster answers, or what failed in these words.
    pub async fn ask<T>(
        &self,
        doing: impl Into<String>,
        asked: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Problem> {
        asked.await.map_err(self.while_doing(doing))
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
        write_out(text)
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

/// Waits for SIGINT or SIGTERM, which from this call on do not end the process by themselves.
pub fn stopped() -> impl Future<Output = ()> {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async {
        match signals {
            (Ok(mut interrupt), Ok(mut terminate)) => {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            }
            // Without handlers the signals end the process by themselves.
            _ => std::future::pending().await,
        }
    }
}

/// Writes to standard output. Who reads it may stop early, as `head` does: that is an end, not a failure.
pub fn write_out(text: impl AsRef<[u8]>) -> Result<(), Problem> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        done => Ok(done?),
    }
}

/// Reads `KEY=VALUE`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("give it as KEY=VALUE")?;
    if name.is_empty() { Err("give it as KEY=VALUE".to_owned()) } else { Ok((name.to_owned(), value.to_owned())) }
}
