//! Appending: check the producers, roll where the segment is done, give offsets, write once, note what was written.

use crate::producers::{Verdict, read_marker};
use crate::{Disk, DiskError, DiskFile, Error, ErrorKind, Log, Open};
use record::{Batch, EndTransaction, Header};
use std::hash::Hasher;
use types::{ErrorCode, LeaderEpoch, Now, Offset, Timestamp};

/// Who made the batches, which decides how far they are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A producer: sequences and epochs are checked.
    Client,
    /// A group or transaction coordinator: its batches have no sequences, and its markers end transactions.
    Coordinator,
    /// The metadata log.
    Controller,
}

/// Where batches went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// They were there before: the producer sent them again.
    pub duplicate: bool,
    /// The largest timestamp of the batches, which is the time of appending where the topic says so.
    pub max_timestamp: Timestamp,
}

/// What is about to be written, as far as it decides whether a new segment begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming {
    /// The largest timestamp.
    pub newest: Timestamp,
    pub bytes: u32,
    /// The offset after the last record.
    pub next: Offset,
}

/// Offsets of one segment are stored relative to its base in 31 bits.
pub(crate) const RELATIVE_MAX: i64 = i32::MAX as i64;

impl<D: Disk> Log<D> {
    /// Appends batches that were validated, as one write. They get the next offsets and `epoch`.
    pub fn append(
        &mut self,
        now: Now,
        batches: &mut [Batch],
        epoch: LeaderEpoch,
        origin: Origin,
    ) -> Result<Appended, Error> {
        let bytes = self.check_size(batches)?;
        let headers = batches.iter().map(|batch| &batch.header).filter(|header| !header.attributes.is_control());
        if let Verdict::Duplicate(kept) = self.producers.check(headers, origin == Origin::Client)? {
            return Ok(Appended {
                base_offset: kept.base_offset(),
                last_offset: kept.last_offset,
                duplicate: true,
                max_timestamp: kept.timestamp,
            });
        }
        let markers = self.markers(batches)?;
        let stored = self.store(now, batches, epoch, bytes);
        if stored.is_err() && origin == Origin::Client {
            self.refuse(batches.iter().map(|batch| batch.header));
        }
        let (base_offset, max_timestamp) = stored?;
        for (batch, marker) in batches.iter().zip(markers.into_iter().chain(std::iter::repeat(None))) {
            self.note(&batch.header, marker, now.wall)?;
        }
        Ok(Appended { base_offset, last_offset: Offset(self.end.0 - 1), duplicate: false, max_timestamp })
    }

    /// A client's batches could not be stored for now. Their producers have more under way: what follows must not be taken
    /// for their beginning.
    pub fn refuse(&mut self, headers: impl Iterator<Item = Header>) {
        headers.for_each(|header| self.producers.refuse(&header));
    }

    /// Gives batches their offsets and writes them.
    fn store(
        &mut self,
        now: Now,
        batches: &mut [Batch],
        epoch: LeaderEpoch,
        bytes: u32,
    ) -> Result<(Offset, Timestamp), Error> {
        let base_offset = self.end;
        let mut next = base_offset;
        let mut max_timestamp = Timestamp::NONE;
        for batch in batches.iter_mut() {
            batch.place(next, epoch);
            next = batch.header.next_offset();
            max_timestamp = max_timestamp.max(batch.header.max_timestamp);
        }
        self.make()?;
        // Before the records, so that a full disk refuses both. An epoch without records must not stay: a follower that
        // tells it to its leader is told that their logs differ, and has nothing to cut off.
        let news = self.epochs.assign(epoch, base_offset) || self.epochs_stale;
        let stored = if news { self.write_epochs() } else { Ok(()) };
        let incoming = Incoming { newest: max_timestamp, bytes, next };
        let written = stored.and_then(|()| match batches {
            [batch] => self.write(now, &[&batch.head, &batch.body], incoming),
            _ => {
                let pieces: Vec<&[u8]> = batches.iter().flat_map(|batch| [&batch.head[..], &batch.body[..]]).collect();
                self.write(now, &pieces, incoming)
            }
        });
        if let Err(error) = written {
            self.epochs_stale |= self.epochs.truncate_end(base_offset);
            return Err(error);
        }
        Ok((base_offset, max_timestamp))
    }

    fn check_size(&self, batches: &[Batch]) -> Result<u32, Error> {
        let bytes: usize = batches.iter().map(Batch::size_bytes).sum();
        u32::try_from(bytes).ok().filter(|bytes| *bytes <= self.config.segment_bytes).ok_or_else(|| {
            let limit = self.config.segment_bytes;
            let message = format!("the records take {bytes} bytes, more than a segment (segment.bytes={limit})");
            Error::refused(ErrorCode::RECORD_LIST_TOO_LARGE, message)
        })
    }

    /// The markers among the batches, checked; one for each batch, or none at all where there is no control batch.
    fn markers(&self, batches: &[Batch]) -> Result<Vec<Option<EndTransaction>>, Error> {
        if !batches.iter().any(|batch| batch.header.attributes.is_control() && batch.header.has_producer()) {
            return Ok(Vec::new());
        }
        let mut markers = Vec::with_capacity(batches.len());
        for batch in batches {
            let marker = match batch.header.attributes.is_control() {
                true => read_marker(&[&batch.head[..], &batch.body].concat()),
                false => None,
            };
            if let Some(marker) = marker {
                self.producers.check_marker(&batch.header, marker)?;
            }
            markers.push(marker);
        }
        Ok(markers)
    }

    /// Writes pieces of batches at the end of the active segment, or of a new one. A write that fails leaves the log as it
    /// was.
    pub(crate) fn write(&mut self, now: Now, pieces: &[&[u8]], incoming: Incoming) -> Result<(), Error> {
        if self.must_roll(now.wall, incoming) {
            self.roll(now.wall)?;
        }
        let preallocate = self.config.preallocate.then_some(self.config.segment_bytes);
        let place = Self::place(&self.disk, &self.identity);
        let active = self.segments.last_mut().expect("a log always has an active segment");
        let position = active.bytes;
        let file = active.open(place, Open::Create)?;
        if position == 0
            && let Some(length) = preallocate
        {
            file.preallocate(u64::from(length))?;
        }
        file.write_at(u64::from(position), pieces).map_err(|error| undo(file, position, error))
    }

    /// Notes a batch that is at the end of the active segment now.
    pub(crate) fn note(
        &mut self,
        header: &Header,
        marker: Option<EndTransaction>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let position = self.active_ref().bytes;
        let interval = self.config.index_interval_bytes;
        self.active().note(header, interval, now);
        self.remember(header.last_offset(), position);
        self.unsnapshotted_bytes += header.size_bytes() as u64;
        self.end = header.next_offset();
        match marker {
            Some(marker) => match self.producers.note_marker(header, marker) {
                Some(completed) => self.note_completed(&completed),
                None => Ok(()),
            },
            None => {
                if !header.attributes.is_control() {
                    self.producers.note(header);
                }
                Ok(())
            }
        }
    }

    pub(crate) fn write_epochs(&mut self) -> Result<(), Error> {
        let path = format!("{}/{}", self.identity.folder, crate::names::LEADER_EPOCH_CHECKPOINT);
        self.epochs_unsynced = true;
        self.disk.write_small(&path, &self.epochs.encode(), self.epochs_stale)?;
        self.epochs_stale = false;
        Ok(())
    }

    /// How long a segment is written to: what is compacted must not wait in the active segment for ever. Partitions that
    /// began together roll apart by up to `segment.jitter.ms`: a number that follows from the segment, so that no chance
    /// is needed.
    fn segment_ms(&self, base: Offset) -> u64 {
        let config = &self.config;
        let lag = if config.cleanup.compact { config.max_compaction_lag_ms } else { u64::MAX };
        let longest = config.segment_ms.min(lag);
        if config.segment_jitter_ms == 0 {
            return longest;
        }
        let mut hasher = types::FixedHasher::default();
        hasher.write(self.identity.folder.as_bytes());
        hasher.write(&base.0.to_be_bytes());
        longest.saturating_sub(hasher.finish() % config.segment_jitter_ms)
    }

    /// Kafka's reasons to begin a new segment.
    fn must_roll(&self, now: Timestamp, incoming: Incoming) -> bool {
        let Incoming { newest, bytes, next } = incoming;
        let active = self.active_ref();
        if active.bytes == 0 {
            return false;
        }
        // By the records' own clock where they have one, else by how long the segment is open.
        let waited = match active.first_timestamp {
            Timestamp::NONE => now.0.saturating_sub(active.created.0),
            first => newest.0.saturating_sub(first.0),
        };
        let full = |bytes: u64, entry: u64| bytes + entry > u64::from(self.config.segment_index_bytes);
        u64::from(active.bytes) + u64::from(bytes) > u64::from(self.config.segment_bytes)
            || u64::try_from(waited).unwrap_or(0) > self.segment_ms(active.base)
            || full(active.offsets.bytes(), 8)
            || full(active.times.bytes(), 12)
            || next.minus(active.base) > RELATIVE_MAX
    }
}

/// Cuts off what a failed write left behind. Where even that fails, the file's end is unknown and the log is lost.
fn undo<F: DiskFile>(file: &F, position: u32, error: DiskError) -> Error {
    match file.truncate(u64::from(position)) {
        Ok(()) if error.kind == ErrorKind::Full => Error::Full(error),
        Ok(()) => Error::Failed(error),
        Err(second) => Error::Failed(DiskError {
            kind: second.kind,
            message: format!("{error}; cutting the file back failed too: {second}"),
        }),
    }
}
