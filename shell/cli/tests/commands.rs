//! Every command against a broker: the real binary as both, what it prints compared to the letter.

mod admin;
mod cluster;
mod kafka;
mod world;

use expect_test::{Expect, expect};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::mpsc;
use std::thread;
use world::{PATIENCE, World};

/// Runs lines of commands, each `< input` that it is to read, and compares what they print and how they end.
fn check(world: &World, script: &str, expected: Expect) {
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
    expected.assert_eq(&lines.map(|line| world.run(line)).collect::<String>());
}

#[test]
fn topics() {
    let world = World::start();
    check(
        &world,
        "topic list
        topic create rivers --partitions 2 --config retention.ms=1000
        topic create rivers
        topic create rivers --if-not-exists
        topic create rivers --json --if-not-exists
        topic create lakes --replication-factor 3
        topic create lakes --config retention.ms=long
        topic create lakes --config retentoin.ms=1
        topic create lakes --config oops
        topic list
        topic list --json
        topic describe rivers
        topic describe rivers --json
        topic describe rivres
        topic describe sea",
        expect![[r#"
            $ topic list
            there are no topics: `vltava topic create` makes one
            $ topic create rivers --partitions 2 --config retention.ms=1000
            created topic rivers, 2 partitions, 1 replica
            $ topic create rivers
            vltava: creating topic `rivers`: Topic 'rivers' already exists. (TOPIC_ALREADY_EXISTS); with --if-not-exists that is no error
            exit 1
            $ topic create rivers --if-not-exists
            it is there already: topic rivers, 2 partitions, 1 replica
            $ topic create rivers --json --if-not-exists
            {"created":false,"partitions":2,"replication_factor":1,"topic":"rivers"}
            $ topic create lakes --replication-factor 3
            vltava: creating topic `lakes`: Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because only 1 broker(s) are registered. (INVALID_REPLICATION_FACTOR)
            exit 1
            $ topic create lakes --config retention.ms=long
            vltava: creating topic `lakes`: Invalid value long for configuration retention.ms: Not a number of type LONG (INVALID_CONFIG)
            exit 1
            $ topic create lakes --config retentoin.ms=1
            vltava: creating topic `lakes`: Unknown topic config name: retentoin.ms (did you mean retention.ms?) (INVALID_CONFIG)
            exit 1
            $ topic create lakes --config oops
            error: invalid value 'oops' for '--config <KEY=VALUE>': give it as KEY=VALUE

            For more information, try '--help'.
            exit 2
            $ topic list
            TOPIC   PARTITIONS  REPLICAS
            rivers           2         1
            $ topic list --json
            [{"id":"ID","internal":false,"partitions":2,"replication_factor":1,"topic":"rivers"}]
            $ topic describe rivers
            topic     rivers
            id        ID
            replicas  1
            size      0 B
            configs   retention.ms=1000

            PARTITION  LEADER  REPLICAS  ISR  START  END  SIZE
                    0       1  1         1        0    0   0 B
                    1       1  1         1        0    0   0 B
            $ topic describe rivers --json
            {"configs":[{"name":"retention.ms","sensitive":false,"source":"topic","value":"1000"}],"id":"ID","internal":false,"partitions":[{"end_offset":0,"isr":[1],"leader":1,"partition":0,"replicas":[1],"size_bytes":SIZE,"start_offset":0},{"end_offset":0,"isr":[1],"leader":1,"partition":1,"replicas":[1],"size_bytes":SIZE,"start_offset":0}],"replication_factor":1,"topic":"rivers"}
            $ topic describe rivres
            vltava: there is no topic `rivres`: did you mean `rivers`?
            exit 4
            $ topic describe sea
            vltava: there is no topic `sea`: `vltava topic list` shows those there are, `vltava topic create sea` makes it
            exit 4
        "#]],
    );
    check(
        &world,
        "topic alter rivers --partitions 3 --config max.message.bytes=2000 --delete-config retention.ms
        topic describe rivers
        topic alter rivers --partitions 1
        topic alter rivers --config max.message.bytes=-5
        topic alter rivers
        topic alter river --partitions 4
        topic delete rivers
        topic delete rivers
        topic delete rivers --if-exists --json
        topic list --json",
        expect![[r#"
            $ topic alter rivers --partitions 3 --config max.message.bytes=2000 --delete-config retention.ms
            altered topic rivers
            $ topic describe rivers
            topic     rivers
            id        ID
            replicas  1
            size      0 B
            configs   max.message.bytes=2000

            PARTITION  LEADER  REPLICAS  ISR  START  END  SIZE
                    0       1  1         1        0    0   0 B
                    1       1  1         1        0    0   0 B
                    2       1  1         1        0    0   0 B
            $ topic alter rivers --partitions 1
            vltava: altering topic `rivers`: The topic rivers currently has 3 partition(s); 1 would not be an increase. (INVALID_PARTITIONS)
            exit 1
            $ topic alter rivers --config max.message.bytes=-5
            vltava: altering topic `rivers`: Invalid value -5 for configuration max.message.bytes: Value must be at least 0 (INVALID_CONFIG)
            exit 1
            $ topic alter rivers
            vltava: nothing to alter: give --config, --delete-config or --partitions
            exit 2
            $ topic alter river --partitions 4
            vltava: there is no topic `river`: did you mean `rivers`?
            exit 4
            $ topic delete rivers
            deleted topic rivers
            $ topic delete rivers
            vltava: there is no topic `rivers`: `vltava topic list` shows those there are, `vltava topic create rivers` makes it
            exit 4
            $ topic delete rivers --if-exists --json
            {"deleted":false,"topic":"rivers"}
            $ topic list --json
            []
        "#]],
    );
}

#[test]
fn records() {
    let world = World::start();
    check(
        &world,
        r"topic create rivers --partitions 2
        produce rivers --partition 0 --key-separator = --null-marker NULL --header from=spring < a=1|b=2=2|plain|a=NULL|=
        produce rivers --partition 1 --compression zstd --json < only
        produce rivers --partition 2 < lost
        produce rivres < lost
        produce rivers --file /no/such/file
        consume rivers --partition 0 --from-beginning --exit-at-end --format '%p@%o [%k]=[%v] %h %t 100%%'
        consume rivers --partition 0 --offset 1 --max-messages 2
        consume rivers --partition 1 --from-beginning -n 1 --json
        consume rivers --offset 9 --partition 1
        consume rivers --exit-at-end
        consume rivers --from-beginning --offset 1
        consume rivers --format %x
        consume rivers --partition 7
        topic describe rivers --json",
        expect![[r#"
            $ topic create rivers --partitions 2
            created topic rivers, 2 partitions, 1 replica
            $ produce rivers --partition 0 --key-separator = --null-marker NULL --header from=spring
            sent 5 records (12 B) to rivers
            $ produce rivers --partition 1 --compression zstd --json
            {"bytes":4,"records":1,"seconds":SECONDS,"topic":"rivers"}
            $ produce rivers --partition 2
            vltava: topic `rivers` has no partition 2: they are 0 to 1
            exit 4
            $ produce rivres
            vltava: there is no topic `rivres`: did you mean `rivers`?
            exit 4
            $ produce rivers --file /no/such/file
            vltava: --file /no/such/file: No such file or directory (os error NUMBER)
            exit 2
            $ consume rivers --partition 0 --from-beginning --exit-at-end --format '%p@%o [%k]=[%v] %h %t 100%%'
            0@0 [a]=[1] from=spring rivers 100%
            0@1 [b]=[2=2] from=spring rivers 100%
            0@2 []=[plain] from=spring rivers 100%
            0@3 [a]=[] from=spring rivers 100%
            0@4 []=[] from=spring rivers 100%
            $ consume rivers --partition 0 --offset 1 --max-messages 2
            2=2
            plain
            $ consume rivers --partition 1 --from-beginning -n 1 --json
            {"headers":[],"key":null,"offset":0,"partition":1,"timestamp":TIME,"topic":"rivers","value":"only"}
            $ consume rivers --offset 9 --partition 1
            vltava: there is no offset 9 yet in partition 1 of topic `rivers`, which ends at 1; --partition chooses one
            exit 1
            $ consume rivers --exit-at-end
            $ consume rivers --from-beginning --offset 1
            error: the argument '--from-beginning' cannot be used with '--offset <START>'

            Usage: vltava consume --from-beginning --bootstrap <HOST:PORT> <TOPIC>

            For more information, try '--help'.
            exit 2
            $ consume rivers --format %x
            error: invalid value '%x' for '--format <TEMPLATE>': %x means nothing here; there are %k %v %K %S %h %H %t %p %o %T %% and \n \r \t \0 \xHH \\; `vltava consume --help` says what they are

            For more information, try '--help'.
            exit 2
            $ consume rivers --partition 7
            vltava: topic `rivers` has no partition 7: they are 0 to 1
            exit 4
            $ topic describe rivers --json
            {"configs":[],"id":"ID","internal":false,"partitions":[{"end_offset":5,"isr":[1],"leader":1,"partition":0,"replicas":[1],"size_bytes":SIZE,"start_offset":0},{"end_offset":1,"isr":[1],"leader":1,"partition":1,"replicas":[1],"size_bytes":SIZE,"start_offset":0}],"replication_factor":1,"topic":"rivers"}
        "#]],
    );
}

#[test]
fn records_in_other_shapes() {
    let world = World::start();
    check(
        &world,
        r#"topic create rivers --partitions 2
        produce rivers -p 0 -K :: -D ';' < a::1;b::2;;plain
        produce rivers -p 1 --headers-separator ~ --key-separator ~ < h:1,g:2~key~value|~~|none
        produce rivers -p 1 --headers-separator ~ < h~value
        produce rivers --from-json < {"key":"k","value_base64":"//4=","headers":[{"name":"a","value":"b"}],"timestamp":5,"partition":1}|{"value":null,"partition":1}
        produce rivers --from-json < {"value":1,
        consume rivers -p 0 --offset beginning -e -f '%o %k=%s (%K,%S)\n'
        consume rivers -p 0 -o -2 -e
        consume rivers -p 0 -o 2 -e -D ';'
        consume rivers -p 0 -o soon
        consume rivers -p 1 -o 2100-01-01 -e
        consume rivers -p 1 -o 2020-01-01 -c 2 -f '%h|%k|%s'
        consume rivers -p 1 -o 1 -c 3 --json"#,
        expect![[r#"
            $ topic create rivers --partitions 2
            created topic rivers, 2 partitions, 1 replica
            $ produce rivers -p 0 -K :: -D ';'
            sent 4 records (10 B) to rivers
            $ produce rivers -p 1 --headers-separator ~ --key-separator ~
            sent 3 records (12 B) to rivers
            $ produce rivers -p 1 --headers-separator ~
            vltava: `h` is not name:value
            exit 2
            $ produce rivers --from-json
            sent 2 records (3 B) to rivers
            $ produce rivers --from-json
            vltava: `{"value":1,`: EOF while parsing a value at line 1 column 11
            exit 2
            $ consume rivers -p 0 --offset beginning -e -f '%o %k=%s (%K,%S)\n'
            0 a=1 (1,1)
            1 b=2 (1,1)
            2 = (-1,0)
            3 =plain
             (-1,6)
            $ consume rivers -p 0 -o -2 -e

            plain

            $ consume rivers -p 0 -o 2 -e -D ';'
            ;plain
            ;
            $ consume rivers -p 0 -o soon
            error: invalid value 'soon' for '--offset <START>': give it as 2026-11-26T10:00:00 (UTC, or with a zone), ms since 1970, or -90m

            For more information, try '--help'.
            exit 2
            $ consume rivers -p 1 -o 2100-01-01 -e
            $ consume rivers -p 1 -o 2020-01-01 -c 2 -f '%h|%k|%s'
            h=1,g=2|key|value
            ||
            $ consume rivers -p 1 -o 1 -c 3 --json
            {"headers":[],"key":"","offset":1,"partition":1,"timestamp":TIME,"topic":"rivers","value":""}
            {"headers":[],"key":null,"offset":2,"partition":1,"timestamp":TIME,"topic":"rivers","value":"none"}
            {"headers":[{"name":"a","value":"b"}],"key":"k","offset":3,"partition":1,"timestamp":TIME,"topic":"rivers","value_base64":"//4="}
        "#]],
    );
    // What one prints the other reads.
    let lines = world.feed("consume rivers -p 1 -o beginning -e --json", b"").stdout;
    world.run("topic create copy --partitions 2");
    world.feed("produce copy --from-json", &lines);
    let copied = world.feed("consume copy -p 1 -o beginning -e --json", b"").stdout;
    let lines = String::from_utf8(lines).expect("JSON is text");
    assert_eq!(
        String::from_utf8(copied).expect("JSON is text"),
        lines.replace(r#""topic":"rivers""#, r#""topic":"copy""#)
    );
}

#[test]
fn speed_is_measured() {
    let world = World::start();
    world.run("topic create rivers --partitions 2");
    let json = |command: &str| -> serde_json::Value {
        let out = world.feed(command, b"").stdout;
        serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{command}: {error}: {out:?}"))
    };
    let sent = json("perf produce rivers --num-records 2000 --record-size 100 --json");
    assert_eq!((&sent["records"], &sent["bytes"]), (&2000.into(), &200_000.into()));
    let millis = |name: &str| sent["latency_ms"][name].as_f64().expect("a number");
    assert!(0.0 < millis("p50") && millis("p50") <= millis("p99") && millis("p99") <= millis("max"), "{sent}");
    let read = json("perf consume rivers --json");
    assert_eq!((&read["records"], &read["bytes"]), (&2000.into(), &200_000.into()));
    assert!(json("perf consume rivers --num-records 500 --json")["records"].as_u64() >= Some(500));
    let paced = json("perf produce rivers --num-records 200 --record-size 10 --throughput 1000 --json");
    assert!(paced["records_per_second"].as_f64().expect("a number") <= 1010.0, "{paced}");
    let text = world.run("perf produce rivers --num-records 10 -z zstd --acks 1");
    assert!(text.contains("\n10 records sent, ") && text.contains(" ms 99.9th.\n"), "{text}");
    assert!(world.run("perf consume lakes").ends_with("exit 4\n"));
}

#[test]
fn every_codec_and_acknowledgement_delivers() {
    let world = World::start();
    world.run("topic create rivers --partitions 1");
    let lines: Vec<String> = (0..500).map(|number| format!("{number}")).collect();
    let mut sent = Vec::new();
    for options in ["gzip", "snappy", "lz4", "zstd", "none", "none --acks 1", "none --acks 0"] {
        world.run(&format!("produce rivers --compression {options} < {}", lines.join("|")));
        sent.extend(lines.clone());
    }
    let total = sent.len();
    // Nobody says when records that nobody acknowledges have arrived: as many are awaited as were sent.
    let out = world.run(&format!("consume rivers --from-beginning --max-messages {total}"));
    let received: Vec<&str> = out.lines().skip(1).collect();
    assert_eq!(received, sent);
}

#[test]
fn bytes_that_are_no_text_survive() {
    let world = World::start();
    world.run("topic create rivers --partitions 1");
    world.feed("produce rivers", b"\xff\xfe\n\x00\n");
    check(
        &world,
        "consume rivers --from-beginning --exit-at-end --json",
        expect![[r#"
        $ consume rivers --from-beginning --exit-at-end --json
        {"headers":[],"key":null,"offset":0,"partition":0,"timestamp":TIME,"topic":"rivers","value_base64":"//4="}
        {"headers":[],"key":null,"offset":1,"partition":0,"timestamp":TIME,"topic":"rivers","value":"\u0000"}
    "#]],
    );
    assert_eq!(world.feed("consume rivers --from-beginning --exit-at-end", b"").stdout, b"\xff\xfe\n\x00\n");
}

#[test]
fn groups() {
    let world = World::start();
    check(
        &world,
        "group list
        topic create rivers --partitions 1
        produce rivers < 1|2|3|4
        consume rivers --group readers --from-beginning --max-messages 3
        group list
        group describe readers
        group describe readers --json
        consume rivers --group readers --exit-at-end
        group describe readers
        group describe reader
        group describe nobody",
        expect![[r#"
            $ group list
            there are no groups
            $ topic create rivers --partitions 1
            created topic rivers, 1 partition, 1 replica
            $ produce rivers
            sent 4 records (4 B) to rivers
            $ consume rivers --group readers --from-beginning --max-messages 3
            1
            2
            3
            $ group list
            GROUP    STATE  PROTOCOL
            readers  Empty  classic
            $ group describe readers
            group        readers
            state        Empty
            assignor     -
            coordinator  1
            members      0
            lag          1

            TOPIC   PARTITION  COMMITTED  END  LAG  MEMBER
            rivers          0          3    4    1  -
            $ group describe readers --json
            {"assignor":"","coordinator":1,"group":"readers","lag":1,"members":[],"partitions":[{"committed":3,"end_offset":4,"lag":1,"member":null,"partition":0,"topic":"rivers"}],"state":"Empty","type":"consumer"}
            $ consume rivers --group readers --exit-at-end
            4
            $ group describe readers
            group        readers
            state        Empty
            assignor     -
            coordinator  1
            members      0
            lag          0

            TOPIC   PARTITION  COMMITTED  END  LAG  MEMBER
            rivers          0          4    4    0  -
            $ group describe reader
            vltava: there is no group `reader`: did you mean `readers`?
            exit 4
            $ group describe nobody
            vltava: there is no group `nobody`: `vltava group list` shows those there are
            exit 4
        "#]],
    );
    let mut member = world.spawn("consume rivers --group readers");
    let mut lines = BufReader::new(member.stdout.take().expect("it is a pipe")).lines();
    // It begins where the group ended: what is produced now is what it prints first.
    world.run("produce rivers < 5");
    assert_eq!(lines.next().expect("it prints").expect("a pipe can be read"), "5");
    while !world.run("group describe readers").contains("lag          0\n") {
        assert!(world.is_patient(), "what was printed is not committed");
    }
    check(
        &world,
        "group describe readers
        group delete readers",
        expect![[r#"
            $ group describe readers
            group        readers
            state        Stable
            assignor     range
            coordinator  1
            members      1
            lag          0

            TOPIC   PARTITION  COMMITTED  END  LAG  MEMBER
            rivers          0          5    5    0  MEMBER

            MEMBER                                           CLIENT      HOST        PARTITIONS
            MEMBER  vltava-cli  /127.0.0.1  1
            $ group delete readers
            vltava: deleting group `readers`: NON_EMPTY_GROUP; stop its consumers first
            exit 1
        "#]],
    );
    world.stop(member);
    check(
        &world,
        "group describe readers
        group delete readers
        group delete readers
        group list --json",
        expect![[r#"
            $ group describe readers
            group        readers
            state        Empty
            assignor     -
            coordinator  1
            members      0
            lag          0

            TOPIC   PARTITION  COMMITTED  END  LAG  MEMBER
            rivers          0          5    5    0  -
            $ group delete readers
            deleted group readers
            $ group delete readers
            vltava: there is no group `readers`: `vltava group list` shows those there are
            exit 4
            $ group list --json
            []
        "#]],
    );
}

#[test]
fn a_group_shares_a_large_file() {
    let world = World::start();
    world.run("topic create rivers --partitions 12");
    let mut lines: Vec<String> =
        (0..20_000_u64).map(|number| format!("{:x} of the rivers", number * 0x9e37_79b9)).collect();
    world.feed("produce rivers --compression zstd", (lines.join("\n") + "\n").as_bytes());
    let (sender, printed) = mpsc::channel();
    let members: Vec<Child> = (0..3)
        .map(|_| {
            let mut member = world.spawn("consume rivers --group readers --from-beginning --format '%p %o %v'");
            let (pipe, sender) = (member.stdout.take().expect("it is a pipe"), sender.clone());
            // Ends with the pipe, or with the test.
            thread::spawn(move || BufReader::new(pipe).lines().try_for_each(|line| sender.send(line)));
            member
        })
        .collect();
    // Who reads what changes as members come: a record may be printed again, but none is left out.
    let mut received = BTreeMap::new();
    while received.len() < lines.len() {
        let line = printed.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{} records came", received.len()));
        let line = line.expect("a pipe can be read");
        let mut parts = line.splitn(3, ' ').map(str::to_owned);
        received.insert((parts.next(), parts.next()), parts.next().expect("three parts"));
    }
    members.into_iter().for_each(|member| world.stop(member));
    let mut received: Vec<String> = received.into_values().collect();
    received.sort();
    lines.sort();
    assert!(received == lines, "what came out is not what went in");
    assert!(world.run("group describe readers").contains("lag          0\n"));
}

#[test]
fn a_broker_that_is_not_there_is_said_so() {
    let world = World::without_broker();
    check(
        &world,
        "topic list
        group list --bootstrap here
        topic create
        produce",
        expect![[r#"
            $ topic list
            vltava: no broker answers at BROKER (Connection refused (os error NUMBER)): start one with `vltava serve`, or name another with --bootstrap HOST:PORT
            exit 3
            $ group list --bootstrap here
            vltava: --bootstrap `here` is no address: give HOST:PORT, such as 127.0.0.1:9092
            exit 2
            $ topic create
            error: the following required arguments were not provided:
              <TOPIC>...

            Usage: vltava topic create --bootstrap <HOST:PORT> <TOPIC>...

            For more information, try '--help'.
            exit 2
            $ produce
            error: the following required arguments were not provided:
              <TOPIC>

            Usage: vltava produce --bootstrap <HOST:PORT> <TOPIC>

            For more information, try '--help'.
            exit 2
        "#]],
    );
}

#[test]
fn options_of_kafkas_clients_are_taken() {
    let world = World::start();
    let file = world.file("client.properties");
    std::fs::write(&file, format!("bootstrap.servers={}\nrequest.timeout.ms=5000\n", world.bootstrap()))
        .expect("a file");
    let script = "topic create rivers -X client.id=me -X request.timeout.ms=5000
        topic list --bootstrap '' --command-config FILE
        topic list --bootstrap '' --command-config FILE -X request.timeout.ms=soon
        topic list --bootstrap '' -X bootstrap.servers=BROKER
        topic list --bootstrap-server BROKER
        topic list -X linger.ms=5
        topic list -X sasl.mechanism=PLAIN
        topic list -X clientid=me
        doctor -X clientid=me
        topic list -X oops
        topic list --command-config nowhere.properties
        produce rivers -X linger.ms=1 -X acks=1 -X compression.type=zstd < Vltava|Otava
        produce rivers -X acks=1 -X enable.idempotence=true < Vltava
        consume rivers -o beginning -e -X fetch.max.bytes=1000
        consume rivers -X group.id=readers";
    let script = script.replace("FILE", &file).replace("BROKER", world.bootstrap());
    let printed: String = script.lines().map(|line| world.run(line.trim())).collect();
    let printed = printed.replace(&file, "FILE").replace(world.bootstrap(), "BROKER");
    expect![[r#"
        $ topic create rivers -X client.id=me -X request.timeout.ms=5000
        created topic rivers, 1 partition, 1 replica
        $ topic list --bootstrap '' --command-config FILE
        TOPIC   PARTITIONS  REPLICAS
        rivers           1         1
        $ topic list --bootstrap '' --command-config FILE -X request.timeout.ms=soon
        vltava: request.timeout.ms=soon: a whole number from 0 to 9223372036854775807 is needed
        exit 2
        $ topic list --bootstrap '' -X bootstrap.servers=BROKER
        TOPIC   PARTITIONS  REPLICAS
        rivers           1         1
        $ topic list --bootstrap-server BROKER
        TOPIC   PARTITIONS  REPLICAS
        rivers           1         1
        $ topic list -X linger.ms=5
        vltava: linger.ms is not an option of this kind of client: leave it out
        exit 2
        $ topic list -X sasl.mechanism=PLAIN
        vltava: sasl.mechanism is of no use without SASL: set security.protocol to SASL_SSL or SASL_PLAINTEXT
        exit 2
        $ topic list -X clientid=me
        vltava: there is no option clientid: did you mean client.id?
        exit 2
        $ doctor -X clientid=me
        vltava: there is no option clientid: did you mean client.id?
        exit 2
        $ topic list -X oops
        error: invalid value 'oops' for '-X <NAME=VALUE>': give it as KEY=VALUE

        For more information, try '--help'.
        exit 2
        $ topic list --command-config nowhere.properties
        vltava: nowhere.properties: No such file or directory (os error NUMBER)
        exit 2
        $ produce rivers -X linger.ms=1 -X acks=1 -X compression.type=zstd
        sent 2 records (11 B) to rivers
        $ produce rivers -X acks=1 -X enable.idempotence=true
        vltava: enable.idempotence=true cannot be kept while acks is not all: set acks=all, or enable.idempotence=false and no transactional.id
        exit 2
        $ consume rivers -o beginning -e -X fetch.max.bytes=1000
        Vltava
        Otava
        $ consume rivers -X group.id=readers
        vltava: -X group.id is not taken here: use --group
        exit 2
    "#]].assert_eq(&printed);
    let sasl = "-X security.protocol=SASL_PLAINTEXT -X sasl.mechanism=PLAIN -X sasl.username=a -X sasl.password=b";
    let doctor = world.run(&format!("doctor {sasl}"));
    assert!(doctor.contains("what to do: it knows no SASL that this client speaks: set security.protocol"), "{doctor}");
    assert!(doctor.contains("the broker does not let this client in") && !doctor.contains("ApiVersions"), "{doctor}");
    let list = world.run(&format!("topic list {sasl}"));
    assert!(list.contains("set security.protocol to PLAINTEXT or SSL") && list.ends_with("exit 1\n"), "{list}");
}

#[test]
fn help_shows_examples() {
    let world = World::without_broker();
    for command in ["topic create", "topic alter", "topic describe", "produce", "consume", "group describe"] {
        let help = world.run(&format!("{command} --help"));
        assert!(help.contains("Examples:\n  vltava ") || help.contains("Examples:\n  echo"), "{help}");
    }
    assert!(world.run("--help").contains("Exit codes: 0 done"));
}
