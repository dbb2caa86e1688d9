//! One partition's log: its segments in order, where it starts and ends, and what it knows of producers and epochs.
//! Called by the replica on its shard's thread; long work leaves as a `Job`.

use crate::epochs::Epochs;
use crate::producers::Producers;
use crate::retention::Doomed;
use crate::segment::{Place, Segment};
use crate::{Config, Disk, Error, Open, checkpoint, names, snapshot};
use std::collections::VecDeque;
use std::sync::Arc;
use types::{Instant, LeaderEpoch, Now, Offset, Timestamp, Uuid};

/// How many of the newest batches have their position remembered, so that a reader at the tail costs no read.
const TAIL_BATCHES: usize = 256;
/// How many sealed segments have their file open.
const OPEN_SEALED_MAX: usize = 4;

/// Where a partition's files are, and which topic they belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Relative to the log directory: the topic's name, a dash and the partition's number.
    pub folder: Arc<str>,
    pub topic: Uuid,
}

/// A batch at the end of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail {
    pub last: Offset,
    pub position: u32,
}

pub struct Log<D: Disk> {
    pub(crate) disk: D,
    pub(crate) identity: Identity,
    pub(crate) config: Arc<Config>,
    /// Ascending by base offset, never empty; the last is the active one, which is written to.
    pub(crate) segments: Vec<Segment<D::File>>,
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    /// Everything below is durable.
    pub(crate) synced: Offset,
    pub(crate) tail: VecDeque<Tail>,
    pub(crate) epochs: Epochs,
    pub(crate) producers: Producers,
    /// It began anew where no file says yet: a start would begin it at 0.
    pub(crate) start_unwritten: bool,
    /// The folder and its `partition.metadata` exist.
    pub(crate) made: bool,
    /// Sealed segments whose file is open, by base offset.
    pub(crate) open_sealed: VecDeque<Offset>,
    /// The folder's own name in the log directory is durable.
    pub(crate) folder_synced: bool,
    /// `leader-epoch-checkpoint` changed since it was made durable.
    pub(crate) epochs_unsynced: bool,
    /// It names epochs of records that are not there: beside those that come next they would pass for theirs, so it is
    /// written anew before, durably.
    pub(crate) epochs_stale: bool,
    /// How often the log was truncated: a sync that began before does not count for what came after.
    pub(crate) truncations: u32,
    /// The offset of the newest snapshot of the producers.
    pub(crate) snapshot_at: Offset,
    /// Bytes appended since that snapshot.
    pub(crate) unsnapshotted_bytes: u64,
    /// What the last run wrote and did not sync, still to be checked in the background.
    pub(crate) unverified: Option<(Offset, Offset)>,
    /// That is being read: until it is done no segment is replaced under the reader's eyes.
    pub(crate) verifying: bool,
    /// Compaction has looked at everything below.
    pub(crate) cleaned_to: Offset,
    /// What it put in place is durable up to there, so that no start takes for clean what a power loss brought back.
    pub(crate) cleaned_synced: Offset,
    pub(crate) high_watermark: Offset,
    /// Files that are removed later.
    pub(crate) doomed: VecDeque<Doomed>,
    /// A sealed segment has files that are not durable.
    pub(crate) sealed_unsynced: bool,
    /// The end at the last tick, and when something was last appended or read by then.
    pub(crate) ticked_end: Offset,
    pub(crate) used_at: Instant,
    /// When silent producers were last looked for.
    pub(crate) expired_at: Instant,
    /// A compaction is under way.
    pub(crate) cleaning: bool,
    /// No compaction begins before.
    pub(crate) clean_after: Instant,
}

impl<D: Disk> Log<D> {
    /// A new, empty log. Nothing is written before its first append.
    pub fn create(disk: D, identity: Identity, config: Arc<Config>, now: Now) -> Log<D> {
        Log {
            disk,
            identity,
            config,
            segments: vec![Segment::new(Offset::ZERO, now.wall)],
            start: Offset::ZERO,
            end: Offset::ZERO,
            synced: Offset::ZERO,
            tail: VecDeque::new(),
            epochs: Epochs::default(),
            producers: Producers::default(),
            start_unwritten: false,
            made: false,
            open_sealed: VecDeque::new(),
            folder_synced: false,
            epochs_unsynced: false,
            epochs_stale: false,
            truncations: 0,
            snapshot_at: Offset::ZERO,
            unsnapshotted_bytes: 0,
            unverified: None,
            verifying: false,
            cleaned_to: Offset::ZERO,
            cleaned_synced: Offset::ZERO,
            high_watermark: Offset::ZERO,
            doomed: VecDeque::new(),
            sealed_unsynced: false,
            ticked_end: Offset::ZERO,
            used_at: now.at,
            expired_at: now.at,
            cleaning: false,
            clean_after: now.at,
        }
    }

    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    pub fn set_config(&mut self, config: Arc<Config>) {
        self.config = config;
    }

    #[must_use]
    pub fn start_offset(&self) -> Offset {
        self.start
    }

    /// Whether a kill would leave it known where the log starts.
    #[must_use]
    pub fn is_start_written(&self) -> bool {
        !self.start_unwritten
    }

    /// The offset of the next record.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.end
    }

    /// Everything below this offset is durable.
    #[must_use]
    pub fn synced_offset(&self) -> Offset {
        self.synced
    }

    /// Raises the offset of the first record that readers may see; it never falls.
    pub fn set_start_offset(&mut self, start: Offset) {
        self.start = self.start.max(start.min(self.end));
    }

    /// Bytes of all `.log` files.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.bytes)).sum()
    }

    /// The full path of the partition's folder, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        self.disk.describe(&self.identity.folder)
    }

    /// The epoch of the newest record.
    #[must_use]
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest()
    }

    /// The epoch of the record at `offset`.
    #[must_use]
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.epochs.at(offset)
    }

    /// The largest epoch at or below `asked`, with the offset after its last record, or where the files begin if that is
    /// deleted.
    #[must_use]
    pub fn epoch_end_offset(&self, asked: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.epochs.end_offset(asked, self.end).map(|(epoch, end)| (epoch, end.max(self.segments[0].base)))
    }

    /// Its producers, for DescribeProducers.
    pub fn producers(&self) -> impl Iterator<Item = (types::ProducerId, &crate::Producer)> {
        self.producers.iter()
    }

    /// The first offset whose record is not decided below the high watermark; `None` where all are.
    #[must_use]
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        self.producers.first_unstable()
    }

    /// Compaction has looked at everything below, durably, for `cleaner-offset-checkpoint`.
    #[must_use]
    pub fn cleaned_synced(&self) -> Offset {
        self.cleaned_synced
    }

    /// What is committed may be deleted, compacted, and decides which transactions are stable.
    pub fn set_high_watermark(&mut self, high_watermark: Offset) {
        self.high_watermark = high_watermark;
        self.producers.set_high_watermark(high_watermark);
    }

    pub(crate) fn active(&mut self) -> &mut Segment<D::File> {
        self.segments.last_mut().expect("a log always has an active segment")
    }

    pub(crate) fn active_ref(&self) -> &Segment<D::File> {
        self.segments.last().expect("a log always has an active segment")
    }

    /// The segment that holds `offset`, or would.
    pub(crate) fn segment_of(&self, offset: Offset) -> usize {
        self.segments.partition_point(|segment| segment.base <= offset).saturating_sub(1)
    }

    pub(crate) fn place<'a>(disk: &'a D, identity: &'a Identity) -> Place<'a, D> {
        Place { disk, folder: &identity.folder }
    }

    /// Makes the folder and what ties it to its topic, once.
    pub(crate) fn make(&mut self) -> Result<(), Error> {
        if self.made {
            return Ok(());
        }
        self.disk.create_folder(&self.identity.folder)?;
        let path = format!("{}/{}", self.identity.folder, names::PARTITION_METADATA);
        self.disk.write_small(&path, &checkpoint::encode_partition_metadata(self.identity.topic), false)?;
        self.made = true;
        Ok(())
    }

    /// The `.log` file of segment `at`, opened for reading where it is not open; only a few sealed ones stay open.
    pub(crate) fn file(&mut self, at: usize) -> Result<D::File, Error> {
        let sealed = at + 1 < self.segments.len();
        let how = if sealed { Open::Read } else { Open::Write };
        let segment = &mut self.segments[at];
        let (base, was_open) = (segment.base, segment.file.is_some());
        let file = segment.open(Place { disk: &self.disk, folder: &self.identity.folder }, how)?.clone();
        if sealed && !was_open {
            self.note_open(base);
        }
        Ok(file)
    }

    /// A sealed segment has its file open; the one that was opened first gives way where there are too many.
    fn note_open(&mut self, base: Offset) {
        self.open_sealed.push_back(base);
        if self.open_sealed.len() > OPEN_SEALED_MAX
            && let Some(first) = self.open_sealed.pop_front()
        {
            self.close(first);
        }
    }

    fn close(&mut self, base: Offset) {
        let at = self.segment_of(base);
        if self.segments[at].base == base && at + 1 < self.segments.len() {
            self.segments[at].file = None;
        }
    }

    pub(crate) fn remember(&mut self, last: Offset, position: u32) {
        if self.tail.len() == TAIL_BATCHES {
            self.tail.pop_front();
        }
        self.tail.push_back(Tail { last, position });
    }

    /// Begins a new segment at the log's end.
    pub(crate) fn roll(&mut self, now: Timestamp) -> Result<(), Error> {
        let place = Self::place(&self.disk, &self.identity);
        let active = self.segments.last_mut().expect("a log always has an active segment");
        active.note_time();
        active.write_indexes(place)?;
        active.offsets.release();
        active.times.release();
        self.take_snapshot()?;
        self.begin_segment(now);
        Ok(())
    }

    pub(crate) fn begin_segment(&mut self, now: Timestamp) {
        let active = self.active();
        active.sealed_synced = false;
        let base = active.base;
        if active.file.is_some() {
            self.note_open(base);
        }
        self.sealed_unsynced = true;
        self.segments.push(Segment::new(self.end, now));
        self.tail.clear();
    }

    /// Writes what is known of the producers, so that a start reads only what comes after. The one before goes, unless it
    /// belongs to the beginning of a segment.
    pub(crate) fn take_snapshot(&mut self) -> Result<(), Error> {
        let folder = &self.identity.folder;
        let path = names::path(folder, self.end, names::SNAPSHOT);
        self.disk.write_small(&path, &snapshot::encode(&self.producers), false)?;
        let before = std::mem::replace(&mut self.snapshot_at, self.end);
        self.unsnapshotted_bytes = 0;
        if before < self.end && !self.segments.iter().any(|segment| segment.base == before) {
            self.disk.remove(&names::path(folder, before, names::SNAPSHOT))?;
        }
        Ok(())
    }

    /// Begins an empty log at `start`, whose folder holds no segment.
    pub(crate) fn restart_at(&mut self, start: Offset, now: Timestamp) {
        self.segments = vec![Segment::new(start, now)];
        self.start = start;
        self.end = start;
        self.synced = start;
        self.cleaned_to = start;
        self.cleaned_synced = start;
        self.snapshot_at = start;
        self.unsnapshotted_bytes = 0;
        self.tail.clear();
        self.open_sealed.clear();
        self.producers = Producers::default();
        self.epochs.clear();
    }
}
