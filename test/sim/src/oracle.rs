//! What must hold, checked with everything that clients are told: a broken promise ends the simulation.
//!
//! Owns the facts: which value an offset has, what was acknowledged, how far each partition was seen committed, who owned
//! what in which generation, what a group committed. Must never look into a broker.

use client::{Consumed, ConsumedRecord, Spot};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use types::{FixedHasher, Instant, LeaderEpoch, NodeId, Offset, PartitionIndex, Text, TopicId};

/// The number of a record that a workload made; none is made twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(pub u64);

/// What a topic's configuration lets happen to its records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nature {
    /// Only the last record of a key must stay.
    pub compacted: bool,
    /// Old records may go: retention, or DeleteRecords.
    pub trimmed: bool,
    /// The topic comes and goes under its name: nothing is promised of what was in it.
    pub fleeting: bool,
}

/// What this world promises.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// What is acknowledged with acks=1 stays too: a crash loses no more than the process.
    pub leader_acks_last: bool,
    /// Fetches never tell a high watermark that is lower than before. A new leader does not know at once how far all is
    /// committed (KIP-207), and its fetches tell what it knows; only ListOffsets waits until it knows all.
    pub high_watermark_lasts: bool,
    /// A producer's repetition is known when its records are deleted, too. A replica that begins where its leader's log
    /// starts knows of the producers of what is left only, and may lead.
    pub producers_last: bool,
}

#[derive(Debug, Default)]
struct Facts {
    values: BTreeMap<Offset, Id>,
    /// The first and the last offset at which each record was seen.
    offsets: BTreeMap<Id, (Offset, Offset)>,
    acknowledged: BTreeMap<Offset, Id>,
    /// How far the partition was seen committed, and from when on that was known.
    high_watermarks: Vec<(Instant, Offset)>,
    keys: BTreeMap<Id, Option<Vec<u8>>>,
    /// Where records lay that are stored again.
    repeated: BTreeMap<Offset, Id>,
    /// Where DeleteRecords let it begin. A replica that begins there has forgotten what producers had sent before, also
    /// where a power loss lets another begin earlier again.
    deleted: Offset,
}

impl Facts {
    /// Whether a record may have been stored at `from` or later. Where it may be stored more than once, its sender must
    /// have been told an offset: before, each attempt may have left a copy that nobody saw.
    fn may_be_at(&self, id: Id, sent: &Sent, from: Offset) -> bool {
        let is_settled = sent.once || self.acknowledged.values().any(|settled| *settled == id);
        self.offsets.get(&id).is_none_or(|(_, last)| *last >= from || !is_settled)
    }
}

#[derive(Debug, Default)]
struct GroupFacts {
    owners: BTreeMap<(i32, Spot), usize>,
    /// By partition: the highest offset whose commit was acknowledged, and when that was known.
    committed: BTreeMap<Spot, Vec<(Instant, Offset)>>,
    /// Commits without an answer may still be carried out, late.
    in_doubt: BTreeMap<Spot, BTreeSet<Offset>>,
}

/// A record that was handed to a producer.
#[derive(Clone, Debug)]
pub struct Sent {
    pub topic: Text,
    pub key: Option<Vec<u8>>,
    pub is_tombstone: bool,
    /// The producer is idempotent: the record may be stored once only.
    pub once: bool,
}

/// The records of one partition: which it is, and its key.
type Remains = BTreeMap<Offset, (Id, Option<Vec<u8>>)>;

#[derive(Debug)]
pub struct Oracle {
    pub promise: Promise,
    pub natures: BTreeMap<Text, Nature>,
    /// By topic, how many partitions it has at least.
    pub partitions: BTreeMap<Text, i32>,
    sent: BTreeMap<Id, Sent>,
    facts: BTreeMap<Spot, Facts>,
    groups: BTreeMap<Text, GroupFacts>,
    /// Faults are over, and the workloads make nothing new.
    pub is_healing: bool,
    /// Records whose fate is still open, by producer.
    pub open: BTreeMap<usize, usize>,
    /// Where each partition begins and ends, as a broker says at the end.
    pub ends: BTreeMap<Spot, (Offset, Offset)>,
    /// Everything was read once more from the beginning.
    pub is_audited: bool,
    /// What is there at the end, as a consumer from the beginning sees it.
    pub last: BTreeMap<Spot, Remains>,
    /// By group and member, where it reads.
    pub group_positions: BTreeMap<(Text, usize), BTreeMap<Spot, Offset>>,
    /// What each group reads.
    pub group_topics: BTreeMap<Text, Reading>,
    pub figures: Figures,
    /// Who led each partition in each epoch, and who the quorum.
    leaders: BTreeMap<(TopicId, PartitionIndex, LeaderEpoch), NodeId>,
    presidents: BTreeMap<LeaderEpoch, NodeId>,
    /// What each broker said last about a subject: when it was asked, and what is not well by it.
    pub views: BTreeMap<(NodeId, &'static str), (Instant, Vec<String>)>,
    /// What each broker is to tell about.
    pub subjects: Vec<&'static str>,
    pub excused: Option<Excused>,
    /// By partition: its leader, and in which epoch, by all that was said.
    pub led_by: BTreeMap<Spot, (LeaderEpoch, NodeId)>,
    /// By partition: when the newest record was sent that a probe knows to be stored.
    pub taken: BTreeMap<Spot, Instant>,
    /// Probes go on.
    pub is_probing: bool,
}

/// A broker whose log directory has failed: only what it has elsewhere must it serve.
#[derive(Debug)]
pub struct Excused {
    pub node: NodeId,
    pub root: &'static str,
    pub served: BTreeSet<Spot>,
}

impl Excused {
    /// Whether this replica need not be in sync.
    #[must_use]
    pub fn covers(&self, replica: i32, spot: &Spot) -> bool {
        self.node.0 == replica && !self.served.contains(spot)
    }
}

/// What a group reads: every partition of all stable topics. With static members only what is assigned: a static
/// leader that was away while a topic came or grew does not learn of it before the next rebalance; so it is with Kafka.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub has_statics: bool,
}

/// How much happened, to see that a simulation does something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub sent: u64,
    pub acknowledged: u64,
    pub failed: u64,
    pub consumed: u64,
    pub assigned: u64,
    pub committed: u64,
    pub admin: u64,
}

impl Oracle {
    #[must_use]
    pub fn new(promise: Promise) -> Oracle {
        Oracle {
            promise,
            natures: BTreeMap::new(),
            partitions: BTreeMap::new(),
            sent: BTreeMap::new(),
            facts: BTreeMap::new(),
            groups: BTreeMap::new(),
            is_healing: false,
            open: BTreeMap::new(),
            ends: BTreeMap::new(),
            is_audited: false,
            last: BTreeMap::new(),
            group_positions: BTreeMap::new(),
            group_topics: BTreeMap::new(),
            figures: Figures::default(),
            leaders: BTreeMap::new(),
            presidents: BTreeMap::new(),
            views: BTreeMap::new(),
            subjects: vec!["metadata", "groups"],
            excused: None,
            led_by: BTreeMap::new(),
            taken: BTreeMap::new(),
            is_probing: false,
        }
    }

    /// A broker says who leads a partition.
    pub fn led(&mut self, topic: TopicId, spot: &Spot, epoch: LeaderEpoch, leader: NodeId) {
        let known = *self.leaders.entry((topic, spot.1, epoch)).or_insert(leader);
        assert_eq!(known, leader, "{topic}-{} has two leaders in epoch {epoch}", spot.1);
        let latest = self.led_by.entry(spot.clone()).or_insert((epoch, leader));
        *latest = (epoch, leader).max(*latest);
    }

    /// A broker says who leads the quorum.
    pub fn presided(&mut self, epoch: LeaderEpoch, leader: NodeId) {
        let known = *self.presidents.entry(epoch).or_insert(leader);
        assert_eq!(known, leader, "the quorum has two leaders in epoch {epoch}");
    }

    /// What is not well by what the brokers said since.
    #[must_use]
    pub fn ailments(&self, nodes: &[NodeId], since: Instant) -> Vec<String> {
        let mut ailments = Vec::new();
        for node in nodes {
            for subject in &self.subjects {
                match self.views.get(&(*node, *subject)).filter(|(asked_at, _)| *asked_at >= since) {
                    Some((_, problems)) => {
                        ailments.extend(problems.iter().map(|problem| format!("by {node}: {problem}")))
                    }
                    None => ailments.push(format!("{node} does not tell its {subject}")),
                }
            }
        }
        ailments
    }

    /// One replica's records of one partition, at the end: what is committed is the same everywhere.
    pub fn holds(&mut self, replica: NodeId, spot: &Spot, records: &BTreeMap<Offset, Id>) {
        let nature = self.nature(&spot.0);
        let (topic, partition) = (&spot.0, spot.1);
        let Some((start, end)) = self.ends.get(spot).copied().filter(|_| !nature.fleeting) else { return };
        for (offset, id) in records.range(..end) {
            self.saw(spot, *offset, *id);
        }
        if nature.compacted {
            return;
        }
        let first = records.keys().next().copied().unwrap_or(end);
        let start = if nature.trimmed { start.max(first) } else { start };
        let count = i64::try_from(records.range(start..end).count()).expect("few");
        assert!(
            count == end.minus(start).max(0),
            "node {replica} lacks some of {topic}-{partition} from {start} to {end}"
        );
    }

    fn nature(&self, topic: &Text) -> Nature {
        self.natures.get(topic).copied().unwrap_or(Nature { fleeting: true, ..Nature::default() })
    }

    /// A number for a record that is about to be sent.
    pub fn send(&mut self, sent: Sent) -> Id {
        let id = Id(self.sent.len() as u64 + 1);
        self.sent.insert(id, sent);
        self.figures.sent += 1;
        id
    }

    /// An offset was seen with a value: it has this one for ever.
    fn saw(&mut self, spot: &Spot, offset: Offset, id: Id) {
        let sent = self.sent.get(&id);
        let sent = sent.unwrap_or_else(|| panic!("{}-{} has a record at {offset} that nobody sent", spot.0, spot.1));
        assert_eq!(sent.topic, spot.0, "the record at {offset} of {}-{} was sent elsewhere", spot.0, spot.1);
        let may_repeat = self.nature(&spot.0).trimmed && !self.promise.producers_last;
        let facts = self.facts.entry(spot.clone()).or_default();
        let known = *facts.values.entry(offset).or_insert(id);
        assert_eq!(known, id, "{}-{} had {known:?} at {offset} and now has {id:?}", spot.0, spot.1);
        let (first, last) = facts.offsets.entry(id).or_insert((offset, offset));
        *last = offset.max(*last);
        let (first, once) = (*first, sent.once);
        if first != offset && once && may_repeat {
            facts.repeated.insert(first.min(offset), id);
        }
        assert!(
            first == offset || !once || may_repeat,
            "{}-{} has {id:?} at {first} and again at {offset}",
            spot.0,
            spot.1
        );
        facts.keys.entry(id).or_insert_with(|| sent.key.clone());
    }

    /// A producer was told that a record is stored.
    pub fn acknowledged(&mut self, spot: &Spot, offset: Option<Offset>, id: Id, by_all: bool) {
        self.figures.acknowledged += 1;
        let Some(offset) = offset else { return };
        if self.nature(&spot.0).fleeting || !by_all && !self.promise.leader_acks_last {
            return;
        }
        self.saw(spot, offset, id);
        self.facts.entry(spot.clone()).or_default().acknowledged.insert(offset, id);
    }

    /// A consumer that had read to `from`, where that is known, read on.
    pub fn consumed(&mut self, now: Instant, from: Option<Offset>, consumed: &Consumed) {
        let nature = self.nature(&consumed.spot.0);
        let first = consumed.records.first().map_or(consumed.position, |record| record.offset);
        // Where old records go, a consumer may be sent to what is there now; after a crash some may be there again.
        let from = from.filter(|from| !nature.trimmed && *from >= consumed.log_start_offset).unwrap_or(first);
        self.figures.consumed += consumed.records.len() as u64;
        if nature.fleeting {
            return;
        }
        let (topic, partition) = (&consumed.spot.0, consumed.spot.1);
        let mut next = from;
        for record in &consumed.records {
            let is_next = record.offset == next || nature.compacted && record.offset > next;
            assert!(is_next, "{topic}-{partition} read from {from}: {} follows {next}", record.offset);
            assert!(
                record.offset < consumed.high_watermark,
                "{topic}-{partition}: {} was read above the high watermark {}",
                record.offset,
                consumed.high_watermark
            );
            self.saw(&consumed.spot, record.offset, id_of(record));
            next = record.offset.next();
        }
        let lasts = self.promise.high_watermark_lasts;
        self.saw_high_watermark(now, &consumed.spot, consumed.high_watermark, consumed.asked_at, lasts);
    }

    fn saw_high_watermark(&mut self, now: Instant, spot: &Spot, seen: Offset, asked_at: Instant, is_known: bool) {
        let history = &mut self.facts.entry(spot.clone()).or_default().high_watermarks;
        let known = history.iter().rev().find(|(at, _)| *at < asked_at).map_or(Offset::ZERO, |(_, offset)| *offset);
        assert!(seen >= known || !is_known, "{}-{}: the high watermark was {known} and is {seen}", spot.0, spot.1);
        if history.last().is_none_or(|(_, last)| *last < seen) {
            history.push((now, seen));
        }
    }

    /// A broker says where a partition ends, after all producers had their answers.
    pub fn ended(&mut self, now: Instant, spot: &Spot, end: Offset, asked_at: Instant) {
        if self.nature(&spot.0).fleeting {
            return;
        }
        let facts = self.facts.entry(spot.clone()).or_default();
        let known = facts.acknowledged.keys().next_back().map_or(Offset::ZERO, |newest| newest.next());
        assert!(end >= known, "{}-{} was acknowledged up to {known} and is said to end at {end}", spot.0, spot.1);
        self.saw_high_watermark(now, spot, end, asked_at, true);
    }

    /// A member of a group was told what is its.
    pub fn assigned(&mut self, group: &Text, member: usize, generation: i32, all: &[Spot]) {
        self.figures.assigned += 1;
        let facts = self.groups.entry(group.clone()).or_default();
        for spot in all {
            let owner = *facts.owners.entry((generation, spot.clone())).or_insert(member);
            let (topic, partition) = (&spot.0, spot.1);
            assert_eq!(owner, member, "{topic}-{partition} has two owners in generation {generation} of {group}");
        }
    }

    /// A group's commit was answered, or never will be.
    pub fn committed(&mut self, now: Instant, group: &Text, offsets: &BTreeMap<Spot, Offset>, fate: Fate) {
        let facts = self.groups.entry(group.clone()).or_default();
        for (spot, offset) in offsets {
            match fate {
                Fate::Done => {
                    self.figures.committed += 1;
                    let history = facts.committed.entry(spot.clone()).or_default();
                    if history.last().is_none_or(|(_, last)| *last < *offset) {
                        history.push((now, *offset));
                    }
                }
                Fate::Open => {
                    facts.in_doubt.entry(spot.clone()).or_default().insert(*offset);
                }
            }
        }
    }

    /// A member was told where its group is in a partition.
    pub fn found(&mut self, group: &Text, spot: &Spot, committed: Option<Offset>, asked_at: Instant) {
        // Where old records go, a member may be sent back, and commit that.
        if self.nature(&spot.0).fleeting || self.nature(&spot.0).trimmed {
            return;
        }
        let facts = self.groups.entry(group.clone()).or_default();
        let history = facts.committed.get(spot).map_or(&[][..], Vec::as_slice);
        let known = history.iter().rev().find(|(at, _)| *at < asked_at).map(|(_, offset)| *offset);
        let is_late = committed.is_some_and(|at| facts.in_doubt.get(spot).is_some_and(|open| open.contains(&at)));
        let (topic, partition) = (&spot.0, spot.1);
        assert!(
            committed >= known || is_late,
            "{group} had committed {known:?} of {topic}-{partition} and finds {committed:?}"
        );
    }

    /// DeleteRecords said that a partition begins at `low`.
    pub fn deleted(&mut self, spot: Spot, low: Offset) {
        let facts = self.facts.entry(spot).or_default();
        facts.deleted = facts.deleted.max(low);
    }

    /// A consumer from the beginning read a record at the end of all.
    pub fn remains(&mut self, spot: &Spot, record: &ConsumedRecord) {
        let key = record.key.as_ref().map(|key| key.to_vec());
        self.last.entry(spot.clone()).or_default().insert(record.offset, (id_of(record), key));
    }

    /// Everything is read: is everything there?
    pub fn check_end(&self) {
        for (spot, facts) in &self.facts {
            let nature = self.nature(&spot.0);
            if nature.fleeting {
                continue;
            }
            let (topic, partition) = (&spot.0, spot.1);
            let Some((start, end)) = self.ends.get(spot).copied() else {
                // One that came by a late request is not read any more; none of the workloads has sent to it.
                assert!(facts.values.is_empty(), "{topic}-{partition} is gone");
                continue;
            };
            assert!(nature.trimmed || start == Offset::ZERO, "{topic}-{partition} begins at {start}");
            let repeated = facts.repeated.range(start.max(facts.deleted)..).next();
            assert!(repeated.is_none(), "{topic}-{partition} from {start} on has {repeated:?} and again later");
            let empty = BTreeMap::new();
            let last = self.last.get(spot).unwrap_or(&empty);
            if nature.compacted {
                self.check_keys(spot, facts, last, start);
                continue;
            }
            // Old records may go while all is read; records without an answer may become committed meanwhile.
            let start = if nature.trimmed { last.keys().next().map_or(end, |first| start.max(*first)) } else { start };
            let end = last.keys().next_back().map_or(end, |newest| end.max(newest.next()));
            let count = i64::try_from(last.range(start..).count()).expect("few");
            assert_eq!(count, end.minus(start), "{topic}-{partition} has gaps between {start} and {end}");
            for (offset, id) in facts.acknowledged.range(start..) {
                let there = last.get(offset).map(|(id, _)| *id);
                assert_eq!(there, Some(*id), "{topic}-{partition} lost what was acknowledged at {offset}");
            }
        }
    }

    /// Of each key the last acknowledged record is there, or a later one of the same key, or a tombstone has taken all.
    fn check_keys(&self, spot: &Spot, facts: &Facts, last: &Remains, start: Offset) {
        let mut newest: BTreeMap<&Option<Vec<u8>>, Offset> = BTreeMap::new();
        for (offset, id) in facts.acknowledged.range(start..) {
            newest.insert(&facts.keys[id], *offset);
        }
        for (key, offset) in newest {
            let is_there = last.range(offset..).any(|(_, (_, there))| there == key);
            let is_elsewhere =
                |id: &Id| self.facts.iter().any(|(other, facts)| other != spot && facts.offsets.contains_key(id));
            let may_bury = |(id, sent): (&Id, &Sent)| {
                sent.is_tombstone
                    && sent.topic == spot.0
                    && sent.key == *key
                    && facts.may_be_at(*id, sent, offset)
                    && !is_elsewhere(id)
            };
            assert!(
                is_there || self.sent.iter().any(may_bury),
                "{}-{} lost the last record of a key, acknowledged at {offset}",
                spot.0,
                spot.1
            );
        }
    }

    /// The partitions that no member of a group has read to the end yet.
    #[must_use]
    pub fn unread(&self) -> Vec<(Text, Spot)> {
        let mut unread = Vec::new();
        for (group, reading) in &self.group_topics {
            let owners = self.groups.get(group).map(|facts| &facts.owners);
            let last = owners.and_then(|owners| owners.keys().map(|(generation, _)| *generation).max()).unwrap_or(-1);
            let is_assigned = |spot: &Spot| owners.is_some_and(|owners| owners.contains_key(&(last, spot.clone())));
            let is_read = |spot: &Spot| !reading.has_statics || is_assigned(spot);
            for (spot, (_, end)) in self.ends.iter().filter(|(spot, _)| is_read(spot)) {
                let members = self.group_positions.iter().filter(|((of, _), _)| of == group);
                let furthest = members.filter_map(|(_, positions)| positions.get(spot)).max();
                if furthest.is_none_or(|at| at < end) {
                    unread.push((group.clone(), spot.clone()));
                }
            }
        }
        unread
    }

    /// All that is known, as one number.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut hasher = FixedHasher::default();
        for (spot, facts) in &self.facts {
            hasher.write(spot.0.as_bytes());
            for (offset, id) in &facts.values {
                hasher.write_u64(offset.0.cast_unsigned());
                hasher.write_u64(id.0);
            }
        }
        hasher.write(format!("{:?}", self.figures).as_bytes());
        hasher.finish()
    }
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    /// No answer: it may be carried out, now or later.
    Open,
}

/// The number that a record carries in its value, or a tombstone in a header.
fn id_of(record: &ConsumedRecord) -> Id {
    let carrier = match &record.value {
        Some(value) => Some(value),
        None => record.headers.iter().find(|(name, _)| &**name == "id").and_then(|(_, value)| value.as_ref()),
    };
    let bytes = carrier.and_then(|bytes| bytes.first_chunk::<8>());
    Id(u64::from_be_bytes(*bytes.unwrap_or_else(|| panic!("the record at {} carries no number", record.offset))))
}
