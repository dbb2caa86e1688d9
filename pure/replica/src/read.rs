//! Reading: where the records are that a reader may see. No record byte is touched.

use crate::{Failure, Replica};
use log::{Disk, FileRange, Range};
use types::{ErrorCode, LeaderEpoch, Now, Offset, ProducerId};

/// How far a reader may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Up to the high watermark: `read_uncommitted`.
    #[default]
    HighWatermark,
    /// Up to the last stable offset: `read_committed`.
    Committed,
    /// Everything: followers, and coordinators that load their partition.
    LogEnd,
}

/// What to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    pub offset: Offset,
    pub max_bytes: u32,
    /// The first batch comes even where it is larger than `max_bytes`.
    pub min_one_batch: bool,
    pub isolation: Isolation,
    /// The leader's term as the reader knows it; -1 is not checked.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the last record that the reader has; -1 where it does not say.
    pub last_fetched_epoch: LeaderEpoch,
}

impl Default for Read {
    fn default() -> Read {
        Read {
            offset: Offset::ZERO,
            max_bytes: u32::MAX,
            min_one_batch: true,
            isolation: Isolation::HighWatermark,
            current_leader_epoch: LeaderEpoch::NONE,
            last_fetched_epoch: LeaderEpoch::NONE,
        }
    }
}

/// What a reader gets: where the bytes are, and the offsets that go with them, all of one moment.
#[derive(Clone, Debug)]
pub struct Slice<F> {
    pub pieces: Vec<FileRange<F>>,
    pub high_watermark: Offset,
    pub last_stable_offset: Offset,
    pub log_start_offset: Offset,
    /// The aborted transactions among the records, with `Isolation::Committed`.
    pub aborted: Vec<(ProducerId, Offset)>,
    /// The reader's log is not this one's beyond this epoch and offset; then there are no pieces.
    pub diverging: Option<(LeaderEpoch, Offset)>,
}

impl<F> Slice<F> {
    /// Bytes of all pieces.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.pieces.iter().map(|piece| u64::from(piece.length)).sum()
    }

    /// True where nothing of it waits for the disk.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        self.pieces.iter().all(|piece| piece.cached)
    }
}

/// Why a read is refused.
pub type ReadError = Failure;

impl<D: Disk> Replica<D> {
    pub fn read(&mut self, now: Now, request: &Read) -> Result<Slice<D::File>, ReadError> {
        self.check_epoch(request.current_leader_epoch)?;
        let high_watermark = self.high_watermark;
        let last_stable_offset = self.last_stable_offset();
        let fetched = match request.last_fetched_epoch {
            LeaderEpoch::NONE => None,
            epoch => Some(self.epoch_end(epoch)?.ok_or_else(|| {
                let message = format!("epoch {epoch}, which the reader has records of, is not known here");
                Failure::new(ErrorCode::OFFSET_OUT_OF_RANGE, message)
            })?),
        };
        let log = self.online()?;
        let mut slice = Slice {
            pieces: Vec::new(),
            high_watermark,
            last_stable_offset,
            log_start_offset: log.start_offset(),
            aborted: Vec::new(),
            diverging: None,
        };
        slice.diverging = fetched.filter(|(epoch, end)| *epoch < request.last_fetched_epoch || *end < request.offset);
        if slice.diverging.is_some() {
            return Ok(slice);
        }
        let upper = match request.isolation {
            Isolation::HighWatermark => high_watermark,
            Isolation::Committed => last_stable_offset,
            Isolation::LogEnd => log.end_offset(),
        };
        let range =
            Range { from: request.offset, upper, max_bytes: request.max_bytes, min_one_batch: request.min_one_batch };
        log.touch(now.at);
        let read = log.read(&range).and_then(|piece| match piece {
            Some(piece) if request.isolation == Isolation::Committed => {
                slice.aborted = log.aborted(request.offset, upper)?;
                Ok(Some(piece))
            }
            other => Ok(other),
        });
        match read {
            Ok(piece) => slice.pieces.extend(piece),
            Err(error) => return Err(self.failure(error)),
        }
        Ok(slice)
    }
}
