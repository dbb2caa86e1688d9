//! Requests and answers as frames: which version is spoken, and how an answer is told from another.

use bytes::Bytes;
use types::ErrorCode;
use types::codec::Reader;
use wire::{ApiKey, ApiVersionsResponse, Request, Response, ResponseHeader};

/// The highest version of a request that this library speaks.
pub fn version_max(key: ApiKey) -> i16 {
    let last = *key.versions().end();
    if key.last_is_unstable() { last - 1 } else { last }
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
