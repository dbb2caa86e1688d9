//! Whether all replicas hold the same bytes, once everything was acknowledged and all nodes stopped cleanly.
//!
//! Segments may begin at other offsets on another node; their batches, one after the other, are the same.

use std::fs;
use std::path::{Path, PathBuf};

/// Compares the logs of a partition below those of the data folders that have it; how many bytes each holds.
pub fn compare(data: &[PathBuf], partition: &str) -> Result<usize, String> {
    let folders: Vec<PathBuf> = data.iter().map(|folder| folder.join(partition)).filter(|path| path.exists()).collect();
    let logs: Vec<Vec<u8>> = folders.iter().map(|folder| whole(folder)).collect::<Result<_, _>>()?;
    let Some((first, others)) = logs.split_first() else { return Err(format!("{partition}: no node has it")) };
    for (other, folder) in others.iter().zip(&folders[1..]) {
        if first == other {
            continue;
        }
        let differs = first.iter().zip(other).position(|(a, b)| a != b).unwrap_or(first.len().min(other.len()));
        return Err(format!(
            "{} ({} bytes) and {} ({} bytes) differ from byte {differs} on",
            folders[0].display(),
            first.len(),
            folder.display(),
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

#[cfg(test)]
mod tests {
    use super::compare;
    use std::fs;
    use std::path::PathBuf;

    /// Segments of one node, each a name and its bytes.
    type Segments<'text> = &'text [(&'text str, &'text str)];

    #[track_caller]
    fn check(name: &str, nodes: &[Segments], same: Option<usize>) {
        let root = std::env::temp_dir().join(format!("vltava-replicas-{}-{name}", std::process::id()));
        let data: Vec<PathBuf> = (0..nodes.len()).map(|node| root.join(node.to_string())).collect();
        for (folder, segments) in data.iter().zip(nodes) {
            fs::create_dir_all(folder.join("t-0")).expect("the folder for temporary files takes a folder");
            for (segment, bytes) in *segments {
                fs::write(folder.join("t-0").join(segment), bytes).expect("it takes a file");
            }
        }
        let compared = compare(&data, "t-0");
        let _ = fs::remove_dir_all(&root);
        assert_eq!(compared.as_ref().ok(), same.as_ref(), "{compared:?}");
    }

    #[test]
    fn only_bytes_count() {
        check(
            "rolled",
            &[&[("00.log", "abc"), ("03.log", "def"), ("03.index", "x")], &[("00.log", "abcdef")]],
            Some(6),
        );
        check("other", &[&[("00.log", "abcdef")], &[("00.log", "abcdxf")]], None);
        check("short", &[&[("00.log", "abcdef")], &[("00.log", "abcde")]], None);
    }
}
