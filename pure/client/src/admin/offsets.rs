//! Questions about offsets: where partitions begin and end, and what groups have committed.

use super::question::{Each, Question, Refused, by_topic, each, spot};
use crate::{Spot, consumer};
use std::collections::BTreeMap;
use types::{Offset, Text, Timestamp, TopicId};
use wire::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use wire::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use wire::offset_fetch_request::OffsetFetchRequestGroup;
use wire::{ListOffsetsRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, Request, Response};

/// A place in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetAt {
    /// The first record that is still there.
    Earliest,
    /// After the last record that is committed.
    Latest,
    /// The first record that is not older.
    Time(Timestamp),
    /// The record with the latest timestamp.
    MaxTimestamp,
    /// The first record on the brokers' own disks (KIP-405).
    EarliestLocal,
    /// The last record in tiered storage (KIP-1005).
    LatestTiered,
}

/// Asks the leader of these partitions for offsets.
#[derive(Clone, Debug)]
pub struct ListOffsets {
    pub spots: Vec<Spot>,
    pub at: OffsetAt,
    /// The end is before the first transaction that is open.
    pub read_committed: bool,
    /// How long the broker may take.
    pub timeout_ms: i32,
}

impl Question for ListOffsets {
    /// An offset is None where there is no such record.
    type Answer = Each<Option<Offset>>;

    fn request(&self) -> Request {
        let timestamp = match self.at {
            OffsetAt::Earliest => -2,
            OffsetAt::Latest => -1,
            OffsetAt::MaxTimestamp => -3,
            OffsetAt::EarliestLocal => -4,
            OffsetAt::LatestTiered => -5,
            OffsetAt::Time(time) => time.0.max(0),
        };
        let partitions = self.spots.iter().map(|(name, index)| {
            let rest = ListOffsetsPartition::default();
            (name, ListOffsetsPartition { partition_index: index.0, current_leader_epoch: -1, timestamp, ..rest })
        });
        let topic = |(name, partitions)| ListOffsetsTopic { name, partitions, ..Default::default() };
        let topics = by_topic(partitions).map(topic).collect();
        let (isolation_level, timeout_ms) = (i8::from(self.read_committed), self.timeout_ms);
        ListOffsetsRequest { replica_id: -1, isolation_level, topics, timeout_ms, ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Self::Answer, Refused> {
        let Response::ListOffsets(response) = response else { return Err(Refused::foreign()) };
        Ok(each!(response.topics, name, partitions, partition_index, |known| {
            let offset = Some(Offset(known.offset)).filter(|offset| offset.0 >= 0);
            Refused::check(known.error_code, None).map(|()| offset)
        }))
    }
}

/// Asks a group's coordinator for all offsets that it has committed.
#[derive(Clone, Debug)]
pub struct CommittedOffsets {
    pub group: Text,
    /// Names of topics: newer brokers answer with ids. What is of an unknown topic is left out.
    pub topics: BTreeMap<TopicId, Text>,
}

impl Question for CommittedOffsets {
    type Answer = BTreeMap<Spot, Offset>;

    fn request(&self) -> Request {
        let group = OffsetFetchRequestGroup {
            group_id: self.group.clone(),
            member_id: None,
            member_epoch: -1,
            topics: None,
            ..Default::default()
        };
        OffsetFetchRequest { group_id: self.group.clone(), topics: None, groups: vec![group], ..Default::default() }
            .into()
    }

    fn read(&self, response: Response) -> Result<Self::Answer, Refused> {
        let Response::OffsetFetch(response) = response else { return Err(Refused::foreign()) };
        let (found, _) = consumer::committed(&response, |id| self.topics.get(&id).cloned());
        // What one partition has to say of itself is no error of the group.
        let of_group = response.groups.iter().map(|group| group.error_code).find(|code| !code.is_ok());
        Refused::check(of_group.unwrap_or(response.error_code), None)?;
        Ok(found.into_iter().filter(|(_, at)| at.offset.0 >= 0).map(|(spot, at)| (spot, at.offset)).collect())
    }
}

/// Sets a group's offsets while it has no members.
#[derive(Clone, Debug)]
pub struct AlterOffsets {
    pub group: Text,
    pub offsets: BTreeMap<Spot, Offset>,
    /// Ids of the topics: newer brokers want them.
    pub topics: BTreeMap<Text, TopicId>,
}

impl Question for AlterOffsets {
    type Answer = ();

    fn request(&self) -> Request {
        let partitions = self.offsets.iter().map(|((name, index), offset)| {
            let partition = OffsetCommitRequestPartition {
                partition_index: index.0,
                committed_offset: offset.0,
                committed_leader_epoch: -1,
                ..Default::default()
            };
            (name, partition)
        });
        let topic = |(name, partitions)| OffsetCommitRequestTopic {
            topic_id: self.topics.get(&name).copied().unwrap_or_default(),
            name,
            partitions,
            ..Default::default()
        };
        let topics = by_topic(partitions).map(topic).collect();
        let (group_id, generation_id_or_member_epoch) = (self.group.clone(), -1);
        OffsetCommitRequest { group_id, generation_id_or_member_epoch, topics, ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<(), Refused> {
        let Response::OffsetCommit(response) = response else { return Err(Refused::foreign()) };
        let mut codes =
            response.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
        codes.try_for_each(|code| Refused::check(code, None))
    }
}

/// Makes a group forget offsets, of topics that none of its members reads.
#[derive(Clone, Debug)]
pub struct DeleteOffsets {
    pub group: Text,
    pub spots: Vec<Spot>,
}

impl Question for DeleteOffsets {
    type Answer = Each<()>;

    fn request(&self) -> Request {
        let partition = |partition_index| OffsetDeleteRequestPartition { partition_index };
        let partitions = self.spots.iter().map(|(name, index)| (name, partition(index.0)));
        let topics = by_topic(partitions).map(|(name, partitions)| OffsetDeleteRequestTopic { name, partitions });
        OffsetDeleteRequest { group_id: self.group.clone(), topics: topics.collect() }.into()
    }

    fn read(&self, response: Response) -> Result<Self::Answer, Refused> {
        let Response::OffsetDelete(response) = response else { return Err(Refused::foreign()) };
        Refused::check(response.error_code, None)?;
        Ok(each!(response.topics, name, partitions, partition_index, |known| Refused::check(known.error_code, None)))
    }
}
