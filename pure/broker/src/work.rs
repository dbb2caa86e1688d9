//! What a shard can be asked to do, and what came of it.

use crate::checkpoint::CheckpointRow;
use coordinator::group;
use log::{Disk, Producer};
use metadata::controller::{self, LastStop};
use metadata::{Broker, Refused};
use record::Rejected;
use replica::{Appended, Isolation, IsrProposal, ListedOffset, OffsetSpec, Read, Slice};
use types::{ErrorCode, Instant, LeaderEpoch, Offset, PartitionIndex, ProducerId, ShardId, Text, TopicPartition};

/// A call of one shard, which may have works on several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What one replica takes in one log directory.
#[derive(Clone, Debug)]
pub struct ReplicaSize {
    pub topic: Text,
    pub partition: PartitionIndex,
    /// The number of its log directory.
    pub directory: usize,
    pub size_bytes: u64,
    /// How many records it lacks: of what is committed, or as a future replica of what it replaces.
    pub lag: i64,
    /// It is to replace the one in another directory.
    pub is_future: bool,
}

#[derive(Debug)]
pub enum Work {
    Partition {
        partition: TopicPartition,
        op: PartitionOp,
    },
    /// For the coordinator that lives on this partition of `__consumer_offsets`.
    Group {
        partition: PartitionIndex,
        command: Box<group::Command>,
    },
    Controller(Box<ControllerWork>),
    /// For the metadata quorum.
    Quorum(Box<quorum::Request>),
    /// How the quorum stands.
    DescribeQuorum,
    /// What checkpoints are to say of a shard's partitions.
    Checkpoint {
        shard: ShardId,
    },
    /// The sizes of all partitions of a shard.
    Sizes {
        shard: ShardId,
    },
    /// What has changed on a shard from a number on that an earlier outcome gave.
    Changes {
        shard: ShardId,
        since: Option<u64>,
    },
    /// Wait until something changes on a shard.
    WatchChanges {
        shard: ShardId,
        since: u64,
    },
    /// Nothing to do: the answer is known. Keeps the outcomes of a request in the order of its parts.
    Refused {
        code: ErrorCode,
        message: String,
    },
}

/// For the controller.
#[derive(Debug)]
pub enum ControllerWork {
    Decide(controller::Command),
    /// A broker starts.
    Register {
        broker: Broker,
        last_stop: LastStop,
    },
    /// Leaders of this broker want other ISRs.
    AlterPartition(Vec<(TopicPartition, IsrProposal)>),
    /// Create these topics because somebody asked for them.
    AutoCreate(Vec<Text>),
}

/// When a producer is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledge {
    /// acks=all: when the records are committed. Else acks=1: when the leader has them, durable where `flush.messages=1`
    /// makes that its promise.
    pub all: bool,
    pub by: Instant,
}

#[derive(Debug)]
pub enum PartitionOp {
    Produce {
        records: bytes::Bytes,
        /// With acks=1 or all: wait for what the acknowledgement promises, at most until then.
        acknowledge: Option<Acknowledge>,
    },
    Fetch(Read),
    /// Wait until a reader could see more than up to `seen`.
    Watch {
        seen: Offset,
        isolation: Isolation,
    },
    ListOffset {
        spec: OffsetSpec,
        isolation: Isolation,
        current_leader_epoch: LeaderEpoch,
    },
    EpochEnd {
        epoch: LeaderEpoch,
        current_leader_epoch: LeaderEpoch,
    },
    DeleteRecords {
        before: Offset,
    },
    Producers,
    /// The replica on this broker is wanted in another log directory.
    MoveTo {
        directory: usize,
    },
    /// What a throttled follower was to be sent found no room in the answer.
    Unsent {
        bytes: u64,
    },
}

impl PartitionOp {
    /// Consumers may read from a follower (KIP-392), and administrators look at any replica.
    pub(crate) fn may_follower_answer(&self) -> bool {
        match self {
            PartitionOp::Fetch(read) => !read.leader_only,
            PartitionOp::Watch { isolation, .. } => *isolation != Isolation::LogEnd,
            PartitionOp::Producers | PartitionOp::Unsent { .. } | PartitionOp::MoveTo { .. } => true,
            PartitionOp::Produce { .. }
            | PartitionOp::ListOffset { .. }
            | PartitionOp::EpochEnd { .. }
            | PartitionOp::DeleteRecords { .. } => false,
        }
    }
}

pub enum Outcome<D: Disk> {
    /// Not there yet, or never waited for.
    Pending,
    Refused {
        code: ErrorCode,
        message: String,
    },
    Produced(Appended),
    Rejected(Rejected),
    Fetched(Slice<D::File>),
    Changed,
    /// None where all may have changed.
    Changes {
        next: u64,
        partitions: Option<Vec<TopicPartition>>,
    },
    Listed(ListedOffset),
    EpochEnd {
        epoch: LeaderEpoch,
        end_offset: Offset,
    },
    Deleted {
        log_start_offset: Offset,
    },
    Producers(Vec<(ProducerId, Producer)>),
    Group(group::Reply),
    Controller(controller::Reply),
    Quorum(Box<quorum::Response>),
    /// None where this node does not lead the quorum.
    QuorumView(Option<Box<quorum::Description>>),
    Sizes(Vec<ReplicaSize>),
    Checkpoint(Vec<CheckpointRow>),
}

impl Work {
    /// A work of one partition, where the request named one that is there.
    pub(crate) fn of_partition(resolved: Result<TopicPartition, ErrorCode>, op: PartitionOp) -> Work {
        match resolved {
            Ok(partition) => Work::Partition { partition, op },
            Err(code) => Work::refused(code, String::new()),
        }
    }

    pub(crate) fn refused(code: ErrorCode, message: String) -> Work {
        Work::Refused { code, message }
    }

    pub(crate) fn controller(command: controller::Command) -> Work {
        Work::Controller(Box::new(ControllerWork::Decide(command)))
    }
}

impl<D: Disk> Outcome<D> {
    pub(crate) fn refused(code: ErrorCode, message: impl Into<String>) -> Outcome<D> {
        Outcome::Refused { code, message: message.into() }
    }

    /// The controller lost its office before it was done.
    pub(crate) fn lost_controller(&self) -> bool {
        matches!(self, Outcome::Refused { code: ErrorCode::NOT_CONTROLLER, .. })
    }

    /// The error of an outcome that is not what its work promises when all is well.
    pub(crate) fn into_failure(self) -> (ErrorCode, String) {
        match self {
            Outcome::Refused { code, message } => (code, message),
            Outcome::Rejected(rejected) => (rejected.code, rejected.message),
            Outcome::Pending => (ErrorCode::REQUEST_TIMED_OUT, String::new()),
            Outcome::Controller(reply) => match reply.into_refused() {
                Some(refused) => (refused.code, refused.message),
                None => foreign(),
            },
            Outcome::Produced(_)
            | Outcome::Fetched(_)
            | Outcome::Changed
            | Outcome::Changes { .. }
            | Outcome::Listed(_)
            | Outcome::EpochEnd { .. }
            | Outcome::Deleted { .. }
            | Outcome::Producers(_)
            | Outcome::Group(_)
            | Outcome::Quorum(_)
            | Outcome::QuorumView(_)
            | Outcome::Sizes(_)
            | Outcome::Checkpoint(_) => foreign(),
        }
    }

    /// As `into_failure`, as answers say it.
    pub(crate) fn into_answer(self) -> (ErrorCode, Option<Text>) {
        let (code, message) = self.into_failure();
        (code, (!message.is_empty()).then(|| Text::from(message)))
    }

    /// As `into_failure`, for a work that was about several things: each of them has failed.
    pub(crate) fn refuse_all<K, T>(self, things: Vec<K>) -> Vec<(K, Result<T, Refused>)> {
        let (code, message) = self.into_failure();
        things.into_iter().map(|thing| (thing, Err(Refused::new(code, message.clone())))).collect()
    }
}

fn foreign() -> (ErrorCode, String) {
    debug_assert!(false, "an outcome of another kind of work");
    (ErrorCode::UNKNOWN_SERVER_ERROR, String::new())
}
