//! CreatePartitions 0 to 3: more partitions for a topic (KIP-195).
//!
//! 2 is flexible, 3 may be told to wait by a quota (KIP-599).

use super::{Disk, Outcome, Request, Shard, Step, Work, told};
use ::metadata::controller::{Command, NewPartitions, Reply};
use types::{NodeId, Text};
use wire::create_partitions_request::CreatePartitionsTopic;
use wire::create_partitions_response::CreatePartitionsTopicResult;
use wire::{CreatePartitionsRequest, CreatePartitionsResponse};

pub(crate) fn start<D: Disk>(_: &mut Shard<D>, request: Request, asked: CreatePartitionsRequest) -> Step<D> {
    let names: Vec<Text> = asked.topics.iter().map(|topic| topic.name.clone()).collect();
    let topics = asked.topics.into_iter().map(new_partitions).collect();
    let create = Work::controller(Command::CreatePartitions { topics, validate_only: asked.validate_only });
    Step::one(create, move |shard, outcome| {
        let results = match outcome {
            Outcome::Controller(Reply::CreatePartitions(results)) => results,
            other => other.refuse_all(names),
        };
        let answer = |(name, result)| {
            let (error_code, error_message) = told(result);
            shard.figures.error(request.key, error_code);
            CreatePartitionsTopicResult { name, error_code, error_message, ..Default::default() }
        };
        let results = results.into_iter().map(answer).collect();
        request.reply(&CreatePartitionsResponse { results, ..Default::default() })
    })
}

fn new_partitions(topic: CreatePartitionsTopic) -> NewPartitions {
    let nodes = |assignment: wire::create_partitions_request::CreatePartitionsAssignment| {
        assignment.broker_ids.into_iter().map(NodeId).collect()
    };
    NewPartitions {
        topic: topic.name.detached(),
        count: topic.count,
        assignments: topic.assignments.map(|assignments| assignments.into_iter().map(nodes).collect()),
    }
}
