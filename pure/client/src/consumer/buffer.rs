//! What a fetch brought of one partition, opened record by record as it is polled.
//!
//! Owns checksums, decompression and which records a consumer is shown. Must never know where the bytes came from.

use bytes::Bytes;
use record::{Batches, EndTransaction, Header, Records, TimestampType};
use std::collections::BTreeSet;
use types::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use types::{ErrorCode, Instant, LeaderEpoch, Offset, ProducerId, Text, Timestamp};

/// A record as its consumer sees it. Key, value and headers are slices of what was fetched, which lives as long as any
/// of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedRecord {
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub timestamp_type: TimestampType,
    /// The term of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(Text, Option<Bytes>)>,
}

/// What the answer says beside the records.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    pub high_watermark: Offset,
    pub last_stable_offset: Offset,
    pub log_start_offset: Offset,
    pub asked_at: Instant,
}

/// Where reading goes on, and in which term the record before it was appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub offset: Offset,
    pub epoch: LeaderEpoch,
}

/// The batch that is being read.
struct Open {
    body: Bytes,
    records: Records<'static>,
    header: Header,
}

pub struct Buffer {
    rest: Bytes,
    open: Option<Open>,
    /// Transactions that were aborted: whose, and from where on; the first one last. None where all is to be read.
    aborted: Option<Vec<(Offset, ProducerId)>>,
    aborting: BTreeSet<ProducerId>,
    check_crcs: bool,
    /// What is found once the records before it are handed over.
    broken: Option<ErrorCode>,
    pub ends: Ends,
    /// Where to fetch what follows.
    pub next: Position,
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes to {:?})", self.waiting_bytes(), self.next)
    }
}

impl Buffer {
    /// Takes what was fetched; None where that is not one whole batch.
    pub fn new(
        records: Bytes,
        aborted: Option<Vec<(Offset, ProducerId)>>,
        check_crcs: bool,
        ends: Ends,
    ) -> Option<Buffer> {
        let last = Batches::new(&records).map_while(Result::ok).last().map(|(header, _)| header);
        // What begins with no batch is found out when it is read, with its position.
        let is_foreign = matches!(Batches::new(&records).next(), Some(Err(error)) if !is_cut(&error));
        let next = match last {
            Some(last) => Position { offset: last.next_offset(), epoch: last.leader_epoch },
            None if is_foreign => Position { offset: Offset::NONE, epoch: LeaderEpoch::NONE },
            None => return None,
        };
        let aborted = aborted.map(|mut list| {
            list.sort_unstable_by(|one, other| other.cmp(one));
            list
        });
        let aborting = BTreeSet::new();
        Some(Buffer { rest: records, open: None, aborted, aborting, check_crcs, broken: None, ends, next })
    }

    /// What was not opened yet.
    pub fn waiting_bytes(&self) -> usize {
        self.rest.len()
    }

    /// Adds records from `position` on until there are `room` of them, and moves it on. True where nothing is left.
    ///
    /// # Errors
    /// What is at `position` is no batch of records.
    pub fn read(
        &mut self,
        position: &mut Position,
        room: usize,
        out: &mut Vec<ConsumedRecord>,
    ) -> Result<bool, ErrorCode> {
        loop {
            let step = match self.broken {
                Some(code) => Err(code),
                None => self.step(position, room, out),
            };
            match step {
                Ok(Step::Full) => return Ok(false),
                Ok(Step::End) => return Ok(true),
                Ok(Step::On) => {}
                Err(code) if out.is_empty() => return Err(code),
                Err(code) => {
                    self.broken = Some(code);
                    return Ok(false);
                }
            }
        }
    }

    /// Reads what is left of the open batch, or opens the next one.
    fn step(&mut self, position: &mut Position, room: usize, out: &mut Vec<ConsumedRecord>) -> Result<Step, ErrorCode> {
        if let Some(open) = &mut self.open {
            while out.len() < room {
                let Some(record) = open.records.next_record().map_err(|invalid| invalid.code())? else {
                    // Offsets at the end of a batch may have no records any more.
                    let after = Position { offset: open.header.next_offset(), epoch: open.header.leader_epoch };
                    if after.offset > position.offset {
                        *position = after;
                    }
                    self.open = None;
                    return Ok(Step::On);
                };
                if record.offset >= position.offset {
                    *position = Position { offset: record.offset.next(), epoch: open.header.leader_epoch };
                    out.push(shared(&record, &open.header, &open.body));
                }
            }
            return Ok(Step::Full);
        }
        let (header, length) = match Batches::new(&self.rest).next() {
            None => return Ok(Step::End),
            // A fetch may end within a batch, which the next one brings whole.
            Some(Err(error)) if is_cut(&error) => return Ok(Step::End),
            Some(Err(_)) => return Err(ErrorCode::CORRUPT_MESSAGE),
            Some(Ok((header, batch))) => (header, batch.len()),
        };
        if self.check_crcs && !record::crc_matches(&self.rest[..length]) {
            return Err(ErrorCode::CORRUPT_MESSAGE);
        }
        let batch = self.rest.split_to(length);
        if header.next_offset() <= position.offset {
            return Ok(Step::On);
        }
        if self.is_hidden(&header, &batch)? {
            *position = Position { offset: header.next_offset(), epoch: header.leader_epoch };
            return Ok(Step::On);
        }
        let opened = record::shared_records(&batch, DECOMPRESSED_BATCH_BYTES_MAX);
        let (body, records) = opened.map_err(|invalid| invalid.code())?;
        self.open = Some(Open { body, records, header });
        Ok(Step::On)
    }

    /// Whether consumers are not shown a batch: markers, and with read_committed what was aborted.
    fn is_hidden(&mut self, header: &Header, batch: &[u8]) -> Result<bool, ErrorCode> {
        if let Some(aborted) = &mut self.aborted {
            while let Some((_, producer)) = aborted.pop_if(|(first, _)| *first <= header.last_offset()) {
                self.aborting.insert(producer);
            }
        }
        if header.attributes.is_control() {
            let mut records = record::records(batch, DECOMPRESSED_BATCH_BYTES_MAX).map_err(|invalid| invalid.code())?;
            let marker = records.next_record().map_err(|invalid| invalid.code())?;
            if marker.and_then(|marker| EndTransaction::of(&marker)).is_some_and(|end| !end.commit) {
                self.aborting.remove(&header.producer_id);
            }
            return Ok(true);
        }
        Ok(header.attributes.is_transactional() && self.aborting.contains(&header.producer_id))
    }
}

enum Step {
    On,
    Full,
    End,
}

fn is_cut(error: &record::Invalid) -> bool {
    matches!(error, record::Invalid::Truncated { .. })
}

fn shared(record: &record::Record<'_>, header: &Header, body: &Bytes) -> ConsumedRecord {
    let slice = |bytes: &[u8]| body.slice_ref(bytes);
    let name = |bytes: &[u8]| {
        Text::from_bytes(slice(bytes)).unwrap_or_else(|_| Text::from(String::from_utf8_lossy(bytes).as_ref()))
    };
    ConsumedRecord {
        offset: record.offset,
        timestamp: record.timestamp,
        timestamp_type: header.attributes.timestamp_type(),
        leader_epoch: header.leader_epoch,
        key: record.key.map(slice),
        value: record.value.map(slice),
        headers: record.headers.map(|(key, value)| (name(key), value.map(slice))).collect(),
    }
}
