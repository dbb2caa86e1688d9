//! What every command over the protocol begins with: the broker's address, a runtime, a client, and how to print.

use crate::problem::{Problem, nearest};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::future::Future;
use std::io::{IsTerminal, Write};
use std::time::Duration;
use vltava_client::{Client, Error, ErrorCode, Options, Topic};

/// Which broker, and how to print.
#[derive(Clone, Debug, Args)]
pub struct Connection {
    /// A broker of the cluster; several with commas between them
    #[arg(long, value_name = "HOST:PORT", env = "VLTAVA_BOOTSTRAP", default_value = "127.0.0.1:9092")]
    pub bootstrap: String,
    /// Seconds to wait for the broker's answer to a question
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    /// Print JSON for programs
    #[arg(long)]
    pub json: bool,
}

/// A client and what it was connected with.
#[derive(Debug)]
pub struct Session {
    pub client: Client,
    pub connection: Connection,
}

impl Connection {
    /// Connects and runs a command.
    pub fn run<F>(self, command: impl FnOnce(Session) -> F) -> Result<(), Problem>
    where
        F: Future<Output = Result<(), Problem>>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = self.connect().await.map_err(|error| Problem::of("connecting", &self.bootstrap, &error))?;
            command(Session { client, connection: self }).await
        })
    }

    async fn connect(&self) -> Result<Client, Error> {
        let timeout_ms = self.timeout * 1000;
        let options = Options {
            bootstrap: vltava_client::addresses(&self.bootstrap)?,
            client_id: "vltava-cli".to_owned(),
            request_timeout_ms: timeout_ms,
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
    pub fn print(
        &self,
        json: impl FnOnce() -> serde_json::Value,
        text: impl FnOnce() -> String,
    ) -> Result<(), Problem> {
        let text = if self.connection.json { format!("{}\n", json()) } else { text() };
        write_out(text.as_bytes())
    }

    /// A line about long work on standard error: only where a person looks at it.
    pub fn progress(&self) -> ProgressBar {
        if self.connection.json || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
        let bar = ProgressBar::new_spinner().with_style(style.expect("the template is well-formed"));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
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
