//! The seam between the core and the world: what comes into a shard, what goes out of it.
//!
//! The shell (or the simulator) calls `Shard::handle` with one input at a time and carries out every output in order.
//! Nothing here blocks, sleeps or asks for the time.

use crate::checkpoint::CheckpointRow;
use crate::observe::Observation;
use crate::office::Office;
use crate::work::{CallId, Outcome, Work};
use bytes::Bytes;
use core::net::SocketAddr;
use log::{Disk, DiskFile};
use metadata::{Delta, Image};
use std::sync::Arc;
use types::{NodeId, ShardId, Text};

/// A connection, unique in the process for as long as it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// A connection that a shard opens to another node, unique in the shard for as long as it runs. Nobody else numbers
/// links: the shard says the number when it dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Names a job until it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What happened.
pub enum Input<D: Disk> {
    /// The first input of a shard: it may start its jobs.
    Started,
    /// A connection was accepted: from whom, and at which of our addresses (which clients are told to come back to
    /// unless `advertised.listeners` says otherwise).
    Opened {
        connection: ConnId,
        peer: SocketAddr,
        local: SocketAddr,
    },
    /// One whole request, without its length prefix.
    Received {
        connection: ConnId,
        frame: Bytes,
    },
    /// The connection is gone; what it still waits for is dropped.
    Closed {
        connection: ConnId,
    },
    /// A link stands; `local` is our end of it.
    LinkOpened {
        link: LinkId,
        local: SocketAddr,
    },
    /// One whole response from the other end of a link, without its length prefix.
    LinkReceived {
        link: LinkId,
        frame: Bytes,
    },
    /// The link never came about or has ended, and nothing more is heard of it.
    LinkClosed {
        link: LinkId,
        reason: String,
    },
    /// The time that `next_wake` named has come.
    Wake,
    /// A job has ended.
    JobDone {
        ticket: Ticket,
        done: JobDone<D>,
    },
    FromShard {
        from: ShardId,
        message: Message<D>,
    },
    /// Somebody wants the figures: answered by `Output::Observed` with the same ticket.
    Observe {
        ticket: Ticket,
    },
    /// Stop cleanly: write down what a quick start needs, then say `Output::Stopped`.
    Stop,
}

/// What is to be done about it.
pub enum Output<D: Disk> {
    /// Send a response; frames of one connection leave in the order given.
    Send {
        connection: ConnId,
        frame: Frame<D::File>,
    },
    /// Close the connection once what was sent before has left; the reason is for one rate-limited log line, and there
    /// is none where the client did nothing wrong.
    Close {
        connection: ConnId,
        reason: Option<String>,
    },
    /// Read no further requests from this connection until `Resume`.
    Pause {
        connection: ConnId,
    },
    Resume {
        connection: ConnId,
    },
    /// Connect to another node: `Input::LinkOpened` or `Input::LinkClosed` follows, never before this input is done.
    Dial {
        link: LinkId,
        host: Text,
        port: u16,
    },
    /// Send a whole request with its length prefix; requests of one link leave in the order given, those given before
    /// the link stands as soon as it does.
    SendLink {
        link: LinkId,
        frame: Bytes,
    },
    /// End the link and drop what has not left yet; no input for it follows.
    Hangup {
        link: LinkId,
    },
    /// Run the job elsewhere (`job.run()`) and hand its result back as `Input::JobDone`.
    Job {
        ticket: Ticket,
        job: Job<D>,
    },
    ToShard {
        to: ShardId,
        message: Message<D>,
    },
    /// A line for the operator.
    Log {
        level: Level,
        text: String,
    },
    Observed {
        ticket: Ticket,
        observation: Box<Observation>,
    },
    /// The broker cannot go on without risking what it promised: end the process with this reason.
    Fatal {
        reason: String,
    },
    /// After `Input::Stop`: nothing more will come from this shard.
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// The outputs of one input, in order.
pub struct Outbox<D: Disk> {
    pub outputs: Vec<Output<D>>,
}

impl<D: Disk> Default for Outbox<D> {
    fn default() -> Self {
        Outbox { outputs: Vec::new() }
    }
}

impl<D: Disk> Outbox<D> {
    pub fn push(&mut self, output: Output<D>) {
        self.outputs.push(output);
    }

    pub fn log(&mut self, level: Level, text: String) {
        self.push(Output::Log { level, text });
    }
}

/// A response with its length prefix: bytes, and ranges of segment files that are never copied into memory.
#[derive(Clone)]
pub struct Frame<F> {
    pub head: Bytes,
    pub rest: Vec<Part<F>>,
}

#[derive(Clone)]
pub enum Part<F> {
    Bytes(Bytes),
    File { file: F, position: u64, length: u32 },
}

impl<F> Frame<F> {
    #[must_use]
    pub fn of(head: Bytes) -> Frame<F> {
        Frame { head, rest: Vec::new() }
    }

    #[must_use]
    pub fn length(&self) -> u64 {
        let part = |part: &Part<F>| match part {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::File { length, .. } => u64::from(*length),
        };
        self.head.len() as u64 + self.rest.iter().map(part).sum::<u64>()
    }
}

impl<F: DiskFile> Frame<F> {
    /// The whole frame in one buffer. For the simulator and for links that must encrypt.
    pub fn read_whole(&self) -> Result<Bytes, log::DiskError> {
        let mut whole = Vec::from(&self.head[..]);
        for part in &self.rest {
            match part {
                Part::Bytes(bytes) => whole.extend_from_slice(bytes),
                Part::File { file, position, length } => {
                    let start = whole.len();
                    whole.resize(start + *length as usize, 0);
                    let read = file.read_at(*position, &mut whole[start..]).inspect_err(|_| file.doubt())?;
                    whole.truncate(start + read);
                }
            }
        }
        Ok(Bytes::from(whole))
    }
}

/// Between shards of one process. A call comes back as one return with as many outcomes as it had works, or as one
/// outcome at a time where the caller waits for the first.
pub enum Message<D: Disk> {
    Call {
        call: CallId,
        works: Vec<(u32, Work)>,
    },
    Return {
        call: CallId,
        outcomes: Vec<(u32, Outcome<D>)>,
    },
    /// The caller no longer waits.
    Cancel {
        call: CallId,
    },
    /// A start offset has moved: write checkpoints soon.
    CheckpointSoon,
    /// Every partition that the sender found at its start has been recovered.
    Recovered,
    /// The sender has stopped; what checkpoints are to say of its partitions.
    Closed {
        rows: Vec<CheckpointRow>,
        recovered: bool,
    },
    /// The cluster's metadata has changed.
    Image {
        image: Arc<Image>,
        delta: Arc<Delta>,
    },
    /// Who is the active controller now.
    Office(Option<Office>),
    /// The connection that carried a broker's heartbeats is closed.
    Suspect {
        broker: NodeId,
        epoch: i64,
    },
    /// A broker may be gone: it is not to be named as a leader for a moment.
    Doubt {
        broker: NodeId,
    },
    /// The disk of a log directory has failed.
    DirectoryFailed {
        directory: usize,
        reason: String,
    },
    /// The broker stops now.
    Stop,
}

pub use crate::job::{Job, JobDone};
