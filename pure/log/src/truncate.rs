//! Taking records back: a follower whose log went another way than its leader's cuts its tail off or begins anew.

use crate::recover::Report;
use crate::scan::Scan;
use crate::segment::{Place, log_path};
use crate::{Disk, DiskFile, Error, Log, Open, names};
use types::{Now, Offset};

impl<D: Disk> Log<D> {
    /// Removes every batch that reaches `end` or beyond. The log ends at `end` or, where a batch spans it, before.
    pub fn truncate_to(&mut self, now: Now, end: Offset) -> Result<(), Error> {
        if end >= self.end {
            return Ok(());
        }
        if end <= self.segments[0].base {
            return self.truncate_fully_and_start_at(now, end);
        }
        self.truncations = self.truncations.wrapping_add(1);
        let keep = self.segment_of(end.plus(-1)) + 1;
        let gone: Vec<Offset> = self.segments[keep..].iter().map(|segment| segment.base).collect();
        self.segments.truncate(keep);
        self.remove_segments(&gone)?;
        self.tail.clear();
        self.open_sealed.retain(|base| !gone.contains(base));
        self.cut_active(end)?;
        self.end = self.find_end()?;
        self.start = self.start.min(self.end);
        self.synced = self.synced.min(self.end);
        self.cleaned_to = self.cleaned_to.min(self.end);
        self.cleaned_synced = self.cleaned_synced.min(self.end);
        self.high_watermark = self.high_watermark.min(self.end);
        if self.epochs.truncate_end(self.end) {
            self.shrink_epochs()?;
        }
        self.reload_producers()
    }

    /// Removes everything; the next record gets offset `start`.
    pub fn truncate_fully_and_start_at(&mut self, now: Now, start: Offset) -> Result<(), Error> {
        self.truncations = self.truncations.wrapping_add(1);
        let gone: Vec<Offset> = self.segments.iter().map(|segment| segment.base).collect();
        let snapshot = self.snapshot_at;
        self.restart_at(start, now.wall);
        self.high_watermark = start;
        if self.disk.exists(&self.identity.folder) {
            self.remove_segments(&gone)?;
            self.disk.remove(&names::path(&self.identity.folder, snapshot, names::SNAPSHOT))?;
            self.disk.sync_folder(&self.identity.folder)?;
        }
        self.start_unwritten = true;
        self.try_remember_start()
    }

    /// A full disk takes it later.
    pub(crate) fn try_remember_start(&mut self) -> Result<(), Error> {
        match self.remember_start() {
            Err(Error::Full(_)) => Ok(()),
            remembered => remembered,
        }
    }

    /// Writes down where an empty log begins, where that is not done yet.
    pub(crate) fn remember_start(&mut self) -> Result<(), Error> {
        if !self.start_unwritten {
            return Ok(());
        }
        if self.start > Offset::ZERO {
            // A log that nothing was appended to has no folder, and would begin at 0 again after a start.
            self.make()?;
        }
        if self.disk.exists(&self.identity.folder) {
            self.shrink_epochs()?;
            // The name of the empty segment is what remembers where the log goes on.
            let place = Place { disk: &self.disk, folder: &self.identity.folder };
            self.segments[0].open(place, Open::Create)?;
            self.disk.sync_folder(&self.identity.folder)?;
        }
        if self.made && !self.folder_synced {
            let metadata = format!("{}/{}", self.identity.folder, names::PARTITION_METADATA);
            self.disk.open(&metadata, Open::Read)?.sync()?;
            self.disk.sync_folder("")?;
            self.folder_synced = true;
        }
        self.start_unwritten = false;
        Ok(())
    }

    /// Writes fewer epochs than before, also where the disk is full: a start without their checkpoint takes them from the
    /// batches.
    fn shrink_epochs(&mut self) -> Result<(), Error> {
        self.epochs_stale = true;
        match self.write_epochs() {
            Err(Error::Full(_)) => {
                self.disk.remove(&format!("{}/{}", self.identity.folder, names::LEADER_EPOCH_CHECKPOINT))?;
                self.write_epochs()
            }
            written => written,
        }
    }

    /// Records that were taken back must not come back with a power loss, nor with a hole where this fails half-way: the
    /// newest go first, and each for good.
    fn remove_segments(&self, bases: &[Offset]) -> Result<(), Error> {
        for base in bases.iter().rev() {
            for suffix in names::SEGMENT_SUFFIXES {
                self.disk.remove(&names::path(&self.identity.folder, *base, suffix))?;
            }
            self.disk.sync_folder(&self.identity.folder)?;
        }
        Ok(())
    }

    /// Cuts the last segment at its first batch that reaches `end`.
    fn cut_active(&mut self, end: Offset) -> Result<(), Error> {
        let place = Place { disk: &self.disk, folder: &self.identity.folder };
        let active = self.segments.last_mut().expect("one segment is kept");
        let Some(found) = active.find(place, end.plus(-1))? else { return Ok(()) };
        // A batch that ends right below `end` stays.
        let position = if found.header.next_offset() <= end { found.end() } else { found.position };
        // It was opened for reading where it was sealed.
        active.file = None;
        let file = active.open(place, Open::Write)?;
        file.truncate(u64::from(position))?;
        file.sync()?;
        active.bytes = position;
        active.trim(place, end)
    }

    /// Where the last segment ends, by its last batches; what is not in its indexes is noted again.
    fn find_end(&mut self) -> Result<Offset, Error> {
        let place = Place { disk: &self.disk, folder: &self.identity.folder };
        let interval = self.config.index_interval_bytes;
        let active = self.segments.last_mut().expect("one segment is kept");
        let (base, bytes, changed) = (active.base, active.bytes, active.changed);
        let from = active.offsets.newest().map_or(0, |entry| entry.position);
        let file = active.open(place, Open::Write)?.clone();
        let mut scan = Scan::new(&file, from, bytes);
        let mut end = base;
        active.bytes = from;
        active.unindexed_bytes = 0;
        while let Some(found) = scan.next().map_err(|stop| stop.into_error(|| log_path(place, base)))? {
            active.note(&found.header, interval, changed);
            end = found.header.next_offset();
        }
        Ok(end)
    }

    /// Producers as they were at the log's end: from the newest snapshot below it.
    fn reload_producers(&mut self) -> Result<(), Error> {
        let folder = self.identity.folder.clone();
        if self.snapshot_at > self.end {
            self.disk.remove(&names::path(&folder, self.snapshot_at, names::SNAPSHOT))?;
        }
        let (producers, from) = self.newest_snapshot(self.end)?;
        self.producers = producers;
        self.snapshot_at = from;
        self.replay(from, &mut Report::default())?;
        self.producers.set_high_watermark(self.high_watermark);
        Ok(())
    }
}
