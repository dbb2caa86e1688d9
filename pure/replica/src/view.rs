//! What others may know of a partition's replicas: to choose where a consumer reads, and to show it.

use crate::Replica;
use crate::role::Role;
use log::{Disk, Log};
use types::{BrokerEpoch, Instant, NodeId, Offset};

/// One replica as the leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaView {
    pub id: NodeId,
    /// Of its last fetch; -1 where it has not fetched in this term, as with the offsets. Of no meaning for the leader.
    pub broker_epoch: BrokerEpoch,
    pub log_start_offset: Offset,
    pub log_end_offset: Offset,
    pub in_isr: bool,
    pub fetched_ms_ago: Option<u64>,
    pub caught_up_ms_ago: Option<u64>,
}

impl<D: Disk> Replica<D> {
    /// All replicas, the leader first; none where this replica does not lead.
    #[must_use]
    pub fn replicas_view(&self, now: Instant) -> Vec<ReplicaView> {
        let (Ok(log), Role::Leader(leading)) = (&self.log, &self.role) else { return Vec::new() };
        let leader = ReplicaView {
            id: self.me,
            broker_epoch: BrokerEpoch::NONE,
            log_start_offset: log.start_offset(),
            log_end_offset: log.end_offset(),
            in_isr: leading.isr.contains(&self.me),
            fetched_ms_ago: Some(0),
            caught_up_ms_ago: Some(0),
        };
        let followers = leading.followers.iter().map(|follower| ReplicaView {
            id: follower.id,
            broker_epoch: follower.broker_epoch,
            log_start_offset: follower.log_start,
            log_end_offset: follower.log_end,
            in_isr: leading.isr.contains(&follower.id),
            fetched_ms_ago: follower.fetched_at.map(|at| now.ms_since(at)),
            caught_up_ms_ago: follower.caught_up_at.map(|at| now.ms_since(at)),
        });
        std::iter::once(leader).chain(followers).collect()
    }

    /// The ISR as the controller committed it; empty where this replica does not lead.
    #[must_use]
    pub fn isr(&self) -> &[NodeId] {
        match &self.role {
            Role::Leader(leading) => &leading.isr,
            Role::Follower(_) => &[],
        }
    }

    /// Whether the high watermark waits for this follower: it is in sync, or about to be.
    #[must_use]
    pub fn waits_for(&self, follower: NodeId) -> bool {
        match &self.role {
            Role::Leader(leading) => {
                let joins = leading.followers.iter().any(|known| known.id == follower && known.joining);
                joins || leading.may_be_in_sync(follower)
            }
            Role::Follower(_) => false,
        }
    }

    /// The least log start offset of the replicas that live, as DeleteRecords answers it; -1 while one that lives has not
    /// said.
    #[must_use]
    pub fn low_watermark(&self, lives: impl Fn(NodeId) -> bool) -> Offset {
        let own = self.log.as_ref().map_or(Offset::NONE, Log::start_offset);
        match &self.role {
            Role::Leader(leading) => {
                let others = leading.followers.iter().filter(|follower| lives(follower.id));
                others.map(|follower| follower.log_start).fold(own, Offset::min)
            }
            Role::Follower(_) => own,
        }
    }
}
