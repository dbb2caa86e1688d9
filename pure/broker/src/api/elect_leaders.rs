//! ElectLeaders 0 to 2: gives partitions back to their preferred leaders, or a leader at any price to those without.
//!
//! 1 knows unclean elections (KIP-460), 2 is flexible.

use super::{Disk, Outcome, Request, Shard, Step, Work, told};
use ::metadata::Refused;
use ::metadata::controller::{Command, ElectionKind, Reply};
use std::collections::BTreeMap;
use types::{ErrorCode, PartitionIndex, Text};
use wire::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use wire::{ElectLeadersRequest, ElectLeadersResponse};

pub(crate) fn start<D: Disk>(_: &mut Shard<D>, request: Request, asked: ElectLeadersRequest) -> Step<D> {
    let code = if request.version == 0 { 0 } else { asked.election_type };
    let Some(kind) = ElectionKind::from_code(code) else {
        let response = ElectLeadersResponse { error_code: ErrorCode::INVALID_REQUEST, ..Default::default() };
        return request.reply(&response);
    };
    let partitions = asked.topic_partitions.map(|topics| {
        let pairs = topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic.detached(), PartitionIndex(*index))));
        pairs.collect()
    });
    let elect = Work::controller(Command::ElectLeaders { kind, partitions });
    Step::one(elect, move |shard, outcome| {
        let response = match outcome {
            Outcome::Controller(Reply::ElectLeaders(results)) => {
                ElectLeadersResponse { replica_election_results: by_topic(results), ..Default::default() }
            }
            other => ElectLeadersResponse { error_code: other.into_failure().0, ..Default::default() },
        };
        shard.figures.error(request.key, response.error_code);
        request.reply(&response)
    })
}

fn by_topic(results: Vec<(Text, PartitionIndex, Result<(), Refused>)>) -> Vec<ReplicaElectionResult> {
    let mut topics: BTreeMap<Text, Vec<PartitionResult>> = BTreeMap::new();
    for (topic, index, result) in results {
        let (error_code, error_message) = told(result);
        let result = PartitionResult { partition_id: index.0, error_code, error_message, ..Default::default() };
        topics.entry(topic).or_default().push(result);
    }
    let topic = |(topic, partition_result)| ReplicaElectionResult { topic, partition_result, ..Default::default() };
    topics.into_iter().map(topic).collect()
}
