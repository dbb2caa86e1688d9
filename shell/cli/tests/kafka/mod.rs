//! Kafka's tools by their names, with what they print: each expectation was compared with what Kafka 4.3.1 prints.

use crate::check;
use crate::world::World;
use expect_test::expect;

#[test]
fn topics_and_settings() {
    let world = World::start();
    let file = world.file("records.json");
    std::fs::write(&file, r#"{"partitions":[{"topic":"rivers","partition":0,"offset":1}],"version":1}"#)
        .expect("the folder is there");
    check(
        &world,
        "kafka-topics --create --topic rivers --partitions 2 --config retention.ms=1000
        kafka-topics.sh --create --topic rivers
        kafka-topics --create --topic rivers --if-not-exists
        kafka-topics --create --topic=a_b --replica-assignment 1,1
        kafka-topics --list
        kafka-topics --describe --topic riv.*
        kafka-topics --describe --under-replicated-partitions
        kafka-topics --alter --topic rivers --partitions 3
        kafka-topics --describe --topic nowhere
        kafka-topics --delete --topic a_b
        kafka-topics --list --describe
        kafka-topics --list --topics x
        kafka-console-producer --topic rivers --property parse.key=true --property key.separator== < a=1|a=2
        kafka-get-offsets --topic nowhere
        kafka-configs --describe --entity-type topics --entity-name rivers
        kafka-configs --alter --topic rivers --add-config cleanup.policy=[delete,compact],max.message.bytes=2000 --delete-config retention.ms
        kafka-configs --describe --topic rivers
        kafka-configs --describe --broker-defaults
        kafka-configs --alter --topic rivers
        kafka-configs --describe --entity-type users",
        expect![[r#"
            $ kafka-topics --create --topic rivers --partitions 2 --config retention.ms=1000
            Created topic rivers.
            $ kafka-topics.sh --create --topic rivers
            vltava: Error while executing topic command : Topic 'rivers' already exists. (TOPIC_ALREADY_EXISTS); with --if-not-exists that is no error
            exit 1
            $ kafka-topics --create --topic rivers --if-not-exists
            $ kafka-topics --create --topic=a_b --replica-assignment 1,1
            WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. To avoid issues it is best to use either, but not both.
            Created topic a_b.
            $ kafka-topics --list
            a_b
            rivers
            $ kafka-topics --describe --topic riv.*
            Topic: rivers	TopicId: ID	PartitionCount: 2	ReplicationFactor: 1	Configs: retention.ms=1000
            	Topic: rivers	Partition: 0	Leader: 1	Replicas: 1	Isr: 1	Elr: 	LastKnownElr:
            	Topic: rivers	Partition: 1	Leader: 1	Replicas: 1	Isr: 1	Elr: 	LastKnownElr:
            $ kafka-topics --describe --under-replicated-partitions
            $ kafka-topics --alter --topic rivers --partitions 3
            $ kafka-topics --describe --topic nowhere
            vltava: Error while executing topic command : Topic 'nowhere' does not exist as expected
            exit 4
            $ kafka-topics --delete --topic a_b
            $ kafka-topics --list --describe
            vltava: kafka-topics: give exactly one of --create, --list, --describe, --delete, --alter
            exit 2
            $ kafka-topics --list --topics x
            vltava: kafka-topics has no option --topics here: did you mean --topic?
            exit 2
            $ kafka-console-producer --topic rivers --property parse.key=true --property key.separator==
            $ kafka-get-offsets --topic nowhere
            vltava: Could not match any topic-partitions with the specified filters
            exit 4
            $ kafka-configs --describe --entity-type topics --entity-name rivers
            Dynamic configs for topic rivers are:
              retention.ms=1000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=1000, DEFAULT_CONFIG:log.retention.hours=168}
            $ kafka-configs --alter --topic rivers --add-config cleanup.policy=[delete,compact],max.message.bytes=2000 --delete-config retention.ms
            Completed updating config for topic rivers.
            $ kafka-configs --describe --topic rivers
            Dynamic configs for topic rivers are:
              cleanup.policy=delete,compact sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:cleanup.policy=delete,compact, DEFAULT_CONFIG:log.cleanup.policy=delete}
              max.message.bytes=2000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:max.message.bytes=2000, DEFAULT_CONFIG:message.max.bytes=1048588}
            $ kafka-configs --describe --broker-defaults
            Default configs for brokers in the cluster are:
            $ kafka-configs --alter --topic rivers
            vltava: kafka-configs: --alter wants --add-config, --add-config-file or --delete-config
            exit 2
            $ kafka-configs --describe --entity-type users
            vltava: kafka-configs: --entity-type users is not known here: there are topics, brokers, broker-loggers, groups and client-metrics
            exit 2
        "#]],
    );
    let counts = world.run("kafka-get-offsets --topic rivers");
    assert_eq!(counts.matches(":2\n").count() + counts.matches(":0\n").count(), 3, "{counts}");
    let lines: Vec<String> = counts.lines().skip(1).map(ToOwned::to_owned).collect();
    let place = lines.iter().find_map(|line| line.strip_suffix(":2")).expect("both have one key");
    let partition = place.rsplit(':').next().unwrap_or_default();
    std::fs::write(
        &file,
        format!(r#"{{"partitions":[{{"topic":"rivers","partition":{partition},"offset":1}}],"version":1}}"#),
    )
    .expect("the folder is there");
    let deleted = world.run(&format!("kafka-delete-records --offset-json-file {file}"));
    let wanted =
        format!("operation\nRecords delete operation completed:\npartition: rivers-{partition}\tlow_watermark: 1\n");
    assert!(deleted.ends_with(&wanted), "{deleted}");
}

#[test]
fn records_and_groups() {
    let world = World::start();
    world.run("topic create rivers --partitions 1");
    check(
        &world,
        "kafka-console-producer --topic rivers --reader-property parse.key=true --reader-property key.separator=: --producer-property acks=1 --reader-property null.marker=NULL < a:1|b:NULL|c
        produce rivers -H h=1 < last
        kafka-console-consumer --topic rivers --from-beginning --max-messages 2 --property print.key=true
        kafka-console-consumer --topic rivers --group g1 --from-beginning --max-messages 4 --property print.partition=true --property print.offset=true --property print.headers=true --property print.key=true --property key.separator=|
        kafka-console-consumer --topic rivers --partition 0 --offset earliest --max-messages 1 --property print.value=false --property print.offset=true
        kafka-console-consumer --topic rivers --timeout-ms 10
        kafka-console-consumer --topic rivers --property print.kye=true
        kafka-console-producer --topic rivers --producer-property lingre.ms=5
        kafka-console-producer --topic creeks < first
        kafka-console-consumer --topic creeks --from-beginning --max-messages 1
        kafka-consumer-groups --list
        kafka-consumer-groups --list --state
        kafka-consumer-groups --describe --group g1
        kafka-consumer-groups --describe --group g1 --members
        kafka-consumer-groups --describe --group g1 --state
        kafka-consumer-groups --reset-offsets --group g1 --topic rivers --to-offset 1 --dry-run
        kafka-consumer-groups --reset-offsets --group g1 --topic rivers:0 --shift-by -1 --execute
        kafka-consumer-groups --reset-offsets --group g1 --all-topics --to-current --export --dry-run
        kafka-consumer-groups --reset-offsets --group g1 --to-latest
        kafka-consumer-groups --delete-offsets --group g1 --topic rivers
        kafka-consumer-groups --delete --group g1
        kafka-consumer-groups --describe --group g1",
        expect![[r#"
            $ kafka-console-producer --topic rivers --reader-property parse.key=true --reader-property key.separator=: --producer-property acks=1 --reader-property null.marker=NULL
            $ produce rivers -H h=1
            sent 1 record (4 B) to rivers
            $ kafka-console-consumer --topic rivers --from-beginning --max-messages 2 --property print.key=true
            a	1
            b	null
            Processed a total of 2 messages
            $ kafka-console-consumer --topic rivers --group g1 --from-beginning --max-messages 4 --property print.partition=true --property print.offset=true --property print.headers=true --property print.key=true --property key.separator=|
            Partition:0|Offset:0|NO_HEADERS|a|1
            Partition:0|Offset:1|NO_HEADERS|b|null
            Partition:0|Offset:2|NO_HEADERS|null|c
            Partition:0|Offset:3|h:1|null|last
            Processed a total of 4 messages
            $ kafka-console-consumer --topic rivers --partition 0 --offset earliest --max-messages 1 --property print.value=false --property print.offset=true
            Offset:0
            Processed a total of 1 messages
            $ kafka-console-consumer --topic rivers --timeout-ms 10
            Processed a total of 0 messages
            $ kafka-console-consumer --topic rivers --property print.kye=true
            vltava: the property print.kye means nothing here: leave it out
            exit 2
            $ kafka-console-producer --topic rivers --producer-property lingre.ms=5
            vltava: there is no option lingre.ms: did you mean client.id?
            exit 2
            $ kafka-console-producer --topic creeks
            $ kafka-console-consumer --topic creeks --from-beginning --max-messages 1
            first
            Processed a total of 1 messages
            $ kafka-consumer-groups --list
            g1
            $ kafka-consumer-groups --list --state
            GROUP                     STATE
            g1                        Empty
            $ kafka-consumer-groups --describe --group g1

            Consumer group 'g1' has no active members.

            GROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID     HOST            CLIENT-ID
            g1              rivers          0          4               4               0               -               -               -
            $ kafka-consumer-groups --describe --group g1 --members

            Consumer group 'g1' has no active members.
            $ kafka-consumer-groups --describe --group g1 --state

            GROUP           COORDINATOR (ID)          ASSIGNMENT-STRATEGY  STATE                #MEMBERS
            g1              BROKER  (1)                           Empty                0
            $ kafka-consumer-groups --reset-offsets --group g1 --topic rivers --to-offset 1 --dry-run

            GROUP           TOPIC           PARTITION  NEW-OFFSET
            g1              rivers          0          1
            $ kafka-consumer-groups --reset-offsets --group g1 --topic rivers:0 --shift-by -1 --execute

            GROUP           TOPIC           PARTITION  NEW-OFFSET
            g1              rivers          0          3
            $ kafka-consumer-groups --reset-offsets --group g1 --all-topics --to-current --export --dry-run
            rivers,0,3

            $ kafka-consumer-groups --reset-offsets --group g1 --to-latest
            vltava: kafka-consumer-groups: give exactly one of --topic, --all-topics
            exit 2
            $ kafka-consumer-groups --delete-offsets --group g1 --topic rivers
            Request succeeded for deleting offsets from group g1.

            TOPIC           PARTITION  STATUS
            rivers          0          Successful
            $ kafka-consumer-groups --delete --group g1
            Deletion of requested consumer groups ('g1') was successful.
            $ kafka-consumer-groups --describe --group g1
            vltava: there is no group `g1`: `vltava group list` shows those there are
            exit 4
        "#]],
    );
}

#[test]
fn moves() {
    let world = World::start();
    world.run("topic create rivers --partitions 1");
    let (topics, moves) = (world.file("topics.json"), world.file("moves.json"));
    std::fs::write(&topics, r#"{"topics":[{"topic":"rivers"}],"version":1}"#).expect("the folder is there");
    std::fs::write(&moves, r#"{"version":1,"partitions":[{"topic":"rivers","partition":0,"replicas":[1]}]}"#)
        .expect("the folder is there");
    let ran = |command: &str| {
        let output = world.feed(command, b"");
        world.plain(&(String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr)))
    };
    let now = r#"{"partitions":[{"log_dirs":["any"],"partition":0,"replicas":[1],"topic":"rivers"}],"version":1}"#;
    assert_eq!(
        ran(&format!("kafka-reassign-partitions --generate --topics-to-move-json-file {topics} --broker-list 1")),
        format!(
            "Current partition replica assignment\n{now}\n\nProposed partition reassignment configuration\n{now}\n"
        )
    );
    let given = format!("--reassignment-json-file {moves}");
    assert_eq!(
        ran(&format!("kafka-reassign-partitions --execute {given}")),
        format!(
            "Current partition replica assignment\n\n{now}\n\nSave this to use as the --reassignment-json-file option during \
             rollback\nSuccessfully started partition reassignment for rivers-0\n"
        )
    );
    assert_eq!(
        ran(&format!("kafka-reassign-partitions --verify {given}")),
        "Status of partition reassignment:\nReassignment of partition rivers-0 is completed.\n\nClearing broker-level \
         throttles on broker 1\nClearing topic-level throttles on topic rivers\n"
    );
    assert_eq!(ran("kafka-reassign-partitions --list"), "No partition reassignments found.\n");
    assert!(ran(&format!("kafka-reassign-partitions --cancel {given}")).starts_with("None of the specified"));
    assert_eq!(
        ran("kafka-leader-election --election-type preferred --topic rivers --partition 0"),
        "Valid replica already elected for partitions rivers-0\n"
    );
    let dirs = ran("kafka-log-dirs --describe --topic-list rivers");
    let heads = "Querying brokers for log directories information\nReceived log directory information from brokers 1\n";
    let found: serde_json::Value =
        serde_json::from_str(dirs.strip_prefix(heads).expect("the tool's words")).expect("JSON");
    assert_eq!(found["brokers"][0]["logDirs"][0]["partitions"][0]["partition"], "rivers-0", "{found}");
}
