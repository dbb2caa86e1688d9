//! An incremental fetch session (KIP-227) with one node: what the node knows, and what of it has changed.

use super::Spot;
use std::collections::BTreeMap;
use types::{ErrorCode, LeaderEpoch, Offset, TopicId};

/// What is asked of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    pub topic: TopicId,
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
}

#[derive(Debug, Default)]
pub struct Session {
    pub id: i32,
    /// 0 asks for a new session; -1 for none.
    pub epoch: i32,
    known: BTreeMap<Spot, Ask>,
}

impl Session {
    pub fn new(enabled: bool) -> Session {
        Session { id: 0, epoch: if enabled { 0 } else { -1 }, known: BTreeMap::new() }
    }

    /// What of `wanted` to put into the next request, and what the node is to forget.
    pub fn difference(&mut self, wanted: BTreeMap<Spot, Ask>) -> (BTreeMap<Spot, Ask>, Vec<(Spot, Ask)>) {
        if self.epoch <= 0 {
            self.known.clone_from(&wanted);
            return (wanted, Vec::new());
        }
        let changed = wanted.iter().filter(|(spot, ask)| self.known.get(*spot) != Some(*ask));
        let changed = changed.map(|(spot, ask)| (spot.clone(), *ask)).collect();
        // A topic made anew under the same name is another one: the node is to forget the old.
        let is_gone = |spot: &Spot, ask: &Ask| wanted.get(spot).is_none_or(|now| now.topic != ask.topic);
        let gone = self.known.iter().filter(|(spot, ask)| is_gone(spot, ask));
        let gone = gone.map(|(spot, ask)| (spot.clone(), *ask)).collect();
        self.known = wanted;
        (changed, gone)
    }

    /// Takes note of an answer. False where the session is no more and all is to be asked anew.
    pub fn answered(&mut self, code: ErrorCode, id: i32) -> bool {
        if !code.is_ok() {
            self.restart();
            return false;
        }
        if self.epoch == 0 {
            // A node without room for a session answers with id 0.
            self.id = id;
            self.epoch = i32::from(id != 0);
        } else if self.epoch > 0 {
            self.epoch = if self.epoch == i32::MAX { 1 } else { self.epoch + 1 };
        }
        true
    }

    /// Begins anew, for instance because an answer was lost.
    pub fn restart(&mut self) {
        if self.epoch >= 0 {
            *self = Session::new(true);
        }
    }
}
