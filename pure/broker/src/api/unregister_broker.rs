//! UnregisterBroker 0: forgets a broker that will not come back.

use crate::call::Step;
use crate::session::Request;
use crate::shard::Shard;
use crate::work::{Outcome, Work};
use ::metadata::controller::{Command, Reply};
use log::Disk;
use types::codec::{DecodeError, Reader};
use types::{NodeId, Text};
use wire::{UnregisterBrokerRequest, UnregisterBrokerResponse};

pub(crate) fn start<D: Disk>(_: &mut Shard<D>, request: Request, body: Reader) -> Result<Step<D>, DecodeError> {
    let asked: UnregisterBrokerRequest = request.decode(body)?;
    let command = Command::UnregisterBroker { broker: NodeId(asked.broker_id) };
    Ok(Step::one(Work::controller(command), move |shard, outcome| {
        let mut response = UnregisterBrokerResponse::default();
        match outcome {
            Outcome::Controller(Reply::UnregisterBroker(Ok(()))) => {}
            Outcome::Controller(Reply::UnregisterBroker(Err(refused))) => {
                response.error_code = refused.code;
                response.error_message = Some(Text::from(refused.message));
            }
            other => response.error_code = other.into_failure().0,
        }
        shard.figures.error(request.key, response.error_code);
        request.reply(&response)
    }))
}
