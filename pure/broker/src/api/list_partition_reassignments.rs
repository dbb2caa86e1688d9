//! ListPartitionReassignments 0 (KIP-455): the moves of replicas that are under way.

use super::metadata::ids;
use super::{Disk, Request, Shard, Step};
use ::metadata::{Partition, Topic};
use wire::list_partition_reassignments_response::{OngoingPartitionReassignment, OngoingTopicReassignment};
use wire::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

pub(crate) fn start<D: Disk>(
    shard: &mut Shard<D>,
    request: Request,
    asked: ListPartitionReassignmentsRequest,
) -> Step<D> {
    let topics: Vec<OngoingTopicReassignment> = match asked.topics {
        None => shard.image.topics().filter_map(|topic| moving(topic, None)).collect(),
        Some(topics) => topics
            .iter()
            .filter_map(|named| moving(shard.image.topic_by_name(&named.name)?, Some(&named.partition_indexes)))
            .collect(),
    };
    request.reply(&ListPartitionReassignmentsResponse { topics, ..Default::default() })
}

fn moving(topic: &Topic, named: Option<&Vec<i32>>) -> Option<OngoingTopicReassignment> {
    let partitions: Vec<OngoingPartitionReassignment> = (0..)
        .zip(&topic.partitions)
        .filter(|(index, _)| named.is_none_or(|named| named.contains(index)))
        .filter(|(_, partition)| !partition.adding_replicas.is_empty() || !partition.removing_replicas.is_empty())
        .map(|(index, partition)| ongoing(index, partition))
        .collect();
    let name = topic.name.clone();
    (!partitions.is_empty()).then(|| OngoingTopicReassignment { name, partitions, ..Default::default() })
}

fn ongoing(partition_index: i32, partition: &Partition) -> OngoingPartitionReassignment {
    OngoingPartitionReassignment {
        partition_index,
        replicas: ids(&partition.replicas),
        adding_replicas: ids(&partition.adding_replicas),
        removing_replicas: ids(&partition.removing_replicas),
        ..Default::default()
    }
}
