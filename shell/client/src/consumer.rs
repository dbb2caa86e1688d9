//! A consumer: alone on partitions that it is given, or as a member of a group. Must never know a batch or a rebalance's
//! steps.

use crate::clock::Clock;
use crate::dial::Dialer;
use crate::driver::{Engine, Owner, Shared, forward};
use crate::error::Error;
use crate::options::ConsumerConfig;
use client::{CommitError, Consumed, ConsumerEvent, ConsumerOptions, Now, Offset, Spot, Text};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

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
    shared: Shared<Reading>,
    /// Tells that there may be something to poll.
    news: Arc<Notify>,
}

impl Consumer {
    /// Starts a consumer in the runtime that is current. It connects once there is something to read.
    ///
    /// # Errors
    /// [`Error::BadOption`] where `bootstrap.servers` is empty.
    pub fn new(config: ConsumerConfig) -> Result<Consumer, Error> {
        let (options, dialer) = config.ready(|options| &mut options.cluster)?;
        Ok(Consumer::start(options, Clock::start(), dialer))
    }

    pub(crate) fn start(options: ConsumerOptions, clock: Clock, dialer: Dialer) -> Consumer {
        let news = Arc::new(Notify::new());
        let reading = Reading {
            engine: client::Consumer::new(options),
            news: news.clone(),
            events: VecDeque::new(),
            commits: HashMap::new(),
            closing: None,
        };
        Consumer { shared: Owner::start(reading, clock, dialer), news }
    }

    /// Reads these partitions and no others, each from an offset or from where `auto.offset.reset` says.
    pub async fn assign(&self, spots: impl IntoIterator<Item = (Spot, Option<Offset>)>) -> Result<(), Error> {
        self.shared.with(|reading, now| reading.engine.assign(now.at, spots))
    }

    /// Takes part in the group for these topics; what this member gets comes as [`ConsumerEvent::Assigned`].
    pub async fn subscribe(&self, topics: impl IntoIterator<Item = Text>) -> Result<(), Error> {
        self.shared.with(|reading, now| reading.engine.subscribe(now.at, topics))
    }

    /// Goes on at another offset of a partition that it reads.
    pub async fn seek(&self, spot: Spot, offset: Offset) -> Result<(), Error> {
        self.shared.with(|reading, now| reading.engine.seek(now.at, &spot, offset))
    }

    /// The next records of some partition, or the next event; None where nothing comes within `patience`.
    ///
    /// Dropping the returned future loses nothing.
    pub async fn poll(&mut self, patience: Duration) -> Result<Option<Polled>, Error> {
        let mut give_up = pin!(self.shared.sleep(patience));
        loop {
            let news = self.news.notified();
            if let Some(polled) = self.shared.with(Reading::poll)? {
                return Ok(Some(polled));
            }
            self.shared.admitted()?;
            tokio::select! {
                () = news => {}
                () = give_up.as_mut() => return Ok(None),
            }
        }
    }

    /// Where each partition is read on, as far as that is known.
    pub async fn positions(&self) -> Result<BTreeMap<Spot, Offset>, Error> {
        self.shared.with(|reading, _| reading.engine.positions())
    }

    /// Commits offsets at which the group is to go on: one more than that of the last record dealt with.
    ///
    /// # Errors
    /// [`Error::Refused`], for instance with `ILLEGAL_GENERATION` where the group has gone on without this member.
    pub async fn commit(&self, offsets: BTreeMap<Spot, Offset>) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.shared.with(|reading, now| {
            let number = reading.engine.commit(now.at, offsets);
            reading.commits.insert(number, reply);
            // One that cannot even be asked for is answered already.
            reading.take_events();
        })?;
        answer.await.map_err(|_| Error::Closed)?.map_err(|error| match error {
            CommitError::Refused(code) => Error::of_code(code),
            CommitError::Failed(failure) => Error::of_failure(failure, self.shared.trouble()),
            CommitError::NoMember => Error::of_code(client::ErrorCode::UNKNOWN_MEMBER_ID),
        })
    }

    /// Leaves the group, so that others need not wait for the session to run out, and ends.
    pub async fn close(self) {
        let (reply, answer) = oneshot::channel();
        let told = self.shared.with(|reading, now| {
            reading.engine.close(now.at);
            if !reading.engine.is_closed() {
                reading.closing = Some(reply);
            }
        });
        if told.is_ok() {
            // An engine that has ended has left.
            let _ = answer.await;
        }
    }

    /// The last trouble with a connection: why nothing comes, where nothing comes.
    #[must_use]
    pub fn last_trouble(&self) -> Option<String> {
        self.shared.trouble()
    }
}

struct Reading {
    engine: client::Consumer,
    news: Arc<Notify>,
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

    fn poll(&mut self, now: Now) -> Option<Polled> {
        self.take_events();
        let event = self.events.pop_front().map(Polled::Event);
        event.or_else(|| self.engine.poll(now.at).map(Polled::Records))
    }
}

impl Engine for Reading {
    type News = ();

    forward!(now => now.at);

    fn settle(&mut self, _now: Now, _news: &mut ()) {
        self.take_events();
        // Whether records have come is for the poll to see.
        self.news.notify_one();
        if self.engine.is_closed()
            && let Some(reply) = self.closing.take()
        {
            let _ = reply.send(());
        }
    }

    fn denied(&mut self, _problem: &str) {
        self.news.notify_one();
    }

    fn abandon(&mut self, now: Now) {
        self.engine.close(now.at);
    }

    fn is_done(&self) -> bool {
        self.engine.is_closed()
    }

    fn end(&mut self, _news: &mut ()) {
        self.commits.clear();
        self.closing = None;
        self.news.notify_one();
    }
}
