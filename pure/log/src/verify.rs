//! Checking what the last run wrote and did not sync: after the broker alone was killed the page cache has it, so the log
//! is opened without reading it all, and read in the background instead.

use crate::scan::{Scan, Stop};
use crate::segment::{Place, log_path};
use crate::timestamps::read_batch;
use crate::{Disk, DiskFile, Error, ErrorKind, Identity, Log, Open, names};
use types::Offset;

/// Reads batches and compares their checksums.
pub struct VerifyJob<D> {
    disk: D,
    identity: Identity,
    /// Segments with the bytes that are to be read of each.
    segments: Vec<(Offset, u32)>,
    from: Offset,
}

impl<D: Disk> VerifyJob<D> {
    pub(crate) fn run(self) -> Result<(), Error> {
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
        let mut scan = Scan::new(&file, 0, bytes);
        loop {
            let (position, why) = match scan.next() {
                Ok(None) => return Ok(()),
                Ok(Some(found)) if found.header.next_offset() <= self.from => continue,
                Ok(Some(found)) => match record::crc_matches(&read_batch(&file, found.position, &found.header)?) {
                    true => continue,
                    false => (found.position, "the batch's checksum does not match".to_owned()),
                },
                Err(Stop::Disk(error)) => return Err(error.into()),
                Err(Stop::Bad { position, why }) => (position, why.to_string()),
            };
            return Err(Error::Corrupt { path: log_path(place, base), position: u64::from(position), why });
        }
    }
}

impl<D: Disk> Log<D> {
    /// The check of what the last run left unsynced, once.
    pub(crate) fn start_verify(&mut self) -> Option<VerifyJob<D>> {
        let (from, to) = self.unverified.take()?;
        let first = self.segment_of(from);
        let segments = self.segments[first..].iter().filter(|segment| segment.base < to && segment.bytes > 0);
        Some(VerifyJob {
            disk: self.disk.clone(),
            identity: self.identity.clone(),
            segments: segments.map(|segment| (segment.base, segment.bytes)).collect(),
            from,
        })
    }
}
