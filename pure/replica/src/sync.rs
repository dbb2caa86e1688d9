//! When the log is made durable, and what follows from that.

use crate::Replica;
use log::{Disk, Job, JobDone, Log, SyncJob, Synced};
use types::{Instant, Now};

impl<D: Disk> Replica<D> {
    /// True where a sync should begin now: `flush.messages` or `flush.ms` asks for one, or a segment was sealed, and none
    /// is under way.
    #[must_use]
    pub fn needs_sync(&self, now: Instant) -> bool {
        !self.syncing && self.log.as_ref().is_ok_and(|log| log.has_sealed_unsynced() || self.is_flush_due(log, now))
    }

    fn is_flush_due(&self, log: &Log<D>, now: Instant) -> bool {
        let unsynced = log.end_offset().minus(log.synced_offset());
        if unsynced <= 0 {
            return false;
        }
        let config = log.config();
        let many = u64::try_from(unsynced).is_ok_and(|count| count >= config.flush_messages);
        many || self.unsynced_since.is_some_and(|since| now.ms_since(since) >= config.flush_ms)
    }

    /// A sync of what needs one; hand its outcome to `sync_done`.
    pub fn start_sync(&mut self, now: Instant) -> Option<SyncJob<D>> {
        let whole = self.is_flush_due(self.log.as_ref().ok()?, now);
        let log = self.log.as_mut().ok()?;
        self.syncing = true;
        if !whole {
            return Some(log.start_sealed_sync());
        }
        self.unsynced_since = None;
        Some(log.start_sync())
    }

    pub fn sync_done(&mut self, now: Now, synced: Synced) {
        self.syncing = false;
        let Ok(log) = &mut self.log else { return };
        if let Err(error) = log.sync_done(synced) {
            self.fail(&error);
            return;
        }
        if log.synced_offset() < log.end_offset() {
            self.unsynced_since.get_or_insert(now.at);
        }
        self.advance();
    }

    /// What is due now and then, about once a second: index entries are written out, segments rolled, deleted, compacted.
    /// The jobs are run elsewhere and their outcomes handed to `job_done`.
    pub fn tick(&mut self, now: Now, jobs: &mut Vec<Job<D>>) {
        let Ok(log) = &mut self.log else { return };
        let before = log.start_offset();
        let result = log.tick(now, jobs);
        let moved = log.start_offset() != before;
        if let Err(error) = result {
            self.fail(&error);
        }
        if moved {
            self.waiters.change();
        }
        self.waiters.release();
    }

    pub fn job_done(&mut self, now: Now, done: JobDone, jobs: &mut Vec<Job<D>>) {
        if let JobDone::Synced(synced) = done {
            self.sync_done(now, synced);
            return;
        }
        let Ok(log) = &mut self.log else { return };
        if let Err(error) = log.job_done(now, done, jobs) {
            self.fail(&error);
        }
    }

    /// Writes out what a clean stop must leave in the files.
    pub fn stop(&mut self) {
        if let Ok(log) = &mut self.log
            && let Err(error) = log.stop()
        {
            self.fail(&error);
        }
    }
}
