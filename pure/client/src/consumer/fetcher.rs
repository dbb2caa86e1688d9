//! Reading: from where in each partition, what was asked of which node, and what came back and is not read yet.
//!
//! Must never know of groups: who assigns a partition says from where it is read, or leaves that to the reset policy.

use super::session::{Ask, Session};
use super::{ConsumerEvent, ConsumerOptions, Spot};
use crate::cluster::{Call, Cluster, Failure, Target};
use bytes::Bytes;
use record::Batches;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use types::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use types::{ErrorCode, Instant, LeaderEpoch, NodeId, Offset, PartitionIndex, Text, Timestamp, Uuid};
use wire::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use wire::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::{FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, Records, Response};

/// `auto.offset.reset`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    Earliest,
    Latest,
    None,
}

/// A record as its consumer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedRecord {
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(Text, Option<Bytes>)>,
}

/// What one fetch brought of one partition.
#[derive(Clone, Debug)]
pub struct Consumed {
    pub spot: Spot,
    pub records: Vec<ConsumedRecord>,
    /// Where to go on.
    pub position: Offset,
    pub high_watermark: Offset,
    pub log_start_offset: Offset,
    /// When this was asked for.
    pub asked_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Where to begin is to be asked for.
    Unknown(Reset),
    Asked(Reset, Call),
    At(Offset),
    /// There is nothing to read at this position, and no policy to go elsewhere.
    Stuck(Offset),
}

#[derive(Debug)]
struct Track {
    state: State,
    not_before: Instant,
    failed: u32,
    waiting: Option<Fetched>,
}

#[derive(Debug)]
struct Fetched {
    records: Bytes,
    high_watermark: Offset,
    log_start_offset: Offset,
    asked_at: Instant,
}

#[derive(Debug)]
struct Asked {
    node: NodeId,
    at: Instant,
    offsets: BTreeMap<Spot, Ask>,
}

#[derive(Debug)]
pub struct Fetcher {
    options: ConsumerOptions,
    tracks: BTreeMap<Spot, Track>,
    sessions: BTreeMap<NodeId, Session>,
    fetches: BTreeMap<Call, Asked>,
    lists: BTreeMap<Call, Vec<Spot>>,
    /// Whose turn it is to be polled.
    turn: VecDeque<Spot>,
    now: Instant,
}

impl Fetcher {
    pub fn new(options: ConsumerOptions) -> Fetcher {
        Fetcher {
            options,
            tracks: BTreeMap::new(),
            sessions: BTreeMap::new(),
            fetches: BTreeMap::new(),
            lists: BTreeMap::new(),
            turn: VecDeque::new(),
            now: Instant(0),
        }
    }

    pub fn assign(&mut self, spot: Spot, from: Option<Offset>) {
        let state = from.map_or(State::Unknown(self.options.reset), State::At);
        self.tracks.insert(spot, Track { state, not_before: Instant(0), failed: 0, waiting: None });
    }

    pub fn unassign(&mut self, spot: &Spot) {
        self.tracks.remove(spot);
    }

    pub fn unassign_all(&mut self) {
        self.tracks.clear();
    }

    pub fn seek(&mut self, spot: &Spot, offset: Offset) {
        if self.tracks.contains_key(spot) {
            self.assign(spot.clone(), Some(offset));
        }
    }

    pub fn position(&self, spot: &Spot) -> Option<Offset> {
        match self.tracks.get(spot)?.state {
            State::At(offset) | State::Stuck(offset) => Some(offset),
            State::Unknown(_) | State::Asked(..) => None,
        }
    }

    pub fn positions(&self) -> BTreeMap<Spot, Offset> {
        self.tracks.keys().filter_map(|spot| Some((spot.clone(), self.position(spot)?))).collect()
    }

    /// True where something waits to be polled, or was dropped since.
    pub fn is_fetched(&self) -> bool {
        !self.turn.is_empty()
    }

    /// Hands over what was fetched of one partition, if anything was.
    pub fn poll(&mut self, events: &mut VecDeque<ConsumerEvent>) -> Option<Consumed> {
        while let Some(spot) = self.turn.pop_front() {
            let Some(track) = self.tracks.get_mut(&spot) else { continue };
            let Some(fetched) = track.waiting.take() else { continue };
            let State::At(from) = track.state else { continue };
            let (records, position) = match read(&fetched.records, from) {
                Ok(read) => read,
                Err(code) => {
                    track.state = State::Stuck(from);
                    events.push_back(ConsumerEvent::Stuck { spot, position: from, code });
                    continue;
                }
            };
            track.state = State::At(position);
            let Fetched { high_watermark, log_start_offset, asked_at, .. } = fetched;
            return Some(Consumed { spot, records, position, high_watermark, log_start_offset, asked_at });
        }
        None
    }

    pub fn next_wake(&self) -> Option<Instant> {
        self.tracks.values().map(|track| track.not_before).filter(|at| *at > self.now).min()
    }

    pub fn drive(&mut self, now: Instant, cluster: &mut Cluster) {
        self.now = now;
        if self.tracks.is_empty() {
            return;
        }
        let mut lists: BTreeMap<(NodeId, bool), Vec<Spot>> = BTreeMap::new();
        let mut fetches: BTreeMap<NodeId, BTreeMap<Spot, Ask>> = BTreeMap::new();
        let mut unread: BTreeSet<NodeId> = BTreeSet::new();
        for (spot, track) in &self.tracks {
            if now < track.not_before && track.waiting.is_none() {
                continue;
            }
            let topic = cluster.topic(&spot.0);
            let Some((topic, known)) = topic.and_then(|topic| Some((topic.id, topic.partition(spot.1)?))) else {
                continue;
            };
            let Some(leader) = known.leader else { continue };
            if track.waiting.is_some() {
                unread.insert(leader);
                continue;
            }
            match track.state {
                State::Unknown(reset) => {
                    lists.entry((leader, reset == Reset::Earliest)).or_default().push(spot.clone())
                }
                State::At(offset) => {
                    let ask = Ask { topic, offset, leader_epoch: known.leader_epoch };
                    fetches.entry(leader).or_default().insert(spot.clone(), ask);
                }
                State::Asked(..) | State::Stuck(_) => {}
            }
        }
        for ((leader, is_earliest), spots) in lists {
            self.list(now, cluster, leader, is_earliest, spots);
        }
        for (leader, wanted) in fetches {
            // A fetch now would leave out what waits to be read, and hold up the next one until there is more elsewhere.
            let is_busy = unread.contains(&leader) || self.fetches.values().any(|asked| asked.node == leader);
            if !is_busy && cluster.load(now, leader).is_some() {
                self.fetch(now, cluster, leader, wanted);
            }
        }
    }

    fn list(&mut self, now: Instant, cluster: &mut Cluster, leader: NodeId, is_earliest: bool, spots: Vec<Spot>) {
        let mut topics: BTreeMap<Text, ListOffsetsTopic> = BTreeMap::new();
        for (name, partition) in &spots {
            let topic = topics
                .entry(name.clone())
                .or_insert_with(|| ListOffsetsTopic { name: name.clone(), ..Default::default() });
            topic.partitions.push(ListOffsetsPartition {
                partition_index: partition.0,
                current_leader_epoch: -1,
                timestamp: if is_earliest { -2 } else { -1 },
                ..Default::default()
            });
        }
        let request = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: i8::from(self.options.read_committed),
            topics: topics.into_values().collect(),
            timeout_ms: i32::try_from(cluster.options.request_timeout_ms).unwrap_or(i32::MAX),
            ..Default::default()
        };
        let call = cluster.call(now, Target::Node(leader), request);
        let reset = if is_earliest { Reset::Earliest } else { Reset::Latest };
        for spot in &spots {
            if let Some(track) = self.tracks.get_mut(spot) {
                track.state = State::Asked(reset, call);
            }
        }
        self.lists.insert(call, spots);
    }

    fn fetch(&mut self, now: Instant, cluster: &mut Cluster, leader: NodeId, wanted: BTreeMap<Spot, Ask>) {
        let enabled = self.options.sessions;
        let session = self.sessions.entry(leader).or_insert_with(|| Session::new(enabled));
        let offsets = wanted.clone();
        let (changed, gone) = session.difference(wanted);
        let mut topics: BTreeMap<Text, FetchTopic> = BTreeMap::new();
        for ((name, partition), ask) in changed {
            let new = || FetchTopic { topic: name.clone(), topic_id: ask.topic, ..Default::default() };
            topics.entry(name.clone()).or_insert_with(new).partitions.push(FetchPartition {
                partition: partition.0,
                current_leader_epoch: ask.leader_epoch.0,
                fetch_offset: ask.offset.0,
                last_fetched_epoch: LeaderEpoch::NONE.0,
                log_start_offset: Offset::NONE.0,
                partition_max_bytes: self.options.partition_bytes_max,
                ..Default::default()
            });
        }
        let mut forgotten: BTreeMap<(Text, Uuid), ForgottenTopic> = BTreeMap::new();
        for ((name, partition), ask) in gone {
            let new = || ForgottenTopic { topic: name.clone(), topic_id: ask.topic, ..Default::default() };
            forgotten.entry((name.clone(), ask.topic)).or_insert_with(new).partitions.push(partition.0);
        }
        let request = FetchRequest {
            max_wait_ms: self.options.fetch_wait_ms,
            min_bytes: self.options.fetch_min_bytes,
            max_bytes: self.options.fetch_bytes_max,
            isolation_level: i8::from(self.options.read_committed),
            session_id: session.id,
            session_epoch: session.epoch,
            topics: topics.into_values().collect(),
            forgotten_topics_data: forgotten.into_values().collect(),
            ..Default::default()
        };
        let call = cluster.call(now, Target::Node(leader), request);
        self.fetches.insert(call, Asked { node: leader, at: now, offsets });
    }
}

/// What is answered.
impl Fetcher {
    /// True where the call was one of fetching.
    pub fn answered(
        &mut self,
        now: Instant,
        cluster: &mut Cluster,
        call: Call,
        result: &Result<Response, Failure>,
        events: &mut VecDeque<ConsumerEvent>,
    ) -> bool {
        if let Some(spots) = self.lists.remove(&call) {
            match result {
                Ok(Response::ListOffsets(response)) => self.listed(now, cluster, call, response),
                _ => cluster.refresh_soon(now),
            }
            // What has no answer is asked for again, later.
            for spot in spots {
                if let Some(track) = self.tracks.get_mut(&spot)
                    && let State::Asked(reset, asked) = track.state
                    && asked == call
                {
                    track.state = State::Unknown(reset);
                    self.fail(now, cluster, &spot);
                }
            }
            return true;
        }
        let Some(asked) = self.fetches.remove(&call) else { return false };
        match result {
            Ok(Response::Fetch(response)) => self.fetched(now, cluster, &asked, response, events),
            _ => {
                if let Some(session) = self.sessions.get_mut(&asked.node) {
                    session.restart();
                }
                cluster.refresh_soon(now);
                asked.offsets.keys().for_each(|spot| self.fail(now, cluster, spot));
            }
        }
        true
    }

    fn fail(&mut self, now: Instant, cluster: &mut Cluster, spot: &Spot) {
        if let Some(track) = self.tracks.get_mut(spot) {
            track.not_before = now.plus_ms(cluster.backoff_ms(track.failed));
            track.failed += 1;
        }
    }

    fn listed(&mut self, now: Instant, cluster: &mut Cluster, call: Call, response: &ListOffsetsResponse) {
        for topic in &response.topics {
            for partition in &topic.partitions {
                let spot = (topic.name.clone(), PartitionIndex(partition.partition_index));
                let Some(track) = self.tracks.get_mut(&spot) else { continue };
                if !matches!(track.state, State::Asked(_, asked) if asked == call) {
                    continue;
                }
                if partition.error_code.is_ok() && partition.offset >= 0 {
                    track.state = State::At(Offset(partition.offset));
                    track.failed = 0;
                } else {
                    cluster.refresh_soon(now);
                }
            }
        }
    }

    fn fetched(
        &mut self,
        now: Instant,
        cluster: &mut Cluster,
        asked: &Asked,
        response: &FetchResponse,
        events: &mut VecDeque<ConsumerEvent>,
    ) {
        let session = self.sessions.get_mut(&asked.node).expect("who asked has one");
        if !session.answered(response.error_code, response.session_id) {
            if !matches!(
                response.error_code,
                ErrorCode::FETCH_SESSION_ID_NOT_FOUND | ErrorCode::INVALID_FETCH_SESSION_EPOCH
            ) {
                cluster.refresh_soon(now);
                asked.offsets.keys().for_each(|spot| self.fail(now, cluster, spot));
            }
            return;
        }
        for topic in &response.responses {
            let by_id =
                || asked.offsets.iter().find(|(_, ask)| ask.topic == topic.topic_id).map(|(spot, _)| spot.0.clone());
            let name = if topic.topic.is_empty() { by_id() } else { Some(topic.topic.clone()) };
            let Some(name) = name else { continue };
            for partition in &topic.partitions {
                let spot = (name.clone(), PartitionIndex(partition.partition_index));
                if let Some(ask) = asked.offsets.get(&spot) {
                    self.fetched_of(now, cluster, (&spot, ask.offset, asked.at), partition, events);
                }
            }
        }
    }

    fn fetched_of(
        &mut self,
        now: Instant,
        cluster: &mut Cluster,
        (spot, offset, asked_at): (&Spot, Offset, Instant),
        answer: &wire::fetch_response::PartitionData,
        events: &mut VecDeque<ConsumerEvent>,
    ) {
        let reset = self.options.reset;
        let Some(track) = self.tracks.get_mut(spot).filter(|track| track.state == State::At(offset)) else { return };
        match answer.error_code {
            ErrorCode::NONE => {
                track.failed = 0;
                if let Some(Records::Bytes(records)) = answer.records.as_ref().filter(|records| !records.is_empty()) {
                    track.waiting = Some(Fetched {
                        records: records.clone(),
                        high_watermark: Offset(answer.high_watermark),
                        log_start_offset: Offset(answer.log_start_offset),
                        asked_at,
                    });
                    self.turn.push_back(spot.clone());
                }
            }
            ErrorCode::OFFSET_OUT_OF_RANGE if reset != Reset::None => track.state = State::Unknown(reset),
            code @ (ErrorCode::OFFSET_OUT_OF_RANGE | ErrorCode::TOPIC_AUTHORIZATION_FAILED) => {
                track.state = State::Stuck(offset);
                events.push_back(ConsumerEvent::Stuck { spot: spot.clone(), position: offset, code });
            }
            _ => {
                cluster.refresh_soon(now);
                self.fail(now, cluster, spot);
            }
        }
    }
}

/// The records of some batches from an offset on, and where to go on.
fn read(bytes: &[u8], from: Offset) -> Result<(Vec<ConsumedRecord>, Offset), ErrorCode> {
    let (mut records, mut position) = (Vec::new(), from);
    for batch in Batches::new(bytes) {
        // A fetch may end within a batch, which the next one brings whole.
        let (header, batch) = match batch {
            Ok(whole) => whole,
            Err(record::Invalid::Truncated { .. }) => break,
            Err(_) => return Err(ErrorCode::CORRUPT_MESSAGE),
        };
        if !record::crc_matches(batch) {
            return Err(ErrorCode::CORRUPT_MESSAGE);
        }
        if !header.attributes.is_control() {
            let mut reader = record::records(batch, DECOMPRESSED_BATCH_BYTES_MAX).map_err(|invalid| invalid.code())?;
            while let Some(record) = reader.next_record().map_err(|invalid| invalid.code())? {
                if record.offset >= from {
                    records.push(owned(&record));
                }
            }
        }
        position = position.max(header.next_offset());
    }
    Ok((records, position))
}

fn owned(record: &record::Record<'_>) -> ConsumedRecord {
    let copy = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
    let header =
        |(name, value): (&[u8], Option<&[u8]>)| (Text::from(String::from_utf8_lossy(name).as_ref()), copy(value));
    ConsumedRecord {
        offset: record.offset,
        timestamp: record.timestamp,
        key: copy(record.key),
        value: copy(record.value),
        headers: record.headers.map(header).collect(),
    }
}
