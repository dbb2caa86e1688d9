//! What parts the places of a world: cuts in one direction or both, and machines that are off. Nobody is told; ends find
//! out by what does not come.

use super::wires::DIAL_US;
use super::{Event, Happening, World};
use crate::actor::{Actor, ActorInput, LinkId};
use crate::network::{Arrival, Caller, Dial, End, Orphan, Place};
use crate::node::{ConnId, Input, Program};
use types::Instant;

/// When a dial that got no answer is tried once more, as TCP does.
const REDIAL_US: u64 = 1_000_000;
/// How long the caller's end of a link stands without a sign of the other, as the broker's shell has it.
const LINK_SILENCE_US: (u64, u64) = (8_000_000, 10_000_000);
/// The same for the called end, which nobody waits at.
const CALLED_SILENCE_US: (u64, u64) = (120_000_000, 130_000_000);
/// After a cut, what was sent before comes with the sender's next attempt; attempts get rarer, up to this.
const ATTEMPT_US_MAX: u64 = 1_000_000;
const SILENT: &str = "the other end is silent";

impl<P: Program, A: Actor> World<P, A> {
    /// From now on nothing gets from the one place to the other. Connections stand; what is sent waits.
    pub fn cut(&mut self, from: Place, to: Place) {
        if from == to || self.network.cuts.contains_key(&(from, to)) {
            return;
        }
        self.trace.say(self.at, format_args!("nothing gets from {from:?} to {to:?} any more"));
        let since = self.at;
        self.network.cuts.insert((from, to), since);
        let end = self.later(LINK_SILENCE_US);
        self.schedule.plan(end, Event::CutSilence { from, to, since });
    }

    /// Cuts both ways.
    pub fn part(&mut self, one: Place, other: Place) {
        self.cut(one, other);
        self.cut(other, one);
    }

    pub fn heal(&mut self, from: Place, to: Place) {
        if let Some(since) = self.network.cuts.remove(&(from, to)) {
            self.trace.say(self.at, format_args!("{from:?} reaches {to:?} again"));
            let attempt_us = ((self.at.0 - since.0) / 2).min(ATTEMPT_US_MAX);
            for end in [End::Caller, End::Called] {
                for connection in self.network.ids(|known| known.way(end) == (from, to)) {
                    let at = Instant(self.at.0 + self.network_delay() + self.rng.below(attempt_us + 1));
                    self.schedule.plan(at, Event::GoOn { connection, at: end });
                }
            }
        }
    }

    /// Ends all cuts.
    pub fn heal_all(&mut self) {
        for (from, to) in self.network.cuts.keys().copied().collect::<Vec<_>>() {
            self.heal(from, to);
        }
    }

    /// Something would arrive at an end now, unless it is cut or comes behind what was.
    pub(super) fn arrives(&mut self, id: ConnId, end: End, what: Arrival) {
        let Some(known) = self.network.connections.get_mut(&id) else { return };
        let is_cut = self.network.cuts.contains_key(&known.way(end));
        let held = known.held(end);
        if is_cut || !held.is_empty() {
            return held.push_back(what);
        }
        self.land(id, end, what);
    }

    pub(super) fn go_on(&mut self, id: ConnId, end: End) {
        let Some(known) = self.network.connections.get_mut(&id) else { return };
        if self.network.cuts.contains_key(&known.way(end)) {
            return;
        }
        for what in std::mem::take(known.held(end)) {
            self.land(id, end, what);
        }
    }

    /// Links across a cut end where it lasts: what they send is not acknowledged, or what would be does not come.
    pub(super) fn cut_silence(&mut self, from: Place, to: Place, since: Instant) {
        if self.network.cuts.get(&(from, to)) != Some(&since) {
            return;
        }
        let is_across = |way| way == (from, to) || way == (to, from);
        let links = self.network.ids(|known| {
            matches!(known.caller, Caller::Shard(_)) && known.caller_open && is_across(known.way(End::Called))
        });
        for id in links {
            self.tell(id, End::Called, true);
            self.land(id, End::Caller, Arrival::Gone(SILENT));
        }
    }

    /// Whether a dial gets no answer at all.
    pub(super) fn is_unreachable(&self, caller: Caller, process: usize) -> bool {
        self.processes[process].is_dark || self.network.is_parted(caller.place(), Place::Process(process))
    }

    pub(super) fn wait_for_answer(&mut self, caller: Caller, link: LinkId, process: usize) {
        let dial = Dial { process, since: self.at, is_refused: false, unsent: Vec::new() };
        self.network.dials.insert((caller, link), dial);
        for after_us in [REDIAL_US, DIAL_US] {
            self.schedule.plan(Instant(self.at.0 + after_us), Event::Redial { caller, link });
        }
    }

    /// Nobody listens there: the caller hears of it at `at`, unless it hangs up before.
    pub(super) fn refuse(&mut self, caller: Caller, link: LinkId, at: Instant) {
        match caller {
            Caller::Client(actor) => self.schedule.plan(at, Event::Actor { actor, input: ActorInput::Closed(link) }),
            Caller::Shard(door) => {
                let dial = Dial { process: door.process, since: self.at, is_refused: true, unsent: Vec::new() };
                self.network.dials.insert((caller, link), dial);
                self.schedule.plan(at, Event::Redial { caller, link });
            }
        }
    }

    /// Tries a dial again that got no answer, or gives it up.
    pub(super) fn redial(&mut self, caller: Caller, link: LinkId) {
        let Some(dial) = self.network.dials.remove(&(caller, link)) else { return };
        if dial.is_refused {
            self.dial_fails(caller, link, "connection refused");
        } else if !self.is_unreachable(caller, dial.process) {
            self.connect(caller, link, &Self::host(dial.process));
            for bytes in dial.unsent {
                self.send(caller, link, &bytes);
            }
        } else if self.at.0 - dial.since.0 >= DIAL_US {
            self.dial_fails(caller, link, "it did not answer in time");
        } else {
            self.network.dials.insert((caller, link), dial);
        }
    }

    fn dial_fails(&mut self, caller: Caller, link: LinkId, reason: &'static str) {
        match caller {
            Caller::Client(actor) => self.actor_input(actor, ActorInput::Closed(link)),
            Caller::Shard(door) if self.is_running(door) => {
                let input = Input::LinkClosed { link, reason };
                self.shard_happens(door.process, door.shard, Happening::Input(input));
            }
            Caller::Shard(_) => {}
        }
    }

    /// The machine at one end of a connection is off. The other end stands until it has waited long enough, or until the
    /// machine is back and denies all knowledge.
    pub(super) fn goes_dark(&mut self, id: ConnId, end: End) {
        let Some(known) = self.network.get(id).filter(|known| known.is_open(end)) else { return };
        known.close(end);
        known.orphan.get_or_insert_default();
        let waits = match (end, known.caller) {
            (End::Called, Caller::Shard(_)) => Some((End::Caller, LINK_SILENCE_US)),
            // Clients have time-outs of their own.
            (End::Called, Caller::Client(_)) => None,
            (End::Caller, _) => Some((End::Called, CALLED_SILENCE_US)),
        };
        self.network.forget_closed(id);
        if let Some((at, silence)) = waits {
            let end = self.later(silence);
            self.schedule.plan(end, Event::Silence { connection: id, at });
        }
    }

    pub(super) fn silence(&mut self, id: ConnId, end: End) {
        if self.network.get(id).is_some_and(|known| known.is_open(end)) {
            self.land(id, end, Arrival::Gone(SILENT));
        }
    }

    /// An end has sent something; where the other went with its machine, and that is back, it learns so.
    pub(super) fn speaks_to_nobody(&mut self, id: ConnId) {
        let Some(known) = self.network.get(id) else { return };
        let (gone, left) = if known.called_open { (End::Caller, End::Called) } else { (End::Called, End::Caller) };
        let (_, Place::Process(process)) = known.way(gone) else { return };
        let Some(orphan) = &mut known.orphan else { return };
        orphan.has_sent = true;
        if !orphan.is_told && !self.processes[process].is_dark {
            orphan.is_told = true;
            self.tell(id, left, true);
        }
    }

    /// A machine has power again: it denies connections of its last run to those that still send.
    pub(super) fn machine_is_back(&mut self, process: usize) {
        if !std::mem::take(&mut self.processes[process].is_dark) {
            return;
        }
        let has_sent = |orphan: &Option<Orphan>| orphan.is_some_and(|orphan| orphan.has_sent);
        for end in [End::Caller, End::Called] {
            // The end that is left; the other was at this process.
            let place = Place::Process(process);
            let left =
                self.network.ids(|known| known.is_open(end) && known.way(end).0 == place && has_sent(&known.orphan));
            for id in left {
                self.speaks_to_nobody(id);
            }
        }
    }
}
