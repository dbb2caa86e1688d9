//! InitProducerId 0 to 5, for idempotent producers.
//!
//! 2 is flexible, 3 may name a producer id of its own (KIP-360), 4 tells fenced from invalid epochs, 5 belongs to
//! transactions (KIP-890). A producer without a transactional id always gets a new id: its old one decides nothing.

use super::{Disk, Outcome, Request, Shard, Step, Work};
use ::metadata::controller::{Command, Reply};
use types::ErrorCode;
use wire::{InitProducerIdRequest, InitProducerIdResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: InitProducerIdRequest) -> Step<D> {
    if asked.transactional_id.is_some() {
        // There is no coordinator for transactions yet; its absence must not look like something that will pass.
        return refuse(shard, &request, ErrorCode::INVALID_REQUEST);
    }
    if (asked.producer_id == -1) != (asked.producer_epoch == -1) {
        // Half a producer: Kafka takes both or neither.
        return refuse(shard, &request, ErrorCode::INVALID_REQUEST);
    }
    if let Some(id) = shard.producer_ids.next() {
        return reply(&request, id);
    }
    let epoch = shard.image.broker(shard.node.id).map_or(-1, |broker| broker.epoch);
    let allocate = Work::controller(Command::AllocateProducerIds { broker: shard.node.id, epoch });
    Step::one(allocate, move |shard, outcome| match outcome {
        Outcome::Controller(Reply::AllocateProducerIds(Ok(ids))) => {
            shard.producer_ids = ids.first.0..ids.first.0.saturating_add(i64::from(ids.count));
            match shard.producer_ids.next() {
                Some(id) => reply(&request, id),
                None => refuse(shard, &request, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
            }
        }
        other => refuse(shard, &request, retriable(other.into_failure().0)),
    })
}

/// What becomes of the controller while a new one is elected is no fault of the producer: it tries again.
fn retriable(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::NOT_CONTROLLER | ErrorCode::STALE_BROKER_EPOCH | ErrorCode::REQUEST_TIMED_OUT => {
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
        }
        other => other,
    }
}

fn reply<D: Disk>(request: &Request, producer_id: i64) -> Step<D> {
    request.reply(&InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() })
}

fn refuse<D: Disk>(shard: &mut Shard<D>, request: &Request, error_code: ErrorCode) -> Step<D> {
    shard.figures.error(request.key, error_code);
    request.reply(&InitProducerIdResponse { error_code, producer_id: -1, producer_epoch: -1, ..Default::default() })
}
