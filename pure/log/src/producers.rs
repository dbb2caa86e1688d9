//! What the log knows of its idempotent and transactional producers: the last five batches of each, its epoch, and which
//! transactions are open. It decides whether a batch is the next one, a duplicate, or from a producer that was fenced.

use crate::Error;
use record::{EndTransaction, Header};
use std::collections::{BTreeMap, VecDeque};
use types::{ErrorCode, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// How many batches of a producer are remembered; a producer has no more requests under way.
pub(crate) const BATCHES_KEPT: usize = 5;
/// What Kafka stores where no coordinator has ended a transaction of the producer yet.
const NO_COORDINATOR_EPOCH: i32 = -1;

/// One batch that a producer appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub last_sequence: Sequence,
    pub last_offset: Offset,
    pub offset_delta: i32,
    pub timestamp: Timestamp,
}

impl Kept {
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        Offset(self.last_offset.0 - i64::from(self.offset_delta))
    }

    #[must_use]
    pub fn base_sequence(&self) -> Sequence {
        self.last_sequence.minus(self.offset_delta)
    }
}

/// One producer, as DescribeProducers shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    pub epoch: ProducerEpoch,
    /// Oldest first.
    pub(crate) batches: Vec<Kept>,
    /// Of the coordinator that ended its last transaction here; -1 where none did.
    pub coordinator_epoch: i32,
    pub last_timestamp: Timestamp,
    /// The first offset of its open transaction.
    pub transaction_start: Option<Offset>,
}

impl Producer {
    pub(crate) fn new(epoch: ProducerEpoch) -> Producer {
        Producer {
            epoch,
            batches: Vec::new(),
            coordinator_epoch: NO_COORDINATOR_EPOCH,
            last_timestamp: Timestamp::NONE,
            transaction_start: None,
        }
    }

    /// Of the last batch; -1 where the epoch has none yet.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        self.batches.last().map_or(Sequence::NONE, |kept| kept.last_sequence)
    }

    fn duplicate(&self, header: &Header) -> Option<Kept> {
        if header.producer_epoch != self.epoch {
            return None;
        }
        let same =
            |kept: &&Kept| kept.base_sequence() == header.base_sequence && kept.last_sequence == header.last_sequence();
        self.batches.iter().find(same).copied()
    }

    pub(crate) fn keep(&mut self, epoch: ProducerEpoch, kept: Kept) {
        self.bump(epoch);
        if self.batches.len() == BATCHES_KEPT {
            self.batches.remove(0);
        }
        self.batches.push(kept);
        self.last_timestamp = kept.timestamp;
    }

    fn bump(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }
}

/// Most bytes of a control batch's record.
const MARKER_BYTES_MAX: usize = 1 << 16;

/// The marker in a control batch; `None` where it does not end a transaction, or was cleaned away.
pub(crate) fn read_marker(batch: &[u8]) -> Option<EndTransaction> {
    let mut records = record::records(batch, MARKER_BYTES_MAX).ok()?;
    EndTransaction::of(&records.next_record().ok()??)
}

/// A transaction that was ended by a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Completed {
    pub producer_id: ProducerId,
    pub first_offset: Offset,
    /// The marker's.
    pub last_offset: Offset,
    pub aborted: bool,
}

/// What a client's batches are to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    New,
    /// All of it was appended before, here.
    Duplicate(Kept),
}

/// What a check needs of a producer, carried from one batch of an append to the next.
#[derive(Clone, Copy)]
struct View {
    epoch: ProducerEpoch,
    last_sequence: Sequence,
    in_transaction: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Producers {
    producers: BTreeMap<ProducerId, Producer>,
    /// Open transactions by their first offset.
    open: BTreeMap<Offset, ProducerId>,
    /// Ended transactions whose marker may still be above the high watermark: (first offset, marker's offset).
    uncommitted: VecDeque<(Offset, Offset)>,
    /// New producers whose first batch could not be stored: the epoch and sequence they must begin with.
    refused: BTreeMap<ProducerId, (ProducerEpoch, Sequence)>,
}

/// Most producers whose refused first batch is remembered.
const REFUSED_MAX: usize = 10_000;

fn in_sequence(last: Sequence, next: Sequence) -> bool {
    i64::from(next.0) == i64::from(last.0) + 1 || (next.0 == 0 && last.0 == i32::MAX)
}

impl Producers {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ProducerId, &Producer)> {
        self.producers.iter().map(|(id, producer)| (*id, producer))
    }

    /// The last offsets of the batches by which each producer's repetitions are known, or where its epoch has none only
    /// the epoch, which its last marker has.
    pub(crate) fn remembered(&self) -> BTreeMap<ProducerId, (Vec<Offset>, ProducerEpoch)> {
        let kept = |producer: &Producer| producer.batches.iter().map(|kept| kept.last_offset).collect();
        self.producers.iter().map(|(id, producer)| (*id, (kept(producer), producer.epoch))).collect()
    }

    /// Takes over a producer that a snapshot knew, or one batch more of it.
    pub(crate) fn load(&mut self, id: ProducerId, producer: Producer) {
        if let Some(start) = producer.transaction_start {
            self.open.insert(start, id);
        }
        match self.producers.get_mut(&id) {
            Some(known) => {
                for kept in &producer.batches {
                    known.keep(producer.epoch, *kept);
                }
                known.bump(producer.epoch);
                known.coordinator_epoch = producer.coordinator_epoch;
                known.last_timestamp = producer.last_timestamp;
                known.transaction_start = producer.transaction_start;
            }
            None => drop(self.producers.insert(id, producer)),
        }
    }

    /// Checks batches before they get offsets. Sequences are a client's; a coordinator's batches have none.
    pub(crate) fn check<'a>(&self, headers: impl Iterator<Item = &'a Header>, client: bool) -> Result<Verdict, Error> {
        let mut seen: Vec<(ProducerId, View)> = Vec::new();
        let mut headers = headers.peekable();
        while let Some(header) = headers.next() {
            if !header.has_producer() {
                continue;
            }
            let id = header.producer_id;
            let known = self.producers.get(&id);
            if !client {
                match known {
                    Some(producer) if header.producer_epoch < producer.epoch => {
                        return Err(fenced(header, producer.epoch));
                    }
                    Some(_) | None => continue,
                }
            }
            if let Some(kept) = known.and_then(|producer| producer.duplicate(header)) {
                return Ok(Verdict::Duplicate(kept));
            }
            let carried = seen.iter().rposition(|(other, _)| *other == id);
            let view = match carried {
                Some(at) => Some(seen[at].1),
                None => known.map(|producer| View {
                    epoch: producer.epoch,
                    last_sequence: producer.last_sequence(),
                    in_transaction: producer.transaction_start.is_some(),
                }),
            };
            match (view, self.refused.get(&id)) {
                (None, Some((epoch, first))) if *epoch == header.producer_epoch && *first != header.base_sequence => {
                    let sent = header.base_sequence;
                    let why = "which could not be stored, is still to come";
                    let message = format!("producer {id} sent sequence {sent} while sequence {first}, {why}");
                    return Err(Error::refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, message));
                }
                _ => check_next(view, header)?,
            }
            if headers.peek().is_some() {
                let view = View {
                    epoch: header.producer_epoch,
                    last_sequence: header.last_sequence(),
                    in_transaction: header.attributes.is_transactional(),
                };
                seen.push((id, view));
            }
        }
        Ok(Verdict::New)
    }

    /// Checks a marker that a transaction coordinator writes.
    pub(crate) fn check_marker(&self, header: &Header, marker: EndTransaction) -> Result<(), Error> {
        let Some(producer) = self.producers.get(&header.producer_id) else { return Ok(()) };
        if header.producer_epoch < producer.epoch {
            return Err(fenced(header, producer.epoch));
        }
        if marker.coordinator_epoch < producer.coordinator_epoch {
            return Err(Error::refused(
                ErrorCode::TRANSACTION_COORDINATOR_FENCED,
                format!(
                    "the marker for producer {} comes from coordinator epoch {}, but epoch {} was seen",
                    header.producer_id, marker.coordinator_epoch, producer.coordinator_epoch
                ),
            ));
        }
        Ok(())
    }

    /// A producer's batch could not be stored. Where it is new, any sequence would begin it, and one of the batches it
    /// has under way behind this one would: its repetition of this one would then seem out of order for ever.
    pub(crate) fn refuse(&mut self, header: &Header) {
        let id = header.producer_id;
        if !header.has_producer() || self.producers.contains_key(&id) {
            return;
        }
        if self.refused.len() >= REFUSED_MAX {
            self.refused.pop_first();
        }
        self.refused.entry(id).or_insert((header.producer_epoch, header.base_sequence));
    }

    /// Notes a data batch that is in the log now.
    pub(crate) fn note(&mut self, header: &Header) {
        if !header.has_producer() {
            return;
        }
        let id = header.producer_id;
        self.refused.remove(&id);
        let producer = self.producers.entry(id).or_insert_with(|| Producer::new(header.producer_epoch));
        let kept = Kept {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        };
        producer.keep(header.producer_epoch, kept);
        if header.attributes.is_transactional() && producer.transaction_start.is_none() {
            producer.transaction_start = Some(header.base_offset);
            self.open.insert(header.base_offset, id);
        }
    }

    /// Notes a marker that is in the log now; returns the transaction it ends, where one was open.
    pub(crate) fn note_marker(&mut self, header: &Header, marker: EndTransaction) -> Option<Completed> {
        let producer = self.producers.entry(header.producer_id).or_insert_with(|| Producer::new(header.producer_epoch));
        producer.bump(header.producer_epoch);
        producer.coordinator_epoch = marker.coordinator_epoch;
        producer.last_timestamp = header.max_timestamp;
        let first_offset = producer.transaction_start.take()?;
        self.open.remove(&first_offset);
        let last_offset = header.last_offset();
        self.uncommitted.push_back((first_offset, last_offset));
        Some(Completed { producer_id: header.producer_id, first_offset, last_offset, aborted: !marker.commit })
    }

    /// The first offset that is undecided, or decided by a marker at or above the high watermark.
    pub(crate) fn first_unstable(&self) -> Option<Offset> {
        let open = self.open.first_key_value().map(|(first, _)| *first);
        let uncommitted = self.uncommitted.iter().map(|(first, _)| *first).min();
        open.into_iter().chain(uncommitted).min()
    }

    /// The first offset that no marker has decided.
    pub(crate) fn first_open(&self) -> Option<Offset> {
        self.open.first_key_value().map(|(first, _)| *first)
    }

    pub(crate) fn set_high_watermark(&mut self, high_watermark: Offset) {
        self.uncommitted.retain(|(_, marker)| *marker >= high_watermark);
    }

    /// Forgets producers that were silent for `expiration_ms` and have no transaction open.
    pub(crate) fn expire(&mut self, now: Timestamp, expiration_ms: u64) -> bool {
        let before = self.producers.len();
        self.producers.retain(|_, producer| {
            let silent = u64::try_from(now.0.saturating_sub(producer.last_timestamp.0)).unwrap_or(0);
            producer.transaction_start.is_some() || silent < expiration_ms
        });
        self.producers.len() != before
    }
}

/// Whether `header` may follow what `view` says of its producer.
fn check_next(view: Option<View>, header: &Header) -> Result<(), Error> {
    // Nothing is known where the producer is new here, or where its records were deleted: any sequence begins it.
    let Some(view) = view else { return Ok(()) };
    if header.producer_epoch < view.epoch {
        return Err(fenced(header, view.epoch));
    }
    let next = header.base_sequence;
    if header.producer_epoch != view.epoch {
        if next.0 != 0 {
            return Err(Error::refused(
                ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
                format!(
                    "producer {} begins epoch {} with sequence {next} instead of 0; its epoch here is {}",
                    header.producer_id, header.producer_epoch, view.epoch
                ),
            ));
        }
    } else if !in_sequence(view.last_sequence, next) {
        return Err(Error::refused(
            ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
            format!(
                "producer {} sent sequence {next} after {}: a batch between them was lost or is still under way",
                header.producer_id, view.last_sequence
            ),
        ));
    }
    if view.in_transaction && !header.attributes.is_transactional() {
        return Err(Error::refused(
            ErrorCode::INVALID_TXN_STATE,
            format!("producer {} wrote outside of its open transaction", header.producer_id),
        ));
    }
    Ok(())
}

fn fenced(header: &Header, current: ProducerEpoch) -> Error {
    Error::refused(
        ErrorCode::INVALID_PRODUCER_EPOCH,
        format!(
            "producer {} has epoch {}, but epoch {current} was seen: another instance took over its id",
            header.producer_id, header.producer_epoch
        ),
    )
}
