//! When compaction is due and which segments it covers; and how what it wrote takes their place.

use crate::clean::{CleanJob, Cleaned, Source};
use crate::index::Index;
use crate::segment::Segment;
use crate::{Disk, Error, Job, Log, RemoveJob, names};
use types::{Now, Offset, Timestamp};

/// How long to wait after a compaction that failed.
const BACKOFF_MS: u64 = 15_000;
/// The files of a segment that compaction writes anew.
const CLEANED_SUFFIXES: [&str; 4] = [names::INDEX, names::TIMEINDEX, names::TXNINDEX, names::LOG];

impl<D: Disk> Log<D> {
    /// Begins a compaction where one is due and none is under way.
    pub(crate) fn start_cleaning(&mut self, now: Now) -> Option<CleanJob<D>> {
        if !self.config.cleanup.compact
            || self.cleaning
            || self.verifying
            || now.at < self.clean_after
            || !self.config.cleaner_enable
        {
            return None;
        }
        let first_dirty = self.cleaned_to.max(self.start);
        let end = self.first_uncleanable(now.wall, first_dirty);
        if !self.is_cleaning_due(now.wall, first_dirty, end) {
            return None;
        }
        self.cleaning = true;
        let sources = self.segments.iter().take_while(|segment| segment.base < end).map(|segment| Source {
            base: segment.base,
            bytes: segment.bytes,
            index_bytes: segment.offsets.bytes().max(segment.times.bytes()),
            changed: segment.changed,
        });
        let with_aborted = self.segments.iter().filter(|segment| segment.has_aborted).map(|segment| segment.base);
        Some(CleanJob {
            disk: self.disk.clone(),
            identity: self.identity.clone(),
            config: self.config.clone(),
            now: now.wall,
            sources: sources.collect(),
            first_dirty,
            end,
            producers: self.producers.remembered(),
            aborted: with_aborted.collect(),
            truncations: self.truncations,
        })
    }

    /// The first segment that must stay as it is: the active one, one with undecided or uncommitted records, or one with
    /// records younger than `min.compaction.lag.ms`.
    fn first_uncleanable(&self, now: Timestamp, first_dirty: Offset) -> Offset {
        let stable =
            self.producers.first_unstable().map_or(self.high_watermark, |first| first.min(self.high_watermark));
        let lag = i64::try_from(self.config.min_compaction_lag_ms).unwrap_or(i64::MAX);
        let last = self.segments.len() - 1;
        for (at, segment) in self.segments.iter().enumerate() {
            let end = self.segments.get(at + 1).map_or(self.end, |next| next.base);
            let newest = if segment.max_timestamp >= Timestamp(0) { segment.max_timestamp } else { segment.changed };
            let young = lag > 0 && segment.base >= first_dirty && newest.0 > now.0.saturating_sub(lag);
            if at == last || end > stable || young {
                return segment.base;
            }
        }
        Offset::ZERO
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio of byte counts needs no more than 52 bits")]
    fn is_cleaning_due(&self, now: Timestamp, first_dirty: Offset, end: Offset) -> bool {
        let (mut clean, mut dirty) = (0, 0);
        let mut oldest = i64::MAX;
        for segment in self.segments.iter().take_while(|segment| segment.base < end) {
            if segment.base < first_dirty {
                clean += u64::from(segment.bytes);
            } else {
                dirty += u64::from(segment.bytes);
                if segment.first_timestamp > Timestamp(0) {
                    oldest = oldest.min(segment.first_timestamp.0);
                }
            }
        }
        let lag = i64::try_from(self.config.max_compaction_lag_ms).unwrap_or(i64::MAX);
        let overdue = oldest < now.0.saturating_sub(lag);
        dirty > 0 && (overdue || dirty as f64 / (clean + dirty) as f64 > self.config.min_cleanable_dirty_ratio)
    }

    /// Puts the compacted segments in the place of those they cover.
    pub(crate) fn cleaning_done(
        &mut self,
        now: Now,
        result: Result<Cleaned, Error>,
        jobs: &mut Vec<Job<D>>,
    ) -> Result<(), Error> {
        self.cleaning = false;
        let cleaned = match result {
            Ok(cleaned) => cleaned,
            Err(error) => {
                self.clean_after = now.at.plus_ms(BACKOFF_MS);
                return if error.is_fatal() { Err(error) } else { Ok(()) };
            }
        };
        let mut whole = true;
        for group in cleaned.groups {
            let at = self.segments.iter().position(|segment| segment.base == group.sources[0]);
            let stands = at.filter(|at| {
                let segments = self.segments[*at..].iter().map(|segment| segment.base);
                cleaned.truncations == self.truncations
                    && segments.take(group.sources.len()).eq(group.sources.iter().copied())
            });
            match stands {
                Some(at) => self.swap(now, at, &group).map_err(stranded)?,
                None => {
                    // Retention or truncation took a segment away meanwhile.
                    whole = false;
                    jobs.push(Job::Remove(self.remove_cleaned(group.base)));
                }
            }
        }
        if whole {
            self.cleaned_to = self.cleaned_to.max(cleaned.cleaned_to);
        }
        Ok(())
    }

    fn remove_cleaned(&self, base: Offset) -> RemoveJob<D> {
        let path = |suffix: &&str| format!("{}{}", names::path(&self.identity.folder, base, suffix), names::CLEANED);
        RemoveJob::files(self.disk.clone(), &self.identity.folder, CLEANED_SUFFIXES.iter().map(path).collect())
    }

    /// A crash in the midst of this leaves either the old segments or a `.swap` file that recovery puts in their place.
    fn swap(&mut self, now: Now, at: usize, group: &crate::clean::Group) -> Result<(), Error> {
        let path = |suffix: &str| names::path(&self.identity.folder, group.base, suffix);
        let written = CLEANED_SUFFIXES.iter().filter(|suffix| group.has_aborted || **suffix != names::TXNINDEX);
        for suffix in written.clone() {
            let path = path(suffix);
            self.disk.rename(&format!("{path}{}", names::CLEANED), &format!("{path}{}", names::SWAP))?;
        }
        self.doom(now, &group.sources, &CLEANED_SUFFIXES)?;
        self.doom(now, &group.sources[1..], &[names::SNAPSHOT])?;
        for suffix in written {
            let path = names::path(&self.identity.folder, group.base, suffix);
            self.disk.rename(&format!("{path}{}", names::SWAP), &path)?;
        }
        let segment = Segment {
            bytes: group.bytes,
            offsets: Index::in_file(group.offsets.0, group.offsets.1),
            times: Index::in_file(group.times.0, group.times.1),
            first_timestamp: group.first_timestamp,
            max_timestamp: group.max_timestamp,
            max_timestamp_offset: group.max_timestamp_offset,
            changed: group.changed,
            has_aborted: group.has_aborted,
            ..Segment::new(group.base, now.wall)
        };
        // What it holds is durable, but not yet that it has this name.
        self.sealed_unsynced = true;
        self.open_sealed.retain(|base| !group.sources.contains(base));
        self.segments.splice(at..at + group.sources.len(), [segment]);
        Ok(())
    }
}

/// A swap that stopped half way leaves files that only recovery sorts out, so every error of it is fatal.
fn stranded(error: Error) -> Error {
    match error {
        Error::Full(error) => Error::Failed(error),
        other => other,
    }
}
