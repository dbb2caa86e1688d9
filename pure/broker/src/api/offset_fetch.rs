//! OffsetFetch 1 to 10.
//!
//! 2 asks for all topics by null, 5 has leader epochs, 6 is flexible, 7 may ask for stable offsets only (KIP-447), 8
//! asks for several groups (KIP-709), 9 serves the new group protocol (KIP-848), 10 names topics by id (KIP-516).

use super::{Disk, Outcome, Request, Shard, Step};
use coordinator::group::command::{Command, FetchTopic, FetchedTopic, OffsetFetch, OffsetFetchReply, Reply};
use types::{ErrorCode, PartitionIndex, Text, TopicId};
use wire::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use wire::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use wire::{OffsetFetchRequest, OffsetFetchResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: OffsetFetchRequest) -> Step<D> {
    let groups = if request.version >= 8 { asked.groups } else { vec![only_group(asked)] };
    let mut works = Vec::with_capacity(groups.len());
    let mut shape = Vec::with_capacity(groups.len());
    for group in groups {
        let (fetch, refused) = translate(shard, &request, &group);
        works.push(shard.group_work(&group.group_id, Command::OffsetFetch(fetch)));
        shape.push((group.group_id, refused));
    }
    Step::all(works, move |shard, outcomes| {
        let answer = |((group_id, refused), outcome): ((Text, Vec<OffsetFetchResponseTopics>), Outcome<D>)| {
            let reply = match outcome {
                Outcome::Group(Reply::OffsetFetch(reply)) => reply,
                other => OffsetFetchReply { error: other.into_failure().0, topics: Vec::new() },
            };
            let mut topics: Vec<_> = reply.topics.into_iter().map(response_topic).collect();
            topics.extend(refused);
            OffsetFetchResponseGroup { group_id, error_code: reply.error, topics, ..Default::default() }
        };
        let groups: Vec<_> = shape.into_iter().zip(outcomes).map(answer).collect();
        for group in &groups {
            shard.figures.error(request.key, group.error_code);
        }
        request.reply(&response(&request, groups))
    })
}

/// A request below version 8 as its one group.
fn only_group(asked: OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topic = |topic: wire::offset_fetch_request::OffsetFetchRequestTopic| OffsetFetchRequestTopics {
        name: topic.name,
        partition_indexes: topic.partition_indexes,
        ..Default::default()
    };
    OffsetFetchRequestGroup {
        group_id: asked.group_id,
        topics: asked.topics.map(|topics| topics.into_iter().map(topic).collect()),
        ..Default::default()
    }
}

/// The coordinator's question, and the answers for topics whose id nobody knows.
fn translate<D: Disk>(
    shard: &Shard<D>,
    request: &Request,
    group: &OffsetFetchRequestGroup,
) -> (OffsetFetch, Vec<OffsetFetchResponseTopics>) {
    let mut refused = Vec::new();
    let topics = group.topics.as_ref().map(|topics| {
        let mut known = Vec::with_capacity(topics.len());
        for topic in topics {
            let found = if request.version >= 10 {
                shard.topic_name(topic.topic_id).map(|name| (name, topic.topic_id))
            } else {
                let id = shard.image.topic_by_name(&topic.name).map_or(TopicId::ZERO, |found| found.id);
                Some((topic.name.detached(), id))
            };
            let partitions = topic.partition_indexes.iter().copied().map(PartitionIndex).collect();
            match found {
                Some((name, id)) => known.push(FetchTopic { name, id, partitions }),
                None => refused.push(unknown_topic(topic)),
            }
        }
        known
    });
    (OffsetFetch { group: group.group_id.detached(), topics }, refused)
}

fn unknown_topic(topic: &OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
    let partition = |index: &i32| OffsetFetchResponsePartitions {
        partition_index: *index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(Text::default()),
        error_code: ErrorCode::UNKNOWN_TOPIC_ID,
        ..Default::default()
    };
    OffsetFetchResponseTopics {
        topic_id: topic.topic_id,
        partitions: topic.partition_indexes.iter().map(partition).collect(),
        ..Default::default()
    }
}

fn response_topic(topic: FetchedTopic) -> OffsetFetchResponseTopics {
    let partition = |part: coordinator::group::command::FetchedPartition| OffsetFetchResponsePartitions {
        partition_index: part.partition.0,
        committed_offset: part.offset.0,
        committed_leader_epoch: part.leader_epoch.0,
        metadata: Some(part.metadata),
        ..Default::default()
    };
    OffsetFetchResponseTopics {
        name: topic.name,
        topic_id: topic.id,
        partitions: topic.partitions.into_iter().map(partition).collect(),
        ..Default::default()
    }
}

fn response(request: &Request, mut groups: Vec<OffsetFetchResponseGroup>) -> OffsetFetchResponse {
    if request.version >= 8 {
        return OffsetFetchResponse { groups, ..Default::default() };
    }
    let only = groups.pop().unwrap_or_default();
    let partition = |part: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: part.partition_index,
        committed_offset: part.committed_offset,
        committed_leader_epoch: part.committed_leader_epoch,
        metadata: part.metadata,
        error_code: part.error_code,
        ..Default::default()
    };
    let topic = |topic: OffsetFetchResponseTopics| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
        ..Default::default()
    };
    OffsetFetchResponse {
        topics: only.topics.into_iter().map(topic).collect(),
        error_code: only.error_code,
        ..Default::default()
    }
}
