//! Questions to other nodes: a request goes out on a link, its answer or the lack of one comes back to a closure.
//!
//! A link is one connection, and a node answers what comes over one connection in order. So what may be held back (a
//! fetch that waits for records) has a lane of its own, and what must not wait behind it takes another. A lane to an
//! address is dialled when it is first needed and again after it broke; when to ask again is the asker's business.

use crate::seam::{LinkId, Output};
use crate::shard::{Deadline, Shard};
use bytes::Bytes;
use log::Disk;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use types::codec::Reader;
use types::{Instant, Text};
use wire::{ApiKey, Call, ResponseHeader};

/// Where a node is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    pub host: Text,
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What a connection to another node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Fetches of the metadata log.
    Metadata,
    /// Votes and the news of a new leader.
    Election,
    /// Signs of life to the controller. That it breaks is itself a sign.
    Heartbeat,
    /// What this broker asks of the controller.
    Controller,
    /// Clients' requests that only the controller answers.
    Forward,
    /// Fetches of partitions.
    Replica,
    /// Whether a node that may be dead is.
    Probe,
}

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The connection could not be made, or it broke.
    Closed(String),
    /// The time is up; an answer that comes now is thrown away.
    Late,
    /// The answer makes no sense.
    Malformed(String),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unanswered::Closed(reason) => f.write_str(reason),
            Unanswered::Late => f.write_str("no answer in time"),
            Unanswered::Malformed(reason) => write!(f, "an answer that cannot be read: {reason}"),
        }
    }
}

type Then<D> = Box<dyn FnOnce(&mut Shard<D>, Result<Bytes, Unanswered>) + Send>;

struct Asked<D: Disk> {
    correlation_id: i32,
    until: Instant,
    then: Then<D>,
}

struct Link<D: Disk> {
    lane: Lane,
    to: Address,
    next_correlation_id: i32,
    asked: VecDeque<Asked<D>>,
}

/// The links of one shard.
pub(crate) struct Peers<D: Disk> {
    links: BTreeMap<LinkId, Link<D>>,
    by_lane: BTreeMap<(Lane, Address), LinkId>,
    next_link: u64,
}

impl<D: Disk> Default for Peers<D> {
    fn default() -> Self {
        Peers { links: BTreeMap::new(), by_lane: BTreeMap::new(), next_link: 0 }
    }
}

/// A question to another node.
pub(crate) struct Question<'a, C> {
    pub to: &'a Address,
    pub lane: Lane,
    pub version: i16,
    pub request: &'a C,
    pub timeout_ms: u64,
}

impl<D: Disk> Shard<D> {
    /// Asks another node. `then` is called once: with the answer, or with why there is none.
    pub(crate) fn ask_peer<C: Call>(
        &mut self,
        question: &Question<'_, C>,
        then: impl FnOnce(&mut Shard<D>, Result<C::Response, Unanswered>) + Send + 'static,
    ) {
        let Question { to, lane, version, request, timeout_ms } = *question;
        let then: Then<D> = Box::new(move |shard, answer| {
            let decoded = answer.and_then(|frame| {
                decode::<C>(frame, version).map_err(|error| Unanswered::Malformed(error.to_string()))
            });
            then(shard, decoded);
        });
        let until = self.now.at.plus_ms(timeout_ms);
        let id = self.link_to(lane, to);
        let client_id = self.node.peer_name.clone();
        let link = self.peers.links.get_mut(&id).expect("it was just looked up");
        link.next_correlation_id = link.next_correlation_id.wrapping_add(1) & i32::MAX;
        let correlation_id = link.next_correlation_id;
        let frame = wire::encode_request(correlation_id, Some(&client_id), version, request);
        link.asked.push_back(Asked { correlation_id, until, then });
        self.out.push(Output::SendLink { link: id, frame });
        self.deadlines.insert((until, Deadline::Link(id)));
    }

    fn link_to(&mut self, lane: Lane, to: &Address) -> LinkId {
        let key = (lane, to.clone());
        if let Some(id) = self.peers.by_lane.get(&key) {
            return *id;
        }
        self.peers.next_link += 1;
        let id = LinkId(self.peers.next_link);
        let link = Link { lane, to: to.clone(), next_correlation_id: 0, asked: VecDeque::new() };
        self.peers.links.insert(id, link);
        self.peers.by_lane.insert(key, id);
        self.out.push(Output::Dial { link: id, host: to.host.clone(), port: to.port });
        id
    }

    pub(crate) fn link_received(&mut self, id: LinkId, frame: Bytes) {
        let Some(link) = self.peers.links.get_mut(&id) else {
            return;
        };
        let correlation_id = frame.first_chunk::<4>().map(|head| i32::from_be_bytes(*head));
        let at = link.asked.iter().position(|asked| Some(asked.correlation_id) == correlation_id);
        let Some(asked) = at.and_then(|at| link.asked.remove(at)) else {
            // The peer speaks of something that was never asked: nothing it says can be trusted to be what it seems.
            return self.drop_link(id, "an answer that nobody asked for", true);
        };
        // Another question may have the same last moment.
        if !link.asked.iter().any(|other| other.until == asked.until) {
            self.deadlines.remove(&(asked.until, Deadline::Link(id)));
        }
        (asked.then)(self, Ok(frame));
    }

    pub(crate) fn link_closed(&mut self, id: LinkId, reason: &str) {
        self.drop_link(id, reason, false);
    }

    /// A question's time is up: the link is given up with it, for what comes behind it would come late as well.
    pub(crate) fn check_link(&mut self, id: LinkId) {
        let Some(link) = self.peers.links.get_mut(&id) else {
            return;
        };
        let now = self.now.at;
        if link.asked.iter().any(|asked| asked.until <= now) {
            self.drop_link(id, "no answer in time", true);
        }
    }

    /// Closes the link of a lane, so that the next question dials anew.
    pub(crate) fn hang_up(&mut self, lane: Lane, to: &Address) {
        if let Some(id) = self.peers.by_lane.get(&(lane, to.clone())).copied() {
            self.drop_link(id, "it is not needed any longer", true);
        }
    }

    /// Ends a link that owes an answer.
    pub(crate) fn give_up_on(&mut self, lane: Lane, to: &Address) {
        let id = self.peers.by_lane.get(&(lane, to.clone())).copied();
        if let Some(id) = id.filter(|id| self.peers.links.get(id).is_some_and(|link| !link.asked.is_empty())) {
            self.drop_link(id, "another holds the controller's office now", true);
        }
    }

    fn drop_link(&mut self, id: LinkId, reason: &str, hang_up: bool) {
        let Some(link) = self.peers.links.remove(&id) else {
            return;
        };
        self.peers.by_lane.remove(&(link.lane, link.to.clone()));
        if hang_up {
            self.out.push(Output::Hangup { link: id });
        }
        let now = self.now.at;
        for asked in link.asked {
            let why = if asked.until <= now {
                Unanswered::Late
            } else {
                Unanswered::Closed(format!("{}: {reason}", link.to))
            };
            (asked.then)(self, Err(why));
        }
    }
}

fn decode<C: Call>(frame: Bytes, version: i16) -> Result<C::Response, types::codec::DecodeError> {
    let mut reader = Reader::new(frame);
    let key: ApiKey = C::KEY;
    ResponseHeader::decode(&mut reader, key.response_header_version(version))?;
    C::decode_response(&mut reader, version)
}
