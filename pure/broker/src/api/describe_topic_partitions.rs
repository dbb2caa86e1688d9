//! DescribeTopicPartitions 0 (KIP-966): topics page by page, with a cursor.

use super::metadata::{TOPIC_OPERATIONS, ids};
use super::{Disk, Request, Shard, Step};
use ::metadata::names::{is_internal, validate_topic};
use ::metadata::{Image, Partition, Topic};
use std::collections::BTreeSet;
use types::{ErrorCode, Text};
use wire::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use wire::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: DescribeTopicPartitionsRequest) -> Step<D> {
    let (from_topic, from_partition) = match &asked.cursor {
        Some(cursor) if cursor.partition_index < 0 => {
            let topics = asked.topics.into_iter().map(|topic| unknown(topic.name, ErrorCode::INVALID_REQUEST));
            let response = DescribeTopicPartitionsResponse { topics: topics.collect(), ..Default::default() };
            return request.reply(&response);
        }
        Some(cursor) => (cursor.topic_name.clone(), cursor.partition_index),
        None => (Text::default(), 0),
    };
    let limit = usize::try_from(asked.response_partition_limit).unwrap_or(0).max(1);
    let mut left = limit.min(shard.settings.describe_partitions_max());
    let mut response = DescribeTopicPartitionsResponse::default();
    let all = asked.topics.is_empty();
    let names: BTreeSet<Text> = if all {
        shard.image.topics_from(&from_topic).take(left + 1).map(|topic| topic.name.clone()).collect()
    } else {
        let named = asked.topics.into_iter().map(|topic| topic.name);
        named.filter(|name| *name >= from_topic).collect()
    };
    for name in names {
        let first = if name == from_topic { from_partition } else { 0 };
        if left == 0 {
            response.next_cursor = Some(cursor(name, first));
            break;
        }
        let Some(topic) = shard.image.topic_by_name(&name) else {
            let is_valid = validate_topic(&name).is_ok();
            let code =
                if is_valid { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION } else { ErrorCode::INVALID_TOPIC_EXCEPTION };
            response.topics.push(unknown(name, code));
            continue;
        };
        let entry = describe(&shard.image, topic, usize::try_from(first).unwrap_or(0), left);
        let (given, next) = (entry.partitions.len(), usize::try_from(first).unwrap_or(0) + entry.partitions.len());
        response.topics.push(entry);
        left -= given;
        if next < topic.partitions.len() {
            response.next_cursor = Some(cursor(name, i32::try_from(next).unwrap_or(i32::MAX)));
            break;
        }
    }
    request.reply(&response)
}

fn cursor(topic_name: Text, partition_index: i32) -> Cursor {
    Cursor { topic_name, partition_index, ..Default::default() }
}

fn unknown(name: Text, error_code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code,
        is_internal: is_internal(&name),
        name: Some(name),
        topic_authorized_operations: i32::MIN,
        ..Default::default()
    }
}

fn describe(image: &Image, topic: &Topic, first: usize, most: usize) -> DescribeTopicPartitionsResponseTopic {
    let partitions = (0..).zip(&topic.partitions).skip(first).take(most);
    DescribeTopicPartitionsResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: partitions.map(|(index, partition)| describe_partition(image, index, partition)).collect(),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..Default::default()
    }
}

fn describe_partition(
    image: &Image,
    partition_index: i32,
    partition: &Partition,
) -> DescribeTopicPartitionsResponsePartition {
    DescribeTopicPartitionsResponsePartition {
        error_code: if partition.leader.is_none() { ErrorCode::LEADER_NOT_AVAILABLE } else { ErrorCode::NONE },
        partition_index,
        leader_id: partition.leader.map_or(-1, |leader| leader.0),
        leader_epoch: partition.leader_epoch.0,
        replica_nodes: ids(&partition.replicas),
        isr_nodes: ids(&partition.isr),
        eligible_leader_replicas: Some(ids(&partition.eligible_leader_replicas)),
        last_known_elr: Some(ids(&partition.last_known_elr)),
        offline_replicas: ids(&image.offline_replicas(partition)),
        ..Default::default()
    }
}
