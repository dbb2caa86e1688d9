//! One simulated world: processes made of shards, clients, the network between them, one clock and one seed.
//!
//! Owns the loop that takes the next event and hands it to whom it happens. Faults are done to it from outside
//! (`reset`, `crash`, `stall`, `cut`); which and when is not its business.

mod cuts;
mod shards;
mod wires;

use crate::actor::{Actor, ActorInput, ActorOutput, LinkId};
use crate::clock::Clock;
use crate::network::{Arrival, Caller, End, Network, Place};
use crate::node::{ConnId, InputOf, Node, Program, Ticket};
use crate::schedule::Schedule;
use crate::trace::Trace;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use types::{Instant, Now, Rng, ShardId, Timestamp};

/// The wall clock at the beginning: a Monday of 2026.
const WALL_START_MS: i64 = 1_767_600_000_000;

/// More events than can happen at one moment where everybody makes progress.
const AT_ONCE_MAX: u64 = 10_000;

/// How long things take, in microseconds; each delay is drawn between the two.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub network_us: (u64, u64),
    pub shard_us: (u64, u64),
    pub job_us: (u64, u64),
    /// Once in so many sends, a send takes up to a hundred times as long.
    pub slow_one_in: u64,
    /// Once in so many sends, a send arrives in pieces.
    pub pieces_one_in: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { network_us: (50, 500), shard_us: (1, 50), job_us: (20, 2000), slow_one_in: 200, pieces_one_in: 8 }
    }
}

/// What happens to the shard of a process.
enum Happening<N: Node> {
    Input(InputOf<N>),
    /// The wake that was planned last; one that is not the last is passed over.
    Wake(Instant),
    /// At the shard's end of a connection.
    Arrived(ConnId, End, Arrival),
    Run(Ticket, N::Job),
    /// A response gets its turn at the socket; without one the connection is closed.
    Write(ConnId, Option<N::Frame>),
}

enum Event<N: Node> {
    Shard {
        process: usize,
        run: u64,
        shard: ShardId,
        happening: Happening<N>,
    },
    Go {
        process: usize,
        run: u64,
        shard: ShardId,
    },
    Actor {
        actor: usize,
        input: ActorInput,
    },
    ActorWake {
        actor: usize,
        at: Instant,
    },
    Arrives {
        connection: ConnId,
        at: End,
        what: Arrival,
    },
    /// What a cut held gets through to this end.
    GoOn {
        connection: ConnId,
        at: End,
    },
    /// A connection that does not stand by now never will.
    DialEnds {
        connection: ConnId,
    },
    Redial {
        caller: Caller,
        link: LinkId,
    },
    /// Nothing has come from the other end for as long as this end waits.
    Silence {
        connection: ConnId,
        at: End,
    },
    CutSilence {
        from: Place,
        to: Place,
        since: Instant,
    },
    Boot {
        process: usize,
    },
}

struct ShardRoom<N: Node> {
    node: N,
    wake: Option<Instant>,
    /// What waits while the shard's thread gets no processor.
    stalled: Option<VecDeque<Happening<N>>>,
    stalled_until: Instant,
    stopped: bool,
}

/// One server process: what it is started from, and its shards while it runs.
pub struct Process<P: Program> {
    pub program: P,
    run: u64,
    clock: Clock,
    /// None of its threads gets a processor before, those of jobs neither.
    paused_until: Instant,
    /// It was asked to stop and has not ended yet.
    is_stopping: bool,
    /// Its machine is off: nobody answers there, not even to refuse.
    is_dark: bool,
    shards: Vec<ShardRoom<P::Shard>>,
    /// When the last message between two shards arrives, so that none overtakes another.
    lanes: BTreeMap<(ShardId, ShardId), Instant>,
}

impl<P: Program> Process<P> {
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.shards.is_empty()
    }

    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// How often it has ended.
    #[must_use]
    pub fn ends(&self) -> u64 {
        self.run
    }
}

type Frame<P> = <<P as Program>::Shard as Node>::Frame;

struct ActorRoom<A> {
    actor: A,
    wake: Option<Instant>,
}

pub struct World<P: Program, A: Actor> {
    pub rng: Rng,
    pub pace: Pace,
    pub trace: Trace,
    pub processes: Vec<Process<P>>,
    /// How far the wall clock is off, in milliseconds.
    pub wall_skew_ms: i64,
    /// Whether a process may end itself or fail to start, because its disk fails.
    pub may_fail: bool,
    /// Whether a power loss takes the machine off the network, so that others only find out by what does not come; else
    /// its connections break at once.
    pub power_loss_is_silent: bool,
    at: Instant,
    /// How many events have happened at this moment.
    at_once: u64,
    actors: Vec<ActorRoom<A>>,
    network: Network,
    schedule: Schedule<Event<P::Shard>>,
}

impl<P: Program, A: Actor> World<P, A> {
    pub fn new(seed: u64, programs: Vec<P>, print: bool) -> World<P, A> {
        let idle = |program| Process {
            program,
            run: 0,
            clock: Clock::default(),
            paused_until: Instant(0),
            is_stopping: false,
            is_dark: false,
            shards: Vec::new(),
            lanes: BTreeMap::new(),
        };
        World {
            rng: Rng::new(seed),
            pace: Pace::default(),
            trace: Trace::new(print),
            processes: programs.into_iter().map(idle).collect(),
            wall_skew_ms: 0,
            may_fail: false,
            power_loss_is_silent: false,
            at: Instant(1_000_000),
            at_once: 0,
            actors: Vec::new(),
            network: Network::default(),
            schedule: Schedule::default(),
        }
    }

    #[must_use]
    pub fn now(&self) -> Now {
        self.shown(self.at, 0)
    }

    /// Both clocks of somebody whose monotonic one shows `at`.
    fn shown(&self, at: Instant, wall_skew_ms: i64) -> Now {
        let since_ms = i64::try_from(at.0 / 1000).expect("a simulation is shorter than the universe");
        Now { at, wall: Timestamp(WALL_START_MS + since_ms + self.wall_skew_ms + wall_skew_ms) }
    }

    pub fn add_actor(&mut self, actor: A) -> usize {
        self.actors.push(ActorRoom { actor, wake: None });
        let actor = self.actors.len() - 1;
        self.schedule.plan(self.at, Event::Actor { actor, input: ActorInput::Wake });
        actor
    }

    /// The host that names a process on the simulated network.
    #[must_use]
    pub fn host(process: usize) -> String {
        format!("10.0.0.{}", process + 1)
    }

    /// Lets the world go on until `until`.
    pub fn run(&mut self, until: Instant) {
        while let Some((at, event)) = self.schedule.next(until) {
            self.at_once = if at == self.at { self.at_once + 1 } else { 0 };
            assert!(self.at_once < AT_ONCE_MAX, "time stands still at {} us: somebody is busy for ever", at.0);
            self.at = at;
            self.happen(event);
        }
        self.at = until;
    }

    fn draw(&mut self, range: (u64, u64)) -> u64 {
        range.0 + self.rng.below(range.1 - range.0 + 1)
    }

    fn later(&mut self, range: (u64, u64)) -> Instant {
        let delay = self.draw(range);
        Instant(self.at.0 + delay)
    }

    fn network_delay(&mut self) -> u64 {
        let delay = self.draw(self.pace.network_us);
        if self.rng.one_in(self.pace.slow_one_in) { delay * (1 + self.rng.below(100)) } else { delay }
    }

    fn happen(&mut self, event: Event<P::Shard>) {
        match event {
            Event::Shard { process, run, shard, happening } => {
                if self.processes[process].run == run && self.processes[process].is_up() {
                    self.shard_happens(process, shard, happening);
                }
            }
            Event::Go { process, run, shard } => self.go(process, run, shard),
            Event::Actor { actor, input } => self.actor_input(actor, input),
            Event::ActorWake { actor, at } => {
                if self.actors[actor].wake == Some(at) {
                    self.actors[actor].wake = None;
                    self.actor_input(actor, ActorInput::Wake);
                }
            }
            Event::Arrives { connection, at, what } => self.arrives(connection, at, what),
            Event::GoOn { connection, at } => self.go_on(connection, at),
            Event::DialEnds { connection } => self.dial_ends(connection),
            Event::Redial { caller, link } => self.redial(caller, link),
            Event::Silence { connection, at } => self.silence(connection, at),
            Event::CutSilence { from, to, since } => self.cut_silence(from, to, since),
            Event::Boot { process } if !self.processes[process].is_up() => self.boot(process),
            Event::Boot { .. } => {}
        }
    }

    fn actor_input(&mut self, actor: usize, input: ActorInput) {
        match &input {
            ActorInput::Wake => self.trace.note(self.at, "client wake", actor as u64, &[]),
            ActorInput::Connected(_) => self.trace.note(self.at, "client connected", actor as u64, &[]),
            ActorInput::Received(_, bytes) => self.trace.note(self.at, "client received", actor as u64, bytes),
            ActorInput::Closed(_) => self.trace.note(self.at, "client closed", actor as u64, &[]),
        }
        self.trace.say(self.at, format_args!("client {actor} {}", Brief(&input)));
        let now = self.now();
        let mut outputs = Vec::new();
        self.actors[actor].actor.handle(now, input, &mut outputs);
        for output in outputs {
            self.actor_output(actor, output);
        }
        if let Some(at) = self.actors[actor].actor.next_wake() {
            let at = at.max(self.at);
            if self.actors[actor].wake.is_none_or(|planned| at < planned) {
                self.actors[actor].wake = Some(at);
                self.schedule.plan(at, Event::ActorWake { actor, at });
            }
        }
    }

    fn actor_output(&mut self, actor: usize, output: ActorOutput) {
        match output {
            ActorOutput::Connect { link, host } => self.connect(Caller::Client(actor), link, &host),
            ActorOutput::Send { link, bytes } => self.send(Caller::Client(actor), link, &bytes),
            ActorOutput::Close { link } => self.hang_up(Caller::Client(actor), link),
        }
    }
}

fn shard_id(shard: usize) -> ShardId {
    ShardId(u16::try_from(shard).expect("a simulated process has few shards"))
}

/// The beginning of what something looks like to a programmer; put together only where it is printed.
struct Brief<'a, T>(&'a T);

impl<T: fmt::Debug> fmt::Display for Brief<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:?}", self.0);
        let end = (0..=text.len().min(2000)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        f.write_str(&text[..end])
    }
}
