//! CreateTopics 2 to 7.
//!
//! 4 knows defaults as -1 (KIP-464), 5 is flexible and returns the topic as it was created (KIP-525), 7 its id (KIP-516).

use super::{Disk, Outcome, Request, Shard, Step, Work};
use ::metadata::Refused;
use ::metadata::config::ConfigEntry;
use ::metadata::controller::{Command, CreatedTopic, NewTopic, Reply};
use types::{NodeId, PartitionIndex, Text};
use wire::create_topics_request::CreatableTopic;
use wire::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use wire::{CreateTopicsRequest, CreateTopicsResponse};

pub(crate) fn start<D: Disk>(_: &mut Shard<D>, request: Request, asked: CreateTopicsRequest) -> Step<D> {
    let names: Vec<Text> = asked.topics.iter().map(|topic| topic.name.clone()).collect();
    let topics = asked.topics.into_iter().map(new_topic).collect();
    let create = Work::controller(Command::CreateTopics { topics, validate_only: asked.validate_only });
    Step::one(create, move |shard, outcome| {
        let results = match outcome {
            Outcome::Controller(Reply::CreateTopics(results)) => results,
            other => other.refuse_all(names),
        };
        let topics: Vec<_> = results.into_iter().map(|(name, result)| topic_result(name, result)).collect();
        for topic in &topics {
            shard.figures.error(request.key, topic.error_code);
        }
        request.reply(&CreateTopicsResponse { topics, ..Default::default() })
    })
}

fn new_topic(topic: CreatableTopic) -> NewTopic {
    let assignment = |entry: wire::create_topics_request::CreatableReplicaAssignment| {
        (PartitionIndex(entry.partition_index), entry.broker_ids.into_iter().map(NodeId).collect())
    };
    NewTopic {
        name: topic.name.detached(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic.assignments.into_iter().map(assignment).collect(),
        configs: topic
            .configs
            .into_iter()
            .map(|config| (config.name.detached(), config.value.as_ref().map(Text::detached)))
            .collect(),
        living_only: false,
    }
}

fn topic_result(name: Text, result: Result<CreatedTopic, Refused>) -> CreatableTopicResult {
    match result {
        Ok(created) => CreatableTopicResult {
            name,
            topic_id: created.id,
            error_message: None,
            num_partitions: created.partitions,
            replication_factor: created.replication_factor,
            configs: Some(created.configs.into_iter().map(config).collect()),
            ..Default::default()
        },
        Err(refused) => CreatableTopicResult {
            name,
            error_code: refused.code,
            error_message: Some(Text::from(refused.message)),
            num_partitions: -1,
            replication_factor: -1,
            configs: Some(Vec::new()),
            ..Default::default()
        },
    }
}

fn config(entry: ConfigEntry) -> CreatableTopicConfigs {
    CreatableTopicConfigs {
        name: Text::from_static(entry.name),
        value: entry.value,
        read_only: entry.read_only,
        config_source: entry.source.code(),
        is_sensitive: entry.sensitive,
        ..Default::default()
    }
}
