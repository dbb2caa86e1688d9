//! Incremental fetch sessions (KIP-227): a consumer names its partitions once, then only what changes, and is told only
//! of partitions that have something new. Sessions of many partitions look only at those that are stale: named anew,
//! changed, or not told whole when they were looked at last.
//!
//! A session lives on the shard that made it; its id names that shard, so that a session that is asked for elsewhere is
//! simply not found and the client starts a new one.

use std::collections::{BTreeMap, BTreeSet};
use types::{ErrorCode, Instant, LeaderEpoch, Offset, PartitionIndex, Rng, ShardId, Text, TopicId, TopicPartition};

/// A session that was not used for so long may make room for a new one.
const EVICT_AFTER_MS: u64 = 120_000;

/// What a session is asked for by: the topic's id from version 13 on, before that its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TopicKey {
    Id(TopicId),
    Name(Text),
}

pub(crate) type PartKey = (TopicKey, PartitionIndex);

/// One partition as the client asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub fetch_offset: Offset,
    pub max_bytes: u32,
    pub current_leader_epoch: LeaderEpoch,
    pub last_fetched_epoch: LeaderEpoch,
    /// Where a follower's log starts; -1 for consumers.
    pub log_start_offset: Offset,
    /// A follower's, where it says so.
    pub high_watermark: Option<Offset>,
}

#[derive(Clone, Debug)]
struct Entry {
    wanted: Wanted,
    /// What the client was last told; `NONE` where it must be told again.
    told_high_watermark: Offset,
    told_log_start_offset: Offset,
}

#[derive(Debug)]
struct Session {
    epoch: i32,
    uses_ids: bool,
    parts: BTreeMap<PartKey, Entry>,
    /// Those that another look may find something at.
    stale: BTreeSet<PartKey>,
    /// Up to where the changes of each shard are known.
    seen: BTreeMap<ShardId, u64>,
    /// When all are looked at again.
    all_at: Instant,
    /// Where the next answer begins, so that every partition has its turn at the front.
    cursor: Option<PartKey>,
    used: Instant,
}

/// The sessions of one shard.
#[derive(Debug)]
pub(crate) struct Sessions {
    shard: ShardId,
    slots_max: usize,
    sessions: BTreeMap<i32, Session>,
}

/// What a fetch request turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The session's id for the answer, 0 where there is none.
    pub id: i32,
    /// Leave out of the answer what has not changed.
    pub incremental: bool,
    /// How many partitions there are.
    pub count: usize,
    /// All of them where the answer is not incremental.
    pub parts: Vec<(PartKey, Wanted)>,
}

/// The parts of a request that sessions are about.
#[derive(Debug)]
pub(crate) struct Ask {
    pub id: i32,
    pub epoch: i32,
    pub uses_ids: bool,
    pub parts: Vec<(PartKey, Wanted)>,
    pub forgotten: Vec<PartKey>,
}

impl Sessions {
    pub fn new(shard: ShardId, slots_max: usize) -> Sessions {
        Sessions { shard, slots_max, sessions: BTreeMap::new() }
    }

    /// Opens, continues or ends a session as the request asks.
    pub fn open(&mut self, now: Instant, rng: &mut Rng, ask: Ask) -> Result<Opened, ErrorCode> {
        if ask.epoch <= 0 {
            self.sessions.remove(&ask.id);
            let id = if ask.epoch == 0 { self.create(now, rng, &ask) } else { 0 };
            return Ok(Opened { id, incremental: false, count: ask.parts.len(), parts: ask.parts });
        }
        let session = self.sessions.get_mut(&ask.id).ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        if session.epoch != ask.epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        if session.uses_ids != ask.uses_ids {
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        session.epoch = if session.epoch == i32::MAX { 1 } else { session.epoch + 1 };
        session.used = now;
        for key in &ask.forgotten {
            session.parts.remove(key);
            session.stale.remove(key);
        }
        for (key, wanted) in ask.parts {
            session.stale.insert(detached(key.clone()));
            match session.parts.get_mut(&key) {
                Some(entry) => entry.wanted = wanted,
                None => {
                    session.parts.insert(detached(key), Entry::new(wanted));
                }
            }
        }
        Ok(Opened { id: ask.id, incremental: true, count: session.parts.len(), parts: Vec::new() })
    }

    /// All partitions of a session, in their turn.
    pub fn all(&self, id: i32) -> Vec<(PartKey, Wanted)> {
        self.sessions.get(&id).map_or_else(Vec::new, |session| session.in_turn(session.parts.keys()))
    }

    /// Up to where a session knows what has changed on a shard.
    pub fn seen(&self, id: i32, shard: ShardId) -> Option<u64> {
        self.sessions.get(&id).and_then(|session| session.seen.get(&shard).copied())
    }

    /// The partitions of a session that another look may find something at, in their turn. Time alone changes some
    /// things, too (how late a follower is): so all are looked at every `all_every_ms`.
    pub fn stale(&mut self, id: i32, now: Instant, all_every_ms: u64, news: Vec<News>) -> Vec<(PartKey, Wanted)> {
        let Some(session) = self.sessions.get_mut(&id) else {
            return Vec::new();
        };
        let mut all = now >= session.all_at;
        for News { shard, next, partitions } in news {
            session.seen.insert(shard, next);
            match partitions {
                Some(partitions) => {
                    let keys = partitions.into_iter().map(|changed| (TopicKey::Id(changed.topic), changed.partition));
                    session.stale.extend(keys.filter(|key| session.parts.contains_key(key)));
                }
                None => all = true,
            }
        }
        if all {
            session.stale.extend(session.parts.keys().cloned());
            session.all_at = now.plus_ms(all_every_ms);
        }
        session.in_turn(session.stale.iter())
    }

    fn create(&mut self, now: Instant, rng: &mut Rng, ask: &Ask) -> i32 {
        if self.sessions.len() >= self.slots_max {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.used).map(|(id, old)| (*id, old.used));
            match oldest {
                Some((id, used)) if now.ms_since(used) >= EVICT_AFTER_MS => self.sessions.remove(&id),
                Some(_) | None => return 0,
            };
        }
        let id = self.unused_id(rng);
        let parts = ask.parts.iter().map(|(key, wanted)| (detached(key.clone()), Entry::new(*wanted))).collect();
        let session = Session {
            epoch: 1,
            uses_ids: ask.uses_ids,
            parts,
            stale: BTreeSet::new(),
            seen: BTreeMap::new(),
            all_at: now,
            cursor: None,
            used: now,
        };
        self.sessions.insert(id, session);
        id
    }

    /// The low 8 bits are the shard's, so that no two shards give out the same id.
    fn unused_id(&self, rng: &mut Rng) -> i32 {
        loop {
            let high = i32::try_from(rng.below(1 << 22)).expect("22 bits fit an i32") + 1;
            let id = high << 8 | i32::from(self.shard.0 & 0xff);
            if !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }

    /// Whether a partition without records and error must be told of, because its offsets have moved; remembers what
    /// the client is told.
    pub fn tell(&mut self, id: i32, key: &PartKey, told: Told) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return true;
        };
        let Some(entry) = session.parts.get_mut(key) else {
            return true;
        };
        if told.all {
            session.stale.remove(key);
        }
        let news = told.must
            || entry.told_high_watermark != told.high_watermark
            || entry.told_log_start_offset != told.log_start_offset;
        entry.told_high_watermark = if told.error { Offset::NONE } else { told.high_watermark };
        entry.told_log_start_offset = told.log_start_offset;
        news
    }

    /// The next answer of this session begins behind the last partition that gave records.
    pub fn turn(&mut self, id: i32, last: PartKey) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.cursor = Some(detached(last));
        }
    }
}

/// What a client is about to be told of one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// It has records, an error or anything else that cannot be left out.
    pub must: bool,
    pub error: bool,
    /// Nothing is left at it: only a change makes another look worth while.
    pub all: bool,
    pub high_watermark: Offset,
    pub log_start_offset: Offset,
}

/// What has changed on a shard since a session asked last.
#[derive(Debug)]
pub(crate) struct News {
    pub shard: ShardId,
    /// From where on to ask the next time.
    pub next: u64,
    /// None where all may have changed.
    pub partitions: Option<Vec<TopicPartition>>,
}

impl Session {
    /// These of its partitions, beginning behind the last one that gave records.
    fn in_turn<'a>(&'a self, keys: impl Iterator<Item = &'a PartKey>) -> Vec<(PartKey, Wanted)> {
        let pair = |key: &PartKey| self.parts.get(key).map(|entry| (key.clone(), entry.wanted));
        let mut parts: Vec<(PartKey, Wanted)> = keys.filter_map(pair).collect();
        if let Some(cursor) = &self.cursor {
            let before = parts.partition_point(|(key, _)| key <= cursor);
            parts.rotate_left(before);
        }
        parts
    }
}

impl Entry {
    fn new(wanted: Wanted) -> Entry {
        Entry { wanted, told_high_watermark: Offset::NONE, told_log_start_offset: Offset::NONE }
    }
}

/// A key that does not hold the request it came in.
fn detached((topic, partition): PartKey) -> PartKey {
    match topic {
        TopicKey::Name(name) => (TopicKey::Name(name.detached()), partition),
        TopicKey::Id(id) => (TopicKey::Id(id), partition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Uuid;

    fn wanted(offset: i64) -> Wanted {
        Wanted {
            fetch_offset: Offset(offset),
            max_bytes: 100,
            current_leader_epoch: LeaderEpoch::NONE,
            last_fetched_epoch: LeaderEpoch::NONE,
            log_start_offset: Offset::NONE,
            high_watermark: None,
        }
    }

    fn key(partition: i32) -> PartKey {
        (TopicKey::Name(Text::from_static("t")), PartitionIndex(partition))
    }

    fn ask(id: i32, epoch: i32, parts: &[(i32, i64)], forgotten: &[i32]) -> Ask {
        Ask {
            id,
            epoch,
            uses_ids: false,
            parts: parts.iter().map(|(partition, offset)| (key(*partition), wanted(*offset))).collect(),
            forgotten: forgotten.iter().map(|partition| key(*partition)).collect(),
        }
    }

    fn offsets(sessions: &Sessions, id: i32) -> Vec<(i32, i64)> {
        sessions.all(id).iter().map(|((_, partition), wanted)| (partition.0, wanted.fetch_offset.0)).collect()
    }

    #[test]
    fn a_session_remembers_changes_and_forgets() {
        let (mut sessions, mut rng, now) = (Sessions::new(ShardId(3), 2), Rng::new(1), Instant(0));
        let opened = sessions.open(now, &mut rng, ask(0, 0, &[(0, 0), (1, 0), (2, 0)], &[])).expect("a new session");
        assert!(opened.id & 0xff == 3 && !opened.incremental);
        let next = sessions.open(now, &mut rng, ask(opened.id, 1, &[(1, 7)], &[2])).expect("the next epoch");
        assert_eq!(offsets(&sessions, opened.id), [(0, 0), (1, 7)]);
        assert!(next.incremental);
        let wrong = sessions.open(now, &mut rng, ask(opened.id, 1, &[], &[]));
        assert_eq!(wrong, Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH));
        sessions.turn(opened.id, key(0));
        let turned = sessions.open(now, &mut rng, ask(opened.id, 2, &[], &[])).expect("the next epoch");
        assert_eq!(offsets(&sessions, opened.id), [(1, 7), (0, 0)]);
        assert_eq!(turned.count, 2);
        let ended = sessions.open(now, &mut rng, ask(opened.id, -1, &[(0, 1)], &[])).expect("the last one");
        assert_eq!(ended.id, 0);
        let gone = sessions.open(now, &mut rng, ask(opened.id, 3, &[], &[]));
        assert_eq!(gone, Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
    }

    #[test]
    fn only_news_is_told() {
        let (mut sessions, mut rng) = (Sessions::new(ShardId(0), 2), Rng::new(1));
        let id = sessions.open(Instant(0), &mut rng, ask(0, 0, &[(0, 0)], &[])).expect("a new session").id;
        let told =
            Told { must: false, error: false, all: true, high_watermark: Offset(5), log_start_offset: Offset(0) };
        assert!(sessions.tell(id, &key(0), told));
        assert!(!sessions.tell(id, &key(0), told));
        assert!(sessions.tell(id, &key(0), Told { high_watermark: Offset(6), ..told }));
        assert!(sessions.tell(id, &key(0), Told { must: true, error: true, ..told }));
        assert!(sessions.tell(id, &key(0), told));
    }

    #[test]
    fn only_what_may_have_news_is_looked_at() {
        let (mut sessions, mut rng, shard) = (Sessions::new(ShardId(0), 2), Rng::new(1), ShardId(0));
        let id_key = |partition| (TopicKey::Id(Uuid::ZERO), PartitionIndex(partition));
        let parts = (0..3).map(|partition| (id_key(partition), wanted(0))).collect();
        let ask = Ask { id: 0, epoch: 0, uses_ids: true, parts, forgotten: Vec::new() };
        let id = sessions.open(Instant(0), &mut rng, ask).expect("a new session").id;
        let told =
            Told { must: false, error: false, all: true, high_watermark: Offset(5), log_start_offset: Offset(0) };
        let look = |sessions: &mut Sessions, at: u64, changed: Option<&[i32]>| -> Vec<i32> {
            let partitions = changed.map(|changed| {
                let named = |index: &i32| TopicPartition { topic: Uuid::ZERO, partition: PartitionIndex(*index) };
                changed.iter().map(named).collect()
            });
            let parts = sessions.stale(id, Instant(0).plus_ms(at), 1000, vec![News { shard, next: 7, partitions }]);
            parts.iter().map(|((_, partition), _)| partition.0).collect()
        };
        assert_eq!(look(&mut sessions, 0, None), [0, 1, 2]);
        assert_eq!(sessions.seen(id, shard), Some(7));
        sessions.tell(id, &id_key(0), told);
        sessions.tell(id, &id_key(1), Told { all: false, ..told });
        sessions.tell(id, &id_key(2), told);
        assert_eq!(look(&mut sessions, 10, Some(&[])), [1], "more was there than was sent");
        assert_eq!(look(&mut sessions, 20, Some(&[2, 9])), [1, 2], "and what changed, where it is asked for");
        let parts = vec![(id_key(0), wanted(3))];
        let again = Ask { id, epoch: 1, uses_ids: true, parts, forgotten: vec![id_key(1)] };
        sessions.open(Instant(0), &mut rng, again).expect("the next epoch");
        assert_eq!(look(&mut sessions, 30, Some(&[])), [0, 2], "and what is asked for anew");
        assert_eq!(look(&mut sessions, 1000, Some(&[])), [0, 2], "and all from time to time");
    }

    #[test]
    fn a_full_cache_keeps_what_is_in_use() {
        let (mut sessions, mut rng) = (Sessions::new(ShardId(0), 1), Rng::new(1));
        let first = sessions.open(Instant(0), &mut rng, ask(0, 0, &[(0, 0)], &[])).expect("a new session").id;
        assert_eq!(sessions.open(Instant(0), &mut rng, ask(0, 0, &[(0, 0)], &[])).expect("no session").id, 0);
        let later = Instant(0).plus_ms(EVICT_AFTER_MS);
        let second = sessions.open(later, &mut rng, ask(0, 0, &[(0, 0)], &[])).expect("a new session").id;
        assert!(second != 0 && second != first);
    }
}
