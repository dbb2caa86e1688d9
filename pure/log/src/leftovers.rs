//! What an interrupted run may leave in a partition's folder: files to be removed, and segments that compaction had
//! finished but not yet put in the place of those they cover.

use crate::scan::Scan;
use crate::segment::{Place, log_path};
use crate::{Disk, DiskFile, Error, Open, names};
use std::collections::BTreeSet;
use types::Offset;

/// The files of a partition's folder, by what they are.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub segments: Vec<Offset>,
    pub snapshots: Vec<Offset>,
    /// Segments that have a `.txnindex`.
    pub aborted: BTreeSet<Offset>,
    pub has_metadata: bool,
    pub has_epochs: bool,
}

/// Finishes or undoes what was interrupted, and says what is there then.
pub(crate) fn clear<D: Disk>(place: Place<'_, D>, notes: &mut Vec<String>) -> Result<Contents, Error> {
    let list = place.disk.list(place.folder)?;
    let remove = |name: &str| place.disk.remove(&format!("{}/{name}", place.folder));
    for name in &list {
        if [names::DELETED, names::CLEANED, ".tmp"].iter().any(|suffix| name.ends_with(suffix)) {
            remove(name)?;
        }
    }
    let swapped: Vec<Offset> = list
        .iter()
        .filter_map(|name| names::parse(name.strip_suffix(names::SWAP)?))
        .filter_map(|(base, suffix)| (suffix == names::LOG).then_some(base))
        .collect();
    for base in &swapped {
        let end = swap_end(place, *base)?;
        notes.push(format!("finished the compaction of the segments from offset {base} to {end}"));
        for name in &list {
            if let Some((other, suffix)) = names::parse(name)
                && names::SEGMENT_SUFFIXES.contains(&suffix)
                && suffix != names::SNAPSHOT
                && (other == *base || other > *base && other < end)
            {
                remove(name)?;
            }
        }
    }
    for name in &list {
        let Some(plain) = name.strip_suffix(names::SWAP) else { continue };
        match names::parse(plain) {
            Some((base, _)) if swapped.contains(&base) => {
                place.disk.rename(&format!("{}/{name}", place.folder), &format!("{}/{plain}", place.folder))?;
            }
            // Its `.log` was put in place already, with the indexes of the segment it replaced gone.
            Some(_) | None => remove(name)?,
        }
    }
    contents(place, notes)
}

/// The offset after the last batch of a compacted segment that waits to be put in place.
fn swap_end<D: Disk>(place: Place<'_, D>, base: Offset) -> Result<Offset, Error> {
    let file =
        place.disk.open(&names::path(place.folder, base, &format!("{}{}", names::LOG, names::SWAP)), Open::Read)?;
    let length = u32::try_from(file.length()?).unwrap_or(u32::MAX);
    let mut scan = Scan::new(&file, 0, length);
    let mut end = base;
    while let Some(found) = scan.next().map_err(|stop| stop.into_error(|| log_path(place, base)))? {
        end = found.header.next_offset();
    }
    Ok(end)
}

fn contents<D: Disk>(place: Place<'_, D>, notes: &mut Vec<String>) -> Result<Contents, Error> {
    let mut contents = Contents::default();
    let list = place.disk.list(place.folder)?;
    for name in &list {
        match names::parse(name) {
            Some((base, names::LOG)) => contents.segments.push(base),
            Some((offset, names::SNAPSHOT)) => contents.snapshots.push(offset),
            Some((base, names::TXNINDEX)) => drop(contents.aborted.insert(base)),
            Some(_) => {}
            None => match name.as_str() {
                names::PARTITION_METADATA => contents.has_metadata = true,
                names::LEADER_EPOCH_CHECKPOINT => contents.has_epochs = true,
                _ => {}
            },
        }
    }
    for name in &list {
        if let Some((base, names::INDEX | names::TIMEINDEX | names::TXNINDEX)) = names::parse(name)
            && !contents.segments.contains(&base)
        {
            notes.push(format!("removed {name}, whose segment is gone"));
            place.disk.remove(&format!("{}/{name}", place.folder))?;
        }
    }
    Ok(contents)
}
