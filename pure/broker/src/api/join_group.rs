//! JoinGroup 0 to 9.
//!
//! 1 has a rebalance time-out, 4 gives new members an id first (KIP-394), 5 has static members (KIP-345), 6 is flexible,
//! 7 returns the protocol type (KIP-559), 8 a reason (KIP-800), 9 lets a leader skip the assignment (KIP-814).

use super::{Disk, Outcome, Request, Shard, Step};
use coordinator::group::command::{Command, Join, JoinReply, Reply};
use types::Text;
use wire::join_group_response::JoinGroupResponseMember;
use wire::{JoinGroupRequest, JoinGroupResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: JoinGroupRequest) -> Step<D> {
    let member = asked.member_id.detached();
    let rebalance_timeout_ms = if request.version >= 1 { asked.rebalance_timeout_ms } else { asked.session_timeout_ms };
    let join = Join {
        group: asked.group_id.detached(),
        member: member.clone(),
        instance: asked.group_instance_id.as_ref().map(Text::detached),
        client_id: request.client_id.as_ref().map(Text::detached).unwrap_or_default(),
        client_host: shard.client_host(request.slot.connection),
        session_timeout_ms: asked.session_timeout_ms,
        rebalance_timeout_ms,
        protocol_type: asked.protocol_type.detached(),
        protocols: asked
            .protocols
            .into_iter()
            .map(|protocol| (protocol.name.detached(), bytes::Bytes::copy_from_slice(&protocol.metadata)))
            .collect(),
        reason: asked.reason.as_ref().map(Text::detached),
        requires_known_member: request.version >= 4,
        can_skip_assignment: request.version >= 9,
    };
    let work = shard.group_work(&asked.group_id, Command::Join(join));
    Step::one(work, move |shard, outcome| {
        let reply = match outcome {
            Outcome::Group(Reply::Join(reply)) => reply,
            other => JoinReply::refused(member, other.into_failure().0),
        };
        shard.figures.error(request.key, reply.error);
        request.reply(&response(&request, reply))
    })
}

fn response(request: &Request, reply: JoinReply) -> JoinGroupResponse {
    let member = |member: coordinator::group::command::JoinedMember| JoinGroupResponseMember {
        member_id: member.member,
        group_instance_id: member.instance,
        metadata: member.metadata,
        ..Default::default()
    };
    JoinGroupResponse {
        error_code: reply.error,
        generation_id: reply.generation.0,
        protocol_type: reply.protocol_type,
        // Null is known from version 7 on; before that an empty name says the same.
        protocol_name: if request.version >= 7 { reply.protocol } else { Some(reply.protocol.unwrap_or_default()) },
        leader: reply.leader,
        skip_assignment: reply.skip_assignment,
        member_id: reply.member,
        members: reply.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}
