//! Checking what the last run wrote and did not sync: after the broker alone was killed the page cache has it, so the log
//! is opened without reading it all, and read in the background instead.

use crate::batches::BatchReader;
use crate::segment::{Place, log_path};
use crate::{Disk, DiskFile, Error, ErrorKind, Identity, Log, Open, names};
use types::Offset;

/// Reads batches and compares their checksums.
pub struct VerifyJob<D> {
    disk: D,
    identity: Identity,
    /// Segments with the bytes that are to be read of each.
    segments: Vec<(Offset, u32)>,
    unverified: (Offset, Offset),
    truncations: u32,
}

/// What was found.
#[derive(Debug)]
pub struct Verified {
    unverified: (Offset, Offset),
    truncations: u32,
    result: Result<(), Error>,
}

impl<D: Disk> VerifyJob<D> {
    pub(crate) fn run(self) -> Verified {
        Verified { unverified: self.unverified, truncations: self.truncations, result: self.verify_all() }
    }

    fn verify_all(&self) -> Result<(), Error> {
        for (base, bytes) in &self.segments {
            self.verify(*base, *bytes)?;
        }
        Ok(())
    }

    fn verify(&self, base: Offset, bytes: u32) -> Result<(), Error> {
        let place = Place { disk: &self.disk, folder: &self.identity.folder };
        let file = match self.disk.open(&names::path(place.folder, base, names::LOG), Open::Read) {
            Ok(file) => file,
            // Retention or compaction were faster.
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let bytes = bytes.min(u32::try_from(file.length()?).unwrap_or(u32::MAX));
        let mut reader = BatchReader::new(&file, bytes);
        while reader.next().map_err(|stop| stop.into_error(|| log_path(place, base)))?.is_some() {}
        Ok(())
    }
}

impl<D: Disk> Log<D> {
    /// The check of what the last run left unsynced, once.
    pub(crate) fn start_verify(&mut self) -> Option<VerifyJob<D>> {
        let (from, to) = self.unverified.take()?;
        self.verifying = true;
        let first = self.segment_of(from);
        let segments = self.segments[first..].iter().filter(|segment| segment.base < to && segment.bytes > 0);
        Some(VerifyJob {
            disk: self.disk.clone(),
            identity: self.identity.clone(),
            segments: segments.map(|segment| (segment.base, segment.bytes)).collect(),
            unverified: (from, to),
            truncations: self.truncations,
        })
    }

    /// Where the log was cut back meanwhile, what was read may have been half of something: it is read once more.
    pub(crate) fn verified(&mut self, verified: Verified) -> Result<(), Error> {
        self.verifying = false;
        if verified.result.is_err() && verified.truncations != self.truncations {
            let (from, to) = verified.unverified;
            self.unverified = Some((from, to.min(self.end))).filter(|(from, to)| from < to);
            return Ok(());
        }
        verified.result
    }
}
