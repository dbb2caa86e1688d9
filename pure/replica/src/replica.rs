//! The replica's state: its log or why it has none, its role, its high watermark, and who waits.

use crate::leader::Leading;
use crate::role::Role;
use crate::waiters::{Fired, Waiters};
use crate::{Following, Isolation, Leadership};
use log::{Config, Disk, Error, Log};
use std::sync::Arc;
use types::{ErrorCode, Instant, LeaderEpoch, NodeId, Offset, PartitionEpoch};

/// Why a partition serves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offline {
    /// Names the file and what to do.
    pub reason: String,
    /// The disk itself failed.
    pub is_of_disk: bool,
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
    pub(crate) me: NodeId,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) partition_epoch: PartitionEpoch,
    pub(crate) role: Role,
    pub(crate) high_watermark: Offset,
    /// As a follower it tells its leader of its high watermark.
    pub(crate) insists: bool,
    pub(crate) waiters: Waiters,
    /// Since when something is appended that no sync covers.
    pub(crate) unsynced_since: Option<Instant>,
    pub(crate) syncing: bool,
}

impl<D: Disk> Replica<D> {
    /// A replica that knows no leader yet. `high_watermark` is what the last run wrote down; 0 where it wrote nothing.
    pub fn open(mut log: Log<D>, me: NodeId, high_watermark: Offset) -> Replica<D> {
        let high_watermark = high_watermark.clamp(log.start_offset(), log.end_offset());
        log.set_high_watermark(high_watermark);
        Replica::new(Ok(log), me, high_watermark)
    }

    /// Leads the partition that `log` holds, and is all its replicas: what it has is committed as far as it is durable
    /// enough.
    pub fn lead(log: Log<D>, me: NodeId, leader_epoch: LeaderEpoch) -> Replica<D> {
        let mut replica = Replica::open(log, me, Offset::ZERO);
        replica.become_leader(Instant::default(), &Leadership::alone(me, leader_epoch));
        replica
    }

    /// A partition whose log cannot be used.
    pub fn offline(reason: String, me: NodeId) -> Replica<D> {
        Replica::new(Err(Offline { reason, is_of_disk: false }), me, Offset::ZERO)
    }

    fn new(log: Result<Log<D>, Offline>, me: NodeId, high_watermark: Offset) -> Replica<D> {
        Replica {
            log,
            me,
            leader_epoch: LeaderEpoch::NONE,
            partition_epoch: PartitionEpoch::NONE,
            role: Role::Follower(Following::default()),
            high_watermark,
            insists: false,
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

    /// Whether it is offline because its disk failed, and not for what its own files hold.
    #[must_use]
    pub fn has_disk_failed(&self) -> bool {
        self.log.as_ref().is_err_and(|offline| offline.is_of_disk)
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

    #[must_use]
    pub fn partition_epoch(&self) -> PartitionEpoch {
        self.partition_epoch
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

    pub fn set_config(&mut self, config: Arc<Config>) {
        if let Ok(log) = &mut self.log {
            log.set_config(config);
        }
        self.advance();
    }

    /// Goes on with a copy of its log, which is in the folder now that the log was in.
    pub fn replace_log(&mut self, now: Instant, mut copy: Log<D>, folder: &str) {
        let Ok(log) = &self.log else { return };
        if copy.end_offset() != log.end_offset() {
            let (end, wanted) = (copy.end_offset(), log.end_offset());
            return self.go_offline(format!("{}: the copy ends at {end}, and not at {wanted}", copy.describe()));
        }
        copy.take_over(log, folder);
        copy.set_high_watermark(self.high_watermark);
        self.unsynced_since = (copy.synced_offset() < copy.end_offset()).then_some(now);
        self.syncing = false;
        self.log = Ok(copy);
        self.advance();
    }

    /// For acks=all: fires when the high watermark reaches `offset`, at once where it is there already.
    pub fn wait_committed(&mut self, offset: Offset, waiter: u64) {
        match self.refuses_waiters() {
            Some(code) => self.waiters.fire(Fired::Failed { waiter, code }),
            None if offset > self.high_watermark => self.waiters.wait_committed(offset, waiter),
            // It was committed when more were in sync; the promise of now is another.
            None if self.has_too_few_in_sync() => {
                self.waiters.fire(Fired::Failed { waiter, code: ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND });
            }
            None => self.waiters.fire(Fired::Committed { waiter }),
        }
    }

    /// For acks=1: fires when the leader itself holds everything below `offset`, durably with `flush.messages=1`.
    pub fn wait_stored(&mut self, offset: Offset, waiter: u64) {
        let stored = self.log.as_ref().is_ok_and(|log| offset <= own_end(log));
        match self.refuses_waiters() {
            Some(code) => self.waiters.fire(Fired::Failed { waiter, code }),
            None if stored => self.waiters.fire(Fired::Committed { waiter }),
            None => self.waiters.wait_stored(offset, waiter),
        }
    }

    fn refuses_waiters(&self) -> Option<ErrorCode> {
        match (&self.log, &self.role) {
            (Err(_), _) => Some(ErrorCode::KAFKA_STORAGE_ERROR),
            (Ok(_), Role::Follower(_)) => Some(ErrorCode::NOT_LEADER_OR_FOLLOWER),
            (Ok(_), Role::Leader(_)) => None,
        }
    }

    /// Fires once at the next change of what a reader with this isolation could see.
    pub fn watch(&mut self, isolation: Isolation, watcher: u64) {
        match isolation {
            Isolation::HighWatermark | Isolation::Committed => self.waiters.watch(watcher),
            Isolation::LogEnd => self.waiters.watch_end(watcher),
        }
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

    /// Takes the partition offline where the error is fatal.
    pub fn fail(&mut self, error: &Error) {
        if error.is_fatal() {
            self.go_offline_for(error);
        }
    }

    pub(crate) fn go_offline_for(&mut self, error: &Error) {
        self.end(Offline { reason: error.to_string(), is_of_disk: error.is_of_disk() });
    }

    /// Serves nothing any more.
    pub fn go_offline(&mut self, reason: String) {
        self.end(Offline { reason, is_of_disk: false });
    }

    fn end(&mut self, offline: Offline) {
        if self.log.is_ok() {
            self.log = Err(offline);
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

    /// The log with what a leader knows, where this replica is online and leads.
    pub(crate) fn leading(&mut self) -> Result<(&mut Log<D>, &mut Leading), Failure> {
        match (&mut self.log, &mut self.role) {
            (Err(offline), _) => Err(Failure::new(ErrorCode::KAFKA_STORAGE_ERROR, offline.reason.clone())),
            (Ok(log), Role::Leader(leading)) => Ok((log, leading)),
            (Ok(_), Role::Follower(following)) => {
                let message = match following.leader {
                    Some(leader) => format!("node {leader} leads the partition, not node {}", self.me),
                    None => format!("node {} knows no leader of the partition", self.me),
                };
                Err(Failure::new(ErrorCode::NOT_LEADER_OR_FOLLOWER, message))
            }
        }
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

/// What this replica itself holds: what is in the page cache, or with `flush.messages=1` only what is durable.
pub(crate) fn own_end<D: Disk>(log: &Log<D>) -> Offset {
    if log.config().flush_messages == 1 { log.synced_offset() } else { log.end_offset() }
}
