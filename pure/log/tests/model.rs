//! A log against a plain list of records: random appends, reads, truncations, kills, power losses and recoveries.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use log::{Config, DiskFile, Identity, Log, MemoryDisk, Origin, Range, Recovery, Trust};
use proptest::prelude::*;
use record::{Builder, Rules, Template};
use std::sync::Arc;
use types::{Instant, LeaderEpoch, Now, Offset, Sequence, Timestamp, Uuid};

#[derive(Clone, Debug)]
enum Step {
    /// Batches of so many records, with this many bytes of value each, at this time.
    Append(Vec<(u8, u16)>, i64),
    Tick,
    Sync,
    Stop,
    Kill,
    LosePower,
    Truncate(u8),
    Epoch,
    Evict,
}

fn step() -> impl Strategy<Value = Step> {
    let sizes = prop::collection::vec((1_u8..5, 0_u16..600), 1..4);
    prop_oneof![
        12 => (sizes, 0_i64..5000).prop_map(|(sizes, at)| Step::Append(sizes, at)),
        2 => Just(Step::Tick),
        3 => Just(Step::Sync),
        1 => Just(Step::Stop),
        1 => Just(Step::Kill),
        1 => Just(Step::LosePower),
        1 => (0_u8..=255).prop_map(Step::Truncate),
        1 => Just(Step::Epoch),
        1 => Just(Step::Evict),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    offset: i64,
    batch_base: i64,
    batch_end: i64,
    timestamp: i64,
    value_bytes: usize,
    epoch: i32,
}

struct World {
    disk: MemoryDisk,
    log: Log<MemoryDisk>,
    model: Vec<Entry>,
    synced: i64,
    epoch: i32,
    clock: i64,
    sequence: i32,
}

fn identity() -> Identity {
    Identity { folder: "topic-0".into(), topic: Uuid([1; 16]) }
}

fn config() -> Arc<Config> {
    Arc::new(Config {
        segment_bytes: 8000,
        index_interval_bytes: 300,
        retention_ms: None,
        producer_id_expiration_ms: u64::MAX,
        ..Config::default()
    })
}

impl World {
    fn new(seed: u64) -> World {
        let disk = MemoryDisk::new(seed);
        let log = Log::create(disk.clone(), identity(), config(), Now::default());
        World { disk, log, model: Vec::new(), synced: 0, epoch: 0, clock: 0, sequence: 0 }
    }

    fn now(&self) -> Now {
        Now { at: Instant(self.clock.unsigned_abs() * 1_000_000), wall: Timestamp(self.clock) }
    }

    fn append(&mut self, sizes: &[(u8, u16)], at: i64) {
        let mut batches = Vec::new();
        let mut next = self.log.end_offset().0;
        for (count, bytes) in sizes {
            let template = Template {
                producer_id: types::ProducerId(5),
                producer_epoch: types::ProducerEpoch(0),
                base_sequence: Sequence(self.sequence),
                ..Template::default()
            };
            self.sequence += i32::from(*count);
            let mut builder = Builder::new(template);
            let base = next;
            for number in 0..*count {
                let timestamp = at + i64::from(number);
                let mut value = vec![b'x'; usize::from(*bytes)];
                value.extend(next.to_be_bytes());
                builder.append(Timestamp(timestamp), None, Some(&value), &[]);
                let batch_end = base + i64::from(*count);
                let value_bytes = value.len();
                let epoch = self.epoch;
                self.model.push(Entry { offset: next, batch_base: base, batch_end, timestamp, value_bytes, epoch });
                next += 1;
            }
            batches.extend(record::validate(builder.finish(), &Rules::default()).unwrap());
        }
        let appended = self.log.append(self.now(), &mut batches, LeaderEpoch(self.epoch), Origin::Client).unwrap();
        assert_eq!(appended.last_offset.0 + 1, next);
        assert!(!appended.duplicate);
    }

    fn recover(&mut self, trust: Trust) {
        let recovery = Recovery {
            disk: self.disk.clone(),
            identity: identity(),
            config: config(),
            now: self.now(),
            trust,
            recovery_point: Offset(self.synced),
            start_offset: Offset::ZERO,
            cleaned_to: Offset::ZERO,
        };
        let (log, report) = recovery.run().unwrap();
        self.log = log;
        let end = self.log.end_offset().0;
        if trust == Trust::PowerLost {
            assert!(end >= self.synced, "{end} < {}: {report:?}", self.synced);
            self.model.retain(|entry| entry.offset < end);
            self.synced = end;
        }
        // The producer goes on where its last record in the log was.
        self.sequence = i32::try_from(end - self.producer_base()).unwrap();
    }

    /// Sequences equal offsets except for what truncation took away.
    fn producer_base(&self) -> i64 {
        let (_, producer) = match self.log.producers().next() {
            Some(known) => known,
            None => return self.log.end_offset().0,
        };
        self.log.end_offset().0 - i64::from(producer.last_sequence().0) - 1
    }

    fn truncate(&mut self, part: u8) {
        let end = self.log.end_offset().0 * i64::from(part) / 255;
        self.log.truncate_to(self.now(), Offset(end)).unwrap();
        self.model.retain(|entry| entry.batch_end <= end);
        assert_eq!(self.log.end_offset().0, self.model.last().map_or(0, |entry| entry.offset + 1));
        self.synced = self.synced.min(self.log.synced_offset().0);
        self.sequence = i32::try_from(self.log.end_offset().0 - self.producer_base()).unwrap();
    }

    fn step(&mut self, step: &Step) {
        self.clock += 1;
        match step {
            Step::Append(sizes, at) => self.append(sizes, *at),
            Step::Tick => {
                let mut jobs = Vec::new();
                self.log.tick(self.now(), &mut jobs).unwrap();
                for job in jobs {
                    self.log.job_done(self.now(), job.run(), &mut Vec::new()).unwrap();
                }
            }
            Step::Sync => {
                let job = self.log.start_sync();
                self.log.sync_done(job.run()).unwrap();
                self.synced = self.log.synced_offset().0;
                assert_eq!(self.synced, self.log.end_offset().0);
            }
            Step::Stop => {
                self.log.stop().unwrap();
                self.recover(Trust::Stopped);
            }
            Step::Kill => self.recover(Trust::Killed),
            Step::LosePower => {
                self.disk.lose_power();
                self.recover(Trust::PowerLost);
            }
            Step::Truncate(part) => self.truncate(*part),
            Step::Epoch => self.epoch += 1,
            Step::Evict => self.disk.evict(),
        }
        self.check();
    }

    fn read(&mut self, from: i64, max_bytes: u32) -> Vec<(i64, usize)> {
        let range = Range { from: Offset(from), upper: self.log.end_offset(), max_bytes, min_one_batch: true };
        let Some(piece) = self.log.read(&range).unwrap() else { return Vec::new() };
        let mut bytes = vec![0; piece.length as usize];
        assert_eq!(piece.file.read_at(piece.position, &mut bytes).unwrap(), bytes.len());
        let mut out = Vec::new();
        let bytes = Bytes::from(bytes);
        for batch in record::Batches::new(&bytes) {
            // The last one may be cut off by max_bytes.
            let Ok((_, batch)) = batch else { break };
            assert!(record::crc_matches(batch));
            let mut records = record::records(batch, 1 << 20).unwrap();
            while let Some(record) = records.next_record().unwrap() {
                out.push((record.offset.0, record.value.unwrap().len()));
            }
        }
        out
    }

    fn check(&mut self) {
        let mut at = 0;
        while at < self.model.len() {
            let read = self.read(self.model[at].offset, 1000);
            assert!(!read.is_empty());
            assert_eq!(read[0].0, self.model[at].batch_base);
            let start = usize::try_from(read[0].0).unwrap();
            for (index, (offset, value_bytes)) in read.iter().enumerate() {
                let entry = &self.model[start + index];
                assert_eq!((entry.offset, entry.value_bytes), (*offset, *value_bytes));
            }
            at = start + read.len();
        }
        assert_eq!(self.log.end_offset().0, i64::try_from(self.model.len()).unwrap());
        for timestamp in [0, 777, 2500, 4999] {
            let expected = self.model.iter().find(|entry| entry.timestamp >= timestamp);
            let found = self.log.offset_for_timestamp(Timestamp(timestamp)).unwrap();
            assert_eq!(
                found.map(|found| (found.offset.0, found.timestamp.0, found.leader_epoch.0)),
                expected.map(|entry| (entry.offset, entry.timestamp, entry.epoch)),
                "{timestamp}"
            );
        }
        let largest = self.model.iter().map(|entry| entry.timestamp).max();
        assert_eq!(self.log.max_timestamp().unwrap().map(|found| found.timestamp.0), largest);
        for (at, entry) in self.model.iter().enumerate().step_by(7) {
            assert_eq!(self.log.epoch_at(Offset(entry.offset)), Some(LeaderEpoch(entry.epoch)), "{at}");
        }
        let last = self.log.producers().next().map(|(_, producer)| producer.last_sequence().0);
        if let Some(last) = last {
            assert_eq!(last + 1, self.sequence);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_log_is_a_list_of_records(seed in any::<u64>(), steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new(seed);
        for step in &steps {
            world.step(step);
        }
    }
}
