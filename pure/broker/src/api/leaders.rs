//! Who leads a partition now, for the answer to a client that asked somebody else (KIP-951): it goes on without asking
//! for metadata first.

use super::{Disk, Shard};
use crate::node::Reachable;
use std::collections::BTreeMap;
use types::{ErrorCode, NodeId, TopicPartition};

/// The leaders that an answer points to.
#[derive(Default)]
pub(super) struct Leaders {
    known: BTreeMap<NodeId, Reachable>,
    brokers: Option<Vec<Reachable>>,
}

impl Leaders {
    /// The leader and its epoch, where the error says that the client has another in mind.
    pub fn hint<D: Disk>(
        &mut self,
        shard: &Shard<D>,
        connection: crate::seam::ConnId,
        partition: TopicPartition,
        error: ErrorCode,
    ) -> Option<(i32, i32)> {
        if error != ErrorCode::NOT_LEADER_OR_FOLLOWER && error != ErrorCode::FENCED_LEADER_EPOCH {
            return None;
        }
        let state = shard.image.partition(partition)?;
        let leader = state.leader?;
        let brokers = self.brokers.get_or_insert_with(|| shard.reachable_brokers(connection));
        let broker = brokers.iter().find(|broker| broker.id == leader)?;
        self.known.insert(leader, broker.clone());
        Some((leader.0, state.leader_epoch.0))
    }

    pub fn into_brokers(self) -> impl Iterator<Item = Reachable> {
        self.known.into_values()
    }
}
