//! DescribeProducers 0: the idempotent and transactional producers that a partition remembers (KIP-664).

use super::{Disk, Outcome, PartitionOp, Request, Shard, Step, Work, of_each};
use log::Producer;
use types::{ErrorCode, Offset, PartitionIndex, ProducerId, Text, Uuid};
use wire::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use wire::{DescribeProducersRequest, DescribeProducersResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: DescribeProducersRequest) -> Step<D> {
    let topics = asked.topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect();
    let work = |topic: &Text, index: &i32| {
        Work::of_partition(shard.resolve(Uuid::ZERO, topic, PartitionIndex(*index)), PartitionOp::Producers)
    };
    of_each(request, topics, work, answer, |topics| {
        let topic = |(name, partitions)| TopicResponse { name, partitions, ..Default::default() };
        DescribeProducersResponse { topics: topics.into_iter().map(topic).collect(), ..Default::default() }
    })
}

fn answer<D: Disk>(partition_index: i32, outcome: Outcome<D>) -> (ErrorCode, PartitionResponse) {
    let mut result = PartitionResponse { partition_index, ..Default::default() };
    match outcome {
        Outcome::Producers(producers) => result.active_producers = producers.iter().map(producer_state).collect(),
        other => {
            let (code, message) = other.into_failure();
            result.error_code = code;
            result.error_message = Some(Text::from(if message.is_empty() { code.to_string() } else { message }));
        }
    }
    (result.error_code, result)
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
