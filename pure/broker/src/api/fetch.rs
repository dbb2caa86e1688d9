//! Fetch 4 to 18, for consumers and for replicas.
//!
//! 5 returns the log start offset, 7 has sessions (KIP-227), 9 checks the leader epoch (KIP-320), 11 prefers a replica
//! (KIP-392), 12 is flexible, 13 names topics by id (KIP-516), 15 moves the replica id to a tagged field (KIP-903), 16
//! hints at a new leader (KIP-951), 17 and 18 are for replicas.
//!
//! Records are never copied: the answer names ranges of segment files. A fetch that finds too little watches its
//! partitions and looks again at the first change or at its deadline.

use super::leaders::Leaders;
use super::{Disk, Outcome, PartitionOp, Request, Shard, Step, Work, quorum, reached};
use crate::call::{Call, Until};
use crate::fetch_session::{Ask, News, PartKey, Told, TopicKey, Wanted};
use crate::node::Reachable;
use crate::raft::is_of_metadata;
use log::FileRange;
use replica::{Fetcher, Isolation, Read, ReplicaView, Slice};
use types::{
    BrokerEpoch, ErrorCode, Instant, LeaderEpoch, NodeId, Offset, PartitionIndex, ShardId, Text, TopicId, Uuid,
};
use wire::fetch_request::FetchTopic;
use wire::fetch_response::{AbortedTransaction, FetchableTopicResponse, NodeEndpoint, PartitionData};
use wire::{FetchRequest, FetchResponse, Records};

/// From so many partitions on, a consumer's session looks only at those that have changed.
const MANY_PARTITIONS: usize = 64;
/// All are looked at from time to time, for time alone changes how late a follower is.
const ALL_EVERY_MS: u64 = 1000;

/// A fetch that may look several times.
struct Fetching {
    request: Request,
    session: i32,
    incremental: bool,
    /// Looks only at what has changed in its session.
    by_changes: bool,
    parts: Vec<(PartKey, Wanted)>,
    isolation: Isolation,
    /// The replica that fetches, and the run of its broker; none where a consumer does.
    follower: Option<(NodeId, BrokerEpoch)>,
    /// Where the consumer is, where it said so and is to be sent to a replica near it.
    rack: Option<Text>,
    min_bytes: u64,
    max_bytes: u64,
    deadline: Instant,
}

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: FetchRequest) -> Step<D> {
    if is_of_metadata(&asked) {
        return quorum::start(shard, request, asked);
    }
    let follower = follower(&request, &asked);
    let uses_ids = request.version >= 13;
    let parts = asked.topics.iter().flat_map(|topic| parts_of(topic, uses_ids)).collect();
    let forgotten = asked
        .forgotten_topics_data
        .iter()
        .flat_map(|topic| {
            let key = topic_key(uses_ids, topic.topic_id, &topic.topic);
            topic.partitions.iter().map(move |partition| (key.clone(), PartitionIndex(*partition)))
        })
        .collect();
    let (id, epoch) = if request.version >= 7 { (asked.session_id, asked.session_epoch) } else { (0, -1) };
    let ask = Ask { id, epoch, uses_ids, parts, forgotten };
    let now = shard.now.at;
    let opened = match shard.fetch_sessions.open(now, &mut shard.rng, ask) {
        Ok(opened) => opened,
        Err(error_code) => {
            shard.figures.error(request.key, error_code);
            return request.reply(&FetchResponse { error_code, ..Default::default() });
        }
    };
    let limit = shard.settings.unsigned("fetch.max.bytes");
    // A change is told by the topic's id. A few partitions are looked at faster than it is found out which have changed;
    // a follower wants nearly all that changes.
    let many = follower.is_some() || opened.count >= MANY_PARTITIONS;
    let by_changes = opened.incremental && uses_ids && many;
    let fetching = Fetching {
        session: opened.id,
        incremental: opened.incremental,
        by_changes,
        parts: match opened.incremental {
            true if by_changes => Vec::new(),
            true => shard.fetch_sessions.all(opened.id),
            false => opened.parts,
        },
        isolation: match (follower, asked.isolation_level) {
            (Some(_), _) => Isolation::LogEnd,
            (None, 1) => Isolation::Committed,
            (None, _) => Isolation::HighWatermark,
        },
        follower,
        rack: rack(shard, &request, &asked),
        min_bytes: u64::try_from(asked.min_bytes).unwrap_or(0),
        max_bytes: u64::try_from(asked.max_bytes).unwrap_or(0).min(limit),
        deadline: now.plus_ms(u64::try_from(asked.max_wait_ms).unwrap_or(0)),
        request,
    };
    look(shard, fetching)
}

fn follower(request: &Request, asked: &FetchRequest) -> Option<(NodeId, BrokerEpoch)> {
    let (id, broker_epoch) = match request.version {
        ..15 => (asked.replica_id, -1),
        15.. => (asked.replica_state.replica_id, asked.replica_state.replica_epoch),
    };
    (id >= 0).then_some((NodeId(id), BrokerEpoch(broker_epoch)))
}

/// The consumer's rack, where this broker sends consumers to replicas near them (`replica.selector.class`).
fn rack<D: Disk>(shard: &Shard<D>, request: &Request, asked: &FetchRequest) -> Option<Text> {
    let selector = shard.settings.values.text("replica.selector.class")?;
    let aware = selector.ends_with("RackAwareReplicaSelector");
    (aware && request.version >= 11 && !asked.rack_id.is_empty()).then(|| asked.rack_id.detached())
}

/// The in-sync replica in the consumer's rack that it is sent to: none where this one is there, too, or where none has
/// what it asks for (KIP-392).
fn closer<D: Disk, F>(shard: &Shard<D>, rack: &Text, offset: Offset, slice: &Slice<F>) -> Option<NodeId> {
    let is_near =
        |id: NodeId| shard.image.broker(id).is_some_and(|known| known.is_alive() && known.rack.as_ref() == Some(rack));
    let (leader, others) = slice.replicas.split_first()?;
    if is_near(leader.id) {
        return None;
    }
    let has_it = |view: &&ReplicaView| view.in_isr && (view.log_start_offset..=view.log_end_offset).contains(&offset);
    let near = others.iter().filter(has_it).filter(|view| is_near(view.id));
    near.max_by_key(|view| view.log_end_offset).map(|view| view.id)
}

fn topic_key(uses_ids: bool, id: TopicId, name: &Text) -> TopicKey {
    if uses_ids { TopicKey::Id(id) } else { TopicKey::Name(name.clone()) }
}

fn parts_of(topic: &FetchTopic, uses_ids: bool) -> impl Iterator<Item = (PartKey, Wanted)> + '_ {
    let key = topic_key(uses_ids, topic.topic_id, &topic.topic);
    topic.partitions.iter().map(move |part| {
        let wanted = Wanted {
            fetch_offset: Offset(part.fetch_offset),
            max_bytes: u32::try_from(part.partition_max_bytes).unwrap_or(0),
            current_leader_epoch: LeaderEpoch(part.current_leader_epoch),
            last_fetched_epoch: LeaderEpoch(part.last_fetched_epoch),
            log_start_offset: Offset(part.log_start_offset),
            high_watermark: (part.high_watermark < i64::MAX).then_some(Offset(part.high_watermark)),
        };
        ((key.clone(), PartitionIndex(part.partition)), wanted)
    })
}

/// Reads every partition once, or every one that may have something new.
fn look<D: Disk>(shard: &mut Shard<D>, mut fetching: Fetching) -> Step<D> {
    if !fetching.by_changes {
        return read(shard, fetching);
    }
    let ask = |shard: &Shard<D>, number| {
        let owner = ShardId(number);
        Work::Changes { shard: owner, since: shard.fetch_sessions.seen(fetching.session, owner) }
    };
    let works = (0..shard.node.shards).map(|number| ask(shard, number)).collect();
    Step::all(works, move |shard, outcomes| {
        let news = |(number, outcome)| match outcome {
            Outcome::Changes { next, partitions } => Some(News { shard: ShardId(number), next, partitions }),
            _ => None,
        };
        let news = (0..).zip(outcomes).filter_map(news).collect();
        let all_every_ms = (shard.settings.unsigned("replica.lag.time.max.ms") / 4).clamp(1, ALL_EVERY_MS);
        fetching.parts = shard.fetch_sessions.stale(fetching.session, shard.now.at, all_every_ms, news);
        read(shard, fetching)
    })
}

fn read<D: Disk>(shard: &mut Shard<D>, fetching: Fetching) -> Step<D> {
    let works = fetching
        .parts
        .iter()
        .map(|(key, wanted)| {
            let read = Read {
                offset: wanted.fetch_offset,
                // One partition alone may fill the answer; what is too much for all together is cut when they are
                // gathered, which costs nothing, for a slice is only a reference.
                max_bytes: u32::try_from(fetching.max_bytes).unwrap_or(u32::MAX).min(wanted.max_bytes),
                min_one_batch: true,
                isolation: fetching.isolation,
                current_leader_epoch: wanted.current_leader_epoch,
                last_fetched_epoch: wanted.last_fetched_epoch,
                // From 11 on a consumer may be sent to a follower (KIP-392).
                leader_only: fetching.follower.is_some() || fetching.request.version < 11,
                fetcher: fetching.follower.map(|(id, broker_epoch)| Fetcher {
                    id,
                    broker_epoch,
                    log_start_offset: wanted.log_start_offset,
                    high_watermark: wanted.high_watermark,
                }),
                wants_replicas: fetching.rack.is_some(),
            };
            Work::of_partition(resolve(shard, key), PartitionOp::Fetch(read))
        })
        .collect();
    Step::all(works, move |shard, outcomes| consider(shard, fetching, outcomes))
}

fn resolve<D: Disk>(shard: &Shard<D>, (topic, partition): &PartKey) -> Result<types::TopicPartition, ErrorCode> {
    match topic {
        TopicKey::Id(id) => shard.resolve_id(*id, *partition),
        TopicKey::Name(name) => shard.resolve(Uuid::ZERO, name, *partition),
    }
}

/// Answers, or waits for more.
fn consider<D: Disk>(shard: &mut Shard<D>, fetching: Fetching, outcomes: Vec<Outcome<D>>) -> Step<D> {
    let mut bytes = 0;
    let mut settled = false;
    for ((_, wanted), outcome) in fetching.parts.iter().zip(&outcomes) {
        match outcome {
            Outcome::Fetched(slice) => {
                bytes += slice.length();
                let rack = fetching.rack.as_ref();
                settled |= rack.is_some_and(|rack| closer(shard, rack, wanted.fetch_offset, slice).is_some());
            }
            _ => settled = true,
        }
    }
    let enough = settled || bytes >= fetching.min_bytes;
    if enough || shard.now.at >= fetching.deadline || shard.stopping {
        return answer(shard, &fetching, outcomes);
    }
    let counts = fetching.follower.is_some() && shard.throttles.leader.is_on();
    if counts {
        let unsent = fetching.parts.iter().zip(&outcomes).filter_map(|((key, _), outcome)| match outcome {
            Outcome::Fetched(slice) if slice.length() > 0 => Some((resolve(shard, key).ok()?, slice.length())),
            _ => None,
        });
        let unsent = unsent.collect();
        shard.count_as_unsent(unsent);
    }
    let watch = |((key, _), outcome): (&(PartKey, Wanted), &Outcome<D>)| match (resolve(shard, key), outcome) {
        (Ok(partition), Outcome::Fetched(slice)) => {
            let seen = match fetching.isolation {
                Isolation::Committed => slice.last_stable_offset,
                Isolation::HighWatermark => slice.high_watermark,
                Isolation::LogEnd => slice.log_end_offset,
            };
            let op = PartitionOp::Watch { seen, isolation: fetching.isolation };
            Work::Partition { partition, op }
        }
        (Ok(_) | Err(_), _) => Work::refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, String::new()),
    };
    let watch_shard = |number| {
        let owner = ShardId(number);
        Some(Work::WatchChanges { shard: owner, since: shard.fetch_sessions.seen(fetching.session, owner)? })
    };
    let works: Vec<Work> = match fetching.by_changes {
        true => (0..shard.node.shards).filter_map(watch_shard).collect(),
        false => fetching.parts.iter().zip(&outcomes).map(watch).collect(),
    };
    if works.is_empty() {
        // Nothing is asked for, or the session has made room for another: nothing would end the wait.
        return answer(shard, &fetching, outcomes);
    }
    Step::Call(Call {
        works,
        until: Until::First(fetching.deadline),
        then: Box::new(move |shard, _| look(shard, fetching)),
    })
}

fn answer<D: Disk>(shard: &mut Shard<D>, fetching: &Fetching, outcomes: Vec<Outcome<D>>) -> Step<D> {
    let mut files: Vec<Vec<FileRange<D::File>>> = Vec::new();
    let mut left = fetching.max_bytes;
    let mut responses: Vec<FetchableTopicResponse> = Vec::new();
    let mut last_with_records = None;
    let mut leaders = Leaders::default();
    let mut unsent = Vec::new();
    let counts = fetching.follower.is_some() && shard.throttles.leader.is_on();
    for ((key, wanted), outcome) in fetching.parts.iter().zip(outcomes) {
        let mut pieces = Vec::new();
        let mut all = false;
        let mut data = match outcome {
            Outcome::Fetched(slice) => {
                // A throttle may keep back what is there.
                let at_end = fetching.follower.is_none() || slice.log_end_offset <= wanted.fetch_offset;
                all = slice.length() == 0 && slice.diverging.is_none() && at_end;
                let rack = fetching.rack.as_ref();
                let near = rack.and_then(|rack| closer(shard, rack, wanted.fetch_offset, &slice));
                let mut data = slice_data(slice, fetching, &mut pieces);
                if let Some(near) = near {
                    data.preferred_read_replica = near.0;
                    pieces.clear();
                }
                data
            }
            other => failure_data(other.into_failure().0),
        };
        data.partition_index = key.1.0;
        if !data.error_code.is_ok()
            && let Ok(partition) = resolve(shard, key)
            && let Some((id, epoch)) = leaders.hint(shard, fetching.request.slot.connection, partition, data.error_code)
        {
            data.current_leader.leader_id = id;
            data.current_leader.leader_epoch = epoch;
        }
        shard.figures.error(fetching.request.key, data.error_code);
        let whole: u64 = pieces.iter().map(|piece| u64::from(piece.length)).sum();
        let length = cut(&mut pieces, &mut left, files.is_empty());
        if counts
            && whole > u64::from(length)
            && let Ok(partition) = resolve(shard, key)
        {
            unsent.push((partition, whole - u64::from(length)));
        }
        if length > 0 {
            let slot = u32::try_from(files.len()).expect("a request has fewer partitions");
            data.records = Some(Records::External { length, slot });
            files.push(pieces);
            last_with_records = Some(key.clone());
        }
        let told = told(&data, length, all);
        let news = fetching.session == 0 || shard.fetch_sessions.tell(fetching.session, key, told);
        if news || !fetching.incremental {
            push(&mut responses, &key.0, data);
        }
        shard.figures.bytes_fetched += u64::from(length);
    }
    if let Some(key) = last_with_records {
        shard.fetch_sessions.turn(fetching.session, key);
    }
    shard.count_as_unsent(unsent);
    let node_endpoints = leaders.into_brokers().map(|broker| reached!(broker, NodeEndpoint { node_id })).collect();
    let response = FetchResponse { session_id: fetching.session, responses, node_endpoints, ..Default::default() };
    fetching.request.reply_with(&response, &files)
}

/// What the session is to remember of an answer with so many bytes of records.
fn told(data: &PartitionData, length: u32, all: bool) -> Told {
    let error = !data.error_code.is_ok();
    Told {
        must: length > 0 || error || data.preferred_read_replica >= 0 || data.diverging_epoch != Default::default(),
        error,
        all,
        high_watermark: Offset(data.high_watermark),
        log_start_offset: Offset(data.log_start_offset),
    }
}

fn slice_data<F: log::DiskFile>(slice: Slice<F>, fetching: &Fetching, pieces: &mut Vec<FileRange<F>>) -> PartitionData {
    let aborted = |(producer_id, first_offset): &(types::ProducerId, Offset)| AbortedTransaction {
        producer_id: producer_id.0,
        first_offset: first_offset.0,
        ..Default::default()
    };
    let mut data = PartitionData {
        high_watermark: slice.high_watermark.0,
        last_stable_offset: slice.last_stable_offset.0,
        log_start_offset: slice.log_start_offset.0,
        aborted_transactions: match fetching.isolation {
            Isolation::Committed => Some(slice.aborted.iter().map(aborted).collect()),
            Isolation::HighWatermark | Isolation::LogEnd => None,
        },
        preferred_read_replica: -1,
        // An empty record set, never null: librdkafka would not report the end of the partition.
        records: Some(Records::default()),
        ..Default::default()
    };
    if let Some((epoch, end_offset)) = slice.diverging {
        data.diverging_epoch.epoch = epoch.0;
        data.diverging_epoch.end_offset = end_offset.0;
    }
    *pieces = slice.pieces;
    data
}

fn failure_data(error_code: ErrorCode) -> PartitionData {
    PartitionData {
        error_code,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        aborted_transactions: None,
        preferred_read_replica: -1,
        records: Some(Records::default()),
        ..Default::default()
    }
}

/// Cuts the pieces to what is left for the answer; the first records of an answer always go whole, so that a consumer
/// makes progress whatever its limits are. Returns how many bytes go.
fn cut<F>(pieces: &mut Vec<FileRange<F>>, left: &mut u64, first: bool) -> u32 {
    let mut sum: u32 = 0;
    for piece in pieces.iter_mut() {
        if !first {
            let room = left.saturating_sub(u64::from(sum));
            piece.length = piece.length.min(u32::try_from(room).unwrap_or(u32::MAX));
        }
        sum = sum.saturating_add(piece.length);
    }
    pieces.retain(|piece| piece.length > 0);
    *left = left.saturating_sub(u64::from(sum));
    sum
}

/// Adds a partition to the answer, under the topic it belongs to where that came last.
fn push(responses: &mut Vec<FetchableTopicResponse>, key: &TopicKey, data: PartitionData) {
    let (topic, topic_id) = match key {
        TopicKey::Id(id) => (Text::default(), *id),
        TopicKey::Name(name) => (name.clone(), Uuid::ZERO),
    };
    match responses.last_mut() {
        Some(last) if last.topic == topic && last.topic_id == topic_id => last.partitions.push(data),
        Some(_) | None => {
            responses.push(FetchableTopicResponse { topic, topic_id, partitions: vec![data], ..Default::default() });
        }
    }
}
