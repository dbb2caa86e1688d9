//! The cluster's metadata on this node: what the quorum has committed, and, while this node is the active controller,
//! the machine that decides what comes next.
//!
//! Decisions are made on the image as it will be; the image that everybody sees follows when they are committed. On a
//! node that joins or comes back, nobody sees an image before it has caught up with what was committed then: an old one
//! would let it lead what others lead by now.

use crate::call::ReplyTo;
use crate::controller_remote::Remote;
use crate::seam::{Level, Message, Output};
use crate::shard::{Deadline, Shard, replan};
use crate::work::{ControllerWork, Outcome};
use bytes::Bytes;
use log::Disk;
use metadata::config::Settings;
use metadata::controller::{Command, Controller, Decision, Liveness, NewTopic, Registration, Reply};
use metadata::names::is_internal;
use metadata::{Broker, Delta, Image, Record, wire_version};
use quorum::{AppendError, Entry, Quorum};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use types::{ErrorCode, Instant, LeaderEpoch, NodeId, Now, Offset, Rng, Uuid};

/// How soon the controller looks again where leaders are to be given back and not all were.
const BALANCE_AGAIN_MS: u64 = 1_000;
/// How soon a broker is to be fenced again that could not be, for the log took no more.
const FENCE_AGAIN_MS: u64 = 50;

pub(crate) struct Controlling<D: Disk> {
    pub quorum: Quorum<D>,
    node: NodeId,
    /// This run of its broker.
    incarnation: Uuid,
    /// Under everything committed.
    image: Image,
    /// What was committed and not shown yet.
    delta: Delta,
    /// The offset after the last committed record.
    applied: Offset,
    /// What was committed since the last snapshot, or since the start.
    unsnapshotted_bytes: u64,
    /// The shards have seen an image.
    shown: bool,
    pub active: Option<Box<Active>>,
    /// Who waits for an answer of the quorum, by token.
    pub asked: BTreeMap<u64, ReplyTo>,
    sessions_at: Option<Instant>,
    pub woken_at: Option<Instant>,
}

/// The controller's office.
pub(crate) struct Active {
    epoch: LeaderEpoch,
    machine: Controller,
    liveness: Liveness,
    waiting: VecDeque<Decided>,
    /// When each broker was last heard of.
    pub heard: BTreeMap<NodeId, Instant>,
    /// Those whose heartbeats' connection closed since.
    pub lost: BTreeSet<NodeId>,
}

/// What was decided and is not committed yet.
struct Decided {
    end_offset: Offset,
    records: Vec<Record>,
    to: Option<ReplyTo>,
    reply: Reply,
}

/// Why the metadata log cannot be used.
pub(crate) type Unusable = String;

impl<D: Disk> Controlling<D> {
    pub fn new(quorum: Quorum<D>, node: NodeId, incarnation: Uuid) -> Controlling<D> {
        Controlling {
            quorum,
            node,
            incarnation,
            image: Image::default(),
            delta: Delta::default(),
            applied: Offset::ZERO,
            unsnapshotted_bytes: 0,
            shown: false,
            active: None,
            asked: BTreeMap::new(),
            sessions_at: None,
            woken_at: None,
        }
    }

    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The last record that was applied, as heartbeats tell it.
    pub fn applied_offset(&self) -> Offset {
        Offset(self.applied.0 - 1)
    }

    /// While a lone node starts, nothing else goes on: everything is done at once, waiting for the disk. True where
    /// this node is the active controller then.
    pub fn settle_alone(&mut self, now: Now, given: &Settings, notes: &mut Vec<String>) -> Result<bool, Unusable> {
        if !self.quorum.is_voter() || self.quorum.voters().len() > 1 {
            return Ok(false);
        }
        loop {
            let outputs = self.quorum.take_outputs();
            if outputs.is_empty() {
                return Ok(self.active.is_some());
            }
            for output in outputs {
                match output {
                    quorum::Output::Job(job) => self.quorum.handle(now, quorum::Input::JobDone(job.run())),
                    quorum::Output::LoadSnapshot { records, .. } => self.load(&records)?,
                    quorum::Output::Committed { entries, end_offset } => self.commit(&entries, end_offset)?,
                    quorum::Output::BecameLeader { epoch } => self.take_office(now, given, epoch),
                    quorum::Output::Note(note) => notes.push(note),
                    quorum::Output::Fatal { reason } => return Err(reason),
                    // A lone node has nobody to send to, and its office is announced when it serves.
                    quorum::Output::Send { .. }
                    | quorum::Output::Reply { .. }
                    | quorum::Output::Leader(_)
                    | quorum::Output::Resigned { .. } => {}
                }
            }
        }
    }

    /// Registers the broker of a lone node and waits for the disk.
    pub fn register_alone(
        &mut self,
        now: Now,
        given: &Settings,
        registration: Registration,
        rng: &mut Rng,
    ) -> Result<i64, Unusable> {
        let mut broker = registration.broker;
        broker.epoch = self.quorum.log_end_offset().0;
        let registration = Registration { broker, ..registration };
        let (decision, result) = self.decide(now, &Command::RegisterBroker(Box::new(registration)), None, rng);
        result.map_err(|(code, message)| format!("{code}: {message}"))?;
        self.settle_alone(now, given, &mut Vec::new())?;
        self.take_decided();
        match decision.reply {
            Reply::RegisterBroker(Ok(epoch)) => Ok(epoch),
            Reply::RegisterBroker(Err(refused)) => Err(refused.message),
            _ => Err("the controller does not register this broker".to_owned()),
        }
    }

    /// The image that a lone node starts with.
    pub fn show_alone(&mut self) -> Image {
        self.shown = true;
        self.delta = Delta::default();
        self.image.clone()
    }

    /// The state that a snapshot holds, in place of all that was applied.
    pub fn load(&mut self, records: &[Bytes]) -> Result<(), Unusable> {
        self.image = Image::default();
        self.delta = Delta::default();
        let decoded = decode(records.iter())?;
        let delta = self.image.apply_all(&decoded).map_err(|error| error.to_string())?;
        self.delta.merge(delta);
        Ok(())
    }

    pub fn commit(&mut self, entries: &[Entry], end_offset: Offset) -> Result<(), Unusable> {
        let decoded = decode(entries.iter().map(|entry| &entry.value))?;
        let delta = self.image.apply_all(&decoded).map_err(|error| error.to_string())?;
        self.delta.merge(delta);
        self.applied = end_offset;
        self.unsnapshotted_bytes += entries.iter().map(|entry| entry.value.len() as u64).sum::<u64>();
        Ok(())
    }

    /// Writes down the whole image once the log behind it has grown long, so that it may be let go.
    pub fn snapshot_if_long(&mut self, now: Now, bytes_max: u64) -> Option<String> {
        if self.unsnapshotted_bytes < bytes_max {
            return None;
        }
        self.unsnapshotted_bytes = 0;
        let records = self.image.snapshot();
        let encoded = records.iter().map(|record| record.encode(wire_version(record)));
        match self.quorum.snapshot(now, self.applied, encoded) {
            Ok(id) => Some(format!("wrote a snapshot of the cluster's metadata at offset {}", id.end_offset)),
            Err(why) => Some(format!("no snapshot of the cluster's metadata could be written: {why}")),
        }
    }

    /// Everything committed before its epoch was applied: from here on this node decides.
    pub fn take_office(&mut self, now: Now, given: &Settings, epoch: LeaderEpoch) {
        let machine = Controller::new(self.image.clone(), given.clone());
        let liveness = Liveness::new(&self.image, self.applied, session_timeout_ms(given, &self.image), now.at);
        self.active = Some(Box::new(Active {
            epoch,
            machine,
            liveness,
            waiting: VecDeque::new(),
            heard: BTreeMap::new(),
            lost: BTreeSet::new(),
        }));
    }

    /// What is committed of what was decided: who asked is told now.
    fn take_decided(&mut self) -> Vec<(ReplyTo, Reply)> {
        let Some(active) = &mut self.active else {
            return Vec::new();
        };
        let mut replies = Vec::new();
        while active.waiting.front().is_some_and(|first| first.end_offset <= self.applied) {
            let decided = active.waiting.pop_front().expect("it was just looked at");
            replies.extend(decided.to.map(|to| (to, decided.reply)));
        }
        replies
    }

    /// Decides and appends. The reply is `to`'s once it is committed, or at once where nothing stands before it.
    fn decide(
        &mut self,
        now: Now,
        command: &Command,
        to: Option<ReplyTo>,
        rng: &mut Rng,
    ) -> (Decision, Result<bool, (ErrorCode, String)>) {
        let active = self.active.as_mut().expect("the caller holds the office");
        let decision = active.machine.decide(command, rng);
        if decision.records.is_empty() && (active.waiting.is_empty() || to.is_none()) {
            return (decision, Ok(true));
        }
        if !decision.records.is_empty() {
            let encoded: Vec<Bytes> =
                decision.records.iter().map(|record| record.encode(wire_version(record))).collect();
            if let Err(error) = self.quorum.append(now, active.epoch, &encoded) {
                let refused = match error {
                    AppendError::NotLeader => (ErrorCode::NOT_CONTROLLER, String::new()),
                    AppendError::Refused(message) => (ErrorCode::KAFKA_STORAGE_ERROR, message),
                };
                return (decision, Err(refused));
            }
        }
        let end_offset = self.quorum.log_end_offset();
        active.liveness.decided(&decision.records, end_offset, now.at);
        let (records, reply) = (decision.records.clone(), decision.reply.clone());
        active.waiting.push_back(Decided { end_offset, records, to, reply });
        (decision, Ok(false))
    }

    /// The machine as if what failed had never been decided: committed and waiting records count, no others.
    fn rebuild(&mut self, given: &Settings) {
        let Some(active) = &mut self.active else {
            return;
        };
        let mut image = self.image.clone();
        for decided in active.waiting.iter().filter(|decided| decided.end_offset > self.applied) {
            image.apply_all(&decided.records).expect("they were decided on this image");
        }
        active.machine = Controller::new(image, given.clone());
    }
}

fn decode<'a>(records: impl Iterator<Item = &'a Bytes>) -> Result<Vec<Record>, Unusable> {
    let read = |value: &Bytes| {
        Record::decode(value.clone()).map_err(|error| format!("a record of the metadata log cannot be read: {error}"))
    };
    records.map(read).collect()
}

fn session_timeout_ms(given: &Settings, image: &Image) -> u64 {
    u64::try_from(given.with_dynamic(image).i64("broker.session.timeout.ms")).unwrap_or(9_000)
}

impl<D: Disk> Shard<D> {
    pub(crate) fn perform_controller(&mut self, work: ControllerWork, to: ReplyTo) -> Option<Outcome<D>> {
        let Some(controlling) = &mut self.controlling else {
            return Some(Outcome::refused(ErrorCode::NOT_CONTROLLER, ""));
        };
        let (now, image) = (self.now, self.image.clone());
        let Some(active) = &mut controlling.active else {
            return self.ask_controller(work, to);
        };
        let command = match work {
            ControllerWork::Decide(Command::Heartbeat(mut heartbeat)) => {
                active.heard.insert(heartbeat.broker, now.at);
                active.lost.remove(&heartbeat.broker);
                active.liveness.heard(active.machine.image(), &mut heartbeat, now.at);
                Command::Heartbeat(heartbeat)
            }
            ControllerWork::Decide(Command::CreateTopics { topics, validate_only }) => {
                let voters = controlling.quorum.voters().len();
                let shaped = |topic: NewTopic| match topic.is_shapeless() && is_internal(&topic.name) {
                    true => active.machine.auto_topic(&topic.name, voters),
                    false => topic,
                };
                Command::CreateTopics { topics: topics.into_iter().map(shaped).collect(), validate_only }
            }
            ControllerWork::Decide(command) => command,
            ControllerWork::Register { broker, last_stop } => {
                // A process that is gone leaves its session behind, but not its connection.
                let connected = active.heard.contains_key(&broker.id) && !active.lost.contains(&broker.id);
                let replaces_living = connected && active.liveness.is_alive(broker.id, now.at);
                let broker = Broker { epoch: controlling.quorum.log_end_offset().0, ..broker };
                Command::RegisterBroker(Box::new(Registration { broker, last_stop, replaces_living }))
            }
            ControllerWork::AlterPartition(proposals) => self.alter_partition(&image, proposals),
            ControllerWork::AutoCreate(names) => {
                // Somebody else may have asked for the same before this came here.
                let voters = controlling.quorum.voters().len();
                let missing = names.iter().filter(|name| active.machine.image().topic_by_name(name).is_none());
                let topics = missing.map(|name| active.machine.auto_topic(name, voters)).collect();
                Command::CreateTopics { topics, validate_only: false }
            }
        };
        let outcome = self.decide(&command, Some(to));
        self.drive_quorum();
        outcome
    }

    /// Decides as the active controller; what follows is `drive_quorum`.
    pub(crate) fn decide(&mut self, command: &Command, to: Option<ReplyTo>) -> Option<Outcome<D>> {
        let now = self.now;
        let controlling = self.controlling.as_mut()?;
        let (decision, result) = controlling.decide(now, command, to, &mut self.rng);
        match result {
            Ok(true) => Some(Outcome::Controller(decision.reply)),
            Ok(false) => None,
            Err((code, message)) => {
                controlling.rebuild(&self.given);
                Some(Outcome::refused(code, message))
            }
        }
    }

    /// Somebody else leads, or nobody: what waits is told so, for nobody here knows what becomes of it.
    pub(crate) fn leave_office(&mut self, epoch: LeaderEpoch) {
        let Some(controlling) = &mut self.controlling else {
            return;
        };
        if controlling.active.as_ref().is_some_and(|active| active.epoch <= epoch)
            && let Some(active) = controlling.active.take()
        {
            for decided in active.waiting {
                let refused = || Outcome::refused(ErrorCode::NOT_CONTROLLER, "another node is the controller now");
                self.done.extend(decided.to.map(|to| (to, refused())));
            }
        }
    }

    /// Everybody sees what is committed; then those who asked for it are told.
    pub(crate) fn show_committed(&mut self) {
        let Some(controlling) = &mut self.controlling else {
            return;
        };
        if !controlling.shown && !controlling.is_current() {
            return;
        }
        let bytes_max = self.settings.unsigned("metadata.log.max.record.bytes.between.snapshots");
        let note = controlling.snapshot_if_long(self.now, bytes_max);
        self.out.outputs.extend(note.map(|text| Output::Log { level: Level::Info, text }));
        let first = !std::mem::replace(&mut controlling.shown, true);
        let replies = controlling.take_decided();
        if first || !controlling.delta.is_empty() {
            let delta = Arc::new(std::mem::take(&mut controlling.delta));
            let image = Arc::new(controlling.image.clone());
            self.tell_other_shards(|| Message::Image { image: image.clone(), delta: delta.clone() });
            self.apply_image(image, &delta);
            self.schedule_sessions();
        }
        for (to, reply) in replies {
            self.done.push((to, Outcome::Controller(reply)));
        }
    }

    /// Looks when the next broker's session runs out.
    pub(crate) fn schedule_sessions(&mut self) {
        let Some(controlling) = &mut self.controlling else {
            return;
        };
        let now = self.now.at;
        let next = controlling.active.as_ref().and_then(|active| active.liveness.next_wake(active.machine.image()));
        let next = next.map(|at| if at > now { at } else { now.plus_ms(FENCE_AGAIN_MS) });
        if let Some(at) = next.filter(|at| controlling.sessions_at.is_none_or(|planned| *at < planned)) {
            replan(&mut self.deadlines, &mut controlling.sessions_at, at, Deadline::Sessions);
        }
    }

    /// Brokers that were not heard of for a whole session are fenced.
    pub(crate) fn end_sessions(&mut self) {
        let now = self.now.at;
        let Some(controlling) = &mut self.controlling else {
            return;
        };
        controlling.sessions_at = None;
        let expired = match &controlling.active {
            Some(active) => active.liveness.expired(active.machine.image(), now),
            None => Vec::new(),
        };
        for (broker, epoch) in expired {
            self.log(
                Level::Warn,
                format!("broker {broker} was not heard of for broker.session.timeout.ms: it is fenced"),
            );
            self.fence(broker, epoch);
        }
        self.schedule_sessions();
    }

    /// Takes a broker that is dead out of all it leads and is in sync for.
    pub(crate) fn fence(&mut self, broker: NodeId, epoch: i64) {
        if self.is_active_controller() {
            self.decide(&Command::FenceBroker { broker, epoch }, None);
            self.drive_quorum();
        }
    }

    /// Gives partitions back to their preferred leaders where too many are led by others, and looks for leaders of
    /// those without.
    pub(crate) fn balance(&mut self) {
        let interval_ms = self.settings.unsigned("leader.imbalance.check.interval.seconds").saturating_mul(1000);
        let mut again_ms = interval_ms.max(1000);
        if self.controlling.as_ref().is_some_and(|controlling| controlling.active.is_some()) {
            self.decide(&Command::RetryElections, None);
            if self.settings.values.boolean("auto.leader.rebalance.enable") {
                let now = self.now;
                let controlling = self.controlling.as_mut().expect("it was just looked at");
                let (decision, _) = controlling.decide(now, &Command::BalanceLeaders, None, &mut self.rng);
                if matches!(decision.reply, Reply::BalanceLeaders { more: true, .. }) {
                    again_ms = BALANCE_AGAIN_MS;
                }
            }
            self.drive_quorum();
        }
        self.deadlines.insert((self.now.at.plus_ms(again_ms), Deadline::Balance));
    }
}

impl<D: Disk> Controlling<D> {
    /// Whether this run of the broker is registered in what is applied: then everything is that was committed before it
    /// came back.
    fn is_current(&self) -> bool {
        self.image.broker(self.node).is_some_and(|broker| broker.incarnation == self.incarnation)
    }
}
