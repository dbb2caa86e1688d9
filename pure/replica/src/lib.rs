//! One partition on its shard: the log, who leads it, who follows, how far it is committed, and who waits for that.
//!
//! Owns every comparison of offsets between replicas. Must never know a request, a connection or a topic's name beyond
//! its log's folder. Called by the shard that owns the partition, on one thread.
//!
//! The rules are those of KIP-101, KIP-279 and KIP-320 (epochs decide what is cut off), KIP-207 (a new leader does not
//! know the end yet), KIP-392 (followers serve consumers), KIP-497 and KIP-903 (the ISR is changed by the controller, for
//! one registration of a broker), KIP-966 (nothing is committed with fewer than `min.insync.replicas`).

mod append;
mod follower;
mod isr;
mod leader;
mod offsets;
mod read;
mod replica;
mod role;
mod sync;
mod view;
mod waiters;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_cluster;

pub use crate::append::{Acks, Appended, Origin};
pub use crate::follower::{Divergence, FetchPosition, Fetched, OutOfRange};
pub use crate::isr::{IsrProposal, IsrState};
pub use crate::offsets::{ListedOffset, OffsetSpec};
pub use crate::read::{Fetcher, Isolation, Read, ReadError, Slice};
pub use crate::replica::{Failure, Offline, Replica};
pub use crate::role::{Following, Leadership};
pub use crate::view::ReplicaView;
pub use crate::waiters::Fired;
