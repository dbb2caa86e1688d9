//! Envelope 0 (KIP-590): a client's request that another broker sends on, because only the active controller answers it.

use super::{Disk, Refused, Request, Shard, Step};
use crate::forward::is_for_controller;
use crate::session::Sealed;
use bytes::Bytes;
use types::ErrorCode;
use types::codec::{DecodeError, Reader, Writer};
use wire::{EnvelopeRequest, EnvelopeResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, body: Reader) -> Result<Step<D>, DecodeError> {
    let asked: EnvelopeRequest = request.decode(body)?;
    if !shard.is_active_controller() {
        return Ok(refuse(shard, &request, ErrorCode::NOT_CONTROLLER));
    }
    match super::open(request.slot, asked.request_data) {
        Ok((inner, body)) if is_for_controller(inner.key) => {
            let sealed = Sealed { correlation_id: request.correlation_id, version: request.version };
            super::start(shard, Request { sealed: Some(sealed), ..inner }, body)
        }
        // Neither a request that any broker answers nor one that nobody does belongs into an envelope.
        Ok(_) | Err(Refused::Answer { .. } | Refused::Close(_)) => {
            Ok(refuse(shard, &request, ErrorCode::INVALID_REQUEST))
        }
    }
}

/// The controller lost its office: whoever sent the envelope asks the next one.
pub(crate) fn refuse_envelope<D: Disk>(request: &Request) -> Step<D> {
    request.reply(&EnvelopeResponse { error_code: ErrorCode::NOT_CONTROLLER, ..Default::default() })
}

fn refuse<D: Disk>(shard: &mut Shard<D>, request: &Request, error_code: ErrorCode) -> Step<D> {
    shard.figures.error(request.key, error_code);
    request.reply(&EnvelopeResponse { error_code, ..Default::default() })
}

/// Puts an answer into the envelope that its request came in.
pub(super) fn seal(envelope: &Sealed, answer: Writer) -> Bytes {
    assert!(answer.splices.is_empty(), "what the controller answers stands in the answer");
    let response_data = Some(answer.buffer.freeze().slice(wire::LENGTH_BYTES..));
    let response = EnvelopeResponse { response_data, ..Default::default() };
    wire::encode_response(envelope.correlation_id, envelope.version, &response).buffer.freeze()
}
