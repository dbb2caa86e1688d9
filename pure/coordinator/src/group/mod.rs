//! Classic consumer groups and their offsets: the coordinator of one partition of `__consumer_offsets`.
//!
//! Owns membership, generations, assignments, committed offsets and every time-out of them. Must never know API
//! versions, connections or where records are stored. The broker calls it on one thread, in this order:
//!
//! 1. after winning the partition, `replay` for each record of its log, then `loaded`;
//! 2. for each request `decide`, and when `next_wake` is due `tick`; it appends the decision's records in one batch
//!    (deletions may be split over several), then calls `replay` for each, or `failed` where they could not be
//!    appended; nothing else may be decided in between;
//! 3. `now_replies` leave at once, `replies` when all that was appended so far is committed;
//! 4. after losing the partition, `unloaded`.

mod admin;
pub mod command;
mod join;
mod leave;
mod offsets;
#[cfg(test)]
mod random_tests;
mod records;
#[cfg(test)]
mod script;
mod state;
mod subscription;
mod sync;
#[cfg(test)]
mod tests;
mod timers;

pub use command::{Command, Generation, Reply};
pub use records::{Corrupt, Record};
pub use state::State;

use command::{Join, JoinReply, SyncReply};
use records::Key;
use state::Group;
use std::collections::BTreeMap;
use std::ops::Bound;
use timers::{Timer, Timers};
use types::limits::{GROUP_PROTOCOLS_MAX, GROUP_TEXT_BYTES_MAX, GROUPS_PER_PARTITION_MAX};
use types::{ErrorCode, Instant, Now, Offset, PartitionIndex, Rng, Text, Uuid};

/// Names a request that waits for its answer; chosen by the broker.
pub type Token = u64;

/// Records that one look for expired offsets writes at most, unless one group alone has more.
const EXPIRED_RECORDS_MAX: usize = 1_000;
/// Groups that one look for expired offsets visits before other work goes on.
const EXPIRY_GROUPS_MAX: usize = 500;

/// Settings in Kafka's names where they differ from the field's.
#[derive(Clone, Debug)]
pub struct Config {
    /// `group.min.session.timeout.ms`
    pub session_timeout_min_ms: i32,
    /// `group.max.session.timeout.ms`
    pub session_timeout_max_ms: i32,
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay_ms: u64,
    /// `group.max.size`
    pub max_size: usize,
    /// `offset.metadata.max.bytes`
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    pub offsets_retention_check_interval_ms: u64,
    /// How long a member that does not know its id yet is waited for.
    pub new_member_join_timeout_ms: u64,
    /// `max.message.bytes` of `__consumer_offsets`: no batch is larger.
    pub message_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            session_timeout_min_ms: 6_000,
            session_timeout_max_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_size: usize::MAX,
            offset_metadata_bytes_max: 4_096,
            offsets_retention_ms: 10_080 * 60_000,
            offsets_retention_check_interval_ms: 600_000,
            new_member_join_timeout_ms: 300_000,
            message_bytes_max: 1_048_588,
        }
    }
}

/// What a command or a time-out leads to.
#[derive(Debug, Default)]
pub struct Decision {
    /// To be appended, then replayed.
    pub records: Vec<Record>,
    /// To be sent when everything appended so far is committed, also where this decision has no records.
    pub replies: Vec<(Token, Reply)>,
    /// To be sent at once: they tell nothing that could be lost.
    pub now_replies: Vec<(Token, Reply)>,
    /// For the log.
    pub notes: Vec<Note>,
    undo: Vec<Undo>,
}

/// What happened to a group, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub group: Text,
    pub what: String,
}

/// What a decision changed before its records were stored.
#[derive(Debug)]
enum Undo {
    /// The group was made by a join.
    Created(Text),
    /// The group became stable.
    Assigned(Text),
}

#[derive(Clone, Debug)]
pub struct DeletedTopic {
    pub name: Text,
    pub id: Uuid,
}

/// For metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub empty: usize,
    pub preparing_rebalance: usize,
    pub completing_rebalance: usize,
    pub stable: usize,
    pub members: usize,
    pub offsets: usize,
}

pub struct Coordinator {
    config: Config,
    groups: BTreeMap<Text, Group>,
    timers: Timers,
    rng: Rng,
    is_loaded: bool,
    /// Records decided on and not yet replayed.
    unreplayed: usize,
    /// The group that the look for expired offsets visited last, where it goes on.
    expired_until: Option<Text>,
}

/// What the phases of a group work with.
struct Step<'a> {
    now: Now,
    config: &'a Config,
    timers: &'a mut Timers,
    rng: &'a mut Rng,
    out: &'a mut Decision,
}

impl Step<'_> {
    fn answer(&mut self, token: Token, reply: Reply) {
        self.out.now_replies.push((token, reply));
    }

    fn answer_when_stored(&mut self, token: Token, reply: Reply) {
        self.out.replies.push((token, reply));
    }

    fn note(&mut self, group: &Text, what: String) {
        self.out.notes.push(Note { group: group.clone(), what });
    }

    /// In the form that Java prints.
    fn random_uuid(&mut self) -> String {
        let (high, low) = (self.rng.next_u64(), self.rng.next_u64());
        let (version, variant) = (high & 0xfff | 0x4000, low >> 48 & 0x3fff | 0x8000);
        let (first, second) = (high >> 32, high >> 16 & 0xffff);
        format!("{first:08x}-{second:04x}-{version:04x}-{variant:04x}-{:012x}", low & 0xffff_ffff_ffff)
    }
}

impl Coordinator {
    /// `rng` makes member ids: its seed must not be guessable.
    #[must_use]
    pub fn new(config: Config, rng: Rng) -> Coordinator {
        Coordinator {
            config,
            groups: BTreeMap::new(),
            timers: Timers::default(),
            rng,
            is_loaded: false,
            unreplayed: 0,
            expired_until: None,
        }
    }

    /// For what is decided from now on.
    pub fn configure(&mut self, config: Config) {
        self.config = config;
    }

    /// The next moment at which `tick` has something to do.
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// All records are replayed: sessions of all members begin.
    pub fn loaded(&mut self, now: Now) -> Decision {
        assert!(!self.is_loaded, "loaded once");
        self.is_loaded = true;
        self.timers.set(Timer::Retention, now.at.plus_ms(self.config.offsets_retention_check_interval_ms));
        self.run(now, |groups, step| {
            for group in groups.values_mut() {
                let ids: Vec<Text> = group.members().keys().cloned().collect();
                ids.iter().for_each(|id| group.touch(step, id));
                if group.members().len() > step.config.max_size {
                    group.prepare_rebalance(step, "it has more members than group.max.size");
                }
            }
        })
    }

    /// The partition went elsewhere: everybody who waits looks for the new coordinator.
    pub fn unloaded(&mut self) -> Vec<(Token, Reply)> {
        let mut replies = Vec::new();
        for group in self.groups.values_mut() {
            take_waiting(group, ErrorCode::NOT_COORDINATOR, &mut replies);
        }
        self.groups.clear();
        self.timers = Timers::default();
        replies
    }

    pub fn decide(&mut self, now: Now, token: Token, command: Command) -> Decision {
        assert!(self.is_loaded, "the broker answers for a coordinator that loads");
        if is_group_id_refused(&command) {
            let reply = refuse(command, ErrorCode::INVALID_GROUP_ID);
            return Decision { now_replies: vec![(token, reply)], ..Decision::default() };
        }
        self.run(now, |groups, step| decide(groups, step, token, command))
    }

    /// Ends what is due. Bounded work: where more is left, `next_wake` is not later than `now`.
    pub fn tick(&mut self, now: Now) -> Decision {
        let mut expired_until = self.expired_until.take();
        let decision = self.run(now, |groups, step| {
            while let Some(timer) = step.timers.pop(now.at) {
                let records_before = step.out.records.len();
                match timer {
                    Timer::Retention => expire(groups, step, &mut expired_until),
                    Timer::Join { group } => on(groups, &group, |group| group.join_timed_out(step)),
                    Timer::Sync { group } => on(groups, &group, |group| group.sync_timed_out(step)),
                    Timer::Session { group, member } => {
                        on(groups, &group, |group| group.session_timed_out(step, &member));
                    }
                }
                if step.out.records.len() > records_before {
                    // What was decided must be stored before more is decided on it.
                    break;
                }
            }
        });
        self.expired_until = expired_until;
        decision
    }

    /// Offsets of topics that are gone.
    pub fn topics_deleted(&mut self, now: Now, topics: &[DeletedTopic]) -> Decision {
        self.run(now, |groups, step| {
            for group in groups.values() {
                topics.iter().for_each(|topic| group.delete_topic(topic, &mut step.out.records));
            }
        })
    }

    /// The records of a decision could not be appended: what it changed is undone and its replies become refusals.
    #[must_use]
    pub fn failed(&mut self, now: Now, decision: Decision, append: ErrorCode) -> Decision {
        assert_eq!(self.unreplayed, decision.records.len(), "a batch is stored as a whole or not at all");
        self.unreplayed = 0;
        self.run(now, |groups, step| {
            let refused = decision.replies.into_iter().map(|(token, reply)| (token, reply.refused(append)));
            step.out.now_replies.extend(refused);
            for undo in decision.undo {
                match undo {
                    Undo::Assigned(id) => on(groups, &id, |group| group.unassign(step)),
                    Undo::Created(id) => {
                        let mut group = groups.remove(&id).expect("made by this decision");
                        cancel_timers(step.timers, &group);
                        take_waiting(&mut group, command::as_group_error(append), &mut step.out.now_replies);
                    }
                }
            }
            assert!(step.out.records.is_empty(), "undoing stores nothing");
        })
    }

    /// What must hold between any two steps.
    #[cfg(test)]
    fn check(&self) {
        for group in self.groups.values() {
            group.check();
            for (id, member) in group.members() {
                let waits = !member.is_new && (member.joining.is_some() || member.syncing.is_some());
                assert!(waits || self.timers.is_set(&group.session(id)), "{id} would never end");
            }
            assert!(group.pending.iter().all(|id| self.timers.is_set(&group.session(id))));
            let is_joining = group.state() == State::PreparingRebalance;
            assert_eq!(is_joining, self.timers.is_set(&Timer::Join { group: group.id.clone() }), "{}", group.id);
            let has_unsynced = !group.unsynced.is_empty();
            assert_eq!(has_unsynced, self.timers.is_set(&Timer::Sync { group: group.id.clone() }), "{}", group.id);
        }
    }

    fn run(&mut self, now: Now, work: impl FnOnce(&mut BTreeMap<Text, Group>, &mut Step)) -> Decision {
        assert_eq!(self.unreplayed, 0, "the records of the last decision come first");
        let mut out = Decision::default();
        let Coordinator { config, groups, timers, rng, .. } = self;
        work(groups, &mut Step { now, config, timers, rng, out: &mut out });
        self.unreplayed = out.records.len();
        out
    }

    /// Applies a record of the log: at start each of it, later what was decided here. Records of other kinds of groups
    /// are passed over.
    pub fn replay(&mut self, key: &bytes::Bytes, value: Option<&bytes::Bytes>) -> Result<(), Corrupt> {
        if self.is_loaded {
            self.unreplayed = self.unreplayed.checked_sub(1).expect("after loading only decided records are replayed");
        }
        match (records::read_key(key)?, value) {
            (Key::Offset { group, topic, partition }, Some(value)) => {
                let committed = records::read_offset(value)?;
                let group = self.groups.entry(group).or_insert_with_key(Group::new);
                group.put_offset(topic, partition, committed);
            }
            (Key::Offset { group, topic, partition }, None) => {
                on(&mut self.groups, &group, |group| group.remove_offset(&topic, partition));
            }
            // A living group knows more than its record.
            (Key::Group(id), Some(_)) if self.is_loaded => assert!(self.groups.contains_key(&id)),
            (Key::Group(id), Some(value)) => {
                let read = records::read_group(&id, value)?;
                self.groups.entry(id).or_insert_with_key(Group::new).replace_membership(read);
            }
            (Key::Group(id), None) => self.remove(&id),
            (Key::Other, _) => {}
        }
        Ok(())
    }

    /// A group ends with its tombstone; offsets that have none make a group of offsets alone.
    fn remove(&mut self, id: &Text) {
        let Some(mut group) = self.groups.remove(id) else { return };
        assert!(!self.is_loaded || group.members().is_empty(), "group {id}: only an empty group is deleted");
        cancel_timers(&mut self.timers, &group);
        if !group.offsets.is_empty() {
            group.replace_membership(Group::new(id));
            self.groups.insert(id.clone(), group);
        }
    }

    /// Every committed offset, for the metric of lag.
    pub fn offsets(&self) -> impl Iterator<Item = (&Text, &Text, PartitionIndex, Offset)> {
        self.groups.values().flat_map(|group| {
            group.offsets.iter().flat_map(move |(topic, partitions)| {
                partitions.iter().map(move |(partition, committed)| (&group.id, topic, *partition, committed.offset))
            })
        })
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for group in self.groups.values() {
            match group.state() {
                State::Empty => counts.empty += 1,
                State::PreparingRebalance => counts.preparing_rebalance += 1,
                State::CompletingRebalance => counts.completing_rebalance += 1,
                State::Stable => counts.stable += 1,
                State::Dead => unreachable!("a dead group is not in the map"),
            }
            counts.members += group.members().len();
            counts.offsets += group.offsets.values().map(BTreeMap::len).sum::<usize>();
        }
        counts
    }
}

fn decide(groups: &mut BTreeMap<Text, Group>, step: &mut Step, token: Token, command: Command) {
    match command {
        Command::Join(command) => join(groups, step, token, command),
        Command::Sync(command) => match groups.get_mut(&command.group) {
            Some(group) => group.sync(step, token, command),
            None => step.answer(token, Reply::Sync(SyncReply::refused(ErrorCode::UNKNOWN_MEMBER_ID))),
        },
        Command::Heartbeat(command) => {
            let group = groups.get_mut(&command.group);
            let error = group.map_or(ErrorCode::UNKNOWN_MEMBER_ID, |group| group.heartbeat(step, &command));
            step.answer(token, Reply::Heartbeat(error));
        }
        Command::Leave(command) => {
            let reply = match groups.get_mut(&command.group) {
                Some(group) => group.leave(step, command),
                None => leave::from_unknown_group(command),
            };
            step.answer_when_stored(token, Reply::Leave(reply));
        }
        Command::OffsetCommit(command) => {
            let reply = offsets::commit(step, groups.get_mut(&command.group), command);
            step.answer_when_stored(token, Reply::OffsetCommit(reply));
        }
        Command::OffsetFetch(command) => {
            let reply = offsets::fetch(groups.get(&command.group), command.topics);
            step.answer_when_stored(token, Reply::OffsetFetch(reply));
        }
        Command::OffsetDelete(command) => {
            let reply = offsets::delete(step, groups.get(&command.group), command);
            step.answer_when_stored(token, Reply::OffsetDelete(reply));
        }
        Command::ListGroups(command) => {
            step.answer_when_stored(token, Reply::ListGroups(admin::list(groups.values(), &command)));
        }
        Command::DescribeGroups(command) => {
            let knows = command.knows_group_id_not_found;
            let describe = |id: Text| admin::describe(id.clone(), groups.get(&id), knows);
            let described = command.groups.into_iter().map(describe).collect();
            step.answer_when_stored(token, Reply::DescribeGroups(described));
        }
        Command::DeleteGroups(command) => {
            let records = &mut step.out.records;
            let delete = |id: Text| (id.clone(), admin::delete(groups.get(&id), records));
            let deleted = command.groups.into_iter().map(delete).collect();
            step.answer_when_stored(token, Reply::DeleteGroups(deleted));
        }
    }
}

/// A join may make the group; that is stored, so that every later record finds it.
fn join(groups: &mut BTreeMap<Text, Group>, step: &mut Step, token: Token, join: Join) {
    let is_new = !groups.contains_key(&join.group);
    if let Some(error) = refuse_join(step.config, &join, is_new, groups.len()) {
        return step.answer(token, Reply::Join(JoinReply::refused(join.member, error)));
    }
    let id = join.group.detached();
    let group = groups.entry(id.clone()).or_insert_with_key(Group::new);
    group.join(step, token, join);
    if !is_new {
        return;
    }
    if group.members().is_empty() && group.pending.is_empty() {
        groups.remove(&id);
        return;
    }
    assert!(step.out.records.is_empty(), "a group's first rebalance takes time");
    step.out.records.push(records::new_group(&id, step.now.wall));
    step.out.undo.push(Undo::Created(id));
    let known_by_its_record = std::mem::take(&mut step.out.now_replies);
    step.out.replies.extend(known_by_its_record);
}

fn refuse_join(config: &Config, join: &Join, is_new: bool, groups: usize) -> Option<ErrorCode> {
    let texts = [&join.member, &join.client_id, &join.client_host, &join.protocol_type];
    let names = join.protocols.iter().map(|(name, _)| name);
    let is_long = |text: &Text| text.len() > GROUP_TEXT_BYTES_MAX;
    if !(config.session_timeout_min_ms..=config.session_timeout_max_ms).contains(&join.session_timeout_ms) {
        Some(ErrorCode::INVALID_SESSION_TIMEOUT)
    } else if texts.into_iter().chain(&join.instance).chain(names).any(is_long)
        || join.protocols.len() > GROUP_PROTOCOLS_MAX
    {
        Some(ErrorCode::INVALID_REQUEST)
    } else if is_new && !join.member.is_empty() {
        Some(ErrorCode::UNKNOWN_MEMBER_ID)
    } else if is_new && groups >= GROUPS_PER_PARTITION_MAX {
        Some(ErrorCode::GROUP_MAX_SIZE_REACHED)
    } else {
        None
    }
}

/// Old clients commit and fetch under the empty group id; a group with members has a name.
fn is_group_id_refused(command: &Command) -> bool {
    let (group, may_be_empty) = match command {
        Command::Join(command) => (&command.group, false),
        Command::Sync(command) => (&command.group, false),
        Command::Heartbeat(command) => (&command.group, false),
        Command::Leave(command) => (&command.group, false),
        Command::OffsetDelete(command) => (&command.group, false),
        Command::OffsetCommit(command) => (&command.group, true),
        Command::OffsetFetch(command) => (&command.group, true),
        Command::ListGroups(_) | Command::DescribeGroups(_) | Command::DeleteGroups(_) => return false,
    };
    group.len() > GROUP_TEXT_BYTES_MAX || (group.is_empty() && !may_be_empty)
}

fn refuse(command: Command, error: ErrorCode) -> Reply {
    match command {
        Command::Join(command) => Reply::Join(JoinReply::refused(command.member, error)),
        Command::Sync(_) => Reply::Sync(SyncReply::refused(error)),
        Command::Heartbeat(_) => Reply::Heartbeat(error),
        Command::Leave(_) => Reply::Leave(command::LeaveReply { error, members: Vec::new() }),
        Command::OffsetCommit(command) => Reply::OffsetCommit(offsets::answer_all(&command.topics, error)),
        Command::OffsetFetch(_) => Reply::OffsetFetch(command::OffsetFetchReply { error, topics: Vec::new() }),
        Command::OffsetDelete(_) => Reply::OffsetDelete(command::OffsetDeleteReply { error, topics: Vec::new() }),
        Command::ListGroups(_) | Command::DescribeGroups(_) | Command::DeleteGroups(_) => {
            unreachable!("these name no single group")
        }
    }
}

fn on(groups: &mut BTreeMap<Text, Group>, id: &Text, work: impl FnOnce(&mut Group)) {
    if let Some(group) = groups.get_mut(id) {
        work(group);
    }
}

/// Visits groups from where the last look ended; ends offsets, and groups that have neither offsets nor members.
fn expire(groups: &BTreeMap<Text, Group>, step: &mut Step, until: &mut Option<Text>) {
    let from = until.take().map_or(Bound::Unbounded, Bound::Excluded);
    for (visited, (id, group)) in groups.range((from, Bound::Unbounded)).enumerate() {
        if visited >= EXPIRY_GROUPS_MAX || step.out.records.len() >= EXPIRED_RECORDS_MAX {
            return step.timers.set(Timer::Retention, step.now.at);
        }
        let has_none_left = group.expire_offsets(step.config, step.now.wall, &mut step.out.records);
        if has_none_left && group.state() == State::Empty && group.pending.is_empty() {
            step.note(id, "it has neither members nor offsets and is deleted".to_owned());
            step.out.records.push(records::group_tombstone(id));
        }
        *until = Some(id.clone());
    }
    *until = None;
    step.timers.set(Timer::Retention, step.now.at.plus_ms(step.config.offsets_retention_check_interval_ms));
}

fn cancel_timers(timers: &mut Timers, group: &Group) {
    timers.cancel(&Timer::Join { group: group.id.clone() });
    timers.cancel(&Timer::Sync { group: group.id.clone() });
    group.pending.iter().chain(group.members().keys()).for_each(|id| timers.cancel(&group.session(id)));
}

fn take_waiting(group: &mut Group, error: ErrorCode, replies: &mut Vec<(Token, Reply)>) {
    for (id, member) in group.members_mut() {
        let join = member.joining.take().map(|token| (token, Reply::Join(JoinReply::refused(id.clone(), error))));
        let sync = member.syncing.take().map(|token| (token, Reply::Sync(SyncReply::refused(error))));
        replies.extend(join.into_iter().chain(sync));
    }
}
