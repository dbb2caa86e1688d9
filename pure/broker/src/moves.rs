//! Moving replicas between the log directories of this node (KIP-113): a future replica copies the present one, and takes
//! its place once it has everything.
//!
//! The present replica serves all the while. Only for the last step, the rename of two folders, is what is asked of it
//! parked, and nothing is appended: so at every moment of it both folders hold the same, whichever of them a start finds.

use crate::apply::folder;
use crate::call::ReplyTo;
use crate::checkpoint::CheckpointRow;
use crate::directories::HOME;
use crate::job::{Job, JobFor};
use crate::partitions::{Hosted, State};
use crate::seam::Level;
use crate::shard::{Deadline, Shard};
use crate::work::{Outcome, PartitionOp, ReplicaSize};
use bytes::Bytes;
use log::{Disk, DiskError, Identity, Log, SyncJob, Synced};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::{ErrorCode, Offset, PartitionIndex, TopicPartition};

/// How a folder ends that holds a replica that is to take the place of another (Kafka's name).
const FUTURE_FOLDER: &str = "-future";
/// Longest name of a folder that file systems take.
const FOLDER_NAME_BYTES_MAX: usize = 255;
/// So much is read before it is written.
const COPY_BYTES: u32 = 1 << 20;
/// How soon a move that must wait for its rate looks again.
const PACE_MS: u64 = 100;

/// A future replica that an earlier run left behind.
pub(crate) struct Found {
    pub directory: usize,
    pub folder: String,
}

pub(crate) struct Move<D: Disk> {
    /// Which of the moves of this partition it is: what was read for an earlier one is thrown away.
    id: u64,
    /// Where it goes.
    pub directory: usize,
    folder: String,
    /// None while it is opened.
    log: Option<Log<D>>,
    /// A job of it is under way.
    busy: bool,
    /// Most of it was made durable, so that the last sync is a short one.
    synced: bool,
    /// It has everything: the controller is told of the new place before it is one. A start that lacks the old directory
    /// then knows that the replica may be there, and one that lacks the new one still finds all of it in the old.
    is_ready: bool,
    /// The last step is under way; what is asked meanwhile.
    held: Option<Vec<(PartitionOp, ReplyTo)>>,
}

/// The last step.
pub struct Swap<D: Disk> {
    sync: SyncJob<D>,
    from: D,
    to: D,
    future: String,
    folder: String,
    /// What the present folder is called until it is removed.
    doomed: String,
}

impl<D: Disk> Move<D> {
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    pub fn set_config(&mut self, config: Arc<log::Config>) {
        if let Some(log) = &mut self.log {
            log.set_config(config);
        }
    }
}

impl<D: Disk> Swap<D> {
    /// Waits for the disk: from here on the new folder is the replica, also after a power loss.
    pub(crate) fn run(self) -> Result<Synced, DiskError> {
        let synced = self.sync.run();
        if let Some(error) = synced.error() {
            return Err(error.clone());
        }
        if self.to.exists(&self.future) {
            self.to.rename(&self.future, &self.folder)?;
            self.to.sync_folder("")?;
        }
        if self.from.exists(&self.folder) {
            self.from.rename(&self.folder, &self.doomed)?;
            // It is done, and must not be taken back. Where a power loss brings the name back, a start finds both, and the
            // cluster knows which is the replica.
            let _ = self.from.sync_folder("");
        }
        Ok(synced)
    }
}

/// What a swap is for.
#[derive(Clone, Debug)]
pub(crate) struct Swapping {
    pub partition: TopicPartition,
    id: u64,
    from: usize,
    to: usize,
    folder: String,
    future: String,
    doomed: String,
}

impl<D: Disk> Shard<D> {
    /// An operator wants a replica in another directory of this node.
    pub(crate) fn move_replica(&mut self, partition: TopicPartition, to: usize) -> Outcome<D> {
        let done = match self.partitions.hosted.get(&partition) {
            _ if !self.is_online(to) => Err((ErrorCode::KAFKA_STORAGE_ERROR, "the log directory is offline")),
            None => {
                // A reassignment may bring it here: then it is made there.
                self.preferred.insert(partition, to);
                Err((ErrorCode::REPLICA_NOT_AVAILABLE, "this broker has no replica of it yet"))
            }
            Some(Hosted { state: State::Opening { .. }, .. }) => {
                Err((ErrorCode::REPLICA_NOT_AVAILABLE, "the replica is being opened"))
            }
            Some(_) if self.is_held(partition) => {
                Err((ErrorCode::REPLICA_NOT_AVAILABLE, "the replica is about to end another move"))
            }
            Some(Hosted { state: State::Open(replica), directory, topic }) => match replica.log() {
                None => Err((ErrorCode::KAFKA_STORAGE_ERROR, "the replica is offline")),
                Some(_) => Ok((*directory, topic.clone())),
            },
        };
        match done {
            Err((code, message)) => Outcome::refused(code, message),
            Ok((here, topic)) => {
                if self.moves.get(&partition).is_none_or(|known| known.directory != to) {
                    self.cancel_move(partition, true);
                    if here != to {
                        self.begin_move(partition, &topic, to);
                    }
                }
                Outcome::Changed
            }
        }
    }

    fn begin_move(&mut self, partition: TopicPartition, topic: &str, to: usize) {
        let unique = (u128::from(self.rng.next_u64()) << 64) | u128::from(self.rng.next_u64());
        let index = partition.partition;
        let end = format!("-{index}.{unique:032x}{FUTURE_FOLDER}");
        let name = &topic[..topic.floor_char_boundary(topic.len().min(FOLDER_NAME_BYTES_MAX - end.len()))];
        let future = format!("{name}{end}");
        let Some(config) = self.partitions.replica(partition).and_then(|replica| Some(replica.log()?.config().clone()))
        else {
            return;
        };
        let identity = Identity { folder: future.as_str().into(), topic: partition.topic };
        let log = Log::create(self.disk(to).clone(), identity, config, self.now);
        let (title, path) = (self.title(partition), self.directories[to].path.clone());
        self.log(Level::Info, format!("{title} moves to {path}"));
        self.insert_move(partition, to, future, Some(log));
        self.step_move(partition);
    }

    fn insert_move(&mut self, partition: TopicPartition, directory: usize, folder: String, log: Option<Log<D>>) -> u64 {
        let id = self.next_id();
        let busy = log.is_none();
        let entry = Move { id, directory, folder, log, busy, synced: false, is_ready: false, held: None };
        self.moves.insert(partition, entry);
        id
    }

    /// Ends a move that is not in its last step; what was copied goes, unless its disk cannot be used.
    pub(crate) fn cancel_move(&mut self, partition: TopicPartition, removes: bool) {
        let Some(ended) = self.moves.remove(&partition) else {
            return;
        };
        if removes && self.is_online(ended.directory) {
            self.remove_folder(ended.directory, &ended.folder, partition);
        }
        // The controller may have been told of the place that it does not come to.
        self.consider_directory(partition);
    }

    /// The partition lives here no longer. A last step that is under way takes its folders along when it is done.
    pub(crate) fn drop_move(&mut self, partition: TopicPartition, code: ErrorCode) {
        let held = self.moves.get_mut(&partition).and_then(|known| known.held.take());
        let is_swapping = held.is_some();
        let refused = |(_, to)| (to, Outcome::refused(code, ""));
        self.done.extend(held.unwrap_or_default().into_iter().map(refused));
        self.cancel_move(partition, !is_swapping);
    }

    /// Whether nothing may be done to a replica at the moment, for its folder is about to be another.
    pub(crate) fn is_held(&self, partition: TopicPartition) -> bool {
        self.moves.get(&partition).is_some_and(Move::is_held)
    }

    /// Keeps what is asked of a replica until it is in its new place; gives it back where there is nothing to wait for.
    pub(crate) fn park(&mut self, partition: TopicPartition, op: PartitionOp, to: ReplyTo) -> Option<PartitionOp> {
        match self.moves.get_mut(&partition).and_then(|known| known.held.as_mut()) {
            Some(held) => {
                held.push((op, to));
                None
            }
            None => Some(op),
        }
    }

    /// Does what is next for a move.
    pub(crate) fn step_move(&mut self, partition: TopicPartition) {
        let pace = self.throttles.moves.left_at(self.now.at);
        let working = self.is_worked_on(partition);
        let (now, stopping) = (self.now, self.stopping);
        let (Some(entry), Some(replica)) = (self.moves.get_mut(&partition), self.partitions.replica(partition)) else {
            return;
        };
        let (id, synced) = (entry.id, entry.synced);
        let (false, false, Some(log)) = (entry.busy, stopping, &mut entry.log) else {
            return;
        };
        let next = match replica.log() {
            None => return,
            Some(present) => match log.agree_with(now, present) {
                Err(error) => return self.move_failed(partition, &error),
                Ok(()) => present.end_offset().minus(log.end_offset()),
            },
        };
        if next > 0 {
            if pace == 0 {
                self.deadlines.insert((now.at.plus_ms(PACE_MS), Deadline::Moves));
                return;
            }
            let bytes = COPY_BYTES.min(u32::try_from(pace).unwrap_or(u32::MAX));
            return match replica.read_own(log.end_offset(), bytes) {
                Ok(Some(range)) => {
                    entry.busy = true;
                    self.start_job(JobFor::Move { partition, id }, Job::Read(vec![range]));
                }
                Ok(None) => {}
                Err(_) => self.note_offline(partition),
            };
        }
        if !synced {
            entry.busy = true;
            let sync = log.start_sync();
            return self.start_job(JobFor::Move { partition, id }, Job::Log(log::Job::Sync(sync)));
        }
        entry.is_ready = true;
        let to = entry.directory;
        if !self.is_told(partition, to) {
            self.consider_directory(partition);
        } else if !working {
            self.begin_swap(partition);
        }
    }

    /// Where a replica is or, once a move of it has everything, is about to be.
    pub(crate) fn home_of(&self, partition: TopicPartition) -> Option<usize> {
        let coming = self.moves.get(&partition).filter(|entry| entry.is_ready).map(|entry| entry.directory);
        coming.or(self.partitions.hosted.get(&partition).map(|hosted| hosted.directory))
    }

    fn begin_swap(&mut self, partition: TopicPartition) {
        let doomed = self.doomed_folder(partition);
        let (Some(entry), Some(hosted)) = (self.moves.get_mut(&partition), self.partitions.hosted.get(&partition))
        else {
            return;
        };
        let (Some(log), from, to) = (&mut entry.log, hosted.directory, entry.directory) else {
            return;
        };
        entry.busy = true;
        entry.held = Some(Vec::new());
        let folder = folder(&hosted.topic, partition.partition);
        let target = Swapping {
            partition,
            id: entry.id,
            from,
            to,
            folder: folder.clone(),
            future: entry.folder.clone(),
            doomed: doomed.clone(),
        };
        let (sync, future) = (log.start_sync(), entry.folder.clone());
        let (from, to) = (self.disk(from).clone(), self.disk(to).clone());
        let swap = Swap { sync, from, to, future, folder, doomed };
        self.start_job(JobFor::Swap(Box::new(target)), Job::Swap(Box::new(swap)));
    }

    /// A part was read.
    pub(crate) fn move_read(&mut self, partition: TopicPartition, id: u64, read: Result<Bytes, DiskError>) {
        let now = self.now;
        let Some(entry) = self.moves.get_mut(&partition).filter(|known| known.id == id) else {
            return;
        };
        entry.busy = false;
        let Some(log) = &mut entry.log else {
            return;
        };
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                let directory = self.partitions.hosted.get(&partition).map_or(HOME, |hosted| hosted.directory);
                self.cancel_move(partition, true);
                return self.disk_failed(directory, &error.message);
            }
        };
        match log.append_as_is(now, &bytes) {
            Ok(appended) => {
                self.throttles.moves.add(now.at, appended as u64);
                self.step_move(partition);
            }
            Err(error) => self.move_failed(partition, &error),
        }
    }

    pub(crate) fn move_synced(&mut self, partition: TopicPartition, id: u64, done: log::JobDone) {
        let Some(entry) = self.moves.get_mut(&partition).filter(|known| known.id == id) else {
            return;
        };
        (entry.busy, entry.synced) = (false, true);
        let (Some(log), log::JobDone::Synced(synced)) = (&mut entry.log, done) else {
            return;
        };
        match log.sync_done(synced) {
            Ok(()) => self.step_move(partition),
            Err(error) => self.move_failed(partition, &error),
        }
    }

    /// The future replica cannot go on: the present one does.
    fn move_failed(&mut self, partition: TopicPartition, error: &log::Error) {
        let Some(directory) = self.moves.get(&partition).map(|known| known.directory) else {
            return;
        };
        let (title, path) = (self.title(partition), self.directories[directory].path.clone());
        self.log(Level::Error, format!("{title} does not move to {path}: {error}"));
        self.cancel_move(partition, true);
        if error.is_of_disk() {
            self.disk_failed(directory, &error.to_string());
        }
    }

    pub(crate) fn swapped(&mut self, swap: &Swapping, done: Result<Synced, DiskError>) {
        let partition = swap.partition;
        let is_current = self.moves.get(&partition).is_some_and(|known| known.id == swap.id);
        let entry = if is_current { self.moves.remove(&partition) } else { None };
        let Some(entry) = entry else {
            // The partition is not here any more, and nothing of it may stay.
            return self
                .remove_swapped(swap, &[(swap.to, &swap.folder), (swap.to, &swap.future), (swap.from, &swap.doomed)]);
        };
        let held = entry.held.unwrap_or_default();
        match (done, entry.log) {
            (Ok(synced), Some(log)) => self.take_place(swap, log, synced),
            (Err(error), _) => {
                let text = format!("{} does not move: {error}", self.title(partition));
                self.log(Level::Error, text);
                self.remove_swapped(swap, &[(swap.to, &swap.folder), (swap.to, &swap.future)]);
            }
            (Ok(_), None) => unreachable!("only what was opened is swapped"),
        }
        self.take_role(partition);
        self.touch(partition);
        for (op, to) in held {
            if let Some(outcome) = self.perform_partition(partition, op, to) {
                self.done.push((to, outcome));
            }
        }
        self.reopen_partitions();
    }

    fn remove_swapped(&mut self, swap: &Swapping, folders: &[(usize, &String)]) {
        for (directory, path) in
            folders.iter().filter(|(directory, _)| self.is_online(*directory)).copied().collect::<Vec<_>>()
        {
            self.remove_folder(directory, path, swap.partition);
        }
    }

    /// The future replica is the replica.
    fn take_place(&mut self, swap: &Swapping, mut log: Log<D>, synced: Synced) {
        let (partition, now) = (swap.partition, self.now);
        let Some(Hosted { directory, state: State::Open(replica), .. }) = self.partitions.hosted.get_mut(&partition)
        else {
            return;
        };
        *directory = swap.to;
        match log.sync_done(synced) {
            Ok(()) => replica.replace_log(now.at, log, &swap.folder),
            Err(error) => {
                let reason = error.to_string();
                replica.go_offline(reason.clone());
                self.note_offline(partition);
                return self.disk_failed(swap.to, &reason);
            }
        }
        let text = format!("{} is in {} now", self.title(partition), self.directories[swap.to].path);
        self.log(Level::Info, text);
        if !self.is_online(swap.from) {
            // Its replica went offline with the directory that it was about to leave; the copy has all that it had.
            self.reopen.insert(partition);
        }
        self.remove_swapped(swap, &[(swap.from, &swap.doomed)]);
        // What a start would need to know of its log is in the files of the other directory.
        self.checkpoint_soon();
    }

    /// Moves whose time has come go on.
    pub(crate) fn retry_moves(&mut self) {
        let all: Vec<TopicPartition> = self.moves.keys().copied().collect();
        all.into_iter().for_each(|partition| self.step_move(partition));
    }

    /// A directory has failed: moves to it and from it end.
    pub(crate) fn end_moves_of(&mut self, directory: usize) {
        let concerns = |(partition, known): (&TopicPartition, &Move<D>)| {
            let hosted = self.partitions.hosted.get(partition);
            let is_there = hosted.is_some_and(|hosted| hosted.directory == directory);
            (known.held.is_none() && (known.directory == directory || is_there)).then_some(*partition)
        };
        let ended: Vec<TopicPartition> = self.moves.iter().filter_map(concerns).collect();
        // A copy whose original cannot be read stays, and is gone on with when both are there again.
        ended.into_iter().for_each(|partition| self.cancel_move(partition, false));
    }

    /// Future replicas that an earlier run left in the directories. What other runs did not finish to remove goes.
    pub(crate) fn find_futures(&mut self) -> BTreeMap<TopicPartition, Found> {
        let mut found = BTreeMap::new();
        for directory in self.online_directories().collect::<Vec<_>>() {
            let names = self.disk(directory).list("").unwrap_or_default();
            for name in names {
                if name.ends_with(log::DELETED_FOLDER) && self.me == types::ShardId(0) {
                    let disk = self.disk(directory).clone();
                    self.start_job(JobFor::Nobody, Job::RemoveFolder { disk, path: name });
                } else if let Some(partition) = self.future_of(directory, &name)
                    && partition.shard(self.node.shards) == self.me
                {
                    found.insert(partition, Found { directory, folder: name });
                }
            }
        }
        found
    }

    /// The partition that a folder holds a future replica of.
    fn future_of(&self, directory: usize, name: &str) -> Option<TopicPartition> {
        let (stem, _) = name.strip_suffix(FUTURE_FOLDER)?.rsplit_once('.')?;
        let partition = PartitionIndex(stem.rsplit_once('-')?.1.parse().ok()?);
        Some(TopicPartition { topic: self.topic_of_folder(directory, name).ok()??, partition })
    }

    /// What an earlier run left behind is gone on with, or goes where it is of no use.
    pub(crate) fn resume_move(&mut self, partition: TopicPartition) {
        let Some(Found { directory, folder }) = self.futures.remove(&partition) else {
            return;
        };
        let Some(Hosted { directory: here, state: State::Open(replica), .. }) = self.partitions.hosted.get(&partition)
        else {
            return;
        };
        let Some(config) = replica.log().filter(|_| *here != directory).map(|log| log.config().clone()) else {
            if *here == directory {
                self.remove_folder(directory, &folder, partition);
            }
            return;
        };
        let topic = self.partitions.hosted[&partition].topic.clone();
        let identity = Identity { folder: folder.as_str().into(), topic: partition.topic };
        let recovery = self.recovery(directory, (&topic, partition), identity, config);
        let id = self.insert_move(partition, directory, folder, None);
        self.start_job(JobFor::Move { partition, id }, Job::Recover(Box::new(recovery)));
    }

    pub(crate) fn future_opened(&mut self, partition: TopicPartition, id: u64, opened: Result<Log<D>, log::Error>) {
        let Some(entry) = self.moves.get_mut(&partition).filter(|known| known.id == id) else {
            return;
        };
        entry.busy = false;
        match opened {
            Ok(log) => {
                entry.log = Some(log);
                self.step_move(partition);
            }
            Err(error) => self.move_failed(partition, &error),
        }
    }

    /// The name of a folder until it is removed.
    pub(crate) fn doomed_folder(&mut self, partition: TopicPartition) -> String {
        let unique = self.rng.next_u64();
        format!("{}-{}.{unique:016x}{}", partition.topic, partition.partition, log::DELETED_FOLDER)
    }

    pub(crate) fn future_sizes(&self) -> Vec<ReplicaSize> {
        let size = |(partition, known): (&TopicPartition, &Move<D>)| {
            let (log, hosted) = (known.log.as_ref()?, self.partitions.hosted.get(partition)?);
            let State::Open(replica) = &hosted.state else { return None };
            let end = replica.log().map_or(Offset::ZERO, Log::end_offset);
            Some(ReplicaSize {
                topic: hosted.topic.clone(),
                partition: partition.partition,
                directory: known.directory,
                size_bytes: log.size_bytes(),
                lag: end.minus(log.end_offset()).max(0),
                is_future: true,
            })
        };
        self.moves.iter().filter_map(size).collect()
    }

    /// The logs of future replicas, with their directories.
    pub(crate) fn future_logs(&mut self) -> impl Iterator<Item = (usize, &mut Log<D>)> {
        self.moves.values_mut().filter_map(|known| Some((known.directory, known.log.as_mut()?)))
    }

    pub(crate) fn future_rows(&self) -> Vec<CheckpointRow> {
        let row = |(partition, known): (&TopicPartition, &Move<D>)| {
            let (log, hosted) = (known.log.as_ref()?, self.partitions.hosted.get(partition)?);
            let State::Open(replica) = &hosted.state else { return None };
            let (topic, high_watermark) = (hosted.topic.clone(), replica.high_watermark());
            Some(CheckpointRow::of(log, high_watermark, known.directory, topic, *partition))
        };
        self.moves.iter().filter_map(row).collect()
    }

    /// Whether a last step is under way, whose end nobody will hear of.
    pub(crate) fn is_swapping(&self) -> bool {
        self.moves.values().any(Move::is_held)
    }
}
