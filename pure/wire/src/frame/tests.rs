//! Frames against bytes counted by hand.

use super::*;
use crate::{
    ApiVersionsRequest, ApiVersionsResponse, FetchResponse, MetadataRequest, MetadataResponse, Records, fetch_response,
};
use types::{ErrorCode, Text};

#[test]
fn a_frame_is_split_off_when_it_is_whole() {
    let mut received = BytesMut::from(&[0, 0, 0, 2, 7, 8, 0, 0][..]);
    assert_eq!(split_message(&mut received, 100), Ok(Some(Bytes::from_static(&[7, 8]))));
    assert_eq!(split_message(&mut received, 100), Ok(None));
    received.extend_from_slice(&[0, 9, 1]);
    assert_eq!(split_message(&mut received, 100), Ok(None));
    assert_eq!(split_message(&mut received, 8), Err(DecodeError::BadLength { at: 0, length: 9 }));
    assert_eq!(announced_length(&[0xff; 4], 8), Err(DecodeError::BadLength { at: 0, length: -1 }));
}

#[test]
fn requests_carry_the_header_of_their_version() {
    let client = Text::from_static("me");
    let old = encode_request(5, Some(&client), 1, &MetadataRequest { topics: None, ..MetadataRequest::default() });
    assert_eq!(&old[..], [0, 0, 0, 16, 0, 3, 0, 1, 0, 0, 0, 5, 0, 2, b'm', b'e', 0xff, 0xff, 0xff, 0xff]);
    let new = encode_request(5, Some(&client), 3, &ApiVersionsRequest::default());
    assert_eq!(&new[..], [0, 0, 0, 16, 0, 18, 0, 3, 0, 0, 0, 5, 0, 2, b'm', b'e', 0, 1, 1, 0]);

    let mut r = Reader::new(new.slice(LENGTH_BYTES..));
    let (key, header) = RequestHeader::read(&mut r).unwrap();
    assert_eq!((key, header.request_api_version, header.correlation_id), (ApiKey::ApiVersions, 3, 5));
    assert_eq!(header.client_id, Some(client));
    assert_eq!(ApiVersionsRequest::decode(&mut r, 3), Ok(ApiVersionsRequest::default()));
    assert_eq!(r.finish(), Ok(()));
}

#[test]
fn a_header_of_an_unknown_version_is_read_and_of_an_unknown_key_is_refused() {
    let newer = [0, 18, 0, 99, 0, 0, 0, 1, 0xff, 0xff, 0, 1, 2, 3];
    let (key, header) = RequestHeader::read(&mut Reader::new(Bytes::copy_from_slice(&newer))).unwrap();
    assert_eq!((key, header.request_api_version, header.client_id), (ApiKey::ApiVersions, 99, None));
    let unknown = Bytes::from_static(&[0, 7, 0, 0, 0, 0, 0, 1]);
    assert_eq!(RequestHeader::read(&mut Reader::new(unknown)).unwrap_err(), DecodeError::UnknownKey { key: 7 });
}

#[test]
fn the_answer_to_api_versions_has_the_oldest_header() {
    let refused = ApiVersionsResponse { error_code: ErrorCode::UNSUPPORTED_VERSION, ..ApiVersionsResponse::default() };
    assert_eq!(&encode_response(1, 0, &refused).buffer[..], [0, 0, 0, 10, 0, 0, 0, 1, 0, 35, 0, 0, 0, 0]);
    assert_eq!(encode_response(1, 3, &refused).buffer[8..10], [0, 35]);
    assert_eq!(encode_response(1, 9, &MetadataResponse::default()).buffer[4..9], [0, 0, 0, 1, 0]);
}

#[test]
fn records_elsewhere_are_counted_but_not_copied() {
    let answer = |records| FetchResponse {
        responses: vec![fetch_response::FetchableTopicResponse {
            partitions: vec![fetch_response::PartitionData { records: Some(records), ..Default::default() }],
            ..Default::default()
        }],
        ..FetchResponse::default()
    };
    for version in ApiKey::Fetch.versions() {
        let bytes = Bytes::from_static(&[9; 300]);
        let here = encode_response(1, version, &answer(Records::Bytes(bytes.clone())));
        let elsewhere = encode_response(1, version, &answer(Records::External { length: 300, slot: 4 }));
        let [splice] = elsewhere.splices[..] else { panic!("one splice in {:?}", elsewhere.splices) };
        assert_eq!((splice.slot, splice.length), (4, 300));
        let mut joined = elsewhere.buffer[..splice.at].to_vec();
        joined.extend_from_slice(&bytes);
        joined.extend_from_slice(&elsewhere.buffer[splice.at..]);
        assert_eq!(joined, here.buffer);
    }
}

#[test]
fn what_a_version_does_not_have_is_left_out_and_a_null_it_forbids_is_empty() {
    let request = MetadataRequest { topics: None, allow_auto_topic_creation: false, ..MetadataRequest::default() };
    for (version, body) in [(0, &[0, 0, 0, 0][..]), (1, &[0xff; 4]), (4, &[0xff, 0xff, 0xff, 0xff, 0])] {
        let frame = encode_request(1, None, version, &request);
        assert_eq!(&frame[LENGTH_BYTES + 10..], body, "version {version}");
        let read = MetadataRequest::decode(&mut Reader::new(frame.slice(LENGTH_BYTES + 10..)), version).unwrap();
        assert_eq!(read.allow_auto_topic_creation, version < 4, "absent fields have their default");
    }
}
