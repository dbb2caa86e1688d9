//! What a request gets that asks for what is not there, or for what it may not have: the codes that Kafka answers.

use crate::world::World;
use bytes::Bytes;
use log::MemoryDisk;
use record::{Builder, Template};
use types::{ErrorCode, ProducerEpoch, ProducerId, Text, Timestamp, TopicId};
use wire::*;

fn one_record(template: Template) -> Bytes {
    let mut builder = Builder::new(template);
    builder.append(Timestamp(1_700_000_000_000), Some(b"k"), Some(b"v"), &[]);
    builder.finish()
}

fn create(
    world: &mut World,
    topic: &str,
    configs: &[(&str, Option<&str>)],
) -> create_topics_response::CreatableTopicResult {
    let connection = world.connect(900);
    let config = |(name, value): &(&str, Option<&str>)| create_topics_request::CreatableTopicConfig {
        name: Text::from(*name),
        value: value.map(Text::from),
        ..Default::default()
    };
    let wanted = create_topics_request::CreatableTopic {
        name: Text::from(topic),
        num_partitions: 1,
        replication_factor: 1,
        configs: configs.iter().map(config).collect(),
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![wanted], timeout_ms: 1000, ..Default::default() };
    world.ask(connection, 7, &request).topics.remove(0)
}

fn start(topics: &[&str]) -> World {
    let mut world = World::start(MemoryDisk::new(1), 2, &[]);
    for topic in topics {
        assert_eq!(create(&mut world, topic, &[]).error_code, ErrorCode::NONE);
    }
    world.connect(1);
    world
}

fn produce(world: &mut World, version: i16, topic: &str, id: TopicId, records: Bytes) -> ErrorCode {
    let connection = world.connect(1);
    let data = produce_request::PartitionProduceData { records: Some(Records::Bytes(records)), ..Default::default() };
    let topic_data = vec![produce_request::TopicProduceData {
        name: Text::from(topic),
        topic_id: id,
        partition_data: vec![data],
        ..Default::default()
    }];
    let request =
        ProduceRequest { acks: -1, timeout_ms: 1000, topic_data, transactional_id: None, ..Default::default() };
    world.ask(connection, version, &request).responses[0].partition_responses[0].error_code
}

#[test]
fn a_created_topic_has_no_error_message() {
    let mut world = World::start(MemoryDisk::new(1), 1, &[]);
    let created = create(&mut world, "t", &[]);
    assert_eq!((created.error_code, created.error_message), (ErrorCode::NONE, None));
}

#[test]
fn producers_may_not_write_where_the_broker_keeps_its_records() {
    let mut world = start(&["__consumer_offsets"]);
    let code = produce(&mut world, 9, "__consumer_offsets", TopicId::ZERO, one_record(Template::default()));
    assert_eq!(code, ErrorCode::INVALID_TOPIC_EXCEPTION);
}

#[test]
fn a_transactional_batch_needs_a_transactional_id() {
    let mut world = start(&["t"]);
    let template = Template {
        producer_id: ProducerId(1),
        producer_epoch: ProducerEpoch(0),
        transactional: true,
        ..Default::default()
    };
    let code = produce(&mut world, 9, "t", TopicId::ZERO, one_record(template));
    assert_eq!(code, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
}

#[test]
fn where_topics_have_ids_a_missing_id_is_an_unknown_one() {
    let mut world = start(&["t"]);
    let code = produce(&mut world, 13, "", TopicId::ZERO, one_record(Template::default()));
    assert_eq!(code, ErrorCode::UNKNOWN_TOPIC_ID);
    let connection = world.connect(1);
    let partitions = vec![fetch_request::FetchPartition { current_leader_epoch: -1, ..Default::default() }];
    let topics = vec![fetch_request::FetchTopic { partitions, ..Default::default() }];
    let request = FetchRequest { max_bytes: 1000, session_epoch: -1, topics, ..Default::default() };
    let fetched = world.ask(connection, 13, &request);
    let part = &fetched.responses[0].partitions[0];
    assert_eq!((part.error_code, &part.aborted_transactions), (ErrorCode::UNKNOWN_TOPIC_ID, &None));
}

#[test]
fn records_are_deleted_by_offset_only_where_the_policy_deletes() {
    let mut world = start(&["t", "__consumer_offsets"]);
    create(&mut world, "compacted", &[("cleanup.policy", Some("compact"))]);
    create(&mut world, "both", &[("cleanup.policy", Some("compact,delete"))]);
    let connection = world.connect(1);
    let expected = [
        ("t", ErrorCode::NONE),
        ("both", ErrorCode::NONE),
        ("compacted", ErrorCode::POLICY_VIOLATION),
        ("__consumer_offsets", ErrorCode::INVALID_TOPIC_EXCEPTION),
    ];
    for (topic, code) in expected {
        let partitions = vec![delete_records_request::DeleteRecordsPartition::default()];
        let topics = vec![delete_records_request::DeleteRecordsTopic {
            name: Text::from(topic),
            partitions,
            ..Default::default()
        }];
        let request = DeleteRecordsRequest { topics, timeout_ms: 1000, ..Default::default() };
        let deleted = world.ask(connection, 2, &request);
        assert_eq!(deleted.topics[0].partitions[0].error_code, code, "{topic}");
    }
}

#[test]
fn offsets_of_partitions_that_are_not_there_are_neither_committed_nor_deleted() {
    let mut world = start(&["t", "__consumer_offsets"]);
    let connection = world.connect(1);
    let commit = |index| offset_commit_request::OffsetCommitRequestPartition {
        partition_index: index,
        committed_offset: 5,
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: Text::from("g"),
        generation_id_or_member_epoch: -1,
        topics: vec![offset_commit_request::OffsetCommitRequestTopic {
            name: Text::from("t"),
            partitions: vec![commit(7), commit(0)],
            ..Default::default()
        }],
        ..Default::default()
    };
    let committed = world.ask(connection, 8, &request);
    let codes: Vec<_> =
        committed.topics[0].partitions.iter().map(|part| (part.partition_index, part.error_code)).collect();
    assert_eq!(
        (committed.topics.len(), codes),
        (1, vec![(0, ErrorCode::NONE), (7, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)])
    );
    let part = |partition_index| offset_delete_request::OffsetDeleteRequestPartition { partition_index };
    let topics = vec![offset_delete_request::OffsetDeleteRequestTopic {
        name: Text::from("t"),
        partitions: vec![part(7), part(0)],
    }];
    let deleted = world.ask(connection, 0, &OffsetDeleteRequest { group_id: Text::from("g"), topics });
    let codes: Vec<_> =
        deleted.topics[0].partitions.iter().map(|part| (part.partition_index, part.error_code)).collect();
    assert_eq!(
        (deleted.topics.len(), codes),
        (1, vec![(0, ErrorCode::NONE), (7, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)])
    );
}

#[test]
fn half_a_producer_gets_no_id() {
    let mut world = start(&[]);
    let connection = world.connect(1);
    for (id, epoch, code) in [(-1, -1, ErrorCode::NONE), (5, 0, ErrorCode::NONE), (5, -1, ErrorCode::INVALID_REQUEST)] {
        let request = InitProducerIdRequest {
            transactional_id: None,
            producer_id: id,
            producer_epoch: epoch,
            ..Default::default()
        };
        assert_eq!(world.ask(connection, 4, &request).error_code, code);
    }
}

#[test]
fn an_empty_list_of_names_describes_every_configuration() {
    let mut world = start(&["t"]);
    let connection = world.connect(1);
    for keys in [None, Some(Vec::new())] {
        let resource = describe_configs_request::DescribeConfigsResource {
            resource_type: 2,
            resource_name: Text::from("t"),
            configuration_keys: keys,
            ..Default::default()
        };
        let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
        assert!(world.ask(connection, 4, &request).results[0].configs.len() > 25);
    }
}

#[test]
fn a_group_that_is_named_twice_is_deleted_once() {
    let mut world = start(&["__consumer_offsets"]);
    let connection = world.connect(1);
    let request = DeleteGroupsRequest { groups_names: vec![Text::from("g"), Text::from("g")], ..Default::default() };
    assert_eq!(world.ask(connection, 2, &request).results.len(), 1);
}

#[test]
fn only_known_kinds_of_endpoints_are_described() {
    let mut world = start(&[]);
    let connection = world.connect(1);
    let expected =
        [(1, ErrorCode::NONE), (2, ErrorCode::MISMATCHED_ENDPOINT_TYPE), (3, ErrorCode::UNSUPPORTED_ENDPOINT_TYPE)];
    for (endpoint_type, code) in expected {
        let request = DescribeClusterRequest { endpoint_type, ..Default::default() };
        assert_eq!(world.ask(connection, 1, &request).error_code, code);
    }
}

#[test]
fn a_cursor_before_the_first_partition_is_refused_without_a_close() {
    let mut world = start(&["t"]);
    let connection = world.connect(1);
    let topics = vec![describe_topic_partitions_request::TopicRequest { name: Text::from("t"), ..Default::default() }];
    let cursor = describe_topic_partitions_request::Cursor {
        topic_name: Text::from("t"),
        partition_index: -1,
        ..Default::default()
    };
    let request = DescribeTopicPartitionsRequest { topics, cursor: Some(cursor), ..Default::default() };
    assert_eq!(world.ask(connection, 0, &request).topics[0].error_code, ErrorCode::INVALID_REQUEST);
}

#[test]
fn the_note_beside_an_offset_is_measured_in_characters() {
    let mut world = start(&["t", "__consumer_offsets"]);
    let connection = world.connect(1);
    for (characters, code) in [(4096, ErrorCode::NONE), (4097, ErrorCode::OFFSET_METADATA_TOO_LARGE)] {
        let partitions = vec![offset_commit_request::OffsetCommitRequestPartition {
            committed_metadata: Some(Text::from("\u{fc}".repeat(characters))),
            ..Default::default()
        }];
        let topics = vec![offset_commit_request::OffsetCommitRequestTopic {
            name: Text::from("t"),
            partitions,
            ..Default::default()
        }];
        let request = OffsetCommitRequest {
            group_id: Text::from("g"),
            generation_id_or_member_epoch: -1,
            topics,
            ..Default::default()
        };
        let committed = world.ask(connection, 8, &request);
        assert_eq!(committed.topics[0].partitions[0].error_code, code, "{characters}");
    }
}
