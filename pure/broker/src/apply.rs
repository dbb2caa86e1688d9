//! From the cluster's image to this shard's partitions: what is new is made, what is gone is dropped, what has changed is
//! told. Only what a delta names is touched.

use crate::boot::mark_recovered;
use crate::job::{Job, JobFor};
use crate::moves::Found;
use crate::partitions::{Hosted, State};
use crate::seam::{Level, Message, Output};
use crate::shard::{Deadline, Shard};
use crate::work::Outcome;
use coordinator::group::DeletedTopic;
use log::checkpoint::decode_partition_metadata;
use log::{Cleanup, Disk, DiskError, ErrorKind, Identity, Log, Recovery, Report, Trust};
use metadata::config::{Compression, Overrides, Resource, ResourceKind, TopicConfig};
use metadata::names::CONSUMER_OFFSETS;
use metadata::{Delta, Image, Topic, TopicChange};
use record::{Codec, TimestampType};
use replica::{Following, Leadership, Replica};
use std::collections::BTreeSet;
use std::sync::Arc;
use types::{ErrorCode, Offset, PartitionEpoch, PartitionIndex, ShardId, Text, TopicId, TopicPartition};

/// The file that ties a folder to its topic, and its size at the most.
const PARTITION_METADATA: &str = "partition.metadata";
const PARTITION_METADATA_BYTES_MAX: usize = 4 << 10;
/// How long a folder of an earlier topic of the same name is waited for, and how often it is looked at.
const NAME_WAIT_MS: u64 = 5_000;
const NAME_RETRY_MS: u64 = 20;

/// A partition of this shard as the image has it.
struct Placed {
    partition: TopicPartition,
    topic: Text,
}

impl<D: Disk> Shard<D> {
    /// Opens everything that the image has for this shard. Called once, with the first image.
    pub(crate) fn open_partitions(&mut self) {
        self.image_known = true;
        self.set_throttles();
        self.futures = self.find_futures();
        let image = self.image.clone();
        let placed: Vec<Placed> = image.topics().flat_map(|topic| self.placed(topic)).collect();
        self.is_opening = true;
        for place in placed {
            self.open_partition(place);
        }
        self.is_opening = false;
        self.forget_futures();
        self.note_recovered();
    }

    /// The metadata has changed.
    pub(crate) fn apply_image(&mut self, image: Arc<Image>, delta: &Delta) {
        let last = std::mem::replace(&mut self.image, image);
        if !self.image_known {
            self.settings.values = self.given.with_dynamic(&self.image);
            self.configure_groups();
            self.ready.append(&mut self.early);
            return self.open_partitions();
        }
        if delta.configs.iter().any(|resource| resource.kind == ResourceKind::Broker) {
            self.settings.values = self.given.with_dynamic(&self.image);
            self.configure_groups();
            let topics: Vec<TopicId> = self.partitions.configs.keys().copied().collect();
            topics.into_iter().for_each(|topic| self.configure_topic(topic));
        }
        self.set_throttles();
        let mut deleted = Vec::new();
        for (id, change) in &delta.topics {
            match change {
                TopicChange::Created => self.topic_created(*id),
                TopicChange::Changed(partitions) => self.topic_changed(*id, partitions),
                TopicChange::Deleted(topic) => {
                    self.topic_deleted(topic);
                    deleted.push(DeletedTopic { name: topic.name.clone(), id: topic.id });
                }
            }
        }
        for resource in delta.configs.iter().filter(|resource| resource.kind == ResourceKind::Topic) {
            if let Some(topic) = self.image.topic_by_name(&resource.name) {
                self.configure_topic(topic.id);
            }
        }
        for broker in &delta.brokers {
            self.note_leaving(*broker, &last);
            let run_of = |image: &Image| image.broker(*broker).map(|broker| broker.epoch);
            self.refetch_from(*broker, run_of(&last) != run_of(&self.image));
        }
        if !deleted.is_empty() {
            self.forget_offsets(&deleted);
        }
    }

    /// The partitions of a topic that this shard has a replica of.
    fn placed(&self, topic: &Topic) -> Vec<Placed> {
        let indexes = (0..topic.partition_count()).map(PartitionIndex);
        indexes.filter_map(|index| self.placed_one(topic, index)).collect()
    }

    fn placed_one(&self, topic: &Topic, index: PartitionIndex) -> Option<Placed> {
        let partition = TopicPartition { topic: topic.id, partition: index };
        let is_here = partition.shard(self.node.shards) == self.me
            && topic.partition(index).is_some_and(|partition| partition.replicas.contains(&self.node.id));
        is_here.then(|| Placed { partition, topic: topic.name.clone() })
    }

    fn topic_created(&mut self, id: TopicId) {
        let Some(topic) = self.image.topic(id).cloned() else {
            return;
        };
        for place in self.placed(&topic) {
            self.open_partition(place);
        }
    }

    fn topic_changed(&mut self, id: TopicId, changed: &BTreeSet<PartitionIndex>) {
        let Some(topic) = self.image.topic(id).cloned() else {
            return;
        };
        for index in changed {
            let partition = TopicPartition { topic: id, partition: *index };
            if partition.shard(self.node.shards) != self.me {
                continue;
            }
            match (self.placed_one(&topic, *index), self.partitions.hosted.contains_key(&partition)) {
                (Some(_), true) => self.take_role(partition),
                (Some(place), false) => self.open_partition(place),
                // Reassigned: what it held others hold now.
                (None, true) => self.drop_partition(partition, &topic.name, ErrorCode::NOT_LEADER_OR_FOLLOWER),
                (None, false) => {}
            }
        }
    }

    /// A partition that is not open yet: its log is here from an earlier run, or it is new.
    fn open_partition(&mut self, place: Placed) {
        let path = folder(&place.topic, place.partition.partition);
        let mut found = Vec::new();
        if self.leaving.contains_key(&place.partition) {
            self.unnamed.entry(place.partition).or_insert(self.now.at);
            return;
        }
        for directory in self.online_directories().collect::<Vec<_>>() {
            if !self.disk(directory).exists(&path) {
                continue;
            }
            // A disk that does not say is left to the opening, which says what is wrong with it and loses nothing.
            let known = self.topic_of_folder(directory, &path).unwrap_or(Some(place.partition.topic));
            if known.is_none_or(|topic| topic == place.partition.topic) {
                found.push(directory);
            } else if self.is_opening || !self.waits_for_name(place.partition) {
                self.put_aside(directory, &path);
            } else {
                return;
            }
        }
        self.unnamed.remove(&place.partition);
        match self.rightful(place.partition, &found) {
            Some(directory) => {
                for other in found.into_iter().filter(|other| *other != directory) {
                    self.put_aside(other, &path);
                }
                self.recover_partition(place, directory);
            }
            None => match self.promote_future(&place) {
                Some(directory) => self.recover_partition(place, directory),
                None => self.create_partition(place),
            },
        }
    }

    /// Whether the folder of a new partition cannot be made yet: a deleted topic had that name, and the shard that had its
    /// partition has not heard of that or still works on its files. One that nobody removes is not waited for for long.
    fn waits_for_name(&mut self, partition: TopicPartition) -> bool {
        let since = *self.unnamed.entry(partition).or_insert(self.now.at);
        let waits = self.now.at < since.plus_ms(NAME_WAIT_MS);
        if waits {
            self.deadlines.insert((self.now.at.plus_ms(NAME_RETRY_MS), Deadline::Names));
        }
        waits
    }

    pub(crate) fn retry_names(&mut self) {
        for partition in self.unnamed.keys().copied().collect::<Vec<_>>() {
            let topic = self.image.topic(partition.topic).filter(|_| !self.partitions.hosted.contains_key(&partition));
            match topic.and_then(|topic| self.placed_one(topic, partition.partition)) {
                Some(place) => self.open_partition(place),
                None => drop(self.unnamed.remove(&partition)),
            }
        }
    }

    /// A copy whose original is gone is the replica: the last run ended between the two renames that end a move.
    fn promote_future(&mut self, place: &Placed) -> Option<usize> {
        self.place(place.partition).ok()?;
        let Found { directory, folder: future } = self.futures.remove(&place.partition)?;
        let path = folder(&place.topic, place.partition.partition);
        match self.disk(directory).rename(&future, &path) {
            Ok(()) => Some(directory),
            Err(error) => {
                self.log(Level::Error, format!("a replica that was moved cannot be opened: {error}"));
                None
            }
        }
    }

    /// Copies of what is not here any more go. Where a directory is missing the original may be in it.
    fn forget_futures(&mut self) {
        let is_whole = self.failed.is_empty();
        let useless = |partition: &TopicPartition| is_whole && !self.partitions.hosted.contains_key(partition);
        let useless: Vec<TopicPartition> = self.futures.keys().copied().filter(useless).collect();
        for partition in useless {
            let Found { directory, folder } = self.futures.remove(&partition).expect("it was just listed");
            self.remove_folder(directory, &folder, partition);
        }
    }

    /// A partition that is new here, unless it is where nothing can be read. Nothing is written before its first append.
    fn create_partition(&mut self, place: Placed) {
        let path = folder(&place.topic, place.partition.partition);
        let config = self.topic_config(place.partition.topic, &place.topic);
        let (directory, replica) = match self.place(place.partition) {
            Ok(directory) => {
                let identity = Identity { folder: path.into(), topic: place.partition.topic };
                let log = Log::create(self.disk(directory).clone(), identity, config, self.now);
                (directory, Replica::open(log, self.node.id, Offset::ZERO))
            }
            Err(lost) => (lost, Replica::offline(self.lost_words(lost), self.node.id)),
        };
        let hosted = Hosted { topic: place.topic, directory, state: State::Open(Box::new(replica)) };
        self.partitions.hosted.insert(place.partition, hosted);
        self.preferred.remove(&place.partition);
        self.note_offline(place.partition);
        self.take_role(place.partition);
    }

    /// Leads or follows, as the image says.
    pub(crate) fn take_role(&mut self, partition: TopicPartition) {
        if self.is_held(partition) {
            // It is taken when the replica is in its new place.
            return;
        }
        let now = self.now.at;
        let image = self.image.clone();
        let Some(state) = image.partition(partition) else {
            return;
        };
        let Some(replica) = self.partitions.replica(partition) else {
            return;
        };
        let (led, serves) = (replica.is_leader(), replica.offline_reason().is_none());
        let leads = state.leader == Some(self.node.id);
        if leads {
            replica.become_leader(
                now,
                &Leadership {
                    leader_epoch: state.leader_epoch,
                    partition_epoch: PartitionEpoch(state.partition_epoch),
                    isr: state.isr.clone(),
                    replicas: state.replicas.clone(),
                },
            );
        } else {
            replica.become_follower(Following {
                leader: state.leader,
                leader_epoch: state.leader_epoch,
                partition_epoch: PartitionEpoch(state.partition_epoch),
                unclean_epoch: state.unclean_epoch,
            });
        }
        match state.leader.filter(|_| !leads && serves) {
            Some(leader) => self.follow(partition, leader),
            None => self.stop_following(partition),
        }
        self.touch(partition);
        if leads && state.replicas.len() > 1 {
            self.followed.insert(partition);
        }
        self.coordinate(partition, led, leads);
        self.consider_directory(partition);
    }

    /// A coordinator lives where its partition is led.
    fn coordinate(&mut self, partition: TopicPartition, led: bool, leads: bool) {
        let offsets = self.image.topic_by_name(CONSUMER_OFFSETS).map(|topic| topic.id);
        if offsets != Some(partition.topic) {
            return;
        }
        if led && !leads {
            self.drop_groups(partition.partition);
        }
        if leads && !led {
            self.host_groups(partition);
        }
    }

    /// How a log is opened that an earlier run left in a directory: with what that directory's files say of the partition.
    pub(crate) fn recovery(
        &self,
        directory: usize,
        (topic, partition): (&Text, TopicPartition),
        identity: Identity,
        config: Arc<log::Config>,
    ) -> Recovery<D> {
        let last_run = &self.directories[directory].last_run;
        let row = last_run.row(directory, topic, partition);
        Recovery {
            disk: self.disk(directory).clone(),
            identity,
            config,
            now: self.now,
            trust: last_run.trust,
            recovery_point: row.recovery_point,
            start_offset: row.log_start_offset,
            cleaned_to: row.cleaned_to,
        }
    }

    pub(crate) fn topic_of_folder(&self, directory: usize, path: &str) -> Result<Option<TopicId>, DiskError> {
        topic_of_folder(self.disk(directory), path)
    }

    fn recover_partition(&mut self, place: Placed, directory: usize) {
        let index = place.partition.partition;
        let config = self.topic_config(place.partition.topic, &place.topic);
        let identity = Identity { folder: folder(&place.topic, index).into(), topic: place.partition.topic };
        let recovery = self.recovery(directory, (&place.topic, place.partition), identity, config);
        let state = State::Opening { parked: Vec::new() };
        self.partitions.hosted.insert(place.partition, Hosted { topic: place.topic, directory, state });
        self.opening += 1;
        self.start_job(JobFor::Partition(place.partition), Job::Recover(Box::new(recovery)));
    }

    /// Opens again what could not be opened for want of space.
    pub(crate) fn reopen_partitions(&mut self) {
        for partition in std::mem::take(&mut self.reopen) {
            if let Some(Hosted { topic, directory, state: State::Open(_) }) = self.partitions.hosted.get(&partition) {
                let (place, directory) = (Placed { partition, topic: topic.clone() }, *directory);
                self.recover_partition(place, directory);
            }
        }
    }

    pub(crate) fn partition_opened(
        &mut self,
        partition: TopicPartition,
        opened: Result<Box<(Log<D>, Report)>, log::Error>,
    ) {
        if opened.is_ok() || !self.partitions.hosted.contains_key(&partition) {
            self.unrecovered.remove(&partition);
        } else {
            self.unrecovered.insert(partition);
        }
        self.note_opened();
        let Some(hosted) = self.partitions.hosted.get_mut(&partition) else {
            return;
        };
        let State::Opening { parked } = &mut hosted.state else {
            return;
        };
        let parked = std::mem::take(parked);
        let directory = hosted.directory;
        let known = self.directories[directory].last_run.row(directory, &hosted.topic, partition);
        let name = format!("{}-{}", hosted.topic, partition.partition);
        let is_full = matches!(opened, Err(log::Error::Full(_)));
        let of_disk = opened.as_ref().err().filter(|error| error.is_of_disk()).map(ToString::to_string);
        let replica = match opened {
            Ok(opened) => {
                let (mut log, report) = *opened;
                if let Some(config) = self.partitions.configs.get(&partition.topic) {
                    log.set_config(config.clone());
                }
                for note in report.notes {
                    self.out.log(Level::Warn, format!("{name}: {note}"));
                }
                if self.offline.remove(&partition) {
                    self.out.log(Level::Info, format!("{name} is online again"));
                }
                Replica::open(log, self.node.id, known.high_watermark)
            }
            Err(error) => {
                let until = if is_full { " until the disk takes writes again (make room on it)" } else { "" };
                if self.offline.insert(partition) {
                    self.out.log(Level::Error, format!("{name} is offline{until}: {error}"));
                }
                Replica::offline(error.to_string(), self.node.id)
            }
        };
        hosted.state = State::Open(Box::new(replica));
        if let Some(reason) = of_disk {
            self.disk_failed(directory, &reason);
        }
        if is_full {
            self.reopen.insert(partition);
        }
        self.take_role(partition);
        self.resume_move(partition);
        for (op, to) in parked {
            if let Some(outcome) = self.perform_partition(partition, op, to) {
                self.done.push((to, outcome));
            }
        }
    }

    fn note_opened(&mut self) {
        self.opening = self.opening.saturating_sub(1);
        if self.opening == 0 {
            let count = self.partitions.hosted.len();
            self.log(Level::Info, format!("shard {}: {count} partitions are open", self.me));
            self.note_recovered();
        } else if self.opening.is_multiple_of(100) {
            self.log(Level::Info, format!("shard {}: {} partitions are still to be opened", self.me, self.opening));
        }
    }

    /// Once nothing of the last run is left unread, what it left may be trusted.
    fn note_recovered(&mut self) {
        if self.recovered || self.opening > 0 || !self.unrecovered.is_empty() {
            return;
        }
        self.recovered = true;
        if self.me == ShardId(0) {
            self.shard_recovered();
        } else {
            self.out.push(Output::ToShard { to: ShardId(0), message: Message::Recovered });
        }
    }

    /// A shard has recovered what it found; with the last one the page cache is trusted again.
    pub(crate) fn shard_recovered(&mut self) {
        self.recovered_shards += 1;
        if self.recovered_shards < self.node.shards {
            return;
        }
        for directory in self.online_directories().collect::<Vec<_>>() {
            if self.directories[directory].last_run.trust == Trust::PowerLost
                && let Err(error) = mark_recovered(self.disk(directory))
            {
                self.log(Level::Warn, format!("the next start will check all logs once more: {error}"));
            }
        }
    }

    fn topic_deleted(&mut self, topic: &Topic) {
        self.partitions.configs.remove(&topic.id);
        for index in (0..topic.partition_count()).map(PartitionIndex) {
            let partition = TopicPartition { topic: topic.id, partition: index };
            self.preferred.remove(&partition);
            self.drop_partition(partition, &topic.name, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        }
        self.note_recovered();
    }

    /// The partition lives here no longer: everyone who waits is told `code`, and its files go.
    fn drop_partition(&mut self, partition: TopicPartition, topic: &Text, code: ErrorCode) {
        let Some(hosted) = self.partitions.hosted.remove(&partition) else {
            return;
        };
        self.unrecovered.remove(&partition);
        self.preferred.remove(&partition);
        self.stop_following(partition);
        self.drop_move(partition, code);
        match hosted.state {
            State::Open(mut replica) => {
                replica.resign(code);
                replica.take_fired(&mut self.partitions.fired);
            }
            State::Opening { parked, .. } => {
                self.done.extend(parked.into_iter().map(|(_, to)| (to, Outcome::refused(code, ""))));
            }
        }
        if *topic == *CONSUMER_OFFSETS {
            self.drop_groups(partition.partition);
        }
        let found = Found { directory: hosted.directory, folder: folder(topic, partition.partition) };
        self.leaving.insert(partition, found);
        self.leave(partition);
    }

    /// The folder of a partition that is gone goes as soon as no job names files in it.
    pub(crate) fn leave(&mut self, partition: TopicPartition) {
        if !self.leaving.contains_key(&partition) || self.is_worked_on(partition) {
            return;
        }
        let Found { directory, folder } = self.leaving.remove(&partition).expect("it is there");
        if self.is_online(directory) {
            self.remove_folder(directory, &folder, partition);
        }
        self.deadlines.insert((self.now.at, Deadline::Names));
    }

    /// A deleted partition's folder is renamed at once, as Kafka does, so that its name is free, and removed elsewhere.
    pub(crate) fn remove_folder(&mut self, directory: usize, path: &str, partition: TopicPartition) {
        let disk = self.disk(directory).clone();
        if !disk.exists(path) {
            return;
        }
        // Another shard may have made one of that name for a newer topic.
        if matches!(self.topic_of_folder(directory, path), Ok(Some(topic)) if topic != partition.topic) {
            return;
        }
        let doomed = self.doomed_folder(partition);
        match disk.rename(path, &doomed) {
            Ok(()) => self.start_job(JobFor::Nobody, Job::RemoveFolder { disk, path: doomed }),
            Err(error) => self.log(Level::Error, format!("a deleted partition cannot be removed: {error}")),
        }
    }

    /// A folder that no topic of the cluster owns is kept under another name: it may hold what somebody misses.
    fn put_aside(&mut self, directory: usize, path: &str) {
        let unique = self.rng.next_u64();
        let (level, text) = put_aside(self.disk(directory), path, unique);
        self.log(level, text);
    }

    fn configure_topic(&mut self, id: TopicId) {
        let Some(topic) = self.image.topic(id).cloned() else {
            return;
        };
        self.partitions.configs.remove(&id);
        for index in (0..topic.partition_count()).map(PartitionIndex) {
            let partition = TopicPartition { topic: id, partition: index };
            if partition.shard(self.node.shards) != self.me {
                continue;
            }
            let config = self.topic_config(id, &topic.name);
            if let Some(future) = self.moves.get_mut(&partition) {
                future.set_config(config.clone());
            }
            if let Some(replica) = self.partitions.replica(partition) {
                replica.set_config(config);
                self.touch(partition);
            }
        }
    }

    /// The configuration of a topic's logs, shared by its partitions.
    fn topic_config(&mut self, id: TopicId, name: &Text) -> Arc<log::Config> {
        if let Some(config) = self.partitions.configs.get(&id) {
            return config.clone();
        }
        let none = Overrides::new();
        let set = self.image.overrides(&Resource::topic(name.clone())).unwrap_or(&none);
        let config = Arc::new(log_config(&TopicConfig::effective(&self.settings.values, set), &self.settings));
        self.partitions.configs.insert(id, config.clone());
        config
    }
}

/// A partition's folder, as Kafka names it.
pub(crate) fn folder(topic: &str, index: PartitionIndex) -> String {
    format!("{topic}-{index}")
}

/// The topic that a folder says it belongs to; none where it does not say. The error is a disk that could not be read.
pub(crate) fn topic_of_folder<D: Disk>(disk: &D, path: &str) -> Result<Option<TopicId>, DiskError> {
    match disk.read_small(&format!("{path}/{PARTITION_METADATA}"), PARTITION_METADATA_BYTES_MAX) {
        Ok(bytes) => Ok(decode_partition_metadata(&bytes)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Renames a folder that is in the way; returns what to tell of it.
pub(crate) fn put_aside<D: Disk>(disk: &D, path: &str, unique: u64) -> (Level, String) {
    let aside = format!("{path}.{unique:016x}-stray");
    match disk.rename(path, &aside) {
        Ok(()) => (Level::Warn, format!("a folder that belongs to no topic is kept as {}", disk.describe(&aside))),
        Err(error) => (Level::Error, format!("a folder that belongs to no topic is in the way: {error}")),
    }
}

/// The domain values of the log for a topic's configuration.
fn log_config(topic: &TopicConfig, live: &crate::node::Live) -> log::Config {
    let ms = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    let never = |value: i64| if value == i64::MAX { u64::MAX } else { ms(value) };
    let bound = |value: i64| u64::try_from(value).ok();
    let bytes = |value: i32| u32::try_from(value).unwrap_or(0);
    log::Config {
        segment_bytes: bytes(topic.segment_bytes),
        segment_ms: never(topic.segment_ms),
        segment_jitter_ms: ms(topic.segment_jitter_ms),
        segment_index_bytes: bytes(topic.segment_index_bytes),
        index_interval_bytes: bytes(topic.index_interval_bytes),
        retention_ms: bound(topic.retention_ms),
        retention_bytes: bound(topic.retention_bytes),
        file_delete_delay_ms: ms(topic.file_delete_delay_ms),
        min_insync_replicas: u32::try_from(topic.min_insync_replicas).unwrap_or(1),
        flush_messages: never(topic.flush_messages),
        flush_ms: never(topic.flush_ms),
        preallocate: topic.preallocate,
        cleanup: Cleanup { delete: topic.cleanup_policy.delete, compact: topic.cleanup_policy.compact },
        min_cleanable_dirty_ratio: topic.min_cleanable_dirty_ratio,
        min_compaction_lag_ms: ms(topic.min_compaction_lag_ms),
        max_compaction_lag_ms: never(topic.max_compaction_lag_ms),
        delete_retention_ms: ms(topic.delete_retention_ms),
        max_message_bytes: bytes(topic.max_message_bytes),
        compression: codec(topic.compression),
        timestamp_type: if topic.log_append_time { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
        timestamp_before_max_ms: never(topic.message_timestamp_before_max_ms),
        timestamp_after_max_ms: never(topic.message_timestamp_after_max_ms),
        producer_id_expiration_ms: live.unsigned("producer.id.expiration.ms"),
        cleaner_enable: live.values.boolean("log.cleaner.enable"),
        cleaner_dedupe_buffer_bytes: live.unsigned("log.cleaner.dedupe.buffer.size"),
    }
}

fn codec(compression: Compression) -> Option<(Codec, i32)> {
    match compression {
        Compression::Producer => None,
        Compression::Uncompressed => Some((Codec::None, 0)),
        Compression::Gzip { level } => Some((Codec::Gzip, level)),
        Compression::Snappy => Some((Codec::Snappy, 0)),
        Compression::Lz4 { level } => Some((Codec::Lz4, level)),
        Compression::Zstd { level } => Some((Codec::Zstd, level)),
    }
}
