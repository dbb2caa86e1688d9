//! What may be asked of the controller, and what it answers.

use crate::config::{ConfigEntry, Operation, Resource};
use crate::image::Broker;
use crate::refused::Refused;
use types::{ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, ProducerId, Text, TopicId, TopicPartition, Uuid};

/// What may be asked of the controller.
#[derive(Clone, Debug)]
pub enum Command {
    CreateTopics {
        topics: Vec<NewTopic>,
        validate_only: bool,
    },
    DeleteTopics {
        topics: Vec<TopicName>,
    },
    CreatePartitions {
        topics: Vec<NewPartitions>,
        validate_only: bool,
    },
    AlterConfigs {
        changes: Vec<(Resource, ConfigChange)>,
        validate_only: bool,
    },
    AllocateProducerIds {
        broker: NodeId,
        epoch: i64,
    },
    RegisterBroker(Box<Registration>),
    Heartbeat(Heartbeat),
    /// A broker is dead, as far as anybody can tell. Of an older registration than the present one this does nothing.
    FenceBroker {
        broker: NodeId,
        epoch: i64,
    },
    UnregisterBroker {
        broker: NodeId,
    },
    AlterPartition {
        broker: NodeId,
        epoch: i64,
        partitions: Vec<IsrChange>,
    },
    /// None is every partition; the answer then leaves out those that need no election.
    ElectLeaders {
        kind: ElectionKind,
        partitions: Option<Vec<(Text, PartitionIndex)>>,
    },
    /// Gives partitions back to their preferred leaders, a bounded number at once.
    BalanceLeaders,
    /// Looks again for leaders of partitions without one.
    RetryElections,
    AlterPartitionReassignments {
        partitions: Vec<Reassignment>,
        allow_replication_factor_change: bool,
    },
    UpdateFeatures {
        updates: Vec<FeatureUpdate>,
        validate_only: bool,
    },
    /// Where a broker keeps replicas: the directory of each.
    AssignReplicasToDirs {
        broker: NodeId,
        epoch: i64,
        assignments: Vec<(TopicPartition, Uuid)>,
    },
}

/// A topic to be created.
#[derive(Clone, Debug, Default)]
pub struct NewTopic {
    pub name: Text,
    /// -1 for `num.partitions`, or where `assignments` are given.
    pub partitions: i32,
    /// -1 for `default.replication.factor`, or where `assignments` are given.
    pub replication_factor: i16,
    pub assignments: Vec<(PartitionIndex, Vec<NodeId>)>,
    pub configs: Vec<(Text, Option<Text>)>,
    /// Refused while fewer brokers live than there are to be replicas; else fenced ones make up the number.
    pub living_only: bool,
}

impl NewTopic {
    /// Nothing is said of it but its name.
    #[must_use]
    pub fn is_shapeless(&self) -> bool {
        self.partitions == -1 && self.replication_factor == -1 && self.assignments.is_empty() && self.configs.is_empty()
    }
}

/// A topic by name or by id, never both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicName {
    pub name: Option<Text>,
    /// `Uuid::ZERO` where the name is given.
    pub id: TopicId,
}

#[derive(Clone, Debug)]
pub struct NewPartitions {
    pub topic: Text,
    /// How many there are to be in all.
    pub count: i32,
    /// Replicas of each added partition, where the client chooses them.
    pub assignments: Option<Vec<Vec<NodeId>>>,
}

/// A change of one resource's configurations.
#[derive(Clone, Debug)]
pub enum ConfigChange {
    /// AlterConfigs: what is not named returns to its default.
    Replace(Vec<(Text, Option<Text>)>),
    /// IncrementalAlterConfigs.
    Incremental(Vec<(Text, Operation)>),
    /// A change that the request itself got wrong.
    Refused(Refused),
}

/// A topic as it was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    pub id: TopicId,
    pub partitions: i32,
    pub replication_factor: i16,
    pub configs: Vec<ConfigEntry>,
}

/// How a broker's last run ended, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LastStop {
    /// It wrote everything out.
    Clean,
    /// The process died; the operating system kept what it wrote.
    Killed,
    /// The machine died: the ends of its logs may be gone.
    PowerLost,
}

/// A broker that starts.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Its epoch is the offset that the first of the decision's records will have. In a cluster it starts fenced and a
    /// heartbeat unfences it. The lone node of its cluster starts unfenced, and leads at once what it can.
    pub broker: Broker,
    pub last_stop: LastStop,
    /// Whether the registration that this one replaces has a session: `Liveness::is_alive`.
    pub replaces_living: bool,
}

/// A sign of life, and what its broker wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    pub broker: NodeId,
    pub epoch: i64,
    /// The last record of the metadata log that the broker has applied.
    pub metadata_offset: Offset,
    pub want_fence: bool,
    pub want_shutdown: bool,
    /// Directories that failed.
    pub offline_directories: Vec<Uuid>,
    /// Directories that are to get no new replicas; None where the broker does not say.
    pub cordoned_directories: Option<Vec<Uuid>>,
    /// Whether all other living brokers have applied what this broker's shutdown changed: `Liveness::heard` says.
    pub others_know: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatReply {
    pub is_caught_up: bool,
    pub is_fenced: bool,
    pub should_shut_down: bool,
}

/// A leader's wish for another ISR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrChange {
    pub partition: TopicPartition,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: i32,
    /// With the broker epoch that each replica fetches under, where that is known.
    pub isr: Vec<(NodeId, Option<i64>)>,
    /// The leader has not recovered from its unclean election.
    pub recovering: bool,
}

/// A partition as it is after AlterPartition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub isr: Vec<NodeId>,
    pub recovering: bool,
    pub partition_epoch: i32,
}

/// What became of each wish.
pub type AlteredIsrs = Vec<(TopicPartition, Result<PartitionState, ErrorCode>)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionKind {
    Preferred,
    /// A leader at any price where there is none.
    Unclean,
}

impl ElectionKind {
    /// By the wire's number.
    #[must_use]
    pub fn from_code(code: i8) -> Option<ElectionKind> {
        match code {
            0 => Some(ElectionKind::Preferred),
            1 => Some(ElectionKind::Unclean),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    pub topic: Text,
    pub partition: PartitionIndex,
    /// None cancels what is under way.
    pub replicas: Option<Vec<NodeId>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeType {
    Upgrade,
    SafeDowngrade,
    UnsafeDowngrade,
}

impl UpgradeType {
    /// By the wire's number.
    #[must_use]
    pub fn from_code(code: i8) -> Option<UpgradeType> {
        match code {
            1 => Some(UpgradeType::Upgrade),
            2 => Some(UpgradeType::SafeDowngrade),
            3 => Some(UpgradeType::UnsafeDowngrade),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureUpdate {
    pub name: Text,
    /// 0 takes the feature away.
    pub level: i16,
    pub upgrade_type: UpgradeType,
}

/// The answers to a command, in the order of what it named.
#[derive(Clone, Debug)]
pub enum Reply {
    CreateTopics(Vec<(Text, Result<CreatedTopic, Refused>)>),
    DeleteTopics(Vec<(TopicName, Result<(), Refused>)>),
    CreatePartitions(Vec<(Text, Result<(), Refused>)>),
    AlterConfigs(Vec<(Resource, Result<(), Refused>)>),
    AllocateProducerIds(Result<ProducerIds, Refused>),
    /// The epoch under which it is registered.
    RegisterBroker(Result<i64, Refused>),
    Heartbeat(Result<HeartbeatReply, Refused>),
    FenceBroker,
    UnregisterBroker(Result<(), Refused>),
    AlterPartition(Result<AlteredIsrs, Refused>),
    ElectLeaders(Vec<(Text, PartitionIndex, Result<(), Refused>)>),
    /// How many partitions were given back, and whether some are left for another turn.
    BalanceLeaders {
        moved: usize,
        more: bool,
    },
    RetryElections,
    AlterPartitionReassignments(Vec<(Text, PartitionIndex, Result<(), Refused>)>),
    UpdateFeatures(Result<(), Refused>),
    AssignReplicasToDirs(Result<Vec<(TopicPartition, Uuid, ErrorCode)>, Refused>),
}

impl Reply {
    /// Why the controller refused, where it did so as a whole.
    #[must_use]
    pub fn into_refused(self) -> Option<Refused> {
        match self {
            Reply::AllocateProducerIds(result) => result.err(),
            Reply::RegisterBroker(result) => result.err(),
            Reply::Heartbeat(result) => result.err(),
            Reply::AlterPartition(result) => result.err(),
            Reply::AssignReplicasToDirs(result) => result.err(),
            Reply::UnregisterBroker(result) | Reply::UpdateFeatures(result) => result.err(),
            Reply::CreateTopics(_)
            | Reply::DeleteTopics(_)
            | Reply::CreatePartitions(_)
            | Reply::AlterConfigs(_)
            | Reply::FenceBroker
            | Reply::ElectLeaders(_)
            | Reply::BalanceLeaders { .. }
            | Reply::RetryElections
            | Reply::AlterPartitionReassignments(_) => None,
        }
    }
}

/// A block of producer ids that nobody else is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIds {
    pub first: ProducerId,
    pub count: i32,
}
