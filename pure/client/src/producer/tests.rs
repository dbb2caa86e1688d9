//! The engine against a broker of a few lines that does what a text says: what is asked of it in which order, and what
//! the engine makes of its answers.

use super::*;
use crate::LinkId;
use bytes::BytesMut;
use std::fmt::Write;
use types::codec::Reader;
use wire::add_partitions_to_txn_response::{AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult};
use wire::api_versions_response::{ApiVersion, FinalizedFeatureKey};
use wire::find_coordinator_response::Coordinator;
use wire::metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
use wire::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use wire::txn_offset_commit_response::{TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic};
use wire::*;

const TOPIC: Text = Text::from_static("a");
const ID: TopicId = types::Uuid([7; 16]);

/// What is to come of the next request of a kind.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Code(ErrorCode),
    /// It is done, but the answer is lost with the connection.
    Lost,
    /// It is never answered.
    Ignored,
}

/// One broker with the topic `a` of two partitions.
struct Fake {
    engine: Producer<Vec<u64>>,
    now: u64,
    /// The level of `transaction.version`.
    level: i16,
    epoch: i16,
    fates: VecDeque<(String, Fate)>,
    /// Records that a partition takes at once.
    most: i32,
    /// What each partition has: the values' numbers.
    logs: [Vec<u64>; 2],
    numbers: u64,
    seen: String,
}

impl Fake {
    fn new(level: i16, options: ProducerOptions) -> Fake {
        let cluster = Options { bootstrap: vec![("b".to_owned(), 1)], ..Options::default() };
        Fake {
            engine: Producer::new(ProducerOptions { cluster, linger_ms: 0, ..options }),
            now: 0,
            level,
            epoch: -1,
            fates: VecDeque::new(),
            most: i32::MAX,
            logs: [Vec::new(), Vec::new()],
            numbers: 0,
            seen: String::new(),
        }
    }

    fn transactional(level: i16) -> Fake {
        Fake::new(level, ProducerOptions { transactional_id: Some("t".into()), ..ProducerOptions::default() })
    }

    fn now(&self) -> Now {
        Now { at: Instant(self.now * 1000), wall: Timestamp(1_000_000) }
    }

    fn say(&mut self, words: std::fmt::Arguments<'_>) {
        writeln!(self.seen, "{words}").expect("a String takes every write");
    }

    /// Time goes on until the engine has nothing to do.
    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.now < end {
            self.serve();
            self.now = (self.now + 10).min(end);
            self.engine.handle(self.now(), Event::Wake);
        }
        self.serve();
        while let Some(delivery) = self.engine.poll_delivery() {
            for (index, number) in (0..delivery.count).zip(&delivery.ticket) {
                match delivery.result(index) {
                    Ok(place) => self.say(format_args!("  [{number}] is at {}@{:?}", place.partition, place.offset)),
                    Err(error) => self.say(format_args!("  [{number}] failed: {}", short(&error))),
                }
            }
        }
        while let Some((number, result)) = self.engine.poll_offsets() {
            self.say(format_args!("  offsets {number}: {}", told(&result)));
        }
    }

    fn serve(&mut self) {
        while let Some(transmit) = self.engine.poll_transmit() {
            match transmit {
                Transmit::Connect { link, .. } => self.engine.handle(self.now(), Event::Connected(link)),
                Transmit::Identify { .. } => panic!("no broker here asks who its clients are"),
                Transmit::Close { .. } => {}
                Transmit::Send { link, bytes } => self.request(link, bytes),
            }
        }
    }

    fn request(&mut self, link: LinkId, bytes: Bytes) {
        let mut reader = Reader::new(bytes.slice(4..));
        let (key, header) = RequestHeader::read(&mut reader).expect("it is a request");
        let (id, version) = (header.correlation_id, header.request_api_version);
        let request = Request::decode(key, &mut reader, version).expect("it is one of its version");
        let name = key.to_string();
        let at = self.fates.iter().position(|(kind, _)| *kind == name);
        let fate = at.and_then(|at| self.fates.remove(at)).map(|(_, fate)| fate);
        let code = if let Some(Fate::Code(code)) = fate { code } else { ErrorCode::NONE };
        let response = self.answer(request, version, code);
        match fate {
            Some(Fate::Lost) => self.engine.handle(self.now(), Event::Closed(link)),
            Some(Fate::Ignored) => {}
            None | Some(Fate::Code(_)) => {
                let mut bytes = BytesMut::from(&wire::encode_response(id, version, &response).buffer[..]);
                self.engine.handle(self.now(), Event::Received(link, &mut bytes));
            }
        }
    }

    fn answer(&mut self, request: Request, version: i16, error_code: ErrorCode) -> Response {
        let sad = if error_code.is_ok() { String::new() } else { format!(" -> {error_code:?}") };
        match request {
            Request::ApiVersions(_) => self.versions(),
            Request::Metadata(_) => metadata(),
            Request::FindCoordinator(asked) => {
                let key = asked.coordinator_keys.first().cloned().unwrap_or(asked.key);
                self.say(format_args!("find {key} of kind {}{sad}", asked.key_type));
                let found = Coordinator { key, node_id: 1, error_code, ..Default::default() };
                FindCoordinatorResponse { coordinators: vec![found], ..Default::default() }.into()
            }
            Request::InitProducerId(asked) => {
                self.epoch += i16::from(error_code.is_ok());
                let of = asked.transactional_id.unwrap_or("nobody".into());
                self.say(format_args!("identify {of} {}/{} v{version}{sad}", asked.producer_id, asked.producer_epoch));
                InitProducerIdResponse { error_code, producer_id: 9, producer_epoch: self.epoch, ..Default::default() }
                    .into()
            }
            Request::AddPartitionsToTxn(asked) => {
                let topics = asked.v3_and_below_topics;
                let names: Vec<_> = topics.iter().flat_map(|topic| &topic.partitions).collect();
                self.say(format_args!("add {names:?} in {} v{version}{sad}", asked.v3_and_below_producer_epoch));
                let one = |index: &i32| AddPartitionsToTxnPartitionResult {
                    partition_index: *index,
                    partition_error_code: error_code.0,
                    ..Default::default()
                };
                let topic =
                    |topic: &add_partitions_to_txn_request::AddPartitionsToTxnTopic| AddPartitionsToTxnTopicResult {
                        name: topic.name.clone(),
                        results_by_partition: topic.partitions.iter().map(one).collect(),
                        ..Default::default()
                    };
                AddPartitionsToTxnResponse {
                    results_by_topic_v3_and_below: topics.iter().map(topic).collect(),
                    ..Default::default()
                }
                .into()
            }
            Request::AddOffsetsToTxn(asked) => {
                self.say(format_args!("add group {} in {} v{version}{sad}", asked.group_id, asked.producer_epoch));
                AddOffsetsToTxnResponse { error_code, ..Default::default() }.into()
            }
            Request::TxnOffsetCommit(asked) => {
                let (group, member, generation) = (&asked.group_id, &asked.member_id, asked.generation_id);
                self.say(format_args!("commit offsets of {group}, {member} of {generation} v{version}{sad}"));
                let one = |one: &txn_offset_commit_request::TxnOffsetCommitRequestPartition| {
                    TxnOffsetCommitResponsePartition {
                        partition_index: one.partition_index,
                        error_code,
                        ..Default::default()
                    }
                };
                let topic = |topic: &txn_offset_commit_request::TxnOffsetCommitRequestTopic| {
                    let partitions = topic.partitions.iter().map(one).collect();
                    TxnOffsetCommitResponseTopic { name: topic.name.clone(), partitions, ..Default::default() }
                };
                TxnOffsetCommitResponse { topics: asked.topics.iter().map(topic).collect(), ..Default::default() }
                    .into()
            }
            Request::EndTxn(asked) => {
                let ending = if asked.committed { "commit" } else { "abort" };
                self.say(format_args!("{ending} {}/{} v{version}{sad}", asked.producer_id, asked.producer_epoch));
                if version >= 5 && error_code.is_ok() {
                    // One that comes again finds the epoch that it has made.
                    self.epoch = asked.producer_epoch + 1;
                }
                EndTxnResponse { error_code, producer_id: 9, producer_epoch: self.epoch, ..Default::default() }.into()
            }
            Request::Produce(asked) => self.produce(&asked, version, error_code),
            other => panic!("nobody asks this: {other:?}"),
        }
    }

    fn produce(&mut self, asked: &ProduceRequest, version: i16, error_code: ErrorCode) -> Response {
        let of = asked.transactional_id.clone().unwrap_or("nobody".into());
        let mut responses = Vec::new();
        for topic in &asked.topic_data {
            for partition in &topic.partition_data {
                let Some(Records::Bytes(batch)) = &partition.records else { panic!("there are records") };
                let header = record::Header::parse(batch).expect("it is a batch");
                assert!(record::crc_matches(batch), "a batch is whole");
                assert_eq!(header.attributes.is_transactional(), asked.transactional_id.is_some());
                let mut numbers = Vec::new();
                let mut records = record::records(batch, 1 << 20).expect("it has records");
                while let Some(record) = records.next_record().expect("they are whole") {
                    let text = std::str::from_utf8(record.value.expect("a value")).expect("a text");
                    numbers.push(text.trim_end_matches('.').parse::<u64>().expect("a number"));
                }
                let is_large = header.record_count > self.most;
                let error_code = if is_large { ErrorCode::MESSAGE_TOO_LARGE } else { error_code };
                let sad = if error_code.is_ok() { String::new() } else { format!(" -> {error_code:?}") };
                let (epoch, sequence) = (header.producer_epoch.0, header.base_sequence.0);
                let index = partition.index;
                self.say(format_args!("produce {of} {numbers:?} to {index} as {epoch}#{sequence} v{version}{sad}"));
                let log = &mut self.logs[usize::try_from(index).expect("a partition")];
                let base_offset = i64::try_from(log.len()).expect("few");
                if error_code.is_ok() {
                    log.extend(numbers);
                }
                let one = PartitionProduceResponse { index, error_code, base_offset, ..Default::default() };
                let (name, topic_id) = (topic.name.clone(), topic.topic_id);
                let partition_responses = vec![one];
                responses.push(TopicProduceResponse { name, topic_id, partition_responses, ..Default::default() });
            }
        }
        ProduceResponse { responses, ..Default::default() }.into()
    }

    fn versions(&self) -> Response {
        use ApiKey::*;
        let keys = [
            ApiVersions,
            Metadata,
            Produce,
            FindCoordinator,
            InitProducerId,
            AddPartitionsToTxn,
            AddOffsetsToTxn,
            EndTxn,
            TxnOffsetCommit,
        ];
        let range = |key: &ApiKey| {
            let (low, high) = key.versions().into_inner();
            ApiVersion { api_key: key.number(), min_version: low, max_version: high, ..Default::default() }
        };
        let level = FinalizedFeatureKey {
            name: "transaction.version".into(),
            max_version_level: self.level,
            min_version_level: self.level,
            ..Default::default()
        };
        ApiVersionsResponse {
            api_keys: keys.iter().map(range).collect(),
            finalized_features_epoch: 1,
            finalized_features: vec![level],
            ..Default::default()
        }
        .into()
    }

    fn send(&mut self, partition: i32) {
        let number = self.numbers;
        let record = ProducerRecord::new(TOPIC, format!("{number}...")).partition(partition);
        match self.engine.send(self.now(), &record) {
            Ok(taken) => taken.ticket.push(number),
            Err(NotTaken::Refused(error)) => return self.say(format_args!("  it is not taken: {}", short(&error))),
            Err(error) => panic!("it is not taken: {error:?}"),
        }
        self.numbers += 1;
    }

    fn offsets(&mut self) {
        let group = GroupMetadata { group_id: "g".into(), generation: 3, member_id: "m".into(), instance_id: None };
        let offsets = BTreeMap::from([((TOPIC, PartitionIndex(0)), Offset(5).into())]);
        if let Err(error) = self.engine.send_offsets(self.now(), offsets, group) {
            self.say(format_args!("  offsets: {}", told::<()>(&Err(error))));
        }
    }

    /// Does one thing of a script.
    fn act(&mut self, command: &str) {
        let words: Vec<&str> = command.split_whitespace().collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse().ok()).expect("a number");
        match words[0] {
            "init" => self.until_done("init", |engine, now| engine.init_transactions(now)),
            "commit" => self.until_done("commit", |engine, now| engine.end_transaction(now, Ending::Commit)),
            "abort" => self.until_done("abort", |engine, now| engine.end_transaction(now, Ending::Abort)),
            // Begins to commit and asks no more about it.
            "leave" => assert!(self.engine.end_transaction(self.now(), Ending::Commit).is_pending()),
            "begin" => match self.engine.begin_transaction() {
                Ok(()) => {}
                error => self.say(format_args!("  begin: {}", told(&error))),
            },
            "send" => self.send(number(1)),
            "offsets" => self.offsets(),
            "pass" => self.pass(number(1).unsigned_abs().into()),
            "level" => self.level = i16::try_from(number(1)).expect("small"),
            "most" => self.most = number(1),
            "lose" => self.fates.push_back((words[1].to_owned(), Fate::Lost)),
            "ignore" => self.fates.push_back((words[1].to_owned(), Fate::Ignored)),
            "fail" => {
                let code = ErrorCode(i16::try_from(number(2)).expect("a code"));
                self.fates.push_back((words[1].to_owned(), Fate::Code(code)));
            }
            other => panic!("no such command: {other}"),
        }
    }

    fn until_done(
        &mut self,
        name: &str,
        ask: impl Fn(&mut Producer<Vec<u64>>, Now) -> Poll<Result<(), TransactionError>>,
    ) {
        for _ in 0..100 {
            let now = self.now();
            if let Poll::Ready(done) = ask(&mut self.engine, now) {
                return self.say(format_args!("  {name}: {}", told(&done)));
            }
            self.pass(100);
        }
        panic!("{name} does not come to its end:\n{}", self.seen);
    }

    fn play(&mut self, script: &str) {
        // The topic is known beforehand.
        let _ = self.engine.partitions(self.now(), &TOPIC);
        self.pass(100);
        script.split(';').for_each(|command| self.act(command.trim()));
    }
}

fn told<T>(result: &Result<T, TransactionError>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{:?} {:?}", error.group, error.code),
    }
}

fn short(error: &SendError) -> String {
    match error {
        SendError::Refused { code, .. } => format!("{code:?}"),
        SendError::Transaction(error) => told::<()>(&Err(error.clone())),
        other => format!("{other:?}"),
    }
}

fn metadata() -> Response {
    let partition = |index| MetadataResponsePartition {
        partition_index: index,
        leader_id: 1,
        leader_epoch: 4,
        ..Default::default()
    };
    let topic = MetadataResponseTopic {
        name: Some(TOPIC),
        topic_id: ID,
        partitions: vec![partition(0), partition(1)],
        ..Default::default()
    };
    let broker = MetadataResponseBroker { node_id: 1, host: "b".into(), port: 1, ..Default::default() };
    MetadataResponse { brokers: vec![broker], topics: vec![topic], controller_id: 1, ..Default::default() }.into()
}

#[track_caller]
fn check(level: i16, script: &str, expected: &str) {
    check_with(Fake::transactional(level), script, expected);
}

#[track_caller]
fn check_with(mut fake: Fake, script: &str, expected: &str) {
    fake.play(script);
    let lines = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n");
    assert_eq!(lines(&fake.seen), lines(expected.trim()), "\n{}", fake.seen);
}

#[test]
fn version_1_adds_what_it_sends_to() {
    check(
        1,
        "init; begin; send 0; send 1; offsets; commit; begin; send 0; commit",
        "
        find t of kind 1
        identify t -1/-1 v5
          init: ok
        add [0, 1] in 0 v3
        add group g in 0 v4
        produce t [0] to 0 as 0#0 v11
        produce t [1] to 1 as 0#0 v11
        find g of kind 0
        commit offsets of g, m of 3 v4
        commit 9/0 v4
          [0] is at 0@Some(Offset(0))
          [1] is at 1@Some(Offset(0))
          offsets 0: ok
          commit: ok
        add [0] in 0 v3
        produce t [2] to 0 as 0#1 v11
        commit 9/0 v4
          [2] is at 0@Some(Offset(1))
          commit: ok
        ",
    );
}

#[test]
fn version_2_adds_by_sending() {
    check(
        2,
        "init; begin; send 0; send 1; offsets; commit; begin; send 0; commit",
        "
        find t of kind 1
        identify t -1/-1 v5
          init: ok
        find g of kind 0
        commit offsets of g, m of 3 v5
        produce t [0] to 0 as 0#0 v13
        produce t [1] to 1 as 0#0 v13
        commit 9/0 v5
          [0] is at 0@Some(Offset(0))
          [1] is at 1@Some(Offset(0))
          offsets 0: ok
          commit: ok
        produce t [2] to 0 as 1#0 v13
        commit 9/1 v5
          [2] is at 0@Some(Offset(1))
          commit: ok
        ",
    );
}

#[test]
fn what_is_empty_ends_without_a_question() {
    check(
        2,
        "init; begin; commit; begin; abort; commit",
        "
        find t of kind 1
        identify t -1/-1 v5
          init: ok
          commit: ok
          abort: ok
          commit: Misuse INVALID_TXN_STATE
        ",
    );
}

#[test]
fn a_commit_that_nobody_awaits_goes_on() {
    check(
        1,
        "init; begin; send 0; leave; pass 500; begin; send 0; leave; commit",
        "
        find t of kind 1
        identify t -1/-1 v5
          init: ok
        add [0] in 0 v3
        produce t [0] to 0 as 0#0 v11
        commit 9/0 v4
          [0] is at 0@Some(Offset(0))
        add [0] in 0 v3
        produce t [1] to 0 as 0#1 v11
        commit 9/0 v4
          [1] is at 0@Some(Offset(1))
          commit: ok
        ",
    );
}

#[test]
fn what_may_pass_is_asked_again() {
    check(
        1,
        "init; begin; fail AddPartitionsToTxn 51; fail EndTxn 16; lose EndTxn; fail EndTxn 14; send 0; commit",
        "
        find t of kind 1
        identify t -1/-1 v5
          init: ok
        add [0] in 0 v3 -> CONCURRENT_TRANSACTIONS
        add [0] in 0 v3
        produce t [0] to 0 as 0#0 v11
        commit 9/0 v4 -> NOT_COORDINATOR
          [0] is at 0@Some(Offset(0))
        find t of kind 1
        commit 9/0 v4
        find t of kind 1
        commit 9/0 v4 -> COORDINATOR_LOAD_IN_PROGRESS
        commit 9/0 v4
          commit: ok
        ",
    );
}

#[test]
fn an_answer_that_is_lost_ends_in_the_same_epoch() {
    check(
        2,
        "init; begin; send 0; lose EndTxn; commit; begin; send 0; commit",
        "
        find t of kind 1
        identify t -1/-1 v5
          init: ok
        produce t [0] to 0 as 0#0 v13
        commit 9/0 v5
        find t of kind 1
        commit 9/0 v5
          [0] is at 0@Some(Offset(0))
          commit: ok
        produce t [1] to 0 as 1#0 v13
        commit 9/1 v5
          [1] is at 0@Some(Offset(1))
          commit: ok
        ",
    );
}

#[test]
fn what_was_refused_is_aborted_under_version_1() {
    check(
        1,
        "init; begin; send 0; pass 50; fail Produce 87; send 0; send 1; commit; send 0; abort; begin; send 0; commit",
        "
        find t of kind 1
        identify t -1/-1 v5
          init: ok
        add [0] in 0 v3
        produce t [0] to 0 as 0#0 v11
          [0] is at 0@Some(Offset(0))
        add [1] in 0 v3
        produce t [1] to 0 as 0#1 v11 -> INVALID_RECORD
        produce t [2] to 1 as 0#0 v11
          [1] failed: INVALID_RECORD
          [2] is at 1@Some(Offset(0))
          commit: Abortable INVALID_RECORD
          it is not taken: Abortable INVALID_RECORD
        abort 9/0 v4
        identify t 9/0 v5
          abort: ok
        add [0] in 1 v3
        produce t [3] to 0 as 1#0 v11
        commit 9/1 v4
          [3] is at 0@Some(Offset(1))
          commit: ok
        ",
    );
}

#[test]
fn what_was_refused_is_aborted_under_version_2() {
    check(
        2,
        "init; begin; send 0; pass 50; fail Produce 120; send 0; commit; abort; begin; send 0; commit",
        "
        find t of kind 1
        identify t -1/-1 v5
          init: ok
        produce t [0] to 0 as 0#0 v13
          [0] is at 0@Some(Offset(0))
        produce t [1] to 0 as 0#1 v13 -> TRANSACTION_ABORTABLE
          [1] failed: TRANSACTION_ABORTABLE
          commit: Abortable TRANSACTION_ABORTABLE
        abort 9/0 v5
          abort: ok
        produce t [2] to 0 as 1#0 v13
        commit 9/1 v5
          [2] is at 0@Some(Offset(1))
          commit: ok
        ",
    );
}

#[test]
fn an_abort_drops_what_was_not_sent() {
    check(
        1,
        "init; begin; lose AddPartitionsToTxn; send 0; pass 20; abort; pass 20",
        "
        find t of kind 1
        identify t -1/-1 v5
          init: ok
        add [0] in 0 v3
        find t of kind 1
        abort 9/0 v4
          [0] failed: Abortable TRANSACTION_ABORTABLE
          abort: ok
        ",
    );
}

#[test]
fn who_is_fenced_has_to_go() {
    check(
        2,
        "init; begin; send 0; fail EndTxn 90; commit; abort; begin; send 0",
        "
        find t of kind 1
        identify t -1/-1 v5
          init: ok
        produce t [0] to 0 as 0#0 v13
        commit 9/0 v5 -> PRODUCER_FENCED
          [0] is at 0@Some(Offset(0))
          commit: ApplicationRecoverable PRODUCER_FENCED
          abort: ApplicationRecoverable PRODUCER_FENCED
          begin: ApplicationRecoverable PRODUCER_FENCED
          it is not taken: ApplicationRecoverable PRODUCER_FENCED
        ",
    );
}

#[test]
fn who_may_not_add_partitions_any_more_is_fenced() {
    check(
        1,
        "init; begin; fail AddPartitionsToTxn 47; send 0; commit; abort",
        "
        find t of kind 1
        identify t -1/-1 v5
          init: ok
        add [0] in 0 v3 -> INVALID_PRODUCER_EPOCH
          [0] failed: ApplicationRecoverable PRODUCER_FENCED
          commit: ApplicationRecoverable PRODUCER_FENCED
          abort: ApplicationRecoverable PRODUCER_FENCED
        ",
    );
}

/// An epoch that a partition's leader refuses may be old: the coordinator knows.
#[test]
fn a_leader_fences_nobody() {
    check(
        1,
        "init; begin; fail Produce 47; send 0; commit; abort; begin; fail Produce 47; fail EndTxn 90; send 0; commit; abort",
        "
        find t of kind 1
        identify t -1/-1 v5
          init: ok
        add [0] in 0 v3
        produce t [0] to 0 as 0#0 v11 -> INVALID_PRODUCER_EPOCH
          [0] failed: INVALID_PRODUCER_EPOCH
          commit: Abortable INVALID_PRODUCER_EPOCH
        abort 9/0 v4
        identify t 9/0 v5
          abort: ok
        add [0] in 1 v3
        produce t [1] to 0 as 1#0 v11 -> INVALID_PRODUCER_EPOCH
          [1] failed: INVALID_PRODUCER_EPOCH
          commit: Abortable INVALID_PRODUCER_EPOCH
        abort 9/1 v4 -> PRODUCER_FENCED
          abort: ApplicationRecoverable PRODUCER_FENCED
        ",
    );
}

#[test]
fn who_may_not_use_an_id_is_told_so() {
    check(
        1,
        "fail InitProducerId 53; init; begin",
        "
        find t of kind 1
        identify t -1/-1 v5 -> TRANSACTIONAL_ID_AUTHORIZATION_FAILED
          init: Fatal TRANSACTIONAL_ID_AUTHORIZATION_FAILED
          begin: Fatal TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        ",
    );
}

#[test]
fn offsets_of_a_lost_member_abort() {
    check(
        2,
        "init; begin; fail TxnOffsetCommit 16; offsets; pass 500; fail TxnOffsetCommit 25; offsets; pass 50; commit; abort",
        "
        find t of kind 1
        identify t -1/-1 v5
          init: ok
        find g of kind 0
        commit offsets of g, m of 3 v5 -> NOT_COORDINATOR
        find g of kind 0
        commit offsets of g, m of 3 v5
          offsets 0: ok
        commit offsets of g, m of 3 v5 -> UNKNOWN_MEMBER_ID
          offsets 1: Abortable UNKNOWN_MEMBER_ID
          commit: Abortable UNKNOWN_MEMBER_ID
        abort 9/0 v5
          abort: ok
        ",
    );
}

#[test]
fn a_new_level_holds_from_the_next_transaction_on() {
    check(
        1,
        "init; begin; send 0; commit; level 2; lose Produce; begin; send 0; commit; begin; send 0; commit; begin; send 0; commit",
        "
        find t of kind 1
        identify t -1/-1 v5
          init: ok
        add [0] in 0 v3
        produce t [0] to 0 as 0#0 v11
        commit 9/0 v4
          [0] is at 0@Some(Offset(0))
          commit: ok
        add [0] in 0 v3
        produce t [1] to 0 as 0#1 v11
        produce t [1] to 0 as 0#1 v11
        commit 9/0 v4
          [1] is at 0@Some(Offset(2))
          commit: ok
        identify t 9/0 v5
        produce t [2] to 0 as 1#0 v13
        commit 9/1 v5
          [2] is at 0@Some(Offset(3))
          commit: ok
        produce t [3] to 0 as 2#0 v13
        commit 9/2 v5
          [3] is at 0@Some(Offset(4))
          commit: ok
        ",
    );
}

#[test]
fn calls_out_of_turn_change_nothing() {
    check(
        2,
        "begin; send 0; commit; init; send 0; begin; begin; init; send 0; commit",
        "
          begin: Misuse INVALID_TXN_STATE
          it is not taken: Misuse INVALID_TXN_STATE
          commit: Misuse INVALID_TXN_STATE
        find t of kind 1
        identify t -1/-1 v5
          init: ok
          it is not taken: Misuse INVALID_TXN_STATE
          begin: Misuse INVALID_TXN_STATE
          init: ok
        produce t [0] to 0 as 0#0 v13
        commit 9/0 v5
          [0] is at 0@Some(Offset(0))
          commit: ok
        ",
    );
}

#[track_caller]
fn check_idempotent(script: &str, expected: &str) {
    check_with(Fake::new(2, ProducerOptions::default()), script, expected);
}

#[test]
fn what_is_too_large_goes_in_parts_with_its_sequences() {
    check_idempotent(
        "most 2; send 0; send 0; send 0; send 0; send 0; pass 50; send 0; pass 500",
        "
        identify nobody -1/-1 v5
        produce nobody [0, 1, 2, 3, 4] to 0 as 0#0 v13 -> MESSAGE_TOO_LARGE
        produce nobody [0, 1] to 0 as 0#0 v13
        produce nobody [2, 3, 4] to 0 as 0#2 v13 -> MESSAGE_TOO_LARGE
        produce nobody [2] to 0 as 0#2 v13
        produce nobody [3, 4] to 0 as 0#3 v13
          [0] is at 0@Some(Offset(0))
          [1] is at 0@Some(Offset(1))
          [2] is at 0@Some(Offset(2))
          [3] is at 0@Some(Offset(3))
          [4] is at 0@Some(Offset(4))
        produce nobody [5] to 0 as 0#5 v13
          [5] is at 0@Some(Offset(5))
        ",
    );
}

#[test]
fn one_record_that_is_too_large_is_refused() {
    check_idempotent(
        "send 0; pass 50; most 0; send 0; send 0; pass 200; most 9; send 0; pass 200",
        "
        identify nobody -1/-1 v5
        produce nobody [0] to 0 as 0#0 v13
          [0] is at 0@Some(Offset(0))
        produce nobody [1, 2] to 0 as 0#1 v13 -> MESSAGE_TOO_LARGE
        produce nobody [1] to 0 as 0#1 v13 -> MESSAGE_TOO_LARGE
        produce nobody [2] to 0 as 0#2 v13 -> MESSAGE_TOO_LARGE
          [1] failed: MESSAGE_TOO_LARGE
          [2] failed: MESSAGE_TOO_LARGE
        produce nobody [3] to 0 as 1#0 v13
          [3] is at 0@Some(Offset(1))
        ",
    );
}

#[test]
fn a_gap_in_the_sequences_begins_a_new_epoch() {
    check_idempotent(
        "send 0; pass 50; fail Produce 45; send 0; pass 500; fail Produce 59; send 0; pass 500",
        "
        identify nobody -1/-1 v5
        produce nobody [0] to 0 as 0#0 v13
          [0] is at 0@Some(Offset(0))
        produce nobody [1] to 0 as 0#1 v13 -> OUT_OF_ORDER_SEQUENCE_NUMBER
        produce nobody [1] to 0 as 1#0 v13
          [1] is at 0@Some(Offset(1))
        produce nobody [2] to 0 as 1#1 v13 -> UNKNOWN_PRODUCER_ID
        produce nobody [2] to 0 as 2#0 v13
          [2] is at 0@Some(Offset(2))
        ",
    );
}

/// The gap may be what was stored and is deleted by now: what follows it is asked for under its old sequence first.
#[test]
fn what_follows_a_gap_is_not_stored_again() {
    check_idempotent(
        "send 0; pass 50; ignore Produce; ignore Produce; fail Produce 45; lose Produce; send 0; pass 8; send 0; pass 40000; send 0; pass 50",
        "
        identify nobody -1/-1 v5
        produce nobody [0] to 0 as 0#0 v13
          [0] is at 0@Some(Offset(0))
        produce nobody [1] to 0 as 0#1 v13
        produce nobody [2] to 0 as 0#2 v13
        produce nobody [1] to 0 as 0#1 v13 -> OUT_OF_ORDER_SEQUENCE_NUMBER
        produce nobody [2] to 0 as 0#2 v13
        produce nobody [2] to 0 as 0#2 v13
        produce nobody [1] to 0 as 1#0 v13
          [2] is at 0@Some(Offset(4))
          [1] is at 0@Some(Offset(5))
        produce nobody [3] to 0 as 1#1 v13
          [3] is at 0@Some(Offset(6))
        ",
    );
}

#[test]
fn who_may_not_be_idempotent_is_told_so_and_may_try_again() {
    check_idempotent(
        "fail InitProducerId 31; send 0; pass 50; send 0; pass 500",
        "
        identify nobody -1/-1 v5 -> CLUSTER_AUTHORIZATION_FAILED
          [0] failed: CLUSTER_AUTHORIZATION_FAILED
        identify nobody -1/-1 v5
        produce nobody [1] to 0 as 0#0 v13
          [1] is at 0@Some(Offset(0))
        ",
    );
}
