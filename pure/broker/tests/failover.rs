//! What clients are told when a broker dies.

mod brokers;

use brokers::Brokers;
use types::{ErrorCode, Text};
use wire::metadata_request::MetadataRequestTopic;
use wire::*;

fn metadata(brokers: &mut Brokers) -> MetadataResponse {
    let topic = MetadataRequestTopic { name: Some(Text::from("t")), ..Default::default() };
    brokers.ask(3, 12, &MetadataRequest { topics: Some(vec![topic]), ..Default::default() })
}

/// Three brokers, the second of which leads the only partition.
fn led_by_the_second() -> Brokers {
    let mut brokers = Brokers::start(3, 1, 1, &[]);
    let assignment = create_topics_request::CreatableReplicaAssignment {
        partition_index: 0,
        broker_ids: vec![2, 3, 1],
        ..Default::default()
    };
    let wanted = create_topics_request::CreatableTopic {
        name: Text::from("t"),
        num_partitions: -1,
        replication_factor: -1,
        assignments: vec![assignment],
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![wanted], timeout_ms: 1000, ..Default::default() };
    assert_eq!(brokers.ask(1, 7, &request).topics[0].error_code, ErrorCode::NONE);
    brokers.sleep_ms(1000);
    brokers
}

/// librdkafka tears down a broker that an answer does not name, and loses a second over the partitions that leave it in
/// the same answer.
#[test]
fn a_dead_broker_loses_its_leaderships_before_clients_are_told_that_it_is_gone() {
    let mut brokers = led_by_the_second();
    let ids = |answer: &MetadataResponse| answer.brokers.iter().map(|broker| broker.node_id).collect::<Vec<i32>>();
    let before = metadata(&mut brokers);
    assert_eq!((ids(&before), before.topics[0].partitions[0].leader_id), (vec![1, 2, 3], 2));
    assert_eq!(before.topics[0].partitions[0].offline_replicas, []);
    brokers.kill(2);
    brokers.sleep_ms(300);
    let moved = metadata(&mut brokers);
    assert_eq!((ids(&moved), moved.topics[0].partitions[0].leader_id), (vec![1, 2, 3], 3));
    assert_eq!(moved.topics[0].partitions[0].offline_replicas, [2]);
    brokers.sleep_ms(2500);
    let gone = metadata(&mut brokers);
    assert_eq!((ids(&gone), gone.topics[0].partitions[0].leader_id), (vec![1, 3], 3));
    // Administrators see it as it is.
    let cluster = brokers.ask(1, 0, &DescribeClusterRequest::default());
    assert_eq!(cluster.brokers.len(), 2);
}

#[test]
fn who_leaves_does_not_wait_for_the_others_next_heartbeats() {
    let mut brokers = led_by_the_second();
    let took_ms = brokers.stop(2);
    // They send one every two seconds.
    assert!(took_ms < 250, "{took_ms} ms");
    assert_eq!(metadata(&mut brokers).topics[0].partitions[0].leader_id, 3);
}
