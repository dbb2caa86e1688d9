//! Compaction against a plain map: random keys, tombstones and transactions, whole runs and runs that stop half way.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use log::{
    Cleanup, Config, Disk, DiskFile, ErrorKind, Fault, Identity, Job, Log, MemoryDisk, Operation, Origin, Range,
    Recovery, Trust,
};
use proptest::prelude::*;
use record::{Builder, EndTransaction, Rules, Template};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::{Instant, LeaderEpoch, Now, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp, Uuid};

#[derive(Clone, Debug)]
enum Step {
    /// Keys with values; `None` is a tombstone.
    Put(Vec<(u8, Option<u16>)>),
    /// In the transaction of one of three producers.
    PutIn(u8, Vec<(u8, Option<u16>)>),
    End(u8, bool),
    Clean,
    /// The compaction's files are put in place up to so many renames, then the broker is killed.
    CleanAndKill(u8),
    CleanAndLosePower,
    Restart,
    Later,
}

fn step() -> impl Strategy<Value = Step> {
    let puts = || prop::collection::vec((0_u8..12, prop::option::weighted(0.8, 0_u16..200)), 1..5);
    prop_oneof![
        8 => puts().prop_map(Step::Put),
        4 => (0_u8..3, puts()).prop_map(|(id, puts)| Step::PutIn(id, puts)),
        3 => (0_u8..3, any::<bool>()).prop_map(|(id, commit)| Step::End(id, commit)),
        3 => Just(Step::Clean),
        1 => (0_u8..20).prop_map(Step::CleanAndKill),
        1 => Just(Step::CleanAndLosePower),
        1 => Just(Step::Restart),
        2 => Just(Step::Later),
    ]
}

/// A record's offset and the size of its value.
type Latest = (i64, Option<usize>);
type Table = BTreeMap<u8, Latest>;

struct World {
    disk: MemoryDisk,
    log: Log<MemoryDisk>,
    /// The latest committed record of each key.
    table: Table,
    pending: [Vec<(u8, Latest)>; 3],
    sequences: [i32; 3],
    clock: i64,
    cleaned: u32,
}

fn config() -> Arc<Config> {
    Arc::new(Config {
        segment_bytes: 1500,
        index_interval_bytes: 200,
        cleanup: Cleanup { delete: false, compact: true },
        min_cleanable_dirty_ratio: 0.1,
        delete_retention_ms: 50,
        producer_id_expiration_ms: u64::MAX,
        cleaner_dedupe_buffer_bytes: 700,
        file_delete_delay_ms: 0,
        ..Config::default()
    })
}

fn identity() -> Identity {
    Identity { folder: "topic-0".into(), topic: Uuid([1; 16]) }
}

impl World {
    fn new(seed: u64) -> World {
        let disk = MemoryDisk::new(seed);
        let log = Log::create(disk.clone(), identity(), config(), Now::default());
        World {
            disk,
            log,
            table: Table::new(),
            pending: Default::default(),
            sequences: [0; 3],
            clock: 1000,
            cleaned: 0,
        }
    }

    fn now(&self) -> Now {
        Now { at: Instant(self.clock.unsigned_abs() * 1000), wall: Timestamp(self.clock) }
    }

    fn append(&mut self, bytes: bytes::Bytes, origin: Origin) -> i64 {
        let mut batches = record::validate(bytes, &Rules::default()).unwrap();
        let appended = self.log.append(self.now(), &mut batches, LeaderEpoch(0), origin).unwrap();
        self.log.set_high_watermark(self.log.end_offset());
        appended.base_offset.0
    }

    fn put(&mut self, template: Template, puts: &[(u8, Option<u16>)]) -> Vec<(u8, Latest)> {
        let mut builder = Builder::new(template);
        for (key, value) in puts {
            let value = value.map(|bytes| vec![b'v'; usize::from(bytes)]);
            builder.append(Timestamp(self.clock), Some(&[*key]), value.as_deref(), &[]);
        }
        let base = self.append(builder.finish(), Origin::Client);
        let entries = puts.iter().zip(base..);
        entries.map(|((key, value), offset)| (*key, (offset, value.map(usize::from)))).collect()
    }

    fn template(id: u8) -> Template {
        Template {
            producer_id: ProducerId(i64::from(id)),
            producer_epoch: ProducerEpoch(0),
            transactional: true,
            ..Template::default()
        }
    }

    fn step(&mut self, step: &Step) {
        self.clock += 10;
        match step {
            Step::Put(puts) => {
                let entries = self.put(Template::default(), puts);
                self.table.extend(entries);
            }
            Step::PutIn(id, puts) => {
                let at = usize::from(*id);
                let base_sequence = Sequence(self.sequences[at]);
                self.sequences[at] += i32::try_from(puts.len()).unwrap();
                let entries = self.put(Template { base_sequence, ..World::template(*id) }, puts);
                self.pending[at].extend(entries);
            }
            Step::End(id, commit) => {
                let pending = std::mem::take(&mut self.pending[usize::from(*id)]);
                let marker = EndTransaction { commit: *commit, coordinator_epoch: 0 };
                self.append(marker.batch(World::template(*id), Timestamp(self.clock)), Origin::Coordinator);
                if *commit {
                    for (key, entry) in pending {
                        // An earlier commit may hold a later record.
                        let latest = self.table.entry(key).or_insert(entry);
                        *latest = (*latest).max(entry);
                    }
                }
            }
            Step::Clean => self.clean(),
            Step::CleanAndKill(renames) => {
                self.disk.inject(Fault {
                    operation: Operation::Rename,
                    path: String::new(),
                    kind: ErrorKind::Failed,
                    after: u32::from(*renames),
                    times: u32::MAX,
                    torn_bytes: 0,
                });
                self.clean();
                self.disk.clear_faults();
                self.recover(Trust::Killed);
            }
            Step::CleanAndLosePower => {
                self.sync();
                self.clean();
                self.disk.lose_power();
                self.recover(Trust::PowerLost);
            }
            Step::Restart => {
                self.log.stop().unwrap();
                self.recover(Trust::Stopped);
            }
            Step::Later => self.clock += 100,
        }
        self.check();
    }

    fn sync(&mut self) {
        let job = self.log.start_sync();
        self.log.sync_done(job.run()).unwrap();
    }

    fn clean(&mut self) {
        let mut jobs = Vec::new();
        if self.log.tick(self.now(), &mut jobs).is_err() {
            return;
        }
        for job in jobs {
            self.cleaned += u32::from(matches!(job, Job::Clean(_)));
            if self.log.job_done(self.now(), job.run(), &mut Vec::new()).is_err() {
                return;
            }
        }
    }

    fn recover(&mut self, trust: Trust) {
        let recovery = Recovery {
            disk: self.disk.clone(),
            identity: identity(),
            config: config(),
            now: self.now(),
            trust,
            recovery_point: self.log.synced_offset(),
            start_offset: Offset::ZERO,
            cleaned_to: self.log.cleaned_synced(),
        };
        let end = self.log.end_offset();
        let (log, report) = recovery.run().unwrap();
        assert_eq!(log.end_offset(), end, "{report:?}");
        self.log = log;
        self.log.set_high_watermark(end);
        for path in self.disk.list("topic-0").iter().flatten() {
            assert!(![".cleaned", ".swap", ".deleted"].iter().any(|suffix| path.ends_with(suffix)), "{path}");
        }
    }

    /// What a reader of committed records makes of the log.
    fn read_table(&mut self) -> Table {
        let mut table = Table::new();
        let stable = self.log.first_unstable_offset().unwrap_or(self.log.end_offset());
        let mut from = self.log.start_offset();
        let mut last = -1;
        while from < stable {
            let range = Range { from, upper: stable, max_bytes: 700, min_one_batch: true };
            let Some(piece) = self.log.read(&range).unwrap() else { break };
            let mut bytes = vec![0; piece.length as usize];
            assert_eq!(piece.file.read_at(piece.position, &mut bytes).unwrap(), bytes.len());
            let mut aborted = self.log.aborted(from, stable).unwrap();
            for batch in record::Batches::new(&bytes) {
                let Ok((header, batch)) = batch else { break };
                assert!(header.base_offset.0 > last);
                last = header.last_offset().0;
                from = header.next_offset();
                if header.attributes.is_control() {
                    aborted.retain(|(id, first)| *id != header.producer_id || *first > header.base_offset);
                    continue;
                }
                let dead = aborted.iter().any(|(id, first)| {
                    header.attributes.is_transactional() && *id == header.producer_id && *first <= header.base_offset
                });
                let mut records = record::records(batch, 1 << 20).unwrap();
                while let Some(record) = records.next_record().unwrap() {
                    if !dead {
                        table.insert(record.key.unwrap()[0], (record.offset.0, record.value.map(<[u8]>::len)));
                    }
                }
            }
        }
        table
    }

    fn check(&mut self) {
        let mut expected = self.table.clone();
        let stable = self.log.first_unstable_offset().unwrap_or(self.log.end_offset());
        let found = self.read_table();
        // Beyond the first open transaction a committed reader sees nothing, and what it saw below may be superseded.
        for (key, (offset, value)) in &found {
            match expected.remove(key) {
                Some(latest) if latest.0 < stable.0 => assert_eq!((*offset, *value), latest, "key {key}"),
                Some(_) | None => {}
            }
        }
        // A key that is gone must have ended with a tombstone.
        for (key, (offset, value)) in expected {
            assert!(offset >= stable.0 || value.is_none(), "key {key} at {offset} is lost");
        }
        for (at, sequence) in self.sequences.iter().enumerate() {
            let id = ProducerId(i64::try_from(at).unwrap());
            if let Some((_, producer)) = self.log.producers().find(|(known, _)| *known == id)
                && *sequence > 0
            {
                assert_eq!(producer.last_sequence().0 + 1, *sequence);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_latest_record_of_each_key_stays(seed in any::<u64>(), steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new(seed);
        for step in &steps {
            world.step(step);
        }
    }
}

#[test]
fn superseded_records_and_old_tombstones_go() {
    let mut world = World::new(1);
    for round in 0..40 {
        world.step(&Step::Put(vec![(1, Some(100)), (2, Some(round)), (3, None)]));
    }
    let before = world.log.size_bytes();
    for _ in 0..3 {
        world.step(&Step::Later);
        world.step(&Step::Clean);
        world.step(&Step::Put(vec![(4, Some(600)), (5, Some(600))]));
    }
    assert!(world.cleaned >= 3);
    assert!(world.log.size_bytes() < before, "{} {before}", world.log.size_bytes());
    let keys: Vec<u8> = world.read_table().into_keys().collect();
    assert_eq!(keys, [1, 2, 4, 5]);
}

/// A power loss may undo what compaction put in place, and leave the checkpoint that says how far it had looked.
#[test]
fn a_key_does_not_come_back_when_a_compaction_is_lost() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let filler = Step::Put(vec![(4, Some(600)), (5, Some(600))]);
        let first = [Step::Put(vec![(1, Some(100))]), Step::Put(vec![(1, None)]), filler.clone(), filler.clone()];
        first.iter().for_each(|step| world.step(step));
        world.step(&Step::CleanAndLosePower);
        for _ in 0..3 {
            [Step::Later, filler.clone(), filler.clone(), Step::Clean].iter().for_each(|step| world.step(step));
        }
        let keys: Vec<u8> = world.read_table().into_keys().collect();
        assert_eq!(keys, [4, 5], "seed {seed}");
    }
}

/// A transaction whose marker is below what a compaction has to look at must not count for its producer's later ones.
#[test]
fn an_aborted_transaction_does_not_hide_a_later_one() {
    let mut world = World::new(1);
    let filler = || Step::Put(vec![(4, Some(600)), (5, Some(600))]);
    let aborted = [Step::PutIn(0, vec![(1, Some(100))]), Step::End(0, false), filler(), filler(), Step::Clean];
    let buried = [Step::Put(vec![(2, Some(10))]), Step::PutIn(0, vec![(2, None)]), Step::End(0, true)];
    let cleaned = [filler(), filler(), Step::Clean, Step::Later, filler(), filler(), Step::Clean];
    aborted.iter().chain(&buried).chain(&cleaned).for_each(|step| world.step(step));
    let keys: Vec<u8> = world.read_table().into_keys().collect();
    assert_eq!(keys, [4, 5]);
}
