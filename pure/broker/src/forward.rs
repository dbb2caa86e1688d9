//! Clients' requests that only the active controller answers: another node sends them on as they came, in an Envelope
//! (KIP-590), and gives the answer back as it came.
//!
//! While no controller is known, or the one that was known has lost its office, a request waits a little: an election
//! takes less time than a client's patience.

use crate::api;
use crate::call::SlotId;
use crate::peers::{Lane, Question, Unanswered};
use crate::seam::Frame;
use crate::shard::{Deadline, Shard};
use bytes::{BufMut, Bytes, BytesMut};
use log::Disk;
use types::{ErrorCode, Instant};
use wire::{ApiKey, EnvelopeRequest, EnvelopeResponse};

/// How long a request waits for a controller before its client is told that there is none.
const PATIENCE_MS: u64 = 15_000;
/// How soon a request is tried again.
const RETRY_MS: u64 = 50;
/// How long the controller may take for one request.
const ANSWER_MS: u64 = 30_000;
const VERSION: i16 = 0;

/// A request that waits for a controller.
pub(crate) struct Forwarding {
    slot: SlotId,
    frame: Bytes,
    until: Instant,
}

/// Whether only the active controller can answer requests of this key.
pub(crate) fn is_for_controller(key: ApiKey) -> bool {
    matches!(
        key,
        ApiKey::CreateTopics
            | ApiKey::DeleteTopics
            | ApiKey::CreatePartitions
            | ApiKey::AlterConfigs
            | ApiKey::IncrementalAlterConfigs
            | ApiKey::ElectLeaders
            | ApiKey::AlterPartitionReassignments
            | ApiKey::ListPartitionReassignments
            | ApiKey::UpdateFeatures
            | ApiKey::UnregisterBroker
            | ApiKey::DescribeQuorum
            | ApiKey::AddRaftVoter
            | ApiKey::RemoveRaftVoter
    )
}

impl<D: Disk> Shard<D> {
    /// Sends a request on to the controller, now or as soon as there is one.
    pub(crate) fn forward(&mut self, slot: SlotId, frame: Bytes) {
        let until = self.now.at.plus_ms(PATIENCE_MS);
        self.try_forward(Forwarding { slot, frame, until });
    }

    fn try_forward(&mut self, forwarding: Forwarding) {
        if self.is_active_controller() || self.now.at >= forwarding.until {
            return self.answer_here(forwarding);
        }
        let Some(to) = self.controller_address() else {
            return self.forward_later(forwarding);
        };
        let host = self.client_address(forwarding.slot.connection);
        let request = EnvelopeRequest {
            request_data: forwarding.frame.clone(),
            request_principal: None,
            client_host_address: host,
            ..Default::default()
        };
        let question =
            Question { to: &to, lane: Lane::Forward, version: VERSION, request: &request, timeout_ms: ANSWER_MS };
        self.ask_peer(&question, move |shard, answer| shard.forwarded(forwarding, answer));
    }

    /// The controller lost its office with this request undone: the next one is asked, by who sent it on or by this node.
    /// False where the request is none for a controller, or has waited long enough.
    pub(crate) fn ask_next_controller(&mut self, slot: SlotId) -> bool {
        match self.kept_frame(slot) {
            Some((.., started)) if self.now.at >= started.plus_ms(PATIENCE_MS) => return false,
            Some((ApiKey::Envelope, frame, _)) => {
                let sealed = api::open(slot, frame).ok().map(|(request, _)| request);
                match sealed {
                    Some(request) => self.run(slot, api::refuse_envelope(&request)),
                    None => return false,
                }
            }
            Some((_, frame, _)) => self.forward(slot, frame),
            None => return false,
        }
        true
    }

    fn forwarded(&mut self, forwarding: Forwarding, answer: Result<EnvelopeResponse, Unanswered>) {
        match answer {
            Ok(EnvelopeResponse { error_code: ErrorCode::NONE, response_data: Some(data), .. }) => {
                let mut frame = BytesMut::with_capacity(4 + data.len());
                frame.put_i32(i32::try_from(data.len()).expect("a frame's length is an i32"));
                frame.extend_from_slice(&data);
                self.answer(forwarding.slot, Some(Frame::of(frame.freeze())));
            }
            // It was not carried out, or nobody knows: asking again is what the client would do.
            Ok(_) | Err(Unanswered::Closed(_)) => self.forward_later(forwarding),
            Err(Unanswered::Late | Unanswered::Malformed(_)) => self.answer_here(forwarding),
        }
    }

    fn forward_later(&mut self, forwarding: Forwarding) {
        if self.forwarding.is_empty() {
            self.deadlines.insert((self.now.at.plus_ms(RETRY_MS), Deadline::Forward));
        }
        self.forwarding.push(forwarding);
    }

    /// Tries again what waits for a controller.
    pub(crate) fn retry_forwarding(&mut self) {
        for forwarding in std::mem::take(&mut self.forwarding) {
            self.try_forward(forwarding);
        }
    }

    /// Carries the request out on this node: as its controller, or to say in the request's own terms that there is none.
    fn answer_here(&mut self, forwarding: Forwarding) {
        if !self.sessions.contains_key(&forwarding.slot.connection) {
            return;
        }
        let started = api::open(forwarding.slot, forwarding.frame)
            .ok()
            .and_then(|(request, body)| api::start(self, request, body).ok());
        match started {
            Some(step) => self.run(forwarding.slot, step),
            None => self.drop_connection(forwarding.slot.connection, Some("a malformed request".to_owned())),
        }
    }
}
