//! One partition over a disk in memory, without a broker around it.

use crate::{Acks, Fired, Isolation, OffsetSpec, Origin, Read, Replica};
use bytes::Bytes;
use log::{Config, DiskFile, Identity, Log, MemoryDisk};
use record::{Builder, EndTransaction, Template};
use std::sync::Arc;
use types::{
    ErrorCode, Instant, LeaderEpoch, NodeId, Now, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp, Uuid,
};

fn now(ms: i64) -> Now {
    Now { at: Instant(u64::try_from(ms).unwrap() * 1000), wall: Timestamp(ms) }
}

fn replica(disk: &MemoryDisk, config: Config) -> Replica<MemoryDisk> {
    let identity = Identity { folder: "topic-0".into(), topic: Uuid([7; 16]) };
    Replica::lead(Log::create(disk.clone(), identity, Arc::new(config), now(1)), NodeId(1), LeaderEpoch(3))
}

fn batch(values: &[&str], at: i64) -> Bytes {
    let mut builder = Builder::new(Template::default());
    for value in values {
        builder.append(Timestamp(at), None, Some(value.as_bytes()), &[]);
    }
    builder.finish()
}

fn values(replica: &mut Replica<MemoryDisk>, read: &Read) -> Vec<(i64, String)> {
    let slice = replica.read(now(9), read).unwrap();
    let mut out = Vec::new();
    for piece in &slice.pieces {
        let mut bytes = vec![0; piece.length as usize];
        assert_eq!(piece.file.read_at(piece.position, &mut bytes).unwrap(), bytes.len());
        for item in record::Batches::new(&bytes) {
            let (header, batch) = item.unwrap();
            assert!(record::crc_matches(batch));
            assert_eq!(header.leader_epoch, LeaderEpoch(3));
            let mut records = record::records(batch, 1 << 20).unwrap();
            while let Some(record) = records.next_record().unwrap() {
                out.push((record.offset.0, String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
            }
        }
    }
    out
}

#[test]
fn appends_in_one_write_and_reads_them_back() {
    let disk = MemoryDisk::new(1);
    let mut replica = replica(&disk, Config::default());
    assert!(disk.files().is_empty(), "an empty partition costs no file");
    let first = replica.append(now(5), batch(&["a", "b"], 5), Origin::Client, Acks::All).unwrap();
    assert_eq!((first.base_offset, first.end_offset), (Offset(0), Offset(2)));
    let before = disk.counts();
    let second = replica.append(now(6), batch(&["c"], 6), Origin::Client, Acks::All).unwrap();
    assert_eq!(second.base_offset, Offset(2));
    assert_eq!(disk.counts().writes, before.writes + 1);
    assert_eq!(disk.counts().reads, before.reads, "the tail is known without reading");
    assert_eq!(replica.high_watermark(), Offset(3));
    let all = values(&mut replica, &Read::default());
    assert_eq!(all, [(0, "a".into()), (1, "b".into()), (2, "c".into())]);
    // A fetch from the middle of a batch gets the whole batch.
    let tail = values(&mut replica, &Read { offset: Offset(1), max_bytes: 10, ..Read::default() });
    assert_eq!(tail, [(0, "a".into()), (1, "b".into())]);
    let none = values(&mut replica, &Read { max_bytes: 10, min_one_batch: false, ..Read::default() });
    assert_eq!(none, []);
    assert_eq!(values(&mut replica, &Read { offset: Offset(3), ..Read::default() }), []);
    let beyond = replica.read(now(9), &Read { offset: Offset(4), ..Read::default() }).unwrap_err();
    assert_eq!(beyond.code, ErrorCode::OFFSET_OUT_OF_RANGE);
}

#[test]
fn group_commit_waits_for_the_sync_that_covers_it() {
    let disk = MemoryDisk::new(1);
    let mut replica = replica(&disk, Config { flush_messages: 1, ..Config::default() });
    let mut fired = Vec::new();
    replica.append(now(5), batch(&["a"], 5), Origin::Client, Acks::All).unwrap();
    assert!(replica.needs_sync(now(5).at));
    replica.wait_committed(Offset(1), 11);
    replica.watch(Isolation::HighWatermark, 12);
    let job = replica.start_sync(now(7).at).unwrap();
    assert!(!replica.needs_sync(now(5).at), "one at a time");
    replica.append(now(6), batch(&["b"], 6), Origin::Client, Acks::All).unwrap();
    replica.wait_committed(Offset(2), 13);
    replica.take_fired(&mut fired);
    assert_eq!(fired, []);
    assert_eq!(values(&mut replica, &Read::default()), []);
    replica.sync_done(now(7), job.run());
    replica.take_fired(&mut fired);
    assert_eq!(fired, [Fired::Committed { waiter: 11 }, Fired::Changed { watcher: 12 }]);
    assert_eq!(values(&mut replica, &Read::default()), [(0, "a".into())]);
    assert_eq!(values(&mut replica, &Read { isolation: Isolation::LogEnd, ..Read::default() }).len(), 2);
    assert!(replica.needs_sync(now(7).at));
    let job = replica.start_sync(now(7).at).unwrap();
    replica.cancel(13);
    replica.sync_done(now(8), job.run());
    fired.clear();
    replica.take_fired(&mut fired);
    assert_eq!(fired, []);
    assert_eq!(replica.high_watermark(), Offset(2));
}

#[test]
fn epochs_and_offsets_are_answered() {
    let disk = MemoryDisk::new(1);
    let mut replica = replica(&disk, Config::default());
    let earliest = replica.list_offset(OffsetSpec::Earliest, Isolation::HighWatermark, LeaderEpoch(3)).unwrap();
    assert_eq!((earliest.offset, earliest.leader_epoch), (Offset(0), LeaderEpoch(3)));
    assert_eq!(replica.offset_for_leader_epoch(LeaderEpoch(3), LeaderEpoch::NONE), Ok((LeaderEpoch(3), Offset(0))));
    for (at, value) in [(10, "a"), (30, "b"), (20, "c")] {
        replica.append(now(at), batch(&[value], at), Origin::Client, Acks::All).unwrap();
    }
    let mut list = |spec| {
        let found = replica.list_offset(spec, Isolation::HighWatermark, LeaderEpoch(3)).unwrap();
        (found.offset.0, found.timestamp.0, found.leader_epoch.0)
    };
    assert_eq!(list(OffsetSpec::Earliest), (0, -1, 3));
    assert_eq!(list(OffsetSpec::Latest), (3, -1, 3));
    assert_eq!(list(OffsetSpec::MaxTimestamp), (1, 30, 3));
    assert_eq!(list(OffsetSpec::At(Timestamp(11))), (1, 30, 3));
    assert_eq!(list(OffsetSpec::At(Timestamp(31))), (-1, -1, -1));
    assert_eq!(list(OffsetSpec::LatestTiered), (-1, -1, -1));
    let fenced = replica.list_offset(OffsetSpec::Latest, Isolation::HighWatermark, LeaderEpoch(2)).unwrap_err();
    assert_eq!(fenced.code, ErrorCode::FENCED_LEADER_EPOCH);
    let unknown = replica.read(now(1), &Read { current_leader_epoch: LeaderEpoch(4), ..Read::default() }).unwrap_err();
    assert_eq!(unknown.code, ErrorCode::UNKNOWN_LEADER_EPOCH);
    let ahead = replica.read(now(1), &Read { last_fetched_epoch: LeaderEpoch(4), ..Read::default() }).unwrap_err();
    assert_eq!(ahead.code, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(replica.offset_for_leader_epoch(LeaderEpoch(3), LeaderEpoch::NONE), Ok((LeaderEpoch(3), Offset(3))));
    assert_eq!(replica.delete_records(Offset(2)), Ok(Offset(2)));
    assert_eq!(replica.delete_records(Offset(4)).unwrap_err().code, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(replica.read(now(1), &Read::default()).unwrap_err().code, ErrorCode::OFFSET_OUT_OF_RANGE);
}

#[test]
fn a_full_disk_refuses_and_a_failing_one_takes_the_partition_offline() {
    let disk = MemoryDisk::new(1);
    let mut replica = replica(&disk, Config::default());
    replica.append(now(5), batch(&["a"], 5), Origin::Client, Acks::All).unwrap();
    disk.set_capacity_bytes(150);
    let refused = replica.append(now(6), batch(&["b"], 6), Origin::Client, Acks::All).unwrap_err();
    assert_eq!(refused.code, ErrorCode::KAFKA_STORAGE_ERROR);
    assert_eq!(replica.offline_reason(), None);
    assert_eq!(values(&mut replica, &Read::default()), [(0, "a".into())]);
    disk.set_capacity_bytes(u64::MAX);
    assert_eq!(replica.append(now(7), batch(&["c"], 7), Origin::Client, Acks::All).unwrap().base_offset, Offset(1));
    assert_eq!(values(&mut replica, &Read::default()), [(0, "a".into()), (1, "c".into())]);
    replica.watch(Isolation::HighWatermark, 9);
    disk.inject(log::Fault {
        operation: log::Operation::Write,
        path: ".log".into(),
        kind: log::ErrorKind::Failed,
        after: 0,
        times: 1,
        torn_bytes: 10,
    });
    let failed = replica.append(now(8), batch(&["d"], 8), Origin::Client, Acks::All).unwrap_err();
    assert_eq!(failed.code, ErrorCode::KAFKA_STORAGE_ERROR);
    assert!(replica.offline_reason().is_some_and(|reason| reason.contains("topic-0/00000000000000000000.log")));
    let mut fired = Vec::new();
    replica.take_fired(&mut fired);
    assert_eq!(fired, [Fired::Changed { watcher: 9 }]);
}

#[test]
fn committed_readers_see_no_undecided_record() {
    let disk = MemoryDisk::new(1);
    let mut replica = replica(&disk, Config::default());
    let template = Template {
        producer_id: ProducerId(4),
        producer_epoch: ProducerEpoch(0),
        base_sequence: Sequence(0),
        transactional: true,
        ..Template::default()
    };
    let mut builder = Builder::new(template);
    builder.append(Timestamp(1), None, Some(b"t"), &[]);
    replica.append(now(1), batch(&["a"], 1), Origin::Client, Acks::All).unwrap();
    replica.append(now(1), builder.finish(), Origin::Client, Acks::All).unwrap();
    replica.append(now(1), batch(&["b"], 1), Origin::Client, Acks::All).unwrap();
    let committed = Read { isolation: Isolation::Committed, ..Read::default() };
    assert_eq!(replica.last_stable_offset(), Offset(1));
    assert_eq!(values(&mut replica, &committed), [(0, "a".into())]);
    let latest = replica.list_offset(OffsetSpec::Latest, Isolation::Committed, LeaderEpoch::NONE).unwrap();
    assert_eq!(latest.offset, Offset(1));
    replica.watch(Isolation::HighWatermark, 3);
    let abort = EndTransaction { commit: false, coordinator_epoch: 1 }.batch(template, Timestamp(2));
    replica.append(now(2), abort, Origin::Coordinator, Acks::All).unwrap();
    let mut fired = Vec::new();
    replica.take_fired(&mut fired);
    assert_eq!(fired, [Fired::Changed { watcher: 3 }]);
    assert_eq!(replica.last_stable_offset(), Offset(4));
    let slice = replica.read(now(3), &committed).unwrap();
    assert_eq!(slice.aborted, [(ProducerId(4), Offset(1))]);
    let behind = replica.read(now(3), &Read { offset: Offset(4), ..committed }).unwrap();
    assert_eq!((behind.length(), behind.aborted), (0, vec![]));
}

#[test]
fn a_restart_keeps_what_was_acknowledged() {
    let disk = MemoryDisk::new(1);
    let config = Config { flush_messages: 1, ..Config::default() };
    let mut before = replica(&disk, config.clone());
    before.append(now(5), batch(&["a"], 5), Origin::Client, Acks::All).unwrap();
    let job = before.start_sync(now(5).at).unwrap();
    before.sync_done(now(5), job.run());
    before.append(now(5), batch(&["b"], 5), Origin::Client, Acks::All).unwrap();
    disk.lose_power();
    let recovery = log::Recovery {
        disk: disk.clone(),
        identity: Identity { folder: "topic-0".into(), topic: Uuid([7; 16]) },
        config: Arc::new(config),
        now: now(6),
        trust: log::Trust::PowerLost,
        recovery_point: Offset(0),
        start_offset: Offset(0),
        cleaned_to: Offset(0),
    };
    let (log, _) = recovery.run().unwrap();
    let mut after = Replica::lead(log, NodeId(1), LeaderEpoch(3));
    assert!(after.high_watermark() >= Offset(1));
    assert_eq!(values(&mut after, &Read::default())[0], (0, "a".into()));
}

#[test]
fn an_idle_partition_is_small() {
    // Ten thousand of them share a node.
    assert!(size_of::<Replica<MemoryDisk>>() <= 1024, "{}", size_of::<Replica<MemoryDisk>>());
}
