//! OffsetCommit 2 to 10.
//!
//! 2 to 4 may name a retention, 6 has leader epochs, 7 static members (KIP-345), 8 is flexible, 9 serves the new group
//! protocol (KIP-848), 10 names topics by id (KIP-516).

use super::{Disk, Outcome, Request, Shard, Step};
use coordinator::group::command::{
    Command, CommitPartition, CommitTopic, Generation, OffsetCommit, Reply, TopicErrors,
};
use types::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, Text, TopicPartition};
use wire::offset_commit_request::OffsetCommitRequestTopic;
use wire::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use wire::{OffsetCommitRequest, OffsetCommitResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: OffsetCommitRequest) -> Step<D> {
    let mut known = Vec::with_capacity(asked.topics.len());
    let mut refused: Vec<TopicErrors> = Vec::new();
    for mut topic in asked.topics {
        let mut unknown = Vec::new();
        match find(shard, &request, &topic) {
            Ok((name, id)) => {
                topic.partitions.retain(|part| {
                    let partition = PartitionIndex(part.partition_index);
                    let exists = shard.image.partition(TopicPartition { topic: id, partition }).is_some();
                    if !exists {
                        unknown.push((partition, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
                    }
                    exists
                });
                (topic.name, topic.topic_id) = (name.clone(), id);
                if !topic.partitions.is_empty() {
                    known.push(commit_topic(name, id, &mut topic));
                }
            }
            Err(code) => {
                unknown.extend(topic.partitions.iter().map(|part| (PartitionIndex(part.partition_index), code)));
            }
        }
        if !unknown.is_empty() {
            refused.push(TopicErrors { name: topic.name, id: topic.topic_id, partitions: unknown });
        }
    }
    let shape: Vec<_> = known.iter().map(|topic| (topic.name.clone(), topic.id, indexes(topic))).collect();
    let commit = OffsetCommit {
        group: asked.group_id.detached(),
        generation: Generation(asked.generation_id_or_member_epoch),
        member: asked.member_id.detached(),
        instance: asked.group_instance_id.as_ref().map(Text::detached),
        retention_ms: (request.version <= 4 && asked.retention_time_ms >= 0).then_some(asked.retention_time_ms),
        knows_group_id_not_found: request.version >= 9,
        topics: known,
    };
    let work = shard.group_work(&asked.group_id, Command::OffsetCommit(commit));
    Step::one(work, move |shard, outcome| {
        let mut topics = match outcome {
            Outcome::Group(Reply::OffsetCommit(reply)) => reply.topics,
            other => {
                let code = other.into_failure().0;
                let all = |(name, id, parts): (Text, _, Vec<PartitionIndex>)| TopicErrors {
                    name,
                    id,
                    partitions: parts.into_iter().map(|part| (part, code)).collect(),
                };
                shape.into_iter().map(all).collect()
            }
        };
        merge(&mut topics, refused);
        for (_, code) in topics.iter().flat_map(|topic| &topic.partitions) {
            shard.figures.error(request.key, *code);
        }
        let topics = topics.into_iter().map(response_topic).collect();
        request.reply(&OffsetCommitResponse { topics, ..Default::default() })
    })
}

fn find<D: Disk>(
    shard: &Shard<D>,
    request: &Request,
    topic: &OffsetCommitRequestTopic,
) -> Result<(Text, types::TopicId), ErrorCode> {
    if request.version >= 10 {
        let name = shard.topic_name(topic.topic_id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?;
        return Ok((name, topic.topic_id));
    }
    let found = shard.image.topic_by_name(&topic.name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    Ok((found.name.clone(), found.id))
}

/// Puts what is refused beside what else is said of the same topic.
fn merge(topics: &mut Vec<TopicErrors>, refused: Vec<TopicErrors>) {
    for topic in refused {
        match topics.iter_mut().find(|known| known.name == topic.name && known.id == topic.id) {
            Some(known) => known.partitions.extend(topic.partitions),
            None => topics.push(topic),
        }
    }
}

fn commit_topic(name: Text, id: types::TopicId, topic: &mut OffsetCommitRequestTopic) -> CommitTopic {
    let partition = |part: wire::offset_commit_request::OffsetCommitRequestPartition| CommitPartition {
        partition: PartitionIndex(part.partition_index),
        offset: Offset(part.committed_offset),
        leader_epoch: LeaderEpoch(part.committed_leader_epoch),
        metadata: part.committed_metadata.map(|text| text.detached()).unwrap_or_default(),
    };
    CommitTopic { name, id, partitions: std::mem::take(&mut topic.partitions).into_iter().map(partition).collect() }
}

fn indexes(topic: &CommitTopic) -> Vec<PartitionIndex> {
    topic.partitions.iter().map(|part| part.partition).collect()
}

fn response_topic(topic: TopicErrors) -> OffsetCommitResponseTopic {
    let partition = |(index, error_code): (PartitionIndex, ErrorCode)| OffsetCommitResponsePartition {
        partition_index: index.0,
        error_code,
        ..Default::default()
    };
    OffsetCommitResponseTopic {
        name: topic.name,
        topic_id: topic.id,
        partitions: topic.partitions.into_iter().map(partition).collect(),
        ..Default::default()
    }
}
