//! SyncGroup 0 to 5.
//!
//! 3 has static members (KIP-345), 4 is flexible, 5 checks the protocol (KIP-559).

use super::{Disk, Outcome, Request, Shard, Step};
use coordinator::group::command::{Command, Generation, Reply, Sync, SyncReply};
use types::{ErrorCode, Text};
use wire::{SyncGroupRequest, SyncGroupResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: SyncGroupRequest) -> Step<D> {
    // From version 5 on both are mandatory (KIP-559).
    if request.version >= 5 && (asked.protocol_type.is_none() || asked.protocol_name.is_none()) {
        let error_code = ErrorCode::INCONSISTENT_GROUP_PROTOCOL;
        return request.reply(&SyncGroupResponse { error_code, ..Default::default() });
    }
    let assignments = asked.assignments.into_iter();
    let sync = Sync {
        group: asked.group_id.detached(),
        generation: Generation(asked.generation_id),
        member: asked.member_id.detached(),
        instance: asked.group_instance_id.as_ref().map(Text::detached),
        protocol_type: asked.protocol_type.as_ref().map(Text::detached),
        protocol: asked.protocol_name.as_ref().map(Text::detached),
        assignments: assignments
            .map(|entry| (entry.member_id.detached(), bytes::Bytes::copy_from_slice(&entry.assignment)))
            .collect(),
    };
    let work = shard.group_work(&asked.group_id, Command::Sync(sync));
    Step::one(work, move |shard, outcome| {
        let reply = match outcome {
            Outcome::Group(Reply::Sync(reply)) => reply,
            other => SyncReply::refused(other.into_failure().0),
        };
        shard.figures.error(request.key, reply.error);
        request.reply(&SyncGroupResponse {
            error_code: reply.error,
            protocol_type: reply.protocol_type,
            protocol_name: reply.protocol,
            assignment: reply.assignment,
            ..Default::default()
        })
    })
}
