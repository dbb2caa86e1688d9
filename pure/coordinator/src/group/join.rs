//! The join phase: who becomes a member, when a rebalance begins, and when its members are told the new generation.
//!
//! Facts: KIP-345 and KIP-814 (static members), KIP-394 (ids before members), KIP-134 (the first rebalance waits).

use super::command::{Generation, Join, JoinReply, Reply, SyncReply};
use super::state::{Group, InitialDelay, Member, State, Timeouts, milliseconds};
use super::{Config, Step, Timer, Token, Undo, records};
use bytes::Bytes;
use types::limits::{GROUP_MEMBERS_MAX, GROUP_PENDING_MEMBERS_MAX};
use types::{ErrorCode, Text};

impl Group {
    pub fn join(&mut self, step: &mut Step, token: Token, join: Join) {
        if !self.accepts(step.config, &join.member) {
            step.answer(token, refusal(Text::default(), ErrorCode::GROUP_MAX_SIZE_REACHED));
            self.drop_member(step, &join.member, "the group has reached group.max.size");
            self.complete_join_when_all_joined(step);
        } else if !self.supports(&join.protocol_type, &join.protocols) {
            step.answer(token, refusal(join.member, ErrorCode::INCONSISTENT_GROUP_PROTOCOL));
        } else if join.member.is_empty() {
            self.join_as_new(step, token, join);
        } else {
            self.join_as_known(step, token, join);
        }
    }

    /// While members join, who joined first stays: the group may be above a maximum that was lowered.
    fn accepts(&self, config: &Config, member: &Text) -> bool {
        let known = self.member(member);
        let max_size = config.max_size.min(GROUP_MEMBERS_MAX);
        match self.state() {
            State::Empty | State::Dead => self.pending.len() < GROUP_PENDING_MEMBERS_MAX,
            State::PreparingRebalance => {
                known.is_some_and(|member| member.joining.is_some()) || self.joining() < max_size
            }
            State::CompletingRebalance | State::Stable => known.is_some() || self.members().len() < max_size,
        }
    }

    fn join_as_new(&mut self, step: &mut Step, token: Token, join: Join) {
        let stem = join.instance.as_ref().unwrap_or(&join.client_id);
        let member = Text::from(format!("{stem}-{}", step.random_uuid()));
        let replaced = join.instance.as_ref().and_then(|instance| self.static_member(instance)).cloned();
        if let Some(old) = replaced {
            self.replace_static_member(step, token, (&old, &member), join);
        } else if join.instance.is_none() && join.requires_known_member {
            if self.pending.len() >= GROUP_PENDING_MEMBERS_MAX {
                return step.answer(token, refusal(Text::default(), ErrorCode::GROUP_MAX_SIZE_REACHED));
            }
            let until = step.now.at.plus_ms(milliseconds(join.session_timeout_ms));
            step.timers.set(self.session(&member), until);
            self.pending.insert(member.clone());
            step.answer(token, refusal(member, ErrorCode::MEMBER_ID_REQUIRED));
        } else {
            self.add_member(step, token, member, join);
        }
    }

    fn join_as_known(&mut self, step: &mut Step, token: Token, join: Join) {
        if self.pending.contains(&join.member) && join.instance.is_none() {
            let member = join.member.detached();
            return self.add_member(step, token, member, join);
        }
        if let Err(error) = self.validate(&join.member, join.instance.as_ref()) {
            return step.answer(token, refusal(join.member, error));
        }
        let member = self.member(&join.member).expect("a valid member is a member");
        let is_same = member.protocols == join.protocols;
        match self.state() {
            // The member may have missed the answer to its last join. A leader of a stable group asks for a rebalance.
            State::CompletingRebalance if is_same => self.answer_again(step, token, join.member),
            State::Stable if is_same && !self.is_leader(&join.member) => self.answer_again(step, token, join.member),
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
                // kafka-python 3 drops an answer that comes between two polls and joins again. Two members polled in turn
                // would go on for ever: the follower's join ends the phase, and that is never while the leader polls.
                self.leader_misses |= self.state() == State::Stable && is_same && !member.knows_generation;
                let reason = format!("member {} rejoins{}", join.member, because(join.reason.as_ref()));
                self.wait_for_join(step, token, &join.member.clone(), join);
                self.rebalance_or_complete(step, &reason);
            }
            State::Empty | State::Dead => unreachable!("a group with a member is neither empty nor dead"),
        }
    }

    fn answer_again(&mut self, step: &mut Step, token: Token, member: Text) {
        let reply = self.join_reply(member.clone());
        step.answer(token, Reply::Join(reply));
        self.touch(step, &member);
    }

    /// A member must be who it says: its instance is not taken over by another member id.
    pub fn validate(&self, member: &Text, instance: Option<&Text>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            let current = self.static_member(instance).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
            if current != member {
                return Err(ErrorCode::FENCED_INSTANCE_ID);
            }
        }
        self.member(member).map(|_| ()).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)
    }

    fn add_member(&mut self, step: &mut Step, token: Token, id: Text, join: Join) {
        if let Some(initial) = &mut self.initial {
            initial.extend = true;
        }
        if self.members().is_empty() {
            self.protocol_type = Some(join.protocol_type.detached());
        }
        let reason = format!("member {id} joins{}", because(join.reason.as_ref()));
        let member = Member {
            instance: join.instance.as_ref().map(Text::detached),
            client_id: join.client_id.detached(),
            client_host: join.client_host.detached(),
            session_timeout_ms: join.session_timeout_ms,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            protocols: keep(&join.protocols),
            assignment: Bytes::new(),
            joining: Some(token),
            syncing: None,
            is_new: true,
            knows_generation: false,
        };
        // It does not know its id yet, so it cannot send heartbeats. Should it be gone, its joins must not pile up.
        step.timers.set(self.session(&id), step.now.at.plus_ms(step.config.new_member_join_timeout_ms));
        self.add(id, member);
        self.rebalance_or_complete(step, &reason);
    }

    /// Parks the join. A join that waited before is answered: its connection may be alive.
    fn wait_for_join(&mut self, step: &mut Step, token: Token, id: &Text, join: Join) {
        let timeouts = Timeouts { session_ms: join.session_timeout_ms, rebalance_ms: join.rebalance_timeout_ms };
        if let Some(superseded) = self.update(id, keep(&join.protocols), timeouts, token) {
            step.answer(superseded, refusal(id.clone(), ErrorCode::REBALANCE_IN_PROGRESS));
        }
    }

    /// A static member came back without its id: it takes the place of its former self, which is fenced.
    fn replace_static_member(&mut self, step: &mut Step, token: Token, (old, new): (&Text, &Text), join: Join) {
        let leader_before = self.leader.clone();
        if let Some(waiting) = self.take_joining(old) {
            step.answer(waiting, refusal(old.clone(), ErrorCode::FENCED_INSTANCE_ID));
        }
        let member = self.members_mut().get_mut(old).expect("a static member is a member");
        member.client_id = join.client_id.detached();
        member.client_host = join.client_host.detached();
        member.is_new = false;
        if let Some(waiting) = member.syncing.take() {
            step.answer(waiting, Reply::Sync(SyncReply::refused(ErrorCode::FENCED_INSTANCE_ID)));
        }
        let before = Box::new(member.clone());
        step.timers.cancel(&self.session(old));
        self.rename(old, new);
        let can_skip = join.can_skip_assignment;
        let reason = format!("static member {new} replaces {old}{}", because(join.reason.as_ref()));
        self.wait_for_join(step, token, new, join);
        self.touch(step, new);
        match self.state() {
            State::Stable if self.protocol.as_ref() == Some(&self.select_protocol()) => {
                let (group, new, old) = (self.id.clone(), new.clone(), old.clone());
                self.keep_generation(step, &new, leader_before.filter(|_| !can_skip));
                step.out.undo.push(Undo::Replaced { group, new, old, member: before });
            }
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(step, &reason),
            State::PreparingRebalance => self.complete_join_when_all_joined(step),
            State::Empty | State::Dead => unreachable!("a group with a member is neither empty nor dead"),
        }
    }

    /// A static member's return changes nothing for the others: only its new id is stored. A leader that cannot be told
    /// to skip the assignment is told its former id as leader, so that it acts as a follower.
    fn keep_generation(&mut self, step: &mut Step, member: &Text, leader_to_tell: Option<Text>) {
        let token = self.take_joining(member).expect("it has just joined");
        self.find_subscribed();
        step.out.records.push(records::group_metadata(self));
        let mut reply = self.join_reply(member.clone());
        match leader_to_tell {
            Some(leader) => {
                reply.leader = leader;
                reply.members.clear();
            }
            None => reply.skip_assignment = self.is_leader(member),
        }
        step.answer_when_stored(token, Reply::Join(reply));
    }

    /// The new id of a static member could not be stored, so its former self stays.
    pub fn restore_static_member(&mut self, step: &mut Step, new: &Text, old: &Text, member: Member) {
        step.timers.cancel(&self.session(new));
        self.put_back(new, old, member);
        self.touch(step, old);
    }

    /// What a member is told of the current generation.
    fn join_reply(&self, member: Text) -> JoinReply {
        JoinReply {
            error: ErrorCode::NONE,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            members: if self.is_leader(&member) { self.joined_members() } else { Vec::new() },
            member,
        }
    }

    /// A member says something in its generation.
    pub fn hear(&mut self, step: &mut Step, id: &Text) {
        self.touch(step, id);
        self.members_mut().get_mut(id).expect("only a member has a session").knows_generation = true;
    }

    /// Heard of: the session starts anew.
    pub fn touch(&mut self, step: &mut Step, id: &Text) {
        let member = self.member(id).expect("only a member has a session");
        let until = step.now.at.plus_ms(milliseconds(member.session_timeout_ms));
        step.timers.set(self.session(id), until);
    }

    /// Removes a member, pending or not; what it waited for is answered, so that it may try again if it is alive.
    pub fn drop_member(&mut self, step: &mut Step, id: &Text, why: &str) {
        step.timers.cancel(&self.session(id));
        let Some(member) = self.remove(id) else { return };
        step.note(&self.id, format!("member {id} is removed: {why}"));
        if let Some(token) = member.joining {
            step.answer(token, refusal(Text::default(), ErrorCode::UNKNOWN_MEMBER_ID));
        }
        if let Some(token) = member.syncing {
            step.answer(token, Reply::Sync(SyncReply::refused(ErrorCode::UNKNOWN_MEMBER_ID)));
        }
    }

    /// After a change of members.
    pub fn rebalance_or_complete(&mut self, step: &mut Step, reason: &str) {
        match self.state() {
            State::Empty | State::CompletingRebalance | State::Stable => self.prepare_rebalance(step, reason),
            State::PreparingRebalance => self.complete_join_when_all_joined(step),
            State::Dead => unreachable!("a dead group is not in the map"),
        }
    }

    pub fn prepare_rebalance(&mut self, step: &mut Step, reason: &str) {
        if self.state() == State::CompletingRebalance {
            self.fail_syncs(step, ErrorCode::REBALANCE_IN_PROGRESS);
        }
        self.unsynced.clear();
        step.timers.cancel(&Timer::Sync { group: self.id.clone() });
        let is_initial = self.state() == State::Empty;
        step.note(&self.id, format!("rebalance after generation {}: {reason}", self.generation.0));
        self.enter(State::PreparingRebalance, step.now.wall);
        let timeout_ms = self.rebalance_timeout_ms();
        if is_initial {
            let step_ms = step.config.initial_rebalance_delay_ms;
            let remaining_ms = timeout_ms.saturating_sub(step_ms);
            self.initial = Some(InitialDelay { step_ms, remaining_ms, extend: false });
            self.end_join_after(step, step_ms);
        } else if self.has_everybody_joined() {
            self.complete_join(step);
        } else {
            self.end_join_after(step, timeout_ms);
        }
    }

    fn end_join_after(&self, step: &mut Step, ms: u64) {
        step.timers.set(Timer::Join { group: self.id.clone() }, step.now.at.plus_ms(ms));
    }

    /// The time to join is over; the first rebalance goes on while members come, up to the rebalance time-out.
    pub fn join_timed_out(&mut self, step: &mut Step) {
        match self.initial {
            Some(initial) if initial.extend && initial.remaining_ms > 0 => {
                let step_ms = step.config.initial_rebalance_delay_ms.min(initial.remaining_ms);
                let remaining_ms = initial.remaining_ms.saturating_sub(initial.step_ms);
                self.initial = Some(InitialDelay { step_ms, remaining_ms, extend: false });
                self.end_join_after(step, step_ms);
            }
            Some(_) | None => self.complete_join(step),
        }
    }

    pub fn complete_join_when_all_joined(&mut self, step: &mut Step) {
        if self.state() == State::PreparingRebalance && self.initial.is_none() && self.has_everybody_joined() {
            self.complete_join(step);
        }
    }

    /// Ends the join phase. Dynamic members that did not join are out; static ones have until the sync phase ends.
    fn complete_join(&mut self, step: &mut Step) {
        assert_eq!(self.state(), State::PreparingRebalance);
        step.timers.cancel(&Timer::Join { group: self.id.clone() });
        self.initial = None;
        let absent = |member: &Member| member.joining.is_none() && member.instance.is_none();
        let members = self.members().iter();
        let late: Vec<Text> = members.filter(|(_, member)| absent(member)).map(|(id, _)| id.clone()).collect();
        for id in &late {
            self.drop_member(step, id, "it did not rejoin within the rebalance time-out");
        }
        if self.members().is_empty() {
            return self.become_empty(step);
        }
        if !self.elect_leader() {
            // Only static members that are away: their sessions decide.
            let timeout_ms = self.rebalance_timeout_ms();
            return self.end_join_after(step, timeout_ms);
        }
        self.next_generation();
        self.protocol = Some(self.select_protocol());
        self.find_subscribed();
        self.enter(State::CompletingRebalance, step.now.wall);
        step.note(&self.id, format!("generation {} with {} members", self.generation.0, self.members().len()));
        self.tell_generation(step);
        let until = step.now.at.plus_ms(self.rebalance_timeout_ms());
        step.timers.set(Timer::Sync { group: self.id.clone() }, until);
    }

    fn become_empty(&mut self, step: &mut Step) {
        self.next_generation();
        self.protocol = None;
        self.find_subscribed();
        self.enter(State::Empty, step.now.wall);
        step.note(&self.id, format!("generation {} is empty", self.generation.0));
        step.out.records.push(records::group_metadata(self));
    }

    fn next_generation(&mut self) {
        self.generation = Generation(self.generation.0.checked_add(1).unwrap_or(0));
    }

    fn tell_generation(&mut self, step: &mut Step) {
        let ids: Vec<Text> = self.members().keys().cloned().collect();
        for id in ids {
            if let Some(token) = self.take_joining(&id) {
                let reply = self.join_reply(id.clone());
                step.answer(token, Reply::Join(reply));
            }
            let member = self.members_mut().get_mut(&id).expect("listed above");
            (member.is_new, member.knows_generation) = (false, false);
            self.touch(step, &id);
            self.unsynced.insert(id);
        }
    }
}

fn refusal(member: Text, error: ErrorCode) -> Reply {
    Reply::Join(JoinReply::refused(member, error))
}

/// In buffers of their own, each name once.
fn keep(protocols: &[(Text, Bytes)]) -> Vec<(Text, Bytes)> {
    let mut kept: Vec<(Text, Bytes)> = Vec::with_capacity(protocols.len());
    for (name, metadata) in protocols {
        if !kept.iter().any(|(known, _)| known == name) {
            kept.push((name.detached(), Bytes::copy_from_slice(metadata)));
        }
    }
    kept
}

fn because(reason: Option<&Text>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}
