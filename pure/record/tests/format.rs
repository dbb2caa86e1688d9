//! Batches against bytes written down from the format's description, and round trips through every codec.

use bytes::Bytes;
use proptest::prelude::*;
use record::{
    Batches, Builder, Cleaned, Cleaning, Codec, HEADER_BYTES, Header, Invalid, Rules, Template, clean, crc_matches,
    crc32c, records, validate,
};
use types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// Two records: "k1" -> "v1" with a header, then one without key and value.
fn by_hand() -> Vec<u8> {
    let mut batch = vec![
        0, 0, 0, 0, 0, 0, 0, 7, // base offset 7
        0, 0, 0, 74, // length after this field: 49 bytes of header, then records of 17 and 8 bytes
        0, 0, 0, 3, // leader epoch 3
        2, // magic
        0, 0, 0, 0, // checksum, set below
        0, 0x10, // transactional, no compression
        0, 0, 0, 1, // last offset delta 1
        0, 0, 0, 0, 0, 0, 0x03, 0xe8, // base timestamp 1000
        0, 0, 0, 0, 0, 0, 0x04, 0x4c, // max timestamp 1100
        0, 0, 0, 0, 0, 0, 0, 5, // producer id 5
        0, 2, // producer epoch 2
        0x7f, 0xff, 0xff, 0xff, // base sequence i32::MAX
        0, 0, 0, 2, // record count 2
    ];
    assert_eq!(batch.len(), HEADER_BYTES);
    // 16 bytes: attributes, timestamp delta 0, offset delta 0, key, value, one header "head" without a value.
    batch.extend([32, 0, 0, 0, 4, b'k', b'1', 4, b'v', b'1', 2, 8, b'h', b'e', b'a', b'd', 1]);
    // 7 bytes: attributes, timestamp delta 100, offset delta 1, null key, null value, no headers.
    batch.extend([14, 0, 0xc8, 0x01, 2, 1, 1, 0]);
    let crc = crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

#[test]
fn crc_is_castagnoli() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c(b""), 0);
}

#[test]
fn reads_a_batch_written_by_hand() {
    let batch = by_hand();
    assert!(crc_matches(&batch));
    let header = Header::parse(&batch).unwrap();
    assert_eq!(header.size_bytes(), batch.len());
    assert_eq!((header.base_offset, header.last_offset()), (Offset(7), Offset(8)));
    assert_eq!((header.leader_epoch, header.record_count), (LeaderEpoch(3), 2));
    assert_eq!((header.base_sequence, header.last_sequence()), (Sequence(i32::MAX), Sequence(0)));
    assert!(header.attributes.is_transactional() && !header.attributes.is_control());
    assert_eq!(&header.encode()[..], &batch[..HEADER_BYTES]);

    let mut reader = records(&batch, 0).unwrap();
    let first = reader.next_record().unwrap().unwrap();
    assert_eq!((first.offset, first.timestamp), (Offset(7), Timestamp(1000)));
    assert_eq!((first.key, first.value), (Some(&b"k1"[..]), Some(&b"v1"[..])));
    assert_eq!(first.headers.collect::<Vec<_>>(), [(&b"head"[..], None)]);
    let second = reader.next_record().unwrap().unwrap();
    assert_eq!((second.offset, second.timestamp), (Offset(8), Timestamp(1100)));
    assert_eq!((second.key, second.value, second.headers.is_empty()), (None, None, true));
    assert_eq!(reader.next_record(), Ok(None));
}

#[test]
fn builds_the_batch_written_by_hand() {
    let mut builder = Builder::new(Template {
        base_offset: Offset(7),
        leader_epoch: LeaderEpoch(3),
        producer_id: ProducerId(5),
        producer_epoch: ProducerEpoch(2),
        base_sequence: Sequence(i32::MAX),
        transactional: true,
        ..Template::default()
    });
    builder.append(Timestamp(1000), Some(b"k1"), Some(b"v1"), &[(b"head", None)]);
    builder.append(Timestamp(1100), None, None, &[]);
    assert_eq!(builder.finish(), by_hand());
}

#[test]
fn batches_end_at_a_torn_tail() {
    let batch = by_hand();
    let mut bytes = [batch.clone(), batch.clone()].concat();
    assert_eq!(Batches::new(&bytes).map(Result::unwrap).count(), 2);
    bytes.extend(&batch[..70]);
    let mut batches = Batches::new(&bytes);
    let found: Vec<_> = batches.by_ref().collect();
    assert_eq!(found.len(), 3);
    assert_eq!(found[2], Err(Invalid::Truncated { needed: batch.len(), found: 70 }));
    assert_eq!(batches.position(), 2 * batch.len());
    bytes[16] = 1;
    assert_eq!(Batches::new(&bytes).next(), Some(Err(Invalid::BadMagic { magic: 1 })));
}

type Owned = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

fn field(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    // Few letters, so that there is something to compress.
    prop::collection::vec(0_u8..4, 0..longest)
}

fn owned() -> impl Strategy<Value = Owned> {
    let headers = prop::collection::vec((field(8), prop::option::of(field(20))), 0..3);
    (-1_i64..1 << 41, prop::option::of(field(300)), prop::option::of(field(3000)), headers)
}

fn codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(Codec::ALL.to_vec())
}

fn build(template: Template, all: &[Owned]) -> Bytes {
    let mut builder = Builder::new(template);
    for (timestamp, key, value, headers) in all {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (&name[..], value.as_deref())).collect();
        builder.append(Timestamp(*timestamp), key.as_deref(), value.as_deref(), &headers);
    }
    builder.finish()
}

fn read_all(batch: &[u8], limit: usize) -> Result<Vec<Owned>, Invalid> {
    let mut reader = records(batch, limit)?;
    let mut all = Vec::new();
    while let Some(record) = reader.next_record()? {
        let headers = record.headers.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect();
        all.push((record.timestamp.0, record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec), headers));
    }
    Ok(all)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn records_round_trip(codec in codec(), level in -2..12, all in prop::collection::vec(owned(), 1..60)) {
        let batch = build(Template { base_offset: Offset(40), codec, level, ..Template::default() }, &all);
        let header = Header::parse(&batch).unwrap();
        prop_assert!(crc_matches(&batch));
        prop_assert_eq!(header.attributes.codec(), Ok(codec));
        prop_assert_eq!(header.max_timestamp.0, all.iter().map(|one| one.0).max().unwrap());
        prop_assert_eq!(read_all(&batch, 1 << 20), Ok(all));
    }

    #[test]
    fn flipped_bytes_never_panic(codec in codec(), all in prop::collection::vec(owned(), 1..20),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut batch = build(Template { codec, level: 1, ..Template::default() }, &all).to_vec();
        for (index, byte) in flips {
            let at = index.index(batch.len());
            batch[at] = byte;
        }
        if let Ok(read) = read_all(&batch, 1 << 18) {
            let bytes: usize = read.iter().map(|one| one.2.as_ref().map_or(0, Vec::len)).sum();
            prop_assert!(bytes <= 1 << 18 || codec == Codec::None);
        }
        let _ = Batches::new(&batch).count();
    }

    /// With a checksum that is right again, so that the checks behind it are reached.
    #[test]
    fn what_is_accepted_can_be_read(codec in codec(), all in prop::collection::vec(owned(), 1..20),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            compacted in any::<bool>(), target in prop::option::of(codec()), client in any::<bool>()) {
        let template = Template { codec, level: 1, ..Template::default() };
        let mut batch = build(template, &all).to_vec();
        for (index, byte) in flips {
            // Not the length, which would only cut the batch off.
            let at = 12 + index.index(batch.len() - 12);
            batch[at] = byte;
        }
        let crc = crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        let rules = Rules { client, compacted, target_codec: target.map(|codec| (codec, 1)), ..Rules::default() };
        if let Ok(accepted) = validate(batch.clone().into(), &rules) {
            let written = [&accepted[0].head[..], &accepted[0].body].concat();
            prop_assert!(crc_matches(&written));
            let kept_unopened = accepted[0].header.attributes.codec() != Ok(Codec::None);
            let read = read_all(&written, 1 << 20);
            prop_assert!(kept_unopened || read.is_ok(), "{:?}", read);
        }
        let cleaning = Cleaning {
            now: Timestamp(1 << 40), delete_retention_ms: 1, discard: compacted, retain_empty: client, limit_bytes: 1 << 20,
        };
        let mut turn = false;
        if let Ok(Cleaned::Rewritten(bytes)) = clean(&batch, &cleaning, |_| { turn = !turn; turn }) {
            prop_assert!(crc_matches(&bytes) && read_all(&bytes, 1 << 20).is_ok());
        }
    }

    #[test]
    fn cut_batches_never_panic(codec in codec(), all in prop::collection::vec(owned(), 1..20), cut in any::<prop::sample::Index>()) {
        let batch = build(Template { codec, level: 1, ..Template::default() }, &all);
        let cut = cut.index(batch.len());
        prop_assert!(read_all(&batch[..cut], 1 << 20).is_err());
        // A whole batch by its header, whose compressed bytes end too early.
        if cut > HEADER_BYTES {
            let mut short = batch[..cut].to_vec();
            short[8..12].copy_from_slice(&u32::try_from(cut - 12).unwrap().to_be_bytes());
            let read = read_all(&short, 1 << 20);
            prop_assert!(read.is_err() || read == Ok(all), "an lz4 end mark may be missing, a record may not");
        }
    }
}

#[test]
fn a_bomb_stops_at_its_limit() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut builder = Builder::new(Template { codec, level: 3, ..Template::default() });
        builder.append(Timestamp(0), None, Some(&vec![7; 8 << 20]), &[]);
        let batch = builder.finish();
        assert_eq!(read_all(&batch, 1 << 20), Err(Invalid::TooLarge { limit_bytes: 1 << 20 }), "{codec}");
        assert!(read_all(&batch, 9 << 20).is_ok(), "{codec}");
    }
}
