//! What clients ask of a group and what they are told, in the words of Kafka's requests but of none of their versions.
//!
//! The broker's `api` files translate: what a version adds or lacks arrives here as a named flag or an empty value.

use bytes::Bytes;
use types::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, Text, Uuid};

/// The generation of a group: one assignment for each. -1 where a request names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub i32);

impl Generation {
    pub const NONE: Generation = Generation(-1);
}

#[derive(Clone, Debug)]
pub enum Command {
    Join(Join),
    Sync(Sync),
    Heartbeat(Heartbeat),
    Leave(Leave),
    OffsetCommit(OffsetCommit),
    OffsetFetch(OffsetFetch),
    OffsetDelete(OffsetDelete),
    ListGroups(ListGroups),
    DescribeGroups(DescribeGroups),
    DeleteGroups(DeleteGroups),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Join(JoinReply),
    Sync(SyncReply),
    Heartbeat(ErrorCode),
    Leave(LeaveReply),
    OffsetCommit(OffsetCommitReply),
    OffsetFetch(OffsetFetchReply),
    OffsetDelete(OffsetDeleteReply),
    ListGroups(Vec<Listed>),
    DescribeGroups(Vec<Described>),
    DeleteGroups(Vec<(Text, ErrorCode)>),
}

#[derive(Clone, Debug, Default)]
pub struct Join {
    pub group: Text,
    /// Empty where the member has no id yet.
    pub member: Text,
    pub instance: Option<Text>,
    pub client_id: Text,
    pub client_host: Text,
    pub session_timeout_ms: i32,
    /// Version 0 has none: there the session time-out counts.
    pub rebalance_timeout_ms: i32,
    pub protocol_type: Text,
    /// In the order of the member's preference.
    pub protocols: Vec<(Text, Bytes)>,
    /// Why the member joins, for people (KIP-800).
    pub reason: Option<Text>,
    /// Version 4: a new member is given an id first and joins with that (KIP-394).
    pub requires_known_member: bool,
    /// Version 9: a static leader that returns may be told to skip the assignment (KIP-814).
    pub can_skip_assignment: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinReply {
    pub error: ErrorCode,
    pub generation: Generation,
    pub protocol_type: Option<Text>,
    /// `None` is the empty text before version 7.
    pub protocol: Option<Text>,
    pub leader: Text,
    pub skip_assignment: bool,
    pub member: Text,
    /// For the leader all members, for others none.
    pub members: Vec<JoinedMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    pub member: Text,
    pub instance: Option<Text>,
    pub metadata: Bytes,
}

impl JoinReply {
    #[must_use]
    pub fn refused(member: Text, error: ErrorCode) -> JoinReply {
        JoinReply {
            error,
            generation: Generation::NONE,
            protocol_type: None,
            protocol: None,
            leader: Text::default(),
            skip_assignment: false,
            member,
            members: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Sync {
    pub group: Text,
    pub generation: Generation,
    pub member: Text,
    pub instance: Option<Text>,
    /// Checked against the group's where the version carries them.
    pub protocol_type: Option<Text>,
    pub protocol: Option<Text>,
    pub assignments: Vec<(Text, Bytes)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncReply {
    pub error: ErrorCode,
    pub protocol_type: Option<Text>,
    pub protocol: Option<Text>,
    pub assignment: Bytes,
}

impl SyncReply {
    #[must_use]
    pub fn refused(error: ErrorCode) -> SyncReply {
        SyncReply { error, protocol_type: None, protocol: None, assignment: Bytes::new() }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Heartbeat {
    pub group: Text,
    pub generation: Generation,
    pub member: Text,
    pub instance: Option<Text>,
}

#[derive(Clone, Debug, Default)]
pub struct Leave {
    pub group: Text,
    /// One before version 3.
    pub members: Vec<Leaver>,
}

#[derive(Clone, Debug, Default)]
pub struct Leaver {
    /// Empty where an administrator removes a static member by its instance id.
    pub member: Text,
    pub instance: Option<Text>,
    pub reason: Option<Text>,
}

/// Before version 3 the one member's error is the request's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveReply {
    pub error: ErrorCode,
    pub members: Vec<LeftMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftMember {
    pub member: Text,
    pub instance: Option<Text>,
    pub error: ErrorCode,
}

#[derive(Clone, Debug, Default)]
pub struct OffsetCommit {
    pub group: Text,
    pub generation: Generation,
    pub member: Text,
    pub instance: Option<Text>,
    /// Versions 2 to 4 may ask for a retention of their own.
    pub retention_ms: Option<i64>,
    /// Version 9: a generation of an unknown group is GROUP_ID_NOT_FOUND, before it is ILLEGAL_GENERATION.
    pub knows_group_id_not_found: bool,
    /// Only partitions that exist and that the client may read; the broker answers for the others.
    pub topics: Vec<CommitTopic>,
}

#[derive(Clone, Debug, Default)]
pub struct CommitTopic {
    pub name: Text,
    /// Zero where unknown.
    pub id: Uuid,
    pub partitions: Vec<CommitPartition>,
}

#[derive(Clone, Debug, Default)]
pub struct CommitPartition {
    pub partition: PartitionIndex,
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
    /// Null on the wire is the empty text.
    pub metadata: Text,
}

/// In the order of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommitReply {
    pub topics: Vec<TopicErrors>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicErrors {
    pub name: Text,
    pub id: Uuid,
    pub partitions: Vec<(PartitionIndex, ErrorCode)>,
}

/// One group's part of a request.
#[derive(Clone, Debug, Default)]
pub struct OffsetFetch {
    pub group: Text,
    /// All topics of the group where `None`.
    pub topics: Option<Vec<FetchTopic>>,
}

#[derive(Clone, Debug, Default)]
pub struct FetchTopic {
    pub name: Text,
    /// Zero where unknown; an offset of another topic of this name is then no offset.
    pub id: Uuid,
    pub partitions: Vec<PartitionIndex>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetFetchReply {
    pub error: ErrorCode,
    pub topics: Vec<FetchedTopic>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedTopic {
    pub name: Text,
    /// As asked, or as committed where all topics were asked for; zero where unknown.
    pub id: Uuid,
    pub partitions: Vec<FetchedPartition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    pub partition: PartitionIndex,
    /// -1 where none is committed.
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
    pub metadata: Text,
}

#[derive(Clone, Debug, Default)]
pub struct OffsetDelete {
    pub group: Text,
    pub topics: Vec<(Text, Vec<PartitionIndex>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetDeleteReply {
    pub error: ErrorCode,
    pub topics: Vec<(Text, Vec<(PartitionIndex, ErrorCode)>)>,
}

/// An empty filter lets everything pass; case does not count.
#[derive(Clone, Debug, Default)]
pub struct ListGroups {
    pub states: Vec<Text>,
    pub types: Vec<Text>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub group: Text,
    pub protocol_type: Text,
    pub state: &'static str,
    pub group_type: &'static str,
}

#[derive(Clone, Debug, Default)]
pub struct DescribeGroups {
    pub groups: Vec<Text>,
    /// Version 6: an unknown group is GROUP_ID_NOT_FOUND with a message, before it is a dead group without an error.
    pub knows_group_id_not_found: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub error: ErrorCode,
    pub message: Option<String>,
    pub group: Text,
    pub state: &'static str,
    pub protocol_type: Text,
    pub protocol: Text,
    pub members: Vec<DescribedMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    pub member: Text,
    pub instance: Option<Text>,
    pub client_id: Text,
    pub client_host: Text,
    pub metadata: Bytes,
    pub assignment: Bytes,
}

#[derive(Clone, Debug, Default)]
pub struct DeleteGroups {
    pub groups: Vec<Text>,
}

impl Reply {
    /// The same answer as a refusal, where its records could not be stored.
    #[must_use]
    pub fn refused(self, append: ErrorCode) -> Reply {
        let error = as_group_error(append);
        match self {
            Reply::Join(_) => Reply::Join(JoinReply::refused(Text::default(), error)),
            Reply::Sync(_) => Reply::Sync(SyncReply::refused(error)),
            Reply::Heartbeat(_) => Reply::Heartbeat(error),
            Reply::Leave(_) => Reply::Leave(LeaveReply { error, members: Vec::new() }),
            Reply::OffsetCommit(mut reply) => {
                let error = if error == ErrorCode::UNKNOWN_SERVER_ERROR {
                    ErrorCode::INVALID_COMMIT_OFFSET_SIZE
                } else {
                    error
                };
                let partitions = reply.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                partitions.filter(|partition| partition.1.is_ok()).for_each(|partition| partition.1 = error);
                Reply::OffsetCommit(reply)
            }
            Reply::OffsetFetch(_) => Reply::OffsetFetch(OffsetFetchReply { error, topics: Vec::new() }),
            Reply::OffsetDelete(_) => Reply::OffsetDelete(OffsetDeleteReply { error, topics: Vec::new() }),
            Reply::DeleteGroups(mut groups) => {
                groups.iter_mut().filter(|group| group.1.is_ok()).for_each(|group| group.1 = error);
                Reply::DeleteGroups(groups)
            }
            read @ (Reply::ListGroups(_) | Reply::DescribeGroups(_)) => read,
        }
    }
}

/// Clients know what to do about a coordinator that moved or is away, not about an append that failed.
pub(super) fn as_group_error(append: ErrorCode) -> ErrorCode {
    match append {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::NOT_ENOUGH_REPLICAS | ErrorCode::REQUEST_TIMED_OUT => {
            ErrorCode::COORDINATOR_NOT_AVAILABLE
        }
        ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::KAFKA_STORAGE_ERROR => ErrorCode::NOT_COORDINATOR,
        ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE | ErrorCode::INVALID_FETCH_SIZE => {
            ErrorCode::UNKNOWN_SERVER_ERROR
        }
        other => other,
    }
}
