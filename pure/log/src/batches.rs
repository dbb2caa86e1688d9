//! Reads a segment file batch by batch with its bodies, through one buffer.

use crate::{DiskError, DiskFile, Error};
use record::{Header, Invalid};

const BUFFER_BYTES: usize = 1 << 20;

/// Walks whole batches of a file, checking each checksum.
pub(crate) struct BatchReader<'a, F> {
    file: &'a F,
    at: u32,
    end: u32,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    from: u32,
}

/// Why no batch can be read.
pub(crate) enum Stop {
    Disk(DiskError),
    Bad(u32, Invalid),
}

impl Stop {
    pub(crate) fn into_error(self, path: impl FnOnce() -> String) -> Error {
        match self {
            Stop::Disk(error) => error.into(),
            Stop::Bad(position, why) => {
                Error::Corrupt { path: path(), position: u64::from(position), why: why.to_string() }
            }
        }
    }
}

impl<'a, F: DiskFile> BatchReader<'a, F> {
    pub(crate) fn new(file: &'a F, end: u32) -> BatchReader<'a, F> {
        BatchReader { file, at: 0, end, buffer: Vec::new(), from: 0 }
    }

    /// The next batch, with its header.
    pub(crate) fn next(&mut self) -> Result<Option<(Header, &[u8])>, Stop> {
        if self.at >= self.end {
            return Ok(None);
        }
        let position = self.at;
        self.hold(record::HEADER_BYTES)?;
        let bad = |why| Stop::Bad(position, why);
        let header = Header::parse(self.held()).map_err(bad)?;
        let bytes = header.size_bytes();
        let left = (self.end - position) as usize;
        if bytes > left {
            return Err(bad(Invalid::Truncated { needed: bytes, found: left }));
        }
        self.hold(bytes)?;
        self.at += u32::try_from(bytes).expect("a batch within a segment is below 2 GiB");
        let start = (position - self.from) as usize;
        let batch = &self.buffer[start..start + bytes];
        if !record::crc_matches(batch) {
            let computed = record::crc32c(&batch[21..]);
            return Err(bad(Invalid::BadCrc { stored: header.crc, computed }));
        }
        Ok(Some((header, batch)))
    }

    fn held(&self) -> &[u8] {
        &self.buffer[(self.at - self.from) as usize..]
    }

    /// Reads on until `bytes` bytes from the current position are in the buffer, or the file ends.
    fn hold(&mut self, bytes: usize) -> Result<(), Stop> {
        if self.buffer.len() >= (self.at - self.from) as usize + bytes {
            return Ok(());
        }
        self.from = self.at;
        self.buffer.resize(bytes.max(BUFFER_BYTES).min((self.end - self.at) as usize), 0);
        let read = self.file.read_at(u64::from(self.at), &mut self.buffer).map_err(Stop::Disk)?;
        self.buffer.truncate(read);
        match read >= bytes.min((self.end - self.at) as usize) {
            true => Ok(()),
            false => Err(Stop::Bad(self.at, Invalid::Truncated { needed: bytes, found: read })),
        }
    }
}
