//! DescribeProducers 0: the idempotent and transactional producers that a partition remembers (KIP-664).

use super::{Disk, Outcome, PartitionOp, Request, Shard, Step, Work};
use log::Producer;
use types::{Offset, PartitionIndex, ProducerId, Text, Uuid};
use wire::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use wire::{DescribeProducersRequest, DescribeProducersResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: DescribeProducersRequest) -> Step<D> {
    let mut works = Vec::new();
    for topic in &asked.topics {
        for index in &topic.partition_indexes {
            let resolved = shard.resolve(Uuid::ZERO, &topic.name, PartitionIndex(*index));
            works.push(Work::of_partition(resolved, PartitionOp::Producers));
        }
    }
    Step::all(works, move |shard, outcomes| {
        let mut outcomes = outcomes.into_iter();
        let mut topics = Vec::with_capacity(asked.topics.len());
        for topic in asked.topics {
            let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
            for partition_index in topic.partition_indexes {
                let mut result = PartitionResponse { partition_index, ..Default::default() };
                match outcomes.next().unwrap_or(Outcome::Pending) {
                    Outcome::Producers(producers) => {
                        result.active_producers = producers.iter().map(producer_state).collect();
                    }
                    other => {
                        let (code, message) = other.into_failure();
                        result.error_code = code;
                        let message = if message.is_empty() { code.to_string() } else { message };
                        result.error_message = Some(Text::from(message));
                    }
                }
                shard.figures.error(request.key, result.error_code);
                partitions.push(result);
            }
            topics.push(TopicResponse { name: topic.name, partitions, ..Default::default() });
        }
        request.reply(&DescribeProducersResponse { topics, ..Default::default() })
    })
}

fn producer_state((id, producer): &(ProducerId, Producer)) -> ProducerState {
    ProducerState {
        producer_id: id.0,
        producer_epoch: i32::from(producer.epoch.0),
        last_sequence: producer.last_sequence().0,
        last_timestamp: producer.last_timestamp.0,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.transaction_start.unwrap_or(Offset::NONE).0,
        ..Default::default()
    }
}
