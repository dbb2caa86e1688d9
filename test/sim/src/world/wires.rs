//! The connections of a world: dialed, written to, broken. Clients and shards call alike; only shards are called.

use super::{Event, Frame, Happening, World, shard_id};
use crate::actor::{Actor, ActorInput, LinkId};
use crate::network::{Arrival, Caller, Connection, Door, End, Place};
use crate::node::{ConnId, Crash, Input, Node, Program};
use bytes::Bytes;
use std::net::Ipv4Addr;
use types::{Instant, ShardId};

/// How long a dial waits for an answer, as the broker's shell has it.
pub(super) const DIAL_US: u64 = 2_000_000;

impl<P: Program, A: Actor> World<P, A> {
    /// Breaks one connection that is open, chosen by chance; what is under way is lost or still arrives.
    pub fn reset(&mut self) {
        let count = self.network.connections.len() as u64;
        let pick = usize::try_from(self.rng.below(count)).expect("below a usize");
        let Some(id) = self.network.connections.keys().nth(pick).copied() else { return };
        self.trace.say(self.at, format_args!("connection {} is reset", id.0));
        let lossy = self.rng.one_in(2);
        self.tell(id, End::Called, lossy);
        self.tell(id, End::Caller, lossy);
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

    pub(super) fn connect(&mut self, caller: Caller, link: LinkId, host: &str) {
        let at = Instant(self.at.0 + self.network_delay());
        let process = (0..self.processes.len()).find(|process| Self::host(*process) == host);
        if let Some(process) = process
            && self.is_unreachable(caller, process)
        {
            return self.wait_for_answer(caller, link, process);
        }
        let Some(process) = process.filter(|process| self.processes[*process].is_up()) else {
            return self.refuse(caller, link, at);
        };
        let home = &self.processes[process];
        let (run, count) = (home.run, home.shards.len());
        let shard = shard_id(usize::try_from(self.rng.below(count as u64)).expect("below a usize"));
        let id = self.network.open(caller, link, Door { process, run, shard }, self.at);
        let peer = match caller {
            Caller::Client(_) => Ipv4Addr::new(10, 0, 1, 1),
            Caller::Shard(door) => Self::host(door.process).parse().expect("hosts are addresses here"),
        };
        self.plan_shard((process, run, shard), at, Happening::Input(Input::Opened { connection: id, peer }));
        let back = Instant(at.0 + self.network_delay());
        if let Some(known) = self.network.get(id) {
            known.opened = at;
            known.up = at;
            known.down = back;
        }
        self.schedule.plan(back, Event::Arrives { connection: id, at: End::Caller, what: Arrival::Connected });
        if let Caller::Shard(_) = caller {
            self.schedule.plan(Instant(self.at.0 + DIAL_US), Event::DialEnds { connection: id });
        }
    }

    /// A dial whose answer does not get through is given up.
    pub(super) fn dial_ends(&mut self, id: ConnId) {
        if self.network.get(id).is_some_and(|known| known.caller_open && !known.stands) {
            self.tell(id, End::Called, true);
            self.land(id, End::Caller, Arrival::Gone("it did not answer in time"));
        }
    }

    pub(super) fn send(&mut self, caller: Caller, link: LinkId, bytes: &Bytes) {
        if let Some(id) = self.network.by_link(caller, link) {
            self.send_up(id, bytes);
        } else if let Some(dial) = self.network.dials.get_mut(&(caller, link)) {
            dial.unsent.push(bytes.clone());
        }
    }

    pub(super) fn hang_up(&mut self, caller: Caller, link: LinkId) {
        if let Some(id) = self.network.by_link(caller, link) {
            let lossy = self.rng.one_in(4);
            self.leaves(id, End::Caller, lossy);
            self.network.forget_closed(id);
        }
        self.network.dials.remove(&(caller, link));
    }

    /// Cuts bytes to pieces as the network likes and says how long each takes.
    fn pieces(&mut self, bytes: &Bytes) -> Vec<(u64, Bytes)> {
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
        let pieces = self.pieces(bytes);
        let now = self.at;
        let Some(known) = self.network.connections.get_mut(&id).filter(|known| known.caller_open) else { return };
        for (delay, piece) in pieces {
            known.up = known.up.max(Instant(now.0 + delay));
            let event = Event::Arrives { connection: id, at: End::Called, what: Arrival::Bytes(piece) };
            self.schedule.plan(known.up, event);
        }
        self.speaks_to_nobody(id);
    }

    fn send_down(&mut self, id: ConnId, bytes: &Bytes) {
        let pieces = self.pieces(bytes);
        let now = self.at;
        let Some(known) = self.network.connections.get_mut(&id).filter(|known| known.called_open) else { return };
        for (delay, piece) in pieces {
            known.down = known.down.max(Instant(now.0 + delay));
            let event = Event::Arrives { connection: id, at: End::Caller, what: Arrival::Bytes(piece) };
            self.schedule.plan(known.down, event);
        }
        self.speaks_to_nobody(id);
    }

    /// Something got through to one end of a connection, where somebody may still be.
    pub(super) fn land(&mut self, id: ConnId, end: End, what: Arrival) {
        let Some(known) = self.network.get(id) else { return };
        let door = match (end, known.caller) {
            (End::Caller, Caller::Client(actor)) => return self.client_hears(actor, id, what),
            (End::Caller, Caller::Shard(door)) => door,
            (End::Called, _) => known.door,
        };
        if self.is_running(door) {
            self.shard_happens(door.process, door.shard, Happening::Arrived(id, end, what));
        }
    }

    fn client_hears(&mut self, actor: usize, id: ConnId, what: Arrival) {
        let link = self.network.get(id).filter(|known| known.caller_open).map(|known| known.link);
        match what {
            Arrival::Connected => {
                if let Some(link) = link {
                    self.actor_input(actor, ActorInput::Connected(link));
                }
            }
            Arrival::Bytes(bytes) => {
                if let Some(link) = link {
                    self.actor_input(actor, ActorInput::Received(link, bytes));
                }
            }
            Arrival::Gone(_) => {
                if let Some(link) = self.closed(id, End::Caller) {
                    self.actor_input(actor, ActorInput::Closed(link));
                }
                self.network.forget_closed(id);
            }
        }
    }

    pub(super) fn shard_hears(&mut self, (process, shard): (usize, ShardId), id: ConnId, end: End, what: Arrival) {
        match (end, what) {
            (End::Called, Arrival::Bytes(bytes)) => self.requests_arrive(id, &bytes),
            (End::Caller, Arrival::Bytes(bytes)) => self.responses_arrive(id, &bytes),
            (End::Called, Arrival::Connected) => {}
            (End::Caller, Arrival::Connected) => {
                if let Some(known) = self.network.get(id).filter(|known| known.caller_open) {
                    known.stands = true;
                    let link = known.link;
                    self.shard_input(process, shard, Input::LinkOpened { link });
                }
            }
            (End::Called, Arrival::Gone(_)) => {
                if self.closed(id, end).is_some() {
                    self.shard_input(process, shard, Input::Closed { connection: id });
                }
                self.network.forget_closed(id);
            }
            (End::Caller, Arrival::Gone(reason)) => {
                if let Some(link) = self.closed(id, end) {
                    self.shard_input(process, shard, Input::LinkClosed { link, reason });
                }
                self.network.forget_closed(id);
            }
        }
    }

    /// Closes an end that was open; the caller's number of the connection.
    fn closed(&mut self, id: ConnId, end: End) -> Option<LinkId> {
        let known = self.network.get(id).filter(|known| known.is_open(end))?;
        known.close(end);
        Some(known.link)
    }

    fn requests_arrive(&mut self, id: ConnId, bytes: &Bytes) {
        let Some(known) = self.network.get(id).filter(|known| known.called_open) else { return };
        let Door { process, run, shard } = known.door;
        if !known.requests.arrived(bytes) {
            self.shard_input(process, shard, Input::Closed { connection: id });
            return self.leaves(id, End::Called, true);
        }
        while let Some(frame) = self.network.get(id).and_then(Connection::next_request) {
            self.shard_input(process, shard, Input::Received { connection: id, frame });
            if self.processes[process].run != run {
                return;
            }
        }
    }

    fn responses_arrive(&mut self, id: ConnId, bytes: &Bytes) {
        let Some(known) = self.network.get(id).filter(|known| known.caller_open) else { return };
        let (Caller::Shard(Door { process, run, shard }), link) = (known.caller, known.link) else { return };
        if !known.responses.arrived(bytes) {
            self.leaves(id, End::Caller, true);
            let reason = "it sent a response with a bad length";
            return self.shard_input(process, shard, Input::LinkClosed { link, reason });
        }
        while let Some(frame) = self.network.get(id).and_then(Connection::next_response) {
            self.shard_input(process, shard, Input::LinkReceived { link, frame });
            if self.processes[process].run != run {
                return;
            }
        }
    }

    /// One end is closed; the other will hear of it.
    pub(super) fn leaves(&mut self, id: ConnId, end: End, lossy: bool) {
        if let Some(known) = self.network.get(id) {
            known.close(end);
            let other = match end {
                End::Caller => End::Called,
                End::Called => End::Caller,
            };
            self.tell(id, other, lossy);
        }
    }

    /// An end learns that the connection is gone, after what is under way unless that is lost.
    pub(super) fn tell(&mut self, id: ConnId, end: End, lossy: bool) {
        let soon = Instant(self.at.0 + self.network_delay());
        let Some(known) = self.network.get(id) else { return };
        let at = match end {
            End::Caller if lossy => soon,
            End::Caller => soon.max(known.down),
            End::Called if lossy => soon.max(known.opened),
            End::Called => soon.max(known.up),
        };
        let what = Arrival::Gone("the other end closed it");
        self.schedule.plan(at, Event::Arrives { connection: id, at: end, what });
    }

    /// What becomes of the connections of a process that has ended.
    pub(super) fn connections_end(&mut self, process: usize, crash: Crash) {
        self.network.dials.retain(|(caller, _), _| caller.place() != Place::Process(process));
        let is_dark = crash == Crash::PowerLoss && self.power_loss_is_silent;
        self.processes[process].is_dark = is_dark;
        let ends = [(End::Called, self.network.to_process(process)), (End::Caller, self.network.from_process(process))];
        for (end, ids) in ends {
            for id in ids {
                if is_dark {
                    self.goes_dark(id, end);
                } else {
                    self.leaves(id, end, crash != Crash::Stopped);
                }
                if end == End::Caller {
                    self.network.forget_closed(id);
                }
            }
        }
    }

    /// Gives a response its turn at the socket: often at once, sometimes only when the client has read what was before.
    pub(super) fn write(&mut self, (process, run, shard): (usize, u64, ShardId), id: ConnId, frame: Option<Frame<P>>) {
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

    pub(super) fn written(&mut self, id: ConnId, frame: Option<&Frame<P>>) {
        match frame.map(P::Shard::read) {
            Some(Some(bytes)) => self.send_down(id, &bytes),
            Some(None) | None => self.leaves(id, End::Called, false),
        }
    }
}
