//! Members that leave, one or many, by member id or by instance id (KIP-345), with their reasons (KIP-800).

use super::Step;
use super::command::{Leave, LeaveReply, Leaver, LeftMember};
use super::state::Group;
use types::{ErrorCode, Text};

impl Group {
    pub fn leave(&mut self, step: &mut Step, leave: Leave) -> LeaveReply {
        let members_before = self.members().len();
        let mut members = Vec::with_capacity(leave.members.len());
        for leaver in leave.members {
            let error = self.leave_one(step, &leaver).err().unwrap_or(ErrorCode::NONE);
            members.push(LeftMember { member: leaver.member, instance: leaver.instance, error });
        }
        if self.members().len() < members_before {
            self.rebalance_or_complete(step, "members left");
        } else {
            // A member that never joined may be the last that was waited for.
            self.complete_join_when_all_joined(step);
        }
        LeaveReply { error: ErrorCode::NONE, members }
    }

    fn leave_one(&mut self, step: &mut Step, leaver: &Leaver) -> Result<(), ErrorCode> {
        let id = if leaver.member.is_empty() {
            let instance = leaver.instance.as_ref().ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
            self.static_member(instance).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?.clone()
        } else {
            leaver.member.clone()
        };
        if !self.pending.contains(&id) {
            self.validate(&id, leaver.instance.as_ref())?;
        }
        let reason = leaver.reason.clone().unwrap_or(Text::from_static("it left and gave no reason"));
        self.drop_member(step, &id, &reason);
        Ok(())
    }
}

/// Nobody of an unknown group can leave it.
pub(super) fn from_unknown_group(leave: Leave) -> LeaveReply {
    let unknown = |leaver: Leaver| LeftMember {
        member: leaver.member,
        instance: leaver.instance,
        error: ErrorCode::UNKNOWN_MEMBER_ID,
    };
    LeaveReply { error: ErrorCode::NONE, members: leave.members.into_iter().map(unknown).collect() }
}
