//! CreatePartitions.

use super::topics::{Room, assign};
use super::{NewPartitions, repeated};
use crate::Refused;
use crate::generated::Record;
use crate::image::{Image, Partition};
use crate::placement::{new_partition, place};
use crate::refused::refuse;
use crate::snapshot::partition_record;
use std::collections::BTreeSet;
use types::{ErrorCode, PartitionIndex, Rng, Text};

type Created = Vec<(Text, Result<(), Refused>)>;

pub(super) fn create(image: &Image, topics: &[NewPartitions], rng: &mut Rng) -> (Vec<Record>, Created) {
    let repeated = repeated(topics.iter().map(|topic| &topic.topic));
    let mut answered = BTreeSet::new();
    let mut room = Room::default();
    let mut records = Vec::new();
    let mut created = Created::new();
    for topic in topics.iter().filter(|topic| answered.insert(&topic.topic)) {
        let result = if repeated.contains(&topic.topic) {
            Err(Refused::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name."))
        } else {
            grow(image, topic, &mut room, rng).map(|added| records.extend(added))
        };
        created.push((topic.topic.clone(), result));
    }
    (records, created)
}

fn grow(image: &Image, asked: &NewPartitions, room: &mut Room, rng: &mut Rng) -> Result<Vec<Record>, Refused> {
    let (name, count) = (&asked.topic, asked.count);
    let Some(topic) = image.topic_by_name(name) else {
        return refuse!(UNKNOWN_TOPIC_OR_PARTITION, "The topic '{name}' does not exist.");
    };
    let current = topic.partition_count();
    if count == current {
        return refuse!(INVALID_PARTITIONS, "Topic already has {current} partition(s).");
    }
    if count < current {
        let message =
            format!("The topic {name} currently has {current} partition(s); {count} would not be an increase.");
        return Err(Refused::new(ErrorCode::INVALID_PARTITIONS, message));
    }
    let added = count - current;
    room.take(count, added)?;
    let replicas = topic.partitions.first().map_or(1, |first| first.replicas.len());
    let partitions: Vec<Partition> = match &asked.assignments {
        Some(chosen) if i32::try_from(chosen.len()) != Ok(added) => {
            let message = format!(
                "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
                chosen.len()
            );
            return Err(Refused::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
        }
        Some(chosen) => (current..)
            .zip(chosen)
            .map(|(index, chosen)| assign(image, PartitionIndex(index), chosen, replicas))
            .collect::<Result<_, _>>()?,
        None => place(image, added, i16::try_from(replicas).unwrap_or(i16::MAX), false, rng)?
            .into_iter()
            .map(|replicas| new_partition(image, replicas).expect("each is given a living broker"))
            .collect(),
    };
    Ok((current..).zip(&partitions).map(|(index, partition)| partition_record(topic.id, index, partition)).collect())
}
