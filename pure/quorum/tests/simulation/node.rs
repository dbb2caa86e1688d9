//! One simulated process with its disk, and the state machine that it applies the log to.

use bytes::Bytes;
use log::{MemoryDisk, Trust};
use quorum::{Config, Endpoint, Entry, Quorum, Voter};
use types::{LeaderEpoch, NodeId, Now, Offset, Rng, Text, Uuid};

pub const CLUSTER: Text = Text::from_static("simulated");

pub struct Node {
    pub id: NodeId,
    pub disk: MemoryDisk,
    pub directory: Uuid,
    /// Set where it runs.
    pub quorum: Option<Quorum<MemoryDisk>>,
    /// Counts the starts: what was meant for an earlier run is dropped.
    pub run: u64,
    /// Counts the moves to other ports.
    pub moves: u16,
    pub trust: Trust,
    /// What it applied, in order.
    pub state: Vec<Entry>,
    /// Where that ends.
    pub applied: Offset,
    pub high_watermark: Offset,
    /// Its voter set when it was last seen.
    pub voters: quorum::VoterSet,
    pub slow_disk: bool,
    pub wiped: bool,
    /// Its own disk with the directory on it, while another one is in its place.
    pub drawer: Option<(MemoryDisk, Uuid, quorum::VoterSet)>,
}

/// What all nodes of a run are configured with.
#[derive(Clone)]
pub struct Setting {
    pub first_voters: Vec<NodeId>,
    /// Whom a node asks for the leader.
    pub all: Vec<NodeId>,
    pub fetch_bytes_max: u32,
    pub segment_bytes: u32,
    pub snapshot_every: i64,
}

pub fn endpoint(id: NodeId, moves: u16) -> Endpoint {
    let port = u16::try_from(id.0).expect("few nodes") + 100 * moves;
    Endpoint { host: Text::from(format!("n{id}")), port }
}

impl Node {
    pub fn new(id: NodeId, rng: &mut Rng) -> Node {
        Node {
            id,
            disk: MemoryDisk::new(rng.next_u64()),
            directory: Uuid::random(rng),
            quorum: None,
            run: 0,
            moves: 0,
            trust: Trust::Stopped,
            state: Vec::new(),
            applied: Offset::ZERO,
            high_watermark: Offset::ZERO,
            voters: quorum::VoterSet::default(),
            slow_disk: false,
            wiped: false,
            drawer: None,
        }
    }

    pub fn start(&mut self, now: Now, setting: &Setting, rng: &mut Rng) {
        let mut config = Config::new(self.id, self.directory, CLUSTER, endpoint(self.id, self.moves));
        let first = setting.first_voters.iter();
        // A node that was the only voter and lost its disk must not be told again that it is alone.
        let alone = setting.first_voters.len() == 1 && (self.wiped || self.drawer.is_some());
        if setting.first_voters.contains(&self.id) && !alone {
            config.voters =
                first.map(|id| Voter { id: *id, directory: Uuid::ZERO, endpoint: endpoint(*id, 0) }).collect();
        }
        config.bootstrap = setting.all.iter().map(|id| endpoint(*id, 0)).collect();
        config.fetch_bytes_max = setting.fetch_bytes_max;
        config.segment_bytes = setting.segment_bytes;
        self.run += 1;
        self.state.clear();
        self.applied = Offset::ZERO;
        self.high_watermark = Offset::ZERO;
        let rng = Rng::new(rng.next_u64());
        let opened = Quorum::open(self.disk.clone(), config, now, self.trust, rng);
        self.quorum = Some(opened.unwrap_or_else(|error| panic!("node {} does not start: {error}", self.id)));
        self.trust = Trust::Killed;
    }

    /// The disk is lost, and with it who the node was.
    pub fn wipe(&mut self, rng: &mut Rng) {
        self.disk = MemoryDisk::new(rng.next_u64());
        self.directory = Uuid::random(rng);
        self.trust = Trust::Stopped;
        self.wiped = true;
    }

    /// Another disk is put in, or the first one again.
    pub fn swap(&mut self, rng: &mut Rng) {
        match self.drawer.take() {
            Some((disk, directory, voters)) => (self.disk, self.directory, self.voters) = (disk, directory, voters),
            None => {
                let disk = std::mem::replace(&mut self.disk, MemoryDisk::new(rng.next_u64()));
                self.drawer = Some((disk, self.directory, std::mem::take(&mut self.voters)));
                self.directory = Uuid::random(rng);
            }
        }
        self.trust = Trust::Killed;
    }

    /// The voter sets that its disks name.
    pub fn known_voters(&self) -> impl Iterator<Item = &quorum::VoterSet> {
        [&self.voters].into_iter().chain(self.drawer.as_ref().map(|(_, _, voters)| voters))
    }

    pub fn snapshot(&mut self, now: Now) {
        let records: Vec<Bytes> = self.state.iter().map(encode).collect();
        if let Some(quorum) = &mut self.quorum {
            quorum.snapshot(now, self.applied, records).expect("everything is applied");
        }
    }
}

fn encode(entry: &Entry) -> Bytes {
    let mut out = entry.offset.0.to_be_bytes().to_vec();
    out.extend_from_slice(&entry.epoch.0.to_be_bytes());
    out.extend_from_slice(&entry.value);
    Bytes::from(out)
}

pub fn decode(record: &Bytes) -> Entry {
    Entry {
        offset: Offset(i64::from_be_bytes(*record.first_chunk().expect("eight bytes"))),
        epoch: LeaderEpoch(i32::from_be_bytes(*record[8..].first_chunk().expect("four bytes"))),
        value: record.slice(12..),
    }
}
