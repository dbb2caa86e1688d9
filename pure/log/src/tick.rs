//! What the log does now and then, when nobody asks: write out index entries, delete, compact, give back memory.

use crate::{Disk, Error, Job, JobDone, Log};
use types::{Instant, Now};

/// A snapshot of the producers is written when this much was appended since the last one, so that a start after a crash
/// reads no more than that.
const SNAPSHOT_BYTES: u64 = 2 << 20;
/// Index entries are written out when there are so many, or when the log is idle.
const UNWRITTEN_ENTRIES_MAX: u32 = 32;
/// How often silent producers are looked for.
const EXPIRY_MS: u64 = 600_000;
/// An open file that nobody used for this long is closed.
const IDLE_MS: u64 = 60_000;

impl<D: Disk> Log<D> {
    /// Writes out what is only in memory and begins what is due; about once a second.
    pub fn tick(&mut self, now: Now, jobs: &mut Vec<Job<D>>) -> Result<(), Error> {
        let idle = self.end == self.ticked_end;
        if !idle {
            self.ticked_end = self.end;
            self.used_at = now.at;
        }
        if idle || self.active_ref().offsets.unwritten_entries() >= UNWRITTEN_ENTRIES_MAX {
            self.write_indexes()?;
        }
        if now.at.ms_since(self.used_at) >= IDLE_MS {
            self.release();
        }
        if self.unsnapshotted_bytes >= SNAPSHOT_BYTES {
            self.take_snapshot()?;
        }
        if now.at.ms_since(self.expired_at) >= EXPIRY_MS {
            self.expired_at = now.at;
            self.producers.expire(now.wall, self.config.producer_id_expiration_ms);
        }
        self.try_remember_start()?;
        jobs.extend(self.start_verify().map(Job::Verify));
        self.retain(now)?;
        self.remove_doomed(now, jobs);
        jobs.extend(self.start_cleaning(now).map(Job::Clean));
        Ok(())
    }

    /// A reader is at the log: its files stay open for now.
    pub fn touch(&mut self, now: Instant) {
        self.used_at = now;
    }

    /// Takes back the outcome of a job of this log.
    pub fn job_done(&mut self, now: Now, done: JobDone, jobs: &mut Vec<Job<D>>) -> Result<(), Error> {
        match done {
            JobDone::Synced(synced) => self.sync_done(synced),
            // What could not be removed is removed at the next start.
            JobDone::Removed(_) => Ok(()),
            JobDone::Verified(verified) => self.verified(verified),
            JobDone::Cleaned(result) => self.cleaning_done(now, result, jobs),
        }
    }

    /// Writes out what a clean stop must leave in the files. Nothing is synced: see `Disk::boot_id`.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.active().note_time();
        self.write_indexes()?;
        if self.snapshot_at < self.end {
            self.take_snapshot()?;
        }
        Ok(())
    }

    pub(crate) fn write_indexes(&mut self) -> Result<(), Error> {
        let place = Self::place(&self.disk, &self.identity);
        self.segments.last_mut().expect("a log always has an active segment").write_indexes(place)
    }

    /// Gives back what an idle log needs no more.
    fn release(&mut self) {
        self.tail = std::collections::VecDeque::new();
        self.open_sealed = std::collections::VecDeque::new();
        for segment in &mut self.segments {
            segment.file = None;
            segment.offsets.release();
            segment.times.release();
        }
    }
}
