//! What the log does now and then, when nobody asks: write out index entries, give back memory.

use crate::{Disk, Error, Job, JobDone, Log};
use types::Now;

impl<D: Disk> Log<D> {
    /// Writes out what is only in memory and begins what is due; about once a second.
    pub fn tick(&mut self, _now: Now, _jobs: &mut Vec<Job<D>>) -> Result<(), Error> {
        self.write_indexes()
    }

    /// Takes back the outcome of a job of this log.
    pub fn job_done(&mut self, _now: Now, done: JobDone, _jobs: &mut Vec<Job<D>>) -> Result<(), Error> {
        match done {
            JobDone::Synced(synced) => self.sync_done(synced),
            // What could not be removed is removed at the next start.
            JobDone::Removed(_) => Ok(()),
        }
    }

    /// Writes out what a clean stop must leave in the files. Nothing is synced: see `Disk::boot_id`.
    pub fn stop(&mut self, _now: Now) -> Result<(), Error> {
        self.active().note_time();
        self.write_indexes()
    }

    pub(crate) fn write_indexes(&mut self) -> Result<(), Error> {
        let place = Self::place(&self.disk, &self.identity);
        self.segments.last_mut().expect("a log always has an active segment").write_indexes(place)
    }
}
