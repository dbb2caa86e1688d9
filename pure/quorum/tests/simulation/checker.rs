//! What must hold, whatever happens: judged from what the nodes hand out and say, without a look inside.

use quorum::{Call, Entry, LeaderView, ReplicaKey, Response, Vote};
use std::collections::BTreeMap;
use types::{LeaderEpoch, NodeId, Offset};

#[derive(Default)]
pub struct Checker {
    /// Every committed record of the controller that any node was ever given.
    committed: BTreeMap<Offset, Entry>,
    /// Up to where some node was given all.
    end: Offset,
    /// Who led.
    leaders: BTreeMap<LeaderEpoch, NodeId>,
    /// Whom each disk voted for.
    votes: BTreeMap<(ReplicaKey, LeaderEpoch), ReplicaKey>,
    /// What was acknowledged to the owner of a leader.
    acknowledged: BTreeMap<Offset, Entry>,
}

impl Checker {
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    pub fn epochs(&self) -> usize {
        self.leaders.len()
    }

    /// A node that had everything up to `from` is given what is up to `to`: it must be what all others were given.
    pub fn applied(&mut self, node: NodeId, from: Offset, to: Offset, entries: &[Entry]) {
        assert!(from < to, "node {node} was given offsets {from} to {to}");
        for entry in entries {
            assert!(entry.offset >= from && entry.offset < to, "node {node}: {entry:?} is outside of {from} to {to}");
            match self.committed.get(&entry.offset) {
                Some(known) => assert_eq!(known, entry, "node {node} was given another record"),
                None => {
                    let offset = entry.offset;
                    assert!(offset >= self.end, "node {node} was given {offset}, which others did not have");
                    self.committed.insert(offset, entry.clone());
                }
            }
        }
        let expected = self.committed.range(from..to).count();
        assert_eq!(entries.len(), expected, "node {node} was given {from} to {to} with records missing or twice");
        self.end = self.end.max(to);
    }

    /// A snapshot holds what was committed below its end and nothing else.
    pub fn loaded(&self, node: NodeId, end: Offset, entries: &[Entry]) {
        assert!(end <= self.end, "node {node} was given a snapshot of what was never committed");
        let expected: Vec<&Entry> = self.committed.range(..end).map(|(_, entry)| entry).collect();
        assert!(entries.iter().eq(expected), "node {node}: its snapshot at {end} differs");
    }

    pub fn acknowledge(&mut self, entry: Entry) {
        self.acknowledged.insert(entry.offset, entry);
    }

    pub fn leads(&mut self, node: NodeId, epoch: LeaderEpoch) {
        let known = *self.leaders.entry(epoch).or_insert(node);
        assert_eq!(known, node, "two nodes lead epoch {epoch}");
    }

    pub fn says(&mut self, view: &LeaderView) {
        if let Some(leader) = view.leader {
            self.leads(leader, view.epoch);
        }
    }

    /// A candidate votes for itself by asking.
    pub fn asks(&mut self, call: &Call) {
        if let Call::Vote(vote) = call
            && !vote.pre_vote
        {
            self.votes_for(vote.candidate, vote.epoch, vote.candidate);
        }
    }

    pub fn answers(&mut self, voter: ReplicaKey, vote: &Vote, response: &Response) {
        if let Response::Vote(answer) = response
            && answer.granted
            && !vote.pre_vote
        {
            self.votes_for(voter, vote.epoch, vote.candidate);
        }
    }

    fn votes_for(&mut self, voter: ReplicaKey, epoch: LeaderEpoch, candidate: ReplicaKey) {
        let known = *self.votes.entry((voter, epoch)).or_insert(candidate);
        assert_eq!(known, candidate, "{voter:?} voted twice in epoch {epoch}");
    }

    /// At the end all that was acknowledged is there, on a node that has everything.
    pub fn finish(&self, node: NodeId, applied: Offset, state: &[Entry]) {
        assert!(applied >= self.end, "node {node} has {applied} of {}", self.end);
        assert!(state.iter().eq(self.committed.values()), "node {node} ends with another state");
        for (offset, entry) in &self.acknowledged {
            assert_eq!(self.committed.get(offset), Some(entry), "an acknowledged record is lost");
        }
    }
}
