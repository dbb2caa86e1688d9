//! Following: where to fetch, appending what came, and cutting off what the leader does not have.

use crate::role::Role;
use crate::{Failure, Following, Replica};
use log::{Disk, Error, Log};
use record::Header;
use types::{ErrorCode, LeaderEpoch, NodeId, Now, Offset};

/// What a follower asks its leader for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPosition {
    pub leader: NodeId,
    pub leader_epoch: LeaderEpoch,
    /// The end of this log, which is how a follower acknowledges.
    pub offset: Offset,
    /// The epoch of the last record here; -1 where there is none.
    pub last_fetched_epoch: LeaderEpoch,
    pub log_start_offset: Offset,
    /// Told only where the leader would have cut off what is committed here: it can say then whether it has other records
    /// there, or none because compaction took them.
    pub high_watermark: Option<Offset>,
}

/// What the leader answered.
#[derive(Clone, Copy, Debug)]
pub struct Fetched<'a> {
    /// As they were when it was asked.
    pub leader_epoch: LeaderEpoch,
    pub offset: Offset,
    /// Batches; the last may be cut off.
    pub records: &'a [u8],
    /// The leader's.
    pub high_watermark: Offset,
    pub log_start_offset: Offset,
}

/// The leader's log is another beyond what it names: the largest epoch it knows at or below the follower's last one, and
/// where that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// As it was when the leader was asked.
    pub leader_epoch: LeaderEpoch,
    pub epoch: LeaderEpoch,
    pub end_offset: Offset,
}

/// The leader has nothing at the follower's offset or of its epoch; where its log starts and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// As it was when the leader was asked.
    pub leader_epoch: LeaderEpoch,
    pub start_offset: Offset,
    pub end_offset: Offset,
}

impl<D: Disk> Replica<D> {
    /// Where to fetch; `None` where there is no leader to ask, or where not all is written that the fetch would acknowledge:
    /// durably with `flush.messages=1`, or where the log starts on a full disk.
    #[must_use]
    pub fn fetch_position(&self) -> Option<FetchPosition> {
        let (Ok(log), Role::Follower(Following { leader: Some(leader), .. })) = (&self.log, &self.role) else {
            return None;
        };
        if self.owes_sync() || !log.is_start_written() {
            return None;
        }
        Some(FetchPosition {
            leader: *leader,
            leader_epoch: self.leader_epoch,
            offset: log.end_offset(),
            last_fetched_epoch: log.latest_epoch().unwrap_or(LeaderEpoch::NONE),
            log_start_offset: log.start_offset(),
            high_watermark: self.insists.then_some(self.high_watermark),
        })
    }

    /// True where a fetch waits for a sync of what was appended.
    #[must_use]
    pub fn owes_sync(&self) -> bool {
        match (&self.log, &self.role) {
            (Ok(log), Role::Follower(Following { leader: Some(_), .. })) => {
                log.config().flush_messages == 1 && log.synced_offset() < log.end_offset()
            }
            (Ok(_) | Err(_), Role::Follower(_) | Role::Leader(_)) => false,
        }
    }

    /// Appends what the leader sent; returns how many bytes that were.
    pub fn append_fetched(&mut self, now: Now, fetched: &Fetched) -> Result<usize, Failure> {
        let (log, _) = self.following(fetched.leader_epoch)?;
        if fetched.offset != log.end_offset() {
            let message = format!("the answer to a fetch at {} is of no use at {}", fetched.offset, log.end_offset());
            return Err(Failure::new(ErrorCode::OFFSET_OUT_OF_RANGE, message));
        }
        if spans(fetched) && log.start_offset() < fetched.offset && fetched.log_start_offset >= fetched.offset {
            // All that is here is deleted there, and was not even the same: a batch of the leader lies across the end.
            let restarted = log.truncate_fully_and_start_at(now, fetched.offset);
            self.truncated(restarted)?;
            self.raise_high_watermark(fetched.offset);
        }
        let log = self.online()?;
        let appended = log.append_as_is(now, fetched.records);
        let (start, end) = (log.start_offset(), log.end_offset());
        if end != fetched.offset {
            self.insists = false;
            self.unsynced_since.get_or_insert(now.at);
            self.waiters.grow();
        }
        let bytes = appended.map_err(|error| self.failure(error))?;
        self.raise_high_watermark(fetched.high_watermark.min(end));
        let high_watermark = self.high_watermark;
        let log = self.online()?;
        log.set_start_offset(fetched.log_start_offset.min(high_watermark));
        if log.start_offset() != start {
            self.waiters.change();
        }
        Ok(bytes)
    }

    /// Cuts off what the leader does not have; returns where the log ends then. The largest epoch that both know decides
    /// (KIP-279): what follows it here was never committed. Where that would cut off what is committed, nothing happens
    /// but that the next fetch says how far that is; only a leader that knows it and says the same again lacks records.
    pub fn diverged(&mut self, now: Now, divergence: &Divergence) -> Result<Offset, Failure> {
        let (log, _) = self.following(divergence.leader_epoch)?;
        let own = match log.epoch_end_offset(divergence.epoch) {
            Some((_, end)) => end,
            None => log.end_offset(),
        };
        self.truncate(now, own.min(divergence.end_offset))
    }

    /// Cuts off what is beyond the leader's end, or begins anew where its log starts; returns where the log ends then.
    pub fn out_of_range(&mut self, now: Now, leader: &OutOfRange) -> Result<Offset, Failure> {
        let (log, _) = self.following(leader.leader_epoch)?;
        if log.end_offset() > leader.end_offset {
            return self.truncate(now, leader.end_offset);
        }
        // Everything here is below the leader's start, deleted there; or of epochs that are, and then what lies below the
        // start may be anything, too.
        self.truncate(now, leader.start_offset)?;
        let restarted = self.online()?.truncate_fully_and_start_at(now, leader.start_offset);
        self.truncated(restarted)?;
        self.raise_high_watermark(leader.start_offset);
        Ok(leader.start_offset)
    }

    fn truncate(&mut self, now: Now, to: Offset) -> Result<Offset, Failure> {
        let high_watermark = self.high_watermark;
        let (log, following) = self.following(self.leader_epoch)?;
        // What is committed beyond the end is not here to be lost: an append that failed may have begun the log anew below.
        let committed = high_watermark.min(log.end_offset());
        let is_given_up = log.latest_epoch() < Some(following.unclean_epoch);
        let end = log.end_offset();
        // Compaction may have left nothing there.
        if to < committed && !is_given_up && self.next_batch(to)? < committed {
            if std::mem::replace(&mut self.insists, true) {
                return Err(self.refuse_to_lose(to, high_watermark));
            }
            return Ok(end);
        }
        let truncated = self.online()?.truncate_to(now, to);
        self.truncated(truncated)?;
        let end = self.online()?.end_offset();
        self.high_watermark = self.high_watermark.min(end);
        Ok(end)
    }

    fn refuse_to_lose(&mut self, from: Offset, to: Offset) -> Failure {
        let message = format!(
            "{}: the leader, node {}, lacks the records from offset {from} to {to}, which were committed; \
             nothing is cut off here. Elect the replica that has them, or delete this folder to follow that leader",
            self.log.as_ref().map_or_else(|offline| offline.reason.clone(), Log::describe),
            self.leader().unwrap_or(NodeId(-1)),
        );
        self.go_offline(message.clone());
        Failure::new(ErrorCode::KAFKA_STORAGE_ERROR, message)
    }

    fn truncated(&mut self, result: Result<(), Error>) -> Result<(), Failure> {
        self.waiters.change();
        match result {
            Ok(()) => Ok(()),
            // Half of it may be done, so that nothing is known of the files.
            Err(error) => {
                self.go_offline_for(&error);
                Err(self.failure(error))
            }
        }
    }

    /// The log with who is followed, where this replica is online and follows in the term `asked`.
    fn following(&mut self, asked: LeaderEpoch) -> Result<(&mut Log<D>, Following), Failure> {
        self.check_epoch(asked)?;
        match (&mut self.log, &self.role) {
            (Err(offline), _) => Err(Failure::new(ErrorCode::KAFKA_STORAGE_ERROR, offline.reason.clone())),
            (Ok(log), Role::Follower(following)) => Ok((log, *following)),
            (Ok(_), Role::Leader(_)) => {
                Err(Failure::new(ErrorCode::NOT_LEADER_OR_FOLLOWER, "this replica leads and follows nobody"))
            }
        }
    }
}

/// The first batch begins before what was asked for.
fn spans(fetched: &Fetched) -> bool {
    Header::parse(fetched.records).is_ok_and(|header| header.base_offset < fetched.offset)
}
