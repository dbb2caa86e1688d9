//! One connection to a broker: which versions it speaks, who the client is to it, what waits for its answer, and the
//! cutting of frames.
//!
//! Must never know why a request is sent; an answer goes back to who made the call.

use crate::cluster::{Call, Failure, Options};
use crate::protocol;
use crate::sasl::{Credentials, Exchange, SaslMechanism};
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use types::{ErrorCode, Instant, Text};
use wire::{
    ApiKey, ApiVersionsRequest, Body, Records, Request, Response, SaslAuthenticateRequest, SaslHandshakeRequest,
};

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
    /// The driver is asked for credentials.
    Identifying,
    /// The broker was told the mechanism.
    Handshaking(Credentials),
    Authenticating(Exchange),
    Ready,
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
    versions: Versions,
    sasl: Option<SaslMechanism>,
    /// Credentials are to be asked for.
    pub wants_credentials: bool,
    /// From when on the client has to say anew who it is before it asks anything (KIP-368).
    authenticate_at: Option<Instant>,
    /// How much of a session is used, in percent: clients of one broker are not to come back together.
    session_percent: u64,
    /// How long the broker may take over a new authentication.
    patience_ms: u64,
    phase: Phase,
    correlation: i32,
    waiting: VecDeque<Waiting>,
    in_flight: VecDeque<InFlight>,
    /// When a request was last handed over.
    pub used_at: Instant,
    /// Bytes to send, in order.
    pub outbox: Vec<Bytes>,
    /// The connection must be ready by then.
    connect_by: Instant,
    /// The epoch of the broker's features and their `transaction.version`.
    pub transaction_version: (i64, i16),
}

/// The connection is of no use, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken {
    pub why: String,
    pub failure: Failure,
}

/// The peer does not speak the protocol.
fn garbled() -> Broken {
    let why = "it does not answer in Kafka's protocol".to_owned();
    Broken { why, failure: Failure::Disconnected }
}

fn denied(why: String) -> Broken {
    Broken { why, failure: Failure::Denied }
}

impl Link {
    pub fn new(options: &Options, connect_by: Instant, session_percent: u64) -> Link {
        Link {
            client_id: Text::from(options.client_id.as_str()),
            caps: options.version_caps.clone(),
            versions: Versions::new(),
            sasl: options.sasl,
            wants_credentials: false,
            authenticate_at: None,
            session_percent,
            patience_ms: options.request_timeout_ms,
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
        matches!(self.phase, Phase::Ready)
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

    /// The highest version of a request that both ends speak, within these.
    pub fn version(&self, key: ApiKey, (least, most): Range) -> Option<i16> {
        let (low, high) = self.versions.get(&key).copied()?;
        let version = high.min(self.cap(key).max(low)).min(protocol::version_max(key)).min(most);
        Some(version).filter(|version| *version >= low.max(least))
    }

    /// Sends a request, or holds it until the versions are known and the broker knows who asks.
    pub fn submit(&mut self, waiting: Waiting, answers: &mut Vec<Answer>) {
        if self.is_ready() && self.authenticate_at.is_some_and(|at| at <= self.used_at) {
            // What is under way is answered first.
            let busy = self.in_flight.iter().map(|asked| asked.deadline).max().unwrap_or(self.used_at);
            self.connect_by = busy.max(self.used_at).plus_ms(self.patience_ms);
            self.identify();
        }
        if !self.is_ready() {
            return self.waiting.push_back(waiting);
        }
        let Waiting { call, request, versions, deadline } = waiting;
        let Some(version) = self.version(request.key(), versions) else {
            return answers.push((call, Err(Failure::Unsupported)));
        };
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

    pub fn received(&mut self, now: Instant, bytes: &mut BytesMut, answers: &mut Vec<Answer>) -> Result<(), Broken> {
        // An alert of TLS would be the length of an answer that never comes.
        if matches!(self.phase, Phase::Negotiating(_)) && matches!(bytes[..], [0x15 | 0x16, 3, ..]) {
            let why = "it speaks TLS: set security.protocol to SSL or SASL_SSL".to_owned();
            return Err(Broken { why, failure: Failure::Disconnected });
        }
        while let Some(frame) = wire::split_message(bytes, FRAME_BYTES_MAX).map_err(|_| garbled())? {
            self.answered(now, frame, answers)?;
        }
        if let Ok(Some(length)) = wire::announced_length(bytes, FRAME_BYTES_MAX) {
            bytes.reserve((length + wire::LENGTH_BYTES - bytes.len()).min(FRAME_GROWTH_BYTES_MAX));
        }
        Ok(())
    }

    fn answered(&mut self, now: Instant, frame: Bytes, answers: &mut Vec<Answer>) -> Result<(), Broken> {
        let asked = self.in_flight.pop_front().ok_or_else(garbled)?;
        let decoded = protocol::decode(asked.key, asked.version, frame);
        let Some((_, response)) = decoded.filter(|(correlation, _)| *correlation == asked.correlation) else {
            // The call fails with the connection, not silently.
            self.in_flight.push_front(asked);
            return Err(garbled());
        };
        match (asked.call, response) {
            (Some(call), response) => answers.push((call, Ok(response))),
            (None, Response::ApiVersions(response)) => self.negotiated(&response, answers)?,
            (None, Response::SaslHandshake(response)) => self.shaken(&response)?,
            (None, Response::SaslAuthenticate(response)) => self.authenticated(now, &response, answers)?,
            (None, _) => return Err(garbled()),
        }
        Ok(())
    }

    fn negotiated(&mut self, response: &wire::ApiVersionsResponse, answers: &mut Vec<Answer>) -> Result<(), Broken> {
        let Phase::Negotiating(version) = self.phase else { return Err(garbled()) };
        if response.error_code == ErrorCode::UNSUPPORTED_VERSION && version > 0 {
            let known = response.api_keys.iter().find(|range| range.api_key == ApiVersionsRequest::KEY);
            self.negotiate(known.map_or(0, |range| range.max_version.clamp(0, version - 1)));
            return Ok(());
        }
        if !response.error_code.is_ok() {
            return Err(garbled());
        }
        let range = |known: &wire::api_versions_response::ApiVersion| {
            Some((ApiKey::from_number(known.api_key)?, (known.min_version, known.max_version)))
        };
        let level = response.finalized_features.iter().find(|feature| feature.name == *"transaction.version");
        self.transaction_version =
            (response.finalized_features_epoch, level.map_or(0, |level| level.max_version_level));
        self.versions = response.api_keys.iter().filter_map(range).collect();
        match self.sasl {
            None => self.ready(answers),
            Some(_) if self.version(ApiKey::SaslHandshake, (1, 1)).is_some() => self.identify(),
            Some(_) => {
                let why = "it knows no SASL that this client speaks: set security.protocol to PLAINTEXT or SSL";
                return Err(denied(why.to_owned()));
            }
        }
        Ok(())
    }

    fn ready(&mut self, answers: &mut Vec<Answer>) {
        self.phase = Phase::Ready;
        for held in std::mem::take(&mut self.waiting) {
            self.submit(held, answers);
        }
    }

    fn identify(&mut self) {
        self.phase = Phase::Identifying;
        self.authenticate_at = None;
        self.wants_credentials = true;
    }

    /// The driver says who the client is.
    pub fn identified(&mut self, credentials: Credentials) {
        let (Phase::Identifying, Some(mechanism)) = (&self.phase, self.sasl) else { return };
        self.phase = Phase::Handshaking(credentials);
        let request = SaslHandshakeRequest { mechanism: Text::from_static(mechanism.name()) };
        self.put(None, request.into(), SaslHandshakeRequest::MAX, self.connect_by);
    }

    fn shaken(&mut self, response: &wire::SaslHandshakeResponse) -> Result<(), Broken> {
        let phase = std::mem::replace(&mut self.phase, Phase::Identifying);
        let (Phase::Handshaking(credentials), Some(mechanism)) = (phase, self.sasl) else { return Err(garbled()) };
        match response.error_code {
            ErrorCode::NONE => {}
            ErrorCode::ILLEGAL_SASL_STATE => {
                return Err(denied("it wants no SASL here: set security.protocol to PLAINTEXT or SSL".to_owned()));
            }
            _ => {
                let enabled: Vec<&str> = response.mechanisms.iter().map(Text::as_str).collect();
                let (name, enabled) = (mechanism.name(), enabled.join(", "));
                return Err(denied(format!("{name} is not enabled there: set sasl.mechanism to one of {enabled}")));
            }
        }
        let (exchange, first) = Exchange::begin(mechanism, credentials).map_err(denied)?;
        self.phase = Phase::Authenticating(exchange);
        self.say(first);
        Ok(())
    }

    fn say(&mut self, message: Vec<u8>) {
        let request = SaslAuthenticateRequest { auth_bytes: message.into(), ..Default::default() };
        // Who knows the handshake's version 1 knows this request's 0.
        let version = self.version(ApiKey::SaslAuthenticate, ANY_VERSION).unwrap_or(0);
        self.put(None, request.into(), version, self.connect_by);
    }

    fn authenticated(
        &mut self,
        now: Instant,
        response: &wire::SaslAuthenticateResponse,
        answers: &mut Vec<Answer>,
    ) -> Result<(), Broken> {
        let Phase::Authenticating(exchange) = &mut self.phase else { return Err(garbled()) };
        if !response.error_code.is_ok() {
            let said = response.error_message.as_ref().map(Text::as_str).filter(|said| !said.is_empty());
            let said = said.unwrap_or("it gives no reason");
            let reason = exchange.reason().map_or(String::new(), |reason| format!(" ({reason})"));
            let name = self.sasl.map_or("SASL", SaslMechanism::name);
            return Err(denied(format!("the broker refuses this client's {name} credentials: {said}{reason}")));
        }
        if let Some(message) = exchange.next(&response.auth_bytes).map_err(denied)? {
            self.say(message);
            return Ok(());
        }
        let lifetime_ms = u64::try_from(response.session_lifetime_ms).unwrap_or(0);
        let used_ms = lifetime_ms.saturating_mul(self.session_percent) / 100;
        self.authenticate_at = (lifetime_ms > 0).then(|| now.plus_ms(used_ms));
        self.ready(answers);
        Ok(())
    }

    /// The earliest moment at which something will have taken too long.
    pub fn deadline(&self) -> Option<Instant> {
        let first = self.in_flight.iter().map(|asked| asked.deadline).min();
        if self.is_ready() { first } else { Some(first.map_or(self.connect_by, |first| first.min(self.connect_by))) }
    }

    /// The connection is gone: no call that is still open will be answered.
    pub fn close(self, failure: Failure, answers: &mut Vec<Answer>) {
        // Nobody looks into what was sent; what was not is not to be tried again with what was denied.
        let (sent, unsent) = match failure {
            Failure::Denied => (Failure::Disconnected, Failure::Denied),
            failure => (failure, Failure::NotSent),
        };
        answers.extend(self.in_flight.into_iter().filter_map(|asked| Some((asked.call?, Err(sent)))));
        answers.extend(self.waiting.into_iter().map(|held| (held.call, Err(unsent))));
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
