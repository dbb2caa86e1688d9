//! Plans from clusters in text: `brokers 1 2@rack 3` and then a line for each partition, `topic/0 replicas=1,2 bytes=5`.

use super::*;
use expect_test::{Expect, expect};

fn cluster(text: &str) -> Cluster {
    let mut cluster = Cluster::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(brokers) = line.strip_prefix("brokers ") {
            let broker = |word: &str| match word.split_once('@') {
                Some((id, rack)) => (id.parse().expect("a number"), Some(rack.to_owned())),
                None => (word.parse().expect("a number"), None),
            };
            cluster.brokers = brokers.split_whitespace().map(broker).collect();
            continue;
        }
        let mut words = line.split_whitespace();
        let (topic, indexes) = words.next().and_then(|spot| spot.split_once('/')).expect("topic/number");
        let (mut replicas, mut bytes) = (Vec::new(), 0);
        for word in words {
            match word.split_once('=').expect("key=value") {
                ("replicas", list) => replicas = list.split(',').map(|id| id.parse().expect("a number")).collect(),
                ("bytes", number) => bytes = number.parse().expect("a number"),
                (key, _) => panic!("{key}"),
            }
        }
        // `0-3` are partitions alike.
        let (first, last) = indexes.split_once('-').unwrap_or((indexes, indexes));
        let (first, last): (i32, i32) = (first.parse().expect("a number"), last.parse().expect("a number"));
        for index in first..=last {
            cluster.partitions.push(Partition { topic: topic.to_owned(), index, replicas: replicas.clone(), bytes });
        }
    }
    cluster
}

fn list(ids: &[Id]) -> String {
    ids.iter().map(Id::to_string).collect::<Vec<_>>().join(",")
}

fn show(cluster: &Cluster, moves: &[Move], cramped: &[Cramped]) -> String {
    let mut text = String::new();
    let mut after = cluster.clone();
    for known in moves {
        text.push_str(&format!("{}/{} {} -> {}\n", known.topic, known.index, list(&known.from), list(&known.to)));
        let same = |partition: &&mut Partition| partition.topic == known.topic && partition.index == known.index;
        let partition = after.partitions.iter_mut().find(same).expect("a move is of a partition");
        partition.replicas.clone_from(&known.to);
        let distinct: BTreeSet<&Id> = known.to.iter().collect();
        assert_eq!(distinct.len(), known.to.len(), "no broker has a partition twice");
    }
    for known in cramped {
        text.push_str(&format!("{}/{} fits nowhere but on {}\n", known.topic, known.index, list(&known.left)));
    }
    let counts = |of: &dyn Fn(&Partition, Id) -> bool| {
        let count = |id: &Id| (*id, after.partitions.iter().filter(|known| of(known, *id)).count());
        let counts = cluster.brokers.keys().map(count).map(|(id, count)| format!("{id}:{count}"));
        counts.collect::<Vec<_>>().join(" ")
    };
    let replicas = counts(&|known, id| known.replicas.contains(&id));
    let leaders = counts(&|known, id| known.replicas.first() == Some(&id));
    let bytes: u64 = moves.iter().map(Move::bytes_copied).sum();
    text.push_str(&format!(
        "replicas {replicas}, leaders {leaders}, copied {bytes}, busiest {}\n",
        busiest_bytes(moves)
    ));
    text
}

fn check_drain(text: &str, leaving: Id, expected: Expect) {
    let cluster = cluster(text);
    let (moves, cramped) = drain(&cluster, leaving);
    assert_eq!((moves.clone(), cramped.clone()), drain(&cluster, leaving), "the same again");
    expected.assert_eq(&show(&cluster, &moves, &cramped));
}

fn check_balance(text: &str, expected: Expect) {
    let cluster = cluster(text);
    let moves = balance(&cluster);
    assert_eq!(moves, balance(&cluster), "the same again");
    let mut after = cluster.clone();
    for known in &moves {
        let same = |partition: &&mut Partition| partition.topic == known.topic && partition.index == known.index;
        let partition = after.partitions.iter_mut().find(same).expect("a move is of a partition");
        partition.replicas.clone_from(&known.to);
    }
    assert_eq!(balance(&after), [], "what is balanced stays as it is");
    expected.assert_eq(&show(&cluster, &moves, &[]));
}

#[test]
fn a_broker_is_drained() {
    check_drain(
        "brokers 1 2 3 4
        a/0 replicas=1,2 bytes=10
        a/1 replicas=2,3 bytes=20
        a/2 replicas=3,1 bytes=30
        a/3 replicas=4,2 bytes=40
        b/0 replicas=3 bytes=7",
        3,
        expect![[r#"
            a/1 2,3 -> 2,1
            a/2 3,1 -> 1,4
            b/0 3 -> 4
            replicas 1:3 2:3 3:0 4:3, leaders 1:2 2:1 3:0 4:2, copied 57, busiest 37
        "#]],
    );
}

#[test]
fn a_dead_broker_is_drained() {
    check_drain(
        "brokers 1 2
        a/0 replicas=3,1 bytes=10
        a/1 replicas=1,3 bytes=10
        a/2 replicas=1,2 bytes=10",
        3,
        expect![[r#"
            a/0 3,1 -> 2,1
            a/1 1,3 -> 1,2
            replicas 1:3 2:3, leaders 1:2 2:1, copied 20, busiest 20
        "#]],
    );
}

#[test]
fn where_nobody_is_left_a_replica_less_is_planned_and_said() {
    check_drain(
        "brokers 1 2 3
        a/0 replicas=1,2,3 bytes=10
        a/1 replicas=3,2,1 bytes=10
        a/2 replicas=3,2 bytes=10",
        3,
        expect![[r#"
            a/0 1,2,3 -> 1,2
            a/1 3,2,1 -> 2,1
            a/2 3,2 -> 1,2
            a/0 fits nowhere but on 1,2
            a/1 fits nowhere but on 2,1
            replicas 1:3 2:3 3:0, leaders 1:2 2:1 3:0, copied 10, busiest 10
        "#]],
    );
    check_drain(
        "brokers 1\na/0 replicas=1 bytes=10",
        1,
        expect![[r#"
        a/0 fits nowhere but on 
        replicas 1:1, leaders 1:1, copied 0, busiest 0
    "#]],
    );
}

#[test]
fn a_drain_keeps_racks_apart() {
    check_drain(
        "brokers 1@x 2@x 3@y 4@y
        a/0 replicas=3,1 bytes=10
        a/1 replicas=3,2 bytes=10
        a/2 replicas=1,3 bytes=10
        a/3 replicas=1,4 bytes=10",
        3,
        expect![[r#"
            a/0 3,1 -> 4,1
            a/1 3,2 -> 2,4
            a/2 1,3 -> 4,1
            replicas 1:3 2:1 3:0 4:4, leaders 1:1 2:1 3:0 4:2, copied 30, busiest 30
        "#]],
    );
}

#[test]
fn a_new_broker_gets_its_share() {
    check_balance(
        "brokers 1 2 3 4
        a/0 replicas=1,2,3 bytes=5
        a/1 replicas=2,3,1 bytes=6
        a/2 replicas=3,1,2 bytes=7
        b/0 replicas=1,2,3 bytes=50
        b/1 replicas=2,3,1 bytes=60
        b/2 replicas=3,1,2 bytes=70",
        expect![[r#"
            a/0 1,2,3 -> 4,2,3
            a/1 2,3,1 -> 2,4,1
            b/0 1,2,3 -> 1,4,3
            b/1 2,3,1 -> 2,3,4
            replicas 1:4 2:5 3:5 4:4, leaders 1:1 2:2 3:2 4:1, copied 121, busiest 121
        "#]],
    );
}

#[test]
fn what_is_even_stays() {
    check_balance(
        "brokers 1 2 3\na/0 replicas=1,2\na/1 replicas=2,3\na/2 replicas=3,1",
        expect![[r#"
        replicas 1:2 2:2 3:2, leaders 1:1 2:1 3:1, copied 0, busiest 0
    "#]],
    );
    check_balance(
        "brokers 1\na/0-4 replicas=1",
        expect![[r#"
        replicas 1:5, leaders 1:5, copied 0, busiest 0
    "#]],
    );
    check_balance(
        "brokers 1 2",
        expect![[r#"
        replicas 1:0 2:0, leaders 1:0 2:0, copied 0, busiest 0
    "#]],
    );
}

#[test]
fn leaders_alone_cost_no_copying() {
    check_balance(
        "brokers 1 2 3\na/0-5 replicas=1,2,3 bytes=10",
        expect![[r#"
        a/0 1,2,3 -> 2,1,3
        a/1 1,2,3 -> 3,1,2
        a/2 1,2,3 -> 2,1,3
        a/3 1,2,3 -> 3,1,2
        replicas 1:6 2:6 3:6, leaders 1:2 2:2 3:2, copied 0, busiest 0
    "#]],
    );
    // From 1 to 3 only by way of 2; the racks keep every replica where it is.
    check_balance(
        "brokers 1@x 2@y 3@x\na/0-3 replicas=1,2 bytes=9\na/4-6 replicas=2,3 bytes=9",
        expect![[r#"
        a/0 1,2 -> 2,1
        a/1 1,2 -> 2,1
        a/4 2,3 -> 3,2
        a/5 2,3 -> 3,2
        replicas 1:4 2:7 3:3, leaders 1:2 2:3 3:2, copied 0, busiest 0
    "#]],
    );
}

#[test]
fn a_balance_keeps_racks_apart() {
    // Rack y has one broker, which therefore has twice as much.
    check_balance(
        "brokers 1@x 2@x 3@y\na/0-3 replicas=1,3 bytes=10",
        expect![[r#"
        a/0 1,3 -> 2,3
        a/1 1,3 -> 2,3
        a/2 1,3 -> 3,1
        replicas 1:2 2:2 3:4, leaders 1:1 2:2 3:1, copied 20, busiest 20
    "#]],
    );
}

#[test]
fn what_lies_on_a_dead_broker_stays_there() {
    check_balance(
        "brokers 1 2\na/0-3 replicas=3,1 bytes=10\na/4 replicas=2 bytes=1",
        expect![[r#"
        a/0 3,1 -> 2,3
        a/1 3,1 -> 1,3
        a/2 3,1 -> 1,3
        a/3 3,1 -> 1,3
        replicas 1:3 2:2, leaders 1:3 2:2, copied 10, busiest 10
    "#]],
    );
}

#[test]
fn a_large_cluster_becomes_even() {
    let mut large =
        Cluster { brokers: (1..=6).map(|id| (id, Some(format!("r{}", id % 3)))).collect(), partitions: vec![] };
    for index in 0_i32..600 {
        // The last three brokers are new.
        let replicas = vec![1 + index % 3, 1 + (index + 1) % 3, 1 + (index + 2) % 3];
        let bytes = u64::from(index.unsigned_abs() % 17) * 1000;
        large.partitions.push(Partition { topic: format!("t{}", index % 7), index, replicas, bytes });
    }
    let text = show(&large, &balance(&large), &[]);
    expect!["replicas 1:300 2:300 3:300 4:300 5:300 6:300, leaders 1:100 2:100 3:100 4:100 5:100 6:100, copied 3330000, busiest 1131000"].assert_eq(text.lines().last().expect("a summary"));
}
