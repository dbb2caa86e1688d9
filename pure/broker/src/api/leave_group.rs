//! LeaveGroup 0 to 5.
//!
//! 3 takes several members, by instance id too (KIP-345), 4 is flexible, 5 has a reason (KIP-800).

use super::{Disk, Outcome, Request, Shard, Step};
use coordinator::group::command::{Command, Leave, LeaveReply, Leaver, LeftMember, Reply};
use types::Text;
use wire::leave_group_response::MemberResponse;
use wire::{LeaveGroupRequest, LeaveGroupResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: LeaveGroupRequest) -> Step<D> {
    let members = if request.version >= 3 {
        let leaver = |member: wire::leave_group_request::MemberIdentity| Leaver {
            member: member.member_id.detached(),
            instance: member.group_instance_id.as_ref().map(Text::detached),
            reason: member.reason.as_ref().map(Text::detached),
        };
        asked.members.into_iter().map(leaver).collect()
    } else {
        vec![Leaver { member: asked.member_id.detached(), instance: None, reason: None }]
    };
    let leave = Leave { group: asked.group_id.detached(), members };
    let work = shard.group_work(&asked.group_id, Command::Leave(leave));
    Step::one(work, move |shard, outcome| {
        let reply = match outcome {
            Outcome::Group(Reply::Leave(reply)) => reply,
            other => LeaveReply { error: other.into_failure().0, members: Vec::new() },
        };
        request.reply(&response(shard, &request, reply))
    })
}

fn response<D: Disk>(shard: &mut Shard<D>, request: &Request, reply: LeaveReply) -> LeaveGroupResponse {
    let mut error_code = reply.error;
    if request.version < 3
        && error_code.is_ok()
        && let Some(only) = reply.members.first()
    {
        error_code = only.error;
    }
    shard.figures.error(request.key, error_code);
    let member = |member: LeftMember| MemberResponse {
        member_id: member.member,
        group_instance_id: member.instance,
        error_code: member.error,
        ..Default::default()
    };
    LeaveGroupResponse { error_code, members: reply.members.into_iter().map(member).collect(), ..Default::default() }
}
