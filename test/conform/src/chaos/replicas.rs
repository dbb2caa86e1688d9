//! Whether all replicas hold the same bytes, once everything was acknowledged and all nodes stopped cleanly.
//!
//! Segments may begin at other offsets on another node; their batches, one after the other, are the same.

use std::fs;
use std::path::{Path, PathBuf};

/// Compares the logs of a partition below the data folders of all nodes; how many bytes each holds.
pub fn compare(data: &[PathBuf], partition: &str) -> Result<usize, String> {
    let logs: Vec<Vec<u8>> = data.iter().map(|folder| whole(&folder.join(partition))).collect::<Result<_, _>>()?;
    let Some((first, others)) = logs.split_first() else { return Ok(0) };
    for (index, other) in others.iter().enumerate() {
        if first == other {
            continue;
        }
        let differs = first.iter().zip(other).position(|(a, b)| a != b).unwrap_or(first.len().min(other.len()));
        return Err(format!(
            "{partition}: the replicas of n1 ({} bytes) and n{} ({} bytes) differ from byte {differs} on",
            first.len(),
            index + 2,
            other.len()
        ));
    }
    Ok(first.len())
}

/// All segments of a partition, in the order of their offsets, which is that of their names.
fn whole(folder: &Path) -> Result<Vec<u8>, String> {
    let world = |error: std::io::Error| format!("{}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(world)?;
    let mut segments: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    segments.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
    segments.sort();
    let read: Vec<Vec<u8>> = segments.iter().map(fs::read).collect::<Result<_, _>>().map_err(world)?;
    Ok(read.concat())
}
