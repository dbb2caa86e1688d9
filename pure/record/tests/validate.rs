//! What a leader accepts from producers, what it refuses, and what it changes.

use bytes::Bytes;
use record::{
    Builder, Codec, EndTransaction, HEADER_BYTES, Header, Rejected, Rules, Template, TimestampType, crc_matches,
    crc32c, records, validate,
};
use types::{ErrorCode, LeaderEpoch, Offset, ProducerId, Sequence, Timestamp};

const NOW: Timestamp = Timestamp(1_000_000);

fn rules() -> Rules {
    Rules { client: true, now: NOW, max_message_bytes: 1 << 20, after_max_ms: 1000, ..Rules::default() }
}

fn batch_of(template: Template, timestamps: &[i64]) -> Vec<u8> {
    let mut builder = Builder::new(template);
    for (index, timestamp) in timestamps.iter().enumerate() {
        let key = (index != 1).then_some(&b"key"[..]);
        builder.append(Timestamp(*timestamp), key, Some(&b"a value, a value, a value"[..]), &[(b"h", None)]);
    }
    builder.finish().to_vec()
}

/// Three records, of which the second has no key.
fn batch() -> Vec<u8> {
    batch_of(Template::default(), &[999_000, 1_000_000, 999_500])
}

fn compressed(codec: Codec) -> Vec<u8> {
    let template = Template { codec, level: codec.default_level(), ..Template::default() };
    batch_of(template, &[999_000, 1_000_000, 999_500])
}

fn seal(batch: &mut [u8]) {
    let crc = crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

fn refusal(batch: &[u8], rules: &Rules) -> Rejected {
    validate(Bytes::copy_from_slice(batch), rules).expect_err("must be refused")
}

/// The code with which a batch is refused that was changed at one position and sealed again.
fn changed(at: usize, bytes: &[u8]) -> ErrorCode {
    let mut batch = batch();
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    seal(&mut batch);
    refusal(&batch, &rules()).code
}

#[test]
fn takes_a_sound_batch_as_it_is() {
    for codec in Codec::ALL {
        let bytes = Bytes::from(compressed(codec));
        let mut batches = validate(bytes.clone(), &rules()).unwrap();
        assert_eq!(batches.len(), 1);
        let batch = &mut batches[0];
        assert_eq!(&batch.head[..], &bytes[..HEADER_BYTES]);
        assert_eq!(batch.body.as_ptr(), bytes[HEADER_BYTES..].as_ptr(), "the records are not copied");
        batch.place(Offset(70), LeaderEpoch(9));
        let written = [&batch.head[..], &batch.body].concat();
        assert_eq!((written.len(), crc_matches(&written)), (batch.size_bytes(), true));
        assert_eq!(Header::parse(&written), Ok(batch.header));
        assert_eq!(batch.header.last_offset(), Offset(72));
    }
}

#[test]
fn refuses_what_kafka_refuses() {
    let invalid = ErrorCode::INVALID_RECORD;
    assert_eq!(changed(16, &[1]), invalid, "the old format");
    assert_eq!(changed(16, &[3]), ErrorCode::CORRUPT_MESSAGE, "an unknown format");
    assert_eq!(changed(8, &[0xff; 4]), ErrorCode::CORRUPT_MESSAGE, "a negative length");
    assert_eq!(changed(0, &[0, 0, 0, 0, 0, 0, 0, 1]), invalid, "a base offset");
    assert_eq!(changed(21, &[0, 1 << 5]), invalid, "a control batch");
    assert_eq!(changed(21, &[0, 1 << 3]), ErrorCode::INVALID_TIMESTAMP, "append time");
    assert_eq!(changed(21, &[0, 7]), ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, "an unknown codec");
    assert_eq!(changed(23, &[0, 0, 0, 3]), invalid, "offsets and count differ");
    assert_eq!(changed(23, &[0, 0, 0, 1, 0]), invalid, "offsets and count differ");
    assert_eq!(changed(57, &[0, 0, 0, 0]), invalid, "no records");
    assert_eq!(changed(57, &[0xff; 4]), invalid, "a negative count");
    assert_eq!(changed(43, &[0; 8]), invalid, "a producer without a sequence");
    assert_eq!(changed(HEADER_BYTES, &[2]), invalid, "a record too short");
    assert_eq!(changed(HEADER_BYTES, &[0xfe, 0xff, 0xff, 0xff]), invalid, "a record too long");
    assert_eq!(changed(HEADER_BYTES + 3, &[2]), invalid, "an offset delta out of order");

    assert_eq!(refusal(&[], &rules()).code, invalid);
    let batch = batch();
    assert_eq!(refusal(&batch[..batch.len() - 1], &rules()).code, invalid, "cut off");
    assert_eq!(refusal(&batch[..30], &rules()).code, invalid, "cut off in the header");
    assert_eq!(refusal(&[batch.clone(), batch.clone()].concat(), &rules()).code, invalid, "two batches");
    let mut flipped = batch.clone();
    flipped[HEADER_BYTES + 10] ^= 1;
    assert_eq!(refusal(&flipped, &rules()).code, ErrorCode::CORRUPT_MESSAGE, "a wrong checksum");
    let small = Rules { max_message_bytes: batch.len() - 1, ..rules() };
    assert_eq!(refusal(&batch, &small).code, ErrorCode::MESSAGE_TOO_LARGE);
    assert!(validate(batch.into(), &Rules { max_message_bytes: small.max_message_bytes + 1, ..small }).is_ok());
}

#[test]
fn fewer_or_more_records_than_the_count_are_refused() {
    for codec in Codec::ALL {
        for count in [2_u8, 4] {
            let mut batch = compressed(codec);
            batch[60] = count;
            batch[26] = count - 1;
            seal(&mut batch);
            let rules = Rules { compacted: true, ..rules() };
            let refused = refusal(&batch, &rules);
            assert_eq!((refused.code, refused.record_errors.len()), (ErrorCode::INVALID_RECORD, 0), "{codec} {count}");
        }
    }
}

#[test]
fn the_broker_may_write_what_producers_may_not() {
    let template = Template { producer_id: ProducerId(8), ..Template::default() };
    let marker = EndTransaction { commit: true, coordinator_epoch: 3 }.batch(template, NOW);
    assert_eq!(refusal(&marker, &rules()).code, ErrorCode::INVALID_RECORD);
    let two = Bytes::from([&marker[..], &batch()].concat());
    let own = Rules { client: false, target_codec: Some((Codec::Lz4, 1)), ..rules() };
    let batches = validate(two, &own).unwrap();
    let codecs: Vec<_> = batches.iter().map(|batch| batch.header.attributes.codec().unwrap()).collect();
    assert_eq!(codecs, [Codec::None, Codec::Lz4], "control batches are never compressed");
    assert_eq!(batches[0].header.base_sequence, Sequence::NONE);
    let mut reader = records(&marker, 0).unwrap();
    let record = reader.next_record().unwrap().unwrap();
    assert_eq!(EndTransaction::of(&record), Some(EndTransaction { commit: true, coordinator_epoch: 3 }));
    assert_eq!((record.key.unwrap(), record.value.unwrap()), (&[0, 0, 0, 1][..], &[0, 0, 0, 0, 0, 3][..]));
}

#[test]
fn timestamps_out_of_range_are_named() {
    for codec in Codec::ALL {
        let template = Template { codec, level: codec.default_level(), ..Template::default() };
        let late = batch_of(template, &[1_000_000, 1_001_001, 1_001_000, 2_000_000]);
        let refused = refusal(&late, &rules());
        assert_eq!(refused.code, ErrorCode::INVALID_TIMESTAMP, "{codec}");
        assert_eq!(refused.record_errors.iter().map(|one| one.0).collect::<Vec<_>>(), [1, 3]);
        assert!(refused.message.contains("message.timestamp.after.max.ms"), "{}", refused.message);
        let early = batch_of(template, &[500, -1, 999_999]);
        let rules = Rules { before_max_ms: 1000, ..rules() };
        assert_eq!(refusal(&early, &rules).record_errors.len(), 1, "a record without a timestamp is fine");
        let untimed = batch_of(template, &[-1, -1]);
        assert!(validate(untimed.into(), &rules).is_ok());
        let dated_by_us = Rules { timestamp_type: TimestampType::LogAppendTime, ..rules };
        assert!(validate(late.into(), &dated_by_us).is_ok());
    }
}

#[test]
fn a_compacted_topic_needs_keys() {
    for codec in Codec::ALL {
        let refused = refusal(&compressed(codec), &Rules { compacted: true, ..rules() });
        assert_eq!(refused.code, ErrorCode::INVALID_RECORD);
        assert_eq!(refused.record_errors.len(), 1);
        assert_eq!(refused.record_errors[0].0, 1, "{codec}");
    }
    // One wrong timestamp makes it a refusal of timestamps.
    let both = batch_of(Template::default(), &[1_000_000, 1_000_000, 2_000_000]);
    let refused = refusal(&both, &Rules { compacted: true, ..rules() });
    assert_eq!((refused.code, refused.record_errors.len()), (ErrorCode::INVALID_TIMESTAMP, 2));
}

#[test]
fn append_time_and_max_timestamp_are_patched_without_a_copy() {
    for codec in Codec::ALL {
        let bytes = Bytes::from(compressed(codec));
        let own = Rules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
        let batch = validate(bytes.clone(), &own).unwrap().remove(0);
        assert_eq!(batch.body.as_ptr(), bytes[HEADER_BYTES..].as_ptr());
        let written = [&batch.head[..], &batch.body].concat();
        assert!(crc_matches(&written));
        let mut reader = records(&written, 1 << 20).unwrap();
        while let Some(record) = reader.next_record().unwrap() {
            assert_eq!(record.timestamp, NOW);
        }
    }
    let mut wrong = batch();
    wrong[35..43].copy_from_slice(&5_i64.to_be_bytes());
    seal(&mut wrong);
    let fixed = validate(wrong.into(), &rules()).unwrap().remove(0);
    assert_eq!(fixed.header.max_timestamp, Timestamp(1_000_000));
    assert!(crc_matches(&[&fixed.head[..], &fixed.body].concat()));
}

#[test]
fn the_topic_chooses_the_codec() {
    for from in Codec::ALL {
        for to in Codec::ALL {
            let own = Rules { target_codec: Some((to, to.default_level())), ..rules() };
            let bytes = Bytes::from(compressed(from));
            let batch = validate(bytes.clone(), &own).unwrap().remove(0);
            assert_eq!(batch.header.attributes.codec(), Ok(to));
            assert_eq!(batch.header.size_bytes(), batch.size_bytes());
            let written = [&batch.head[..], &batch.body].concat();
            assert!(crc_matches(&written));
            let (mut before, mut after) = (records(&bytes, 1 << 20).unwrap(), records(&written, 1 << 20).unwrap());
            while let Some(record) = before.next_record().unwrap() {
                assert_eq!(after.next_record(), Ok(Some(record)), "{from} to {to}");
            }
            assert_eq!(after.next_record(), Ok(None));
            let tight = Rules { decompressed_bytes_max: 50, ..own };
            if from != to && from != Codec::None {
                assert_eq!(refusal(&bytes, &tight).code, ErrorCode::MESSAGE_TOO_LARGE);
            }
        }
    }
}
