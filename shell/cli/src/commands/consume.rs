//! `vltava consume`: prints records of a topic, alone or as a member of a group.

use crate::problem::Problem;
use crate::session::{Connection, Session, Unit, write_out};
use crate::template::{self, Template};
use clap::Args;
use indicatif::{HumanCount, ProgressBar};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use vltava_client::{
    Consumed, Consumer, ConsumerEvent, ConsumerOptions, ErrorCode, GroupOptions, Offset, OffsetAt, PartitionIndex,
    Polled, Reset, Spot, Text, Topic,
};

/// How long a poll waits before the end, the signal and the commits are looked at again.
const POLL_WAIT: Duration = Duration::from_millis(200);
/// A group's offsets are committed so often while records come.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// Printed in pieces of this size.
const OUT_BYTES: usize = 64 << 10;

/// Print records as they come: only new ones, unless it is said where to begin.
///
/// With --group, partitions are shared with the group's other members, and reading goes on where the group has
/// committed; what is printed is then committed.
#[derive(Debug, Args)]
#[command(
    after_help = "Each record is one line. In --format: %k key, %v value, %h headers, %t topic, %p partition, %o offset,
%T timestamp in ms, %% a percent sign; \\n \\t \\\\.
With --json each line is an object; keys and values that are no UTF-8 are key_base64 and value_base64.

Examples:
  vltava consume rivers --from-beginning --exit-at-end
  vltava consume rivers --partition 3 --offset 1000 --max-messages 10 --format '%o %k=%v'
  vltava consume rivers --group readers --from-beginning --json"
)]
pub struct Consume {
    topic: String,
    /// Begin with the first record (with --group: where the group has committed nothing)
    #[arg(long, conflicts_with_all = ["offset", "from_end"])]
    from_beginning: bool,
    /// Begin at this offset of each partition
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..), conflicts_with_all = ["from_end", "group"])]
    offset: Option<i64>,
    /// Begin with the next record that comes (the default)
    #[arg(long)]
    from_end: bool,
    /// Read only this partition; may be repeated
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..), conflicts_with = "group")]
    partition: Vec<i32>,
    /// Read as a member of this group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Stop after so many records
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_messages: Option<u64>,
    /// Stop at what is the end of each partition when reading begins
    #[arg(long)]
    exit_at_end: bool,
    /// Print only committed transactions
    #[arg(long)]
    read_committed: bool,
    /// How to print a record
    #[arg(long, value_name = "TEMPLATE", default_value = "%v", value_parser = Template::parse, conflicts_with = "json")]
    format: Template,
    #[command(flatten)]
    connection: Connection,
}

impl Consume {
    pub fn run(self) -> Result<(), Problem> {
        self.connection.clone().run(async |session| self.consume(session).await)
    }

    async fn consume(&self, session: &Session) -> Result<(), Problem> {
        let topic = session.topic(&self.topic).await?;
        let consumer = session.client.consumer(self.options());
        let mut reading = Reading {
            command: self,
            session,
            consumer,
            ends: BTreeMap::new(),
            is_placed: false,
            read: BTreeMap::new(),
            committed_at: Instant::now(),
            records: 0,
            bar: session.bar(None, Unit::Things),
        };
        let done = reading.run(&topic).await;
        reading.bar.finish_and_clear();
        // What was printed counts as read, whatever ended the reading.
        let committed = reading.commit().await;
        reading.consumer.close().await;
        done.and(committed)
    }

    fn options(&self) -> ConsumerOptions {
        let group = self.group.as_ref().map(|id| GroupOptions {
            id: Text::from(id.as_str()),
            // Commits follow what was printed, not what was fetched.
            auto_commit_ms: None,
            ..GroupOptions::default()
        });
        let reset = if self.from_beginning { Reset::Earliest } else { Reset::Latest };
        let reset = if self.offset.is_some() { Reset::None } else { reset };
        ConsumerOptions { group, reset, read_committed: self.read_committed, ..ConsumerOptions::default() }
    }

    /// The partitions to read alone.
    fn partitions(&self, topic: &Topic) -> Result<Vec<Spot>, Problem> {
        let last = topic.partitions.len().saturating_sub(1);
        if let Some(none) = self.partition.iter().find(|number| topic.partition(PartitionIndex(**number)).is_none()) {
            return Err(Problem::missing(format!(
                "topic `{}` has no partition {none}: they are 0 to {last}",
                self.topic
            )));
        }
        let is_asked = |index: PartitionIndex| self.partition.is_empty() || self.partition.contains(&index.0);
        let indexes = topic.partitions.iter().map(|known| known.index).filter(|index| is_asked(*index));
        Ok(indexes.map(|index| (topic.name.clone(), index)).collect())
    }
}

struct Reading<'a> {
    command: &'a Consume,
    session: &'a Session,
    consumer: Consumer,
    /// Where to stop with --exit-at-end.
    ends: BTreeMap<Spot, Offset>,
    /// Whether this member of the group knows what it reads.
    is_placed: bool,
    /// What was printed and is not committed yet: where to go on.
    read: BTreeMap<Spot, Offset>,
    committed_at: Instant,
    records: u64,
    bar: ProgressBar,
}

impl Reading<'_> {
    async fn run(&mut self, topic: &Topic) -> Result<(), Problem> {
        if self.command.group.is_some() {
            let doing = self.session.while_doing("joining the group");
            self.consumer.subscribe([topic.name.clone()]).await.map_err(doing)?;
        } else {
            let spots = self.command.partitions(topic)?;
            self.note_ends(spots.clone()).await?;
            self.check_offset(&spots).await?;
            let from = self.command.offset.map(Offset);
            let doing = self.session.while_doing("reading");
            self.consumer.assign(spots.into_iter().map(|spot| (spot, from))).await.map_err(doing)?;
            self.is_placed = true;
        }
        let mut stop = std::pin::pin!(stopped());
        while !self.is_at_end().await? {
            let polled = tokio::select! {
                polled = self.consumer.poll(POLL_WAIT) => polled.map_err(self.session.while_doing("reading"))?,
                () = &mut stop => return Ok(()),
            };
            match polled {
                Some(Polled::Records(consumed)) if self.print(&consumed)? => return Ok(()),
                Some(Polled::Records(_)) => {}
                Some(Polled::Event(event)) => self.act(event).await?,
                None => {}
            }
            if self.committed_at.elapsed() >= COMMIT_EVERY {
                self.commit().await?;
            }
        }
        Ok(())
    }

    /// Remembers where the partitions end now, where that is where to stop.
    async fn note_ends(&mut self, spots: Vec<Spot>) -> Result<(), Problem> {
        if self.command.exit_at_end {
            let doing = self.session.while_doing("asking where the partitions end");
            let ends = self.session.client.list_offsets(spots, OffsetAt::Latest).await.map_err(doing)?;
            self.ends.extend(ends.into_iter().filter_map(|(spot, end)| Some((spot, end?))));
        }
        Ok(())
    }

    /// An offset that is still to come would be waited for in silence.
    async fn check_offset(&self, spots: &[Spot]) -> Result<(), Problem> {
        let Some(offset) = self.command.offset.map(Offset) else { return Ok(()) };
        let doing = self.session.while_doing("asking where the partitions end");
        let ends = self.session.client.list_offsets(spots.to_vec(), OffsetAt::Latest).await.map_err(doing)?;
        match ends.iter().find_map(|(spot, end)| Some((spot, end.filter(|end| *end < offset)?))) {
            None => Ok(()),
            Some(((topic, partition), end)) => Err(Problem::failed(format!(
                "there is no offset {offset} yet in partition {partition} of topic `{topic}`, which ends at {end}; \
                 --partition chooses one"
            ))),
        }
    }

    async fn is_at_end(&self) -> Result<bool, Problem> {
        if !self.command.exit_at_end || !self.is_placed {
            return Ok(false);
        }
        let positions = self.consumer.positions().await.map_err(self.session.while_doing("reading"))?;
        Ok(self.ends.iter().all(|(spot, end)| positions.get(spot).is_some_and(|position| position >= end)))
    }

    /// Prints records; true where there have been enough.
    fn print(&mut self, consumed: &Consumed) -> Result<bool, Problem> {
        let mut out = Vec::with_capacity(OUT_BYTES + 1024);
        let mut next = consumed.position;
        let mut is_enough = false;
        for record in &consumed.records {
            if self.session.connection.json {
                template::json_line(&consumed.spot, record, &mut out);
            } else {
                self.command.format.print(&consumed.spot, record, &mut out);
            }
            self.records += 1;
            if out.len() >= OUT_BYTES {
                write_out(&out)?;
                out.clear();
            }
            if self.command.max_messages == Some(self.records) {
                next = record.offset.next();
                is_enough = true;
                break;
            }
        }
        write_out(&out)?;
        self.read.insert(consumed.spot.clone(), next);
        self.bar.set_message(format!("{} records", HumanCount(self.records)));
        Ok(is_enough)
    }

    async fn act(&mut self, event: ConsumerEvent) -> Result<(), Problem> {
        match event {
            ConsumerEvent::Assigned { all, .. } => {
                self.ends.clear();
                self.note_ends(all).await?;
                self.is_placed = true;
            }
            ConsumerEvent::Revoked { spots } | ConsumerEvent::Lost { spots } => {
                // Whoever has them now commits them.
                for spot in &spots {
                    self.read.remove(spot);
                }
                self.is_placed = false;
            }
            ConsumerEvent::Stuck { spot: (topic, partition), position, code } => {
                let hint = if code == ErrorCode::OFFSET_OUT_OF_RANGE {
                    format!("; `vltava topic describe {topic}` shows where it begins and ends")
                } else {
                    String::new()
                };
                let place = format!("partition {partition} of topic `{topic}` at offset {position}");
                return Err(Problem::failed(format!("cannot read {place}: {code}{hint}")));
            }
            ConsumerEvent::Refused { code } => {
                let group = self.command.group.as_deref().unwrap_or_default();
                return Err(Problem::failed(format!("group `{group}` does not take this consumer: {code}")));
            }
            ConsumerEvent::Committed { .. } | ConsumerEvent::Found { .. } => {}
        }
        Ok(())
    }

    /// Commits what was printed.
    async fn commit(&mut self) -> Result<(), Problem> {
        self.committed_at = Instant::now();
        if self.command.group.is_none() || self.read.is_empty() {
            return Ok(());
        }
        let offsets = std::mem::take(&mut self.read);
        match self.consumer.commit(offsets).await {
            // The group has gone on: whoever has the partitions now prints these records again.
            Err(error)
                if matches!(
                    error.code(),
                    Some(
                        ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::ILLEGAL_GENERATION | ErrorCode::UNKNOWN_MEMBER_ID
                    )
                ) =>
            {
                Ok(())
            }
            done => done.map_err(self.session.while_doing("committing what was read")),
        }
    }
}

/// Waits for SIGINT or SIGTERM.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        }
        // Without handlers the signals end the process by themselves.
        _ => std::future::pending().await,
    }
}
