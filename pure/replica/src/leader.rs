//! What a leader knows of its followers, and how far that commits its log.

use crate::append::PATIENCE_MS;
use crate::isr::Proposal;
use crate::replica::own_end;
use crate::role::Role;
use crate::{Fetcher, Leadership, Replica};
use log::{Config, Disk};
use types::{BrokerEpoch, Instant, NodeId, Offset};

/// Until the caller names another `replica.lag.time.max.ms`: Kafka's default.
const LAG_MAX_MS: u64 = 30_000;

/// What only a leader has.
pub(crate) struct Leading {
    /// As the controller committed it.
    pub isr: Vec<NodeId>,
    /// The change that the controller was asked for, and whose fate is not known.
    pub proposal: Option<Proposal>,
    /// All replicas but this one.
    pub followers: Vec<Progress>,
    /// Where the log ended when this term began: until that is committed, the end that clients may know is not known.
    pub epoch_start: Offset,
    pub lag_max_ms: u64,
    /// Until then a batch may come before its predecessor, and is asked for again.
    pub patient_until: Instant,
}

/// One follower, as its fetches in this term show it.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub id: NodeId,
    pub broker_epoch: BrokerEpoch,
    /// It has everything below; -1 until it fetches.
    pub log_end: Offset,
    pub log_start: Offset,
    pub fetched_at: Option<Instant>,
    /// The leader's end when it fetched.
    end_when_fetched: Offset,
    /// When it last had everything that the leader had.
    pub caught_up_at: Option<Instant>,
    /// The controller would take it into the ISR.
    pub eligible: bool,
    /// It is about to get into the ISR: the high watermark waits for it, or it would run ahead of it for ever.
    pub joining: bool,
}

impl Progress {
    fn new(id: NodeId, caught_up_at: Option<Instant>) -> Progress {
        Progress {
            id,
            broker_epoch: BrokerEpoch::NONE,
            log_end: Offset::NONE,
            log_start: Offset::NONE,
            fetched_at: None,
            end_when_fetched: Offset::NONE,
            caught_up_at,
            eligible: false,
            joining: false,
        }
    }

    /// It had everything not long ago.
    pub(crate) fn is_caught_up(&self, now: Instant, end: Offset, lag_max_ms: u64) -> bool {
        self.log_end >= end || self.caught_up_at.is_some_and(|at| now.ms_since(at) <= lag_max_ms)
    }

    fn note_fetch(&mut self, now: Instant, fetcher: &Fetcher, offset: Offset, end: Offset) {
        if fetcher.broker_epoch != self.broker_epoch {
            // Another run of the broker: whether it is eligible must be asked anew.
            self.broker_epoch = fetcher.broker_epoch;
            self.eligible = false;
        }
        if offset >= end {
            self.caught_up_at = Some(now);
        } else if offset >= self.end_when_fetched {
            // By now it has what there was when it last asked.
            self.caught_up_at = self.caught_up_at.max(self.fetched_at);
        }
        self.end_when_fetched = end;
        self.fetched_at = Some(now);
        self.log_end = offset;
        self.log_start = fetcher.log_start_offset;
    }
}

impl Leading {
    pub(crate) fn new(me: NodeId, now: Instant, leadership: &Leadership, epoch_start: Offset, taken: bool) -> Leading {
        let (isr, followers) = (Vec::new(), Vec::new());
        let patient_until = if taken { now.plus_ms(PATIENCE_MS) } else { now };
        let mut leading =
            Leading { isr, proposal: None, followers, epoch_start, lag_max_ms: LAG_MAX_MS, patient_until };
        leading.update(me, now, leadership);
        leading
    }

    /// Takes over what the controller committed, which ends a change that it was asked for: that was for an older
    /// version, so it can no longer be committed.
    pub(crate) fn update(&mut self, me: NodeId, now: Instant, leadership: &Leadership) {
        self.isr.clone_from(&leadership.isr);
        self.proposal = None;
        let mut others: Vec<NodeId> = leadership.replicas.iter().chain(&leadership.isr).copied().collect();
        others.retain(|id| *id != me);
        others.sort_unstable();
        others.dedup();
        let known = |id: NodeId| self.followers.iter().find(|follower| follower.id == id).cloned();
        // A new term gives everyone in sync the time to show up.
        let begin = |id: NodeId| Progress::new(id, leadership.isr.contains(&id).then_some(now));
        self.followers = others.into_iter().map(|id| known(id).unwrap_or_else(|| begin(id))).collect();
        self.settle(now);
    }

    pub(crate) fn follower(&mut self, id: NodeId) -> Option<&mut Progress> {
        self.followers.iter_mut().find(|follower| follower.id == id)
    }

    /// Of `min.insync.replicas`, which no partition with fewer replicas can be asked for.
    pub(crate) fn has_too_few(&self, config: &Config) -> bool {
        self.isr.len() < (config.min_insync_replicas as usize).min(self.followers.len() + 1)
    }

    /// Everybody who is in the ISR or may be by now. Whoever is to leave it stays until that is committed.
    pub(crate) fn may_be_in_sync(&self, id: NodeId) -> bool {
        self.isr.contains(&id) || self.proposal.as_ref().is_some_and(|proposal| proposal.added.contains(&id))
    }

    /// Decides anew who is about to join.
    pub(crate) fn settle(&mut self, now: Instant) {
        for at in 0..self.followers.len() {
            let inside = self.may_be_in_sync(self.followers[at].id);
            let lag_max_ms = self.lag_max_ms;
            let follower = &mut self.followers[at];
            // Who has everything now had it when it fetched, too.
            follower.joining = follower.eligible && !inside && follower.is_caught_up(now, Offset(i64::MAX), lag_max_ms);
        }
    }

    /// How far all that count hold the log. `own` is what the leader holds.
    fn held_by_all(&self, own: Offset) -> Offset {
        let counts = |follower: &&Progress| follower.joining || self.may_be_in_sync(follower.id);
        self.followers.iter().filter(counts).map(|follower| follower.log_end).fold(own, Offset::min)
    }
}

impl<D: Disk> Replica<D> {
    /// Notes where a follower is: it has everything below `offset`, and what it has was found to be what the leader has.
    pub(crate) fn acknowledge(&mut self, now: Instant, fetcher: &Fetcher, offset: Offset) {
        let (Ok(log), Role::Leader(leading)) = (&self.log, &mut self.role) else { return };
        let end = log.end_offset();
        let Some(follower) = leading.follower(fetcher.id) else { return };
        let start_before = follower.log_start;
        follower.note_fetch(now, fetcher, offset, end);
        let start_moved = follower.log_start > start_before && start_before != Offset::NONE;
        leading.settle(now);
        if start_moved {
            // DeleteRecords waits until every replica has deleted.
            self.waiters.change();
        }
        self.advance();
    }

    /// The high watermark is the least offset that every replica in sync holds; it never goes back. With fewer than
    /// `min.insync.replicas` nothing more is committed.
    pub(crate) fn advance(&mut self) {
        let (Ok(log), Role::Leader(leading)) = (&self.log, &self.role) else { return };
        let own = own_end(log);
        self.waiters.store(own);
        if !leading.has_too_few(log.config()) {
            self.raise_high_watermark(leading.held_by_all(own));
        }
    }

    pub(crate) fn raise_high_watermark(&mut self, to: Offset) {
        let Ok(log) = &mut self.log else { return };
        if to > self.high_watermark {
            self.high_watermark = to;
            log.set_high_watermark(to);
            self.waiters.commit(to);
        }
    }

    /// True where this leader has fewer replicas in sync than `min.insync.replicas`.
    #[must_use]
    pub fn has_too_few_in_sync(&self) -> bool {
        match (&self.log, &self.role) {
            (Ok(log), Role::Leader(leading)) => leading.has_too_few(log.config()),
            (Ok(_), Role::Follower(_)) | (Err(_), _) => false,
        }
    }
}
