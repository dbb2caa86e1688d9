//! The `.txnindex` of a segment: the aborted transactions whose marker lies in it, in Kafka's format, and which of them a
//! reader of committed records must be told.

use crate::producers::{Completed, Producers};
use crate::segment::Place;
use crate::{Disk, DiskFile, Error, ErrorKind, Log, Open, names};
use types::{Offset, ProducerId};

const VERSION: i16 = 0;
const ENTRY_BYTES: usize = 34;
const BYTES_MAX: usize = 256 << 20;

/// One aborted transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub producer_id: ProducerId,
    pub first_offset: Offset,
    /// The marker's.
    pub last_offset: Offset,
    /// Where the last stable offset went when the transaction ended: no earlier abort can reach beyond it.
    pub last_stable_offset: Offset,
}

impl Aborted {
    pub(crate) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut out = [0; ENTRY_BYTES];
        out[..2].copy_from_slice(&VERSION.to_be_bytes());
        let fields = [self.producer_id.0, self.first_offset.0, self.last_offset.0, self.last_stable_offset.0];
        for (at, field) in fields.into_iter().enumerate() {
            out[2 + 8 * at..10 + 8 * at].copy_from_slice(&field.to_be_bytes());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Aborted> {
        let field = |at: usize| Some(i64::from_be_bytes(bytes.get(2 + 8 * at..10 + 8 * at)?.try_into().ok()?));
        (bytes[..2] == VERSION.to_be_bytes()).then_some(())?;
        Some(Aborted {
            producer_id: ProducerId(field(0)?),
            first_offset: Offset(field(1)?),
            last_offset: Offset(field(2)?),
            last_stable_offset: Offset(field(3)?),
        })
    }
}

/// The entries of a segment's `.txnindex` up to the first that is not whole: what recovery can use of it.
pub(crate) fn read_whole<D: Disk>(place: Place<'_, D>, base: Offset) -> Vec<Aborted> {
    let bytes = place.disk.read_small(&names::path(place.folder, base, names::TXNINDEX), BYTES_MAX).unwrap_or_default();
    bytes.chunks_exact(ENTRY_BYTES).map_while(Aborted::decode).collect()
}

/// The entries of a segment's `.txnindex`; none where there is no such file.
pub(crate) fn read<D: Disk>(place: Place<'_, D>, base: Offset) -> Result<Vec<Aborted>, Error> {
    let path = names::path(place.folder, base, names::TXNINDEX);
    let bytes = match place.disk.read_small(&path, BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let whole = bytes.chunks_exact(ENTRY_BYTES);
    let corrupt = |at: usize| Error::Corrupt {
        path: place.disk.describe(&path),
        position: at as u64 * ENTRY_BYTES as u64,
        why: "no entry of a transaction index".to_owned(),
    };
    if !whole.remainder().is_empty() {
        return Err(corrupt(bytes.len() / ENTRY_BYTES));
    }
    whole.enumerate().map(|(at, entry)| Aborted::decode(entry).ok_or_else(|| corrupt(at))).collect()
}

/// Replaces a segment's `.txnindex`; without entries there is none.
pub(crate) fn write<D: Disk>(place: Place<'_, D>, base: Offset, entries: &[Aborted]) -> Result<(), Error> {
    let path = names::path(place.folder, base, names::TXNINDEX);
    if entries.is_empty() {
        return Ok(place.disk.remove(&path)?);
    }
    let bytes: Vec<u8> = entries.iter().flat_map(Aborted::encode).collect();
    Ok(place.disk.write_small(&path, &bytes, false)?)
}

impl Completed {
    /// Its entry in the index, where it was aborted. `producers` knows of its end already.
    pub(crate) fn aborted(&self, producers: &Producers) -> Option<Aborted> {
        self.aborted.then(|| Aborted {
            producer_id: self.producer_id,
            first_offset: self.first_offset,
            last_offset: self.last_offset,
            last_stable_offset: producers.first_open().unwrap_or(self.last_offset.next()),
        })
    }
}

impl<D: Disk> Log<D> {
    /// Notes the end of a transaction in the active segment's index, where it was aborted.
    pub(crate) fn note_completed(&mut self, completed: &Completed) -> Result<(), Error> {
        let Some(entry) = completed.aborted(&self.producers) else { return Ok(()) };
        let active = self.segments.last_mut().expect("a log always has an active segment");
        let path = names::path(&self.identity.folder, active.base, names::TXNINDEX);
        let has_aborted = std::mem::replace(&mut active.has_aborted, true);
        let write = || {
            let file = self.disk.open(&path, Open::Create)?;
            let position = if has_aborted { file.length()? } else { 0 };
            file.write_at(position, &[&entry.encode()])
        };
        // The marker is in the log already. Without its entry readers would take what was aborted for committed, so the
        // log must not go on; recovery makes the entry from the marker.
        write().map_err(Error::Failed)
    }

    /// The aborted transactions that have records from `from` up to `upper`, as a reader of committed records needs them.
    pub fn aborted(&self, from: Offset, upper: Offset) -> Result<Vec<(ProducerId, Offset)>, Error> {
        let mut out = Vec::new();
        for segment in &self.segments[self.segment_of(from)..] {
            if !segment.has_aborted {
                continue;
            }
            for entry in read(Self::place(&self.disk, &self.identity), segment.base)? {
                if entry.last_offset >= from && entry.first_offset < upper {
                    out.push((entry.producer_id, entry.first_offset));
                }
                if entry.last_stable_offset >= upper {
                    return Ok(out);
                }
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_kafkas_bytes() {
        let entry = Aborted {
            producer_id: ProducerId(1),
            first_offset: Offset(2),
            last_offset: Offset(3),
            last_stable_offset: Offset(4),
        };
        let mut expected = vec![0, 0];
        for field in 1_i64..=4 {
            expected.extend(field.to_be_bytes());
        }
        assert_eq!(entry.encode().to_vec(), expected);
        assert_eq!(Aborted::decode(&expected), Some(entry));
    }
}
