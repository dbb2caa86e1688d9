//! DeleteTopics 1 to 6.
//!
//! 4 is flexible, 5 has messages (KIP-599), 6 deletes by id too (KIP-516).

use crate::call::Step;
use crate::session::Request;
use crate::shard::Shard;
use crate::work::{Outcome, Work};
use ::metadata::Refused;
use ::metadata::controller::{Command, Reply, TopicName};
use log::Disk;
use types::codec::{DecodeError, Reader};
use types::{Text, Uuid};
use wire::delete_topics_response::DeletableTopicResult;
use wire::{DeleteTopicsRequest, DeleteTopicsResponse};

pub(crate) fn start<D: Disk>(_: &mut Shard<D>, request: Request, body: Reader) -> Result<Step<D>, DecodeError> {
    let asked: DeleteTopicsRequest = request.decode(body)?;
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
    Ok(Step::one(delete, move |shard, outcome| {
        let results = match outcome {
            Outcome::Controller(Reply::DeleteTopics(results)) => results,
            other => {
                let (code, message) = other.into_failure();
                topics.into_iter().map(|topic| (topic, Err(Refused::new(code, message.clone())))).collect()
            }
        };
        let mut responses = Vec::with_capacity(results.len());
        for (topic, result) in results {
            let mut response = DeletableTopicResult { name: topic.name, topic_id: topic.id, ..Default::default() };
            if let Err(refused) = result {
                shard.figures.error(request.key, refused.code);
                response.error_code = refused.code;
                response.error_message = Some(Text::from(refused.message));
            }
            responses.push(response);
        }
        request.reply(&DeleteTopicsResponse { responses, ..Default::default() })
    }))
}
