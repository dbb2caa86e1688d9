//! The quorum by example: a script of what happens to nodes on a perfect network, and how they stand at the end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use expect_test::{Expect, expect};
use log::{MemoryDisk, Trust};
use quorum::{
    AddVoter, Call, Config, Endpoint, Fetch, Input, Output, Quorum, RemoveVoter, ReplicaKey, Request, Response, Vote,
    Voter,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use types::{Instant, LeaderEpoch, NodeId, Now, Offset, Rng, Text, Timestamp, Uuid};

struct Node {
    disk: MemoryDisk,
    directory: Uuid,
    quorum: Option<Quorum<MemoryDisk>>,
    trust: Trust,
    applied: Vec<String>,
}

struct Cluster {
    voters: Vec<i32>,
    nodes: BTreeMap<i32, Node>,
    now_us: u64,
    mail: VecDeque<(i32, Input)>,
    /// Who asked, by the token that the asked one sees.
    asked: BTreeMap<u64, (i32, u64)>,
    next_token: u64,
    cut: BTreeSet<i32>,
    text: String,
}

fn endpoint(id: i32) -> Endpoint {
    Endpoint { host: Text::from("n"), port: u16::try_from(id).unwrap() }
}

impl Cluster {
    fn new(voters: &[i32]) -> Cluster {
        Cluster {
            voters: voters.to_vec(),
            nodes: BTreeMap::new(),
            now_us: 1_000_000,
            mail: VecDeque::new(),
            asked: BTreeMap::new(),
            next_token: 0,
            cut: BTreeSet::new(),
            text: String::new(),
        }
    }

    fn now(&self) -> Now {
        Now { at: Instant(self.now_us), wall: Timestamp(i64::try_from(self.now_us / 1000).unwrap()) }
    }

    fn start(&mut self, id: i32) {
        let now = self.now();
        let node = self.nodes.entry(id).or_insert_with(|| Node {
            disk: MemoryDisk::new(1),
            directory: Uuid([u8::try_from(id).unwrap(); 16]),
            quorum: None,
            trust: Trust::Stopped,
            applied: Vec::new(),
        });
        let mut config = Config::new(NodeId(id), node.directory, Text::from("c"), endpoint(id));
        if self.voters.contains(&id) {
            let voter = |id: &i32| Voter { id: NodeId(*id), directory: Uuid::ZERO, endpoint: endpoint(*id) };
            config.voters = self.voters.iter().map(voter).collect();
        }
        config.bootstrap = self.voters.iter().map(|id| endpoint(*id)).collect();
        node.applied.clear();
        let rng = Rng::new(u64::try_from(id).unwrap());
        node.quorum = Some(Quorum::open(node.disk.clone(), config, now, node.trust, rng).unwrap());
        node.trust = Trust::Killed;
        self.collect(id);
    }

    fn end(&mut self, id: i32) {
        self.nodes.get_mut(&id).unwrap().quorum = None;
        for other in self.running() {
            self.mail.push_back((other, Input::LinkClosed { node: NodeId(id) }));
        }
    }

    fn running(&self) -> Vec<i32> {
        self.nodes.iter().filter(|(_, node)| node.quorum.is_some()).map(|(id, _)| *id).collect()
    }

    fn with(&mut self, id: i32, act: impl FnOnce(&mut Quorum<MemoryDisk>, Now)) {
        let now = self.now();
        act(self.nodes.get_mut(&id).unwrap().quorum.as_mut().unwrap(), now);
        self.collect(id);
    }

    fn collect(&mut self, id: i32) {
        let outputs = self.nodes.get_mut(&id).unwrap().quorum.as_mut().unwrap().take_outputs();
        for output in outputs {
            let node = self.nodes.get_mut(&id).unwrap();
            match output {
                Output::Send { to, request, token } => self.send(id, i32::from(to.endpoint.port), request, token),
                Output::Reply { token, response } => match self.asked.remove(&token) {
                    Some((by, _)) if self.cut.contains(&id) || self.cut.contains(&by) => {}
                    Some((by, token)) => self.mail.push_back((by, Input::Response { token, response })),
                    None => writeln!(self.text, "{id} answers {}", short(&response)).unwrap(),
                },
                Output::Job(job) => self.mail.push_back((id, Input::JobDone(job.run()))),
                Output::LoadSnapshot { records, .. } => {
                    node.applied = records.iter().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect();
                    writeln!(self.text, "{id} loads a snapshot").unwrap();
                }
                Output::Committed { entries, .. } => {
                    node.applied.extend(entries.iter().map(|entry| String::from_utf8(entry.value.to_vec()).unwrap()));
                }
                Output::BecameLeader { epoch } => {
                    writeln!(self.text, "{id} leads epoch {epoch} at {} ms", self.now_us / 1000 - 1000).unwrap();
                }
                Output::Resigned { epoch } => writeln!(self.text, "{id} resigns epoch {epoch}").unwrap(),
                Output::Leader(_) => {}
                Output::Note(text) => writeln!(self.text, "{id}: {text}").unwrap(),
                Output::Fatal { reason } => panic!("{reason}"),
            }
        }
    }

    fn send(&mut self, from: i32, to: i32, request: Request, token: u64) {
        if self.cut.contains(&from) || self.cut.contains(&to) {
            return;
        }
        if self.nodes.get(&to).is_none_or(|node| node.quorum.is_none()) {
            self.mail.push_back((from, Input::Failed { token }));
            return;
        }
        self.next_token += 1;
        self.asked.insert(self.next_token, (from, token));
        self.mail.push_back((to, Input::Request { token: self.next_token, request }));
    }

    fn run(&mut self, ms: u64) {
        let end_us = self.now_us + ms * 1000;
        loop {
            while let Some((to, input)) = self.mail.pop_front() {
                if self.nodes[&to].quorum.is_some() {
                    self.now_us += 10;
                    self.with(to, |quorum, now| quorum.handle(now, input));
                }
            }
            let wake = |id: i32| Some((self.nodes[&id].quorum.as_ref()?.next_wake()?.0, id));
            let Some((at, id)) = self.running().into_iter().filter_map(wake).min().filter(|(at, _)| *at < end_us)
            else {
                break;
            };
            self.now_us = self.now_us.max(at);
            self.with(id, |quorum, now| quorum.handle(now, Input::Wake));
        }
        self.now_us = self.now_us.max(end_us);
    }

    fn leader(&self) -> i32 {
        let leads = |id: &i32| self.nodes[id].quorum.as_ref().unwrap().leading_epoch().is_some();
        self.running().into_iter().find(leads).expect("somebody leads")
    }

    fn step(&mut self, words: &[&str]) {
        let number = |at: usize| words[at].parse::<i32>().unwrap();
        match words[0] {
            "start" => (1..words.len()).for_each(|at| self.start(number(at))),
            "run" => self.run(u64::try_from(number(1)).unwrap()),
            "append" => {
                let values: Vec<Bytes> = words[1..].iter().map(|word| Bytes::from((*word).to_owned())).collect();
                self.with(self.leader(), |quorum, now| {
                    let epoch = quorum.leading_epoch().unwrap();
                    quorum.append(now, epoch, &values).unwrap();
                });
            }
            "kill" => self.end(number(1)),
            "die" => self.nodes.get_mut(&number(1)).unwrap().quorum = None,
            "notice" => self.mail.push_back((number(1), Input::LinkClosed { node: NodeId(number(2)) })),
            "stop" => {
                self.with(number(1), Quorum::stop);
                self.end(number(1));
            }
            "wipe" => {
                let node = self.nodes.get_mut(&number(1)).unwrap();
                node.disk = MemoryDisk::new(2);
                node.directory = Uuid([100 + node.directory.0[0]; 16]);
            }
            "cut" => drop(self.cut.insert(number(1))),
            "heal" => self.cut.clear(),
            "add" => {
                let id = number(1);
                let voter = ReplicaKey { id: NodeId(id), directory: self.nodes[&id].directory };
                let add = AddVoter { voter, endpoint: endpoint(id), timeout_ms: 1000, when_committed: true };
                self.ask(self.leader(), Call::AddVoter(add));
            }
            "remove" => {
                let voter = ReplicaKey { id: NodeId(number(1)), directory: self.nodes[&number(1)].directory };
                self.ask(self.leader(), Call::RemoveVoter(RemoveVoter { voter }));
            }
            "snapshot" => {
                let records: Vec<Bytes> =
                    self.nodes[&number(1)].applied.iter().map(|value| Bytes::from(value.clone())).collect();
                self.with(number(1), |quorum, now| {
                    quorum.snapshot(now, quorum.applied(), records).unwrap();
                });
            }
            other => panic!("{other}"),
        }
    }

    fn ask(&mut self, to: i32, call: Call) {
        self.next_token += 1;
        let request = Request { cluster_id: None, call };
        let token = self.next_token;
        self.with(to, |quorum, now| quorum.handle(now, Input::Request { token, request }));
    }

    fn standing(&self) -> String {
        let mut text = self.text.clone();
        for (id, node) in &self.nodes {
            let Some(quorum) = &node.quorum else { continue };
            let voters: Vec<String> = quorum.voters().iter().map(|voter| format!("{}", voter.id)).collect();
            let known = quorum.voters().iter().all(|voter| !voter.directory.is_zero());
            writeln!(
                text,
                "{id} {} epoch={} {}..{} hw={} voters={}{} [{}]",
                quorum.state(),
                quorum.epoch(),
                quorum.log_start_offset(),
                quorum.log_end_offset(),
                quorum.high_watermark(),
                voters.join(","),
                if known { "" } else { "?" },
                node.applied.join(" ")
            )
            .unwrap();
        }
        text
    }
}

fn short(response: &Response) -> String {
    match response {
        Response::Vote(vote) => format!("{} granted={} leader={:?}", vote.error, vote.granted, vote.leader.leader),
        Response::BeginQuorumEpoch(told) | Response::EndQuorumEpoch(told) => format!("{}", told.error),
        Response::Fetch(fetched) => format!("{} {:?} {:?}", fetched.error, fetched.diverging, fetched.snapshot),
        Response::FetchSnapshot(piece) => format!("{}", piece.error),
        Response::AddVoter(changed) | Response::RemoveVoter(changed) | Response::UpdateVoter(changed) => {
            format!("{} {}", changed.error, changed.message)
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "expect![] is written where it is checked")]
fn check(voters: &[i32], script: &str, expected: Expect) {
    let mut cluster = Cluster::new(voters);
    for step in script.split(';') {
        cluster.step(&step.split_whitespace().collect::<Vec<_>>());
    }
    expected.assert_eq(&cluster.standing());
}

#[test]
fn a_lone_node_leads_before_anything_happens() {
    check(
        &[1],
        "start 1",
        expect![[r#"
        1 leads epoch 1 at 0 ms
        1 leader epoch=1 0..3 hw=3 voters=1 []
    "#]],
    );
    check(
        &[1],
        "start 1; append a b; run 10; kill 1; start 1; append c; run 10",
        expect![[r#"
        1 leads epoch 1 at 0 ms
        1 leads epoch 2 at 10 ms
        1 leader epoch=2 0..7 hw=7 voters=1 [a b c]
    "#]],
    );
}

#[test]
fn three_nodes_elect_replicate_and_restart() {
    check(
        &[1, 2, 3],
        "start 1 2 3; run 1000; append a b; run 100",
        expect![[r#"
        3 leads epoch 1 at 73 ms
        1 follower epoch=1 0..6 hw=6 voters=1,2,3 [a b]
        2 follower epoch=1 0..6 hw=6 voters=1,2,3 [a b]
        3 leader epoch=1 0..6 hw=6 voters=1,2,3 [a b]
    "#]],
    );
    check(
        &[1, 2, 3],
        "start 1 2 3; run 1000; append a b; run 100; kill 1; kill 2; kill 3; start 1 2 3; run 1000",
        expect![[r#"
            3 leads epoch 1 at 73 ms
            2 leads epoch 2 at 1126 ms
            1 follower epoch=2 0..7 hw=7 voters=1,2,3 [a b]
            2 leader epoch=2 0..7 hw=7 voters=1,2,3 [a b]
            3 follower epoch=2 0..7 hw=7 voters=1,2,3 [a b]
        "#]],
    );
}

#[test]
fn a_dead_leader_is_replaced_at_once() {
    let begin = "start 1 2 3; run 1000; append a; run 1000;";
    check(
        &[1, 2, 3],
        &format!("{begin} kill 3; run 500"),
        expect![[r#"
        3 leads epoch 1 at 73 ms
        1 leads epoch 2 at 2035 ms
        1 leader epoch=2 0..6 hw=6 voters=1,2,3 [a]
        2 follower epoch=2 0..6 hw=6 voters=1,2,3 [a]
    "#]],
    );
    check(
        &[1, 2, 3],
        &format!("{begin} stop 3; run 500"),
        expect![[r#"
        3 leads epoch 1 at 73 ms
        3 resigns epoch 1
        1 leads epoch 2 at 2000 ms
        1 leader epoch=2 0..6 hw=6 voters=1,2,3 [a]
        2 follower epoch=2 0..6 hw=6 voters=1,2,3 [a]
    "#]],
    );
    check(
        &[1, 2, 3],
        &format!("{begin} cut 3; run 5000; heal; run 2000"),
        expect![[r#"
            3 leads epoch 1 at 73 ms
            1 leads epoch 2 at 3035 ms
            3: this node stops leading: no majority of the voters fetches from it
            3 resigns epoch 1
            1 leader epoch=2 0..6 hw=6 voters=1,2,3 [a]
            2 follower epoch=2 0..6 hw=6 voters=1,2,3 [a]
            3 follower epoch=2 0..6 hw=6 voters=1,2,3 [a]
        "#]],
    );
    // Who must be elected asks before the other has noticed, and again.
    check(
        &[1, 2, 3],
        &format!("{begin} cut 2; append b; run 20; die 3; heal; notice 1 3; run 60; notice 2 3; run 400"),
        expect![[r#"
            3 leads epoch 1 at 73 ms
            1 leads epoch 2 at 2355 ms
            1 leader epoch=2 0..7 hw=7 voters=1,2,3 [a b]
            2 follower epoch=2 0..7 hw=7 voters=1,2,3 [a b]
        "#]],
    );
}

#[test]
fn what_was_not_committed_gives_way() {
    check(
        &[1, 2, 3],
        "start 1 2 3; run 1000; append a; run 1000; cut 3; append lost; run 5000; append b; run 100; heal; run 2000",
        expect![[r#"
            3 leads epoch 1 at 73 ms
            1 leads epoch 2 at 3035 ms
            3: this node stops leading: no majority of the voters fetches from it
            3 resigns epoch 1
            1 leader epoch=2 0..7 hw=7 voters=1,2,3 [a b]
            2 follower epoch=2 0..7 hw=7 voters=1,2,3 [a b]
            3 follower epoch=2 0..7 hw=7 voters=1,2,3 [a b]
        "#]],
    );
}

#[test]
fn a_node_grows_to_three_and_shrinks_again() {
    let grown = "start 1; append a; start 2 3; run 1000; add 2; run 100; add 3; run 100";
    check(
        &[1],
        grown,
        expect![[r#"
        1 leads epoch 1 at 0 ms
        1 answers NONE 
        1 answers NONE 
        1 leader epoch=1 0..6 hw=6 voters=1,2,3 [a]
        2 follower epoch=1 0..6 hw=6 voters=1,2,3 [a]
        3 follower epoch=1 0..6 hw=6 voters=1,2,3 [a]
    "#]],
    );
    check(
        &[1],
        &format!("{grown}; remove 1; run 2000; append b; run 500"),
        expect![[r#"
        1 leads epoch 1 at 0 ms
        1 answers NONE 
        1 answers NONE 
        1 answers NONE 
        1 resigns epoch 1
        2 leads epoch 2 at 1200 ms
        1 observer epoch=2 0..9 hw=9 voters=2,3 [a b]
        2 leader epoch=2 0..9 hw=9 voters=2,3 [a b]
        3 follower epoch=2 0..9 hw=9 voters=2,3 [a b]
    "#]],
    );
    check(
        &[1],
        &format!("{grown}; remove 3; run 100; remove 2; run 100; append b; run 500"),
        expect![[r#"
        1 leads epoch 1 at 0 ms
        1 answers NONE 
        1 answers NONE 
        1 answers NONE 
        1 answers NONE 
        1 leader epoch=1 0..9 hw=9 voters=1 [a b]
        2 observer epoch=1 0..9 hw=9 voters=1 [a b]
        3 observer epoch=1 0..9 hw=9 voters=1 [a b]
    "#]],
    );
    check(
        &[1],
        "start 1; remove 1; start 2; add 2",
        expect![[r#"
        1 leads epoch 1 at 0 ms
        1 answers INVALID_REQUEST the last voter cannot be removed
        1 answers REQUEST_TIMED_OUT node 2 has not caught up with the metadata log as an observer; try again
        1 leader epoch=1 0..3 hw=3 voters=1 []
        2 observer epoch=0 0..0 hw=0 voters= []
    "#]],
    );
}

#[test]
fn another_disk_is_another_voter() {
    check(
        &[1, 2, 3],
        "start 1 2 3; run 1000; append a; run 500; kill 3; wipe 3; start 3; run 500; kill 2; run 5000",
        expect![[r#"
            3 leads epoch 1 at 73 ms
            1 leads epoch 2 at 1535 ms
            1: this node stops leading: no majority of the voters fetches from it
            1 resigns epoch 2
            1 prospective epoch=2 0..6 hw=6 voters=1,2,3 [a]
            3 observer epoch=2 0..6 hw=6 voters=1,2,3 [a]
        "#]],
    );
}

#[test]
fn a_late_node_takes_the_snapshot() {
    check(
        &[1],
        "start 1; append a b c; run 10; snapshot 1; append d; run 10; start 2; run 1000; kill 1; start 1; run 500",
        expect![[r#"
            1 leads epoch 1 at 0 ms
            2 loads a snapshot
            1 loads a snapshot
            1 leads epoch 2 at 1020 ms
            1 leader epoch=2 6..8 hw=8 voters=1 [a b c d]
            2 observer epoch=2 6..8 hw=8 voters=1 [a b c d]
        "#]],
    );
}

#[test]
fn requests_of_strangers_are_refused() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.step(&["start", "1", "2", "3"]);
    cluster.run(1000);
    let leader = cluster.leader();
    let other = [1, 2, 3].into_iter().find(|id| *id != leader).unwrap();
    let replica = ReplicaKey { id: NodeId(9), directory: Uuid([9; 16]) };
    let fetch = Fetch {
        replica,
        current_epoch: LeaderEpoch(1),
        offset: Offset(0),
        last_epoch: LeaderEpoch(0),
        high_watermark: Offset(0),
        max_wait_ms: 0,
        max_bytes: 100,
    };
    let vote = |directory: u8, pre_vote| {
        Call::Vote(Vote {
            voter: ReplicaKey { id: NodeId(other), directory: Uuid([directory; 16]) },
            candidate: replica,
            epoch: LeaderEpoch(1),
            last_epoch: LeaderEpoch(9),
            last_offset: Offset(99),
            pre_vote,
        })
    };
    let request = Request { cluster_id: Some(Text::from("other")), call: Call::Fetch(fetch.clone()) };
    cluster.with(leader, |quorum, now| quorum.handle(now, Input::Request { token: 999, request }));
    cluster.ask(other, Call::Fetch(fetch.clone()));
    cluster.ask(leader, Call::Fetch(Fetch { current_epoch: LeaderEpoch(7), ..fetch.clone() }));
    cluster.ask(leader, Call::Fetch(Fetch { offset: Offset(50), last_epoch: LeaderEpoch(1), ..fetch }));
    // It hears its leader; and an old disk is not this node.
    cluster.ask(other, vote(0, true));
    cluster.ask(other, vote(0, false));
    cluster.ask(other, vote(77, false));
    expect![[r#"
        3 leads epoch 1 at 73 ms
        3 answers INCONSISTENT_CLUSTER_ID None None
        1 answers NOT_LEADER_OR_FOLLOWER None None
        3 answers UNKNOWN_LEADER_EPOCH None None
        3 answers NONE Some(EpochEnd { epoch: LeaderEpoch(1), end_offset: Offset(4) }) None
        1 answers NONE granted=false leader=Some(NodeId(3))
        1 answers NONE granted=false leader=Some(NodeId(3))
        1 answers INVALID_VOTER_KEY granted=false leader=Some(NodeId(3))
    "#]]
    .assert_eq(&cluster.text);
}

#[test]
fn the_leader_describes_the_quorum() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.step(&["start", "1", "2", "3"]);
    cluster.run(1500);
    let leader = cluster.leader();
    let described = cluster.nodes[&leader].quorum.as_ref().unwrap().describe(cluster.now()).unwrap();
    let mut text = format!("{} {} {}\n", described.leader, described.epoch, described.high_watermark);
    for (kind, replicas) in [("voter", &described.voters), ("observer", &described.observers)] {
        for replica in replicas {
            let behind = cluster.now().wall.0 - replica.last_caught_up.0;
            writeln!(text, "{kind} {} end={} fresh={}", replica.id, replica.log_end_offset, behind <= 500).unwrap();
        }
    }
    expect![[r#"
        1 1 4
        voter 1 end=4 fresh=true
        voter 2 end=4 fresh=true
        observer 3 end=4 fresh=true
    "#]]
    .assert_eq(&text);
    let follower = 3 - leader;
    assert!(cluster.nodes[&follower].quorum.as_ref().unwrap().describe(cluster.now()).is_err());
}
