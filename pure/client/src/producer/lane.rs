//! What a producer has for one partition: the batch that fills, those that wait and those under way, in their order.

use super::{ProducerMetrics, ProducerOptions, ProducerRecord};
use bytes::Bytes;
use record::{Builder, Template};
use std::collections::VecDeque;
use types::{ErrorCode, Instant, Now, ProducerEpoch, ProducerId, Sequence};

/// Most batches of one partition under way: as many as a broker remembers of an idempotent producer.
const IN_FLIGHT_MAX: u64 = 5;
/// What the serials of batches are apart, so that the parts of one have their places between its and the next one's.
const SPAN: u64 = 1 << 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
    pub sequence: Sequence,
}

#[derive(Debug)]
enum Content {
    Filling(Builder),
    Built(Bytes),
}

#[derive(Debug)]
pub struct Batch<T> {
    /// Its place in the order of its partition.
    pub serial: u64,
    /// Serials from its own on that are its parts'.
    span: u64,
    content: Content,
    pub count: i32,
    /// The batch that it is a part of, and where it begins in that.
    pub part_of: Option<(u64, i32)>,
    /// What the engine's user keeps of it.
    pub ticket: T,
    pub charged_bytes: usize,
    /// Of the record that came last: one more of them is expected.
    last_bytes: usize,
    /// Somebody waits for it: it goes without waiting for company.
    is_hurried: bool,
    opened: Instant,
    deadline: Instant,
    /// Set from the first sending on: it may be stored under this.
    pub stamp: Option<Stamp>,
    not_before: Instant,
    pub failed: u32,
}

impl<T> Batch<T> {
    fn size_bytes(&self) -> usize {
        match &self.content {
            Content::Filling(builder) => builder.size_bytes(),
            Content::Built(bytes) => bytes.len(),
        }
    }

    fn has_room(&self, size: usize, batch_bytes: usize) -> bool {
        matches!(&self.content, Content::Filling(builder) if builder.size_bytes() + size <= batch_bytes)
    }

    /// The bytes to send under a stamp.
    fn seal(&mut self, stamp: Stamp) -> Bytes {
        let Stamp { id, epoch, sequence } = stamp;
        let bytes = match std::mem::replace(&mut self.content, Content::Built(Bytes::new())) {
            Content::Filling(mut builder) => {
                builder.set_producer(id, epoch, sequence);
                builder.finish()
            }
            Content::Built(bytes) if self.stamp == Some(stamp) => bytes,
            Content::Built(bytes) => {
                record::with_producer(&bytes, id, epoch, sequence).expect("what was built here is a whole batch")
            }
        };
        self.stamp = Some(stamp);
        self.content = Content::Built(bytes.clone());
        bytes
    }
}

/// What an answer means for the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Stored,
    Again,
    /// It was not stored, and cannot be under this stamp.
    OutOfOrder,
    Refused,
}

#[derive(Debug, Default)]
pub struct Lane<T> {
    /// In order; the last one may still fill.
    queue: VecDeque<Batch<T>>,
    in_flight: Vec<Batch<T>>,
    next_sequence: i32,
    /// The broker has a batch with these sequences: it would notice a gap.
    is_known: bool,
    next_serial: u64,
}

impl<T: Default> Lane<T> {
    /// Adds a record of this size: its place in its batch, and whether that could not leave before, or not so soon.
    pub fn append(
        &mut self,
        now: Now,
        message: &ProducerRecord,
        size: usize,
        options: &ProducerOptions,
    ) -> (i32, bool) {
        let is_new = !self.queue.back().is_some_and(|batch| batch.has_room(size, options.batch_bytes));
        let was_full = is_new && self.queue.len() == 1 && self.is_full(options);
        if is_new {
            self.open(now.at, options);
        }
        let batch = self.queue.back_mut().expect("there is one now");
        let Content::Filling(builder) = &mut batch.content else { unreachable!("a batch that fits is filling") };
        let headers: Vec<(&[u8], Option<&[u8]>)> =
            message.headers.iter().map(|(name, value)| (&name.as_bytes()[..], value.as_deref())).collect();
        let timestamp = message.timestamp.unwrap_or(now.wall);
        builder.append(timestamp, message.key.as_deref(), message.value.as_deref(), &headers);
        let index = batch.count;
        batch.count += 1;
        batch.charged_bytes += size;
        batch.last_bytes = size;
        let is_filled = !batch.has_room(size, options.batch_bytes);
        let is_news = if is_new { !was_full } else { is_filled && self.queue.len() == 1 };
        (index, is_news)
    }

    fn open(&mut self, now: Instant, options: &ProducerOptions) {
        let (codec, level) = options.codec;
        let transactional = options.transactional_id.is_some();
        let builder = Builder::new(Template { codec, level, transactional, ..Template::default() });
        let serial = self.next_serial;
        self.next_serial += SPAN;
        self.queue.push_back(Batch {
            serial,
            span: SPAN,
            content: Content::Filling(builder),
            count: 0,
            part_of: None,
            ticket: T::default(),
            charged_bytes: 0,
            last_bytes: 0,
            is_hurried: false,
            opened: now,
            deadline: now.plus_ms(options.delivery_timeout_ms),
            stamp: None,
            not_before: Instant(0),
            failed: 0,
        });
    }
}

impl<T: Default> Lane<T> {
    /// Puts a batch that is too large for its broker back as two parts of a family, this one or that of which it is a part
    /// already; the ticket of a new family, and how many records that has. None where it cannot be split any further.
    pub fn split(&mut self, serial: u64, level: i32, family: u64) -> Option<Option<(T, i32)>> {
        let is_it = |batch: &Batch<T>| batch.serial == serial && batch.count > 1 && batch.span > 1;
        let at = self.in_flight.iter().position(is_it)?;
        let Content::Built(bytes) = &self.in_flight[at].content else { return None };
        let [first, second] = record::halve(bytes, level).ok()?;
        let mut whole = self.in_flight.remove(at);
        let founded = whole.part_of.is_none().then(|| (std::mem::take(&mut whole.ticket), whole.count));
        let (family, begin) = whole.part_of.unwrap_or((family, 0));
        let (count, span, charged_bytes) = (whole.count / 2, whole.span / 2, whole.charged_bytes / 2);
        let follows = |stamp: Stamp| match stamp.sequence {
            Sequence::NONE => stamp,
            sequence => Stamp { sequence: sequence.plus(count), ..stamp },
        };
        let rest = Batch {
            serial: serial + span,
            span,
            content: Content::Built(second),
            count: whole.count - count,
            part_of: Some((family, begin + count)),
            ticket: T::default(),
            charged_bytes: whole.charged_bytes - charged_bytes,
            stamp: whole.stamp.map(follows),
            ..whole
        };
        let (content, part_of) = (Content::Built(first), Some((family, begin)));
        self.wait(Batch { span, content, count, part_of, charged_bytes, ..whole });
        self.wait(rest);
        Some(founded)
    }
}

impl<T> Lane<T> {
    /// Whether another record like the last one goes into the batch that fills, so that no new one is needed.
    pub fn takes_another(&self, size: usize, options: &ProducerOptions) -> bool {
        self.queue.back().is_none_or(|batch| batch.has_room(size, options.batch_bytes))
    }

    /// What is kept of the batch to which a record was just added.
    pub fn last_ticket(&mut self) -> &mut T {
        &mut self.queue.back_mut().expect("a record was just added").ticket
    }

    /// Whether the first batch has all that it will hold.
    fn is_full(&self, options: &ProducerOptions) -> bool {
        let is_filled = |batch: &Batch<T>| !batch.has_room(batch.last_bytes, options.batch_bytes);
        self.queue.len() > 1 || self.queue.front().is_some_and(is_filled)
    }

    pub fn take_all(&mut self) -> Vec<Batch<T>> {
        self.queue.drain(..).chain(self.in_flight.drain(..)).collect()
    }

    /// Takes what was never sent.
    pub fn take_unsent(&mut self) -> Vec<Batch<T>> {
        let all = std::mem::take(&mut self.queue);
        let (sent, unsent): (VecDeque<_>, VecDeque<_>) = all.into_iter().partition(|batch| batch.stamp.is_some());
        self.queue = sent;
        unsent.into()
    }

    /// Batches that wait and those under way.
    pub fn batches(&self) -> impl Iterator<Item = &Batch<T>> {
        self.queue.iter().chain(&self.in_flight)
    }

    /// Batches that wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether its broker takes nothing: what could have gone has waited for `partitioner.availability.timeout.ms`.
    pub fn is_stuck(&self, now: Instant, options: &ProducerOptions) -> bool {
        let wait_ms = options.linger_ms.saturating_add(options.availability_timeout_ms);
        let waits = |front: &Batch<T>| front.opened.plus_ms(wait_ms) < now;
        options.availability_timeout_ms > 0 && self.queue.front().is_some_and(waits)
    }

    /// Lets what waits go without waiting for company.
    pub fn hurry(&mut self) {
        self.queue.iter_mut().for_each(|batch| batch.is_hurried = true);
    }

    /// Whether a batch may leave now. What was sent before goes first and alone; what was not needs an identity.
    pub fn is_due(&self, now: Instant, may_stamp: bool, options: &ProducerOptions) -> bool {
        let Some(front) = self.queue.front() else { return false };
        let is_alone = front.failed > 0 || front.stamp.is_some() || self.in_flight.iter().any(|batch| batch.failed > 0);
        // Brokers know the last few batches of a producer. One without an answer may be asked for again when its leader
        // is gone, so none may be too far ahead of it, whatever became of those between.
        let oldest = self.in_flight.iter().map(|batch| batch.serial).min().unwrap_or(front.serial);
        // Of a producer that is new to it a broker takes any sequence: were the first batch refused, the second would be
        // stored and the first be out of order for ever, so that both had to go again under a new epoch.
        let in_flight_max = if self.is_known || self.next_sequence == 0 { IN_FLIGHT_MAX } else { 1 };
        if now < front.not_before
            || (front.serial / SPAN).saturating_sub(oldest / SPAN) >= in_flight_max
            || is_alone && !self.in_flight.is_empty()
            || front.stamp.is_none() && !may_stamp
        {
            return false;
        }
        front.is_hurried || self.is_full(options) || front.opened.plus_ms(options.linger_ms) <= now
    }

    /// Takes the first batch under way where it is no larger than `room`: its serial and its bytes.
    pub fn take(
        &mut self,
        now: Instant,
        identity: Option<(ProducerId, ProducerEpoch)>,
        room: usize,
        metrics: &mut ProducerMetrics,
    ) -> Option<(u64, Bytes)> {
        let mut batch = self.queue.pop_front_if(|batch| batch.size_bytes() <= room)?;
        let (id, epoch) = identity.unwrap_or((ProducerId::NONE, ProducerEpoch::NONE));
        let stamp = match (batch.stamp, identity) {
            (Some(stamp), _) => stamp,
            (None, None) => Stamp { id, epoch, sequence: Sequence::NONE },
            (None, Some(_)) => {
                let sequence = Sequence(self.next_sequence);
                self.next_sequence = sequence.plus(batch.count).0;
                Stamp { id, epoch, sequence }
            }
        };
        let (is_new, plain_bytes) = (batch.stamp.is_none(), batch.size_bytes());
        let bytes = batch.seal(stamp);
        if is_new {
            let queue_us = now.0.saturating_sub(batch.opened.0);
            metrics.records_sent += u64::from(batch.count.unsigned_abs());
            metrics.batches_sent += 1;
            metrics.bytes_sent += bytes.len() as u64;
            metrics.plain_bytes_sent += plain_bytes as u64;
            metrics.queue_us_total += queue_us;
            metrics.queue_us_max = metrics.queue_us_max.max(queue_us);
        }
        let serial = batch.serial;
        self.in_flight.push(batch);
        Some((serial, bytes))
    }

    /// The broker has a batch.
    pub fn stored(&mut self, serial: u64) -> Option<Batch<T>> {
        self.is_known = true;
        self.finish(serial)
    }

    /// A batch has its final answer.
    pub fn finish(&mut self, serial: u64) -> Option<Batch<T>> {
        let at = self.in_flight.iter().position(|batch| batch.serial == serial)?;
        Some(self.in_flight.remove(at))
    }

    /// How often a batch under way has failed before.
    pub fn failed(&self, serial: u64) -> u32 {
        self.in_flight.iter().find(|batch| batch.serial == serial).map_or(0, |batch| batch.failed)
    }

    /// A batch goes again, under its stamp: how many records that are.
    pub fn put_back(&mut self, serial: u64, not_before: Instant) -> u64 {
        let Some(mut batch) = self.finish(serial) else { return 0 };
        let count = u64::from(batch.count.unsigned_abs());
        batch.failed += 1;
        batch.not_before = not_before;
        self.wait(batch);
        count
    }

    /// Puts a batch where its turn is: what was sent before goes first.
    fn wait(&mut self, batch: Batch<T>) {
        let turn = |batch: &Batch<T>| (batch.stamp.is_none(), batch.serial);
        let at = self.queue.iter().position(|waiting| turn(&batch) < turn(waiting)).unwrap_or(self.queue.len());
        self.queue.insert(at, batch);
    }

    /// A batch that waits is not known under its stamp. It goes again under another, behind those whose answer is still
    /// open: they may be stored all the same where what came before them is deleted, and must not be stored twice.
    pub fn clear_stamp(&mut self, serial: u64) {
        let Some(at) = self.queue.iter().position(|batch| batch.serial == serial) else { return };
        let batch = Batch { stamp: None, ..self.queue.remove(at).expect("it is there") };
        self.wait(batch);
    }

    pub fn verdict(&self, serial: u64, code: ErrorCode) -> Verdict {
        match code {
            ErrorCode::NONE | ErrorCode::DUPLICATE_SEQUENCE_NUMBER => Verdict::Stored,
            ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER | ErrorCode::UNKNOWN_PRODUCER_ID => {
                // Where one before it is still open, that one is the gap.
                let is_earlier = |batch: &Batch<T>| batch.serial < serial && batch.stamp.is_some();
                if self.queue.iter().any(is_earlier) || self.in_flight.iter().any(is_earlier) {
                    Verdict::Again
                } else {
                    Verdict::OutOfOrder
                }
            }
            ErrorCode::INVALID_PRODUCER_EPOCH => Verdict::OutOfOrder,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::UNKNOWN_TOPIC_ID
            | ErrorCode::INCONSISTENT_TOPIC_ID
            | ErrorCode::LEADER_NOT_AVAILABLE
            | ErrorCode::NOT_LEADER_OR_FOLLOWER
            | ErrorCode::FENCED_LEADER_EPOCH
            | ErrorCode::UNKNOWN_LEADER_EPOCH
            | ErrorCode::REQUEST_TIMED_OUT
            | ErrorCode::NETWORK_EXCEPTION
            | ErrorCode::NOT_ENOUGH_REPLICAS
            | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND
            | ErrorCode::KAFKA_STORAGE_ERROR
            | ErrorCode::THROTTLING_QUOTA_EXCEEDED
            | ErrorCode::CONCURRENT_TRANSACTIONS
            | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
            | ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::NOT_COORDINATOR
            | ErrorCode::CORRUPT_MESSAGE => Verdict::Again,
            _ => Verdict::Refused,
        }
    }

    /// No batch may be stored that is not known to be.
    pub fn is_certain(&self) -> bool {
        self.in_flight.is_empty() && self.queue.iter().all(|batch| batch.stamp.is_none())
    }

    /// Under a new epoch, sequences begin anew.
    pub fn restart_sequence(&mut self) {
        self.next_sequence = 0;
        self.is_known = false;
    }

    /// Takes out what waits and has waited too long.
    pub fn expired(&mut self, now: Instant) -> Vec<Batch<T>> {
        let mut late = Vec::new();
        while let Some(at) =
            self.oldest().into_iter().find(|at| self.queue.get(*at).is_some_and(|it| it.deadline <= now))
        {
            late.extend(self.queue.remove(at));
        }
        late
    }

    /// Where the first batch that was sent before is, and the first that was not: of each kind it has the first deadline.
    fn oldest(&self) -> [usize; 2] {
        [0, self.queue.partition_point(|batch| batch.stamp.is_some())]
    }

    /// When time alone changes something here, after `now`.
    pub fn next_wake(&self, now: Instant, linger_ms: u64) -> Option<Instant> {
        let front = self.queue.front()?;
        let turn = front.not_before.max(front.opened.plus_ms(linger_ms));
        let deadline = self.oldest().iter().filter_map(|at| Some(self.queue.get(*at)?.deadline)).min()?;
        Some(if turn > now { turn.min(deadline) } else { deadline })
    }
}
