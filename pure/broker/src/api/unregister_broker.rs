//! UnregisterBroker 0: forgets a broker that will not come back.

use super::{Disk, Outcome, Request, Shard, Step, Work};
use ::metadata::controller::{Command, Reply};
use types::NodeId;
use wire::{UnregisterBrokerRequest, UnregisterBrokerResponse};

pub(crate) fn start<D: Disk>(_: &mut Shard<D>, request: Request, asked: UnregisterBrokerRequest) -> Step<D> {
    let command = Command::UnregisterBroker { broker: NodeId(asked.broker_id) };
    Step::one(Work::controller(command), move |shard, outcome| {
        let mut response = UnregisterBrokerResponse::default();
        match outcome {
            Outcome::Controller(Reply::UnregisterBroker(Ok(()))) => {}
            other => (response.error_code, response.error_message) = other.into_answer(),
        }
        shard.figures.error(request.key, response.error_code);
        request.reply(&response)
    })
}
