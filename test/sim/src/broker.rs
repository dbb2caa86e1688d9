//! The real broker as a process of the simulation: its shards, started from settings and a disk in memory.

use crate::actor::LinkId;
use crate::node::{self, ConnId, Crash, InputOf, Node, OutputOf, Program};
use broker::{Job, JobDone, Listener, Message, Missing, Outbox, Settings, Shard, Start};
use bytes::Bytes;
use log::{Disk, MemoryDisk, MemoryFile};
use record::Batches;
use std::fmt::{self, Write};
use std::net::SocketAddr;
use types::codec::Reader;
use types::{Instant, NodeId, Now, Rng, Text};
use wire::{Records, Request, RequestHeader};

/// Gives what the broker hands to itself a name in the trace, which is all that the simulator may know of it.
macro_rules! sealed {
    ($name:ident($inner:ty)) => {
        pub struct $name($inner);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

sealed!(Work(Job<MemoryDisk>));
sealed!(Done(JobDone<MemoryDisk>));
sealed!(Note(Message<MemoryDisk>));
sealed!(Answer(broker::Frame<MemoryFile>));

pub struct BrokerShard {
    shard: Shard<MemoryDisk>,
    /// Where clients find this process.
    local: SocketAddr,
}

impl Node for BrokerShard {
    type Job = Work;
    type Done = Done;
    type Message = Note;
    type Frame = Answer;

    fn handle(&mut self, now: Now, input: InputOf<Self>, out: &mut Vec<OutputOf<Self>>) {
        let mut outbox = Outbox::default();
        self.shard.handle(now, self.input(input), &mut outbox);
        out.extend(outbox.outputs.into_iter().filter_map(output));
    }

    fn next_wake(&self) -> Option<Instant> {
        self.shard.next_wake()
    }

    fn run(job: Work) -> Done {
        Done(job.0.run())
    }

    fn describe(frame: &Bytes) -> String {
        request(frame).unwrap_or_else(|| format!("{frame:?}"))
    }

    fn read(frame: &Answer) -> Option<Bytes> {
        let bytes = frame.0.read_whole().ok()?;
        (bytes.len() as u64 == frame.0.length()).then_some(bytes)
    }
}

impl BrokerShard {
    fn input(&self, input: InputOf<BrokerShard>) -> broker::Input<MemoryDisk> {
        use broker::Input as To;
        use node::Input as From;
        match input {
            From::Started => To::Started,
            From::Opened { connection, peer } => {
                let peer = SocketAddr::from((peer, CALLER_PORT));
                To::Opened { connection: conn(connection), peer, local: self.local }
            }
            From::LinkOpened { link } => {
                let local = SocketAddr::new(self.local.ip(), CALLER_PORT);
                To::LinkOpened { link: broker::LinkId(link.0), local }
            }
            From::LinkReceived { link, frame } => To::LinkReceived { link: broker::LinkId(link.0), frame },
            From::LinkClosed { link, reason } => {
                To::LinkClosed { link: broker::LinkId(link.0), reason: reason.to_owned() }
            }
            From::Received { connection, frame } => To::Received { connection: conn(connection), frame },
            From::Closed { connection } => To::Closed { connection: conn(connection) },
            From::Wake => To::Wake,
            From::JobDone { ticket, done } => To::JobDone { ticket: broker::Ticket(ticket.0), done: done.0 },
            From::FromShard { from, message } => To::FromShard { from, message: message.0 },
            From::Stop => To::Stop,
        }
    }
}

/// A request as its fields, with the headers of its batches.
fn request(frame: &Bytes) -> Option<String> {
    let mut reader = Reader::new(frame.clone());
    let (key, header) = RequestHeader::read(&mut reader).ok()?;
    let version = header.request_api_version;
    let body = Request::decode(key, &mut reader, version).ok()?;
    let mut text = format!("{key} v{version} #{}", header.correlation_id);
    let Request::Produce(produce) = &body else {
        let _ = write!(text, " {body:?}");
        return Some(text);
    };
    for topic in &produce.topic_data {
        for partition in &topic.partition_data {
            let Some(Records::Bytes(records)) = &partition.records else { continue };
            for (batch, _) in Batches::new(records).flatten() {
                let (id, epoch, sequence) = (batch.producer_id, batch.producer_epoch, batch.base_sequence);
                let spot = (&topic.name, topic.topic_id, partition.index);
                let _ = write!(text, " {spot:?} {} by {id}/{epoch} from {sequence};", batch.record_count);
            }
        }
    }
    Some(text)
}

fn conn(connection: ConnId) -> broker::ConnId {
    broker::ConnId(connection.0)
}

fn output(output: broker::Output<MemoryDisk>) -> Option<OutputOf<BrokerShard>> {
    use broker::Output as From;
    use node::Output as To;
    let id = |connection: broker::ConnId| ConnId(connection.0);
    Some(match output {
        From::Send { connection, frame } => To::Send { connection: id(connection), frame: Answer(frame) },
        From::Close { connection, reason } => {
            To::Close { connection: id(connection), reason: reason.unwrap_or_default() }
        }
        From::Pause { connection } => To::Pause { connection: id(connection) },
        From::Resume { connection } => To::Resume { connection: id(connection) },
        From::Job { ticket, job } => To::Job { ticket: node::Ticket(ticket.0), job: Work(job) },
        From::ToShard { to, message } => To::ToShard { to, message: Note(message) },
        From::Log { level, text } => To::Log { text: format!("{level:?}: {text}") },
        From::Fatal { reason } => To::Fatal { reason },
        From::Stopped => To::Stopped,
        From::Dial { link, host, .. } => To::Dial { link: LinkId(link.0), host: host.to_string() },
        From::SendLink { link, frame } => To::SendLink { link: LinkId(link.0), frame },
        From::Hangup { link } => To::Hangup { link: LinkId(link.0) },
        From::Observed { .. } => return None,
    })
}

/// A broker's settings and disks.
pub struct BrokerProgram {
    /// One for each log directory; the first is the home.
    pub disks: Vec<MemoryDisk>,
    /// A directory that is not there when the broker starts.
    pub unmounted: Option<usize>,
    pub settings: Settings,
    pub shards: u16,
    pub host: String,
    /// Who votes in the cluster; none for a node that is alone.
    pub voters: Vec<(NodeId, Text, u16)>,
}

/// The port of every simulated broker.
pub const PORT: u16 = 9092;
/// The port of whoever calls.
const CALLER_PORT: u16 = 40_000;

/// Where log directories are, by their number.
pub const ROOTS: [&str; 3] = ["/memory", "/memory1", "/memory2"];

impl BrokerProgram {
    fn mounted(&self, number: usize) -> Result<MemoryDisk, Missing> {
        let path = Text::from(self.disks[number].describe(""));
        // Where the home is not known to be it, the missing one may be, and the operator is asked for it.
        match self.unmounted.filter(|_| self.disks[0].exists("__cluster_metadata-0")) {
            Some(gone) if gone == number => Err(Missing { reason: format!("{path} is not mounted"), path }),
            Some(_) | None => Ok(self.disks[number].clone()),
        }
    }
}

impl Program for BrokerProgram {
    type Shard = BrokerShard;

    fn boot(&mut self, now: Now, seed: u64) -> Result<Vec<BrokerShard>, String> {
        let listener =
            Listener { name: Text::from_static("PLAINTEXT"), host: Text::from(self.host.as_str()), port: PORT };
        let start = Start {
            disks: (0..self.disks.len()).map(|number| self.mounted(number)).collect(),
            settings: self.settings.clone(),
            shards: self.shards,
            seed,
            now,
            listeners: vec![listener],
            peer: None,
            voters: self.voters.clone(),
            join: Vec::new(),
            join_cluster_id: None,
        };
        let booted = broker::boot(start).map_err(|error| error.to_string())?;
        let local = SocketAddr::new(self.host.parse().expect("hosts are addresses here"), PORT);
        Ok(booted.shards.into_iter().map(|shard| BrokerShard { shard, local }).collect())
    }

    fn ended(&mut self, crash: Crash, _: &mut Rng) {
        if crash == Crash::PowerLoss {
            self.disks.iter().for_each(MemoryDisk::lose_power);
        }
    }
}
