//! The metadata quorum: one log that a majority of the voters holds, and who leads it. Raft in the shape of KRaft: followers
//! fetch (KIP-595), snapshots (KIP-630), voters that change and know their disks (KIP-853), pre-votes (KIP-996).
//!
//! `Quorum` is one node of it, without a clock, a network or a thread: `handle` takes what happened, `take_outputs` gives
//! what is to be done. It owns the log `__cluster_metadata-0` and the file `quorum-state`. It must never know what a record
//! of the controller says, nor a message of the wire.

mod control;
mod election;
mod follower;
mod journal;
mod leader;
mod membership;
mod message;
mod quorum;
mod role;
mod snapshot;
mod state_file;
mod view;
mod voters;

pub use journal::Entry;
pub use message::{
    AddVoter, BeginQuorumEpoch, Call, ChangeResponse, EndQuorumEpoch, Endpoint, EpochEnd, EpochResponse, Fetch,
    FetchResponse, FetchSnapshot, FetchSnapshotResponse, LeaderView, RemoveVoter, ReplicaKey, Request, Response,
    SnapshotId, UpdateVoter, Vote, VoteResponse,
};
pub use quorum::{AppendError, Config, Input, Output, Peer, Quorum};
pub use view::{Description, ReplicaView};
pub use voters::{Voter, VoterSet};
