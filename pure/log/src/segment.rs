//! One segment: the file of its batches, its indexes, and what is known of its timestamps.

use crate::index::{Entry, Index, OffsetEntry, TimeEntry};
use crate::scan::{Found, Scan};
use crate::{Disk, DiskFile, Error, Open, names};
use record::Header;
use types::{Offset, Timestamp};

#[derive(Debug)]
pub(crate) struct Segment<F> {
    pub base: Offset,
    /// Length of the `.log` file as far as it holds whole batches.
    pub bytes: u32,
    /// The `.log` file while it is open.
    pub file: Option<F>,
    pub offsets: Index<OffsetEntry>,
    pub times: Index<TimeEntry>,
    /// Bytes appended since the last index entry.
    pub unindexed_bytes: u32,
    /// The largest timestamp of the first batch; -1 where there is none. Decides rolling by time.
    pub first_timestamp: Timestamp,
    pub max_timestamp: Timestamp,
    /// The last offset of the batch that has `max_timestamp`.
    pub max_timestamp_offset: Offset,
    /// When it was begun, by the wall clock.
    pub created: Timestamp,
    /// When it was last written to, by the wall clock.
    pub changed: Timestamp,
    /// It has a `.txnindex`.
    pub has_aborted: bool,
    /// The name of its `.log` file is durable.
    pub names_synced: bool,
    /// All its files were synced since it was sealed.
    pub sealed_synced: bool,
}

/// Which files of a segment to name.
#[derive(Debug)]
pub(crate) struct Place<'a, D> {
    pub disk: &'a D,
    pub folder: &'a str,
}

impl<D> Clone for Place<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for Place<'_, D> {}

impl<F: DiskFile> Segment<F> {
    pub(crate) fn new(base: Offset, now: Timestamp) -> Segment<F> {
        Segment {
            base,
            bytes: 0,
            file: None,
            offsets: Index::new(),
            times: Index::new(),
            unindexed_bytes: 0,
            first_timestamp: Timestamp::NONE,
            max_timestamp: Timestamp::NONE,
            max_timestamp_offset: Offset::NONE,
            created: now,
            changed: now,
            has_aborted: false,
            names_synced: false,
            sealed_synced: false,
        }
    }

    pub(crate) fn relative(&self, offset: Offset) -> Option<u32> {
        u32::try_from(offset.minus(self.base)).ok().filter(|relative| i32::try_from(*relative).is_ok())
    }

    /// Opens the `.log` file where it is not open; for writing it is made where it does not exist.
    pub(crate) fn open<D: Disk<File = F>>(&mut self, place: Place<'_, D>, how: Open) -> Result<&F, Error> {
        if self.file.is_none() {
            self.file = Some(place.disk.open(&names::path(place.folder, self.base, names::LOG), how)?);
        }
        Ok(self.file.as_ref().expect("it was just opened"))
    }

    /// Notes a batch that was written at the end: its index entries, timestamps and size. `interval` is
    /// `index.interval.bytes`.
    pub(crate) fn note(&mut self, header: &Header, interval: u32, now: Timestamp) {
        let bytes = u32::try_from(header.size_bytes()).expect("a batch fits a segment");
        if self.bytes == 0 {
            self.first_timestamp = header.max_timestamp;
        }
        if header.max_timestamp > self.max_timestamp {
            self.max_timestamp = header.max_timestamp;
            self.max_timestamp_offset = header.last_offset();
        }
        if self.unindexed_bytes > interval {
            let relative =
                self.relative(header.last_offset()).expect("rolling keeps offsets within the segment's reach");
            self.offsets.push(OffsetEntry { relative, position: self.bytes });
            self.note_time();
            self.unindexed_bytes = 0;
        }
        self.unindexed_bytes += bytes;
        self.bytes += bytes;
        self.changed = now;
    }

    /// Adds the largest timestamp so far to the time index, where it is above the last entry's.
    pub(crate) fn note_time(&mut self) {
        let Some(relative) = self.relative(self.max_timestamp_offset) else { return };
        if self.max_timestamp > self.times.newest().map_or(Timestamp::NONE, |entry| entry.timestamp) {
            self.times.push(TimeEntry { timestamp: self.max_timestamp, relative });
        }
    }

    /// Writes the index entries that are only in memory.
    pub(crate) fn write_indexes<D: Disk<File = F>>(&mut self, place: Place<'_, D>) -> Result<(), Error> {
        if self.times.written() == 0 && !self.times.is_written() && self.offsets.is_written() {
            // Kafka's tools read the two side by side: a time index needs an offset index beside it, if an empty one.
            place.disk.open(&names::path(place.folder, self.base, names::INDEX), Open::Create)?;
        }
        // Times first: after a crash between the two they say too much rather than too little.
        write_index(&mut self.times, place, self.base, names::TIMEINDEX)?;
        write_index(&mut self.offsets, place, self.base, names::INDEX)
    }

    /// Forgets index entries at or beyond `end`, after the file was cut back to where the records below it end.
    pub(crate) fn trim<D: Disk<File = F>>(&mut self, place: Place<'_, D>, end: Offset) -> Result<(), Error> {
        let (base, bytes) = (self.base, self.bytes);
        trim_index(&mut self.offsets, place, base, names::INDEX, |entry| entry.position < bytes)?;
        let below = |relative: u32| base.plus(i64::from(relative)) < end;
        trim_index(&mut self.times, place, base, names::TIMEINDEX, |entry| below(entry.relative))?;
        if self.max_timestamp_offset >= end {
            let newest = self.times.newest();
            self.max_timestamp = newest.map_or(Timestamp::NONE, |entry| entry.timestamp);
            self.max_timestamp_offset = newest.map_or(Offset::NONE, |entry| base.plus(i64::from(entry.relative)));
        }
        Ok(())
    }

    /// The first batch that ends at or after `offset`.
    pub(crate) fn find<D: Disk<File = F>>(
        &mut self,
        place: Place<'_, D>,
        offset: Offset,
    ) -> Result<Option<Found>, Error> {
        if self.bytes == 0 {
            return Ok(None);
        }
        let base = self.base;
        let below = |entry: &OffsetEntry| base.plus(i64::from(entry.relative)) <= offset;
        let from = self.floor_offset(place, below)?.map_or(0, |entry| entry.position);
        let end = self.bytes;
        let file = self.open(place, Open::Read)?;
        let mut scan = Scan::new(file, from, end);
        loop {
            match scan.next() {
                Ok(Some(found)) if found.header.last_offset() >= offset => return Ok(Some(found)),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(stop) => return Err(stop.into_error(|| log_path(place, base))),
            }
        }
    }

    /// The last entry of the offset index that satisfies `holds`.
    pub(crate) fn floor_offset<D: Disk<File = F>>(
        &self,
        place: Place<'_, D>,
        holds: impl Fn(&OffsetEntry) -> bool,
    ) -> Result<Option<OffsetEntry>, Error> {
        Ok(floor(&self.offsets, place, self.base, names::INDEX, holds)?)
    }

    /// The last entry of the time index that satisfies `holds`.
    pub(crate) fn floor_time<D: Disk<File = F>>(
        &self,
        place: Place<'_, D>,
        holds: impl Fn(&TimeEntry) -> bool,
    ) -> Result<Option<TimeEntry>, Error> {
        Ok(floor(&self.times, place, self.base, names::TIMEINDEX, holds)?)
    }
}

pub(crate) fn log_path<D: Disk>(place: Place<'_, D>, base: Offset) -> String {
    place.disk.describe(&names::path(place.folder, base, names::LOG))
}

fn floor<D: Disk, E: Entry>(
    index: &Index<E>,
    place: Place<'_, D>,
    base: Offset,
    suffix: &str,
    holds: impl Fn(&E) -> bool,
) -> crate::DiskResult<Option<E>> {
    let file = match index.needs_file(&holds) {
        true => Some(place.disk.open(&names::path(place.folder, base, suffix), Open::Read)?),
        false => None,
    };
    Ok(index.count_while(file.as_ref(), holds)?.1)
}

fn trim_index<D: Disk, E: Entry>(
    index: &mut Index<E>,
    place: Place<'_, D>,
    base: Offset,
    suffix: &str,
    holds: impl Fn(&E) -> bool,
) -> Result<(), Error> {
    let path = names::path(place.folder, base, suffix);
    let file = if index.written() > 0 { Some(place.disk.open(&path, Open::Write)?) } else { None };
    let (kept, newest) = index.count_while(file.as_ref(), holds)?;
    if index.truncate(kept, newest)
        && let Some(file) = file
    {
        file.truncate(index.bytes())?;
    }
    Ok(())
}

fn write_index<D: Disk, E: Entry>(
    index: &mut Index<E>,
    place: Place<'_, D>,
    base: Offset,
    suffix: &str,
) -> Result<(), Error> {
    if index.is_written() {
        return Ok(());
    }
    let (position, bytes) = index.unwritten();
    place.disk.open(&names::path(place.folder, base, suffix), Open::Create)?.write_at(position, &[&bytes])?;
    index.set_written();
    Ok(())
}
