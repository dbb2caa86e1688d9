//! Scenes of a cluster: brokers that come and go, and what becomes of a topic's partitions.

use super::*;
use std::collections::BTreeMap;
use types::{Instant, LeaderEpoch, Offset, TopicPartition};

/// A cluster whose brokers are played by a script of words.
pub(super) struct Scene {
    pub cluster: Cluster,
    /// The next offset of the metadata log.
    pub offset: i64,
    runs: u8,
    racks: BTreeMap<i32, &'static str>,
}

impl Scene {
    pub fn new() -> Scene {
        Scene { cluster: Cluster::new(&[], &[]), offset: 0, runs: 0, racks: BTreeMap::new() }
    }

    /// So many brokers that live.
    pub fn of(brokers: i32) -> Scene {
        let mut scene = Scene::new();
        for id in 1..=brokers {
            scene.play(&format!("register {id}; beat {id}"));
        }
        scene
    }

    pub fn decide(&mut self, command: Command) -> Reply {
        let before = self.cluster.committed.clone();
        let reply = self.cluster.decide(command.clone());
        self.offset += i64::try_from(self.cluster.decided).expect("few");
        invariants::check(&before, &self.cluster.committed, &command);
        reply
    }

    pub fn registration(&mut self, id: i32, last_stop: LastStop) -> Registration {
        self.runs += 1;
        let broker = Broker {
            epoch: self.offset,
            incarnation: Uuid([self.runs; 16]),
            fenced: true,
            ..broker(id, self.racks.get(&id).copied())
        };
        Registration { broker, last_stop, replaces_living: false }
    }

    pub fn beat(&self, id: i32) -> Heartbeat {
        Heartbeat {
            broker: NodeId(id),
            epoch: self.epoch(id),
            metadata_offset: Offset(self.offset),
            want_fence: false,
            want_shutdown: false,
            offline_directories: Vec::new(),
            cordoned_directories: None,
            others_know: false,
        }
    }

    pub fn epoch(&self, id: i32) -> i64 {
        self.cluster.committed.broker(NodeId(id)).map_or(-1, |broker| broker.epoch)
    }

    fn find(&self, name: &str) -> (Text, TopicPartition, crate::Partition) {
        let (name, index) = name.rsplit_once('-').expect("topic-index");
        let topic = self.cluster.committed.topic_by_name(name).expect("created");
        let partition = PartitionIndex(index.parse().expect("a number"));
        let found = topic.partition(partition).expect("there").clone();
        (Text::from(name), TopicPartition { topic: topic.id, partition }, found)
    }

    /// A wish of the present leader.
    pub fn wish(&self, name: &str, isr: &[i32]) -> (NodeId, IsrChange) {
        let (_, partition, found) = self.find(name);
        let member = |id: &i32| (NodeId(*id), Some(self.epoch(*id)));
        let change = IsrChange {
            partition,
            leader_epoch: found.leader_epoch,
            partition_epoch: found.partition_epoch,
            isr: isr.iter().map(member).collect(),
            recovering: found.recovering,
        };
        (found.leader.unwrap_or(NodeId(-1)), change)
    }

    pub fn alter_isr(&mut self, leader: NodeId, change: IsrChange) -> String {
        let epoch = self.epoch(leader.0);
        match self.decide(Command::AlterPartition { broker: leader, epoch, partitions: vec![change] }) {
            Reply::AlterPartition(Ok(answers)) => {
                answers[0].1.as_ref().map_or_else(|code| format!("{code:?}"), |_| "ok".to_owned())
            }
            Reply::AlterPartition(Err(refused)) => shown(&refused),
            other => panic!("{other:?}"),
        }
    }

    fn step(&mut self, words: &[&str]) -> String {
        let number = |at: usize| words[at].parse::<i32>().expect("a number");
        let has = |word: &str| words.contains(&word);
        match words[0] {
            "racks" => {
                self.racks =
                    (1..).zip(&words[1..]).map(|(id, rack)| (id, if *rack == "a" { "a" } else { "b" })).collect();
                String::new()
            }
            "register" => {
                let last_stop = match (has("killed"), has("power")) {
                    (true, _) => LastStop::Killed,
                    (_, true) => LastStop::PowerLost,
                    _ => LastStop::Clean,
                };
                let mut registration = self.registration(number(1), last_stop);
                registration.replaces_living = has("twice");
                registration.broker.fenced = !has("alone");
                if has("wiped") {
                    registration.broker.directories = vec![Uuid([77; 16])];
                }
                match self.decide(Command::RegisterBroker(Box::new(registration))) {
                    Reply::RegisterBroker(result) => result.map_or_else(|refused| shown(&refused), |_| String::new()),
                    other => panic!("{other:?}"),
                }
            }
            "beat" => {
                let mut beat = self.beat(number(1));
                beat.want_shutdown = has("shutdown");
                beat.want_fence = has("fence");
                beat.others_know = has("known");
                if has("behind") {
                    beat.metadata_offset = Offset(beat.epoch - 1);
                }
                if has("broken") {
                    beat.offline_directories = vec![Uuid([words[1].parse().expect("small"); 16])];
                }
                match self.decide(Command::Heartbeat(beat)) {
                    Reply::Heartbeat(Ok(reply)) => {
                        let flags = [
                            (!reply.is_caught_up, "behind"),
                            (reply.is_fenced, "fenced"),
                            (reply.should_shut_down, "stop"),
                        ];
                        let set = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name);
                        set.collect::<Vec<_>>().join(" ")
                    }
                    Reply::Heartbeat(Err(refused)) => shown(&refused),
                    other => panic!("{other:?}"),
                }
            }
            "fence" => {
                let (broker, epoch) = (NodeId(number(1)), self.epoch(number(1)));
                self.decide(Command::FenceBroker { broker, epoch });
                String::new()
            }
            "unregister" => match self.decide(Command::UnregisterBroker { broker: NodeId(number(1)) }) {
                Reply::UnregisterBroker(result) => result.map_or_else(|refused| shown(&refused), |()| String::new()),
                other => panic!("{other:?}"),
            },
            "create" => {
                let replicas = |list: &&str| nodes(list);
                let assignments = (0..).map(PartitionIndex).zip(words[2..].iter().map(replicas)).collect();
                let topics = vec![NewTopic { assignments, ..topic(words[1], -1, -1) }];
                match self.decide(Command::CreateTopics { topics, validate_only: false }) {
                    Reply::CreateTopics(answers) => answers[0].1.as_ref().map_or_else(shown, |_| String::new()),
                    other => panic!("{other:?}"),
                }
            }
            "set" => {
                let changes = vec![(Resource::topic(words[1]), set(words[2], words[3]))];
                self.decide(Command::AlterConfigs { changes, validate_only: false });
                String::new()
            }
            "isr" => {
                let isr: Vec<i32> = nodes(words[2]).into_iter().map(|node| node.0).collect();
                let (leader, mut change) = self.wish(words[1], &isr);
                change.recovering &= !has("recovered");
                self.alter_isr(leader, change)
            }
            "elect" => {
                let kind = if has("unclean") { ElectionKind::Unclean } else { ElectionKind::Preferred };
                let partition = |name: &str| {
                    let (name, index) = name.rsplit_once('-').expect("topic-index");
                    (Text::from(name), PartitionIndex(index.parse().expect("a number")))
                };
                let partitions = (!has("all")).then(|| words[2..].iter().map(|name| partition(name)).collect());
                match self.decide(Command::ElectLeaders { kind, partitions }) {
                    Reply::ElectLeaders(answers) => results(&answers),
                    other => panic!("{other:?}"),
                }
            }
            "reassign" | "cancel" => {
                let (topic, index) = words[1].rsplit_once('-').expect("topic-index");
                let partition = PartitionIndex(index.parse().expect("a number"));
                let replicas = (words[0] == "reassign").then(|| words.get(2).map_or(Vec::new(), |list| nodes(list)));
                let partitions = vec![Reassignment { topic: Text::from(topic), partition, replicas }];
                let allow_replication_factor_change = has("any-factor");
                match self.decide(Command::AlterPartitionReassignments { partitions, allow_replication_factor_change })
                {
                    Reply::AlterPartitionReassignments(answers) => results(&answers),
                    other => panic!("{other:?}"),
                }
            }
            "balance" => match self.decide(Command::BalanceLeaders) {
                Reply::BalanceLeaders { moved, more } => format!("moved {moved}{}", if more { " of more" } else { "" }),
                other => panic!("{other:?}"),
            },
            "feature" => {
                let upgrade_type = UpgradeType::from_code(i8::try_from(number(3)).expect("small")).expect("known");
                let level = i16::try_from(number(2)).expect("small");
                let updates = vec![FeatureUpdate { name: Text::from(words[1]), level, upgrade_type }];
                match self.decide(Command::UpdateFeatures { updates, validate_only: has("validate") }) {
                    Reply::UpdateFeatures(result) => {
                        result.map_or_else(|refused| shown(&refused), |()| "ok".to_owned())
                    }
                    other => panic!("{other:?}"),
                }
            }
            "show" => self.layout(words[1]),
            other => panic!("no such step: {other}"),
        }
    }

    /// What the steps answered, each on a line.
    pub fn play(&mut self, script: &str) -> String {
        let steps = script.split(';').map(|step| step.split_whitespace().collect::<Vec<_>>());
        let lines: Vec<String> = steps.map(|words| self.step(&words)).filter(|line| !line.is_empty()).collect();
        lines.join("\n")
    }

    fn layout(&self, topic: &str) -> String {
        let topic = self.cluster.committed.topic_by_name(topic).expect("created");
        topic.partitions.iter().map(|partition| state(partition)).collect::<Vec<_>>().join("; ")
    }
}

fn results(answers: &[(Text, PartitionIndex, Result<(), Refused>)]) -> String {
    let line = |(name, index, result): &(Text, PartitionIndex, Result<(), Refused>)| match result {
        Ok(()) => format!("{name}-{index} ok"),
        Err(refused) => format!("{name}-{index} {}", shown(refused)),
    };
    answers.iter().map(line).collect::<Vec<_>>().join(", ")
}

fn nodes(list: &str) -> Vec<NodeId> {
    list.split(',').filter(|id| !id.is_empty()).map(|id| NodeId(id.parse().expect("a number"))).collect()
}

/// `leader@epoch [replicas] isr [..]`, and what else there is to say.
fn state(it: &crate::Partition) -> String {
    let ids = |nodes: &[NodeId]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let leader = it.leader.map_or("none".to_owned(), |leader| leader.to_string());
    let mut text = format!("{leader}@{} [{}] isr [{}]", it.leader_epoch, ids(&it.replicas), ids(&it.isr));
    let lists = [
        ("elr", &it.eligible_leader_replicas),
        ("last", &it.last_known_elr),
        ("adding", &it.adding_replicas),
        ("removing", &it.removing_replicas),
    ];
    for (name, nodes) in lists.iter().filter(|(_, nodes)| !nodes.is_empty()) {
        text.push_str(&format!(" {name} [{}]", ids(nodes)));
    }
    if it.recovering {
        text.push_str(" recovering");
    }
    text
}

fn check(mut scene: Scene, script: &str, expected: Expect) {
    expected.assert_eq(&scene.play(script));
}

#[test]
fn a_broker_starts_fenced_and_is_unfenced_by_a_heartbeat() {
    check(
        Scene::new(),
        "register 1; beat 1 behind; beat 1 fence; create t 1; beat 1; create t 1; show t; beat 1",
        expect![[r#"
            behind fenced
            fenced
            INVALID_REPLICA_ASSIGNMENT: All brokers specified in the manual partition assignment for partition 0 are fenced or in controlled shutdown.
            1@0 [1] isr [1]"#]],
    );
}

#[test]
fn registrations_are_checked() {
    check(
        Scene::of(2),
        "register 1 twice; register 3 wiped; register 4 wiped; beat 9",
        expect![[r#"
            DUPLICATE_BROKER_REGISTRATION: Another broker is registered with that broker id: 1.
            INVALID_REGISTRATION: Broker 4 has the log directory TU1NTU1NTU1NTU1NTU1NTQ of broker 3: a data directory must not be copied to another node.
            BROKER_ID_NOT_REGISTERED: Broker 9 is not registered."#]],
    );
    let mut scene = Scene::of(1);
    let mut stale = scene.beat(1);
    stale.epoch -= 1;
    let Reply::Heartbeat(Err(refused)) = scene.decide(Command::Heartbeat(stale)) else { panic!() };
    assert_eq!(refused.code, ErrorCode::STALE_BROKER_EPOCH);
    let mut old = scene.registration(2, LastStop::Clean);
    old.broker.features.retain(|(name, _, _)| name != "eligible.leader.replicas.version");
    let Reply::RegisterBroker(Err(refused)) = scene.decide(Command::RegisterBroker(Box::new(old))) else { panic!() };
    assert_eq!(refused.code, ErrorCode::UNSUPPORTED_VERSION);
    // The same run may register again, and keeps its epoch.
    let same = scene.cluster.committed.broker(NodeId(1)).cloned().expect("registered");
    let again = Registration { broker: same.clone(), last_stop: LastStop::Clean, replaces_living: true };
    let again = Registration { broker: Broker { epoch: 99, fenced: true, ..again.broker }, ..again };
    let Reply::RegisterBroker(Ok(epoch)) = scene.decide(Command::RegisterBroker(Box::new(again))) else { panic!() };
    assert_eq!(epoch, same.epoch);
    assert_eq!(scene.cluster.committed.broker(NodeId(1)), Some(&same));
}

#[test]
fn leaders_move_to_the_living_and_come_back() {
    check(
        Scene::of(3),
        "create t 1,2,3 2,3,1; set t min.insync.replicas 2; fence 1; show t; fence 2; show t; fence 3; show t;
         register 1; beat 1; show t; register 3; beat 3; show t; isr t-0 3,1; show t; isr t-1 3,1;
         register 2; beat 2; isr t-0 1,2,3; isr t-1 1,2,3; elect preferred all; show t",
        expect![[r#"
            2@1 [1,2,3] isr [2,3]; 2@0 [2,3,1] isr [2,3]
            3@2 [1,2,3] isr [3] elr [2]; 3@1 [2,3,1] isr [3] elr [2]
            none@3 [1,2,3] isr [] elr [2,3] last [3]; none@2 [2,3,1] isr [] elr [2,3] last [3]
            none@3 [1,2,3] isr [] elr [2,3] last [3]; none@2 [2,3,1] isr [] elr [2,3] last [3]
            3@4 [1,2,3] isr [3] elr [2]; 3@3 [2,3,1] isr [3] elr [2]
            ok
            3@4 [1,2,3] isr [3,1]; 3@3 [2,3,1] isr [3] elr [2]
            ok
            ok
            ok
            t-0 ok, t-1 ok
            1@5 [1,2,3] isr [1,2,3]; 2@4 [2,3,1] isr [1,2,3]"#]],
    );
}

#[test]
fn a_power_loss_takes_a_broker_out_of_what_others_hold() {
    check(
        Scene::of(3),
        "create t 1,2,3; create alone 1; set t min.insync.replicas 2; register 1 power; show t; show alone; beat 1; show alone;
         fence 2; fence 3; show t; register 3 power; beat 3; show t; register 2 power; show t; beat 2; show t",
        expect![[r#"
            2@1 [1,2,3] isr [2,3]
            none@1 [1] isr [] elr [1] last [1]
            1@2 [1] isr [1]
            none@3 [1,2,3] isr [] elr [2,3] last [3]
            none@3 [1,2,3] isr [] elr [2] last [3]
            none@3 [1,2,3] isr [] elr [2] last [3]
            2@4 [1,2,3] isr [2]"#]],
    );
}

#[test]
fn a_broker_with_an_empty_disk_holds_nothing() {
    check(
        Scene::of(2),
        "create t 1,2; create alone 1; register 1 wiped; show t; show alone; beat 1; show alone; elect preferred alone-0;
         elect unclean alone-0; show alone",
        expect![[r#"
            2@1 [1,2] isr [2]
            none@1 [1] isr []
            none@1 [1] isr []
            alone-0 PREFERRED_LEADER_NOT_AVAILABLE: The preferred leader was not available.
            alone-0 ELIGIBLE_LEADERS_NOT_AVAILABLE: No eligible leaders were available.
            none@1 [1] isr []"#]],
    );
}

#[test]
fn a_lone_node_is_usable_by_one_decision() {
    check(
        Scene::new(),
        "register 1 alone; create t 1 1; register 1 alone; show t; register 1 alone killed; show t; register 1 alone power; show t",
        expect![[r#"
            1@0 [1] isr [1]; 1@0 [1] isr [1]
            1@1 [1] isr [1]; 1@1 [1] isr [1]
            1@2 [1] isr [1]; 1@2 [1] isr [1]"#]],
    );
}

#[test]
fn a_broker_leaves_in_good_order() {
    check(
        Scene::of(3),
        "create t 1,2,3 2,1,3; create alone 1; beat 1 shutdown; show t; show alone; create u 1,2; show u; beat 1 shutdown;
         beat 1 shutdown known; show t; show alone; beat 1; register 1; beat 1; show alone; isr t-0 1,2,3; show t",
        expect![[r#"
            2@1 [1,2,3] isr [2,3]; 2@0 [2,1,3] isr [2,3]
            1@0 [1] isr [1]
            2@0 [1,2] isr [2]
            fenced stop
            2@1 [1,2,3] isr [2,3]; 2@0 [2,1,3] isr [2,3]
            none@1 [1] isr [] elr [1] last [1]
            fenced
            1@2 [1] isr [1]
            ok
            2@1 [1,2,3] isr [1,2,3]; 2@0 [2,1,3] isr [2,3]"#]],
    );
    // One that leads nothing stops at once.
    check(
        Scene::of(3),
        "create t 1,2; beat 2 shutdown; show t",
        expect![[r#"
        fenced stop
        1@0 [1,2] isr [1]"#]],
    );
    // A leader that leaves and has nobody may still take somebody in, who leads from then on.
    check(
        Scene::of(2),
        "create t 1,2; isr t-0 1; beat 1 shutdown; show t; isr t-0 1,2; show t; beat 1 shutdown known; show t",
        expect![[r#"
            ok
            1@0 [1,2] isr [1]
            NEW_LEADER_ELECTED
            2@1 [1,2] isr [2]
            fenced stop
            2@1 [1,2] isr [2]"#]],
    );
}

#[test]
fn a_failed_directory_takes_its_replicas_down() {
    check(
        Scene::of(2),
        "create t 1,2 2,1; beat 1 broken; show t; fence 2; show t",
        expect![[r#"
        2@1 [1,2] isr [2]; 2@0 [2,1] isr [2]
        none@2 [1,2] isr [] elr [2] last [2]; none@1 [2,1] isr [] elr [2] last [2]"#]],
    );
}

#[test]
fn a_leader_changes_its_isr_or_is_told_why_not() {
    let mut scene = Scene::of(4);
    scene.play("create t 1,2,3; fence 3");
    let (leader, wish) = scene.wish("t-0", &[1, 2]);
    let mut answers = Vec::new();
    let mut ask = |scene: &mut Scene, leader: NodeId, change: IsrChange| answers.push(scene.alter_isr(leader, change));
    let with = |isr: &[i32], scene: &Scene| scene.wish("t-0", isr).1;
    ask(&mut scene, leader, IsrChange { leader_epoch: LeaderEpoch(9), ..wish.clone() });
    ask(&mut scene, leader, IsrChange { leader_epoch: LeaderEpoch(-1), ..wish.clone() });
    ask(&mut scene, leader, IsrChange { partition_epoch: 99, ..wish.clone() });
    ask(&mut scene, leader, IsrChange { partition_epoch: 0, ..wish.clone() });
    ask(&mut scene, NodeId(2), wish.clone());
    let change = with(&[1, 4], &scene);
    ask(&mut scene, leader, change);
    let change = with(&[2], &scene);
    ask(&mut scene, leader, change);
    let change = with(&[1, 2, 3], &scene);
    ask(&mut scene, leader, change);
    let isr = vec![(NodeId(1), None), (NodeId(2), Some(1))];
    ask(&mut scene, leader, IsrChange { isr, ..wish.clone() });
    ask(&mut scene, leader, IsrChange { recovering: true, ..wish.clone() });
    let unknown = TopicPartition { topic: Uuid([3; 16]), ..wish.partition };
    ask(&mut scene, leader, IsrChange { partition: unknown, ..wish.clone() });
    let unknown = TopicPartition { partition: PartitionIndex(5), ..wish.partition };
    ask(&mut scene, leader, IsrChange { partition: unknown, ..wish.clone() });
    ask(&mut scene, leader, wish.clone());
    let epoch = scene.epoch(1) - 1;
    let stale = Command::AlterPartition { broker: leader, epoch, partitions: vec![wish] };
    let Reply::AlterPartition(Err(refused)) = scene.decide(stale) else { panic!() };
    assert_eq!(refused.code, ErrorCode::STALE_BROKER_EPOCH);
    expect![[r#"
        NOT_CONTROLLER
        FENCED_LEADER_EPOCH
        NOT_CONTROLLER
        INVALID_UPDATE_VERSION
        INVALID_REQUEST
        INVALID_REQUEST
        INVALID_REQUEST
        INELIGIBLE_REPLICA
        INELIGIBLE_REPLICA
        INVALID_REQUEST
        UNKNOWN_TOPIC_ID
        UNKNOWN_TOPIC_OR_PARTITION
        ok"#]]
    .assert_eq(&answers.join("\n"));
}

#[test]
fn leaders_are_elected_when_asked() {
    check(
        Scene::of(3),
        "create t 1,2; elect preferred t-0 t-7 u-0; isr t-0 1; fence 1; show t; elect preferred t-0; elect unclean t-0; show t;
         isr t-0 2 recovered; show t; elect unclean t-0; elect unclean all; register 1; beat 1; elect preferred t-0",
        expect![[r#"
            t-0 ELECTION_NOT_NEEDED: Leader election not needed for topic partition., t-7 UNKNOWN_TOPIC_OR_PARTITION: No such partition as t-7, u-0 UNKNOWN_TOPIC_OR_PARTITION: No such topic as u
            ok
            none@1 [1,2] isr [] elr [1] last [1]
            t-0 PREFERRED_LEADER_NOT_AVAILABLE: The preferred leader was not available.
            t-0 ok
            2@2 [1,2] isr [2] recovering
            ok
            2@2 [1,2] isr [2]
            t-0 ELECTION_NOT_NEEDED: Leader election not needed for topic partition.
            t-0 PREFERRED_LEADER_NOT_AVAILABLE: The preferred leader was not available."#]],
    );
    // Where the topic allows it, nobody needs to ask.
    check(
        Scene::of(2),
        "create t 1,2; isr t-0 1; fence 1; show t; set t unclean.leader.election.enable true; show t",
        expect![[r#"
            ok
            none@1 [1,2] isr [] elr [1] last [1]
            2@2 [1,2] isr [2] recovering"#]],
    );
}

#[test]
fn leaders_are_given_back() {
    check(
        Scene::of(2),
        "create t 1,2 2,1 1,2; fence 1; register 1; beat 1; isr t-0 1,2; show t; balance; show t; balance",
        expect![[r#"
            ok
            2@1 [1,2] isr [1,2]; 2@0 [2,1] isr [2]; 2@1 [1,2] isr [2]
            moved 1
            1@2 [1,2] isr [1,2]; 2@0 [2,1] isr [2]; 2@1 [1,2] isr [2]
            moved 0"#]],
    );
}

#[test]
fn replicas_move_once_the_new_ones_are_in_sync() {
    check(
        Scene::of(5),
        "create t 1,2; reassign t-0 3,4; show t; isr t-0 1,2,3; show t; isr t-0 1,2,3,4; show t",
        expect![[r#"
            t-0 ok
            1@0 [3,4,1,2] isr [1,2] adding [3,4] removing [1,2]
            ok
            1@0 [3,4,1,2] isr [1,2,3] adding [3,4] removing [1,2]
            NEW_LEADER_ELECTED
            3@1 [3,4] isr [3,4]"#]],
    );
    check(
        Scene::of(5),
        "create t 1,2; cancel t-0; reassign t-0 3,4; isr t-0 1,2,3; cancel t-0; show t; reassign t-0 2,1; show t;
         reassign t-0 1,2,3; reassign t-0 1,2,3 any-factor; show t; isr t-0 2,1,3; show t; reassign t-0 3 any-factor; show t",
        expect![[r#"
            t-0 NO_REASSIGNMENT_IN_PROGRESS: No partition reassignment is in progress.
            t-0 ok
            ok
            t-0 ok
            1@1 [1,2] isr [1,2]
            t-0 ok
            1@1 [2,1] isr [1,2]
            t-0 INVALID_REPLICATION_FACTOR: The replication factor is changed from 2 to 3, which the request does not allow.
            t-0 ok
            1@1 [1,2,3] isr [1,2] adding [3]
            ok
            1@1 [1,2,3] isr [2,1,3]
            t-0 ok
            3@2 [3] isr [3]"#]],
    );
    check(
        Scene::of(5),
        "create t 1,2; reassign t-0; reassign t-0 1,1; reassign t-0 1,9; reassign u-0 1; reassign t-0 3,4; reassign t-0 3,5; show t;
         isr t-0 1,2,3,5; show t",
        expect![[r#"
            t-0 INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes an empty replica list.
            t-0 INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes the broker 1 more than once.
            t-0 INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes broker 9, but no such broker is registered.
            u-0 UNKNOWN_TOPIC_OR_PARTITION: No such topic as u
            t-0 ok
            t-0 ok
            1@0 [3,5,4,1,2] isr [1,2] adding [3,5] removing [4,1,2]
            NEW_LEADER_ELECTED
            3@1 [3,5] isr [3,5]"#]],
    );
}

#[test]
fn a_lower_minimum_ends_eligibility() {
    check(
        Scene::of(3),
        "create t 1,2,3; set t min.insync.replicas 2; fence 2; fence 3; show t; set t min.insync.replicas 1; show t",
        expect![[r#"
            1@0 [1,2,3] isr [1] elr [3]
            1@0 [1,2,3] isr [1]"#]],
    );
}

#[test]
fn features_are_updated_within_what_all_support() {
    check(
        Scene::of(2),
        "create t 1,2; create u 1,2; fence 2; fence 1; show t; feature eligible.leader.replicas.version 0 1; feature eligible.leader.replicas.version 0 2;
         show t; register 1; beat 1; show t; fence 1; show t; feature eligible.leader.replicas.version 1 1; show t; feature eligible.leader.replicas.version 2 1;
         feature kraft.version 0 3; feature metadata.version 29 2; feature nope 1 1; feature kraft.version 1 1; feature metadata.version 30 2",
        expect![[r#"
            none@1 [1,2] isr [] elr [1] last [1]
            INVALID_UPDATE_VERSION: The update failed for all features since the following feature had an error: Invalid update version 0 for feature eligible.leader.replicas.version. Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.
            ok
            none@1 [1,2] isr [1]
            1@2 [1,2] isr [1]
            none@3 [1,2] isr [1]
            ok
            none@3 [1,2] isr [] elr [1]
            INVALID_UPDATE_VERSION: The update failed for all features since the following feature had an error: Invalid update version 2 for feature eligible.leader.replicas.version. Local controller only supports versions 0-1
            INVALID_UPDATE_VERSION: The update failed for all features since the following feature had an error: Unsupported kraft.version downgrade from 1 to 0. Refusing to perform the requested downgrade because it might delete metadata information.
            INVALID_UPDATE_VERSION: The update failed for all features since the following feature had an error: Unsupported metadata.version downgrade from 30 to 29. Refusing to perform the requested downgrade because it might delete metadata information.
            INVALID_UPDATE_VERSION: The update failed for all features since the following feature had an error: Invalid update version 1 for feature nope. Local controller does not support this feature.
            ok
            ok"#]],
    );
}

#[test]
fn the_dead_do_not_come_back_into_an_isr() {
    check(
        Scene::of(3),
        "create t 1,2,3; set t min.insync.replicas 2; fence 1; fence 2; fence 3;
         feature eligible.leader.replicas.version 0 2; show t; register 2; beat 2; show t",
        expect![[r#"
            ok
            none@3 [1,2,3] isr [2,3]
            2@4 [1,2,3] isr [2]"#]],
    );
}

#[test]
fn a_broker_is_unregistered() {
    check(
        Scene::of(2),
        "create t 1,2; unregister 1; show t; unregister 1; beat 1; create u 1",
        expect![[r#"
            2@1 [1,2] isr [2]
            BROKER_ID_NOT_REGISTERED: Broker ID 1 is not currently registered
            BROKER_ID_NOT_REGISTERED: Broker 1 is not registered.
            INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes broker 1, but no such broker is registered."#]],
    );
}

#[test]
fn replicas_are_assigned_to_directories() {
    let mut scene = Scene::of(2);
    scene.play("create t 1,2");
    let (_, partition, _) = scene.find("t-0");
    let (own, lost) = (Uuid([1; 16]), Uuid([50; 16]));
    let unknown = TopicPartition { topic: Uuid([3; 16]), ..partition };
    let mut assign = |broker: i32, epoch: i64, assignments: Vec<(TopicPartition, Uuid)>| match scene
        .decide(Command::AssignReplicasToDirs { broker: NodeId(broker), epoch, assignments })
    {
        Reply::AssignReplicasToDirs(result) => result
            .map(|codes| codes.iter().map(|(_, _, code)| *code).collect::<Vec<_>>())
            .map_err(|refused| refused.code),
        other => panic!("{other:?}"),
    };
    assert_eq!(assign(1, 77, vec![]), Err(ErrorCode::STALE_BROKER_EPOCH));
    let epoch = 0;
    assert_eq!(
        assign(1, epoch, vec![(partition, own), (unknown, own)]),
        Ok(vec![ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_ID])
    );
    assert_eq!(assign(1, epoch, vec![(partition, lost)]), Ok(vec![ErrorCode::NONE]));
    assert_eq!(scene.play("show t"), "2@1 [1,2] isr [2]");
}

#[test]
fn internal_topics_wait_for_the_brokers_of_the_quorum() {
    let mut scene = Scene::of(1);
    let name = Text::from(CONSUMER_OFFSETS);
    let make = |scene: &mut Scene, voters: usize| {
        let topic = scene.cluster.controller.auto_topic(&name, voters);
        scene.cluster.create(vec![topic])
    };
    let refused = "__consumer_offsets: INVALID_REPLICATION_FACTOR: Unable to replicate the partition 3 time(s): Only";
    assert_eq!(make(&mut scene, 3), format!("{refused} 1 broker(s) are alive."));
    scene.play("register 2; beat 2; register 3");
    assert_eq!(make(&mut scene, 1), format!("{refused} 2 broker(s) are alive."));
    scene.play("beat 3");
    assert_eq!(make(&mut scene, 1), "__consumer_offsets: 50 partitions, 3 replicas");
}

#[test]
fn leaders_are_even_and_those_of_a_dead_broker_fall_to_all() {
    let mut scene = Scene::of(3);
    for name in ["a", "b", "c", "d", "e", "f"] {
        scene.cluster.create(vec![topic(name, 1, 3)]);
    }
    scene.cluster.create(vec![topic("t", 12, 3)]);
    let leads = |scene: &Scene| [1, 2, 3].map(|id| scene.cluster.committed.leaderships(NodeId(id)));
    assert_eq!(leads(&scene), [6, 6, 6]);
    scene.play("fence 1");
    let [dead, two, three] = leads(&scene);
    assert_eq!((dead, two + three), (0, 18));
    assert!(two.abs_diff(three) <= 6, "{two} and {three}");
    // A topic may be created while a broker is down: its replica catches up later.
    assert_eq!(scene.cluster.create(vec![topic("u", 1, 3)]), "u: 1 partitions, 3 replicas");
    assert_eq!(scene.cluster.create(vec![topic("v", 1, 4)]).split(':').nth(1), Some(" INVALID_REPLICATION_FACTOR"));
}

#[test]
fn uneven_racks_are_all_used() {
    let mut scene = Scene::new();
    scene.play("racks a a a b; register 1; register 2; register 3; register 4; beat 1; beat 2; beat 3; beat 4");
    scene.cluster.create(vec![topic("t", 8, 2)]);
    let topic = scene.cluster.committed.topic_by_name("t").expect("created");
    assert!(topic.partitions.iter().all(|partition| partition.replicas.contains(&NodeId(4))));
}

#[test]
fn sessions_run_out_and_start_anew_with_a_controller() {
    let mut scene = Scene::of(3);
    let at = |ms: u64| Instant(0).plus_ms(ms);
    let mut liveness = Liveness::new(&scene.cluster.committed, Offset(scene.offset), 9000, at(0));
    assert_eq!(liveness.next_wake(&scene.cluster.committed), Some(at(9000)));
    let mut beat = scene.beat(1);
    liveness.heard(&scene.cluster.committed, &mut beat, at(5000));
    let mut stale = Heartbeat { epoch: 99, ..scene.beat(2) };
    liveness.heard(&scene.cluster.committed, &mut stale, at(5000));
    let expired: Vec<i32> = liveness.expired(&scene.cluster.committed, at(9000)).iter().map(|(id, _)| id.0).collect();
    assert_eq!(expired, [2, 3]);
    assert!(liveness.is_alive(NodeId(1), at(13_999)) && !liveness.is_alive(NodeId(1), at(14_000)));
    let (broker, epoch) = (NodeId(2), scene.epoch(2));
    let records =
        scene.cluster.controller.clone().decide(&Command::FenceBroker { broker, epoch }, &mut Rng::new(1)).records;
    scene.play("fence 2");
    liveness.decided(&records, Offset(scene.offset), at(9000));
    assert!(!liveness.is_alive(NodeId(2), at(9000)));
    assert_eq!(liveness.expired(&scene.cluster.committed, at(9000)), [(NodeId(3), scene.epoch(3))]);
}

#[test]
fn a_broker_that_leaves_waits_until_the_others_know() {
    let mut scene = Scene::of(3);
    scene.play("create t 1,2,3; fence 3");
    let at = Instant(0);
    let mut liveness = Liveness::new(&scene.cluster.committed, Offset(scene.offset), 9000, at);
    let beat = |scene: &Scene, liveness: &mut Liveness, id: i32, offset: i64| {
        let mut beat = Heartbeat { metadata_offset: Offset(offset), want_shutdown: id == 1, ..scene.beat(id) };
        liveness.heard(&scene.cluster.committed, &mut beat, at);
        beat
    };
    let start = scene.offset;
    let first = beat(&scene, &mut liveness, 1, start - 1);
    let records = scene.cluster.controller.clone().decide(&Command::Heartbeat(first.clone()), &mut Rng::new(1)).records;
    scene.decide(Command::Heartbeat(first));
    liveness.decided(&records, Offset(scene.offset), at);
    beat(&scene, &mut liveness, 2, start - 1);
    assert!(!beat(&scene, &mut liveness, 1, scene.offset - 1).others_know);
    beat(&scene, &mut liveness, 2, scene.offset - 1);
    let last = beat(&scene, &mut liveness, 1, scene.offset - 1);
    assert!(last.others_know);
    let Reply::Heartbeat(Ok(reply)) = scene.decide(Command::Heartbeat(last)) else { panic!() };
    assert!(reply.should_shut_down && reply.is_fenced);
}
