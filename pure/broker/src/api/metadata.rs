//! Metadata 0 to 13: brokers, topics, partitions and their leaders.
//!
//! 1 tells null (all topics) from empty (none), 4 may forbid creating topics, 5 lists offline replicas, 7 has leader
//! epochs, 8 authorised operations (KIP-430), 9 is flexible, 10 and 12 ask by topic id (KIP-516), 13 may ask the client
//! to bootstrap again (KIP-1102).

use super::{ControllerWork, Disk, Outcome, Request, Shard, Step, Work, reached};
use crate::node::Reachable;
use ::metadata::controller::Reply;
use ::metadata::names::{is_internal, validate_topic};
use std::collections::BTreeSet;
use types::{ErrorCode, NodeId, Text, TopicId};
use wire::metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
use wire::{MetadataRequest, MetadataResponse};

/// What anybody may do to a topic, a group and the cluster while there is no authorizer, as bits by Kafka's numbers of
/// operations (KIP-430).
pub(crate) const TOPIC_OPERATIONS: i32 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;
pub(crate) const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;
pub(crate) const CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: MetadataRequest) -> Step<D> {
    let missing = topics_to_create(shard, &request, &asked);
    if missing.is_empty() {
        return answer(shard, &request, &asked, &[]);
    }
    let names = missing.iter().map(Text::detached).collect();
    let create = Work::Controller(Box::new(ControllerWork::AutoCreate(names)));
    Step::one(create, move |shard, outcome| {
        let failed: Vec<(Text, ErrorCode)> = match outcome {
            Outcome::Controller(Reply::CreateTopics(results)) => {
                results.into_iter().filter_map(|(name, result)| Some((name, result.err()?.code))).collect()
            }
            other => {
                let (code, _) = other.into_failure();
                missing.iter().map(|name| (name.clone(), code)).collect()
            }
        };
        answer(shard, &request, &asked, &failed)
    })
}

/// The names that are not there yet and may be created by being asked for.
fn topics_to_create<D: Disk>(shard: &Shard<D>, request: &Request, asked: &MetadataRequest) -> Vec<Text> {
    let allowed = request.version < 4 || asked.allow_auto_topic_creation;
    if !allowed || !shard.settings.values.boolean("auto.create.topics.enable") {
        return Vec::new();
    }
    let names = asked.topics.iter().flatten().filter_map(|topic| topic.name.clone());
    let missing: BTreeSet<Text> =
        names.filter(|name| validate_topic(name).is_ok() && shard.image.topic_by_name(name).is_none()).collect();
    missing.into_iter().take(types::limits::TOPICS_PER_REQUEST_MAX).collect()
}

fn answer<D: Disk>(
    shard: &mut Shard<D>,
    request: &Request,
    asked: &MetadataRequest,
    failed: &[(Text, ErrorCode)],
) -> Step<D> {
    let all = match &asked.topics {
        None => true,
        Some(topics) => request.version == 0 && topics.is_empty(),
    };
    let mut topics = Vec::new();
    if all {
        let operations = asked.include_topic_authorized_operations;
        topics.extend(shard.image.topics().map(|topic| describe(shard, topic, operations)));
    } else {
        let mut seen = BTreeSet::new();
        for topic in asked.topics.iter().flatten() {
            if seen.insert((topic.name.clone(), topic.topic_id)) {
                topics.push(one(shard, topic.topic_id, topic.name.as_ref(), asked, failed));
            }
        }
    }
    let operations = if asked.include_cluster_authorized_operations { CLUSTER_OPERATIONS } else { i32::MIN };
    let response = MetadataResponse {
        brokers: brokers(shard, request),
        cluster_id: Some(shard.node.cluster_id.clone()),
        controller_id: shard.controller_id().0,
        topics,
        cluster_authorized_operations: operations,
        ..Default::default()
    };
    request.reply(&response)
}

fn brokers<D: Disk>(shard: &Shard<D>, request: &Request) -> Vec<MetadataResponseBroker> {
    let broker = |broker: Reachable| reached!(broker, MetadataResponseBroker { node_id });
    shard.known_brokers(request.slot.connection).into_iter().map(broker).collect()
}

fn one<D: Disk>(
    shard: &Shard<D>,
    id: TopicId,
    name: Option<&Text>,
    asked: &MetadataRequest,
    failed: &[(Text, ErrorCode)],
) -> MetadataResponseTopic {
    let found = match name {
        Some(name) if id.is_zero() => shard.image.topic_by_name(name),
        Some(_) | None => shard.image.topic(id),
    };
    if let Some(topic) = found {
        return describe(shard, topic, asked.include_topic_authorized_operations);
    }
    let error_code = match name {
        Some(name) if id.is_zero() => match failed.iter().find(|(failed, _)| failed == name) {
            Some((_, code)) => *code,
            None if validate_topic(name).is_ok() => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            None => ErrorCode::INVALID_TOPIC_EXCEPTION,
        },
        Some(_) | None => ErrorCode::UNKNOWN_TOPIC_ID,
    };
    MetadataResponseTopic {
        error_code,
        name: name.cloned(),
        topic_id: id,
        topic_authorized_operations: i32::MIN,
        ..Default::default()
    }
}

fn describe<D: Disk>(shard: &Shard<D>, topic: &::metadata::Topic, operations: bool) -> MetadataResponseTopic {
    let partition = |(index, partition): (i32, &std::sync::Arc<::metadata::Partition>)| {
        let leader = partition.leader.filter(|leader| !shard.is_doubted(*leader));
        MetadataResponsePartition {
            error_code: if leader.is_none() { ErrorCode::LEADER_NOT_AVAILABLE } else { ErrorCode::NONE },
            partition_index: index,
            leader_id: leader.map_or(-1, |leader| leader.0),
            leader_epoch: partition.leader_epoch.0,
            replica_nodes: ids(&partition.replicas),
            isr_nodes: ids(&partition.isr),
            offline_replicas: ids(&shard.image.offline_replicas(partition)),
            ..Default::default()
        }
    };
    MetadataResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: (0..).zip(&topic.partitions).map(partition).collect(),
        topic_authorized_operations: if operations { TOPIC_OPERATIONS } else { i32::MIN },
        ..Default::default()
    }
}

pub(crate) fn ids(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|node| node.0).collect()
}
