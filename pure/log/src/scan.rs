//! Walks the batch headers of a segment file without reading the bodies.

use crate::{DiskFile, Error};
use record::{HEADER_BYTES, Header, Invalid};

/// How much is read at once where batches are small.
const CHUNK_BYTES: usize = 8 << 10;
/// Above this batch size only headers are read, each with a call of its own.
const HOP_BYTES: usize = 4 << 10;

/// One batch in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub position: u32,
    pub header: Header,
}

impl Found {
    pub(crate) fn end(&self) -> u32 {
        self.position + u32::try_from(self.header.size_bytes()).expect("a batch in a segment is below 2 GiB")
    }
}

/// Why a scan stopped before the end.
#[derive(Debug)]
pub(crate) enum Stop {
    Disk(crate::DiskError),
    /// No whole batch begins at this position.
    Bad {
        position: u32,
        why: Invalid,
    },
}

impl Stop {
    pub(crate) fn into_error(self, path: impl FnOnce() -> String) -> Error {
        match self {
            Stop::Disk(error) => error.into(),
            Stop::Bad { position, why } => {
                Error::Corrupt { path: path(), position: u64::from(position), why: why.to_string() }
            }
        }
    }
}

pub(crate) struct Scan<'a, F> {
    file: &'a F,
    at: u32,
    end: u32,
    buffer: Vec<u8>,
    buffer_at: u32,
    last_bytes: usize,
}

impl<'a, F: DiskFile> Scan<'a, F> {
    /// The batches of `file` from position `at`, where one begins, to `end`.
    pub(crate) fn new(file: &'a F, at: u32, end: u32) -> Scan<'a, F> {
        Scan { file, at, end, buffer: Vec::new(), buffer_at: at, last_bytes: 0 }
    }

    /// The next batch; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Found>, Stop> {
        if self.at >= self.end {
            return Ok(None);
        }
        let position = self.at;
        let mut from = (position - self.buffer_at) as usize;
        if self.buffer.len() < from + HEADER_BYTES {
            self.fill().map_err(Stop::Disk)?;
            from = 0;
        }
        let left = (self.end - position) as usize;
        let header = Header::parse(&self.buffer[from..]).map_err(|why| Stop::Bad { position, why })?;
        let needed = header.size_bytes();
        if needed > left {
            return Err(Stop::Bad { position, why: Invalid::Truncated { needed, found: left } });
        }
        self.last_bytes = needed;
        let found = Found { position, header };
        self.at = found.end();
        Ok(Some(found))
    }

    fn fill(&mut self) -> crate::DiskResult<()> {
        let want = if self.last_bytes > HOP_BYTES { HEADER_BYTES } else { CHUNK_BYTES };
        self.buffer.resize(want.min((self.end - self.at) as usize), 0);
        let read = self.file.read_at(u64::from(self.at), &mut self.buffer)?;
        self.buffer.truncate(read);
        self.buffer_at = self.at;
        Ok(())
    }
}
