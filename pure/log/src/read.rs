//! Reading by offset: where in which file the batches are. No record byte is read here.

use crate::scan::Found;
use crate::segment::Place;
use crate::{Disk, DiskFile, Error, Log};
use types::Offset;

/// What to look for.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// The first batch is the one that holds this offset, or the next where that is gone.
    pub from: Offset,
    /// No batch at or above this offset.
    pub upper: Offset,
    pub max_bytes: u32,
    /// The first batch is found even where it is larger than `max_bytes`.
    pub min_one_batch: bool,
}

/// A range of a file.
#[derive(Clone, Debug)]
pub struct FileRange<F> {
    pub file: F,
    pub position: u64,
    pub length: u32,
    /// It can most likely be sent without waiting for the disk.
    pub cached: bool,
}

/// The newest bytes of the active segment are taken to be in the page cache without asking.
const SURELY_CACHED_BYTES: u32 = 4 << 20;

impl<D: Disk> Log<D> {
    /// The batches of one segment that `range` names; `None` where there are none (yet).
    pub fn read(&mut self, range: &Range) -> Result<Option<FileRange<D::File>>, Error> {
        if range.from < self.start || range.from > self.end {
            return Err(Error::OutOfRange { asked: range.from, start: self.start, end: self.end });
        }
        let upper = range.upper.min(self.end);
        if range.from >= upper {
            return Ok(None);
        }
        let Some((at, position, batch_end)) = self.locate(range.from)? else { return Ok(None) };
        let limit = self.limit(at, upper)?;
        if position >= limit {
            return Ok(None);
        }
        let available = limit - position;
        let first = batch_end - position;
        let length = if available <= range.max_bytes {
            available
        } else if range.max_bytes <= first {
            if first > range.max_bytes && !range.min_one_batch {
                return Ok(None);
            }
            first
        } else {
            self.whole_batches(at, position, range.max_bytes)?
        };
        let file = self.file(at)?;
        let recent = at + 1 == self.segments.len() && self.segments[at].bytes - position <= SURELY_CACHED_BYTES;
        let cached = recent && !file.is_in_doubt() || file.is_cached(u64::from(position), u64::from(length));
        Ok(Some(FileRange { file, position: u64::from(position), length, cached }))
    }

    /// The first batch that ends at or after `offset`: its segment, its position, and where it ends.
    pub(crate) fn locate(&mut self, offset: Offset) -> Result<Option<(usize, u32, u32)>, Error> {
        let at = self.segment_of(offset);
        if at + 1 == self.segments.len()
            && let Some((position, end)) = self.locate_in_tail(offset)
        {
            return Ok(Some((at, position, end)));
        }
        Ok(self.seek(offset)?.map(|(at, found)| (at, found.position, found.end())))
    }

    /// Where the first batch begins that ends beyond `offset`, or `offset` where it lies within; the log's end where there is
    /// none.
    pub fn next_batch(&mut self, offset: Offset) -> Result<Offset, Error> {
        if offset >= self.end {
            return Ok(offset);
        }
        Ok(self.seek(offset)?.map_or(self.end, |(_, found)| found.header.base_offset.max(offset)))
    }

    fn seek(&mut self, offset: Offset) -> Result<Option<(usize, Found)>, Error> {
        for at in self.segment_of(offset)..self.segments.len() {
            if let Some(found) = self.find(at, offset)? {
                return Ok(Some((at, found)));
            }
        }
        Ok(None)
    }

    pub(crate) fn find(&mut self, at: usize, offset: Offset) -> Result<Option<Found>, Error> {
        if self.segments[at].bytes == 0 {
            return Ok(None);
        }
        self.file(at)?;
        self.segments[at].find(Place { disk: &self.disk, folder: &self.identity.folder }, offset)
    }

    /// As `locate`, among the newest batches.
    fn locate_in_tail(&self, offset: Offset) -> Option<(u32, u32)> {
        let at = self.tail.partition_point(|batch| batch.last < offset);
        // The first one remembered may not be the first one that matches.
        if at == 0 && self.tail.front()?.position > 0 {
            return None;
        }
        let position = self.tail.get(at)?.position;
        Some((position, self.tail.get(at + 1).map_or(self.active_ref().bytes, |next| next.position)))
    }

    /// Where in segment `at` the batches below `upper` end.
    fn limit(&mut self, at: usize, upper: Offset) -> Result<u32, Error> {
        if upper >= self.end || self.segments.get(at + 1).is_some_and(|next| upper >= next.base) {
            return Ok(self.segments[at].bytes);
        }
        let found = if at + 1 == self.segments.len() { self.locate_in_tail(upper) } else { None };
        match found {
            Some((position, _)) => Ok(position),
            None => Ok(self.find(at, upper)?.map_or(self.segments[at].bytes, |found| found.position)),
        }
    }

    /// The length of whole batches from `position` that fit `max_bytes`, as far as the index knows where batches begin;
    /// a reader drops a batch that is cut off, so sending one is a waste, not an error.
    fn whole_batches(&self, at: usize, position: u32, max_bytes: u32) -> Result<u32, Error> {
        let end = position.saturating_add(max_bytes);
        let begins = if at + 1 == self.segments.len()
            && self.tail.front().is_some_and(|first| first.position <= position)
        {
            self.tail.partition_point(|batch| batch.position <= end).checked_sub(1).map(|last| self.tail[last].position)
        } else {
            let place = Place { disk: &self.disk, folder: &self.identity.folder };
            self.segments[at].floor_offset(place, |entry| entry.position <= end)?.map(|entry| entry.position)
        };
        Ok(begins.filter(|begins| *begins > position).map_or(max_bytes, |begins| begins - position))
    }
}
