//! A consumer: alone on partitions that it is given, or as a member of a group. Must never know a batch or a rebalance's
//! steps.

mod listener;
mod records;
mod stream;

pub use listener::{RebalanceListener, Told};
pub use records::ConsumerRecords;
pub use stream::RecordStream;

use crate::admin::Client;
use crate::driver::{Engine, Owner, Shared, forward};
use crate::error::Error;
use crate::options::ConsumerConfig;
use client::admin::{OffsetAt, Refused};
use client::{
    CommitError, ConsumerEvent, ConsumerMetrics, ConsumerOptions, ErrorCode, GroupMetadata, Now, Offset,
    OffsetAndMetadata, Position, Reset, Spot, Text, Timestamp,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify, oneshot};

/// `default.api.timeout.ms`
const API_TIMEOUT: Duration = Duration::from_secs(60);
/// Kafka's own patience with who closes a consumer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two tries of a commit whose answer was that it may be taken later.
const RETRY_WAIT: Duration = Duration::from_millis(100);

/// Reads records. Made by [`Client::consumer`](crate::Client::consumer).
///
/// Heartbeats are sent in the background; everything else a group asks of its members happens in [`Consumer::poll`], as
/// with Kafka's own consumer: rebalances, calls of the listener and automatic commits. What a poll has returned counts as
/// dealt with when the next one begins, and is committed then if `auto.commit.interval.ms` has passed or if a rebalance
/// takes its partition away. Who must commit at other times sets `auto_commit_ms` to none and calls
/// [`Consumer::commit_sync`] or [`Consumer::commit`].
///
/// Who does not poll for `max.poll.interval.ms` leaves the group; the next poll joins it again.
#[derive(Debug)]
pub struct Consumer {
    shared: Shared<Reading>,
    /// Tells that there may be something to poll.
    news: Arc<Notify>,
    /// Whoever polls holds it.
    listener: Mutex<Box<dyn RebalanceListener>>,
    /// What the group is called, and where else things are asked.
    group: Option<Text>,
    client: Client,
}

/// What is read.
impl Consumer {
    /// Starts a consumer in the runtime that is current. It connects once there is something to read.
    ///
    /// # Errors
    /// [`Error::BadOption`] where `bootstrap.servers` is empty.
    pub fn new(config: ConsumerConfig) -> Result<Consumer, Error> {
        let (options, dialer) = config.ready(|options| &mut options.cluster)?;
        let client = Client::start(options.cluster.clone(), dialer, None);
        Ok(Consumer::start(options, client))
    }

    pub(crate) fn start(options: ConsumerOptions, client: Client) -> Consumer {
        let news = Arc::new(Notify::new());
        let reading = Reading {
            group: options.group.as_ref().map(|group| group.id.clone()),
            engine: client::Consumer::new(options),
            news: news.clone(),
            events: VecDeque::new(),
            commits: HashMap::new(),
            answered: Vec::new(),
            is_revoking: false,
            closing: None,
        };
        let group = reading.group.clone();
        let (clock, dialer) = client.parts();
        Consumer {
            shared: Owner::start(reading, clock, dialer),
            news,
            listener: Mutex::new(Box::new(())),
            group,
            client,
        }
    }

    /// Reads these partitions and no others, each from an offset, from where its group goes on or from where
    /// `auto.offset.reset` says.
    pub async fn assign(&self, spots: impl IntoIterator<Item = (Spot, Option<Offset>)>) -> Result<(), Error> {
        self.shared.with(|reading, now| reading.engine.assign(now, spots))
    }

    /// Takes part in the group for these topics.
    ///
    /// # Errors
    /// [`Error::Refused`] with `INVALID_GROUP_ID` where the options name no group.
    pub async fn subscribe(&self, topics: impl IntoIterator<Item = Text>) -> Result<(), Error> {
        self.check_group()?;
        self.shared.with(|reading, now| reading.engine.subscribe(now, topics))
    }

    /// Takes part in the group for all topics whose whole names match a regular expression, also those that are created
    /// later: brokers are asked again after `metadata.max.age.ms`.
    ///
    /// # Errors
    /// [`Error::BadPattern`], and as [`Consumer::subscribe`].
    pub async fn subscribe_pattern(&self, pattern: &str) -> Result<(), Error> {
        self.check_group()?;
        let done = self.shared.with(|reading, now| reading.engine.subscribe_pattern(now, pattern))?;
        done.map_err(|why| Error::BadPattern(format!("`{pattern}`: {why}")))
    }

    fn check_group(&self) -> Result<(), Error> {
        let why = "who subscribes to topics needs a group: set `group` in the options, or use `assign`";
        self.group.as_ref().map(|_| ()).ok_or_else(|| Error::refused(ErrorCode::INVALID_GROUP_ID, why))
    }

    /// Whom to tell what a rebalance gives and takes, from the next poll on.
    pub async fn set_listener(&self, listener: impl RebalanceListener + 'static) {
        *self.listener.lock().await = Box::new(listener);
    }

    /// Leaves the group, and reads nothing any more.
    pub async fn unsubscribe(&self) -> Result<(), Error> {
        self.give_up_all().await?;
        self.shared.with(|reading, now| reading.engine.unsubscribe(now))
    }

    /// Tells the listener that everything is given back.
    async fn give_up_all(&self) -> Result<(), Error> {
        let spots: Vec<Spot> = self.assignment()?.into_iter().collect();
        if self.group.is_some() && !spots.is_empty() {
            self.listener.lock().await.revoked(self, &spots).await;
        }
        Ok(())
    }

    /// The next records, at most `max.poll.records`; none where nothing comes within `patience`. A group rebalances in
    /// here, and its listener is called.
    ///
    /// Dropping the returned future loses no records. One that is dropped while the listener handles what is taken away
    /// counts as having handled it.
    ///
    /// # Errors
    /// [`Error::NoOffset`], [`Error::OutOfRange`], [`Error::Truncated`] or [`Error::Unreadable`] where a partition cannot be
    /// read on: it is left out of later polls until somebody seeks in it. [`Error::Refused`] where the group does not
    /// take this member, again with each poll.
    pub async fn poll(&self, patience: Duration) -> Result<ConsumerRecords, Error> {
        let mut listener = self.listener.lock().await;
        let _polling = Polling(self);
        let mut give_up = pin!(self.shared.sleep(patience));
        loop {
            let news = self.news.notified();
            match self.act(Reading::poll)? {
                Turn::Records(records) => return Ok(records),
                Turn::Event(event) => {
                    self.told(&mut **listener, event).await?;
                    continue;
                }
                Turn::Nothing => {}
            }
            self.shared.admitted()?;
            tokio::select! {
                () = news => {}
                () = give_up.as_mut() => return Ok(ConsumerRecords::default()),
            }
        }
    }

    async fn told(&self, listener: &mut dyn RebalanceListener, event: ConsumerEvent) -> Result<(), Error> {
        match event {
            ConsumerEvent::Assigned { added, .. } => listener.assigned(self, &added).await,
            ConsumerEvent::Revoked { spots } => {
                listener.revoked(self, &spots).await;
                self.act(Reading::release)?;
            }
            ConsumerEvent::Lost { spots } => listener.lost(self, &spots).await,
            ConsumerEvent::Stuck { spot, position, code: ErrorCode::OFFSET_OUT_OF_RANGE } => {
                return Err(Error::OutOfRange { spot, position });
            }
            ConsumerEvent::Stuck { spot, position, code } => return Err(Error::Unreadable { spot, position, code }),
            ConsumerEvent::NoOffset { spot } => return Err(Error::NoOffset { spot }),
            ConsumerEvent::Truncated { spot, position, diverged_at } => {
                return Err(Error::Truncated { spot, position, diverged_at });
            }
            ConsumerEvent::Refused { code, message } => {
                let group = self.group.as_deref().unwrap_or_default();
                let why = message.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
                let error = Error::refused(code, &format!("group `{group}` does not take this consumer{why}"));
                // The next poll is told it again.
                self.shared.with(|reading, _| reading.events.push_back(ConsumerEvent::Refused { code, message }))?;
                return Err(error);
            }
            ConsumerEvent::PollOverdue { .. } | ConsumerEvent::Committed { .. } | ConsumerEvent::Found { .. } => {}
        }
        Ok(())
    }

    /// All records, one after the other. Polls whenever there are none left.
    pub fn stream(&self) -> RecordStream<'_> {
        RecordStream::new(self)
    }

    /// Goes on at another offset of a partition that it reads, or with what the group had committed there.
    pub async fn seek(&self, spot: Spot, to: impl Into<OffsetAndMetadata>) -> Result<(), Error> {
        let OffsetAndMetadata { offset, leader_epoch, .. } = to.into();
        let position = Position { offset, epoch: leader_epoch.unwrap_or(client::LeaderEpoch::NONE) };
        self.seek_to([spot], Ok(position))
    }

    pub async fn seek_to_beginning(&self, spots: impl IntoIterator<Item = Spot>) -> Result<(), Error> {
        self.seek_to(spots, Err(Reset::Earliest))
    }

    pub async fn seek_to_end(&self, spots: impl IntoIterator<Item = Spot>) -> Result<(), Error> {
        self.seek_to(spots, Err(Reset::Latest))
    }

    fn seek_to(&self, spots: impl IntoIterator<Item = Spot>, to: Result<Position, Reset>) -> Result<(), Error> {
        self.each(spots, |engine, now, spot| engine.seek(now, spot, to))
    }

    /// Returns nothing of these partitions until they are resumed; they stay this consumer's.
    pub fn pause(&self, spots: impl IntoIterator<Item = Spot>) -> Result<(), Error> {
        self.each(spots, |engine, now, spot| engine.pause(now, spot, true))
    }

    pub fn resume(&self, spots: impl IntoIterator<Item = Spot>) -> Result<(), Error> {
        self.each(spots, |engine, now, spot| engine.pause(now, spot, false))
    }

    fn each(
        &self,
        spots: impl IntoIterator<Item = Spot>,
        act: impl Fn(&mut client::Consumer, Now, &Spot) -> bool,
    ) -> Result<(), Error> {
        for spot in spots {
            if !self.shared.with(|reading, now| act(&mut reading.engine, now, &spot))? {
                return Err(Error::NotAssigned { spot });
            }
        }
        Ok(())
    }
}

/// Where it is read.
impl Consumer {
    /// The partitions that it reads.
    pub fn assignment(&self) -> Result<BTreeSet<Spot>, Error> {
        self.shared.with(|reading, _| reading.engine.assigned().map(|(spot, _)| spot.clone()).collect())
    }

    pub fn paused(&self) -> Result<BTreeSet<Spot>, Error> {
        self.shared.with(|reading, _| {
            let paused = reading.engine.assigned().filter(|(_, is_paused)| *is_paused);
            paused.map(|(spot, _)| spot.clone()).collect()
        })
    }

    /// The offset after what was returned last; None while it is not known yet.
    pub fn position(&self, spot: &Spot) -> Result<Option<Offset>, Error> {
        self.shared.with(|reading, _| reading.engine.position(spot))
    }

    /// Where each partition is read on, as far as that is known.
    pub async fn positions(&self) -> Result<BTreeMap<Spot, Offset>, Error> {
        self.shared.with(|reading, _| reading.engine.positions())
    }

    /// How many offsets lie between the position and the end, as far as the last answer told.
    pub fn current_lag(&self, spot: &Spot) -> Result<Option<i64>, Error> {
        self.shared.with(|reading, _| reading.engine.current_lag(spot))
    }

    /// This member of its group, for a producer that commits offsets within a transaction.
    pub fn group_metadata(&self) -> Result<Option<GroupMetadata>, Error> {
        self.shared.with(|reading, _| reading.engine.group_metadata())
    }

    /// The first offset that is not older than the time, for each partition that has one.
    pub async fn offsets_for_times(
        &self,
        times: BTreeMap<Spot, Timestamp>,
    ) -> Result<BTreeMap<Spot, Option<Offset>>, Error> {
        let mut found = BTreeMap::new();
        for time in times.values().collect::<BTreeSet<_>>() {
            let spots = times.iter().filter(|(_, of)| *of == time).map(|(spot, _)| spot.clone());
            found.extend(self.client.list_offsets(spots, OffsetAt::Time(*time)).await?);
        }
        Ok(found)
    }

    pub async fn beginning_offsets(&self, spots: Vec<Spot>) -> Result<BTreeMap<Spot, Offset>, Error> {
        self.ends(spots, OffsetAt::Earliest).await
    }

    /// The offsets after the last records that all in-sync replicas have.
    pub async fn end_offsets(&self, spots: Vec<Spot>) -> Result<BTreeMap<Spot, Offset>, Error> {
        self.ends(spots, OffsetAt::Latest).await
    }

    async fn ends(&self, spots: Vec<Spot>, at: OffsetAt) -> Result<BTreeMap<Spot, Offset>, Error> {
        let found = self.client.list_offsets(spots, at).await?;
        Ok(found.into_iter().filter_map(|(spot, offset)| Some((spot, offset?))).collect())
    }

    /// Where the group goes on in these partitions; those of which nothing is committed are left out.
    pub async fn committed(&self, spots: impl IntoIterator<Item = Spot>) -> Result<BTreeMap<Spot, Offset>, Error> {
        self.check_group()?;
        let mut all = self.client.committed_offsets(self.group.clone().unwrap_or_default()).await?;
        Ok(spots.into_iter().filter_map(|spot| all.remove_entry(&spot)).collect())
    }

    /// What it has done so far.
    #[must_use]
    pub fn metrics(&self) -> ConsumerMetrics {
        self.shared.with(|reading, _| reading.engine.metrics()).unwrap_or_default()
    }

    /// The last trouble with a connection: why nothing comes, where nothing comes.
    #[must_use]
    pub fn last_trouble(&self) -> Option<String> {
        self.shared.trouble()
    }
}

/// What is committed.
impl Consumer {
    /// Commits where each partition is read on: everything that polls have returned.
    ///
    /// # Errors
    /// As [`Consumer::commit`].
    pub async fn commit_sync(&self) -> Result<(), Error> {
        self.commit(self.positions().await?).await
    }

    /// Commits offsets at which the group is to go on: one more than that of the last record dealt with. Tries again
    /// while that may help, for a minute.
    ///
    /// # Errors
    /// [`Error::Refused`], for instance with `ILLEGAL_GENERATION` where the group has gone on without this member.
    pub async fn commit<P: Into<OffsetAndMetadata> + Clone>(&self, offsets: BTreeMap<Spot, P>) -> Result<(), Error> {
        let mut give_up = pin!(self.shared.sleep(API_TIMEOUT));
        loop {
            let (reply, answer) = oneshot::channel();
            self.send_commit(offsets.clone(), move |result| {
                // Who no longer waits does not care.
                let _ = reply.send(result);
            })?;
            let result = answer.await.map_err(|_| Error::Closed)?;
            let may_pass = match result {
                Err(CommitError::Failed(failure)) => failure != client::Failure::Unsupported,
                Err(CommitError::Refused(code)) => Refused { code, message: None }.may_pass(),
                Err(CommitError::NoMember) | Ok(()) => false,
            };
            if !may_pass || give_up.is_elapsed() {
                return result.map_err(|error| self.commit_error(error));
            }
            tokio::select! { () = self.shared.sleep(RETRY_WAIT) => {}, () = give_up.as_mut() => {} }
        }
    }

    /// Commits without waiting, and without trying again; `done` is called with what came of it.
    pub fn commit_async<P: Into<OffsetAndMetadata>>(
        &self,
        offsets: BTreeMap<Spot, P>,
        done: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) -> Result<(), Error> {
        let group = self.group.clone();
        self.send_commit(offsets, move |result| done(result.map_err(|error| commit_error(error, group.as_ref(), None))))
    }

    fn send_commit<P: Into<OffsetAndMetadata>>(
        &self,
        offsets: BTreeMap<Spot, P>,
        done: impl FnOnce(Result<(), CommitError>) + Send + 'static,
    ) -> Result<(), Error> {
        self.act(|reading, now| {
            let number = reading.engine.commit(now, offsets);
            reading.commits.insert(number, Box::new(done));
        })
    }

    /// Has the engine do something, and tells those who waited for what came of it at once.
    fn act<R>(&self, command: impl FnOnce(&mut Reading, Now) -> R) -> Result<R, Error> {
        let (done, mut answered) = self.shared.with(|reading, now| {
            let done = command(reading, now);
            reading.take_events();
            (done, std::mem::take(&mut reading.answered))
        })?;
        Reading::tell(&mut answered);
        Ok(done)
    }

    fn commit_error(&self, error: CommitError) -> Error {
        commit_error(error, self.group.as_ref(), self.shared.trouble())
    }

    /// Leaves the group, so that others need not wait for the session to run out, and ends; after a last automatic
    /// commit, where they are enabled. Gives up after 30 seconds.
    pub async fn close(self) {
        self.close_within(CLOSE_TIMEOUT).await;
    }

    /// As `close`. False where the group may not know that this member is gone: its session runs out then.
    pub async fn close_within(self, patience: Duration) -> bool {
        let (reply, answer) = oneshot::channel();
        let told = self.give_up_all().await.and_then(|()| {
            self.shared.with(|reading, now| {
                reading.engine.close(now);
                if !reading.engine.is_closed() {
                    reading.closing = Some(reply);
                }
            })
        });
        if told.is_err() {
            return false;
        }
        // An engine that has ended has left.
        tokio::select! { _ = answer => true, () = self.shared.sleep(patience) => false }
    }
}

fn commit_error(error: CommitError, group: Option<&Text>, trouble: Option<String>) -> Error {
    match error {
        CommitError::Failed(failure) => Error::of_failure(failure, trouble),
        CommitError::NoMember if group.is_none() => {
            Error::refused(ErrorCode::INVALID_GROUP_ID, "who commits needs a group: set `group` in the options")
        }
        CommitError::NoMember | CommitError::Refused(ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION) => {
            Error::refused(
                ErrorCode::UNKNOWN_MEMBER_ID,
                "the group goes on without this member, and others may have its partitions: if it took longer than \
             max.poll.interval.ms to poll again, raise that or lower max.poll.records",
            )
        }
        CommitError::Refused(code) => Error::of_code(code),
    }
}

/// The user polls for as long as it lives.
struct Polling<'a>(&'a Consumer);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        // A consumer that has ended has nobody to tell.
        let _ = self.0.shared.with(|reading, now| reading.engine.end_poll(now));
    }
}

enum Turn {
    Records(ConsumerRecords),
    Event(ConsumerEvent),
    Nothing,
}

type Done = Box<dyn FnOnce(Result<(), CommitError>) + Send>;
/// Commits that were answered.
type Answered = Vec<(Done, Result<(), CommitError>)>;

struct Reading {
    engine: client::Consumer,
    group: Option<Text>,
    news: Arc<Notify>,
    /// What whoever polls is to be told.
    events: VecDeque<ConsumerEvent>,
    commits: HashMap<u64, Done>,
    answered: Answered,
    /// The listener was told what is revoked.
    is_revoking: bool,
    closing: Option<oneshot::Sender<()>>,
}

impl Reading {
    fn take_events(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            match event {
                ConsumerEvent::Committed { number, result, .. } => {
                    let done = number.and_then(|number| self.commits.remove(&number));
                    self.answered.extend(done.map(|done| (done, result)));
                    if let (None, Err(error)) = (number, result) {
                        tracing::warn!(group = %self.group.as_deref().unwrap_or_default(), ?error, "an automatic commit failed");
                    }
                }
                ConsumerEvent::PollOverdue { interval_ms } => tracing::warn!(
                    group = %self.group.as_deref().unwrap_or_default(),
                    "this consumer was not polled for max.poll.interval.ms = {interval_ms} ms and leaves its group; raise \
                     that, or lower max.poll.records"
                ),
                ConsumerEvent::Found { .. } => {}
                event => {
                    // Nobody has to hand over what is lost.
                    if matches!(event, ConsumerEvent::Lost { .. }) {
                        self.events.retain(|event| !matches!(event, ConsumerEvent::Revoked { .. }));
                    }
                    self.events.push_back(event);
                }
            }
        }
    }

    fn poll(&mut self, now: Now) -> Turn {
        // Whoever was told what is revoked went away.
        if self.is_revoking {
            self.release(now);
        }
        if self.events.is_empty() {
            let polled = self.engine.poll(now);
            if !polled.is_empty() {
                return Turn::Records(ConsumerRecords(polled));
            }
            self.take_events();
        }
        let event = self.events.pop_front();
        self.is_revoking = matches!(event, Some(ConsumerEvent::Revoked { .. }));
        event.map_or(Turn::Nothing, Turn::Event)
    }

    fn release(&mut self, now: Now) {
        self.is_revoking = false;
        self.engine.release(now);
    }
}

impl Engine for Reading {
    type News = Answered;

    forward!(now => now);

    fn settle(&mut self, _now: Now, answered: &mut Answered) {
        self.take_events();
        answered.append(&mut self.answered);
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

    fn tell(answered: &mut Answered) {
        answered.drain(..).for_each(|(done, result)| done(result));
    }

    fn abandon(&mut self, now: Now) {
        self.engine.close(now);
    }

    fn is_done(&self) -> bool {
        self.engine.is_closed()
    }

    fn end(&mut self, answered: &mut Answered) {
        let gone = Err(CommitError::Failed(client::Failure::Disconnected));
        answered.extend(self.commits.drain().map(|(_, done)| (done, gone)));
        self.closing = None;
        self.news.notify_one();
    }
}
