//! The simulator tested on something simple: shards that send back what they get, each frame by way of another shard
//! or of a job, and clients that check that every answer is theirs and in order.

use crate::actor::{Actor, ActorInput, ActorOutput, LinkId};
use crate::node::{ConnId, Crash, Input, InputOf, Node, Output, OutputOf, Program, Ticket};
use crate::world::World;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use types::{Instant, Now, Rng, ShardId};

/// Answers leave in the order of the requests, whoever is done first.
struct Echo {
    shards: u16,
    rng: Rng,
    waiting: BTreeMap<ConnId, VecDeque<(u64, Option<Bytes>)>>,
    asked: u64,
    stopping: bool,
}

#[derive(Debug)]
enum Errand {
    There(ConnId, u64, Bytes),
    Back(ConnId, u64, Bytes),
}

impl Echo {
    fn answer(&mut self, connection: ConnId, number: u64, bytes: Bytes, out: &mut Vec<OutputOf<Echo>>) {
        let Some(queue) = self.waiting.get_mut(&connection) else { return };
        let slot = queue.iter_mut().find(|slot| slot.0 == number).expect("it is answered once");
        slot.1 = Some(bytes);
        while let Some((_, Some(frame))) = queue.front().cloned() {
            queue.pop_front();
            out.push(Output::Send { connection, frame });
        }
    }
}

impl Node for Echo {
    type Job = (ConnId, Bytes);
    type Done = (ConnId, Bytes);
    type Message = Errand;
    type Frame = Bytes;

    fn handle(&mut self, _now: Now, input: InputOf<Self>, out: &mut Vec<OutputOf<Self>>) {
        assert!(!self.stopping || matches!(input, Input::Stop) || !matches!(input, Input::Started));
        match input {
            Input::Started | Input::Wake => {}
            Input::Opened { connection, .. } => {
                self.waiting.insert(connection, VecDeque::new());
            }
            Input::Closed { connection } => {
                self.waiting.remove(&connection).expect("it was open");
            }
            Input::Received { connection, frame } => {
                let number = self.asked;
                self.asked += 1;
                self.waiting.get_mut(&connection).expect("it is open").push_back((number, None));
                if self.rng.one_in(2) {
                    out.push(Output::Job { ticket: Ticket(number), job: (connection, frame) });
                } else {
                    let to = ShardId(u16::try_from(self.rng.below(u64::from(self.shards))).expect("few"));
                    out.push(Output::ToShard { to, message: Errand::There(connection, number, frame) });
                }
            }
            Input::LinkOpened { .. } | Input::LinkReceived { .. } | Input::LinkClosed { .. } => {}
            Input::JobDone { ticket, done } => self.answer(done.0, ticket.0, done.1, out),
            Input::FromShard { from, message } => match message {
                Errand::There(connection, number, frame) => {
                    out.push(Output::ToShard { to: from, message: Errand::Back(connection, number, frame) });
                }
                Errand::Back(connection, number, frame) => self.answer(connection, number, frame, out),
            },
            Input::Stop => {
                self.stopping = true;
                out.push(Output::Stopped);
            }
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        None
    }

    fn run(job: (ConnId, Bytes)) -> (ConnId, Bytes) {
        job
    }

    fn read(frame: &Bytes) -> Option<Bytes> {
        let mut whole = BytesMut::new();
        whole.put_i32(i32::try_from(frame.len()).expect("short"));
        whole.extend_from_slice(frame);
        Some(whole.freeze())
    }
}

struct EchoProgram;

impl Program for EchoProgram {
    type Shard = Echo;

    fn boot(&mut self, _now: Now, seed: u64) -> Result<Vec<Echo>, String> {
        let shard = |number| Echo {
            shards: 3,
            rng: Rng::new(seed + number),
            waiting: BTreeMap::new(),
            asked: 0,
            stopping: false,
        };
        Ok((0..3).map(shard).collect())
    }

    fn ended(&mut self, _crash: Crash, _rng: &mut Rng) {}
}

#[derive(Default)]
struct Tally {
    answered: BTreeSet<u64>,
    broken: u64,
}

/// Sends numbered frames, several at a time, and starts again on a new connection where one breaks.
struct Caller {
    link: LinkId,
    up: bool,
    next: u64,
    expected: VecDeque<u64>,
    inbox: BytesMut,
    wake: Option<Instant>,
    tally: Rc<RefCell<Tally>>,
}

impl Caller {
    fn connect(&mut self, out: &mut Vec<ActorOutput>) {
        self.link = LinkId(self.link.0 + 1);
        self.expected.clear();
        self.inbox.clear();
        out.push(ActorOutput::Connect { link: self.link, host: World::<EchoProgram, Caller>::host(0) });
    }

    fn send(&mut self, out: &mut Vec<ActorOutput>) {
        while self.up && self.expected.len() < 5 {
            let mut frame = BytesMut::new();
            frame.put_i32(8);
            frame.put_u64(self.next);
            self.expected.push_back(self.next);
            self.next += 1;
            out.push(ActorOutput::Send { link: self.link, bytes: frame.freeze() });
        }
    }
}

impl Actor for Caller {
    fn handle(&mut self, now: Now, input: ActorInput, out: &mut Vec<ActorOutput>) {
        match input {
            ActorInput::Wake => {
                self.wake = None;
                self.connect(out);
            }
            ActorInput::Connected(link) => {
                assert_eq!(link, self.link);
                self.up = true;
            }
            ActorInput::Closed(link) => {
                assert_eq!(link, self.link, "what was closed is not heard of again");
                self.up = false;
                self.tally.borrow_mut().broken += 1;
                self.wake = Some(now.at.plus_ms(1));
            }
            ActorInput::Received(link, bytes) => {
                assert_eq!(link, self.link);
                self.inbox.extend_from_slice(&bytes);
                while self.inbox.len() >= 12 {
                    assert_eq!(self.inbox.get_i32(), 8);
                    let number = self.inbox.get_u64();
                    assert_eq!(self.expected.pop_front(), Some(number), "answers come in order");
                    assert!(self.tally.borrow_mut().answered.insert(number), "and once");
                }
            }
        }
        self.send(out);
    }

    fn next_wake(&self) -> Option<Instant> {
        self.wake
    }
}

fn simulate(seed: u64) -> (u64, usize, u64) {
    let mut world = World::new(seed, vec![EchoProgram], false);
    let mut rng = Rng::new(seed);
    let tallies: Vec<_> = (0..3).map(|_| Rc::new(RefCell::new(Tally::default()))).collect();
    world.boot(0);
    for tally in &tallies {
        world.add_actor(Caller {
            link: LinkId(0),
            up: false,
            next: 0,
            expected: VecDeque::new(),
            inbox: BytesMut::new(),
            wake: None,
            tally: tally.clone(),
        });
    }
    for round in 1..200 {
        world.run(Instant(1_000_000 + round * 1000));
        match rng.below(20) {
            0 => world.reset(),
            1 => world.hold_up(3000),
            2 => world.stall(0, 1, 2000),
            3 if world.processes[0].is_up() => world.stop(0),
            4 if world.processes[0].is_up() => world.crash(0, Crash::Kill),
            _ => {}
        }
        if !world.processes[0].is_up() {
            world.boot(0);
        }
    }
    let answered = tallies.iter().map(|tally| tally.borrow().answered.len()).sum();
    let broken = tallies.iter().map(|tally| tally.borrow().broken).sum();
    (world.trace.hash(), answered, broken)
}

#[test]
fn the_same_seed_is_the_same_story() {
    for seed in 0..20 {
        let first = simulate(seed);
        assert_eq!(first, simulate(seed), "seed {seed}");
        assert!(first.1 > 500 && first.2 > 3, "seed {seed} got something done in spite of faults: {first:?}");
    }
    assert_ne!(simulate(1).0, simulate(2).0);
}
