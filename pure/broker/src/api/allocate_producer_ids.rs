//! AllocateProducerIds 0 (KIP-730): a broker asks the controller for a block of producer ids.

use crate::call::Step;
use crate::session::Request;
use crate::shard::Shard;
use crate::work::{Outcome, Work};
use ::metadata::controller::{Command, Reply};
use log::Disk;
use types::NodeId;
use types::codec::{DecodeError, Reader};
use wire::{AllocateProducerIdsRequest, AllocateProducerIdsResponse};

pub(crate) fn start<D: Disk>(_: &mut Shard<D>, request: Request, body: Reader) -> Result<Step<D>, DecodeError> {
    let asked: AllocateProducerIdsRequest = request.decode(body)?;
    let (broker, epoch) = (NodeId(asked.broker_id), asked.broker_epoch);
    let allocate = Work::controller(Command::AllocateProducerIds { broker, epoch });
    Ok(Step::one(allocate, move |shard, outcome| {
        let response = match outcome {
            Outcome::Controller(Reply::AllocateProducerIds(Ok(ids))) => AllocateProducerIdsResponse {
                producer_id_start: ids.first.0,
                producer_id_len: ids.count,
                ..Default::default()
            },
            Outcome::Controller(Reply::AllocateProducerIds(Err(refused))) => {
                AllocateProducerIdsResponse { error_code: refused.code, ..Default::default() }
            }
            other => AllocateProducerIdsResponse { error_code: other.into_failure().0, ..Default::default() },
        };
        shard.figures.error(request.key, response.error_code);
        request.reply(&response)
    }))
}
