//! Requests and answers as frames: which version is spoken, and how an answer is told from another.

use crate::link::Range;
use bytes::Bytes;
use types::ErrorCode;
use types::codec::Reader;
use wire::create_topics_request::CreatableTopic;
use wire::{ApiKey, ApiVersionsResponse, Request, Response, ResponseHeader};

/// The highest version of a request that this library speaks.
pub fn version_max(key: ApiKey) -> i16 {
    let last = *key.versions().end();
    if key.last_is_unstable() { last - 1 } else { last }
}

/// The versions in which a request means what it says: older ones have no room for some of it, and brokers that know no
/// other would do something else.
pub fn versions_of(request: &Request) -> Range {
    let least = match request {
        Request::ListOffsets(asked) => {
            let timestamps = asked.topics.iter().flat_map(|topic| &topic.partitions).map(|spot| spot.timestamp);
            let least = |timestamp| match timestamp {
                -3 => 7,
                -4 => 8,
                -5 => 9,
                _ => 0,
            };
            timestamps.map(least).max().unwrap_or(0)
        }
        // The broker's own numbers of partitions and replicas (KIP-464).
        Request::CreateTopics(asked) => {
            let left_out = |topic: &CreatableTopic| topic.num_partitions < 0 || topic.replication_factor < 0;
            let has_default = |topic: &CreatableTopic| topic.assignments.is_empty() && left_out(topic);
            if asked.topics.iter().any(has_default) { 4 } else { 0 }
        }
        // Static members (KIP-345).
        Request::JoinGroup(asked) if asked.group_instance_id.is_some() => 5,
        _ => 0,
    };
    (least, i16::MAX)
}

/// Whether the broker sends no answer: only to produce with acks of none.
pub fn is_unanswered(request: &Request) -> bool {
    matches!(request, Request::Produce(produce) if produce.acks == 0)
}

/// Reads a whole answer without its length: its correlation id and what it says.
pub fn decode(key: ApiKey, version: i16, frame: Bytes) -> Option<(i32, Response)> {
    let mut reader = Reader::new(frame);
    let header = ResponseHeader::decode(&mut reader, key.response_header_version(version)).ok()?;
    // Who does not know the version of ApiVersions answers in the oldest.
    let mut peek = reader.clone();
    if key == ApiKey::ApiVersions && peek.i16().ok()? == ErrorCode::UNSUPPORTED_VERSION.0 {
        let response = ApiVersionsResponse::decode(&mut reader, 0).ok()?;
        return Some((header.correlation_id, Response::ApiVersions(response)));
    }
    let response = Response::decode(key, &mut reader, version).ok()?;
    reader.finish().ok()?;
    Some((header.correlation_id, response))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    use wire::{CreateTopicsRequest, JoinGroupRequest, ListOffsetsRequest};

    fn least(request: impl Into<Request>) -> i16 {
        versions_of(&request.into()).0
    }

    #[test]
    fn what_old_versions_have_no_room_for_is_not_asked_in_them() {
        let at = |timestamp| {
            let partitions = vec![ListOffsetsPartition { timestamp, ..Default::default() }];
            let topics = vec![ListOffsetsTopic { partitions, ..Default::default() }];
            least(ListOffsetsRequest { topics, ..Default::default() })
        };
        assert_eq!([-1, -2, -3, -4, -5, 1_700_000_000_000].map(at), [0, 0, 7, 8, 9, 0]);
        let new = |num_partitions, replication_factor| {
            let topics = vec![CreatableTopic { num_partitions, replication_factor, ..Default::default() }];
            least(CreateTopicsRequest { topics, ..Default::default() })
        };
        assert_eq!([new(3, 2), new(3, -1), new(-1, 2)], [0, 4, 4]);
        let join = |group_instance_id| least(JoinGroupRequest { group_instance_id, ..Default::default() });
        assert_eq!([join(None), join(Some("one".into()))], [0, 5]);
    }
}
