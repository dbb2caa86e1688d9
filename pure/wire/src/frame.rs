//! Frames: a length, a header and a body. Owns where one message ends and which header stands before which body; must
//! never know a socket.

use crate::{ApiKey, Body, RequestHeader, ResponseHeader};
use bytes::{Buf, Bytes, BytesMut};
use types::codec::{DecodeError, Reader, Writer};

/// The size of the length before each message.
pub const LENGTH_BYTES: usize = 4;

/// The length that the first bytes of a frame announce, `None` as long as there are fewer than four of them. A length
/// outside `0..=bytes_max` is refused before anything is reserved for it.
pub fn announced_length(bytes: &[u8], bytes_max: usize) -> Result<Option<usize>, DecodeError> {
    let Some(head) = bytes.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*head);
    match usize::try_from(length) {
        Ok(valid) if valid <= bytes_max => Ok(Some(valid)),
        _ => Err(DecodeError::BadLength { at: 0, length: i64::from(length) }),
    }
}

/// Takes one whole message, without its length, off the front of what was received; `None` where it is not all there.
pub fn split_message(received: &mut BytesMut, bytes_max: usize) -> Result<Option<Bytes>, DecodeError> {
    match announced_length(received, bytes_max)? {
        Some(length) if received.len() - LENGTH_BYTES >= length => {
            received.advance(LENGTH_BYTES);
            Ok(Some(received.split_to(length).freeze()))
        }
        _ => Ok(None),
    }
}

impl RequestHeader {
    /// Reads the header at the beginning of a message, in the version that its first four bytes imply. A version that
    /// the key does not have is no error here: ApiVersions answers even that.
    pub fn read(r: &mut Reader) -> Result<(ApiKey, RequestHeader), DecodeError> {
        let mut peek = r.clone();
        let number = peek.i16()?;
        let version = peek.i16()?;
        let key = ApiKey::from_number(number).ok_or(DecodeError::UnknownKey { key: i64::from(number) })?;
        Ok((key, RequestHeader::decode(r, key.request_header_version(version))?))
    }
}

/// A whole request frame: length, header, body.
#[must_use]
pub fn encode_request(correlation_id: i32, client_id: Option<&types::Text>, version: i16, body: &dyn Body) -> Bytes {
    let writer = encode_request_around(correlation_id, client_id, version, body);
    assert!(writer.splices.is_empty(), "the records of a request stand in it");
    writer.buffer.freeze()
}

/// A whole request frame around the records that are elsewhere: the writer's splices, counted in the frame's length.
#[must_use]
pub fn encode_request_around(
    correlation_id: i32,
    client_id: Option<&types::Text>,
    version: i16,
    body: &dyn Body,
) -> Writer {
    let key = body.key();
    let header = RequestHeader {
        request_api_key: key.number(),
        request_api_version: version,
        correlation_id,
        client_id: client_id.cloned(),
        ..RequestHeader::default()
    };
    let header_version = key.request_header_version(version);
    encode(header.size(header_version), &|w| header.encode(w, header_version), version, body)
}

/// A whole response frame: length, header, body. Records that are elsewhere are the writer's splices, and counted in
/// the frame's length.
#[must_use]
pub fn encode_response(correlation_id: i32, version: i16, body: &dyn Body) -> Writer {
    let header = ResponseHeader { correlation_id, ..ResponseHeader::default() };
    let header_version = body.key().response_header_version(version);
    encode(header.size(header_version), &|w| header.encode(w, header_version), version, body)
}

fn encode(header_bytes: usize, header: &dyn Fn(&mut Writer), version: i16, body: &dyn Body) -> Writer {
    let size = LENGTH_BYTES + header_bytes + body.size(version);
    let mut w = Writer::with_capacity(size);
    w.i32(0);
    header(&mut w);
    body.encode(&mut w, version);
    assert_eq!(w.buffer.len(), size, "{} version {version} is not as long as computed", body.key());
    let elsewhere: usize = w.splices.iter().map(|splice| splice.length).sum();
    let length = i32::try_from(size - LENGTH_BYTES + elsewhere).expect("limits keep a message below 2 GiB");
    w.buffer[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    w
}

#[cfg(test)]
mod tests;
