//! An open file of the log directory, as the log sees it. Knows positions and bytes, never what they mean.

use crate::disk::disk_error;
use crate::platform;
use broker::log::{DiskFile, DiskResult};
use rustix::io::{Errno, pread, pwritev};
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Most pieces that one write call takes (`IOV_MAX` on Linux and macOS).
const PIECES_PER_CALL_MAX: usize = 1024;
/// Distance between the probes that ask whether a range is cached: what the kernel reads ahead at a time.
const PROBE_BYTES: u64 = 128 << 10;
/// Bytes of one read where a range is only read to be cached.
const WARM_BYTES: usize = 256 << 10;

/// Clones share the open file, which is closed with the last of them.
#[derive(Clone, Debug)]
pub struct LocalFile {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    path: PathBuf,
    in_doubt: AtomicBool,
}

impl LocalFile {
    pub(crate) fn new(file: File, path: PathBuf) -> LocalFile {
        LocalFile { inner: Arc::new(Inner { file, path, in_doubt: AtomicBool::new(false) }) }
    }

    /// The open file itself, for sending ranges of it to a socket.
    pub(crate) fn raw(&self) -> &File {
        &self.inner.file
    }

    fn on<T>(&self, what: &str, result: io::Result<T>) -> DiskResult<T> {
        result.map_err(|error| disk_error(what, &self.inner.path, &error))
    }

    fn write_slices(&self, mut position: u64, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        // Empty pieces at the front would look like a write that does not get on.
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let batch = &slices[..slices.len().min(PIECES_PER_CALL_MAX)];
            match pwritev(&self.inner.file, batch, position) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    position += written as u64;
                    IoSlice::advance_slices(&mut slices, written);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl DiskFile for LocalFile {
    fn write_at(&self, position: u64, pieces: &[&[u8]]) -> DiskResult<()> {
        let mut few = [IoSlice::new(&[]); 8];
        let result = if let Some(slots) = few.get_mut(..pieces.len()) {
            for (slot, piece) in slots.iter_mut().zip(pieces) {
                *slot = IoSlice::new(piece);
            }
            self.write_slices(position, slots)
        } else {
            let mut many: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            self.write_slices(position, &mut many)
        };
        self.on("write", result)
    }

    fn read_at(&self, position: u64, into: &mut [u8]) -> DiskResult<usize> {
        let mut done = 0;
        while done < into.len() {
            match pread(&self.inner.file, &mut into[done..], position + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(error) => return self.on("read", Err(error.into())),
            }
        }
        Ok(done)
    }

    fn is_cached(&self, position: u64, length: u64) -> bool {
        let Some(last) = position.checked_add(length).and_then(|end| end.checked_sub(1)) else { return true };
        if self.is_in_doubt() {
            return false;
        }
        let probe = |at| platform::is_cached(&self.inner.file, at);
        let mut at = position;
        while at < last {
            if !probe(at) {
                return false;
            }
            at = at.saturating_add(PROBE_BYTES);
        }
        probe(last)
    }

    fn doubt(&self) {
        self.inner.in_doubt.store(true, Relaxed);
    }

    fn is_in_doubt(&self) -> bool {
        self.inner.in_doubt.load(Relaxed)
    }

    fn warm(&self, position: u64, length: u64) -> DiskResult<()> {
        let mut buffer = vec![0; WARM_BYTES.min(usize::try_from(length).unwrap_or(WARM_BYTES))];
        let end = position.saturating_add(length);
        let mut at = position;
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(WARM_BYTES).min(buffer.len());
            match self.read_at(at, &mut buffer[..want])? {
                0 => break,
                read => at += read as u64,
            }
        }
        self.inner.in_doubt.store(false, Relaxed);
        Ok(())
    }

    fn length(&self) -> DiskResult<u64> {
        self.on("ask the length of", self.inner.file.metadata().map(|metadata| metadata.len()))
    }

    fn truncate(&self, length: u64) -> DiskResult<()> {
        self.on("truncate", self.inner.file.set_len(length))
    }

    fn preallocate(&self, length: u64) -> DiskResult<()> {
        self.on("reserve space for", platform::reserve(&self.inner.file, length))
    }

    fn sync(&self) -> DiskResult<()> {
        self.on("sync", self.inner.file.sync_data())
    }
}
