//! The network between processes tested on something simple: shards that pass what clients ask of them on to another
//! process, over links of their own, and clients that check that every answer is theirs and in order.

use crate::actor::{Actor, ActorInput, ActorOutput, LinkId};
use crate::network::Place::Process;
use crate::node::{ConnId, Crash, Input, InputOf, Node, Output, OutputOf, Program};
use crate::world::World;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use types::{Instant, Now, Rng};

const PROCESSES: usize = 3;
/// What a client's request begins with is a process; a request of another process begins with this.
const FROM_PEER: u8 = 0xff;

/// What everybody in one world writes down.
#[derive(Default)]
struct Tally {
    /// Answers by the process that was asked and the one that it asked.
    answered: BTreeMap<(usize, usize), u64>,
    failed: u64,
    broken: u64,
    /// Requests that got from one process to another.
    heard: BTreeMap<(usize, usize), u64>,
    /// Ends of links: when, at which process, why.
    ends: Vec<(Instant, usize, &'static str)>,
}

type Shared = Rc<RefCell<Tally>>;

#[derive(Default)]
struct Link {
    target: usize,
    stands: bool,
    /// The calls that wait for an answer, with the time of the first attempt.
    calls: VecDeque<(Instant, ConnId, u64)>,
}

struct Relay {
    process: usize,
    patience_ms: u64,
    links: BTreeMap<LinkId, Link>,
    dialed: u64,
    /// The order in which clients want their answers.
    waiting: BTreeMap<ConnId, VecDeque<(u64, Option<bool>)>>,
    tally: Shared,
}

impl Relay {
    fn asked(&mut self, now: Now, connection: ConnId, mut frame: Bytes, out: &mut Vec<OutputOf<Relay>>) {
        let (first, number) = (frame.get_u8(), frame.get_u64());
        if first == FROM_PEER {
            let from = usize::from(frame.get_u8());
            *self.tally.borrow_mut().heard.entry((from, self.process)).or_default() += 1;
            let frame = Bytes::copy_from_slice(&number.to_be_bytes());
            return out.push(Output::Send { connection, frame });
        }
        self.waiting.get_mut(&connection).expect("it is open").push_back((number, None));
        let target = usize::from(first);
        let id = self.links.iter().find(|(_, link)| link.target == target).map(|(id, _)| *id);
        let id = id.unwrap_or_else(|| {
            self.dialed += 1;
            let link = LinkId(self.dialed);
            self.links.insert(link, Link { target, ..Link::default() });
            out.push(Output::Dial { link, host: World::<RelayProgram, Caller>::host(target) });
            link
        });
        let mut request = BytesMut::new();
        request.put_u32(10);
        request.put_u8(FROM_PEER);
        request.put_u64(number);
        request.put_u8(u8::try_from(self.process).expect("few"));
        self.links.get_mut(&id).expect("it was found").calls.push_back((now.at, connection, number));
        out.push(Output::SendLink { link: id, frame: request.freeze() });
    }

    fn answer(&mut self, connection: ConnId, number: u64, is_there: bool, out: &mut Vec<OutputOf<Relay>>) {
        let Some(queue) = self.waiting.get_mut(&connection) else { return };
        let slot = queue.iter_mut().find(|slot| slot.0 == number).expect("it is answered once");
        slot.1 = Some(is_there);
        while let Some((number, Some(is_there))) = queue.front().copied() {
            queue.pop_front();
            let mut frame = BytesMut::new();
            frame.put_u8(u8::from(is_there));
            frame.put_u64(number);
            out.push(Output::Send { connection, frame: frame.freeze() });
        }
    }

    fn give_up(&mut self, now: Now, out: &mut Vec<OutputOf<Relay>>) {
        let is_late = |link: &Link| link.calls.front().is_some_and(|call| call.0.plus_ms(self.patience_ms) <= now.at);
        let late: Vec<LinkId> = self.links.iter().filter(|(_, link)| is_late(link)).map(|(id, _)| *id).collect();
        for id in late {
            out.push(Output::Hangup { link: id });
            self.fail(id, out);
        }
    }

    fn fail(&mut self, id: LinkId, out: &mut Vec<OutputOf<Relay>>) {
        let link = self.links.remove(&id).expect("nothing is heard of a link that is not there");
        for (_, connection, number) in link.calls {
            self.answer(connection, number, false, out);
        }
    }
}

impl Node for Relay {
    type Job = ();
    type Done = ();
    type Message = ();
    type Frame = Bytes;

    fn handle(&mut self, now: Now, input: InputOf<Self>, out: &mut Vec<OutputOf<Self>>) {
        match input {
            Input::Started | Input::JobDone { .. } | Input::FromShard { .. } => {}
            Input::Wake => self.give_up(now, out),
            Input::Opened { connection, .. } => {
                self.waiting.insert(connection, VecDeque::new());
            }
            Input::Closed { connection } => {
                self.waiting.remove(&connection).expect("it was open");
            }
            Input::Received { connection, frame } => self.asked(now, connection, frame, out),
            Input::LinkOpened { link } => {
                let link = self.links.get_mut(&link).expect("it was dialed");
                assert!(!link.stands, "it opens once");
                link.stands = true;
            }
            Input::LinkReceived { link, mut frame } => {
                let link = self.links.get_mut(&link).expect("it was not hung up");
                assert!(link.stands, "what stands is told before what it brings");
                let (_, connection, number) = link.calls.pop_front().expect("it was asked");
                assert_eq!(frame.get_u64(), number, "answers come in order");
                self.answer(connection, number, true, out);
            }
            Input::LinkClosed { link, reason } => {
                self.tally.borrow_mut().ends.push((now.at, self.process, reason));
                self.fail(link, out);
            }
            Input::Stop => out.push(Output::Stopped),
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        self.links.values().filter_map(|link| Some(link.calls.front()?.0.plus_ms(self.patience_ms))).min()
    }

    fn run(_job: ()) {}

    fn read(frame: &Bytes) -> Option<Bytes> {
        let length = u32::try_from(frame.len()).expect("short");
        Some([&length.to_be_bytes(), &frame[..]].concat().into())
    }
}

struct RelayProgram {
    process: usize,
    patience_ms: u64,
    tally: Shared,
}

impl Program for RelayProgram {
    type Shard = Relay;

    fn boot(&mut self, _now: Now, _seed: u64) -> Result<Vec<Relay>, String> {
        let shard = |_| Relay {
            process: self.process,
            patience_ms: self.patience_ms,
            links: BTreeMap::new(),
            dialed: 0,
            waiting: BTreeMap::new(),
            tally: self.tally.clone(),
        };
        Ok((0..2).map(shard).collect())
    }

    fn ended(&mut self, _crash: Crash, _rng: &mut Rng) {}
}

/// Asks one process to ask all of them, several at a time, and starts again on a new connection where one breaks or
/// brings nothing for long.
struct Caller {
    home: usize,
    link: LinkId,
    up: bool,
    next: u64,
    expected: VecDeque<(u64, usize)>,
    inbox: BytesMut,
    wake: Option<Instant>,
    seen: BTreeSet<u64>,
    tally: Shared,
}

/// How long a client waits for anything.
const CLIENT_PATIENCE_MS: u64 = 8000;

impl Caller {
    fn new(home: usize, tally: &Shared) -> Caller {
        Caller {
            home,
            link: LinkId(0),
            up: false,
            next: 0,
            expected: VecDeque::new(),
            inbox: BytesMut::new(),
            wake: None,
            seen: BTreeSet::new(),
            tally: tally.clone(),
        }
    }

    fn connect(&mut self, now: Now, out: &mut Vec<ActorOutput>) {
        out.push(ActorOutput::Close { link: self.link });
        self.link = LinkId(self.link.0 + 1);
        self.up = false;
        self.expected.clear();
        self.inbox.clear();
        self.wake = Some(now.at.plus_ms(CLIENT_PATIENCE_MS));
        out.push(ActorOutput::Connect { link: self.link, host: World::<RelayProgram, Caller>::host(self.home) });
    }

    fn send(&mut self, out: &mut Vec<ActorOutput>) {
        while self.up && self.expected.len() < 4 {
            let target = usize::try_from(self.next).expect("few") % PROCESSES;
            let mut frame = BytesMut::new();
            frame.put_u32(9);
            frame.put_u8(u8::try_from(target).expect("few"));
            frame.put_u64(self.next);
            self.expected.push_back((self.next, target));
            self.next += 1;
            out.push(ActorOutput::Send { link: self.link, bytes: frame.freeze() });
        }
    }

    fn answered(&mut self) {
        assert_eq!(self.inbox.get_u32(), 9);
        let (is_there, number) = (self.inbox.get_u8() == 1, self.inbox.get_u64());
        let (expected, target) = self.expected.pop_front().expect("it was asked");
        assert_eq!(expected, number, "answers come in order");
        assert!(self.seen.insert(number), "and once");
        let mut tally = self.tally.borrow_mut();
        if is_there {
            *tally.answered.entry((self.home, target)).or_default() += 1;
        } else {
            tally.failed += 1;
        }
    }
}

impl Actor for Caller {
    fn handle(&mut self, now: Now, input: ActorInput, out: &mut Vec<ActorOutput>) {
        match input {
            ActorInput::Wake => self.connect(now, out),
            ActorInput::Connected(link) => {
                assert_eq!(link, self.link);
                self.up = true;
            }
            ActorInput::Closed(link) if link == self.link => {
                self.up = false;
                self.tally.borrow_mut().broken += 1;
                self.wake = Some(now.at.plus_ms(5));
            }
            // A dial that was refused is told of even after it was closed.
            ActorInput::Closed(_) => {}
            ActorInput::Received(link, bytes) => {
                assert_eq!(link, self.link);
                self.wake = Some(now.at.plus_ms(CLIENT_PATIENCE_MS));
                self.inbox.extend_from_slice(&bytes);
                while self.inbox.len() >= 13 {
                    self.answered();
                }
            }
        }
        self.send(out);
    }

    fn next_wake(&self) -> Option<Instant> {
        self.wake
    }
}

struct Relays {
    world: World<RelayProgram, Caller>,
    tally: Shared,
}

impl Relays {
    fn start(seed: u64, patience_ms: u64) -> Relays {
        let tally = Shared::default();
        let program = |process| RelayProgram { process, patience_ms, tally: tally.clone() };
        let mut world = World::new(seed, (0..PROCESSES).map(program).collect(), false);
        world.power_loss_is_silent = true;
        // Answers take a while, so that a second has some thousand events and no more.
        world.pace.network_us = (500, 5000);
        for process in 0..PROCESSES {
            world.boot(process);
            world.add_actor(Caller::new(process, &tally));
        }
        Relays { world, tally }
    }

    fn run_ms(&mut self, ms: u64) {
        self.world.run(self.world.now().at.plus_ms(ms));
    }

    fn answered(&self) -> BTreeMap<(usize, usize), u64> {
        self.tally.borrow().answered.clone()
    }

    /// Pairs of processes of which the first was asked and got no answer of the second in a while.
    fn silent_pairs(&mut self, ms: u64) -> Vec<(usize, usize)> {
        let before = self.answered();
        self.run_ms(ms);
        let after = self.answered();
        let pairs = (0..PROCESSES).flat_map(|home| (0..PROCESSES).map(move |target| (home, target)));
        pairs.filter(|pair| before.get(pair) == after.get(pair)).collect()
    }

    /// The ends of links at a process since a moment: after how many milliseconds, and why.
    fn ends(&self, process: usize, since: Instant) -> Vec<(u64, &'static str)> {
        let tally = self.tally.borrow();
        let ends = tally.ends.iter().filter(|end| end.1 == process && end.0 >= since);
        ends.map(|(at, _, reason)| (at.ms_since(since), *reason)).collect()
    }
}

#[test]
fn a_cut_of_one_way_lets_requests_through_and_no_answers() {
    let mut relays = Relays::start(1, 5000);
    assert_eq!(relays.silent_pairs(300), []);
    relays.world.cut(Process(0), Process(1));
    relays.run_ms(100);
    let heard = |relays: &Relays, pair| relays.tally.borrow().heard.get(&pair).copied();
    let before = (heard(&relays, (1, 0)), heard(&relays, (0, 1)));
    let silent = relays.silent_pairs(4000);
    assert!(silent.contains(&(0, 1)) && silent.contains(&(1, 0)), "{silent:?}");
    assert!(heard(&relays, (1, 0)) >= before.0 && heard(&relays, (0, 1)) == before.1);
    relays.world.heal_all();
    relays.run_ms(2000);
    assert_eq!(relays.silent_pairs(500), []);
    assert_eq!(relays.ends(0, Instant(0)), [], "what stood went on");
}

#[test]
fn links_across_a_long_cut_end_and_new_ones_get_no_answer() {
    let mut relays = Relays::start(2, 60_000);
    relays.run_ms(300);
    let cut = relays.world.now().at;
    relays.world.part(Process(0), Process(1));
    relays.run_ms(7900);
    assert_eq!(relays.ends(0, cut), []);
    relays.run_ms(8000);
    let ends = relays.ends(0, cut);
    let first = ends.first().copied().expect("it gave up");
    assert!((8000..10_100).contains(&first.0) && first.1 == "the other end is silent", "{ends:?}");
    let again = ends.iter().find(|end| end.1 == "it did not answer in time").copied().expect("it dialed again");
    assert!(again.0 >= first.0 + 2000, "{ends:?}");
    relays.world.heal_all();
    relays.run_ms(10_000);
    assert_eq!(relays.silent_pairs(500), []);
}

#[test]
fn a_killed_process_is_missed_at_once_and_a_machine_without_power_is_not() {
    let mut relays = Relays::start(3, 60_000);
    relays.run_ms(300);
    let killed = relays.world.now().at;
    relays.world.crash(2, Crash::Kill);
    relays.run_ms(800);
    let ends = relays.ends(0, killed);
    assert!(ends.iter().any(|end| end.1 == "the other end closed it" && end.0 < 600), "{ends:?}");
    assert!(ends.iter().any(|end| end.1 == "connection refused"), "{ends:?}");
    relays.world.boot(2);
    relays.run_ms(1000);
    assert_eq!(relays.silent_pairs(500), []);
    let dark = relays.world.now().at;
    relays.world.crash(2, Crash::PowerLoss);
    relays.run_ms(7900);
    assert_eq!(relays.ends(0, dark), []);
    relays.run_ms(6000);
    let ends = relays.ends(0, dark);
    assert!(ends.first().is_some_and(|end| end.1 == "the other end is silent"), "{ends:?}");
    assert!(ends.iter().any(|end| end.1 == "it did not answer in time"), "{ends:?}");
    relays.world.boot(2);
    relays.run_ms(10_000);
    assert_eq!(relays.silent_pairs(500), []);
}

#[test]
fn a_machine_that_is_back_denies_what_it_does_not_know() {
    let mut relays = Relays::start(4, 60_000);
    relays.run_ms(300);
    let dark = relays.world.now().at;
    relays.world.crash(2, Crash::PowerLoss);
    relays.run_ms(500);
    relays.world.boot(2);
    relays.run_ms(3000);
    let ends = relays.ends(0, dark);
    assert!(ends.first().is_some_and(|end| end.1 == "the other end closed it" && end.0 < 1500), "{ends:?}");
}

#[test]
fn a_pause_stops_everything_and_nothing_is_lost() {
    let mut relays = Relays::start(5, 60_000);
    relays.run_ms(300);
    relays.world.pause(1, 2_000_000);
    relays.run_ms(100);
    let silent = relays.silent_pairs(1800);
    for pair in [(0, 1), (1, 0), (1, 1), (1, 2), (2, 1)] {
        assert!(silent.contains(&pair), "{silent:?}");
    }
    relays.run_ms(1000);
    assert_eq!(relays.silent_pairs(500), []);
    assert_eq!(relays.tally.borrow().failed, 0);
}

#[test]
fn clocks_drift_apart() {
    let mut relays = Relays::start(6, 500);
    let start = relays.world.now();
    relays.world.set_clock_rate(1, 900);
    relays.world.set_clock_rate(2, 1100);
    relays.world.set_wall_skew(2, 5000);
    relays.run_ms(10_000);
    let ms = |process| relays.world.now_of(process).at.ms_since(start.at);
    assert_eq!((ms(0), ms(1), ms(2)), (10_000, 9000, 11_000));
    assert_eq!(relays.world.now_of(2).wall.0 - start.wall.0, 16_000);
}

/// One story with every fault; what came of it.
fn simulate(seed: u64) -> (u64, u64, u64, u64) {
    let mut rng = Rng::new(seed);
    let mut relays = Relays::start(seed, 400);
    for _ in 0..150 {
        relays.run_ms(1 + rng.below(60));
        let mut place = || usize::try_from(rng.below(3)).expect("small");
        let (one, other) = (place(), place());
        let world = &mut relays.world;
        match rng.below(16) {
            0 | 1 => world.reset(),
            2 => world.hold_up(300_000),
            3 => world.stall(one, 1, 200_000),
            4 => world.pause(one, 300_000),
            5 | 6 => world.cut(Process(one), Process(other)),
            7 => world.part(Process(one), Process(other)),
            8..11 => world.heal_all(),
            11 if world.processes[one].is_up() => world.crash(one, Crash::Kill),
            12 if world.processes[one].is_up() => world.crash(one, Crash::PowerLoss),
            13 if world.processes[one].is_up() => world.stop(one),
            14 => world.set_clock_rate(one, 900 + rng.below(201)),
            15 => world.set_wall_skew(one, i64::try_from(rng.below(9000)).expect("small") - 4000),
            _ => {}
        }
        for process in 0..PROCESSES {
            if !world.processes[process].is_up() && rng.one_in(5) {
                world.boot(process);
            }
        }
    }
    relays.world.heal_all();
    // Those that were asked to stop while they stood still stop only now.
    relays.run_ms(1000);
    for process in 0..PROCESSES {
        if !relays.world.processes[process].is_up() {
            relays.world.boot(process);
        }
    }
    relays.run_ms(15_000);
    assert_eq!(relays.silent_pairs(1000), [], "seed {seed}: all is well again");
    let tally = relays.tally.borrow();
    (relays.world.trace.hash(), tally.answered.values().sum(), tally.failed, tally.broken)
}

#[test]
fn the_same_seed_is_the_same_story() {
    for seed in 0..12 {
        let first = simulate(seed);
        assert_eq!(first, simulate(seed), "seed {seed}");
        assert!(first.1 > 500 && first.2 > 3 && first.3 > 0, "seed {seed}: {first:?}");
    }
    assert_ne!(simulate(1).0, simulate(2).0);
}
