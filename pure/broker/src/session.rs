//! One connection's requests: their order, their bound, and what the client said of itself.
//!
//! Answers leave in the order of the requests. A request starts when those before it are answered, except that produce
//! requests may follow each other: a producer's pipeline then waits for one round of replication, not for each in turn.
//! Knows nothing of what a request means beyond that.

use crate::api;
use crate::call::{SlotId, Step};
use crate::forward::is_for_controller;
use crate::seam::{ConnId, Frame, Output};
use crate::shard::Shard;
use crate::work::CallId;
use bytes::Bytes;
use core::net::SocketAddr;
use log::Disk;
use std::collections::{BTreeMap, VecDeque};
use types::{Instant, NodeId, Text, limits};
use wire::ApiKey;

/// What the client said of itself and where it is.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// Our address as this client reached it.
    pub local: SocketAddr,
    pub software_name: Text,
    pub software_version: Text,
}

pub(crate) struct Session<F> {
    pub peer: Peer,
    /// The brokers whose heartbeats come this way, with their epochs: more than one where a node passes others' on.
    pub heartbeats: BTreeMap<NodeId, i64>,
    /// Requests that have not started.
    queue: VecDeque<Bytes>,
    /// Requests that have started, oldest first.
    slots: VecDeque<Slot<F>>,
    next_number: u64,
    paused: bool,
}

struct Slot<F> {
    number: u64,
    key: ApiKey,
    started: Instant,
    waits_for: Option<CallId>,
    /// What only the controller answers, in case it loses its office before it has.
    frame: Option<Bytes>,
    done: Option<Option<Frame<F>>>,
}

/// What a request's file in `api/` is told about it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub slot: SlotId,
    pub key: ApiKey,
    pub version: i16,
    pub correlation_id: i32,
    pub client_id: Option<Text>,
    pub bytes: usize,
    /// It came in an envelope, and so must its answer go.
    pub sealed: Option<Sealed>,
}

/// The request that another one came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed {
    pub correlation_id: i32,
    pub version: i16,
}

impl<F> Session<F> {
    pub fn new(address: SocketAddr, local: SocketAddr) -> Session<F> {
        let peer = Peer { address, local, software_name: Text::default(), software_version: Text::default() };
        Session {
            peer,
            heartbeats: BTreeMap::new(),
            queue: VecDeque::new(),
            slots: VecDeque::new(),
            next_number: 0,
            paused: false,
        }
    }

    fn outstanding(&self) -> usize {
        self.queue.len() + self.slots.len()
    }

    fn may_start(&self, key: i16) -> bool {
        let produce = ApiKey::Produce;
        self.slots.is_empty()
            || (key == produce as i16 && self.slots.iter().all(|slot| slot.key == produce || slot.done.is_some()))
    }
}

impl<D: Disk> Shard<D> {
    /// A request has come in.
    pub(crate) fn received(&mut self, connection: ConnId, frame: Bytes) {
        let Some(session) = self.sessions.get_mut(&connection) else {
            return;
        };
        session.queue.push_back(frame);
        if !session.paused && session.outstanding() >= limits::REQUESTS_PER_CONNECTION_MAX {
            session.paused = true;
            self.out.push(Output::Pause { connection });
        }
        self.start_requests(connection);
    }

    /// Starts as many of the connection's requests as may run now.
    fn start_requests(&mut self, connection: ConnId) {
        while let Some(session) = self.sessions.get_mut(&connection) {
            let Some(frame) = session.queue.front() else {
                break;
            };
            let key = frame.get(..2).map_or(-1, |key| i16::from_be_bytes([key[0], key[1]]));
            if !session.may_start(key) {
                break;
            }
            if !self.image_known && !api::is_served_early(key) {
                self.early.push(connection);
                break;
            }
            let frame = session.queue.pop_front().expect("it was just looked at");
            self.start_request(connection, frame);
        }
        self.resume_reading(connection);
    }

    fn start_request(&mut self, connection: ConnId, frame: Bytes) {
        let started = self.now.at;
        let session = self.sessions.get_mut(&connection).expect("the caller has found it");
        let slot = SlotId { connection, number: session.next_number };
        session.next_number += 1;
        let (request, reader) = match api::open(slot, frame.clone()) {
            Ok(opened) => opened,
            Err(api::Refused::Close(reason)) => return self.drop_connection(connection, Some(reason)),
            Err(api::Refused::Answer { key, frame }) => {
                let entry = Slot { number: slot.number, key, started, waits_for: None, frame: None, done: None };
                session.slots.push_back(entry);
                return self.run(slot, Step::Reply(Frame::of(frame)));
            }
        };
        let key = request.key;
        let kept = (is_for_controller(key) || key == ApiKey::Envelope).then(|| frame.clone());
        let entry = Slot { number: slot.number, key, started, waits_for: None, frame: kept, done: None };
        session.slots.push_back(entry);
        self.figures.request(request.key, request.bytes);
        let (key, version) = (request.key, request.version);
        if is_for_controller(key) && !self.is_active_controller() {
            return self.forward(slot, frame);
        }
        match api::start(self, request, reader) {
            Ok(step) => self.run(slot, step),
            Err(error) => {
                let reason = format!("a malformed {key:?} request of version {version}: {error}");
                self.drop_connection(connection, Some(reason));
            }
        }
    }

    /// Notes the call that a request waits for, so that it ends with the connection.
    pub(crate) fn slot_waits_for(&mut self, slot: SlotId, call: CallId) {
        if let Some(session) = self.sessions.get_mut(&slot.connection)
            && let Some(entry) = session.slots.iter_mut().find(|entry| entry.number == slot.number)
        {
            entry.waits_for = Some(call);
        }
    }

    /// What a request for the controller said, where it waits for an answer.
    pub(crate) fn kept_frame(&self, slot: SlotId) -> Option<(ApiKey, Bytes, Instant)> {
        let session = self.sessions.get(&slot.connection)?;
        let entry = session.slots.iter().find(|entry| entry.number == slot.number)?;
        Some((entry.key, entry.frame.clone()?, entry.started))
    }

    /// A request is done: its answer leaves as soon as those before it have.
    pub(crate) fn answer(&mut self, slot: SlotId, frame: Option<Frame<D::File>>) {
        let connection = slot.connection;
        let Some(session) = self.sessions.get_mut(&connection) else {
            return;
        };
        let Some(entry) = session.slots.iter_mut().find(|entry| entry.number == slot.number) else {
            return;
        };
        entry.done = Some(frame);
        while session.slots.front().is_some_and(|first| first.done.is_some()) {
            let first = session.slots.pop_front().expect("it was just looked at");
            let bytes = first.done.as_ref().and_then(|done| done.as_ref()).map_or(0, Frame::length);
            self.figures.answered(first.key, self.now.at.0.saturating_sub(first.started.0), bytes);
            if let Some(frame) = first.done.flatten() {
                self.out.push(Output::Send { connection, frame });
            }
        }
        if !session.queue.is_empty() || session.paused {
            self.ready.push(connection);
        }
    }

    /// Goes on with connections whose turn came while another request was being carried out.
    pub(crate) fn start_ready(&mut self) {
        while let Some(connection) = self.ready.pop() {
            self.start_requests(connection);
        }
    }

    fn resume_reading(&mut self, connection: ConnId) {
        if let Some(session) = self.sessions.get_mut(&connection)
            && session.paused
            && session.outstanding() <= limits::REQUESTS_PER_CONNECTION_MAX / 2
        {
            session.paused = false;
            self.out.push(Output::Resume { connection });
        }
    }

    /// Closes a connection from our side.
    pub(crate) fn drop_connection(&mut self, connection: ConnId, reason: Option<String>) {
        self.closed(connection);
        self.out.push(Output::Close { connection, reason });
    }

    /// The connection is gone.
    pub(crate) fn closed(&mut self, connection: ConnId) {
        let Some(session) = self.sessions.remove(&connection) else {
            return;
        };
        for slot in session.slots {
            if let Some(call) = slot.waits_for {
                self.abandon(call);
            }
        }
        for (broker, epoch) in session.heartbeats {
            self.heartbeats_ended(broker, epoch);
        }
    }
}
