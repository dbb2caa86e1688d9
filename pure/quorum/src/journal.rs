//! What the quorum keeps on disk: the metadata log with the snapshot that its beginning is gone into, and the voter sets
//! that both name. Knows offsets and epochs, and nothing of who leads.

use crate::control;
use crate::message::{EpochEnd, SnapshotId};
use crate::snapshot::{self, Content};
use crate::voters::{History, VoterSet};
use bytes::Bytes;
use log::{Disk, DiskFile, Identity, Job, JobDone, Log, Open, Origin, Range, Recovery, Trust};
use record::{Batches, Header, Rules};
use std::sync::Arc;
use types::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use types::{LeaderEpoch, Now, Offset, Uuid};

/// The folder of the one partition of the metadata topic.
pub(crate) const FOLDER: &str = "__cluster_metadata-0";
/// Kafka's fixed id of the metadata topic.
const TOPIC: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
/// At most so many bytes of the log are read at once.
const READ_BYTES: u32 = 4 << 20;

/// Why the disk did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The log must not be used any more.
    Fatal(String),
    /// It may succeed later: the disk is full, or what was sent is no batch that belongs here.
    Later(String),
}

impl From<log::Error> for Trouble {
    fn from(error: log::Error) -> Trouble {
        if error.is_fatal() { Trouble::Fatal(error.to_string()) } else { Trouble::Later(error.to_string()) }
    }
}

impl From<log::DiskError> for Trouble {
    fn from(error: log::DiskError) -> Trouble {
        log::Error::from(error).into()
    }
}

/// A record of the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub offset: Offset,
    pub epoch: LeaderEpoch,
    pub value: Bytes,
}

/// How a place in another log fits this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// The other log is a beginning of this one.
    Valid,
    /// It went another way.
    Diverging(EpochEnd),
    /// What follows it is only in the snapshot.
    Snapshot(SnapshotId),
}

pub(crate) struct Journal<D: Disk> {
    disk: D,
    log: Log<D>,
    snapshot: Option<SnapshotId>,
    voters: History,
    syncing: bool,
}

pub(crate) struct Opened<D: Disk> {
    pub journal: Journal<D>,
    pub snapshot: Option<Content>,
    /// For the operator.
    pub notes: Vec<String>,
}

impl<D: Disk> Journal<D> {
    /// Opens the log, or begins it. `voters` count where neither log nor snapshot name any. Everything found is durable
    /// afterwards.
    pub fn open(disk: D, voters: VoterSet, segment_bytes: u32, now: Now, trust: Trust) -> Result<Opened<D>, String> {
        if !disk.exists(FOLDER) {
            disk.create_folder(FOLDER).map_err(|error| error.to_string())?;
            disk.sync_folder("").map_err(|error| error.to_string())?;
        }
        let newest = snapshot::list(&disk, FOLDER)?.pop();
        let content = newest.map(|id| snapshot::load(&disk, FOLDER, id)).transpose()?;
        let config = Arc::new(log::Config {
            segment_bytes,
            flush_messages: 1,
            retention_ms: None,
            retention_bytes: None,
            ..log::Config::default()
        });
        let identity = Identity { folder: FOLDER.into(), topic: TOPIC };
        let zero = Offset::ZERO;
        let (log, report) = Recovery {
            disk: disk.clone(),
            identity,
            config,
            now,
            trust,
            recovery_point: zero,
            start_offset: zero,
            cleaned_to: zero,
        }
        .run()
        .map_err(|error| error.to_string())?;
        let base = content.as_ref().and_then(|content| content.voters.clone()).unwrap_or(voters);
        let mut journal = Journal { disk, log, snapshot: newest, voters: History::new(base), syncing: false };
        journal.settle(now)?;
        journal.find_voters().map_err(|trouble| match trouble {
            Trouble::Fatal(why) | Trouble::Later(why) => why,
        })?;
        Ok(Opened { journal, snapshot: content, notes: report.notes })
    }

    /// Makes log and snapshot fit: a crash may have come between the arrival of a snapshot and the end of the log that it
    /// replaces.
    fn settle(&mut self, now: Now) -> Result<(), String> {
        let Some(id) = self.snapshot else {
            let start = self.log.start_offset();
            let missing =
                format!("{} begins at offset {start} without a snapshot of what is before", self.log.describe());
            return if start == Offset::ZERO { Ok(()) } else { Err(missing) };
        };
        // Where it is of older epochs it is what was left of a log that the snapshot replaces.
        let stale = self.log.start_offset() > id.end_offset && self.last_epoch() < id.epoch;
        if self.log.start_offset() > id.end_offset && !stale {
            let (start, end) = (self.log.start_offset(), id.end_offset);
            let folder = self.log.describe();
            return Err(format!("{folder} begins at offset {start}, but its newest snapshot ends at {end}"));
        }
        let last = id.end_offset.plus(-1);
        let other = self.log.epoch_at(last).is_some_and(|epoch| epoch != id.epoch);
        if self.log.end_offset() < id.end_offset || other || stale {
            self.log.truncate_fully_and_start_at(now, id.end_offset).map_err(|error| error.to_string())?;
        }
        self.log.set_start_offset(id.end_offset);
        self.log.set_high_watermark(id.end_offset);
        Ok(())
    }

    /// Reads the log once for the voter sets in it.
    fn find_voters(&mut self) -> Result<(), Trouble> {
        let mut at = self.start();
        while at < self.end() {
            let bytes = self.read(at, self.end(), READ_BYTES)?;
            let before = at;
            for batch in whole(&bytes) {
                at = batch.0.next_offset();
                self.note_voters(&batch.0, batch.1)?;
            }
            if at == before {
                return Err(Trouble::Fatal(format!("{}: there is no whole batch at offset {at}", self.log.describe())));
            }
        }
        Ok(())
    }

    pub fn start(&self) -> Offset {
        self.log.start_offset()
    }

    pub fn end(&self) -> Offset {
        self.log.end_offset()
    }

    /// Everything below is durable, in the log or in the snapshot.
    pub fn synced(&self) -> Offset {
        self.log.synced_offset().max(self.start())
    }

    pub fn snapshot(&self) -> Option<SnapshotId> {
        self.snapshot
    }

    pub fn voters(&self) -> &VoterSet {
        self.voters.latest()
    }

    /// Where in the log the newest voter set is.
    pub fn voters_offset(&self) -> Option<Offset> {
        self.voters.latest_offset()
    }

    /// The voter set before the newest one in the log.
    pub fn voters_before(&self) -> Option<&VoterSet> {
        self.voters.latest_offset().map(|offset| self.voters.below(offset))
    }

    /// True where neither the log nor a snapshot that other nodes can get names the voters.
    pub fn voters_unwritten(&self) -> bool {
        self.voters.latest_offset().is_none() && self.snapshot.is_none_or(|id| id.end_offset == Offset::ZERO)
    }

    /// The epoch of the last record; 0 where there is none.
    pub fn last_epoch(&self) -> LeaderEpoch {
        self.log.latest_epoch().unwrap_or(self.snapshot.map_or(LeaderEpoch(0), |id| id.epoch))
    }

    /// The largest epoch at or below `asked`, with the offset after its last record.
    pub fn epoch_end(&self, asked: LeaderEpoch) -> EpochEnd {
        let last = EpochEnd { epoch: self.last_epoch(), end_offset: self.end() };
        if asked >= last.epoch {
            return last;
        }
        self.log.epoch_end_offset(asked).map_or(last, |(epoch, end_offset)| EpochEnd { epoch, end_offset })
    }

    /// How a log that ends at `offset` with a record of `epoch` fits this one.
    pub fn fit(&self, offset: Offset, epoch: LeaderEpoch) -> Fit {
        if self.start() == Offset::ZERO && offset == Offset::ZERO {
            return Fit::Valid;
        }
        if let Some(id) = self.snapshot
            && (offset < self.start() || offset == self.start() && epoch != id.epoch || epoch < id.epoch)
        {
            return Fit::Snapshot(id);
        }
        let own = self.epoch_end(epoch);
        if own.epoch != epoch || own.end_offset < offset { Fit::Diverging(own) } else { Fit::Valid }
    }

    /// Where this log must end so that it can follow one in which the epoch ends so.
    pub fn common_end(&self, theirs: EpochEnd) -> Offset {
        let own = self.epoch_end(theirs.epoch);
        if own.epoch == theirs.epoch { own.end_offset.min(theirs.end_offset) } else { own.end_offset }
    }

    /// Batches from `from` on, which begins one, and below `upper`; the last one may be cut off.
    pub fn read(&mut self, from: Offset, upper: Offset, max_bytes: u32) -> Result<Bytes, Trouble> {
        let range = Range { from, upper, max_bytes, min_one_batch: true };
        let Some(found) = self.log.read(&range)? else { return Ok(Bytes::new()) };
        let mut bytes = vec![0; found.length as usize];
        let count = found.file.read_at(found.position, &mut bytes)?;
        bytes.truncate(count);
        Ok(Bytes::from(bytes))
    }

    /// The controller's records from `from` up to `upper` or before, and where they end.
    pub fn entries(&mut self, from: Offset, upper: Offset) -> Result<(Vec<Entry>, Offset), Trouble> {
        let bytes = self.read(from, upper, READ_BYTES)?;
        let mut entries = Vec::new();
        let mut next = from;
        for (header, batch) in whole(&bytes) {
            if header.base_offset != next {
                break;
            }
            next = header.next_offset();
            if !header.attributes.is_control() {
                let bad = |error: record::Invalid| unreadable(&header, &error);
                let mut records = record::records(batch, DECOMPRESSED_BATCH_BYTES_MAX).map_err(bad)?;
                while let Some(record) = records.next_record().map_err(bad)? {
                    let value = Bytes::copy_from_slice(record.value.unwrap_or_default());
                    entries.push(Entry { offset: record.offset, epoch: header.leader_epoch, value });
                }
            }
        }
        if next == from {
            return Err(Trouble::Fatal(format!("{}: there is no whole batch at offset {from}", self.log.describe())));
        }
        Ok((entries, next))
    }

    /// Appends one batch as the leader of `epoch`.
    pub fn append(&mut self, now: Now, batch: Bytes, epoch: LeaderEpoch) -> Result<(), Trouble> {
        let mut batches =
            record::validate(batch.clone(), &Rules::default()).map_err(|bad| Trouble::Later(bad.message))?;
        self.log.append(now, &mut batches, epoch, Origin::Controller)?;
        self.note_voters(&batches[0].header, &batch)
    }

    /// Appends what a leader of `epoch` sent; what is cut off or does not follow is left out.
    pub fn append_fetched(&mut self, now: Now, bytes: &Bytes, epoch: LeaderEpoch) -> Result<(), Trouble> {
        let mut at = 0;
        for (header, batch) in whole(bytes) {
            let batch = bytes.slice(at..at + batch.len());
            at += batch.len();
            let (sent, end) = (header.base_offset, self.end());
            if sent != end {
                return Err(Trouble::Later(format!("the leader sent offset {sent}, not {end}")));
            }
            if header.leader_epoch < self.last_epoch() || header.leader_epoch > epoch {
                let sent = header.leader_epoch;
                return Err(Trouble::Later(format!("the leader of epoch {epoch} sent a batch of epoch {sent}")));
            }
            self.append(now, batch, header.leader_epoch)?;
        }
        Ok(())
    }

    fn note_voters(&mut self, header: &Header, batch: &[u8]) -> Result<(), Trouble> {
        if !header.attributes.is_control() {
            return Ok(());
        }
        let bad = |error: record::Invalid| unreadable(header, &error);
        let mut records = record::records(batch, DECOMPRESSED_BATCH_BYTES_MAX).map_err(bad)?;
        let mut offset = header.base_offset;
        while let Some(record) = records.next_record().map_err(bad)? {
            let voters = control::voters(&record).map_err(|error| {
                Trouble::Fatal(format!("the voters at offset {offset} of the metadata log cannot be read: {error}"))
            })?;
            if let Some(voters) = voters {
                self.voters.push(offset, voters);
            }
            offset = offset.next();
        }
        Ok(())
    }

    /// Takes back everything from `end` on.
    pub fn truncate(&mut self, now: Now, end: Offset) -> Result<(), Trouble> {
        self.log.truncate_to(now, end)?;
        self.voters.truncate(self.log.end_offset());
        Ok(())
    }

    pub fn set_high_watermark(&mut self, high_watermark: Offset) {
        self.log.set_high_watermark(high_watermark);
    }

    /// A sync where something waits for one and none is under way.
    pub fn start_sync(&mut self) -> Option<Job<D>> {
        if self.syncing || self.synced() >= self.end() && !self.log.has_sealed_unsynced() {
            return None;
        }
        self.syncing = true;
        Some(Job::Sync(self.log.start_sync()))
    }

    pub fn job_done(&mut self, now: Now, done: JobDone, jobs: &mut Vec<Job<D>>) -> Result<(), Trouble> {
        match &done {
            JobDone::Synced(_) => self.syncing = false,
            JobDone::Removed(_) | JobDone::Verified(_) | JobDone::Cleaned(_) => {}
        }
        // A sync that fails may have lost what it should have kept, whatever the reason.
        self.log.job_done(now, done, jobs).map_err(|error| Trouble::Fatal(error.to_string()))
    }

    pub fn tick(&mut self, now: Now, jobs: &mut Vec<Job<D>>) -> Result<(), Trouble> {
        Ok(self.log.tick(now, jobs)?)
    }

    pub fn stop(&mut self) -> Result<(), Trouble> {
        Ok(self.log.stop()?)
    }

    /// Writes a snapshot of everything below `end` and lets go of the log below it. Waits for the disk.
    pub fn write_snapshot(
        &mut self,
        now: Now,
        end: Offset,
        records: impl IntoIterator<Item = Bytes>,
    ) -> Result<SnapshotId, Trouble> {
        let begins_batch =
            end == self.end() || whole(&self.read(end, self.end(), 1)?).any(|(header, _)| header.base_offset == end);
        let epoch = self.log.epoch_at(end.plus(-1)).filter(|_| begins_batch);
        let Some(epoch) = epoch else {
            return Err(Trouble::Later(format!("offset {end} is not the end of a batch of the metadata log")));
        };
        let id = SnapshotId { end_offset: end, epoch };
        let bytes = snapshot::encode(id, self.voters.below(end), now.wall, records);
        self.disk.write_small(&snapshot::path(FOLDER, id), &bytes, true)?;
        self.adopt(id);
        Ok(id)
    }

    /// Takes a snapshot of the leader in place of the whole log.
    pub fn install(&mut self, now: Now, content: &Content, bytes: &[u8]) -> Result<(), Trouble> {
        let id = content.id;
        self.disk.write_small(&snapshot::path(FOLDER, id), bytes, true)?;
        self.log.truncate_fully_and_start_at(now, id.end_offset)?;
        let base = content.voters.clone().unwrap_or_else(|| self.voters.below(Offset::ZERO).clone());
        self.voters = History::new(base);
        self.adopt(id);
        Ok(())
    }

    fn adopt(&mut self, id: SnapshotId) {
        self.snapshot = Some(id);
        self.voters.fold(id.end_offset);
        self.log.set_start_offset(id.end_offset);
        // One that cannot be removed now is at the next snapshot.
        drop(snapshot::remove_others(&self.disk, FOLDER, id));
    }

    /// A piece of the snapshot with its whole size; none where this is not the snapshot any more.
    pub fn snapshot_piece(
        &self,
        id: SnapshotId,
        position: u64,
        max_bytes: u32,
    ) -> Result<Option<(u64, Bytes)>, Trouble> {
        if self.snapshot != Some(id) {
            return Ok(None);
        }
        let file = self.disk.open(&snapshot::path(FOLDER, id), Open::Read)?;
        let size = file.length()?;
        let count = size.saturating_sub(position).min(u64::from(max_bytes));
        let mut bytes = vec![0; usize::try_from(count).expect("it is at most a u32")];
        let read = file.read_at(position, &mut bytes)?;
        bytes.truncate(read);
        Ok(Some((size, Bytes::from(bytes))))
    }
}

/// The whole batches at the front of some bytes.
fn whole(bytes: &[u8]) -> impl Iterator<Item = (Header, &[u8])> {
    Batches::new(bytes).map_while(Result::ok)
}

fn unreadable(header: &Header, error: &record::Invalid) -> Trouble {
    Trouble::Fatal(format!("the batch at offset {} of the metadata log cannot be read: {error}", header.base_offset))
}
