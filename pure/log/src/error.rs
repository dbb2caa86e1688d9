//! Why the log refuses or fails. The replica turns these into Kafka's error codes and into the partition's state.

use crate::{DiskError, ErrorKind};
use std::fmt;
use types::{ErrorCode, Offset};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The disk is full: this append is refused, the log stays readable and later appends are tried again.
    Full(DiskError),
    /// The disk failed: the log must not be used any more.
    Failed(DiskError),
    /// A file holds what was never written there: the log must not be used any more.
    Corrupt { path: String, position: u64, why: String },
    /// The producer's fault, with the code that tells it so.
    Refused { code: ErrorCode, message: String },
    /// The offset is below the log's start or beyond what may be read.
    OutOfRange { asked: Offset, start: Offset, end: Offset },
}

impl Error {
    /// True where nothing more may be read from or written to the log.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Error::Failed(_) | Error::Corrupt { .. } => true,
            Error::Full(_) | Error::Refused { .. } | Error::OutOfRange { .. } => false,
        }
    }

    /// True where the disk itself does not do what it must, and no other log on it may be trusted to it.
    #[must_use]
    pub fn is_of_disk(&self) -> bool {
        matches!(self, Error::Failed(DiskError { kind: ErrorKind::Failed, .. }))
    }

    pub(crate) fn refused(code: ErrorCode, message: String) -> Error {
        Error::Refused { code, message }
    }
}

impl From<DiskError> for Error {
    fn from(error: DiskError) -> Error {
        match error.kind {
            ErrorKind::Full | ErrorKind::TooManyFiles => Error::Full(error),
            ErrorKind::NotFound | ErrorKind::AlreadyExists | ErrorKind::Failed => Error::Failed(error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Full(error) | Error::Failed(error) => error.fmt(f),
            Error::Corrupt { path, position, why } => write!(f, "{path} is corrupt at position {position}: {why}"),
            Error::Refused { code, message } => write!(f, "{code}: {message}"),
            Error::OutOfRange { asked, start, end } => {
                write!(f, "offset {asked} is outside of the log, which spans {start} to {end}")
            }
        }
    }
}

impl std::error::Error for Error {}
