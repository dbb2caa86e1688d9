//! CreatePartitions 0 to 3: more partitions for a topic (KIP-195).
//!
//! 2 is flexible, 3 may be told to wait by a quota (KIP-599).

use crate::call::Step;
use crate::session::Request;
use crate::shard::Shard;
use crate::work::{Outcome, Work};
use ::metadata::Refused;
use ::metadata::controller::{Command, NewPartitions, Reply};
use log::Disk;
use types::codec::{DecodeError, Reader};
use types::{NodeId, Text};
use wire::create_partitions_request::CreatePartitionsTopic;
use wire::create_partitions_response::CreatePartitionsTopicResult;
use wire::{CreatePartitionsRequest, CreatePartitionsResponse};

pub(crate) fn start<D: Disk>(_: &mut Shard<D>, request: Request, body: Reader) -> Result<Step<D>, DecodeError> {
    let asked: CreatePartitionsRequest = request.decode(body)?;
    let names: Vec<Text> = asked.topics.iter().map(|topic| topic.name.clone()).collect();
    let topics = asked.topics.into_iter().map(new_partitions).collect();
    let create = Work::controller(Command::CreatePartitions { topics, validate_only: asked.validate_only });
    Ok(Step::one(create, move |shard, outcome| {
        let results = match outcome {
            Outcome::Controller(Reply::CreatePartitions(results)) => results,
            other => {
                let (code, message) = other.into_failure();
                names.into_iter().map(|name| (name, Err(Refused::new(code, message.clone())))).collect()
            }
        };
        let mut responses = Vec::with_capacity(results.len());
        for (name, result) in results {
            let mut response = CreatePartitionsTopicResult { name, ..Default::default() };
            if let Err(refused) = result {
                shard.figures.error(request.key, refused.code);
                response.error_code = refused.code;
                response.error_message = Some(Text::from(refused.message));
            }
            responses.push(response);
        }
        request.reply(&CreatePartitionsResponse { results: responses, ..Default::default() })
    }))
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
