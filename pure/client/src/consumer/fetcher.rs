//! Reading: from where in each partition, what was asked of which node, and what came back and is not read yet.
//!
//! Must never know of groups: who assigns a partition says from where it is read, or leaves that to the reset policy.

use super::buffer::{Buffer, ConsumedRecord, Ends, Position};
use super::session::{Ask, Session};
use super::{ConsumerEvent, ConsumerOptions, Scene, Spot};
use crate::admin::{ListOffsets, OffsetAt, Question, by_topic, spot};
use crate::cluster::{Call, Cluster, Failure, Target};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use types::{ErrorCode, Instant, LeaderEpoch, NodeId, Offset, PartitionIndex, ProducerId, Text, Timestamp, Uuid};
use wire::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use wire::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use wire::*;

/// Answers of one partition that may wait to be polled, however small they are.
const BUFFERS_MAX: usize = 64;
/// Partitions for which two answers each may wait.
const PARTITIONS_FEW: usize = 4;

/// `auto.offset.reset`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reset {
    Earliest,
    Latest,
    None,
    /// `by_duration`: the first record that is not older than this many milliseconds.
    ByDuration(u64),
}

impl Reset {
    fn place(self, wall: Timestamp) -> OffsetAt {
        match self {
            Reset::Earliest => OffsetAt::Earliest,
            Reset::Latest | Reset::None => OffsetAt::Latest,
            Reset::ByDuration(ms) => OffsetAt::Time(Timestamp(wall.0.saturating_sub_unsigned(ms))),
        }
    }
}

/// What a poll brings of one partition.
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Where to begin is to be asked for.
    Unknown(Reset),
    Asked(Reset, Call),
    #[default]
    At,
    /// The leader is asked whether it has what was read (KIP-320).
    Validating(Call),
    /// There is nothing to read at this position, and no policy to go elsewhere.
    Stuck,
}

#[derive(Debug, Default)]
struct Track {
    state: State,
    /// Where polling goes on; means nothing until it is found.
    position: Position,
    /// The leader epoch under which that is known to be there.
    validated: LeaderEpoch,
    queue: VecDeque<Buffer>,
    is_paused: bool,
    /// Another replica to read from, and how long (KIP-392).
    preferred: Option<(NodeId, Instant)>,
    /// The offset before which everything may be read.
    end: Option<Offset>,
    not_before: Instant,
    failed: u32,
}

impl Track {
    fn new(state: State, position: Position) -> Track {
        Track { state, position, validated: LeaderEpoch::NONE, ..Track::default() }
    }

    /// Where to fetch from: after what waits to be polled.
    fn next(&self) -> Position {
        self.queue.back().map_or(self.position, |buffer| buffer.next)
    }

    fn buffered_bytes(&self) -> usize {
        self.queue.iter().map(Buffer::waiting_bytes).sum()
    }

    fn is_full(&self, enough_bytes: usize) -> bool {
        self.queue.len() >= BUFFERS_MAX || self.buffered_bytes() >= enough_bytes.max(1)
    }

    /// Whether the log is known to have more than what was fetched.
    fn has_more(&self) -> bool {
        self.end.is_some_and(|end| end > self.next().offset)
    }
}

const NOWHERE: Position = Position { offset: Offset::NONE, epoch: LeaderEpoch::NONE };

/// What is asked about positions: where they are, by a timestamp, or whether they still are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    List(Reset),
    Validate,
}

#[derive(Debug)]
struct Asked {
    node: NodeId,
    at: Instant,
    offsets: BTreeMap<Spot, Ask>,
}

#[derive(Debug, Default)]
pub struct Fetcher {
    options: ConsumerOptions,
    tracks: BTreeMap<Spot, Track>,
    sessions: BTreeMap<NodeId, Session>,
    fetches: BTreeMap<Call, Asked>,
    questions: BTreeMap<Call, Vec<Spot>>,
    /// Whose turn it is to be polled.
    turn: VecDeque<Spot>,
    /// Fetches that were answered, and the bytes of records in them.
    pub answers: u64,
    pub answered_bytes: u64,
    now: Instant,
}

/// What users decide.
impl Fetcher {
    pub fn new(options: ConsumerOptions) -> Fetcher {
        Fetcher { options, ..Fetcher::default() }
    }

    pub fn assign(&mut self, spot: Spot, from: Option<Position>) {
        let state = from.map_or(State::Unknown(self.options.reset), |_| State::At);
        self.tracks.insert(spot, Track::new(state, from.unwrap_or(NOWHERE)));
    }

    pub fn unassign(&mut self, spot: &Spot) {
        self.tracks.remove(spot);
    }

    pub fn unassign_all(&mut self) {
        self.tracks.clear();
    }

    /// Goes on elsewhere. False where the partition is not read.
    pub fn seek(&mut self, spot: &Spot, to: Result<Position, Reset>) -> bool {
        let Some(track) = self.tracks.get_mut(spot) else { return false };
        let state = to.map_or_else(State::Unknown, |_| State::At);
        let is_paused = track.is_paused;
        *track = Track { is_paused, ..Track::new(state, to.unwrap_or(NOWHERE)) };
        true
    }

    /// Hands over nothing of a partition until it is resumed. False where the partition is not read.
    pub fn pause(&mut self, spot: &Spot, is_paused: bool) -> bool {
        let Some(track) = self.tracks.get_mut(spot) else { return false };
        if track.is_paused && !is_paused && !track.queue.is_empty() {
            self.turn.push_back(spot.clone());
        }
        track.is_paused = is_paused;
        true
    }

    pub fn assigned(&self) -> impl Iterator<Item = (&Spot, bool)> {
        self.tracks.iter().map(|(spot, track)| (spot, track.is_paused))
    }

    pub fn position(&self, spot: &Spot) -> Option<Position> {
        let track = self.tracks.get(spot)?;
        let is_known = !matches!(track.state, State::Unknown(_) | State::Asked(..));
        is_known.then_some(track.position)
    }

    pub fn positions(&self) -> BTreeMap<Spot, Position> {
        self.tracks.keys().filter_map(|spot| Some((spot.clone(), self.position(spot)?))).collect()
    }

    /// What waits to be polled.
    pub fn buffered_bytes(&self) -> usize {
        self.tracks.values().map(Track::buffered_bytes).sum()
    }

    /// How many offsets lie ahead, as the last answer had it.
    pub fn lag(&self, spot: &Spot) -> Option<i64> {
        let position = self.position(spot)?;
        Some(self.tracks.get(spot)?.end?.minus(position.offset).max(0))
    }

    /// Hands over at most `room` records of one partition. Says too whether there is room for more now.
    pub fn poll(&mut self, room: usize, events: &mut VecDeque<ConsumerEvent>) -> (Option<Consumed>, bool) {
        let mut has_room = false;
        let least_bytes = self.enough_bytes(usize::MAX);
        while let Some(spot) = self.turn.front() {
            let track = self.tracks.get_mut(spot).filter(|track| !track.is_paused && track.state != State::Stuck);
            let Some(track) = track.filter(|track| !track.queue.is_empty()) else {
                self.turn.pop_front();
                continue;
            };
            let was_full = track.is_full(least_bytes);
            let before = track.position;
            let mut records = Vec::new();
            let buffer = track.queue.front_mut().expect("it has one");
            let read = buffer.read(&mut track.position, room, &mut records);
            let Ends { high_watermark, log_start_offset, asked_at, .. } = buffer.ends;
            let (spot, position) = (spot.clone(), track.position.offset);
            has_room |= was_full && !track.is_full(least_bytes);
            match read {
                Ok(false) => {}
                Ok(true) => {
                    has_room = true;
                    self.turn.pop_front();
                    track.queue.pop_front();
                    if !track.queue.is_empty() {
                        self.turn.push_back(spot.clone());
                    }
                }
                Err(code) => {
                    self.turn.pop_front();
                    track.state = State::Stuck;
                    events.push_back(ConsumerEvent::Stuck { spot, position, code });
                    continue;
                }
            }
            if position != before.offset {
                let consumed = Consumed { spot, records, position, high_watermark, log_start_offset, asked_at };
                return (Some(consumed), has_room);
            }
        }
        (None, has_room)
    }

    pub fn next_wake(&self) -> Option<Instant> {
        let preferred = self.tracks.values().filter_map(|track| Some(track.preferred?.1));
        self.tracks.values().map(|track| track.not_before).chain(preferred).filter(|at| *at > self.now).min()
    }
}

/// What is asked.
impl Fetcher {
    /// What is enough for one partition to wait, by what waits in all: as much as one answer may bring where that is
    /// little, so that a fast reader of few partitions never waits; else half of that.
    fn enough_bytes(&self, buffered_bytes: usize) -> usize {
        let one_answer = usize::try_from(self.options.partition_bytes_max).unwrap_or(0);
        if buffered_bytes < one_answer.saturating_mul(PARTITIONS_FEW) { one_answer } else { one_answer / 2 }
    }

    pub fn drive(&mut self, scene: &mut Scene) {
        let now = scene.now.at;
        self.now = now;
        if self.tracks.is_empty() {
            return;
        }
        let mut questions: BTreeMap<(NodeId, About), Vec<Spot>> = BTreeMap::new();
        let mut fetches: BTreeMap<NodeId, BTreeMap<Spot, Ask>> = BTreeMap::new();
        // Nodes with partitions that have enough, and those whose others are known to have more.
        let (mut full, mut ready): (BTreeMap<NodeId, usize>, BTreeSet<NodeId>) = Default::default();
        // What is paused may wait for long, and must not keep the others from being read.
        let read = self.tracks.values().filter(|track| !track.is_paused && track.state == State::At);
        let buffered_bytes = read.map(Track::buffered_bytes).sum();
        let enough_bytes = self.enough_bytes(buffered_bytes);
        for (spot, track) in &mut self.tracks {
            let topic = scene.cluster.topic(&spot.0);
            let Some((topic, known)) = topic.and_then(|topic| Some((topic.id, topic.partition(spot.1)?))) else {
                continue;
            };
            let Some(leader) = known.leader else { continue };
            let (next, leader_epoch) = (track.next(), known.leader_epoch);
            let is_new_leader = leader_epoch != track.validated && leader_epoch != LeaderEpoch::NONE;
            match track.state {
                _ if now < track.not_before => {}
                State::Unknown(Reset::None) => {
                    track.state = State::Stuck;
                    scene.events.push_back(ConsumerEvent::NoOffset { spot: spot.clone() });
                }
                State::Unknown(reset) => questions.entry((leader, About::List(reset))).or_default().push(spot.clone()),
                State::At if is_new_leader && next.epoch != LeaderEpoch::NONE => {
                    questions.entry((leader, About::Validate)).or_default().push(spot.clone());
                }
                // What cannot be read has no end to go on from.
                State::At if !track.is_paused && next.offset >= Offset::ZERO => {
                    track.validated = leader_epoch;
                    track.preferred = track.preferred.filter(|(_, until)| now < *until);
                    let replica = track.preferred.map(|(node, _)| node);
                    let is_known = |node: &NodeId| scene.cluster.brokers().any(|broker| broker.node == *node);
                    let node = replica.filter(is_known).unwrap_or(leader);
                    if track.is_full(enough_bytes) {
                        *full.entry(node).or_default() += 1;
                        continue;
                    }
                    if track.has_more() {
                        ready.insert(node);
                    }
                    let ask = Ask { topic, offset: next.offset, leader_epoch };
                    fetches.entry(node).or_default().insert(spot.clone(), ask);
                }
                State::At | State::Asked(..) | State::Validating(_) | State::Stuck => {}
            }
        }
        for ((leader, about), spots) in questions {
            self.ask(scene, leader, about, spots);
        }
        if buffered_bytes >= usize::try_from(self.options.fetch_bytes_max).unwrap_or(0).max(1) {
            return;
        }
        for (node, wanted) in fetches {
            // A fetch without those that have enough could be held up until there is more in the others, and with it the
            // next one of those. Where there is more, it is for several of them: each request costs both sides.
            let is_early = full.get(&node).is_some_and(|full| !ready.contains(&node) || wanted.len() * 3 < *full);
            let is_busy = self.fetches.values().any(|asked| asked.node == node);
            if !is_early && !is_busy && scene.cluster.load(now, node).is_some() {
                self.fetch(now, scene.cluster, node, wanted);
            }
        }
    }

    fn ask(&mut self, scene: &mut Scene, leader: NodeId, about: About, spots: Vec<Spot>) {
        let request: Request = match about {
            About::List(reset) => {
                let timeout_ms = i32::try_from(scene.cluster.options.request_timeout_ms).unwrap_or(i32::MAX);
                let (at, read_committed) = (reset.place(scene.now.wall), self.options.read_committed);
                ListOffsets { spots: spots.clone(), at, read_committed, timeout_ms }.request()
            }
            About::Validate => self.validate(scene.cluster, &spots).into(),
        };
        let call = scene.cluster.call(scene.now.at, Target::Node(leader), request);
        for spot in &spots {
            if let Some(track) = self.tracks.get_mut(spot) {
                track.state = match about {
                    About::List(reset) => State::Asked(reset, call),
                    About::Validate => State::Validating(call),
                };
            }
        }
        self.questions.insert(call, spots);
    }

    fn validate(&self, cluster: &Cluster, spots: &[Spot]) -> OffsetForLeaderEpochRequest {
        let known = |spot: &Spot| Some(cluster.topic(&spot.0)?.partition(spot.1)?.leader_epoch.0);
        let partitions = spots.iter().map(|spot| {
            let partition = OffsetForLeaderPartition {
                partition: spot.1.0,
                current_leader_epoch: known(spot).unwrap_or(-1),
                leader_epoch: self.tracks[spot].next().epoch.0,
                ..Default::default()
            };
            (&spot.0, partition)
        });
        let topic = |(topic, partitions)| OffsetForLeaderTopic { topic, partitions, ..Default::default() };
        let topics = by_topic(partitions).map(topic).collect();
        OffsetForLeaderEpochRequest { replica_id: -1, topics, ..Default::default() }
    }

    fn fetch(&mut self, now: Instant, cluster: &mut Cluster, node: NodeId, wanted: BTreeMap<Spot, Ask>) {
        let enabled = self.options.sessions;
        let session = self.sessions.entry(node).or_insert_with(|| Session::new(enabled));
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
            rack_id: self.options.rack.clone(),
            ..Default::default()
        };
        let call = cluster.call(now, Target::Node(node), request);
        self.fetches.insert(call, Asked { node, at: now, offsets });
    }
}

/// What is answered.
impl Fetcher {
    /// True where the call was one of fetching.
    pub fn answered(&mut self, scene: &mut Scene, call: Call, result: &Result<Response, Failure>) -> bool {
        if let Some(spots) = self.questions.remove(&call) {
            match result {
                Ok(Response::ListOffsets(response)) => self.listed(scene, call, response),
                Ok(Response::OffsetForLeaderEpoch(response)) => self.validated(scene, call, response),
                // Brokers before Kafka 2.1 cannot tell.
                Err(Failure::Unsupported) => spots.iter().for_each(|spot| self.trust(scene.cluster, spot)),
                _ => scene.cluster.refresh_soon(scene.now.at),
            }
            // What has no answer is asked for again, later.
            for spot in spots {
                let Some(track) = self.tracks.get_mut(&spot) else { continue };
                track.state = match track.state {
                    State::Asked(reset, asked) if asked == call => State::Unknown(reset),
                    State::Validating(asked) if asked == call => State::At,
                    _ => continue,
                };
                self.fail(scene, &spot);
            }
            return true;
        }
        let Some(asked) = self.fetches.remove(&call) else { return false };
        match result {
            Ok(Response::Fetch(response)) => self.fetched(scene, &asked, response),
            _ => {
                if let Some(session) = self.sessions.get_mut(&asked.node) {
                    session.restart();
                }
                self.failed(scene, &asked);
            }
        }
        true
    }

    fn failed(&mut self, scene: &mut Scene, asked: &Asked) {
        scene.cluster.refresh_soon(scene.now.at);
        asked.offsets.keys().for_each(|spot| self.fail(scene, spot));
    }

    fn fail(&mut self, scene: &mut Scene, spot: &Spot) {
        if let Some(track) = self.tracks.get_mut(spot) {
            track.preferred = None;
            track.not_before = scene.now.at.plus_ms(scene.cluster.backoff_ms(track.failed));
            track.failed += 1;
        }
    }

    /// Takes the position as one that the present leader has.
    fn trust(&mut self, cluster: &Cluster, spot: &Spot) {
        let known = cluster.topic(&spot.0).and_then(|topic| topic.partition(spot.1));
        if let Some(track) = self.tracks.get_mut(spot) {
            track.state = State::At;
            track.failed = 0;
            track.validated = known.map_or(LeaderEpoch::NONE, |known| known.leader_epoch);
        }
    }

    fn listed(&mut self, scene: &mut Scene, call: Call, response: &ListOffsetsResponse) {
        for topic in &response.topics {
            for partition in &topic.partitions {
                let spot = spot(&topic.name, partition.partition_index);
                let Some(track) = self.tracks.get_mut(&spot) else { continue };
                let State::Asked(reset, asked) = track.state else { continue };
                if asked != call {
                    continue;
                }
                if !partition.error_code.is_ok() {
                    scene.cluster.refresh_soon(scene.now.at);
                } else if partition.offset >= 0 {
                    let epoch = LeaderEpoch(partition.leader_epoch);
                    track.position = Position { offset: Offset(partition.offset), epoch };
                    self.trust(scene.cluster, &spot);
                } else if matches!(reset, Reset::ByDuration(_)) {
                    // Nothing is that young.
                    track.state = State::Unknown(Reset::Latest);
                }
            }
        }
    }

    fn validated(&mut self, scene: &mut Scene, call: Call, response: &OffsetForLeaderEpochResponse) {
        for topic in &response.topics {
            for answer in &topic.partitions {
                let spot = spot(&topic.topic, answer.partition);
                let Some(track) = self.tracks.get_mut(&spot) else { continue };
                if track.state != State::Validating(call) {
                    continue;
                }
                if !answer.error_code.is_ok() {
                    scene.cluster.refresh_soon(scene.now.at);
                    continue;
                }
                let end = Position { offset: Offset(answer.end_offset), epoch: LeaderEpoch(answer.leader_epoch) };
                let known = Some(end).filter(|end| end.offset >= Offset::ZERO && end.epoch >= LeaderEpoch(0));
                if known.is_some_and(|end| end.offset >= track.next().offset) {
                    self.trust(scene.cluster, &spot);
                } else if !track.queue.is_empty() {
                    // What was polled may still be there.
                    track.queue.clear();
                    track.state = State::At;
                } else {
                    self.truncated(scene, spot, known);
                }
            }
        }
    }

    /// What was read is not in the leader's log any more, from `end` on where that is known.
    fn truncated(&mut self, scene: &mut Scene, spot: Spot, end: Option<Position>) {
        let Some(track) = self.tracks.get_mut(&spot) else { return };
        match (self.options.reset, end) {
            (Reset::None, _) => {
                track.state = State::Stuck;
                let position = track.position.offset;
                let diverged_at = end.map(|end| end.offset);
                scene.events.push_back(ConsumerEvent::Truncated { spot, position, diverged_at });
            }
            (_, Some(end)) => {
                track.position = end;
                self.trust(scene.cluster, &spot);
            }
            (reset, None) => track.state = State::Unknown(reset),
        }
    }

    fn fetched(&mut self, scene: &mut Scene, asked: &Asked, response: &FetchResponse) {
        let session = self.sessions.get_mut(&asked.node).expect("who asked has one");
        if !session.answered(response.error_code, response.session_id) {
            let is_of_session = matches!(
                response.error_code,
                ErrorCode::FETCH_SESSION_ID_NOT_FOUND | ErrorCode::INVALID_FETCH_SESSION_EPOCH
            );
            if !is_of_session {
                self.failed(scene, asked);
            }
            return;
        }
        self.answers += 1;
        for topic in &response.responses {
            let by_id =
                || asked.offsets.iter().find(|(_, ask)| ask.topic == topic.topic_id).map(|(spot, _)| spot.0.clone());
            let name = if topic.topic.is_empty() { by_id() } else { Some(topic.topic.clone()) };
            let Some(name) = name else { continue };
            for partition in &topic.partitions {
                let spot = (name.clone(), PartitionIndex(partition.partition_index));
                if let Some((spot, ask)) = asked.offsets.get_key_value(&spot) {
                    self.fetched_of(scene, (spot, ask.offset, asked), partition);
                }
            }
        }
    }

    fn fetched_of(
        &mut self,
        scene: &mut Scene,
        (spot, offset, asked): (&Spot, Offset, &Asked),
        answer: &wire::fetch_response::PartitionData,
    ) {
        let reset = self.options.reset;
        let is_awaited = |track: &&mut Track| track.state == State::At && track.next().offset == offset;
        let Some(track) = self.tracks.get_mut(spot).filter(is_awaited) else { return };
        let from_replica = track.preferred.is_some_and(|(node, _)| node == asked.node);
        match answer.error_code {
            ErrorCode::NONE if answer.preferred_read_replica >= 0 => {
                let until = scene.now.at.plus_ms(scene.cluster.options.metadata_max_age_ms);
                track.preferred = Some((NodeId(answer.preferred_read_replica), until));
            }
            ErrorCode::NONE => self.buffered(spot, asked.at, answer),
            // A follower may not have it yet, or no more: the leader knows.
            ErrorCode::OFFSET_OUT_OF_RANGE if from_replica => track.preferred = None,
            ErrorCode::OFFSET_OUT_OF_RANGE if !track.queue.is_empty() => self.fail(scene, spot),
            ErrorCode::OFFSET_OUT_OF_RANGE if reset != Reset::None => track.state = State::Unknown(reset),
            code @ (ErrorCode::OFFSET_OUT_OF_RANGE | ErrorCode::TOPIC_AUTHORIZATION_FAILED) => {
                track.state = State::Stuck;
                scene.events.push_back(ConsumerEvent::Stuck { spot: spot.clone(), position: offset, code });
            }
            _ => {
                scene.cluster.refresh_soon(scene.now.at);
                self.fail(scene, spot);
            }
        }
    }

    fn buffered(&mut self, spot: &Spot, asked_at: Instant, answer: &wire::fetch_response::PartitionData) {
        let Some(track) = self.tracks.get_mut(spot) else { return };
        let read_committed = self.options.read_committed;
        let ends = Ends {
            high_watermark: Offset(answer.high_watermark),
            last_stable_offset: Offset(answer.last_stable_offset),
            log_start_offset: Offset(answer.log_start_offset),
            asked_at,
        };
        track.failed = 0;
        track.end = Some(if read_committed { ends.last_stable_offset } else { ends.high_watermark });
        let Some(Records::Bytes(records)) = &answer.records else { return };
        self.answered_bytes += records.len() as u64;
        let aborted = answer.aborted_transactions.iter().flatten();
        let aborted = aborted.map(|aborted| (Offset(aborted.first_offset), ProducerId(aborted.producer_id)));
        let aborted = read_committed.then(|| aborted.collect());
        if let Some(buffer) = Buffer::new(records.clone(), aborted, self.options.check_crcs, ends) {
            if track.queue.is_empty() && !track.is_paused {
                self.turn.push_back(spot.clone());
            }
            track.queue.push_back(buffer);
        }
    }
}
