//! Who votes: the voter set, and how it changed along the log.

use crate::message::{Endpoint, ReplicaKey};
use std::collections::BTreeMap;
use types::{NodeId, Offset, Uuid};

/// One voter. A directory of zero is not known yet: any disk of the node is taken for its own, until the first leader
/// learns which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    pub id: NodeId,
    pub directory: Uuid,
    pub endpoint: Endpoint,
}

impl Voter {
    #[must_use]
    pub fn key(&self) -> ReplicaKey {
        ReplicaKey { id: self.id, directory: self.directory }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoterSet {
    voters: BTreeMap<NodeId, Voter>,
}

impl VoterSet {
    #[must_use]
    pub fn new(voters: impl IntoIterator<Item = Voter>) -> VoterSet {
        VoterSet { voters: voters.into_iter().map(|voter| (voter.id, voter)).collect() }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Voter> {
        self.voters.values()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.voters.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty()
    }

    /// How many voters decide.
    #[must_use]
    pub fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    #[must_use]
    pub fn get(&self, id: NodeId) -> Option<&Voter> {
        self.voters.get(&id)
    }

    /// Whether this node with this disk is a voter: the same node with a new disk has forgotten its votes.
    #[must_use]
    pub fn contains(&self, key: ReplicaKey) -> bool {
        self.get(key.id).is_some_and(|voter| voter.directory.is_zero() || voter.directory == key.directory)
    }

    /// The set with this voter added, or put in the place of the one with its id.
    #[must_use]
    pub fn with(&self, voter: Voter) -> VoterSet {
        let mut voters = self.voters.clone();
        voters.insert(voter.id, voter);
        VoterSet { voters }
    }

    #[must_use]
    pub fn without(&self, id: NodeId) -> VoterSet {
        let mut voters = self.voters.clone();
        voters.remove(&id);
        VoterSet { voters }
    }
}

/// The voter sets of the log in order. The newest one counts as soon as it is in the log, committed or not.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// Of the snapshot; or, where the log never named one, of the configuration.
    base: VoterSet,
    changes: Vec<(Offset, VoterSet)>,
}

impl History {
    pub fn new(base: VoterSet) -> History {
        History { base, changes: Vec::new() }
    }

    pub fn latest(&self) -> &VoterSet {
        self.changes.last().map_or(&self.base, |(_, voters)| voters)
    }

    /// Where in the log the newest set is; none where the log holds none.
    pub fn latest_offset(&self) -> Option<Offset> {
        self.changes.last().map(|(offset, _)| *offset)
    }

    /// The set that counted below `end`.
    pub fn below(&self, end: Offset) -> &VoterSet {
        let changes = self.changes.iter().rev();
        changes.clone().find(|(offset, _)| *offset < end).map_or(&self.base, |(_, voters)| voters)
    }

    pub fn push(&mut self, offset: Offset, voters: VoterSet) {
        self.changes.push((offset, voters));
    }

    /// The log was cut back to `end`.
    pub fn truncate(&mut self, end: Offset) {
        self.changes.retain(|(offset, _)| *offset < end);
    }

    /// A snapshot holds everything below `end` now.
    pub fn fold(&mut self, end: Offset) {
        self.base = self.below(end).clone();
        self.changes.retain(|(offset, _)| *offset >= end);
    }
}
