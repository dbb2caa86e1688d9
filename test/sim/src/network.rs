//! Connections between clients and shards: two byte streams each, in order within one, with delays, stalls and resets.
//!
//! Owns who is connected to whom and when what was sent arrives. Must never know what the bytes mean beyond the length
//! that begins a request.

use crate::actor::LinkId;
use crate::node::ConnId;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use types::{Instant, ShardId};

/// Where a connection ends on the server's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Door {
    pub process: usize,
    /// Which run of the process; a connection does not outlive it.
    pub run: u64,
    pub shard: ShardId,
}

#[derive(Debug)]
pub struct Connection {
    pub actor: usize,
    pub link: LinkId,
    pub door: Door,
    /// Whether each end still takes what arrives.
    pub client_open: bool,
    pub server_open: bool,
    /// When the server heard of it.
    pub opened: Instant,
    /// When the last of what is under way arrives, each way.
    pub up: Instant,
    pub down: Instant,
    /// When the last response that waits for the socket gets its turn.
    pub write: Instant,
    /// How many responses wait for the socket.
    pub writes: usize,
    /// The server reads no further.
    pub paused: bool,
    inbox: BytesMut,
    frames: VecDeque<Bytes>,
}

impl Connection {
    /// Bytes have arrived at the server: true where they fit the protocol's framing.
    pub fn arrived(&mut self, bytes: &[u8]) -> bool {
        self.inbox.extend_from_slice(bytes);
        while self.inbox.len() >= 4 {
            let length = i32::from_be_bytes([self.inbox[0], self.inbox[1], self.inbox[2], self.inbox[3]]);
            let Ok(length) = usize::try_from(length) else { return false };
            if self.inbox.len() - 4 < length {
                break;
            }
            self.inbox.advance(4);
            self.frames.push_back(self.inbox.split_to(length).freeze());
        }
        true
    }

    /// The next whole request, unless the server reads no further.
    pub fn next_frame(&mut self) -> Option<Bytes> {
        if self.paused || !self.server_open { None } else { self.frames.pop_front() }
    }
}

#[derive(Debug, Default)]
pub struct Network {
    pub connections: BTreeMap<ConnId, Connection>,
    links: BTreeMap<(usize, LinkId), ConnId>,
    opened: u64,
}

impl Network {
    pub fn open(&mut self, actor: usize, link: LinkId, door: Door, now: Instant) -> ConnId {
        let id = ConnId(self.opened);
        self.opened += 1;
        let connection = Connection {
            actor,
            link,
            door,
            client_open: true,
            server_open: true,
            opened: now,
            up: now,
            down: now,
            write: now,
            writes: 0,
            paused: false,
            inbox: BytesMut::new(),
            frames: VecDeque::new(),
        };
        self.connections.insert(id, connection);
        self.links.insert((actor, link), id);
        id
    }

    pub fn by_link(&self, actor: usize, link: LinkId) -> Option<ConnId> {
        self.links.get(&(actor, link)).copied()
    }

    pub fn get(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.connections.get_mut(&id)
    }

    /// Forgets a connection that both ends have left.
    pub fn forget_closed(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get(&id)
            && !connection.client_open
            && !connection.server_open
        {
            self.links.remove(&(connection.actor, connection.link));
            self.connections.remove(&id);
        }
    }

    /// The connections to one run of a process that its end still holds open.
    pub fn of_process(&self, process: usize) -> Vec<ConnId> {
        let held = self.connections.iter().filter(|(_, connection)| connection.door.process == process);
        held.map(|(id, _)| *id).collect()
    }
}
