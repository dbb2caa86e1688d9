//! Offsets that a group has committed: what is asked of its coordinator and what it says.

use super::buffer::Position;
use super::{CommitError, ConsumerEvent, Spot};
use crate::admin::{by_topic, indexes_by_topic, spot};
use crate::cluster::Cluster;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use types::{ErrorCode, LeaderEpoch, Offset, Text, TopicId, Uuid};
use wire::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use wire::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics};
use wire::{OffsetFetchRequest, OffsetFetchResponse};

/// Where a group goes on, and what whoever committed it says beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// That of the next record to read.
    pub offset: Offset,
    /// The term of the record before; none takes that of the present leader.
    pub leader_epoch: Option<LeaderEpoch>,
    pub metadata: Text,
}

impl OffsetAndMetadata {
    /// The term that whoever goes on from here is to name: leaders from before may not have what is committed, so that they
    /// must not be asked. -1 where none is known.
    pub(crate) fn epoch_of(&self, spot: &Spot, cluster: &Cluster) -> i32 {
        let present = || Some(cluster.topic(&spot.0)?.partition(spot.1)?.leader_epoch);
        self.leader_epoch.or_else(present).map_or(-1, |epoch| epoch.0)
    }
}

impl From<Offset> for OffsetAndMetadata {
    fn from(offset: Offset) -> OffsetAndMetadata {
        OffsetAndMetadata { offset, leader_epoch: None, metadata: Text::default() }
    }
}

impl From<Offset> for Position {
    fn from(offset: Offset) -> Position {
        Position { offset, epoch: LeaderEpoch::NONE }
    }
}

#[derive(Debug)]
pub struct Commit {
    /// None is an automatic one.
    pub number: Option<u64>,
    pub offsets: BTreeMap<Spot, OffsetAndMetadata>,
}

impl Commit {
    pub fn offsets(&self) -> BTreeMap<Spot, Offset> {
        self.offsets.iter().map(|(spot, committed)| (spot.clone(), committed.offset)).collect()
    }

    pub fn done(self, events: &mut VecDeque<ConsumerEvent>, result: Result<(), CommitError>) {
        events.push_back(ConsumerEvent::Committed { number: self.number, offsets: self.offsets(), result });
    }
}

/// The topics of an OffsetCommit request.
pub fn topics(cluster: &Cluster, offsets: &BTreeMap<Spot, OffsetAndMetadata>) -> Vec<OffsetCommitRequestTopic> {
    let partitions = offsets.iter().map(|(spot, committed)| {
        let partition = OffsetCommitRequestPartition {
            partition_index: spot.1.0,
            committed_offset: committed.offset.0,
            committed_leader_epoch: committed.epoch_of(spot, cluster),
            committed_metadata: Some(committed.metadata.clone()),
            ..Default::default()
        };
        (&spot.0, partition)
    });
    let topic = |(name, partitions): (Text, Vec<_>)| OffsetCommitRequestTopic {
        topic_id: cluster.topic(&name).map_or(Uuid::ZERO, |topic| topic.id),
        name,
        partitions,
        ..Default::default()
    };
    by_topic(partitions).map(topic).collect()
}

/// Asks where a group is in partitions, in the words of older and of newer coordinators; as a member and its epoch, where
/// the group wants to know.
pub fn question(
    cluster: &Cluster,
    group_id: &Text,
    member: Option<(Text, i32)>,
    spots: &BTreeSet<Spot>,
) -> OffsetFetchRequest {
    let old = |(name, partition_indexes)| OffsetFetchRequestTopic { name, partition_indexes, ..Default::default() };
    let new = |(name, partition_indexes): (Text, Vec<i32>)| OffsetFetchRequestTopics {
        topic_id: cluster.topic(&name).map_or(Uuid::ZERO, |topic| topic.id),
        name,
        partition_indexes,
        ..Default::default()
    };
    let (member_id, member_epoch) = member.map_or((None, -1), |(id, epoch)| (Some(id), epoch));
    let group = OffsetFetchRequestGroup {
        group_id: group_id.clone(),
        member_id,
        member_epoch,
        topics: Some(indexes_by_topic(spots).map(new).collect()),
        ..Default::default()
    };
    OffsetFetchRequest {
        group_id: group_id.clone(),
        topics: Some(indexes_by_topic(spots).map(old).collect()),
        groups: vec![group],
        require_stable: true,
        ..Default::default()
    }
}

/// Where a group is in each partition, and the last error. Newer brokers name topics by their ids.
pub fn answer(
    response: &OffsetFetchResponse,
    by_id: impl Fn(TopicId) -> Option<Text>,
) -> (Vec<(Spot, Position)>, ErrorCode) {
    let (mut found, mut code) = (Vec::new(), response.error_code);
    let mut add = |name: &Text, index: i32, (offset, epoch): (i64, i32), error: ErrorCode| {
        let position = Position { offset: Offset(offset), epoch: LeaderEpoch(epoch) };
        if error.is_ok() { found.push((spot(name, index), position)) } else { code = error }
    };
    for topic in &response.topics {
        for one in &topic.partitions {
            let position = (one.committed_offset, one.committed_leader_epoch);
            add(&topic.name, one.partition_index, position, one.error_code);
        }
    }
    for topic in response.groups.iter().flat_map(|group| &group.topics) {
        let name = if topic.name.is_empty() { by_id(topic.topic_id) } else { Some(topic.name.clone()) };
        for (one, name) in topic.partitions.iter().zip(std::iter::repeat(name).map_while(|name| name)) {
            let position = (one.committed_offset, one.committed_leader_epoch);
            add(&name, one.partition_index, position, one.error_code);
        }
    }
    let of_group = response.groups.iter().map(|group| group.error_code).find(|code| !code.is_ok());
    (found, of_group.unwrap_or(code))
}
