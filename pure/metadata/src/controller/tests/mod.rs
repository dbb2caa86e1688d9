//! Fixtures of the controller's answers, and random commands whose records keep the image whole.

mod cluster;
mod invariants;
mod random;

use super::*;
use crate::config::Operation;
use crate::image::wire_version;
use crate::names::CONSUMER_OFFSETS;
use crate::telemetry::{Client, Subscriptions};
use crate::{Broker, Endpoint};
use expect_test::{Expect, expect};
use std::collections::BTreeSet;
use std::sync::Arc;
use types::{ErrorCode, NodeId, PartitionIndex, Uuid};

fn broker(id: i32, rack: Option<&str>) -> Broker {
    Broker {
        id: NodeId(id),
        epoch: 10 + i64::from(id),
        incarnation: Uuid([9; 16]),
        endpoints: vec![Endpoint {
            name: Text::from("PLAINTEXT"),
            host: Text::from("localhost"),
            port: 9092,
            security_protocol: 0,
        }],
        features: SUPPORTED_FEATURES.iter().map(|(name, low, high)| (Text::from(*name), *low, *high)).collect(),
        rack: rack.map(Text::from),
        fenced: false,
        in_controlled_shutdown: false,
        directories: vec![Uuid([u8::try_from(id).expect("a small id"); 16])],
        cordoned_directories: Vec::new(),
    }
}

fn start(broker: Broker, last_stop: LastStop) -> Command {
    Command::RegisterBroker(Box::new(Registration { broker, last_stop, replaces_living: false }))
}

/// A controller and the image that its committed records make.
struct Cluster {
    controller: Controller,
    committed: Image,
    rng: Rng,
    /// How many records the last decision had.
    decided: usize,
}

impl Cluster {
    fn new(brokers: &[Broker], given: &[(&str, &str)]) -> Cluster {
        let settings = Settings::read(given.iter().copied()).expect("valid settings");
        let mut cluster = Cluster {
            controller: Controller::new(Image::default(), settings),
            committed: Image::default(),
            rng: Rng::new(5),
            decided: 0,
        };
        for broker in brokers {
            cluster.decide(start(broker.clone(), LastStop::Clean));
        }
        cluster
    }

    fn one() -> Cluster {
        Cluster::new(&[broker(1, None)], &[])
    }

    /// Decides, and commits through the bytes of the metadata log.
    fn decide(&mut self, command: Command) -> Reply {
        let decision = self.controller.decide(&command, &mut self.rng);
        let stored = decision.records.iter().map(|record| record.encode(wire_version(record)));
        let read: Vec<Record> = stored.map(|bytes| Record::decode(bytes).expect("our own record")).collect();
        assert_eq!(read, decision.records);
        self.decided = read.len();
        self.committed.apply_all(&read).expect("consistent");
        assert_eq!(self.committed, *self.controller.image());
        decision.reply
    }

    fn create(&mut self, topics: Vec<NewTopic>) -> String {
        match self.decide(Command::CreateTopics { topics, validate_only: false }) {
            Reply::CreateTopics(created) => {
                let line = |(name, result): &(Text, Result<CreatedTopic, Refused>)| match result {
                    Ok(it) => format!("{name}: {} partitions, {} replicas", it.partitions, it.replication_factor),
                    Err(refused) => format!("{name}: {}", shown(refused)),
                };
                created.iter().map(line).collect::<Vec<_>>().join("\n")
            }
            other => panic!("{other:?}"),
        }
    }

    fn layout(&self, topic: &str) -> String {
        let topic = self.committed.topic_by_name(topic).expect("created");
        let partition = |it: &std::sync::Arc<crate::Partition>| {
            let ids = |nodes: &[NodeId]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            let leader = it.leader.map_or("none".to_owned(), |leader| leader.to_string());
            format!("{}@{} [{}] isr [{}]", leader, it.leader_epoch, ids(&it.replicas), ids(&it.isr))
        };
        topic.partitions.iter().map(partition).collect::<Vec<_>>().join("; ")
    }

    fn alter(&mut self, resource: Resource, change: ConfigChange) -> String {
        let changes = vec![(resource, change)];
        match self.decide(Command::AlterConfigs { changes, validate_only: false }) {
            Reply::AlterConfigs(answers) => answers[0].1.as_ref().map_or_else(shown, |()| "ok".to_owned()),
            other => panic!("{other:?}"),
        }
    }
}

fn shown(refused: &Refused) -> String {
    format!("{:?}: {}", refused.code, refused.message)
}

fn topic(name: &str, partitions: i32, replication_factor: i16) -> NewTopic {
    NewTopic { name: Text::from(name), partitions, replication_factor, ..NewTopic::default() }
}

fn assigned(name: &str, replicas: &[(i32, &[i32])]) -> NewTopic {
    let nodes = |ids: &[i32]| ids.iter().copied().map(NodeId).collect();
    let assignments = replicas.iter().map(|(index, ids)| (PartitionIndex(*index), nodes(ids))).collect();
    NewTopic { assignments, ..topic(name, -1, -1) }
}

fn set(name: &str, value: &str) -> ConfigChange {
    ConfigChange::Incremental(vec![(Text::from(name), Operation::Set(Text::from(value)))])
}

#[test]
fn topics_are_created_or_refused_in_words_of_kafka() {
    let mut cluster = Cluster::one();
    let mut check = |topics: Vec<NewTopic>, expected: Expect| expected.assert_eq(&cluster.create(topics));
    check(
        vec![topic("a.b", 3, 1), topic("plain", -1, -1)],
        expect![[r#"
        a.b: 3 partitions, 1 replicas
        plain: 1 partitions, 1 replicas"#]],
    );
    check(
        vec![topic("a.b", 3, 1), topic("a_b", 1, 1), topic("twice", 1, 1), topic("twice", 1, 1)],
        expect![[r#"
        a.b: TOPIC_ALREADY_EXISTS: Topic 'a.b' already exists.
        a_b: INVALID_TOPIC_EXCEPTION: Topic 'a_b' collides with existing topic: a.b
        twice: INVALID_REQUEST: Duplicate topic name."#]],
    );
    check(
        vec![topic("x.y", 1, 1), topic("x_y", 1, 1)],
        expect![[r#"
        x.y: 1 partitions, 1 replicas
        x_y: INVALID_TOPIC_EXCEPTION: Topic 'x_y' collides with existing topic: x.y"#]],
    );
    check(
        vec![topic("", 1, 1), topic("..", 1, 1), topic("a b", 1, 1), topic("__cluster_metadata", 1, 1)],
        expect![[r#"
        : INVALID_TOPIC_EXCEPTION: Topic name is invalid: the empty string is not allowed
        ..: INVALID_TOPIC_EXCEPTION: Topic name is invalid: '..' is not allowed
        a b: INVALID_TOPIC_EXCEPTION: Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'
        __cluster_metadata: INVALID_REQUEST: Creation of internal topic __cluster_metadata is prohibited."#]],
    );
    check(
        vec![topic("r", 1, 2), topic("s", 1, 0), topic("t", 0, 1), topic("u", 200_000, 1)],
        expect![[r#"
        r: INVALID_REPLICATION_FACTOR: Unable to replicate the partition 2 time(s): The target replication factor of 2 cannot be reached because only 1 broker(s) are registered.
        s: INVALID_REPLICATION_FACTOR: Replication factor must be larger than 0, or -1 to use the default value.
        t: INVALID_PARTITIONS: Number of partitions was set to an invalid non-positive value.
        u: INVALID_PARTITIONS: A topic may have 100000 partitions at most, not 200000."#]],
    );
    let config =
        |name: &str, value| NewTopic { configs: vec![(Text::from("retention.ms"), value)], ..topic(name, 1, 1) };
    check(
        vec![config("v", Some(Text::from("soon"))), config("w", None)],
        expect![[r#"
        v: INVALID_CONFIG: Invalid value soon for configuration retention.ms: Not a number of type LONG
        w: INVALID_CONFIG: Null value not supported for topic configs: retention.ms"#]],
    );
}

#[test]
fn a_request_cannot_ask_for_more_than_fits() {
    let mut cluster = Cluster::one();
    let huge = (0..3).map(|index| topic(&format!("t{index}"), 60_000, 1)).collect();
    let answer = cluster.create(huge);
    expect![[r#"
        t0: 60000 partitions, 1 replicas
        t1: POLICY_VIOLATION: A request may create 100000 partitions at most.
        t2: POLICY_VIOLATION: A request may create 100000 partitions at most."#]]
    .assert_eq(&answer);
    let long = "x".repeat(40_000);
    let refused = cluster.alter(Resource::topic("t0"), set("cleanup.policy", &long));
    assert_eq!(refused, "INVALID_CONFIG: The value of cleanup.policy is longer than 32767 bytes.");
    assert!(cluster.alter(Resource::topic(long.as_str()), set("retention.ms", "1")).len() < 5000);
}

#[test]
fn manual_assignments_are_checked() {
    let brokers = [broker(1, None), broker(2, None), broker(3, None)];
    let mut cluster = Cluster::new(&brokers, &[]);
    let mut check = |topics: Vec<NewTopic>, expected: Expect| expected.assert_eq(&cluster.create(topics));
    check(
        vec![
            assigned("good", &[(1, &[2, 3]), (0, &[3, 1])]),
            assigned("empty", &[(0, &[])]),
            assigned("twice", &[(0, &[1, 1])]),
            assigned("unknown", &[(0, &[7])]),
            assigned("uneven", &[(0, &[1]), (1, &[1, 2])]),
            assigned("gap", &[(0, &[1]), (2, &[2])]),
            assigned("again", &[(0, &[1]), (0, &[2])]),
            NewTopic { partitions: 1, ..assigned("both", &[(0, &[1])]) },
        ],
        expect![[r#"
            good: 2 partitions, 2 replicas
            empty: INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes an empty replica list.
            twice: INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes the broker 1 more than once.
            unknown: INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes broker 7, but no such broker is registered.
            uneven: INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes a partition with 2 replica(s), but this is not consistent with previous partitions, which have 1 replica(s).
            gap: INVALID_REPLICA_ASSIGNMENT: partitions should be a consecutive 0-based integer sequence
            again: INVALID_REPLICA_ASSIGNMENT: Found multiple manual partition assignments for partition 0
            both: INVALID_REQUEST: A manual partition assignment was specified, but numPartitions was not set to -1."#]],
    );
    expect!["3@0 [3,1] isr [3,1]; 2@0 [2,3] isr [2,3]"].assert_eq(&cluster.layout("good"));
}

#[test]
fn replicas_spread_over_racks_and_leaders_over_brokers() {
    let brokers = [broker(1, Some("a")), broker(2, Some("a")), broker(3, Some("b")), broker(4, Some("b"))];
    let mut cluster = Cluster::new(&brokers, &[]);
    cluster.create(vec![topic("t", 8, 2)]);
    let t = cluster.committed.topic_by_name("t").expect("created");
    let rack = |id: NodeId| cluster.committed.broker(id).and_then(|broker| broker.rack.clone());
    for id in 1..=4 {
        assert_eq!(t.partitions.iter().filter(|it| it.leader == Some(NodeId(id))).count(), 2);
    }
    assert!(t.partitions.iter().all(|it| rack(it.replicas[0]) != rack(it.replicas[1])));
}

#[test]
fn validation_alone_changes_nothing() {
    let mut cluster = Cluster::one();
    let before = cluster.committed.clone();
    cluster.decide(Command::CreateTopics { topics: vec![topic("t", 1, 1)], validate_only: true });
    assert_eq!(cluster.committed, before);
}

#[test]
fn internal_topics_have_their_own_shape() {
    let mut cluster = Cluster::one();
    let offsets = cluster.controller.auto_topic(&Text::from(CONSUMER_OFFSETS), 1);
    expect!["__consumer_offsets: 50 partitions, 1 replicas"].assert_eq(&cluster.create(vec![offsets]));
    let set = cluster.committed.overrides(&Resource::topic(CONSUMER_OFFSETS)).expect("configured");
    expect![[r#"{"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": "104857600"}"#]]
        .assert_eq(&format!("{set:?}"));
    let other = cluster.controller.auto_topic(&Text::from("other"), 1);
    expect!["other: 1 partitions, 1 replicas"].assert_eq(&cluster.create(vec![other]));
}

#[test]
fn topics_are_deleted_by_name_or_id() {
    let mut cluster = Cluster::one();
    cluster.create(vec![topic("a", 1, 1), topic("b", 1, 1), topic("c", 1, 1)]);
    cluster.alter(Resource::topic("a"), set("retention.ms", "5"));
    let id = |cluster: &Cluster, name| cluster.committed.topic_by_name(name).expect("there").id;
    let by_name = |name: &str| TopicName { name: Some(Text::from(name)), id: Uuid::ZERO };
    let by_id = |id| TopicName { name: None, id };
    let (b, c) = (id(&cluster, "b"), id(&cluster, "c"));
    let both = TopicName { name: Some(Text::from("a")), id: b };
    let topics = vec![by_name("a"), by_id(b), by_name("c"), by_id(c), by_name("d"), by_id(Uuid([7; 16])), both];
    let Reply::DeleteTopics(answers) = cluster.decide(Command::DeleteTopics { topics }) else { panic!() };
    let line =
        |(_, result): &(TopicName, Result<(), Refused>)| result.as_ref().map_or_else(shown, |()| "ok".to_owned());
    expect![[r#"
        ok
        ok
        INVALID_REQUEST: The topic was named more than once.
        INVALID_REQUEST: The topic was named more than once.
        UNKNOWN_TOPIC_OR_PARTITION: The topic 'd' does not exist.
        UNKNOWN_TOPIC_ID: There is no topic with the id BwcHBwcHBwcHBwcHBwcHBw.
        INVALID_REQUEST: You may not specify both topic name and topic id."#]]
    .assert_eq(&answers.iter().map(line).collect::<Vec<_>>().join("\n"));
    assert_eq!(cluster.committed.topics().map(|topic| topic.name.to_string()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(cluster.committed.configured().count(), 0, "configurations go with their topic");

    let mut forbidden = Cluster::new(&[broker(1, None)], &[("delete.topic.enable", "false")]);
    forbidden.create(vec![topic("a", 1, 1)]);
    let Reply::DeleteTopics(answers) = forbidden.decide(Command::DeleteTopics { topics: vec![by_name("a")] }) else {
        panic!()
    };
    assert_eq!(answers[0].1.as_ref().expect_err("disabled").code, ErrorCode::TOPIC_DELETION_DISABLED);
}

#[test]
fn partitions_only_grow() {
    let mut cluster = Cluster::one();
    cluster.create(vec![topic("t", 2, 1)]);
    let mut grow = |name: &str, count, assignments: Option<Vec<Vec<NodeId>>>| {
        let topics = vec![NewPartitions { topic: Text::from(name), count, assignments }];
        match cluster.decide(Command::CreatePartitions { topics, validate_only: false }) {
            Reply::CreatePartitions(answers) => answers[0].1.as_ref().map_or_else(shown, |()| "ok".to_owned()),
            other => panic!("{other:?}"),
        }
    };
    let answers = [
        grow("t", 2, None),
        grow("t", 1, None),
        grow("nope", 3, None),
        grow("t", 4, Some(vec![vec![NodeId(1)]])),
        grow("t", 4, None),
        grow("t", 5, Some(vec![vec![NodeId(1)]])),
    ];
    expect![[r#"
        INVALID_PARTITIONS: Topic already has 2 partition(s).
        INVALID_PARTITIONS: The topic t currently has 2 partition(s); 1 would not be an increase.
        UNKNOWN_TOPIC_OR_PARTITION: The topic 'nope' does not exist.
        INVALID_REPLICA_ASSIGNMENT: Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.
        ok
        ok"#]]
    .assert_eq(&answers.join("\n"));
    assert_eq!(cluster.committed.topic_by_name("t").expect("there").partition_count(), 5);
}

#[test]
fn configurations_change_one_resource_at_a_time() {
    let mut cluster = Cluster::one();
    cluster.create(vec![topic("t", 1, 1)]);
    let of = |kind, name: &str| Resource::new(kind, name);
    use ResourceKind::{Broker, BrokerLogger, ClientMetrics, Group, Topic};
    let answers = [
        cluster.alter(of(Topic, "t"), set("retention.ms", "5")),
        cluster.alter(of(Topic, "nope"), set("retention.ms", "5")),
        cluster.alter(of(Topic, ""), set("retention.ms", "5")),
        cluster.alter(of(Broker, "1"), set("log.cleaner.threads", "2")),
        cluster.alter(of(Broker, ""), set("log.retention.ms", "7")),
        cluster.alter(of(Broker, "9"), set("log.cleaner.threads", "2")),
        cluster.alter(of(Broker, "one"), set("log.cleaner.threads", "2")),
        cluster.alter(of(Broker, "1"), set("num.partitions", "2")),
        cluster.alter(of(BrokerLogger, "1"), set("root", "INFO")),
        cluster.alter(of(Group, "g"), set("consumer.session.timeout.ms", "45000")),
        cluster.alter(of(ClientMetrics, ""), set("metrics", "*")),
    ];
    expect![[r#"
        ok
        UNKNOWN_TOPIC_OR_PARTITION: The topic 'nope' does not exist.
        INVALID_REQUEST: Default topic resources are not allowed.
        ok
        ok
        BROKER_ID_NOT_REGISTERED: No broker with id 9 found.
        INVALID_REQUEST: Unable to parse broker name as a base 10 number.
        INVALID_REQUEST: Cannot update these configs dynamically: [num.partitions]
        INVALID_REQUEST: Log levels are set when the broker is started.
        ok
        INVALID_REQUEST: Subscription name can't be empty"#]]
    .assert_eq(&answers.join("\n"));
    let replaced = ConfigChange::Replace(vec![(Text::from("max.message.bytes"), Some(Text::from("50000")))]);
    assert_eq!(cluster.alter(of(Topic, "t"), replaced), "ok");
    let now = cluster.committed.overrides(&of(Topic, "t")).expect("configured");
    assert_eq!(format!("{now:?}"), r#"{"max.message.bytes": "50000"}"#);
    let twice = vec![(of(Topic, "t"), set("retention.ms", "1")), (of(Topic, "t"), set("retention.ms", "2"))];
    let Reply::AlterConfigs(answers) = cluster.decide(Command::AlterConfigs { changes: twice, validate_only: false })
    else {
        panic!()
    };
    assert!(answers.iter().all(|(_, result)| result.as_ref().is_err_and(|it| it.code == ErrorCode::INVALID_REQUEST)));
    assert_eq!(cluster.committed.config_resources(Group), [of(Group, "g")]);
    assert_eq!(cluster.committed.config_resources(Topic), [of(Topic, "t")]);
    assert_eq!(cluster.committed.config_resources(Broker), [of(Broker, "1")]);
}

/// Bytes that Kafka 4.3.1's own reader of the metadata log was seen to read, and its writer to write.
#[test]
fn records_are_bytes_of_kafka() {
    let mut cluster = Cluster::new(&[broker(1, Some("r")), broker(2, None)], &[]);
    cluster.create(vec![topic("t", 2, 2)]);
    let hex = |record: &Record| {
        let bytes = record.encode(wire_version(record));
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let records = cluster.committed.snapshot();
    let partition = records.iter().find(|record| matches!(record, Record::Partition(_))).expect("created");
    let mut second = broker(2, None);
    second.features.retain(|(name, _, high)| *high != 1 || name == "metadata.version");
    assert_eq!(
        hex(&crate::snapshot::broker_record(&second)),
        "010003000000020009090909090909090909090909090909000000000000000c020a504c41494e544558540a6c6f\
            63616c686f7374238400000004116d657461646174612e76657273696f6e0007001e000e67726f75702e76657273\
            696f6e0000000000147472616e73616374696f6e2e76657273696f6e000000000000000001001102020202020202\
            02020202020202020202"
    );
    assert_eq!(
        hex(partition),
        "01030100000000c097314d939746f8bb92d3f0106bc1470300000002000000010300000002000000010101000000\
            02000000000000000003020202020202020202020202020202020101010101010101010101010101010100"
    );
}

#[test]
fn producer_ids_are_never_handed_out_twice() {
    let mut cluster = Cluster::one();
    let mut block = || match cluster.decide(Command::AllocateProducerIds { broker: NodeId(1), epoch: 11 }) {
        Reply::AllocateProducerIds(Ok(block)) => (block.first.0, block.count),
        other => panic!("{other:?}"),
    };
    assert_eq!([block(), block(), block()], [(0, 1000), (1000, 1000), (2000, 1000)]);
}

#[test]
fn a_crashed_broker_leads_again_in_a_new_epoch() {
    let mut cluster = Cluster::one();
    cluster.create(vec![topic("t", 2, 1)]);
    assert_eq!(cluster.committed.feature("metadata.version"), Some(30));
    let run = |number| Broker { incarnation: Uuid([number; 16]), ..broker(1, None) };
    cluster.decide(start(run(1), LastStop::Clean));
    expect!["1@0 [1] isr [1]; 1@0 [1] isr [1]"].assert_eq(&cluster.layout("t"));
    cluster.decide(start(run(2), LastStop::Killed));
    expect!["1@1 [1] isr [1]; 1@1 [1] isr [1]"].assert_eq(&cluster.layout("t"));
    cluster.decide(start(run(3), LastStop::PowerLost));
    expect!["1@2 [1] isr [1]; 1@2 [1] isr [1]"].assert_eq(&cluster.layout("t"));
    let snapshot = cluster.committed.snapshot();
    assert!(matches!(&snapshot[0], Record::FeatureLevel(level) if level.name == "metadata.version"));
}

#[test]
fn a_delta_names_what_changed() {
    let mut cluster = Cluster::one();
    let create = Command::CreateTopics { topics: vec![topic("t", 1, 1), topic("u", 1, 1)], validate_only: false };
    let records = cluster.controller.decide(&create, &mut cluster.rng).records;
    let delta = cluster.committed.apply_all(&records).expect("consistent");
    assert!(delta.topics.values().all(|change| *change == crate::TopicChange::Created) && delta.topics.len() == 2);
    let grow = NewPartitions { topic: Text::from("t"), count: 3, assignments: None };
    let grow = Command::CreatePartitions { topics: vec![grow], validate_only: false };
    let records = cluster.controller.decide(&grow, &mut cluster.rng).records;
    let delta = cluster.committed.apply_all(&records).expect("consistent");
    let added = BTreeSet::from([PartitionIndex(1), PartitionIndex(2)]);
    assert!(delta.topics.values().eq([&crate::TopicChange::Changed(added)]));
    let name = TopicName { name: Some(Text::from("t")), id: Uuid::ZERO };
    let records = cluster.controller.decide(&Command::DeleteTopics { topics: vec![name] }, &mut cluster.rng).records;
    let before = cluster.committed.topic_by_name("t").cloned().expect("there");
    let delta = cluster.committed.apply_all(&records).expect("consistent");
    assert!(delta.topics.values().eq([&crate::TopicChange::Deleted(before)]));
}

#[test]
fn records_that_do_not_fit_are_refused_and_change_nothing() {
    let mut cluster = Cluster::one();
    cluster.create(vec![topic("t", 1, 1)]);
    let before = cluster.committed.clone();
    let id = before.topic_by_name("t").expect("there").id;
    let gap = crate::PartitionRecord { topic_id: id, partition_id: 5, ..Default::default() };
    let again = crate::TopicRecord { topic_id: id, name: Text::from("other"), ..Default::default() };
    let unknown = crate::RemoveTopicRecord { topic_id: Uuid([8; 16]), ..Default::default() };
    for record in [Record::Partition(gap), Record::Topic(again), Record::RemoveTopic(unknown)] {
        let problem = cluster.committed.apply_all([&record]).expect_err("does not fit");
        assert!(problem.to_string().starts_with("the metadata log is inconsistent: "));
        assert_eq!(cluster.committed, before);
    }
}

#[test]
fn clients_are_chosen_by_all_patterns_of_a_subscription() {
    let mut cluster = Cluster::one();
    let mut subscribe = |name: &str, configs: &[(&str, &str)]| {
        let set = |(name, value): &(&str, &str)| (Text::from(*name), Operation::Set(Text::from(*value)));
        let change = ConfigChange::Incremental(configs.iter().map(set).collect());
        assert_eq!(cluster.alter(Resource::new(ResourceKind::ClientMetrics, name), change), "ok");
    };
    subscribe(
        "a",
        &[("metrics", "org.a,org.b"), ("match", "client_id=app-.*,client_software_name=java"), ("interval.ms", "1000")],
    );
    subscribe("b", &[("metrics", "org.b,org.c"), ("interval.ms", "60000")]);
    let subscriptions = Subscriptions::new(&cluster.committed);
    let client = Client { client_id: Text::from("app-1"), software_name: Text::from("java"), ..Client::default() };
    let chosen = subscriptions.of(&client);
    assert_eq!((chosen.metrics.len(), chosen.push_interval_ms), (3, 1000));
    assert_eq!(subscriptions.of(&client), chosen);
    let other = subscriptions.of(&Client { client_id: Text::from("my-app-1"), ..client.clone() });
    assert_eq!((other.metrics.len(), other.push_interval_ms), (2, 60_000));
    assert_ne!(other.id, chosen.id);
    assert_eq!(Subscriptions::default().of(&client).metrics, Vec::<Text>::new());
}

fn random_command(cluster: &mut Cluster) -> Command {
    let rng = &mut cluster.rng;
    let below = |rng: &mut Rng, bound: u64| i32::try_from(rng.below(bound)).expect("small");
    let name =
        |rng: &mut Rng| Text::from(["a", "b", "c.d", "c_d", "e", "bad name"][below(rng, 6).unsigned_abs() as usize]);
    match rng.below(8) {
        0..3 => {
            let new = |rng: &mut Rng| NewTopic { name: name(rng), ..topic("", below(rng, 6) - 1, 1) };
            let topics = (0..rng.below(4)).map(|_| new(rng)).collect();
            Command::CreateTopics { topics, validate_only: rng.one_in(5) }
        }
        3 => {
            let by_name = TopicName { name: Some(name(rng)), id: Uuid::ZERO };
            let by_id = cluster.committed.topics().next().map(|topic| TopicName { name: None, id: topic.id });
            Command::DeleteTopics { topics: [Some(by_name), by_id].into_iter().flatten().collect() }
        }
        4 => {
            let topics = vec![NewPartitions { topic: name(rng), count: below(rng, 9), assignments: None }];
            Command::CreatePartitions { topics, validate_only: rng.one_in(5) }
        }
        5 => {
            let value = Text::from(below(rng, 3).to_string());
            let change = if rng.one_in(2) {
                ConfigChange::Incremental(vec![(Text::from("retention.ms"), Operation::Set(value))])
            } else {
                ConfigChange::Replace(vec![(Text::from("segment.ms"), Some(value))])
            };
            Command::AlterConfigs { changes: vec![(Resource::topic(name(rng)), change)], validate_only: rng.one_in(5) }
        }
        6 => Command::AllocateProducerIds { broker: NodeId(1), epoch: 11 },
        _ => {
            let incarnation = Uuid::random(rng);
            let broker = Broker { incarnation, ..broker(1 + below(rng, 2), None) };
            start(broker, if rng.one_in(2) { LastStop::Clean } else { LastStop::Killed })
        }
    }
}

#[test]
fn random_commands_keep_the_image_whole() {
    for seed in 0..40 {
        let mut cluster = Cluster::one();
        cluster.rng = Rng::new(seed);
        for _ in 0..40 {
            let command = random_command(&mut cluster);
            cluster.decide(command);
            let topics: Vec<_> = cluster.committed.topics().cloned().collect();
            let names: BTreeSet<_> = topics.iter().map(|topic| topic.name.clone()).collect();
            let ids: BTreeSet<_> = topics.iter().map(|topic| topic.id).collect();
            assert_eq!((names.len(), ids.len()), (topics.len(), cluster.committed.topic_count()), "seed {seed}");
            for topic in &topics {
                assert!(topic.partition_count() > 0, "seed {seed}: {} has no partitions", topic.name);
                assert!(topic.partitions.iter().all(|it| it.leader.is_some_and(|leader| it.isr.contains(&leader))));
                assert!(topic.partitions.iter().all(|it| it.directories.len() == it.replicas.len()));
            }
            let mut replayed = Image::default();
            replayed.apply_all(&cluster.committed.snapshot()).expect("a snapshot is consistent");
            assert_eq!(replayed, cluster.committed, "seed {seed}: the snapshot is not the image");
        }
    }
}
