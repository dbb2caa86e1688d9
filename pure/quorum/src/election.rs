//! Elections: pre-votes and votes, on both sides (KIP-595, KIP-996).

use crate::message::{
    BeginQuorumEpoch, Call, EndQuorumEpoch, EpochResponse, Fetch, LeaderView, ReplicaKey, Response, Vote, VoteResponse,
};
use crate::quorum::{Output, Peer, Purpose, Quorum, Sent};
use crate::role::{Ballot, Role};
use log::Disk;
use std::collections::BTreeSet;
use types::{ErrorCode, NodeId, Now};

/// How often a node that knows no leader asks for one.
const PROBE_MS: u64 = 200;
/// The first of those that a leader wants to follow it begins at once, each other so much later.
const SUCCESSION_MS: u64 = 60;

impl<D: Disk> Quorum<D> {
    pub(crate) fn on_vote(&mut self, now: Now, token: u64, vote: &Vote) {
        let error = self.check_vote(now, vote);
        let granted = error.is_ok() && if vote.pre_vote { self.would_grant(now, vote) } else { self.grant(now, vote) };
        let response = Response::Vote(VoteResponse { error, leader: self.heard_view(now), granted });
        self.push(Output::Reply { token, response });
    }

    fn check_vote(&mut self, now: Now, vote: &Vote) -> ErrorCode {
        if !self.is_me(vote.voter) {
            return ErrorCode::INVALID_VOTER_KEY;
        }
        if vote.epoch < self.epoch {
            return ErrorCode::FENCED_LEADER_EPOCH;
        }
        if vote.epoch > self.epoch {
            self.observe(now, &LeaderView { leader: None, epoch: vote.epoch, endpoint: None });
        }
        ErrorCode::NONE
    }

    /// Whether the key means this node with this disk: one that lost its disk lost its votes, and must not give them again.
    fn is_me(&self, key: ReplicaKey) -> bool {
        key.id == self.config.node && (key.directory.is_zero() || key.directory == self.config.directory)
    }

    fn is_up_to_date(&self, vote: &Vote) -> bool {
        (vote.last_epoch, vote.last_offset) >= (self.journal.last_epoch(), self.journal.end())
    }

    /// Whether the candidate would have this node's vote: not as long as this node hears a leader.
    fn would_grant(&self, now: Now, vote: &Vote) -> bool {
        !self.hears_leader(now) && self.is_up_to_date(vote)
    }

    fn hears_leader(&self, now: Now) -> bool {
        match &self.role {
            Role::Leader(_) => true,
            Role::Follower(following) => {
                following.heard_at.is_some_and(|at| now.at.ms_since(at) < self.config.fetch_timeout_ms)
            }
            Role::Unattached(_) | Role::Prospective(_) | Role::Candidate(_) | Role::Resigned(_) => false,
        }
    }

    /// What those who look for a leader are told: one that is not heard of is not worth following.
    pub(crate) fn heard_view(&self, now: Now) -> LeaderView {
        match self.hears_leader(now) {
            true => self.view(),
            false => LeaderView { leader: None, epoch: self.epoch, endpoint: None },
        }
    }

    /// Gives the one vote of this epoch; it is durable before it is heard of.
    fn grant(&mut self, now: Now, vote: &Vote) -> bool {
        match &self.role {
            Role::Unattached(_) | Role::Prospective(_) => {}
            Role::Candidate(_) | Role::Follower(_) | Role::Leader(_) | Role::Resigned(_) => return false,
        }
        if let Some(voted) = self.voted {
            return voted == vote.candidate;
        }
        if !self.is_up_to_date(vote) {
            return false;
        }
        self.voted = Some(vote.candidate);
        self.persist();
        // The candidate gets the time to win.
        let wait_ms = self.election_wait_ms();
        self.wait(now, wait_ms);
        true
    }

    /// Asks the voters whether they would elect this node.
    pub(crate) fn start_pre_vote(&mut self, now: Now) {
        self.leave(now);
        if self.leader.is_some() {
            self.doubted_at = Some(now.at);
        }
        self.leader = None;
        self.leader_endpoint = None;
        let ballot = self.ballot(now);
        let won = ballot.is_won(self.journal.voters().majority());
        self.role = Role::Prospective(ballot);
        self.announce();
        if won {
            self.start_election(now);
        }
    }

    /// Begins an epoch of its own and asks for votes.
    pub(crate) fn start_election(&mut self, now: Now) {
        let epoch = self.epoch.0.checked_add(1).expect("an epoch for each second of 68 years");
        self.epoch = types::LeaderEpoch(epoch);
        self.voted = Some(self.key());
        self.leader = None;
        self.leader_endpoint = None;
        self.persist();
        let ballot = self.ballot(now);
        let won = ballot.is_won(self.journal.voters().majority());
        self.role = Role::Candidate(ballot);
        self.announce();
        if won {
            self.lead(now);
        }
    }

    fn ballot(&mut self, now: Now) -> Ballot {
        let me = self.config.node;
        let wait_ms = self.election_wait_ms();
        let others = self.journal.voters().iter().map(|voter| voter.id).filter(|id| *id != me);
        let own = self.is_voter().then_some(me);
        Ballot {
            granted: own.into_iter().collect(),
            rejected: BTreeSet::new(),
            unreached: BTreeSet::new(),
            due: others.map(|id| (id, now.at)).collect(),
            deadline: now.at.plus_ms(wait_ms),
        }
    }

    /// The ballot that is under way, of one kind.
    fn ballot_of(&mut self, pre_vote: bool) -> Option<&mut Ballot> {
        match &mut self.role {
            Role::Prospective(ballot) if pre_vote => Some(ballot),
            Role::Candidate(ballot) if !pre_vote => Some(ballot),
            Role::Prospective(_)
            | Role::Candidate(_)
            | Role::Unattached(_)
            | Role::Follower(_)
            | Role::Leader(_)
            | Role::Resigned(_) => None,
        }
    }

    pub(crate) fn on_voted(&mut self, now: Now, sent: Sent, vote: &VoteResponse) {
        let pre_vote = sent.purpose == Purpose::Vote { pre_vote: true };
        self.observe(now, &vote.leader);
        if sent.epoch != self.epoch {
            return;
        }
        let (voters, majority) = (self.journal.voters().len(), self.journal.voters().majority());
        let Some(node) = sent.node else { return };
        let Some(ballot) = self.ballot_of(pre_vote) else { return };
        ballot.unreached.remove(&node);
        if vote.granted && vote.error.is_ok() {
            ballot.granted.insert(node);
        } else {
            ballot.rejected.insert(node);
        }
        let (won, lost) = (ballot.is_won(majority), ballot.is_lost(voters, majority));
        if vote.error == ErrorCode::INCONSISTENT_CLUSTER_ID {
            self.push(Output::Note(format!(
                "voter {node} belongs to another cluster than this node ({}): check the addresses of the voters",
                self.config.cluster_id
            )));
        }
        match (won, pre_vote) {
            (true, true) => self.start_election(now),
            (true, false) => self.lead(now),
            (false, _) if lost => self.lost(now),
            (false, _) => {}
        }
    }

    /// No majority is left to win: the node tries again after a while that grows.
    fn lost(&mut self, now: Now) {
        let most = self.config.election_backoff_max_ms.min(50 << self.lost_elections.min(10));
        let wait_ms = 10 + self.rng.below(most);
        self.lost_elections = self.lost_elections.saturating_add(1);
        if let Role::Prospective(ballot) | Role::Candidate(ballot) = &mut self.role {
            ballot.deadline = ballot.deadline.min(now.at.plus_ms(wait_ms));
        }
    }

    pub(crate) fn vote_failed(&mut self, now: Now, sent: Sent, pre_vote: bool) {
        let again = now.at.plus_ms(self.config.retry_backoff_ms);
        let Some(node) = sent.node.filter(|_| sent.epoch == self.epoch) else { return };
        let (voters, majority) = (self.journal.voters().len(), self.journal.voters().majority());
        if let Some(ballot) = self.ballot_of(pre_vote)
            && !ballot.granted.contains(&node)
            && !ballot.rejected.contains(&node)
        {
            ballot.due.insert(node, again);
            if ballot.unreached.insert(node) && ballot.is_lost(voters, majority) {
                self.lost(now);
            }
        }
    }

    /// Whether this node may become leader: as a voter; or where its removal is not committed as far as it knows, and others
    /// could need its log. It does not count itself then.
    pub(crate) fn may_stand(&self) -> bool {
        let key = self.key();
        let was_voter = || self.journal.voters_before().is_some_and(|voters| voters.contains(key));
        self.is_voter() || self.has_uncommitted_voters() && was_voter() && !self.journal.voters().is_empty()
    }

    pub(crate) fn drive_election(&mut self, now: Now) {
        let may_stand = self.may_stand();
        match &mut self.role {
            Role::Unattached(waiting) | Role::Resigned(waiting) => {
                if waiting.deadline <= now.at && may_stand {
                    self.start_pre_vote(now);
                } else if waiting.probe_at <= now.at {
                    waiting.probe_at = now.at.plus_ms(PROBE_MS);
                    self.probe(now);
                }
            }
            Role::Prospective(ballot) | Role::Candidate(ballot) if ballot.deadline <= now.at => {
                self.start_pre_vote(now);
            }
            // As long as the last fetch is not durable this node asks for no more, so that the leader's silence says nothing.
            Role::Follower(following)
                if following.deadline <= now.at && self.journal.synced() >= self.journal.end() =>
            {
                if may_stand {
                    self.start_pre_vote(now);
                } else {
                    self.wait(now, 0);
                }
            }
            Role::Prospective(_) | Role::Candidate(_) | Role::Follower(_) | Role::Leader(_) => {}
        }
        self.send_votes(now);
    }

    fn send_votes(&mut self, now: Now) {
        let (pre_vote, ballot) = match &mut self.role {
            Role::Prospective(ballot) => (true, ballot),
            Role::Candidate(ballot) => (false, ballot),
            Role::Unattached(_) | Role::Follower(_) | Role::Leader(_) | Role::Resigned(_) => return,
        };
        let due: Vec<NodeId> = ballot.due.iter().filter(|(_, at)| **at <= now.at).map(|(node, _)| *node).collect();
        ballot.due.retain(|_, at| *at > now.at);
        for node in due {
            let Some(voter) = self.journal.voters().get(node).cloned() else { continue };
            let vote = Vote {
                voter: voter.key(),
                candidate: self.key(),
                epoch: self.epoch,
                last_epoch: self.journal.last_epoch(),
                last_offset: self.journal.end(),
                pre_vote,
            };
            let to = Peer { node: Some(node), endpoint: voter.endpoint };
            let timeout_ms = self.config.request_timeout_ms;
            self.send(now, to, Call::Vote(vote), Purpose::Vote { pre_vote }, timeout_ms);
        }
    }

    /// Asks one of those whose address is known for the leader.
    fn probe(&mut self, now: Now) {
        if self.journal.synced() < self.journal.end() {
            return;
        }
        let me = self.config.node;
        let voters = self.journal.voters().iter().filter(|voter| voter.id != me);
        let mut known: Vec<Peer> =
            voters.map(|voter| Peer { node: Some(voter.id), endpoint: voter.endpoint.clone() }).collect();
        let configured = self.config.bootstrap.iter().filter(|endpoint| **endpoint != self.config.endpoint);
        known.extend(configured.map(|endpoint| Peer { node: None, endpoint: endpoint.clone() }));
        if known.is_empty() {
            return;
        }
        let to = known.swap_remove(self.probes % known.len());
        self.probes = self.probes.wrapping_add(1);
        let call = Call::Fetch(Fetch { max_wait_ms: 0, max_bytes: 0, ..self.next_fetch() });
        let timeout_ms = self.config.request_timeout_ms;
        self.send(now, to, call, Purpose::Probe, timeout_ms);
    }

    pub(crate) fn on_begin(&mut self, now: Now, token: u64, begin: BeginQuorumEpoch) {
        let error = if !self.is_me(begin.voter) {
            ErrorCode::INVALID_VOTER_KEY
        } else if begin.epoch < self.epoch {
            ErrorCode::FENCED_LEADER_EPOCH
        } else {
            let view = LeaderView { leader: Some(begin.leader), epoch: begin.epoch, endpoint: begin.endpoint };
            self.observe(now, &view);
            ErrorCode::NONE
        };
        let response = Response::BeginQuorumEpoch(EpochResponse { error, leader: self.view() });
        self.push(Output::Reply { token, response });
    }

    pub(crate) fn on_end(&mut self, now: Now, token: u64, end: &EndQuorumEpoch) {
        let mut error = ErrorCode::NONE;
        if end.epoch < self.epoch {
            error = ErrorCode::FENCED_LEADER_EPOCH;
        } else if end.leader != self.config.node {
            self.observe(now, &LeaderView { leader: None, epoch: end.epoch, endpoint: None });
            if let Role::Follower(_) | Role::Unattached(_) = &self.role {
                let me = self.key();
                let place = end.preferred.iter().position(|key| *key == me).unwrap_or(end.preferred.len());
                let behind = u64::try_from(place).unwrap_or(u64::MAX).saturating_mul(SUCCESSION_MS);
                let jitter = if place == 0 { 0 } else { self.rng.below(SUCCESSION_MS) };
                self.wait(now, behind.saturating_add(jitter));
            }
        }
        let response = Response::EndQuorumEpoch(EpochResponse { error, leader: self.view() });
        self.push(Output::Reply { token, response });
    }
}
