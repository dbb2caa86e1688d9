//! Deleting whole segments from the front: by age, by size, and below the log start offset.

use crate::{Disk, Error, Job, Log, Open, RemoveJob, names};
use types::{Instant, Now, Offset, Timestamp};

/// Renamed files that are removed when their time has come.
#[derive(Debug)]
pub(crate) struct Doomed {
    pub due: Instant,
    pub paths: Vec<String>,
}

impl<D: Disk> Log<D> {
    /// Deletes the segments at the front that nothing keeps any more.
    pub(crate) fn retain(&mut self, now: Now) -> Result<(), Error> {
        let count = self.deletable(now.wall);
        if count == 0 {
            return Ok(());
        }
        if count == self.segments.len() {
            match self.roll(now.wall) {
                // On a full disk deleting matters more than the last snapshot of the producers.
                Err(Error::Full(_)) => self.begin_segment(now.wall),
                other => other?,
            }
        }
        if self.segments[count..].iter().all(|segment| segment.bytes == 0) {
            // The name of an empty segment is what remembers where the log goes on.
            let place = Self::place(&self.disk, &self.identity);
            let active = self.segments.last_mut().expect("a log always has an active segment");
            active.open(place, Open::Create)?;
        }
        let doomed: Vec<Offset> = self.segments.drain(..count).map(|segment| segment.base).collect();
        self.open_sealed.retain(|base| !doomed.contains(base));
        self.start = self.start.max(self.segments[0].base);
        // The start may lie within a segment whose records below it are not durable either.
        self.synced = self.synced.max(self.segments[0].base);
        self.cleaned_to = self.cleaned_to.max(self.start);
        self.doom(now, &doomed, &names::SEGMENT_SUFFIXES)?;
        // A start within the segment is not durable yet: what is below it may be back after a kill.
        if self.epochs.truncate_start(self.segments[0].base) {
            // Nor may a power loss bring back records whose epochs nobody knows.
            self.disk.sync_folder(&self.identity.folder)?;
            self.write_epochs()?;
        }
        Ok(())
    }

    /// How many segments from the first one are to be deleted.
    fn deletable(&self, now: Timestamp) -> usize {
        let cleanup = self.config.cleanup;
        let retention_ms = self.config.retention_ms.filter(|_| cleanup.delete);
        let mut excess = match self.config.retention_bytes {
            Some(bytes) if cleanup.delete => self.size_bytes().saturating_sub(bytes),
            Some(_) | None => 0,
        };
        let mut count = 0;
        for (at, segment) in self.segments.iter().enumerate() {
            let end = self.segments.get(at + 1).map_or(self.end, |next| next.base);
            let active = at + 1 == self.segments.len();
            if segment.bytes == 0 || end > self.high_watermark {
                break;
            }
            let newest = if segment.max_timestamp >= Timestamp(0) { segment.max_timestamp } else { segment.changed };
            let age = u64::try_from(now.0.saturating_sub(newest.0)).unwrap_or(0);
            let old = retention_ms.is_some_and(|ms| age > ms);
            let much = !active && excess >= u64::from(segment.bytes);
            let below_start = !active && end <= self.start;
            if !(old || much || below_start) {
                break;
            }
            if much {
                excess -= u64::from(segment.bytes);
            }
            count += 1;
        }
        count
    }

    /// Renames files of segments so that nothing finds them any more, and removes them after `file.delete.delay.ms`:
    /// a reader may still be sending what it found before.
    pub(crate) fn doom(&mut self, now: Now, bases: &[Offset], suffixes: &[&str]) -> Result<(), Error> {
        let mut paths = Vec::new();
        for base in bases {
            for suffix in suffixes {
                let path = names::path(&self.identity.folder, *base, suffix);
                let deleted = format!("{path}{}", names::DELETED);
                match self.disk.rename(&path, &deleted) {
                    Ok(()) => paths.push(deleted),
                    Err(error) if error.kind == crate::ErrorKind::NotFound => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let due = now.at.plus_ms(self.config.file_delete_delay_ms);
        self.doomed.push_back(Doomed { due, paths });
        Ok(())
    }

    /// Hands out the removal of files whose delay is over.
    pub(crate) fn remove_doomed(&mut self, now: Now, jobs: &mut Vec<Job<D>>) {
        while self.doomed.front().is_some_and(|doomed| doomed.due <= now.at) {
            let doomed = self.doomed.pop_front().expect("there is one at the front");
            jobs.push(Job::Remove(RemoveJob::files(self.disk.clone(), &self.identity.folder, doomed.paths)));
        }
    }
}
