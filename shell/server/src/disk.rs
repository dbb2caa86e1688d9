//! The log directory on a real file system: opens, lists, renames and syncs, and holds the lock that keeps a second
//! process out. Knows paths, never what the files mean.

use crate::file::LocalFile;
use crate::platform;
use broker::log::{Disk, DiskError, DiskResult, ErrorKind, Open, Space};
use broker::types::{Rng, Uuid};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name that Kafka gives to the lock of a log directory.
const LOCK: &str = ".lock";

/// Clones are the same directory; its lock is released with the last of them.
#[derive(Clone, Debug)]
pub struct LocalDisk {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    boot_id: Uuid,
    _lock: File,
}

impl LocalDisk {
    /// Takes a directory for this process alone, making it where it does not exist.
    pub fn claim(root: &Path) -> Result<LocalDisk, Unclaimed> {
        let shown = root.display();
        let unusable = |what: &str, error: io::Error| {
            Unclaimed::Unusable(format!("cannot {what} the data directory {shown}: {error}"))
        };
        std::fs::create_dir_all(root).map_err(|error| unusable("make", error))?;
        let root = root.canonicalize().map_err(|error| unusable("use", error))?;
        let lock = lock(&root)?;
        Ok(LocalDisk { inner: Arc::new(Inner { root, boot_id: boot_id(), _lock: lock }) })
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    fn full(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.inner.root.clone() } else { self.inner.root.join(path) }
    }

    /// Calls `act` on the full path and dresses its error in words.
    fn on<T>(&self, what: &str, path: &str, act: impl FnOnce(&Path) -> io::Result<T>) -> DiskResult<T> {
        let full = self.full(path);
        act(&full).map_err(|error| disk_error(what, &full, &error))
    }
}

/// Why a directory is not this process's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unclaimed {
    /// Another process has it: somebody is about to make a mistake.
    Taken(String),
    /// It is not there, or its disk does not work.
    Unusable(String),
}

impl fmt::Display for Unclaimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Unclaimed::Taken(reason) | Unclaimed::Unusable(reason)) = self;
        f.write_str(reason)
    }
}

fn lock(root: &Path) -> Result<File, Unclaimed> {
    let path = root.join(LOCK);
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(|error| {
            Unclaimed::Unusable(format!("cannot write to the data directory: {}: {error}", path.display()))
        })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            // The holder's process id is only help for the next one that is refused.
            let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
            Ok(file)
        }
        Err(Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let holder = if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
            let shown = root.display();
            Err(Unclaimed::Taken(format!(
                "another broker uses the data directory {shown}{holder}; stop it, or choose another --data-dir"
            )))
        }
        Err(error) => Err(Unclaimed::Unusable(format!("cannot lock {}: {error}", path.display()))),
    }
}

/// The id of this run of the operating system. Where none is told, a random one: then every start looks like one after
/// a crash of the machine, which is slow and safe.
fn boot_id() -> Uuid {
    let told = platform::boot_id().and_then(|text| {
        let digits: Vec<u8> =
            text.bytes().filter_map(|byte| char::from(byte).to_digit(16)).flat_map(u8::try_from).collect();
        let pairs: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        <[u8; 16]>::try_from(pairs).ok()
    });
    told.map_or_else(|| Uuid::random(&mut Rng::new(RandomState::new().hash_one(std::process::id()))), Uuid)
}

/// An error of the system with what was tried and the full path, and its kind as the log knows it.
pub(crate) fn disk_error(what: &str, path: &Path, error: &io::Error) -> DiskError {
    let kind = match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::DQUOT) => ErrorKind::Full,
        Some(Errno::NOENT) => ErrorKind::NotFound,
        Some(Errno::EXIST) => ErrorKind::AlreadyExists,
        Some(Errno::MFILE | Errno::NFILE) => ErrorKind::TooManyFiles,
        _ => ErrorKind::Failed,
    };
    DiskError { kind, message: format!("cannot {what} {}: {error}", path.display()) }
}

/// What is gone already needs no removing.
fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl Disk for LocalDisk {
    type File = LocalFile;

    fn open(&self, path: &str, how: Open) -> DiskResult<LocalFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(how != Open::Read).create(how == Open::Create);
        let file = self.on("open", path, |full| options.open(full))?;
        Ok(LocalFile::new(file, self.full(path)))
    }

    fn list(&self, folder: &str) -> DiskResult<Vec<String>> {
        let mut names: Vec<String> = self.on("list", folder, |full| {
            let entries = std::fs::read_dir(full)?;
            // A name that is not text cannot be one of ours.
            entries.filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose()).collect()
        })?;
        names.retain(|name| name != LOCK);
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &str) -> bool {
        self.full(path).exists()
    }

    fn create_folder(&self, path: &str) -> DiskResult<()> {
        self.on("make the folder", path, |full| std::fs::create_dir_all(full))
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        let to = self.full(to);
        self.on("rename", from, |full| std::fs::rename(full, to))
    }

    fn remove(&self, path: &str) -> DiskResult<()> {
        self.on("remove", path, |full| gone_is_fine(std::fs::remove_file(full)))
    }

    fn remove_folder(&self, path: &str) -> DiskResult<()> {
        self.on("remove", path, |full| gone_is_fine(std::fs::remove_dir_all(full)))
    }

    fn sync_folder(&self, path: &str) -> DiskResult<()> {
        self.on("sync", path, |full| File::open(full)?.sync_all())
    }

    fn read_small(&self, path: &str, bytes_max: usize) -> DiskResult<Vec<u8>> {
        self.on("read", path, |full| {
            let mut bytes = Vec::new();
            File::open(full)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
            if bytes.len() > bytes_max {
                return Err(io::Error::other(format!("larger than the {bytes_max} bytes expected at most")));
            }
            Ok(bytes)
        })
    }

    fn write_small(&self, path: &str, bytes: &[u8], durable: bool) -> DiskResult<()> {
        self.on("write", path, |full| {
            let mut temporary = full.as_os_str().to_owned();
            temporary.push(".tmp");
            let mut file = File::create(&temporary)?;
            file.write_all(bytes)?;
            if durable {
                file.sync_data()?;
            }
            std::fs::rename(&temporary, full)?;
            if durable && let Some(folder) = full.parent() {
                File::open(folder)?.sync_all()?;
            }
            Ok(())
        })
    }

    fn boot_id(&self) -> Uuid {
        self.inner.boot_id
    }

    fn space(&self) -> DiskResult<Space> {
        self.on("ask the space of", "", |full| {
            let stat = rustix::fs::statvfs(full)?;
            let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
            Ok(Space { total_bytes: bytes(stat.f_blocks), usable_bytes: bytes(stat.f_bavail) })
        })
    }

    fn describe(&self, path: &str) -> String {
        self.full(path).display().to_string()
    }
}
