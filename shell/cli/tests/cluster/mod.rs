//! The commands about a cluster as a whole, against one broker and against addresses at which something is wrong.

use crate::check;
use crate::world::World;
use expect_test::expect;
use serde_json::Value;
use std::net::TcpListener;

#[test]
fn one_broker_is_a_cluster() {
    let world = World::start();
    check(
        &world,
        "topic create rivers --partitions 2
        broker list
        broker list --json
        broker drain 1 --dry-run
        broker drain 7
        broker drain 1 --throttle fast
        broker unregister 1
        cluster balance --dry-run
        cluster balance --json",
        expect![[r#"
            $ topic create rivers --partitions 2
            created topic rivers, 2 partitions, 1 replica
            $ broker list
            BROKER  ADDRESS          RACK  STATE  REPLICAS  LEADERS  SIZE
                 1  BROKER  -     alive         2        2   0 B
            $ broker list --json
            [{"broker":1,"host":"127.0.0.1","leaders":2,"port":PORT,"rack":null,"replicas":2,"size_bytes":SIZE,"state":"alive"}]
            $ broker drain 1 --dry-run
            vltava: there is no other broker that is alive and could take what broker 1 has: start one first
            exit 1
            $ broker drain 7
            vltava: there is no broker 7: the cluster has 1
            exit 4
            $ broker drain 1 --throttle fast
            error: invalid value 'fast' for '--throttle <RATE>': give it as 50MB/s, 64MiB/s or a number of bytes

            For more information, try '--help'.
            exit 2
            $ broker unregister 1
            vltava: broker 1 is alive, and would register again: stop it first
            exit 1
            $ cluster balance --dry-run
            balance the cluster: nothing to move
            $ cluster balance --json
            {"bytes":0,"done":true,"elections":0,"estimated_seconds":0,"moves":[],"notes":[],"plan":"balance the cluster","throttle_bytes_per_second":null}
        "#]],
    );
    let described = json(&world, "cluster describe --json");
    assert_eq!(described["brokers"][0]["replicas"], 2);
    assert_eq!(described["brokers"][0]["state"], "alive");
    assert_eq!(described["controller"], 1);
    assert_eq!(described["health"]["partitions"], 2);
    assert_eq!(described["health"]["under_replicated"], Value::Array(vec![]));
    let text = world.run("cluster describe");
    assert!(text.contains("partitions  2, all in sync\n"), "{text}");
}

#[test]
fn a_doctor_finds_nothing_wrong_with_what_is_well() {
    let world = World::start();
    let report = json(&world, "doctor --json");
    assert_eq!(report["healthy"], true, "{report}");
    assert_eq!(report["findings"], Value::Array(vec![]));
    assert_eq!(report["brokers"][0]["result"], "ok");
    assert_eq!(report["brokers"][0]["cluster"], report["cluster"]);
    let text = world.run("doctor");
    assert!(text.ends_with("\nall is well\n"), "{text}");
}

/// What a doctor says first of a broker that tells its clients this address.
fn diagnose(advertised: &str) -> [String; 3] {
    let world = World::with(&["--set", &format!("advertised.listeners=PLAINTEXT://{advertised}")]);
    first_finding(&world)
}

fn first_finding(world: &World) -> [String; 3] {
    let report = json(world, "doctor --json --timeout 2");
    assert_eq!(report["healthy"], false, "{report}");
    let finding = &report["findings"][0];
    let result = if report["brokers"][0].is_null() { &report["bootstrap"][0] } else { &report["brokers"][0] };
    [&result["result"], &finding["setting"], &finding["what"]]
        .map(|value| value.as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_doctor_names_the_setting_at_fault() {
    let [result, setting, what] = diagnose("no-such-host.invalid:9092");
    assert_eq!([result.as_str(), setting.as_str()], ["name not found", "advertised.listeners"]);
    assert!(what.contains("`no-such-host.invalid`, which does not resolve here"), "{what}");

    let nobody = World::without_broker();
    let [result, setting, what] = diagnose(nobody.bootstrap());
    assert_eq!([result.as_str(), setting.as_str()], ["refused", "advertised.listeners, listeners"]);
    assert!(what.contains("nothing listens there"), "{what}");

    let mute = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let [result, setting, what] = diagnose(&mute.local_addr().expect("it is bound").to_string());
    assert_eq!(result, "not Kafka's protocol");
    assert_eq!(setting, "advertised.listeners, listener.security.protocol.map");
    assert!(what.contains("ApiVersions is not answered"), "{what}");

    let [_, setting, what] = diagnose("0.0.0.0:9092");
    assert_eq!(setting, "advertised.listeners");
    assert!(what.contains("no place to go to"), "{what}");
}

#[test]
fn a_doctor_knows_who_answers() {
    let other = World::start();
    let [_, setting, what] = diagnose(other.bootstrap());
    assert_eq!(setting, "advertised.listeners");
    assert!(what.contains("belongs to another cluster"), "{what}");

    let other = World::with(&["--node-id", "2"]);
    let [result, setting, what] = diagnose(other.bootstrap());
    assert_eq!([result.as_str(), setting.as_str()], ["another node", "advertised.listeners"]);
    assert!(what.contains("another node answers there"), "{what}");
}

#[test]
fn a_doctor_needs_no_broker() {
    let [result, setting, what] = first_finding(&World::without_broker());
    assert_eq!([result.as_str(), setting.as_str()], ["refused", "listeners"]);
    assert!(what.contains("nothing listens at this port"), "{what}");
}

fn json(world: &World, command: &str) -> Value {
    let output = world.feed(command, &[]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "{command}: {error}: {}{}",
            world.plain(&String::from_utf8_lossy(&output.stdout)),
            String::from_utf8_lossy(&output.stderr)
        )
    })
}
