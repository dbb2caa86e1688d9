//! One simulated world: processes made of shards, clients, the network between them, one clock and one seed.
//!
//! Owns the loop that takes the next event and hands it to whom it happens. Faults are done to it from outside
//! (`reset`, `crash`, `stall`); which and when is not its business.

use crate::actor::{Actor, ActorInput, ActorOutput, LinkId};
use crate::network::{Door, Network};
use crate::node::{ConnId, Crash, Input, InputOf, Node, Output, OutputOf, Program, Ticket};
use crate::schedule::Schedule;
use crate::trace::Trace;
use bytes::Bytes;
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
    Arrived(ConnId, Bytes),
    /// The client's end of a connection is gone.
    Left(ConnId),
    Run(Ticket, N::Job),
    /// A response gets its turn at the socket; without one the connection is closed.
    Write(ConnId, Option<N::Frame>),
}

enum Event<N: Node> {
    Shard { process: usize, run: u64, shard: ShardId, happening: Happening<N> },
    Go { process: usize, run: u64, shard: ShardId },
    Actor { actor: usize, input: ActorInput },
    ActorWake { actor: usize, at: Instant },
    Connected { connection: ConnId },
    ToClient { connection: ConnId, bytes: Bytes },
    ServerLeft { connection: ConnId },
    Boot { process: usize },
}

struct ShardRoom<N: Node> {
    node: N,
    wake: Option<Instant>,
    /// What waits while the shard's thread gets no processor.
    stalled: Option<VecDeque<Happening<N>>>,
    stopped: bool,
}

/// One server process: what it is started from, and its shards while it runs.
pub struct Process<P: Program> {
    pub program: P,
    run: u64,
    shards: Vec<ShardRoom<P::Shard>>,
    /// When the last message between two shards arrives, so that none overtakes another.
    lanes: BTreeMap<(ShardId, ShardId), Instant>,
}

impl<P: Program> Process<P> {
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.shards.is_empty()
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
    at: Instant,
    /// How many events have happened at this moment.
    at_once: u64,
    actors: Vec<ActorRoom<A>>,
    network: Network,
    schedule: Schedule<Event<P::Shard>>,
}

impl<P: Program, A: Actor> World<P, A> {
    pub fn new(seed: u64, programs: Vec<P>, print: bool) -> World<P, A> {
        let idle = |program| Process { program, run: 0, shards: Vec::new(), lanes: BTreeMap::new() };
        World {
            rng: Rng::new(seed),
            pace: Pace::default(),
            trace: Trace::new(print),
            processes: programs.into_iter().map(idle).collect(),
            wall_skew_ms: 0,
            may_fail: false,
            at: Instant(1_000_000),
            at_once: 0,
            actors: Vec::new(),
            network: Network::default(),
            schedule: Schedule::default(),
        }
    }

    #[must_use]
    pub fn now(&self) -> Now {
        let since_ms = i64::try_from(self.at.0 / 1000).expect("a simulation is shorter than the universe");
        Now { at: self.at, wall: Timestamp(WALL_START_MS + since_ms + self.wall_skew_ms) }
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
            Event::Connected { connection } => {
                if let Some(known) = self.network.get(connection).filter(|known| known.client_open) {
                    let (actor, link) = (known.actor, known.link);
                    self.actor_input(actor, ActorInput::Connected(link));
                }
            }
            Event::ToClient { connection, bytes } => {
                if let Some(known) = self.network.get(connection).filter(|known| known.client_open) {
                    let (actor, link) = (known.actor, known.link);
                    self.actor_input(actor, ActorInput::Received(link, bytes));
                }
            }
            Event::ServerLeft { connection } => {
                if let Some(known) = self.network.get(connection).filter(|known| known.client_open) {
                    known.client_open = false;
                    let (actor, link) = (known.actor, known.link);
                    self.actor_input(actor, ActorInput::Closed(link));
                }
                self.network.forget_closed(connection);
            }
            Event::Boot { process } if !self.processes[process].is_up() => self.boot(process),
            Event::Boot { .. } => {}
        }
    }
}

/// Processes and their shards.
impl<P: Program, A: Actor> World<P, A> {
    /// Starts a process that is down.
    pub fn boot(&mut self, process: usize) {
        assert!(!self.processes[process].is_up(), "a process is started once");
        let (now, seed) = (self.now(), self.rng.next_u64());
        self.trace.say(self.at, format_args!("process {process} starts"));
        let home = &mut self.processes[process];
        let nodes = match home.program.boot(now, seed) {
            Ok(nodes) => nodes,
            Err(reason) => {
                assert!(self.may_fail, "process {process} does not start: {reason}");
                return self.boot_later(process, 50_000);
            }
        };
        home.shards =
            nodes.into_iter().map(|node| ShardRoom { node, wake: None, stalled: None, stopped: false }).collect();
        let (run, count) = (home.run, home.shards.len());
        for shard in 0..count {
            let at = self.later(self.pace.shard_us);
            self.plan_shard((process, run, shard_id(shard)), at, Happening::Input(Input::Started));
        }
    }

    /// Starts a process that is down, `after_us` from now.
    pub fn boot_later(&mut self, process: usize, after_us: u64) {
        self.schedule.plan(Instant(self.at.0 + after_us), Event::Boot { process });
    }

    /// Ends a process at once; its connections break.
    pub fn crash(&mut self, process: usize, crash: Crash) {
        self.trace.note(self.at, "crash", process as u64, &[]);
        self.trace.say(self.at, format_args!("process {process} ends: {crash:?}"));
        let home = &mut self.processes[process];
        home.run += 1;
        home.shards.clear();
        home.lanes.clear();
        home.program.ended(crash, &mut self.rng);
        for connection in self.network.of_process(process) {
            self.server_leaves(connection, crash != Crash::Stopped);
        }
    }

    /// Asks a process to stop; it is down once all of its shards have said so.
    pub fn stop(&mut self, process: usize) {
        self.trace.say(self.at, format_args!("process {process} is asked to stop"));
        let (run, count) = (self.processes[process].run, self.processes[process].shards.len());
        for shard in 0..count {
            let at = self.later(self.pace.shard_us);
            self.plan_shard((process, run, shard_id(shard)), at, Happening::Input(Input::Stop));
        }
    }

    /// Gives one shard's thread no processor for a while.
    pub fn stall(&mut self, process: usize, shard: usize, for_us: u64) {
        let at = Instant(self.at.0 + for_us);
        let home = &mut self.processes[process];
        if let Some(room) = home.shards.get_mut(shard)
            && room.stalled.is_none()
        {
            room.stalled = Some(VecDeque::new());
            self.schedule.plan(at, Event::Go { process, run: home.run, shard: shard_id(shard) });
        }
    }

    fn go(&mut self, process: usize, run: u64, shard: ShardId) {
        if self.processes[process].run != run || !self.processes[process].is_up() {
            return;
        }
        let waited = self.processes[process].shards[usize::from(shard.0)].stalled.take();
        for happening in waited.unwrap_or_default() {
            if self.processes[process].run == run && self.processes[process].is_up() {
                self.shard_happens(process, shard, happening);
            }
        }
    }

    fn plan_shard(
        &mut self,
        (process, run, shard): (usize, u64, ShardId),
        at: Instant,
        happening: Happening<P::Shard>,
    ) {
        self.schedule.plan(at, Event::Shard { process, run, shard, happening });
    }

    fn shard_happens(&mut self, process: usize, shard: ShardId, happening: Happening<P::Shard>) {
        let room = &mut self.processes[process].shards[usize::from(shard.0)];
        // A job runs on a thread of its own, whatever the shard's thread does meanwhile.
        if let Happening::Run(ticket, job) = happening {
            let done = P::Shard::run(job);
            let run = self.processes[process].run;
            let at = self.later(self.pace.shard_us);
            return self.plan_shard((process, run, shard), at, Happening::Input(Input::JobDone { ticket, done }));
        }
        if let Some(waiting) = &mut room.stalled {
            return waiting.push_back(happening);
        }
        match happening {
            Happening::Input(input) => self.shard_input(process, shard, input),
            Happening::Wake(at) => {
                if room.wake == Some(at) {
                    room.wake = None;
                    self.shard_input(process, shard, Input::Wake);
                }
            }
            Happening::Arrived(connection, bytes) => self.arrived(connection, &bytes),
            Happening::Left(connection) => {
                if let Some(known) = self.network.get(connection).filter(|known| known.server_open) {
                    known.server_open = false;
                    self.shard_input(process, shard, Input::Closed { connection });
                }
                self.network.forget_closed(connection);
            }
            Happening::Write(connection, frame) => {
                if let Some(known) = self.network.get(connection) {
                    known.writes -= 1;
                }
                self.written(connection, frame.as_ref());
            }
            Happening::Run(..) => {}
        }
    }

    fn shard_input(&mut self, process: usize, shard: ShardId, input: InputOf<P::Shard>) {
        self.note_input(process, shard, &input);
        let now = self.now();
        let run = self.processes[process].run;
        let room = &mut self.processes[process].shards[usize::from(shard.0)];
        let mut outputs = Vec::new();
        room.node.handle(now, input, &mut outputs);
        for output in outputs {
            if self.processes[process].run == run {
                self.shard_output(process, shard, output);
            }
        }
        self.plan_shard_wake(process, shard);
    }

    fn plan_shard_wake(&mut self, process: usize, shard: ShardId) {
        let Some(room) = self.processes[process].shards.get_mut(usize::from(shard.0)) else { return };
        let Some(at) = room.node.next_wake() else { return };
        let at = at.max(self.at);
        if room.wake.is_none_or(|planned| at < planned) {
            room.wake = Some(at);
            let run = self.processes[process].run;
            self.plan_shard((process, run, shard), at, Happening::Wake(at));
        }
    }

    fn note_input(&mut self, process: usize, shard: ShardId, input: &InputOf<P::Shard>) {
        let whom = (process as u64) << 32 | u64::from(shard.0);
        let (what, bytes) = match input {
            Input::Started => ("started", Bytes::new()),
            Input::Opened { .. } => ("opened", Bytes::new()),
            Input::Received { frame, .. } => ("received", frame.clone()),
            Input::Closed { .. } => ("closed", Bytes::new()),
            Input::Wake => ("wake", Bytes::new()),
            Input::JobDone { .. } => ("done", Bytes::new()),
            Input::FromShard { .. } => ("message", Bytes::new()),
            Input::Stop => ("stop", Bytes::new()),
        };
        self.trace.note(self.at, what, whom, &bytes);
        if let (Input::Received { connection, frame }, true) = (input, self.trace.print) {
            let what = P::Shard::describe(frame);
            self.trace.say(self.at, format_args!("{process}/{shard} {} asks {}", connection.0, Brief(&what)));
        } else {
            self.trace.say(self.at, format_args!("{process}/{shard} {}", Brief(input)));
        }
    }

    fn shard_output(&mut self, process: usize, shard: ShardId, output: OutputOf<P::Shard>) {
        let run = self.processes[process].run;
        match &output {
            Output::Log { text } => self.trace.say(self.at, format_args!("{process}/{shard} says {text}")),
            Output::Close { connection, reason } => {
                self.trace.say(self.at, format_args!("{process}/{shard} closes {}: {reason}", connection.0));
            }
            _ => self.trace.say(self.at, format_args!("{process}/{shard}   -> {}", Brief(&output))),
        }
        match output {
            Output::Send { connection, frame } => self.write((process, run, shard), connection, Some(frame)),
            Output::Close { connection, .. } => self.write((process, run, shard), connection, None),
            Output::Pause { connection } => {
                if let Some(known) = self.network.get(connection) {
                    known.paused = true;
                }
            }
            Output::Resume { connection } => {
                if let Some(known) = self.network.get(connection) {
                    known.paused = false;
                }
                let at = self.later(self.pace.shard_us);
                self.plan_shard((process, run, shard), at, Happening::Arrived(connection, Bytes::new()));
            }
            Output::Job { ticket, job } => {
                let at = self.later(self.pace.job_us);
                self.plan_shard((process, run, shard), at, Happening::Run(ticket, job));
            }
            Output::ToShard { to, message } => {
                let drawn = self.later(self.pace.shard_us);
                let lane = self.processes[process].lanes.entry((shard, to)).or_default();
                *lane = drawn.max(*lane);
                let at = *lane;
                self.plan_shard((process, run, to), at, Happening::Input(Input::FromShard { from: shard, message }));
            }
            Output::Log { .. } => {}
            Output::Fatal { reason } => {
                assert!(self.may_fail, "process {process} ends itself: {reason}");
                self.crash(process, Crash::Kill);
                self.boot_later(process, 20_000);
            }
            Output::Stopped => self.shard_stopped(process, shard),
        }
    }

    fn shard_stopped(&mut self, process: usize, shard: ShardId) {
        let home = &mut self.processes[process];
        home.shards[usize::from(shard.0)].stopped = true;
        if home.shards.iter().all(|room| room.stopped) {
            self.crash(process, Crash::Stopped);
        }
    }
}

/// The network between clients and shards.
impl<P: Program, A: Actor> World<P, A> {
    /// Breaks one connection that is open, chosen by chance; what is under way is lost or still arrives.
    pub fn reset(&mut self) {
        let count = self.network.connections.len() as u64;
        let pick = usize::try_from(self.rng.below(count)).expect("below a usize");
        let Some(id) = self.network.connections.keys().nth(pick).copied() else { return };
        self.trace.say(self.at, format_args!("connection {} is reset", id.0));
        let lossy = self.rng.one_in(2);
        self.tell_server(id, lossy);
        self.tell_client(id, lossy);
    }

    /// Holds up all that is sent from now on over one connection, each way, for a while.
    pub fn hold_up(&mut self, for_us: u64) {
        let count = self.network.connections.len() as u64;
        let pick = usize::try_from(self.rng.below(count)).expect("below a usize");
        let until = Instant(self.at.0 + for_us);
        if let Some(known) = self.network.connections.values_mut().nth(pick) {
            known.up = known.up.max(until);
            known.down = known.down.max(until);
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
            ActorOutput::Connect { link, host } => self.connect(actor, link, &host),
            ActorOutput::Send { link, bytes } => {
                if let Some(id) = self.network.by_link(actor, link) {
                    self.send_up(id, &bytes);
                }
            }
            ActorOutput::Close { link } => {
                if let Some(id) = self.network.by_link(actor, link) {
                    let lossy = self.rng.one_in(4);
                    self.client_leaves(id, lossy);
                }
            }
        }
    }

    fn connect(&mut self, actor: usize, link: LinkId, host: &str) {
        let at = Instant(self.at.0 + self.network_delay());
        let up =
            (0..self.processes.len()).find(|process| Self::host(*process) == host && self.processes[*process].is_up());
        let Some(process) = up else {
            return self.schedule.plan(at, Event::Actor { actor, input: ActorInput::Closed(link) });
        };
        let home = &self.processes[process];
        let (run, count) = (home.run, home.shards.len());
        let shard = shard_id(usize::try_from(self.rng.below(count as u64)).expect("below a usize"));
        let id = self.network.open(actor, link, Door { process, run, shard }, self.at);
        self.plan_shard((process, run, shard), at, Happening::Input(Input::Opened { connection: id }));
        let back = Instant(at.0 + self.network_delay());
        if let Some(known) = self.network.get(id) {
            known.opened = at;
            known.up = at;
            known.down = back;
        }
        self.schedule.plan(back, Event::Connected { connection: id });
    }

    /// Cuts bytes as the network likes and says how long each piece takes.
    fn cut(&mut self, bytes: &Bytes) -> Vec<(u64, Bytes)> {
        let mut pieces = Vec::new();
        let mut rest = bytes.clone();
        if self.rng.one_in(self.pace.pieces_one_in) {
            for _ in 0..self.rng.below(4) {
                let length = usize::try_from(self.rng.below(rest.len() as u64)).expect("below a usize");
                pieces.push((self.network_delay(), rest.split_to(length)));
            }
        }
        pieces.push((self.network_delay(), rest));
        pieces
    }

    fn send_up(&mut self, id: ConnId, bytes: &Bytes) {
        let pieces = self.cut(bytes);
        let now = self.at;
        let Some(known) = self.network.connections.get_mut(&id).filter(|known| known.client_open) else { return };
        for (delay, piece) in pieces {
            known.up = known.up.max(Instant(now.0 + delay));
            let Door { process, run, shard } = known.door;
            let happening = Happening::Arrived(id, piece);
            self.schedule.plan(known.up, Event::Shard { process, run, shard, happening });
        }
    }

    fn send_down(&mut self, id: ConnId, bytes: &Bytes) {
        let pieces = self.cut(bytes);
        let now = self.at;
        let Some(known) = self.network.connections.get_mut(&id).filter(|known| known.server_open) else { return };
        for (delay, piece) in pieces {
            known.down = known.down.max(Instant(now.0 + delay));
            self.schedule.plan(known.down, Event::ToClient { connection: id, bytes: piece });
        }
    }

    fn arrived(&mut self, id: ConnId, bytes: &Bytes) {
        let Some(known) = self.network.get(id).filter(|known| known.server_open) else { return };
        let Door { process, run, shard } = known.door;
        if !known.arrived(bytes) {
            self.shard_input(process, shard, Input::Closed { connection: id });
            return self.server_leaves(id, true);
        }
        while let Some(frame) = self.network.get(id).and_then(crate::network::Connection::next_frame) {
            self.shard_input(process, shard, Input::Received { connection: id, frame });
            if self.processes[process].run != run {
                return;
            }
        }
    }

    /// The server's end is closed.
    fn server_leaves(&mut self, id: ConnId, lossy: bool) {
        if let Some(known) = self.network.get(id) {
            known.server_open = false;
            self.tell_client(id, lossy);
        }
    }

    /// The client's end is closed.
    fn client_leaves(&mut self, id: ConnId, lossy: bool) {
        if let Some(known) = self.network.get(id) {
            known.client_open = false;
            self.tell_server(id, lossy);
            self.network.forget_closed(id);
        }
    }

    /// The client learns that the connection is gone, after what is under way unless that is lost.
    fn tell_client(&mut self, id: ConnId, lossy: bool) {
        let soon = Instant(self.at.0 + self.network_delay());
        if let Some(known) = self.network.get(id) {
            let at = if lossy { soon } else { soon.max(known.down) };
            self.schedule.plan(at, Event::ServerLeft { connection: id });
        }
    }

    /// The server learns that the connection is gone, after what is under way unless that is lost.
    fn tell_server(&mut self, id: ConnId, lossy: bool) {
        let soon = Instant(self.at.0 + self.network_delay());
        if let Some(known) = self.network.get(id) {
            let at = soon.max(if lossy { known.opened } else { known.up });
            let Door { process, run, shard } = known.door;
            self.plan_shard((process, run, shard), at, Happening::Left(id));
        }
    }

    /// Gives a response its turn at the socket: often at once, sometimes only when the client has read what was before.
    fn write(&mut self, (process, run, shard): (usize, u64, ShardId), id: ConnId, frame: Option<Frame<P>>) {
        let wait = if self.rng.one_in(4) { self.network_delay() } else { 0 };
        let now = self.at;
        let Some(known) = self.network.get(id) else { return };
        if wait == 0 && known.writes == 0 {
            return self.written(id, frame.as_ref());
        }
        known.writes += 1;
        known.write = known.write.max(Instant(now.0 + wait));
        let at = known.write;
        self.plan_shard((process, run, shard), at, Happening::Write(id, frame));
    }

    fn written(&mut self, id: ConnId, frame: Option<&Frame<P>>) {
        match frame.map(P::Shard::read) {
            Some(Some(bytes)) => self.send_down(id, &bytes),
            Some(None) | None => self.server_leaves(id, false),
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
