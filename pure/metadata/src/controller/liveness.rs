//! Which brokers were heard of: what the active controller knows and no record says.
//!
//! Owns sessions. It lives as long as one controller's term; the next controller starts with a full session for every
//! broker, since it cannot know what its predecessor heard. Must never decide: it names whom to fence, the controller
//! fences.

use super::Heartbeat;
use crate::generated::Record;
use crate::image::{Broker, Image};
use std::collections::BTreeMap;
use types::{Instant, NodeId, Offset};

#[derive(Clone, Copy, Debug)]
struct Session {
    heard: Instant,
    /// The last record that the broker is known to have applied.
    metadata_offset: Offset,
    /// Who has applied everything below knows that this broker shuts down.
    leaving: Option<Offset>,
}

impl Session {
    fn new(now: Instant) -> Session {
        Session { heard: now, metadata_offset: Offset::NONE, leaving: None }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Liveness {
    session_timeout_ms: u64,
    /// At most one for each registered broker.
    sessions: BTreeMap<NodeId, Session>,
}

impl Liveness {
    /// A term begins; `end_offset` is the offset that follows the records of `image`.
    #[must_use]
    pub fn new(image: &Image, end_offset: Offset, session_timeout_ms: u64, now: Instant) -> Liveness {
        let unfenced = image.brokers().filter(|broker| !broker.fenced);
        let session = |broker: &Broker| {
            // When it began to leave is not known, only that it did before this term.
            let leaving = broker.in_controlled_shutdown.then_some(end_offset);
            (broker.id, Session { leaving, ..Session::new(now) })
        };
        Liveness { session_timeout_ms, sessions: unfenced.map(session).collect() }
    }

    /// Whether a broker was heard of within its session: then nobody else may register under its id.
    #[must_use]
    pub fn is_alive(&self, broker: NodeId, now: Instant) -> bool {
        self.sessions.get(&broker).is_some_and(|session| now < self.end(session))
    }

    /// Before a heartbeat is decided. `image` is that of the controller.
    pub fn heard(&mut self, image: &Image, heartbeat: &mut Heartbeat, now: Instant) {
        let id = heartbeat.broker;
        let current = image.broker(id).filter(|broker| broker.epoch == heartbeat.epoch);
        heartbeat.others_know = false;
        if current.is_none() {
            return;
        }
        let session = self.sessions.entry(id).or_insert_with(|| Session::new(now));
        session.heard = now;
        session.metadata_offset = session.metadata_offset.max(heartbeat.metadata_offset);
        let Some(leaving) = session.leaving else {
            return;
        };
        heartbeat.others_know = image.alive_brokers().filter(|other| other.id != id).all(|other| {
            let session = self.sessions.get(&other.id);
            session.is_some_and(|session| session.metadata_offset.0.saturating_add(1) >= leaving.0)
        });
    }

    /// After a decision was appended; `end_offset` is the offset that follows its records.
    pub fn decided(&mut self, records: &[Record], end_offset: Offset, now: Instant) {
        for record in records {
            if let Record::RegisterBroker(record) = record {
                let known = self.sessions.get(&NodeId(record.broker_id)).map(|session| session.metadata_offset);
                let session = Session { metadata_offset: known.unwrap_or(Offset::NONE), ..Session::new(now) };
                self.sessions.insert(NodeId(record.broker_id), session);
            } else if let Record::UnregisterBroker(record) = record {
                self.sessions.remove(&NodeId(record.broker_id));
            } else if let Record::BrokerRegistrationChange(record) = record {
                let id = NodeId(record.broker_id);
                if record.fenced > 0 {
                    self.sessions.remove(&id);
                } else if record.in_controlled_shutdown > 0
                    && let Some(session) = self.sessions.get_mut(&id)
                {
                    session.leaving = Some(end_offset);
                }
            }
        }
    }

    /// Brokers that are not fenced and were not heard of for a whole session, with their epochs: to be fenced.
    #[must_use]
    pub fn expired(&self, image: &Image, now: Instant) -> Vec<(NodeId, i64)> {
        let unfenced = image.brokers().filter(|broker| !broker.fenced);
        unfenced.filter(|broker| !self.is_alive(broker.id, now)).map(|broker| (broker.id, broker.epoch)).collect()
    }

    /// When the next session runs out.
    #[must_use]
    pub fn next_wake(&self, image: &Image) -> Option<Instant> {
        let unfenced = image.brokers().filter(|broker| !broker.fenced);
        unfenced.map(|broker| self.sessions.get(&broker.id).map_or(Instant(0), |session| self.end(session))).min()
    }

    fn end(&self, session: &Session) -> Instant {
        session.heard.plus_ms(self.session_timeout_ms)
    }
}
