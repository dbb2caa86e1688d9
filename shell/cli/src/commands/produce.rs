//! `vltava produce`: lines of a file or of standard input become records of a topic.

use crate::problem::Problem;
use crate::session::{Connection, Session, Unit, pair};
use crate::table::size;
use clap::{Args, ValueEnum};
use indicatif::{HumanCount, ProgressBar};
use serde_json::json;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tokio::sync::mpsc;
use vltava_client::{
    Acks, Bytes, Codec, Message, PartitionIndex, Producer, ProducerOptions, Resource, Sending, Text, Topic,
};

/// Longest line: above what any broker takes, and less than would exhaust memory.
const LINE_BYTES_MAX: u64 = 256 << 20;
/// Lines that are read ahead.
const LINES_MAX: usize = 256;
/// What one batch holds, before compression.
const BATCH_BYTES: usize = 256 << 10;
/// Records whose delivery is open before the first of them is waited for.
const OPEN_MAX: usize = 20_000;

/// Send lines as records: each line of a file or of standard input is one.
///
/// Records are stored once each and in order (idempotence), unless --acks is less than all.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  echo Vltava | vltava produce rivers
  vltava produce rivers --file rivers.tsv --key-separator '\\t' --compression zstd
  vltava produce rivers --partition 3 --header source=gauge --acks 1")]
pub struct Produce {
    topic: String,
    /// Read this file instead of standard input
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What stands between key and value of a line (\t is a tab); a line without it has no key
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// Values (and keys) of exactly this text are null, which deletes a key of a compacted topic
    #[arg(long, value_name = "TEXT")]
    null_marker: Option<String>,
    /// A header of every record; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    header: Vec<(String, String)>,
    /// Send to this partition, whatever the key
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Who must have a record before it counts as sent
    #[arg(long, default_value = "all")]
    acks: AcksWord,
    /// How batches are compressed
    #[arg(long, default_value = "none")]
    compression: CodecWord,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AcksWord {
    /// All replicas that are in sync
    #[value(alias = "-1")]
    All,
    /// The leader
    #[value(name = "1")]
    Leader,
    /// Nobody: records may be lost without notice
    #[value(name = "0")]
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CodecWord {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Produce {
    pub fn run(self) -> Result<(), Problem> {
        self.connection.clone().run(async |session| self.produce(session).await)
    }

    async fn produce(&self, session: &Session) -> Result<(), Problem> {
        let topic = session.topic(&self.topic).await?;
        if let Some(partition) =
            self.partition.filter(|partition| topic.partition(PartitionIndex(*partition)).is_none())
        {
            let last = topic.partitions.len().saturating_sub(1);
            return Err(Problem::missing(format!(
                "topic `{}` has no partition {partition}: they are 0 to {last}",
                self.topic
            )));
        }
        let mut lines = read_lines(self.file.as_deref())?;
        let producer = session.client.producer(self.options(batch_bytes(session, &topic).await));
        let mut report = Report { bar: session.bar(None, Unit::Things), records: 0, bytes: 0, started: Instant::now() };
        let (mut open, shape) = (VecDeque::new(), self.shape()?);
        let sent = send(&shape, &producer, &mut lines, &mut open, &mut report).await;
        report.bar.finish_and_clear();
        sent.map_err(|failure| match failure {
            Failure::Read(problem) => problem,
            Failure::Send(error) => {
                let records = HumanCount(report.records);
                session.while_doing(format!(
                    "sending to topic `{}`, where {records} records or more are stored",
                    self.topic
                ))(error)
            }
        })?;
        producer.close().await;
        self.print(session, &report)
    }

    fn print(&self, session: &Session, report: &Report) -> Result<(), Problem> {
        let seconds = report.started.elapsed().as_secs_f64();
        session.print(
            || json!({ "topic": self.topic, "records": report.records, "bytes": report.bytes, "seconds": seconds }),
            || {
                let thing = if report.records == 1 { "record" } else { "records" };
                format!("sent {} {thing} ({}) to {}\n", report.records, size(report.bytes), self.topic)
            },
        )
    }

    fn options(&self, batch_bytes: usize) -> ProducerOptions {
        let codec = match self.compression {
            CodecWord::None => Codec::None,
            CodecWord::Gzip => Codec::Gzip,
            CodecWord::Snappy => Codec::Snappy,
            CodecWord::Lz4 => Codec::Lz4,
            CodecWord::Zstd => Codec::Zstd,
        };
        let acks = match self.acks {
            AcksWord::All => Acks::All,
            AcksWord::Leader => Acks::Leader,
            AcksWord::None => Acks::None,
        };
        ProducerOptions {
            acks,
            idempotent: acks == Acks::All,
            batch_bytes,
            delivery_timeout_ms: self.connection.timeout.saturating_mul(1000),
            codec: (codec, codec.default_level()),
            ..ProducerOptions::default()
        }
    }

    fn shape(&self) -> Result<Shape, Problem> {
        let separator = self.key_separator.as_ref().map(|text| text.replace("\\t", "\t").into_bytes());
        if separator.as_ref().is_some_and(Vec::is_empty) {
            return Err(Problem::usage("--key-separator is empty: give the text that stands between key and value"));
        }
        let header =
            |(name, value): &(String, String)| (Text::from(name.as_str()), Some(value.clone().into_bytes().into()));
        let template = Message {
            topic: Text::from(self.topic.as_str()),
            partition: self.partition.map(PartitionIndex),
            headers: self.header.iter().map(header).collect(),
            ..Message::default()
        };
        Ok(Shape { separator, null_marker: self.null_marker.clone().map(String::into_bytes), template })
    }
}

/// Files come as fast as they can be read: larger batches than Kafka's default, as far as the topic takes them.
async fn batch_bytes(session: &Session, topic: &Topic) -> usize {
    let configs = session.client.configs(Resource::Topic(topic.name.clone())).await;
    let Ok(configs) = configs else { return ProducerOptions::default().batch_bytes };
    let limit =
        configs.iter().find(|config| config.name == "max.message.bytes").and_then(|config| config.value.as_ref());
    limit.and_then(|value| value.parse().ok()).map_or(BATCH_BYTES, |limit: usize| limit.min(BATCH_BYTES))
}

/// How a line becomes a record.
struct Shape {
    separator: Option<Vec<u8>>,
    null_marker: Option<Vec<u8>>,
    template: Message,
}

impl Shape {
    fn message(&self, line: Vec<u8>) -> Message {
        let is_null = |part: &Vec<u8>| self.null_marker.as_ref() == Some(part);
        let (key, value) = self.split(line);
        Message {
            key: key.filter(|key| !is_null(key)).map(Into::into),
            value: Some(value).filter(|value| !is_null(value)).map(Into::into),
            ..self.template.clone()
        }
    }

    fn split(&self, line: Vec<u8>) -> (Option<Vec<u8>>, Vec<u8>) {
        let Some(separator) = &self.separator else { return (None, line) };
        let Some(at) = line.windows(separator.len()).position(|window| window == separator) else {
            return (None, line);
        };
        (Some(line[..at].to_vec()), line[at + separator.len()..].to_vec())
    }
}

struct Report {
    bar: ProgressBar,
    /// Delivered, with keys and values of so many bytes.
    records: u64,
    bytes: u64,
    started: Instant,
}

impl Report {
    async fn deliver(&mut self, (sending, bytes): (Sending, u64)) -> Result<(), Failure> {
        sending.await.map_err(Failure::Send)?;
        self.records += 1;
        self.bytes += bytes;
        if self.records.is_multiple_of(1000) {
            let (records, bytes) = (HumanCount(self.records), size(self.bytes));
            self.bar.set_message(format!("sent {records} records, {bytes}"));
        }
        Ok(())
    }
}

enum Failure {
    Read(Problem),
    Send(vltava_client::Error),
}

/// Sends all lines and waits for their deliveries; stops at the first failure.
async fn send(
    shape: &Shape,
    producer: &Producer,
    lines: &mut mpsc::Receiver<std::io::Result<Vec<u8>>>,
    open: &mut VecDeque<(Sending, u64)>,
    report: &mut Report,
) -> Result<(), Failure> {
    while let Some(line) = lines.recv().await {
        let message = shape.message(line.map_err(|error| Failure::Read(error.into()))?);
        let size = |part: &Option<Bytes>| part.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let bytes = size(&message.key) + size(&message.value);
        open.push_back((producer.send(message).await.map_err(Failure::Send)?, bytes));
        if open.len() > OPEN_MAX
            && let Some(first) = open.pop_front()
        {
            report.deliver(first).await?;
        }
    }
    for sending in open.drain(..) {
        report.deliver(sending).await?;
    }
    Ok(())
}

/// Reads lines on a thread of its own, for a terminal or a pipe may let a read wait for ever.
fn read_lines(file: Option<&Path>) -> Result<mpsc::Receiver<std::io::Result<Vec<u8>>>, Problem> {
    let mut input: Box<dyn BufRead + Send> = match file {
        None => Box::new(BufReader::with_capacity(256 << 10, std::io::stdin())),
        Some(path) => {
            let file =
                File::open(path).map_err(|error| Problem::usage(format!("--file {}: {error}", path.display())))?;
            Box::new(BufReader::with_capacity(256 << 10, file))
        }
    };
    let (sender, lines) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        loop {
            let next = read_line(&mut input);
            let is_last = !matches!(next, Ok(Some(_)));
            // Who no longer listens has failed and says so.
            let Some(line) = next.transpose() else { return };
            if sender.blocking_send(line).is_err() || is_last {
                return;
            }
        }
    });
    Ok(lines)
}

fn read_line(input: &mut dyn BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if input.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() as u64 == LINE_BYTES_MAX {
        let problem = format!("a line is longer than {}: no broker takes that as a record", size(LINE_BYTES_MAX));
        return Err(std::io::Error::other(problem));
    }
    Ok(Some(line))
}
