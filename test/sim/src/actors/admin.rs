//! An administrator at work: creates the topics of the scenario, then asks and changes things while others work.

use super::SharedOracle;
use crate::host::Host;
use client::{Admin, Failure, Options, Target};
use std::collections::BTreeMap;
use types::{ErrorCode, Instant, Now, Offset, PartitionIndex, Rng, Text};
use wire::alter_configs_request::{AlterConfigsResource as OldResource, AlterableConfig as OldConfig};
use wire::create_partitions_request::CreatePartitionsTopic;
use wire::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use wire::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use wire::delete_topics_request::DeleteTopicState;
use wire::describe_configs_request::DescribeConfigsResource;
use wire::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::*;

/// A topic to be made.
#[derive(Clone, Debug)]
pub struct NewTopic {
    pub name: Text,
    pub partitions: i32,
    pub replicas: i16,
    pub configs: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
enum Doing {
    Create(NewTopic),
    CreateFleeting,
    Delete,
    Grow(Text, i32),
    Alter,
    Trim,
    Look,
}

pub struct Administrator {
    host: Host<Admin>,
    oracle: SharedOracle,
    rng: Rng,
    /// Topics that are to be there, and are not known to be yet.
    missing: Vec<NewTopic>,
    fleeting: Vec<Text>,
    /// Of topics that come and go.
    replicas: i16,
    doing: BTreeMap<u64, Doing>,
    next_act: Instant,
}

/// How long any request of an administrator may take.
const TIMEOUT_MS: u64 = 3000;

impl Administrator {
    #[must_use]
    pub fn new(options: Options, oracle: SharedOracle, topics: Vec<NewTopic>, fleeting: Vec<Text>, seed: u64) -> Self {
        Administrator {
            host: Host::new(Admin::new(options)),
            oracle,
            replicas: topics.first().map_or(1, |topic| topic.replicas),
            rng: Rng::new(seed),
            missing: topics,
            fleeting,
            doing: BTreeMap::new(),
            next_act: Instant(0),
        }
    }

    fn act(&mut self, now: Now) {
        self.next_act = now.at.plus_ms(5 + self.rng.below(60));
        if !self.doing.is_empty() {
            return;
        }
        if let Some(topic) = self.missing.first().cloned() {
            return self.ask(now, create(&topic), Doing::Create(topic));
        }
        if self.oracle.borrow().is_healing {
            return;
        }
        match self.rng.below(8) {
            0 => self.create_fleeting(now),
            1 => self.delete(now),
            2 => self.grow(now),
            3 => self.alter(now),
            4 => self.trim(now),
            _ => self.look(now),
        }
    }

    fn ask(&mut self, now: Now, request: impl Into<Request>, doing: Doing) {
        let number = self.host.engine.ask(now.at, Target::Controller, request, TIMEOUT_MS);
        self.doing.insert(number, doing);
    }

    fn pick(&mut self, from: &[Text]) -> Option<Text> {
        let pick = usize::try_from(self.rng.below(from.len() as u64)).expect("few");
        from.get(pick).cloned()
    }

    fn pick_stable(&mut self) -> Option<Text> {
        let oracle = self.oracle.borrow();
        let stable: Vec<Text> =
            oracle.natures.iter().filter(|(_, nature)| !nature.fleeting).map(|(name, _)| name.clone()).collect();
        drop(oracle);
        self.pick(&stable)
    }

    fn create_fleeting(&mut self, now: Now) {
        let names = self.fleeting.clone();
        let Some(name) = self.pick(&names) else { return };
        let partitions = 1 + i32::try_from(self.rng.below(3)).expect("small");
        let topic = NewTopic { name, partitions, replicas: self.replicas, configs: Vec::new() };
        self.ask(now, create(&topic), Doing::CreateFleeting);
    }

    fn delete(&mut self, now: Now) {
        let names = self.fleeting.clone();
        let Some(name) = self.pick(&names) else { return };
        let topic = DeleteTopicState { name: Some(name.clone()), ..Default::default() };
        let request = DeleteTopicsRequest {
            topics: vec![topic],
            topic_names: vec![name],
            timeout_ms: 3000,
            ..Default::default()
        };
        self.ask(now, request, Doing::Delete);
    }

    fn grow(&mut self, now: Now) {
        let Some(name) = self.pick_stable() else { return };
        let count = self.oracle.borrow().partitions.get(&name).copied().unwrap_or(1) + 1;
        if count > 6 {
            return;
        }
        let topic = CreatePartitionsTopic { name: name.clone(), count, assignments: None, ..Default::default() };
        let request = CreatePartitionsRequest { topics: vec![topic], timeout_ms: 3000, ..Default::default() };
        self.ask(now, request, Doing::Grow(name, count));
    }

    /// Changes a setting that no promise depends on.
    fn alter(&mut self, now: Now) {
        let Some(name) = self.pick_stable() else { return };
        let (key, value) = match self.rng.below(5) {
            0 => ("internal.segment.bytes", (3000 + self.rng.below(20_000)).to_string()),
            1 => ("segment.ms", (100 + self.rng.below(5000)).to_string()),
            2 => ("index.interval.bytes", self.rng.below(4000).to_string()),
            3 => ("file.delete.delay.ms", self.rng.below(1000).to_string()),
            _ => ("min.cleanable.dirty.ratio", "0.01".to_owned()),
        };
        let is_set = self.rng.below(4) > 0;
        let config = AlterableConfig {
            name: Text::from(key),
            config_operation: i8::from(!is_set),
            value: is_set.then(|| Text::from(value.as_str())),
            ..Default::default()
        };
        let resource =
            AlterConfigsResource { resource_type: 2, resource_name: name, configs: vec![config], ..Default::default() };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
        self.ask(now, request, Doing::Alter);
    }

    fn trim(&mut self, now: Now) {
        let Some(name) = self.pick_stable() else { return };
        let oracle = self.oracle.borrow();
        let nature = oracle.natures.get(&name).copied().unwrap_or_default();
        let partitions = oracle.partitions.get(&name).copied().unwrap_or(1);
        drop(oracle);
        if !nature.trimmed || nature.compacted {
            return;
        }
        let offset = if self.rng.one_in(3) { -1 } else { i64::try_from(self.rng.below(60)).expect("small") };
        let partition_index = i32::try_from(self.rng.below(u64::from(partitions.unsigned_abs()))).expect("few");
        let partition = DeleteRecordsPartition { partition_index, offset, ..Default::default() };
        let topic = DeleteRecordsTopic { name, partitions: vec![partition], ..Default::default() };
        let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 3000, ..Default::default() };
        self.ask(now, request, Doing::Trim);
    }

    fn look(&mut self, now: Now) {
        let Some(topic) = self.pick_stable() else { return };
        let request: Request = match self.rng.below(9) {
            0 => {
                let resource = DescribeConfigsResource { resource_type: 2, resource_name: topic, ..Default::default() };
                DescribeConfigsRequest { resources: vec![resource], include_synonyms: true, ..Default::default() }
                    .into()
            }
            1 => DescribeLogDirsRequest { topics: None, ..Default::default() }.into(),
            2 => DescribeClusterRequest::default().into(),
            3 => ListGroupsRequest::default().into(),
            4 => {
                let groups = self.oracle.borrow().group_topics.keys().cloned().collect();
                DescribeGroupsRequest { groups, ..Default::default() }.into()
            }
            5 => ListConfigResourcesRequest::default().into(),
            6 => {
                let topic = describe_producers_request::TopicRequest {
                    name: topic,
                    partition_indexes: vec![0],
                    ..Default::default()
                };
                DescribeProducersRequest { topics: vec![topic], ..Default::default() }.into()
            }
            7 => {
                let topic = describe_topic_partitions_request::TopicRequest { name: topic, ..Default::default() };
                DescribeTopicPartitionsRequest { topics: vec![topic], ..Default::default() }.into()
            }
            _ => {
                let config = OldConfig { name: Text::from("retention.ms"), ..Default::default() };
                let resource = OldResource {
                    resource_type: 2,
                    resource_name: Text::from("nowhere"),
                    configs: vec![config],
                    ..Default::default()
                };
                AlterConfigsRequest { resources: vec![resource], validate_only: true, ..Default::default() }.into()
            }
        };
        self.ask(now, request, Doing::Look);
    }

    fn answers(&mut self) {
        while let Some((number, result)) = self.host.engine.poll() {
            let Some(doing) = self.doing.remove(&number) else { continue };
            self.oracle.borrow_mut().figures.admin += 1;
            match result {
                Ok(response) => self.answered(&doing, &response),
                Err(failure @ (Failure::Unsupported | Failure::Denied)) => panic!("{doing:?}: {failure:?}"),
                Err(Failure::NotSent | Failure::Disconnected | Failure::TimedOut | Failure::Unanswered) => {}
            }
        }
    }

    fn answered(&mut self, doing: &Doing, response: &Response) {
        if let Response::DeleteRecords(response) = response {
            for topic in &response.topics {
                for one in topic.partitions.iter().filter(|one| one.low_watermark >= 0) {
                    let spot = (topic.name.clone(), PartitionIndex(one.partition_index));
                    self.oracle.borrow_mut().deleted(spot, Offset(one.low_watermark));
                }
            }
        }
        let codes = codes(response);
        match doing {
            Doing::Create(topic) => {
                let is_there = |code: &ErrorCode| code.is_ok() || *code == ErrorCode::TOPIC_ALREADY_EXISTS;
                assert!(codes.iter().all(|code| is_there(code) || is_passing(*code)), "{doing:?}: {response:?}");
                if codes.iter().all(is_there) {
                    self.missing.retain(|missing| missing.name != topic.name);
                    let mut oracle = self.oracle.borrow_mut();
                    oracle.partitions.entry(topic.name.clone()).or_insert(topic.partitions);
                }
            }
            Doing::Grow(topic, count) => {
                // An earlier request of this kind, whose answer was lost, may have been carried out.
                let is_there = |code: &ErrorCode| code.is_ok() || *code == ErrorCode::INVALID_PARTITIONS;
                assert!(codes.iter().all(|code| is_there(code) || is_passing(*code)), "{doing:?}: {response:?}");
                if codes.iter().all(is_there) {
                    self.oracle.borrow_mut().partitions.insert(topic.clone(), *count);
                }
            }
            Doing::CreateFleeting | Doing::Delete => {
                let is_known = |code: &ErrorCode| {
                    code.is_ok()
                        || [ErrorCode::TOPIC_ALREADY_EXISTS, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION].contains(code)
                };
                assert!(codes.iter().all(|code| is_known(code) || is_passing(*code)), "{doing:?}: {response:?}");
            }
            Doing::Trim => {
                let is_known = |code: &ErrorCode| code.is_ok() || *code == ErrorCode::OFFSET_OUT_OF_RANGE;
                assert!(codes.iter().all(|code| is_known(code) || is_passing(*code)), "{doing:?}: {response:?}");
            }
            Doing::Alter => {
                assert!(codes.iter().all(|code| code.is_ok() || is_passing(*code)), "{doing:?}: {response:?}");
            }
            Doing::Look => {}
        }
    }
}

/// Errors that say: not now.
fn is_passing(code: ErrorCode) -> bool {
    [
        ErrorCode::REQUEST_TIMED_OUT,
        ErrorCode::NOT_CONTROLLER,
        ErrorCode::KAFKA_STORAGE_ERROR,
        ErrorCode::LEADER_NOT_AVAILABLE,
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode::THROTTLING_QUOTA_EXCEEDED,
        // Too few brokers live for what is asked.
        ErrorCode::INVALID_REPLICATION_FACTOR,
    ]
    .contains(&code)
}

fn codes(response: &Response) -> Vec<ErrorCode> {
    match response {
        Response::CreateTopics(response) => response.topics.iter().map(|one| one.error_code).collect(),
        Response::DeleteTopics(response) => response.responses.iter().map(|one| one.error_code).collect(),
        Response::CreatePartitions(response) => response.results.iter().map(|one| one.error_code).collect(),
        Response::IncrementalAlterConfigs(response) => response.responses.iter().map(|one| one.error_code).collect(),
        Response::DeleteRecords(response) => {
            response.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code).collect()
        }
        _ => Vec::new(),
    }
}

fn create(topic: &NewTopic) -> CreateTopicsRequest {
    let config = |(name, value): &(String, String)| CreatableTopicConfig {
        name: Text::from(name.as_str()),
        value: Some(Text::from(value.as_str())),
        ..Default::default()
    };
    let topic = CreatableTopic {
        name: topic.name.clone(),
        num_partitions: topic.partitions,
        replication_factor: topic.replicas,
        configs: topic.configs.iter().map(config).collect(),
        ..Default::default()
    };
    CreateTopicsRequest { topics: vec![topic], timeout_ms: 3000, ..Default::default() }
}

asks!(Administrator);
