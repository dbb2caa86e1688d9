//! Connections: from a client or a shard to a shard, two byte streams each, in order within one, with delays, stalls,
//! cuts and resets.
//!
//! Owns who is connected to whom and when what was sent arrives. Must never know what the bytes mean beyond the length
//! that begins a frame.

use crate::actor::LinkId;
use crate::node::ConnId;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use types::{Instant, ShardId};

/// One shard of one run of a process: an end of connections that does not outlive the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Door {
    pub process: usize,
    pub run: u64,
    pub shard: ShardId,
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caller {
    Client(usize),
    Shard(Door),
}

/// A place on the network that can be cut off from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Process(usize),
    Client(usize),
}

impl Caller {
    #[must_use]
    pub fn place(self) -> Place {
        match self {
            Caller::Client(actor) => Place::Client(actor),
            Caller::Shard(door) => Place::Process(door.process),
        }
    }
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Caller,
    Called,
}

/// What the network brings to an end.
#[derive(Debug)]
pub enum Arrival {
    /// To the caller only: it stands.
    Connected,
    Bytes(Bytes),
    /// The connection is gone.
    Gone(&'static str),
}

#[derive(Debug)]
pub struct Connection {
    pub caller: Caller,
    /// The caller's number for it.
    pub link: LinkId,
    pub door: Door,
    /// Whether each end still takes what arrives.
    pub caller_open: bool,
    pub called_open: bool,
    /// The caller knows that it stands.
    pub stands: bool,
    /// When the called end heard of it.
    pub opened: Instant,
    /// When the last of what is under way arrives, to the called end and back.
    pub up: Instant,
    pub down: Instant,
    /// What a cut keeps from arriving, to the called end and back.
    pub held_up: VecDeque<Arrival>,
    pub held_down: VecDeque<Arrival>,
    /// When the last response that waits for the socket gets its turn.
    pub write: Instant,
    /// How many responses wait for the socket.
    pub writes: usize,
    /// The called end reads no further.
    pub paused: bool,
    pub requests: Inbox,
    pub responses: Inbox,
    pub orphan: Option<Orphan>,
}

/// A connection whose one end went with its machine, of which the other does not know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Orphan {
    /// The end that is left has sent something that nobody will answer for.
    pub has_sent: bool,
    /// It will learn of it.
    pub is_told: bool,
}

impl Connection {
    #[must_use]
    pub fn is_open(&self, end: End) -> bool {
        match end {
            End::Caller => self.caller_open,
            End::Called => self.called_open,
        }
    }

    pub fn close(&mut self, end: End) {
        match end {
            End::Caller => self.caller_open = false,
            End::Called => self.called_open = false,
        }
    }

    /// From where to where what comes to an end travels.
    #[must_use]
    pub fn way(&self, to: End) -> (Place, Place) {
        let (caller, called) = (self.caller.place(), Place::Process(self.door.process));
        match to {
            End::Caller => (called, caller),
            End::Called => (caller, called),
        }
    }

    /// What a cut keeps from an end.
    pub fn held(&mut self, to: End) -> &mut VecDeque<Arrival> {
        match to {
            End::Caller => &mut self.held_down,
            End::Called => &mut self.held_up,
        }
    }

    /// The next whole request, unless the called end reads no further.
    pub fn next_request(&mut self) -> Option<Bytes> {
        if self.paused || !self.called_open { None } else { self.requests.frames.pop_front() }
    }

    pub fn next_response(&mut self) -> Option<Bytes> {
        if self.caller_open { self.responses.frames.pop_front() } else { None }
    }
}

/// Frames put together from pieces.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: BytesMut,
    frames: VecDeque<Bytes>,
}

impl Inbox {
    /// Bytes have arrived: true where they fit the protocol's framing.
    pub fn arrived(&mut self, bytes: &[u8]) -> bool {
        self.bytes.extend_from_slice(bytes);
        while let Some(prefix) = self.bytes.first_chunk::<4>() {
            let Ok(length) = usize::try_from(i32::from_be_bytes(*prefix)) else { return false };
            if self.bytes.len() - 4 < length {
                break;
            }
            self.bytes.advance(4);
            self.frames.push_back(self.bytes.split_to(length).freeze());
        }
        true
    }
}

/// A dial that nobody answers, for now or for ever.
#[derive(Debug)]
pub struct Dial {
    pub process: usize,
    pub since: Instant,
    pub is_refused: bool,
    /// What is to be sent once the connection stands.
    pub unsent: Vec<Bytes>,
}

#[derive(Debug, Default)]
pub struct Network {
    pub connections: BTreeMap<ConnId, Connection>,
    /// Dials under way that have not become connections.
    pub dials: BTreeMap<(Caller, LinkId), Dial>,
    /// Since when nothing gets from the one place to the other.
    pub cuts: BTreeMap<(Place, Place), Instant>,
    links: BTreeMap<(Caller, LinkId), ConnId>,
    opened: u64,
}

impl Network {
    pub fn open(&mut self, caller: Caller, link: LinkId, door: Door, now: Instant) -> ConnId {
        let id = ConnId(self.opened);
        self.opened += 1;
        let connection = Connection {
            caller,
            link,
            door,
            caller_open: true,
            called_open: true,
            stands: false,
            opened: now,
            up: now,
            down: now,
            held_up: VecDeque::new(),
            held_down: VecDeque::new(),
            write: now,
            writes: 0,
            paused: false,
            requests: Inbox::default(),
            responses: Inbox::default(),
            orphan: None,
        };
        self.connections.insert(id, connection);
        self.links.insert((caller, link), id);
        id
    }

    #[must_use]
    pub fn by_link(&self, caller: Caller, link: LinkId) -> Option<ConnId> {
        self.links.get(&(caller, link)).copied()
    }

    pub fn get(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.connections.get_mut(&id)
    }

    /// Forgets a connection that both ends have left.
    pub fn forget_closed(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get(&id)
            && !connection.caller_open
            && !connection.called_open
        {
            self.links.remove(&(connection.caller, connection.link));
            self.connections.remove(&id);
        }
    }

    /// The connections to a process.
    #[must_use]
    pub fn to_process(&self, process: usize) -> Vec<ConnId> {
        self.ids(|connection| connection.door.process == process)
    }

    /// The connections that shards of a process opened and have not left.
    #[must_use]
    pub fn from_process(&self, process: usize) -> Vec<ConnId> {
        self.ids(|connection| connection.caller_open && connection.caller.place() == Place::Process(process))
    }

    pub fn ids(&self, wanted: impl Fn(&Connection) -> bool) -> Vec<ConnId> {
        self.connections.iter().filter(|(_, connection)| wanted(connection)).map(|(id, _)| *id).collect()
    }

    /// Whether something on the way between two places is cut, in either direction: nothing can be opened then.
    #[must_use]
    pub fn is_parted(&self, one: Place, other: Place) -> bool {
        self.cuts.contains_key(&(one, other)) || self.cuts.contains_key(&(other, one))
    }
}
