//! The processes of a world and their shards: started, fed, stalled, stopped and ended.

use super::{Brief, Event, Happening, ShardRoom, World, shard_id};
use crate::actor::Actor;
use crate::network::{Arrival, Caller, Door, End};
use crate::node::{Crash, Input, InputOf, Node, Output, OutputOf, Program};
use bytes::Bytes;
use std::collections::VecDeque;
use types::{Instant, Now, ShardId};

impl<P: Program, A: Actor> World<P, A> {
    /// Starts a process that is down.
    pub fn boot(&mut self, process: usize) {
        assert!(!self.processes[process].is_up(), "a process is started once");
        self.machine_is_back(process);
        let (now, seed) = (self.now_of(process), self.rng.next_u64());
        self.trace.say(self.at, format_args!("process {process} starts"));
        let home = &mut self.processes[process];
        let nodes = match home.program.boot(now, seed) {
            Ok(nodes) => nodes,
            Err(reason) => {
                assert!(self.may_fail, "process {process} does not start: {reason}");
                return self.boot_later(process, 50_000);
            }
        };
        home.shards = nodes
            .into_iter()
            .map(|node| ShardRoom { node, wake: None, stalled: None, stalled_until: Instant(0), stopped: false })
            .collect();
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
        home.paused_until = Instant(0);
        home.is_stopping = false;
        home.program.ended(crash, &mut self.rng);
        self.connections_end(process, crash);
    }

    /// Asks a process to stop; it is down once all of its shards have said so.
    pub fn stop(&mut self, process: usize) {
        self.trace.say(self.at, format_args!("process {process} is asked to stop"));
        let home = &mut self.processes[process];
        home.is_stopping = home.is_up();
        let (run, count) = (home.run, home.shards.len());
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
            room.stalled_until = at;
            self.schedule.plan(at, Event::Go { process, run: home.run, shard: shard_id(shard) });
        }
    }

    /// Stops a process for a while as a signal does: neither its shards nor its jobs get a processor. Its machine goes on,
    /// and takes in what comes over the network.
    pub fn pause(&mut self, process: usize, for_us: u64) {
        self.trace.say(self.at, format_args!("process {process} is paused for {for_us} us"));
        let until = Instant(self.at.0 + for_us);
        let home = &mut self.processes[process];
        if home.shards.is_empty() {
            return;
        }
        home.paused_until = home.paused_until.max(until);
        for (shard, room) in home.shards.iter_mut().enumerate() {
            room.stalled.get_or_insert_default();
            room.stalled_until = room.stalled_until.max(until);
            self.schedule.plan(until, Event::Go { process, run: home.run, shard: shard_id(shard) });
        }
    }

    /// Lets a process's clocks run faster or slower than the world's from now on, in parts of a thousand.
    pub fn set_clock_rate(&mut self, process: usize, rate: u64) {
        self.processes[process].clock.set_rate(self.at, rate);
        // Timers that were set by the old rate may be late by the new one.
        for shard in 0..self.processes[process].shards.len() {
            self.plan_shard_wake(process, shard_id(shard));
        }
    }

    /// Sets how far a process's wall clock is off.
    pub fn set_wall_skew(&mut self, process: usize, skew_ms: i64) {
        self.processes[process].clock.wall_skew_ms = skew_ms;
    }

    /// The time as a process's clocks show it.
    #[must_use]
    pub fn now_of(&self, process: usize) -> Now {
        let clock = self.processes[process].clock;
        self.shown(clock.here(self.at), clock.wall_skew_ms)
    }

    pub(super) fn is_running(&self, door: Door) -> bool {
        let home = &self.processes[door.process];
        home.run == door.run && home.is_up()
    }

    pub(super) fn go(&mut self, process: usize, run: u64, shard: ShardId) {
        if self.processes[process].run != run || !self.processes[process].is_up() {
            return;
        }
        let room = &mut self.processes[process].shards[usize::from(shard.0)];
        if self.at < room.stalled_until {
            return;
        }
        let waited = room.stalled.take();
        for happening in waited.unwrap_or_default() {
            if self.processes[process].run == run && self.processes[process].is_up() {
                self.shard_happens(process, shard, happening);
            }
        }
    }

    pub(super) fn plan_shard(
        &mut self,
        (process, run, shard): (usize, u64, ShardId),
        at: Instant,
        happening: Happening<P::Shard>,
    ) {
        self.schedule.plan(at, Event::Shard { process, run, shard, happening });
    }

    pub(super) fn shard_happens(&mut self, process: usize, shard: ShardId, happening: Happening<P::Shard>) {
        let home = &mut self.processes[process];
        let room = &mut home.shards[usize::from(shard.0)];
        // A job runs on a thread of its own, whatever the shard's thread does meanwhile.
        if self.at >= home.paused_until
            && let Happening::Run(ticket, job) = happening
        {
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
            Happening::Arrived(connection, end, what) => self.shard_hears((process, shard), connection, end, what),
            Happening::Write(connection, frame) => {
                if let Some(known) = self.network.get(connection) {
                    known.writes -= 1;
                }
                self.written(connection, frame.as_ref());
            }
            Happening::Run(..) => {}
        }
    }

    pub(super) fn shard_input(&mut self, process: usize, shard: ShardId, input: InputOf<P::Shard>) {
        self.note_input(process, shard, &input);
        let now = self.now_of(process);
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
        let home = &mut self.processes[process];
        let Some(room) = home.shards.get_mut(usize::from(shard.0)) else { return };
        let Some(at) = room.node.next_wake() else { return };
        let at = home.clock.world(at).max(self.at);
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
            Input::LinkOpened { .. } => ("link opened", Bytes::new()),
            Input::LinkReceived { frame, .. } => ("link received", frame.clone()),
            Input::LinkClosed { .. } => ("link closed", Bytes::new()),
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
        let door = Door { process, run, shard };
        match &output {
            Output::Log { text } => self.trace.say(self.at, format_args!("{process}/{shard} says {text}")),
            Output::Close { connection, reason } => {
                self.trace.say(self.at, format_args!("{process}/{shard} closes {}: {reason}", connection.0));
            }
            Output::SendLink { link, frame } if self.trace.print => {
                let what = P::Shard::describe(&frame.slice(4.min(frame.len())..));
                self.trace.say(self.at, format_args!("{process}/{shard} asks by link {}: {}", link.0, Brief(&what)));
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
                let nothing = Arrival::Bytes(Bytes::new());
                self.plan_shard((process, run, shard), at, Happening::Arrived(connection, End::Called, nothing));
            }
            Output::Dial { link, host } => self.connect(Caller::Shard(door), link, &host),
            Output::SendLink { link, frame } => self.send(Caller::Shard(door), link, &frame),
            Output::Hangup { link } => self.hang_up(Caller::Shard(door), link),
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
