//! DescribeProducers 0: the idempotent and transactional producers that a partition remembers (KIP-664).

use crate::call::Step;
use crate::session::Request;
use crate::shard::Shard;
use crate::work::{Outcome, PartitionOp, Work};
use log::{Disk, Producer};
use types::codec::{DecodeError, Reader};
use types::{Offset, PartitionIndex, ProducerId, Text, Uuid};
use wire::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use wire::{DescribeProducersRequest, DescribeProducersResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, body: Reader) -> Result<Step<D>, DecodeError> {
    let asked: DescribeProducersRequest = request.decode(body)?;
    let mut works = Vec::new();
    for topic in &asked.topics {
        for index in &topic.partition_indexes {
            works.push(match shard.resolve(Uuid::ZERO, &topic.name, PartitionIndex(*index)) {
                Ok(partition) => Work::Partition { partition, op: PartitionOp::Producers },
                Err(code) => Work::refused(code, String::new()),
            });
        }
    }
    Ok(Step::all(works, move |shard, outcomes| {
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
    }))
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
