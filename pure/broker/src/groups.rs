//! The group coordinators of one shard: one for each partition of `__consumer_offsets` that it leads.
//!
//! A coordinator decides and replays; here its records go through the same append and high watermark as any other
//! records, and its replies leave when what they saw is committed. Won leadership loads the machine from its log.

use crate::call::ReplyTo;
use crate::job::{Job, JobFor};
use crate::observe::GroupFigures;
use crate::seam::Level;
use crate::shard::{Deadline, Shard, replan};
use crate::wait::{Wait, Waiting};
use crate::work::{Outcome, Work};
use bytes::Bytes;
use coordinator::group::command::{Command, Reply};
use coordinator::group::{self, Coordinator, Decision, DeletedTopic, Token};
use log::Disk;
use metadata::names::CONSUMER_OFFSETS;
use record::{Batches, Builder, Template};
use replica::{Acks, Isolation, Origin, Read};
use std::collections::BTreeMap;
use types::{ErrorCode, Instant, Offset, PartitionIndex, Rng, TopicPartition};

/// At most so many bytes of a log are read at once when a coordinator is loaded.
const LOAD_BYTES: u32 = 4 << 20;

#[derive(Default)]
pub(crate) struct Groups {
    hosted: BTreeMap<PartitionIndex, Hosted>,
    wake: Option<Instant>,
    /// Replies that leave when the records they depend on are committed, by waiter.
    committing: BTreeMap<u64, Vec<(Token, Reply)>>,
}

struct Hosted {
    machine: Coordinator,
    state: State,
}

enum State {
    /// Its log is being read; the next offset to read.
    Loading(Offset),
    Active,
    /// Its log cannot be read: somebody has to look.
    Broken,
}

impl<D: Disk> Shard<D> {
    /// The partition of `__consumer_offsets` that a group belongs to, where that topic is there.
    pub(crate) fn group_partition(&self, group: &str) -> Option<TopicPartition> {
        let topic = self.image.topic_by_name(CONSUMER_OFFSETS)?;
        let partition = PartitionIndex(java_hash(group) % topic.partition_count().max(1));
        Some(TopicPartition { topic: topic.id, partition })
    }

    /// A command for a group's coordinator.
    pub(crate) fn group_work(&self, group: &str, command: Command) -> Work {
        match self.group_partition(group) {
            Some(partition) => Work::Group { partition: partition.partition, command: Box::new(command) },
            None => Work::refused(ErrorCode::COORDINATOR_NOT_AVAILABLE, String::new()),
        }
    }

    pub(crate) fn perform_group(
        &mut self,
        partition: PartitionIndex,
        command: Command,
        to: ReplyTo,
    ) -> Option<Outcome<D>> {
        let Some(hosted) = self.groups.hosted.get_mut(&partition) else {
            return Some(Outcome::refused(ErrorCode::NOT_COORDINATOR, ""));
        };
        match hosted.state {
            State::Active => {}
            State::Loading(_) => return Some(Outcome::refused(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, "")),
            State::Broken => return Some(Outcome::refused(ErrorCode::COORDINATOR_NOT_AVAILABLE, "")),
        }
        self.next_id += 1;
        let token = self.next_id;
        self.waits.insert(token, Waiting { to, wait: Wait::Group });
        let decision = hosted.machine.decide(self.now, token, command);
        self.carry_out(partition, decision);
        self.take_done(to)
    }

    /// Stores what a coordinator decided and sends what it answers.
    fn carry_out(&mut self, partition: PartitionIndex, decision: Decision) {
        let decision = match self.append_group_records(partition, &decision.records) {
            Ok(()) => {
                self.replay_decided(partition, &decision.records);
                decision
            }
            Err(code) => {
                let hosted = self.groups.hosted.get_mut(&partition).expect("it has just decided");
                hosted.machine.failed(self.now, decision, code)
            }
        };
        for note in decision.notes {
            self.log(Level::Debug, format!("group {}: {}", note.group, note.what));
        }
        self.send_replies(decision.now_replies);
        self.reply_when_committed(partition, decision.replies);
        self.schedule_groups(partition);
    }

    fn replay_decided(&mut self, partition: PartitionIndex, records: &[group::Record]) {
        let hosted = self.groups.hosted.get_mut(&partition).expect("it has just decided");
        for record in records {
            hosted.machine.replay(&record.key, record.value.as_ref()).expect("what was just encoded can be decoded");
        }
    }

    fn append_group_records(&mut self, partition: PartitionIndex, records: &[group::Record]) -> Result<(), ErrorCode> {
        if records.is_empty() {
            return Ok(());
        }
        let partition = self.offsets_partition(partition).ok_or(ErrorCode::NOT_LEADER_OR_FOLLOWER)?;
        let mut builder = Builder::new(Template::default());
        for record in records {
            builder.append(self.now.wall, Some(&record.key), record.value.as_deref(), &[]);
        }
        let now = self.now;
        if self.is_held(partition) {
            return Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
        }
        let replica = self.partitions.leader(partition).ok_or(ErrorCode::NOT_LEADER_OR_FOLLOWER)?;
        let appended = replica.append(now, builder.finish(), Origin::Coordinator, Acks::All);
        self.touch(partition);
        appended.map(|_| ()).map_err(|rejected| rejected.code)
    }

    fn reply_when_committed(&mut self, partition: PartitionIndex, replies: Vec<(Token, Reply)>) {
        if replies.is_empty() {
            return;
        }
        let waiter = self.next_id();
        let tp = self.offsets_partition(partition);
        let Some((tp, replica)) = tp.and_then(|tp| Some((tp, self.partitions.leader(tp)?))) else {
            return self.send_replies(replies);
        };
        if replica.high_watermark() >= end_offset(replica) {
            return self.send_replies(replies);
        }
        let end = end_offset(replica);
        replica.wait_committed(end, waiter);
        self.groups.committing.insert(waiter, replies);
        self.touch(tp);
    }

    /// The records that replies depend on are committed, or will never be.
    pub(crate) fn group_committed(&mut self, waiter: u64, code: ErrorCode) -> bool {
        let Some(replies) = self.groups.committing.remove(&waiter) else {
            return false;
        };
        let refuse = |(token, reply): (Token, Reply)| (token, if code.is_ok() { reply } else { reply.refused(code) });
        self.send_replies(replies.into_iter().map(refuse).collect());
        true
    }

    fn send_replies(&mut self, replies: Vec<(Token, Reply)>) {
        for (token, reply) in replies {
            if let Some(waiting) = self.waits.take(token) {
                self.done.push((waiting.to, Outcome::Group(reply)));
            }
        }
    }

    fn offsets_partition(&self, partition: PartitionIndex) -> Option<TopicPartition> {
        let topic = self.image.topic_by_name(CONSUMER_OFFSETS)?.id;
        Some(TopicPartition { topic, partition })
    }

    /// This shard leads a partition of `__consumer_offsets` now.
    pub(crate) fn host_groups(&mut self, partition: TopicPartition) {
        let rng = Rng::new(self.rng.next_u64());
        let machine = Coordinator::new(self.settings.group_config(), rng);
        let Some(replica) = self.partitions.leader(partition) else {
            return;
        };
        let state = State::Loading(replica.log().map_or(Offset::ZERO, log::Log::start_offset));
        self.groups.hosted.insert(partition.partition, Hosted { machine, state });
        self.load_groups(partition);
    }

    /// This shard no longer leads the partition.
    pub(crate) fn drop_groups(&mut self, partition: PartitionIndex) {
        if let Some(mut hosted) = self.groups.hosted.remove(&partition) {
            let replies = hosted.machine.unloaded();
            self.send_replies(replies);
        }
    }

    /// Reads on in the log of a coordinator that loads, or ends that.
    fn load_groups(&mut self, partition: TopicPartition) {
        let index = partition.partition;
        let (Some(hosted), Some(replica)) = (self.groups.hosted.get_mut(&index), self.partitions.leader(partition))
        else {
            return;
        };
        let State::Loading(offset) = hosted.state else {
            return;
        };
        if offset >= end_offset(replica) {
            hosted.state = State::Active;
            let decision = hosted.machine.loaded(self.now);
            return self.carry_out(index, decision);
        }
        let read = Read { offset, max_bytes: LOAD_BYTES, isolation: Isolation::LogEnd, ..Read::default() };
        match replica.read(self.now, &read) {
            Ok(slice) if slice.length() > 0 => {
                self.start_job(JobFor::LoadGroups(partition), Job::Read(slice.pieces));
            }
            Ok(_) => self.break_groups(partition, "its log ends before its end offset"),
            Err(error) => self.break_groups(partition, &error.to_string()),
        }
    }

    /// A part of the log of a coordinator that loads has been read.
    pub(crate) fn groups_read(&mut self, partition: TopicPartition, read: Result<Bytes, log::DiskError>) {
        let replayed = match read {
            Ok(bytes) => self.replay_loaded(partition.partition, &bytes),
            Err(error) => Err(error.to_string()),
        };
        match replayed {
            Ok(()) => self.load_groups(partition),
            Err(reason) => self.break_groups(partition, &reason),
        }
    }

    fn replay_loaded(&mut self, partition: PartitionIndex, bytes: &Bytes) -> Result<(), String> {
        let Some(hosted) = self.groups.hosted.get_mut(&partition) else {
            return Ok(());
        };
        let State::Loading(from) = hosted.state else {
            return Ok(());
        };
        let mut next = from;
        for batch in Batches::new(bytes) {
            // The last one may not be whole.
            let Ok((header, batch)) = batch else {
                break;
            };
            next = header.last_offset().next();
            if header.attributes.is_control() {
                continue;
            }
            let mut records = record::records(batch, types::limits::DECOMPRESSED_BATCH_BYTES_MAX)
                .map_err(|error| error.to_string())?;
            while let Some(record) = records.next_record().map_err(|error| error.to_string())? {
                if record.offset < from {
                    continue;
                }
                let Some(key) = record.key.map(Bytes::copy_from_slice) else {
                    return Err(format!("the record at offset {} has no key", record.offset));
                };
                let value = record.value.map(Bytes::copy_from_slice);
                hosted.machine.replay(&key, value.as_ref()).map_err(|error| error.to_string())?;
            }
        }
        if next == from {
            return Err(format!("there is no whole batch at offset {from}"));
        }
        hosted.state = State::Loading(next);
        Ok(())
    }

    fn break_groups(&mut self, partition: TopicPartition, reason: &str) {
        let index = partition.partition;
        if let Some(hosted) = self.groups.hosted.get_mut(&index) {
            hosted.state = State::Broken;
        }
        let text = format!("the groups of {CONSUMER_OFFSETS}-{index} cannot be served: {reason}");
        self.log(Level::Error, text);
    }

    fn schedule_groups(&mut self, partition: PartitionIndex) {
        let next = self.groups.hosted.get(&partition).and_then(|hosted| hosted.machine.next_wake());
        if let Some(at) = next.filter(|at| self.groups.wake.is_none_or(|wake| *at < wake)) {
            replan(&mut self.deadlines, &mut self.groups.wake, at, Deadline::Groups);
        }
    }

    /// Time-outs of groups are due.
    pub(crate) fn tick_groups(&mut self) {
        self.groups.wake = None;
        let is_due = |hosted: &Hosted| hosted.machine.next_wake().is_some_and(|at| at <= self.now.at);
        let due: Vec<PartitionIndex> =
            self.groups.hosted.iter().filter(|(_, hosted)| is_due(hosted)).map(|(index, _)| *index).collect();
        for partition in due {
            if let Some(hosted) = self.groups.hosted.get_mut(&partition)
                && matches!(hosted.state, State::Active)
            {
                let decision = hosted.machine.tick(self.now);
                self.carry_out(partition, decision);
            }
        }
        let rest: Vec<PartitionIndex> = self.groups.hosted.keys().copied().collect();
        rest.into_iter().for_each(|partition| self.schedule_groups(partition));
    }

    /// Offsets of topics that are gone go with them.
    pub(crate) fn forget_offsets(&mut self, topics: &[DeletedTopic]) {
        let active =
            |(index, hosted): (&PartitionIndex, &Hosted)| matches!(hosted.state, State::Active).then_some(*index);
        let active: Vec<PartitionIndex> = self.groups.hosted.iter().filter_map(active).collect();
        for partition in active {
            let hosted = self.groups.hosted.get_mut(&partition).expect("it was just listed");
            let decision = hosted.machine.topics_deleted(self.now, topics);
            self.carry_out(partition, decision);
        }
    }

    /// The settings of groups have changed.
    pub(crate) fn configure_groups(&mut self) {
        let config = self.settings.group_config();
        for hosted in self.groups.hosted.values_mut() {
            hosted.machine.configure(config.clone());
        }
    }

    pub(crate) fn group_figures(&self) -> Vec<GroupFigures> {
        self.groups.hosted.values().flat_map(|hosted| figures(&hosted.machine)).collect()
    }
}

fn end_offset<D: Disk>(replica: &replica::Replica<D>) -> Offset {
    replica.log().map_or(Offset::ZERO, log::Log::end_offset)
}

fn figures(machine: &Coordinator) -> Vec<GroupFigures> {
    let figure = |view: group::GroupView<'_>| GroupFigures {
        group: view.id().clone(),
        state: view.state(),
        members: view.members(),
        committed: view.committed().map(|(topic, index, offset)| (topic.clone(), index, offset)).collect(),
    };
    machine.views().map(figure).collect()
}

/// The hash that Kafka spreads groups by: Java's `String.hashCode`, made non-negative.
fn java_hash(text: &str) -> i32 {
    let hash = text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    hash.checked_abs().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::java_hash;

    #[test]
    fn groups_spread_as_kafka_spreads_them() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("a"), 97);
        assert_eq!(java_hash("polygenelubricants"), 0);
    }
}
