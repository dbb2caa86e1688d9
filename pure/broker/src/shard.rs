//! One shard: the connections and partitions of one thread, and the one door through which everything comes in.
//!
//! `handle` takes an input and leaves outputs; nothing else has effects. A shard never waits: what takes long is a job,
//! what another shard owns is a message, what is not there yet is a waiter or a deadline.

use crate::call::Pending;
use crate::call::ReplyTo;
use crate::changes::Changes;
use crate::checkpoint::Closing;
use crate::controller::Controlling;
use crate::directories::{Assignments, Directory};
use crate::fetch_session::Sessions;
use crate::forward::Forwarding;
use crate::groups::Groups;
use crate::isr::Proposals;
use crate::job::JobFor;
use crate::lifecycle::Lifecycle;
use crate::moves::{Found, Move};
use crate::node::Live;
use crate::node::Node;
use crate::observe::{Figures, Observation};
use crate::office::Office;
use crate::partitions::Partitions;
use crate::peers::Peers;
use crate::replication::Fetcher;
use crate::seam::{ConnId, Input, Level, LinkId, Message, Outbox, Output, Ticket};
use crate::session::Session;
use crate::throttle::Throttles;
use crate::wait::{Wait, Waiting, Waits};
use crate::work::{CallId, Outcome, Work};
use log::Disk;
use metadata::Image;
use metadata::config::Settings;
use metadata::names::CONSUMER_OFFSETS;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use types::{HashMap, Instant, NodeId, Now, Rng, ShardId, TopicPartition};

pub struct Shard<D: Disk> {
    pub(crate) me: ShardId,
    pub(crate) now: Now,
    pub(crate) node: Arc<Node>,
    /// As the operator gave them.
    pub(crate) given: Settings,
    /// As they stand under the image.
    pub(crate) settings: Live,
    pub(crate) directories: Arc<Vec<Directory<D>>>,
    /// Those whose disk was not there at the start, or has failed since.
    pub(crate) failed: BTreeSet<usize>,
    pub(crate) assignments: Assignments,
    /// Replicas on their way to another directory.
    pub(crate) moves: BTreeMap<TopicPartition, Move<D>>,
    /// What an earlier run left of such, until its replica is open.
    pub(crate) futures: BTreeMap<TopicPartition, Found>,
    /// Where replicas are to be made that are not here yet; partitions that are in the image.
    pub(crate) preferred: BTreeMap<TopicPartition, usize>,
    pub(crate) image: Arc<Image>,
    pub(crate) rng: Rng,
    pub(crate) out: Outbox<D>,
    pub(crate) sessions: HashMap<ConnId, Session<D::File>>,
    /// Our own connections to other nodes.
    /// Connections whose next request may start.
    pub(crate) ready: Vec<ConnId>,
    pub(crate) pending: HashMap<CallId, Pending<D>>,
    pub(crate) waits: Waits<D>,
    /// Outcomes that came later than they were asked for, to be delivered before this input is done.
    pub(crate) done: Vec<(ReplyTo, Outcome<D>)>,
    pub(crate) deadlines: BTreeSet<(Instant, Deadline)>,
    pub(crate) partitions: Partitions<D>,
    pub(crate) groups: Groups,
    pub(crate) fetch_sessions: Sessions,
    pub(crate) changes: Changes,
    pub(crate) peers: Peers<D>,
    /// Who is the active controller.
    pub(crate) office: Option<Office>,
    /// Requests that wait for a controller.
    pub(crate) forwarding: Vec<Forwarding>,
    /// Replicas that follow, by the broker of their leaders.
    pub(crate) fetchers: BTreeMap<NodeId, Fetcher>,
    pub(crate) wake_fetchers: BTreeSet<NodeId>,
    /// Brokers that may be gone, and until when they are not named as leaders; at most one entry for each broker.
    pub(crate) doubted: BTreeMap<NodeId, Instant>,
    /// Brokers that were alive a moment ago, and until when clients are told of them all the same.
    pub(crate) left: BTreeMap<NodeId, Instant>,
    /// Led partitions whose followers were heard of.
    pub(crate) followed: BTreeSet<TopicPartition>,
    pub(crate) proposals: Proposals,
    pub(crate) throttles: Throttles,
    /// The partitions of the first image are being opened.
    pub(crate) is_opening: bool,
    /// An image was seen.
    pub(crate) image_known: bool,
    /// Connections whose next request waits for it.
    pub(crate) early: Vec<ConnId>,
    /// Only shard 0 has the metadata log and this broker's life.
    pub(crate) controlling: Option<Box<Controlling<D>>>,
    pub(crate) lifecycle: Option<Box<Lifecycle>>,
    pub(crate) jobs: BTreeMap<Ticket, JobFor>,
    pub(crate) figures: Figures,
    /// Logs that are being opened.
    pub(crate) opening: usize,
    /// The disk has refused a write and has not taken one since.
    pub(crate) refusing_writes: bool,
    /// Partitions whose going offline has been told.
    pub(crate) offline: BTreeSet<TopicPartition>,
    /// Partitions that could not be recovered.
    pub(crate) unrecovered: BTreeSet<TopicPartition>,
    /// All that was found at the start has been recovered.
    pub(crate) recovered: bool,
    /// On shard 0: how many shards have recovered all of theirs.
    pub(crate) recovered_shards: u16,
    /// Partitions that a full disk kept from being opened.
    pub(crate) reopen: BTreeSet<TopicPartition>,
    /// Folders of partitions that are gone, which jobs still name.
    pub(crate) leaving: BTreeMap<TopicPartition, Found>,
    /// Partitions whose folder's name another still has, and since when they wait for it.
    pub(crate) unnamed: BTreeMap<TopicPartition, Instant>,
    /// Producer ids that this shard may still give out.
    pub(crate) producer_ids: std::ops::Range<i64>,
    pub(crate) closing: Closing,
    pub(crate) stopping: bool,
    pub(crate) next_id: u64,
}

/// Has one planned moment at `at`, and no longer when it was planned before.
pub(crate) fn replan(
    deadlines: &mut BTreeSet<(Instant, Deadline)>,
    planned: &mut Option<Instant>,
    at: Instant,
    what: Deadline,
) {
    if let Some(before) = planned.replace(at) {
        deadlines.remove(&(before, what));
    }
    deadlines.insert((at, what));
}

/// What a moment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deadline {
    /// A call that waits for its first outcome.
    Call(CallId),
    /// A waiter that gives up.
    Waiter(u64),
    /// Written-behind things of partitions that were appended to: index entries, flush.ms.
    Flush,
    /// What time alone brings about: retention, compaction, rolling by age, producer expiry.
    Maintenance,
    /// Checkpoint files of the log directory.
    Checkpoint,
    /// The same, once more than usual.
    CheckpointOnce,
    /// Groups' time-outs.
    Groups,
    /// Questions to another node that were not answered.
    Link(LinkId),
    /// Requests that wait for a controller.
    Forward,
    /// Fetchers that paused.
    Fetchers,
    /// Replicas that move to another directory, and have used up their rate.
    Moves,
    /// Partitions that wait for the name of their folder.
    Names,
    /// Replicas whose directory the controller is to be told.
    Assignments,
    /// Followers that time alone makes late.
    Isr,
    /// What the metadata quorum does by the clock.
    Quorum,
    /// Brokers that were not heard of.
    Sessions,
    /// Leaderships that are to be given back.
    Balance,
    /// This broker's signs of life.
    Lifecycle,
    /// Whether this node should vote.
    Voting,
}

/// What a shard is made of.
pub(crate) struct Parts<D: Disk> {
    pub me: ShardId,
    pub now: Now,
    pub node: Arc<Node>,
    pub image: Arc<Image>,
    pub given: Settings,
    pub directories: Arc<Vec<Directory<D>>>,
    pub seed: u64,
    /// Whether the image is the cluster's, and not merely none.
    pub image_known: bool,
    pub office: Option<Office>,
    pub controlling: Option<Box<Controlling<D>>>,
    pub lifecycle: Option<Box<Lifecycle>>,
}

impl<D: Disk> Shard<D> {
    pub(crate) fn new(parts: Parts<D>) -> Shard<D> {
        let settings = Live { values: parts.given.with_dynamic(&parts.image) };
        let slots = settings.unsigned("max.incremental.fetch.session.cache.slots");
        let slots = usize::try_from(slots).unwrap_or(usize::MAX) / usize::from(parts.node.shards.max(1));
        Shard {
            me: parts.me,
            now: parts.now,
            image: parts.image,
            given: parts.given,
            settings,
            failed: (0..)
                .zip(&*parts.directories)
                .filter(|(_, known)| known.disk.is_none())
                .map(|(at, _)| at)
                .collect(),
            directories: parts.directories,
            assignments: Assignments::default(),
            moves: BTreeMap::new(),
            futures: BTreeMap::new(),
            preferred: BTreeMap::new(),
            done: Vec::new(),
            opening: 0,
            refusing_writes: false,
            offline: BTreeSet::new(),
            unrecovered: BTreeSet::new(),
            recovered: false,
            recovered_shards: 0,
            reopen: BTreeSet::new(),
            leaving: BTreeMap::new(),
            unnamed: BTreeMap::new(),
            producer_ids: 0..0,
            closing: Closing::default(),
            rng: Rng::new(parts.seed ^ u64::from(parts.me.0) << 48),
            out: Outbox::default(),
            sessions: HashMap::default(),
            ready: Vec::new(),
            pending: HashMap::default(),
            waits: Waits::default(),
            deadlines: BTreeSet::new(),
            partitions: Partitions::default(),
            groups: Groups::default(),
            changes: Changes::default(),
            fetch_sessions: Sessions::new(parts.me, slots),
            peers: Peers::default(),
            office: parts.office,
            forwarding: Vec::new(),
            fetchers: BTreeMap::new(),
            wake_fetchers: BTreeSet::new(),
            doubted: BTreeMap::new(),
            left: BTreeMap::new(),
            is_opening: false,
            followed: BTreeSet::new(),
            proposals: Proposals::default(),
            throttles: Throttles::default(),
            image_known: parts.image_known,
            early: Vec::new(),
            controlling: parts.controlling,
            lifecycle: parts.lifecycle,
            jobs: BTreeMap::new(),
            figures: Figures::default(),
            stopping: false,
            next_id: 0,
            node: parts.node,
        }
    }

    /// Takes one input and leaves in `out` what is to be done, in order.
    pub fn handle(&mut self, now: Now, input: Input<D>, out: &mut Outbox<D>) {
        self.now = now;
        std::mem::swap(&mut self.out, out);
        match input {
            Input::Started => self.started(),
            Input::Opened { connection, peer, local } => {
                self.sessions.insert(connection, Session::new(peer, local));
            }
            Input::Received { .. } if self.stopping => {}
            Input::Received { connection, frame } => self.received(connection, frame),
            Input::Closed { connection } => self.closed(connection),
            Input::LinkOpened { .. } => {}
            Input::LinkReceived { link, frame } => self.link_received(link, frame),
            Input::LinkClosed { link, reason } => self.link_closed(link, &reason),
            Input::Wake => {}
            Input::JobDone { ticket, done } => self.job_done(ticket, done),
            Input::FromShard { from, message } => self.take_message(from, message),
            Input::Observe { ticket } => {
                let observation = Box::new(self.observe());
                self.out.push(Output::Observed { ticket, observation });
            }
            Input::Stop => self.stop_asked(),
        }
        self.settle();
        std::mem::swap(&mut self.out, out);
    }

    /// When `Input::Wake` is due at the latest.
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Follows up until nothing more can go on now.
    fn settle(&mut self) {
        self.expire();
        loop {
            self.start_ready();
            let fired = self.fire_waiters();
            self.tend_replication();
            if !fired && self.done.is_empty() && self.ready.is_empty() {
                break;
            }
            for (to, outcome) in std::mem::take(&mut self.done) {
                self.deliver(to, outcome);
            }
        }
    }

    fn expire(&mut self) {
        while let Some((at, deadline)) = self.deadlines.first().copied() {
            if at > self.now.at {
                break;
            }
            self.deadlines.remove(&(at, deadline));
            match deadline {
                Deadline::Call(call) => self.finish(call),
                Deadline::Waiter(waiter) => self.give_up(waiter),
                Deadline::Flush => self.flush_partitions(),
                Deadline::Maintenance => self.tick_partitions(),
                Deadline::Checkpoint => self.checkpoint(),
                Deadline::CheckpointOnce => self.checkpoint_once(),
                Deadline::Groups => self.tick_groups(),
                Deadline::Link(link) => self.check_link(link),
                Deadline::Forward => self.retry_forwarding(),
                Deadline::Fetchers => self.retry_fetchers(),
                Deadline::Moves => self.retry_moves(),
                Deadline::Names => self.retry_names(),
                Deadline::Assignments => self.retry_assignments(),
                Deadline::Isr => self.consider_all_isrs(),
                Deadline::Quorum => self.wake_quorum(),
                Deadline::Sessions => self.end_sessions(),
                Deadline::Balance => self.balance(),
                Deadline::Lifecycle => self.tick_lifecycle(),
                Deadline::Voting => self.consider_voting(),
            }
        }
    }

    fn started(&mut self) {
        if self.image_known {
            self.open_partitions();
        }
        self.deadlines.insert((self.now.at, Deadline::Isr));
        self.deadlines.insert((self.now.at.plus_ms(self.settings.maintenance_ms()), Deadline::Maintenance));
        if self.me == ShardId(0) {
            self.deadlines.insert((self.now.at.plus_ms(self.settings.checkpoint_ms()), Deadline::Checkpoint));
            let balance_ms = self.settings.unsigned("leader.imbalance.check.interval.seconds").saturating_mul(1000);
            self.deadlines.insert((self.now.at.plus_ms(balance_ms.max(1000)), Deadline::Balance));
            self.drive_quorum();
            self.schedule_sessions();
            self.tick_lifecycle();
            self.consider_voting();
        }
    }

    fn take_message(&mut self, from: ShardId, message: Message<D>) {
        match message {
            Message::Call { call, works } => self.serve(from, call, works),
            Message::Return { call, outcomes } => self.returned(call, outcomes),
            Message::Cancel { call } => self.forget_waits_of(from, call),
            Message::Image { image, delta } => self.apply_image(image, &delta),
            Message::CheckpointSoon => self.checkpoint_soon(),
            Message::Recovered => self.shard_recovered(),
            Message::Closed { rows, recovered } => self.shard_closed(rows, recovered),
            Message::Office(office) => self.take_office(office),
            Message::Suspect { broker, epoch } => self.heartbeats_lost(broker, epoch),
            Message::Doubt { broker } => self.note_doubt(broker),
            Message::DirectoryFailed { directory, reason } => self.directory_failed(directory, &reason),
            Message::Stop => self.stop(),
        }
    }

    /// Says the same to all other shards.
    pub(crate) fn tell_other_shards(&mut self, message: impl Fn() -> Message<D>) {
        for to in (0..self.node.shards).map(ShardId).filter(|shard| *shard != self.me) {
            self.out.push(Output::ToShard { to, message: message() });
        }
    }

    /// The shard that a work belongs to.
    pub(crate) fn owner(&self, work: &Work) -> ShardId {
        match work {
            Work::Partition { partition, .. } => partition.shard(self.node.shards),
            Work::Group { partition, .. } => match self.image.topic_by_name(CONSUMER_OFFSETS) {
                Some(topic) => TopicPartition { topic: topic.id, partition: *partition }.shard(self.node.shards),
                None => self.me,
            },
            Work::Controller(_) | Work::Quorum(_) | Work::DescribeQuorum => ShardId(0),
            Work::Sizes { shard }
            | Work::Checkpoint { shard }
            | Work::Changes { shard, .. }
            | Work::WatchChanges { shard, .. } => *shard,
            Work::Refused { .. } => self.me,
        }
    }

    /// Does a work of this shard; `None` where its outcome comes later.
    pub(crate) fn perform(&mut self, work: Work, to: ReplyTo) -> Option<Outcome<D>> {
        match work {
            Work::Partition { partition, op } => self.perform_partition(partition, op, to),
            Work::Group { partition, command } => self.perform_group(partition, *command, to),
            Work::Controller(work) => self.perform_controller(*work, to),
            Work::Quorum(request) => self.perform_quorum(*request, to),
            Work::DescribeQuorum => Some(self.describe_quorum()),
            Work::Sizes { .. } => Some(Outcome::Sizes(self.partition_sizes())),
            Work::Checkpoint { .. } => Some(Outcome::Checkpoint(self.checkpoint_rows())),
            Work::Changes { since, .. } => Some(self.changes_since(since)),
            Work::WatchChanges { since, .. } => {
                let waiter = self.next_id();
                if self.watch_changes(since, waiter) {
                    return Some(Outcome::Changed);
                }
                self.waits.insert(waiter, Waiting { to, wait: Wait::Changes { since } });
                None
            }
            Work::Refused { code, message } => Some(Outcome::Refused { code, message }),
        }
    }

    /// Brings what followers and leaders of this shard want to those it concerns.
    fn tend_replication(&mut self) {
        for partition in std::mem::take(&mut self.followed) {
            self.consider_isr(partition);
        }
        self.send_proposals();
        self.send_assignments();
        self.run_fetchers();
    }

    /// The outcome of a work that ended while it was being started.
    pub(crate) fn take_done(&mut self, to: ReplyTo) -> Option<Outcome<D>> {
        let at = self.done.iter().position(|(other, _)| *other == to)?;
        Some(self.done.swap_remove(at).1)
    }

    pub(crate) fn forget_waits(&mut self, call: CallId) {
        self.forget_waits_of(self.me, call);
    }

    pub(crate) fn next_call(&mut self) -> CallId {
        CallId(self.next_id())
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn log(&mut self, level: Level, text: String) {
        self.out.log(level, text);
    }

    fn observe(&self) -> Observation {
        Observation {
            keys: self.figures.keys.clone(),
            errors: self.figures.errors.clone(),
            connections: self.sessions.len(),
            waiting_requests: self.pending.len(),
            brokers: self.image.alive_brokers().count(),
            bytes_appended: self.figures.bytes_appended,
            bytes_fetched: self.figures.bytes_fetched,
            telemetry_bytes: self.figures.telemetry_bytes,
            partitions: self.partition_figures(),
            groups: self.group_figures(),
        }
    }
}
