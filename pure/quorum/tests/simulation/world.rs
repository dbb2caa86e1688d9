//! Time, events, and what nodes ask for. A run has faults for a while, then a time in which everything must heal.

use crate::chaos::{Chaos, swap};
use crate::checker::Checker;
use crate::network::{Message, Network, Place};
use crate::node::{Node, Setting, decode};
use bytes::Bytes;
use log::{JobDone, MemoryDisk};
use quorum::{Call, Entry, Input, Output, Peer, ReplicaKey, Request, Response};
use std::collections::BTreeMap;
use types::{Instant, LeaderEpoch, NodeId, Now, Offset, Rng, Timestamp};

const SECOND_US: u64 = 1_000_000;
/// When the faults stop.
const FAULTS_US: u64 = 25 * SECOND_US;
/// Then everything has so long to heal.
const HEAL_US: u64 = 12 * SECOND_US;

enum Event {
    Deliver(Place, Message),
    JobDone(Place, JobDone),
    Append,
    Chaos,
}

/// Somebody waits for the answer.
struct Asked {
    by: Option<(Place, u64)>,
    to: ReplicaKey,
    call: Call,
}

/// What a leader appended and was not told of yet.
struct Pending {
    place: Place,
    epoch: LeaderEpoch,
    end: Offset,
    values: Vec<Bytes>,
}

#[derive(Debug, Default)]
pub struct Totals {
    pub runs: u64,
    pub events: u64,
    pub acknowledged: usize,
    pub epochs: usize,
    pub snapshots_loaded: u64,
    pub truncations: u64,
    pub changes: u64,
    pub wipes: u64,
    /// The longest time until something new was acknowledged after the faults.
    pub healed_ms_max: u64,
}

impl Totals {
    pub fn add(&mut self, other: &Totals) {
        self.runs += other.runs;
        self.events += other.events;
        self.acknowledged += other.acknowledged;
        self.epochs += other.epochs;
        self.snapshots_loaded += other.snapshots_loaded;
        self.truncations += other.truncations;
        self.changes += other.changes;
        self.wipes += other.wipes;
        self.healed_ms_max = self.healed_ms_max.max(other.healed_ms_max);
    }
}

pub struct World {
    pub rng: Rng,
    pub now_us: u64,
    pub nodes: BTreeMap<NodeId, Node>,
    pub network: Network,
    pub setting: Setting,
    pub totals: Totals,
    pub checker: Checker,
    pub calm: bool,
    chaos: Chaos,
    events: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    asked: BTreeMap<u64, Asked>,
    next_token: u64,
    pending: Vec<Pending>,
    next_value: u64,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut rng = Rng::new(seed.wrapping_mul(0x9e37_79b9).wrapping_add(1));
        let voters = [1, 3, 3, 3, 5][usize::try_from(rng.below(5)).expect("small")];
        let extra = i32::try_from(rng.below(3)).expect("small");
        let ids: Vec<NodeId> = (1..=voters + extra).map(NodeId).collect();
        let setting = Setting {
            first_voters: ids[..usize::try_from(voters).expect("small")].to_vec(),
            all: ids.clone(),
            fetch_bytes_max: if rng.one_in(2) { 1 << 20 } else { 300 },
            segment_bytes: if rng.one_in(2) { 1 << 20 } else { 3000 },
            snapshot_every: 10 + i64::try_from(rng.below(200)).expect("small"),
        };
        let nodes = ids.iter().map(|id| (*id, Node::new(*id, &mut rng))).collect();
        let chaos = Chaos::new(&mut rng);
        World {
            rng,
            now_us: 1000,
            nodes,
            network: Network::new(),
            setting,
            totals: Totals { runs: 1, ..Totals::default() },
            checker: Checker::default(),
            calm: false,
            chaos,
            events: BTreeMap::new(),
            next_event: 0,
            asked: BTreeMap::new(),
            next_token: 0,
            pending: Vec::new(),
            next_value: 0,
        }
    }

    pub fn now(&self) -> Now {
        let ms = i64::try_from(self.now_us / 1000).expect("short runs");
        Now { at: Instant(self.now_us), wall: Timestamp(1_700_000_000_000 + ms) }
    }

    pub fn run(mut self) -> Totals {
        for id in self.ids() {
            self.start(id);
        }
        self.after(0, Event::Append);
        self.after(self.chaos.quiet_us, Event::Chaos);
        self.until(FAULTS_US);
        self.calm = true;
        self.network = Network::new();
        for id in self.ids() {
            let node = self.node(id);
            node.slow_disk = false;
            if node.drawer.is_some() {
                swap(&mut self, id);
            } else if node.quorum.is_none() {
                self.start(id);
            }
        }
        self.until(FAULTS_US + HEAL_US);
        self.judge();
        self.totals.acknowledged = self.checker.acknowledged();
        self.totals.epochs = self.checker.epochs();
        self.totals
    }

    fn judge(&mut self) {
        let before = self.checker.acknowledged();
        let last = self.now_us;
        self.until(last + 2 * SECOND_US);
        assert!(self.checker.acknowledged() > before, "nothing is committed after everything healed");
        // What is on its way arrives, with nothing new behind it.
        self.events.retain(|_, event| !matches!(event, Event::Append));
        self.until(last + 4 * SECOND_US);
        for node in self.nodes.values() {
            self.checker.finish(node.id, node.applied, &node.state);
        }
    }

    pub fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    pub fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("nodes are never forgotten")
    }

    fn after(&mut self, us: u64, event: Event) {
        self.events.insert((self.now_us + us, self.next_event), event);
        self.next_event += 1;
    }

    fn until(&mut self, end_us: u64) {
        loop {
            let event = self.events.keys().next().map(|key| key.0);
            let wake =
                self.nodes.values().filter_map(|node| Some((node.quorum.as_ref()?.next_wake()?.0, node.id))).min();
            let next = [event, wake.map(|(at, _)| at)].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next < end_us) else { break };
            self.now_us = self.now_us.max(next);
            self.totals.events += 1;
            match (event, wake) {
                (Some(at), _) if at == next => {
                    let ((_, _), event) = self.events.pop_first().expect("it was just looked at");
                    self.happens(event);
                }
                (_, Some((_, id))) => {
                    self.input(id, Input::Wake);
                    let woken = self.nodes[&id].quorum.as_ref().and_then(quorum::Quorum::next_wake);
                    assert!(woken.is_none_or(|at| at.0 > self.now_us), "node {id} wakes for nothing");
                }
                (_, None) => break,
            }
        }
        self.now_us = end_us;
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Deliver(place, message) => {
                if self.runs(place) {
                    self.deliver(place.0, message);
                } else if let Message::Request { token, .. } = message {
                    self.refuse(token);
                }
            }
            Event::JobDone(place, done) => {
                if self.runs(place) {
                    self.input(place.0, Input::JobDone(done));
                }
            }
            Event::Append => {
                self.append();
                let wait = 5000 + self.rng.below(80_000);
                self.after(wait, Event::Append);
            }
            Event::Chaos if self.calm => {}
            Event::Chaos => {
                let mut chaos = std::mem::replace(&mut self.chaos, Chaos::new(&mut Rng::new(0)));
                chaos.strike(self);
                let wait = chaos.pause_us(&mut self.rng);
                self.chaos = chaos;
                self.after(wait, Event::Chaos);
            }
        }
    }

    fn runs(&self, place: Place) -> bool {
        let node = &self.nodes[&place.0];
        node.quorum.is_some() && node.run == place.1
    }

    fn deliver(&mut self, to: NodeId, message: Message) {
        let input = match message {
            Message::Request { token, request } => Input::Request { token, request },
            Message::Response { token, response } => Input::Response { token, response },
            Message::Failed { token } => Input::Failed { token },
            Message::LinkClosed { node } => Input::LinkClosed { node },
        };
        self.input(to, input);
    }

    pub fn start(&mut self, id: NodeId) {
        let (now, setting) = (self.now(), self.setting.clone());
        let rng = &mut self.rng;
        let node = self.nodes.get_mut(&id).expect("nodes are never forgotten");
        node.start(now, &setting, rng);
        self.outputs(id);
    }

    /// The process ends; those that it had links with may notice.
    pub fn end(&mut self, id: NodeId, noticed: bool) {
        let node = self.node(id);
        node.quorum = None;
        self.pending.retain(|pending| pending.place.0 != id);
        if noticed {
            for other in self.ids() {
                self.close_link(other, id);
            }
        }
    }

    pub fn close_link(&mut self, of: NodeId, to: NodeId) {
        let place = (of, self.nodes[&of].run);
        let wait = 100 + self.rng.below(3000);
        self.after(wait, Event::Deliver(place, Message::LinkClosed { node: to }));
    }

    fn input(&mut self, id: NodeId, input: Input) {
        let now = self.now();
        let node = self.node(id);
        let Some(quorum) = &mut node.quorum else { return };
        quorum.handle(now, input);
        self.outputs(id);
    }

    /// Does something with a running node that is no input.
    pub fn with(&mut self, id: NodeId, act: impl FnOnce(&mut quorum::Quorum<MemoryDisk>, Now)) {
        let now = self.now();
        if let Some(quorum) = &mut self.node(id).quorum {
            act(quorum, now);
        }
        self.outputs(id);
    }

    pub fn outputs(&mut self, id: NodeId) {
        let Some(quorum) = &mut self.node(id).quorum else { return };
        let outputs = quorum.take_outputs();
        let (voters, high_watermark) = (quorum.voters().clone(), quorum.high_watermark());
        let node = self.node(id);
        node.voters = voters;
        assert!(high_watermark >= node.high_watermark, "node {id}: the high watermark goes back");
        node.high_watermark = high_watermark;
        for output in outputs {
            self.output(id, output);
        }
        let every = self.setting.snapshot_every;
        let now = self.now();
        let node = self.node(id);
        let start = node.quorum.as_ref().map_or(Offset::ZERO, quorum::Quorum::log_start_offset);
        if node.applied.minus(start) >= every {
            node.snapshot(now);
        }
    }

    fn output(&mut self, id: NodeId, output: Output<MemoryDisk>) {
        let place = (id, self.nodes[&id].run);
        match output {
            Output::Send { to, request, token } => self.send(place, &to, request, token),
            Output::Reply { token, response } => self.reply(id, token, response),
            Output::Job(job) => {
                let most = if self.nodes[&id].slow_disk { 400_000 } else { 3000 };
                let wait = 50 + self.rng.below(most);
                // It reaches the disk at once or after all that is written until then; both must do.
                self.after(wait, Event::JobDone(place, job.run()));
            }
            Output::LoadSnapshot { id: snapshot, records } => {
                let entries: Vec<Entry> = records.iter().map(decode).collect();
                self.checker.loaded(id, snapshot.end_offset, &entries);
                let node = self.node(id);
                assert!(snapshot.end_offset >= node.applied, "node {id} was set back to {snapshot:?}");
                node.state = entries;
                node.applied = snapshot.end_offset;
                self.totals.snapshots_loaded += 1;
            }
            Output::Committed { entries, end_offset } => {
                let from = self.nodes[&id].applied;
                self.checker.applied(id, from, end_offset, &entries);
                let node = self.node(id);
                node.state.extend(entries);
                node.applied = end_offset;
                self.acknowledge(id);
            }
            Output::Leader(view) => self.checker.says(&view),
            Output::BecameLeader { epoch } => self.checker.leads(id, epoch),
            Output::Resigned { epoch } => {
                self.pending.retain(|pending| pending.place != place || pending.epoch != epoch);
            }
            Output::Note(_) => {}
            Output::Fatal { reason } => panic!("node {id}: {reason}"),
        }
    }

    fn send(&mut self, from: Place, to: &Peer, request: Request, token: u64) {
        self.checker.asks(&request.call);
        let port = to.endpoint.port;
        let target = NodeId(i32::from(port % 100));
        assert!(to.node.is_none_or(|node| node == target), "sent to the address of another node");
        let node = &self.nodes[&target];
        // The configured addresses are names that follow a node which moves; those that nodes tell each other do so only
        // at last, for where too many moved at once nobody could find the others.
        if node.quorum.is_none() || to.node.is_some() && port / 100 != node.moves && !self.calm {
            // Nobody listens there.
            let arrivals = self.network.arrivals(&mut self.rng, from.0, target);
            for wait in arrivals {
                self.after(wait * 2, Event::Deliver(from, Message::Failed { token }));
            }
            return;
        }
        let place = (target, node.run);
        let key = ReplicaKey { id: target, directory: node.directory };
        for wait in self.network.arrivals(&mut self.rng, from.0, target) {
            let asked = Asked { by: Some((from, token)), to: key, call: request.call.clone() };
            let message = Message::Request { token: self.ask(asked), request: request.clone() };
            self.after(wait, Event::Deliver(place, message));
        }
    }

    fn ask(&mut self, asked: Asked) -> u64 {
        self.next_token += 1;
        self.asked.insert(self.next_token, asked);
        self.next_token
    }

    /// A tool asks a node.
    pub fn tool(&mut self, to: NodeId, call: Call) {
        let key = ReplicaKey { id: to, directory: self.nodes[&to].directory };
        let token = self.ask(Asked { by: None, to: key, call: call.clone() });
        self.input(to, Input::Request { token, request: Request { cluster_id: None, call } });
    }

    fn reply(&mut self, by: NodeId, token: u64, response: Response) {
        let asked = self.asked.remove(&token).expect("an answer comes once");
        if let Call::Vote(vote) = &asked.call {
            self.checker.answers(asked.to, vote, &response);
        }
        if let Response::AddVoter(changed) | Response::RemoveVoter(changed) = &response {
            self.totals.changes += u64::from(changed.error.is_ok());
        }
        if let Response::Fetch(fetched) = &response {
            self.totals.truncations += u64::from(fetched.diverging.is_some());
        }
        let Some((place, token)) = asked.by else { return };
        for wait in self.network.arrivals(&mut self.rng, by, place.0) {
            let message = Message::Response { token, response: response.clone() };
            self.after(wait, Event::Deliver(place, message));
        }
    }

    /// The node that a request was on the way to is gone.
    fn refuse(&mut self, token: u64) {
        if let Some(asked) = self.asked.remove(&token)
            && let Some((place, token)) = asked.by
        {
            let wait = 100 + self.rng.below(1000);
            self.after(wait, Event::Deliver(place, Message::Failed { token }));
        }
    }

    fn append(&mut self) {
        for id in self.ids() {
            let count = 1 + self.rng.below(3);
            let values: Vec<Bytes> = (0..count).map(|at| Bytes::from(format!("{}", self.next_value + at))).collect();
            let now = self.now();
            let node = self.node(id);
            let Some(quorum) = &mut node.quorum else { continue };
            let Some(epoch) = quorum.leading_epoch() else { continue };
            let appended = quorum.append(now, epoch, &values);
            let end = appended.unwrap_or_else(|error| panic!("node {id} leads and does not append: {error:?}"));
            let place = (id, node.run);
            self.next_value += count;
            self.pending.push(Pending { place, epoch, end, values });
            self.outputs(id);
        }
    }

    /// What was pending and is applied now is acknowledged.
    fn acknowledge(&mut self, id: NodeId) {
        let (place, applied) = ((id, self.nodes[&id].run), self.nodes[&id].applied);
        let mut left = Vec::new();
        for pending in std::mem::take(&mut self.pending) {
            if pending.place != place || pending.end > applied {
                left.push(pending);
                continue;
            }
            if self.calm && self.totals.healed_ms_max == 0 {
                self.totals.healed_ms_max = (self.now_us - FAULTS_US) / 1000;
            }
            let count = i64::try_from(pending.values.len()).expect("few");
            let first = pending.end.plus(-count);
            for (at, value) in (0..).zip(pending.values) {
                let entry = Entry { offset: first.plus(at), epoch: pending.epoch, value };
                self.checker.acknowledge(entry);
            }
        }
        self.pending = left;
    }
}
