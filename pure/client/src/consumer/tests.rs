//! The engine against a broker of a few lines, whose every answer a test can see and change.

use super::buffer::{Buffer, Ends};
use super::*;
use crate::LinkId;
use bytes::{Bytes, BytesMut};
use record::{Builder, Codec, EndTransaction, Template};
use types::codec::Reader;
use types::{LeaderEpoch, NodeId, ProducerEpoch, ProducerId, Timestamp, Uuid};
use wire::api_versions_response::ApiVersion;
use wire::fetch_response::{FetchableTopicResponse, PartitionData};
use wire::join_group_response::JoinGroupResponseMember;
use wire::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use wire::metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
use wire::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use wire::offset_fetch_response::{OffsetFetchResponsePartition, OffsetFetchResponseTopic};
use wire::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use wire::*;

fn batch(template: Template, values: &[&str]) -> Bytes {
    let mut builder = Builder::new(template);
    values.iter().for_each(|value| builder.append(Timestamp(1), None, Some(value.as_bytes()), &[]));
    builder.finish()
}

fn at(offset: i64) -> Template {
    Template { base_offset: Offset(offset), leader_epoch: LeaderEpoch(1), ..Template::default() }
}

fn of_producer(offset: i64, id: i64) -> Template {
    let (producer_id, producer_epoch) = (ProducerId(id), ProducerEpoch(0));
    Template { producer_id, producer_epoch, base_sequence: types::Sequence(0), transactional: true, ..at(offset) }
}

const ENDS: Ends = Ends {
    high_watermark: Offset(99),
    last_stable_offset: Offset(99),
    log_start_offset: Offset(0),
    asked_at: Instant(0),
};

/// Reads everything, `room` records at a time: their offsets, with a bar where a read ended.
fn read(bytes: Bytes, aborted: Option<Vec<(Offset, ProducerId)>>, from: i64, room: usize) -> String {
    let Some(mut buffer) = Buffer::new(bytes, aborted, true, ENDS) else { return "nothing whole".to_owned() };
    let mut position = Position::from(Offset(from));
    let mut shown = Vec::new();
    loop {
        let mut records = Vec::new();
        let done = buffer.read(&mut position, room, &mut records);
        shown.extend(records.iter().map(|record| record.offset.to_string()));
        match done {
            Ok(false) => shown.push("|".to_owned()),
            Ok(true) => shown.push(format!("to {}", position.offset)),
            Err(code) => shown.push(format!("{code} at {}", position.offset)),
        }
        if !matches!(done, Ok(false)) {
            return shown.join(" ");
        }
    }
}

#[test]
fn a_buffer_is_read_in_pieces_whatever_its_codec() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let first = batch(Template { codec, ..at(10) }, &["a", "b", "c"]);
        let both = [first.clone(), batch(at(13), &["d", "e"])].concat();
        let bytes = Bytes::from(both);
        assert_eq!(read(bytes.clone(), None, 10, 100), "10 11 12 13 14 to 15");
        assert_eq!(read(bytes.clone(), None, 12, 2), "12 13 | 14 to 15");
        // The end of an answer may cut a batch.
        assert_eq!(read(bytes.slice(..bytes.len() - 1), None, 10, 100), "10 11 12 to 13");
        assert_eq!(read(bytes.slice(..first.len() - 1), None, 10, 100), "nothing whole");
    }
}

#[test]
fn what_is_before_damage_is_handed_over() {
    let mut bytes = [batch(at(0), &["a"]), batch(at(1), &["b"])].concat();
    *bytes.last_mut().expect("it is long") ^= 1;
    assert_eq!(read(Bytes::from(bytes), None, 0, 100), "0 | CORRUPT_MESSAGE at 1");
    assert_eq!(read(Bytes::from_static(&[7; 100]), None, 3, 100), "CORRUPT_MESSAGE at 3");
}

#[test]
fn aborted_transactions_are_passed_over() {
    let end = |commit, offset, id| {
        EndTransaction { commit, coordinator_epoch: 0 }.batch(of_producer(offset, id), Timestamp(1))
    };
    let bytes = Bytes::from(
        [
            batch(of_producer(0, 1), &["a", "b"]),
            batch(of_producer(2, 2), &["c"]),
            end(false, 3, 1),
            batch(at(4), &["d"]),
            batch(of_producer(5, 1), &["e"]),
            end(true, 6, 2),
            end(true, 7, 1),
            batch(of_producer(8, 2), &["f"]),
            end(false, 9, 2),
        ]
        .concat(),
    );
    assert_eq!(read(bytes.clone(), None, 0, 100), "0 1 2 4 5 8 to 10");
    let aborted = vec![(Offset(8), ProducerId(2)), (Offset(0), ProducerId(1))];
    assert_eq!(read(bytes, Some(aborted), 0, 100), "2 4 5 to 10");
}

/// One broker with the topic `a` of one partition, and a group whose only member is the consumer.
struct Fake {
    engine: Consumer,
    now: u64,
    leader_epoch: i32,
    /// The first and the last offset; each record is a batch of its own, in epoch 1.
    log: std::ops::Range<i64>,
    /// Where epoch 1 ends, as the leader tells.
    epoch_end: i64,
    /// How many records an answer brings.
    at_once: i64,
    partitions: i32,
    committed: i64,
    /// What else the coordinator has to say to a heartbeat.
    heartbeat: ErrorCode,
    /// Whether the coordinator assigns the partition, in the newer protocol.
    assigns: bool,
    /// The follower that the leader has fetches go to, and whose connections are whose.
    preferred: i32,
    hosts: BTreeMap<LinkId, String>,
    /// Topics beside `a`.
    topics: Vec<&'static str>,
    /// A fetch that waits for records, and until when.
    held: Option<(u64, LinkId, i32, i16, FetchRequest)>,
    seen: Vec<String>,
}

impl Fake {
    fn new(options: ConsumerOptions) -> Fake {
        let cluster = Options { bootstrap: vec![("b".to_owned(), 1)], ..options.cluster.clone() };
        Fake {
            engine: Consumer::new(ConsumerOptions { cluster, ..options }),
            now: 0,
            leader_epoch: 1,
            log: 0..0,
            epoch_end: i64::MAX,
            at_once: 10,
            partitions: 1,
            committed: -1,
            heartbeat: ErrorCode::NONE,
            assigns: true,
            preferred: -1,
            hosts: BTreeMap::new(),
            topics: Vec::new(),
            held: None,
            seen: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        Now { at: Instant(self.now * 1000), wall: Timestamp(1_000_000) }
    }

    /// Time goes on; what the engine asks is answered at once.
    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        loop {
            self.serve();
            self.now = (self.now + 10).min(end);
            self.engine.handle(self.now(), Event::Wake);
            if self.now == end {
                return self.serve();
            }
        }
    }

    fn serve(&mut self) {
        loop {
            self.take_requests();
            let Some((until, link, id, version, fetch)) = self.held.take() else { return };
            let Some(response) = self.fetch(link, &fetch, until <= self.now) else {
                self.held = Some((until, link, id, version, fetch));
                return;
            };
            self.reply(link, id, version, &response);
        }
    }

    fn take_requests(&mut self) {
        while let Some(transmit) = self.engine.poll_transmit() {
            match transmit {
                Transmit::Connect { link, host, .. } => {
                    self.hosts.insert(link, host);
                    self.engine.handle(self.now(), Event::Connected(link));
                }
                Transmit::Close { .. } => {}
                Transmit::Identify { .. } => panic!("no broker here asks who its clients are"),
                Transmit::Send { link, bytes } => {
                    let mut reader = Reader::new(bytes.slice(4..));
                    let (key, header) = RequestHeader::read(&mut reader).expect("it is a request");
                    let (id, version) = (header.correlation_id, header.request_api_version);
                    let request = Request::decode(key, &mut reader, version).expect("it is one of its version");
                    self.seen.push(key.to_string());
                    match request {
                        Request::Fetch(fetch) => self.held = Some((self.now + 500, link, id, version, fetch)),
                        request => {
                            // A connection answers in order.
                            if let Some((_, _, id, version, fetch)) = self.held.take_if(|held| held.1 == link) {
                                let response = self.fetch(link, &fetch, true).expect("it waits no longer");
                                self.reply(link, id, version, &response);
                            }
                            let response = self.answer(request);
                            self.reply(link, id, version, &response);
                        }
                    }
                }
            }
        }
    }

    fn reply(&mut self, link: LinkId, id: i32, version: i16, response: &Response) {
        let mut bytes = BytesMut::from(&wire::encode_response(id, version, response).buffer[..]);
        self.engine.handle(self.now(), Event::Received(link, &mut bytes));
        assert!(bytes.is_empty(), "an answer is read whole");
    }

    fn answer(&mut self, request: Request) -> Response {
        match request {
            Request::ApiVersions(_) => {
                let range = |key: &ApiKey| ApiVersion {
                    api_key: key.number(),
                    min_version: *key.versions().start(),
                    // Names of topics, not their ids.
                    max_version: match key {
                        ApiKey::Fetch | ApiKey::Metadata => 12,
                        ApiKey::FindCoordinator => 3,
                        key => (*key.versions().end()).min(7),
                    },
                    ..Default::default()
                };
                use ApiKey::*;
                let keys = [
                    ApiVersions,
                    Metadata,
                    Fetch,
                    ListOffsets,
                    OffsetForLeaderEpoch,
                    FindCoordinator,
                    JoinGroup,
                    SyncGroup,
                    Heartbeat,
                    LeaveGroup,
                    OffsetCommit,
                    OffsetFetch,
                    ConsumerGroupHeartbeat,
                ];
                ApiVersionsResponse { api_keys: keys.iter().map(range).collect(), ..Default::default() }.into()
            }
            Request::Metadata(_) => self.metadata(),
            Request::ListOffsets(request) => {
                let asked = request.topics[0].partitions[0].timestamp;
                self.seen.push(format!("for {asked}"));
                let offset = match asked {
                    -2 => self.log.start,
                    -1 => self.log.end,
                    _ => -1,
                };
                let one = ListOffsetsPartitionResponse { offset, leader_epoch: 1, ..Default::default() };
                let topic = ListOffsetsTopicResponse { name: "a".into(), partitions: vec![one], ..Default::default() };
                ListOffsetsResponse { topics: vec![topic], ..Default::default() }.into()
            }
            Request::OffsetForLeaderEpoch(_) => {
                let end_offset = self.epoch_end.min(self.log.end);
                let end = EpochEndOffset { leader_epoch: 1, end_offset, ..Default::default() };
                let topic =
                    OffsetForLeaderTopicResult { topic: "a".into(), partitions: vec![end], ..Default::default() };
                OffsetForLeaderEpochResponse { topics: vec![topic], ..Default::default() }.into()
            }
            request => self.coordinate(request),
        }
    }

    fn metadata(&self) -> Response {
        let broker = |(node_id, host): (i32, &str)| MetadataResponseBroker {
            node_id,
            host: host.into(),
            port: 1,
            ..Default::default()
        };
        let brokers = [(1, "b"), (2, "follower")].map(broker).to_vec();
        let partition = |partition_index| MetadataResponsePartition {
            partition_index,
            leader_id: 1,
            leader_epoch: self.leader_epoch,
            ..Default::default()
        };
        let topic = |name: &&'static str| MetadataResponseTopic {
            name: Some((*name).into()),
            is_internal: name.starts_with('_'),
            topic_id: Uuid([name.as_bytes()[0]; 16]),
            partitions: (0..self.partitions).map(partition).collect(),
            ..Default::default()
        };
        let topics = [&["a"][..], &self.topics].concat().iter().map(topic).collect();
        MetadataResponse { brokers, controller_id: 1, topics, ..Default::default() }.into()
    }

    /// None where there is nothing yet, and still time to wait.
    fn fetch(&mut self, link: LinkId, request: &FetchRequest, is_due: bool) -> Option<Response> {
        let asked = &request.topics[0].partitions;
        if asked.iter().all(|asked| asked.fetch_offset == self.log.end) && !is_due {
            return None;
        }
        if self.preferred >= 0 {
            let host = &self.hosts[&link];
            self.seen.push(format!("at {host}"));
            if host == "b" {
                let preferred_read_replica = self.preferred;
                let partition =
                    PartitionData { preferred_read_replica, high_watermark: self.log.end, ..Default::default() };
                let topic =
                    FetchableTopicResponse { topic: "a".into(), partitions: vec![partition], ..Default::default() };
                return Some(FetchResponse { responses: vec![topic], ..Default::default() }.into());
            }
        }
        let places = asked.iter().map(|asked| asked.fetch_offset.to_string());
        self.seen.push(format!("from {}", places.collect::<Vec<_>>().join("+")));
        let partitions = asked.iter().map(|asked| self.fetch_one(asked)).collect();
        let topic = FetchableTopicResponse { topic: "a".into(), partitions, ..Default::default() };
        Some(FetchResponse { responses: vec![topic], ..Default::default() }.into())
    }

    fn fetch_one(&self, asked: &wire::fetch_request::FetchPartition) -> PartitionData {
        let end = self.log.end.min(asked.fetch_offset + self.at_once);
        let records = (asked.fetch_offset..end).flat_map(|offset| batch(at(offset), &["x"]));
        let is_there = self.log.contains(&asked.fetch_offset) || asked.fetch_offset == self.log.end;
        PartitionData {
            partition_index: asked.partition,
            error_code: match asked.current_leader_epoch < self.leader_epoch {
                true => ErrorCode::FENCED_LEADER_EPOCH,
                false if is_there => ErrorCode::NONE,
                false => ErrorCode::OFFSET_OUT_OF_RANGE,
            },
            high_watermark: self.log.end,
            records: Some(Records::Bytes(records.collect())),
            ..Default::default()
        }
    }

    fn coordinate(&mut self, request: Request) -> Response {
        match request {
            Request::FindCoordinator(_) => FindCoordinatorResponse { node_id: 1, ..Default::default() }.into(),
            Request::JoinGroup(request) => {
                let protocol = &request.protocols[0];
                let own = JoinGroupResponseMember {
                    member_id: "m".into(),
                    metadata: protocol.metadata.clone(),
                    ..Default::default()
                };
                self.heartbeat = ErrorCode::NONE;
                JoinGroupResponse {
                    generation_id: 1,
                    protocol_name: Some(protocol.name.clone()),
                    leader: "m".into(),
                    member_id: "m".into(),
                    members: vec![own],
                    ..Default::default()
                }
                .into()
            }
            Request::SyncGroup(request) => {
                let assignment = request.assignments[0].assignment.clone();
                SyncGroupResponse { assignment, ..Default::default() }.into()
            }
            Request::Heartbeat(_) => HeartbeatResponse { error_code: self.heartbeat, ..Default::default() }.into(),
            Request::ConsumerGroupHeartbeat(request) => {
                use wire::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
                let owns = request.topic_partitions.map_or("as before".to_owned(), |owned| owned.len().to_string());
                let pattern = request.subscribed_topic_regex.map(|pattern| format!(" for {pattern}"));
                self.seen.push(format!("{} owns {owns}{}", request.member_epoch, pattern.unwrap_or_default()));
                let own =
                    TopicPartitions { topic_id: Uuid([b'a'; 16]), partitions: vec![0], ..TopicPartitions::default() };
                let topic_partitions = if self.assigns { vec![own] } else { Vec::new() };
                ConsumerGroupHeartbeatResponse {
                    error_code: self.heartbeat,
                    error_message: Some("the words of the coordinator".into()),
                    member_epoch: request.member_epoch.max(7).min(request.member_epoch.saturating_add(7)),
                    heartbeat_interval_ms: 1000,
                    assignment: Some(Assignment { topic_partitions, ..Default::default() }),
                    ..Default::default()
                }
                .into()
            }
            Request::LeaveGroup(_) => LeaveGroupResponse::default().into(),
            Request::OffsetCommit(request) => {
                self.committed = request.topics[0].partitions[0].committed_offset;
                self.seen.push(format!("of {}", self.committed));
                let one = OffsetCommitResponsePartition::default();
                let topic = OffsetCommitResponseTopic { name: "a".into(), partitions: vec![one], ..Default::default() };
                OffsetCommitResponse { topics: vec![topic], ..Default::default() }.into()
            }
            Request::OffsetFetch(request) => {
                let one = OffsetFetchResponsePartition { committed_offset: self.committed, ..Default::default() };
                let topic = |asked: wire::offset_fetch_request::OffsetFetchRequestTopic| OffsetFetchResponseTopic {
                    name: asked.name,
                    partitions: vec![one.clone()],
                    ..Default::default()
                };
                let topics = request.topics.into_iter().flatten().map(topic).collect();
                OffsetFetchResponse { topics, ..Default::default() }.into()
            }
            other => panic!("nobody answers {other:?}"),
        }
    }

    /// The offsets of what one poll brings.
    fn poll(&mut self) -> Vec<i64> {
        let polled = self.engine.poll(self.now());
        polled.into_iter().flat_map(|consumed| consumed.records).map(|record| record.offset.0).collect()
    }

    fn events(&mut self) -> Vec<ConsumerEvent> {
        std::iter::from_fn(|| self.engine.poll_event()).collect()
    }

    /// What was asked since the last time, without what is always asked.
    fn asked(&mut self) -> String {
        let seen = std::mem::take(&mut self.seen);
        let always = ["ApiVersions", "Metadata", "FindCoordinator", "Heartbeat"];
        seen.into_iter().filter(|name| !always.contains(&name.as_str())).collect::<Vec<_>>().join(" ")
    }

    /// What the coordinator was asked since the last time, but for heartbeats.
    fn asked_of_group(&mut self) -> String {
        self.seen.retain(|name| name != "Fetch" && !name.starts_with("from"));
        self.asked()
    }
}

fn spot() -> Spot {
    ("a".into(), PartitionIndex(0))
}

fn member(assignor: Assignor) -> ConsumerOptions {
    let group = GroupOptions { id: "g".into(), assignors: vec![assignor], ..GroupOptions::default() };
    ConsumerOptions { group: Some(group), reset: Reset::Earliest, ..ConsumerOptions::default() }
}

#[test]
fn what_follows_is_fetched_while_records_wait() {
    let one = batch(at(0), &["x"]).len();
    let partition_bytes_max = i32::try_from(one * 15).expect("small");
    let mut fake = Fake::new(ConsumerOptions { partition_bytes_max, poll_records_max: 4, ..Default::default() });
    fake.log = 0..1000;
    fake.engine.assign(fake.now(), [(spot(), Some(Offset(0)))]);
    fake.pass(50);
    // Two answers hold more than is allowed to wait; the first one alone does not.
    assert_eq!(fake.asked(), "Fetch from 0 Fetch from 10");
    assert_eq!(fake.poll(), [0, 1, 2, 3]);
    fake.pass(50);
    assert_eq!(fake.asked(), "");
    assert_eq!(fake.poll(), [4, 5, 6, 7]);
    fake.pass(50);
    assert_eq!(fake.asked(), "Fetch from 20");
    assert_eq!(fake.engine.position(&spot()), Some(Offset(8)));
    assert_eq!(fake.engine.current_lag(&spot()), Some(992));
}

#[test]
fn of_many_partitions_those_are_fetched_that_are_read_by_half_and_have_more() {
    let one = batch(at(0), &["x"]).len();
    let partition_bytes_max = i32::try_from(one * 15).expect("small");
    let begin = |end| {
        let mut fake = Fake::new(ConsumerOptions { partition_bytes_max, poll_records_max: 4, ..Default::default() });
        (fake.log, fake.partitions) = (0..end, 16);
        let spots = (0..16).map(|partition| (("a".into(), PartitionIndex(partition)), Some(Offset(0))));
        fake.engine.assign(fake.now(), spots);
        fake.pass(50);
        assert_eq!(fake.asked(), format!("Fetch from {}", ["0"; 16].join("+")));
        fake
    };
    let polled_after = |end, polls: usize| {
        let mut fake = begin(end);
        (0..polls).for_each(|_| assert_ne!(fake.poll(), []));
        fake.pass(50);
        fake.asked()
    };
    // A quarter of them is worth a request.
    assert_eq!(polled_after(1000, 8), "");
    assert_eq!(polled_after(1000, 9), "Fetch from 10+10+10+10");
    // Where there is no more, those that wait are not held up by a fetch that waits, too.
    assert_eq!(polled_after(10, 25), "");
    assert_eq!(polled_after(10, 28), "Fetch");
}

#[test]
fn what_is_paused_keeps_nothing_else_from_being_read() {
    let one = batch(at(0), &["x"]).len();
    let fetch_bytes_max = i32::try_from(one * 30).expect("small");
    let mut fake = Fake::new(ConsumerOptions { fetch_bytes_max, ..Default::default() });
    (fake.log, fake.partitions) = (0..1000, 4);
    let spot = |partition| -> Spot { ("a".into(), PartitionIndex(partition)) };
    fake.engine.assign(fake.now(), (0..4).map(|partition| (spot(partition), Some(Offset(0)))));
    fake.pass(50);
    for partition in 0..3 {
        assert!(fake.engine.pause(fake.now(), &spot(partition), true));
    }
    assert_eq!(fake.poll(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    fake.pass(50);
    assert_eq!(fake.poll().first(), Some(&10));
}

#[test]
fn pausing_keeps_records_and_seeking_drops_them() {
    let mut fake = Fake::new(ConsumerOptions { poll_records_max: 2, ..Default::default() });
    fake.log = 0..5;
    fake.engine.assign(fake.now(), [(spot(), Some(Offset(0)))]);
    fake.pass(50);
    assert_eq!(fake.poll(), [0, 1]);
    assert!(fake.engine.pause(fake.now(), &spot(), true));
    assert_eq!(fake.poll(), []);
    assert!(fake.engine.pause(fake.now(), &spot(), false));
    assert_eq!(fake.poll(), [2, 3]);
    assert!(fake.engine.seek(fake.now(), &spot(), Ok(Offset(1).into())));
    assert_eq!(fake.poll(), []);
    // The fetch that is under way is not for this place.
    fake.pass(600);
    assert_eq!(fake.poll(), [1, 2]);
    assert!(fake.engine.seek(fake.now(), &spot(), Err(Reset::Latest)));
    fake.pass(600);
    assert_eq!(fake.engine.position(&spot()), Some(Offset(5)));
    assert!(!fake.engine.seek(fake.now(), &("b".into(), PartitionIndex(0)), Err(Reset::Latest)));
}

#[test]
fn reset_policies_say_where_to_begin() {
    let begin = |reset| {
        let mut fake = Fake::new(ConsumerOptions { reset, ..Default::default() });
        fake.log = 3..5;
        fake.engine.assign(fake.now(), [(spot(), None)]);
        fake.pass(50);
        (fake.engine.position(&spot()).map(|at| at.0), fake.events(), fake.asked())
    };
    assert_eq!(begin(Reset::Earliest).0, Some(3));
    assert_eq!(begin(Reset::Latest).0, Some(5));
    assert_eq!(begin(Reset::None).1, [ConsumerEvent::NoOffset { spot: spot() }]);
    // Nothing is as young as the last minute.
    let (position, _, asked) = begin(Reset::ByDuration(60_000));
    assert_eq!(position, Some(5));
    assert!(asked.starts_with("ListOffsets for 940000 ListOffsets for -1"), "{asked}");
}

#[test]
fn a_new_leader_is_asked_whether_it_has_what_was_read() {
    let read_on = |reset, epoch_end| {
        let mut fake = Fake::new(ConsumerOptions { reset, ..Default::default() });
        fake.log = 0..5;
        fake.engine.assign(fake.now(), [(spot(), Some(Offset(0)))]);
        fake.pass(50);
        assert_eq!(fake.poll(), [0, 1, 2, 3, 4]);
        (fake.leader_epoch, fake.log, fake.epoch_end) = (2, 0..epoch_end + 1, epoch_end);
        fake.seen.clear();
        fake.engine.cluster.refresh_soon(fake.now().at);
        fake.pass(500);
        let is_asked = fake.asked().contains("OffsetForLeaderEpoch");
        assert!(is_asked, "the leader is asked");
        (fake.poll(), fake.events())
    };
    assert_eq!(read_on(Reset::Latest, 6), (vec![5, 6], vec![]));
    // What was read from offset 3 on was never committed.
    assert_eq!(read_on(Reset::Latest, 3), (vec![3], vec![]));
    let (spot, position, diverged_at) = (spot(), Offset(5), Some(Offset(3)));
    assert_eq!(read_on(Reset::None, 3), (vec![], vec![ConsumerEvent::Truncated { spot, position, diverged_at }]));
}

#[test]
fn a_rebalance_waits_for_the_next_poll_and_for_the_release() {
    for (assignor, is_eager) in [(Assignor::Range, true), (Assignor::CooperativeSticky, false)] {
        let mut fake = Fake::new(member(assignor));
        fake.log = 0..5;
        fake.engine.subscribe(fake.now(), ["a".into()]);
        fake.pass(1000);
        assert_eq!(fake.asked_of_group(), "", "who does not poll does not join");
        assert_eq!(fake.poll(), []);
        fake.pass(1000);
        assert!(matches!(&fake.events()[..], [ConsumerEvent::Assigned { .. }, ConsumerEvent::Found { .. }]));
        assert_eq!(fake.poll(), [0, 1, 2, 3, 4]);
        fake.seen.clear();
        fake.heartbeat = ErrorCode::REBALANCE_IN_PROGRESS;
        fake.pass(10_000);
        assert_eq!(fake.asked_of_group(), "", "what was handed over may not be dealt with yet");
        assert_eq!(fake.poll(), []);
        fake.pass(1000);
        let asked = fake.asked_of_group();
        if is_eager {
            assert_eq!(asked, "OffsetCommit of 5");
            assert!(fake.events().contains(&ConsumerEvent::Revoked { spots: vec![spot()] }));
            fake.engine.release(fake.now());
            fake.pass(1000);
            assert!(fake.asked_of_group().starts_with("JoinGroup SyncGroup OffsetFetch"));
        } else {
            assert!(asked.starts_with("OffsetCommit of 5 JoinGroup SyncGroup"), "{asked}");
            assert!(!asked.contains("OffsetFetch"), "it keeps what it has");
        }
    }
}

#[test]
fn who_stays_away_too_long_leaves_and_comes_back() {
    let mut fake = Fake::new(member(Assignor::Range));
    fake.log = 0..5;
    fake.engine.subscribe(fake.now(), ["a".into()]);
    fake.poll();
    fake.pass(1000);
    fake.events();
    // A poll that waits for records may last.
    fake.log = 0..0;
    fake.pass(400_000);
    assert_eq!(fake.poll(), [0, 1, 2, 3, 4]);
    fake.seen.clear();
    fake.pass(299_000);
    assert!(!fake.asked_of_group().contains("LeaveGroup"));
    fake.pass(2000);
    assert!(fake.asked_of_group().contains("LeaveGroup"));
    let overdue = ConsumerEvent::PollOverdue { interval_ms: 300_000 };
    let lost = ConsumerEvent::Lost { spots: vec![spot()] };
    assert_eq!(fake.events().into_iter().filter(|event| *event == overdue || *event == lost).count(), 2);
    fake.engine.commit(fake.now(), BTreeMap::from([(spot(), Offset(5))]));
    let refused = fake.events();
    assert!(matches!(&refused[..], [ConsumerEvent::Committed { result: Err(CommitError::NoMember), .. }]));
    fake.poll();
    fake.pass(1000);
    assert!(fake.asked_of_group().contains("JoinGroup SyncGroup"));
}

#[test]
fn a_pattern_takes_in_topics_that_come_later() {
    let mut fake = Fake::new(member(Assignor::Range));
    fake.topics = vec!["ab", "_a"];
    assert!(fake.engine.subscribe_pattern(fake.now(), "(").is_err());
    fake.engine.subscribe_pattern(fake.now(), "a|_a").expect("it is a pattern");
    fake.poll();
    fake.pass(1000);
    let assigned = |fake: &mut Fake| -> Vec<Text> {
        let last = fake.events().into_iter().rev().find_map(|event| match event {
            ConsumerEvent::Assigned { all, .. } => Some(all),
            _ => None,
        });
        last.expect("it was assigned something").into_iter().map(|(topic, _)| topic).collect()
    };
    assert_eq!(assigned(&mut fake), ["a"]);
    fake.engine.subscribe_pattern(fake.now(), "a.*").expect("it is a pattern");
    fake.pass(1000);
    fake.engine.release(fake.now());
    fake.pass(1000);
    assert_eq!(assigned(&mut fake), ["a", "ab"]);
    fake.topics.push("ac");
    fake.pass(300_000);
    fake.engine.release(fake.now());
    fake.pass(1000);
    assert_eq!(assigned(&mut fake), ["a", "ab", "ac"]);
}

#[test]
fn assigned_partitions_are_committed_by_themselves() {
    let mut fake = Fake::new(member(Assignor::Range));
    fake.log = 0..5;
    fake.engine.assign(fake.now(), [(spot(), Some(Offset(0)))]);
    fake.pass(1000);
    assert_eq!(fake.poll(), [0, 1, 2, 3, 4]);
    fake.seen.clear();
    fake.pass(10_000);
    assert_eq!(fake.asked_of_group(), "", "what was handed over may not be dealt with yet");
    assert_eq!(fake.poll(), []);
    fake.pass(100);
    assert_eq!(fake.asked_of_group(), "OffsetCommit of 5");
    fake.log = 0..7;
    fake.pass(100);
    assert_eq!(fake.poll(), [5, 6]);
    fake.engine.close(fake.now());
    fake.pass(100);
    assert_eq!(fake.asked_of_group(), "OffsetCommit of 7");
    assert!(fake.engine.is_closed());
    fake.events();
    let metrics = fake.engine.metrics();
    assert_eq!((metrics.records, metrics.commits, metrics.rebalances, metrics.lag_max), (7, 2, 0, Some(0)));
    assert!(metrics.fetches >= 2 && metrics.bytes_fetched > 0 && metrics.bytes_buffered == 0, "{metrics:?}");
}

fn newer_member() -> ConsumerOptions {
    let mut options = member(Assignor::Range);
    options.group.as_mut().expect("it has one").protocol = GroupProtocol::Consumer;
    options
}

#[test]
fn by_heartbeats_a_member_lets_go_before_it_says_so() {
    let mut fake = Fake::new(newer_member());
    fake.log = 0..5;
    fake.engine.subscribe(fake.now(), ["a".into()]);
    assert_eq!(fake.poll(), []);
    fake.pass(500);
    let joined = "ConsumerGroupHeartbeat 0 owns 0 ConsumerGroupHeartbeat 7 owns 1 OffsetFetch";
    let asked = fake.asked_of_group();
    assert!(asked.starts_with(joined), "{asked}");
    assert_eq!(fake.poll(), [0, 1, 2, 3, 4]);
    fake.pass(1000);
    assert_eq!(fake.asked_of_group(), "ConsumerGroupHeartbeat 7 owns as before");
    fake.assigns = false;
    fake.pass(3000);
    assert!(!fake.events().contains(&ConsumerEvent::Revoked { spots: vec![spot()] }), "nobody polls");
    fake.seen.clear();
    assert_eq!(fake.poll(), []);
    fake.pass(3000);
    assert!(fake.events().contains(&ConsumerEvent::Revoked { spots: vec![spot()] }));
    let asked = fake.asked_of_group();
    assert!(asked.starts_with("OffsetCommit of 5") && !asked.contains("owns 0"), "{asked}");
    fake.engine.release(fake.now());
    fake.pass(10);
    assert!(fake.asked_of_group().contains("ConsumerGroupHeartbeat 7 owns 0"));
    fake.engine.close(fake.now());
    fake.pass(10);
    assert!(fake.asked_of_group().ends_with("ConsumerGroupHeartbeat -1 owns as before"));
    assert!(fake.engine.is_closed());
}

#[test]
fn by_heartbeats_who_is_fenced_joins_again_and_who_is_refused_does_not() {
    let mut fake = Fake::new(newer_member());
    fake.engine.subscribe_pattern(fake.now(), "a.*").expect("it is a pattern");
    fake.poll();
    fake.pass(500);
    let asked = fake.asked_of_group();
    assert!(asked.contains("ConsumerGroupHeartbeat 0 owns 0 for a.* "), "{asked}");
    fake.events();
    fake.heartbeat = ErrorCode::FENCED_MEMBER_EPOCH;
    fake.pass(990);
    fake.heartbeat = ErrorCode::NONE;
    fake.pass(500);
    assert!(fake.asked_of_group().contains("ConsumerGroupHeartbeat 0 owns 0 for a.* "));
    let events = fake.events();
    assert!(matches!(&events[..2], [ConsumerEvent::Lost { .. }, ConsumerEvent::Assigned { .. }]), "{events:?}");
    fake.heartbeat = ErrorCode::INVALID_REGULAR_EXPRESSION;
    fake.pass(2000);
    let (code, message) = (fake.heartbeat, Some("the words of the coordinator".into()));
    assert_eq!(fake.events().pop(), Some(ConsumerEvent::Refused { code, message }));
    fake.seen.clear();
    fake.pass(5000);
    assert_eq!(fake.asked_of_group(), "");
}

#[test]
fn the_nearest_replica_is_read_until_it_fails() {
    let mut fake = Fake::new(ConsumerOptions { rack: "here".into(), ..ConsumerOptions::default() });
    fake.preferred = 2;
    fake.log = 0..3;
    fake.engine.assign(fake.now(), [(spot(), Some(Offset(0)))]);
    fake.pass(100);
    assert_eq!(fake.poll(), [0, 1, 2]);
    assert_eq!(fake.asked(), "Fetch at b Fetch at follower from 0 Fetch");
    // Whether what it does not have is gone, its leader is asked.
    fake.preferred = -1;
    fake.log = 0..2;
    fake.pass(1000);
    let asked = fake.asked();
    assert!(asked.starts_with("from 3 Fetch from 3 ListOffsets"), "{asked}");
}

#[test]
fn an_epoch_above_all_of_a_new_topic_is_believed_for_a_minute() {
    let mut fake = Fake::new(ConsumerOptions { reset: Reset::Earliest, ..Default::default() });
    fake.log = 0..5;
    fake.engine.assign(fake.now(), [(spot(), Some(Offset(0)))]);
    fake.pass(50);
    fake.engine.cluster.saw_epoch(&spot(), LeaderEpoch(7));
    let leader =
        |fake: &Fake| fake.engine.cluster.topic("a").and_then(|topic| topic.partition(PartitionIndex(0))?.leader);
    fake.pass(50_000);
    assert_eq!(leader(&fake), None);
    fake.pass(15_000);
    assert_eq!(leader(&fake), Some(NodeId(1)));
}
