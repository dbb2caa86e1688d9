//! One partition's log: segments, indexes, producer state, leader epochs, recovery, retention and compaction, over
//! `Disk`. Knows nothing of replicas, requests or connections.

mod append;
mod as_is;
mod batches;
pub mod checkpoint;
mod clean;
mod cleaning;
mod config;
mod copy;
mod disk;
mod epochs;
mod error;
mod index;
mod job;
mod leftovers;
mod log;
mod memory;
mod names;
mod producers;
mod read;
mod recover;
mod retention;
mod scan;
mod segment;
mod snapshot;
mod sync;
mod tick;
mod timestamps;
mod transactions;
mod truncate;
mod verify;

pub use append::{Appended, Origin};
pub use clean::{CleanJob, Cleaned};
pub use config::{Cleanup, Config};
pub use disk::{Disk, DiskError, DiskFile, DiskResult, ErrorKind, Open, Space};
pub use error::Error;
pub use job::{Job, JobDone, RemoveJob};
pub use log::{Identity, Log};
pub use memory::{Counts, Fault, MemoryDisk, MemoryFile, Operation};
pub use names::DELETED_FOLDER;
pub use producers::Producer;
pub use read::{FileRange, Range};
pub use recover::{Recovery, Report, Trust};
pub use sync::{SyncJob, Synced};
pub use timestamps::Dated;
pub use verify::VerifyJob;
