//! Long work that leaves the shard's thread: a `Job` is run elsewhere and its outcome handed back to the log it came from.
//! A job never touches the live log; it works on files that the log has let go of or only appends to.

use crate::clean::{CleanJob, Cleaned};
use crate::verify::{Verified, VerifyJob};
use crate::{Disk, DiskError, Error, SyncJob, Synced};

/// Long work of one log.
pub enum Job<D: Disk> {
    /// Makes appended records durable.
    Sync(SyncJob<D>),
    /// Removes files that nothing uses any more.
    Remove(RemoveJob<D>),
    /// Reads what the last run left unsynced.
    Verify(VerifyJob<D>),
    /// Keeps the latest record of each key.
    Clean(CleanJob<D>),
}

/// The outcome of a job.
#[derive(Debug)]
pub enum JobDone {
    Synced(Synced),
    Removed(Result<(), DiskError>),
    Verified(Verified),
    Cleaned(Result<Cleaned, Error>),
}

impl<D: Disk> Job<D> {
    /// What it does, for progress and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Job::Sync(_) => "sync",
            Job::Remove(_) => "remove",
            Job::Verify(_) => "verify",
            Job::Clean(_) => "compact",
        }
    }

    #[must_use]
    pub fn run(self) -> JobDone {
        match self {
            Job::Sync(job) => JobDone::Synced(job.run()),
            Job::Remove(job) => JobDone::Removed(job.run()),
            Job::Verify(job) => JobDone::Verified(job.run()),
            Job::Clean(job) => JobDone::Cleaned(job.run()),
        }
    }
}

/// Removes files of a folder.
#[derive(Debug)]
pub struct RemoveJob<D> {
    disk: D,
    folder: String,
    paths: Vec<String>,
}

impl<D: Disk> RemoveJob<D> {
    pub(crate) fn files(disk: D, folder: &str, paths: Vec<String>) -> RemoveJob<D> {
        RemoveJob { disk, folder: folder.to_owned(), paths }
    }

    fn run(self) -> Result<(), DiskError> {
        // What took the place of the files must be durable before they go.
        self.disk.sync_folder(&self.folder)?;
        self.paths.iter().try_for_each(|path| self.disk.remove(path))
    }
}
