//! The seam of a simulated server process: shards that take one input at a time, and the disk that outlives them.

use crate::actor::LinkId;
use bytes::Bytes;
use std::fmt::Debug;
use std::net::Ipv4Addr;
use types::{Instant, Now, Rng, ShardId};

/// A connection, unique in one simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

#[derive(Debug)]
pub enum Input<Done, Message> {
    Started,
    Opened {
        connection: ConnId,
        peer: Ipv4Addr,
    },
    Received {
        connection: ConnId,
        frame: Bytes,
    },
    Closed {
        connection: ConnId,
    },
    /// A link that this shard dialed stands.
    LinkOpened {
        link: LinkId,
    },
    LinkReceived {
        link: LinkId,
        frame: Bytes,
    },
    LinkClosed {
        link: LinkId,
        reason: &'static str,
    },
    Wake,
    JobDone {
        ticket: Ticket,
        done: Done,
    },
    FromShard {
        from: ShardId,
        message: Message,
    },
    Stop,
}

#[derive(Debug)]
pub enum Output<Frame, Job, Message> {
    Send {
        connection: ConnId,
        frame: Frame,
    },
    Close {
        connection: ConnId,
        reason: String,
    },
    Pause {
        connection: ConnId,
    },
    Resume {
        connection: ConnId,
    },
    /// Connect to a process, named by its host.
    Dial {
        link: LinkId,
        host: String,
    },
    /// A whole request with its length prefix.
    SendLink {
        link: LinkId,
        frame: Bytes,
    },
    Hangup {
        link: LinkId,
    },
    Job {
        ticket: Ticket,
        job: Job,
    },
    ToShard {
        to: ShardId,
        message: Message,
    },
    Log {
        text: String,
    },
    /// The process ends itself rather than risk what it promised.
    Fatal {
        reason: String,
    },
    Stopped,
}

pub type InputOf<N> = Input<<N as Node>::Done, <N as Node>::Message>;
pub type OutputOf<N> = Output<<N as Node>::Frame, <N as Node>::Job, <N as Node>::Message>;

/// One shard of a process.
pub trait Node {
    type Job: Debug;
    type Done: Debug;
    type Message: Debug;
    type Frame: Debug;

    fn handle(&mut self, now: Now, input: InputOf<Self>, out: &mut Vec<OutputOf<Self>>);
    fn next_wake(&self) -> Option<Instant>;
    /// Does the work of a job, on whatever it holds, and never on the shard.
    fn run(job: Self::Job) -> Self::Done;
    /// What a request says, for people.
    fn describe(frame: &Bytes) -> String {
        format!("{frame:?}")
    }
    /// The bytes of a response with its length prefix, read when the network has room; none where that fails.
    fn read(frame: &Self::Frame) -> Option<Bytes>;
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// It stopped by itself; all that it wrote is there.
    Stopped,
    /// The process was killed; all that it wrote is there, cut at any write call.
    Kill,
    /// The machine lost power; what was not synced may be gone or torn.
    PowerLoss,
}

/// What a process is started from, and what outlives it.
pub trait Program {
    type Shard: Node;

    /// The shards, or why the process cannot start.
    fn boot(&mut self, now: Now, seed: u64) -> Result<Vec<Self::Shard>, String>;
    /// The shards are gone: do to the disk what this end does to it.
    fn ended(&mut self, crash: Crash, rng: &mut Rng);
}
