//! Requests against a whole broker, on one shard and on three.

mod refusals;
mod world;

use bytes::Bytes;
use log::MemoryDisk;
use record::{Batches, Builder, Template};
use types::{ErrorCode, Text, Timestamp};
use wire::fetch_request::{FetchPartition, FetchTopic};
use wire::metadata_request::MetadataRequestTopic;
use wire::produce_request::{PartitionProduceData, TopicProduceData};
use wire::*;
use world::World;

fn batch(values: &[&str]) -> Bytes {
    let mut builder = Builder::new(Template::default());
    for value in values {
        builder.append(Timestamp(1_700_000_000_000), None, Some(value.as_bytes()), &[]);
    }
    builder.finish()
}

fn produce(topic: &str, partition: i32, acks: i16, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData { index: partition, records: Some(Records::Bytes(records)), ..Default::default() };
    let topic_data =
        vec![TopicProduceData { name: Text::from(topic), partition_data: vec![data], ..Default::default() }];
    ProduceRequest { acks, timeout_ms: 1000, topic_data, transactional_id: None, ..Default::default() }
}

fn fetch(topic: &str, partitions: i32, offset: i64, max_wait_ms: i32) -> FetchRequest {
    let part = |partition| FetchPartition {
        partition,
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
        current_leader_epoch: -1,
        ..Default::default()
    };
    let partitions = (0..partitions).map(part).collect();
    let topics = vec![FetchTopic { topic: Text::from(topic), partitions, ..Default::default() }];
    FetchRequest { max_wait_ms, min_bytes: 1, max_bytes: 1 << 20, session_epoch: -1, topics, ..Default::default() }
}

fn create(world: &mut World, topic: &str, partitions: i32) {
    let connection = world.connect(900);
    let wanted = create_topics_request::CreatableTopic {
        name: Text::from(topic),
        num_partitions: partitions,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![wanted], timeout_ms: 1000, ..Default::default() };
    let response = world.ask(connection, 7, &request);
    assert_eq!(response.topics[0].error_code, ErrorCode::NONE, "{:?}", response.topics[0].error_message);
}

fn values(response: &FetchResponse) -> Vec<String> {
    let mut values = Vec::new();
    for part in response.responses.iter().flat_map(|topic| &topic.partitions) {
        assert_eq!(part.error_code, ErrorCode::NONE);
        let Some(Records::Bytes(bytes)) = &part.records else {
            panic!("a fetch never answers with null records");
        };
        for batch in Batches::new(bytes) {
            let (_, batch) = batch.expect("a whole batch");
            let mut records = record::records(batch, 1 << 20).expect("records");
            while let Some(record) = records.next_record().expect("a record") {
                values.push(String::from_utf8_lossy(record.value.expect("a value")).into_owned());
            }
        }
    }
    values.sort();
    values
}

#[test]
fn what_is_produced_is_fetched_on_any_number_of_shards() {
    for shards in [1, 3] {
        let mut world = World::start(MemoryDisk::new(1), shards, &[]);
        create(&mut world, "t", 4);
        let connection = world.connect(1);
        for partition in 0..4 {
            let response = world.ask(connection, 9, &produce("t", partition, -1, batch(&["a", "b"])));
            let part = &response.responses[0].partition_responses[0];
            assert_eq!((part.error_code, part.base_offset), (ErrorCode::NONE, 0));
        }
        let response = world.ask(connection, 12, &fetch("t", 4, 0, 0));
        assert_eq!(values(&response), ["a", "a", "a", "a", "b", "b", "b", "b"]);
    }
}

#[test]
fn a_fetch_waits_for_records_and_for_no_longer_than_asked() {
    for shards in [1, 3] {
        let mut world = World::start(MemoryDisk::new(1), shards, &[]);
        create(&mut world, "t", 2);
        let (reader, writer) = (world.connect(1), world.connect(2));
        world.send(reader, 12, &fetch("t", 2, 0, 500));
        assert!(world.is_waiting(reader));
        world.ask(writer, 9, &produce("t", 1, 1, batch(&["late"])));
        assert_eq!(values(&world.take::<FetchRequest>(reader, 12)), ["late"]);
        world.ask(writer, 9, &produce("t", 0, 1, batch(&["first"])));
        world.send(reader, 12, &fetch("t", 2, 1, 500));
        world.sleep_ms(499);
        assert!(world.is_waiting(reader));
        world.sleep_ms(1);
        assert!(values(&world.take::<FetchRequest>(reader, 12)).is_empty());
    }
}

#[test]
fn topics_are_created_by_being_asked_for() {
    let mut world = World::start(MemoryDisk::new(1), 2, &[]);
    let connection = world.connect(1);
    let topic = MetadataRequestTopic { name: Some(Text::from("new")), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: true, ..Default::default() };
    let response = world.ask(connection, 12, &request);
    assert_eq!(response.topics[0].error_code, ErrorCode::NONE);
    assert_eq!(response.topics[0].partitions[0].leader_id, 1);
    assert_eq!((&*response.brokers[0].host, response.brokers[0].port), ("127.0.0.1", 9092));
}

#[test]
fn records_survive_a_clean_stop_and_a_kill() {
    let mut world = World::start(MemoryDisk::new(1), 2, &[]);
    create(&mut world, "t", 2);
    let connection = world.connect(1);
    world.ask(connection, 9, &produce("t", 0, -1, batch(&["one"])));
    let disk = world.stop();
    let mut world = World::start(disk, 2, &[]);
    let connection = world.connect(1);
    let response = world.ask(connection, 12, &fetch("t", 2, 0, 0));
    assert_eq!(values(&response), ["one"]);
    let response = world.ask(connection, 9, &produce("t", 0, -1, batch(&["two"])));
    assert_eq!(response.responses[0].partition_responses[0].base_offset, 1);
    let mut world = World::start(world.disk, 3, &[]);
    let connection = world.connect(1);
    let response = world.ask(connection, 12, &fetch("t", 2, 0, 0));
    assert_eq!(values(&response), ["one", "two"]);
}

#[test]
fn a_version_that_is_not_known_is_answered_or_closed() {
    let mut world = World::start(MemoryDisk::new(1), 1, &[]);
    let connection = world.connect(1);
    world.send_raw(connection, &[0, 18, 0, 99, 0, 0, 0, 5, 0xff, 0xff]);
    let response: ApiVersionsResponse = world.take::<ApiVersionsRequest>(connection, 0);
    assert_eq!(response.error_code, ErrorCode::UNSUPPORTED_VERSION);
    assert!(response.api_keys.len() > 30);
    world.send_raw(connection, &[0, 3, 0, 99, 0, 0, 0, 5, 0xff, 0xff]);
    assert!(world.closed[0].as_deref().is_some_and(|reason| reason.contains("Metadata")), "{:?}", world.closed);
}

#[test]
fn a_group_forms_commits_and_is_there_after_a_restart() {
    let mut world = World::start(MemoryDisk::new(1), 2, &[]);
    create(&mut world, "t", 1);
    let connection = world.connect(1);
    let find = FindCoordinatorRequest { coordinator_keys: vec![Text::from("g")], ..Default::default() };
    let found = world.ask(connection, 4, &find);
    assert_eq!(found.coordinators[0].error_code, ErrorCode::NONE);
    let commit = OffsetCommitRequest {
        group_id: Text::from("g"),
        generation_id_or_member_epoch: -1,
        topics: vec![offset_commit_request::OffsetCommitRequestTopic {
            name: Text::from("t"),
            partitions: vec![offset_commit_request::OffsetCommitRequestPartition {
                committed_offset: 42,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let committed = world.ask(connection, 8, &commit);
    assert_eq!(committed.topics[0].partitions[0].error_code, ErrorCode::NONE);
    let disk = world.stop();
    let mut world = World::start(disk, 3, &[]);
    let connection = world.connect(1);
    let group =
        offset_fetch_request::OffsetFetchRequestGroup { group_id: Text::from("g"), topics: None, ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
    let fetched = world.ask(connection, 8, &request);
    assert_eq!(fetched.groups[0].topics[0].partitions[0].committed_offset, 42);
}

#[test]
fn a_full_disk_refuses_produce_keeps_reading_and_goes_on_by_itself() {
    let disk = MemoryDisk::new(1);
    let mut world = World::start(disk.clone(), 1, &[]);
    create(&mut world, "t", 1);
    let connection = world.connect(1);
    world.ask(connection, 9, &produce("t", 0, 1, batch(&["kept"])));
    disk.set_capacity_bytes(0);
    for _ in 0..2 {
        let refused = world.ask(connection, 9, &produce("t", 0, 1, batch(&["refused"])));
        assert_eq!(refused.responses[0].partition_responses[0].error_code, ErrorCode::KAFKA_STORAGE_ERROR);
    }
    assert_eq!(values(&world.ask(connection, 12, &fetch("t", 1, 0, 0))), ["kept"]);
    disk.set_capacity_bytes(u64::MAX);
    let response = world.ask(connection, 9, &produce("t", 0, 1, batch(&["later"])));
    assert_eq!(response.responses[0].partition_responses[0].base_offset, 1);
    let told = world.lines.iter().filter(|line| line.contains("refused") || line.contains("again")).count();
    assert_eq!(told, 2, "{:?}", world.lines);
}
