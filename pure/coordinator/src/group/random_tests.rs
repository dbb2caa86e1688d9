//! Random clients against one coordinator that crashes and whose log refuses records, under many seeds.
//!
//! Checked after each step: whoever asks is answered once; a generation has one assignment; an offset is what was
//! committed last; the log, whole or compacted, makes the same groups and offsets again.

use super::command::{
    CommitPartition, CommitTopic, DeleteGroups, Heartbeat, Join, Leave, Leaver, OffsetCommit, OffsetDelete, Sync,
};
use super::records::{Key, read_key, read_offset};
use super::*;
use bytes::Bytes;
use types::{LeaderEpoch, Timestamp};

const SEEDS: u64 = 300;
const STEPS: usize = 400;
const GROUPS: [&str; 2] = ["g", "h"];
const TOPICS: [&str; 2] = ["t", "u"];

/// What a sane client does next.
#[derive(Clone, Copy, Default)]
enum Wants {
    #[default]
    Join,
    Sync,
    Work,
}

#[derive(Clone, Default)]
struct Client {
    wants: Wants,
    group: Text,
    member: Text,
    instance: Option<Text>,
    generation: Generation,
    is_leader: bool,
    others: Vec<Text>,
}

struct World {
    seed: u64,
    rng: Rng,
    now: Now,
    config: Config,
    coordinator: Coordinator,
    log: Vec<Record>,
    clients: Vec<Client>,
    /// Who waits, and the generation that the request named.
    waiting: BTreeMap<Token, (usize, Generation)>,
    next_token: Token,
    /// What the leader of each generation decided, as its members heard it.
    assignments: BTreeMap<(Text, Generation), Bytes>,
    offsets: BTreeMap<(Text, Text, PartitionIndex), Offset>,
}

#[test]
fn random_clients_crashes_and_failures_break_no_promise() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = Rng::new(seed);
        let config = Config {
            max_size: if rng.one_in(3) { 3 } else { 100 },
            offsets_retention_ms: 200_000,
            offsets_retention_check_interval_ms: 30_000,
            ..Config::default()
        };
        let client = |index: usize| Client {
            group: GROUPS[index % GROUPS.len()].into(),
            instance: index.is_multiple_of(3).then(|| Text::from(format!("i{}", index / 4))),
            generation: Generation::NONE,
            ..Client::default()
        };
        let mut coordinator = Coordinator::new(config.clone(), Rng::new(seed ^ 0xff));
        let now = Now { at: Instant(0), wall: Timestamp(1_000_000) };
        let nothing = coordinator.loaded(now);
        assert!(nothing.records.is_empty());
        World {
            seed,
            rng,
            now,
            config,
            coordinator,
            log: Vec::new(),
            clients: (0..10).map(client).collect(),
            waiting: BTreeMap::new(),
            next_token: 0,
            assignments: BTreeMap::new(),
            offsets: BTreeMap::new(),
        }
    }

    fn step(&mut self) {
        let who = usize::try_from(self.rng.below(10)).unwrap();
        match self.rng.below(100) {
            0 => self.crash(),
            1 => self.admin(),
            2..12 => {
                let ms = 1 << self.rng.below(14);
                self.advance(ms);
            }
            _ => self.client_step(who),
        }
        self.coordinator.check();
        self.compare_offsets();
    }

    fn advance(&mut self, ms: u64) {
        let end = self.now.at.plus_ms(ms);
        self.now.wall.0 += i64::try_from(ms).unwrap();
        self.now.at = end;
        while self.coordinator.next_wake().is_some_and(|wake| wake <= end) {
            let decision = self.coordinator.tick(self.now);
            self.store(decision, false);
            self.coordinator.check();
        }
    }

    fn client_step(&mut self, who: usize) {
        if self.waiting.values().any(|(waits, _)| *waits == who) && !self.rng.one_in(20) {
            return;
        }
        let mut client = self.clients[who].clone();
        if self.rng.one_in(40) {
            client.generation.0 -= 1;
        }
        if self.rng.one_in(40) {
            client.member = Text::default();
            client.wants = Wants::Join;
        }
        let (group, member, instance) = (client.group.clone(), client.member.clone(), client.instance.clone());
        let generation = client.generation;
        let sane = match client.wants {
            Wants::Join => 0,
            Wants::Sync => 5,
            Wants::Work => 11 + self.rng.below(9),
        };
        let action = if self.rng.one_in(8) { self.rng.below(20) } else { sane };
        let command = match action {
            0..5 => Command::Join(self.join(client, who)),
            5..11 => {
                let what = Bytes::from(format!("{}", self.next_token));
                let everybody = client.others.into_iter().map(|other| (other, what.clone()));
                let assignments = if client.is_leader { everybody.collect() } else { Vec::new() };
                let (protocol_type, protocol) = (None, None);
                Command::Sync(Sync { group, generation, member, instance, protocol_type, protocol, assignments })
            }
            11..16 => Command::Heartbeat(Heartbeat { group, generation, member, instance }),
            16 if self.rng.one_in(3) => {
                let by_instance = self.rng.one_in(2) && instance.is_some();
                let member = if by_instance { Text::default() } else { member };
                Command::Leave(Leave { group, members: vec![Leaver { member, instance, reason: None }] })
            }
            _ => self.commit(client),
        };
        self.send(who, generation, command);
    }

    fn join(&mut self, client: Client, who: usize) -> Join {
        let all = ["range", "sticky", "other"];
        let from = usize::try_from(self.rng.below(2)).unwrap();
        let protocols =
            all[from..].iter().map(|name| (Text::from(*name), Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t")));
        Join {
            group: client.group,
            member: client.member,
            instance: client.instance,
            client_id: format!("c{who}").into(),
            client_host: "/host".into(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 5_000 + i32::try_from(self.rng.below(20_000)).unwrap(),
            protocol_type: "consumer".into(),
            protocols: protocols.collect(),
            reason: None,
            requires_known_member: who.is_multiple_of(2),
            can_skip_assignment: self.rng.one_in(2),
        }
    }

    fn commit(&mut self, client: Client) -> Command {
        let is_simple = self.rng.one_in(5);
        let partition = CommitPartition {
            partition: PartitionIndex(i32::try_from(self.rng.below(3)).unwrap()),
            offset: Offset(i64::try_from(self.rng.below(1000)).unwrap()),
            leader_epoch: LeaderEpoch(-1),
            metadata: Text::default(),
        };
        let name = TOPICS[usize::try_from(self.rng.below(2)).unwrap()].into();
        Command::OffsetCommit(OffsetCommit {
            group: client.group,
            generation: if is_simple { Generation::NONE } else { client.generation },
            member: if is_simple { Text::default() } else { client.member },
            instance: client.instance.filter(|_| !is_simple),
            retention_ms: self.rng.one_in(4).then_some(50_000),
            knows_group_id_not_found: true,
            topics: vec![CommitTopic { name, id: Uuid::ZERO, partitions: vec![partition] }],
        })
    }

    fn admin(&mut self) {
        let group: Text = GROUPS[usize::try_from(self.rng.below(2)).unwrap()].into();
        let command = match self.rng.below(3) {
            0 => Command::DeleteGroups(DeleteGroups { groups: vec![group] }),
            1 => Command::OffsetDelete(OffsetDelete { group, topics: vec![("u".into(), vec![PartitionIndex(0)])] }),
            _ => {
                let topic = DeletedTopic { name: "u".into(), id: Uuid::ZERO };
                let decision = self.coordinator.topics_deleted(self.now, &[topic]);
                return self.store(decision, false);
            }
        };
        self.send(usize::MAX, Generation::NONE, command);
    }

    fn send(&mut self, who: usize, generation: Generation, command: Command) {
        self.next_token += 1;
        self.waiting.insert(self.next_token, (who, generation));
        let is_commit = matches!(command, Command::OffsetCommit(_));
        let decision = self.coordinator.decide(self.now, self.next_token, command);
        self.store(decision, is_commit);
    }

    fn store(&mut self, decision: Decision, is_commit: bool) {
        self.hear_all(&decision.now_replies);
        if !decision.records.is_empty() && self.rng.one_in(15) {
            let refused = self.coordinator.failed(self.now, decision, ErrorCode::KAFKA_STORAGE_ERROR);
            assert!(refused.records.is_empty() && refused.replies.is_empty());
            return self.hear_all(&refused.now_replies);
        }
        for record in decision.records {
            self.coordinator.replay(&record.key, record.value.as_ref()).unwrap();
            self.remember(&record, is_commit);
            self.log.push(record);
        }
        self.hear_all(&decision.replies);
    }

    fn remember(&mut self, record: &Record, is_commit: bool) {
        match (read_key(&record.key).unwrap(), &record.value) {
            (Key::Offset { group, topic, partition }, Some(value)) => {
                assert!(is_commit, "seed {}: only a commit moves an offset", self.seed);
                self.offsets.insert((group, topic, partition), read_offset(value).unwrap().offset);
            }
            (Key::Offset { group, topic, partition }, None) => {
                assert!(!is_commit);
                self.offsets.remove(&(group, topic, partition));
            }
            (Key::Group(id), None) => self.assignments.retain(|(group, _), _| *group != id),
            (Key::Group(_), Some(_)) => {}
            (Key::Other, _) => unreachable!(),
        }
    }

    fn hear_all(&mut self, replies: &[(Token, Reply)]) {
        for (token, reply) in replies {
            let (who, generation) = self.waiting.remove(token).expect("whoever asks is answered once");
            let Some(client) = self.clients.get_mut(who) else { continue };
            match reply {
                Reply::Join(reply) => match reply.error {
                    ErrorCode::NONE => {
                        client.member = reply.member.clone();
                        client.generation = reply.generation;
                        client.wants = Wants::Sync;
                        client.is_leader = reply.leader == reply.member && !reply.skip_assignment;
                        client.others = reply.members.iter().map(|member| member.member.clone()).collect();
                        assert!(!client.is_leader || client.others.contains(&client.member));
                    }
                    ErrorCode::MEMBER_ID_REQUIRED => client.member = reply.member.clone(),
                    ErrorCode::REBALANCE_IN_PROGRESS => {}
                    _ => client.member = Text::default(),
                },
                Reply::Sync(reply) if reply.error.is_ok() && !reply.assignment.is_empty() => {
                    client.wants = Wants::Work;
                    let key = (client.group.clone(), generation);
                    let known = self.assignments.entry(key).or_insert_with(|| reply.assignment.clone());
                    assert_eq!(known, &reply.assignment, "seed {}: generation {generation:?}", self.seed);
                }
                Reply::Heartbeat(ErrorCode::NONE) => {}
                Reply::Heartbeat(error) | Reply::Sync(SyncReply { error, .. }) => {
                    client.wants = Wants::Join;
                    if *error == ErrorCode::UNKNOWN_MEMBER_ID {
                        client.member = Text::default();
                    }
                }
                _ => {}
            }
        }
    }

    fn compare_offsets(&self) {
        let committed = self.coordinator.offsets();
        let committed: BTreeMap<_, _> =
            committed.map(|(group, topic, at, offset)| ((group.clone(), topic.clone(), at), offset)).collect();
        assert_eq!(committed, self.offsets, "seed {}", self.seed);
    }

    fn replayed<'a>(&self, log: impl Iterator<Item = &'a Record>) -> Coordinator {
        let mut coordinator = Coordinator::new(self.config.clone(), Rng::new(self.next_token));
        log.for_each(|record| coordinator.replay(&record.key, record.value.as_ref()).unwrap());
        coordinator
    }

    /// The same groups from the whole log and from what compaction leaves of it, as they are where they rest.
    fn compare_replay(&self) {
        let whole = self.replayed(self.log.iter());
        let last: BTreeMap<&Bytes, usize> = self.log.iter().enumerate().map(|(at, record)| (&record.key, at)).collect();
        let kept =
            self.log.iter().enumerate().filter(|(at, record)| last[&record.key] == *at && record.value.is_some());
        let compacted = self.replayed(kept.map(|(_, record)| record));
        assert_eq!(
            whole.offsets().collect::<Vec<_>>(),
            self.coordinator.offsets().collect::<Vec<_>>(),
            "seed {}",
            self.seed
        );
        assert_eq!(whole.offsets().collect::<Vec<_>>(), compacted.offsets().collect::<Vec<_>>());
        for (id, group) in &self.coordinator.groups {
            let again = &whole.groups[id];
            let is_at_rest = matches!(group.state(), State::Empty | State::Stable);
            if is_at_rest && group.generation == again.generation {
                assert_eq!(assigned(group), assigned(again), "seed {}", self.seed);
                assert_eq!(group.state(), again.state());
                assert_eq!((&group.leader, &group.protocol), (&again.leader, &again.protocol));
            }
            let compacted = compacted.groups.get(id).map(|group| (group.generation, assigned(group)));
            let is_known = again.protocol_type.is_some();
            assert!(!is_known || compacted == Some((again.generation, assigned(again))));
        }
    }

    fn crash(&mut self) {
        self.compare_replay();
        self.waiting.clear();
        self.coordinator = self.replayed(self.log.iter());
        let decision = self.coordinator.loaded(self.now);
        self.store(decision, false);
    }

    /// Left alone, every group ends, and everybody who waits is answered.
    fn settle(&mut self) {
        self.compare_replay();
        for _ in 0..2_000 {
            self.advance(1_000);
        }
        assert_eq!(self.coordinator.counts(), Counts::default(), "seed {}", self.seed);
        assert!(self.waiting.is_empty(), "seed {}: somebody waits for ever", self.seed);
        self.compare_replay();
    }
}

fn assigned(group: &Group) -> Vec<(Text, Bytes)> {
    group.members().iter().map(|(id, member)| (id.clone(), member.assignment.clone())).collect()
}
