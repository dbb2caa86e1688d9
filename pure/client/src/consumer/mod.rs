//! The consumer's engine: what it is assigned, from where it reads, and what it has read, alone or as a group's member.
//!
//! Owns the glue between fetching and membership; `fetcher` must never know of groups, `group` never of record bytes.

mod assignor;
mod fetcher;
mod group;
mod session;

pub use assignor::Assignor;
pub use fetcher::{Consumed, ConsumedRecord, Reset};
pub(crate) use group::decode_assignment;

use crate::cluster::{Cluster, Failure, Options};
use crate::{Event, Transmit};
use fetcher::Fetcher;
use group::Group;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use types::{ErrorCode, Instant, Offset, PartitionIndex, Text};

/// A topic and a partition of it.
pub type Spot = (Text, PartitionIndex);

/// Kafka's names and defaults.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    pub cluster: Options,
    pub group: Option<GroupOptions>,
    /// `isolation.level` is read_committed.
    pub read_committed: bool,
    /// `auto.offset.reset`
    pub reset: Reset,
    /// `fetch.min.bytes`
    pub fetch_min_bytes: i32,
    /// `fetch.max.wait.ms`
    pub fetch_wait_ms: i32,
    /// `fetch.max.bytes`
    pub fetch_bytes_max: i32,
    /// `max.partition.fetch.bytes`
    pub partition_bytes_max: i32,
    /// Incremental fetches (KIP-227), where the broker has them.
    pub sessions: bool,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        ConsumerOptions {
            cluster: Options { allow_auto_create_topics: false, ..Options::default() },
            group: None,
            read_committed: false,
            reset: Reset::Latest,
            fetch_min_bytes: 1,
            fetch_wait_ms: 500,
            fetch_bytes_max: 50 << 20,
            partition_bytes_max: 1 << 20,
            sessions: true,
        }
    }
}

/// Kafka's names and defaults.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// `group.id`
    pub id: Text,
    /// `group.instance.id`
    pub instance_id: Option<Text>,
    /// `session.timeout.ms`
    pub session_timeout_ms: u64,
    /// `max.poll.interval.ms`: how long a rebalance waits for this member.
    pub rebalance_timeout_ms: u64,
    /// `heartbeat.interval.ms`
    pub heartbeat_ms: u64,
    /// `partition.assignment.strategy`
    pub assignor: Assignor,
    /// `auto.commit.interval.ms`; none is `enable.auto.commit=false`.
    pub auto_commit_ms: Option<u64>,
}

impl Default for GroupOptions {
    fn default() -> Self {
        GroupOptions {
            id: Text::default(),
            instance_id: None,
            session_timeout_ms: 45_000,
            rebalance_timeout_ms: 300_000,
            heartbeat_ms: 3000,
            assignor: Assignor::Range,
            auto_commit_ms: Some(5000),
        }
    }
}

/// Why offsets were not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitError {
    Refused(ErrorCode),
    /// No answer; they may have been committed.
    Failed(Failure),
    /// There is no group, or no place in it at the moment.
    NoMember,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerEvent {
    /// These partitions were added; `all` is what this member has now, in the group's generation.
    Assigned { generation: i32, added: Vec<Spot>, all: Vec<Spot> },
    /// These partitions are another member's from now on; what was read of them is committed with automatic commits.
    Revoked { spots: Vec<Spot> },
    /// The group goes on without this member, which did not hand over these partitions.
    Lost { spots: Vec<Spot> },
    /// A commit under the number that `commit` returned, or an automatic one.
    Committed { number: Option<u64>, offsets: BTreeMap<Spot, Offset>, result: Result<(), CommitError> },
    /// What the group had committed for a partition, asked at a moment.
    Found { spot: Spot, committed: Option<Offset>, asked_at: Instant },
    /// A partition has no data at its position and `auto.offset.reset` is none, or a batch is corrupt.
    Stuck { spot: Spot, position: Offset, code: ErrorCode },
    /// The group cannot be joined, and trying again will not help.
    Refused { code: ErrorCode },
}

#[derive(Debug)]
pub struct Consumer {
    cluster: Cluster,
    fetcher: Fetcher,
    group: Option<Group>,
    events: VecDeque<ConsumerEvent>,
    commits: u64,
}

impl Consumer {
    #[must_use]
    pub fn new(options: ConsumerOptions) -> Consumer {
        Consumer {
            cluster: Cluster::new(options.cluster.clone()),
            group: options.group.clone().map(Group::new),
            fetcher: Fetcher::new(options),
            events: VecDeque::new(),
            commits: 0,
        }
    }

    /// Takes part in the group for these topics. Replaces what was subscribed before.
    pub fn subscribe(&mut self, now: Instant, topics: impl IntoIterator<Item = Text>) {
        let topics: BTreeSet<Text> = topics.into_iter().collect();
        for topic in &topics {
            self.cluster.want(now, topic);
        }
        if let Some(group) = &mut self.group {
            group.subscribe(topics);
        }
        self.drive(now);
    }

    /// Reads these partitions, each from an offset or where `auto.offset.reset` says, and no others.
    pub fn assign(&mut self, now: Instant, spots: impl IntoIterator<Item = (Spot, Option<Offset>)>) {
        self.fetcher.unassign_all();
        for (spot, from) in spots {
            self.cluster.want(now, &spot.0);
            self.fetcher.assign(spot, from);
        }
        self.drive(now);
    }

    /// Goes on from another offset.
    pub fn seek(&mut self, now: Instant, spot: &Spot, offset: Offset) {
        self.fetcher.seek(spot, offset);
        self.drive(now);
    }

    /// What was read of one partition, and where that ends.
    pub fn poll(&mut self, now: Instant) -> Option<Consumed> {
        let was_fetched = self.fetcher.is_fetched();
        let consumed = self.fetcher.poll(&mut self.events);
        if was_fetched {
            self.drive(now);
        }
        consumed
    }

    pub fn poll_event(&mut self) -> Option<ConsumerEvent> {
        self.events.pop_front()
    }

    /// The offset after what was read last.
    #[must_use]
    pub fn position(&self, spot: &Spot) -> Option<Offset> {
        self.fetcher.position(spot)
    }

    #[must_use]
    pub fn positions(&self) -> BTreeMap<Spot, Offset> {
        self.fetcher.positions()
    }

    /// Commits offsets (where to go on) for the group; what comes of it is an event with the returned number.
    pub fn commit(&mut self, now: Instant, offsets: BTreeMap<Spot, Offset>) -> u64 {
        let number = self.commits;
        self.commits += 1;
        match &mut self.group {
            Some(group) => group.commit(now, &mut self.cluster, Some(number), offsets, &mut self.events),
            None => {
                let result = Err(CommitError::NoMember);
                self.events.push_back(ConsumerEvent::Committed { number: Some(number), offsets, result });
            }
        }
        number
    }

    /// Commits that have no answer yet.
    #[must_use]
    pub fn open_commits(&self) -> Vec<BTreeMap<Spot, Offset>> {
        self.group.as_ref().map_or_else(Vec::new, Group::open_commits)
    }

    /// Leaves the group, after a last automatic commit.
    pub fn close(&mut self, now: Instant) {
        if let Some(group) = &mut self.group {
            group.close();
        }
        self.drive(now);
    }

    /// Whether the group knows that this member is gone, or need not.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.group.as_ref().is_none_or(Group::is_closed)
    }

    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.cluster.poll_transmit()
    }

    pub fn handle(&mut self, now: Instant, event: Event) {
        self.cluster.handle(now, event);
        for (call, result) in self.cluster.take_answers() {
            if self.fetcher.answered(now, &mut self.cluster, call, &result, &mut self.events) {
                continue;
            }
            if let Some(group) = &mut self.group {
                group.answered(now, &mut self.cluster, &mut self.fetcher, (call, result), &mut self.events);
            }
        }
        self.drive(now);
    }

    fn drive(&mut self, now: Instant) {
        if let Some(group) = &mut self.group {
            group.drive(now, &mut self.cluster, &mut self.fetcher, &mut self.events);
        }
        self.fetcher.drive(now, &mut self.cluster);
    }

    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        let group = self.group.as_ref().and_then(Group::next_wake);
        self.cluster.next_wake().into_iter().chain(group).chain(self.fetcher.next_wake()).min()
    }
}
