//! Changing the ISR: the leader sees who is in sync, the controller commits it. One change is under way at a time, and
//! until its fate is known both outcomes count.

use crate::Replica;
use crate::leader::{Leading, Progress};
use crate::role::Role;
use log::Disk;
use types::{BrokerEpoch, ErrorCode, Instant, LeaderEpoch, NodeId, Offset, PartitionEpoch};

/// How soon a change that did not get through is asked for again.
const RETRY_MS: u64 = 50;

/// What AlterPartition asks the controller for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrProposal {
    /// Those in sync, each with the run of its broker that is (-1 where it has not fetched in this term).
    pub isr: Vec<(NodeId, BrokerEpoch)>,
    pub leader_epoch: LeaderEpoch,
    /// The version that it changes.
    pub partition_epoch: PartitionEpoch,
}

/// What the controller has committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrState {
    pub isr: Vec<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
}

/// A change that was asked for.
pub(crate) struct Proposal {
    asked: IsrProposal,
    /// Who would be new.
    pub added: Vec<NodeId>,
    stage: Stage,
    /// When an attempt last ended without an answer: it may still be carried out.
    doubt_since: Option<Instant>,
}

enum Stage {
    /// The caller has it.
    Sent,
    /// It is to be sent again.
    Again { at: Instant },
    /// The controller knows of something newer, which comes with its image.
    Superseded,
    /// It was refused, but an earlier attempt may still be carried out until then: it is to be sent again meanwhile, for
    /// whoever could not join may be able to by now.
    Refused { until: Instant, again_at: Instant },
}

/// What the leader decides a member of the ISR by.
struct Judge<'a> {
    now: Instant,
    end: Offset,
    high_watermark: Offset,
    leading: &'a Leading,
}

impl Judge<'_> {
    /// It lags, or lost what it had.
    fn is_out(&self, follower: &Progress) -> bool {
        let lost = follower.fetched_at.is_some() && follower.log_end < self.high_watermark;
        lost || !follower.is_caught_up(self.now, self.end, self.leading.lag_max_ms)
    }

    /// It has all that is committed or may have been committed in earlier terms.
    fn is_in(&self, follower: &Progress) -> bool {
        let has_all = follower.log_end >= self.high_watermark && follower.log_end >= self.leading.epoch_start;
        follower.fetched_at.is_some() && has_all && follower.eligible && !self.is_out(follower)
    }

    /// Who leaves and who joins.
    fn changes(&self) -> (Vec<NodeId>, Vec<NodeId>) {
        let in_isr = |follower: &&Progress| self.leading.isr.contains(&follower.id);
        let followers = &self.leading.followers;
        let leaves = followers.iter().filter(in_isr).filter(|follower| self.is_out(follower));
        let joins = followers.iter().filter(|follower| !in_isr(follower)).filter(|follower| self.is_in(follower));
        (leaves.map(|follower| follower.id).collect(), joins.map(|follower| follower.id).collect())
    }
}

impl Leading {
    /// Asks anew which followers the controller would take, and gives up on a refused change whose time is over.
    fn refresh(&mut self, now: Instant, broker_epoch: &impl Fn(NodeId) -> Option<BrokerEpoch>) {
        for follower in &mut self.followers {
            let lives = broker_epoch(follower.id);
            follower.eligible =
                lives.is_some_and(|epoch| follower.broker_epoch == epoch || follower.broker_epoch == BrokerEpoch::NONE);
        }
        if let Some(Proposal { stage: Stage::Refused { until, .. }, asked, .. }) = &self.proposal {
            // A broker's run that is over joins nothing any more, late as an attempt to let it in may come.
            let is_over = |(id, run): &(NodeId, BrokerEpoch)| broker_epoch(*id).is_some_and(|epoch| epoch > *run);
            let known = |member: &&(NodeId, BrokerEpoch)| member.1 != BrokerEpoch::NONE;
            if now >= *until || asked.isr.iter().filter(known).any(is_over) {
                self.proposal = None;
            }
        }
        self.settle(now);
    }

    fn propose(
        &mut self,
        me: (NodeId, BrokerEpoch),
        judge: (Vec<NodeId>, Vec<NodeId>),
        as_of: IsrState,
    ) -> IsrProposal {
        let (leaves, joins) = judge;
        let epoch_of = |id: NodeId| match self.followers.iter().find(|follower| follower.id == id) {
            Some(follower) => follower.broker_epoch,
            None if id == me.0 => me.1,
            None => BrokerEpoch::NONE,
        };
        let stay = self.isr.iter().filter(|id| !leaves.contains(id)).chain(&joins);
        let asked = IsrProposal {
            isr: stay.map(|id| (*id, epoch_of(*id))).collect(),
            leader_epoch: as_of.leader_epoch,
            partition_epoch: as_of.partition_epoch,
        };
        let proposal = Proposal { asked: asked.clone(), added: joins, stage: Stage::Sent, doubt_since: None };
        self.proposal = Some(proposal);
        asked
    }
}

impl<D: Disk> Replica<D> {
    /// The change of the ISR that the controller is to be asked for now, if any; its outcome goes to `proposal_done`. To
    /// be called after followers fetched, and about once a second. `broker_epoch` tells the current run of a broker that
    /// may be in an ISR: it lives, is not fenced and not about to stop. `lag_max_ms` is `replica.lag.time.max.ms`.
    pub fn isr_proposal(
        &mut self,
        now: Instant,
        lag_max_ms: u64,
        broker_epoch: impl Fn(NodeId) -> Option<BrokerEpoch>,
    ) -> Option<IsrProposal> {
        let (me, high_watermark) = (self.me, self.high_watermark);
        let (leader_epoch, partition_epoch) = (self.leader_epoch, self.partition_epoch);
        let (log, leading) = self.leading().ok()?;
        if leading.followers.is_empty() {
            return None;
        }
        leading.lag_max_ms = lag_max_ms;
        leading.refresh(now, &broker_epoch);
        let asked = match &mut leading.proposal {
            Some(proposal) => match proposal.stage {
                Stage::Again { at } | Stage::Refused { again_at: at, .. } if now >= at => {
                    proposal.stage = Stage::Sent;
                    Some(proposal.asked.clone())
                }
                Stage::Sent | Stage::Again { .. } | Stage::Superseded | Stage::Refused { .. } => None,
            },
            None => {
                let changes = Judge { now, end: log.end_offset(), high_watermark, leading }.changes();
                let as_of = IsrState { isr: Vec::new(), leader_epoch, partition_epoch };
                match broker_epoch(me) {
                    Some(mine) if changes != (Vec::new(), Vec::new()) => {
                        Some(leading.propose((me, mine), changes, as_of))
                    }
                    Some(_) | None => None,
                }
            }
        };
        self.advance();
        asked
    }

    /// What became of a proposal: what the controller has committed, or why it did not. Errors of the way there, such as
    /// a time-out, are told as `REQUEST_TIMED_OUT`.
    pub fn proposal_done(&mut self, now: Instant, asked: &IsrProposal, result: Result<IsrState, ErrorCode>) {
        let (leader_epoch, partition_epoch) = (self.leader_epoch, self.partition_epoch);
        let Role::Leader(leading) = &mut self.role else { return };
        let lag_max_ms = leading.lag_max_ms;
        let Some(proposal) = &mut leading.proposal else { return };
        if proposal.asked != *asked {
            return;
        }
        match result {
            Ok(state) if state.leader_epoch == leader_epoch && state.partition_epoch >= partition_epoch => {
                leading.isr = state.isr;
                leading.proposal = None;
                self.partition_epoch = state.partition_epoch;
                leading.settle(now);
            }
            Ok(_) => proposal.stage = Stage::Superseded,
            Err(
                ErrorCode::INVALID_UPDATE_VERSION
                | ErrorCode::FENCED_LEADER_EPOCH
                | ErrorCode::NEW_LEADER_ELECTED
                | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                | ErrorCode::UNKNOWN_TOPIC_ID,
            ) => proposal.stage = Stage::Superseded,
            Err(ErrorCode::INELIGIBLE_REPLICA | ErrorCode::OPERATION_NOT_ATTEMPTED | ErrorCode::INVALID_REQUEST) => {
                match proposal.doubt_since {
                    Some(since) => {
                        let (until, again_at) = (since.plus_ms(lag_max_ms), now.plus_ms(RETRY_MS));
                        proposal.stage = Stage::Refused { until, again_at };
                    }
                    None => {
                        leading.proposal = None;
                        leading.settle(now);
                    }
                }
            }
            Err(_) => {
                proposal.doubt_since = Some(now);
                proposal.stage = Stage::Again { at: now.plus_ms(RETRY_MS) };
            }
        }
        self.advance();
    }
}
