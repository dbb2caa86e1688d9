//! Registration of brokers, and blocks of producer ids.

use super::Reply;
use crate::generated::{PartitionChangeRecord, ProducerIdsRecord, Record};
use crate::image::{Broker, Image, Partition, Topic};
use crate::snapshot::{METADATA_VERSION, broker_record, feature_record};
use types::{NodeId, ProducerId, Text};

/// How many producer ids a broker is given at once.
pub const PRODUCER_IDS_PER_BLOCK: i32 = 1000;

/// The level of metadata.version of Kafka 4.3 (4.3-IV0), which our records are written at.
const METADATA_VERSION_LEVEL: i16 = 30;

/// Features with the lowest and highest level that a broker supports. A highest level of 0 is a feature that clients
/// may ask about and that is not there.
pub const SUPPORTED_FEATURES: &[(&str, i16, i16)] =
    &[(METADATA_VERSION, 7, METADATA_VERSION_LEVEL), ("group.version", 0, 0), ("transaction.version", 0, 0)];

pub(super) fn allocate_producer_ids(image: &Image, broker: NodeId, epoch: i64) -> (Vec<Record>, Reply) {
    let first = image.next_producer_id();
    let next = first.0.checked_add(PRODUCER_IDS_PER_BLOCK.into()).expect("blocks of 1,000 do not use up 2^63 ids");
    let record =
        ProducerIdsRecord { broker_id: broker.0, broker_epoch: epoch, next_producer_id: next, ..Default::default() };
    let reply = Reply::AllocateProducerIds { first: ProducerId(first.0), count: PRODUCER_IDS_PER_BLOCK };
    (vec![Record::ProducerIds(record)], reply)
}

/// A broker starts. The first one of a cluster finalises its features. Partitions without a living leader that it is
/// in sync for are led by it; after an unclean start those that it led already get a new leader epoch, because what
/// the crash cut off its logs must not be confused with what is written now.
pub(super) fn register(image: &Image, broker: &Broker, clean_start: bool) -> Vec<Record> {
    let mut records = Vec::new();
    if image.feature(METADATA_VERSION).is_none() {
        records.push(feature_record(&Text::from_static(METADATA_VERSION), METADATA_VERSION_LEVEL));
    }
    records.push(broker_record(broker));
    if broker.is_alive() {
        for topic in image.topics() {
            records.extend(led_again(image, topic, broker.id, clean_start));
        }
    }
    records
}

fn led_again(image: &Image, topic: &Topic, broker: NodeId, clean_start: bool) -> impl Iterator<Item = Record> {
    let is_led = move |leader: NodeId| leader != broker && image.broker(leader).is_some_and(Broker::is_alive);
    let must_lead = move |partition: &Partition| match partition.leader {
        Some(leader) if leader == broker => !clean_start,
        Some(leader) => !is_led(leader) && partition.isr.contains(&broker),
        None => partition.isr.contains(&broker),
    };
    let numbered = (0..).zip(&topic.partitions).filter(move |(_, partition)| must_lead(partition));
    numbered.map(move |(index, _)| {
        Record::PartitionChange(PartitionChangeRecord {
            partition_id: index,
            topic_id: topic.id,
            leader: broker.0,
            ..Default::default()
        })
    })
}
