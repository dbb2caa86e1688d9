//! The consumer's engine: what it is assigned, from where it reads, and what it has read, alone or as a group's member.
//!
//! Owns the glue between fetching and membership; `fetcher` must never know of groups, `group` never of record bytes.

mod assignor;
mod buffer;
mod fetcher;
mod group;
mod offsets;
mod protocol;
mod session;
mod sticky;

pub use assignor::{Assignment, Assignor, Member, Members, PartitionAssignor};
pub use buffer::{ConsumedRecord, Position};
pub use fetcher::{Consumed, Reset};
pub use group::GroupMetadata;
pub use offsets::OffsetAndMetadata;
pub(crate) use offsets::answer as committed;
pub(crate) use protocol::decode_assignment;

use crate::cluster::{Cluster, Failure, Options};
use crate::{Event, Transmit};
use fetcher::Fetcher;
use group::Group;
use regex_lite::Regex;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use types::{ErrorCode, Instant, Now, Offset, PartitionIndex, Text, with_defaults};

/// A topic and a partition of it.
pub type Spot = (Text, PartitionIndex);

with_defaults! {
    /// Kafka's names and defaults.
    #[derive(Clone, Debug)]
    pub struct ConsumerOptions {
        pub cluster: Options = Options { allow_auto_create_topics: false, ..Options::default() },
        pub group: Option<GroupOptions> = None,
        /// `isolation.level` is read_committed.
        pub read_committed: bool = false,
        /// `auto.offset.reset`
        pub reset: Reset = Reset::Latest,
        /// `fetch.min.bytes`
        pub fetch_min_bytes: i32 = 1,
        /// `fetch.max.wait.ms`
        pub fetch_wait_ms: i32 = 500,
        /// `fetch.max.bytes`: of one answer, and of what may wait to be polled when another is asked for.
        pub fetch_bytes_max: i32 = 50 << 20,
        /// `max.partition.fetch.bytes`: as `fetch_bytes_max`, of one partition.
        pub partition_bytes_max: i32 = 1 << 20,
        /// `max.poll.records`
        pub poll_records_max: usize = 500,
        /// `check.crcs`
        pub check_crcs: bool = true,
        /// `client.rack`; empty is none.
        pub rack: Text = Text::default(),
        /// `exclude.internal.topics`: a pattern matches none of Kafka's own topics.
        pub exclude_internal_topics: bool = true,
        /// Incremental fetches (KIP-227), where the broker has them.
        pub sessions: bool = true,
    }
}

/// `group.protocol`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupProtocol {
    /// Members meet for each rebalance, and one of them assigns.
    #[default]
    Classic,
    /// The coordinator assigns, and moves what it must without a halt (KIP-848). Its settings replace `session_timeout_ms`,
    /// `heartbeat_ms` and `assignors`.
    Consumer,
}

with_defaults! {
    /// Kafka's names and defaults.
    #[derive(Clone, Debug)]
    pub struct GroupOptions {
        pub protocol: GroupProtocol = GroupProtocol::Classic,
        /// `group.remote.assignor`: none takes the coordinator's first.
        pub remote_assignor: Option<Text> = None,
        /// `group.id`
        pub id: Text = Text::default(),
        /// `group.instance.id`
        pub instance_id: Option<Text> = None,
        /// `session.timeout.ms`
        pub session_timeout_ms: u64 = 45_000,
        /// `max.poll.interval.ms`: who stays away from `poll` for longer leaves the group; a rebalance waits as long.
        pub poll_interval_max_ms: u64 = 300_000,
        /// `heartbeat.interval.ms`
        pub heartbeat_ms: u64 = 3000,
        /// `partition.assignment.strategy`: the group takes the first that all its members name.
        pub assignors: Vec<Assignor> = vec![Assignor::Range, Assignor::CooperativeSticky],
        /// `auto.commit.interval.ms`; none is `enable.auto.commit=false`.
        pub auto_commit_ms: Option<u64> = Some(5000),
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
    /// These partitions are to go to other members. They are this one's, and may be committed, until `release` is called.
    Revoked { spots: Vec<Spot> },
    /// The group goes on without this member, which did not hand over these partitions.
    Lost { spots: Vec<Spot> },
    /// The member left its group: it was not polled for longer than `max.poll.interval.ms`.
    PollOverdue { interval_ms: u64 },
    /// A commit under the number that `commit` returned, or an automatic one.
    Committed { number: Option<u64>, offsets: BTreeMap<Spot, Offset>, result: Result<(), CommitError> },
    /// What the group had committed for a partition, asked at a moment.
    Found { spot: Spot, committed: Option<Offset>, asked_at: Instant },
    /// A partition has no data at its position and `auto.offset.reset` is none, or a batch is corrupt.
    Stuck { spot: Spot, position: Offset, code: ErrorCode },
    /// Nothing says where to begin: nothing is committed, and `auto.offset.reset` is none.
    NoOffset { spot: Spot },
    /// What was read before `position` is not in the log any more, from `diverged_at` on, and `auto.offset.reset` is none.
    Truncated { spot: Spot, position: Offset, diverged_at: Option<Offset> },
    /// The group cannot be joined, and trying again will not help; with the coordinator's words, where it gave any.
    Refused { code: ErrorCode, message: Option<Text> },
}

/// What all parts of a consumer act upon.
pub(crate) struct Scene<'a> {
    now: Now,
    cluster: &'a mut Cluster,
    events: &'a mut VecDeque<ConsumerEvent>,
}

/// What a consumer has done so far, and what it has at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerMetrics {
    /// Records that polls have returned.
    pub records: u64,
    /// Fetches that were answered, and the bytes of records in them.
    pub fetches: u64,
    pub bytes_fetched: u64,
    /// Bytes that wait to be polled.
    pub bytes_buffered: usize,
    pub commits: u64,
    pub commits_failed: u64,
    /// How often the group has told it what it has.
    pub rebalances: u64,
    /// Partitions that are read.
    pub partitions: usize,
    /// Of the partition that is furthest behind, as far as the last answers told.
    pub lag_max: Option<i64>,
}

#[derive(Debug)]
pub struct Consumer {
    cluster: Cluster,
    fetcher: Fetcher,
    group: Option<Group>,
    events: VecDeque<ConsumerEvent>,
    commits: u64,
    metrics: ConsumerMetrics,
    /// What names of topics are to match, and what was known of topics when they were looked at last.
    pattern: Option<(Regex, u64)>,
    poll_records_max: usize,
    exclude_internal_topics: bool,
}

/// What is read.
impl Consumer {
    #[must_use]
    pub fn new(options: ConsumerOptions) -> Consumer {
        Consumer {
            cluster: Cluster::new(options.cluster.clone()),
            group: options.group.clone().map(|group| Group::new(group, options.rack.clone())),
            poll_records_max: options.poll_records_max.max(1),
            exclude_internal_topics: options.exclude_internal_topics,
            fetcher: Fetcher::new(options),
            events: VecDeque::new(),
            commits: 0,
            metrics: ConsumerMetrics::default(),
            pattern: None,
        }
    }

    /// Takes part in the group for these topics. Replaces what was subscribed before.
    pub fn subscribe(&mut self, now: Now, topics: impl IntoIterator<Item = Text>) {
        self.forget_pattern(now);
        self.subscribe_to(now, topics.into_iter().collect());
        self.drive(now);
    }

    fn subscribe_to(&mut self, now: Now, topics: BTreeSet<Text>) {
        for topic in &topics {
            self.cluster.want(now.at, topic);
        }
        if let Some(group) = &mut self.group {
            group.subscribe(topics);
        }
    }

    /// Takes part in the group for all topics whose whole names match, now or later: what the cluster has is looked at
    /// again after `metadata.max.age.ms`.
    ///
    /// # Errors
    /// What is wrong with the pattern.
    pub fn subscribe_pattern(&mut self, now: Now, pattern: &str) -> Result<(), String> {
        let regex = Regex::new(&format!("^(?:{pattern})$")).map_err(|error| error.to_string())?;
        self.pattern = Some((regex, self.cluster.metadata_epoch()));
        if let Some(group) = &mut self.group {
            group.set_pattern(Some(Text::from(pattern)));
        }
        self.cluster.want_all(now.at, true);
        self.drive(now);
        Ok(())
    }

    fn forget_pattern(&mut self, now: Now) {
        if self.pattern.take().is_some() {
            self.cluster.want_all(now.at, false);
            if let Some(group) = &mut self.group {
                group.set_pattern(None);
            }
        }
    }

    /// Subscribes to what the pattern matches, where something is known that was not.
    fn match_topics(&mut self, now: Now) {
        let epoch = self.cluster.metadata_epoch();
        let Some((regex, seen)) = self.pattern.as_mut().filter(|(_, seen)| *seen != epoch) else { return };
        *seen = epoch;
        let excludes = self.exclude_internal_topics;
        let topics = self.cluster.topics().filter(|topic| topic.error.is_ok() && !(excludes && topic.is_internal));
        let matching = topics.filter(|topic| regex.is_match(&topic.name)).map(|topic| topic.name.clone());
        let matching = matching.collect();
        self.subscribe_to(now, matching);
    }

    /// Leaves the group, and reads nothing any more.
    pub fn unsubscribe(&mut self, now: Now) {
        self.forget_pattern(now);
        let mut scene = Scene { now, cluster: &mut self.cluster, events: &mut self.events };
        if let Some(group) = &mut self.group {
            group.unsubscribe(&mut scene, &mut self.fetcher);
        }
        self.fetcher.unassign_all();
        self.drive(now);
    }

    /// Reads these partitions, each from an offset, from where the group goes on or from where `auto.offset.reset` says,
    /// and no others.
    pub fn assign(&mut self, now: Now, spots: impl IntoIterator<Item = (Spot, Option<Offset>)>) {
        if self.pattern.is_some() || self.group.as_ref().is_some_and(Group::is_subscribed) {
            self.unsubscribe(now);
        }
        self.fetcher.unassign_all();
        let mut unplaced = BTreeSet::new();
        for (spot, from) in spots {
            self.cluster.want(now.at, &spot.0);
            if from.is_none() && self.group.is_some() {
                unplaced.insert(spot);
            } else {
                self.fetcher.assign(spot, from.map(Position::from));
            }
        }
        if let Some(group) = &mut self.group {
            group.assign(now.at, unplaced);
        }
        self.drive(now);
    }

    /// Goes on from another offset, or from where a policy says. False where the partition is not this consumer's.
    pub fn seek(&mut self, now: Now, spot: &Spot, to: Result<Position, Reset>) -> bool {
        // What the group has committed is of no interest any more.
        if self.group.as_mut().is_some_and(|group| group.is_placed_by_hand(spot)) {
            self.fetcher.assign(spot.clone(), None);
        }
        let is_assigned = self.fetcher.seek(spot, to);
        self.drive(now);
        is_assigned
    }

    /// Hands over nothing of a partition until it is resumed. False where the partition is not this consumer's.
    pub fn pause(&mut self, now: Now, spot: &Spot, is_paused: bool) -> bool {
        let is_assigned = self.fetcher.pause(spot, is_paused);
        self.drive(now);
        is_assigned
    }

    /// What comes next: of several partitions, at most `max.poll.records` in all. Where nothing comes, the consumer counts
    /// as polling on until `end_poll` or until a later poll brings something. A group rebalances and commits by itself
    /// only while it is polled: what was handed over counts as dealt with when the next poll begins.
    pub fn poll(&mut self, now: Now) -> Vec<Consumed> {
        let mut polled = Vec::new();
        if let Some(group) = &mut self.group {
            if group.begin_poll() {
                self.drive(now);
            }
            if self.group.as_ref().is_some_and(Group::is_revoking) {
                return polled;
            }
        }
        let mut room = self.poll_records_max;
        let mut has_room = false;
        while room > 0 {
            let (consumed, frees) = self.fetcher.poll(room, &mut self.events);
            has_room |= frees;
            let Some(consumed) = consumed else { break };
            room -= consumed.records.len();
            self.metrics.records += consumed.records.len() as u64;
            polled.push(consumed);
        }
        if !polled.is_empty() {
            self.end_poll(now);
        }
        if has_room {
            self.drive(now);
        }
        polled
    }

    /// Whoever polled is gone, for now.
    pub fn end_poll(&mut self, now: Now) {
        if let Some(group) = &mut self.group {
            group.end_poll(now.at);
        }
    }

    /// Hands over what [`ConsumerEvent::Revoked`] has named.
    pub fn release(&mut self, now: Now) {
        if let Some(group) = &mut self.group {
            group.release(&mut self.fetcher);
            self.drive(now);
        }
    }

    pub fn poll_event(&mut self) -> Option<ConsumerEvent> {
        let event = self.events.pop_front()?;
        if let ConsumerEvent::Committed { result, .. } = &event {
            self.metrics.commits += u64::from(result.is_ok());
            self.metrics.commits_failed += u64::from(result.is_err());
        }
        self.metrics.rebalances += u64::from(matches!(event, ConsumerEvent::Assigned { .. }));
        Some(event)
    }

    /// What it has done so far, and what it has at the moment.
    #[must_use]
    pub fn metrics(&self) -> ConsumerMetrics {
        let lags = self.fetcher.assigned().filter_map(|(spot, _)| self.fetcher.lag(spot));
        ConsumerMetrics {
            fetches: self.fetcher.answers,
            bytes_fetched: self.fetcher.answered_bytes,
            bytes_buffered: self.fetcher.buffered_bytes(),
            partitions: self.fetcher.assigned().count(),
            lag_max: lags.max(),
            ..self.metrics
        }
    }
}

/// Where it is read, and what is committed.
impl Consumer {
    /// The offset after what was read last.
    #[must_use]
    pub fn position(&self, spot: &Spot) -> Option<Offset> {
        self.fetcher.position(spot).map(|position| position.offset)
    }

    #[must_use]
    pub fn positions(&self) -> BTreeMap<Spot, Offset> {
        self.fetcher.positions().into_iter().map(|(spot, position)| (spot, position.offset)).collect()
    }

    /// What is read, and whether that is paused.
    pub fn assigned(&self) -> impl Iterator<Item = (&Spot, bool)> {
        self.fetcher.assigned()
    }

    /// How many offsets lie between the position and the end, as far as the last answer told.
    #[must_use]
    pub fn current_lag(&self, spot: &Spot) -> Option<i64> {
        self.fetcher.lag(spot)
    }

    /// This member, as a transaction has to name it.
    #[must_use]
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        self.group.as_ref().map(Group::metadata)
    }

    /// Commits offsets (where to go on) for the group; what comes of it is an event with the returned number.
    pub fn commit<P: Into<OffsetAndMetadata>>(&mut self, now: Now, offsets: BTreeMap<Spot, P>) -> u64 {
        let number = self.commits;
        self.commits += 1;
        let offsets = offsets.into_iter().map(|(spot, offset)| (spot, offset.into())).collect();
        let mut scene = Scene { now, cluster: &mut self.cluster, events: &mut self.events };
        let commit = offsets::Commit { number: Some(number), offsets };
        match &mut self.group {
            Some(group) => group.commit(&mut scene, commit),
            None => commit.done(scene.events, Err(CommitError::NoMember)),
        }
        number
    }

    /// Commits that have no answer yet.
    #[must_use]
    pub fn open_commits(&self) -> Vec<BTreeMap<Spot, Offset>> {
        self.group.as_ref().map_or_else(Vec::new, Group::open_commits)
    }

    /// Leaves the group, after a last automatic commit.
    pub fn close(&mut self, now: Now) {
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
}

/// The driver's side.
impl Consumer {
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.cluster.poll_transmit()
    }

    pub fn handle(&mut self, now: Now, event: Event<'_>) {
        self.cluster.handle(now.at, event);
        let mut scene = Scene { now, cluster: &mut self.cluster, events: &mut self.events };
        for (call, result) in scene.cluster.take_answers() {
            if self.fetcher.answered(&mut scene, call, &result) {
                continue;
            }
            if let Some(group) = &mut self.group {
                group.answered(&mut scene, &mut self.fetcher, call, &result);
            }
        }
        self.drive(now);
    }

    fn drive(&mut self, now: Now) {
        self.match_topics(now);
        let mut scene = Scene { now, cluster: &mut self.cluster, events: &mut self.events };
        if let Some(group) = &mut self.group {
            group.drive(&mut scene, &mut self.fetcher);
        }
        self.fetcher.drive(&mut scene);
    }

    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        let group = self.group.as_ref().and_then(Group::next_wake);
        self.cluster.next_wake().into_iter().chain(group).chain(self.fetcher.next_wake()).min()
    }
}

#[cfg(test)]
mod tests;
