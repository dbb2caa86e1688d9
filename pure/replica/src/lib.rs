//! One partition on its shard: the log, who leads it, how far it is committed, and who waits for that.
//!
//! Owns every comparison of offsets between replicas. Must never know a request, a connection or a topic's name beyond
//! its log's folder. Called by the shard that owns the partition, on one thread.

mod append;
mod offsets;
mod read;
mod replica;
mod waiters;

#[cfg(test)]
mod tests;

pub use crate::append::{Appended, Origin};
pub use crate::offsets::{ListedOffset, OffsetSpec};
pub use crate::read::{Isolation, Read, ReadError, Slice};
pub use crate::replica::{Failure, Offline, Replica};
pub use crate::waiters::Fired;
