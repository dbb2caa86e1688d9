//! Reading: where the records are that a reader may see. No record byte is touched.

use crate::role::Role;
use crate::{Failure, Replica, ReplicaView};
use log::{Disk, FileRange, Range};
use types::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Now, Offset, ProducerId};

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

/// A follower that fetches. Its fetch acknowledges everything below the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetcher {
    pub id: NodeId,
    /// Which run of its broker; -1 where it does not say.
    pub broker_epoch: BrokerEpoch,
    pub log_start_offset: Offset,
    /// As the follower knows it, where it says so.
    pub high_watermark: Option<Offset>,
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
    /// Only a leader may answer. A consumer that told its rack may be served by a follower (KIP-392).
    pub leader_only: bool,
    /// The follower that asks, where it is not a consumer.
    pub fetcher: Option<Fetcher>,
    /// The reader wants to know which replicas there are: it may be sent to one that is closer.
    pub wants_replicas: bool,
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
            leader_only: true,
            fetcher: None,
            wants_replicas: false,
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
    pub log_end_offset: Offset,
    /// The aborted transactions among the records, with `Isolation::Committed`.
    pub aborted: Vec<(ProducerId, Offset)>,
    /// The reader's log is not this one's beyond this epoch and offset; then there are no pieces.
    pub diverging: Option<(LeaderEpoch, Offset)>,
    /// All replicas, the leader first, where they were asked for and this one leads.
    pub replicas: Vec<ReplicaView>,
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
        self.check_reader(request)?;
        let diverging = self.divergence(request)?;
        if let Some(fetcher) = &request.fetcher
            && diverging.is_none()
            && self.log.as_ref().is_ok_and(|log| (log.start_offset()..=log.end_offset()).contains(&request.offset))
        {
            self.acknowledge(now.at, fetcher, request.offset);
        }
        let high_watermark = self.high_watermark;
        let last_stable_offset = self.last_stable_offset();
        let replicas = if request.wants_replicas { self.replicas_view(now.at) } else { Vec::new() };
        let log = self.online()?;
        let mut slice = Slice {
            pieces: Vec::new(),
            high_watermark,
            last_stable_offset,
            log_start_offset: log.start_offset(),
            log_end_offset: log.end_offset(),
            aborted: Vec::new(),
            diverging,
            replicas,
        };
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
            Err(error) => {
                let failure = self.failure(error);
                // Only a leader knows what is nowhere. A reader that took this for the leader would lose its place, while
                // a follower that starts after a power loss has not fetched again yet what the reader has long read.
                return Err(match &self.role {
                    Role::Follower(_) if failure.code == ErrorCode::OFFSET_OUT_OF_RANGE => {
                        Failure { code: ErrorCode::OFFSET_NOT_AVAILABLE, ..failure }
                    }
                    Role::Follower(_) | Role::Leader(_) => failure,
                });
            }
        }
        Ok(slice)
    }

    /// Where the records from `from` on are, whoever leads: for a copy of them in another log directory.
    pub fn read_own(&mut self, from: Offset, max_bytes: u32) -> Result<Option<FileRange<D::File>>, Failure> {
        let log = self.online()?;
        let range = Range { from, upper: log.end_offset(), max_bytes, min_one_batch: true };
        log.read(&range).map_err(|error| self.failure(error))
    }

    /// Whether this replica answers this reader.
    fn check_reader(&mut self, request: &Read) -> Result<(), Failure> {
        self.online()?;
        if matches!(self.role, Role::Follower(_))
            && !request.leader_only
            && request.fetcher.is_none()
            && request.isolation != Isolation::LogEnd
        {
            return Ok(());
        }
        let (_, leading) = self.leading()?;
        let Some(fetcher) = &request.fetcher else { return Ok(()) };
        match leading.follower(fetcher.id) {
            // The controller may have told it before this leader.
            None => {
                let message = format!("node {} is not known to be a replica", fetcher.id);
                Err(Failure::new(ErrorCode::UNKNOWN_LEADER_EPOCH, message))
            }
            Some(known) if fetcher.broker_epoch != BrokerEpoch::NONE && fetcher.broker_epoch < known.broker_epoch => {
                let message = format!("node {} fetches as an earlier run of itself", fetcher.id);
                Err(Failure::new(ErrorCode::NOT_LEADER_OR_FOLLOWER, message))
            }
            Some(_) => Ok(()),
        }
    }

    /// Where the reader's log went another way than this one: the largest epoch up to the reader's, and its end here.
    fn divergence(&mut self, request: &Read) -> Result<Option<(LeaderEpoch, Offset)>, Failure> {
        let asked = request.last_fetched_epoch;
        if asked == LeaderEpoch::NONE {
            return Ok(None);
        }
        // A follower whose records are all of epochs that are deleted here may lack some of them and have others: how long
        // such an epoch was is not known any more.
        let term = self.leader_epoch;
        let log = self.online()?;
        let start = log.start_offset();
        // Where nothing is left, the next record will be of this term.
        let nothing_left = log.latest_epoch().is_none() && start == log.end_offset();
        let first = if nothing_left { Some(term) } else { log.epoch_at(start) };
        let is_deleted = start > Offset::ZERO && first.is_some_and(|first| asked < first);
        if request.fetcher.is_some() && is_deleted {
            let message = format!("epoch {asked}, which the follower has records of, is deleted here");
            return Err(Failure::new(ErrorCode::OFFSET_OUT_OF_RANGE, message));
        }
        let (epoch, end) = self.epoch_end(asked)?.ok_or_else(|| {
            let message = format!("epoch {asked}, which the reader has records of, is not known here");
            Failure::new(ErrorCode::OFFSET_OUT_OF_RANGE, message)
        })?;
        if epoch == asked && end >= request.offset {
            return Ok(None);
        }
        // What compaction took here may have been of the epoch asked for. A reader that has that has nothing else than this
        // log had, as far as it was committed; and consumers see only what is.
        let committed =
            request.fetcher.as_ref().map_or(Offset(i64::MAX), |fetcher| fetcher.high_watermark.unwrap_or(Offset::NONE));
        let doubted = end.min(Offset(committed.0 - 1));
        let kept = if committed > Offset::ZERO { self.next_batch(doubted)?.min(committed) } else { doubted };
        Ok(if kept > doubted { (kept < request.offset).then_some((asked, kept)) } else { Some((epoch, end)) })
    }

    /// Where the first record at or after `offset` is, or the log's end.
    pub(crate) fn next_batch(&mut self, offset: Offset) -> Result<Offset, Failure> {
        let found = self.online()?.next_batch(offset);
        found.map_err(|error| self.failure(error))
    }
}
