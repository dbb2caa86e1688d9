//! The cluster as the metadata log describes it: topics, partitions, brokers, configurations, features.
//!
//! Persistent: a clone shares everything with its original, so every shard holds the image it works with while the
//! next one is built. Applying a record is the only way in which it changes.

use crate::config::{Overrides, Resource, ResourceKind};
use crate::delta::Delta;
use crate::generated::{
    BrokerRegistrationChangeRecord, ConfigRecord, PartitionChangeRecord, PartitionRecord, Record, RegisterBrokerRecord,
    TopicRecord,
};
use crate::names::collision_key;
use imbl::OrdMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use types::{LeaderEpoch, NodeId, PartitionIndex, ProducerId, Text, TopicId, TopicPartition, Uuid};

/// One partition's replicas and leadership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The first is the preferred leader.
    pub replicas: Vec<NodeId>,
    /// The directory of each replica; `Uuid::ZERO` where its broker has not said.
    pub directories: Vec<Uuid>,
    pub isr: Vec<NodeId>,
    pub removing_replicas: Vec<NodeId>,
    pub adding_replicas: Vec<NodeId>,
    /// Replicas outside the ISR that hold everything committed (KIP-966).
    pub eligible_leader_replicas: Vec<NodeId>,
    pub last_known_elr: Vec<NodeId>,
    pub leader: Option<NodeId>,
    /// Its leader was elected unclean and has not recovered.
    pub recovering: bool,
    /// The last epoch whose leader was elected unclean: what older epochs committed may be given up for it. -1 where none was.
    pub unclean_epoch: LeaderEpoch,
    pub leader_epoch: LeaderEpoch,
    /// Counts every change.
    pub partition_epoch: i32,
}

impl Partition {
    /// Whether replicas move to other brokers.
    #[must_use]
    pub fn is_reassigning(&self) -> bool {
        !self.adding_replicas.is_empty() || !self.removing_replicas.is_empty()
    }
}

/// A topic. Its partitions are numbered from 0 without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub id: TopicId,
    pub name: Text,
    pub partitions: Vec<Arc<Partition>>,
}

impl Topic {
    #[must_use]
    pub fn partition(&self, index: PartitionIndex) -> Option<&Partition> {
        self.partitions.get(usize::try_from(index.0).ok()?).map(AsRef::as_ref)
    }

    /// How many partitions, as the wire counts.
    #[must_use]
    pub fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).expect("partition numbers are i32")
    }
}

/// An address of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name.
    pub name: Text,
    pub host: Text,
    pub port: u16,
    /// Kafka's number of the security protocol; 0 is PLAINTEXT.
    pub security_protocol: i16,
}

/// A registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    pub id: NodeId,
    /// The registration's number, higher at each.
    pub epoch: i64,
    /// One run of the broker's process.
    pub incarnation: Uuid,
    pub endpoints: Vec<Endpoint>,
    /// Name, lowest and highest level that the broker supports.
    pub features: Vec<(Text, i16, i16)>,
    pub rack: Option<Text>,
    pub fenced: bool,
    pub in_controlled_shutdown: bool,
    pub directories: Vec<Uuid>,
    pub cordoned_directories: Vec<Uuid>,
}

impl Broker {
    /// Whether it may lead and be given replicas.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// Whether it has the directory that its replica was put in. One that was not assigned yet is anywhere.
    #[must_use]
    pub fn has_directory(&self, partition: &Partition) -> bool {
        let placed = partition.replicas.iter().zip(&partition.directories).find(|(replica, _)| **replica == self.id);
        placed.is_none_or(|(_, directory)| {
            directory.is_zero() || self.directories.is_empty() || self.directories.contains(directory)
        })
    }
}

/// A record that does not fit the image: the log is damaged, or written by a version that can do more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inconsistent(pub String);

impl fmt::Display for Inconsistent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the metadata log is inconsistent: {}", self.0)
    }
}

impl std::error::Error for Inconsistent {}

fn inconsistent<T>(what: impl Into<String>) -> Result<T, Inconsistent> {
    Err(Inconsistent(what.into()))
}

/// Who decides for the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    pub controller: NodeId,
    pub epoch: i32,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// The cluster's id. Not in the log: its holder knows it from the data directory.
    pub cluster_id: Text,
    /// The active controller, if one is known. Not in the log: its holder knows it from the quorum.
    pub leadership: Option<Leadership>,
    topics: OrdMap<TopicId, Arc<Topic>>,
    names: OrdMap<Text, TopicId>,
    /// Names of topics by what they are called in metrics.
    collisions: OrdMap<Text, Text>,
    configs: OrdMap<Resource, Arc<Overrides>>,
    brokers: OrdMap<NodeId, Arc<Broker>>,
    features: OrdMap<Text, i16>,
    next_producer_id: ProducerId,
    /// How many partitions each node leads; follows from the topics. None is not kept.
    leaderships: OrdMap<NodeId, usize>,
}

impl Image {
    #[must_use]
    pub fn topic(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(&id)
    }

    #[must_use]
    pub fn topic_by_name(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(self.names.get(name)?)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.names.values().filter_map(|id| self.topics.get(id))
    }

    /// Topics whose names come at or after `name`.
    pub fn topics_from(&self, name: &str) -> impl Iterator<Item = &Arc<Topic>> {
        self.names.range::<_, str>((Bound::Included(name), Bound::Unbounded)).filter_map(|(_, id)| self.topics.get(id))
    }

    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// How many partitions a node leads.
    #[must_use]
    pub fn leaderships(&self, node: NodeId) -> usize {
        self.leaderships.get(&node).copied().unwrap_or(0)
    }

    /// Partitions whose replicas move to other brokers.
    pub fn reassigning(&self) -> impl Iterator<Item = (&Arc<Topic>, PartitionIndex, &Partition)> {
        self.topics().flat_map(|topic| {
            let numbered = (0..).map(PartitionIndex).zip(topic.partitions.iter().map(AsRef::as_ref));
            numbered
                .filter(|(_, partition): &(_, &Partition)| partition.is_reassigning())
                .map(move |(index, partition)| (topic, index, partition))
        })
    }

    #[must_use]
    pub fn partition(&self, of: TopicPartition) -> Option<&Partition> {
        self.topic(of.topic)?.partition(of.partition)
    }

    /// The topic that cannot be told from `name` in metrics, if there is one.
    #[must_use]
    pub fn colliding_topic(&self, name: &str) -> Option<&Text> {
        self.collisions.get(&collision_key(name)?)
    }

    /// What was set for a resource.
    #[must_use]
    pub fn overrides(&self, resource: &Resource) -> Option<&Overrides> {
        self.configs.get(resource).map(AsRef::as_ref)
    }

    /// Resources that have configurations, with these.
    pub fn configured(&self) -> impl Iterator<Item = (&Resource, &Overrides)> {
        self.configs.iter().map(|(resource, overrides)| (resource, overrides.as_ref()))
    }

    /// What ListConfigResources shows: all topics and brokers, and those groups and subscriptions that are configured.
    #[must_use]
    pub fn config_resources(&self, kind: ResourceKind) -> Vec<Resource> {
        let named = |name: Text| Resource { kind, name };
        match kind {
            ResourceKind::Topic => self.names.keys().cloned().map(named).collect(),
            ResourceKind::Broker | ResourceKind::BrokerLogger => {
                self.brokers.keys().map(|id| named(Text::from(id.0.to_string()))).collect()
            }
            ResourceKind::ClientMetrics | ResourceKind::Group => {
                self.configs.keys().filter(|resource| resource.kind == kind).cloned().collect()
            }
        }
    }

    #[must_use]
    pub fn broker(&self, id: NodeId) -> Option<&Broker> {
        self.brokers.get(&id).map(AsRef::as_ref)
    }

    pub fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.values().map(AsRef::as_ref)
    }

    pub fn alive_brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers().filter(|broker| broker.is_alive())
    }

    /// Those of a partition's replicas that nobody can reach now: their broker is fenced or gone, or their disk failed.
    #[must_use]
    pub fn offline_replicas(&self, partition: &Partition) -> Vec<NodeId> {
        let is_online = |broker: &Broker| !broker.fenced && broker.has_directory(partition);
        let replicas = partition.replicas.iter().copied();
        replicas.filter(|replica| !self.broker(*replica).is_some_and(is_online)).collect()
    }

    /// Finalised features and their levels.
    pub fn features(&self) -> impl Iterator<Item = (&Text, i16)> {
        self.features.iter().map(|(name, level)| (name, *level))
    }

    #[must_use]
    pub fn feature(&self, name: &str) -> Option<i16> {
        self.features.get(name).copied()
    }

    /// The first producer id that was never handed out.
    #[must_use]
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// Applies a committed record, and notes in `delta` what it changed.
    pub fn apply(&mut self, record: &Record, delta: &mut Delta) -> Result<(), Inconsistent> {
        match record {
            Record::Topic(record) => self.add_topic(record, delta),
            Record::Partition(record) => self.set_partition(record, delta),
            Record::PartitionChange(record) => self.change_partition(record, delta),
            Record::RemoveTopic(record) => self.remove_topic(record.topic_id, delta),
            Record::Config(record) => self.set_config(record, delta),
            Record::RegisterBroker(record) => {
                self.register(record, delta);
                Ok(())
            }
            Record::BrokerRegistrationChange(record) => self.change_registration(record, delta),
            Record::FenceBroker(record) => self.fence(record.id, true, delta),
            Record::UnfenceBroker(record) => self.fence(record.id, false, delta),
            Record::UnregisterBroker(record) => {
                self.brokers.remove(&NodeId(record.broker_id));
                delta.brokers.insert(NodeId(record.broker_id));
                Ok(())
            }
            Record::FeatureLevel(record) => {
                if record.feature_level == 0 {
                    self.features.remove(&record.name);
                } else {
                    self.features.insert(record.name.detached(), record.feature_level);
                }
                delta.features = true;
                Ok(())
            }
            Record::ProducerIds(record) => {
                self.next_producer_id = ProducerId(record.next_producer_id);
                Ok(())
            }
            Record::NoOp(_) | Record::ZkMigrationState(_) | Record::RegisterController(_) => Ok(()),
            Record::DelegationToken(_)
            | Record::UserScramCredential(_)
            | Record::ClientQuota(_)
            | Record::AccessControlEntry(_)
            | Record::RemoveAccessControlEntry(_)
            | Record::RemoveUserScramCredential(_)
            | Record::BeginTransaction(_)
            | Record::EndTransaction(_)
            | Record::AbortTransaction(_)
            | Record::RemoveDelegationToken(_)
            | Record::ClearElr(_) => inconsistent(format!("this version cannot apply record type {}", record.key())),
        }
    }

    /// Applies a batch; the image is unchanged where a record does not fit.
    pub fn apply_all<'a>(&mut self, records: impl IntoIterator<Item = &'a Record>) -> Result<Delta, Inconsistent> {
        let mut next = self.clone();
        let mut delta = Delta::default();
        for record in records {
            next.apply(record, &mut delta)?;
        }
        *self = next;
        Ok(delta)
    }

    fn add_topic(&mut self, record: &TopicRecord, delta: &mut Delta) -> Result<(), Inconsistent> {
        let (id, name) = (record.topic_id, record.name.detached());
        if self.names.contains_key(&name) || self.topics.contains_key(&id) {
            return inconsistent(format!("topic {name} ({id}) is created twice"));
        }
        self.names.insert(name.clone(), id);
        if let Some(key) = collision_key(&name) {
            self.collisions.insert(key, name.clone());
        }
        self.topics.insert(id, Arc::new(Topic { id, name, partitions: Vec::new() }));
        delta.created(id);
        Ok(())
    }

    fn topic_mut(&mut self, id: TopicId) -> Result<&mut Topic, Inconsistent> {
        match self.topics.get_mut(&id) {
            Some(topic) => Ok(Arc::make_mut(topic)),
            None => inconsistent(format!("there is no topic {id}")),
        }
    }

    fn set_partition(&mut self, record: &PartitionRecord, delta: &mut Delta) -> Result<(), Inconsistent> {
        let topic = self.topic_mut(record.topic_id)?;
        let mut partition = Partition::from(record);
        let (after, count) = (partition.leader, topic.partitions.len());
        let index = usize::try_from(record.partition_id).unwrap_or(usize::MAX);
        let before = match topic.partitions.get_mut(index) {
            Some(known) => {
                partition.unclean_epoch = partition.unclean_epoch.max(known.unclean_epoch);
                std::mem::replace(known, Arc::new(partition)).leader
            }
            None if index == count => {
                topic.partitions.push(Arc::new(partition));
                None
            }
            None => {
                let name = &topic.name;
                return inconsistent(format!("partition {} of topic {name}, which has {count}", record.partition_id));
            }
        };
        self.count_leader(before, after);
        delta.changed(record.topic_id, PartitionIndex(record.partition_id));
        Ok(())
    }

    fn change_partition(&mut self, record: &PartitionChangeRecord, delta: &mut Delta) -> Result<(), Inconsistent> {
        let topic = self.topic_mut(record.topic_id)?;
        let index = usize::try_from(record.partition_id).unwrap_or(usize::MAX);
        let Some(partition) = topic.partitions.get_mut(index) else {
            return inconsistent(format!("topic {} has no partition {}", topic.name, record.partition_id));
        };
        let before = partition.leader;
        let partition = Arc::make_mut(partition);
        partition.merge(record);
        let after = partition.leader;
        self.count_leader(before, after);
        delta.changed(record.topic_id, PartitionIndex(record.partition_id));
        Ok(())
    }

    /// A partition's leader was `before` and is `after`.
    fn count_leader(&mut self, before: Option<NodeId>, after: Option<NodeId>) {
        if before == after {
            return;
        }
        if let Some(node) = before {
            match self.leaderships(node) {
                0 | 1 => self.leaderships.remove(&node),
                count => self.leaderships.insert(node, count - 1),
            };
        }
        if let Some(node) = after {
            self.leaderships.insert(node, self.leaderships(node).saturating_add(1));
        }
    }

    fn remove_topic(&mut self, id: TopicId, delta: &mut Delta) -> Result<(), Inconsistent> {
        let Some(topic) = self.topics.remove(&id) else {
            return inconsistent(format!("there is no topic {id} to remove"));
        };
        for partition in &topic.partitions {
            self.count_leader(partition.leader, None);
        }
        self.names.remove(&topic.name);
        if let Some(key) = collision_key(&topic.name) {
            self.collisions.remove(&key);
        }
        // Its configurations go with it: no records remove them one by one.
        self.configs.remove(&Resource::topic(topic.name.clone()));
        delta.deleted(topic);
        Ok(())
    }

    fn set_config(&mut self, record: &ConfigRecord, delta: &mut Delta) -> Result<(), Inconsistent> {
        let Some(kind) = ResourceKind::from_code(record.resource_type) else {
            return inconsistent(format!("there is no resource type {}", record.resource_type));
        };
        let resource = Resource { kind, name: record.resource_name.detached() };
        let overrides = Arc::make_mut(self.configs.entry(resource.clone()).or_default());
        match &record.value {
            Some(value) => drop(overrides.insert(record.name.detached(), value.detached())),
            None => drop(overrides.remove(&record.name)),
        }
        if overrides.is_empty() {
            self.configs.remove(&resource);
        }
        delta.configs.insert(resource);
        Ok(())
    }

    fn register(&mut self, record: &RegisterBrokerRecord, delta: &mut Delta) {
        let endpoints = record.end_points.iter().map(|endpoint| Endpoint {
            name: endpoint.name.detached(),
            host: endpoint.host.detached(),
            port: endpoint.port,
            security_protocol: endpoint.security_protocol,
        });
        let features = record.features.iter();
        let broker = Broker {
            id: NodeId(record.broker_id),
            epoch: record.broker_epoch,
            incarnation: record.incarnation_id,
            endpoints: endpoints.collect(),
            features: features
                .map(|feature| (feature.name.detached(), feature.min_supported_version, feature.max_supported_version))
                .collect(),
            rack: record.rack.as_ref().map(Text::detached),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            directories: record.log_dirs.clone(),
            cordoned_directories: record.cordoned_log_dirs.clone().unwrap_or_default(),
        };
        delta.brokers.insert(broker.id);
        self.brokers.insert(broker.id, Arc::new(broker));
    }

    fn change_registration(
        &mut self,
        record: &BrokerRegistrationChangeRecord,
        delta: &mut Delta,
    ) -> Result<(), Inconsistent> {
        let broker = self.broker_mut(record.broker_id, delta)?;
        if record.fenced != 0 {
            broker.fenced = record.fenced > 0;
        }
        if record.in_controlled_shutdown != 0 {
            broker.in_controlled_shutdown = record.in_controlled_shutdown > 0;
        }
        if !record.log_dirs.is_empty() {
            broker.directories.clone_from(&record.log_dirs);
        }
        if let Some(cordoned) = &record.cordoned_log_dirs {
            broker.cordoned_directories.clone_from(cordoned);
        }
        Ok(())
    }

    fn fence(&mut self, id: i32, fenced: bool, delta: &mut Delta) -> Result<(), Inconsistent> {
        self.broker_mut(id, delta)?.fenced = fenced;
        Ok(())
    }

    fn broker_mut(&mut self, id: i32, delta: &mut Delta) -> Result<&mut Broker, Inconsistent> {
        delta.brokers.insert(NodeId(id));
        match self.brokers.get_mut(&NodeId(id)) {
            Some(broker) => Ok(Arc::make_mut(broker)),
            None => inconsistent(format!("broker {id} is not registered")),
        }
    }
}

fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn leader(id: i32) -> Option<NodeId> {
    (id >= 0).then_some(NodeId(id))
}

impl From<&PartitionRecord> for Partition {
    fn from(record: &PartitionRecord) -> Partition {
        let recovering = record.leader_recovery_state != 0;
        let mut directories = record.directories.clone();
        // Before directories were recorded, none was assigned.
        directories.resize(record.replicas.len(), Uuid::ZERO);
        Partition {
            replicas: nodes(&record.replicas),
            directories,
            isr: nodes(&record.isr),
            removing_replicas: nodes(&record.removing_replicas),
            adding_replicas: nodes(&record.adding_replicas),
            eligible_leader_replicas: nodes(record.eligible_leader_replicas.as_deref().unwrap_or_default()),
            last_known_elr: nodes(record.last_known_elr.as_deref().unwrap_or_default()),
            leader: leader(record.leader),
            recovering,
            unclean_epoch: if recovering { LeaderEpoch(record.leader_epoch) } else { LeaderEpoch::NONE },
            leader_epoch: LeaderEpoch(record.leader_epoch),
            partition_epoch: record.partition_epoch,
        }
    }
}

/// The directory of a replica that serves nothing though its directory is well, as KIP-858 names one that no broker has.
pub const LOST: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

/// What a PartitionChangeRecord carries for "the leader stays".
pub(crate) const LEADER_STAYS: i32 = -2;

impl Partition {
    pub(crate) fn merge(&mut self, record: &PartitionChangeRecord) {
        let take = |field: &mut Vec<NodeId>, change: &Option<Vec<i32>>| {
            if let Some(change) = change {
                *field = nodes(change);
            }
        };
        take(&mut self.isr, &record.isr);
        take(&mut self.replicas, &record.replicas);
        take(&mut self.removing_replicas, &record.removing_replicas);
        take(&mut self.adding_replicas, &record.adding_replicas);
        take(&mut self.eligible_leader_replicas, &record.eligible_leader_replicas);
        take(&mut self.last_known_elr, &record.last_known_elr);
        if let Some(directories) = &record.directories {
            self.directories.clone_from(directories);
        }
        self.directories.resize(self.replicas.len(), Uuid::ZERO);
        if record.leader != LEADER_STAYS {
            self.leader = leader(record.leader);
            self.leader_epoch = LeaderEpoch(self.leader_epoch.0.saturating_add(1));
        }
        if record.leader_recovery_state >= 0 {
            self.recovering = record.leader_recovery_state > 0;
        }
        if self.recovering {
            self.unclean_epoch = self.leader_epoch;
        }
        self.partition_epoch = self.partition_epoch.saturating_add(1);
    }
}

/// The version that a record is written in: the lowest that holds what it says, so that Kafka's tools of the same
/// metadata.version read it whatever other features are finalised.
#[must_use]
pub fn wire_version(record: &Record) -> i16 {
    let more = i16::from;
    match record {
        Record::Partition(record) => {
            1 + more(record.eligible_leader_replicas.is_some() || record.last_known_elr.is_some())
        }
        Record::PartitionChange(record) => {
            1 + more(record.eligible_leader_replicas.is_some() || record.last_known_elr.is_some())
        }
        Record::RegisterBroker(record) => 3 + more(record.cordoned_log_dirs.is_some()),
        Record::BrokerRegistrationChange(record) => 2 + more(record.cordoned_log_dirs.is_some()),
        other => other.max_version(),
    }
}
