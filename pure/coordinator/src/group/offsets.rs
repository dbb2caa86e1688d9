//! Committed offsets: commit, fetch, delete, and their end with their topic. Their end by retention is in `expiry.rs`.

use super::command::{
    CommitTopic, FetchTopic, FetchedPartition, FetchedTopic, Generation, OffsetCommit, OffsetCommitReply, OffsetDelete,
    OffsetDeleteReply, OffsetFetchReply, TopicErrors,
};
use super::state::{Committed, Group, State};
use super::{Record, Step, records};
use types::limits::{GROUP_TEXT_BYTES_MAX, TOPIC_NAME_BYTES_MAX};
use types::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, Text, Timestamp};

/// Decides a commit. `group` is `None` where it does not exist: a commit without a generation then makes a group of
/// offsets alone, for consumers that assign partitions themselves and for administrators.
pub(super) fn commit(step: &mut Step, group: Option<&mut Group>, commit: OffsetCommit) -> OffsetCommitReply {
    let allowed = match &group {
        Some(group) => group.validate_commit(&commit.member, commit.instance.as_ref(), commit.generation),
        None if commit.generation < Generation(0) => Ok(()),
        None if commit.knows_group_id_not_found => Err(ErrorCode::GROUP_ID_NOT_FOUND),
        None => Err(ErrorCode::ILLEGAL_GENERATION),
    };
    if let Err(error) = allowed {
        return answer_all(&commit.topics, error);
    }
    if let Some(group) = group {
        let is_alive = matches!(group.state(), State::Stable | State::PreparingRebalance);
        if is_alive && group.member(&commit.member).is_some() {
            group.hear(step, &commit.member);
        }
    }
    let expires_at = commit.retention_ms.map(|ms| Timestamp(step.now.wall.0.saturating_add(ms)));
    let mut committed = Vec::new();
    let topics = commit.topics.iter().map(|topic| commit_topic(step, &commit.group, topic, expires_at, &mut committed));
    let reply = OffsetCommitReply { topics: topics.collect() };
    if !records::fit_one_batch(&committed, step.config.message_bytes_max) {
        return answer_all(&commit.topics, ErrorCode::INVALID_COMMIT_OFFSET_SIZE);
    }
    step.out.records.append(&mut committed);
    reply
}

fn commit_topic(
    step: &Step,
    group: &Text,
    topic: &CommitTopic,
    expires_at: Option<Timestamp>,
    committed: &mut Vec<Record>,
) -> TopicErrors {
    let mut partitions = Vec::with_capacity(topic.partitions.len());
    for partition in &topic.partitions {
        let error = if topic.name.is_empty() || topic.name.len() > TOPIC_NAME_BYTES_MAX {
            ErrorCode::INVALID_TOPIC_EXCEPTION
        } else if is_too_long(&partition.metadata, step.config.offset_metadata_bytes_max) {
            ErrorCode::OFFSET_METADATA_TOO_LARGE
        } else {
            let value = Committed {
                offset: partition.offset,
                leader_epoch: partition.leader_epoch,
                metadata: partition.metadata.clone(),
                committed_at: step.now.wall,
                expires_at,
                topic: topic.id,
            };
            committed.push(records::offset(group, &topic.name, partition.partition, &value));
            ErrorCode::NONE
        };
        partitions.push((partition.partition, error));
    }
    TopicErrors { name: topic.name.clone(), id: topic.id, partitions }
}

pub(super) fn answer_all(topics: &[CommitTopic], error: ErrorCode) -> OffsetCommitReply {
    let errors = |topic: &CommitTopic| TopicErrors {
        name: topic.name.clone(),
        id: topic.id,
        partitions: topic.partitions.iter().map(|partition| (partition.partition, error)).collect(),
    };
    OffsetCommitReply { topics: topics.iter().map(errors).collect() }
}

/// What is committed; -1 where nothing is, be it that the group is unknown.
pub(super) fn fetch(group: Option<&Group>, topics: Option<Vec<FetchTopic>>) -> OffsetFetchReply {
    let topics = match topics {
        Some(topics) => topics.into_iter().map(|topic| fetch_topic(group, topic)).collect(),
        None => group.map(fetch_all).unwrap_or_default(),
    };
    OffsetFetchReply { error: ErrorCode::NONE, topics }
}

fn fetch_topic(group: Option<&Group>, topic: FetchTopic) -> FetchedTopic {
    let offsets = group.and_then(|group| group.offsets.get(&topic.name));
    let find = |partition: PartitionIndex| {
        let found = offsets.and_then(|offsets| offsets.get(&partition));
        fetched(partition, found.filter(|committed| !committed.is_of_other_topic(topic.id)))
    };
    let partitions = topic.partitions.into_iter().map(find).collect();
    FetchedTopic { name: topic.name, id: topic.id, partitions }
}

fn fetch_all(group: &Group) -> Vec<FetchedTopic> {
    let topics = group.offsets.iter().map(|(name, offsets)| FetchedTopic {
        name: name.clone(),
        id: offsets.values().next_back().map(|committed| committed.topic).unwrap_or_default(),
        partitions: offsets.iter().map(|(partition, committed)| fetched(*partition, Some(committed))).collect(),
    });
    topics.collect()
}

fn fetched(partition: PartitionIndex, committed: Option<&Committed>) -> FetchedPartition {
    FetchedPartition {
        partition,
        offset: committed.map_or(Offset::NONE, |committed| committed.offset),
        leader_epoch: committed.map_or(LeaderEpoch(-1), |committed| committed.leader_epoch),
        metadata: committed.map(|committed| committed.metadata.clone()).unwrap_or_default(),
    }
}

/// Topics that members of a consumer group read keep their offsets; of another kind of group nobody can tell.
pub(super) fn delete(step: &mut Step, group: Option<&Group>, delete: OffsetDelete) -> OffsetDeleteReply {
    let refused = |error| OffsetDeleteReply { error, topics: Vec::new() };
    let Some(group) = group else { return refused(ErrorCode::GROUP_ID_NOT_FOUND) };
    if group.state() != State::Empty && !group.uses_consumer_protocol() {
        return refused(ErrorCode::NON_EMPTY_GROUP);
    }
    let mut topics = Vec::with_capacity(delete.topics.len());
    for (name, partitions) in delete.topics {
        let is_subscribed = group.is_subscribed(&name);
        let error = if is_subscribed { ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC } else { ErrorCode::NONE };
        let offsets = group.offsets.get(&name).filter(|_| !is_subscribed);
        let existing = partitions.iter().filter(|at| offsets.is_some_and(|offsets| offsets.contains_key(at)));
        step.out.records.extend(existing.map(|at| records::offset_tombstone(&group.id, &name, *at)));
        topics.push((name, partitions.into_iter().map(|partition| (partition, error)).collect()));
    }
    OffsetDeleteReply { error: ErrorCode::NONE, topics }
}

impl Group {
    /// Tombstones of all offsets.
    pub fn delete_offsets(&self, into: &mut Vec<Record>) {
        self.delete_offsets_where(into, |_, _| true);
    }

    pub fn delete_offsets_where(&self, into: &mut Vec<Record>, doomed: impl Fn(&Text, &Committed) -> bool) -> bool {
        let mut all = true;
        for (topic, partitions) in &self.offsets {
            for (partition, committed) in partitions {
                if doomed(topic, committed) {
                    into.push(records::offset_tombstone(&self.id, topic, *partition));
                } else {
                    all = false;
                }
            }
        }
        all
    }

    /// Tombstones of the offsets of one deleted topic.
    pub fn delete_topic(&self, topic: &super::DeletedTopic, into: &mut Vec<Record>) {
        let offsets = self.offsets.get(&topic.name).into_iter().flatten();
        let gone = offsets.filter(|(_, committed)| !committed.is_of_other_topic(topic.id));
        into.extend(gone.map(|(partition, _)| records::offset_tombstone(&self.id, &topic.name, *partition)));
    }
}

/// Kafka counts UTF-16 units here, whatever the setting's name says.
fn is_too_long(metadata: &str, most: usize) -> bool {
    metadata.len() > GROUP_TEXT_BYTES_MAX || metadata.len() > most && metadata.encode_utf16().count() > most
}
