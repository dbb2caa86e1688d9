//! Compaction: keeps the latest record of each key. A job of two passes: one over the records that no compaction has seen
//! yet, which learns the latest offset of each key within a bound of memory; one over everything up to there, which writes
//! new segments without the records that are superseded.

use crate::batches::BatchReader;
use crate::index::{Entry, OffsetEntry, TimeEntry};
use crate::producers::read_marker;
use crate::segment::{Place, Segment, log_path};
use crate::transactions::{self, Aborted};
use crate::{Config, Disk, DiskFile, Error, Identity, Open, names};
use record::{Cleaning, Header};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use types::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use types::{Offset, ProducerEpoch, ProducerId, Timestamp};

/// What an entry of the map costs besides its key.
const ENTRY_BYTES: u64 = 64;
/// Output is written in pieces of about this size.
const WRITE_BYTES: usize = 1 << 20;

/// Keys by a hash that an attacker cannot easily steer; looked up only, so its order does not matter.
#[expect(clippy::disallowed_types, reason = "its hasher is fixed and it is never iterated")]
type Latest = std::collections::HashMap<Box<[u8]>, Offset, std::hash::BuildHasherDefault<std::hash::DefaultHasher>>;

/// A segment that is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub base: Offset,
    pub bytes: u32,
    /// Of its larger index.
    pub index_bytes: u64,
    pub changed: Timestamp,
}

/// Compacts one log.
pub struct CleanJob<D: Disk> {
    pub(crate) disk: D,
    pub(crate) identity: Identity,
    pub(crate) config: Arc<Config>,
    pub(crate) now: Timestamp,
    pub(crate) sources: Vec<Source>,
    /// Below, each key's records were compared with each other before.
    pub(crate) first_dirty: Offset,
    /// The base of the first segment that must stay as it is.
    pub(crate) end: Offset,
    /// The batches by which each producer's repetitions are known: they must stay, even empty, for a start that reads
    /// them from the log. A client repeats up to five after a crash.
    pub(crate) producers: BTreeMap<ProducerId, (Vec<Offset>, ProducerEpoch)>,
    /// The segments that have a transaction index, those from `end` on too: what they abort may have begun below.
    pub(crate) aborted: Vec<Offset>,
    pub(crate) truncations: u32,
}

/// New segments that wait to be put in the place of those they cover.
#[derive(Debug)]
pub struct Cleaned {
    pub(crate) groups: Vec<Group>,
    pub(crate) cleaned_to: Offset,
    pub(crate) truncations: u32,
}

/// One new segment.
#[derive(Debug)]
pub(crate) struct Group {
    pub base: Offset,
    pub sources: Vec<Offset>,
    pub bytes: u32,
    pub offsets: (u32, Option<OffsetEntry>),
    pub times: (u32, Option<TimeEntry>),
    pub first_timestamp: Timestamp,
    pub max_timestamp: Timestamp,
    pub max_timestamp_offset: Offset,
    pub changed: Timestamp,
    pub has_aborted: bool,
}

/// The latest offset of each key from `first_dirty` up to `end`.
struct Map {
    latest: Latest,
    end: Offset,
}

/// Which transactions the cleaner is within as it walks the log.
#[derive(Default)]
struct Transactions {
    /// Still ahead, by first offset.
    ahead: BTreeMap<(Offset, ProducerId), Aborted>,
    /// Under way and aborted in the end, with whether a record of them was seen.
    aborted: BTreeMap<ProducerId, (Aborted, bool)>,
    /// Under way and committed in the end.
    committed: BTreeSet<ProducerId>,
}

impl Transactions {
    fn advance(&mut self, offset: Offset) {
        while let Some(first) = self.ahead.first_entry()
            && first.key().0 <= offset
        {
            let entry = first.remove();
            self.aborted.entry(entry.producer_id).or_insert((entry, false));
        }
    }

    /// True where the batch's records were aborted.
    fn data(&mut self, header: &Header) -> bool {
        self.advance(header.last_offset());
        if !header.attributes.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&header.producer_id) {
            Some((_, seen)) => {
                *seen = true;
                true
            }
            None => {
                self.committed.insert(header.producer_id);
                false
            }
        }
    }

    /// Whether the marker may go, for no record of its transaction is left; and the aborted transaction that must stay
    /// in the index.
    fn marker(&mut self, header: &Header, batch: &[u8]) -> (bool, Option<Aborted>) {
        self.advance(header.last_offset());
        if header.record_count == 0 {
            return (true, None);
        }
        match read_marker(batch) {
            Some(marker) if marker.commit => (!self.committed.remove(&header.producer_id), None),
            Some(_) => match self.aborted.remove(&header.producer_id) {
                Some((entry, true)) => (false, Some(entry)),
                Some((_, false)) | None => (true, None),
            },
            None => (false, None),
        }
    }
}

impl<D: Disk> CleanJob<D> {
    pub(crate) fn run(self) -> Result<Cleaned, Error> {
        self.clean().inspect_err(|_| self.remove_output())
    }

    /// Gives back the space of what was written in vain. What cannot be removed is at the next start.
    fn remove_output(&self) {
        for source in &self.sources {
            for suffix in [names::LOG, names::INDEX, names::TIMEINDEX, names::TXNINDEX] {
                drop(self.disk.remove(&Output::path(self, source.base, suffix)));
            }
        }
    }

    fn clean(&self) -> Result<Cleaned, Error> {
        let map = self.build_map()?;
        let mut transactions = self.transactions(Offset::ZERO)?;
        let mut groups = Vec::new();
        for group in self.groups(&map) {
            groups.push(self.clean_group(group, &map, &mut transactions)?);
        }
        if !groups.is_empty() {
            self.disk.sync_folder(&self.identity.folder)?;
        }
        Ok(Cleaned { groups, cleaned_to: map.end, truncations: self.truncations })
    }

    fn place(&self) -> Place<'_, D> {
        Place { disk: &self.disk, folder: &self.identity.folder }
    }

    /// All transactions that are aborted from `from` on, in these segments or behind them: their records come before their
    /// marker, whose segment's index names them. One whose marker is below would seem to go on for ever, and hide what
    /// its producer committed later.
    fn transactions(&self, from: Offset) -> Result<Transactions, Error> {
        let mut transactions = Transactions::default();
        for base in &self.aborted {
            for entry in transactions::read(self.place(), *base)? {
                if entry.first_offset < self.end && entry.last_offset >= from {
                    transactions.ahead.insert((entry.first_offset, entry.producer_id), entry);
                }
            }
        }
        Ok(transactions)
    }

    fn open(&self, base: Offset) -> Result<D::File, Error> {
        Ok(self.disk.open(&names::path(&self.identity.folder, base, names::LOG), Open::Read)?)
    }

    /// Learns the latest offset of each key, until all was read or the memory is used up.
    fn build_map(&self) -> Result<Map, Error> {
        let mut map = Map { latest: Latest::default(), end: self.first_dirty };
        let first = self.sources.partition_point(|source| source.base <= self.first_dirty).saturating_sub(1);
        let mut transactions = self.transactions(self.sources.get(first).map_or(self.end, |source| source.base))?;
        let mut budget = self.config.cleaner_dedupe_buffer_bytes;
        for (at, source) in self.sources.iter().enumerate().skip(first) {
            let next = self.sources.get(at + 1).map_or(self.end, |next| next.base);
            let file = self.open(source.base)?;
            let mut reader = BatchReader::new(&file, source.bytes);
            while let Some((header, batch)) = self.next(&mut reader, source.base)? {
                if header.attributes.is_control() {
                    transactions.marker(&header, batch);
                } else if !transactions.data(&header) && !self.learn(&mut map, &header, batch, &mut budget)? {
                    return Ok(map);
                }
                map.end = map.end.max(header.next_offset());
            }
            map.end = map.end.max(next);
        }
        Ok(map)
    }

    /// Puts a batch's keys into the map; false where they do not fit. The first batch always does, so that every
    /// compaction gets on.
    fn learn(&self, map: &mut Map, header: &Header, batch: &[u8], budget: &mut u64) -> Result<bool, Error> {
        if header.last_offset() < self.first_dirty {
            return Ok(true);
        }
        let mut cost = 0;
        let mut found: Vec<(Box<[u8]>, Offset)> = Vec::new();
        let mut records =
            record::records(batch, DECOMPRESSED_BATCH_BYTES_MAX).map_err(|why| self.corrupt(header, why))?;
        while let Some(record) = records.next_record().map_err(|why| self.corrupt(header, why))? {
            if let Some(key) = record.key
                && record.offset >= self.first_dirty
            {
                match map.latest.get_mut(key) {
                    Some(latest) => *latest = record.offset,
                    None => {
                        cost += key.len() as u64 + ENTRY_BYTES;
                        found.push((key.into(), record.offset));
                    }
                }
            }
        }
        if cost > *budget && map.end > self.first_dirty {
            return Ok(false);
        }
        *budget = budget.saturating_sub(cost);
        map.latest.extend(found);
        Ok(true)
    }

    fn corrupt(&self, header: &Header, why: record::Invalid) -> Error {
        Error::Corrupt {
            path: self.disk.describe(&self.identity.folder),
            position: 0,
            why: format!("the batch at offset {}: {why}", header.base_offset),
        }
    }

    fn next<'r>(
        &self,
        reader: &'r mut BatchReader<'_, D::File>,
        base: Offset,
    ) -> Result<Option<(Header, &'r [u8])>, Error> {
        reader.next().map_err(|stop| stop.into_error(|| log_path(self.place(), base)))
    }

    /// Segments that become one: as many as fit `segment.bytes` and an index.
    fn groups(&self, map: &Map) -> Vec<&[Source]> {
        let count = self.sources.partition_point(|source| source.base < map.end);
        let mut groups = Vec::new();
        let mut rest = &self.sources[..count];
        while let Some(first) = rest.first() {
            let (mut bytes, mut index_bytes, mut take) = (0_u64, 0, 0);
            for (at, source) in rest.iter().enumerate() {
                bytes += u64::from(source.bytes);
                index_bytes += source.index_bytes;
                let end = rest.get(at + 1).map_or(self.end, |next| next.base);
                let fits = bytes <= u64::from(self.config.segment_bytes)
                    && index_bytes <= u64::from(self.config.segment_index_bytes)
                    && end.minus(first.base) <= i64::from(i32::MAX);
                if at > 0 && !fits {
                    break;
                }
                take = at + 1;
            }
            let (group, others) = rest.split_at(take);
            groups.push(group);
            rest = others;
        }
        groups
    }

    fn clean_group(&self, sources: &[Source], map: &Map, transactions: &mut Transactions) -> Result<Group, Error> {
        let base = sources[0].base;
        let mut output = Output::create(self, base)?;
        let mut last_batch = None;
        for source in sources {
            let file = self.open(source.base)?;
            let mut reader = BatchReader::new(&file, source.bytes);
            while let Some((header, batch)) = self.next(&mut reader, source.base)? {
                // Whether it is the group's last batch, which must stay for the sake of its offset, shows with the next.
                if let Some(dropped) = self.clean_batch(&header, batch, map, transactions, &mut output)? {
                    last_batch = Some(dropped);
                } else {
                    last_batch = None;
                }
            }
        }
        if let Some(header) = last_batch {
            output.append(&record::empty_batch(&header), &header)?;
        }
        output.finish(sources)
    }

    /// Writes what stays of a batch; returns its header where nothing does.
    fn clean_batch(
        &self,
        header: &Header,
        batch: &[u8],
        map: &Map,
        transactions: &mut Transactions,
        output: &mut Output<'_, D>,
    ) -> Result<Option<Header>, Error> {
        let control = header.attributes.is_control();
        let discard = match control {
            true => {
                let (discard, kept) = transactions.marker(header, batch);
                output.aborted.extend(kept);
                discard
            }
            false => transactions.data(header),
        };
        if header.base_offset >= map.end && !control && !discard {
            // Nothing is known of its keys; a tombstone, however old, may still be needed by records below.
            output.append(batch, header)?;
            return Ok(None);
        }
        let cleaning = Cleaning {
            now: self.now,
            delete_retention_ms: i64::try_from(self.config.delete_retention_ms).unwrap_or(i64::MAX),
            discard,
            retain_empty: self.is_remembered(header),
            limit_bytes: DECOMPRESSED_BATCH_BYTES_MAX,
        };
        let is_latest = |record: &record::Record<'_>| {
            record.key.is_some_and(|key| map.latest.get(key).is_none_or(|latest| record.offset >= *latest))
        };
        match record::clean(batch, &cleaning, is_latest).map_err(|why| self.corrupt(header, why))? {
            record::Cleaned::Kept => output.append(batch, header)?,
            record::Cleaned::Rewritten(bytes) | record::Cleaned::Emptied(bytes) => output.append(&bytes, header)?,
            record::Cleaned::Dropped => return Ok(Some(*header)),
        }
        Ok(None)
    }

    fn is_remembered(&self, header: &Header) -> bool {
        match self.producers.get(&header.producer_id) {
            Some((kept, epoch)) if kept.is_empty() => header.attributes.is_control() && header.producer_epoch == *epoch,
            Some((kept, _)) => kept.contains(&header.last_offset()),
            None => false,
        }
    }
}

/// The `.cleaned` files of one new segment.
struct Output<'a, D: Disk> {
    job: &'a CleanJob<D>,
    segment: Segment<D::File>,
    file: D::File,
    buffer: Vec<u8>,
    written: u64,
    aborted: Vec<Aborted>,
}

impl<'a, D: Disk> Output<'a, D> {
    fn create(job: &'a CleanJob<D>, base: Offset) -> Result<Output<'a, D>, Error> {
        let file = job.disk.open(&Self::path(job, base, names::LOG), Open::Create)?;
        file.truncate(0)?;
        let segment = Segment::new(base, job.now);
        Ok(Output { job, segment, file, buffer: Vec::new(), written: 0, aborted: Vec::new() })
    }

    fn path(job: &CleanJob<D>, base: Offset, suffix: &str) -> String {
        format!("{}{}", names::path(&job.identity.folder, base, suffix), names::CLEANED)
    }

    /// Appends a batch; `source` is the header it had before.
    fn append(&mut self, batch: &[u8], source: &Header) -> Result<(), Error> {
        let header = Header::parse(batch).map_err(|why| self.job.corrupt(source, why))?;
        self.segment.note(&header, self.job.config.index_interval_bytes, self.job.now);
        self.buffer.extend_from_slice(batch);
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.file.write_at(self.written, &[&self.buffer])?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes what is left and makes all of it durable, for the segments it replaces are removed.
    fn finish(mut self, sources: &[Source]) -> Result<Group, Error> {
        self.flush()?;
        self.file.sync()?;
        self.segment.note_time();
        let base = self.segment.base;
        self.write_small(names::INDEX, &self.segment.offsets.unwritten().1)?;
        self.write_small(names::TIMEINDEX, &self.segment.times.unwritten().1)?;
        let has_aborted = !self.aborted.is_empty();
        if has_aborted {
            let bytes: Vec<u8> = self.aborted.iter().flat_map(Aborted::encode).collect();
            self.write_small(names::TXNINDEX, &bytes)?;
        }
        Ok(Group {
            base,
            sources: sources.iter().map(|source| source.base).collect(),
            bytes: self.segment.bytes,
            offsets: summary(&self.segment.offsets),
            times: summary(&self.segment.times),
            first_timestamp: self.segment.first_timestamp,
            max_timestamp: self.segment.max_timestamp,
            max_timestamp_offset: self.segment.max_timestamp_offset,
            changed: sources.last().map_or(self.job.now, |source| source.changed),
            has_aborted,
        })
    }

    fn write_small(&self, suffix: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = Self::path(self.job, self.segment.base, suffix);
        let file = self.job.disk.open(&path, Open::Create)?;
        file.truncate(0)?;
        if !bytes.is_empty() {
            file.write_at(0, &[bytes])?;
        }
        Ok(file.sync()?)
    }
}

fn summary<E: Entry>(index: &crate::index::Index<E>) -> (u32, Option<E>) {
    (index.len(), index.newest())
}
