//! Who leads: what the controller decided, and how a replica takes that over.

use crate::Replica;
use crate::leader::Leading;
use log::{Disk, Log};
use types::{ErrorCode, Instant, LeaderEpoch, NodeId, Offset, PartitionEpoch};

/// What the controller says of a partition that is led here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    /// All replicas, those that are being added too.
    pub replicas: Vec<NodeId>,
    /// Those in sync, this one among them.
    pub isr: Vec<NodeId>,
}

impl Leadership {
    /// A partition with one replica.
    #[must_use]
    pub fn alone(me: NodeId, leader_epoch: LeaderEpoch) -> Leadership {
        Leadership { leader_epoch, partition_epoch: PartitionEpoch(0), replicas: vec![me], isr: vec![me] }
    }
}

/// What the controller says of a partition that is led elsewhere, or by nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Following {
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    /// The last epoch whose leader was elected though it might lack what was committed, as the operator asked for: of older
    /// epochs what goes beyond its log is given up. Without that, it is a broken promise. -1 where there was none.
    pub unclean_epoch: LeaderEpoch,
}

impl Default for Following {
    fn default() -> Following {
        Following {
            leader: None,
            leader_epoch: LeaderEpoch::NONE,
            partition_epoch: PartitionEpoch::NONE,
            unclean_epoch: LeaderEpoch::NONE,
        }
    }
}

pub(crate) enum Role {
    Leader(Box<Leading>),
    Follower(Following),
}

impl<D: Disk> Replica<D> {
    /// Takes the lead, or as the leader takes over a new ISR or new replicas. False where that was known already, or is
    /// older than what is known.
    pub fn become_leader(&mut self, now: Instant, leadership: &Leadership) -> bool {
        if !self.is_news(leadership.leader_epoch, leadership.partition_epoch) {
            return false;
        }
        let same_term = leadership.leader_epoch == self.leader_epoch;
        self.leader_epoch = leadership.leader_epoch;
        self.partition_epoch = leadership.partition_epoch;
        match &mut self.role {
            Role::Leader(leading) if same_term => leading.update(self.me, now, leadership),
            Role::Leader(_) | Role::Follower(_) => {
                let end = self.log.as_ref().map_or(Offset::ZERO, Log::end_offset);
                let taken = matches!(self.role, Role::Follower(it) if it.leader_epoch != LeaderEpoch::NONE);
                self.role = Role::Leader(Box::new(Leading::new(self.me, now, leadership, end, taken)));
                self.waiters.change();
            }
        }
        self.advance();
        true
    }

    /// Follows another leader, or waits for one. False where that was known already, or is older than what is known.
    pub fn become_follower(&mut self, following: Following) -> bool {
        if !self.is_news(following.leader_epoch, following.partition_epoch) {
            return false;
        }
        self.leader_epoch = following.leader_epoch;
        self.partition_epoch = following.partition_epoch;
        self.role = Role::Follower(following);
        self.insists = false;
        // Whether what they wait for is ever committed, the next leader decides.
        self.waiters.fail(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        true
    }

    /// What a broker hears of the past after a start may be older than its log.
    fn is_news(&self, leader_epoch: LeaderEpoch, partition_epoch: PartitionEpoch) -> bool {
        let latest = self.log.as_ref().ok().and_then(Log::latest_epoch);
        let newest = (leader_epoch, partition_epoch) > (self.leader_epoch, self.partition_epoch);
        newest && latest.is_none_or(|latest| leader_epoch >= latest)
    }

    #[must_use]
    pub fn is_leader(&self) -> bool {
        match self.role {
            Role::Leader(_) => true,
            Role::Follower(_) => false,
        }
    }

    /// The leader as this replica knows it.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Leader(_) => Some(self.me),
            Role::Follower(following) => following.leader,
        }
    }
}
