//! The producer's engine: records become batches, batches become requests, answers become delivery reports.
//!
//! Owns the order of records in a partition and, with idempotence, that each is stored once. A batch that failed in a
//! way that may pass is sent again before any that follows it.

mod lane;
mod partitioner;

use crate::cluster::{Call, Cluster, Failure, Options, Target};
use crate::{Event, Transmit};
use bytes::Bytes;
use lane::{Batch, Lane, Verdict};
use record::Codec;
use std::collections::{BTreeMap, VecDeque};
use types::{
    ErrorCode, Instant, NodeId, Now, Offset, PartitionIndex, ProducerEpoch, ProducerId, Text, Timestamp, TopicId,
};
use wire::produce_request::{PartitionProduceData, TopicProduceData};
use wire::{InitProducerIdRequest, ProduceRequest, Records, Response};

/// How many replicas must have a record before it counts as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    None,
    Leader,
    All,
}

/// Kafka's names and defaults.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    pub cluster: Options,
    /// `acks`
    pub acks: Acks,
    /// `enable.idempotence`; needs acks of all.
    pub idempotent: bool,
    /// `linger.ms`
    pub linger_ms: u64,
    /// `batch.size`
    pub batch_bytes: usize,
    /// `max.request.size`
    pub request_bytes_max: usize,
    /// `buffer.memory`
    pub buffer_bytes: usize,
    /// `delivery.timeout.ms`
    pub delivery_timeout_ms: u64,
    /// `max.in.flight.requests.per.connection`
    pub in_flight_max: usize,
    /// `compression.type` and its level.
    pub codec: (Codec, i32),
}

impl Default for ProducerOptions {
    fn default() -> Self {
        ProducerOptions {
            cluster: Options::default(),
            acks: Acks::All,
            idempotent: true,
            linger_ms: 5,
            batch_bytes: 16_384,
            request_bytes_max: 1 << 20,
            buffer_bytes: 32 << 20,
            delivery_timeout_ms: 120_000,
            in_flight_max: 5,
            codec: (Codec::None, 0),
        }
    }
}

/// A record to send.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub topic: Text,
    /// Chosen by the key, or in turn where there is none, unless it is given.
    pub partition: Option<PartitionIndex>,
    /// The time of sending where it is not given.
    pub timestamp: Option<Timestamp>,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(Text, Option<Bytes>)>,
}

impl Message {
    fn size_bytes(&self) -> usize {
        let part = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + part(value) + 10).sum();
        part(&self.key) + part(&self.value) + headers + 30
    }
}

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub partition: PartitionIndex,
    /// Unknown with acks of none, and where the broker only knows that it has the record already.
    pub offset: Option<Offset>,
    /// When the broker appended the record, where the topic dates records so.
    pub append_time: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The broker refused the record.
    Refused { code: ErrorCode, message: Option<String> },
    /// `delivery.timeout.ms` has passed. The record may have been stored where it was sent at all.
    TimedOut { was_sent: bool },
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The number that `send` was given.
    pub tag: u64,
    pub result: Result<Place, SendError>,
}

/// A topic and a partition of it.
type Spot = (Text, PartitionIndex);

/// A batch of a request: where it belongs, and the id its topic had when it was sent.
#[derive(Clone, Debug)]
struct Shipment {
    spot: Spot,
    topic: TopicId,
    serial: u64,
}

type Sent = Vec<Shipment>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    /// Not idempotent.
    Nobody,
    /// To be asked for; `Some` where an epoch is to be bumped.
    Wanted(Option<(ProducerId, ProducerEpoch)>),
    Asked(Call, Option<(ProducerId, ProducerEpoch)>),
    Known(ProducerId, ProducerEpoch),
    /// A sequence number will never be used: once nothing is in doubt, a new epoch is asked for.
    Spent(ProducerId, ProducerEpoch),
}

#[derive(Debug)]
pub struct Producer {
    options: ProducerOptions,
    cluster: Cluster,
    identity: Identity,
    identity_failed: u32,
    identity_not_before: Instant,
    lanes: BTreeMap<Spot, Lane>,
    /// Records of topics about which nothing is known yet.
    homeless: BTreeMap<Text, VecDeque<(Message, u64, Instant)>>,
    sticky: BTreeMap<Text, PartitionIndex>,
    requests: BTreeMap<Call, Sent>,
    buffered_bytes: usize,
    deliveries: VecDeque<Delivery>,
    flushing: bool,
    metadata_epoch: u64,
    /// The latest moment that was heard of.
    now: Instant,
}

impl Producer {
    #[must_use]
    pub fn new(options: ProducerOptions) -> Producer {
        let idempotent = options.idempotent && options.acks == Acks::All;
        Producer {
            cluster: Cluster::new(options.cluster.clone()),
            identity: if idempotent { Identity::Wanted(None) } else { Identity::Nobody },
            options,
            identity_failed: 0,
            identity_not_before: Instant(0),
            lanes: BTreeMap::new(),
            homeless: BTreeMap::new(),
            sticky: BTreeMap::new(),
            requests: BTreeMap::new(),
            buffered_bytes: 0,
            deliveries: VecDeque::new(),
            flushing: false,
            metadata_epoch: 0,
            now: Instant(0),
        }
    }

    /// Whether a record may be handed over: `buffer.memory` is not used up.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.buffered_bytes < self.options.buffer_bytes
    }

    /// Records handed over whose delivery is still open, and the bytes they hold.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    /// Takes a record; what becomes of it comes out of `poll_delivery` under `tag`.
    pub fn send(&mut self, now: Now, message: Message, tag: u64) {
        self.buffered_bytes += message.size_bytes();
        let deadline = now.at.plus_ms(self.options.delivery_timeout_ms);
        self.cluster.want(now.at, &message.topic);
        let queue = self.homeless.entry(message.topic.clone()).or_default();
        queue.push_back((message, tag, deadline));
        if queue.len() == 1 {
            self.house(now);
        }
        self.drive(now);
    }

    /// Sends what waits for company now; holds until nothing is open.
    pub fn flush(&mut self, now: Now) {
        self.flushing = true;
        self.drive(now);
    }

    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.buffered_bytes == 0
    }

    pub fn poll_delivery(&mut self) -> Option<Delivery> {
        self.deliveries.pop_front()
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.cluster.poll_transmit()
    }

    pub fn handle(&mut self, now: Now, event: Event) {
        self.cluster.handle(now.at, event);
        self.answered(now);
        if self.metadata_epoch != self.cluster.metadata_epoch() {
            self.metadata_epoch = self.cluster.metadata_epoch();
            self.house(now);
        }
        self.expire(now);
        self.drive(now);
    }

    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        let lanes = self.lanes.values().filter_map(|lane| lane.next_wake(self.now, self.options.linger_ms));
        let homeless = self.homeless.values().filter_map(|queue| queue.front().map(|(_, _, deadline)| *deadline));
        let identity = matches!(self.identity, Identity::Wanted(_)).then_some(self.identity_not_before);
        let identity = identity.filter(|at| *at > self.now);
        lanes.chain(homeless).chain(identity).chain(self.cluster.next_wake()).min()
    }

    /// Gives records their partitions where the topic's number of partitions is known.
    fn house(&mut self, now: Now) {
        for topic in self.homeless.keys().cloned().collect::<Vec<_>>() {
            let count = self.cluster.topic(&topic).map_or(0, |known| known.partitions.len());
            let Ok(count @ 1..) = i32::try_from(count) else { continue };
            for (message, tag, deadline) in self.homeless.remove(&topic).unwrap_or_default() {
                let partition = self.partition(&message, count);
                let lane = self.lanes.entry((topic.clone(), partition)).or_default();
                let is_new = lane.append(now, &message, (tag, deadline), &self.options);
                // Records without a key go elsewhere with each new batch.
                if is_new && message.partition.is_none() && message.key.is_none() {
                    self.sticky.remove(&topic);
                }
            }
        }
    }

    fn partition(&mut self, message: &Message, count: i32) -> PartitionIndex {
        if let Some(partition) = message.partition {
            return partition;
        }
        if let Some(key) = &message.key {
            return partitioner::of_key(key, count);
        }
        if let Some(partition) = self.sticky.get(&message.topic) {
            return *partition;
        }
        let partition =
            PartitionIndex(i32::try_from(self.cluster.rng.below(u64::from(count.unsigned_abs()))).unwrap_or(0));
        self.sticky.insert(message.topic.clone(), partition);
        partition
    }

    fn expire(&mut self, now: Now) {
        let mut late = Vec::new();
        for queue in self.homeless.values_mut() {
            while queue.front().is_some_and(|(_, _, deadline)| *deadline <= now.at) {
                late.extend(queue.pop_front());
            }
        }
        for (message, tag, _) in late {
            self.buffered_bytes -= message.size_bytes();
            let code = self.cluster.topic(&message.topic).map_or(ErrorCode::NONE, |topic| topic.error);
            let result = match code {
                ErrorCode::NONE => Err(SendError::TimedOut { was_sent: false }),
                code => Err(SendError::Refused { code, message: None }),
            };
            self.deliveries.push_back(Delivery { tag, result });
        }
        self.homeless.retain(|_, queue| !queue.is_empty());
        for spot in self.lanes.keys().cloned().collect::<Vec<_>>() {
            let lane = self.lanes.get_mut(&spot).expect("it was just listed");
            for batch in lane.expired(now.at) {
                let was_sent = batch.stamp.is_some();
                if was_sent {
                    self.spend_identity();
                }
                self.deliver_failure(&batch, &SendError::TimedOut { was_sent });
            }
        }
    }

    fn deliver_failure(&mut self, batch: &Batch, error: &SendError) {
        self.buffered_bytes -= batch.charged_bytes;
        for tag in &batch.tags {
            self.deliveries.push_back(Delivery { tag: *tag, result: Err(error.clone()) });
        }
    }

    fn deliver(&mut self, batch: &Batch, partition: PartitionIndex, base: Option<Offset>, time: Option<Timestamp>) {
        self.buffered_bytes -= batch.charged_bytes;
        for (index, tag) in (0..).zip(&batch.tags) {
            let offset = base.map(|base| base.plus(index));
            let place = Place { partition, offset, append_time: time };
            self.deliveries.push_back(Delivery { tag: *tag, result: Ok(place) });
        }
    }
}

/// What is sent.
impl Producer {
    fn drive(&mut self, now: Now) {
        self.now = now.at;
        if self.buffered_bytes == 0 {
            self.flushing = false;
            return;
        }
        self.drive_identity(now);
        let stamp = match self.identity {
            Identity::Nobody => Some(None),
            Identity::Known(id, epoch) => Some(Some((id, epoch))),
            Identity::Wanted(_) | Identity::Asked(..) | Identity::Spent(..) => None,
        };
        let mut by_leader: BTreeMap<NodeId, Vec<Spot>> = BTreeMap::new();
        for (spot, lane) in &self.lanes {
            if !lane.is_due(now.at, stamp.is_some(), self.flushing, &self.options) {
                continue;
            }
            let known = self.cluster.topic(&spot.0).and_then(|topic| topic.partition(spot.1));
            match known.and_then(|partition| partition.leader) {
                Some(leader) => by_leader.entry(leader).or_default().push(spot.clone()),
                None => by_leader.entry(NodeId(-1)).or_default().push(spot.clone()),
            }
        }
        if by_leader.remove(&NodeId(-1)).is_some() {
            self.cluster.refresh_soon(now.at);
        }
        for (leader, spots) in by_leader {
            if self.cluster.load(now.at, leader).is_some_and(|load| load < self.options.in_flight_max) {
                self.send_to(now, leader, spots, stamp.flatten());
            }
        }
    }

    fn send_to(&mut self, now: Now, leader: NodeId, mut due: Vec<Spot>, identity: Option<(ProducerId, ProducerEpoch)>) {
        // Whose turn comes first changes, so that a full request does not always leave out the same partitions.
        let first = usize::try_from(self.cluster.rng.below(due.len() as u64)).unwrap_or(0);
        due.rotate_left(first);
        let mut topics: BTreeMap<Text, TopicProduceData> = BTreeMap::new();
        let (mut room, mut taken) = (usize::MAX, Sent::new());
        for spot in due {
            let lane = self.lanes.get_mut(&spot).expect("it was just listed");
            let Some((serial, batch)) = lane.take(identity, room) else { continue };
            // The first batch goes whatever its size; the broker has its own limit.
            room = room.min(self.options.request_bytes_max).saturating_sub(batch.len());
            let topic_id = self.cluster.topic(&spot.0).map_or(TopicId::ZERO, |known| known.id);
            let topic = topics.entry(spot.0.clone()).or_insert_with(|| TopicProduceData {
                name: spot.0.clone(),
                topic_id,
                ..Default::default()
            });
            topic.partition_data.push(PartitionProduceData {
                index: spot.1.0,
                records: Some(Records::Bytes(batch)),
                ..Default::default()
            });
            taken.push(Shipment { spot, topic: topic_id, serial });
        }
        if taken.is_empty() {
            return;
        }
        let acks = match self.options.acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        };
        let timeout_ms = i32::try_from(self.options.cluster.request_timeout_ms).unwrap_or(i32::MAX);
        let topic_data = topics.into_values().collect();
        let request = ProduceRequest { acks, timeout_ms, topic_data, ..Default::default() };
        let call = self.cluster.call(now.at, Target::Node(leader), request);
        self.requests.insert(call, taken);
    }

    fn drive_identity(&mut self, now: Now) {
        if let Identity::Spent(id, epoch) = self.identity
            && self.lanes.values().all(Lane::is_certain)
        {
            self.lanes.values_mut().for_each(Lane::restart_sequence);
            self.identity = Identity::Wanted(Some((id, epoch)));
        }
        let Identity::Wanted(from) = self.identity else { return };
        if now.at < self.identity_not_before {
            return;
        }
        let (id, epoch) = from.unwrap_or((ProducerId::NONE, ProducerEpoch::NONE));
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: i32::MAX,
            producer_id: id.0,
            producer_epoch: epoch.0,
            ..Default::default()
        };
        let call = self.cluster.call(now.at, Target::Any, request);
        self.identity = Identity::Asked(call, from);
    }

    /// A sequence number will not be used: all that follows needs a new epoch.
    fn spend_identity(&mut self) {
        if let Identity::Known(id, epoch) = self.identity {
            self.identity = Identity::Spent(id, epoch);
        }
    }
}

/// What is answered.
impl Producer {
    fn answered(&mut self, now: Now) {
        for (call, result) in self.cluster.take_answers() {
            if let Identity::Asked(asked, from) = self.identity
                && asked == call
            {
                self.identified(now, from, &result);
            } else if let Some(request) = self.requests.remove(&call) {
                self.produced(now, request, result);
            }
        }
    }

    fn identified(&mut self, now: Now, from: Option<(ProducerId, ProducerEpoch)>, result: &Result<Response, Failure>) {
        if let Ok(Response::InitProducerId(response)) = result {
            if response.error_code.is_ok() {
                self.identity_failed = 0;
                self.identity =
                    Identity::Known(ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch));
                return;
            }
            self.identity_failed += 1;
            self.identity_not_before = now.at.plus_ms(self.cluster.backoff_ms(self.identity_failed));
            let is_fenced = [
                ErrorCode::INVALID_PRODUCER_EPOCH,
                ErrorCode::PRODUCER_FENCED,
                ErrorCode::UNKNOWN_PRODUCER_ID,
                ErrorCode::INVALID_PRODUCER_ID_MAPPING,
            ]
            .contains(&response.error_code);
            self.identity = Identity::Wanted(if is_fenced { None } else { from });
            return;
        }
        self.identity_failed += 1;
        self.identity_not_before = now.at.plus_ms(self.cluster.backoff_ms(self.identity_failed));
        self.identity = Identity::Wanted(from);
    }

    fn produced(&mut self, now: Now, mut open: Sent, result: Result<Response, Failure>) {
        match result {
            Ok(Response::Produce(response)) => {
                for topic in &response.responses {
                    for answer in &topic.partition_responses {
                        let is_topic = |sent: &Shipment| match topic.name.is_empty() {
                            true => sent.topic == topic.topic_id,
                            false => sent.spot.0 == topic.name,
                        };
                        let is_asked = |sent: &Shipment| sent.spot.1.0 == answer.index && is_topic(sent);
                        if let Some(at) = open.iter().position(is_asked) {
                            let Shipment { spot, serial, .. } = open.remove(at);
                            self.answered_for(now, &spot, serial, answer);
                        }
                    }
                }
            }
            Err(Failure::Unanswered) => {
                for Shipment { spot, serial, .. } in std::mem::take(&mut open) {
                    if let Some(batch) = self.lanes.get_mut(&spot).and_then(|lane| lane.finish(serial)) {
                        self.deliver(&batch, spot.1, None, None);
                    }
                }
            }
            Ok(_) | Err(Failure::NotSent | Failure::Disconnected | Failure::TimedOut | Failure::Unsupported) => {
                self.cluster.refresh_soon(now.at);
            }
        }
        for Shipment { spot, serial, .. } in open {
            self.again(now, &spot, serial);
        }
    }

    fn again(&mut self, now: Now, spot: &Spot, serial: u64) {
        let Some(lane) = self.lanes.get_mut(spot) else { return };
        let wait_ms = self.cluster.backoff_ms(lane.failed(serial));
        lane.put_back(serial, now.at.plus_ms(wait_ms));
    }

    fn answered_for(
        &mut self,
        now: Now,
        spot: &Spot,
        serial: u64,
        answer: &wire::produce_response::PartitionProduceResponse,
    ) {
        let Some(lane) = self.lanes.get_mut(spot) else { return };
        match lane.verdict(serial, answer.error_code) {
            Verdict::Stored => {
                let base = Some(Offset(answer.base_offset)).filter(|offset| offset.0 >= 0);
                let time = Some(Timestamp(answer.log_append_time_ms)).filter(|time| time.0 >= 0);
                if let Some(batch) = lane.stored(serial) {
                    self.deliver(&batch, spot.1, base, time);
                }
            }
            Verdict::Again => {
                self.cluster.refresh_soon(now.at);
                self.again(now, spot, serial);
            }
            Verdict::OutOfOrder => {
                self.spend_identity();
                self.again(now, spot, serial);
                if let Some(lane) = self.lanes.get_mut(spot) {
                    lane.clear_stamps(serial);
                }
            }
            Verdict::Refused => {
                if let Some(batch) = lane.finish(serial) {
                    self.spend_identity();
                    let message = answer.error_message.as_ref().map(ToString::to_string);
                    self.deliver_failure(&batch, &SendError::Refused { code: answer.error_code, message });
                }
            }
        }
    }
}
