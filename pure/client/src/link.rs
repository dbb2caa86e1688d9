//! One connection to a broker: which versions it speaks, what waits for its answer, and the cutting of frames.
//!
//! Must never know why a request is sent; an answer goes back to who made the call.

use crate::cluster::{Call, Failure};
use crate::protocol;
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use types::{ErrorCode, Instant, Text};
use wire::{ApiKey, ApiVersionsRequest, Body, Records, Request, Response};

/// Longest answer that is taken: no broker sends more than a fetch's maximum and its overhead.
const FRAME_BYTES_MAX: usize = 512 << 20;
/// Batches from this size on are sent from where they are, smaller ones are copied into their request.
const BATCH_IN_PLACE_BYTES_MIN: usize = 2048;
/// Room that is made for what an answer announces, before any of it has come.
const FRAME_GROWTH_BYTES_MAX: usize = 64 << 20;

/// The lowest and the highest version of a request that are of use.
pub type Range = (i16, i16);
pub const ANY_VERSION: Range = (0, i16::MAX);

/// The versions both ends speak, by API key.
pub type Versions = BTreeMap<ApiKey, (i16, i16)>;

#[derive(Debug)]
enum Phase {
    Connecting,
    /// ApiVersions was asked for in this version.
    Negotiating(i16),
    Ready(Versions),
}

/// A call that is to be sent.
#[derive(Debug)]
pub struct Waiting {
    pub call: Call,
    pub request: Request,
    pub versions: Range,
    pub deadline: Instant,
}

#[derive(Debug)]
struct InFlight {
    call: Option<Call>,
    correlation: i32,
    key: ApiKey,
    version: i16,
    deadline: Instant,
}

/// What came of a call.
pub type Answer = (Call, Result<Response, Failure>);

#[derive(Debug)]
pub struct Link {
    client_id: Text,
    /// Highest version to use of a key, where that is less than what this library knows.
    caps: BTreeMap<ApiKey, i16>,
    phase: Phase,
    correlation: i32,
    waiting: VecDeque<Waiting>,
    in_flight: VecDeque<InFlight>,
    /// When a request was last handed over.
    pub used_at: Instant,
    /// Bytes to send, in order.
    pub outbox: Vec<Bytes>,
    /// The connection must be up by then.
    connect_by: Instant,
    /// The epoch of the broker's features and their `transaction.version`.
    pub transaction_version: (i64, i16),
}

/// The peer does not speak the protocol, or not in time: the connection is of no use.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken;

impl Link {
    pub fn new(client_id: Text, caps: BTreeMap<ApiKey, i16>, connect_by: Instant) -> Link {
        Link {
            client_id,
            caps,
            phase: Phase::Connecting,
            correlation: 0,
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            used_at: Instant(0),
            outbox: Vec::new(),
            connect_by,
            transaction_version: (-1, 0),
        }
    }

    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready(_))
    }

    /// Calls that were handed over and have no answer yet.
    pub fn load(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }

    pub fn connected(&mut self) {
        self.negotiate(ApiVersionsRequest::MAX.min(self.cap(ApiKey::ApiVersions)));
    }

    fn cap(&self, key: ApiKey) -> i16 {
        self.caps.get(&key).copied().unwrap_or(i16::MAX)
    }

    fn negotiate(&mut self, version: i16) {
        self.phase = Phase::Negotiating(version);
        let request = ApiVersionsRequest {
            client_software_name: Text::from_static("vltava"),
            client_software_version: Text::from_static(env!("CARGO_PKG_VERSION")),
            ..Default::default()
        };
        let deadline = self.connect_by;
        self.put(None, Request::ApiVersions(request), version, deadline);
    }

    /// Sends a request, or holds it until the versions are known.
    pub fn submit(&mut self, waiting: Waiting, answers: &mut Vec<Answer>) {
        let Phase::Ready(versions) = &self.phase else { return self.waiting.push_back(waiting) };
        let Waiting { call, request, versions: (least, most), deadline } = waiting;
        let key = request.key();
        let Some((low, high)) = versions.get(&key).copied() else {
            return answers.push((call, Err(Failure::Unsupported)));
        };
        let version = high.min(self.cap(key).max(low)).min(protocol::version_max(key)).min(most);
        if version < low.max(least) {
            return answers.push((call, Err(Failure::Unsupported)));
        }
        // The broker answers every request but this one.
        if protocol::is_unanswered(&request) {
            self.put(None, request, version, deadline);
            self.in_flight.pop_back();
            return answers.push((call, Err(Failure::Unanswered)));
        }
        self.put(Some(call), request, version, deadline);
    }

    fn put(&mut self, call: Option<Call>, mut request: Request, version: i16, deadline: Instant) {
        let correlation = self.correlation;
        self.correlation = self.correlation.wrapping_add(1);
        let batches = lift_batches(&mut request);
        let written = wire::encode_request_around(correlation, Some(&self.client_id), version, &request);
        let (frame, mut sent) = (written.buffer.freeze(), 0);
        for (splice, batch) in written.splices.iter().zip(batches) {
            self.outbox.extend([frame.slice(sent..splice.at), batch]);
            sent = splice.at;
        }
        self.outbox.extend(Some(frame.slice(sent..)).filter(|rest| !rest.is_empty()));
        self.in_flight.push_back(InFlight { call, correlation, key: request.key(), version, deadline });
    }

    pub fn received(&mut self, bytes: &mut BytesMut, answers: &mut Vec<Answer>) -> Result<(), Broken> {
        while let Some(frame) = wire::split_message(bytes, FRAME_BYTES_MAX).map_err(|_| Broken)? {
            self.answered(frame, answers)?;
        }
        if let Ok(Some(length)) = wire::announced_length(bytes, FRAME_BYTES_MAX) {
            bytes.reserve((length + wire::LENGTH_BYTES - bytes.len()).min(FRAME_GROWTH_BYTES_MAX));
        }
        Ok(())
    }

    fn answered(&mut self, frame: Bytes, answers: &mut Vec<Answer>) -> Result<(), Broken> {
        let asked = self.in_flight.pop_front().ok_or(Broken)?;
        let decoded = protocol::decode(asked.key, asked.version, frame);
        let Some((_, response)) = decoded.filter(|(correlation, _)| *correlation == asked.correlation) else {
            // The call fails with the connection, not silently.
            self.in_flight.push_front(asked);
            return Err(Broken);
        };
        match (asked.call, response) {
            (Some(call), response) => answers.push((call, Ok(response))),
            (None, Response::ApiVersions(response)) => self.negotiated(&response, answers)?,
            (None, _) => return Err(Broken),
        }
        Ok(())
    }

    fn negotiated(&mut self, response: &wire::ApiVersionsResponse, answers: &mut Vec<Answer>) -> Result<(), Broken> {
        let Phase::Negotiating(version) = self.phase else { return Err(Broken) };
        if response.error_code == ErrorCode::UNSUPPORTED_VERSION && version > 0 {
            let known = response.api_keys.iter().find(|range| range.api_key == ApiVersionsRequest::KEY);
            self.negotiate(known.map_or(0, |range| range.max_version.clamp(0, version - 1)));
            return Ok(());
        }
        if !response.error_code.is_ok() {
            return Err(Broken);
        }
        let range = |known: &wire::api_versions_response::ApiVersion| {
            Some((ApiKey::from_number(known.api_key)?, (known.min_version, known.max_version)))
        };
        self.phase = Phase::Ready(response.api_keys.iter().filter_map(range).collect());
        let level = response.finalized_features.iter().find(|feature| feature.name == *"transaction.version");
        self.transaction_version =
            (response.finalized_features_epoch, level.map_or(0, |level| level.max_version_level));
        for held in std::mem::take(&mut self.waiting) {
            self.submit(held, answers);
        }
        Ok(())
    }

    /// The earliest moment at which something will have taken too long.
    pub fn deadline(&self) -> Option<Instant> {
        let first = self.in_flight.iter().map(|asked| asked.deadline).min();
        if self.is_ready() { first } else { Some(first.map_or(self.connect_by, |first| first.min(self.connect_by))) }
    }

    /// The connection is gone: no call that is still open will be answered.
    pub fn close(self, failure: Failure, answers: &mut Vec<Answer>) {
        answers.extend(self.in_flight.into_iter().filter_map(|asked| Some((asked.call?, Err(failure)))));
        answers.extend(self.waiting.into_iter().map(|held| (held.call, Err(Failure::NotSent))));
    }
}

/// Takes the larger batches out of a request, in the order of their slots there.
fn lift_batches(request: &mut Request) -> Vec<Bytes> {
    let mut batches = Vec::new();
    let Request::Produce(produce) = request else { return batches };
    for partition in produce.topic_data.iter_mut().flat_map(|topic| &mut topic.partition_data) {
        if let Some(Records::Bytes(bytes)) = &partition.records
            && bytes.len() >= BATCH_IN_PLACE_BYTES_MIN
            && let (Ok(length), Ok(slot)) = (u32::try_from(bytes.len()), u32::try_from(batches.len()))
        {
            batches.push(bytes.clone());
            partition.records = Some(Records::External { length, slot });
        }
    }
    batches
}
