//! `vltava perf`: how many records a second a cluster takes and gives, and how long each takes.

use super::produce::{AcksWord, codec, options};
use crate::problem::Problem;
use crate::session::{Connection, Session, Unit};
use clap::{Args, Subcommand};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use vltava_client::{Bytes, CONSUMER, Codec, Error, OffsetAt, PRODUCER, ProducerRecord, Sending, Spot, Text};

/// Records whose delivery is open before sending waits.
const OPEN_MAX: usize = 100_000;
/// Records are cut from random letters of this length.
const LETTERS: usize = 1 << 20;
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Measure how fast records are produced and consumed.
#[derive(Debug, Args)]
pub struct Perf {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Action {
    Produce(Produce),
    Consume(Consume),
}

/// Send records and measure how many a second, and how long each is on its way.
#[derive(Debug, Args)]
#[command(after_help = "The last line is that of kafka-producer-perf-test. MB are 1,048,576 bytes, as there.

Examples:
  vltava perf produce rivers --num-records 1000000 --record-size 100
  vltava perf produce rivers --num-records 60000 --record-size 1024 --throughput 1000 --json")]
struct Produce {
    topic: String,
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    num_records: u64,
    /// Bytes of each value
    #[arg(long, value_name = "BYTES", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(0..=1 << 20))]
    record_size: u32,
    /// Records in a second; as fast as it goes where it is not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    throughput: Option<u32>,
    /// Who must have a record before it counts as sent
    #[arg(long, default_value = "all")]
    acks: AcksWord,
    /// How batches are compressed
    #[arg(long, short = 'z', default_value = "none", value_parser = codec())]
    compression: Codec,
}

/// Read a topic from its beginning and measure how many records a second come.
#[derive(Debug, Args)]
struct Consume {
    topic: String,
    /// Stop after so many, before the end of what is there
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    num_records: Option<u64>,
}

impl Perf {
    pub fn run(self) -> Result<(), Problem> {
        let clients = match &self.action {
            Action::Produce(_) => PRODUCER,
            Action::Consume(_) => CONSUMER,
        };
        self.connection.run_as(clients, async |session| match &self.action {
            Action::Produce(asked) => asked.run(session).await,
            Action::Consume(asked) => asked.run(session).await,
        })
    }
}

impl Produce {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        session.topic(&self.topic).await?;
        let options = options(session, &self.topic, self.acks, self.compression).await?;
        let producer = session.client.producer(options);
        let (sender, sent) = mpsc::channel(OPEN_MAX);
        let measuring = tokio::spawn(measure(sent, session.connection.json));
        let (letters, size) = (letters(), self.record_size as usize);
        let started = Instant::now();
        let mut failed = None;
        for number in 0..self.num_records {
            let due = self.throughput.map_or(Duration::ZERO, |rate| Duration::from_secs(number) / rate);
            if due > started.elapsed() {
                tokio::time::sleep_until((started + due).into()).await;
            }
            let at = usize::try_from(number.wrapping_mul(7919)).unwrap_or(0) % (LETTERS - size + 1);
            let value = Some(letters.slice(at..at + size));
            let begun = Instant::now();
            let message = ProducerRecord { topic: Text::from(self.topic.as_str()), value, ..ProducerRecord::default() };
            let sending = match producer.send(message).await {
                Ok(sending) => sending,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            };
            // Who measures has met a failure, and says so.
            if sender.send((sending, begun)).await.is_err() {
                break;
            }
        }
        producer.flush().await;
        drop(sender);
        let measured = measuring.await.map_err(|error| Problem::failed(error.to_string()))?;
        let doing = session.while_doing(format!("sending to topic `{}`", self.topic));
        let latencies = measured.and_then(|latencies| failed.map_or(Ok(latencies), Err)).map_err(doing)?;
        let rate = Rate::of(latencies.count, latencies.count * u64::from(self.record_size), started.elapsed());
        let [p50, p95, p99, p999] = [0.5, 0.95, 0.99, 0.999].map(|share| latencies.at(share));
        let (average, max) = (latencies.average_ms(), latencies.max.as_secs_f64() * 1e3);
        session.print(
            || {
                let mut value = rate.json();
                value["latency_ms"] =
                    json!({ "avg": average, "max": max, "p50": p50, "p95": p95, "p99": p99, "p999": p999 });
                value
            },
            || {
                format!(
                    "{} records sent, {rate}, {average:.2} ms avg latency, {max:.2} ms max latency, {p50:.1} ms 50th, \
                     {p95:.1} ms 95th, {p99:.1} ms 99th, {p999:.1} ms 99.9th.\n",
                    latencies.count
                )
            },
        )
    }
}

/// Waits for each delivery, in the order of sending, and says every few seconds how it goes.
async fn measure(mut sent: mpsc::Receiver<(Sending, Instant)>, is_quiet: bool) -> Result<Latencies, Error> {
    let (mut all, mut lately, mut since) = (Latencies::default(), Latencies::default(), Instant::now());
    while let Some((sending, begun)) = sent.recv().await {
        sending.await?;
        let taken = begun.elapsed();
        all.note(taken);
        lately.note(taken);
        if !is_quiet && since.elapsed() >= SAY_EVERY {
            let rate = lately.count as f64 / since.elapsed().as_secs_f64();
            let (average, max) = (lately.average_ms(), lately.max.as_millis());
            eprintln!(
                "{} records sent, {rate:.1} records/sec, {average:.1} ms avg latency, {max} ms max latency.",
                lately.count
            );
            (lately, since) = (Latencies::default(), Instant::now());
        }
    }
    Ok(all)
}

/// How long records took: counts by powers of two of microseconds and 32 steps between.
#[derive(Debug, Default)]
struct Latencies {
    counts: std::collections::BTreeMap<u64, u64>,
    count: u64,
    sum: Duration,
    max: Duration,
}

impl Latencies {
    fn note(&mut self, taken: Duration) {
        let micros = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX);
        let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(6);
        *self.counts.entry(micros >> shift << shift).or_default() += 1;
        self.count += 1;
        self.sum += taken;
        self.max = self.max.max(taken);
    }

    fn average_ms(&self) -> f64 {
        self.sum.as_secs_f64() * 1e3 / (self.count.max(1) as f64)
    }

    /// Milliseconds within which this share of all were done.
    fn at(&self, share: f64) -> f64 {
        let mut left = share * self.count as f64;
        let reached = self.counts.iter().find(|(_, count)| {
            left -= **count as f64;
            left <= 0.0
        });
        reached.map_or(0.0, |(micros, _)| *micros as f64 / 1e3)
    }
}

/// Random, and the same every time.
fn letters() -> Bytes {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b'A' + u8::try_from((state >> 33) % 26).unwrap_or(0)
    };
    (0..LETTERS).map(|_| next()).collect()
}

struct Rate {
    records: u64,
    bytes: u64,
    seconds: f64,
}

impl Rate {
    fn of(records: u64, bytes: u64, taken: Duration) -> Rate {
        Rate { records, bytes, seconds: taken.as_secs_f64().max(1e-9) }
    }

    fn megabytes(&self) -> f64 {
        self.bytes as f64 / f64::from(1 << 20)
    }

    fn json(&self) -> serde_json::Value {
        json!({ "records": self.records, "bytes": self.bytes, "seconds": self.seconds,
            "records_per_second": self.records as f64 / self.seconds, "mb_per_second": self.megabytes() / self.seconds })
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (records, megabytes) = (self.records as f64 / self.seconds, self.megabytes() / self.seconds);
        write!(f, "{records:.1} records/sec ({megabytes:.2} MB/sec)")
    }
}

impl Consume {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let topic = session.topic(&self.topic).await?;
        let spots: Vec<Spot> = topic.partitions.iter().map(|known| (topic.name.clone(), known.index)).collect();
        let doing = || session.while_doing(format!("reading topic `{}`", self.topic));
        let starts = session.client.list_offsets(spots.clone(), OffsetAt::Earliest).await.map_err(doing())?;
        let mut ends = session.client.list_offsets(spots, OffsetAt::Latest).await.map_err(doing())?;
        ends.retain(|spot, end| *end > starts.get(spot).copied().flatten());
        let consumer = session.client.consumer(super::consume::given(session)?);
        let bar = session.bar(self.num_records, Unit::Things);
        let (started, mut first, mut records, mut bytes) = (Instant::now(), None, 0, 0);
        consumer.assign(starts).await.map_err(doing())?;
        while !ends.is_empty() && self.num_records.is_none_or(|wanted| records < wanted) {
            let polled = consumer.poll(SAY_EVERY).await.map_err(doing())?;
            if polled.partitions().is_empty() {
                let why = consumer.last_trouble().map_or(String::new(), |why| format!(": {why}"));
                return Err(Problem::failed(format!("nothing comes, after {records} records{why}")));
            }
            first.get_or_insert_with(|| started.elapsed());
            for consumed in polled {
                let size = |part: &Option<Bytes>| part.as_ref().map_or(0, |bytes| bytes.len() as u64);
                bytes += consumed.records.iter().map(|record| size(&record.key) + size(&record.value)).sum::<u64>();
                records += consumed.records.len() as u64;
                bar.set_position(records);
                if ends.get(&consumed.spot).is_some_and(|end| Some(consumed.position) >= *end) {
                    ends.remove(&consumed.spot);
                }
            }
        }
        let (rate, first) =
            (Rate::of(records, bytes, started.elapsed()), first.unwrap_or_default().as_secs_f64() * 1e3);
        bar.finish_and_clear();
        consumer.close().await;
        let json = || {
            let mut value = rate.json();
            value["first_records_ms"] = json!(first);
            value
        };
        session.print(json, || format!("{records} records read, {rate}, the first after {first:.1} ms\n"))
    }
}
