//! The records that rebuild an image from nothing.

use crate::config::ResourceKind;
use crate::generated::register_broker_record::{BrokerEndpoint, BrokerFeature};
use crate::generated::{
    ConfigRecord, FeatureLevelRecord, PartitionRecord, ProducerIdsRecord, Record, RegisterBrokerRecord, TopicRecord,
};
use crate::image::{Broker, Image, Partition, Topic};
use types::{LeaderEpoch, NodeId, ProducerId};

impl Image {
    /// Applied in order to an empty image, these make an equal one.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Record> {
        // metadata.version comes first: it says how to read what follows.
        let mut records: Vec<Record> = self.features().map(|(name, level)| feature_record(name, level)).collect();
        records.sort_by_key(|record| !matches!(record, Record::FeatureLevel(level) if level.name == METADATA_VERSION));
        records.extend(self.brokers().map(broker_record));
        for topic in self.topics() {
            records.extend(topic_records(topic));
        }
        for (resource, overrides) in self.configured() {
            records.extend(
                overrides.iter().map(|(name, value)| config_record(resource.kind, &resource.name, name, Some(value))),
            );
        }
        if self.next_producer_id() != ProducerId::default() {
            let next_producer_id = self.next_producer_id().0;
            let record = ProducerIdsRecord { broker_id: -1, broker_epoch: -1, next_producer_id, ..Default::default() };
            records.push(Record::ProducerIds(record));
        }
        records
    }
}

/// The feature that says which records the metadata log may hold.
pub(crate) const METADATA_VERSION: &str = "metadata.version";

pub(crate) fn feature_record(name: &types::Text, level: i16) -> Record {
    Record::FeatureLevel(FeatureLevelRecord { name: name.clone(), feature_level: level, ..Default::default() })
}

pub(crate) fn config_record(
    kind: ResourceKind,
    resource: &types::Text,
    name: &types::Text,
    value: Option<&types::Text>,
) -> Record {
    Record::Config(ConfigRecord {
        resource_type: kind.code(),
        resource_name: resource.clone(),
        name: name.clone(),
        value: value.cloned(),
        ..Default::default()
    })
}

pub(crate) fn broker_record(broker: &Broker) -> Record {
    let endpoints = broker.endpoints.iter().map(|endpoint| BrokerEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
        ..Default::default()
    });
    let features = broker.features.iter().map(|(name, low, high)| BrokerFeature {
        name: name.clone(),
        min_supported_version: *low,
        max_supported_version: *high,
        ..Default::default()
    });
    let cordoned = &broker.cordoned_directories;
    Record::RegisterBroker(RegisterBrokerRecord {
        broker_id: broker.id.0,
        incarnation_id: broker.incarnation,
        broker_epoch: broker.epoch,
        end_points: endpoints.collect(),
        features: features.collect(),
        rack: broker.rack.clone(),
        fenced: broker.fenced,
        in_controlled_shutdown: broker.in_controlled_shutdown,
        log_dirs: broker.directories.clone(),
        cordoned_log_dirs: (!cordoned.is_empty()).then(|| cordoned.clone()),
        ..Default::default()
    })
}

fn topic_records(topic: &Topic) -> impl Iterator<Item = Record> {
    let head = TopicRecord { name: topic.name.clone(), topic_id: topic.id, ..Default::default() };
    let partitions = (0..).zip(&topic.partitions).flat_map(|(index, partition)| {
        // How it is now does not tell that its leader was once elected unclean.
        let once =
            || Partition { recovering: true, leader_epoch: partition.unclean_epoch, ..Partition::clone(partition) };
        let was_unclean = !partition.recovering && partition.unclean_epoch != LeaderEpoch::NONE;
        let past = was_unclean.then(|| partition_record(topic.id, index, &once()));
        past.into_iter().chain([partition_record(topic.id, index, partition)])
    });
    std::iter::once(Record::Topic(head)).chain(partitions)
}

pub(crate) fn partition_record(topic: types::TopicId, index: i32, partition: &Partition) -> Record {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect::<Vec<i32>>();
    let present = |nodes: &[NodeId]| (!nodes.is_empty()).then(|| ids(nodes));
    Record::Partition(PartitionRecord {
        partition_id: index,
        topic_id: topic,
        replicas: ids(&partition.replicas),
        isr: ids(&partition.isr),
        removing_replicas: ids(&partition.removing_replicas),
        adding_replicas: ids(&partition.adding_replicas),
        leader: partition.leader.map_or(-1, |leader| leader.0),
        leader_recovery_state: i8::from(partition.recovering),
        leader_epoch: partition.leader_epoch.0,
        partition_epoch: partition.partition_epoch,
        directories: partition.directories.clone(),
        eligible_leader_replicas: present(&partition.eligible_leader_replicas),
        last_known_elr: present(&partition.last_known_elr),
        ..Default::default()
    })
}
