//! AllocateProducerIds 0 (KIP-730): a broker asks the controller for a block of producer ids.

use super::{Disk, Outcome, Request, Shard, Step, Work};
use ::metadata::controller::{Command, Reply};
use types::NodeId;
use wire::{AllocateProducerIdsRequest, AllocateProducerIdsResponse};

pub(crate) fn start<D: Disk>(_: &mut Shard<D>, request: Request, asked: AllocateProducerIdsRequest) -> Step<D> {
    let (broker, epoch) = (NodeId(asked.broker_id), asked.broker_epoch);
    let allocate = Work::controller(Command::AllocateProducerIds { broker, epoch });
    Step::one(allocate, move |shard, outcome| {
        let response = match outcome {
            Outcome::Controller(Reply::AllocateProducerIds(Ok(ids))) => AllocateProducerIdsResponse {
                producer_id_start: ids.first.0,
                producer_id_len: ids.count,
                ..Default::default()
            },
            other => AllocateProducerIdsResponse { error_code: other.into_failure().0, ..Default::default() },
        };
        shard.figures.error(request.key, response.error_code);
        request.reply(&response)
    })
}
