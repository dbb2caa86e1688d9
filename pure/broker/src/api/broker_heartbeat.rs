//! BrokerHeartbeat 0 to 2: a broker's sign of life to the controller, and what it wants: to serve, or to leave.
//!
//! 1 names directories that failed (KIP-858), 2 those that get no new replicas.

use super::{Disk, Outcome, Request, Shard, Step, Work};
use ::metadata::controller::{Command, Heartbeat, Reply};
use types::{NodeId, Offset};
use wire::{BrokerHeartbeatRequest, BrokerHeartbeatResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: BrokerHeartbeatRequest) -> Step<D> {
    shard.note_heartbeat(request.slot.connection, NodeId(asked.broker_id), asked.broker_epoch);
    let heartbeat = Heartbeat {
        broker: NodeId(asked.broker_id),
        epoch: asked.broker_epoch,
        metadata_offset: Offset(asked.current_metadata_offset),
        want_fence: asked.want_fence,
        want_shutdown: asked.want_shut_down,
        offline_directories: asked.offline_log_dirs,
        cordoned_directories: asked.cordoned_log_dirs,
        others_know: false,
    };
    let work = Work::controller(Command::Heartbeat(heartbeat));
    Step::one(work, move |shard, outcome| {
        let response = match outcome {
            Outcome::Controller(Reply::Heartbeat(Ok(reply))) => BrokerHeartbeatResponse {
                is_caught_up: reply.is_caught_up,
                is_fenced: reply.is_fenced,
                should_shut_down: reply.should_shut_down,
                ..Default::default()
            },
            other => BrokerHeartbeatResponse { error_code: other.into_failure().0, ..Default::default() },
        };
        shard.figures.error(request.key, response.error_code);
        request.reply(&response)
    })
}
