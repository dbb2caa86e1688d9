//! Opening a log that was written before: what the last run left behind decides how much of it is read.

use crate::epochs::Epochs;
use crate::index::{Entry, Index};
use crate::leftovers::{self, Contents};
use crate::producers::{Producers, read_marker};
use crate::scan::{Found, Scan, Stop};
use crate::segment::{Place, Segment, log_path};
use crate::timestamps::read_batch;
use crate::transactions::{self, Aborted};
use crate::{Config, Disk, DiskFile, Error, ErrorKind, Identity, Log, Open, checkpoint, names, snapshot};
use record::{HEADER_BYTES, Header, Invalid};
use std::sync::Arc;
use types::{Now, Offset};

/// How the last run ended, which decides what the files can be trusted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It wrote everything out and said so.
    Stopped,
    /// It was killed, but the operating system went on: what was written is there, the last write may be cut off.
    Killed,
    /// The machine went down: only what was synced is certain to be there.
    PowerLost,
}

/// Opens one log, or begins it where there is none. A job: it reads files, may run for long, and is independent of other
/// partitions.
pub struct Recovery<D: Disk> {
    pub disk: D,
    pub identity: Identity,
    pub config: Arc<Config>,
    pub now: Now,
    pub trust: Trust,
    /// Everything below was synced, as `recovery-point-offset-checkpoint` says; 0 where it says nothing.
    pub recovery_point: Offset,
    /// As `log-start-offset-checkpoint` says; 0 where it says nothing.
    pub start_offset: Offset,
    /// As `cleaner-offset-checkpoint` says; 0 where it says nothing.
    pub cleaned_to: Offset,
}

/// What recovery found, for the log of the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub segments: usize,
    pub scanned_bytes: u64,
    /// Bytes of a torn or corrupt tail that were cut off.
    pub cut_bytes: u64,
    /// What an operator should know, one line each.
    pub notes: Vec<String>,
}

/// A checkpoint of leader epochs larger than this is not one.
const EPOCHS_BYTES_MAX: usize = 16 << 20;
const METADATA_BYTES_MAX: usize = 4096;

/// Where a scan found no batch any more.
struct Bad {
    position: u32,
    why: Invalid,
}

impl<D: Disk> Recovery<D> {
    pub fn run(self) -> Result<(Log<D>, Report), Error> {
        let mut log = Log::create(self.disk.clone(), self.identity.clone(), self.config.clone(), self.now);
        log.start = self.start_offset;
        let mut report = Report::default();
        if !self.disk.exists(&self.identity.folder) {
            log.restart_at(self.start_offset, self.now.wall);
            return Ok((log, report));
        }
        let contents = leftovers::clear(self.place(), &mut report.notes)?;
        log.made = self.is_made(&contents)?;
        let epochs = self.load_epochs(&contents)?;
        log.epochs = epochs.clone().unwrap_or_default();
        if self.trust == Trust::PowerLost {
            log.epochs.doubt(self.recovery_point);
        }
        self.load_segments(&mut log, &contents, &mut report)?;
        log.epochs.settle();
        if epochs.is_none() {
            self.rebuild_epochs(&mut log)?;
        }
        self.settle_offsets(&mut log, &mut report)?;
        self.load_producers(&mut log, &contents, &mut report)?;
        log.epochs_stale = log.epochs.truncate_end(log.end);
        log.epochs.truncate_start(log.segments[0].base);
        if log.epochs != epochs.unwrap_or_default() {
            log.write_epochs()?;
        }
        for segment in &mut log.segments {
            segment.write_indexes(self.place())?;
            segment.file = None;
            segment.offsets.release();
            segment.times.release();
        }
        log.segments.shrink_to_fit();
        if self.trust == Trust::PowerLost || self.config.flush_messages == 1 {
            // What was cut off must not come back with the next power loss; and what waits for syncs to be committed
            // must not seem uncommitted again.
            let job = log.start_sync();
            log.sync_done(job.run())?;
        }
        log.unverified = (self.trust == Trust::Killed && log.synced < log.end).then_some((log.synced, log.end));
        report.segments = log.segments.len();
        Ok((log, report))
    }

    fn place(&self) -> Place<'_, D> {
        Place { disk: &self.disk, folder: &self.identity.folder }
    }

    /// False where `partition.metadata` is missing or torn, so that the next append writes it.
    fn is_made(&self, contents: &Contents) -> Result<bool, Error> {
        if !contents.has_metadata {
            return Ok(false);
        }
        let path = format!("{}/{}", self.identity.folder, names::PARTITION_METADATA);
        let found = checkpoint::decode_partition_metadata(&self.disk.read_small(&path, METADATA_BYTES_MAX)?);
        match found {
            Some(other) if other != self.identity.topic => Err(Error::Corrupt {
                path: self.disk.describe(&path),
                position: 0,
                why: format!("it belongs to a topic with id {other}, not {}", self.identity.topic),
            }),
            Some(_) => Ok(true),
            None => Ok(false),
        }
    }

    /// The checkpoint of leader epochs, where there is one that is whole.
    fn load_epochs(&self, contents: &Contents) -> Result<Option<Epochs>, Error> {
        if !contents.has_epochs {
            return Ok(None);
        }
        let path = format!("{}/{}", self.identity.folder, names::LEADER_EPOCH_CHECKPOINT);
        Ok(Epochs::decode(&self.disk.read_small(&path, EPOCHS_BYTES_MAX)?))
    }

    /// Takes the leader epochs from the batches.
    fn rebuild_epochs(&self, log: &mut Log<D>) -> Result<(), Error> {
        log.epochs.clear();
        let mut after = log.segments.first().map_or(log.start, |segment| segment.base);
        for segment in &mut log.segments {
            let (base, bytes) = (segment.base, segment.bytes);
            let mut scan = Scan::new(segment.open(self.place(), Open::Write)?, 0, bytes);
            while let Some(found) = scan.next().map_err(|stop| stop.into_error(|| log_path(self.place(), base)))? {
                let header = &found.header;
                log.epochs.learn(header.leader_epoch, after, header.base_offset);
                after = header.next_offset();
            }
        }
        Ok(())
    }

    /// Opens the segments in order and finds out where each ends.
    fn load_segments(&self, log: &mut Log<D>, contents: &Contents, report: &mut Report) -> Result<(), Error> {
        log.segments.clear();
        log.end = contents.segments.first().copied().unwrap_or(self.start_offset);
        for (at, base) in contents.segments.iter().enumerate() {
            let next = contents.segments.get(at + 1).copied();
            let mut segment = Segment::new(*base, self.now.wall);
            segment.has_aborted = contents.aborted.contains(base);
            log.end = log.end.max(*base);
            let whole = self.load_segment(&mut segment, next, log, report)?;
            log.segments.push(segment);
            if !whole {
                self.drop_segments(&contents.segments[at + 1..], report)?;
                break;
            }
        }
        Ok(())
    }

    /// Finds out where a segment ends and what it holds; false where it was cut, so that nothing may follow it.
    fn load_segment(
        &self,
        segment: &mut Segment<D::File>,
        next: Option<Offset>,
        log: &mut Log<D>,
        report: &mut Report,
    ) -> Result<bool, Error> {
        let file = segment.open(self.place(), Open::Write)?.clone();
        let length = u32::try_from(file.length()?).map_err(|_| Error::Corrupt {
            path: log_path(self.place(), segment.base),
            position: u64::from(u32::MAX),
            why: "a segment is never this long".to_owned(),
        })?;
        let below_recovery_point = next.is_some_and(|next| next < self.recovery_point);
        let trusted = self.trust != Trust::PowerLost || below_recovery_point;
        segment.names_synced = below_recovery_point;
        segment.sealed_synced = below_recovery_point;
        log.sealed_unsynced |= next.is_some() && !below_recovery_point;
        self.load_indexes(segment, length, trusted)?;
        if let Ok(Some(first)) = Scan::new(&file, 0, length).next() {
            segment.first_timestamp = first.header.max_timestamp;
        }
        if let Some(next) = next
            && trusted
            && segment.times.len() > 0
            && (segment.offsets.len() > 0 || length <= self.config.index_interval_bytes)
        {
            segment.bytes = length;
            log.end = next;
            return Ok(true);
        }
        let bad = match self.scan_tail(segment, &file, length, log, report)? {
            Some(bad) => bad,
            // Segments follow each other without a gap, compacted ones too, so the end of this one was lost.
            None if self.trust == Trust::PowerLost && next.is_some_and(|next| log.end < next) => {
                Bad { position: length, why: Invalid::Truncated { needed: 1, found: 0 } }
            }
            None => {
                if next.is_some() {
                    segment.note_time();
                }
                return Ok(true);
            }
        };
        self.cut(segment, &file, length, bad, next, log, report)?;
        Ok(false)
    }

    fn load_indexes(&self, segment: &mut Segment<D::File>, length: u32, trusted: bool) -> Result<(), Error> {
        segment.offsets = load_index(self.place(), segment.base, names::INDEX, trusted)?;
        segment.times = load_index(self.place(), segment.base, names::TIMEINDEX, trusted)?;
        if segment.offsets.newest().is_some_and(|entry| entry.position >= length) {
            segment.offsets = load_index(self.place(), segment.base, names::INDEX, false)?;
            segment.times = load_index(self.place(), segment.base, names::TIMEINDEX, false)?;
        }
        if let Some(newest) = segment.times.newest() {
            segment.max_timestamp = newest.timestamp;
            segment.max_timestamp_offset = segment.base.plus(i64::from(newest.relative));
        }
        Ok(())
    }

    /// Walks the batches from the last index entry to the end of the file, or to where they end.
    fn scan_tail(
        &self,
        segment: &mut Segment<D::File>,
        file: &D::File,
        length: u32,
        log: &mut Log<D>,
        report: &mut Report,
    ) -> Result<Option<Bad>, Error> {
        let from = segment.offsets.newest().map_or(0, |entry| entry.position);
        segment.bytes = from;
        report.scanned_bytes += u64::from(length - from);
        let mut scan = Scan::new(file, from, length);
        let mut expected = segment.base;
        loop {
            let found = match scan.next() {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(None),
                Err(Stop::Disk(error)) => return Err(error.into()),
                Err(Stop::Bad { position, why }) => return Ok(Some(Bad { position, why })),
            };
            if let Err(why) = self.check(file, &found, expected, segment.base)? {
                return Ok(Some(Bad { position: found.position, why }));
            }
            expected = found.header.next_offset();
            segment.note(&found.header, self.config.index_interval_bytes, self.now.wall);
            // Where the scan begins within a segment, the batch before its first is not known.
            let after = if found.position == 0 || found.position > from { log.end } else { found.header.base_offset };
            log.epochs.learn(found.header.leader_epoch, after, found.header.base_offset);
            log.end = expected;
        }
    }

    /// Whether a batch is what was appended there.
    fn check(
        &self,
        file: &D::File,
        found: &Found,
        expected: Offset,
        base: Offset,
    ) -> Result<Result<(), Invalid>, Error> {
        let header = &found.header;
        let within_reach = header.last_offset().minus(base) <= i64::from(i32::MAX);
        if header.base_offset < expected || !within_reach {
            let (base_offset, last_offset_delta) = (header.base_offset.0, header.last_offset_delta);
            return Ok(Err(Invalid::BadOffsets { base_offset, last_offset_delta, record_count: header.record_count }));
        }
        if self.trust == Trust::Stopped {
            return Ok(Ok(()));
        }
        let bytes = read_batch(file, found.position, header)?;
        if record::crc_matches(&bytes) {
            return Ok(Ok(()));
        }
        let computed = record::crc32c(bytes.get(21..).unwrap_or_default());
        Ok(Err(Invalid::BadCrc { stored: header.crc, computed }))
    }

    /// Cuts a segment where its batches end; or refuses, where that would drop records that were promised to stay.
    #[expect(clippy::too_many_arguments, reason = "one step of the recovery of a segment, with all it knows")]
    fn cut(
        &self,
        segment: &mut Segment<D::File>,
        file: &D::File,
        length: u32,
        bad: Bad,
        next: Option<Offset>,
        log: &mut Log<D>,
        report: &mut Report,
    ) -> Result<(), Error> {
        let Bad { position, why } = bad;
        let (path, end, synced) = (log_path(self.place(), segment.base), log.end, self.recovery_point);
        let promised = self.trust != Trust::PowerLost || end < synced;
        if promised && (next.is_some() || batch_follows(file, position, length, end)?) {
            let why = format!("{why}; whole batches follow, so this is no torn tail");
            return Err(Error::Corrupt { path, position: u64::from(position), why });
        }
        if end < synced {
            report.notes.push(format!("{path}: offsets {end} to {synced} were synced and are gone"));
        }
        let cut = length - position;
        report.cut_bytes += u64::from(cut);
        report.notes.push(format!("{path}: cut {cut} bytes of a torn tail at position {position} ({why})"));
        file.truncate(u64::from(position))?;
        segment.trim(self.place(), log.end)
    }

    fn drop_segments(&self, bases: &[Offset], report: &mut Report) -> Result<(), Error> {
        for base in bases {
            report.notes.push(format!("removed {}, which follows a tail that was cut", log_path(self.place(), *base)));
            for suffix in names::SEGMENT_SUFFIXES {
                self.disk.remove(&names::path(&self.identity.folder, *base, suffix))?;
            }
        }
        // What takes their place may be durable before their names are gone.
        if bases.is_empty() { Ok(()) } else { Ok(self.disk.sync_folder(&self.identity.folder)?) }
    }

    fn settle_offsets(&self, log: &mut Log<D>, report: &mut Report) -> Result<(), Error> {
        let first = log.segments.first().map_or(self.start_offset, |segment| segment.base);
        log.start = self.start_offset.max(first);
        if log.segments.is_empty() {
            log.restart_at(log.start, self.now.wall);
        } else if log.end < log.start {
            let (end, start) = (log.end, log.start);
            report.notes.push(format!("the log ends at {end} before its start {start}: it begins anew there"));
            let bases: Vec<Offset> = log.segments.iter().map(|segment| segment.base).collect();
            self.drop_segments(&bases, report)?;
            log.restart_at(log.start, self.now.wall);
        }
        log.synced = self.recovery_point.clamp(log.segments[0].base.min(log.end), log.end);
        log.cleaned_to = if self.cleaned_to > log.end { log.start } else { self.cleaned_to.max(log.start) };
        log.cleaned_synced = log.cleaned_to;
        log.folder_synced = log.made && self.recovery_point > Offset::ZERO;
        Ok(())
    }

    /// Rebuilds what is known of the producers: from the newest snapshot that holds, and the batches after it.
    fn load_producers(&self, log: &mut Log<D>, contents: &Contents, report: &mut Report) -> Result<(), Error> {
        // Below the recovery point the transaction indexes were synced; above they are made anew.
        let below = match self.trust {
            // Of what was before the first segment, its snapshot alone is left.
            Trust::PowerLost => self.recovery_point.max(log.segments[0].base).min(log.end),
            Trust::Stopped | Trust::Killed => log.end,
        };
        let (producers, from) = log.newest_snapshot(below)?;
        log.producers = producers;
        log.snapshot_at = from;
        for offset in contents.snapshots.iter().filter(|offset| **offset != from) {
            if *offset > log.end || !log.segments.iter().any(|segment| segment.base == *offset) {
                self.disk.remove(&names::path(&self.identity.folder, *offset, names::SNAPSHOT))?;
            }
        }
        log.replay(from, report)?;
        log.producers.expire(self.now.wall, self.config.producer_id_expiration_ms);
        Ok(())
    }
}

/// The entries of an index file that are whole; without trust there are none, and the file becomes empty.
fn load_index<D: Disk, E: Entry>(
    place: Place<'_, D>,
    base: Offset,
    suffix: &str,
    trusted: bool,
) -> Result<Index<E>, Error> {
    let file = match place.disk.open(&names::path(place.folder, base, suffix), Open::Write) {
        Ok(file) => file,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(Index::new()),
        Err(error) => return Err(error.into()),
    };
    let bytes = file.length()?;
    let entries = if trusted { bytes / E::BYTES as u64 } else { 0 };
    if entries * E::BYTES as u64 != bytes {
        file.truncate(entries * E::BYTES as u64)?;
    }
    let entries = u32::try_from(entries).unwrap_or(u32::MAX);
    let newest = match entries.checked_sub(1) {
        Some(last) => Index::in_file(entries, None).get(Some(&file), last)?,
        None => None,
    };
    Ok(Index::in_file(entries, newest))
}

/// True where a whole batch that continues the log begins somewhere behind `position`.
fn batch_follows<F: DiskFile>(file: &F, position: u32, length: u32, end: Offset) -> Result<bool, Error> {
    const WINDOW_BYTES: usize = 1 << 20;
    let mut at = position + 1;
    let mut buffer = vec![0; WINDOW_BYTES];
    while (at as usize) + HEADER_BYTES <= length as usize {
        let read = file.read_at(u64::from(at), &mut buffer)?;
        if read < HEADER_BYTES {
            break;
        }
        for (start, window) in buffer[..read].windows(HEADER_BYTES).enumerate() {
            let Ok(header) = Header::parse(window) else { continue };
            let position = at + u32::try_from(start).expect("a window is 1 MiB");
            let left = (length - position) as usize;
            if header.base_offset < end
                || header.base_offset.minus(end) > i64::from(i32::MAX)
                || header.size_bytes() > left
            {
                continue;
            }
            if record::crc_matches(&read_batch(file, position, &header)?) {
                return Ok(true);
            }
        }
        at += u32::try_from(read - HEADER_BYTES + 1).expect("a window is 1 MiB");
    }
    Ok(false)
}

impl<D: Disk> Log<D> {
    /// The newest snapshot of the producers that is whole and not beyond `below`, with its offset; without one, nothing is
    /// known where the log's first segment begins.
    pub(crate) fn newest_snapshot(&self, below: Offset) -> Result<(Producers, Offset), Error> {
        let first = self.segments[0].base;
        let names = match self.disk.list(&self.identity.folder) {
            Ok(names) => names,
            Err(error) if error.kind == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        for name in names.iter().rev() {
            let Some((offset, names::SNAPSHOT)) = names::parse(name) else { continue };
            if offset < first || offset > below {
                continue;
            }
            let path = format!("{}/{name}", self.identity.folder);
            if let Some(producers) = snapshot::decode(self.disk.read_small(&path, snapshot::BYTES_MAX)?) {
                return Ok((producers, offset));
            }
        }
        Ok((Producers::default(), first))
    }

    /// Notes the producers of all batches from `from` on, and which transactions they aborted.
    pub(crate) fn replay(&mut self, from: Offset, report: &mut Report) -> Result<(), Error> {
        for at in self.segment_of(from)..self.segments.len() {
            let place = Place { disk: &self.disk, folder: &self.identity.folder };
            let segment = &mut self.segments[at];
            let base = segment.base;
            let Some(first) = segment.find(place, from)? else { continue };
            let file = segment.open(place, Open::Read)?.clone();
            let before = if segment.has_aborted { transactions::read_whole(place, base) } else { Vec::new() };
            let mut aborted: Vec<Aborted> = before.clone();
            aborted.retain(|entry| entry.last_offset < from);
            let mut scan = Scan::new(&file, first.position, segment.bytes);
            report.scanned_bytes += u64::from(segment.bytes - first.position);
            while let Some(found) = scan.next().map_err(|stop| stop.into_error(|| log_path(place, base)))? {
                let header = &found.header;
                if header.base_offset < from || !header.has_producer() {
                    continue;
                }
                if !header.attributes.is_control() {
                    self.producers.note(header);
                } else if let Some(marker) = read_marker(&read_batch(&file, found.position, header)?)
                    && let Some(completed) = self.producers.note_marker(header, marker)
                {
                    aborted.extend(completed.aborted(&self.producers));
                }
            }
            if aborted != before {
                transactions::write(place, base, &aborted)?;
                segment.sealed_synced = false;
                self.sealed_unsynced = true;
            }
            segment.has_aborted = !aborted.is_empty();
            if at + 1 < self.segments.len() {
                self.segments[at].file = None;
            }
        }
        Ok(())
    }
}
