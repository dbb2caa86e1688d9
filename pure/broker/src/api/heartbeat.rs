//! Heartbeat 0 to 4.
//!
//! 3 has static members (KIP-345), 4 is flexible.

use super::{Disk, Outcome, Request, Shard, Step};
use coordinator::group::command::{Command, Generation, Heartbeat, Reply};
use types::Text;
use wire::{HeartbeatRequest, HeartbeatResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: HeartbeatRequest) -> Step<D> {
    let heartbeat = Heartbeat {
        group: asked.group_id.detached(),
        generation: Generation(asked.generation_id),
        member: asked.member_id.detached(),
        instance: asked.group_instance_id.as_ref().map(Text::detached),
    };
    let work = shard.group_work(&asked.group_id, Command::Heartbeat(heartbeat));
    Step::one(work, move |shard, outcome| {
        let error_code = match outcome {
            Outcome::Group(Reply::Heartbeat(code)) => code,
            other => other.into_failure().0,
        };
        shard.figures.error(request.key, error_code);
        request.reply(&HeartbeatResponse { error_code, ..Default::default() })
    })
}
