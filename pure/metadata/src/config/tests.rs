//! Fixtures of the registry, of settings, of descriptions and of changes.

use super::definition::Definition;
use super::*;
use crate::image::Image;
use crate::snapshot::config_record;
use crate::{Record, TopicRecord};
use expect_test::{Expect, expect};
use std::collections::BTreeSet;
use types::{Text, Uuid};

const KINDS: [ResourceKind; 4] =
    [ResourceKind::Broker, ResourceKind::Topic, ResourceKind::Group, ResourceKind::ClientMetrics];

/// How many configurations Kafka 4.3.1 has of each kind.
#[test]
fn the_registry_is_complete_and_well_formed() {
    let is_kafkas = |definition: &&Definition| !definition.name.starts_with("vltava.");
    let count = |kind| definitions(kind).filter(is_kafkas).count();
    assert_eq!(KINDS.map(count), [363, 34, 17, 3]);
    for definition in KINDS.into_iter().flat_map(definitions) {
        assert!(definition.doc.ends_with('.'), "{} has no sentence", definition.name);
        if let Some(default) = definition.default() {
            assert!(definition.parse(default).is_ok(), "{}: {:?}", definition.name, definition.parse(default));
        }
    }
    for kind in KINDS {
        let names: BTreeSet<_> = definitions(kind).map(|definition| definition.name).collect();
        assert_eq!(names.len(), definitions(kind).count(), "a name is there twice");
    }
    for ours in OUR_DEFAULTS {
        let definition = find(ResourceKind::Broker, ours.name).expect(ours.name);
        assert_ne!(definition.kafka_default, ours.value, "{} does not differ", ours.name);
        assert!(KINDS[1..].iter().all(|kind| find(*kind, ours.name).is_none()), "{} names two things", ours.name);
    }
}

#[test]
fn topic_defaults_follow_from_broker_defaults() {
    let settings = Settings::default();
    for definition in definitions(ResourceKind::Topic) {
        let effective = topic::effective_text(&settings, &Overrides::new(), definition);
        assert_eq!(effective.as_deref(), definition.default(), "{}", definition.name);
    }
}

#[test]
fn the_nearest_name_is_suggested() {
    let check = |wrong: &str, meant| assert_eq!(nearest(ResourceKind::Broker, wrong), meant, "{wrong}");
    check("log.retention.hour", Some("log.retention.hours"));
    check("num.partition", Some("num.partitions"));
    check("message.max.byte", Some("message.max.bytes"));
    check("xyzzy", None);
}

fn refusal(kind: ResourceKind, name: &str, value: &str) -> String {
    let resource = Resource::new(kind, if kind == ResourceKind::Broker { "1" } else { "t" });
    let operations = [(Text::from(name), Operation::Set(Text::from(value)))];
    match alter(&Settings::default(), &resource, &Overrides::new(), &operations) {
        Ok(_) => "ok".to_owned(),
        Err(refused) => format!("{:?}: {}", refused.code, refused.message),
    }
}

#[test]
fn wrong_values_are_refused_in_words_of_kafka() {
    let check = |changes: &[&str], expected: Expect| {
        let lines = changes.iter().map(|change| {
            let (name, value) = change.split_once('=').expect("a pair");
            refusal(ResourceKind::Topic, name, value)
        });
        expected.assert_eq(&lines.collect::<Vec<_>>().join("\n"));
    };
    check(
        &["retention.ms=soon", "retention.ms=-5", "retention.ms= 5 ", "segment.bytes=5", "segment.bytes=99999999999"],
        expect![[r#"
            INVALID_CONFIG: Invalid value soon for configuration retention.ms: Not a number of type LONG
            INVALID_CONFIG: Invalid value -5 for configuration retention.ms: Value must be at least -1
            ok
            INVALID_CONFIG: Invalid value 5 for configuration segment.bytes: Value must be at least 1048576
            INVALID_CONFIG: Invalid value 99999999999 for configuration segment.bytes: Not a number of type INT"#]],
    );
    check(
        &["cleanup.policy=foo", "cleanup.policy=", "cleanup.policy=compact, delete", "compression.type=lzma"],
        expect![[r#"
            INVALID_CONFIG: Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete
            ok
            ok
            INVALID_CONFIG: Invalid value lzma for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"#]],
    );
    check(
        &["compression.gzip.level=0", "compression.zstd.level=23", "preallocate=x", "min.cleanable.dirty.ratio=2"],
        expect![[r#"
            INVALID_CONFIG: Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1
            INVALID_CONFIG: Invalid value 23 for configuration compression.zstd.level: Value must be no more than 22
            INVALID_CONFIG: Invalid value x for configuration preallocate: Expected value to be either true or false
            INVALID_CONFIG: Invalid value 2 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"#]],
    );
    check(
        &[
            "leader.replication.throttled.replicas=0:1,1:2",
            "leader.replication.throttled.replicas=*",
            "retention.mss=1",
        ],
        expect![[r#"
            ok
            ok
            INVALID_CONFIG: Unknown topic config name: retention.mss (did you mean retention.ms?)"#]],
    );
    check(
        &["leader.replication.throttled.replicas=foo", "remote.storage.enable=true"],
        expect![[r#"
            INVALID_CONFIG: Invalid value [foo] for configuration leader.replication.throttled.replicas: leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...
            INVALID_CONFIG: Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."#]],
    );
    check(
        &["min.compaction.lag.ms=9223372036854775807", "max.compaction.lag.ms=0", "min.cleanable.dirty.ratio=NaN"],
        expect![[r#"
            ok
            INVALID_CONFIG: Invalid value 0 for configuration max.compaction.lag.ms: Value must be at least 1
            INVALID_CONFIG: Invalid value NaN for configuration min.cleanable.dirty.ratio: Value must be at least 0"#]],
    );
}

#[test]
fn broker_configurations_change_only_where_kafka_lets_them() {
    assert_eq!(refusal(ResourceKind::Broker, "log.cleaner.threads", "2"), "ok");
    let read_only = "INVALID_REQUEST: Cannot update these configs dynamically: [node.id]";
    assert_eq!(refusal(ResourceKind::Broker, "node.id", "2"), read_only);
    let all = Resource::new(ResourceKind::Broker, "");
    let operations = [(Text::from("listeners"), Operation::Set(Text::from("PLAINTEXT://:1")))];
    let refused = alter(&Settings::default(), &all, &Overrides::new(), &operations).expect_err("per broker");
    assert!(refused.message.contains("broker id must be specified"), "{}", refused.message);
}

#[test]
fn group_and_client_metrics_configurations_are_validated() {
    assert_eq!(refusal(ResourceKind::Group, "share.auto.offset.reset", "earliest"), "ok");
    assert_eq!(refusal(ResourceKind::Group, "share.auto.offset.reset", "by_duration:PT1H"), "ok");
    assert!(refusal(ResourceKind::Group, "share.auto.offset.reset", "soon").starts_with("INVALID_CONFIG"));
    assert_eq!(refusal(ResourceKind::ClientMetrics, "match", "client_id=app-.*"), "ok");
    let refused = refusal(ResourceKind::ClientMetrics, "match", "client_id=(");
    assert_eq!(refused, "INVALID_CONFIG: Illegal client matching pattern: client_id=(");
    assert!(refusal(ResourceKind::ClientMetrics, "interval.ms", "99").contains("at least 100"));
}

#[test]
fn a_group_stays_within_the_bounds_of_its_broker() {
    let session = "consumer.session.timeout.ms";
    assert_eq!(refusal(ResourceKind::Group, session, "50000"), "ok");
    assert_eq!(
        refusal(ResourceKind::Group, session, "44999"),
        "INVALID_CONFIG: consumer.session.timeout.ms is 44999, but group.consumer.min.session.timeout.ms is 45000"
    );
    assert!(refusal(ResourceKind::Group, session, "60001").contains("group.consumer.max.session.timeout.ms is 60000"));
    for definition in definitions(ResourceKind::Group) {
        // None has bounds of another type than its own.
        refusal(ResourceKind::Group, definition.name, "1");
    }
}

#[test]
fn what_is_not_set_may_be_unset() {
    for (kind, name) in [(ResourceKind::Topic, "nope"), (ResourceKind::Broker, "node.id")] {
        let operations = [(Text::from(name), Operation::Delete)];
        let altered = alter(&Settings::default(), &Resource::new(kind, "1"), &Overrides::new(), &operations);
        assert_eq!(altered, Ok(Overrides::new()));
    }
}

#[test]
fn lists_grow_and_shrink_from_their_default() {
    let resource = Resource::topic("t");
    let settings = Settings::default();
    let step = |current: &Overrides, operation: Operation| {
        alter(&settings, &resource, current, &[(Text::from("cleanup.policy"), operation)]).expect("valid")
    };
    let both = step(&Overrides::new(), Operation::Append(Text::from("compact")));
    assert_eq!(both.get("cleanup.policy").expect("set"), &"delete,compact");
    let same = step(&both, Operation::Append(Text::from("compact")));
    assert_eq!(same, both);
    let one = step(&both, Operation::Subtract(Text::from("delete")));
    assert_eq!(one.get("cleanup.policy").expect("set"), &"compact");
    assert_eq!(step(&one, Operation::Delete), Overrides::new());
    let number = [(Text::from("retention.ms"), Operation::Append(Text::from("1")))];
    let refused = alter(&settings, &resource, &Overrides::new(), &number).expect_err("not a list");
    assert_eq!(refused.message, "Can't APPEND to key retention.ms because its type is not LIST.");
}

#[test]
fn settings_say_every_problem_at_once() {
    let problems = Settings::read([
        ("log.retention.hour", "1"),
        ("num.partitions", "none"),
        ("log.dirs", "/a,/b,/a"),
        ("node.id", "3"),
        ("broker.id", "4"),
    ]);
    expect![[r#"
        unknown setting log.retention.hour; did you mean log.retention.hours?
        Invalid value none for configuration num.partitions: Not a number of type INT
        node.id and broker.id are two names of one setting and must not differ
        log.dirs names /a twice"#]]
    .assert_eq(&problems.expect_err("all are wrong").join("\n"));
}

#[test]
fn settings_are_read_by_type() {
    let given =
        [("broker.id", "7"), ("log.retention.hours", "24"), ("log.cleanup.policy", "compact"), ("ssl.protocol", "x")];
    let settings = Settings::read(given).expect("valid");
    assert_eq!(settings.node_id().0, 7);
    assert_eq!(Settings::default().node_id().0, 1);
    assert_eq!(settings.optional_i64("log.retention.ms"), None);
    assert_eq!(settings.list("listeners"), [Text::from("PLAINTEXT://:9092")]);
    assert!(settings.boolean("auto.create.topics.enable"));
    assert!((settings.f64("log.cleaner.min.cleanable.ratio") - 0.5).abs() < 1e-9);
    assert_eq!(settings.text("broker.rack"), None);
    assert_eq!(settings.inactive().map(|(name, _)| name).collect::<Vec<_>>(), ["ssl.protocol"]);
    let config = TopicConfig::effective(&settings, &Overrides::new());
    assert_eq!((config.retention_ms, config.cleanup_policy.compact), (86_400_000, true));
    let own = Overrides::from([(Text::from("retention.ms"), Text::from("-1"))]);
    assert_eq!(TopicConfig::effective(&settings, &own).retention_ms, -1);
}

#[test]
#[should_panic(expected = "no configuration is called log.retention")]
fn a_name_that_does_not_exist_panics() {
    let _ = Settings::default().i64("log.retention");
}

/// An image with a topic `t` and these configurations, as kind/resource/name=value.
fn image(configs: &[&str]) -> Image {
    let topic = TopicRecord { name: Text::from("t"), topic_id: Uuid([1; 16]), ..Default::default() };
    let mut records = vec![Record::Topic(topic)];
    for config in configs {
        let (resource, (name, value)) = config
            .rsplit_once('/')
            .and_then(|(resource, pair)| Some((resource, pair.split_once('=')?)))
            .expect("kind/resource/name=value");
        let (kind, resource) = resource.split_once('/').expect("kind/resource");
        let kind = match kind {
            "topic" => ResourceKind::Topic,
            "broker" => ResourceKind::Broker,
            "group" => ResourceKind::Group,
            _ => ResourceKind::ClientMetrics,
        };
        records.push(config_record(kind, &Text::from(resource), &Text::from(name), Some(&Text::from(value))));
    }
    let mut image = Image::default();
    image.apply_all(&records).expect("consistent");
    image
}

fn check(kind: ResourceKind, name: &str, given: &[(&str, &str)], configs: &[&str], key: &str, expected: Expect) {
    let image = image(configs);
    let settings = Settings::read(given.iter().copied()).expect("valid").with_dynamic(&image);
    let resource = Resource::new(kind, name);
    let found = match describe(&resource, &image, &settings, Some(&[Text::from(key)])) {
        Err(refused) => format!("{:?}: {}", refused.code, refused.message),
        Ok(entries) => {
            let entry = |entry: &ConfigEntry| {
                let value = |value: &Option<Text>| value.as_ref().map_or("null".to_owned(), ToString::to_string);
                let synonyms = entry.synonyms.iter();
                let synonyms = synonyms.map(|it| format!("{}={} {:?}", it.name, value(&it.value), it.source));
                let flags = if entry.read_only { " read-only" } else { "" };
                let synonyms = synonyms.collect::<Vec<_>>().join(", ");
                format!("{}={} {:?}{flags} [{synonyms}]", entry.name, value(&entry.value), entry.source)
            };
            entries.iter().map(entry).collect::<Vec<_>>().join("\n")
        }
    };
    expected.assert_eq(&found);
}

#[test]
fn descriptions_say_where_values_come_from() {
    use ResourceKind::{Broker, ClientMetrics, Group, Topic};
    check(
        Topic,
        "t",
        &[("log.retention.hours", "24")],
        &["topic/t/retention.ms=5"],
        "retention.ms",
        expect![
            "retention.ms=5 DynamicTopic [retention.ms=5 DynamicTopic, log.retention.hours=24 StaticBroker, log.retention.hours=168 Default]"
        ],
    );
    check(
        Topic,
        "t",
        &[("log.retention.hours", "24")],
        &[],
        "retention.ms",
        expect![
            "retention.ms=86400000 StaticBroker [log.retention.hours=24 StaticBroker, log.retention.hours=168 Default]"
        ],
    );
    check(
        Topic,
        "t",
        &[],
        &["broker//log.retention.ms=9", "broker/1/log.retention.ms=8"],
        "retention.ms",
        expect![
            "retention.ms=8 DynamicBroker [log.retention.ms=8 DynamicBroker, log.retention.ms=9 DynamicDefaultBroker, log.retention.hours=168 Default]"
        ],
    );
    check(
        Topic,
        "nope",
        &[],
        &[],
        "retention.ms",
        expect!["UNKNOWN_TOPIC_OR_PARTITION: The topic 'nope' does not exist."],
    );
    let threads = "log.cleaner.threads";
    check(
        Broker,
        "1",
        &[],
        &["broker/1/log.cleaner.threads=2"],
        threads,
        expect![
            "log.cleaner.threads=2 DynamicBroker [log.cleaner.threads=2 DynamicBroker, log.cleaner.threads=1 Default]"
        ],
    );
    check(
        Broker,
        "",
        &[],
        &["broker//log.cleaner.threads=3", "broker/1/log.cleaner.threads=2"],
        threads,
        expect!["log.cleaner.threads=3 DynamicDefaultBroker [log.cleaner.threads=3 DynamicDefaultBroker]"],
    );
    check(Broker, "", &[], &[], threads, expect![""]);
    check(Broker, "1", &[], &[], "log.dirs", expect!["log.dirs=null Default read-only []"]);
    check(
        Broker,
        "2",
        &[],
        &[],
        threads,
        expect!["INVALID_REQUEST: Unexpected broker id, expected 1 or empty string, but received 2"],
    );
    check(
        Broker,
        "1",
        &[("ssl.key.password", "secret")],
        &[],
        "ssl.key.password",
        expect!["ssl.key.password=null StaticBroker [ssl.key.password=null StaticBroker]"],
    );
    // What decides in another's stead is told of that other, and of nobody else.
    let dynamic = ["broker/1/log.retention.ms=5"];
    check(
        Broker,
        "1",
        &[],
        &dynamic,
        "log.retention.hours",
        expect!["log.retention.hours=168 Default read-only [log.retention.hours=168 Default]"],
    );
    check(
        Broker,
        "1",
        &[],
        &dynamic,
        "log.retention.minutes",
        expect!["log.retention.minutes=null Default read-only []"],
    );
    check(
        Broker,
        "1",
        &[],
        &dynamic,
        "log.retention.ms",
        expect!["log.retention.ms=5 DynamicBroker [log.retention.ms=5 DynamicBroker, log.retention.hours=168 Default]"],
    );
    check(
        Group,
        "g",
        &[],
        &["group/g/share.auto.offset.reset=earliest"],
        "share.auto.offset.reset",
        expect![
            "share.auto.offset.reset=earliest Group [share.auto.offset.reset=earliest Group, share.auto.offset.reset=latest Default]"
        ],
    );
    check(
        ClientMetrics,
        "m",
        &[],
        &["metrics/m/interval.ms=100"],
        "interval.ms",
        expect!["interval.ms=100 ClientMetrics [interval.ms=100 ClientMetrics, interval.ms=300000 Default]"],
    );
}

#[test]
fn everything_but_the_internal_is_described() {
    let (image, settings) = (image(&[]), Settings::default());
    let count = |kind, name: &str| describe(&Resource::new(kind, name), &image, &settings, None).expect("there").len();
    assert_eq!(count(ResourceKind::Topic, "t"), 33);
    assert_eq!(count(ResourceKind::Group, "g"), 17);
    assert_eq!(count(ResourceKind::BrokerLogger, "1"), 0);
    assert!(count(ResourceKind::Broker, "1") > 300);
}
