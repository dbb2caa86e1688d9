//! Long work that leaves the shard's thread: a `Job` is run elsewhere and its outcome handed back to the log it came from.
//! A job never touches the live log; it works on files that the log has let go of or only appends to.

use crate::verify::VerifyJob;
use crate::{Disk, DiskError, Error, SyncJob, Synced};

/// Long work of one log.
pub enum Job<D: Disk> {
    /// Makes appended records durable.
    Sync(SyncJob<D>),
    /// Removes files that nothing uses any more.
    Remove(RemoveJob<D>),
    /// Reads what the last run left unsynced.
    Verify(VerifyJob<D>),
}

/// The outcome of a job.
#[derive(Debug)]
pub enum JobDone {
    Synced(Synced),
    Removed(Result<(), DiskError>),
    Verified(Result<(), Error>),
}

impl<D: Disk> Job<D> {
    /// What it does, for progress and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Job::Sync(_) => "sync",
            Job::Remove(_) => "remove",
            Job::Verify(_) => "verify",
        }
    }

    #[must_use]
    pub fn run(self) -> JobDone {
        match self {
            Job::Sync(job) => JobDone::Synced(job.run()),
            Job::Remove(job) => JobDone::Removed(job.run()),
            Job::Verify(job) => JobDone::Verified(job.run()),
        }
    }
}

/// Removes files.
#[derive(Debug)]
pub struct RemoveJob<D> {
    pub(crate) disk: D,
    pub(crate) paths: Vec<String>,
}

impl<D: Disk> RemoveJob<D> {
    fn run(self) -> Result<(), DiskError> {
        self.paths.iter().try_for_each(|path| self.disk.remove(path))
    }
}
