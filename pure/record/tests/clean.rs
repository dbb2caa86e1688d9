//! What compaction makes of one batch.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use record::{
    Builder, Cleaned, Cleaning, Codec, ControlType, EndTransaction, Header, Template, clean, crc_matches, records,
};
use types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

const CLEANING: Cleaning = Cleaning {
    now: Timestamp(10_000),
    delete_retention_ms: 500,
    discard: false,
    retain_empty: false,
    limit_bytes: 1 << 20,
};

fn template(codec: Codec) -> Template {
    Template {
        base_offset: Offset(100),
        leader_epoch: LeaderEpoch(4),
        codec,
        level: codec.default_level(),
        producer_id: ProducerId(9),
        producer_epoch: ProducerEpoch(1),
        base_sequence: Sequence(50),
        transactional: true,
        ..Template::default()
    }
}

/// Records with keys `a`, `b`, ...; a capital letter is a tombstone.
fn batch(codec: Codec, keys: &str) -> Bytes {
    let mut builder = Builder::new(template(codec));
    for (index, key) in (0..).zip(keys.chars()) {
        let name = key.to_string();
        let value = key.is_lowercase().then_some(&b"value"[..]);
        builder.append(Timestamp(7000 - index), Some(name.as_bytes()), value, &[(b"head", None)]);
    }
    builder.finish()
}

/// One line for what came out: offset, key and timestamp of each record.
fn show(batch: &[u8]) -> String {
    assert!(crc_matches(batch));
    let mut shown = String::new();
    let mut reader = records(batch, 1 << 20).unwrap();
    while let Some(record) = reader.next_record().unwrap() {
        let key = String::from_utf8_lossy(record.key.unwrap());
        assert_eq!(record.headers.count(), 1);
        shown += &format!("{}{key}@{} ", record.offset, record.timestamp);
    }
    shown + &format!("horizon={:?}", Header::parse(batch).unwrap().delete_horizon().map(|at| at.0))
}

fn run(batch: &[u8], cleaning: Cleaning, latest: &str) -> Cleaned {
    let is_latest = |key: &[u8]| latest.as_bytes().contains(&key[0]);
    clean(batch, &cleaning, |record| is_latest(record.key.unwrap())).unwrap()
}

fn rewritten(cleaned: Cleaned) -> Bytes {
    match cleaned {
        Cleaned::Rewritten(bytes) => bytes,
        other => panic!("expected a rewritten batch, not {other:?}"),
    }
}

#[test]
fn removed_records_leave_the_rest_in_place() {
    for codec in Codec::ALL {
        let before = batch(codec, "abcd");
        assert_eq!(run(&before, CLEANING, "abcd"), Cleaned::Kept);
        let after = rewritten(run(&before, CLEANING, "bd"));
        assert_eq!(show(&after), "101b@6999 103d@6997 horizon=None");
        let after = rewritten(run(&after, CLEANING, "b"));
        assert_eq!(show(&after), "101b@6999 horizon=None");
        let (old, new) = (Header::parse(&before).unwrap(), Header::parse(&after).unwrap());
        let kept = Header {
            batch_length: new.batch_length,
            crc: new.crc,
            base_timestamp: Timestamp(6999),
            max_timestamp: Timestamp(6999),
            record_count: 1,
            ..old
        };
        assert_eq!(new, kept, "offsets, producer, epochs and codec stay");
        assert_eq!(new.last_offset(), Offset(103));
    }
}

#[test]
fn tombstones_go_after_their_horizon() {
    let before = batch(Codec::Zstd, "aBc");
    let first = rewritten(run(&before, CLEANING, "aBc"));
    assert_eq!(show(&first), "100a@7000 101B@6999 102c@6998 horizon=Some(10500)");
    assert_eq!(run(&first, Cleaning { now: Timestamp(10_499), ..CLEANING }, "aBc"), Cleaned::Kept);
    let fewer = rewritten(run(&first, Cleaning { now: Timestamp(10_499), ..CLEANING }, "aB"));
    assert_eq!(show(&fewer), "100a@7000 101B@6999 horizon=Some(10500)");
    let late = Cleaning { now: Timestamp(10_500), ..CLEANING };
    assert_eq!(show(&rewritten(run(&first, late, "aBc"))), "100a@7000 102c@6998 horizon=Some(10500)");
    assert_eq!(run(&first, late, "B"), Cleaned::Dropped);
}

#[test]
fn an_empty_batch_stays_for_its_producer() {
    let before = batch(Codec::Lz4, "ab");
    assert_eq!(run(&before, CLEANING, ""), Cleaned::Dropped);
    let retain = Cleaning { retain_empty: true, ..CLEANING };
    let Cleaned::Emptied(empty) = run(&before, retain, "") else { panic!("expected an empty batch") };
    assert_eq!(show(&empty), "horizon=None");
    let (old, new) = (Header::parse(&before).unwrap(), Header::parse(&empty).unwrap());
    assert_eq!((new.record_count, new.last_offset()), (0, old.last_offset()));
    assert_eq!((new.producer_id, new.last_sequence()), (old.producer_id, old.last_sequence()));
    assert_eq!(new.max_timestamp, old.max_timestamp);
    assert_eq!(run(&empty, retain, ""), Cleaned::Kept);
    assert_eq!(run(&empty, CLEANING, ""), Cleaned::Dropped);
    assert_eq!(run(&before, Cleaning { discard: true, ..CLEANING }, "ab"), Cleaned::Dropped, "aborted");
}

#[test]
fn a_marker_goes_after_its_records_and_its_horizon() {
    let marker = EndTransaction { commit: false, coordinator_epoch: 2 }.batch(template(Codec::Gzip), Timestamp(5));
    assert_eq!(run(&marker, CLEANING, ""), Cleaned::Kept, "its transaction still has records");
    let discard = Cleaning { discard: true, ..CLEANING };
    let first = rewritten(run(&marker, discard, ""));
    let header = Header::parse(&first).unwrap();
    assert!(header.attributes.is_control() && header.attributes.is_transactional());
    assert_eq!(header.delete_horizon(), Some(Timestamp(10_500)));
    let mut reader = records(&first, 0).unwrap();
    let record = reader.next_record().unwrap().unwrap();
    assert_eq!((ControlType::of(&record), record.timestamp), (Some(ControlType::Abort), Timestamp(5)));
    assert_eq!(run(&first, discard, ""), Cleaned::Kept);
    assert_eq!(run(&first, Cleaning { now: Timestamp(10_500), ..discard }, ""), Cleaned::Dropped);
}
