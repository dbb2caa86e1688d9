//! DeleteTopics 1 to 6.
//!
//! 4 is flexible, 5 has messages (KIP-599), 6 deletes by id too (KIP-516).

use super::{Disk, Outcome, Request, Shard, Step, Work, told};
use ::metadata::controller::{Command, Reply, TopicName};
use types::{Text, Uuid};
use wire::delete_topics_response::DeletableTopicResult;
use wire::{DeleteTopicsRequest, DeleteTopicsResponse};

pub(crate) fn start<D: Disk>(_: &mut Shard<D>, request: Request, asked: DeleteTopicsRequest) -> Step<D> {
    let topics: Vec<TopicName> = if request.version >= 6 {
        let topic = |topic: wire::delete_topics_request::DeleteTopicState| TopicName {
            name: topic.name.as_ref().map(Text::detached),
            id: topic.topic_id,
        };
        asked.topics.into_iter().map(topic).collect()
    } else {
        let named = |name: &Text| TopicName { name: Some(name.detached()), id: Uuid::ZERO };
        asked.topic_names.iter().map(named).collect()
    };
    let delete = Work::controller(Command::DeleteTopics { topics: topics.clone() });
    Step::one(delete, move |shard, outcome| {
        let results = match outcome {
            Outcome::Controller(Reply::DeleteTopics(results)) => results,
            other => other.refuse_all(topics),
        };
        let answer = |(TopicName { name, id: topic_id }, result)| {
            let (error_code, error_message) = told(result);
            shard.figures.error(request.key, error_code);
            DeletableTopicResult { name, topic_id, error_code, error_message, ..Default::default() }
        };
        let responses = results.into_iter().map(answer).collect();
        request.reply(&DeleteTopicsResponse { responses, ..Default::default() })
    })
}
