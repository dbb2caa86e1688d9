//! Making the log durable: which files and folders a sync must cover, as a job for another thread.

use crate::{Disk, DiskError, DiskFile, Error, ErrorKind, Log, Open, names};
use types::Offset;

/// Makes everything that was appended before it was made durable. Waits for the disk.
pub struct SyncJob<D: Disk> {
    disk: D,
    files: Vec<D::File>,
    /// Files that are not open; one that does not exist needs no sync.
    paths: Vec<String>,
    folders: Vec<String>,
    up_to: Offset,
    cleaned_to: Offset,
    truncations: u32,
}

/// What became of a sync.
#[derive(Clone, Debug)]
pub struct Synced {
    up_to: Offset,
    cleaned_to: Offset,
    truncations: u32,
    result: Result<(), DiskError>,
}

impl Synced {
    /// Why nothing is durable, where that is so.
    #[must_use]
    pub fn error(&self) -> Option<&DiskError> {
        self.result.as_ref().err()
    }
}

impl<D: Disk> SyncJob<D> {
    #[must_use]
    pub fn run(self) -> Synced {
        Synced { up_to: self.up_to, cleaned_to: self.cleaned_to, truncations: self.truncations, result: self.sync() }
    }

    fn sync(&self) -> Result<(), DiskError> {
        for file in &self.files {
            file.sync()?;
        }
        for path in &self.paths {
            match self.disk.open(path, Open::Read) {
                Ok(file) => file.sync()?,
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        self.folders.iter().try_for_each(|folder| self.disk.sync_folder(folder))
    }
}

impl<D: Disk> Log<D> {
    /// A sync of everything up to the log's end now.
    pub fn start_sync(&mut self) -> SyncJob<D> {
        self.sync_from(true)
    }

    /// A sync of the segments that are not written to any more.
    pub fn start_sealed_sync(&mut self) -> SyncJob<D> {
        self.sync_from(false)
    }

    /// A sealed segment waits for a sync.
    #[must_use]
    pub fn has_sealed_unsynced(&self) -> bool {
        self.sealed_unsynced
    }

    fn sync_from(&mut self, with_active: bool) -> SyncJob<D> {
        let mut job = SyncJob {
            disk: self.disk.clone(),
            files: Vec::new(),
            paths: Vec::new(),
            folders: Vec::new(),
            up_to: if with_active { self.end } else { self.active_ref().base },
            cleaned_to: self.cleaned_to,
            truncations: self.truncations,
        };
        self.sealed_unsynced = false;
        let folder = &self.identity.folder;
        let last = self.segments.len() - 1;
        let mut names_changed = false;
        for (at, segment) in self.segments.iter_mut().enumerate() {
            let sealed = at < last;
            if segment.bytes == 0 || (sealed && segment.sealed_synced) || (!sealed && !with_active) {
                continue;
            }
            if !sealed && !segment.names_synced {
                // Where the segments below are deleted, it alone knows of their producers.
                job.paths.push(names::path(folder, segment.base, names::SNAPSHOT));
            }
            names_changed |= sealed || !segment.names_synced;
            segment.names_synced = true;
            segment.sealed_synced = sealed;
            match &segment.file {
                Some(file) => job.files.push(file.clone()),
                None => job.paths.push(names::path(folder, segment.base, names::LOG)),
            }
            if segment.has_aborted && !sealed {
                job.paths.push(names::path(folder, segment.base, names::TXNINDEX));
                names_changed = true;
            }
            // The active segment's other indexes are made anew after a power loss; those of a sealed one are trusted.
            if sealed {
                for suffix in [names::INDEX, names::TIMEINDEX, names::TXNINDEX, names::SNAPSHOT] {
                    job.paths.push(names::path(folder, segment.base, suffix));
                }
            }
        }
        if std::mem::take(&mut self.epochs_unsynced) {
            job.paths.push(format!("{folder}/{}", names::LEADER_EPOCH_CHECKPOINT));
            names_changed = true;
        }
        if self.made && !std::mem::replace(&mut self.folder_synced, true) {
            job.paths.push(format!("{folder}/{}", names::PARTITION_METADATA));
            job.folders.push(String::new());
            names_changed = true;
        }
        if names_changed {
            job.folders.push(folder.to_string());
        }
        job
    }

    /// A sync that fails may have lost what it should have kept, so the log must not be used any more.
    pub fn sync_done(&mut self, synced: Synced) -> Result<(), Error> {
        synced.result.map_err(Error::Failed)?;
        if synced.truncations == self.truncations {
            self.synced = self.synced.max(synced.up_to);
            self.cleaned_synced = self.cleaned_synced.max(synced.cleaned_to);
        }
        Ok(())
    }
}
