//! The replica's state: its log or why it has none, its leader epoch, its high watermark.

use crate::waiters::{Fired, Waiters};
use log::{Config, Disk, Error, Job, JobDone, Log, SyncJob, Synced};
use std::sync::Arc;
use types::{ErrorCode, Instant, LeaderEpoch, Now, Offset};

/// Why a partition serves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offline {
    /// Names the file and what to do.
    pub reason: String,
}

/// Why a partition does not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: ErrorCode,
    pub message: String,
}

impl Failure {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into() }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

pub struct Replica<D: Disk> {
    pub(crate) log: Result<Log<D>, Offline>,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) high_watermark: Offset,
    pub(crate) waiters: Waiters,
    /// Since when something is appended that no sync covers.
    pub(crate) unsynced_since: Option<Instant>,
    pub(crate) syncing: bool,
}

impl<D: Disk> Replica<D> {
    /// Leads the partition that `log` holds. Alone in the ISR, what it has is committed as far as it is durable enough.
    pub fn lead(log: Log<D>, leader_epoch: LeaderEpoch) -> Replica<D> {
        let mut replica = Replica {
            high_watermark: log.start_offset(),
            log: Ok(log),
            leader_epoch,
            waiters: Waiters::default(),
            unsynced_since: None,
            syncing: false,
        };
        replica.advance();
        replica
    }

    /// A partition whose log cannot be used.
    pub fn offline(reason: String, leader_epoch: LeaderEpoch) -> Replica<D> {
        Replica {
            log: Err(Offline { reason }),
            leader_epoch,
            high_watermark: Offset::ZERO,
            waiters: Waiters::default(),
            unsynced_since: None,
            syncing: false,
        }
    }

    /// Why the partition serves nothing, where that is so.
    #[must_use]
    pub fn offline_reason(&self) -> Option<&str> {
        self.log.as_ref().err().map(|offline| offline.reason.as_str())
    }

    /// The log, where the partition is online. For views: sizes, producers, offsets.
    #[must_use]
    pub fn log(&self) -> Option<&Log<D>> {
        self.log.as_ref().ok()
    }

    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// A new term of this leader. What was appended before stays its own.
    pub fn set_leader_epoch(&mut self, epoch: LeaderEpoch) {
        self.leader_epoch = self.leader_epoch.max(epoch);
    }

    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The first offset that a reader of committed transactions may not see yet.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        let unstable = self.log.as_ref().ok().and_then(Log::first_unstable_offset);
        unstable.map_or(self.high_watermark, |first| first.min(self.high_watermark))
    }

    /// How many replicas are in sync, this one counted; compare with `min.insync.replicas`.
    #[must_use]
    pub fn isr_size(&self) -> usize {
        usize::from(self.log.is_ok())
    }

    pub fn set_config(&mut self, config: Arc<Config>) {
        if let Ok(log) = &mut self.log {
            log.set_config(config);
        }
        self.advance();
    }

    /// Fires when the high watermark reaches `offset`: at once where it is there already.
    pub fn wait_committed(&mut self, offset: Offset, waiter: u64) {
        if self.log.is_err() {
            self.waiters.fire(Fired::Failed { waiter, code: ErrorCode::KAFKA_STORAGE_ERROR });
        } else if offset <= self.high_watermark {
            self.waiters.fire(Fired::Committed { waiter });
        } else {
            self.waiters.wait(offset, waiter);
        }
    }

    /// Fires once at the next change of what a reader could see.
    pub fn watch(&mut self, watcher: u64) {
        self.waiters.watch(watcher);
    }

    /// Forgets a waiter or watcher that has not fired.
    pub fn cancel(&mut self, waiter: u64) {
        self.waiters.cancel(waiter);
    }

    pub fn take_fired(&mut self, into: &mut Vec<Fired>) {
        self.waiters.take(into);
    }

    /// The partition is deleted or moves away: everyone who waits is told `code`.
    pub fn resign(&mut self, code: ErrorCode) {
        self.waiters.fail(code);
    }

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

    /// The high watermark is the least offset that every replica in sync holds. The leader holds what is in the page
    /// cache, or with `flush.messages=1` only what is durable.
    pub(crate) fn advance(&mut self) {
        let Ok(log) = &mut self.log else { return };
        let own = if log.config().flush_messages == 1 { log.synced_offset() } else { log.end_offset() };
        if own <= self.high_watermark {
            return;
        }
        self.high_watermark = own;
        log.set_high_watermark(own);
        self.waiters.commit(own);
        self.waiters.change();
    }

    /// Takes the partition offline where the error is fatal.
    pub(crate) fn fail(&mut self, error: &Error) {
        if error.is_fatal() && self.log.is_ok() {
            self.log = Err(Offline { reason: error.to_string() });
            self.waiters.fail(ErrorCode::KAFKA_STORAGE_ERROR);
        }
    }

    /// Where the asker's view of the leader's term is not this replica's.
    pub(crate) fn check_epoch(&self, asked: LeaderEpoch) -> Result<(), Failure> {
        if asked == LeaderEpoch::NONE || asked == self.leader_epoch {
            return Ok(());
        }
        let (code, word) = match asked < self.leader_epoch {
            true => (ErrorCode::FENCED_LEADER_EPOCH, "older"),
            false => (ErrorCode::UNKNOWN_LEADER_EPOCH, "newer"),
        };
        Err(Failure::new(code, format!("leader epoch {asked} is {word} than the leader's {}", self.leader_epoch)))
    }

    pub(crate) fn online(&mut self) -> Result<&mut Log<D>, Failure> {
        self.log.as_mut().map_err(|offline| Failure::new(ErrorCode::KAFKA_STORAGE_ERROR, offline.reason.clone()))
    }

    /// What the asker is told of the log's error; a fatal one takes the partition offline.
    pub(crate) fn failure(&mut self, error: Error) -> Failure {
        self.fail(&error);
        let message = error.to_string();
        match error {
            Error::Refused { code, message } => Failure { code, message },
            Error::OutOfRange { .. } => Failure::new(ErrorCode::OFFSET_OUT_OF_RANGE, message),
            Error::Full(_) | Error::Failed(_) | Error::Corrupt { .. } => {
                Failure::new(ErrorCode::KAFKA_STORAGE_ERROR, message)
            }
        }
    }
}
