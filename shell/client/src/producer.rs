//! A producer: records in, delivery results out. Must never know how a batch is laid out.

use crate::clock::Clock;
use crate::dial::Dialer;
use crate::driver::{Engine, Owner, Shared, forward};
use crate::error::Error;
use crate::options::ProducerConfig;
use client::admin::Refused;
use client::{
    Delivery, Ending, ErrorCode, GroupMetadata, NotTaken, Now, Offset, OffsetAndMetadata, Partition, PartitionIndex,
    Place, ProducerMetrics, ProducerOptions, ProducerRecord, SendError, Spot, Text, Timestamp, TransactionError,
};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Sends records, in batches and in the order of each partition; with the default options each is stored once.
///
/// Made by [`Producer::new`] or [`Client::producer`](crate::Client::producer). Cloning it is cheap; all clones send in one order. When the
/// last one is dropped, what was taken is still sent while the runtime lives; [`Producer::close`] waits for that.
#[derive(Clone, Debug)]
pub struct Producer {
    shared: Shared<Sender>,
    /// Tells that a record may be taken that was not.
    room: Arc<Notify>,
    block: Duration,
}

impl Producer {
    /// Starts a producer in the runtime that is current. It connects once there is something to send.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), vltava_client::Error> {
    /// use vltava_client::{Producer, ProducerConfig, ProducerRecord};
    ///
    /// let config = ProducerConfig::from_map([("bootstrap.servers", "127.0.0.1:9092"), ("compression.type", "zstd")])?;
    /// let producer = Producer::new(config)?;
    /// let stored = producer.send(ProducerRecord::new("rivers", "Vltava").key("Praha")).await?.await?;
    /// println!("{} {} {:?}", stored.topic, stored.partition, stored.offset);
    /// producer.close().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::BadOption`] where `bootstrap.servers` is empty.
    pub fn new(config: ProducerConfig) -> Result<Producer, Error> {
        let (options, dialer) = config.ready(|options| &mut options.cluster)?;
        Ok(Producer::start(options, Clock::start(), dialer))
    }

    pub(crate) fn start(options: ProducerOptions, clock: Clock, dialer: Dialer) -> Producer {
        let room = Arc::new(Notify::new());
        let block = Duration::from_millis(options.block_ms_max);
        let sender = Sender {
            is_transactional: options.transactional_id.is_some(),
            engine: client::Producer::new(options),
            room: room.clone(),
            metadata_epoch: 0,
            offsets: BTreeMap::new(),
            trouble: None,
        };
        Producer { shared: Owner::start(sender, clock, dialer), room, block }
    }

    /// Takes a record, waiting while `buffer.memory` is full or the topic is not known yet. What becomes of the record
    /// is the returned future's to tell; it need not be awaited for the record to be sent. Dropping the future of this
    /// call before it is done means that the record is not sent.
    ///
    /// # Errors
    /// [`Error::TimedOut`] where it would have to wait longer than `max.block.ms`, [`Error::Refused`] for a record that
    /// is too large or whose topic cannot be written to, [`Error::Closed`] where the runtime is shutting down. The
    /// returned future fails with [`Error::Refused`] where the broker does not take the record, and with
    /// [`Error::TimedOut`] after `delivery.timeout.ms` (two minutes where nothing else is set).
    pub async fn send(&self, record: ProducerRecord) -> Result<Sending, Error> {
        // A loop that never has to wait would keep this thread from its other tasks.
        tokio::task::consume_budget().await;
        match self.offer(&record)? {
            Ok(sending) => Ok(sending),
            Err(_) => {
                let taken = self.when_possible(|| self.offer(&record), &record.topic, record.partition).await;
                if taken.is_err() {
                    let late = SendError::TimedOut { was_sent: false };
                    self.shared.with(|sender, _| sender.engine.spoil(&late))?;
                }
                taken
            }
        }
    }

    /// As `send`, with a function that is called with what became of the record: once, also where it was not taken. It
    /// runs where answers are read, so that it must not block.
    pub async fn send_with(
        &self,
        record: ProducerRecord,
        callback: impl FnOnce(Result<RecordMetadata, Error>) + Send + 'static,
    ) {
        match self.send(record).await {
            Ok(sending) => sending.call_back(Box::new(callback)),
            Err(error) => callback(Err(error)),
        }
    }

    /// The partitions of a topic, which is asked about where it is not known.
    ///
    /// # Errors
    /// [`Error::TimedOut`] after `max.block.ms`, or [`Error::Refused`] where there is no such topic.
    pub async fn partitions_for(&self, topic: impl Into<Text>) -> Result<Vec<Partition>, Error> {
        let topic = topic.into();
        let ask = || self.shared.apply(|sender, now| (sender.engine.partitions(now, &topic), Some(now.at)));
        self.when_possible(ask, &topic, None).await
    }

    /// What it has done so far.
    #[must_use]
    pub fn metrics(&self) -> ProducerMetrics {
        self.shared.with(|sender, _| sender.engine.metrics()).unwrap_or_default()
    }

    /// Tries until it is taken, as long as `max.block.ms` allows.
    async fn when_possible<R>(
        &self,
        attempt: impl Fn() -> Result<Result<R, NotTaken>, Error>,
        topic: &Text,
        partition: Option<PartitionIndex>,
    ) -> Result<R, Error> {
        let attempt = || {
            Ok(match attempt()? {
                Ok(done) => Ok(Ok(done)),
                // Waiting does not help.
                Err(NotTaken::Unknown(
                    code @ (ErrorCode::INVALID_TOPIC_EXCEPTION | ErrorCode::TOPIC_AUTHORIZATION_FAILED),
                )) => Ok(Err(Error::of_code(code))),
                Err(reason) => Err(reason),
            })
        };
        self.until_done(attempt).await?.unwrap_or_else(|reason| Err(self.blocked(topic, partition, &reason)))
    }

    /// Tries until it has come to something; after `max.block.ms`, to why it has not.
    async fn until_done<R, W>(&self, attempt: impl Fn() -> Result<Result<R, W>, Error>) -> Result<Result<R, W>, Error> {
        let mut give_up = pin!(self.shared.sleep(self.block));
        loop {
            let mut room = pin!(self.room.notified());
            room.as_mut().enable();
            let tried = attempt()?;
            if tried.is_ok() {
                return Ok(tried);
            }
            self.shared.admitted()?;
            tokio::select! {
                () = room => {}
                () = give_up.as_mut() => return Ok(tried),
            }
        }
    }

    fn offer(&self, record: &ProducerRecord) -> Result<Result<Sending, NotTaken>, Error> {
        let offered = self.shared.apply(|sender, now| match sender.engine.send(now, record) {
            Ok(taken) => {
                if taken.index == 0 {
                    // A batch has one topic.
                    let _ = taken.ticket.topic.set(record.topic.detached());
                }
                let (batch, index, timestamp) = (taken.ticket.clone(), taken.index, taken.timestamp);
                let size = |part: &Option<bytes::Bytes>| {
                    part.as_ref().map(|bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX))
                };
                let sizes = (size(&record.key), size(&record.value));
                (Ok(Sending { batch, index, timestamp, sizes, waiting: None }), taken.wake)
            }
            Err(reason) => {
                if let NotTaken::Refused(error) = &reason {
                    sender.engine.spoil(error);
                }
                (Err(reason), Some(now.at))
            }
        })?;
        match offered {
            Err(NotTaken::Refused(error)) => Err(failed(error, None)),
            other => Ok(other),
        }
    }

    /// What a record waited for in vain.
    fn blocked(&self, topic: &Text, partition: Option<PartitionIndex>, reason: &NotTaken) -> Error {
        let what = match (reason, partition) {
            (NotTaken::Unknown(code), _) if !code.is_ok() => return Error::of_code(*code),
            (NotTaken::Unknown(_), Some(partition)) => format!("no partition {partition} of topic `{topic}` is known"),
            (NotTaken::Unknown(_), None) => format!("nothing is known of topic `{topic}`"),
            (NotTaken::Full | NotTaken::Refused(_), _) => "buffer.memory is full".to_owned(),
        };
        self.late(&what)
    }

    fn late(&self, what: &str) -> Error {
        let cause = self.shared.trouble().map_or_else(String::new, |trouble| format!("; {trouble}"));
        Error::TimedOut { problem: Some(format!("{what} after max.block.ms ({} ms){cause}", self.block.as_millis())) }
    }

    /// Sends what waits for company, and returns once everything taken before has been delivered or has failed.
    pub async fn flush(&self) {
        let open = self.shared.with(|sender, now| {
            sender.engine.flush(now);
            sender.engine.open().cloned().collect::<Vec<_>>()
        });
        // An engine that has ended has nothing left.
        for batch in open.unwrap_or_default() {
            batch.done().await;
        }
    }

    /// Flushes and ends the producer. A transaction that is open is aborted; one that is on its way to its end gets there.
    pub async fn close(self) {
        self.finish().await;
    }

    async fn finish(&self) {
        self.flush().await;
        // At least one of these is of no use, and says so at once.
        let _ = self.abort_transaction().await;
        let _ = self.commit_transaction().await;
    }

    /// As `close`, but gives up what is not delivered in time: it fails with [`Error::Closed`], and may yet be stored.
    ///
    /// # Errors
    /// [`Error::TimedOut`] where something was given up.
    pub async fn close_within(self, patience: Duration) -> Result<(), Error> {
        let give_up = self.shared.sleep(patience);
        tokio::select! {
            () = self.finish() => return Ok(()),
            () = give_up => {}
        }
        self.shared.apply(|sender, now| (sender.engine.abort(), Some(now.at)))?;
        let problem = format!("not everything was delivered within {} ms", patience.as_millis());
        Err(Error::TimedOut { problem: Some(problem) })
    }
}

/// Transactions, for which the producer needs a `transactional.id`. All methods take up to `max.block.ms`; after that,
/// and also where their future was dropped, what they began goes on, and calling them again waits for the same.
///
/// An [`Error::Transaction`] says by its [`ErrorGroup`](crate::ErrorGroup) whether to abort or to make another producer.
impl Producer {
    /// Finds out who this producer is. Producers before it with the same `transactional.id` get no further, and what
    /// they left open is aborted. To be called once, before anything is sent.
    ///
    /// ```no_run
    /// # async fn example(producer: vltava_client::Producer) -> Result<(), vltava_client::Error> {
    /// use vltava_client::{Error, ErrorGroup, ProducerRecord};
    ///
    /// producer.init_transactions().await?;
    /// producer.begin_transaction()?;
    /// producer.send(ProducerRecord::new("rivers", "Vltava")).await?;
    /// match producer.commit_transaction().await {
    ///     Err(Error::Transaction(error)) if error.group == ErrorGroup::Abortable => producer.abort_transaction().await?,
    ///     done => done?,
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn init_transactions(&self) -> Result<(), Error> {
        self.until_ready("transactions are not ready", |engine, now| engine.init_transactions(now)).await
    }

    /// Begins a transaction: what is sent from now on is seen by readers with `isolation.level=read_committed` once it
    /// is committed, and never if it is aborted.
    pub fn begin_transaction(&self) -> Result<(), Error> {
        self.shared.with(|sender, _| sender.engine.begin_transaction())?.map_err(Error::Transaction)
    }

    /// Makes offsets of a consumer's group part of the transaction: they are committed with it or not at all. They are
    /// those of the records to read next. Once this was polled they belong to it, whoever awaits that.
    pub async fn send_offsets_to_transaction(
        &self,
        offsets: BTreeMap<Spot, OffsetAndMetadata>,
        group: GroupMetadata,
    ) -> Result<(), Error> {
        if offsets.is_empty() {
            return Ok(());
        }
        let asked = self.shared.with(|sender, now| {
            let number = sender.engine.send_offsets(now, offsets, group)?;
            let (tell, told) = oneshot::channel();
            sender.offsets.insert(number, tell);
            Ok(told)
        })?;
        tokio::select! {
            told = asked.map_err(Error::Transaction)? => told.map_err(|_| Error::Closed)?.map_err(Error::Transaction),
            () = self.shared.sleep(self.block) => Err(self.late("the offsets are not part of the transaction yet")),
        }
    }

    /// Commits the transaction once all that was sent in it has been delivered.
    pub async fn commit_transaction(&self) -> Result<(), Error> {
        self.until_ready("the commit goes on", |engine, now| engine.end_transaction(now, Ending::Commit)).await
    }

    /// Aborts the transaction. Records of it that were not sent yet are not.
    pub async fn abort_transaction(&self) -> Result<(), Error> {
        self.until_ready("the abort goes on", |engine, now| engine.end_transaction(now, Ending::Abort)).await
    }

    async fn until_ready(
        &self,
        what: &str,
        ask: impl Fn(&mut client::Producer<Arc<Batch>>, Now) -> Poll<Result<(), TransactionError>>,
    ) -> Result<(), Error> {
        let attempt = || {
            let asked = self.shared.with(|sender, now| ask(&mut sender.engine, now))?;
            Ok(if let Poll::Ready(done) = asked { Ok(done) } else { Err(()) })
        };
        match self.until_done(attempt).await? {
            Ok(done) => done.map_err(Error::Transaction),
            Err(()) => Err(self.late(what)),
        }
    }
}

/// Where a record was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    pub topic: Text,
    pub partition: PartitionIndex,
    /// Unknown with `acks=0`, and where the broker only knows that it has the record already.
    pub offset: Option<Offset>,
    /// The record's own, or when the broker appended it where the topic dates records so.
    pub timestamp: Timestamp,
    /// In bytes; none where there is no key.
    pub serialized_key_size: Option<u32>,
    pub serialized_value_size: Option<u32>,
}

/// The delivery of one record: resolves to where it is, or to why it is nowhere.
#[derive(Debug)]
pub struct Sending {
    batch: Arc<Batch>,
    index: i32,
    timestamp: Timestamp,
    sizes: (Option<u32>, Option<u32>),
    /// Which of the batch's wakers is this one's.
    waiting: Option<usize>,
}

impl Sending {
    fn metadata(&self, outcome: &Outcome) -> Result<RecordMetadata, Error> {
        let part = outcome.iter().rev().find(|(first, _)| *first <= self.index);
        let (first, result) = part.ok_or(Error::Closed)?;
        let Place { partition, offset, append_time } = result.clone()?.plus(self.index - first);
        Ok(RecordMetadata {
            topic: self.batch.topic.get().cloned().unwrap_or_default(),
            partition,
            offset,
            timestamp: append_time.unwrap_or(self.timestamp),
            serialized_key_size: self.sizes.0,
            serialized_value_size: self.sizes.1,
        })
    }

    fn call_back(self, callback: Callback) {
        let batch = self.batch.clone();
        let mut waiting = batch.waiting();
        // The outcome is set before those who wait are looked at.
        let Some(outcome) = batch.outcome.get() else { return waiting.callbacks.push((self, callback)) };
        drop(waiting);
        callback(self.metadata(outcome));
    }
}

impl Future for Sending {
    type Output = Result<RecordMetadata, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let sending = &mut *self;
        let outcome = std::task::ready!(sending.batch.poll(&mut sending.waiting, context));
        Poll::Ready(sending.metadata(outcome))
    }
}

/// Where the first record of each part went, by its index; a batch is seldom more than one.
type Outcome = Vec<(i32, Result<Place, Error>)>;
type Callback = Box<dyn FnOnce(Result<RecordMetadata, Error>) + Send>;

/// What became of a batch, for all who hold one of its records.
#[derive(Debug, Default)]
struct Batch {
    topic: OnceLock<Text>,
    outcome: OnceLock<Outcome>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    wakers: Vec<Waker>,
    callbacks: Vec<(Sending, Callback)>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} wakers, {} callbacks", self.wakers.len(), self.callbacks.len())
    }
}

impl Batch {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self, slot: &mut Option<usize>, context: &mut Context<'_>) -> Poll<&Outcome> {
        if let Some(outcome) = self.outcome.get() {
            return Poll::Ready(outcome);
        }
        let mut waiting = self.waiting();
        // The outcome is set before those who wait are looked at.
        if let Some(outcome) = self.outcome.get() {
            return Poll::Ready(outcome);
        }
        match *slot {
            Some(at) => waiting.wakers[at].clone_from(context.waker()),
            None => {
                *slot = Some(waiting.wakers.len());
                waiting.wakers.push(context.waker().clone());
            }
        }
        Poll::Pending
    }

    async fn done(&self) {
        let mut slot = None;
        std::future::poll_fn(|context| self.poll(&mut slot, context).map(drop)).await;
    }

    fn resolve(&self, outcome: Outcome) {
        // A batch has one end.
        let outcome = self.outcome.get_or_init(|| outcome);
        let Waiting { wakers, callbacks } = std::mem::take(&mut *self.waiting());
        wakers.into_iter().for_each(Waker::wake);
        for (sending, callback) in callbacks {
            callback(sending.metadata(outcome));
        }
    }
}

fn failed(error: SendError, trouble: Option<&str>) -> Error {
    match error {
        SendError::Refused { code, message } => Error::Refused(Refused { code, message }),
        SendError::TimedOut { .. } => Error::TimedOut { problem: trouble.map(ToOwned::to_owned) },
        SendError::Aborted => Error::Closed,
        SendError::Transaction(error) => Error::Transaction(error),
    }
}

struct Sender {
    engine: client::Producer<Arc<Batch>>,
    room: Arc<Notify>,
    metadata_epoch: u64,
    /// Who waits for offsets to become part of a transaction.
    offsets: BTreeMap<u64, oneshot::Sender<Result<(), TransactionError>>>,
    is_transactional: bool,
    trouble: Option<String>,
}

impl Engine for Sender {
    type News = Vec<(Arc<Batch>, Outcome)>;

    forward!(now => now);

    fn settle(&mut self, _now: Now, news: &mut Self::News) {
        let before = (news.len(), self.metadata_epoch);
        while let Some(Delivery { ticket, results, .. }) = self.engine.poll_delivery() {
            let told = |result: Result<_, _>| result.map_err(|error| failed(error, self.trouble.as_deref()));
            news.push((ticket, results.into_iter().map(|(first, result)| (first, told(result))).collect()));
        }
        while let Some((number, result)) = self.engine.poll_offsets() {
            // Nobody may wait for it any more.
            let _ = self.offsets.remove(&number).map(|tell| tell.send(result));
        }
        self.metadata_epoch = self.engine.cluster().metadata_epoch();
        if before != (news.len(), self.metadata_epoch) || self.is_transactional {
            self.room.notify_waiters();
        }
    }

    fn tell(news: &mut Self::News) {
        for (batch, outcome) in news.drain(..) {
            batch.resolve(outcome);
        }
    }

    fn trouble(&mut self, problem: &str) {
        self.trouble = Some(problem.to_owned());
    }

    fn denied(&mut self, problem: &str) {
        self.trouble = Some(problem.to_owned());
        self.room.notify_waiters();
    }

    fn abandon(&mut self, now: Now) {
        self.engine.flush(now);
        // Where none is open, or one is being committed, it is not for this to change.
        let _ = self.engine.end_transaction(now, Ending::Abort);
    }

    fn is_done(&self) -> bool {
        self.engine.is_idle() && !self.engine.is_ending()
    }

    fn end(&mut self, news: &mut Self::News) {
        news.extend(self.engine.open().map(|batch| (batch.clone(), vec![(0, Err(Error::Closed))])));
        self.offsets.clear();
        self.room.notify_waiters();
    }
}
