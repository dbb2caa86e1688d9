//! Questions about offsets: ListOffsets, OffsetForLeaderEpoch.

use crate::role::Role;
use crate::{Failure, Isolation, Replica};
use log::Disk;
use types::{ErrorCode, LeaderEpoch, Offset, Timestamp};

/// What ListOffsets asks for, by its special timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// -1: the end as the isolation level allows.
    Latest,
    /// -2: the log start offset.
    Earliest,
    /// -3: the record with the largest timestamp.
    MaxTimestamp,
    /// -4: the first offset on the local disk.
    EarliestLocal,
    /// -5: the last offset in tiered storage.
    LatestTiered,
    /// -6: the first offset that tiered storage does not have yet.
    EarliestPendingUpload,
    /// The first record with this timestamp or a later one.
    At(Timestamp),
}

impl OffsetSpec {
    /// Reads the timestamp field of ListOffsets; `None` for a negative value without a meaning.
    #[must_use]
    pub fn from_timestamp(timestamp: i64) -> Option<OffsetSpec> {
        match timestamp {
            -1 => Some(OffsetSpec::Latest),
            -2 => Some(OffsetSpec::Earliest),
            -3 => Some(OffsetSpec::MaxTimestamp),
            -4 => Some(OffsetSpec::EarliestLocal),
            -5 => Some(OffsetSpec::LatestTiered),
            -6 => Some(OffsetSpec::EarliestPendingUpload),
            at if at >= 0 => Some(OffsetSpec::At(Timestamp(at))),
            _ => None,
        }
    }
}

/// What ListOffsets answers; -1 in a field is Kafka's "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub leader_epoch: LeaderEpoch,
}

impl ListedOffset {
    pub const NONE: ListedOffset =
        ListedOffset { offset: Offset::NONE, timestamp: Timestamp::NONE, leader_epoch: LeaderEpoch::NONE };
}

impl<D: Disk> Replica<D> {
    pub fn list_offset(
        &mut self,
        spec: OffsetSpec,
        isolation: Isolation,
        current_leader_epoch: LeaderEpoch,
    ) -> Result<ListedOffset, Failure> {
        self.check_epoch(current_leader_epoch)?;
        let (high_watermark, stable) = (self.high_watermark, self.last_stable_offset());
        let leader_epoch = self.leader_epoch;
        let (log, leading) = self.leading()?;
        // What earlier terms committed reaches up to where this one began, at most; it may be more than is known yet.
        let unknown = (isolation != Isolation::LogEnd && high_watermark < leading.epoch_start).then(|| {
            let message = format!("what was committed before leader epoch {leader_epoch} is not known yet");
            Failure::new(ErrorCode::OFFSET_NOT_AVAILABLE, message)
        });
        let end = match isolation {
            Isolation::HighWatermark => high_watermark,
            Isolation::Committed => stable,
            Isolation::LogEnd => log.end_offset(),
        };
        let undated = |offset, leader_epoch| ListedOffset { offset, timestamp: Timestamp::NONE, leader_epoch };
        let found = match spec {
            OffsetSpec::Latest => {
                let latest = log.latest_epoch().unwrap_or(leader_epoch);
                return unknown.map_or(Ok(undated(end, latest)), Err);
            }
            OffsetSpec::Earliest | OffsetSpec::EarliestLocal => {
                let start = log.start_offset();
                // A log that was never written to is of its first leader's term.
                let unwritten = log.latest_epoch().is_none().then_some(leader_epoch);
                return Ok(undated(start, log.epoch_at(start).or(unwritten).unwrap_or(LeaderEpoch::NONE)));
            }
            // Nothing is tiered, so nothing was or waits to be uploaded.
            OffsetSpec::LatestTiered | OffsetSpec::EarliestPendingUpload => return Ok(ListedOffset::NONE),
            OffsetSpec::MaxTimestamp => log.max_timestamp(),
            OffsetSpec::At(timestamp) => log.offset_for_timestamp(timestamp),
        };
        match found {
            Ok(Some(found)) if found.offset < end => {
                Ok(ListedOffset { offset: found.offset, timestamp: found.timestamp, leader_epoch: found.leader_epoch })
            }
            Ok(_) => unknown.map_or(Ok(ListedOffset::NONE), Err),
            Err(error) => Err(self.failure(error)),
        }
    }

    /// The largest epoch at or below `epoch` with the offset after its last record; -1 and -1 where none is known.
    pub fn offset_for_leader_epoch(
        &mut self,
        epoch: LeaderEpoch,
        current_leader_epoch: LeaderEpoch,
    ) -> Result<(LeaderEpoch, Offset), Failure> {
        self.check_epoch(current_leader_epoch)?;
        self.leading()?;
        // Compaction may have taken what followed of it here, which a consumer may have read.
        match self.epoch_end(epoch)? {
            Some((epoch, end)) => Ok((epoch, self.next_batch(end)?)),
            None => Ok((LeaderEpoch::NONE, Offset::NONE)),
        }
    }

    /// As the log tells it. A leader's own term is known from its start on, not only from its first record on: until then
    /// it begins at the log's end, and every epoch between the last record's and it has ended there.
    pub(crate) fn epoch_end(&mut self, epoch: LeaderEpoch) -> Result<Option<(LeaderEpoch, Offset)>, Failure> {
        let current = match &self.role {
            Role::Leader(_) => Some(self.leader_epoch),
            Role::Follower(_) => None,
        };
        let log = self.online()?;
        let end = log.end_offset();
        Ok(match current {
            Some(current) if epoch == current => Some((epoch, end)),
            Some(current) if epoch >= LeaderEpoch(0) && epoch < current => {
                Some(log.epoch_end_offset(epoch).unwrap_or((log.latest_epoch().unwrap_or(epoch), end)))
            }
            Some(_) | None => log.epoch_end_offset(epoch),
        })
    }

    /// Moves the log start offset up to `before` (-1 is the high watermark), as DeleteRecords asks; returns where the
    /// log starts now.
    pub fn delete_records(&mut self, before: Offset) -> Result<Offset, Failure> {
        let high_watermark = self.high_watermark;
        let (log, _) = self.leading()?;
        let before = if before == Offset::NONE { high_watermark } else { before };
        if before > high_watermark || before < Offset::ZERO {
            let message = format!("offset {before} lies beyond the high watermark {high_watermark}");
            return Err(Failure::new(ErrorCode::OFFSET_OUT_OF_RANGE, message));
        }
        log.set_start_offset(before);
        let start = log.start_offset();
        self.waiters.change();
        Ok(start)
    }
}
