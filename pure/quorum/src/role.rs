//! What a node is at the moment, with what it must remember as that.

use crate::message::{Fetch, ReplicaKey, SnapshotId};
use std::collections::{BTreeMap, BTreeSet};
use types::{Instant, NodeId, Offset, Timestamp};

pub(crate) enum Role {
    /// Knows no leader of its epoch. It may have voted.
    Unattached(Waiting),
    /// Asks whether it would be elected, before it disturbs anybody with a new epoch (KIP-996).
    Prospective(Ballot),
    /// Asks for votes in an epoch of its own.
    Candidate(Ballot),
    Follower(Following),
    Leader(Box<Leading>),
    /// Led its epoch and must not again.
    Resigned(Waiting),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// When a voter tries to become leader.
    pub deadline: Instant,
    /// When somebody is asked next who leads.
    pub probe_at: Instant,
}

/// Votes, or answers to a pre-vote.
#[derive(Debug)]
pub(crate) struct Ballot {
    pub granted: BTreeSet<NodeId>,
    pub rejected: BTreeSet<NodeId>,
    /// Those who could not be reached when they were asked last.
    pub unreached: BTreeSet<NodeId>,
    /// Who is to be asked, and from when on; those who were asked and have not answered are in none of the three.
    pub due: BTreeMap<NodeId, Instant>,
    /// The ballot is over, won or not.
    pub deadline: Instant,
}

#[derive(Debug)]
pub(crate) struct Following {
    pub leader: NodeId,
    /// When the leader last answered; none where it did not, or where the link to it closed since.
    pub heard_at: Option<Instant>,
    /// When the leader is given up.
    pub deadline: Instant,
    /// When the next fetch may be sent.
    pub fetch_at: Instant,
    /// The fetch that was sent.
    pub fetching: Option<u64>,
    /// A snapshot that is being fetched.
    pub download: Option<Download>,
    /// When the leader may be told again where this voter is reached.
    pub update_at: Instant,
}

#[derive(Debug)]
pub(crate) struct Download {
    pub id: SnapshotId,
    pub bytes: Vec<u8>,
}

pub(crate) struct Leading {
    /// Where its epoch begins in the log. Only a record of its own epoch shows that what is before is committed.
    pub epoch_start: Offset,
    pub since: Instant,
    /// The record at `epoch_start` is committed, and the owner was told.
    pub confirmed: bool,
    pub progress: BTreeMap<ReplicaKey, Progress>,
    /// Fetches that wait for something to answer.
    pub parked: Vec<Parked>,
    /// When each voter is told of the epoch next, as long as it does not fetch.
    pub begin_at: BTreeMap<NodeId, Instant>,
    pub change: Option<Change>,
}

/// How far a replica got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// It holds everything below durably.
    pub offset: Offset,
    pub fetched_at: Instant,
    pub fetched_wall: Timestamp,
    /// When it last had everything.
    pub caught_up_at: Option<Instant>,
    pub caught_up_wall: Timestamp,
    /// Where the leader's log ended at its last fetch.
    pub leader_end: Offset,
}

#[derive(Debug)]
pub(crate) struct Parked {
    pub token: u64,
    pub fetch: Fetch,
    pub until: Instant,
}

/// A change of the voters that somebody waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    /// Of the record; it is committed when the high watermark is above.
    pub offset: Offset,
    pub token: u64,
    pub kind: ChangeKind,
    pub until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Add,
    Remove,
    Update,
}

impl Ballot {
    /// Whether so many voters have granted it.
    pub fn is_won(&self, majority: usize) -> bool {
        self.granted.len() >= majority
    }

    /// Whether the voters that have not refused are too few. Where votes are split, those who cannot be reached decide
    /// nothing: to wait for them is to wait for the election's whole time-out.
    pub fn is_lost(&self, voters: usize, majority: usize) -> bool {
        let silent = if self.rejected.is_empty() { 0 } else { self.unreached.len() };
        voters - (self.rejected.len() + silent).min(voters) < majority
    }
}

impl Following {
    pub fn new(leader: NodeId, now: Instant, fetch_timeout_ms: u64) -> Following {
        Following {
            leader,
            heard_at: None,
            deadline: now.plus_ms(fetch_timeout_ms),
            fetch_at: now,
            fetching: None,
            download: None,
            update_at: now,
        }
    }
}

impl Role {
    pub fn name(&self) -> &'static str {
        match self {
            Role::Unattached(_) => "unattached",
            Role::Prospective(_) => "prospective",
            Role::Candidate(_) => "candidate",
            Role::Follower(_) => "follower",
            Role::Leader(_) => "leader",
            Role::Resigned(_) => "resigned",
        }
    }
}
