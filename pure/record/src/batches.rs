//! Whole batches that follow each other in a slice of bytes.

use crate::{Header, Invalid};

/// Walks the batches of a slice: each header with all bytes of its batch. Ends after the last whole batch, or with an
/// error at the first bytes that are not a batch ([`Invalid::Truncated`] where they are the beginning of one). The
/// checksum is not looked at.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
    failed: bool,
}

impl<'a> Batches<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Batches<'a> {
        Batches { bytes, position: 0, failed: false }
    }

    /// Where the next batch begins; after an error, where the bytes begin that are no batch.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    fn read(&self) -> Result<(Header, &'a [u8]), Invalid> {
        let rest = &self.bytes[self.position..];
        let header = Header::parse(rest)?;
        let needed = header.size_bytes();
        let batch = rest.get(..needed).ok_or(Invalid::Truncated { needed, found: rest.len() })?;
        Ok((header, batch))
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<(Header, &'a [u8]), Invalid>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.position == self.bytes.len() {
            return None;
        }
        let read = self.read();
        match &read {
            Ok((_, batch)) => self.position += batch.len(),
            Err(_) => self.failed = true,
        }
        Some(read)
    }
}
