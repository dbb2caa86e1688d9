//! One group: its members, what it agreed on, and its committed offsets. Changes keep the counts and the leader right.
//!
//! Knows no timers, no records and no replies but the tokens that wait for them: those are the phases' business
//! (`join.rs`, `sync.rs`, `leave.rs`).

use super::command::{Generation, JoinedMember};
use super::subscription;
use super::{Timer, Token};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use types::{LeaderEpoch, Offset, PartitionIndex, Text, Timestamp, Uuid};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// No members; perhaps offsets.
    Empty,
    /// Members join until all have, or until time is up.
    PreparingRebalance,
    /// The generation stands; its leader's assignment is awaited.
    CompletingRebalance,
    Stable,
    /// What clients are told of a group that does not exist.
    Dead,
}

impl State {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
            State::Dead => "Dead",
        }
    }

    fn may_follow(self, from: State) -> bool {
        match self {
            State::Empty | State::CompletingRebalance => from == State::PreparingRebalance,
            State::PreparingRebalance => matches!(from, State::Empty | State::CompletingRebalance | State::Stable),
            State::Stable => from == State::CompletingRebalance,
            State::Dead => false,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub instance: Option<Text>,
    pub client_id: Text,
    pub client_host: Text,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocols: Vec<(Text, Bytes)>,
    pub assignment: Bytes,
    /// The Join that waits for the phase to end.
    pub joining: Option<Token>,
    /// The Sync that waits for the leader's assignment.
    pub syncing: Option<Token>,
    /// Has not been told its id yet, so it cannot send heartbeats and waiting does not keep it alive.
    pub is_new: bool,
    /// Has shown, by a heartbeat or a commit, that it knows the generation it was told last.
    pub knows_generation: bool,
}

impl Member {
    /// The subscription under one protocol.
    pub fn metadata(&self, protocol: &Text) -> Option<&Bytes> {
        self.protocols.iter().find(|(name, _)| name == protocol).map(|(_, metadata)| metadata)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Committed {
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
    pub metadata: Text,
    pub committed_at: Timestamp,
    /// Set by the retention that old clients may ask for.
    pub expires_at: Option<Timestamp>,
    pub topic: Uuid,
}

impl Committed {
    /// Whether this was committed for another topic of the same name.
    pub fn is_of_other_topic(&self, id: Uuid) -> bool {
        !id.is_zero() && !self.topic.is_zero() && self.topic != id
    }
}

/// How long the first rebalance of an empty group still waits for more members.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InitialDelay {
    /// The step that runs now.
    pub step_ms: u64,
    pub remaining_ms: u64,
    /// Somebody joined during the step, so another is worth while.
    pub extend: bool,
}

#[derive(Debug)]
pub(super) struct Group {
    pub id: Text,
    state: State,
    /// When the state was entered; unknown for a group made of offsets alone.
    pub since: Option<Timestamp>,
    pub generation: Generation,
    pub protocol_type: Option<Text>,
    pub protocol: Option<Text>,
    pub leader: Option<Text>,
    /// The leader does not get to see its assignments, so the next generation has another where it can.
    pub leader_misses: bool,
    members: BTreeMap<Text, Member>,
    /// Member ids of static members by instance id.
    instances: BTreeMap<Text, Text>,
    /// How many members support a protocol.
    support: BTreeMap<Text, usize>,
    /// How many members wait for the join phase to end.
    joining: usize,
    /// Ids given out that have not joined yet.
    pub pending: BTreeSet<Text>,
    /// Members of this generation that have not asked for their assignment.
    pub unsynced: BTreeSet<Text>,
    pub initial: Option<InitialDelay>,
    /// Topics of all members, where they are known.
    pub subscribed: Option<BTreeSet<Text>>,
    pub offsets: BTreeMap<Text, BTreeMap<PartitionIndex, Committed>>,
}

impl Group {
    pub fn new(id: &Text) -> Group {
        Group {
            id: id.detached(),
            state: State::Empty,
            since: None,
            generation: Generation(0),
            protocol_type: None,
            protocol: None,
            leader: None,
            leader_misses: false,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            support: BTreeMap::new(),
            joining: 0,
            pending: BTreeSet::new(),
            unsynced: BTreeSet::new(),
            initial: None,
            subscribed: None,
            offsets: BTreeMap::new(),
        }
    }

    /// Takes a member of the group's last record; false where it cannot be, beside those already there.
    pub fn restore(&mut self, id: Text, member: Member) -> bool {
        let is_known = self.members.contains_key(&id);
        if is_known || member.instance.as_ref().is_some_and(|instance| self.instances.contains_key(instance)) {
            return false;
        }
        self.add(id, member);
        self.state = State::Stable;
        true
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn enter(&mut self, state: State, at: Timestamp) {
        assert!(state.may_follow(self.state), "group {}: {state:?} cannot follow {:?}", self.id, self.state);
        assert_eq!(state == State::Empty, self.members.is_empty() && state != State::PreparingRebalance);
        self.state = state;
        self.since = Some(at);
    }

    pub fn members(&self) -> &BTreeMap<Text, Member> {
        &self.members
    }

    pub fn member(&self, id: &Text) -> Option<&Member> {
        self.members.get(id)
    }

    /// For what is not counted: protocols and waiting joins change through the methods below.
    pub fn members_mut(&mut self) -> &mut BTreeMap<Text, Member> {
        &mut self.members
    }

    pub fn static_member(&self, instance: &Text) -> Option<&Text> {
        self.instances.get(instance)
    }

    pub fn is_leader(&self, member: &Text) -> bool {
        self.leader.as_ref() == Some(member)
    }

    pub fn joining(&self) -> usize {
        self.joining
    }

    pub fn has_everybody_joined(&self) -> bool {
        self.joining == self.members.len() && self.pending.is_empty()
    }

    pub fn rebalance_timeout_ms(&self) -> u64 {
        milliseconds(self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0))
    }

    pub fn add(&mut self, id: Text, member: Member) {
        if let Some(instance) = &member.instance {
            let other = self.instances.insert(instance.clone(), id.clone());
            assert_eq!(other, None, "group {}: one member for each instance", self.id);
        }
        self.count_protocols(&member.protocols, true);
        self.joining += usize::from(member.joining.is_some());
        self.pending.remove(&id);
        self.leader.get_or_insert_with(|| id.clone());
        let other = self.members.insert(id, member);
        assert!(other.is_none(), "group {}: a member joins once", self.id);
    }

    pub fn remove(&mut self, id: &Text) -> Option<Member> {
        self.pending.remove(id);
        self.unsynced.remove(id);
        let member = self.members.remove(id)?;
        self.count_protocols(&member.protocols, false);
        self.joining -= usize::from(member.joining.is_some());
        if let Some(instance) = &member.instance {
            self.instances.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
            self.leader_misses = false;
        }
        Some(member)
    }

    /// Lets a join wait and takes what it says; gives back the join that waited before.
    pub fn update(
        &mut self,
        id: &Text,
        protocols: Vec<(Text, Bytes)>,
        timeouts: Timeouts,
        join: Token,
    ) -> Option<Token> {
        let member = self.members.get_mut(id).expect("only a member is updated");
        let before = std::mem::replace(&mut member.protocols, protocols.clone());
        member.session_timeout_ms = timeouts.session_ms;
        member.rebalance_timeout_ms = timeouts.rebalance_ms;
        let waited = member.joining.replace(join);
        self.joining += usize::from(waited.is_none());
        self.count_protocols(&before, false);
        self.count_protocols(&protocols, true);
        waited
    }

    pub fn take_joining(&mut self, id: &Text) -> Option<Token> {
        let token = self.members.get_mut(id)?.joining.take()?;
        self.joining -= 1;
        Some(token)
    }

    /// Gives a static member a new id and keeps the rest; nobody may wait under the old one any more.
    pub fn rename(&mut self, old: &Text, new: &Text) {
        let member = self.members.remove(old).expect("a static member is a member");
        assert!(member.joining.is_none() && member.syncing.is_none(), "who waits is answered first");
        let instance = member.instance.clone().expect("only static members are replaced");
        self.instances.insert(instance, new.clone());
        self.members.insert(new.clone(), member);
        if self.is_leader(old) {
            self.leader = Some(new.clone());
        }
        if self.unsynced.remove(old) {
            self.unsynced.insert(new.clone());
        }
    }

    /// Takes `rename` back, and what the member said since.
    pub fn put_back(&mut self, new: &Text, old: &Text, member: Member) {
        self.rename(new, old);
        self.count_protocols(&member.protocols, true);
        let replaced = self.members.insert(old.clone(), member).expect("it was renamed");
        self.count_protocols(&replaced.protocols, false);
        self.find_subscribed();
    }

    fn count_protocols(&mut self, protocols: &[(Text, Bytes)], up: bool) {
        for (name, _) in protocols {
            let count = self.support.entry(name.clone()).or_default();
            *count = if up { *count + 1 } else { *count - 1 };
            if *count == 0 {
                self.support.remove(name);
            }
        }
    }

    /// Whether all members could go on with one of these protocols.
    pub fn supports(&self, protocol_type: &Text, protocols: &[(Text, Bytes)]) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let everybody = self.members.len();
        self.protocol_type.as_ref() == Some(protocol_type)
            && protocols.iter().any(|(name, _)| self.support.get(name).copied().unwrap_or(0) == everybody)
    }

    /// The protocol with the most votes; each member votes for the first of its own that all support.
    pub fn select_protocol(&self) -> Text {
        let mut votes: BTreeMap<&Text, usize> = BTreeMap::new();
        for member in self.members.values() {
            let vote = member.protocols.iter().find(|(name, _)| self.support.get(name) == Some(&self.members.len()));
            let (name, _) = vote.expect("who shares no protocol with the others was not let in");
            *votes.entry(name).or_default() += 1;
        }
        let most = votes.values().max().copied().expect("a group selects a protocol when it has members");
        let winner = votes.into_iter().find(|(_, count)| *count == most);
        winner.expect("the maximum is one of them").0.clone()
    }

    /// Keeps the leader where it joined, else takes the first that did. A leader that misses its assignments makes way
    /// for the member that joined last, which waits for its answer now if any does. False where nobody joined.
    pub fn elect_leader(&mut self) -> bool {
        let joined = |id: &Text| self.members.get(id).is_some_and(|member| member.joining.is_some());
        if std::mem::take(&mut self.leader_misses) {
            let others = self.members.iter().filter(|(id, _)| !self.is_leader(id));
            let last = others.filter_map(|(id, member)| Some((member.joining?, id))).max();
            self.leader = last.map(|(_, id)| id.clone()).or(self.leader.take());
        }
        if self.leader.as_ref().is_some_and(joined) {
            return true;
        }
        let Some(first) = self.members.keys().find(|id| joined(id)).cloned() else { return false };
        self.leader = Some(first);
        true
    }

    pub fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_ref().expect("a generation with members has a protocol");
        let joined = |(id, member): (&Text, &Member)| JoinedMember {
            member: id.clone(),
            instance: member.instance.clone(),
            metadata: member.metadata(protocol).expect("every member supports the group's protocol").clone(),
        };
        self.members.iter().map(joined).collect()
    }

    pub fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(subscription::PROTOCOL_TYPE)
    }

    /// Where the topics are not known, a consumer group counts as subscribed to all.
    pub fn is_subscribed(&self, topic: &Text) -> bool {
        self.subscribed.as_ref().map_or(self.uses_consumer_protocol(), |topics| topics.contains(topic))
    }

    /// Reads the members' topics anew; a subscription that cannot be read makes them unknown.
    pub fn find_subscribed(&mut self) {
        self.subscribed = self.uses_consumer_protocol().then(|| self.read_subscriptions()).flatten();
    }

    fn read_subscriptions(&self) -> Option<BTreeSet<Text>> {
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscription::topics(member.metadata(self.protocol.as_ref()?)?).ok()?);
        }
        Some(topics)
    }

    pub fn remove_offset(&mut self, topic: &Text, partition: PartitionIndex) {
        let Some(partitions) = self.offsets.get_mut(topic) else { return };
        partitions.remove(&partition);
        if partitions.is_empty() {
            self.offsets.remove(topic);
        }
    }

    /// Takes everything but the offsets from `other`: what a metadata record replaces.
    pub fn replace_membership(&mut self, other: Group) {
        let offsets = std::mem::take(&mut self.offsets);
        *self = Group { offsets, ..other };
    }

    pub fn session(&self, member: &Text) -> Timer {
        Timer::Session { group: self.id.clone(), member: member.clone() }
    }

    /// What must always hold; cheap enough for tests after every step, too dear for every request.
    #[cfg(test)]
    pub fn check(&self) {
        assert_eq!(self.joining, self.members.values().filter(|member| member.joining.is_some()).count());
        let instances = self.members.iter().filter_map(|(id, member)| Some((member.instance.clone()?, id.clone())));
        assert_eq!(self.instances, instances.collect());
        assert_eq!(self.leader.is_some(), !self.members.is_empty());
        assert!(self.leader.as_ref().is_none_or(|leader| self.members.contains_key(leader)));
        assert!(self.unsynced.iter().all(|id| self.members.contains_key(id)));
        assert!(self.pending.iter().all(|id| !self.members.contains_key(id)));
        let rebalancing = self.state == State::PreparingRebalance;
        assert!(rebalancing || self.joining == 0, "joins wait only for the join phase");
        assert!(rebalancing || (self.state == State::Empty) == self.members.is_empty());
        let syncing = self.members.values().any(|member| member.syncing.is_some());
        assert!(!syncing || self.state == State::CompletingRebalance, "syncs wait only for the leader");
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    pub session_ms: i32,
    pub rebalance_ms: i32,
}

/// A time-out from the wire; a negative one is over at once.
pub(super) fn milliseconds(timeout_ms: i32) -> u64 {
    u64::try_from(timeout_ms).unwrap_or(0)
}
