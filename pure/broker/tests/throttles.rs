//! Throttled replication between whole brokers: no faster than the rate, and nobody in sync waits for it.

mod brokers;

use brokers::Brokers;
use bytes::Bytes;
use record::{Builder, Template};
use types::{ErrorCode, Text, Timestamp};
use wire::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use wire::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::metadata_request::MetadataRequestTopic;
use wire::produce_request::{PartitionProduceData, TopicProduceData};
use wire::*;

const RATE: u64 = 100_000;
const PARTITIONS: i32 = 4;

fn batch(bytes: usize) -> Bytes {
    let mut builder = Builder::new(Template::default());
    builder.append(Timestamp(1_700_000_000_000), None, Some(&vec![7; bytes]), &[]);
    builder.finish()
}

fn create(brokers: &mut Brokers, partitions: i32, replicas: &[i32]) {
    let assignment = |partition_index| create_topics_request::CreatableReplicaAssignment {
        partition_index,
        broker_ids: replicas.to_vec(),
        ..Default::default()
    };
    let wanted = create_topics_request::CreatableTopic {
        name: Text::from("t"),
        num_partitions: -1,
        replication_factor: -1,
        assignments: (0..partitions).map(assignment).collect(),
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![wanted], timeout_ms: 1000, ..Default::default() };
    let response = brokers.ask(1, 7, &request);
    assert_eq!(response.topics[0].error_code, ErrorCode::NONE, "{:?}", response.topics[0].error_message);
}

fn produce(brokers: &mut Brokers, partition: i32, bytes: usize) {
    let data =
        PartitionProduceData { index: partition, records: Some(Records::Bytes(batch(bytes))), ..Default::default() };
    let topic = TopicProduceData { name: Text::from("t"), partition_data: vec![data], ..Default::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 5000, topic_data: vec![topic], ..Default::default() };
    let response = brokers.ask(1, 9, &request);
    assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::NONE);
}

fn configure(brokers: &mut Brokers, kind: i8, name: &str, configs: &[(&str, &str)]) {
    let config = |(name, value): &(&str, &str)| AlterableConfig {
        name: Text::from(*name),
        value: Some(Text::from(*value)),
        ..Default::default()
    };
    let resource = AlterConfigsResource {
        resource_type: kind,
        resource_name: Text::from(name),
        configs: configs.iter().map(config).collect(),
        ..Default::default()
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let response = brokers.ask(1, 1, &request);
    assert_eq!(response.responses[0].error_code, ErrorCode::NONE, "{:?}", response.responses[0].error_message);
}

fn reassign(brokers: &mut Brokers, partitions: i32, replicas: &[i32]) {
    let partition = |partition_index| ReassignablePartition {
        partition_index,
        replicas: Some(replicas.to_vec()),
        ..Default::default()
    };
    let partitions = (0..partitions).map(partition).collect();
    let topics = vec![ReassignableTopic { name: Text::from("t"), partitions, ..Default::default() }];
    let request = AlterPartitionReassignmentsRequest { topics, timeout_ms: 5000, ..Default::default() };
    assert_eq!(brokers.ask(1, 0, &request).error_code, ErrorCode::NONE);
}

/// How many partitions have this broker in sync.
fn in_sync(brokers: &mut Brokers, node: i32) -> usize {
    let topic = MetadataRequestTopic { name: Some(Text::from("t")), ..Default::default() };
    let response = brokers.ask(1, 12, &MetadataRequest { topics: Some(vec![topic]), ..Default::default() });
    response.topics[0].partitions.iter().filter(|partition| partition.isr_nodes.contains(&node)).count()
}

fn seconds_until_in_sync(brokers: &mut Brokers, node: i32, partitions: usize) -> u64 {
    let begun = brokers.now.at;
    while in_sync(brokers, node) < partitions {
        brokers.sleep_ms(100);
        assert!(brokers.now.at.ms_since(begun) < 120_000, "{:?}", brokers.lines);
    }
    brokers.now.at.ms_since(begun) / 1000
}

/// One megabyte in some partitions, which broker 2 is to copy from broker 1.
fn filled(shards: u16) -> Brokers {
    let mut brokers = Brokers::start(3, 1, shards, &[]);
    create(&mut brokers, PARTITIONS, &[1, 3]);
    for _ in 0..25 {
        (0..PARTITIONS).for_each(|partition| produce(&mut brokers, partition, 10_000));
    }
    brokers
}

#[test]
fn a_throttled_reassignment_moves_no_faster_than_the_rate_of_either_side() {
    let rate = RATE.to_string();
    for (side, broker, shards) in [("leader", "1", 1), ("leader", "1", 3), ("follower", "2", 1), ("follower", "2", 3)] {
        let mut brokers = filled(shards);
        configure(&mut brokers, 2, "t", &[(&format!("{side}.replication.throttled.replicas"), "*")]);
        configure(&mut brokers, 4, broker, &[(&format!("{side}.replication.throttled.rate"), &rate)]);
        brokers.sleep_ms(12_000);
        reassign(&mut brokers, PARTITIONS, &[1, 2, 3]);
        let seconds = seconds_until_in_sync(&mut brokers, 2, 4);
        // A megabyte at a tenth of it in a second; the first sample may be spent at once, and retries take some time.
        assert!((8..=14).contains(&seconds), "{side} on {shards} shards: {seconds} s");
    }
}

#[test]
fn replicas_that_are_not_listed_are_not_throttled() {
    let mut brokers = filled(2);
    configure(&mut brokers, 2, "t", &[("leader.replication.throttled.replicas", "0:2,1:3")]);
    configure(&mut brokers, 2, "t", &[("follower.replication.throttled.replicas", "0:1,1:3")]);
    for broker in ["1", "2"] {
        let rates = [("leader.replication.throttled.rate", "1000"), ("follower.replication.throttled.rate", "1000")];
        configure(&mut brokers, 4, broker, &rates);
    }
    reassign(&mut brokers, PARTITIONS, &[1, 2, 3]);
    assert_eq!(seconds_until_in_sync(&mut brokers, 2, 4), 0);
}

#[test]
fn who_is_in_sync_is_not_slowed_down() {
    let mut brokers = filled(2);
    configure(
        &mut brokers,
        2,
        "t",
        &[("leader.replication.throttled.replicas", "*"), ("follower.replication.throttled.replicas", "*")],
    );
    for broker in ["1", "2", "3"] {
        let rates = [("leader.replication.throttled.rate", "1"), ("follower.replication.throttled.rate", "1")];
        configure(&mut brokers, 4, broker, &rates);
    }
    reassign(&mut brokers, PARTITIONS, &[1, 2, 3]);
    let begun = brokers.now.at;
    for _ in 0..25 {
        (0..PARTITIONS).for_each(|partition| produce(&mut brokers, partition, 10_000));
    }
    assert!(brokers.now.at.ms_since(begun) < 2500, "{} ms", brokers.now.at.ms_since(begun));
    assert_eq!(in_sync(&mut brokers, 2), 0);
    // Without the throttle it gets on.
    for broker in ["1", "2", "3"] {
        let rates = [
            ("leader.replication.throttled.rate", "9223372036854775807"),
            ("follower.replication.throttled.rate", "9223372036854775807"),
        ];
        configure(&mut brokers, 4, broker, &rates);
    }
    assert!(seconds_until_in_sync(&mut brokers, 2, 4) < 2);
}
