//! What members of a classic group tell each other through the coordinator, which does not look into it.

use super::Spot;
use super::assignor::Member;
use crate::admin::{indexes_by_topic, spot};
use bytes::Bytes;
use std::collections::BTreeSet;
use types::Text;
use types::codec::{Reader, Writer};
use wire::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};

/// Lower versions have fewer fields; whoever reads a higher one passes over what it does not know.
const SUBSCRIPTION_VERSION: i16 = 3;
const ASSIGNMENT_VERSION: i16 = 0;

fn spots<'a>(topics: impl Iterator<Item = (&'a Text, &'a Vec<i32>)>) -> impl Iterator<Item = Spot> {
    topics.flat_map(|(topic, indexes)| indexes.iter().map(|index| spot(topic, *index)))
}

pub fn encode_subscription(member: &Member) -> Bytes {
    use wire::consumer_protocol_subscription::TopicPartition;
    let owned = indexes_by_topic(&member.owned);
    let subscription = ConsumerProtocolSubscription {
        topics: member.topics.iter().cloned().collect(),
        user_data: member.user_data.clone(),
        owned_partitions: owned.map(|(topic, partitions)| TopicPartition { topic, partitions }).collect(),
        generation_id: member.generation,
        rack_id: member.rack.clone(),
    };
    let mut writer = Writer::with_capacity(2 + subscription.size(SUBSCRIPTION_VERSION));
    writer.i16(SUBSCRIPTION_VERSION);
    subscription.encode(&mut writer, SUBSCRIPTION_VERSION);
    writer.buffer.freeze()
}

pub fn decode_subscription(bytes: &Bytes, instance_id: Option<&Text>) -> Option<Member> {
    let mut reader = Reader::new(bytes.clone());
    let version = reader.i16().ok()?.min(ConsumerProtocolSubscription::MAX);
    let subscription = ConsumerProtocolSubscription::decode(&mut reader, version).ok()?;
    let owned = subscription.owned_partitions.iter().map(|topic| (&topic.topic, &topic.partitions));
    Some(Member {
        instance_id: instance_id.map(Text::detached),
        topics: subscription.topics.iter().map(Text::detached).collect(),
        owned: spots(owned).collect(),
        generation: subscription.generation_id,
        rack: subscription.rack_id.as_ref().map(Text::detached),
        user_data: subscription.user_data.as_deref().map(Bytes::copy_from_slice),
    })
}

pub fn encode_assignment(spots: &[Spot]) -> Bytes {
    use wire::consumer_protocol_assignment::TopicPartition;
    let topics = indexes_by_topic(spots);
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: topics.map(|(topic, partitions)| TopicPartition { topic, partitions }).collect(),
        ..Default::default()
    };
    let mut writer = Writer::with_capacity(2 + assignment.size(ASSIGNMENT_VERSION));
    writer.i16(ASSIGNMENT_VERSION);
    assignment.encode(&mut writer, ASSIGNMENT_VERSION);
    writer.buffer.freeze()
}

pub fn decode_assignment(bytes: &Bytes) -> Option<BTreeSet<Spot>> {
    let mut reader = Reader::new(bytes.clone());
    let version = reader.i16().ok()?.min(ConsumerProtocolAssignment::MAX);
    let assignment = ConsumerProtocolAssignment::decode(&mut reader, version).ok()?;
    let topics = assignment.assigned_partitions.iter().map(|topic| (&topic.topic, &topic.partitions));
    Some(spots(topics).collect())
}
