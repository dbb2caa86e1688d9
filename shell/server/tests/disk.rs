//! The log directory on a real file system keeps the promises of `log::Disk`.

use broker::log::{Disk, DiskFile, ErrorKind, Open};
use server::disk::LocalDisk;
use std::path::PathBuf;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        Folder(std::env::temp_dir().join(format!("vltava-disk-{}-{name}", std::process::id())))
    }

    fn disk(&self) -> LocalDisk {
        LocalDisk::claim(&self.0).expect("nobody else has it")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn pieces_are_written_one_after_the_other() {
    let folder = Folder::new("pieces");
    let file = folder.disk().open("log", Open::Create).expect("made");
    for count in [0, 1, 2, 8, 9, 3000] {
        let pieces: Vec<Vec<u8>> = (0..count).map(|at: usize| vec![at.to_le_bytes()[0]; at % 7]).collect();
        let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        file.truncate(0).expect("cut");
        file.write_at(5, &slices).expect("written");
        let mut read = vec![0; 20_000];
        let length = file.read_at(5, &mut read).expect("read");
        assert_eq!(read[..length], pieces.concat());
        assert!(file.is_cached(5, length as u64));
    }
}

#[test]
fn reserving_space_does_not_lengthen_a_file() {
    let folder = Folder::new("reserve");
    let file = folder.disk().open("log", Open::Create).expect("made");
    file.preallocate(1 << 20).expect("reserved");
    file.write_at(0, &[b"abc"]).expect("written");
    assert_eq!(file.length(), Ok(3));
    file.warm(0, 3).expect("read");
    file.sync().expect("synced");
}

#[test]
fn names_are_listed_replaced_and_removed() {
    let folder = Folder::new("names");
    let disk = folder.disk();
    disk.create_folder("b/c").expect("made");
    disk.write_small("a", b"one", false).expect("written");
    disk.write_small("a", b"two", true).expect("written");
    assert_eq!(disk.list(""), Ok(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(disk.read_small("a", 3), Ok(b"two".to_vec()));
    assert!(disk.read_small("a", 2).is_err());
    disk.rename("a", "b/c/d").expect("renamed");
    disk.sync_folder("b").expect("synced");
    assert!(!disk.exists("a") && disk.exists("b/c/d"));
    disk.remove("a").expect("gone already");
    disk.remove_folder("b").expect("removed");
    disk.remove_folder("b").expect("gone already");
    let missing = disk.open("a", Open::Read).expect_err("it is gone");
    assert_eq!(missing.kind, ErrorKind::NotFound);
    assert!(missing.message.contains(&disk.describe("a")), "{missing}");
    assert!(disk.space().expect("told").total_bytes > 0);
}

#[test]
fn a_directory_has_one_owner_at_a_time_and_the_boot_one_name() {
    let folder = Folder::new("owner");
    let disk = folder.disk();
    let boot = disk.boot_id();
    assert!(LocalDisk::claim(&folder.0).is_err());
    drop(disk);
    assert_eq!(folder.disk().boot_id(), boot);
}
