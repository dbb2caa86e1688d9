//! AlterPartitionReassignments 0 and 1 (KIP-455): moves replicas of partitions, or takes back a move that is under way.
//!
//! 1 may forbid another replication factor (KIP-860).

use super::{Disk, Outcome, Request, Shard, Step, Work, told};
use ::metadata::Refused;
use ::metadata::controller::{Command, Reassignment, Reply};
use std::collections::BTreeMap;
use types::{NodeId, PartitionIndex, Text};
use wire::alter_partition_reassignments_response::{ReassignablePartitionResponse, ReassignableTopicResponse};
use wire::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};

pub(crate) fn start<D: Disk>(_: &mut Shard<D>, request: Request, asked: AlterPartitionReassignmentsRequest) -> Step<D> {
    let partitions = asked.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|part| Reassignment {
            topic: topic.name.detached(),
            partition: PartitionIndex(part.partition_index),
            replicas: part.replicas.as_ref().map(|ids| ids.iter().copied().map(NodeId).collect()),
        })
    });
    let allow_replication_factor_change = request.version == 0 || asked.allow_replication_factor_change;
    let command =
        Command::AlterPartitionReassignments { partitions: partitions.collect(), allow_replication_factor_change };
    Step::one(Work::controller(command), move |shard, outcome| {
        let mut response =
            AlterPartitionReassignmentsResponse { allow_replication_factor_change, ..Default::default() };
        match outcome {
            Outcome::Controller(Reply::AlterPartitionReassignments(results)) => response.responses = by_topic(results),
            other => (response.error_code, response.error_message) = other.into_answer(),
        }
        shard.figures.error(request.key, response.error_code);
        request.reply(&response)
    })
}

fn by_topic(results: Vec<(Text, PartitionIndex, Result<(), Refused>)>) -> Vec<ReassignableTopicResponse> {
    let mut topics: BTreeMap<Text, Vec<ReassignablePartitionResponse>> = BTreeMap::new();
    for (topic, index, result) in results {
        let (error_code, error_message) = told(result);
        let entry =
            ReassignablePartitionResponse { partition_index: index.0, error_code, error_message, ..Default::default() };
        topics.entry(topic).or_default().push(entry);
    }
    let topic = |(name, partitions)| ReassignableTopicResponse { name, partitions, ..Default::default() };
    topics.into_iter().map(topic).collect()
}
