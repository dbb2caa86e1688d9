//! A log that is copied from another, as a follower does it: what both know is the same, however the bytes were cut.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use log::{
    Config, Disk, DiskFile, ErrorKind, Fault, Identity, Log, MemoryDisk, Operation, Origin, Range, Recovery, Trust,
};
use record::{Builder, EndTransaction, Rules, Template};
use std::sync::Arc;
use types::{Instant, LeaderEpoch, Now, Offset, ProducerEpoch, ProducerId, Rng, Sequence, Timestamp, Uuid};

fn now(ms: i64) -> Now {
    Now { at: Instant(u64::try_from(ms).unwrap() * 1000), wall: Timestamp(ms) }
}

fn config(segment_bytes: u32) -> Arc<Config> {
    Arc::new(Config { segment_bytes, index_interval_bytes: 100, ..Config::default() })
}

fn create(disk: &MemoryDisk, segment_bytes: u32) -> Log<MemoryDisk> {
    let identity = Identity { folder: "t-0".into(), topic: Uuid([7; 16]) };
    Log::create(disk.clone(), identity, config(segment_bytes), now(1))
}

/// Plain, transactional and control batches of several epochs.
fn fill(log: &mut Log<MemoryDisk>, rng: &mut Rng) {
    let mut sequence = 0;
    let mut epoch = 0;
    for at in 1..60 {
        let template = match rng.below(3) {
            0 => Template::default(),
            _ => Template {
                producer_id: ProducerId(4),
                producer_epoch: ProducerEpoch(0),
                base_sequence: Sequence(sequence),
                transactional: true,
                ..Template::default()
            },
        };
        epoch += i32::from(rng.one_in(10));
        let (bytes, origin) = if template.transactional && rng.one_in(4) {
            let marker = EndTransaction { commit: rng.one_in(2), coordinator_epoch: 1 };
            (marker.batch(template, Timestamp(at)), Origin::Coordinator)
        } else {
            let mut builder = Builder::new(template);
            let count = 1 + i32::try_from(rng.below(4)).unwrap();
            for _ in 0..count {
                builder.append(Timestamp(at * 7 % 40), None, Some(&[b'v'; 30]), &[]);
            }
            if template.transactional {
                sequence += count;
            }
            (builder.finish(), Origin::Client)
        };
        let mut batches = record::validate(bytes, &Rules::default()).unwrap();
        log.append(now(at), &mut batches, LeaderEpoch(epoch), origin).unwrap();
    }
}

fn bytes_from(log: &mut Log<MemoryDisk>, from: Offset, max_bytes: u32) -> Vec<u8> {
    let range = Range { from, upper: log.end_offset(), max_bytes, min_one_batch: true };
    let Some(piece) = log.read(&range).unwrap() else { return Vec::new() };
    let mut bytes = vec![0; piece.length as usize];
    piece.file.read_at(piece.position, &mut bytes).unwrap();
    bytes
}

fn all_bytes(log: &mut Log<MemoryDisk>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = log.start_offset();
    while at < log.end_offset() {
        let bytes = bytes_from(log, at, u32::MAX);
        at = record::Batches::new(&bytes).map(|batch| batch.unwrap().0.next_offset()).last().unwrap();
        out.extend(bytes);
    }
    out
}

/// Everything that a log knows of what it holds.
fn knowledge(log: &mut Log<MemoryDisk>) -> String {
    let end = log.end_offset();
    log.set_high_watermark(end);
    let ends: Vec<_> = (0..12).map(|epoch| log.epoch_end_offset(LeaderEpoch(epoch))).collect();
    let dated: Vec<_> = (0..42).map(|ms| log.offset_for_timestamp(Timestamp(ms)).unwrap()).collect();
    let producers: Vec<_> = log.producers().map(|(id, producer)| (id, producer.clone())).collect();
    let aborted = log.aborted(Offset::ZERO, end).unwrap();
    let unstable = log.first_unstable_offset();
    format!("{end} {ends:?} {dated:?} {:?} {producers:?} {aborted:?} {unstable:?}", log.max_timestamp().unwrap())
}

/// What a log knows after a start.
fn reopen(disk: MemoryDisk, segment_bytes: u32, trust: Trust) -> Log<MemoryDisk> {
    let recovery = Recovery {
        disk,
        identity: Identity { folder: "t-0".into(), topic: Uuid([7; 16]) },
        config: config(segment_bytes),
        now: now(71),
        trust,
        recovery_point: Offset::ZERO,
        start_offset: Offset::ZERO,
        cleaned_to: Offset::ZERO,
    };
    recovery.run().unwrap().0
}

#[test]
fn a_copy_knows_what_the_original_knows() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let (disk, copied) = (MemoryDisk::new(seed), MemoryDisk::new(seed + 1));
        let mut original = create(&disk, 700);
        fill(&mut original, &mut rng);
        // Segments of another size, too small for what comes at once, or large.
        let segment_bytes = 200 + u32::try_from(rng.below(2000)).unwrap();
        let mut copy = create(&copied, segment_bytes);
        while copy.end_offset() < original.end_offset() {
            let mut bytes = bytes_from(&mut original, copy.end_offset(), 1 + u32::try_from(rng.below(900)).unwrap());
            let first = record::Header::parse(&bytes).unwrap().size_bytes();
            // A batch that is cut off is left for the next time.
            let kept = bytes.len() - usize::try_from(rng.below(20)).unwrap();
            bytes.truncate(kept.max(first));
            let appended = copy.append_as_is(now(70), &bytes).unwrap();
            assert!(appended >= first && appended <= bytes.len());
        }
        assert_eq!(all_bytes(&mut copy), all_bytes(&mut original), "seed {seed}");
        let known = knowledge(&mut original);
        assert_eq!(knowledge(&mut copy), known, "seed {seed}");
        original.stop().unwrap();
        copy.stop().unwrap();
        let again = [(disk, 700), (copied, segment_bytes)]
            .map(|(disk, segment_bytes)| knowledge(&mut reopen(disk, segment_bytes, Trust::Killed)));
        assert_eq!(again[0], again[1], "seed {seed}");
    }
}

#[test]
fn what_comes_at_once_is_written_at_once() {
    let (disk, copied) = (MemoryDisk::new(1), MemoryDisk::new(2));
    let mut original = create(&disk, 1 << 20);
    fill(&mut original, &mut Rng::new(5));
    let bytes = all_bytes(&mut original);
    let mut copy = create(&copied, 1 << 20);
    copy.append_as_is(now(1), &bytes[..record::Header::parse(&bytes).unwrap().size_bytes()]).unwrap();
    let before = copied.counts();
    let rest = bytes_from(&mut original, copy.end_offset(), 1000);
    copy.append_as_is(now(2), &rest).unwrap();
    // The batches are one write; a new epoch is another, and so is an aborted transaction.
    let epochs = record::Batches::new(&rest).map(|batch| batch.unwrap().0.leader_epoch.0).max().unwrap();
    let markers = copy.aborted(Offset::ZERO, copy.end_offset()).unwrap().len();
    let writes = copied.counts().writes - before.writes;
    assert!(writes <= 1 + u64::from(epochs > 0) + markers as u64, "{writes} writes");
}

#[test]
fn what_does_not_continue_the_log_is_refused() {
    let disk = MemoryDisk::new(1);
    let mut original = create(&disk, 1 << 20);
    fill(&mut original, &mut Rng::new(5));
    let bytes = all_bytes(&mut original);
    let first = record::Header::parse(&bytes).unwrap().size_bytes();
    let mut copy = create(&MemoryDisk::new(2), 1 << 20);
    assert_eq!(copy.append_as_is(now(1), &bytes[..first - 1]), Ok(0));
    assert_eq!(copy.append_as_is(now(1), &bytes[..first]), Ok(first));
    let again = copy.append_as_is(now(1), &bytes[..first]).unwrap_err().to_string();
    assert!(again.contains("the log ends at"), "{again}");
    let mut broken = bytes[first..].to_vec();
    let last = record::Header::parse(&broken).unwrap().size_bytes() - 1;
    broken[last] ^= 1;
    let broken = copy.append_as_is(now(1), &broken).unwrap_err().to_string();
    assert!(broken.contains("checksum"), "{broken}");
    // What compaction left out may be missing.
    let second = record::Header::parse(&bytes[first..]).unwrap().size_bytes();
    assert!(copy.append_as_is(now(1), &bytes[first + second..]).is_ok());
    assert_eq!(copy.end_offset(), original.end_offset());
}

#[test]
fn a_copy_knows_where_epochs_began_whose_first_batches_are_compacted_away() {
    let mut original = create(&MemoryDisk::new(1), 1 << 20);
    fill(&mut original, &mut Rng::new(5));
    let bytes = all_bytes(&mut original);
    let (_, began) = original.epoch_end_offset(LeaderEpoch(0)).unwrap();
    let batches: Vec<_> = record::Batches::new(&bytes).map(Result::unwrap).collect();
    let first = batches.iter().position(|(header, _)| header.base_offset == began).unwrap();
    let before = batches[first - 1].0.base_offset;
    let copy_without = |disk: &MemoryDisk, from: usize| {
        let mut copy = create(disk, 1 << 20);
        for (at, (_, batch)) in batches.iter().enumerate() {
            if !(from..=first).contains(&at) {
                copy.append_as_is(now(1), batch).unwrap();
            }
        }
        copy
    };
    let end = |copy: &Log<MemoryDisk>| copy.epoch_end_offset(LeaderEpoch(0)).unwrap();
    let forget = |disk: &MemoryDisk| disk.remove("t-0/leader-epoch-checkpoint").unwrap();
    // It began right behind the batch before it: what an old follower has there was never committed.
    let disk = MemoryDisk::new(2);
    assert_eq!(end(&copy_without(&disk, first)), (LeaderEpoch(0), began));
    for trust in [Trust::PowerLost, Trust::Killed] {
        forget(&disk);
        assert_eq!(end(&reopen(disk.clone(), 1 << 20, trust)), (LeaderEpoch(0), began));
    }
    // Without that batch it seems to begin earlier, until the original is asked.
    let disk = MemoryDisk::new(3);
    let mut copy = copy_without(&disk, first - 1);
    assert_eq!(end(&copy), (LeaderEpoch(0), before));
    copy.agree_with(now(2), &original).unwrap();
    for epoch in 0..=original.latest_epoch().unwrap().0 {
        assert_eq!(copy.epoch_end_offset(LeaderEpoch(epoch)), original.epoch_end_offset(LeaderEpoch(epoch)));
    }
    assert_eq!(end(&reopen(disk.clone(), 1 << 20, Trust::PowerLost)), (LeaderEpoch(0), began));
    forget(&disk);
    assert_eq!(end(&reopen(disk, 1 << 20, Trust::PowerLost)), (LeaderEpoch(0), before));
}

/// Batches of one record each, with these epochs.
fn leader_of(epochs: &[i32]) -> Log<MemoryDisk> {
    let mut log = create(&MemoryDisk::new(9), 1 << 20);
    epochs.iter().for_each(|epoch| lead(&mut log, *epoch).unwrap());
    log
}

fn lead(log: &mut Log<MemoryDisk>, epoch: i32) -> Result<(), log::Error> {
    let mut builder = Builder::new(Template::default());
    builder.append(Timestamp(1), None, Some(b"v"), &[]);
    let mut batches = record::validate(builder.finish(), &Rules::default()).unwrap();
    log.append(now(1), &mut batches, LeaderEpoch(epoch), Origin::Client).map(|_| ())
}

#[test]
fn a_power_loss_leaves_it_known_where_epochs_ended_of_which_compaction_took_all() {
    let mut leader = leader_of(&[0, 0, 1, 1, 1, 3, 3, 3, 3]);
    let bytes = all_bytes(&mut leader);
    let size = bytes.len() / 9;
    // What compaction left: the last two, and then the first, too.
    for kept in [&bytes[7 * size..], &[&bytes[..size], &bytes[7 * size..]].concat()] {
        let disk = MemoryDisk::new(1);
        let mut log = create(&disk, 1 << 20);
        log.append_as_is(now(1), kept).unwrap();
        disk.write_small("t-0/leader-epoch-checkpoint", b"0\n3\n0 0\n1 2\n3 5\n", true).unwrap();
        assert!(log.start_sync().run().error().is_none());
        disk.lose_power();
        let back = reopen(disk, 1 << 20, Trust::PowerLost);
        assert_eq!(back.end_offset(), Offset(9));
        for epoch in 0..4 {
            let epoch = LeaderEpoch(epoch);
            assert_eq!(back.epoch_end_offset(epoch), leader.epoch_end_offset(epoch));
        }
    }
}

#[test]
fn an_epoch_whose_first_record_was_not_stored_is_not_known_of_the_next_leaders_records() {
    let mut leader = leader_of(&[4, 4, 4]);
    let bytes = all_bytes(&mut leader);
    let size = bytes.len() / 3;
    for trust in [Trust::Killed, Trust::PowerLost] {
        let disk = MemoryDisk::new(1);
        let mut log = create(&disk, 1 << 20);
        log.append_as_is(now(1), &bytes[..size]).unwrap();
        let (operation, kind, path) = (Operation::Write, ErrorKind::Full, ".log".to_owned());
        disk.inject(Fault { operation, path, kind, after: 0, times: 1, torn_bytes: 0 });
        assert!(lead(&mut log, 5).is_err());
        log.append_as_is(now(1), &bytes[size..]).unwrap();
        let back = reopen(disk, 1 << 20, trust);
        assert_eq!(back.epoch_end_offset(LeaderEpoch(4)), Some((LeaderEpoch(4), Offset(3))));
        assert_eq!(back.latest_epoch(), Some(LeaderEpoch(4)));
    }
}

#[test]
fn an_empty_copy_begins_where_the_original_does() {
    for (original_at, copy_at) in [(116, 125), (125, 116), (0, 9)] {
        let at = |disk, start| {
            let mut log = create(&MemoryDisk::new(disk), 1 << 20);
            log.truncate_fully_and_start_at(now(1), Offset(start)).unwrap();
            log
        };
        let (original, mut copy) = (at(1, original_at), at(2, copy_at));
        copy.agree_with(now(2), &original).unwrap();
        assert_eq!((copy.start_offset(), copy.end_offset()), (Offset(original_at), Offset(original_at)));
    }
}

#[test]
fn a_copy_of_which_all_is_deleted_gives_up_an_epoch_that_the_original_lost() {
    let mut original = leader_of(&[[1; 18].as_slice(), &[3]].concat());
    let mut copy = leader_of(&[[1; 10].as_slice(), &[2; 5]].concat());
    original.set_start_offset(Offset(15));
    copy.set_start_offset(Offset(15));
    copy.agree_with(now(2), &original).unwrap();
    assert_eq!((copy.start_offset(), copy.end_offset(), copy.latest_epoch()), (Offset(15), Offset(15), None));
}

#[test]
fn where_an_empty_log_begins_is_written_as_soon_as_there_is_room_and_no_copy_takes_its_place_before() {
    let original = {
        let mut log = create(&MemoryDisk::new(1), 1 << 20);
        log.truncate_fully_and_start_at(now(1), Offset(45)).unwrap();
        log
    };
    let disk = MemoryDisk::new(2);
    disk.set_capacity_bytes(0);
    let mut copy = create(&disk, 1 << 20);
    for _ in 0..2 {
        assert!(matches!(copy.agree_with(now(2), &original), Err(log::Error::Full(_))));
        copy.tick(now(2), &mut Vec::new()).unwrap();
        assert!(!copy.is_start_written());
    }
    disk.set_capacity_bytes(1 << 20);
    copy.tick(now(3), &mut Vec::new()).unwrap();
    assert!(copy.is_start_written());
    copy.agree_with(now(4), &original).unwrap();
    let back = reopen(disk, 1 << 20, Trust::Killed);
    assert_eq!((back.start_offset(), back.end_offset()), (Offset(45), Offset(45)));
}

#[test]
fn epochs_are_known_of_all_that_a_kill_brings_back() {
    let disk = MemoryDisk::new(1);
    let mut log = create(&disk, 1400);
    fill(&mut log, &mut Rng::new(5));
    let (end, known) =
        (log.end_offset(), (0..12).map(|epoch| log.epoch_end_offset(LeaderEpoch(epoch))).collect::<Vec<_>>());
    log.set_high_watermark(end);
    log.set_start_offset(end);
    log.tick(now(61), &mut Vec::new()).unwrap();
    let back = reopen(disk, 1400, Trust::Killed);
    assert!(Offset::ZERO < back.start_offset() && back.start_offset() < end, "some were deleted, and some are back");
    let latest = log.latest_epoch().unwrap();
    assert_eq!(
        (back.latest_epoch(), back.epoch_end_offset(latest)),
        (Some(latest), known[usize::try_from(latest.0).unwrap()])
    );
}

#[test]
fn a_log_begins_anew_on_a_full_disk_and_goes_on_when_there_is_room() {
    let disk = MemoryDisk::new(1);
    disk.set_capacity_bytes(0);
    let mut log = create(&disk, 1 << 20);
    log.truncate_fully_and_start_at(now(1), Offset(45)).unwrap();
    assert_eq!((log.start_offset(), log.end_offset()), (Offset(45), Offset(45)));
    // What the leader has there.
    let mut leader = create(&MemoryDisk::new(2), 1 << 20);
    leader.truncate_fully_and_start_at(now(1), Offset(45)).unwrap();
    fill(&mut leader, &mut Rng::new(1));
    let records = all_bytes(&mut leader);
    let append = |log: &mut Log<MemoryDisk>| log.append_as_is(now(2), &records);
    assert!(!append(&mut log).unwrap_err().is_fatal());
    disk.set_capacity_bytes(1 << 20);
    append(&mut log).unwrap();
    let back = reopen(disk, 1 << 20, Trust::Killed);
    assert_eq!((back.start_offset(), back.end_offset()), (Offset(45), leader.end_offset()));
}
