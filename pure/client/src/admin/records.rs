//! Questions about what lies in partitions, for their leaders: deleting from the front, and who has written.

use super::question::{Each, Question, Refused, by_topic, each, indexes_by_topic, spot};
use crate::Spot;
use std::collections::BTreeMap;
use types::{Offset, Timestamp};
use wire::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use wire::describe_producers_request::TopicRequest;
use wire::{DeleteRecordsRequest, DescribeProducersRequest, Request, Response};

/// Deletes all records before an offset of each partition; before the high watermark where it is None.
#[derive(Clone, Debug)]
pub struct DeleteRecords {
    pub before: BTreeMap<Spot, Option<Offset>>,
    /// How long the broker may take.
    pub timeout_ms: i32,
}

impl Question for DeleteRecords {
    /// Where each partition begins now.
    type Answer = Each<Offset>;

    fn request(&self) -> Request {
        let partitions = self.before.iter().map(|((name, index), before)| {
            let offset = before.map_or(-1, |offset| offset.0);
            (name, DeleteRecordsPartition { partition_index: index.0, offset, ..Default::default() })
        });
        let topic = |(name, partitions)| DeleteRecordsTopic { name, partitions, ..Default::default() };
        let topics = by_topic(partitions).map(topic).collect();
        DeleteRecordsRequest { topics, timeout_ms: self.timeout_ms, ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Self::Answer, Refused> {
        let Response::DeleteRecords(response) = response else { return Err(Refused::foreign()) };
        Ok(each!(response.topics, name, partitions, partition_index, |known| {
            Refused::check(known.error_code, None).map(|()| Offset(known.low_watermark))
        }))
    }
}

/// Asks for the producers of which these partitions know.
#[derive(Clone, Debug)]
pub struct DescribeProducers(pub Vec<Spot>);

/// A producer, as the partition remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    pub id: i64,
    pub epoch: i32,
    pub last_sequence: i32,
    pub last_timestamp: Timestamp,
    /// Where its transaction began, while one is open.
    pub transaction_start: Option<Offset>,
}

impl Question for DescribeProducers {
    type Answer = Each<Vec<ActiveProducer>>;

    fn request(&self) -> Request {
        let topic = |(name, partition_indexes)| TopicRequest { name, partition_indexes, ..Default::default() };
        let topics = indexes_by_topic(&self.0).map(topic).collect();
        DescribeProducersRequest { topics, ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Self::Answer, Refused> {
        let Response::DescribeProducers(response) = response else { return Err(Refused::foreign()) };
        let producer = |known: &wire::describe_producers_response::ProducerState| ActiveProducer {
            id: known.producer_id,
            epoch: known.producer_epoch,
            last_sequence: known.last_sequence,
            last_timestamp: Timestamp(known.last_timestamp),
            transaction_start: Some(Offset(known.current_txn_start_offset)).filter(|offset| offset.0 >= 0),
        };
        Ok(each!(response.topics, name, partitions, partition_index, |known| {
            let result = Refused::check(known.error_code, known.error_message.as_ref());
            result.map(|()| known.active_producers.iter().map(producer).collect())
        }))
    }
}
