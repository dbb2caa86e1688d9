//! Finding records by their timestamp.

use crate::segment::{Place, log_path};
use crate::{Disk, DiskFile, Error, Log};
use record::Header;
use types::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use types::{LeaderEpoch, Offset, Timestamp};

/// A record that was found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dated {
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub leader_epoch: LeaderEpoch,
}

impl<D: Disk> Log<D> {
    /// The first record whose timestamp is `timestamp` or later.
    pub fn offset_for_timestamp(&mut self, timestamp: Timestamp) -> Result<Option<Dated>, Error> {
        for at in self.segment_of(self.start)..self.segments.len() {
            if self.segments[at].max_timestamp >= timestamp
                && let Some(found) = self.first_from(at, timestamp)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first of the records that have the largest timestamp.
    pub fn max_timestamp(&mut self) -> Result<Option<Dated>, Error> {
        let first = self.segment_of(self.start);
        // The first of those that are equal: a later one must be larger to count.
        let mut best = first;
        for at in first..self.segments.len() {
            if self.segments[at].max_timestamp > self.segments[best].max_timestamp {
                best = at;
            }
        }
        let timestamp = self.segments[best].max_timestamp;
        if timestamp == Timestamp::NONE { Ok(None) } else { self.first_from(best, timestamp) }
    }

    /// As `offset_for_timestamp`, in segment `at`.
    fn first_from(&mut self, at: usize, timestamp: Timestamp) -> Result<Option<Dated>, Error> {
        let file = self.file(at)?;
        let place = Place { disk: &self.disk, folder: &self.identity.folder };
        let segment = &mut self.segments[at];
        // Every record up to that entry's offset is older.
        let older = segment.floor_time(place, |entry| entry.timestamp < timestamp)?;
        let offset = older.map_or(segment.base, |entry| segment.base.plus(i64::from(entry.relative))).max(self.start);
        let Some(mut found) = segment.find(place, offset)? else { return Ok(None) };
        let base = segment.base;
        let mut scan = crate::scan::Scan::new(&file, found.position, segment.bytes);
        while let Some(next) = scan.next().map_err(|stop| stop.into_error(|| log_path(place, base)))? {
            found = next;
            if found.header.max_timestamp < timestamp {
                continue;
            }
            let bytes = read_batch(&file, found.position, &found.header)?;
            let first = first_record(&bytes, timestamp, self.start).map_err(|why| Error::Corrupt {
                path: log_path(place, base),
                position: u64::from(found.position),
                why: why.to_string(),
            })?;
            if let Some((offset, timestamp)) = first {
                return Ok(Some(Dated { offset, timestamp, leader_epoch: found.header.leader_epoch }));
            }
        }
        Ok(None)
    }
}

/// All bytes of the batch at `position`.
pub(crate) fn read_batch<F: DiskFile>(file: &F, position: u32, header: &Header) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; header.size_bytes()];
    let read = file.read_at(u64::from(position), &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

fn first_record(
    batch: &[u8],
    timestamp: Timestamp,
    start: Offset,
) -> Result<Option<(Offset, Timestamp)>, record::Invalid> {
    let mut records = record::records(batch, DECOMPRESSED_BATCH_BYTES_MAX)?;
    while let Some(record) = records.next_record()? {
        if record.timestamp >= timestamp && record.offset >= start {
            return Ok(Some((record.offset, record.timestamp)));
        }
    }
    Ok(None)
}
