//! A leader, node 1, and its followers as text: what is done to them, and what shows.
//!
//! Commands, split by `;`: `lead E.P [ISR]`, `follow N`, `append COUNT [1]` (acks=1), `fetch N@OFFSET[/EPOCH]`, `copy N`
//! (node N fetches from the leader and takes the answer), `ms COUNT`, `isr` (ask for a proposal), `done` (it is
//! committed), `error CODE`, `wait OFFSET`, `list`, `config MIN`, `delete OFFSET`.

use crate::*;
use bytes::Bytes;
use expect_test::{Expect, expect};
use log::{Config, DiskFile, Identity, Log, MemoryDisk};
use record::{Builder, Template};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use types::{BrokerEpoch, ErrorCode, Instant, LeaderEpoch, NodeId, Now, Offset, PartitionEpoch, Timestamp, Uuid};
use types::{ProducerEpoch, ProducerId, Sequence};

struct Fixture {
    nodes: BTreeMap<i32, Replica<MemoryDisk>>,
    ms: u64,
    asked: Option<IsrProposal>,
    waiter: u64,
    out: String,
}

fn config(min_insync_replicas: u32) -> Arc<Config> {
    Arc::new(Config { min_insync_replicas, ..Config::default() })
}

fn ids(text: &str) -> Vec<NodeId> {
    text.split(',').map(|id| NodeId(id.parse().unwrap())).collect()
}

fn code(name: &str) -> ErrorCode {
    match name {
        "version" => ErrorCode::INVALID_UPDATE_VERSION,
        "ineligible" => ErrorCode::INELIGIBLE_REPLICA,
        "timeout" => ErrorCode::REQUEST_TIMED_OUT,
        _ => panic!("{name}"),
    }
}

impl Fixture {
    fn new() -> Fixture {
        let open = |id: i32| {
            let identity = Identity { folder: "t-0".into(), topic: Uuid([7; 16]) };
            let log = Log::create(MemoryDisk::new(1), identity, config(1), Now::default());
            (id, Replica::open(log, NodeId(id), Offset::ZERO))
        };
        Fixture { nodes: (1..=3).map(open).collect(), ms: 0, asked: None, waiter: 0, out: String::new() }
    }

    fn now(&self) -> Now {
        Now { at: Instant(self.ms * 1000), wall: Timestamp(i64::try_from(self.ms).unwrap()) }
    }

    fn node(&mut self, id: i32) -> &mut Replica<MemoryDisk> {
        self.nodes.get_mut(&id).unwrap()
    }

    /// Where node `id` stands: log start, high watermark, log end.
    fn show(&mut self, id: i32) {
        let replica = &self.nodes[&id];
        let Some(log) = replica.log() else {
            let reason = replica.offline_reason().unwrap().to_owned();
            return self.say(&format!("{id} is offline: {reason}"));
        };
        let (start, end) = (log.start_offset(), log.end_offset());
        let line = format!("{id}: {start}..{end} hw={}", replica.high_watermark());
        self.say(&line);
    }

    fn say(&mut self, line: &str) {
        writeln!(self.out, "{line}").unwrap();
    }

    fn run(&mut self, command: &str) {
        let words: Vec<&str> = command.split_whitespace().collect();
        let word = |at: usize| words.get(at).copied().unwrap_or_default();
        let number = |at: usize| word(at).parse::<i64>().unwrap();
        let now = self.now();
        match word(0) {
            "lead" => {
                let (epoch, version) = word(1).split_once('.').unwrap();
                let leadership = Leadership {
                    leader_epoch: LeaderEpoch(epoch.parse().unwrap()),
                    partition_epoch: PartitionEpoch(version.parse().unwrap()),
                    replicas: ids("1,2,3"),
                    isr: ids(word(2)),
                };
                let news = self.node(1).become_leader(now.at, &leadership);
                if !news {
                    self.say("no news");
                }
            }
            "follow" => {
                let leader = (word(1) != "nobody").then(|| NodeId(number(1).try_into().unwrap()));
                let leader_epoch = LeaderEpoch(self.nodes[&1].leader_epoch().0 + 1);
                let following = Following { leader, leader_epoch, ..Following::default() };
                self.node(1).become_follower(following);
            }
            "append" => self.append(number(1), if word(2) == "1" { Acks::Leader } else { Acks::All }),
            "fetch" => self.fetch(word(1)),
            "copy" => self.copy(number(1).try_into().unwrap()),
            "ms" => self.ms += u64::try_from(number(1)).unwrap(),
            "isr" => {
                // In which run node 2 is.
                let run = words.get(1).map_or(7, |word| word.parse().unwrap());
                let run_of = |id: NodeId| BrokerEpoch(if id == NodeId(2) { run } else { 7 });
                let lives = |id: NodeId| (id != NodeId(3)).then_some(run_of(id));
                let asked = self.node(1).isr_proposal(now.at, 1000, lives);
                let line = match &asked {
                    Some(asked) => format!("propose {:?}", asked.isr.iter().map(|(id, _)| id.0).collect::<Vec<_>>()),
                    None => "nothing to propose".to_owned(),
                };
                self.asked = asked.or(self.asked.take());
                self.say(&line);
            }
            "done" => {
                let asked = self.asked.clone().unwrap();
                let state = IsrState {
                    isr: asked.isr.iter().map(|(id, _)| *id).collect(),
                    leader_epoch: asked.leader_epoch,
                    partition_epoch: PartitionEpoch(asked.partition_epoch.0 + 1),
                };
                self.node(1).proposal_done(now.at, &asked, Ok(state));
                self.show(1);
            }
            "error" => {
                let asked = self.asked.clone().unwrap();
                self.node(1).proposal_done(now.at, &asked, Err(code(word(1))));
                self.show(1);
            }
            "wait" => {
                self.waiter += 1;
                let waiter = self.waiter;
                self.node(1).wait_committed(Offset(number(1)), waiter);
            }
            "list" => {
                let listed = self.node(1).list_offset(OffsetSpec::Latest, Isolation::HighWatermark, LeaderEpoch::NONE);
                let line = match listed {
                    Ok(listed) => format!("latest is {}", listed.offset),
                    Err(failure) => failure.to_string(),
                };
                self.say(&line);
            }
            "config" => self.node(1).set_config(config(number(1).try_into().unwrap())),
            "delete" => {
                self.node(1).delete_records(Offset(number(1))).unwrap();
            }
            other => panic!("{other}"),
        }
        let mut fired = Vec::new();
        self.node(1).take_fired(&mut fired);
        for event in fired {
            match event {
                Fired::Committed { waiter } => self.say(&format!("waiter {waiter} is committed")),
                Fired::Failed { waiter, code } => self.say(&format!("waiter {waiter} fails: {code}")),
                Fired::Changed { .. } => {}
            }
        }
    }

    fn append(&mut self, count: i64, acks: Acks) {
        let now = self.now();
        let mut builder = Builder::new(Template::default());
        for _ in 0..count {
            builder.append(now.wall, None, Some(b"v"), &[]);
        }
        match self.node(1).append(now, builder.finish(), Origin::Client, acks) {
            Ok(_) => self.show(1),
            Err(rejected) => self.say(&format!("{}: {}", rejected.code, rejected.message)),
        }
    }

    /// `N@OFFSET/EPOCH`: node N asks the leader.
    fn fetch(&mut self, text: &str) {
        let now = self.now();
        let (id, at) = text.split_once('@').unwrap();
        let (offset, epoch) = at.split_once('/').unwrap_or((at, "-1"));
        let read = Read {
            offset: Offset(offset.parse().unwrap()),
            isolation: Isolation::LogEnd,
            last_fetched_epoch: LeaderEpoch(epoch.parse().unwrap()),
            fetcher: Some(Fetcher {
                id: NodeId(id.parse().unwrap()),
                broker_epoch: BrokerEpoch(7),
                log_start_offset: Offset::ZERO,
                high_watermark: None,
            }),
            ..Read::default()
        };
        let line = match self.node(1).read(now, &read) {
            Ok(slice) => match slice.diverging {
                Some((epoch, end)) => format!("diverging: epoch {epoch} ends at {end}"),
                None => format!("hw={} bytes={}", slice.high_watermark, slice.length()),
            },
            Err(failure) => failure.to_string(),
        };
        self.say(&line);
    }

    /// Node `id` fetches from the leader and takes the answer over.
    fn copy(&mut self, id: i32) {
        let now = self.now();
        let (leader_epoch, partition_epoch) = (self.nodes[&1].leader_epoch(), self.nodes[&1].partition_epoch());
        let leader = Some(NodeId(1));
        self.node(id).become_follower(Following {
            leader,
            leader_epoch,
            partition_epoch,
            unclean_epoch: LeaderEpoch::NONE,
        });
        let at = self.node(id).fetch_position().unwrap();
        let read = Read {
            offset: at.offset,
            isolation: Isolation::LogEnd,
            current_leader_epoch: at.leader_epoch,
            last_fetched_epoch: at.last_fetched_epoch,
            fetcher: Some(Fetcher {
                id: NodeId(id),
                broker_epoch: BrokerEpoch(7),
                log_start_offset: at.log_start_offset,
                high_watermark: at.high_watermark,
            }),
            ..Read::default()
        };
        let slice = self.node(1).read(now, &read).unwrap();
        if let Some((epoch, end_offset)) = slice.diverging {
            let _ = self.node(id).diverged(now, &Divergence { leader_epoch, epoch, end_offset });
            return self.show(id);
        }
        let mut bytes = vec![0; usize::try_from(slice.length()).unwrap()];
        for piece in &slice.pieces {
            piece.file.read_at(piece.position, &mut bytes).unwrap();
        }
        let fetched = Fetched {
            leader_epoch,
            offset: at.offset,
            records: &bytes,
            high_watermark: slice.high_watermark,
            log_start_offset: slice.log_start_offset,
        };
        self.node(id).append_fetched(now, &fetched).unwrap();
        self.show(id);
    }
}

fn check(script: &str, expected: Expect) {
    let mut fixture = Fixture::new();
    for command in script.split(';') {
        fixture.run(command.trim());
    }
    expected.assert_eq(&fixture.out);
}

#[test]
fn the_least_of_the_isr_is_committed() {
    check(
        "lead 3.0 1,2,3; append 10; fetch 2@10/3; fetch 3@7/3; wait 10; fetch 3@10/3",
        expect![[r#"
        1: 0..10 hw=0
        hw=0 bytes=0
        hw=7 bytes=141
        hw=10 bytes=0
        waiter 1 is committed
    "#]],
    );
}

#[test]
fn a_follower_acknowledges_only_what_is_the_same() {
    check(
        "lead 3.0 1,2; append 10; fetch 2@10/2; fetch 2@11/3; fetch 2@4/3; fetch 4@4/3",
        expect![[r#"
        1: 0..10 hw=0
        diverging: epoch 2 ends at 0
        diverging: epoch 3 ends at 10
        hw=4 bytes=141
        UNKNOWN_LEADER_EPOCH: node 4 is not known to be a replica
    "#]],
    );
}

#[test]
fn too_few_in_sync_commit_nothing() {
    check(
        "config 2; lead 3.0 1; append 1; append 2 1; wait 2; lead 3.1 1,2; fetch 2@2/3; append 1",
        expect![[r#"
        NOT_ENOUGH_REPLICAS: 1 replicas are in sync, fewer than min.insync.replicas=2 asks for
        1: 0..2 hw=0
        hw=2 bytes=0
        waiter 1 is committed
        1: 0..3 hw=2
    "#]],
    );
    check(
        "lead 3.0 1; append 1; config 2; wait 1",
        expect![[r#"
        1: 0..1 hw=1
        waiter 1 fails: NOT_ENOUGH_REPLICAS_AFTER_APPEND
    "#]],
    );
}

/// Appends a batch of producer 7 with this sequence at node 1.
fn append_in_sequence(fixture: &mut Fixture, sequence: i32) -> ErrorCode {
    let mut builder = Builder::new(Template::default());
    builder.append(Timestamp(1), None, Some(b"v"), &[]);
    builder.set_producer(ProducerId(7), ProducerEpoch(0), Sequence(sequence));
    let now = fixture.now();
    let appended = fixture.node(1).append(now, builder.finish(), Origin::Client, Acks::All);
    appended.map_or_else(|rejected| rejected.code, |_| ErrorCode::NONE)
}

#[test]
fn a_batch_that_too_few_were_in_sync_for_is_waited_for() {
    let mut fixture = Fixture::new();
    fixture.run("config 2");
    fixture.run("lead 3.0 1");
    assert_eq!(append_in_sequence(&mut fixture, 0), ErrorCode::NOT_ENOUGH_REPLICAS);
    fixture.run("lead 3.1 1,2");
    let early = append_in_sequence(&mut fixture, 1);
    assert_eq!(early, ErrorCode::NOT_ENOUGH_REPLICAS, "it was under way behind the first");
    assert_eq!(append_in_sequence(&mut fixture, 0), ErrorCode::NONE);
    assert_eq!(append_in_sequence(&mut fixture, 1), ErrorCode::NONE);
}

/// librdkafka sends on to the new leader while the old one, cut off but alive, still owes it answers. "Out of order" makes
/// it begin a new epoch and repeat in it what had been stored under the old one.
#[test]
fn a_new_leader_waits_for_what_the_old_one_has_not_answered() {
    let mut fixture = Fixture::new();
    fixture.run("lead 3.0 1,2");
    assert_eq!(append_in_sequence(&mut fixture, 0), ErrorCode::NONE);
    let gap = append_in_sequence(&mut fixture, 2);
    assert_eq!(gap, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, "nobody else led before");
    fixture.run("follow 2");
    fixture.run("lead 5.0 1,2");
    assert_eq!(append_in_sequence(&mut fixture, 2), ErrorCode::NOT_ENOUGH_REPLICAS);
    assert_eq!(append_in_sequence(&mut fixture, 1), ErrorCode::NONE, "the old leader's answer is there");
    assert_eq!(append_in_sequence(&mut fixture, 2), ErrorCode::NONE);
    assert_eq!(append_in_sequence(&mut fixture, 4), ErrorCode::NOT_ENOUGH_REPLICAS);
    fixture.run("ms 30001");
    assert_eq!(append_in_sequence(&mut fixture, 4), ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, "it is lost");
}

#[test]
fn who_lags_leaves_the_isr_once_that_is_committed() {
    check(
        "lead 3.0 1,2,3; append 5; fetch 2@5/3; isr; ms 1500; fetch 2@5/3; append 1; isr; isr; fetch 2@6/3; done; append 1; \
         fetch 2@7/3",
        expect![[r#"
            1: 0..5 hw=0
            hw=0 bytes=0
            nothing to propose
            hw=0 bytes=0
            1: 0..6 hw=0
            propose [1, 2]
            nothing to propose
            hw=0 bytes=0
            1: 0..6 hw=6
            1: 0..7 hw=6
            hw=7 bytes=0
        "#]],
    );
}

#[test]
fn who_has_all_that_is_committed_joins() {
    check(
        "lead 3.0 1; append 5; fetch 2@3/3; isr; fetch 2@5/3; isr; append 1; error timeout; isr; ms 60; isr; done; \
         fetch 2@6/3",
        expect![[r#"
            1: 0..5 hw=5
            hw=5 bytes=101
            nothing to propose
            hw=5 bytes=0
            propose [1, 2]
            1: 0..6 hw=5
            1: 0..6 hw=5
            nothing to propose
            propose [1, 2]
            1: 0..6 hw=5
            hw=6 bytes=0
        "#]],
    );
    // Node 3 is fenced.
    check(
        "lead 3.0 1; append 5; fetch 3@5/3; isr",
        expect![[r#"
        1: 0..5 hw=5
        hw=5 bytes=0
        nothing to propose
    "#]],
    );
}

#[test]
fn a_change_of_unknown_fate_counts() {
    // It waits for the controller's image.
    check(
        "lead 3.0 1; append 5; fetch 2@5/3; isr; error version; append 1; isr; lead 3.2 1; append 1",
        expect![[r#"
            1: 0..5 hw=5
            hw=5 bytes=0
            propose [1, 2]
            1: 0..5 hw=5
            1: 0..6 hw=5
            nothing to propose
            1: 0..7 hw=5
        "#]],
    );
    // A plain refusal ends it; one after an attempt without an answer does not.
    check(
        "lead 3.0 1; append 5; fetch 2@5/3; isr; error ineligible; ms 1500; isr; append 1",
        expect![[r#"
        1: 0..5 hw=5
        hw=5 bytes=0
        propose [1, 2]
        1: 0..5 hw=5
        propose [1, 2]
        1: 0..6 hw=5
    "#]],
    );
    check(
        "lead 3.0 1; append 5; fetch 2@5/3; isr; error timeout; ms 60; isr; error ineligible; append 1; isr; ms 1500; isr; append 1",
        expect![[r#"
            1: 0..5 hw=5
            hw=5 bytes=0
            propose [1, 2]
            1: 0..5 hw=5
            propose [1, 2]
            1: 0..5 hw=5
            1: 0..6 hw=5
            nothing to propose
            nothing to propose
            1: 0..7 hw=7
        "#]],
    );
    // Meanwhile it is asked for again, until the run that it was for is over.
    check(
        "lead 3.0 1; append 5; fetch 2@5/3; isr; error timeout; ms 60; isr; error ineligible; ms 60; isr; error ineligible; append 1; isr 8; append 1",
        expect![[r#"
            1: 0..5 hw=5
            hw=5 bytes=0
            propose [1, 2]
            1: 0..5 hw=5
            propose [1, 2]
            1: 0..5 hw=5
            propose [1, 2]
            1: 0..5 hw=5
            1: 0..6 hw=5
            nothing to propose
            1: 0..7 hw=7
        "#]],
    );
}

#[test]
fn who_loses_the_lead_lets_its_waiters_know() {
    check(
        "lead 3.0 1,2; append 5; wait 5; follow 2; append 1; wait 6; lead 3.4 1; list",
        expect![[r#"
        1: 0..5 hw=0
        waiter 1 fails: NOT_LEADER_OR_FOLLOWER
        NOT_LEADER_OR_FOLLOWER: node 2 leads the partition, not node 1
        waiter 2 fails: NOT_LEADER_OR_FOLLOWER
        no news
        NOT_LEADER_OR_FOLLOWER: node 2 leads the partition, not node 1
    "#]],
    );
}

#[test]
fn a_new_leader_does_not_know_the_end_at_once() {
    check(
        "lead 3.0 1,2; append 5; list; lead 4.1 1,2; list; fetch 2@5/3; list",
        expect![[r#"
        1: 0..5 hw=0
        latest is 0
        OFFSET_NOT_AVAILABLE: what was committed before leader epoch 4 is not known yet
        hw=5 bytes=0
        latest is 5
    "#]],
    );
    check(
        "lead 3.0 1; append 5; lead 5.1 1,2; fetch 2@9/4; fetch 2@5/3; list",
        expect![[r#"
        1: 0..5 hw=5
        diverging: epoch 3 ends at 5
        hw=5 bytes=0
        latest is 5
    "#]],
    );
}

#[test]
fn a_follower_copies_and_cuts_back() {
    check(
        "lead 3.0 1,2; append 5; append 2; copy 2; copy 2; copy 2; delete 3; append 1; copy 2",
        expect![[r#"
        1: 0..5 hw=0
        1: 0..7 hw=0
        2: 0..7 hw=0
        2: 0..7 hw=7
        2: 0..7 hw=7
        1: 3..8 hw=7
        2: 3..8 hw=7
    "#]],
    );
    // Node 2 has records of a term that this leader has never heard of.
    let mut fixture = Fixture::new();
    let alone = Leadership::alone(NodeId(2), LeaderEpoch(2));
    let two = fixture.node(2);
    let not_committed = Leadership { replicas: ids("1,2"), isr: ids("1,2"), ..alone };
    two.become_leader(Instant(0), &not_committed);
    two.append(Now::default(), one_record(), Origin::Client, Acks::Leader).unwrap();
    for command in ["lead 3.0 1,2", "append 2", "copy 2", "copy 2"] {
        fixture.run(command);
    }
    expect![[r#"
        1: 0..2 hw=0
        2: 0..0 hw=0
        2: 0..2 hw=0
    "#]]
    .assert_eq(&fixture.out);
}

#[test]
fn what_was_committed_is_not_cut_off_in_silence() {
    let mut fixture = Fixture::new();
    fixture.node(2).become_leader(Instant(0), &Leadership::alone(NodeId(2), LeaderEpoch(2)));
    fixture.node(2).append(Now::default(), one_record(), Origin::Client, Acks::All).unwrap();
    for command in ["lead 3.0 1,2", "append 2", "copy 2", "copy 2"] {
        fixture.run(command);
    }
    expect![[r#"
        1: 0..2 hw=0
        2: 0..1 hw=1
        2 is offline: /memory/t-0: the leader, node 1, lacks the records from offset 0 to 1, which were committed; nothing is cut off here. Elect the replica that has them, or delete this folder to follow that leader
    "#]].assert_eq(&fixture.out);
}

/// A batch of one record.
fn one_record() -> Bytes {
    let mut builder = Builder::new(Template::default());
    builder.append(Timestamp(1), None, Some(b"v"), &[]);
    builder.finish()
}

/// One record at `offset`, of `epoch`.
fn batch_at(offset: i64, epoch: i32) -> Vec<u8> {
    let mut bytes = one_record().to_vec();
    bytes[..8].copy_from_slice(&offset.to_be_bytes());
    bytes[12..16].copy_from_slice(&epoch.to_be_bytes());
    bytes
}

/// Node 2 has records 0 to 6 of epoch 3, up to `committed` committed. Node 1 has of those only the first, then one of
/// epoch 4 at offset 5: compaction took what was between.
fn compacted(committed: i64) -> Fixture {
    between(&[0, 1, 2, 3, 4, 5, 6].map(|offset| (offset, 3)), committed, &[(0, 3), (5, 4)])
}

/// Node 2 has `theirs`, up to `committed` committed, node 1 has `ours` and leads. Each is a record's offset and epoch.
fn between(theirs: &[(i64, i32)], committed: i64, ours: &[(i64, i32)]) -> Fixture {
    let mut fixture = Fixture::new();
    let mut take = |id: i32, epoch: i32, batches: &[(i64, i32)], high_watermark: i64| {
        let (leader, leader_epoch, partition_epoch) = (Some(NodeId(3)), LeaderEpoch(epoch), PartitionEpoch(0));
        let following = Following { leader, leader_epoch, partition_epoch, ..Following::default() };
        fixture.node(id).become_follower(following);
        let fetched = Fetched {
            leader_epoch,
            offset: Offset::ZERO,
            records: &batches.iter().flat_map(|(offset, epoch)| batch_at(*offset, *epoch)).collect::<Vec<_>>(),
            high_watermark: Offset(high_watermark),
            log_start_offset: Offset::ZERO,
        };
        fixture.node(id).append_fetched(Now::default(), &fetched).unwrap();
    };
    take(2, 3, theirs, committed);
    take(1, 4, ours, 6);
    fixture.run("lead 5.0 1,3");
    fixture
}

#[test]
fn an_epoch_that_compaction_made_shorter_takes_nothing_that_was_committed() {
    let mut fixture = compacted(3);
    // That the record at 3 was not committed, only the follower knows.
    for _ in 0..3 {
        fixture.run("copy 2");
    }
    expect![[r#"
        2: 0..7 hw=3
        2: 0..3 hw=3
        2: 0..6 hw=6
    "#]]
    .assert_eq(&fixture.out);
}

#[test]
fn a_record_in_the_place_of_a_committed_one_is_not_compaction() {
    let mut fixture = compacted(6);
    fixture.run("copy 2");
    fixture.run("copy 2");
    expect![[r#"
        2: 0..7 hw=6
        2 is offline: /memory/t-0: the leader, node 1, lacks the records from offset 5 to 6, which were committed; nothing is cut off here. Elect the replica that has them, or delete this folder to follow that leader
    "#]]
    .assert_eq(&fixture.out);
}

/// The leader was recovered after compaction had taken all of epoch 3, and knows nothing of that epoch any more.
#[test]
fn an_epoch_that_compaction_took_whole_takes_nothing_that_was_committed() {
    let theirs = [(0, 2), (1, 3), (2, 3), (3, 3), (4, 3)];
    let mut fixture = between(&theirs, 3, &[(0, 2), (5, 4)]);
    for _ in 0..3 {
        fixture.run("copy 2");
    }
    let mut other = between(&theirs, 3, &[(0, 2), (2, 2), (5, 4)]);
    other.run("copy 2");
    other.run("copy 2");
    expect![[r#"
        2: 0..5 hw=3
        2: 0..3 hw=3
        2: 0..6 hw=6
        2: 0..5 hw=3
        2 is offline: /memory/t-0: the leader, node 1, lacks the records from offset 1 to 3, which were committed; nothing is cut off here. Elect the replica that has them, or delete this folder to follow that leader
    "#]]
    .assert_eq(&format!("{}{}", fixture.out, other.out));
}

#[test]
fn consumers_are_not_told_of_a_truncation_that_compaction_only_looks_like() {
    let mut fixture = compacted(3);
    let leader = fixture.node(1);
    let mut diverging = |offset, epoch| {
        let (offset, last_fetched_epoch) = (Offset(offset), LeaderEpoch(epoch));
        leader.read(Now::default(), &Read { offset, last_fetched_epoch, ..Read::default() }).unwrap().diverging
    };
    assert_eq!(diverging(3, 3), None);
    assert_eq!(diverging(5, 3), None);
    assert_eq!(diverging(6, 3), Some((LeaderEpoch(3), Offset(5))));
    assert_eq!(diverging(6, 4), None);
    let ends = [3, 4, 5].map(|epoch| leader.offset_for_leader_epoch(LeaderEpoch(epoch), LeaderEpoch::NONE).unwrap());
    assert_eq!(ends.map(|(epoch, end)| (epoch.0, end.0)), [(3, 5), (4, 6), (5, 6)]);
}

/// Node 2 led in epoch 2 and committed a record. It follows node 1 in epoch 5, whose log goes another way from the start;
/// the last unclean election was for `unclean_epoch`.
fn after_an_election(unclean_epoch: i32) -> (Result<Offset, ErrorCode>, Offset) {
    let mut fixture = Fixture::new();
    let two = fixture.node(2);
    two.become_leader(Instant(0), &Leadership::alone(NodeId(2), LeaderEpoch(2)));
    two.append(Now::default(), one_record(), Origin::Client, Acks::All).unwrap();
    let (leader, leader_epoch, partition_epoch) = (Some(NodeId(1)), LeaderEpoch(5), PartitionEpoch(1));
    let unclean_epoch = LeaderEpoch(unclean_epoch);
    two.become_follower(Following { leader, leader_epoch, partition_epoch, unclean_epoch });
    let divergence = Divergence { leader_epoch, epoch: LeaderEpoch(1), end_offset: Offset::ZERO };
    let _ = two.diverged(Now::default(), &divergence);
    let cut = two.diverged(Now::default(), &divergence);
    (cut.map_err(|failure| failure.code), two.high_watermark())
}

#[test]
fn after_an_unclean_election_it_is_cut_off() {
    // Also where the leader has recovered since, with others, and even where they have elected again.
    for unclean_epoch in 3..=5 {
        assert_eq!(after_an_election(unclean_epoch), (Ok(Offset::ZERO), Offset::ZERO));
    }
    // What was committed after it counts.
    for unclean_epoch in [-1, 1, 2] {
        assert_eq!(after_an_election(unclean_epoch), (Err(ErrorCode::KAFKA_STORAGE_ERROR), Offset(1)));
    }
}

#[test]
fn a_leader_does_not_know_how_long_a_deleted_epoch_was() {
    let mut fixture = Fixture::new();
    let (one, now) = (fixture.node(1), Now::default());
    for epoch in [2, 4] {
        let (replicas, isr) = (vec![NodeId(1), NodeId(2)], vec![NodeId(1)]);
        let (leader_epoch, partition_epoch) = (LeaderEpoch(epoch), PartitionEpoch(epoch));
        one.become_leader(now.at, &Leadership { leader_epoch, partition_epoch, replicas, isr });
        one.append(now, one_record(), Origin::Client, Acks::All).unwrap();
    }
    let fetcher =
        Fetcher { id: NodeId(2), broker_epoch: BrokerEpoch(7), log_start_offset: Offset::ZERO, high_watermark: None };
    let last_fetched_epoch = LeaderEpoch(2);
    let read = Read { offset: Offset(1), last_fetched_epoch, fetcher: Some(fetcher), ..Read::default() };
    assert_eq!(one.read(now, &read).unwrap().diverging, None);
    one.delete_records(Offset(1)).unwrap();
    assert_eq!(one.read(now, &read).unwrap_err().code, ErrorCode::OFFSET_OUT_OF_RANGE);
}

#[test]
fn a_leader_with_nothing_left_does_not_know_how_long_an_epoch_was() {
    let now = Now { at: Instant(1000), wall: Timestamp(1) };
    let identity = Identity { folder: "t-0".into(), topic: Uuid([7; 16]) };
    let mut log = Log::create(MemoryDisk::new(1), identity, config(1), now);
    log.truncate_fully_and_start_at(now, Offset(3)).unwrap();
    let mut one = Replica::open(log, NodeId(1), Offset(3));
    let (replicas, isr) = (vec![NodeId(1), NodeId(2)], vec![NodeId(1)]);
    let (leader_epoch, partition_epoch) = (LeaderEpoch(4), PartitionEpoch(4));
    one.become_leader(now.at, &Leadership { leader_epoch, partition_epoch, replicas, isr });
    let fetcher =
        Fetcher { id: NodeId(2), broker_epoch: BrokerEpoch(7), log_start_offset: Offset::ZERO, high_watermark: None };
    let mut ask = |offset, epoch| {
        let last_fetched_epoch = LeaderEpoch(epoch);
        let read = Read { offset: Offset(offset), last_fetched_epoch, fetcher: Some(fetcher), ..Read::default() };
        one.read(now, &read).map(|slice| slice.diverging).map_err(|failure| failure.code)
    };
    assert_eq!(ask(6, 1), Err(ErrorCode::OFFSET_OUT_OF_RANGE));
    assert_eq!(ask(3, 1), Err(ErrorCode::OFFSET_OUT_OF_RANGE), "what lies below may be other records");
    assert_eq!(ask(3, 4), Ok(None));
    assert_eq!(ask(3, -1), Ok(None), "it has begun anew");
}

#[test]
fn a_follower_out_of_range_begins_anew_or_cuts_back() {
    let mut fixture = Fixture::new();
    for command in ["lead 3.0 1,2", "append 3", "append 2", "copy 2"] {
        fixture.run(command);
    }
    let (now, leader_epoch) = (fixture.now(), LeaderEpoch(3));
    let two = fixture.node(2);
    let beyond = OutOfRange { leader_epoch, start_offset: Offset(0), end_offset: Offset(4) };
    assert_eq!(two.out_of_range(now, &beyond), Ok(Offset(3)), "a batch is cut off whole");
    let other = OutOfRange { leader_epoch, start_offset: Offset(2), end_offset: Offset(12) };
    assert_eq!(two.out_of_range(now, &other), Ok(Offset(2)), "nothing is kept of an epoch that is deleted there");
    assert_eq!(two.log().unwrap().start_offset(), Offset(2));
    let below = OutOfRange { leader_epoch, start_offset: Offset(9), end_offset: Offset(12) };
    assert_eq!(two.out_of_range(now, &below), Ok(Offset(9)));
    let at = two.fetch_position().unwrap();
    assert_eq!((at.offset, at.last_fetched_epoch, two.high_watermark()), (Offset(9), LeaderEpoch::NONE, Offset(9)));
    let stale = OutOfRange { leader_epoch: LeaderEpoch(2), ..below };
    assert_eq!(two.out_of_range(now, &stale).unwrap_err().code, ErrorCode::FENCED_LEADER_EPOCH);
}

#[test]
fn a_follower_acknowledges_nothing_while_a_full_disk_does_not_take_where_it_begins() {
    let (disk, now, leader_epoch) = (MemoryDisk::new(1), Now::default(), LeaderEpoch(3));
    disk.set_capacity_bytes(0);
    let identity = Identity { folder: "t-0".into(), topic: Uuid([1; 16]) };
    let mut replica = Replica::open(Log::create(disk.clone(), identity, config(1), now), NodeId(2), Offset::ZERO);
    replica.become_follower(Following { leader: Some(NodeId(1)), leader_epoch, ..Following::default() });
    let range = OutOfRange { leader_epoch, start_offset: Offset(9), end_offset: Offset(9) };
    assert_eq!(replica.out_of_range(now, &range), Ok(Offset(9)));
    replica.tick(now, &mut Vec::new());
    assert_eq!(replica.fetch_position(), None);
    disk.set_capacity_bytes(1 << 20);
    replica.tick(now, &mut Vec::new());
    assert_eq!(replica.fetch_position().map(|position| position.offset), Some(Offset(9)));
}

#[test]
fn a_follower_serves_consumers_that_may_read_there() {
    let mut fixture = Fixture::new();
    for command in ["lead 3.0 1,2", "append 3", "copy 2", "copy 2"] {
        fixture.run(command);
    }
    let now = fixture.now();
    let two = fixture.node(2);
    let near = two.read(now, &Read { leader_only: false, ..Read::default() }).unwrap();
    assert_eq!(near.high_watermark, Offset(3));
    assert!(near.length() > 0);
    assert_eq!(two.read(now, &Read::default()).unwrap_err().code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    let old = Read { leader_only: false, current_leader_epoch: LeaderEpoch(2), ..Read::default() };
    assert_eq!(two.read(now, &old).unwrap_err().code, ErrorCode::FENCED_LEADER_EPOCH);
    let new = Read { leader_only: false, current_leader_epoch: LeaderEpoch(4), ..Read::default() };
    assert_eq!(two.read(now, &new).unwrap_err().code, ErrorCode::UNKNOWN_LEADER_EPOCH);
    let beyond = Read { leader_only: false, offset: Offset(4), ..Read::default() };
    assert_eq!(two.read(now, &beyond).unwrap_err().code, ErrorCode::OFFSET_NOT_AVAILABLE, "the leader may have it");
    let leader = fixture.node(1);
    assert_eq!(leader.read(now, &beyond).unwrap_err().code, ErrorCode::OFFSET_OUT_OF_RANGE);
}
