//! Batches against the record codec of the independent `kafka-protocol` crate, in both directions and every codec.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as oracle;
use proptest::prelude::*;
use record::{Builder, Codec, Rules, Template, records, validate};
use types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// What a record says that both sides can say.
type Plain = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn plain() -> impl Strategy<Value = Plain> {
    let bytes = |longest| prop::option::of(prop::collection::vec(0_u8..5, 0..longest));
    let headers = prop::collection::btree_map("[a-c]{1,3}", bytes(9), 0..3).prop_map(|map| map.into_iter().collect());
    (0_i64..1 << 41, bytes(40), bytes(2000), headers)
}

fn compression(codec: Codec) -> oracle::Compression {
    match codec {
        Codec::None => oracle::Compression::None,
        Codec::Gzip => oracle::Compression::Gzip,
        Codec::Snappy => oracle::Compression::Snappy,
        Codec::Lz4 => oracle::Compression::Lz4,
        Codec::Zstd => oracle::Compression::Zstd,
    }
}

fn oracle_record(index: i32, (timestamp, key, value, headers): &Plain) -> oracle::Record {
    let owned = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| Bytes::copy_from_slice(bytes));
    let headers: IndexMap<_, _> =
        headers.iter().map(|(name, value)| (StrBytes::from_string(name.clone()), owned(value))).collect();
    oracle::Record {
        transactional: true,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 6,
        producer_id: 77,
        producer_epoch: 3,
        timestamp_type: oracle::TimestampType::Creation,
        offset: i64::from(index),
        sequence: 11 + index,
        timestamp: *timestamp,
        key: owned(key),
        value: owned(value),
        headers,
    }
}

fn encode_by_oracle(codec: Codec, all: &[Plain]) -> Bytes {
    let records: Vec<_> = (0..).zip(all).map(|(index, one)| oracle_record(index, one)).collect();
    let mut buffer = BytesMut::new();
    let options = oracle::RecordEncodeOptions { version: 2, compression: compression(codec) };
    oracle::RecordBatchEncoder::encode(&mut buffer, &records, &options).unwrap();
    buffer.freeze()
}

fn build(codec: Codec, all: &[Plain]) -> Bytes {
    let mut builder = Builder::new(Template {
        leader_epoch: LeaderEpoch(6),
        codec,
        level: codec.default_level(),
        producer_id: ProducerId(77),
        producer_epoch: ProducerEpoch(3),
        base_sequence: Sequence(11),
        transactional: true,
        ..Template::default()
    });
    for (timestamp, key, value, headers) in all {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_deref())).collect();
        builder.append(Timestamp(*timestamp), key.as_deref(), value.as_deref(), &headers);
    }
    builder.finish()
}

fn read(batch: &[u8]) -> Vec<Plain> {
    let mut reader = records(batch, 1 << 20).unwrap();
    let mut all = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        assert_eq!(record.offset, Offset(i64::try_from(all.len()).unwrap()));
        let headers =
            record.headers.map(|(name, value)| (String::from_utf8(name.to_vec()).unwrap(), value.map(<[u8]>::to_vec)));
        let bytes = |field: Option<&[u8]>| field.map(<[u8]>::to_vec);
        all.push((record.timestamp.0, bytes(record.key), bytes(record.value), headers.collect()));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn both_sides_read_each_other(
        codec in prop::sample::select(Codec::ALL.to_vec()),
        all in prop::collection::vec(plain(), 1..40),
    ) {
        let theirs = encode_by_oracle(codec, &all);
        let rules = Rules { client: true, ..Rules::default() };
        let accepted = validate(theirs.clone(), &rules).unwrap();
        prop_assert_eq!(accepted[0].header.last_sequence(), Sequence(10 + i32::try_from(all.len()).unwrap()));
        prop_assert_eq!(read(&theirs), all.clone());

        let ours = build(codec, &all);
        let expected: Vec<_> = (0..).zip(&all).map(|(index, one)| oracle_record(index, one)).collect();
        let decoded = oracle::RecordBatchDecoder::decode(&mut ours.clone()).unwrap();
        prop_assert_eq!(decoded.records, expected);
    }
}
