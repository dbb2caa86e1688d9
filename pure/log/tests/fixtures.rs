//! What a log does and which files it leaves, step by step.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use expect_test::{Expect, expect};
use log::{
    Config, Disk, DiskFile, Error, ErrorKind, Fault, Identity, Log, MemoryDisk, Open, Operation, Origin, Range,
    Recovery, Trust,
};
use record::{Builder, EndTransaction, Rules, Template};
use std::fmt::Write;
use std::sync::Arc;
use types::{Instant, LeaderEpoch, Now, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp, Uuid};

struct World {
    disk: MemoryDisk,
    config: Arc<Config>,
    log: Log<MemoryDisk>,
    clock: i64,
    said: String,
}

fn identity() -> Identity {
    Identity { folder: "t-0".into(), topic: Uuid([1; 16]) }
}

impl World {
    fn new(config: Config) -> World {
        let disk = MemoryDisk::new(1);
        let config = Arc::new(config);
        let log = Log::create(disk.clone(), identity(), config.clone(), Now::default());
        World { disk, config, log, clock: 0, said: String::new() }
    }

    fn now(&self) -> Now {
        Now { at: Instant(self.clock.unsigned_abs() * 1000), wall: Timestamp(self.clock) }
    }

    fn append(&mut self, template: Template, count: usize, bytes: usize) -> Result<log::Appended, Error> {
        let mut builder = Builder::new(template);
        for _ in 0..count {
            builder.append(Timestamp(self.clock), None, Some(&vec![b'x'; bytes]), &[]);
        }
        let mut batches = record::validate(builder.finish(), &Rules::default()).unwrap();
        let appended = self.log.append(self.now(), &mut batches, LeaderEpoch(0), Origin::Client);
        self.log.set_high_watermark(self.log.end_offset());
        appended
    }

    /// Appends as a producer and notes the outcome.
    fn produce(&mut self, id: i64, epoch: i16, sequence: i32, count: usize) {
        let template = Template {
            producer_id: ProducerId(id),
            producer_epoch: ProducerEpoch(epoch),
            base_sequence: Sequence(sequence),
            ..Template::default()
        };
        let outcome = match self.append(template, count, 10) {
            Ok(done) if done.duplicate => format!("duplicate of {}..{}", done.base_offset, done.last_offset),
            Ok(done) => format!("{}..{}", done.base_offset, done.last_offset),
            Err(error) => error.to_string(),
        };
        writeln!(self.said, "producer {id} epoch {epoch} sequence {sequence}: {outcome}").unwrap();
    }

    fn tick(&mut self) {
        let mut jobs = Vec::new();
        self.log.tick(self.now(), &mut jobs).unwrap();
        for job in jobs {
            self.log.job_done(self.now(), job.run(), &mut Vec::new()).unwrap();
        }
    }

    fn files(&mut self) -> String {
        let mut out = String::new();
        for (path, bytes) in self.disk.files() {
            writeln!(out, "{path} {}", bytes.len()).unwrap();
        }
        writeln!(out, "offsets {}..{}", self.log.start_offset(), self.log.end_offset()).unwrap();
        out
    }

    fn recovery(&self, trust: Trust) -> Recovery<MemoryDisk> {
        Recovery {
            disk: self.disk.clone(),
            identity: identity(),
            config: self.config.clone(),
            now: self.now(),
            trust,
            recovery_point: self.log.synced_offset(),
            start_offset: self.log.start_offset(),
            cleaned_to: Offset::ZERO,
        }
    }

    fn recover(&mut self, trust: Trust) -> String {
        match self.recovery(trust).run() {
            Ok((log, report)) => {
                self.log = log;
                self.log.set_high_watermark(self.log.end_offset());
                format!("end {} cut {} {}\n", self.log.end_offset(), report.cut_bytes, report.notes.join("\n"))
            }
            Err(error) => format!("{error}\n"),
        }
    }
}

fn check(found: &str, expected: &Expect) {
    expected.assert_eq(found);
}

#[test]
fn idempotent_producers() {
    let mut world = World::new(Config::default());
    world.produce(1, 0, 0, 2);
    world.produce(1, 0, 2, 1);
    world.produce(1, 0, 2, 1);
    world.produce(1, 0, 0, 2);
    world.produce(1, 0, 0, 3);
    world.produce(1, 0, 4, 1);
    for sequence in 3..8 {
        world.produce(1, 0, sequence, 1);
    }
    world.produce(1, 0, 2, 1);
    world.produce(1, 0, 3, 1);
    // State of a producer that was never seen, as after its records were deleted.
    world.produce(2, 3, 77, 1);
    world.produce(2, 3, 78, 1);
    world.produce(2, 2, 79, 1);
    world.produce(2, 4, 79, 1);
    world.produce(2, 4, 0, 1);
    world.produce(3, 0, i32::MAX - 1, 2);
    world.produce(3, 0, 0, 1);
    world.produce(3, 0, i32::MAX - 1, 2);
    // Five batches are remembered across a clean stop, and across a kill.
    world.log.stop().unwrap();
    let stopped = world.recover(Trust::Stopped);
    world.said.push_str(&stopped);
    world.produce(1, 0, 4, 1);
    world.produce(1, 0, 8, 1);
    let killed = world.recover(Trust::Killed);
    world.said.push_str(&killed);
    world.produce(1, 0, 5, 1);
    world.produce(1, 0, 4, 1);
    world.produce(3, 0, i32::MAX - 1, 2);
    check(
        &world.said,
        &expect![[r#"
            producer 1 epoch 0 sequence 0: 0..1
            producer 1 epoch 0 sequence 2: 2..2
            producer 1 epoch 0 sequence 2: duplicate of 2..2
            producer 1 epoch 0 sequence 0: duplicate of 0..1
            producer 1 epoch 0 sequence 0: OUT_OF_ORDER_SEQUENCE_NUMBER: producer 1 sent sequence 0 after 2: a batch between them was lost or is still under way
            producer 1 epoch 0 sequence 4: OUT_OF_ORDER_SEQUENCE_NUMBER: producer 1 sent sequence 4 after 2: a batch between them was lost or is still under way
            producer 1 epoch 0 sequence 3: 3..3
            producer 1 epoch 0 sequence 4: 4..4
            producer 1 epoch 0 sequence 5: 5..5
            producer 1 epoch 0 sequence 6: 6..6
            producer 1 epoch 0 sequence 7: 7..7
            producer 1 epoch 0 sequence 2: OUT_OF_ORDER_SEQUENCE_NUMBER: producer 1 sent sequence 2 after 7: a batch between them was lost or is still under way
            producer 1 epoch 0 sequence 3: duplicate of 3..3
            producer 2 epoch 3 sequence 77: 8..8
            producer 2 epoch 3 sequence 78: 9..9
            producer 2 epoch 2 sequence 79: INVALID_PRODUCER_EPOCH: producer 2 has epoch 2, but epoch 3 was seen: another instance took over its id
            producer 2 epoch 4 sequence 79: OUT_OF_ORDER_SEQUENCE_NUMBER: producer 2 begins epoch 4 with sequence 79 instead of 0; its epoch here is 3
            producer 2 epoch 4 sequence 0: 10..10
            producer 3 epoch 0 sequence 2147483646: 11..12
            producer 3 epoch 0 sequence 0: 13..13
            producer 3 epoch 0 sequence 2147483646: duplicate of 11..12
            end 14 cut 0 
            producer 1 epoch 0 sequence 4: duplicate of 4..4
            producer 1 epoch 0 sequence 8: 14..14
            end 15 cut 0 
            producer 1 epoch 0 sequence 5: duplicate of 5..5
            producer 1 epoch 0 sequence 4: duplicate of 4..4
            producer 3 epoch 0 sequence 2147483646: duplicate of 11..12
        "#]],
    );
}

#[test]
fn files_of_a_log() {
    let mut world = World::new(Config { segment_bytes: 900, index_interval_bytes: 200, ..Config::default() });
    let mut out = String::new();
    for round in 0..3 {
        for _ in 0..3 {
            world.clock += 10;
            world.append(Template::default(), 2, 50).unwrap();
        }
        writeln!(out, "round {round}\n{}", world.files()).unwrap();
    }
    world.tick();
    world.log.stop().unwrap();
    out.push_str(&world.files());
    let index = world.disk.read_small("t-0/00000000000000000000.index", 1000).unwrap();
    let times = world.disk.read_small("t-0/00000000000000000000.timeindex", 1000).unwrap();
    writeln!(out, "index {index:?}\ntimeindex {times:?}").unwrap();
    check(
        &out,
        &expect![[r#"
        round 0
        t-0/00000000000000000000.log 525
        t-0/leader-epoch-checkpoint 8
        t-0/partition.metadata 44
        offsets 0..6

        round 1
        t-0/00000000000000000000.index 16
        t-0/00000000000000000000.log 875
        t-0/00000000000000000000.timeindex 24
        t-0/00000000000000000010.log 175
        t-0/00000000000000000010.snapshot 10
        t-0/leader-epoch-checkpoint 8
        t-0/partition.metadata 44
        offsets 0..12

        round 2
        t-0/00000000000000000000.index 16
        t-0/00000000000000000000.log 875
        t-0/00000000000000000000.timeindex 24
        t-0/00000000000000000010.log 700
        t-0/00000000000000000010.snapshot 10
        t-0/leader-epoch-checkpoint 8
        t-0/partition.metadata 44
        offsets 0..18

        t-0/00000000000000000000.index 16
        t-0/00000000000000000000.log 875
        t-0/00000000000000000000.timeindex 24
        t-0/00000000000000000010.index 8
        t-0/00000000000000000010.log 700
        t-0/00000000000000000010.snapshot 10
        t-0/00000000000000000010.timeindex 24
        t-0/00000000000000000018.snapshot 10
        t-0/leader-epoch-checkpoint 8
        t-0/partition.metadata 44
        offsets 0..18
        index [0, 0, 0, 5, 0, 0, 1, 94, 0, 0, 0, 9, 0, 0, 2, 188]
        timeindex [0, 0, 0, 0, 0, 0, 0, 30, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 50, 0, 0, 0, 9]
    "#]],
    );
}

#[test]
fn retention_deletes_whole_segments_after_a_delay() {
    let config = Config {
        segment_bytes: 500,
        retention_ms: Some(1000),
        file_delete_delay_ms: 100,
        retention_bytes: Some(1200),
        ..Config::default()
    };
    let mut world = World::new(config);
    let mut out = String::new();
    for _ in 0..8 {
        world.clock += 10;
        world.append(Template::default(), 1, 300).unwrap();
    }
    world.tick();
    writeln!(out, "by size\n{}", world.files()).unwrap();
    world.clock += 100;
    world.tick();
    world.log.set_start_offset(Offset(6));
    world.tick();
    world.clock += 100;
    world.tick();
    writeln!(out, "by start offset\n{}", world.files()).unwrap();
    world.clock += 1000;
    world.tick();
    world.clock += 1000;
    world.tick();
    writeln!(out, "by time\n{}", world.files()).unwrap();
    out.push_str(&world.recover(Trust::Killed));
    check(
        &out,
        &expect![[r#"
            by size
            t-0/00000000000000000000.index.deleted 0
            t-0/00000000000000000000.log.deleted 370
            t-0/00000000000000000000.timeindex.deleted 12
            t-0/00000000000000000001.index.deleted 0
            t-0/00000000000000000001.log.deleted 370
            t-0/00000000000000000001.snapshot.deleted 10
            t-0/00000000000000000001.timeindex.deleted 12
            t-0/00000000000000000002.index.deleted 0
            t-0/00000000000000000002.log.deleted 370
            t-0/00000000000000000002.snapshot.deleted 10
            t-0/00000000000000000002.timeindex.deleted 12
            t-0/00000000000000000003.index.deleted 0
            t-0/00000000000000000003.log.deleted 370
            t-0/00000000000000000003.snapshot.deleted 10
            t-0/00000000000000000003.timeindex.deleted 12
            t-0/00000000000000000004.index 0
            t-0/00000000000000000004.log 370
            t-0/00000000000000000004.snapshot 10
            t-0/00000000000000000004.timeindex 12
            t-0/00000000000000000005.index 0
            t-0/00000000000000000005.log 370
            t-0/00000000000000000005.snapshot 10
            t-0/00000000000000000005.timeindex 12
            t-0/00000000000000000006.index 0
            t-0/00000000000000000006.log 370
            t-0/00000000000000000006.snapshot 10
            t-0/00000000000000000006.timeindex 12
            t-0/00000000000000000007.log 370
            t-0/00000000000000000007.snapshot 10
            t-0/leader-epoch-checkpoint 8
            t-0/partition.metadata 44
            offsets 4..8

            by start offset
            t-0/00000000000000000006.index 0
            t-0/00000000000000000006.log 370
            t-0/00000000000000000006.snapshot 10
            t-0/00000000000000000006.timeindex 12
            t-0/00000000000000000007.log 370
            t-0/00000000000000000007.snapshot 10
            t-0/leader-epoch-checkpoint 8
            t-0/partition.metadata 44
            offsets 6..8

            by time
            t-0/00000000000000000008.log 0
            t-0/00000000000000000008.snapshot 10
            t-0/leader-epoch-checkpoint 8
            t-0/partition.metadata 44
            offsets 8..8

            end 8 cut 0 
        "#]],
    );
}

#[test]
fn damage_is_cut_or_reported() {
    let mut out = String::new();
    type Act<'a> = &'a dyn Fn(&World);
    let damage: [(&str, Act<'_>); 5] = [
        ("torn tail", &|world: &World| {
            let file = world.disk.open("t-0/00000000000000000000.log", Open::Write).unwrap();
            file.truncate(file.length().unwrap() - 10).unwrap();
        }),
        ("garbage behind the tail", &|world: &World| {
            let file = world.disk.open("t-0/00000000000000000000.log", Open::Write).unwrap();
            file.write_at(file.length().unwrap(), &[&[7; 100]]).unwrap();
        }),
        ("rotten last batch", &|world: &World| world.disk.rot("t-0/00000000000000000000.log", 379 * 4 + 200, 1)),
        ("rotten middle", &|world: &World| world.disk.rot("t-0/00000000000000000000.log", 379 * 2 + 200, 1)),
        ("rotten length", &|world: &World| world.disk.rot("t-0/00000000000000000000.log", 379 * 2 + 9, 1)),
    ];
    for (name, act) in damage {
        for trust in [Trust::Killed, Trust::PowerLost] {
            let mut world = World::new(Config::default());
            for _ in 0..5 {
                world.append(Template::default(), 1, 300).unwrap();
            }
            act(&world);
            write!(out, "{name}, {trust:?}: {}", world.recover(trust)).unwrap();
        }
    }
    // What is behind an index entry is not read at the start, but soon after.
    let mut world = World::new(Config { index_interval_bytes: 100, ..Config::default() });
    for _ in 0..5 {
        world.append(Template::default(), 1, 300).unwrap();
    }
    world.tick();
    world.tick();
    world.disk.rot("t-0/00000000000000000000.log", 379 + 200, 1);
    write!(out, "verified later: {}", world.recover(Trust::Killed)).unwrap();
    let mut jobs = Vec::new();
    world.log.tick(world.now(), &mut jobs).unwrap();
    for job in jobs {
        if let Err(error) = world.log.job_done(world.now(), job.run(), &mut Vec::new()) {
            writeln!(out, "{error}").unwrap();
        }
    }
    // Synced records that are damaged are not cut after a power loss.
    let mut world = World::new(Config::default());
    for _ in 0..5 {
        world.append(Template::default(), 1, 300).unwrap();
    }
    let job = world.log.start_sync();
    world.log.sync_done(job.run()).unwrap();
    world.disk.rot("t-0/00000000000000000000.log", 379 * 2 + 200, 1);
    write!(out, "synced: {}", world.recover(Trust::PowerLost)).unwrap();
    check(
        &out,
        &expect![[r#"
            torn tail, Killed: end 4 cut 360 /memory/t-0/00000000000000000000.log: cut 360 bytes of a torn tail at position 1480 (the bytes end within a batch: 360 are there, 370 are needed)
            torn tail, PowerLost: end 4 cut 360 /memory/t-0/00000000000000000000.log: cut 360 bytes of a torn tail at position 1480 (the bytes end within a batch: 360 are there, 370 are needed)
            garbage behind the tail, Killed: end 5 cut 100 /memory/t-0/00000000000000000000.log: cut 100 bytes of a torn tail at position 1850 (the batch has message format (magic) 7; only magic 2 is supported)
            garbage behind the tail, PowerLost: end 5 cut 100 /memory/t-0/00000000000000000000.log: cut 100 bytes of a torn tail at position 1850 (the batch has message format (magic) 7; only magic 2 is supported)
            rotten last batch, Killed: end 4 cut 370 /memory/t-0/00000000000000000000.log: cut 370 bytes of a torn tail at position 1480 (the batch's checksum is 0x61cd01b7, but its bytes have 0x90dc5951)
            rotten last batch, PowerLost: end 4 cut 370 /memory/t-0/00000000000000000000.log: cut 370 bytes of a torn tail at position 1480 (the batch's checksum is 0x61cd01b7, but its bytes have 0x90dc5951)
            rotten middle, Killed: /memory/t-0/00000000000000000000.log is corrupt at position 740: the batch's checksum is 0x61cd01b7, but its bytes have 0xe6479310; whole batches follow, so this is no torn tail
            rotten middle, PowerLost: end 2 cut 1110 /memory/t-0/00000000000000000000.log: cut 1110 bytes of a torn tail at position 740 (the batch's checksum is 0x61cd01b7, but its bytes have 0xe6479310)
            rotten length, Killed: /memory/t-0/00000000000000000000.log is corrupt at position 740: the batch's checksum is 0x61cd01b7, but its bytes have 0xaeec2bca; whole batches follow, so this is no torn tail
            rotten length, PowerLost: end 2 cut 1110 /memory/t-0/00000000000000000000.log: cut 1110 bytes of a torn tail at position 740 (the batch's checksum is 0x61cd01b7, but its bytes have 0xaeec2bca)
            verified later: end 5 cut 0 
            /memory/t-0/00000000000000000000.log is corrupt at position 370: the batch's checksum is 0x61cd01b7, but its bytes have 0x39d9692a
            synced: /memory/t-0/00000000000000000000.log is corrupt at position 740: the batch's checksum is 0x61cd01b7, but its bytes have 0xe6479310; whole batches follow, so this is no torn tail
        "#]],
    );
}

#[test]
fn transactions_and_their_index() {
    let mut world = World::new(Config::default());
    let of = |id: i64| Template {
        producer_id: ProducerId(id),
        producer_epoch: ProducerEpoch(0),
        base_sequence: Sequence(0),
        transactional: true,
        ..Template::default()
    };
    let mut out = String::new();
    world.append(of(1), 2, 10).unwrap();
    world.append(of(2), 1, 10).unwrap();
    let say = |world: &World, out: &mut String| {
        let aborted = world.log.aborted(Offset(0), world.log.end_offset()).unwrap();
        let aborted: Vec<(i64, i64)> = aborted.into_iter().map(|(id, first)| (id.0, first.0)).collect();
        writeln!(out, "unstable {:?} aborted {aborted:?}", world.log.first_unstable_offset().map(|at| at.0)).unwrap();
    };
    say(&world, &mut out);
    for (id, commit, epoch) in [(2, false, 5), (1, true, 5), (2, true, 4)] {
        let marker = EndTransaction { commit, coordinator_epoch: epoch }.batch(of(id), Timestamp(9));
        let mut batches = record::validate(marker, &Rules::default()).unwrap();
        match world.log.append(world.now(), &mut batches, LeaderEpoch(0), Origin::Coordinator) {
            Ok(done) => writeln!(out, "marker of {id} at {}", done.base_offset).unwrap(),
            Err(error) => writeln!(out, "{error}").unwrap(),
        }
        say(&world, &mut out);
        world.log.set_high_watermark(world.log.end_offset());
        say(&world, &mut out);
    }
    out.push_str(&world.recover(Trust::Killed));
    say(&world, &mut out);
    check(
        &out,
        &expect![[r#"
        unstable Some(0) aborted []
        marker of 2 at 3
        unstable Some(0) aborted [(2, 2)]
        unstable Some(0) aborted [(2, 2)]
        marker of 1 at 4
        unstable Some(0) aborted [(2, 2)]
        unstable None aborted [(2, 2)]
        TRANSACTION_COORDINATOR_FENCED: the marker for producer 2 comes from coordinator epoch 4, but epoch 5 was seen
        unstable None aborted [(2, 2)]
        unstable None aborted [(2, 2)]
        end 5 cut 0 
        unstable None aborted [(2, 2)]
    "#]],
    );
}

#[test]
fn a_full_disk_is_left_as_it_was() {
    let mut world = World::new(Config { segment_bytes: 2000, ..Config::default() });
    let mut out = String::new();
    for _ in 0..12 {
        world.append(Template::default(), 1, 300).unwrap();
    }
    let used: usize = world.disk.files().iter().map(|(_, bytes)| bytes.len()).sum();
    world.disk.set_capacity_bytes(used as u64 + 700);
    for _ in 0..3 {
        match world.append(Template::default(), 2, 200) {
            Ok(done) => writeln!(out, "at {}", done.base_offset).unwrap(),
            Err(error) => writeln!(out, "fatal {}: {error}", error.is_fatal()).unwrap(),
        }
    }
    let range = Range { from: Offset(11), upper: world.log.end_offset(), max_bytes: 1 << 20, min_one_batch: true };
    writeln!(out, "read {}", world.log.read(&range).unwrap().unwrap().length).unwrap();
    world.log.set_start_offset(Offset(5));
    world.tick();
    world.clock += 100_000;
    world.tick();
    writeln!(out, "at {}", world.append(Template::default(), 2, 200).unwrap().base_offset).unwrap();
    // A write that fails for another reason is fatal, whatever it left behind.
    let fault = Fault {
        operation: Operation::Write,
        path: ".log".to_owned(),
        kind: ErrorKind::Failed,
        after: 0,
        times: 1,
        torn_bytes: 40,
    };
    world.disk.inject(fault);
    let error = world.append(Template::default(), 1, 1).unwrap_err();
    writeln!(out, "fatal {}: {error}", error.is_fatal()).unwrap();
    out.push_str(&world.recover(Trust::Killed));
    check(
        &out,
        &expect![[r#"
        at 12
        fatal false: /memory/t-0/00000000000000000010.log: No space left on device
        fatal false: /memory/t-0/00000000000000000010.log: No space left on device
        read 849
        at 14
        fatal true: /memory/t-0/00000000000000000010.log: injected fault
        end 16 cut 0 
    "#]],
    );
}

#[test]
fn a_truncation_that_fails_half_way_leaves_no_hole() {
    let mut world = World::new(Config { segment_bytes: 300, ..Config::default() });
    for _ in 0..6 {
        world.append(Template::default(), 1, 200).unwrap();
    }
    // The disk fails at a later removal each time: of a log or an index, of this segment or the next.
    for after in [0, 1, 4, 6, 9] {
        let fault = Fault {
            operation: Operation::Remove,
            path: String::new(),
            kind: ErrorKind::Failed,
            after,
            times: 1,
            torn_bytes: 0,
        };
        world.disk.inject(fault);
        let now = world.now();
        let failed = world.log.truncate_to(now, Offset(1)).is_err();
        world.disk.clear_faults();
        world.recover(Trust::Killed);
        let end = world.log.end_offset();
        for offset in 0..end.0 {
            assert_eq!(world.log.next_batch(Offset(offset)).unwrap(), Offset(offset), "failed {failed}, end {end}");
        }
    }
}
