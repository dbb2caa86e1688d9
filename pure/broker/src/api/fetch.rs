//! Fetch 4 to 18, for consumers.
//!
//! 5 returns the log start offset, 7 has sessions (KIP-227), 9 checks the leader epoch (KIP-320), 11 prefers a replica
//! (KIP-392), 12 is flexible, 13 names topics by id (KIP-516), 15 moves the replica id to a tagged field (KIP-903), 16
//! hints at a new leader (KIP-951), 17 and 18 are for replicas.
//!
//! Records are never copied: the answer names ranges of segment files. A fetch that finds too little watches its
//! partitions and looks again at the first change or at its deadline.

use crate::call::{Call, Step, Until};
use crate::fetch_session::{Ask, PartKey, Told, TopicKey, Wanted};
use crate::session::Request;
use crate::shard::Shard;
use crate::work::{Outcome, PartitionOp, Work};
use log::Disk;
use log::FileRange;
use replica::{Isolation, Read, Slice};
use types::codec::{DecodeError, Reader};
use types::{ErrorCode, Instant, LeaderEpoch, Offset, PartitionIndex, Text, TopicId, Uuid};
use wire::fetch_request::FetchTopic;
use wire::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use wire::{FetchRequest, FetchResponse, Records};

/// A fetch that may look several times.
struct Fetching {
    request: Request,
    session: i32,
    incremental: bool,
    parts: Vec<(PartKey, Wanted)>,
    isolation: Isolation,
    min_bytes: u64,
    max_bytes: u64,
    deadline: Instant,
}

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, body: Reader) -> Result<Step<D>, DecodeError> {
    let asked: FetchRequest = request.decode(body)?;
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
            return Ok(request.reply(&FetchResponse { error_code, ..Default::default() }));
        }
    };
    let limit = shard.settings.fetch_max_bytes();
    let fetching = Fetching {
        session: opened.id,
        incremental: opened.incremental,
        parts: opened.parts,
        isolation: if asked.isolation_level == 1 { Isolation::Committed } else { Isolation::HighWatermark },
        min_bytes: u64::try_from(asked.min_bytes).unwrap_or(0),
        max_bytes: u64::try_from(asked.max_bytes).unwrap_or(0).min(limit),
        deadline: now.plus_ms(u64::try_from(asked.max_wait_ms).unwrap_or(0)),
        request,
    };
    Ok(look(shard, fetching))
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
        };
        ((key.clone(), PartitionIndex(part.partition)), wanted)
    })
}

/// Reads every partition once.
fn look<D: Disk>(shard: &mut Shard<D>, fetching: Fetching) -> Step<D> {
    let works = fetching
        .parts
        .iter()
        .map(|(key, wanted)| match resolve(shard, key) {
            Ok(partition) => {
                let read = Read {
                    offset: wanted.fetch_offset,
                    // One partition alone may fill the answer; what is too much for all together is cut when they are
                    // gathered, which costs nothing, for a slice is only a reference.
                    max_bytes: u32::try_from(fetching.max_bytes).unwrap_or(u32::MAX).min(wanted.max_bytes),
                    min_one_batch: true,
                    isolation: fetching.isolation,
                    current_leader_epoch: wanted.current_leader_epoch,
                    last_fetched_epoch: wanted.last_fetched_epoch,
                    ..Read::default()
                };
                Work::Partition { partition, op: PartitionOp::Fetch(read) }
            }
            Err(code) => Work::refused(code, String::new()),
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
    for outcome in &outcomes {
        match outcome {
            Outcome::Fetched(slice) => bytes += slice.length(),
            _ => settled = true,
        }
    }
    let enough = settled || fetching.parts.is_empty() && fetching.session == 0 || bytes >= fetching.min_bytes;
    if enough || shard.now.at >= fetching.deadline || shard.stopping {
        return answer(shard, &fetching, outcomes);
    }
    let watch = |((key, _), outcome): (&(PartKey, Wanted), &Outcome<D>)| match (resolve(shard, key), outcome) {
        (Ok(partition), Outcome::Fetched(slice)) => {
            let seen = match fetching.isolation {
                Isolation::Committed => slice.last_stable_offset,
                Isolation::HighWatermark | Isolation::LogEnd => slice.high_watermark,
            };
            let op = PartitionOp::Watch { seen, isolation: fetching.isolation };
            Work::Partition { partition, op }
        }
        (Ok(_) | Err(_), _) => Work::refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, String::new()),
    };
    let works: Vec<Work> = fetching.parts.iter().zip(&outcomes).map(watch).collect();
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
    for ((key, _), outcome) in fetching.parts.iter().zip(outcomes) {
        let mut pieces = Vec::new();
        let mut data = match outcome {
            Outcome::Fetched(slice) => slice_data(slice, fetching, &mut pieces),
            other => failure_data(other.into_failure().0),
        };
        data.partition_index = key.1.0;
        shard.figures.error(fetching.request.key, data.error_code);
        let length = cut(&mut pieces, &mut left, files.is_empty());
        if length > 0 {
            let slot = u32::try_from(files.len()).expect("a request has fewer partitions");
            data.records = Some(Records::External { length, slot });
            files.push(pieces);
            last_with_records = Some(key.clone());
        }
        let told = Told {
            must: length > 0 || !data.error_code.is_ok() || data.diverging_epoch != Default::default(),
            error: !data.error_code.is_ok(),
            high_watermark: Offset(data.high_watermark),
            log_start_offset: Offset(data.log_start_offset),
        };
        let news = fetching.session == 0 || shard.fetch_sessions.tell(fetching.session, key, told);
        if news || !fetching.incremental {
            push(&mut responses, &key.0, data);
        }
        shard.figures.bytes_fetched += u64::from(length);
    }
    if let Some(key) = last_with_records {
        shard.fetch_sessions.turn(fetching.session, key);
    }
    let response = FetchResponse { session_id: fetching.session, responses, ..Default::default() };
    fetching.request.reply_with(&response, &files)
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
