//! Opening a log that was written before: what the last run left behind decides how much of it is read.

use crate::{Config, Disk, Error, Identity};
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

/// Opens one log. A job: it reads files, may run for long, and is independent of other partitions.
#[derive(Debug)]
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
