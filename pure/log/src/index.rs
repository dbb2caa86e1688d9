//! The sparse indexes of a segment: offset to position (8 bytes an entry) and timestamp to offset (12 bytes), in Kafka's
//! format. Entries of the segment that is written to are held in memory and written out now and then, so that an append
//! touches one file only; older entries are searched in the file.

use crate::{DiskFile, DiskResult};
use types::Timestamp;

/// How many of the newest entries stay in memory after they were written out.
const KEPT_ENTRIES: usize = 128;
/// How many entries one read of a search looks at.
const SEARCH_BYTES: usize = 1536;

pub(crate) trait Entry: Copy {
    const BYTES: usize;
    fn encode(self, into: &mut Vec<u8>);
    /// `bytes` has `BYTES` bytes.
    fn decode(bytes: &[u8]) -> Self;
}

/// The batch at `position` ends with the record `relative` offsets above the segment's base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub relative: u32,
    pub position: u32,
}

/// Up to the record `relative` offsets above the segment's base no timestamp is above `timestamp`, which is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub timestamp: Timestamp,
    pub relative: u32,
}

fn be_u32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("an entry's field has four bytes"))
}

impl Entry for OffsetEntry {
    const BYTES: usize = 8;

    fn encode(self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.relative.to_be_bytes());
        into.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> OffsetEntry {
        OffsetEntry { relative: be_u32(&bytes[..4]), position: be_u32(&bytes[4..8]) }
    }
}

impl Entry for TimeEntry {
    const BYTES: usize = 12;

    fn encode(self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.timestamp.0.to_be_bytes());
        into.extend_from_slice(&self.relative.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> TimeEntry {
        let timestamp = i64::from_be_bytes(bytes[..8].try_into().expect("a timestamp has eight bytes"));
        TimeEntry { timestamp: Timestamp(timestamp), relative: be_u32(&bytes[8..12]) }
    }
}

/// One index: entries `0..first` are in the file only, the others are in `recent`; `0..written` are in the file.
#[derive(Debug)]
pub(crate) struct Index<E> {
    first: u32,
    written: u32,
    recent: Vec<E>,
}

fn count(length: usize) -> u32 {
    u32::try_from(length).expect("an index has less than 2^32 entries")
}

impl<E: Entry> Index<E> {
    pub(crate) fn new() -> Index<E> {
        Index { first: 0, written: 0, recent: Vec::new() }
    }

    /// An index whose `entries` are all in its file; `newest` is the last of them.
    pub(crate) fn in_file(entries: u32, newest: Option<E>) -> Index<E> {
        let recent: Vec<E> = newest.into_iter().collect();
        Index { first: entries - count(recent.len()), written: entries, recent }
    }

    pub(crate) fn len(&self) -> u32 {
        self.first + count(self.recent.len())
    }

    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.len()) * E::BYTES as u64
    }

    pub(crate) fn push(&mut self, entry: E) {
        self.recent.push(entry);
    }

    /// How many entries are not in the file yet.
    pub(crate) fn unwritten_entries(&self) -> u32 {
        self.len() - self.written
    }

    /// The newest entry that is held in memory.
    pub(crate) fn newest(&self) -> Option<E> {
        self.recent.last().copied()
    }

    pub(crate) fn is_written(&self) -> bool {
        self.written == self.len()
    }

    /// The bytes that are not in the file yet, and where they belong.
    pub(crate) fn unwritten(&self) -> (u64, Vec<u8>) {
        let from = (self.written - self.first) as usize;
        let mut bytes = Vec::with_capacity((self.recent.len() - from) * E::BYTES);
        for entry in &self.recent[from..] {
            entry.encode(&mut bytes);
        }
        (u64::from(self.written) * E::BYTES as u64, bytes)
    }

    /// All entries are in the file now; only the newest stay in memory.
    pub(crate) fn set_written(&mut self) {
        self.written = self.len();
        if self.recent.len() > 4 * KEPT_ENTRIES {
            let drop = self.recent.len() - KEPT_ENTRIES;
            self.recent.drain(..drop);
            self.recent.shrink_to(4 * KEPT_ENTRIES);
            self.first += count(drop);
        }
    }

    /// Gives back the memory of entries that are in the file, except the newest.
    pub(crate) fn release(&mut self) {
        if self.is_written() && self.recent.capacity() > 1 {
            let newest = self.newest();
            self.recent = newest.into_iter().collect();
            self.first = self.written - count(self.recent.len());
        }
    }

    pub(crate) fn written(&self) -> u32 {
        self.written
    }

    /// Keeps the first `length` entries, the last of which is `newest`. True where the file must be shortened.
    pub(crate) fn truncate(&mut self, length: u32, newest: Option<E>) -> bool {
        let shorten = length < self.written;
        self.written = self.written.min(length);
        if length <= self.first {
            self.recent = newest.into_iter().collect();
            self.first = length - count(self.recent.len());
        } else {
            self.recent.truncate((length - self.first) as usize);
        }
        shorten
    }

    /// Entry `number`, from memory or from the file.
    pub(crate) fn get<F: DiskFile>(&self, file: Option<&F>, number: u32) -> DiskResult<Option<E>> {
        if number >= self.first {
            return Ok(self.recent.get((number - self.first) as usize).copied());
        }
        let Some(file) = file else { return Ok(None) };
        let mut bytes = [0; 12];
        let bytes = &mut bytes[..E::BYTES];
        let read = file.read_at(u64::from(number) * E::BYTES as u64, bytes)?;
        Ok((read == E::BYTES).then(|| E::decode(bytes)))
    }

    /// True where `count_while` needs the file to answer.
    pub(crate) fn needs_file(&self, holds: impl Fn(&E) -> bool) -> bool {
        self.first > 0 && !self.recent.first().is_some_and(holds)
    }

    /// How many entries from the first on satisfy `holds`, which no entry does after one that does not; with the last
    /// of those that do. `file` is the index's file, needed where `needs_file` says so.
    pub(crate) fn count_while<F: DiskFile>(
        &self,
        file: Option<&F>,
        holds: impl Fn(&E) -> bool,
    ) -> DiskResult<(u32, Option<E>)> {
        if !self.needs_file(&holds) {
            let inside = self.recent.partition_point(&holds);
            let last = inside.checked_sub(1).map(|at| self.recent[at]);
            return Ok((self.first + count(inside), last));
        }
        let Some(file) = file else { return Ok((0, None)) };
        let block = count(SEARCH_BYTES / E::BYTES);
        // Blocks before `low` begin with an entry that holds, those from `high` on do not.
        let (mut low, mut high) = (0, self.first.div_ceil(block));
        let mut buffer = [0; SEARCH_BYTES];
        let mut best = (0, None);
        while low < high {
            let middle = low + (high - low) / 2;
            let from = middle * block;
            let entries = block.min(self.first - from) as usize;
            let bytes = &mut buffer[..entries * E::BYTES];
            let read = file.read_at(u64::from(from) * E::BYTES as u64, bytes)? / E::BYTES;
            let found: Vec<E> = bytes[..read * E::BYTES].chunks_exact(E::BYTES).map(E::decode).collect();
            let inside = found.partition_point(&holds);
            if inside == 0 {
                high = middle;
            } else {
                best = (from + count(inside), Some(found[inside - 1]));
                if inside < found.len() {
                    break;
                }
                low = middle + 1;
            }
        }
        Ok(best)
    }
}
