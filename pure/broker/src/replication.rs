//! Following: this shard's replicas fetch from their leaders' brokers what a consumer would, and append it as it is.
//!
//! For each leader's broker there is one fetcher with one connection and one fetch session, whatever the number of
//! partitions; the next fetch leaves when the answer to the last one is appended. What a partition is to be asked from
//! is the replica's word, and an answer to a question that the replica would no longer ask is thrown away.

use crate::moves::Move;
use crate::peers::{Address, Lane, Question, Unanswered};
use crate::seam::Level;
use crate::shard::{Deadline, Shard};
use log::Disk;
use replica::{Divergence, Failure, FetchPosition, Fetched, OutOfRange};
use std::collections::{BTreeMap, BTreeSet};
use types::{ErrorCode, Instant, LeaderEpoch, NodeId, Offset, PartitionIndex, TopicId, TopicPartition};
use wire::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState};
use wire::fetch_response::PartitionData;
use wire::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::{FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, Records};

/// The version that replicas fetch with: 17 names the directory, 18 tells the replica's high watermark.
const FETCH_VERSION: i16 = 18;
const LIST_OFFSETS_VERSION: i16 = 9;
/// How long an answer may take beyond what the leader may hold it back.
const PATIENCE_MS: u64 = 10_000;
/// How soon a partition that the leader refuses is asked for again: soon, for the image says who leads by then.
const RETRY_MS: u64 = 100;
/// How long a leader may hold an answer back while a sync here is under way, of whose end it waits to hear.
const SYNC_WAIT_MS: u64 = 2;
/// A leader that does not answer is asked again after so long at the most, whatever `replica.fetch.backoff.ms` says: a
/// broker that comes back should be in sync soon.
const BACKOFF_MAX_MS: u64 = 200;

/// What this shard fetches from one broker.
#[derive(Default)]
pub(crate) struct Fetcher {
    parts: BTreeMap<TopicPartition, Part>,
    /// The session's id and next epoch; none where the next fetch begins one.
    session: Option<(i32, i32)>,
    /// What the session must be told anew.
    changed: BTreeSet<TopicPartition>,
    forgotten: BTreeSet<TopicPartition>,
    busy: bool,
    retry_at: Option<Instant>,
}

#[derive(Default)]
struct Part {
    /// As the leader was asked last; none where it was not.
    asked: Option<FetchPosition>,
    /// Not to be asked before.
    pause_until: Option<Instant>,
    /// Where the leader's log begins, as it was told while it was asked where it ends.
    start: Option<Offset>,
    /// It had all that is committed when it was last answered: the leader may wait for it before it commits more.
    caught_up: bool,
}

impl Fetcher {
    fn forget_session(&mut self) {
        self.session = None;
        self.changed = self.parts.keys().copied().collect();
        self.forgotten.clear();
        self.parts.values_mut().for_each(|part| part.asked = None);
    }
}

impl<D: Disk> Shard<D> {
    /// A partition follows `leader` from now on, or what it is to be asked from has changed.
    pub(crate) fn follow(&mut self, partition: TopicPartition, leader: NodeId) {
        self.stop_following_but(partition, Some(leader));
        let fetcher = self.fetchers.entry(leader).or_default();
        fetcher.parts.entry(partition).or_default().pause_until = None;
        fetcher.changed.insert(partition);
        fetcher.forgotten.remove(&partition);
        self.wake_fetchers.insert(leader);
    }

    /// A partition follows nobody any longer.
    pub(crate) fn stop_following(&mut self, partition: TopicPartition) {
        self.stop_following_but(partition, None);
    }

    fn stop_following_but(&mut self, partition: TopicPartition, kept: Option<NodeId>) {
        for (leader, fetcher) in &mut self.fetchers {
            if Some(*leader) != kept && fetcher.parts.remove(&partition).is_some() {
                fetcher.changed.remove(&partition);
                fetcher.forgotten.insert(partition);
            }
        }
    }

    /// Lets fetchers ask that have something to ask and do not wait for an answer.
    pub(crate) fn run_fetchers(&mut self) {
        for leader in std::mem::take(&mut self.wake_fetchers) {
            self.fetch_from(leader);
        }
    }

    /// Fetchers that paused look again.
    pub(crate) fn retry_fetchers(&mut self) {
        self.wake_fetchers.extend(self.fetchers.keys().copied());
    }

    /// A broker is reached elsewhere, or is not the same process: what its session knew is gone.
    pub(crate) fn refetch_from(&mut self, leader: NodeId, is_reborn: bool) {
        if is_reborn
            && let Some(fetcher) = self.fetchers.get_mut(&leader)
            && fetcher.busy
        {
            // A machine that lost power closed nothing: for seconds an answer of its last run would be waited for.
            fetcher.forget_session();
            if let Some(address) = self.broker_address(leader) {
                self.hang_up(Lane::Replica, &address);
            }
        }
        if let Some(fetcher) = self.fetchers.get_mut(&leader) {
            fetcher.retry_at = None;
            self.wake_fetchers.insert(leader);
        }
    }

    fn fetch_from(&mut self, leader: NodeId) {
        let now = self.now.at;
        let Some(fetcher) = self.fetchers.get(&leader) else { return };
        if fetcher.busy || self.stopping || fetcher.retry_at.is_some_and(|at| at > now) {
            return;
        }
        if fetcher.parts.is_empty() {
            self.fetchers.remove(&leader);
            return;
        }
        let Some(to) = self.broker_address(leader) else {
            return self.pause_fetcher(leader);
        };
        let Some(request) = self.fetch_request(leader) else { return };
        let wait_ms = self.settings.unsigned("replica.fetch.wait.max.ms");
        let question = Question {
            to: &to,
            lane: Lane::Replica,
            version: FETCH_VERSION,
            request: &request,
            timeout_ms: wait_ms + PATIENCE_MS,
        };
        self.fetchers.get_mut(&leader).expect("it was just looked up").busy = true;
        self.ask_peer(&question, move |shard, answer| shard.fetch_answered(leader, answer));
    }

    /// What the leader is to be asked; none where nothing may be fetched now.
    fn fetch_request(&mut self, leader: NodeId) -> Option<FetchRequest> {
        let (now, me) = (self.now.at, self.node.id);
        let mut fetcher = self.fetchers.remove(&leader)?;
        let mut topics = Topics::default();
        let max_bytes = i32::try_from(self.settings.unsigned("replica.fetch.max.bytes")).unwrap_or(i32::MAX);
        let mut wait_ms = self.settings.unsigned("replica.fetch.wait.max.ms");
        for partition in std::mem::take(&mut fetcher.changed) {
            let Some(part) = fetcher.parts.get_mut(&partition) else { continue };
            let position = self.partitions.replica(partition).and_then(|replica| replica.fetch_position());
            let in_sync = || self.image.partition(partition).is_some_and(|known| known.isr.contains(&me));
            let left = self.throttles.follower.left(now, partition).filter(|_| !part.caught_up && !in_sync());
            let paused = part.pause_until.is_some_and(|until| until > now) || left == Some(0);
            let max_bytes =
                left.and_then(|left| i32::try_from(left).ok()).map_or(max_bytes, |left| left.min(max_bytes));
            match position.filter(|_| !paused) {
                Some(position) => {
                    part.asked = Some(position);
                    topics.push(partition, wanted(partition.partition, &position, max_bytes));
                }
                None => {
                    // What others have to wait for must not hold this one up when its time comes.
                    if self.partitions.replica(partition).is_some_and(|replica| replica.owes_sync()) {
                        wait_ms = wait_ms.min(SYNC_WAIT_MS);
                    } else if part.pause_until.is_some_and(|until| until > now) {
                        wait_ms = wait_ms.min(RETRY_MS);
                    }
                    if part.asked.take().is_some() {
                        fetcher.forgotten.insert(partition);
                    }
                    fetcher.changed.insert(partition);
                }
            }
        }
        let forgotten = match fetcher.session {
            Some(_) => forgotten_topics(&std::mem::take(&mut fetcher.forgotten)),
            None => Vec::new(),
        };
        let asks = fetcher.parts.values().any(|part| part.asked.is_some());
        let (session_id, session_epoch) = fetcher.session.unwrap_or((0, 0));
        if !fetcher.changed.is_empty() {
            self.deadlines.insert((now.plus_ms(RETRY_MS), Deadline::Fetchers));
        }
        self.fetchers.insert(leader, fetcher);
        if !asks {
            return None;
        }
        let broker_epoch = self.image.broker(self.node.id).map_or(-1, |broker| broker.epoch);
        let setting = |name: &str| i32::try_from(self.settings.unsigned(name)).unwrap_or(i32::MAX);
        Some(FetchRequest {
            cluster_id: Some(self.node.cluster_id.clone()),
            replica_state: ReplicaState {
                replica_id: self.node.id.0,
                replica_epoch: broker_epoch,
                ..Default::default()
            },
            max_wait_ms: i32::try_from(wait_ms).unwrap_or(i32::MAX),
            min_bytes: setting("replica.fetch.min.bytes"),
            max_bytes: setting("replica.fetch.response.max.bytes"),
            session_id,
            session_epoch,
            topics: topics.list,
            forgotten_topics_data: forgotten,
            ..Default::default()
        })
    }

    fn fetch_answered(&mut self, leader: NodeId, answer: Result<FetchResponse, Unanswered>) {
        let Some(fetcher) = self.fetchers.get_mut(&leader) else { return };
        fetcher.busy = false;
        let response = match answer {
            Ok(response) => response,
            Err(why) => {
                // Who merely cannot reach a leader must not deny it to clients that can.
                let has_worked = fetcher.session.is_some();
                fetcher.forget_session();
                if has_worked && matches!(why, Unanswered::Closed(_)) {
                    self.doubt(leader);
                }
                self.log(Level::Debug, format!("fetching from broker {leader}: {why}"));
                return self.pause_fetcher(leader);
            }
        };
        self.doubted.remove(&leader);
        if !response.error_code.is_ok() {
            // The session is unknown or out of step, which a new one mends; any other error gets a pause.
            fetcher.forget_session();
            return match response.error_code {
                ErrorCode::FETCH_SESSION_ID_NOT_FOUND | ErrorCode::INVALID_FETCH_SESSION_EPOCH => {
                    self.wake_fetchers.insert(leader);
                }
                _ => self.pause_fetcher(leader),
            };
        }
        let session = (response.session_id != 0).then(|| {
            let epoch = fetcher.session.map_or(1, |(_, epoch)| if epoch == i32::MAX { 1 } else { epoch + 1 });
            (response.session_id, epoch)
        });
        fetcher.session = session;
        if session.is_none() {
            fetcher.changed = fetcher.parts.keys().copied().collect();
        }
        for topic in response.responses {
            for data in topic.partitions {
                let partition =
                    TopicPartition { topic: topic.topic_id, partition: PartitionIndex(data.partition_index) };
                self.take_fetched(leader, partition, data);
            }
        }
        self.wake_fetchers.insert(leader);
    }

    /// One partition's part of an answer.
    fn take_fetched(&mut self, leader: NodeId, partition: TopicPartition, data: PartitionData) {
        let Some(part) = self.fetchers.get_mut(&leader).and_then(|fetcher| fetcher.parts.get_mut(&partition)) else {
            return;
        };
        let asked = part.asked;
        let now = self.now;
        let Some(replica) = self.partitions.replica(partition) else { return };
        let position = replica.fetch_position();
        if self.moves.get(&partition).is_some_and(Move::is_held) {
            return self.pause_part(leader, partition);
        }
        if position.is_none() || position != asked {
            return self.ask_again(leader, partition);
        }
        match data.error_code {
            ErrorCode::NONE => {}
            ErrorCode::OFFSET_OUT_OF_RANGE => return self.ask_range(leader, partition),
            // The image will say who leads; until it does, asking again soon would only be noise.
            _ => return self.pause_part(leader, partition),
        }
        let diverging = &data.diverging_epoch;
        if diverging.epoch >= 0 || diverging.end_offset >= 0 {
            let (epoch, end) = (LeaderEpoch(diverging.epoch), Offset(diverging.end_offset));
            let leader_epoch = asked.map_or(LeaderEpoch::NONE, |asked| asked.leader_epoch);
            let cut = replica.diverged(now, &Divergence { leader_epoch, epoch, end_offset: end });
            return self.cut_back(leader, partition, cut);
        }
        let records = match data.records {
            Some(Records::Bytes(bytes)) => bytes,
            Some(Records::External { .. }) | None => bytes::Bytes::new(),
        };
        let Some(asked) = asked else { return };
        let high_watermark = Offset(data.high_watermark);
        let appended = replica.append_fetched(
            now,
            &Fetched {
                leader_epoch: asked.leader_epoch,
                offset: asked.offset,
                records: &records,
                high_watermark,
                log_start_offset: Offset(data.log_start_offset),
            },
        );
        part.caught_up = replica.log().is_some_and(|log| log.end_offset() >= high_watermark);
        match appended {
            Ok(bytes) => {
                self.throttles.follower.record(now.at, partition, bytes as u64);
                if bytes > 0 {
                    self.ask_again(leader, partition);
                }
                self.after_following(partition);
            }
            Err(failure) => self.following_failed(leader, partition, &failure),
        }
    }

    fn cut_back(&mut self, leader: NodeId, partition: TopicPartition, cut: Result<Offset, Failure>) {
        match cut {
            Ok(end) => {
                let asked = self.fetchers.get(&leader).and_then(|fetcher| fetcher.parts.get(&partition)?.asked);
                if asked.is_none_or(|asked| asked.offset != end) {
                    let text =
                        format!("{}: cut back to offset {end}, as broker {leader} has it", self.title(partition));
                    self.log(Level::Info, text);
                }
                // What a checkpoint says is synced must not lie beyond the end.
                self.checkpoint_soon();
                self.after_following(partition);
                self.ask_again(leader, partition);
                self.wake_fetchers.insert(leader);
            }
            Err(failure) => self.following_failed(leader, partition, &failure),
        }
    }

    fn following_failed(&mut self, leader: NodeId, partition: TopicPartition, failure: &Failure) {
        let text = format!("{} cannot follow broker {leader}: {failure}", self.title(partition));
        self.log(Level::Warn, text);
        self.after_following(partition);
        self.pause_part(leader, partition);
    }

    /// What following did to a replica is looked after as what a producer did to a leader is.
    fn after_following(&mut self, partition: TopicPartition) {
        self.note_offline(partition);
        self.touch(partition);
    }

    fn ask_again(&mut self, leader: NodeId, partition: TopicPartition) {
        if let Some(fetcher) = self.fetchers.get_mut(&leader) {
            fetcher.changed.insert(partition);
        }
    }

    /// A follower that acknowledges only what is durable may have more to say after a sync.
    pub(crate) fn synced_follower(&mut self, partition: TopicPartition) {
        let followed = self.partitions.replica(partition).filter(|replica| !replica.is_leader());
        if let Some(leader) = followed.and_then(|replica| replica.leader()) {
            self.ask_again(leader, partition);
            self.wake_fetchers.insert(leader);
        }
    }

    fn pause_part(&mut self, leader: NodeId, partition: TopicPartition) {
        let until = self.now.at.plus_ms(RETRY_MS);
        if let Some(part) = self.part_of(leader, partition) {
            (part.pause_until, part.start) = (Some(until), None);
            self.ask_again(leader, partition);
        }
        self.deadlines.insert((until, Deadline::Fetchers));
    }

    fn pause_fetcher(&mut self, leader: NodeId) {
        let backoff_ms = self.settings.unsigned("replica.fetch.backoff.ms").clamp(1, BACKOFF_MAX_MS);
        let until = self.now.at.plus_ms(backoff_ms);
        if let Some(fetcher) = self.fetchers.get_mut(&leader) {
            fetcher.retry_at = Some(until);
        }
        self.deadlines.insert((until, Deadline::Fetchers));
    }

    /// Nothing of the leader's log begins where this replica ends: where does it begin and end?
    fn ask_range(&mut self, leader: NodeId, partition: TopicPartition) {
        self.pause_part(leader, partition);
        let (Some(to), Some(topic)) = (self.broker_address(leader), self.image.topic(partition.topic).cloned()) else {
            return;
        };
        let Some(position) = self.partitions.replica(partition).and_then(|replica| replica.fetch_position()) else {
            return;
        };
        // Both at once: where segments are deleted fast, a beginning that is told late is gone, too.
        self.ask_bound(&to, &topic.name, partition, position, EARLIEST, move |shard, start| {
            if let Some(part) = shard.part_of(leader, partition) {
                part.start = Some(start);
            }
        });
        self.ask_bound(&to, &topic.name, partition, position, LATEST, move |shard, end| {
            let start = shard.part_of(leader, partition).and_then(|part| part.start.take());
            let (now, leader_epoch, is_held) = (shard.now, position.leader_epoch, shard.is_held(partition));
            let replica = shard.partitions.replica(partition).filter(|_| !is_held);
            let replica = replica.filter(|replica| replica.fetch_position() == Some(position));
            if let (Some(start), Some(replica)) = (start, replica) {
                let cut = replica.out_of_range(now, &OutOfRange { leader_epoch, start_offset: start, end_offset: end });
                let goes_on = matches!(cut, Ok(end) if end != position.offset);
                shard.cut_back(leader, partition, cut);
                if let Some(part) = shard.part_of(leader, partition).filter(|_| goes_on) {
                    part.pause_until = None;
                }
            }
        });
    }

    fn part_of(&mut self, leader: NodeId, partition: TopicPartition) -> Option<&mut Part> {
        self.fetchers.get_mut(&leader)?.parts.get_mut(&partition)
    }

    fn ask_bound(
        &mut self,
        to: &Address,
        topic: &types::Text,
        partition: TopicPartition,
        position: FetchPosition,
        bound: i64,
        then: impl FnOnce(&mut Shard<D>, Offset) + Send + 'static,
    ) {
        let part = ListOffsetsPartition {
            partition_index: partition.partition.0,
            current_leader_epoch: position.leader_epoch.0,
            timestamp: bound,
            ..Default::default()
        };
        let topics = vec![ListOffsetsTopic { name: topic.clone(), partitions: vec![part], ..Default::default() }];
        let request = ListOffsetsRequest { replica_id: self.node.id.0, topics, ..Default::default() };
        let question = Question {
            to,
            lane: Lane::Replica,
            version: LIST_OFFSETS_VERSION,
            request: &request,
            timeout_ms: PATIENCE_MS,
        };
        self.ask_peer(&question, move |shard, answer| {
            if let Some(offset) = answer.ok().and_then(listed) {
                then(shard, offset);
            }
        });
    }
}

const EARLIEST: i64 = -4;
const LATEST: i64 = -1;

fn listed(response: ListOffsetsResponse) -> Option<Offset> {
    let part = response.topics.first()?.partitions.first()?;
    (part.error_code.is_ok() && part.offset >= 0).then_some(Offset(part.offset))
}

/// Partitions of a request, those of one topic together.
#[derive(Default)]
struct Topics {
    list: Vec<FetchTopic>,
}

impl Topics {
    /// Partitions come in order, so those of a topic come one after another.
    fn push(&mut self, partition: TopicPartition, part: FetchPartition) {
        match self.list.last_mut() {
            Some(last) if last.topic_id == partition.topic => last.partitions.push(part),
            Some(_) | None => {
                self.list.push(FetchTopic { topic_id: partition.topic, partitions: vec![part], ..Default::default() })
            }
        }
    }
}

fn wanted(index: PartitionIndex, position: &FetchPosition, max_bytes: i32) -> FetchPartition {
    FetchPartition {
        partition: index.0,
        current_leader_epoch: position.leader_epoch.0,
        fetch_offset: position.offset.0,
        last_fetched_epoch: position.last_fetched_epoch.0,
        log_start_offset: position.log_start_offset.0,
        partition_max_bytes: max_bytes,
        high_watermark: position.high_watermark.map_or(i64::MAX, |offset| offset.0),
        ..Default::default()
    }
}

fn forgotten_topics(forgotten: &BTreeSet<TopicPartition>) -> Vec<ForgottenTopic> {
    let mut topics: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
    for partition in forgotten {
        topics.entry(partition.topic).or_default().push(partition.partition.0);
    }
    let topic = |(topic_id, partitions)| ForgottenTopic { topic_id, partitions, ..Default::default() };
    topics.into_iter().map(topic).collect()
}
