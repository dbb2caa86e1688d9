//! Settings, offsets and what else an administrator asks for, against one broker.

use crate::check;
use crate::world::World;
use expect_test::expect;

#[test]
fn settings() {
    let world = World::start();
    check(
        &world,
        "topic create rivers --partitions 1 --config retention.ms=1000
        config describe --topic rivers
        config alter --topic rivers cleanup.policy+=compact max.message.bytes=2000
        config alter --topic rivers retention.ms=soon
        config alter --topic rivers retention.ms=5 --dry-run
        config describe --topic rivers --json
        config describe --topic rivers retention.ms
        config describe --topic rivers retentoin.ms
        config describe --topic river
        config delete --topic rivers retention.ms max.message.bytes
        config alter --topic rivers cleanup.policy-=compact
        config describe --topic rivers
        config alter --broker default log.retention.hours=72
        config describe --broker default
        config alter --group readers consumer.session.timeout.ms=50000
        config describe --group readers
        config alter --client-metrics slow interval.ms=60000
        config describe --client-metrics slow
        config describe --broker 7
        config list --json
        config describe",
        expect![[r#"
            $ topic create rivers --partitions 1 --config retention.ms=1000
            created topic rivers, 1 partition, 1 replica
            $ config describe --topic rivers
            NAME          VALUE  FROM
            retention.ms  1000   topic
            $ config alter --topic rivers cleanup.policy+=compact max.message.bytes=2000
            altered topic rivers
            $ config alter --topic rivers retention.ms=soon
            vltava: altering topic `rivers`: Invalid value soon for configuration retention.ms: Not a number of type LONG (INVALID_CONFIG)
            exit 1
            $ config alter --topic rivers retention.ms=5 --dry-run
            would alter topic rivers
            $ config describe --topic rivers --json
            [{"name":"cleanup.policy","read_only":false,"sensitive":false,"source":"topic","synonyms":[{"name":"cleanup.policy","source":"topic","value":"delete,compact"},{"name":"log.cleanup.policy","source":"default","value":"delete"}],"value":"delete,compact"},{"name":"max.message.bytes","read_only":false,"sensitive":false,"source":"topic","synonyms":[{"name":"max.message.bytes","source":"topic","value":"2000"},{"name":"message.max.bytes","source":"default","value":"1048588"}],"value":"2000"},{"name":"retention.ms","read_only":false,"sensitive":false,"source":"topic","synonyms":[{"name":"retention.ms","source":"topic","value":"1000"},{"name":"log.retention.hours","source":"default","value":"168"}],"value":"1000"}]
            $ config describe --topic rivers retention.ms
            retention.ms=1000  (topic)
              else log.retention.hours=168  (default)
              Closed segments older than this are deleted; -1 keeps them for ever.
            $ config describe --topic rivers retentoin.ms
            vltava: a topic has no setting `retentoin.ms`: did you mean `retention.ms`?
            exit 4
            $ config describe --topic river
            vltava: there is no topic `river`: did you mean `rivers`?
            exit 4
            $ config delete --topic rivers retention.ms max.message.bytes
            altered topic rivers
            $ config alter --topic rivers cleanup.policy-=compact
            altered topic rivers
            $ config describe --topic rivers
            NAME            VALUE   FROM
            cleanup.policy  delete  topic
            $ config alter --broker default log.retention.hours=72
            vltava: altering broker `default`: Cannot update these configs dynamically: [log.retention.hours] (INVALID_REQUEST)
            exit 1
            $ config describe --broker default
            broker default has no settings of its own: --all shows the defaults
            $ config alter --group readers consumer.session.timeout.ms=50000
            altered group readers
            $ config describe --group readers
            NAME                         VALUE  FROM
            consumer.session.timeout.ms  50000  group
            $ config alter --client-metrics slow interval.ms=60000
            altered client-metrics slow
            $ config describe --client-metrics slow
            NAME         VALUE  FROM
            interval.ms  60000  client metrics
            $ config describe --broker 7
            vltava: no broker 7 is alive: there are 1, and `default` for all
            exit 4
            $ config list --json
            [{"kind":"topic","name":"rivers"},{"kind":"broker","name":"1"},{"kind":"broker-logger","name":"1"},{"kind":"client-metrics","name":"slow"},{"kind":"group","name":"readers"}]
            $ config describe
            error: the following required arguments were not provided:
              <--topic <TOPIC>|--broker <ID>|--broker-logger <ID>|--group <GROUP>|--client-metrics <NAME>>

            Usage: vltava config describe --bootstrap <HOST:PORT> <--topic <TOPIC>|--broker <ID>|--broker-logger <ID>|--group <GROUP>|--client-metrics <NAME>> [NAME]...

            For more information, try '--help'.
            exit 2
        "#]],
    );
}

#[test]
fn offsets_of_groups() {
    let world = World::start();
    let file = world.file("offsets.csv");
    check(
        &world,
        "topic create rivers --partitions 2
        topic create lakes --partitions 1
        produce rivers --partition 0 < 1|2|3|4
        produce rivers --partition 1 < 5|6
        group reset-offsets readers rivers --to-earliest
        group reset-offsets readers rivers lakes --to-earliest --execute
        group reset-offsets reader rivers --to-latest
        group reset-offsets readers rivers:0 --shift-by 3 --execute
        group reset-offsets readers rivers --shift-by -2 --json
        group reset-offsets readers rivers:0 --to-offset 99
        group reset-offsets readers --all-topics --to-datetime 2020-01-01T00:00
        group reset-offsets readers --all-topics --by-duration 0s
        group reset-offsets readers rivers:2 --to-latest
        group reset-offsets readers --all-topics
        group describe readers
        group list --state empty --type classic
        group list --state Stable
        group delete-offsets readers lakes rivers:1 --dry-run
        group delete-offsets readers lakes rivers:1
        group delete-offsets readers lakes
        group remove-members readers somebody
        group delete readers --dry-run
        group describe --all",
        expect![[r#"
            $ topic create rivers --partitions 2
            created topic rivers, 2 partitions, 1 replica
            $ topic create lakes --partitions 1
            created topic lakes, 1 partition, 1 replica
            $ produce rivers --partition 0
            sent 4 records (4 B) to rivers
            $ produce rivers --partition 1
            sent 2 records (2 B) to rivers
            $ group reset-offsets readers rivers --to-earliest
            note: there is no group `readers` yet, and this makes it
            TOPIC   PARTITION  FROM  TO  LAG  NOTE
            rivers          0     -   0    4
            rivers          1     -   0    2
            nothing is changed yet: --execute sets 2 offsets
            $ group reset-offsets readers rivers lakes --to-earliest --execute
            note: there is no group `readers` yet, and this makes it
            TOPIC   PARTITION  FROM  TO  LAG  NOTE
            lakes           0     -   0    0
            rivers          0     -   0    4
            rivers          1     -   0    2
            set 3 offsets of group readers
            $ group reset-offsets reader rivers --to-latest
            note: there is no group `reader` yet, and this makes it; did you mean `readers`?
            TOPIC   PARTITION  FROM  TO  LAG  NOTE
            rivers          0     -   4    0
            rivers          1     -   2    0
            nothing is changed yet: --execute sets 2 offsets
            $ group reset-offsets readers rivers:0 --shift-by 3 --execute
            TOPIC   PARTITION  FROM  TO  LAG  NOTE
            rivers          0     0   3    1
            set 1 offset of group readers
            $ group reset-offsets readers rivers --shift-by -2 --json
            {"done":false,"group":"readers","notes":[],"partitions":[{"clamped":false,"from":3,"lag":3,"partition":0,"to":1,"topic":"rivers"},{"clamped":true,"from":0,"lag":2,"partition":1,"to":0,"topic":"rivers"}]}
            $ group reset-offsets readers rivers:0 --to-offset 99
            TOPIC   PARTITION  FROM  TO  LAG  NOTE
            rivers          0     3   4    0  the nearest offset that is there
            nothing is changed yet: --execute sets 1 offset
            $ group reset-offsets readers --all-topics --to-datetime 2020-01-01T00:00
            TOPIC   PARTITION  FROM  TO  LAG  NOTE
            lakes           0     0   0    0  as it is
            rivers          0     3   0    4
            rivers          1     0   0    2  as it is
            nothing is changed yet: --execute sets 3 offsets
            $ group reset-offsets readers --all-topics --by-duration 0s
            TOPIC   PARTITION  FROM  TO  LAG  NOTE
            lakes           0     0   0    0  as it is
            rivers          0     3   4    0
            rivers          1     0   2    0
            nothing is changed yet: --execute sets 3 offsets
            $ group reset-offsets readers rivers:2 --to-latest
            vltava: topic `rivers` has no partition 2: they are 0 to 1
            exit 4
            $ group reset-offsets readers --all-topics
            error: the following required arguments were not provided:
              <--to-earliest|--to-latest|--to-current|--to-offset <N>|--to-datetime <TIME>|--by-duration <TIME>|--shift-by <N>|--from-file <FILE>>

            Usage: vltava group reset-offsets --all-topics --bootstrap <HOST:PORT> <--to-earliest|--to-latest|--to-current|--to-offset <N>|--to-datetime <TIME>|--by-duration <TIME>|--shift-by <N>|--from-file <FILE>> <GROUP> [TOPIC[:PARTITIONS]]...

            For more information, try '--help'.
            exit 2
            $ group describe readers
            group        readers
            state        Empty
            assignor     -
            coordinator  1
            members      0
            lag          3

            TOPIC   PARTITION  COMMITTED  END  LAG  MEMBER
            lakes           0          0    0    0  -
            rivers          0          3    4    1  -
            rivers          1          0    2    2  -
            $ group list --state empty --type classic
            GROUP    STATE  PROTOCOL
            readers  Empty  classic
            $ group list --state Stable
            there are no groups
            $ group delete-offsets readers lakes rivers:1 --dry-run
            would delete 2 offsets of group readers: lakes-0, rivers-1
            $ group delete-offsets readers lakes rivers:1
            deleted 2 offsets of group readers: lakes-0, rivers-1
            $ group delete-offsets readers lakes
            deleted 0 offsets of group readers
            $ group remove-members readers somebody
            vltava: group `readers` has no member `somebody`: `vltava group describe readers` shows those it has
            exit 4
            $ group delete readers --dry-run
            would delete group readers
            $ group describe --all
            group        readers
            state        Empty
            assignor     -
            coordinator  1
            members      0
            lag          1

            TOPIC   PARTITION  COMMITTED  END  LAG  MEMBER
            rivers          0          3    4    1  -
        "#]],
    );
    world.run(&format!("group reset-offsets readers rivers --to-latest --backup {file} --execute"));
    let back = world.run(&format!("group reset-offsets readers --from-file {file} --execute"));
    assert!(back.contains("set 1 offset of group readers\n"), "{back}");
    assert!(world.run("group describe readers --json").contains(r#""committed":3"#), "the backup is where it was");
    world.run("consume rivers --group readers --exit-at-end");
    let member = world.spawn("consume rivers --group readers");
    while !world.run("group describe readers").contains("Stable") {
        assert!(world.is_patient(), "the member does not join");
    }
    check(
        &world,
        "group reset-offsets readers rivers --to-earliest --execute
        group delete-offsets readers rivers",
        expect![[r#"
            $ group reset-offsets readers rivers --to-earliest --execute
            vltava: group `readers` has 1 member: stop its consumers first, or take them out with `vltava group remove-members readers --all`
            exit 1
            $ group delete-offsets readers rivers
            vltava: these offsets were not deleted: rivers-0 (GROUP_SUBSCRIBED_TO_TOPIC; a member of the group reads it: stop its consumers first), rivers-1 (GROUP_SUBSCRIBED_TO_TOPIC; a member of the group reads it: stop its consumers first)
            exit 1
        "#]],
    );
    let removed = world.run("group remove-members readers --all");
    assert!(removed.ends_with("removed 1 member of group readers\n"), "{removed}");
    world.stop(member);
}

#[test]
fn records_and_directories() {
    let world = World::start();
    check(
        &world,
        "topic create rivers --replica-assignment 1,1
        topic create lakes --dry-run
        produce rivers --partition 0 < 1|2|3|4
        topic offsets rivers
        topic offsets rivers:0 --time earliest
        topic offsets rivers:0 --time 2100-01-01 --json
        topic offsets rivers:5
        topic delete-records rivers:0 --before 9
        topic delete-records rivers:0 --before 3 --dry-run
        topic delete-records rivers:0 --before 3
        topic delete-records rivers --all --json
        topic producers rivers:1
        topic alter rivers --partitions 5 --dry-run
        topic delete rivers --dry-run
        topic delete lakes --dry-run
        cluster elect-leaders
        cluster elect-leaders --unclean
        cluster features --upgrade nonsense=1
        cluster remove-voter 1 --dry-run",
        expect![[r#"
            $ topic create rivers --replica-assignment 1,1
            created topic rivers, 2 partitions, 1 replica
            $ topic create lakes --dry-run
            would create topic lakes
            $ produce rivers --partition 0
            sent 4 records (4 B) to rivers
            $ topic offsets rivers
            TOPIC   PARTITION  OFFSET
            rivers          0       4
            rivers          1       0
            $ topic offsets rivers:0 --time earliest
            TOPIC   PARTITION  OFFSET
            rivers          0       0
            $ topic offsets rivers:0 --time 2100-01-01 --json
            [{"offset":null,"partition":0,"topic":"rivers"}]
            $ topic offsets rivers:5
            vltava: topic `rivers` has no partition 5: they are 0 to 1
            exit 4
            $ topic delete-records rivers:0 --before 9
            vltava: rivers-0 ends at 4: --before 9 is not there yet
            exit 1
            $ topic delete-records rivers:0 --before 3 --dry-run
            TOPIC   PARTITION  START  WOULD DELETE
            rivers          0      3             3
            $ topic delete-records rivers:0 --before 3
            TOPIC   PARTITION  START  DELETED
            rivers          0      3        3
            $ topic delete-records rivers --all --json
            [{"deleted":true,"offsets":1,"partition":0,"start_offset":4,"topic":"rivers"},{"deleted":true,"offsets":0,"partition":1,"start_offset":0,"topic":"rivers"}]
            $ topic producers rivers:1
            nobody has written lately
            $ topic alter rivers --partitions 5 --dry-run
            would alter topic rivers
            $ topic delete rivers --dry-run
            would delete topic rivers
            $ topic delete lakes --dry-run
            vltava: there is no topic `lakes`: `vltava topic list` shows those there are, `vltava topic create lakes` makes it
            exit 4
            $ cluster elect-leaders
            elected leaders of 0 partitions
            $ cluster elect-leaders --unclean
            error: the following required arguments were not provided:
              <TOPIC[:PARTITIONS]>...

            Usage: vltava cluster elect-leaders --unclean --bootstrap <HOST:PORT> <TOPIC[:PARTITIONS]>...

            For more information, try '--help'.
            exit 2
            $ cluster features --upgrade nonsense=1
            vltava: there is no feature `nonsense`
            exit 4
            $ cluster remove-voter 1 --dry-run
            vltava: node 1 is the only one that votes: let another vote first
            exit 1
        "#]],
    );
    let features = world.run("cluster features");
    assert!(features.contains("metadata.version"), "{features}");
    let dirs = world.run("broker log-dirs --replicas");
    assert!(dirs.contains("rivers"), "{dirs}");
    let moved = world.run("broker move-replicas 1 rivers:0 --to /elsewhere");
    assert!(moved.contains("broker 1 has no log directory /elsewhere") && moved.ends_with("exit 4\n"), "{moved}");
    let producers = world.run("topic producers rivers");
    assert!(producers.contains("rivers          0"), "{producers}");
    let script = world.run("completion bash");
    assert!(script.contains("reset-offsets"), "{script}");
}
