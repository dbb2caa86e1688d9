//! Work that takes long or waits for the disk: made here, run elsewhere, and what becomes of it.

use crate::moves::{Swap, Swapping};
use crate::seam::{Level, Output, Ticket};
use crate::shard::Shard;
use bytes::Bytes;
use log::{Disk, DiskError, DiskFile, FileRange, Log, Recovery, Report, Synced};
use types::TopicPartition;

/// A job, to be run on another thread or by the simulator.
pub enum Job<D: Disk> {
    /// Opens a partition's log.
    Recover(Box<Recovery<D>>),
    /// Syncs, removals and compactions of a partition's log.
    Log(log::Job<D>),
    /// Brings cold ranges into the page cache.
    Warm(Vec<FileRange<D::File>>),
    /// Reads ranges into memory, for a coordinator that loads.
    Read(Vec<FileRange<D::File>>),
    /// Removes the folder of a deleted partition.
    RemoveFolder { disk: D, path: String },
    /// Puts the copy of a log in the place of the log.
    Swap(Box<Swap<D>>),
}

/// The outcome of a job.
pub enum JobDone<D: Disk> {
    Recovered(Result<Box<(Log<D>, Report)>, log::Error>),
    Log(log::JobDone),
    Warmed(Result<(), DiskError>),
    Read(Result<Bytes, DiskError>),
    Removed(Result<(), DiskError>),
    Swapped(Result<Synced, DiskError>),
}

/// Whom a running job is for.
#[derive(Debug)]
pub(crate) enum JobFor {
    Partition(TopicPartition),
    MetadataLog,
    Warm {
        waiter: u64,
    },
    LoadGroups(TopicPartition),
    /// For a replica that moves to another directory.
    Move {
        partition: TopicPartition,
        id: u64,
    },
    Swap(Box<Swapping>),
    Nobody,
}

impl JobFor {
    /// Whose folder's files it names.
    fn partition(&self) -> Option<TopicPartition> {
        match self {
            JobFor::Partition(partition) => Some(*partition),
            JobFor::Swap(swap) => Some(swap.partition),
            _ => None,
        }
    }
}

impl<D: Disk> std::fmt::Debug for Job<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl<D: Disk> std::fmt::Debug for JobDone<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            JobDone::Recovered(_) => "recovered",
            JobDone::Log(_) => "log",
            JobDone::Warmed(_) => "warmed",
            JobDone::Read(_) => "read",
            JobDone::Removed(_) => "removed",
            JobDone::Swapped(_) => "swapped",
        })
    }
}

impl<D: Disk> Job<D> {
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Job::Recover(_) => "recover",
            Job::Log(job) => job.name(),
            Job::Warm(_) => "warm",
            Job::Read(_) => "read",
            Job::RemoveFolder { .. } => "remove folder",
            Job::Swap(_) => "swap",
        }
    }

    /// Does the work; waits for the disk.
    #[must_use]
    pub fn run(self) -> JobDone<D> {
        match self {
            Job::Recover(recovery) => JobDone::Recovered(recovery.run().map(Box::new)),
            Job::Log(job) => JobDone::Log(job.run()),
            Job::Warm(ranges) => {
                let warm = |range: &FileRange<D::File>| range.file.warm(range.position, u64::from(range.length));
                JobDone::Warmed(ranges.iter().try_for_each(warm))
            }
            Job::Read(ranges) => JobDone::Read(read_ranges(&ranges)),
            Job::RemoveFolder { disk, path } => JobDone::Removed(disk.remove_folder(&path)),
            Job::Swap(swap) => JobDone::Swapped(swap.run()),
        }
    }
}

pub(crate) fn read_ranges<F: DiskFile>(ranges: &[FileRange<F>]) -> Result<Bytes, DiskError> {
    let mut bytes = Vec::new();
    for range in ranges {
        let start = bytes.len();
        bytes.resize(start + range.length as usize, 0);
        let read = range.file.read_at(range.position, &mut bytes[start..])?;
        bytes.truncate(start + read);
    }
    Ok(Bytes::from(bytes))
}

impl<D: Disk> Shard<D> {
    pub(crate) fn start_job(&mut self, target: JobFor, job: Job<D>) {
        let ticket = Ticket(self.next_id());
        self.jobs.insert(ticket, target);
        self.out.push(Output::Job { ticket, job });
    }

    pub(crate) fn job_done(&mut self, ticket: Ticket, done: JobDone<D>) {
        let Some(target) = self.jobs.remove(&ticket) else {
            return;
        };
        let partition = target.partition();
        match (target, done) {
            (JobFor::Partition(partition), JobDone::Recovered(opened)) => self.partition_opened(partition, opened),
            (JobFor::Partition(partition), JobDone::Log(done)) => self.partition_job_done(partition, done),
            (JobFor::MetadataLog, JobDone::Log(done)) => self.quorum_job_done(done),
            (JobFor::Warm { waiter }, JobDone::Warmed(result)) => self.warmed(waiter, result),
            (JobFor::LoadGroups(partition), JobDone::Read(read)) => self.groups_read(partition, read),
            (JobFor::Move { partition, id }, JobDone::Read(read)) => self.move_read(partition, id, read),
            (JobFor::Move { partition, id }, JobDone::Log(done)) => self.move_synced(partition, id, done),
            (JobFor::Move { partition, id }, JobDone::Recovered(opened)) => {
                self.future_opened(partition, id, opened.map(|opened| opened.0));
            }
            (JobFor::Swap(swap), JobDone::Swapped(done)) => self.swapped(&swap, done),
            (JobFor::Nobody, JobDone::Removed(Err(error))) => {
                self.log(Level::Warn, format!("a deleted partition's folder could not be removed: {error}"));
            }
            (JobFor::Nobody, JobDone::Removed(Ok(()))) => {}
            (target, done) => unreachable!("a job for {target:?} ended as {done:?}"),
        }
        if let Some(partition) = partition {
            self.leave(partition);
        }
    }

    /// Whether a job names files in the folder of a replica.
    pub(crate) fn is_worked_on(&self, partition: TopicPartition) -> bool {
        self.jobs.values().any(|job| job.partition() == Some(partition))
    }
}
