//! The sync phase and what keeps a generation alive: assignments and heartbeats.

use super::command::{Generation, Heartbeat, Reply, Sync, SyncReply};
use super::state::{Group, State};
use super::{Step, Timer, Token, Undo, records};
use bytes::Bytes;
use std::collections::BTreeMap;
use types::{ErrorCode, Text};

impl Group {
    pub fn sync(&mut self, step: &mut Step, token: Token, sync: Sync) {
        if let Err(error) = self.validate_sync(&sync) {
            return step.answer(token, Reply::Sync(SyncReply::refused(error)));
        }
        self.unsynced.remove(&sync.member);
        if self.unsynced.is_empty() {
            step.timers.cancel(&Timer::Sync { group: self.id.clone() });
        }
        match self.state() {
            State::CompletingRebalance => {
                let member = self.members_mut().get_mut(&sync.member).expect("a valid member is a member");
                if let Some(superseded) = member.syncing.replace(token) {
                    step.answer(superseded, Reply::Sync(SyncReply::refused(ErrorCode::REBALANCE_IN_PROGRESS)));
                }
                if self.is_leader(&sync.member) {
                    self.assign(step, sync.assignments);
                }
            }
            State::Stable => {
                let reply = self.sync_reply(&sync.member);
                step.answer_when_stored(token, Reply::Sync(reply));
                self.touch(step, &sync.member);
            }
            State::Empty | State::PreparingRebalance | State::Dead => unreachable!("refused by the validation"),
        }
    }

    fn validate_sync(&self, sync: &Sync) -> Result<(), ErrorCode> {
        self.validate(&sync.member, sync.instance.as_ref())?;
        if sync.generation != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        if differ(&sync.protocol_type, &self.protocol_type) || differ(&sync.protocol, &self.protocol) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        if self.state() == State::PreparingRebalance {
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        Ok(())
    }

    /// The leader's assignment: stored, then told to all who asked. Who is not named in it gets an empty one.
    fn assign(&mut self, step: &mut Step, assignments: Vec<(Text, Bytes)>) {
        let mut by_member: BTreeMap<Text, Bytes> = assignments.into_iter().collect();
        for (id, member) in self.members_mut() {
            member.assignment = by_member.remove(id).map_or_else(Bytes::new, |bytes| Bytes::copy_from_slice(&bytes));
        }
        let record = records::group_metadata(self);
        if !records::fit_one_batch(std::slice::from_ref(&record), step.config.message_bytes_max) {
            let needed = record.size_bytes();
            step.note(&self.id, format!("its metadata needs {needed} bytes, more than message.max.bytes of the topic"));
            self.fail_syncs(step, ErrorCode::UNKNOWN_SERVER_ERROR);
            return self.prepare_rebalance(step, "the assignment is too large to be stored");
        }
        step.out.records.push(record);
        step.out.undo.push(Undo::Assigned(self.id.clone()));
        self.enter(State::Stable, step.now.wall);
        let ids: Vec<Text> = self.members().keys().cloned().collect();
        for id in ids {
            let member = self.members_mut().get_mut(&id).expect("listed above");
            if let Some(token) = member.syncing.take() {
                let reply = self.sync_reply(&id);
                step.answer_when_stored(token, Reply::Sync(reply));
                self.touch(step, &id);
            }
        }
    }

    fn sync_reply(&self, member: &Text) -> SyncReply {
        SyncReply {
            error: ErrorCode::NONE,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.member(member).expect("a valid member is a member").assignment.clone(),
        }
    }

    /// No assignment comes in this generation.
    pub fn fail_syncs(&mut self, step: &mut Step, error: ErrorCode) {
        let ids: Vec<Text> = self.members().keys().cloned().collect();
        for id in ids {
            let member = self.members_mut().get_mut(&id).expect("listed above");
            member.assignment = Bytes::new();
            if let Some(token) = member.syncing.take() {
                step.answer(token, Reply::Sync(SyncReply::refused(error)));
                self.touch(step, &id);
            }
        }
    }

    /// The assignment that was decided last could not be stored; those who wait for it are told by the caller.
    pub fn unassign(&mut self, step: &mut Step) {
        assert_eq!(self.state(), State::Stable);
        self.members_mut().values_mut().for_each(|member| member.assignment = Bytes::new());
        self.prepare_rebalance(step, "the assignment could not be stored");
    }

    /// Members that never asked for their assignment are gone.
    pub fn sync_timed_out(&mut self, step: &mut Step) {
        if self.unsynced.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.unsynced) {
            self.drop_member(step, &id, "it did not sync within the rebalance time-out");
        }
        self.prepare_rebalance(step, "members did not sync");
    }

    pub fn heartbeat(&mut self, step: &mut Step, heartbeat: &Heartbeat) -> ErrorCode {
        if let Err(error) = self.validate(&heartbeat.member, heartbeat.instance.as_ref()) {
            return error;
        }
        if heartbeat.generation != self.generation {
            return ErrorCode::ILLEGAL_GENERATION;
        }
        self.hear(step, &heartbeat.member);
        match self.state() {
            State::PreparingRebalance => ErrorCode::REBALANCE_IN_PROGRESS,
            State::CompletingRebalance | State::Stable => ErrorCode::NONE,
            State::Empty | State::Dead => unreachable!("a group with a member is neither empty nor dead"),
        }
    }

    /// A session ended. A member that waits for the group is alive as far as the group can tell; its session starts
    /// anew with the answer.
    pub fn session_timed_out(&mut self, step: &mut Step, id: &Text) {
        if self.member(id).is_some_and(|m| !m.is_new && (m.joining.is_some() || m.syncing.is_some())) {
            return;
        }
        let was_member = self.member(id).is_some();
        self.drop_member(step, id, "its session timed out");
        if was_member {
            self.rebalance_or_complete(step, "a member's session timed out");
        } else {
            self.complete_join_when_all_joined(step);
        }
    }

    /// Whether a request of this generation is allowed to commit.
    pub fn validate_commit(
        &self,
        member: &Text,
        instance: Option<&Text>,
        generation: Generation,
    ) -> Result<(), ErrorCode> {
        let is_empty = self.state() == State::Empty;
        if generation < Generation(0) && is_empty {
            return Ok(());
        }
        if generation >= Generation(0) || !member.is_empty() || instance.is_some() {
            self.validate(member, instance)?;
            if generation != self.generation {
                return Err(ErrorCode::ILLEGAL_GENERATION);
            }
        } else if !is_empty {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if self.state() == State::CompletingRebalance {
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        Ok(())
    }
}

fn differ(asked: &Option<Text>, current: &Option<Text>) -> bool {
    matches!((asked, current), (Some(asked), Some(current)) if asked != current)
}
