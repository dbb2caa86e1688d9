//! `vltava produce`: lines of a file or of standard input become records of a topic.

use crate::problem::{Kind, Problem};
use crate::scope::Scope;
use crate::session::{Connection, Session, Unit, pair};
use crate::table::size;
use crate::template::from_json;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use indicatif::{HumanCount, ProgressBar};
use memchr::memmem::{Finder, FinderRev};
use serde_json::json;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tokio::sync::mpsc;
use vltava_client::{
    Acks, Bytes, Codec, Error, PRODUCER, PartitionIndex, Producer, ProducerConfig, ProducerOptions, ProducerRecord,
    Resource, Sending, Text,
};

/// Longest line: above what any broker takes, and less than would exhaust memory.
const LINE_BYTES_MAX: usize = 256 << 20;
/// What is read at once, and how much of that ahead.
const BLOCK_BYTES: usize = 256 << 10;
const BLOCKS_MAX: usize = 16;
/// What one batch holds, before compression.
const BATCH_BYTES: usize = 256 << 10;
/// Records whose delivery is open before the first of them is waited for.
const OPEN_MAX: usize = 100_000;

/// Send lines as records: each line of a file or of standard input is one.
///
/// Records are stored once each and in order (idempotence), unless --acks is less than all.
#[derive(Debug, Args)]
#[command(
    after_help = "With --from-json a line is an object as `vltava consume --json` prints it: key, value, headers, partition and
timestamp, of which all may be left out; key_base64 and value_base64 hold bytes that are no text.

Examples:
  echo Vltava | vltava produce rivers
  vltava produce rivers --file rivers.tsv --key-separator '\\t' --compression zstd
  vltava produce rivers --partition 3 --header source=gauge --acks 1
  vltava consume rivers --from-beginning --exit-at-end --json | vltava produce copy --from-json"
)]
pub struct Produce {
    topic: String,
    /// Read this file instead of standard input
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What stands between key and value of a line (\t is a tab); a line without it has no key
    #[arg(long, short = 'K', value_name = "TEXT", value_parser = escaped)]
    key_separator: Option<String>,
    /// What ends a record (\n is a new line, \0 a zero)
    #[arg(long, short = 'D', value_name = "TEXT", default_value = "\\n", value_parser = escaped)]
    delimiter: String,
    /// Values (and keys) of exactly this text are null, which deletes a key of a compacted topic
    #[arg(long, value_name = "TEXT")]
    null_marker: Option<String>,
    /// A header of every record; may be repeated
    #[arg(long, short = 'H', value_name = "KEY=VALUE", value_parser = pair)]
    header: Vec<(String, String)>,
    /// Lines begin with headers as name:value,name:value, and this after them
    #[arg(long, value_name = "TEXT", value_parser = escaped)]
    headers_separator: Option<String>,
    /// Lines are JSON objects
    #[arg(long, conflicts_with_all = ["key_separator", "headers_separator", "null_marker"])]
    from_json: bool,
    /// Send to this partition, whatever the key
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Who must have a record before it counts as sent
    #[arg(long, default_value = "all")]
    acks: AcksWord,
    /// How batches are compressed
    #[arg(long, short = 'z', default_value = "none", value_parser = codec())]
    compression: Codec,
    /// Have the broker make the topic where it is not there, if the broker does so
    #[arg(long)]
    create: bool,
    /// Say nothing when all is sent
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Reads a text in which `\t`, `\n`, `\r`, `\0` and `\\` stand for one letter.
pub fn escaped(text: &str) -> Result<String, String> {
    let plain = [("\\\\", "\u{1}"), ("\\t", "\t"), ("\\n", "\n"), ("\\r", "\r"), ("\\0", "\0"), ("\u{1}", "\\")];
    let text = plain.into_iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    if text.is_empty() { Err("give at least one letter".to_owned()) } else { Ok(text) }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum AcksWord {
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

/// Reads a codec by the name that `compression.type` has for it.
pub fn codec() -> impl TypedValueParser<Value = Codec> {
    let named = |name: String| Codec::ALL.into_iter().find(|codec| codec.name() == name).unwrap_or_default();
    PossibleValuesParser::new(Codec::ALL.map(Codec::name)).map(named)
}

impl Produce {
    pub fn run(self) -> Result<(), Problem> {
        self.connection.clone().run_as(PRODUCER, async |session| self.produce(session).await)
    }

    async fn produce(&self, session: &Session) -> Result<(), Problem> {
        match session.topic(&self.topic).await {
            // The first record that is sent makes it; another connection may not see it at once.
            Err(problem) if self.create && problem.kind == Kind::Missing => {}
            found => {
                let partitions = self.partition.iter().map(|number| (*number, *number)).collect();
                Scope { topic: self.topic.clone(), partitions }.within(&found?)?;
            }
        }
        let (blocks, total) = read_blocks(self.file.as_deref(), &self.delimiter)?;
        let producer = session.client.producer(options(session, &self.topic, self.acks, self.compression).await?);
        let unit = if total.is_some() { Unit::Bytes } else { Unit::Things };
        let mut work = Work {
            producer,
            shape: self.shape(),
            open: VecDeque::new(),
            bar: session.bar(total, unit),
            is_sized: total.is_some(),
            records: 0,
            bytes: 0,
        };
        let started = Instant::now();
        let sent = work.run(blocks).await;
        work.bar.finish_and_clear();
        let Work { records, bytes, .. } = work;
        sent.map_err(|failure| match failure {
            Failure::Read(problem) => problem,
            Failure::Send(error) => {
                let stored = HumanCount(records);
                session.while_doing(format!(
                    "sending to topic `{}`, where {stored} records or more are stored",
                    self.topic
                ))(error)
            }
        })?;
        if self.quiet {
            return Ok(());
        }
        let seconds = started.elapsed().as_secs_f64();
        session.print(
            || json!({ "topic": self.topic, "records": records, "bytes": bytes, "seconds": seconds }),
            || {
                let thing = if records == 1 { "record" } else { "records" };
                format!("sent {records} {thing} ({}) to {}\n", size(bytes), self.topic)
            },
        )
    }

    fn shape(&self) -> Shape {
        let header =
            |(name, value): &(String, String)| (Text::from(name.as_str()), Some(value.clone().into_bytes().into()));
        let template = ProducerRecord {
            topic: Text::from(self.topic.as_str()),
            partition: self.partition.map(PartitionIndex),
            headers: self.header.iter().map(header).collect(),
            ..ProducerRecord::default()
        };
        let finder = |text: &Option<String>| text.as_ref().map(|text| Finder::new(text).into_owned());
        Shape {
            end: Finder::new(&self.delimiter).into_owned(),
            key_end: finder(&self.key_separator),
            headers_end: finder(&self.headers_separator),
            null_marker: self.null_marker.clone().map(Into::into),
            is_json: self.from_json,
            template,
        }
    }
}

/// Files come as fast as they can be read: larger batches than Kafka's default, as far as the topic takes them.
pub async fn options(session: &Session, topic: &str, acks: AcksWord, codec: Codec) -> Result<ProducerOptions, Problem> {
    let connection = &session.connection;
    let given = ProducerConfig::from_map(connection.of(PRODUCER)).map_err(session.while_doing("reading options"))?;
    let acks = match acks {
        AcksWord::All => Acks::All,
        AcksWord::Leader => Acks::Leader,
        AcksWord::None => Acks::None,
    };
    let configs = session.client.configs(Resource::Topic(Text::from(topic))).await.unwrap_or_default();
    let limit =
        configs.iter().find(|config| config.name == "max.message.bytes").and_then(|config| config.value.as_ref());
    let limit = limit.and_then(|value| value.parse().ok()).unwrap_or(ProducerOptions::default().batch_bytes);
    let mut options = given.options;
    // What is said by Kafka's name is meant.
    if !connection.given("acks") {
        options.acks = acks;
        options.idempotent &= acks == Acks::All;
    }
    if !connection.given("batch.size") {
        options.batch_bytes = limit.min(BATCH_BYTES);
    }
    if !connection.given("delivery.timeout.ms") {
        options.delivery_timeout_ms = connection.timeout.saturating_mul(1000);
    }
    if !connection.given("compression.type") {
        options.codec = (codec, codec.default_level());
    }
    Ok(options)
}

/// How a line becomes a record: its parts are slices of what was read.
struct Shape {
    end: Finder<'static>,
    key_end: Option<Finder<'static>>,
    headers_end: Option<Finder<'static>>,
    null_marker: Option<Bytes>,
    is_json: bool,
    template: ProducerRecord,
}

impl Shape {
    fn message(&self, mut line: Bytes) -> Result<ProducerRecord, Problem> {
        let mut message = self.template.clone();
        if self.is_json {
            return from_json(&line, message)
                .map_err(|why| Problem::usage(format!("`{}`: {why}", String::from_utf8_lossy(&line))));
        }
        if let Some(headers) = split(&mut line, self.headers_end.as_ref()) {
            for header in headers.split(|byte| *byte == b',').filter(|header| !header.is_empty()) {
                let mut value = headers.slice_ref(header);
                let name = split(&mut value, Some(&Finder::new(b":"))).and_then(|name| Text::from_bytes(name).ok());
                let name = name.ok_or_else(|| {
                    Problem::usage(format!("`{}` is not name:value", String::from_utf8_lossy(header)))
                })?;
                message.headers.push((name, Some(value).filter(|value| Some(value) != self.null_marker.as_ref())));
            }
        }
        let is_null = |part: &Bytes| self.null_marker.as_ref() == Some(part);
        message.key = split(&mut line, self.key_end.as_ref()).filter(|key| !is_null(key));
        message.value = Some(line).filter(|value| !is_null(value));
        Ok(message)
    }
}

/// Takes what comes before the separator, and the separator, off the line.
fn split(line: &mut Bytes, separator: Option<&Finder<'_>>) -> Option<Bytes> {
    let separator = separator?;
    let at = separator.find(line)?;
    let before = line.split_to(at);
    *line = line.slice(separator.needle().len()..);
    Some(before)
}

enum Failure {
    Read(Problem),
    Send(Error),
}

struct Work {
    producer: Producer,
    shape: Shape,
    /// What is on its way, with how far each takes the bar and how many bytes of key and value it has.
    open: VecDeque<(Sending, u64, u64)>,
    bar: ProgressBar,
    /// Whether the bar counts bytes of a file, and not records.
    is_sized: bool,
    /// Delivered, with keys and values of so many bytes.
    records: u64,
    bytes: u64,
}

impl Work {
    /// Sends all records and waits for their deliveries; stops at the first failure.
    async fn run(&mut self, mut blocks: mpsc::Receiver<std::io::Result<Bytes>>) -> Result<(), Failure> {
        loop {
            // Whoever types slowly wants to know at once that a record was refused.
            let block = tokio::select! {
                block = blocks.recv() => block,
                settled = self.settle_first() => {
                    settled?;
                    continue;
                }
            };
            let Some(block) = block else { break };
            self.send(&block.map_err(|error| Failure::Read(error.into()))?).await?;
        }
        self.producer.flush().await;
        while !self.open.is_empty() {
            self.settle_first().await?;
        }
        Ok(())
    }

    async fn send(&mut self, block: &Bytes) -> Result<(), Failure> {
        let mut start = 0;
        while start < block.len() {
            let end = self.shape.end.find(&block[start..]).map_or(block.len(), |at| start + at);
            let message = self.shape.message(block.slice(start..end)).map_err(Failure::Read)?;
            let next = end + self.shape.end.needle().len();
            let size = |part: &Option<Bytes>| part.as_ref().map_or(0, |bytes| bytes.len() as u64);
            let bytes = size(&message.key) + size(&message.value);
            let step = if self.is_sized { (next.min(block.len()) - start) as u64 } else { 1 };
            self.open.push_back((self.producer.send(message).await.map_err(Failure::Send)?, step, bytes));
            start = next;
            if self.open.len() > OPEN_MAX {
                self.settle_first().await?;
            }
        }
        Ok(())
    }

    /// Waits for the oldest record that is on its way; for ever where none is.
    async fn settle_first(&mut self) -> Result<(), Failure> {
        let Some((sending, step, bytes)) = self.open.front_mut() else { return std::future::pending().await };
        sending.await.map_err(Failure::Send)?;
        self.records += 1;
        self.bytes += *bytes;
        self.bar.inc(*step);
        self.open.pop_front();
        Ok(())
    }
}

/// Reads whole records on a thread of its own, for a terminal or a pipe may let a read wait for ever. With the size of
/// what there is to read, where that is known.
fn read_blocks(
    file: Option<&Path>,
    delimiter: &str,
) -> Result<(mpsc::Receiver<std::io::Result<Bytes>>, Option<u64>), Problem> {
    let mut input = match file {
        None => File::from(std::io::stdin().as_fd().try_clone_to_owned()?),
        Some(path) => {
            File::open(path).map_err(|error| Problem::usage(format!("--file {}: {error}", path.display())))?
        }
    };
    let length = input.metadata().ok().filter(std::fs::Metadata::is_file).map(|known| known.len());
    let total = length.and_then(|length| length.checked_sub(input.stream_position().ok()?));
    let (sender, blocks) = mpsc::channel(BLOCKS_MAX);
    let end = FinderRev::new(delimiter).into_owned();
    std::thread::spawn(move || {
        // Who no longer listens has failed and says so.
        if let Err(error) = read(&mut input, &end, &sender) {
            let _ = sender.blocking_send(Err(error));
        }
    });
    Ok((blocks, total))
}

fn read(input: &mut File, end: &FinderRev<'_>, sender: &mpsc::Sender<std::io::Result<Bytes>>) -> std::io::Result<()> {
    let (mut block, mut filled) = (Vec::new(), 0);
    loop {
        block.resize(filled + BLOCK_BYTES, 0);
        let count = match input.read(&mut block[filled..]) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            done => done?,
        };
        // An end that is cut in two begins in what was there before.
        let fresh = filled.saturating_sub(end.needle().len() - 1);
        filled += count;
        block.truncate(filled);
        let whole = match end.rfind(&block[fresh..]) {
            _ if count == 0 => filled,
            Some(at) => fresh + at + end.needle().len(),
            None if filled > LINE_BYTES_MAX => {
                let limit = size(LINE_BYTES_MAX as u64);
                let problem = format!("a line is longer than {limit}: no broker takes that as a record");
                return Err(std::io::Error::other(problem));
            }
            None => continue,
        };
        let rest = block.split_off(whole);
        if (whole > 0 && sender.blocking_send(Ok(block.into())).is_err()) || count == 0 {
            return Ok(());
        }
        (filled, block) = (rest.len(), rest);
    }
}
