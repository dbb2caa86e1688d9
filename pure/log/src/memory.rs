//! A log directory in memory, for tests and for the simulator: it knows which bytes and names are durable, loses the
//! others at a power loss, tears writes, fills up, fails on demand and rots. Everything it does follows from its seed.
//!
//! Names behave as on a journaling file system: changes of names become durable in the order they were made, a folder's
//! sync makes those of that folder durable, a file's sync says nothing about its name.

use crate::{Disk, DiskError, DiskFile, DiskResult, ErrorKind, Open, Space};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use types::{Rng, Uuid};

const PAGE_BYTES: usize = 4096;
const SECTOR_BYTES: usize = 512;

#[expect(clippy::disallowed_types, reason = "clones of a disk are used by jobs on other threads; tests only")]
type Shared = Arc<std::sync::Mutex<State>>;

/// What a fault applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Open,
    Read,
    Write,
    Sync,
    Rename,
    Remove,
    /// Creating folders, syncing folders, truncating, preallocating, small files: every other change.
    Change,
}

/// An error to return from operations on paths that contain `path`.
#[derive(Clone, Debug)]
pub struct Fault {
    pub operation: Operation,
    /// "" matches every path.
    pub path: String,
    pub kind: ErrorKind,
    /// How many matching operations succeed first.
    pub after: u32,
    /// How many fail then.
    pub times: u32,
    /// A failing write leaves this many of its bytes behind.
    pub torn_bytes: usize,
}

/// How often each operation ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub opens: u64,
    pub writes: u64,
    pub reads: u64,
    pub syncs: u64,
    pub folder_syncs: u64,
    pub renames: u64,
    pub removes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    File(u64),
    Folder,
}

/// A change of names that is not durable yet.
#[derive(Clone, Debug)]
struct NameChange {
    /// What the paths named after the change; `None` is gone.
    after: Vec<(String, Option<Name>)>,
}

#[derive(Debug, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
    cold: bool,
    /// Alive while a handle is open.
    open: Weak<()>,
}

#[derive(Debug)]
struct State {
    names: BTreeMap<String, Name>,
    durable_names: BTreeMap<String, Name>,
    pending: Vec<NameChange>,
    files: BTreeMap<u64, Content>,
    next_file: u64,
    boot: u64,
    capacity_bytes: u64,
    faults: Vec<Fault>,
    counts: Counts,
    rng: Rng,
}

/// A log directory in memory.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    shared: Shared,
    root: &'static str,
}

/// An open file of a `MemoryDisk`.
#[derive(Clone, Debug)]
pub struct MemoryFile {
    shared: Shared,
    id: u64,
    path: Arc<str>,
    _open: Arc<()>,
}

fn error(kind: ErrorKind, path: &str, words: &str) -> DiskError {
    DiskError { kind, message: format!("/memory/{path}: {words}") }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn index(position: u64) -> usize {
    usize::try_from(position).expect("a file in memory is smaller than memory")
}

fn with<R>(shared: &Shared, act: impl FnOnce(&mut State) -> R) -> R {
    act(&mut shared.lock().expect("no test panics while it holds the disk"))
}

impl State {
    fn fault(&mut self, operation: Operation, path: &str) -> Result<(), (DiskError, usize)> {
        let Some(at) = self.faults.iter().position(|f| f.operation == operation && path.contains(f.path.as_str()))
        else {
            return Ok(());
        };
        let fault = &mut self.faults[at];
        if fault.after > 0 {
            fault.after -= 1;
            return Ok(());
        }
        let out = (error(fault.kind, path, "injected fault"), fault.torn_bytes);
        fault.times -= 1;
        if fault.times == 0 {
            self.faults.remove(at);
        }
        Err(out)
    }

    fn check(&mut self, operation: Operation, path: &str) -> DiskResult<()> {
        self.fault(operation, path).map_err(|(error, _)| error)
    }

    fn used_bytes(&self) -> u64 {
        // What was removed counts no more, though it may come back with a power loss.
        let named = self.names.values().filter_map(|name| match name {
            Name::File(id) => self.files.get(id),
            Name::Folder => None,
        });
        named.map(|content| content.live.len() as u64).sum()
    }

    fn change(&mut self, after: Vec<(String, Option<Name>)>) {
        apply(&mut self.names, &after);
        self.pending.push(NameChange { after });
        self.sweep();
    }

    /// Forgets the content of files that nothing names and nobody holds open.
    fn sweep(&mut self) {
        let mut reachable: BTreeSet<u64> = BTreeSet::new();
        let pending = self.pending.iter().flat_map(|change| change.after.iter().filter_map(|(_, name)| name.as_ref()));
        for name in self.names.values().chain(self.durable_names.values()).chain(pending) {
            if let Name::File(id) = name {
                reachable.insert(*id);
            }
        }
        self.files.retain(|id, content| reachable.contains(id) || content.open.strong_count() > 0);
    }

    fn file(&mut self, id: u64) -> &mut Content {
        self.files.entry(id).or_default()
    }

    fn create(&mut self, path: &str) -> DiskResult<u64> {
        let folder = parent(path);
        if !folder.is_empty() && self.names.get(folder) != Some(&Name::Folder) {
            return Err(error(ErrorKind::NotFound, path, "No such file or directory"));
        }
        let id = self.next_file;
        self.next_file += 1;
        self.files.insert(id, Content::default());
        self.change(vec![(path.to_owned(), Some(Name::File(id)))]);
        Ok(id)
    }

    fn sync_folder(&mut self, folder: &str) {
        let (mut kept, mut durable, mut newer) = (Vec::new(), Vec::new(), BTreeSet::new());
        for mut change in std::mem::take(&mut self.pending).into_iter().rev() {
            if change.after.iter().any(|(path, _)| parent(path) == folder) {
                newer.extend(change.after.iter().map(|(path, _)| path.clone()));
                durable.push(change);
            } else {
                // What a name stood for before must not come back with a later sync.
                change.after.retain(|(path, _)| !newer.contains(path));
                kept.push(change);
            }
        }
        durable.iter().rev().for_each(|change| apply(&mut self.durable_names, &change.after));
        self.pending = kept.into_iter().rev().collect();
    }

    fn lose_power(&mut self) {
        self.boot += 1;
        let keep = index(self.rng.below(self.pending.len() as u64 + 1));
        for change in std::mem::take(&mut self.pending).into_iter().take(keep) {
            apply(&mut self.durable_names, &change.after);
        }
        // A file under a folder that is gone is gone too.
        let folders: BTreeSet<String> = self
            .durable_names
            .iter()
            .filter(|(_, name)| **name == Name::Folder)
            .map(|(path, _)| path.clone())
            .collect();
        self.durable_names.retain(|path, _| parent(path).is_empty() || folders.contains(parent(path)));
        self.names = self.durable_names.clone();
        for content in self.files.values_mut() {
            content.lose_power(&mut self.rng);
        }
        self.sweep();
    }
}

fn apply(names: &mut BTreeMap<String, Name>, after: &[(String, Option<Name>)]) {
    for (path, name) in after {
        match name {
            Some(name) => drop(names.insert(path.clone(), *name)),
            None => drop(names.remove(path)),
        }
    }
}

impl Content {
    fn write(&mut self, position: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = position + bytes.len();
        if self.live.len() < end {
            self.live.resize(end, 0);
        }
        self.live[position..end].copy_from_slice(bytes);
        self.dirty.extend(position / PAGE_BYTES..=(end - 1) / PAGE_BYTES);
    }

    fn truncate(&mut self, length: usize) {
        if length < self.live.len() {
            self.dirty.extend(length / PAGE_BYTES..=(self.live.len() - 1) / PAGE_BYTES);
        } else if length > self.live.len() {
            self.dirty.extend(self.live.len() / PAGE_BYTES..=(length - 1) / PAGE_BYTES);
        }
        self.live.resize(length, 0);
    }

    fn sync(&mut self) {
        self.durable.resize(self.live.len(), 0);
        for page in std::mem::take(&mut self.dirty) {
            let start = (page * PAGE_BYTES).min(self.live.len());
            let end = (start + PAGE_BYTES).min(self.live.len());
            self.durable[start..end].copy_from_slice(&self.live[start..end]);
        }
    }

    /// Each page that was not synced is as it was, as it became, or torn between sectors; the length is one of the two.
    fn lose_power(&mut self, rng: &mut Rng) {
        let mut after = self.durable.clone();
        let length = if self.dirty.is_empty() || rng.one_in(2) { self.durable.len() } else { self.live.len() };
        after.resize(length, 0);
        for page in std::mem::take(&mut self.dirty) {
            let start = page * PAGE_BYTES;
            let take = match rng.below(3) {
                0 => 0,
                1 => PAGE_BYTES,
                _ => index(rng.below((PAGE_BYTES / SECTOR_BYTES) as u64 + 1)) * SECTOR_BYTES,
            };
            let end = (start + take).min(length).min(self.live.len());
            if start < end {
                after[start..end].copy_from_slice(&self.live[start..end]);
            }
        }
        self.live.clone_from(&after);
        self.durable = after;
        self.cold = true;
    }
}

impl MemoryDisk {
    #[must_use]
    #[expect(clippy::disallowed_types, reason = "see `Shared`")]
    pub fn new(seed: u64) -> MemoryDisk {
        let state = State {
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending: Vec::new(),
            files: BTreeMap::new(),
            next_file: 0,
            boot: 1,
            capacity_bytes: u64::MAX,
            faults: Vec::new(),
            counts: Counts::default(),
            rng: Rng::new(seed),
        };
        MemoryDisk { shared: Arc::new(std::sync::Mutex::new(state)), root: "/memory" }
    }

    /// The same disk by another name, where there are several.
    #[must_use]
    pub fn named(self, root: &'static str) -> MemoryDisk {
        MemoryDisk { root, ..self }
    }

    /// The machine stops and starts again: what was not durable is kept, lost or torn by chance. Drop everything that
    /// was open before.
    pub fn lose_power(&self) {
        with(&self.shared, State::lose_power);
    }

    /// Sets how many bytes fit; a write that needs more leaves behind what fits and fails with `ErrorKind::Full`.
    pub fn set_capacity_bytes(&self, bytes: u64) {
        with(&self.shared, |state| state.capacity_bytes = bytes);
    }

    pub fn inject(&self, fault: Fault) {
        with(&self.shared, |state| state.faults.push(fault));
    }

    pub fn clear_faults(&self) {
        with(&self.shared, |state| state.faults.clear());
    }

    /// Flips bits of one byte, in the cache and on the disk.
    pub fn rot(&self, path: &str, position: u64, bits: u8) {
        with(&self.shared, |state| {
            if let Some(Name::File(id)) = state.names.get(path).copied() {
                let content = state.file(id);
                for bytes in [&mut content.live, &mut content.durable] {
                    if let Some(byte) = bytes.get_mut(index(position)) {
                        *byte ^= bits;
                    }
                }
            }
        });
    }

    /// Empties the page cache: reads of any file wait until it was warmed.
    pub fn evict(&self) {
        with(&self.shared, |state| state.files.values_mut().for_each(|content| content.cold = true));
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        with(&self.shared, |state| state.counts)
    }

    /// All files with their bytes, sorted by path.
    #[must_use]
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        with(&self.shared, |state| {
            let mut out = Vec::new();
            for (path, name) in &state.names {
                if let Name::File(id) = name {
                    out.push((
                        path.clone(),
                        state.files.get(id).map(|content| content.live.clone()).unwrap_or_default(),
                    ));
                }
            }
            out
        })
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    fn open(&self, path: &str, how: Open) -> DiskResult<MemoryFile> {
        with(&self.shared, |state| {
            state.check(Operation::Open, path)?;
            state.counts.opens += 1;
            let id = match (state.names.get(path).copied(), how) {
                (Some(Name::File(id)), _) => id,
                (Some(Name::Folder), _) => return Err(error(ErrorKind::Failed, path, "Is a directory")),
                (None, Open::Create) => state.create(path)?,
                (None, Open::Read | Open::Write) => {
                    return Err(error(ErrorKind::NotFound, path, "No such file or directory"));
                }
            };
            let content = state.file(id);
            let open = content.open.upgrade().unwrap_or_default();
            content.open = Arc::downgrade(&open);
            Ok(MemoryFile { shared: self.shared.clone(), id, path: path.into(), _open: open })
        })
    }

    fn list(&self, folder: &str) -> DiskResult<Vec<String>> {
        with(&self.shared, |state| {
            if !folder.is_empty() && state.names.get(folder) != Some(&Name::Folder) {
                return Err(error(ErrorKind::NotFound, folder, "No such file or directory"));
            }
            let inside = |path: &&String| parent(path) == folder;
            let start = if folder.is_empty() { 0 } else { folder.len() + 1 };
            Ok(state.names.keys().filter(inside).map(|path| path[start..].to_owned()).collect())
        })
    }

    fn exists(&self, path: &str) -> bool {
        with(&self.shared, |state| state.names.contains_key(path))
    }

    fn create_folder(&self, path: &str) -> DiskResult<()> {
        with(&self.shared, |state| {
            state.check(Operation::Change, path)?;
            for (at, _) in path.match_indices('/').chain([(path.len(), "")]) {
                let folder = &path[..at];
                match state.names.get(folder) {
                    Some(Name::Folder) => {}
                    Some(Name::File(_)) => return Err(error(ErrorKind::AlreadyExists, folder, "Not a directory")),
                    None => state.change(vec![(folder.to_owned(), Some(Name::Folder))]),
                }
            }
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        with(&self.shared, |state| {
            state.check(Operation::Rename, from)?;
            state.counts.renames += 1;
            let Some(name) = state.names.get(from).copied() else {
                return Err(error(ErrorKind::NotFound, from, "No such file or directory"));
            };
            let mut after = vec![(from.to_owned(), None), (to.to_owned(), Some(name))];
            let prefix = format!("{from}/");
            for (path, name) in state.names.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix)) {
                after.push((path.clone(), None));
                after.push((format!("{to}/{}", &path[prefix.len()..]), Some(*name)));
            }
            state.change(after);
            Ok(())
        })
    }

    fn remove(&self, path: &str) -> DiskResult<()> {
        with(&self.shared, |state| {
            state.check(Operation::Remove, path)?;
            state.counts.removes += 1;
            if state.names.contains_key(path) {
                state.change(vec![(path.to_owned(), None)]);
            }
            Ok(())
        })
    }

    fn remove_folder(&self, path: &str) -> DiskResult<()> {
        with(&self.shared, |state| {
            state.check(Operation::Remove, path)?;
            state.counts.removes += 1;
            let prefix = format!("{path}/");
            let inside: Vec<String> =
                state.names.keys().filter(|name| *name == path || name.starts_with(&prefix)).cloned().collect();
            for name in inside.into_iter().rev() {
                state.change(vec![(name, None)]);
            }
            Ok(())
        })
    }

    fn sync_folder(&self, path: &str) -> DiskResult<()> {
        with(&self.shared, |state| {
            state.check(Operation::Change, path)?;
            state.counts.folder_syncs += 1;
            state.sync_folder(path);
            Ok(())
        })
    }

    fn read_small(&self, path: &str, bytes_max: usize) -> DiskResult<Vec<u8>> {
        with(&self.shared, |state| {
            state.check(Operation::Read, path)?;
            let Some(Name::File(id)) = state.names.get(path).copied() else {
                return Err(error(ErrorKind::NotFound, path, "No such file or directory"));
            };
            let live = &state.file(id).live;
            if live.len() > bytes_max {
                return Err(error(ErrorKind::Failed, path, "the file is larger than expected"));
            }
            Ok(live.clone())
        })
    }

    fn write_small(&self, path: &str, bytes: &[u8], durable: bool) -> DiskResult<()> {
        with(&self.shared, |state| {
            state.check(Operation::Change, path)?;
            if state.used_bytes() + bytes.len() as u64 > state.capacity_bytes {
                return Err(error(ErrorKind::Full, path, "No space left on device"));
            }
            let temporary = format!("{path}.tmp");
            let id = match state.names.get(&temporary).copied() {
                Some(Name::File(id)) => id,
                Some(Name::Folder) | None => state.create(&temporary)?,
            };
            state.file(id).truncate(0);
            state.file(id).write(0, bytes);
            if durable {
                state.file(id).sync();
            }
            state.change(vec![(temporary, None), (path.to_owned(), Some(Name::File(id)))]);
            if durable {
                state.sync_folder(parent(path));
            }
            Ok(())
        })
    }

    fn boot_id(&self) -> Uuid {
        let boot = with(&self.shared, |state| state.boot);
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&boot.to_be_bytes());
        Uuid(bytes)
    }

    fn space(&self) -> DiskResult<Space> {
        with(&self.shared, |state| {
            let total_bytes = state.capacity_bytes.min(1 << 40);
            Ok(Space { total_bytes, usable_bytes: total_bytes.saturating_sub(state.used_bytes()) })
        })
    }

    fn describe(&self, path: &str) -> String {
        format!("{}/{path}", self.root)
    }
}

impl DiskFile for MemoryFile {
    fn write_at(&self, position: u64, pieces: &[&[u8]]) -> DiskResult<()> {
        with(&self.shared, |state| {
            state.counts.writes += 1;
            let bytes = pieces.concat();
            assert!(!bytes.is_empty(), "a write of nothing to {}: systems differ in what they make of it", self.path);
            let at = index(position);
            if let Err((error, torn)) = state.fault(Operation::Write, &self.path) {
                state.file(self.id).write(at, &bytes[..torn.min(bytes.len())]);
                return Err(error);
            }
            let grows = (at + bytes.len()).saturating_sub(state.file(self.id).live.len()) as u64;
            let room = state.capacity_bytes.saturating_sub(state.used_bytes());
            if grows > room {
                let fits = bytes.len() - index(grows - room);
                state.file(self.id).write(at, &bytes[..fits]);
                return Err(error(ErrorKind::Full, &self.path, "No space left on device"));
            }
            state.file(self.id).write(at, &bytes);
            Ok(())
        })
    }

    fn read_at(&self, position: u64, into: &mut [u8]) -> DiskResult<usize> {
        with(&self.shared, |state| {
            state.check(Operation::Read, &self.path)?;
            state.counts.reads += 1;
            let file = state.file(self.id);
            let start = index(position).min(file.live.len());
            let count = into.len().min(file.live.len() - start);
            into[..count].copy_from_slice(&file.live[start..start + count]);
            file.cold = false;
            Ok(count)
        })
    }

    fn is_cached(&self, _position: u64, _length: u64) -> bool {
        with(&self.shared, |state| !state.file(self.id).cold)
    }

    fn doubt(&self) {
        with(&self.shared, |state| state.file(self.id).cold = true);
    }

    fn is_in_doubt(&self) -> bool {
        !self.is_cached(0, 0)
    }

    fn warm(&self, _position: u64, _length: u64) -> DiskResult<()> {
        with(&self.shared, |state| {
            state.check(Operation::Read, &self.path)?;
            state.file(self.id).cold = false;
            Ok(())
        })
    }

    fn length(&self) -> DiskResult<u64> {
        with(&self.shared, |state| Ok(state.file(self.id).live.len() as u64))
    }

    fn truncate(&self, length: u64) -> DiskResult<()> {
        with(&self.shared, |state| {
            state.check(Operation::Change, &self.path)?;
            state.file(self.id).truncate(index(length));
            Ok(())
        })
    }

    fn preallocate(&self, length: u64) -> DiskResult<()> {
        with(&self.shared, |state| {
            state.check(Operation::Change, &self.path)?;
            let grows = length.saturating_sub(state.file(self.id).live.len() as u64);
            if grows > state.capacity_bytes.saturating_sub(state.used_bytes()) {
                return Err(error(ErrorKind::Full, &self.path, "No space left on device"));
            }
            Ok(())
        })
    }

    fn sync(&self) -> DiskResult<()> {
        with(&self.shared, |state| {
            state.check(Operation::Sync, &self.path)?;
            state.counts.syncs += 1;
            state.file(self.id).sync();
            Ok(())
        })
    }
}
