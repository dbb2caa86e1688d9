//! The partitions that live on one shard: opened from their folders, asked for what requests want, looked after.

use crate::call::ReplyTo;
use crate::checkpoint::CheckpointRow;
use crate::job::{Job, JobFor};
use crate::observe::PartitionFigures;
use crate::seam::Level;
use crate::shard::{Deadline, Shard, replan};
use crate::wait::{Wait, Waiting};
use crate::work::{Acknowledge, Outcome, PartitionOp, ReplicaSize};
use bytes::Bytes;
use log::{Disk, DiskError, Log};
use replica::{Acks, Failure, Fired, Isolation, Origin, Read, Replica};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use types::{ErrorCode, Instant, Offset, Text, TopicId, TopicPartition};

/// How long what was appended may wait until index entries for it are written, at most.
const FLUSH_AFTER_MS: u64 = 1000;

pub(crate) struct Partitions<D: Disk> {
    pub hosted: BTreeMap<TopicPartition, Hosted<D>>,
    /// The configurations of topics that have partitions here.
    pub configs: BTreeMap<TopicId, Arc<log::Config>>,
    /// Those whose waiters may have fired or that may want a sync.
    touched: Vec<TopicPartition>,
    /// Those appended to since they were last looked after.
    dirty: BTreeSet<TopicPartition>,
    flush_at: Option<Instant>,
    pub fired: Vec<Fired>,
}

impl<D: Disk> Default for Partitions<D> {
    fn default() -> Self {
        Partitions {
            hosted: BTreeMap::new(),
            configs: BTreeMap::new(),
            touched: Vec::new(),
            dirty: BTreeSet::new(),
            flush_at: None,
            fired: Vec::new(),
        }
    }
}

pub(crate) struct Hosted<D: Disk> {
    pub topic: Text,
    /// The number of its log directory.
    pub directory: usize,
    pub state: State<D>,
}

pub(crate) enum State<D: Disk> {
    /// Its log is being opened; what is asked of it meanwhile waits.
    Opening { parked: Vec<(PartitionOp, ReplyTo)> },
    /// Leading or following.
    Open(Box<Replica<D>>),
}

impl<D: Disk> Partitions<D> {
    /// The replica, whatever its role, where its log is open.
    pub fn replica(&mut self, partition: TopicPartition) -> Option<&mut Replica<D>> {
        match &mut self.hosted.get_mut(&partition)?.state {
            State::Open(replica) => Some(replica),
            State::Opening { .. } => None,
        }
    }

    /// The replica, where this shard leads the partition and its log is open.
    pub fn leader(&mut self, partition: TopicPartition) -> Option<&mut Replica<D>> {
        self.replica(partition).filter(|replica| replica.is_leader())
    }

    pub fn open_replicas(&self) -> impl Iterator<Item = (TopicPartition, &Replica<D>)> {
        self.named_replicas().map(|(partition, _, replica)| (partition, replica))
    }

    fn named_replicas(&self) -> impl Iterator<Item = (TopicPartition, &Text, &Replica<D>)> {
        self.hosted.iter().filter_map(|(partition, hosted)| match &hosted.state {
            State::Open(replica) => Some((*partition, &hosted.topic, &**replica)),
            State::Opening { .. } => None,
        })
    }
}

impl<D: Disk> Shard<D> {
    /// Does what a request wants of a partition; `None` where the outcome comes later.
    pub(crate) fn perform_partition(
        &mut self,
        partition: TopicPartition,
        op: PartitionOp,
        to: ReplyTo,
    ) -> Option<Outcome<D>> {
        if let PartitionOp::MoveTo { directory } = op {
            return Some(self.move_replica(partition, directory));
        }
        let op = self.park(partition, op, to)?;
        match self.partitions.hosted.get_mut(&partition).map(|hosted| &mut hosted.state) {
            None => {
                let code = match self.image.partition(partition) {
                    Some(_) => ErrorCode::NOT_LEADER_OR_FOLLOWER,
                    None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                };
                Some(Outcome::refused(code, ""))
            }
            Some(State::Opening { parked, .. }) => {
                parked.push((op, to));
                None
            }
            Some(State::Open(replica)) if replica.offline_reason().is_some() => {
                let reason = replica.offline_reason().unwrap_or_default();
                Some(Outcome::refused(ErrorCode::KAFKA_STORAGE_ERROR, reason))
            }
            Some(State::Open(replica)) if !replica.is_leader() && !op.may_follower_answer() => {
                Some(Outcome::refused(ErrorCode::NOT_LEADER_OR_FOLLOWER, ""))
            }
            Some(State::Open(_)) => match op {
                PartitionOp::Produce { records, acknowledge } => self.produce(partition, records, acknowledge, to),
                PartitionOp::Fetch(read) => self.fetch(partition, &read, to),
                PartitionOp::Watch { seen, isolation } => self.watch(partition, seen, isolation, to),
                other => Some(self.ask(partition, other)),
            },
        }
    }

    fn produce(
        &mut self,
        partition: TopicPartition,
        records: Bytes,
        acknowledge: Option<Acknowledge>,
        to: ReplyTo,
    ) -> Option<Outcome<D>> {
        let (now, bytes) = (self.now, records.len());
        let replica = self.partitions.leader(partition)?;
        let all = acknowledge.is_some_and(|acknowledge| acknowledge.all);
        let acks = if all { Acks::All } else { Acks::Leader };
        let appended = match replica.append(now, records, Origin::Client, acks) {
            Ok(appended) => appended,
            Err(rejected) => {
                self.note_refused(partition, &rejected);
                self.touch(partition);
                return Some(Outcome::Rejected(rejected));
            }
        };
        let committed = appended.end_offset <= replica.high_watermark();
        // acks=1 promises what the leader alone has; that is durable where `flush.messages=1` says so.
        let syncs = replica.log().is_some_and(|log| log.config().flush_messages == 1);
        if std::mem::take(&mut self.refusing_writes) {
            self.log(Level::Info, "the disk takes writes again".to_owned());
        }
        self.figures.bytes_appended += bytes as u64;
        self.touch(partition);
        let Some(Acknowledge { by: deadline, .. }) = acknowledge.filter(|ack| !committed && (ack.all || syncs)) else {
            return Some(Outcome::Produced(appended));
        };
        let waiter = self.next_id();
        let replica = self.partitions.leader(partition)?;
        replica.wait_committed(appended.end_offset, waiter);
        self.waits.insert(waiter, Waiting { to, wait: Wait::Produce { partition, appended, deadline } });
        self.deadlines.insert((deadline, Deadline::Waiter(waiter)));
        None
    }

    fn fetch(&mut self, partition: TopicPartition, read: &Read, to: ReplyTo) -> Option<Outcome<D>> {
        let now = self.now;
        let mut read = *read;
        if let Some(left) = read.fetcher.and_then(|fetcher| self.may_send(partition, fetcher.id)) {
            read.max_bytes = read.max_bytes.min(u32::try_from(left).unwrap_or(u32::MAX));
            read.min_one_batch = left > 0;
        }
        let replica = self.partitions.replica(partition)?;
        let slice = match replica.read(now, &read) {
            Ok(slice) => slice,
            Err(failure) => {
                self.note_offline(partition);
                return Some(failed(failure));
            }
        };
        if read.fetcher.is_some() {
            self.touch(partition);
            self.followed.insert(partition);
            self.throttles.leader.record(now.at, partition, slice.length());
        }
        if slice.is_cached() {
            return Some(Outcome::Fetched(slice));
        }
        let waiter = self.next_id();
        let cold = slice.pieces.iter().filter(|piece| !piece.cached).cloned().collect();
        self.waits.insert(waiter, Waiting { to, wait: Wait::Warm { partition, slice } });
        self.start_job(JobFor::Warm { waiter }, Job::Warm(cold));
        None
    }

    pub(crate) fn warmed(&mut self, waiter: u64, result: Result<(), DiskError>) {
        let Some(Waiting { to, wait: Wait::Warm { partition, slice } }) = self.waits.take(waiter) else {
            return;
        };
        let outcome = match result {
            Ok(()) => Outcome::Fetched(slice),
            Err(error) => {
                let message = error.message.clone();
                if let Some(replica) = self.partitions.replica(partition) {
                    replica.fail(&error.into());
                    self.note_offline(partition);
                }
                Outcome::refused(ErrorCode::KAFKA_STORAGE_ERROR, message)
            }
        };
        self.done.push((to, outcome));
    }

    fn watch(
        &mut self,
        partition: TopicPartition,
        seen: Offset,
        isolation: Isolation,
        to: ReplyTo,
    ) -> Option<Outcome<D>> {
        let replica = self.partitions.replica(partition)?;
        let readable = match isolation {
            Isolation::HighWatermark => replica.high_watermark(),
            Isolation::Committed => replica.last_stable_offset(),
            Isolation::LogEnd => replica.log().map_or(seen, Log::end_offset),
        };
        if readable > seen || replica.offline_reason().is_some() {
            return Some(Outcome::Changed);
        }
        self.next_id += 1;
        let waiter = self.next_id;
        replica.watch(isolation, waiter);
        self.waits.insert(waiter, Waiting { to, wait: Wait::Watch { partition } });
        None
    }

    /// Questions that are answered at once.
    fn ask(&mut self, partition: TopicPartition, op: PartitionOp) -> Outcome<D> {
        let replica = self.partitions.replica(partition).expect("the caller has found it");
        let outcome = match op {
            PartitionOp::ListOffset { spec, isolation, current_leader_epoch } => {
                replica.list_offset(spec, isolation, current_leader_epoch).map(Outcome::Listed)
            }
            PartitionOp::EpochEnd { epoch, current_leader_epoch } => replica
                .offset_for_leader_epoch(epoch, current_leader_epoch)
                .map(|(epoch, end_offset)| Outcome::EpochEnd { epoch, end_offset }),
            PartitionOp::DeleteRecords { before } => {
                let deleted = replica.delete_records(before);
                self.touch(partition);
                self.checkpoint_soon();
                deleted.map(|log_start_offset| Outcome::Deleted { log_start_offset })
            }
            PartitionOp::Producers => {
                let producers = replica.log().map(|log| log.producers().map(|(id, p)| (id, p.clone())).collect());
                Ok(Outcome::Producers(producers.unwrap_or_default()))
            }
            PartitionOp::Unsent { bytes } => {
                self.take_back(partition, bytes);
                Ok(Outcome::Changed)
            }
            PartitionOp::Produce { .. }
            | PartitionOp::Fetch(_)
            | PartitionOp::Watch { .. }
            | PartitionOp::MoveTo { .. } => {
                unreachable!("these have their own functions")
            }
        };
        outcome.unwrap_or_else(failed)
    }

    /// A partition's waiters may have fired, or it may want a sync or to be looked after.
    pub(crate) fn touch(&mut self, partition: TopicPartition) {
        if self.partitions.touched.last() != Some(&partition) {
            self.partitions.touched.push(partition);
        }
    }

    /// Carries out what waiters of touched partitions waited for. True where there was any.
    pub(crate) fn fire_waiters(&mut self) -> bool {
        let mut fired = std::mem::take(&mut self.partitions.fired);
        let touched = std::mem::take(&mut self.partitions.touched);
        for partition in &touched {
            if let Some(replica) = self.partitions.replica(*partition) {
                replica.take_fired(&mut fired);
            }
            self.note_change(*partition);
            self.look_after(*partition);
            if self.moves.contains_key(partition) {
                self.step_move(*partition);
            }
        }
        let told = !touched.is_empty() && self.tell_changes();
        let any = told || !fired.is_empty();
        for event in fired.drain(..) {
            self.fire(event);
        }
        self.partitions.fired = fired;
        any
    }

    fn fire(&mut self, fired: Fired) {
        let (waiter, code) = match fired {
            Fired::Committed { waiter } | Fired::Changed { watcher: waiter } => (waiter, ErrorCode::NONE),
            Fired::Failed { waiter, code } => (waiter, code),
        };
        if self.group_committed(waiter, code) {
            return;
        }
        let Some(Waiting { to, wait }) = self.waits.take(waiter) else {
            return;
        };
        let outcome = match wait {
            Wait::Produce { appended, deadline, .. } => {
                self.deadlines.remove(&(deadline, Deadline::Waiter(waiter)));
                if code.is_ok() { Outcome::Produced(appended) } else { Outcome::refused(code, "") }
            }
            Wait::Watch { .. } => Outcome::Changed,
            Wait::Warm { .. } | Wait::Group | Wait::Changes { .. } => unreachable!("no replica holds these"),
        };
        self.done.push((to, outcome));
    }

    /// A waiter's time is up.
    pub(crate) fn give_up(&mut self, waiter: u64) {
        let Some(Waiting { to, wait }) = self.waits.take(waiter) else {
            return;
        };
        if let Wait::Produce { partition, .. } = wait
            && let Some(replica) = self.partitions.replica(partition)
        {
            replica.cancel(waiter);
        }
        let message = "the records are not committed in time; they may be later";
        self.done.push((to, Outcome::refused(ErrorCode::REQUEST_TIMED_OUT, message)));
    }

    /// Drops what a call that no longer waits has left behind.
    pub(crate) fn forget_waits_of(&mut self, shard: types::ShardId, call: crate::work::CallId) {
        for (waiter, waiting) in self.waits.take_call(shard, call) {
            match waiting.wait {
                Wait::Produce { partition, deadline, .. } => {
                    self.deadlines.remove(&(deadline, Deadline::Waiter(waiter)));
                    self.cancel(partition, waiter);
                }
                Wait::Watch { partition } => self.cancel(partition, waiter),
                Wait::Changes { .. } => self.changes.forget_waiter(waiter),
                Wait::Warm { .. } | Wait::Group => {}
            }
        }
    }

    fn cancel(&mut self, partition: TopicPartition, waiter: u64) {
        if let Some(replica) = self.partitions.replica(partition) {
            replica.cancel(waiter);
        }
    }

    /// Starts the sync that a partition wants, and sees that it is looked after soon.
    fn look_after(&mut self, partition: TopicPartition) {
        let now = self.now.at;
        if self.is_held(partition) {
            return;
        }
        let Some(replica) = self.partitions.replica(partition) else {
            return;
        };
        let flush_ms = replica.log().map_or(u64::MAX, |log| log.config().flush_ms);
        if replica.needs_sync(now)
            && let Some(job) = replica.start_sync(now)
        {
            self.start_job(JobFor::Partition(partition), Job::Log(log::Job::Sync(job)));
        }
        self.partitions.dirty.insert(partition);
        let at = now.plus_ms(flush_ms.clamp(1, FLUSH_AFTER_MS));
        if self.partitions.flush_at.is_none_or(|earlier| at < earlier) {
            replan(&mut self.deadlines, &mut self.partitions.flush_at, at, Deadline::Flush);
        }
    }

    /// Looks after the partitions that were appended to.
    pub(crate) fn flush_partitions(&mut self) {
        self.partitions.flush_at = None;
        for partition in std::mem::take(&mut self.partitions.dirty) {
            self.tick_partition(partition);
        }
    }

    /// Looks after all partitions: what time alone brings about, such as retention.
    pub(crate) fn tick_partitions(&mut self) {
        self.reopen_partitions();
        self.changes.tick(self.now.at);
        let all: Vec<TopicPartition> = self.partitions.hosted.keys().copied().collect();
        all.into_iter().for_each(|partition| self.tick_partition(partition));
        let at = self.now.at.plus_ms(self.settings.maintenance_ms());
        self.deadlines.insert((at, Deadline::Maintenance));
    }

    fn tick_partition(&mut self, partition: TopicPartition) {
        let now = self.now;
        let mut jobs = Vec::new();
        if self.is_held(partition) {
            return;
        }
        let Some(replica) = self.partitions.replica(partition) else {
            return;
        };
        replica.tick(now, &mut jobs);
        let sync = if replica.needs_sync(now.at) { replica.start_sync(now.at) } else { None };
        jobs.extend(sync.map(log::Job::Sync));
        self.note_offline(partition);
        self.partitions.touched.push(partition);
        for job in jobs {
            self.start_job(JobFor::Partition(partition), Job::Log(job));
        }
    }

    pub(crate) fn partition_job_done(&mut self, partition: TopicPartition, done: log::JobDone) {
        let now = self.now;
        let mut jobs = Vec::new();
        if let Some(replica) = self.partitions.replica(partition) {
            let synced = matches!(done, log::JobDone::Synced(_));
            replica.job_done(now, done, &mut jobs);
            self.note_offline(partition);
            self.touch(partition);
            if synced {
                self.synced_follower(partition);
            }
        }
        for job in jobs {
            self.start_job(JobFor::Partition(partition), Job::Log(job));
        }
    }

    /// Says why the disk refuses writes: once until it takes one again, for producers try and try again.
    fn note_refused(&mut self, partition: TopicPartition, rejected: &record::Rejected) {
        let online = self.partitions.replica(partition).is_some_and(|replica| replica.offline_reason().is_none());
        if !online {
            return self.note_offline(partition);
        }
        if rejected.code == ErrorCode::KAFKA_STORAGE_ERROR && !std::mem::replace(&mut self.refusing_writes, true) {
            let what = "produce requests are refused until the disk takes writes again (make room on it)";
            self.log(Level::Error, format!("{what}: {}", rejected.message));
        }
    }

    /// A partition as people call it.
    pub(crate) fn title(&self, partition: TopicPartition) -> String {
        let topic =
            self.image.topic(partition.topic).map_or_else(|| partition.topic.to_string(), |t| t.name.to_string());
        format!("{topic}-{}", partition.partition)
    }

    /// Says once why a partition has gone offline.
    pub(crate) fn note_offline(&mut self, partition: TopicPartition) {
        let Some(hosted) = self.partitions.hosted.get(&partition) else {
            return;
        };
        let State::Open(replica) = &hosted.state else {
            return;
        };
        if let Some(reason) = replica.offline_reason()
            && self.offline.insert(partition)
        {
            let text = format!("{}-{} is offline: {reason}", hosted.topic, partition.partition);
            let failed = replica.has_disk_failed().then(|| (hosted.directory, reason.to_owned()));
            self.log(Level::Error, text);
            if let Some((directory, reason)) = failed {
                self.disk_failed(directory, &reason);
            }
            self.consider_directory(partition);
        }
    }

    pub(crate) fn partition_figures(&self) -> Vec<PartitionFigures> {
        let figures = |(partition, topic, replica): (TopicPartition, &Text, &Replica<D>)| PartitionFigures {
            topic: topic.clone(),
            partition: partition.partition,
            log_start_offset: replica.log().map_or(Offset::NONE, Log::start_offset),
            high_watermark: replica.high_watermark(),
            log_end_offset: replica.log().map_or(Offset::NONE, Log::end_offset),
            size_bytes: replica.log().map_or(0, Log::size_bytes),
            offline: replica.log().is_none(),
        };
        self.partitions.named_replicas().map(figures).collect()
    }

    pub(crate) fn partition_sizes(&self) -> Vec<ReplicaSize> {
        let size = |(partition, hosted): (&TopicPartition, &Hosted<D>)| {
            let State::Open(replica) = &hosted.state else { return None };
            let log = replica.log();
            Some(ReplicaSize {
                topic: hosted.topic.clone(),
                partition: partition.partition,
                directory: hosted.directory,
                size_bytes: log.map_or(0, Log::size_bytes),
                lag: log.map_or(0, |log| replica.high_watermark().minus(log.end_offset()).max(0)),
                is_future: false,
            })
        };
        self.partitions.hosted.iter().filter_map(size).chain(self.future_sizes()).collect()
    }

    pub(crate) fn checkpoint_rows(&self) -> Vec<CheckpointRow> {
        let mut rows = self.future_rows();
        let row = |(partition, hosted): (&TopicPartition, &Hosted<D>)| {
            let State::Open(replica) = &hosted.state else { return None };
            let log = replica.log()?;
            let (topic, high_watermark) = (hosted.topic.clone(), replica.high_watermark());
            Some(CheckpointRow::of(log, high_watermark, hosted.directory, topic, *partition))
        };
        let open = self.partitions.hosted.iter().filter_map(row);
        // What is not open keeps what the last run knew of it.
        let is_known = |hosted: &Hosted<D>| match &hosted.state {
            State::Opening { .. } => true,
            State::Open(replica) => replica.log().is_none(),
        };
        let closed = self.partitions.hosted.iter().filter(|(_, hosted)| is_known(hosted));
        let kept = |(partition, hosted): (&TopicPartition, &Hosted<D>)| {
            self.directories[hosted.directory].last_run.row(hosted.directory, &hosted.topic, *partition)
        };
        rows.extend(open.chain(closed.map(kept)));
        rows
    }

    /// Writes down what a quick start needs.
    pub(crate) fn close_partitions(&mut self) {
        for hosted in self.partitions.hosted.values_mut() {
            if let State::Open(replica) = &mut hosted.state {
                replica.stop();
            }
        }
        let mut failures = Vec::new();
        for (directory, log) in self.future_logs() {
            failures.extend(log.stop().err().map(|error| (directory, error)));
        }
        for (directory, error) in failures {
            let path = self.directories[directory].path.clone();
            self.log(Level::Warn, format!("a replica on its way to {path} is copied anew: {error}"));
        }
    }
}

fn failed<D: Disk>(failure: Failure) -> Outcome<D> {
    Outcome::refused(failure.code, failure.message)
}
