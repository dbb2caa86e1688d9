//! A consumer: alone on partitions that it is given, or as a member of a group. Must never know a batch or a rebalance's
//! steps.

use crate::clock::Clock;
use crate::driver::{self, Engine, Trouble};
use crate::error::Error;
use client::{
    CommitError, Consumed, ConsumerEvent, ConsumerOptions, Event, Instant, Now, Offset, Spot, Text, Transmit,
};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

const COMMANDS_MAX: usize = 16;

/// What a poll brings.
#[derive(Clone, Debug)]
pub enum Polled {
    /// Records of one partition, in order. May be empty where a batch held nothing for consumers.
    Records(Consumed),
    /// Something happened that whoever reads may have to act upon.
    Event(ConsumerEvent),
}

/// Reads records. Made by [`Client::consumer`](crate::Client::consumer).
///
/// Heartbeats are sent in the background, whether or not it is polled. Automatic commits (`auto.commit.interval.ms`)
/// cover all that `poll` has returned: who must not lose a record to a crash sets that to none and calls
/// [`Consumer::commit`] once records are dealt with.
#[derive(Debug)]
pub struct Consumer {
    commands: mpsc::Sender<Command>,
    polled: mpsc::Receiver<Polled>,
    trouble: Trouble,
}

impl Consumer {
    pub(crate) fn start(options: ConsumerOptions, clock: Clock) -> Consumer {
        let engine = client::Consumer::new(options);
        // One at a time: what is not asked for stays in the engine, which then fetches no more.
        let (sender, polled) = mpsc::channel(1);
        let reading = Reading {
            engine,
            wanted: false,
            polled: sender,
            events: VecDeque::new(),
            commits: HashMap::new(),
            closing: None,
        };
        let (commands, trouble) = driver::start(reading, clock, COMMANDS_MAX);
        Consumer { commands, polled, trouble }
    }

    /// Reads these partitions and no others, each from an offset or from where `auto.offset.reset` says.
    pub async fn assign(&self, spots: impl IntoIterator<Item = (Spot, Option<Offset>)>) -> Result<(), Error> {
        self.tell(Command::Assign(spots.into_iter().collect())).await
    }

    /// Takes part in the group for these topics; what this member gets comes as [`ConsumerEvent::Assigned`].
    pub async fn subscribe(&self, topics: impl IntoIterator<Item = Text>) -> Result<(), Error> {
        self.tell(Command::Subscribe(topics.into_iter().collect())).await
    }

    /// Goes on at another offset of a partition that it reads.
    pub async fn seek(&self, spot: Spot, offset: Offset) -> Result<(), Error> {
        self.tell(Command::Seek(spot, offset)).await
    }

    /// The next records of some partition, or the next event; None where nothing comes within `patience`.
    ///
    /// Dropping the returned future loses nothing.
    pub async fn poll(&mut self, patience: Duration) -> Result<Option<Polled>, Error> {
        // What came for a poll that was dropped.
        if let Ok(polled) = self.polled.try_recv() {
            return Ok(Some(polled));
        }
        self.tell(Command::Poll).await?;
        match tokio::time::timeout(patience, self.polled.recv()).await {
            Ok(Some(polled)) => Ok(Some(polled)),
            Ok(None) => Err(Error::Closed),
            Err(_) => Ok(None),
        }
    }

    /// Where each partition is read on, as far as that is known.
    pub async fn positions(&self) -> Result<BTreeMap<Spot, Offset>, Error> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Positions(reply)).await?;
        answer.await.map_err(|_| Error::Closed)
    }

    /// Commits offsets at which the group is to go on: one more than that of the last record dealt with.
    ///
    /// # Errors
    /// [`Error::Refused`], for instance with `ILLEGAL_GENERATION` where the group has gone on without this member.
    pub async fn commit(&self, offsets: BTreeMap<Spot, Offset>) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Commit(offsets, reply)).await?;
        answer.await.map_err(|_| Error::Closed)?.map_err(|error| match error {
            CommitError::Refused(code) => Error::of_code(code),
            CommitError::Failed(failure) => Error::of_failure(failure, self.trouble.last()),
            CommitError::NoMember => Error::of_code(client::ErrorCode::UNKNOWN_MEMBER_ID),
        })
    }

    /// Leaves the group, so that others need not wait for the session to run out, and ends.
    pub async fn close(self) {
        let (reply, answer) = oneshot::channel();
        if self.tell(Command::Close(reply)).await.is_ok() {
            // An engine that has ended has left.
            let _ = answer.await;
        }
    }

    /// The last trouble with a connection: why nothing comes, where nothing comes.
    #[must_use]
    pub fn last_trouble(&self) -> Option<String> {
        self.trouble.last()
    }

    async fn tell(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).await.map_err(|_| Error::Closed)
    }
}

#[derive(Debug)]
enum Command {
    Assign(Vec<(Spot, Option<Offset>)>),
    Subscribe(Vec<Text>),
    Seek(Spot, Offset),
    Poll,
    Positions(oneshot::Sender<BTreeMap<Spot, Offset>>),
    Commit(BTreeMap<Spot, Offset>, oneshot::Sender<Result<(), CommitError>>),
    Close(oneshot::Sender<()>),
}

struct Reading {
    engine: client::Consumer,
    /// Somebody polls, and has got nothing yet.
    wanted: bool,
    polled: mpsc::Sender<Polled>,
    events: VecDeque<ConsumerEvent>,
    commits: HashMap<u64, oneshot::Sender<Result<(), CommitError>>>,
    closing: Option<oneshot::Sender<()>>,
}

impl Reading {
    fn take_events(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            let number = if let ConsumerEvent::Committed { number, .. } = &event { *number } else { None };
            let waiting = number.and_then(|number| self.commits.remove(&number));
            match (waiting, event) {
                // Who no longer waits does not care.
                (Some(reply), ConsumerEvent::Committed { result, .. }) => drop(reply.send(result)),
                (_, event) => self.events.push_back(event),
            }
        }
    }
}

impl Engine for Reading {
    type Command = Command;

    fn command(&mut self, now: Now, command: Command) {
        match command {
            Command::Assign(spots) => self.engine.assign(now.at, spots),
            Command::Subscribe(topics) => self.engine.subscribe(now.at, topics),
            Command::Seek(spot, offset) => self.engine.seek(now.at, &spot, offset),
            Command::Poll => self.wanted = true,
            Command::Positions(reply) => drop(reply.send(self.engine.positions())),
            Command::Commit(offsets, reply) => {
                let number = self.engine.commit(now.at, offsets);
                self.commits.insert(number, reply);
            }
            Command::Close(reply) => {
                self.engine.close(now.at);
                self.closing = Some(reply);
            }
        }
    }

    fn handle(&mut self, now: Now, event: Event) {
        self.engine.handle(now.at, event);
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.engine.poll_transmit()
    }

    fn next_wake(&self) -> Option<Instant> {
        self.engine.next_wake()
    }

    fn settle(&mut self, now: Now) {
        self.take_events();
        if self.wanted
            && let Ok(slot) = self.polled.try_reserve()
        {
            let event = self.events.pop_front().map(Polled::Event);
            if let Some(polled) = event.or_else(|| self.engine.poll(now.at).map(Polled::Records)) {
                slot.send(polled);
                self.wanted = false;
            }
        }
        if self.engine.is_closed()
            && let Some(reply) = self.closing.take()
        {
            let _ = reply.send(());
        }
    }

    fn trouble(&mut self, _problem: &str) {}

    fn abandon(&mut self, now: Now) {
        self.engine.close(now.at);
    }

    fn is_done(&self) -> bool {
        self.engine.is_closed()
    }
}
