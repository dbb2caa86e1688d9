//! The producer's engine: records become batches, batches become requests, answers become delivery reports.
//!
//! Owns the order of records in a partition and, with idempotence, that each is stored once. A batch that failed in a
//! way that may pass is sent again before any that follows it.

mod lane;
mod partitioner;
mod topics;
mod transaction;

use crate::cluster::{Call, Cluster, Failure, Options, Target};
use crate::consumer::{GroupMetadata, OffsetAndMetadata};
use crate::link::ANY_VERSION;
use crate::metadata::Partition;
use crate::{Event, Transmit};
use bytes::Bytes;
use lane::{Batch, Lane, Verdict};
pub use partitioner::{Partitioner, Partitioning, of_key as partition_of_key};
use record::Codec;
use std::collections::{BTreeMap, VecDeque};
use std::task::Poll;
use topics::Topics;
pub use transaction::{Ending, ErrorGroup, TransactionError};
use transaction::{Scene, Transaction};
use types::{
    ErrorCode, Instant, NodeId, Now, Offset, PartitionIndex, ProducerEpoch, ProducerId, Text, Timestamp, TopicId,
    with_defaults,
};
use wire::produce_request::{PartitionProduceData, TopicProduceData};
use wire::{InitProducerIdRequest, ProduceRequest, Records, Response};

/// The first version of Produce whose brokers know zstd (KIP-110).
const PRODUCE_ZSTD_MIN: i16 = 7;

/// How many replicas must have a record before it counts as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    None,
    Leader,
    All,
}

with_defaults! {
    /// Kafka's names and defaults.
    #[derive(Clone, Debug)]
    pub struct ProducerOptions {
        pub cluster: Options = Options::default(),
        /// `acks`
        pub acks: Acks = Acks::All,
        /// `enable.idempotence`; needs acks of all.
        pub idempotent: bool = true,
        /// `linger.ms`
        pub linger_ms: u64 = 5,
        /// `batch.size`
        pub batch_bytes: usize = 16_384,
        /// `max.request.size`
        pub request_bytes_max: usize = 1 << 20,
        /// `buffer.memory`
        pub buffer_bytes: usize = 32 << 20,
        /// `delivery.timeout.ms`
        pub delivery_timeout_ms: u64 = 120_000,
        /// `max.block.ms`: how long a record may wait for room or for its topic. For the engine's user to heed.
        pub block_ms_max: u64 = 60_000,
        /// `partitioner.class`
        pub partitioning: Partitioning = Partitioning::Default,
        /// `partitioner.ignore.keys`
        pub ignores_keys: bool = false,
        /// `partitioner.adaptive.partitioning.enable`
        pub is_adaptive: bool = true,
        /// `partitioner.availability.timeout.ms`
        pub availability_timeout_ms: u64 = 0,
        /// `metadata.max.idle.ms`
        pub metadata_idle_ms_max: u64 = 300_000,
        /// `max.in.flight.requests.per.connection`
        pub in_flight_max: usize = 5,
        /// `compression.type` and its level.
        pub codec: (Codec, i32) = (Codec::None, 0),
        /// `transactional.id`; with it the producer is idempotent and waits for all acks, whatever is set.
        pub transactional_id: Option<Text> = None,
        /// `transaction.timeout.ms`: after how long the coordinator aborts a transaction that goes on.
        pub transaction_timeout_ms: u64 = 60_000,
    }
}

/// A record to send.
#[derive(Clone, Debug, Default)]
pub struct ProducerRecord {
    pub topic: Text,
    /// Chosen by the key, or in turn where there is none, unless it is given.
    pub partition: Option<PartitionIndex>,
    /// The time of sending where it is not given.
    pub timestamp: Option<Timestamp>,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(Text, Option<Bytes>)>,
}

impl ProducerRecord {
    pub fn new(topic: impl Into<Text>, value: impl Into<Bytes>) -> ProducerRecord {
        ProducerRecord { topic: topic.into(), value: Some(value.into()), ..ProducerRecord::default() }
    }

    pub fn key(self, key: impl Into<Bytes>) -> ProducerRecord {
        ProducerRecord { key: Some(key.into()), ..self }
    }

    pub fn partition(self, partition: i32) -> ProducerRecord {
        ProducerRecord { partition: Some(PartitionIndex(partition)), ..self }
    }

    pub fn timestamp(self, timestamp: Timestamp) -> ProducerRecord {
        ProducerRecord { timestamp: Some(timestamp), ..self }
    }

    pub fn header(mut self, name: impl Into<Text>, value: impl Into<Bytes>) -> ProducerRecord {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    fn size_bytes(&self) -> usize {
        let part = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + part(value) + 10).sum();
        part(&self.key) + part(&self.value) + headers + 30
    }
}

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub partition: PartitionIndex,
    /// Unknown with acks of none, and where the broker only knows that it has the record already.
    pub offset: Option<Offset>,
    /// When the broker appended the record, where the topic dates records so.
    pub append_time: Option<Timestamp>,
}

impl Place {
    /// Of the record that stands `index` behind the one that this is the place of.
    #[must_use]
    pub fn plus(self, index: i32) -> Place {
        Place { offset: self.offset.map(|offset| offset.plus(index.into())), ..self }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The broker refused the record.
    Refused { code: ErrorCode, message: Option<String> },
    /// `delivery.timeout.ms` has passed. The record may have been stored where it was sent at all.
    TimedOut { was_sent: bool },
    /// The producer was closed before it was delivered.
    Aborted,
    /// The transaction that it would belong to is not open, or was given up.
    Transaction(TransactionError),
}

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// `buffer.memory` is used up until something is delivered.
    Full,
    /// The topic, or the partition that the record names, is not known yet; what the cluster last said of the topic.
    Unknown(ErrorCode),
    /// It never will be.
    Refused(SendError),
}

/// A record that was taken.
#[derive(Debug)]
pub struct Taken<'a, T> {
    pub partition: PartitionIndex,
    /// What is kept of its batch; comes back with the batch's delivery.
    pub ticket: &'a mut T,
    /// Its place in the batch.
    pub index: i32,
    pub timestamp: Timestamp,
    /// By when `handle` has to be called on account of this record, where that is sooner than it was.
    pub wake: Option<Instant>,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery<T> {
    pub ticket: T,
    /// How many records it had.
    pub count: i32,
    /// Where its first record went; of a batch that went in parts, where each of those begins and went, in their order.
    pub results: Vec<(i32, Result<Place, SendError>)>,
}

impl<T> Delivery<T> {
    /// Where a record of it went.
    pub fn result(&self, index: i32) -> Result<Place, SendError> {
        let part = self.results.iter().rev().find(|(first, _)| *first <= index);
        let (first, result) = part.expect("the first part begins at the first record");
        Ok(result.clone()?.plus(index - first))
    }
}

/// A batch that was too large for its broker, and goes in parts.
#[derive(Debug)]
struct Family<T> {
    ticket: T,
    count: i32,
    left: i32,
    results: Vec<(i32, Result<Place, SendError>)>,
}

/// What a producer has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerMetrics {
    /// Records, batches and bytes of batches count once, however often they are sent.
    pub records_sent: u64,
    pub batches_sent: u64,
    pub bytes_sent: u64,
    /// The same before compression.
    pub plain_bytes_sent: u64,
    pub requests_sent: u64,
    pub records_delivered: u64,
    pub batches_delivered: u64,
    pub records_failed: u64,
    pub records_retried: u64,
    pub batches_retried: u64,
    pub batches_split: u64,
    /// From a batch's beginning until it was first sent.
    pub queue_us_total: u64,
    pub queue_us_max: u64,
    pub bytes_buffered: usize,
    pub bytes_buffered_max: usize,
    pub requests_in_flight: usize,
}

impl ProducerMetrics {
    /// The same under Kafka's names, in Kafka's units.
    #[must_use]
    pub fn named(&self) -> [(&'static str, f64); 16] {
        #[expect(clippy::cast_precision_loss, reason = "they are to be looked at")]
        let number = |count: u64| count as f64;
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { number(part) / number(whole) };
        let bytes = |count: usize| number(u64::try_from(count).unwrap_or(u64::MAX));
        [
            ("record-send-total", number(self.records_sent)),
            ("record-error-total", number(self.records_failed)),
            ("record-retry-total", number(self.records_retried)),
            ("records-per-request-avg", share(self.records_sent, self.requests_sent)),
            ("byte-total", number(self.bytes_sent)),
            ("batch-size-avg", share(self.bytes_sent, self.batches_sent)),
            ("batch-split-total", number(self.batches_split)),
            ("compression-rate-avg", share(self.bytes_sent, self.plain_bytes_sent)),
            ("record-queue-time-avg", share(self.queue_us_total, self.batches_sent) / 1000.0),
            ("record-queue-time-max", number(self.queue_us_max) / 1000.0),
            ("request-total", number(self.requests_sent)),
            ("requests-in-flight", bytes(self.requests_in_flight)),
            ("buffer-total-bytes", bytes(self.bytes_buffered_max)),
            ("buffer-available-bytes", bytes(self.bytes_buffered_max - self.bytes_buffered)),
            ("batches-delivered-total", number(self.batches_delivered)),
            ("records-delivered-total", number(self.records_delivered)),
        ]
    }
}

/// A topic by its number in the table, and a partition of it.
type Spot = (usize, PartitionIndex);

/// A batch of a request: where it belongs, and the id its topic had when it was sent.
#[derive(Clone, Debug)]
struct Shipment {
    spot: Spot,
    topic: TopicId,
    serial: u64,
}

type Sent = Vec<Shipment>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    /// Not idempotent.
    Nobody,
    /// To be asked for.
    Wanted,
    Asked(Call),
    Known(ProducerId, ProducerEpoch),
    /// A sequence number will never be used: once nothing is in doubt, a new epoch begins.
    Spent(ProducerId, ProducerEpoch),
}

impl Identity {
    fn become_known(&mut self, id: i64, epoch: i16) {
        *self = Identity::Known(ProducerId(id), ProducerEpoch(epoch));
    }

    /// As requests name it.
    fn pair(self) -> (ProducerId, ProducerEpoch) {
        match self {
            Identity::Known(id, epoch) | Identity::Spent(id, epoch) => (id, epoch),
            Identity::Nobody | Identity::Wanted | Identity::Asked(_) => (ProducerId::NONE, ProducerEpoch::NONE),
        }
    }
}

/// The engine; `T` is what its user keeps of each batch, made when the batch is begun.
#[derive(Debug)]
pub struct Producer<T> {
    options: ProducerOptions,
    cluster: Cluster,
    identity: Identity,
    identity_failed: u32,
    identity_not_before: Instant,
    transaction: Option<Transaction>,
    topics: Topics<T>,
    requests: BTreeMap<Call, Sent>,
    buffered_bytes: usize,
    families: BTreeMap<u64, Family<T>>,
    deliveries: VecDeque<Delivery<T>>,
    metadata_epoch: u64,
    metrics: ProducerMetrics,
    /// The latest moment that was heard of.
    now: Instant,
}

impl<T: Default> Producer<T> {
    #[must_use]
    pub fn new(options: ProducerOptions) -> Producer<T> {
        let id = options.transactional_id.clone();
        let acks = if id.is_some() { Acks::All } else { options.acks };
        let idempotent = (options.idempotent || id.is_some()) && acks == Acks::All;
        Producer {
            transaction: id.map(|id| Transaction::new(id, options.transaction_timeout_ms)),
            cluster: Cluster::new(options.cluster.clone()),
            identity: if idempotent { Identity::Wanted } else { Identity::Nobody },
            options: ProducerOptions { acks, ..options },
            identity_failed: 0,
            identity_not_before: Instant(0),
            topics: Topics::default(),
            requests: BTreeMap::new(),
            buffered_bytes: 0,
            families: BTreeMap::new(),
            deliveries: VecDeque::new(),
            metadata_epoch: 0,
            metrics: ProducerMetrics::default(),
            now: Instant(0),
        }
    }

    /// Takes a record; what becomes of it comes out of `poll_delivery` with its batch's ticket. Sends nothing by itself:
    /// that is for `handle`.
    pub fn send(&mut self, now: Now, message: &ProducerRecord) -> Result<Taken<'_, T>, NotTaken> {
        if let Some(Err(error)) = self.transaction.as_ref().map(Transaction::check_open) {
            return Err(NotTaken::Refused(SendError::Transaction(error)));
        }
        let size = message.size_bytes();
        if size > self.options.request_bytes_max.min(self.options.buffer_bytes) {
            return Err(NotTaken::Refused(self.too_large(size)));
        }
        if self.buffered_bytes + size > self.options.buffer_bytes {
            // What waits for company holds the memory that is waited for.
            self.topics.lanes_mut().for_each(Lane::hurry);
            return Err(NotTaken::Full);
        }
        let at = self.topics.find(&message.topic);
        let topic = &mut self.topics.lines[at];
        topic.used_at = now.at;
        if topic.epoch != self.cluster.metadata_epoch() || topic.count == 0 {
            self.cluster.want(now.at, &topic.name);
            topic.update(&self.cluster);
        }
        let count = topic.count;
        if message.partition.map_or(count < 1, |partition| !(0..count).contains(&partition.0)) {
            self.cluster.refresh_soon(now.at);
            return Err(NotTaken::Unknown(
                self.cluster.topic(&message.topic).map_or(ErrorCode::NONE, |known| known.error),
            ));
        }
        let partition = match message.partition {
            Some(partition) => partition,
            None => topic.partition(now.at, (message, size), &self.options, &mut self.cluster).map_err(|why| {
                let code = ErrorCode::INVALID_RECORD;
                NotTaken::Refused(SendError::Refused { code, message: Some(why) })
            })?,
        };
        let spot = (at, partition);
        let (index, is_news) = topic.lane(partition).append(now, message, size, &self.options);
        self.buffered_bytes += size;
        let name = &self.topics.lines[at].name;
        let is_added = index == 0 && self.transaction.as_mut().is_some_and(|open| open.add(name, partition));
        let mut wake = if is_news { self.news(now.at, spot) } else { None };
        if is_added {
            wake = Some(now.at);
        }
        Ok(Taken {
            partition,
            ticket: self.topics.lines[at].lane(partition).last_ticket(),
            index,
            timestamp: message.timestamp.unwrap_or(now.wall),
            wake,
        })
    }

    fn too_large(&self, size: usize) -> SendError {
        let (request, buffer) = (self.options.request_bytes_max, self.options.buffer_bytes);
        let message = format!("the record takes {size} bytes: max.request.size is {request}, buffer.memory {buffer}");
        SendError::Refused { code: ErrorCode::MESSAGE_TOO_LARGE, message: Some(message) }
    }

    /// When a batch that was begun or filled needs to be looked at.
    fn news(&mut self, now: Instant, spot: Spot) -> Option<Instant> {
        self.topics.active.insert(spot);
        if !matches!(self.identity, Identity::Nobody | Identity::Known(..)) {
            return Some(now);
        }
        let lane = self.topics.lane(spot)?;
        if !lane.is_due(now, true, &self.options) {
            return lane.next_wake(now, self.options.linger_ms);
        }
        let name = &self.topics.lines[spot.0].name;
        let leader = self.cluster.topic(name)?.partition(spot.1)?.leader?;
        // Where as many requests are under way as may be, the next answer is what it waits for.
        let is_busy = self.cluster.load(now, leader).is_some_and(|load| load >= self.options.in_flight_max);
        (!is_busy).then_some(now)
    }

    /// Sends all that was taken so far without waiting for company.
    pub fn flush(&mut self, now: Now) {
        self.topics.lanes_mut().for_each(Lane::hurry);
        self.drive(now);
    }

    /// The tickets of all batches whose delivery is open.
    pub fn open(&self) -> impl Iterator<Item = &T> {
        let whole = |batch: &&Batch<T>| batch.part_of.is_none();
        let batches = self.topics.lanes().flat_map(Lane::batches).filter(whole).map(|batch| &batch.ticket);
        batches.chain(self.families.values().map(|family| &family.ticket))
    }

    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.buffered_bytes == 0
    }

    #[must_use]
    pub fn metrics(&self) -> ProducerMetrics {
        ProducerMetrics {
            bytes_buffered: self.buffered_bytes,
            bytes_buffered_max: self.options.buffer_bytes,
            requests_in_flight: self.requests.len(),
            ..self.metrics
        }
    }

    /// The partitions of a topic, which is asked about where it is not known.
    pub fn partitions(&mut self, now: Now, topic: &Text) -> Result<Vec<Partition>, NotTaken> {
        self.cluster.want(now.at, topic);
        match self.cluster.topic(topic) {
            Some(known) if !known.partitions.is_empty() => Ok(known.partitions.clone()),
            known => Err(NotTaken::Unknown(known.map_or(ErrorCode::NONE, |known| known.error))),
        }
    }

    /// Gives up all records whose delivery is open; those that were sent may yet be stored.
    pub fn abort(&mut self) {
        self.give_up(Lane::take_all, &SendError::Aborted);
    }

    fn give_up(&mut self, which: fn(&mut Lane<T>) -> Vec<Batch<T>>, error: &SendError) {
        for batch in self.topics.lanes_mut().flat_map(which).collect::<Vec<_>>() {
            if batch.stamp.is_some() {
                self.spend_identity();
            }
            self.deliver(batch, Err(error.clone()));
        }
    }

    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub fn poll_delivery(&mut self) -> Option<Delivery<T>> {
        self.deliveries.pop_front()
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.cluster.poll_transmit()
    }

    pub fn handle(&mut self, now: Now, event: Event<'_>) {
        self.cluster.handle(now.at, event);
        self.answered(now);
        self.forget(now);
        self.expire(now);
        self.drive(now);
        if self.options.acks == Acks::None {
            // What needs no answer has been answered by being sent.
            self.answered(now);
        }
    }

    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        let lanes = self.topics.waiting().filter_map(|lane| lane.next_wake(self.now, self.options.linger_ms));
        let identity = matches!(self.identity, Identity::Wanted).then_some(self.identity_not_before);
        let identity = identity.filter(|at| *at > self.now && self.transaction.is_none());
        let transaction = self.transaction.as_ref().and_then(Transaction::next_wake).filter(|at| *at > self.now);
        lanes.chain(identity).chain(transaction).chain(self.cluster.next_wake()).min()
    }

    /// Asks no more about topics to which nothing was sent for long.
    fn forget(&mut self, now: Now) {
        if self.metadata_epoch == self.cluster.metadata_epoch() {
            return;
        }
        self.metadata_epoch = self.cluster.metadata_epoch();
        for line in &mut self.topics.lines {
            if line.used_at.plus_ms(self.options.metadata_idle_ms_max) <= now.at && line.forget() {
                self.cluster.wanted.remove(&line.name);
            }
        }
    }

    fn expire(&mut self, now: Now) {
        for spot in self.topics.active.iter().copied().collect::<Vec<_>>() {
            let Some(lane) = self.topics.lane(spot) else { continue };
            for batch in lane.expired(now.at) {
                let was_sent = batch.stamp.is_some();
                if was_sent {
                    self.spend_identity();
                }
                self.deliver(batch, Err(SendError::TimedOut { was_sent }));
            }
        }
    }

    fn deliver(&mut self, batch: Batch<T>, result: Result<Place, SendError>) {
        self.buffered_bytes -= batch.charged_bytes;
        let (metrics, count) = (&mut self.metrics, u64::from(batch.count.unsigned_abs()));
        match &result {
            Ok(_) => {
                metrics.records_delivered += count;
                metrics.batches_delivered += 1;
            }
            Err(error) => {
                metrics.records_failed += count;
                self.transaction.iter_mut().for_each(|transaction| transaction.spoil(error));
            }
        }
        let Some((number, first)) = batch.part_of else {
            let results = vec![(0, result)];
            return self.deliveries.push_back(Delivery { ticket: batch.ticket, count: batch.count, results });
        };
        let family = self.families.get_mut(&number).expect("it is there as long as a part of it is");
        family.results.push((first, result));
        family.left -= batch.count;
        if family.left == 0
            && let Some(Family { ticket, count, mut results, .. }) = self.families.remove(&number)
        {
            results.sort_by_key(|(first, _)| *first);
            self.deliveries.push_back(Delivery { ticket, count, results });
        }
    }
}

/// Transactions.
impl<T: Default> Producer<T> {
    fn transaction(&mut self) -> Result<&mut Transaction, TransactionError> {
        let misuse = "the producer has no transactional.id: give it one";
        self.transaction.as_mut().ok_or_else(|| TransactionError::misuse(misuse))
    }

    /// Finds out who this producer is, and fences those before it with the same `transactional.id`. As `end_transaction`
    /// it is to be called until it is ready, which may be each time something was handled.
    pub fn init_transactions(&mut self, now: Now) -> Poll<Result<(), TransactionError>> {
        if self.transaction()?.init().is_pending() {
            self.drive_transaction(now);
        }
        self.transaction()?.init()
    }

    /// Opens a transaction: what is sent until its end belongs to it.
    pub fn begin_transaction(&mut self) -> Result<(), TransactionError> {
        self.transaction()?;
        let Some(transaction) = &mut self.transaction else { return Ok(()) };
        if transaction.begin(&self.cluster)? {
            self.spend_identity();
        }
        Ok(())
    }

    /// Commits offsets of a consumer's group with the transaction; what becomes of it comes out of `poll_offsets` under
    /// the returned number.
    pub fn send_offsets(
        &mut self,
        now: Now,
        offsets: BTreeMap<(Text, PartitionIndex), OffsetAndMetadata>,
        group: GroupMetadata,
    ) -> Result<u64, TransactionError> {
        let number = self.transaction()?.send_offsets(offsets, group)?;
        self.drive_transaction(now);
        Ok(number)
    }

    pub fn poll_offsets(&mut self) -> Option<(u64, Result<(), TransactionError>)> {
        self.transaction.as_mut()?.sent_offsets.pop_front()
    }

    /// Commits or aborts the transaction. It goes on by itself once asked for; asked for again it says how far it is.
    pub fn end_transaction(&mut self, now: Now, ending: Ending) -> Poll<Result<(), TransactionError>> {
        let done = self.transaction()?.end(ending);
        if done.is_ready() {
            return done;
        }
        self.flush(now);
        self.transaction()?.end(ending)
    }

    /// Whether a transaction is on its way to its end.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.transaction.as_ref().is_some_and(Transaction::is_ending)
    }

    /// A record of the transaction was not taken: it cannot be committed.
    pub fn spoil(&mut self, error: &SendError) {
        self.transaction.iter_mut().for_each(|transaction| transaction.spoil(error));
    }

    fn drive_transaction(&mut self, now: Now) {
        let Some(transaction) = &self.transaction else { return };
        if let Some(error) = transaction.gives_up() {
            let is_fatal = transaction.is_fatal();
            if transaction.needs_epoch() {
                self.spend_identity();
            }
            self.give_up(if is_fatal { Lane::take_all } else { Lane::take_unsent }, &SendError::Transaction(error));
        }
        let is_quiet = self.buffered_bytes == 0;
        let scene = Scene { now: now.at, cluster: &mut self.cluster, identity: &mut self.identity };
        if let Some(transaction) = &mut self.transaction {
            transaction.drive(scene, is_quiet);
        }
    }
}

/// What is sent.
impl<T: Default> Producer<T> {
    fn drive(&mut self, now: Now) {
        self.now = now.at;
        self.drive_transaction(now);
        if self.buffered_bytes == 0 {
            return;
        }
        self.drive_identity(now);
        let stamp = match self.identity {
            Identity::Nobody => Some(None),
            Identity::Known(id, epoch) => Some(Some((id, epoch))),
            Identity::Wanted | Identity::Asked(_) | Identity::Spent(..) => None,
        };
        let mut by_leader: BTreeMap<NodeId, Vec<Spot>> = BTreeMap::new();
        let lines = &self.topics.lines;
        let waits = |lane: &Lane<T>| lane.waiting() > 0;
        self.topics.active.retain(|(at, partition)| lines[*at].existing(*partition).is_some_and(waits));
        for spot in &self.topics.active {
            let line = &self.topics.lines[spot.0];
            let is_admitted = |transaction: &Transaction| transaction.admits(&line.name, spot.1);
            let may_stamp = stamp.is_some() && self.transaction.as_ref().is_none_or(is_admitted);
            let is_due = |lane: &Lane<T>| lane.is_due(now.at, may_stamp, &self.options);
            if !line.existing(spot.1).is_some_and(is_due) {
                continue;
            }
            let known = self.cluster.topic(&line.name).and_then(|topic| topic.partition(spot.1));
            let leader = known.and_then(|partition| partition.leader).unwrap_or(NodeId(-1));
            by_leader.entry(leader).or_default().push(*spot);
        }
        if by_leader.remove(&NodeId(-1)).is_some() {
            self.cluster.refresh_soon(now.at);
        }
        for (leader, spots) in by_leader {
            if self.cluster.load(now.at, leader).is_some_and(|load| load < self.options.in_flight_max) {
                self.send_to(now, leader, spots, stamp.flatten());
            }
        }
    }

    fn send_to(&mut self, now: Now, leader: NodeId, mut due: Vec<Spot>, identity: Option<(ProducerId, ProducerEpoch)>) {
        // Whose turn comes first changes, so that a full request does not always leave out the same partitions.
        let first = usize::try_from(self.cluster.rng.below(due.len() as u64)).unwrap_or(0);
        due.rotate_left(first);
        let mut topics: BTreeMap<usize, TopicProduceData> = BTreeMap::new();
        let (mut room, mut taken) = (usize::MAX, Sent::new());
        for spot in due {
            let line = &mut self.topics.lines[spot.0];
            let first = line.lane(spot.1).take(now.at, identity, room, &mut self.metrics);
            let Some((serial, batch)) = first else { continue };
            // The first batch goes whatever its size; the broker has its own limit.
            room = room.min(self.options.request_bytes_max).saturating_sub(batch.len());
            let topic_id = self.cluster.topic(&line.name).map_or(TopicId::ZERO, |known| known.id);
            let topic = topics.entry(spot.0).or_insert_with(|| TopicProduceData {
                name: line.name.clone(),
                topic_id,
                ..Default::default()
            });
            topic.partition_data.push(PartitionProduceData {
                index: spot.1.0,
                records: Some(Records::Bytes(batch)),
                ..Default::default()
            });
            taken.push(Shipment { spot, topic: topic_id, serial });
        }
        if taken.is_empty() {
            return;
        }
        let acks = match self.options.acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        };
        let timeout_ms = i32::try_from(self.options.cluster.request_timeout_ms).unwrap_or(i32::MAX);
        let topic_data = topics.into_values().collect();
        let transactional_id = self.options.transactional_id.clone();
        let request = ProduceRequest { transactional_id, acks, timeout_ms, topic_data, ..Default::default() };
        let mut versions = self.transaction.as_mut().map_or(ANY_VERSION, Transaction::produce_versions);
        if self.options.codec.0 == Codec::Zstd {
            versions.0 = versions.0.max(PRODUCE_ZSTD_MIN);
        }
        let call = self.cluster.call_in(now.at, Target::Node(leader), request, versions);
        self.metrics.requests_sent += 1;
        self.requests.insert(call, taken);
    }

    fn drive_identity(&mut self, now: Now) {
        if self.transaction.is_some() {
            return;
        }
        if let Identity::Spent(id, ProducerEpoch(epoch)) = self.identity
            && self.topics.lanes().all(Lane::is_certain)
        {
            self.topics.lanes_mut().for_each(Lane::restart_sequence);
            // Nobody else has this id, so that the next epoch needs nobody's leave (KIP-360).
            let next = epoch.checked_add(1).map(|epoch| Identity::Known(id, ProducerEpoch(epoch)));
            self.identity = next.unwrap_or(Identity::Wanted);
        }
        if self.identity == Identity::Wanted && now.at >= self.identity_not_before {
            let transaction_timeout_ms = i32::MAX;
            let request =
                InitProducerIdRequest { transactional_id: None, transaction_timeout_ms, ..Default::default() };
            self.identity = Identity::Asked(self.cluster.call(now.at, Target::Any, request));
        }
    }

    /// A sequence number will not be used: all that follows needs a new epoch.
    fn spend_identity(&mut self) {
        if let Identity::Known(id, epoch) = self.identity {
            self.identity = Identity::Spent(id, epoch);
        }
    }
}

/// What is answered.
impl<T: Default> Producer<T> {
    fn answered(&mut self, now: Now) {
        for (call, result) in self.cluster.take_answers() {
            let before = self.identity;
            let scene = Scene { now: now.at, cluster: &mut self.cluster, identity: &mut self.identity };
            if self.transaction.as_mut().is_some_and(|transaction| transaction.answered(scene, call, &result)) {
                if self.identity != before {
                    self.topics.lanes_mut().for_each(Lane::restart_sequence);
                }
            } else if self.identity == Identity::Asked(call) {
                self.identified(now, &result);
            } else if let Some(request) = self.requests.remove(&call) {
                self.produced(now, request, result);
            }
        }
    }

    fn identified(&mut self, now: Now, result: &Result<Response, Failure>) {
        self.identity = Identity::Wanted;
        let refused = match result {
            Ok(Response::InitProducerId(response)) if response.error_code.is_ok() => {
                self.identity_failed = 0;
                let epoch = ProducerEpoch(response.producer_epoch);
                return self.identity = Identity::Known(ProducerId(response.producer_id), epoch);
            }
            Ok(Response::InitProducerId(response)) => response.error_code,
            Err(Failure::Unsupported) => ErrorCode::UNSUPPORTED_VERSION,
            _ => ErrorCode::NETWORK_EXCEPTION,
        };
        // The next record asks anew: somebody may have changed what stands in the way.
        self.identity_failed += 1;
        self.identity_not_before = now.at.plus_ms(self.cluster.backoff_ms(self.identity_failed));
        if matches!(refused, ErrorCode::CLUSTER_AUTHORIZATION_FAILED | ErrorCode::UNSUPPORTED_VERSION) {
            let message = "idempotence is refused: grant this user WRITE on a topic, or set enable.idempotence=false";
            self.give_up(Lane::take_all, &SendError::Refused { code: refused, message: Some(message.to_owned()) });
        }
    }

    fn produced(&mut self, now: Now, mut open: Sent, result: Result<Response, Failure>) {
        let mut code = ErrorCode::NETWORK_EXCEPTION;
        match result {
            Ok(Response::Produce(response)) => {
                for topic in &response.responses {
                    for answer in &topic.partition_responses {
                        let is_topic = |sent: &Shipment| match topic.name.is_empty() {
                            true => sent.topic == topic.topic_id,
                            false => self.topics.lines[sent.spot.0].name == topic.name,
                        };
                        let is_asked = |sent: &Shipment| sent.spot.1.0 == answer.index && is_topic(sent);
                        if let Some(at) = open.iter().position(is_asked) {
                            let Shipment { spot, serial, .. } = open.remove(at);
                            self.answered_for(now, spot, serial, answer);
                        }
                    }
                }
            }
            Err(Failure::Unanswered) => {
                for Shipment { spot, serial, .. } in std::mem::take(&mut open) {
                    if let Some(batch) = self.topics.lane(spot).and_then(|lane| lane.finish(serial)) {
                        self.deliver(batch, Ok(Place { partition: spot.1, offset: None, append_time: None }));
                    }
                }
            }
            Ok(_) => {}
            Err(Failure::Unsupported) => {
                let (code, why) = match self.options.codec.0 {
                    Codec::Zstd => (ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, "zstd came with Kafka 2.1: set another"),
                    _ => (ErrorCode::UNSUPPORTED_VERSION, "brokers before Kafka 0.11 have no such records"),
                };
                for Shipment { spot, serial, .. } in std::mem::take(&mut open) {
                    if let Some(batch) = self.topics.lane(spot).and_then(|lane| lane.finish(serial)) {
                        self.spend_identity();
                        self.deliver(batch, Err(SendError::Refused { code, message: Some(why.to_owned()) }));
                    }
                }
            }
            Err(failure) => {
                if failure == Failure::TimedOut {
                    code = ErrorCode::REQUEST_TIMED_OUT;
                }
                self.cluster.refresh_soon(now.at);
            }
        }
        for Shipment { spot, serial, .. } in open {
            self.again(now, spot, serial, code);
        }
    }

    /// Sends a batch once more, unless that was done as often as `retries` allows: then it has failed with this code.
    fn again(&mut self, now: Now, spot: Spot, serial: u64, code: ErrorCode) {
        let Some(lane) = self.topics.lane(spot) else { return };
        if lane.failed(serial) >= self.options.cluster.retries_max {
            if let Some(batch) = lane.finish(serial) {
                self.spend_identity();
                self.deliver(batch, Err(SendError::Refused { code, message: None }));
            }
            return;
        }
        self.metrics.batches_retried += 1;
        let wait_ms = self.cluster.backoff_ms(lane.failed(serial));
        self.metrics.records_retried += lane.put_back(serial, now.at.plus_ms(wait_ms));
        self.topics.active.insert(spot);
    }

    fn answered_for(
        &mut self,
        now: Now,
        spot: Spot,
        serial: u64,
        answer: &wire::produce_response::PartitionProduceResponse,
    ) {
        let Some(lane) = self.topics.lane(spot) else { return };
        // The number of this splitting, of which there is one at a time.
        let number = self.metrics.batches_split;
        if answer.error_code == ErrorCode::MESSAGE_TOO_LARGE
            && let Some(founded) = lane.split(serial, self.options.codec.1, number)
        {
            let family = founded.map(|(ticket, count)| Family { ticket, count, left: count, results: Vec::new() });
            self.families.extend(family.map(|family| (number, family)));
            self.metrics.batches_split += 1;
            self.topics.active.insert(spot);
            return;
        }
        match lane.verdict(serial, answer.error_code) {
            Verdict::Stored => {
                let offset = Some(Offset(answer.base_offset)).filter(|offset| offset.0 >= 0);
                let append_time = Some(Timestamp(answer.log_append_time_ms)).filter(|time| time.0 >= 0);
                if let Some(batch) = lane.stored(serial) {
                    self.deliver(batch, Ok(Place { partition: spot.1, offset, append_time }));
                }
            }
            Verdict::Again => {
                self.cluster.refresh_soon(now.at);
                self.again(now, spot, serial, answer.error_code);
            }
            // In a transaction there is no saying what belongs to it: it cannot be committed.
            Verdict::OutOfOrder if self.transaction.is_none() => {
                self.spend_identity();
                self.again(now, spot, serial, answer.error_code);
                if let Some(lane) = self.topics.lane(spot) {
                    lane.clear_stamp(serial);
                }
            }
            Verdict::OutOfOrder | Verdict::Refused => {
                if let Some(batch) = lane.finish(serial) {
                    self.spend_identity();
                    let message = answer.error_message.as_ref().map(ToString::to_string);
                    self.deliver(batch, Err(SendError::Refused { code: answer.error_code, message }));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
