//! `vltava consume`: prints records of a topic, alone or as a member of a group.

use super::produce::escaped;
use crate::problem::Problem;
use crate::scope::{Scope, moment};
use crate::session::{Connection, Session, Unit, stopped, write_out};
use crate::template::{self, Template};
use clap::Args;
use indicatif::ProgressBar;
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use vltava_client::{
    CONSUMER, Consumed, Consumer, ConsumerConfig, ConsumerOptions, ConsumerRecords, Error, GroupOptions, Offset,
    OffsetAt, Reset, Spot, Text, Topic,
};

/// How long a poll waits before the end and the signal are looked at again.
const POLL_WAIT: Duration = Duration::from_millis(200);
/// What a poll may bring: written in few pieces.
const RECORDS_AT_ONCE: usize = 20_000;
/// A group's offsets are committed so often: what a poll has brought is printed when the next one begins.
const COMMIT_EVERY_MS: u64 = 500;
/// Printed in pieces of this size.
const OUT_BYTES: usize = 256 << 10;

/// Print records as they come: only new ones, unless it is said where to begin.
///
/// With --group, partitions are shared with the group's other members, and reading goes on where the group has
/// committed; what is printed is then committed.
#[derive(Debug, Args)]
#[command(
    after_help = "In --format, as in kcat: %k key, %v or %s value, %K and %S their sizes, %h headers (%H as Kafka's tools show
them), %t topic, %p partition,
%o offset, %T timestamp in ms, %% a percent sign; \\n \\r \\t \\0 \\xHH \\\\.
With --json each line is an object; keys and values that are no UTF-8 are key_base64 and value_base64.

Examples:
  vltava consume rivers --from-beginning --exit-at-end
  vltava consume rivers --partition 3 --offset 1000 --max-messages 10 --format '%o %k=%v'
  vltava consume rivers --offset -10m --exit-at-end
  vltava consume rivers --group readers --from-beginning --json"
)]
pub struct Consume {
    topic: String,
    /// Begin with the first record (with --group: where the group has committed nothing)
    #[arg(long, conflicts_with_all = ["offset", "from_end"])]
    from_beginning: bool,
    /// Begin here: an offset, -N for the last N records, beginning, end, or at a moment: 2026-11-26T10:00, -90m
    #[arg(long, short, value_name = "START", value_parser = start, conflicts_with_all = ["from_end", "group"])]
    #[arg(allow_hyphen_values = true)]
    offset: Option<Start>,
    /// Begin with the next record that comes (the default)
    #[arg(long)]
    from_end: bool,
    /// Read only this partition; may be repeated
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(i32).range(0..), conflicts_with = "group")]
    partition: Vec<i32>,
    /// Read as a member of this group
    #[arg(long, short = 'G', value_name = "GROUP")]
    group: Option<String>,
    /// Stop after so many records
    #[arg(long, short = 'n', visible_short_alias = 'c', visible_alias = "count", value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    max_messages: Option<u64>,
    /// Stop at what is the end of each partition when reading begins
    #[arg(long, short, visible_alias = "exit-eof")]
    exit_at_end: bool,
    /// Print only committed transactions
    #[arg(long)]
    read_committed: bool,
    /// How to print a record
    #[arg(long, short, value_name = "TEMPLATE", default_value = "%v", value_parser = Template::parse, conflicts_with = "json")]
    format: Template,
    /// What ends a record, unless the template does
    #[arg(long, short = 'D', value_name = "TEXT", default_value = "\\n", value_parser = escaped)]
    delimiter: String,
    /// What stands for a key or value that is null
    #[arg(long, value_name = "TEXT", default_value = "", conflicts_with = "json")]
    null_marker: String,
    /// Fail when nothing has come for so long
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    idle_ms: Option<u64>,
    /// Say at the end on standard error how many records there were; then the end of --idle-ms is a good one
    #[arg(long)]
    tally: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    At(Offset),
    /// So many before the end.
    Last(i64),
    Place(OffsetAt),
}

fn start(text: &str) -> Result<Start, String> {
    Ok(match (text, text.parse()) {
        ("beginning" | "earliest", _) => Start::Place(OffsetAt::Earliest),
        ("end" | "latest", _) => Start::Place(OffsetAt::Latest),
        (_, Ok(offset @ 0..)) => Start::At(Offset(offset)),
        (_, Ok(back)) => Start::Last(back.saturating_neg()),
        _ => Start::Place(OffsetAt::Time(moment(text)?)),
    })
}

/// What was given by Kafka's names, besides what has words of its own.
pub fn given(session: &Session) -> Result<ConsumerOptions, Problem> {
    for (name, word) in [
        ("group.id", "--group"),
        ("auto.offset.reset", "--from-beginning or --offset"),
        ("isolation.level", "--read-committed"),
        ("enable.auto.commit", "--group, with which what was printed is committed"),
        ("auto.commit.interval.ms", "--group, with which what was printed is committed"),
    ] {
        if session.connection.given(name) {
            return Err(Problem::usage(format!("-X {name} is not taken here: use {word}")));
        }
    }
    let given = ConsumerConfig::from_map(session.connection.of(CONSUMER));
    Ok(given.map_err(session.while_doing("reading options"))?.options)
}

impl Consume {
    pub fn run(self) -> Result<(), Problem> {
        self.connection.clone().run_as(CONSUMER, async |session| self.consume(session).await)
    }

    async fn consume(&self, session: &Session) -> Result<(), Problem> {
        let topic = session.topic(&self.topic).await?;
        let mut reading = Reading {
            command: self,
            session,
            consumer: session.client.consumer(self.options(session)?),
            format: self.format.clone().ended(self.delimiter.as_bytes()).with_null(self.null_marker.as_bytes()),
            out: Vec::new(),
            ends: BTreeMap::new(),
            assigned: BTreeSet::new(),
            records: 0,
            bar: ProgressBar::hidden(),
        };
        let done = reading.run(&topic).await;
        reading.bar.finish_and_clear();
        if self.tally {
            eprintln!("Processed a total of {} messages", reading.records);
        }
        // What was printed is committed by that, whatever ended the reading.
        reading.consumer.close().await;
        done
    }

    fn options(&self, session: &Session) -> Result<ConsumerOptions, Problem> {
        let group = self.group.as_ref().map(|id| GroupOptions {
            id: Text::from(id.as_str()),
            auto_commit_ms: Some(COMMIT_EVERY_MS),
            ..GroupOptions::default()
        });
        let reset = if self.from_beginning { Reset::Earliest } else { Reset::Latest };
        let reset = if self.offset.is_some() { Reset::None } else { reset };
        let (read_committed, poll_records_max) = (self.read_committed, RECORDS_AT_ONCE);
        Ok(ConsumerOptions { group, reset, read_committed, poll_records_max, ..given(session)? })
    }

    /// Where each partition is read from. An offset that is still to come would be waited for in silence.
    async fn starts(&self, session: &Session, spots: Vec<Spot>, ends: &Offsets) -> Result<Offsets, Problem> {
        let first = if self.from_beginning { OffsetAt::Earliest } else { OffsetAt::Latest };
        let place = match self.offset.unwrap_or(Start::Place(first)) {
            Start::At(offset) => {
                return match ends.iter().find(|(_, end)| **end < offset) {
                    None => Ok(spots.into_iter().map(|spot| (spot, offset)).collect()),
                    Some(((topic, partition), end)) => Err(Problem::failed(format!(
                        "there is no offset {offset} yet in partition {partition} of topic `{topic}`, which ends at {end}; \
                         --partition chooses one"
                    ))),
                };
            }
            Start::Last(_) => OffsetAt::Earliest,
            Start::Place(place) => place,
        };
        let found = offsets(session, spots, place).await?;
        let start = |(spot, end): (&Spot, &Offset)| {
            let found = found.get(spot).copied().unwrap_or(*end);
            let start =
                if let Some(Start::Last(count)) = self.offset { found.max(Offset(end.0 - count)) } else { found };
            (spot.clone(), start)
        };
        Ok(ends.iter().map(start).collect())
    }
}

type Offsets = BTreeMap<Spot, Offset>;

async fn offsets(session: &Session, spots: Vec<Spot>, at: OffsetAt) -> Result<Offsets, Problem> {
    let found = session.ask("asking where partitions begin and end", session.client.list_offsets(spots, at)).await?;
    Ok(found.into_iter().filter_map(|(spot, offset)| Some((spot, offset?))).collect())
}

struct Reading<'a> {
    command: &'a Consume,
    session: &'a Session,
    consumer: Consumer,
    format: Template,
    out: Vec<u8>,
    /// Where to stop with --exit-at-end.
    ends: Offsets,
    /// What it reads, as of the last poll.
    assigned: BTreeSet<Spot>,
    records: u64,
    bar: ProgressBar,
}

impl Reading<'_> {
    async fn run(&mut self, topic: &Topic) -> Result<(), Problem> {
        let mut total = None;
        if self.command.group.is_some() {
            let doing = self.session.while_doing("joining the group");
            self.consumer.subscribe([topic.name.clone()]).await.map_err(doing)?;
        } else {
            let partitions = self.command.partition.iter().map(|number| (*number, *number)).collect();
            let spots = Scope { topic: self.command.topic.clone(), partitions }.within(topic)?;
            self.ends = offsets(self.session, spots.clone(), OffsetAt::Latest).await?;
            let starts = self.command.starts(self.session, spots, &self.ends).await?;
            let left = |(spot, start): (&Spot, &Offset)| u64::try_from(self.ends.get(spot)?.minus(*start)).ok();
            total = self.command.exit_at_end.then(|| starts.iter().filter_map(left).sum());
            let doing = self.session.while_doing("reading");
            let starts = starts.into_iter().map(|(spot, start)| (spot, Some(start)));
            self.consumer.assign(starts).await.map_err(doing)?;
        }
        if !std::io::stdout().is_terminal() {
            self.bar = self.session.bar(self.command.max_messages.or(total), Unit::Things);
        }
        let (mut stop, mut came_at) = (std::pin::pin!(stopped()), Instant::now());
        while !self.is_at_end().await? {
            let polled = tokio::select! {
                polled = self.consumer.poll(POLL_WAIT) => self.polled(polled)?,
                () = &mut stop => return Ok(()),
            };
            if !polled.is_empty() {
                came_at = Instant::now();
            }
            if self.print(polled).await? {
                return Ok(());
            }
            let assigned = self.consumer.assignment().map_err(self.session.while_doing("reading"))?;
            if self.command.group.is_some() && assigned != self.assigned {
                self.ends = offsets(self.session, assigned.iter().cloned().collect(), OffsetAt::Latest).await?;
            }
            if self.command.idle_ms.is_some_and(|ms| came_at.elapsed() >= Duration::from_millis(ms)) {
                if self.command.tally {
                    return Ok(());
                }
                return Err(Problem::failed(format!("nothing came any more after {} records", self.records)));
            }
            self.assigned = assigned;
        }
        Ok(())
    }

    fn polled(&self, polled: Result<ConsumerRecords, Error>) -> Result<ConsumerRecords, Problem> {
        polled.map_err(|error| match &error {
            Error::OutOfRange { spot: (topic, _), .. } => {
                Problem::failed(format!("{error}; `vltava topic describe {topic}` shows where it begins and ends"))
            }
            _ => self.session.while_doing("reading")(error),
        })
    }

    async fn is_at_end(&self) -> Result<bool, Problem> {
        if !self.command.exit_at_end || self.command.group.is_some() && self.assigned.is_empty() {
            return Ok(false);
        }
        let positions = self.consumer.positions().await.map_err(self.session.while_doing("reading"))?;
        Ok(self.ends.iter().all(|(spot, end)| positions.get(spot).is_some_and(|position| position >= end)))
    }

    /// Prints records; true where there have been enough. What is not printed counts as not read.
    async fn print(&mut self, polled: ConsumerRecords) -> Result<bool, Problem> {
        let mut partitions = polled.into_iter();
        let mut done = Ok(false);
        while let (Ok(false), Some(consumed)) = (&done, partitions.next()) {
            let (next, printed) = self.print_of(&consumed);
            done = printed;
            if !matches!(done, Ok(false)) {
                self.rewind(&consumed.spot, next).await;
            }
        }
        for consumed in partitions {
            if let Some(first) = consumed.records.first() {
                self.rewind(&consumed.spot, first.offset).await;
            }
        }
        done
    }

    async fn rewind(&self, spot: &Spot, offset: Offset) {
        // What is another's by now goes on where it was committed.
        let _ = self.consumer.seek(spot.clone(), offset).await;
    }

    /// Prints records of one partition. Where to go on, and whether there have been enough.
    fn print_of(&mut self, consumed: &Consumed) -> (Offset, Result<bool, Problem>) {
        let mut printed = consumed.records.first().map_or(consumed.position, |record| record.offset);
        for (at, record) in (1..).zip(&consumed.records) {
            if self.session.connection.json {
                template::json_line(&consumed.spot, record, &mut self.out);
            } else {
                self.format.print(&consumed.spot, record, &mut self.out);
            }
            self.records += 1;
            self.bar.inc(1);
            let is_enough = self.command.max_messages == Some(self.records);
            if self.out.len() >= OUT_BYTES || is_enough || at == consumed.records.len() {
                let written = write_out(&self.out);
                self.out.clear();
                if let Err(problem) = written {
                    return (printed, Err(problem));
                }
                printed = record.offset.next();
            }
            if is_enough {
                return (printed, Ok(true));
            }
        }
        (consumed.position, Ok(false))
    }
}
