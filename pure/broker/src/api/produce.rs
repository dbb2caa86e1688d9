//! Produce 3 to 13 (0 to 2 are advertised for librdkafka's sake and answered with UNSUPPORTED_VERSION).
//!
//! 5 returns the log start offset, 8 errors of single records (KIP-467), 9 is flexible, 10 hints at a new leader
//! (KIP-951), 11 and 12 belong to transactions (KIP-890), 13 names topics by id (KIP-516).

use super::leaders::Leaders;
use super::{Disk, Outcome, PartitionOp, Request, Shard, Step, Work, reached};
use crate::node::Reachable;
use crate::seam::Frame;
use crate::work::Acknowledge;
use ::metadata::names::is_internal;
use bytes::Bytes;
use types::codec::{DecodeError, Reader, Writer};
use types::{ErrorCode, PartitionIndex, Text, TopicId};
use wire::produce_request::TopicProduceData;
use wire::produce_response::{BatchIndexAndErrorMessage, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse};
use wire::{ProduceRequest, ProduceResponse, Records};

/// The client id by which Kafka's own tools may write to internal topics.
const ADMIN_CLIENT: &str = "__admin_client";

/// The partitions of one topic as they were asked for, so that the answer has the same shape.
struct Asked {
    name: Text,
    id: TopicId,
    partitions: Vec<i32>,
}

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, body: Reader) -> Result<Step<D>, DecodeError> {
    if request.version < 3 {
        return answer_old(&request, body);
    }
    let asked: ProduceRequest = request.decode(body)?;
    let refusal = refuse(&asked);
    let deadline = shard.now.at.plus_ms(u64::try_from(asked.timeout_ms).unwrap_or(0));
    let acknowledge = (asked.acks != 0).then_some(Acknowledge { all: asked.acks == -1, by: deadline });
    let acks = asked.acks;
    let mut works = Vec::new();
    let mut shape = Vec::with_capacity(asked.topic_data.len());
    for topic in asked.topic_data {
        let partitions = topic.partition_data.iter().map(|data| data.index).collect();
        let TopicProduceData { name, topic_id, partition_data, .. } = topic;
        for data in partition_data {
            works.push(match &refusal {
                Some((code, message)) => Work::refused(*code, message.clone()),
                None => produce_work(shard, &request, topic_id, &name, data.index, data.records, acknowledge),
            });
        }
        shape.push(Asked { name, id: topic_id, partitions });
    }
    Ok(Step::all(works, move |shard, outcomes| finish(shard, &request, acks, shape, outcomes)))
}

/// What is wrong with the request as a whole.
fn refuse(asked: &ProduceRequest) -> Option<(ErrorCode, String)> {
    if !(-1..=1).contains(&asked.acks) {
        let message = format!("acks must be -1 (all), 0 or 1, not {}", asked.acks);
        return Some((ErrorCode::INVALID_REQUIRED_ACKS, message));
    }
    asked.transactional_id.as_ref().map(|_| {
        let message = "this broker does not serve transactions yet: unset transactional.id".to_owned();
        (ErrorCode::INVALID_REQUEST, message)
    })
}

fn produce_work<D: Disk>(
    shard: &Shard<D>,
    request: &Request,
    id: TopicId,
    name: &Text,
    index: i32,
    records: Option<Records>,
    acknowledge: Option<Acknowledge>,
) -> Work {
    let index = PartitionIndex(index);
    let resolved = if request.version >= 13 { shard.resolve_id(id, index) } else { shard.resolve(id, name, index) };
    let partition = match resolved {
        Ok(partition) => partition,
        Err(code) => return Work::refused(code, String::new()),
    };
    let internal = shard.image.topic(partition.topic).is_some_and(|topic| is_internal(&topic.name));
    if internal && request.client_id.as_deref() != Some(ADMIN_CLIENT) {
        let message = "the broker keeps its own records in this topic: producers may not write to it".to_owned();
        return Work::refused(ErrorCode::INVALID_TOPIC_EXCEPTION, message);
    }
    match records {
        // A transaction that no coordinator ends would hold back readers of committed records for ever.
        Some(Records::Bytes(records)) if is_transactional(&records) => {
            let message = "the batch is transactional, but the request has no transactional id".to_owned();
            Work::refused(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, message)
        }
        // Clients of version 6 and older cannot read zstd (KIP-110).
        Some(Records::Bytes(records)) if request.version < 7 && is_zstd(&records) => {
            let message = "zstd needs a producer that speaks Produce version 7 or newer".to_owned();
            Work::refused(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, message)
        }
        Some(Records::Bytes(records)) => {
            Work::Partition { partition, op: PartitionOp::Produce { records, acknowledge } }
        }
        Some(Records::External { .. }) | None => {
            Work::refused(ErrorCode::INVALID_RECORD, "the request has no records for this partition".to_owned())
        }
    }
}

fn is_transactional(records: &[u8]) -> bool {
    record::Header::parse(records).is_ok_and(|header| header.attributes.is_transactional())
}

fn is_zstd(records: &[u8]) -> bool {
    record::Header::parse(records).is_ok_and(|header| header.attributes.codec() == Ok(record::Codec::Zstd))
}

fn finish<D: Disk>(
    shard: &mut Shard<D>,
    request: &Request,
    acks: i16,
    shape: Vec<Asked>,
    outcomes: Vec<Outcome<D>>,
) -> Step<D> {
    let mut outcomes = outcomes.into_iter();
    let mut failed = None;
    let mut leaders = Leaders::default();
    let mut responses = Vec::with_capacity(shape.len());
    for topic in shape {
        let mut partition_responses = Vec::with_capacity(topic.partitions.len());
        for index in topic.partitions {
            let mut response = partition_response(index, outcomes.next().unwrap_or(Outcome::Pending));
            if !response.error_code.is_ok() {
                if let Ok(partition) = shard.resolve(topic.id, &topic.name, PartitionIndex(index))
                    && let Some((id, epoch)) =
                        leaders.hint(shard, request.slot.connection, partition, response.error_code)
                {
                    response.current_leader.leader_id = id;
                    response.current_leader.leader_epoch = epoch;
                }
                shard.figures.error(request.key, response.error_code);
                failed = Some(response.error_code);
            }
            partition_responses.push(response);
        }
        responses.push(TopicProduceResponse {
            name: topic.name,
            topic_id: topic.id,
            partition_responses,
            ..Default::default()
        });
    }
    match (acks, failed) {
        // With acks=0 a closed connection is the only way to tell the producer to look for the right leader.
        (0, Some(code)) => Step::Close(format!("a produce request with acks=0 failed: {code}")),
        (0, None) => Step::Silent,
        _ => {
            let node_endpoints =
                leaders.into_brokers().map(|broker| reached!(broker, NodeEndpoint { node_id })).collect();
            request.reply(&ProduceResponse { responses, node_endpoints, ..Default::default() })
        }
    }
}

fn partition_response<D: Disk>(index: i32, outcome: Outcome<D>) -> PartitionProduceResponse {
    let mut response = PartitionProduceResponse {
        index,
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        ..Default::default()
    };
    match outcome {
        Outcome::Produced(appended) => {
            response.base_offset = appended.base_offset.0;
            response.log_append_time_ms = appended.log_append_time.0;
            response.log_start_offset = appended.log_start_offset.0;
        }
        Outcome::Rejected(rejected) => {
            response.error_code = rejected.code;
            response.error_message = Some(Text::from(rejected.message));
            let entry = |(batch_index, message): (i32, String)| BatchIndexAndErrorMessage {
                batch_index,
                batch_index_error_message: Some(Text::from(message)),
                ..Default::default()
            };
            response.record_errors = rejected.record_errors.into_iter().map(entry).collect();
        }
        other => (response.error_code, response.error_message) = other.into_answer(),
    }
    response
}

/// Versions 0 to 2, which Kafka no longer defines: every partition is answered UNSUPPORTED_VERSION in their format.
fn answer_old<D: Disk>(request: &Request, mut body: Reader) -> Result<Step<D>, DecodeError> {
    let (_acks, _timeout_ms) = (body.i16()?, body.i32()?);
    let mut writer = Writer::default();
    writer.i32(0);
    writer.i32(request.correlation_id);
    let topics = body.array(false)?;
    writer.length(false, Some(topics));
    for _ in 0..topics {
        writer.text(false, &body.text(false)?);
        let partitions = body.array(false)?;
        writer.length(false, Some(partitions));
        for _ in 0..partitions {
            writer.i32(body.i32()?);
            body.nullable_bytes(false)?;
            writer.i16(ErrorCode::UNSUPPORTED_VERSION.0);
            writer.i64(-1);
            if request.version >= 2 {
                writer.i64(-1);
            }
        }
    }
    if request.version >= 1 {
        writer.i32(0);
    }
    let length = i32::try_from(writer.buffer.len() - 4).expect("the answer is shorter than its request times four");
    writer.buffer[..4].copy_from_slice(&length.to_be_bytes());
    Ok(Step::Reply(Frame::of(Bytes::from(writer.buffer))))
}
