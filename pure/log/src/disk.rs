//! The disk as the log sees it: one log directory, whose files are named by paths relative to it.
//!
//! A write is a copy (into the page cache), a read may wait, a sync always waits. The shell implements this over the
//! operating system, the simulator over memory that loses what was not synced. Nothing here knows what a file means.

use std::fmt;
use types::Uuid;

/// What went wrong with the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No space or quota left: writing is refused until there is some again.
    Full,
    NotFound,
    AlreadyExists,
    /// The process has too many files open.
    TooManyFiles,
    /// Anything else the operating system reports.
    Failed,
}

/// An error of the disk, with the full path and the system's own words in `message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskError {
    pub kind: ErrorKind,
    pub message: String,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DiskError {}

pub type DiskResult<T> = Result<T, DiskError>;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must exist.
    Write,
    /// For reading and writing; made empty where it does not exist.
    Create,
}

/// Bytes of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    pub total_bytes: u64,
    pub usable_bytes: u64,
}

/// One log directory. Cheap to clone; clones are the same directory.
pub trait Disk: Clone + Send + Sync + 'static {
    type File: DiskFile;

    fn open(&self, path: &str, how: Open) -> DiskResult<Self::File>;
    /// The names in a folder ("" is the root), sorted; files and folders alike.
    fn list(&self, folder: &str) -> DiskResult<Vec<String>>;
    fn exists(&self, path: &str) -> bool;
    /// Makes a folder and those above it; one that exists is no error.
    fn create_folder(&self, path: &str) -> DiskResult<()>;
    /// Replaces `to` where it exists, in one step.
    fn rename(&self, from: &str, to: &str) -> DiskResult<()>;
    /// Removes a file; one that is gone is no error.
    fn remove(&self, path: &str) -> DiskResult<()>;
    /// Removes a folder with all in it; one that is gone is no error.
    fn remove_folder(&self, path: &str) -> DiskResult<()>;
    /// Makes the names in a folder durable: a file that was created, renamed or removed stays so after power loss.
    fn sync_folder(&self, path: &str) -> DiskResult<()>;
    /// Reads a small file whole; one over `bytes_max` is an error.
    fn read_small(&self, path: &str, bytes_max: usize) -> DiskResult<Vec<u8>>;
    /// Replaces a small file in one step (a temporary file, then rename); `durable` syncs the file and its folder.
    fn write_small(&self, path: &str, bytes: &[u8], durable: bool) -> DiskResult<()>;
    /// Names the run of the operating system: while it is the same, everything that was ever written is still there,
    /// synced or not; with another one only what was synced is.
    fn boot_id(&self) -> Uuid;
    fn space(&self) -> DiskResult<Space>;
    /// The full path, for messages to people.
    fn describe(&self, path: &str) -> String;
}

/// An open file. Cheap to clone; clones are the same open file, closed with the last of them.
pub trait DiskFile: Clone + Send + Sync + 'static {
    /// Writes the pieces one after the other from `position`: all of it, or an error after which any part may be there.
    fn write_at(&self, position: u64, pieces: &[&[u8]]) -> DiskResult<()>;
    /// Fills `into` from `position`; may wait for the disk. Fewer bytes only at the end of the file.
    fn read_at(&self, position: u64, into: &mut [u8]) -> DiskResult<usize>;
    /// True where `length` bytes from `position` can most likely be read without waiting.
    fn is_cached(&self, position: u64, length: u64) -> bool;
    /// A range of it could not be sent, and nobody was there to hear why: nothing of it counts as cached until a read has
    /// told whether the disk is well.
    fn doubt(&self);
    fn is_in_doubt(&self) -> bool;
    /// Reads the range into the page cache; waits. For jobs.
    fn warm(&self, position: u64, length: u64) -> DiskResult<()>;
    fn length(&self) -> DiskResult<u64>;
    fn truncate(&self, length: u64) -> DiskResult<()>;
    /// Reserves space so that the file can grow to `length` without running out.
    fn preallocate(&self, length: u64) -> DiskResult<()>;
    /// Makes everything written so far durable; waits.
    fn sync(&self) -> DiskResult<()>;
}
