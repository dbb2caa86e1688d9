//! Classic consumer groups and their offsets: the coordinator of one partition of `__consumer_offsets`.
//!
//! Owns membership, generations, assignments, committed offsets and every time-out of them. Must never know API
//! versions, connections or where records are stored. The broker calls it on one thread, in this order:
//!
//! 1. after winning the partition, `replay` for each record of its log, then `loaded`;
//! 2. for each request `decide`, and when `next_wake` is due `tick`; it appends the decision's records, in one batch
//!    where they fit (what one client wants stored always does), then calls `replay` for each, or `failed` with a
//!    decision that has only those that could not be appended; nothing else may be decided in between;
//! 3. `now_replies` leave at once, `replies` when all that was appended so far is committed; where that fails, the
//!    partition is given up, and `Reply::refused` is what they become;
//! 4. after losing the partition, `unloaded`.

mod admin;
pub mod command;
mod config;
mod decide;
mod decision;
mod expiry;
mod join;
mod leave;
mod offsets;
#[cfg(test)]
mod random_tests;
mod records;
#[cfg(test)]
mod script;
mod state;
#[cfg(test)]
mod static_tests;
mod subscription;
mod sync;
#[cfg(test)]
mod tests;
mod timers;
mod views;

pub use command::{Command, Generation, Reply};
pub use config::Config;
pub use decision::{Decision, Note};
pub use records::{Corrupt, Record};
pub use state::State;
pub use views::GroupView;

use command::{JoinReply, SyncReply};
use decision::{Step, Undo};
use records::Key;
use state::Group;
use std::collections::BTreeMap;
use timers::{Timer, Timers};
use types::{ErrorCode, Instant, Now, Offset, PartitionIndex, Rng, Text, Uuid};

/// Time-outs that one `tick` ends before other work goes on.
const TIMERS_PER_TICK_MAX: usize = 1_000;

/// Names a request that waits for its answer; chosen by the broker.
pub type Token = u64;

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
        if decide::is_group_id_refused(&command) {
            let reply = decide::refuse(command, ErrorCode::INVALID_GROUP_ID);
            return Decision { now_replies: vec![(token, reply)], ..Decision::default() };
        }
        self.run(now, |groups, step| decide::decide(groups, step, token, command))
    }

    /// Ends what is due. Bounded work: where more is left, `next_wake` is not later than `now`.
    pub fn tick(&mut self, now: Now) -> Decision {
        let mut expired_until = self.expired_until.take();
        let decision = self.run(now, |groups, step| {
            for _ in 0..TIMERS_PER_TICK_MAX {
                let Some(timer) = step.timers.pop(now.at) else { break };
                match timer {
                    // Deletes on replay alone, so nothing is decided after it before that.
                    Timer::Retention => return expiry::expire(groups, step, &mut expired_until),
                    Timer::Join { group } => on(groups, &group, |group| group.join_timed_out(step)),
                    Timer::Sync { group } => on(groups, &group, |group| group.sync_timed_out(step)),
                    Timer::Session { group, member } => {
                        on(groups, &group, |group| group.session_timed_out(step, &member));
                    }
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
                    Undo::Replaced { group, new, old, member } => {
                        on(groups, &group, |group| group.restore_static_member(step, &new, &old, *member));
                    }
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
                group.offsets.entry(topic).or_default().insert(partition, committed);
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

fn on(groups: &mut BTreeMap<Text, Group>, id: &Text, work: impl FnOnce(&mut Group)) {
    if let Some(group) = groups.get_mut(id) {
        work(group);
    }
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
