//! DeleteTopics.

use super::{TopicName, repeated};
use crate::Refused;
use crate::config::Settings;
use crate::generated::{Record, RemoveTopicRecord};
use crate::image::{Image, Topic};
use crate::refused::refuse;
use std::collections::BTreeSet;
use std::sync::Arc;
use types::{ErrorCode, TopicId};

type Deleted = Vec<(TopicName, Result<(), Refused>)>;

pub(super) fn delete(image: &Image, settings: &Settings, topics: &[TopicName]) -> (Vec<Record>, Deleted) {
    let named = topics.iter().filter_map(|topic| Some(find(image, topic).ok()?.id));
    let repeated = repeated(named);
    let mut records = Vec::new();
    let mut answered = BTreeSet::new();
    let distinct = topics.iter().filter(|asked| answered.insert((&asked.name, asked.id)));
    let answers = distinct.map(|asked| {
        let result = decide(image, settings, &repeated, asked).map(|topic| {
            records.push(Record::RemoveTopic(RemoveTopicRecord { topic_id: topic.id, ..Default::default() }));
            TopicName { name: Some(topic.name.clone()), id: topic.id }
        });
        match result {
            Ok(deleted) => (deleted, Ok(())),
            Err(refused) => (asked.clone(), Err(refused)),
        }
    });
    let answers = answers.collect();
    (records, answers)
}

fn decide<'a>(
    image: &'a Image,
    settings: &Settings,
    repeated: &BTreeSet<TopicId>,
    asked: &TopicName,
) -> Result<&'a Arc<Topic>, Refused> {
    if !settings.boolean("delete.topic.enable") {
        return refuse!(TOPIC_DELETION_DISABLED, "Topic deletion is disabled: delete.topic.enable is false.");
    }
    let topic = find(image, asked)?;
    if repeated.contains(&topic.id) {
        return refuse!(INVALID_REQUEST, "The topic was named more than once.");
    }
    Ok(topic)
}

fn find<'a>(image: &'a Image, asked: &TopicName) -> Result<&'a Arc<Topic>, Refused> {
    match &asked.name {
        Some(_) if !asked.id.is_zero() => refuse!(INVALID_REQUEST, "You may not specify both topic name and topic id."),
        Some(name) => image.topic_by_name(name).ok_or_else(|| {
            let message = format!("The topic '{name}' does not exist.");
            Refused::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
        }),
        None if asked.id.is_zero() => refuse!(INVALID_REQUEST, "Neither topic name nor id were specified."),
        None => image.topic(asked.id).ok_or_else(|| {
            Refused::new(ErrorCode::UNKNOWN_TOPIC_ID, format!("There is no topic with the id {}.", asked.id))
        }),
    }
}
