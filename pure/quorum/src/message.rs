//! What nodes of the quorum say to each other, in our own words; the broker translates them to and from the wire. The
//! fields are those of Kafka's messages: Vote, BeginQuorumEpoch, EndQuorumEpoch, Fetch of the metadata log, FetchSnapshot,
//! AddRaftVoter, RemoveRaftVoter and UpdateRaftVoter.

use bytes::Bytes;
use types::{ErrorCode, LeaderEpoch, NodeId, Offset, Text, Uuid};

/// Where a node is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub host: Text,
    pub port: u16,
}

/// A node with the disk that it keeps its log on: with another disk it is another replica, which must not vote as the
/// first one (KIP-853). A directory of zero is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicaKey {
    pub id: NodeId,
    pub directory: Uuid,
}

/// Names a snapshot: it holds everything below `end_offset`, whose last record is of `epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId {
    pub end_offset: Offset,
    pub epoch: LeaderEpoch,
}

/// What a node knows of the leader; part of every answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderView {
    pub leader: Option<NodeId>,
    pub epoch: LeaderEpoch,
    pub endpoint: Option<Endpoint>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Every node of ours says it; tools of others may leave it out.
    pub cluster_id: Option<Text>,
    pub call: Call,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Vote(Vote),
    BeginQuorumEpoch(BeginQuorumEpoch),
    EndQuorumEpoch(EndQuorumEpoch),
    Fetch(Fetch),
    FetchSnapshot(FetchSnapshot),
    AddVoter(AddVoter),
    RemoveVoter(RemoveVoter),
    UpdateVoter(UpdateVoter),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    Vote(VoteResponse),
    BeginQuorumEpoch(EpochResponse),
    EndQuorumEpoch(EpochResponse),
    Fetch(FetchResponse),
    FetchSnapshot(FetchSnapshotResponse),
    AddVoter(ChangeResponse),
    RemoveVoter(ChangeResponse),
    UpdateVoter(ChangeResponse),
}

/// Asks for a vote, or with `pre_vote` whether there would be one (KIP-996).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Whom the candidate takes the receiver for; a directory of zero fits any.
    pub voter: ReplicaKey,
    pub candidate: ReplicaKey,
    /// The epoch that the candidate wants to lead; before that, the one that it is in.
    pub epoch: LeaderEpoch,
    /// The epoch of the candidate's last record, and the offset after it.
    pub last_epoch: LeaderEpoch,
    pub last_offset: Offset,
    pub pre_vote: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteResponse {
    pub error: ErrorCode,
    pub leader: LeaderView,
    pub granted: bool,
}

/// The sender leads `epoch` now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeginQuorumEpoch {
    pub voter: ReplicaKey,
    pub leader: NodeId,
    pub epoch: LeaderEpoch,
    pub endpoint: Option<Endpoint>,
}

/// The sender stops leading `epoch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndQuorumEpoch {
    pub leader: NodeId,
    pub epoch: LeaderEpoch,
    /// Those that should try to become leader, the best first.
    pub preferred: Vec<ReplicaKey>,
    pub endpoint: Option<Endpoint>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochResponse {
    pub error: ErrorCode,
    pub leader: LeaderView,
}

/// Asks the leader for what follows `offset`, below which the sender holds everything durably.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    pub replica: ReplicaKey,
    pub current_epoch: LeaderEpoch,
    pub offset: Offset,
    /// The epoch of the record before `offset`.
    pub last_epoch: LeaderEpoch,
    pub high_watermark: Offset,
    pub max_wait_ms: u64,
    pub max_bytes: u32,
}

/// Where an epoch ends in the leader's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    pub epoch: LeaderEpoch,
    pub end_offset: Offset,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchResponse {
    pub error: ErrorCode,
    pub leader: LeaderView,
    pub high_watermark: Offset,
    pub log_start_offset: Offset,
    /// The logs went different ways: the sender cuts its own back to here.
    pub diverging: Option<EpochEnd>,
    /// What was asked for is gone from the log: the sender takes this snapshot first.
    pub snapshot: Option<SnapshotId>,
    /// Batches; the last one may be cut off.
    pub records: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchSnapshot {
    pub replica: ReplicaKey,
    pub current_epoch: LeaderEpoch,
    pub snapshot: SnapshotId,
    pub position: u64,
    pub max_bytes: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchSnapshotResponse {
    pub error: ErrorCode,
    pub leader: LeaderView,
    pub snapshot: SnapshotId,
    /// Bytes of the whole snapshot.
    pub size: u64,
    pub position: u64,
    pub bytes: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddVoter {
    pub voter: ReplicaKey,
    pub endpoint: Endpoint,
    pub timeout_ms: u64,
    /// Otherwise the answer comes once the change is in the leader's log.
    pub when_committed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveVoter {
    pub voter: ReplicaKey,
}

/// A voter is reached elsewhere now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateVoter {
    pub current_epoch: LeaderEpoch,
    pub voter: ReplicaKey,
    pub endpoint: Endpoint,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeResponse {
    pub error: ErrorCode,
    pub message: String,
    pub leader: LeaderView,
}
