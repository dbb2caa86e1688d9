//! What a client knows of the cluster: brokers, topics, who leads which partition.

use std::collections::BTreeMap;
use types::{ErrorCode, Instant, LeaderEpoch, NodeId, PartitionIndex, Text, TopicId};

/// How long brokers may go on telling of older leader epochs than one that was seen. After that the topic was deleted and
/// made anew where the epoch was committed for the one before.
const OUTDATED_MS_MAX: u64 = 60_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    pub node: NodeId,
    pub host: String,
    pub port: u16,
    pub rack: Option<Text>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    pub index: PartitionIndex,
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub replicas: Vec<NodeId>,
    pub isr: Vec<NodeId>,
    pub error: ErrorCode,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: Text,
    pub id: TopicId,
    pub is_internal: bool,
    pub error: ErrorCode,
    /// By partition number.
    pub partitions: Vec<Partition>,
}

impl Topic {
    #[must_use]
    pub fn partition(&self, index: PartitionIndex) -> Option<&Partition> {
        let at = self.partitions.binary_search_by_key(&index, |partition| partition.index).ok()?;
        self.partitions.get(at)
    }
}

#[derive(Debug, Default)]
pub struct Metadata {
    pub brokers: BTreeMap<NodeId, Broker>,
    pub controller: Option<NodeId>,
    pub cluster_id: Option<Text>,
    topics: BTreeMap<Text, Topic>,
    names: BTreeMap<TopicId, Text>,
    /// Partitions of which a later epoch was seen than brokers tell, and until when that counts.
    outdated: BTreeMap<(Text, PartitionIndex), Instant>,
}

impl Metadata {
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values()
    }

    pub fn by_id(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(self.names.get(&id)?.as_str())
    }

    /// Takes over what a broker answered. A topic that was asked for and is not in the answer is forgotten.
    pub fn update(&mut self, now: Instant, response: &wire::MetadataResponse, asked_for_all: bool) {
        let broker = |known: &wire::metadata_response::MetadataResponseBroker| {
            let node = NodeId(known.node_id);
            let port = u16::try_from(known.port).unwrap_or(0);
            (node, Broker { node, host: known.host.to_string(), port, rack: known.rack.clone() })
        };
        if !response.brokers.is_empty() {
            self.brokers = response.brokers.iter().map(broker).collect();
        }
        self.controller = Some(NodeId(response.controller_id)).filter(|node| node.0 >= 0);
        self.cluster_id.clone_from(&response.cluster_id);
        if asked_for_all {
            self.topics.clear();
            self.names.clear();
        }
        for topic in &response.topics {
            self.update_topic(now, topic);
        }
    }

    /// A partition had a leader in this epoch: one that is known from before is not to be asked. True where one was.
    pub fn outdate(&mut self, now: Instant, spot: &(Text, PartitionIndex), epoch: LeaderEpoch) -> bool {
        let topic = self.topics.get_mut(&spot.0);
        let known = topic.and_then(|topic| topic.partitions.iter_mut().find(|known| known.index == spot.1));
        // Old brokers name no epochs.
        let older = known.filter(|known| known.leader_epoch != LeaderEpoch::NONE && known.leader_epoch < epoch);
        let Some(older) = older else { return false };
        (older.leader, older.leader_epoch) = (None, epoch);
        self.outdated.insert(spot.clone(), now.plus_ms(OUTDATED_MS_MAX));
        true
    }

    fn update_topic(&mut self, now: Instant, topic: &wire::metadata_response::MetadataResponseTopic) {
        let Some(name) = topic.name.clone().map(|name| name.detached()) else { return };
        let before = self.topics.remove(&name);
        if let Some(before) = &before {
            self.names.remove(&before.id);
        }
        let mut partitions: Vec<Partition> = topic.partitions.iter().map(partition).collect();
        partitions.sort_by_key(|partition| partition.index);
        // Brokers learn of a change one after the other: what is older than what is known is passed over.
        for old in before.iter().filter(|before| before.id == topic.topic_id).flat_map(|before| &before.partitions) {
            let Ok(at) = partitions.binary_search_by_key(&old.index, |partition| partition.index) else { continue };
            let until = self.outdated.remove(&(name.clone(), old.index));
            if partitions[at].leader_epoch < old.leader_epoch && until.is_none_or(|until| now < until) {
                partitions[at] = old.clone();
                self.outdated.extend(until.map(|until| ((name.clone(), old.index), until)));
            }
        }
        if !topic.topic_id.is_zero() {
            self.names.insert(topic.topic_id, name.clone());
        }
        let known = Topic {
            name: name.clone(),
            id: topic.topic_id,
            is_internal: topic.is_internal,
            error: topic.error_code,
            partitions,
        };
        self.topics.insert(name, known);
    }
}

fn partition(known: &wire::metadata_response::MetadataResponsePartition) -> Partition {
    let nodes = |ids: &[i32]| ids.iter().copied().map(NodeId).collect();
    Partition {
        index: PartitionIndex(known.partition_index),
        leader: Some(NodeId(known.leader_id)).filter(|node| node.0 >= 0),
        leader_epoch: LeaderEpoch(known.leader_epoch),
        replicas: nodes(&known.replica_nodes),
        isr: nodes(&known.isr_nodes),
        error: known.error_code,
    }
}
