//! Log directories: where replicas go, how they move, what a failed disk takes with it, and what a directory remembers.

mod brokers;

use brokers::{Brokers, ROOTS};
use log::{Disk, ErrorKind, Fault, Operation};
use record::{Batches, Builder, Template};
use std::collections::BTreeMap;
use types::{ErrorCode, Text, Timestamp};
use wire::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use wire::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use wire::describe_log_dirs_response::DescribeLogDirsResult;
use wire::fetch_request::{FetchPartition, FetchTopic};
use wire::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::metadata_request::MetadataRequestTopic;
use wire::metadata_response::MetadataResponsePartition;
use wire::produce_request::{PartitionProduceData, TopicProduceData};
use wire::*;

fn create(brokers: &mut Brokers, topic: &str, partitions: i32, replicas: i16) {
    let wanted = create_topics_request::CreatableTopic {
        name: Text::from(topic),
        num_partitions: partitions,
        replication_factor: replicas,
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![wanted], timeout_ms: 1000, ..Default::default() };
    let response = brokers.ask(1, 7, &request);
    assert_eq!(response.topics[0].error_code, ErrorCode::NONE, "{:?}", response.topics[0].error_message);
    brokers.sleep_ms(1000);
}

fn produce(brokers: &mut Brokers, node: i32, topic: &str, partition: i32, value: &str) -> ErrorCode {
    let mut builder = Builder::new(Template::default());
    builder.append(Timestamp(1_700_000_000_000), None, Some(value.as_bytes()), &[]);
    let data = PartitionProduceData {
        index: partition,
        records: Some(Records::Bytes(builder.finish())),
        ..Default::default()
    };
    let topic = TopicProduceData { name: Text::from(topic), partition_data: vec![data], ..Default::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 5000, topic_data: vec![topic], ..Default::default() };
    brokers.ask(node, 9, &request).responses[0].partition_responses[0].error_code
}

/// All values of a partition.
fn fetch(brokers: &mut Brokers, node: i32, topic: &str, partition: i32) -> Result<Vec<String>, ErrorCode> {
    let mut values = Vec::new();
    loop {
        let more = fetch_from(brokers, node, topic, partition, values.len())?;
        if more.is_empty() {
            return Ok(values);
        }
        values.extend(more);
    }
}

fn fetch_from(
    brokers: &mut Brokers,
    node: i32,
    topic: &str,
    partition: i32,
    offset: usize,
) -> Result<Vec<String>, ErrorCode> {
    let part = FetchPartition {
        partition,
        fetch_offset: i64::try_from(offset).expect("few"),
        partition_max_bytes: 1 << 24,
        current_leader_epoch: -1,
        ..Default::default()
    };
    let topics = vec![FetchTopic { topic: Text::from(topic), partitions: vec![part], ..Default::default() }];
    let request = FetchRequest { max_bytes: 1 << 24, session_epoch: -1, topics, ..Default::default() };
    let response = brokers.ask(node, 12, &request);
    let part = &response.responses[0].partitions[0];
    if !part.error_code.is_ok() {
        return Err(part.error_code);
    }
    let Some(Records::Bytes(bytes)) = &part.records else { panic!("records are never null") };
    let mut values = Vec::new();
    for batch in Batches::new(bytes) {
        let (_, batch) = batch.expect("a whole batch");
        let mut records = record::records(batch, 1 << 20).expect("records");
        while let Some(record) = records.next_record().expect("a record") {
            values.push(String::from_utf8_lossy(record.value.expect("a value")).into_owned());
        }
    }
    Ok(values)
}

fn directories(brokers: &mut Brokers, node: i32) -> Vec<DescribeLogDirsResult> {
    brokers.ask(node, 4, &DescribeLogDirsRequest { topics: None, ..Default::default() }).results
}

/// Which directory each partition of a topic is in; those that are to be replaced and those that replace them apart.
fn places(brokers: &mut Brokers, node: i32, topic: &str, future: bool) -> BTreeMap<i32, Text> {
    let mut places = BTreeMap::new();
    for directory in directories(brokers, node) {
        for found in directory.topics.iter().filter(|found| *found.name == *topic) {
            for part in found.partitions.iter().filter(|part| part.is_future_key == future) {
                let other = places.insert(part.partition_index, directory.log_dir.clone());
                assert_eq!(other, None, "partition {} is in two directories", part.partition_index);
            }
        }
    }
    places
}

fn partitions(brokers: &mut Brokers, node: i32, topic: &str) -> Vec<MetadataResponsePartition> {
    let topic = MetadataRequestTopic { name: Some(Text::from(topic)), ..Default::default() };
    let mut response = brokers.ask(node, 12, &MetadataRequest { topics: Some(vec![topic]), ..Default::default() });
    let mut partitions = response.topics.remove(0).partitions;
    partitions.sort_by_key(|partition| partition.partition_index);
    partitions
}

fn fail(brokers: &Brokers, node: usize, disk: usize) {
    let operations = [
        Operation::Open,
        Operation::Read,
        Operation::Write,
        Operation::Sync,
        Operation::Rename,
        Operation::Remove,
        Operation::Change,
    ];
    for operation in operations {
        let kind = ErrorKind::Failed;
        let fault = Fault { operation, path: String::new(), kind, after: 0, times: u32::MAX, torn_bytes: 0 };
        brokers.disks[node - 1][disk].inject(fault);
    }
}

fn path(disk: usize) -> Text {
    Text::from(format!("{}/", ROOTS[disk]))
}

#[test]
fn replicas_go_where_there_are_fewest_and_stay_there() {
    for shards in [1, 3] {
        let mut brokers = Brokers::start(1, 3, shards, &[]);
        create(&mut brokers, "t", 12, 1);
        let found = places(&mut brokers, 1, "t", false);
        for disk in 0..3 {
            let here = found.values().filter(|place| **place == path(disk)).count();
            assert!(if shards == 1 { here == 4 } else { (2..=6).contains(&here) }, "{found:?}");
        }
        for partition in 0..12 {
            assert_eq!(produce(&mut brokers, 1, "t", partition, "kept"), ErrorCode::NONE);
        }
        brokers.restart(1, &[0, 1, 2]);
        brokers.sleep_ms(1000);
        assert_eq!(places(&mut brokers, 1, "t", false), found);
        for partition in 0..12 {
            assert_eq!(fetch(&mut brokers, 1, "t", partition), Ok(vec!["kept".to_owned()]));
        }
    }
}

#[test]
fn each_directory_has_its_identity_and_the_metadata_log_is_in_one() {
    let brokers = Brokers::start(1, 2, 1, &[]);
    let properties = |disk: usize| {
        let bytes = brokers.disks[0][disk].read_small("meta.properties", 1000).expect("it is there");
        let text = String::from_utf8(bytes).expect("text");
        text.lines()
            .map(|line| line.split_once('=').expect("a pair"))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    };
    let (one, other): (BTreeMap<_, _>, BTreeMap<_, _>) = (properties(0), properties(1));
    assert_eq!(one["cluster.id"], other["cluster.id"]);
    assert_eq!(one["node.id"], other["node.id"]);
    assert_ne!(one["directory.id"], other["directory.id"]);
    assert!(brokers.disks[0][0].exists("__cluster_metadata-0") && !brokers.disks[0][1].exists("__cluster_metadata-0"));
}

#[test]
fn a_failed_disk_takes_its_replicas_down_and_nothing_else() {
    for shards in [1, 2] {
        let mut brokers = Brokers::start(1, 2, shards, &[]);
        create(&mut brokers, "t", 8, 1);
        for partition in 0..8 {
            assert_eq!(produce(&mut brokers, 1, "t", partition, "kept"), ErrorCode::NONE);
        }
        let found = places(&mut brokers, 1, "t", false);
        fail(&brokers, 1, 1);
        let struck = *found.iter().find(|(_, place)| **place == path(1)).expect("both have some").0;
        assert_eq!(produce(&mut brokers, 1, "t", struck, "refused"), ErrorCode::KAFKA_STORAGE_ERROR);
        brokers.sleep_ms(100);
        for (partition, place) in &found {
            let is_lost = *place == path(1);
            let wanted = if is_lost { ErrorCode::KAFKA_STORAGE_ERROR } else { ErrorCode::NONE };
            assert_eq!(produce(&mut brokers, 1, "t", *partition, "more"), wanted);
            let read = fetch(&mut brokers, 1, "t", *partition);
            assert_eq!(read.is_err(), is_lost);
            let leader = partitions(&mut brokers, 1, "t")[usize::try_from(*partition).expect("small")].leader_id;
            assert_eq!(leader, if is_lost { -1 } else { 1 });
        }
        let described = directories(&mut brokers, 1);
        assert_eq!(described[0].error_code, ErrorCode::NONE);
        assert_eq!((described[1].error_code, described[1].topics.len()), (ErrorCode::KAFKA_STORAGE_ERROR, 0));
        create(&mut brokers, "later", 4, 1);
        assert!(places(&mut brokers, 1, "later", false).values().all(|place| *place == path(0)));
        // With the disk mended all is as before.
        brokers.disks[0][1].clear_faults();
        brokers.restart(1, &[0, 1]);
        brokers.sleep_ms(2000);
        for partition in 0..8 {
            assert_eq!(produce(&mut brokers, 1, "t", partition, "again"), ErrorCode::NONE);
            assert_eq!(fetch(&mut brokers, 1, "t", partition).expect("it is online")[0], "kept");
        }
        assert_eq!(places(&mut brokers, 1, "t", false), found);
    }
}

#[test]
fn a_broker_starts_without_a_disk_and_makes_nothing_anew_for_what_is_on_it() {
    let mut brokers = Brokers::start(1, 2, 2, &[]);
    create(&mut brokers, "t", 8, 1);
    for partition in 0..8 {
        assert_eq!(produce(&mut brokers, 1, "t", partition, "kept"), ErrorCode::NONE);
    }
    let found = places(&mut brokers, 1, "t", false);
    brokers.restart(1, &[0]);
    brokers.sleep_ms(2000);
    for (partition, place) in &found {
        let wanted = if *place == path(0) { Ok(vec!["kept".to_owned()]) } else { Err(ErrorCode::KAFKA_STORAGE_ERROR) };
        assert_eq!(fetch(&mut brokers, 1, "t", *partition), wanted);
    }
    brokers.restart(1, &[0, 1]);
    brokers.sleep_ms(2000);
    for partition in 0..8 {
        assert_eq!(fetch(&mut brokers, 1, "t", partition), Ok(vec!["kept".to_owned()]));
    }
}

#[test]
fn leaderships_leave_a_failed_disk() {
    let mut brokers = Brokers::start(3, 2, 2, &[]);
    create(&mut brokers, "t", 12, 3);
    let leader = |brokers: &mut Brokers, partition: usize| partitions(brokers, 1, "t")[partition].leader_id;
    for partition in 0..12 {
        let node = leader(&mut brokers, partition);
        assert_eq!(produce(&mut brokers, node, "t", i32::try_from(partition).expect("few"), "kept"), ErrorCode::NONE);
    }
    let found = places(&mut brokers, 2, "t", false);
    fail(&brokers, 2, 1);
    let led = partitions(&mut brokers, 1, "t").into_iter().filter(|known| known.leader_id == 2);
    let struck = led.map(|known| known.partition_index).find(|index| found[index] == path(1));
    let struck = struck.expect("broker 2 leads some there");
    assert_eq!(produce(&mut brokers, 2, "t", struck, "refused"), ErrorCode::KAFKA_STORAGE_ERROR);
    brokers.sleep_ms(500);
    for known in partitions(&mut brokers, 1, "t") {
        let is_lost = found[&known.partition_index] == path(1);
        assert_eq!(known.isr_nodes.contains(&2), !is_lost, "{known:?}");
        assert!(!is_lost || known.leader_id != 2, "{known:?}");
        let read = fetch(&mut brokers, known.leader_id, "t", known.partition_index);
        assert_eq!(read, Ok(vec!["kept".to_owned()]));
        let value = "more";
        assert_eq!(produce(&mut brokers, known.leader_id, "t", known.partition_index, value), ErrorCode::NONE);
    }
    // With the disk mended its replicas catch up.
    brokers.disks[1][1].clear_faults();
    brokers.restart(2, &[0, 1]);
    brokers.sleep_ms(12_000);
    for known in partitions(&mut brokers, 1, "t") {
        assert!(known.isr_nodes.contains(&2), "{known:?}");
    }
}

/// The newest records are taken to be cached, and what cannot be sent is found out where nobody answers for it.
#[test]
fn leaderships_leave_a_log_that_cannot_be_read() {
    for disks in [1, 2] {
        let mut brokers = Brokers::start(3, disks, 2, &[]);
        create(&mut brokers, "t", 12, 3);
        let found = places(&mut brokers, 2, "t", false);
        let led = partitions(&mut brokers, 1, "t").into_iter().filter(|known| known.leader_id == 2);
        let struck = led.map(|known| known.partition_index).find(|index| found[index] == path(disks - 1));
        let struck = struck.expect("broker 2 leads some there");
        assert_eq!(produce(&mut brokers, 2, "t", struck, "kept"), ErrorCode::NONE);
        let (kind, path) = (ErrorKind::Failed, format!("t-{struck}/"));
        let fault = Fault { operation: Operation::Read, path, kind, after: 0, times: u32::MAX, torn_bytes: 0 };
        brokers.disks[1][disks - 1].inject(fault);
        assert_eq!(produce(&mut brokers, 2, "t", struck, "nobody gets it"), ErrorCode::KAFKA_STORAGE_ERROR);
        brokers.sleep_ms(500);
        let known = partitions(&mut brokers, 1, "t").remove(usize::try_from(struck).expect("few"));
        assert_eq!((known.offline_replicas, known.isr_nodes.contains(&2)), (vec![2], false));
        assert_eq!(produce(&mut brokers, known.leader_id, "t", struck, "more"), ErrorCode::NONE);
        let values = ["kept", "more"].map(str::to_owned).to_vec();
        assert_eq!(fetch(&mut brokers, known.leader_id, "t", struck), Ok(values));
        let lost = usize::from(disks == 2);
        let failed = directories(&mut brokers, 2).iter().filter(|directory| !directory.error_code.is_ok()).count();
        assert_eq!(failed, lost, "only the home's replicas fail alone");
    }
}

#[test]
fn leaderships_leave_a_log_that_fails_alone() {
    for replicas in [3, 1] {
        let mut brokers = Brokers::start(3, 1, 2, &[]);
        create(&mut brokers, "t", 6, replicas);
        let led = |brokers: &mut Brokers| -> Vec<i32> {
            let all = partitions(brokers, 1, "t").into_iter();
            all.filter(|known| known.leader_id == 2).map(|known| known.partition_index).collect()
        };
        let before = led(&mut brokers);
        let struck = before[0];
        assert_eq!(produce(&mut brokers, 2, "t", struck, "kept"), ErrorCode::NONE);
        let (kind, path) = (ErrorKind::Failed, format!("t-{struck}/"));
        let fault = Fault { operation: Operation::Write, path, kind, after: 0, times: u32::MAX, torn_bytes: 0 };
        brokers.disks[1][0].inject(fault);
        assert_eq!(produce(&mut brokers, 2, "t", struck, "refused"), ErrorCode::KAFKA_STORAGE_ERROR);
        brokers.sleep_ms(500);
        assert_eq!(led(&mut brokers), before[1..], "what is whole stays where it is");
        let known = partitions(&mut brokers, 1, "t").remove(usize::try_from(struck).expect("few"));
        assert_eq!(known.offline_replicas, [2]);
        let mut values = vec!["kept".to_owned()];
        if replicas == 3 {
            assert!(!known.isr_nodes.contains(&2), "{known:?}");
            assert_eq!(produce(&mut brokers, known.leader_id, "t", struck, "more"), ErrorCode::NONE);
            values.push("more".to_owned());
        }
        brokers.disks[1][0].clear_faults();
        brokers.restart(2, &[0]);
        brokers.sleep_ms(12_000);
        let known = partitions(&mut brokers, 1, "t").remove(usize::try_from(struck).expect("few"));
        assert!(known.isr_nodes.contains(&2) && known.offline_replicas.is_empty(), "{known:?}");
        assert_eq!(fetch(&mut brokers, known.leader_id, "t", struck), Ok(values));
    }
}

fn move_to(brokers: &mut Brokers, node: i32, topic: &str, partitions: &[i32], log_dir: &Text) -> Vec<ErrorCode> {
    let topics = vec![AlterReplicaLogDirTopic {
        name: Text::from(topic),
        partitions: partitions.to_vec(),
        ..Default::default()
    }];
    let dirs = vec![AlterReplicaLogDir { path: log_dir.clone(), topics, ..Default::default() }];
    let response = brokers.ask(node, 2, &AlterReplicaLogDirsRequest { dirs, ..Default::default() });
    response.results.iter().flat_map(|topic| &topic.partitions).map(|part| part.error_code).collect()
}

fn set_rate(brokers: &mut Brokers, bytes: &str) {
    let config = AlterableConfig {
        name: Text::from("replica.alter.log.dirs.io.max.bytes.per.second"),
        value: Some(Text::from(bytes)),
        ..Default::default()
    };
    let resource = AlterConfigsResource {
        resource_type: 4,
        resource_name: Text::from("1"),
        configs: vec![config],
        ..Default::default()
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    assert_eq!(brokers.ask(1, 1, &request).responses[0].error_code, ErrorCode::NONE);
}

/// A topic with one partition, and where it is and is not.
fn with_partition(brokers: &mut Brokers, records: usize, bytes: usize) -> (Vec<String>, usize, usize) {
    create(brokers, "t", 1, 1);
    let values: Vec<String> = (0..records).map(|at| format!("{at}:{}", "x".repeat(bytes))).collect();
    let leader = partitions(brokers, 1, "t")[0].leader_id;
    for value in &values {
        assert_eq!(produce(brokers, leader, "t", 0, value), ErrorCode::NONE);
    }
    let here = usize::from(places(brokers, leader, "t", false)[&0] == path(1));
    (values, here, 1 - here)
}

fn folders(brokers: &Brokers, disk: usize) -> Vec<String> {
    let names = brokers.disks[0][disk].list("").expect("it can be listed");
    names.into_iter().filter(|name| name.starts_with("t-") || name.ends_with("-delete")).collect()
}

#[test]
fn a_replica_moves_while_it_is_written_to() {
    for (shards, settings) in [(1, [("log.flush.interval.messages", "1")]), (2, [("log.segment.bytes", "1048576")])] {
        let mut brokers = Brokers::start(1, 2, shards, &settings);
        let (mut values, here, there) = with_partition(&mut brokers, 60, 50_000);
        set_rate(&mut brokers, "1000000");
        assert_eq!(move_to(&mut brokers, 1, "t", &[0], &path(there)), [ErrorCode::NONE]);
        brokers.sleep_ms(500);
        assert_eq!(places(&mut brokers, 1, "t", false)[&0], path(here));
        assert_eq!(places(&mut brokers, 1, "t", true)[&0], path(there));
        for at in 0..20 {
            values.push(format!("more {at}"));
            assert_eq!(produce(&mut brokers, 1, "t", 0, &values[values.len() - 1]), ErrorCode::NONE);
        }
        set_rate(&mut brokers, "9223372036854775807");
        brokers.sleep_ms(1000);
        assert_eq!(places(&mut brokers, 1, "t", false)[&0], path(there));
        assert!(places(&mut brokers, 1, "t", true).is_empty());
        assert_eq!(fetch(&mut brokers, 1, "t", 0).as_ref(), Ok(&values));
        assert_eq!((folders(&brokers, here), folders(&brokers, there)), (vec![], vec!["t-0".to_owned()]));
        values.push("last".to_owned());
        assert_eq!(produce(&mut brokers, 1, "t", 0, "last"), ErrorCode::NONE);
        brokers.restart(1, &[0, 1]);
        brokers.sleep_ms(1000);
        assert_eq!(fetch(&mut brokers, 1, "t", 0).as_ref(), Ok(&values));
        assert_eq!(places(&mut brokers, 1, "t", false)[&0], path(there));
    }
}

#[test]
fn a_move_goes_on_after_a_restart_and_ends_when_it_is_not_wanted_any_more() {
    let mut brokers = Brokers::start(1, 2, 2, &[]);
    let (values, here, there) = with_partition(&mut brokers, 60, 50_000);
    set_rate(&mut brokers, "1000000");
    assert_eq!(move_to(&mut brokers, 1, "t", &[0], &path(there)), [ErrorCode::NONE]);
    brokers.sleep_ms(500);
    brokers.restart(1, &[0, 1]);
    brokers.sleep_ms(1000);
    assert_eq!(places(&mut brokers, 1, "t", true)[&0], path(there));
    assert_eq!(fetch(&mut brokers, 1, "t", 0).as_ref(), Ok(&values));
    // To where it is: the move is taken back.
    assert_eq!(move_to(&mut brokers, 1, "t", &[0], &path(here)), [ErrorCode::NONE]);
    brokers.sleep_ms(100);
    assert!(places(&mut brokers, 1, "t", true).is_empty() && folders(&brokers, there).is_empty());
    assert_eq!(move_to(&mut brokers, 1, "t", &[0], &path(there)), [ErrorCode::NONE]);
    brokers.sleep_ms(500);
    brokers.restart(1, &[0, 1]);
    brokers.sleep_ms(20_000);
    assert_eq!(places(&mut brokers, 1, "t", false)[&0], path(there));
    assert_eq!(fetch(&mut brokers, 1, "t", 0), Ok(values));
    assert!(folders(&brokers, here).is_empty());
}

#[test]
fn a_move_that_was_cut_off_between_its_renames_is_ended_by_the_next_start() {
    let mut brokers = Brokers::start(1, 2, 1, &[]);
    let (values, here, there) = with_partition(&mut brokers, 10, 1000);
    let future = format!("t-0.{:032x}-future", 7);
    brokers.disks[0][here].rename("t-0", &future).expect("it is there");
    brokers.restart(1, &[0, 1]);
    brokers.sleep_ms(1000);
    assert_eq!(fetch(&mut brokers, 1, "t", 0).as_ref(), Ok(&values));
    // The rename that takes the old folder away fails: nothing has moved, and nothing is left behind.
    let kind = ErrorKind::Failed;
    let fault = Fault { operation: Operation::Rename, path: "t-0".to_owned(), kind, after: 0, times: 1, torn_bytes: 0 };
    brokers.disks[0][here].inject(fault);
    assert_eq!(move_to(&mut brokers, 1, "t", &[0], &path(there)), [ErrorCode::NONE]);
    brokers.sleep_ms(1000);
    assert_eq!(places(&mut brokers, 1, "t", false)[&0], path(here));
    assert_eq!((folders(&brokers, here), folders(&brokers, there)), (vec!["t-0".to_owned()], vec![]));
    assert_eq!(fetch(&mut brokers, 1, "t", 0), Ok(values));
}

#[test]
fn what_cannot_move_is_refused() {
    let mut brokers = Brokers::start(2, 2, 2, &[]);
    let (_, here, there) = with_partition(&mut brokers, 1, 10);
    let other = Text::from("/elsewhere");
    assert_eq!(move_to(&mut brokers, 1, "t", &[0], &other), [ErrorCode::LOG_DIR_NOT_FOUND]);
    assert_eq!(move_to(&mut brokers, 1, "none", &[0], &path(1)), [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
    let leader = partitions(&mut brokers, 1, "t")[0].leader_id;
    let guest = 3 - leader;
    for wish in [here, there] {
        // A wish for a replica that is not there yet is kept: a reassignment brings it to that directory.
        assert_eq!(move_to(&mut brokers, guest, "t", &[0], &path(wish)), [ErrorCode::REPLICA_NOT_AVAILABLE]);
    }
    let partition = ReassignablePartition { replicas: Some(vec![leader, guest]), ..Default::default() };
    let topics = vec![ReassignableTopic { name: Text::from("t"), partitions: vec![partition], ..Default::default() }];
    let request = AlterPartitionReassignmentsRequest { topics, timeout_ms: 5000, ..Default::default() };
    assert_eq!(brokers.ask(1, 0, &request).error_code, ErrorCode::NONE);
    brokers.sleep_ms(2000);
    assert_eq!(places(&mut brokers, guest, "t", false)[&0], path(there));
}

#[test]
fn a_topic_that_is_deleted_takes_its_moves_along() {
    let mut brokers = Brokers::start(1, 2, 1, &[]);
    let (_, here, there) = with_partition(&mut brokers, 60, 50_000);
    set_rate(&mut brokers, "1000000");
    assert_eq!(move_to(&mut brokers, 1, "t", &[0], &path(there)), [ErrorCode::NONE]);
    brokers.sleep_ms(500);
    let request = DeleteTopicsRequest { topic_names: vec![Text::from("t")], timeout_ms: 1000, ..Default::default() };
    assert_eq!(brokers.ask(1, 5, &request).responses[0].error_code, ErrorCode::NONE);
    brokers.sleep_ms(1000);
    assert_eq!((folders(&brokers, here), folders(&brokers, there)), (vec![], vec![]));
}

#[test]
fn leaders_and_followers_move_and_stay_in_sync() {
    let mut brokers = Brokers::start(3, 2, 2, &[]);
    create(&mut brokers, "t", 6, 3);
    let mut values = Vec::new();
    for round in 0..40 {
        if round == 10 {
            let found = places(&mut brokers, 2, "t", false);
            for (partition, place) in found {
                let to = if place == path(0) { path(1) } else { path(0) };
                assert_eq!(move_to(&mut brokers, 2, "t", &[partition], &to), [ErrorCode::NONE]);
            }
        }
        values.push(format!("{round}"));
        for known in partitions(&mut brokers, 1, "t") {
            let code = produce(&mut brokers, known.leader_id, "t", known.partition_index, &values[round]);
            assert_eq!(code, ErrorCode::NONE);
        }
    }
    brokers.sleep_ms(1000);
    assert!(places(&mut brokers, 2, "t", true).is_empty());
    assert_eq!(places(&mut brokers, 2, "t", false).len(), 6);
    for known in partitions(&mut brokers, 1, "t") {
        assert_eq!(known.isr_nodes.len(), 3, "{known:?}");
        assert_eq!(fetch(&mut brokers, known.leader_id, "t", known.partition_index).as_ref(), Ok(&values));
    }
    // The disk that they left may fail, and they go on where they are.
    let places = places(&mut brokers, 2, "t", false);
    fail(&brokers, 2, 1);
    brokers.sleep_ms(1000);
    for known in partitions(&mut brokers, 1, "t") {
        let code = produce(&mut brokers, known.leader_id, "t", known.partition_index, "end");
        let is_struck = known.leader_id == 2 && places[&known.partition_index] == path(1);
        assert_eq!(code, if is_struck { ErrorCode::KAFKA_STORAGE_ERROR } else { ErrorCode::NONE });
    }
    brokers.sleep_ms(1000);
    for known in partitions(&mut brokers, 1, "t") {
        assert_eq!(known.isr_nodes.contains(&2), places[&known.partition_index] == path(0), "{known:?}");
    }
}

#[test]
fn a_replica_moves_before_anything_was_written_to_it() {
    let mut brokers = Brokers::start(1, 2, 1, &[]);
    create(&mut brokers, "t", 1, 1);
    let place = places(&mut brokers, 1, "t", false)[&0].clone();
    let other = if place == path(0) { path(1) } else { path(0) };
    assert_eq!(move_to(&mut brokers, 1, "t", &[0], &other), [ErrorCode::NONE]);
    brokers.sleep_ms(10_000);
    assert_eq!(places(&mut brokers, 1, "t", false)[&0], other);
    assert_eq!(produce(&mut brokers, 1, "t", 0, "value"), ErrorCode::NONE);
}

fn delete_records(brokers: &mut Brokers, topic: &str, before: i64) {
    use delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    let partition = DeleteRecordsPartition { partition_index: 0, offset: before, ..Default::default() };
    let topic = DeleteRecordsTopic { name: Text::from(topic), partitions: vec![partition], ..Default::default() };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 1000, ..Default::default() };
    assert_eq!(brokers.ask(1, 2, &request).topics[0].partitions[0].error_code, ErrorCode::NONE);
    // The checkpoints are written soon.
    brokers.sleep_ms(100);
}

fn checkpoint(brokers: &Brokers, name: &str) -> Vec<String> {
    let bytes = brokers.disks[0][0].read_small(name, 10_000).expect("there is one");
    String::from_utf8(bytes).expect("text").lines().skip(2).map(str::to_owned).collect()
}

#[test]
fn a_topic_inherits_nothing_of_an_earlier_one_of_its_name() {
    let mut brokers = Brokers::start(1, 1, 1, &[]);
    create(&mut brokers, "t", 1, 1);
    for value in ["a", "b", "c"] {
        assert_eq!(produce(&mut brokers, 1, "t", 0, value), ErrorCode::NONE);
    }
    delete_records(&mut brokers, "t", 2);
    assert_eq!(checkpoint(&brokers, "log-start-offset-checkpoint"), ["t 0 2"]);
    let request = DeleteTopicsRequest { topic_names: vec![Text::from("t")], timeout_ms: 1000, ..Default::default() };
    assert_eq!(brokers.ask(1, 5, &request).responses[0].error_code, ErrorCode::NONE);
    create(&mut brokers, "t", 1, 1);
    for value in ["d", "e", "f"] {
        assert_eq!(produce(&mut brokers, 1, "t", 0, value), ErrorCode::NONE);
    }
    // What is written of the earlier one is still there.
    assert_eq!(checkpoint(&brokers, "log-start-offset-checkpoint"), ["t 0 2"]);
    brokers.restart(1, &[0]);
    brokers.sleep_ms(2000);
    assert_eq!(fetch(&mut brokers, 1, "t", 0), Ok(vec!["d".to_owned(), "e".to_owned(), "f".to_owned()]));
}

#[test]
fn what_cannot_be_opened_keeps_what_was_known_of_it() {
    let mut brokers = Brokers::start(1, 1, 1, &[]);
    create(&mut brokers, "t", 1, 1);
    create(&mut brokers, "other", 1, 1);
    for topic in ["t", "t", "t", "other", "other"] {
        assert_eq!(produce(&mut brokers, 1, topic, 0, "value"), ErrorCode::NONE);
    }
    delete_records(&mut brokers, "other", 1);
    let marks = ["other 0 2", "t 0 3"];
    assert_eq!(checkpoint(&brokers, "replication-offset-checkpoint"), marks);
    let (operation, path, kind) = (Operation::Open, "t-0/".to_owned(), ErrorKind::Failed);
    brokers.disks[0][0].inject(Fault { operation, path, kind, after: 0, times: u32::MAX, torn_bytes: 0 });
    brokers.restart(1, &[0]);
    brokers.sleep_ms(2000);
    assert_eq!(produce(&mut brokers, 1, "t", 0, "refused"), ErrorCode::KAFKA_STORAGE_ERROR);
    delete_records(&mut brokers, "other", 2);
    assert_eq!(checkpoint(&brokers, "replication-offset-checkpoint"), marks);
}
