//! OffsetDelete 0 (KIP-496).

use super::{Disk, Outcome, Request, Shard, Step};
use coordinator::group::command::{Command, OffsetDelete, OffsetDeleteReply, Reply};
use types::{ErrorCode, PartitionIndex, Text, Uuid};
use wire::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use wire::{OffsetDeleteRequest, OffsetDeleteResponse};

type TopicResults = (Text, Vec<(PartitionIndex, ErrorCode)>);

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: OffsetDeleteRequest) -> Step<D> {
    let mut known = Vec::with_capacity(asked.topics.len());
    let mut unknown: Vec<TopicResults> = Vec::new();
    for topic in asked.topics {
        let partitions = topic.partitions.iter().map(|part| PartitionIndex(part.partition_index));
        let (there, absent): (Vec<_>, Vec<_>) =
            partitions.partition(|partition| shard.resolve(Uuid::ZERO, &topic.name, *partition).is_ok());
        if !there.is_empty() {
            known.push((topic.name.detached(), there));
        }
        if !absent.is_empty() {
            let refused = absent.into_iter().map(|part| (part, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)).collect();
            unknown.push((topic.name, refused));
        }
    }
    let delete = OffsetDelete { group: asked.group_id.detached(), topics: known };
    let work = shard.group_work(&asked.group_id, Command::OffsetDelete(delete));
    Step::one(work, move |shard, outcome| {
        let mut reply = match outcome {
            Outcome::Group(Reply::OffsetDelete(reply)) => reply,
            other => OffsetDeleteReply { error: other.into_failure().0, topics: Vec::new() },
        };
        shard.figures.error(request.key, reply.error);
        if reply.error.is_ok() {
            for (name, refused) in unknown {
                match reply.topics.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, partitions)) => partitions.extend(refused),
                    None => reply.topics.push((name, refused)),
                }
            }
        }
        let topics = reply.topics.into_iter().map(response_topic).collect();
        request.reply(&OffsetDeleteResponse { error_code: reply.error, topics, ..Default::default() })
    })
}

fn response_topic((name, partitions): TopicResults) -> OffsetDeleteResponseTopic {
    let partition = |(index, error_code): (PartitionIndex, ErrorCode)| OffsetDeleteResponsePartition {
        partition_index: index.0,
        error_code,
    };
    OffsetDeleteResponseTopic { name, partitions: partitions.into_iter().map(partition).collect() }
}
