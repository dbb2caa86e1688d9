//! A whole broker on a disk in memory, driven input by input: jobs and messages between shards are carried out at once.

use broker::{Booted, ConnId, Frame, Input, Listener, Outbox, Output, Settings, Shard, Start, boot};
use bytes::Bytes;
use log::{Disk, MemoryDisk};
use std::collections::{BTreeMap, VecDeque};
use types::codec::Reader;
use types::{Instant, Now, ShardId, Text, Timestamp};
use wire::Call;

pub struct World {
    pub disk: MemoryDisk,
    shards: Vec<Shard<MemoryDisk>>,
    queue: VecDeque<(usize, Input<MemoryDisk>)>,
    pub now: Now,
    correlation_id: i32,
    answers: BTreeMap<ConnId, VecDeque<Bytes>>,
    pub closed: Vec<Option<String>>,
    pub lines: Vec<String>,
    pub stopped: usize,
}

impl World {
    pub fn start(disk: MemoryDisk, shards: u16, settings: &[(&str, &str)]) -> World {
        let now = Now { at: Instant(1_000_000), wall: Timestamp(1_700_000_000_000) };
        let listener = Listener { name: Text::from("PLAINTEXT"), host: Text::from("localhost"), port: 9092 };
        let given = [("node.id", "1"), ("group.initial.rebalance.delay.ms", "0")];
        let settings = Settings::read(given.into_iter().chain(settings.iter().copied())).expect("valid settings");
        let Booted { shards, .. } = boot(Start {
            disks: vec![Ok(disk.clone())],
            settings,
            shards,
            seed: 7,
            now,
            listeners: vec![listener],
            peer: None,
            voters: Vec::new(),
            join: Vec::new(),
            join_cluster_id: None,
        })
        .expect("the broker starts");
        let mut world = World {
            disk,
            shards,
            queue: VecDeque::new(),
            now,
            correlation_id: 0,
            answers: BTreeMap::new(),
            closed: Vec::new(),
            lines: Vec::new(),
            stopped: 0,
        };
        for at in 0..world.shards.len() {
            world.push(at, Input::Started);
        }
        world.settle();
        world
    }

    pub fn push(&mut self, shard: usize, input: Input<MemoryDisk>) {
        self.queue.push_back((shard, input));
    }

    pub fn settle(&mut self) {
        while let Some((at, input)) = self.queue.pop_front() {
            let mut out = Outbox::default();
            self.shards[at].handle(self.now, input, &mut out);
            for output in out.outputs {
                self.carry_out(at, output);
            }
        }
    }

    fn carry_out(&mut self, at: usize, output: Output<MemoryDisk>) {
        match output {
            Output::Send { connection, frame } => self.answers.entry(connection).or_default().push_back(read(&frame)),
            Output::Close { reason, .. } => self.closed.push(reason),
            Output::Job { ticket, job } => self.push(at, Input::JobDone { ticket, done: job.run() }),
            Output::ToShard { to, message } => {
                let from = ShardId(u16::try_from(at).expect("few shards"));
                self.push(usize::from(to.0), Input::FromShard { from, message });
            }
            Output::Log { text, .. } => self.lines.push(text),
            Output::Fatal { reason } => panic!("{reason}"),
            Output::Stopped => self.stopped += 1,
            Output::Pause { .. } | Output::Resume { .. } | Output::Observed { .. } => {}
            Output::Dial { link, .. } => {
                self.push(at, Input::LinkClosed { link, reason: "there is nobody else here".to_owned() });
            }
            Output::SendLink { .. } | Output::Hangup { .. } => {}
        }
    }

    /// Lets time pass, waking shards when they ask for it.
    pub fn sleep_ms(&mut self, ms: u64) {
        let end = self.now.at.plus_ms(ms);
        loop {
            let next = (0..self.shards.len()).filter_map(|at| Some((self.shards[at].next_wake()?, at))).min();
            match next {
                Some((wake, at)) if wake <= end => {
                    self.pass_to(wake.max(self.now.at));
                    self.push(at, Input::Wake);
                    self.settle();
                }
                _ => break,
            }
        }
        self.pass_to(end);
    }

    fn pass_to(&mut self, at: Instant) {
        let ms = i64::try_from(at.ms_since(self.now.at)).expect("short sleeps");
        self.now = Now { at, wall: Timestamp(self.now.wall.0 + ms) };
    }

    pub fn connect(&mut self, number: u64) -> ConnId {
        let connection = ConnId(number);
        let address = "127.0.0.1:1000".parse().expect("an address");
        let at = self.shard_of(connection);
        self.push(
            at,
            Input::Opened { connection, peer: address, local: "127.0.0.1:9092".parse().expect("an address") },
        );
        self.settle();
        connection
    }

    fn shard_of(&self, connection: ConnId) -> usize {
        usize::try_from(connection.0).expect("few connections") % self.shards.len()
    }

    /// Sends a request without waiting for its answer.
    pub fn send(&mut self, connection: ConnId, version: i16, request: &impl Call) {
        self.correlation_id += 1;
        let client = Text::from("test");
        let frame = wire::encode_request(self.correlation_id, Some(&client), version, request).slice(4..);
        let at = self.shard_of(connection);
        self.push(at, Input::Received { connection, frame });
        self.settle();
    }

    pub fn is_waiting(&self, connection: ConnId) -> bool {
        self.answers.get(&connection).is_none_or(VecDeque::is_empty)
    }

    /// Sends raw bytes as one request.
    pub fn send_raw(&mut self, connection: ConnId, bytes: &[u8]) {
        let at = self.shard_of(connection);
        self.push(at, Input::Received { connection, frame: Bytes::copy_from_slice(bytes) });
        self.settle();
    }

    /// Takes the next answer, which must be there.
    pub fn take<C: Call>(&mut self, connection: ConnId, version: i16) -> C::Response {
        let bytes = self.answers.get_mut(&connection).and_then(VecDeque::pop_front).expect("an answer is there");
        let mut reader = Reader::new(bytes.slice(4..));
        wire::ResponseHeader::decode(&mut reader, C::KEY.response_header_version(version)).expect("a header");
        let response = C::decode_response(&mut reader, version).expect("a response");
        reader.finish().expect("nothing is left over");
        response
    }

    pub fn ask<C: Call>(&mut self, connection: ConnId, version: i16, request: &C) -> C::Response {
        self.send(connection, version, request);
        self.take::<C>(connection, version)
    }

    pub fn stop(mut self) -> MemoryDisk {
        for at in 0..self.shards.len() {
            self.push(at, Input::Stop);
        }
        self.settle();
        assert_eq!(self.stopped, self.shards.len());
        self.disk
    }
}

fn read(frame: &Frame<<MemoryDisk as Disk>::File>) -> Bytes {
    let whole = frame.read_whole().expect("its files can be read");
    assert_eq!(whole.len() as u64, frame.length());
    let announced = i32::from_be_bytes(whole[..4].try_into().expect("four bytes"));
    assert_eq!(whole.len() - 4, usize::try_from(announced).expect("a length"));
    whole
}
