//! A producer's transactions: who coordinates them, what is in the one that is open, and how it ends.
//!
//! Owns what is asked of coordinators, one thing at a time, in both versions of the protocol: in the first, partitions
//! and groups are added to a transaction before anything is sent there (KIP-98); in the second, sending adds them, and
//! each transaction has an epoch of its own (KIP-890). Must never know a batch: whether some are open it is told.

use super::{Identity, SendError};
use crate::admin::{by_topic, coordinator, indexes_by_topic};
use crate::cluster::{Call, Cluster, Failure, Target};
use crate::consumer::{GroupMetadata, OffsetAndMetadata, Spot};
use crate::link::{ANY_VERSION, Range};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::task::Poll;
use types::{ErrorCode, Instant, NodeId, PartitionIndex, ProducerEpoch, ProducerId, Text};
use wire::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use wire::txn_offset_commit_request::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic};
use wire::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, FindCoordinatorRequest, InitProducerIdRequest,
    Request, Response, TxnOffsetCommitRequest,
};

/// Most commits of offsets that may wait in one transaction.
const OFFSETS_WAITING_MAX: usize = 1000;
/// The wait while a coordinator completes the transaction before.
const CONCURRENT_WAIT_MS: u64 = 20;
/// In these versions partitions and groups have to be added before; in those above, a request adds its own.
const PRODUCE_V1_MAX: i16 = 11;
const COMMIT_OFFSETS_V1_MAX: i16 = 4;
const END_V1_MAX: i16 = 4;
/// Above it only brokers ask.
const ADD_PARTITIONS_MAX: i16 = 3;
/// From it on a producer may ask for another epoch of its own (KIP-360).
const RENEW_MIN: i16 = 3;

/// What helps against an error of a transaction (KIP-1050).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorGroup {
    /// It may pass: the same call may succeed later.
    Retriable,
    /// The transaction cannot be committed: abort it, and begin another.
    Abortable,
    /// This producer is of no more use: make another, and let it begin where the last commit was.
    ApplicationRecoverable,
    /// No producer would get further before somebody changes what the error names.
    Fatal,
    /// The call does not fit what the producer is doing; it has changed nothing.
    Misuse,
}

/// Why a transaction, or a record of it, got no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionError {
    pub group: ErrorGroup,
    pub code: ErrorCode,
    pub message: Option<String>,
}

impl TransactionError {
    pub(super) fn misuse(message: &str) -> TransactionError {
        let (group, code) = (ErrorGroup::Misuse, ErrorCode::INVALID_TXN_STATE);
        TransactionError { group, code, message: Some(message.to_owned()) }
    }

    fn aborted() -> TransactionError {
        let (group, code) = (ErrorGroup::Abortable, ErrorCode::TRANSACTION_ABORTABLE);
        TransactionError { group, code, message: Some("its transaction is aborted".to_owned()) }
    }

    /// Whether the producer is of no more use.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self.group, ErrorGroup::ApplicationRecoverable | ErrorGroup::Fatal)
    }
}

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.message, self.group) {
            (Some(message), ErrorGroup::Misuse) => f.write_str(message)?,
            (Some(message), _) => write!(f, "{message} ({})", self.code)?,
            (None, _) => write!(f, "{}", self.code)?,
        }
        f.write_str(match self.group {
            ErrorGroup::Retriable => "; it may pass: call again",
            ErrorGroup::Abortable => "; abort the transaction, and begin another",
            ErrorGroup::ApplicationRecoverable => "; make another producer",
            ErrorGroup::Fatal | ErrorGroup::Misuse => "",
        })
    }
}

/// How a transaction is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Commit,
    Abort,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// `init_transactions` was not called yet.
    #[default]
    New,
    Initializing,
    /// No transaction is open; how the last one ended, where nobody was told yet.
    Ready(Option<Ending>),
    Open,
    Ending(Ending),
    /// It has ended, and the next one needs an epoch of its own first.
    Renewing(Ending),
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    FindCoordinator,
    FindGroup,
    Identify,
    AddPartitions,
    AddOffsets,
    CommitOffsets,
    End(Ending),
}

/// What a transaction works with.
#[derive(Debug)]
pub struct Scene<'a> {
    pub now: Instant,
    pub cluster: &'a mut Cluster,
    pub identity: &'a mut Identity,
}

/// Offsets that are to be committed with the transaction.
#[derive(Debug)]
struct Offsets {
    number: u64,
    group: GroupMetadata,
    offsets: BTreeMap<Spot, OffsetAndMetadata>,
    /// The coordinator knows that the group has a part in the transaction.
    is_added: bool,
}

#[derive(Debug, Default)]
pub struct Transaction {
    id: Text,
    timeout_ms: u64,
    phase: Phase,
    /// Version 2 of the protocol is spoken.
    is_v2: bool,
    /// Why it cannot be committed.
    error: Option<TransactionError>,
    coordinator: Option<NodeId>,
    group_coordinator: Option<(Text, NodeId)>,
    asked: Option<(Call, Step)>,
    not_before: Instant,
    failed: u32,
    /// The brokers may know of it.
    is_started: bool,
    /// Partitions that are part of it, those that are to be, and those for whom that was asked.
    added: BTreeSet<Spot>,
    pending: BTreeSet<Spot>,
    adding: BTreeSet<Spot>,
    offsets: VecDeque<Offsets>,
    next_number: u64,
    /// What became of commits of offsets.
    pub sent_offsets: VecDeque<(u64, Result<(), TransactionError>)>,
}

impl Transaction {
    pub fn new(id: Text, timeout_ms: u64) -> Transaction {
        Transaction { id, timeout_ms, ..Transaction::default() }
    }

    /// Finds out who this producer is and fences those before it of the same id; ready once that is done.
    pub fn init(&mut self) -> Poll<Result<(), TransactionError>> {
        if let Some(error) = &self.error {
            return Poll::Ready(Err(error.clone()));
        }
        match self.phase {
            Phase::New => self.phase = Phase::Initializing,
            Phase::Initializing => {}
            Phase::Ready(_) | Phase::Open | Phase::Ending(_) | Phase::Renewing(_) => return Poll::Ready(Ok(())),
        }
        Poll::Pending
    }

    /// Opens a transaction. True where the protocol's version has changed, so that it needs an epoch of its own.
    pub fn begin(&mut self, cluster: &Cluster) -> Result<bool, TransactionError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let obstacle = match self.phase {
            Phase::Ready(_) => None,
            Phase::New | Phase::Initializing => Some("no transaction can be begun yet: await init_transactions first"),
            Phase::Open => Some("a transaction is open: commit or abort it first"),
            Phase::Ending(_) | Phase::Renewing(_) => Some("the last transaction has not ended: await its end again"),
        };
        if let Some(obstacle) = obstacle {
            return Err(TransactionError::misuse(obstacle));
        }
        self.phase = Phase::Open;
        let is_v2 = cluster.transaction_version() >= 2;
        let is_new = is_v2 != self.is_v2;
        self.is_v2 = is_v2;
        Ok(is_new)
    }

    /// Ends the transaction, and tells when that is done. A commit that has begun goes on though nobody asks about it;
    /// who asks again is told of the same.
    pub fn end(&mut self, ending: Ending) -> Poll<Result<(), TransactionError>> {
        let error = self.error.as_ref().filter(|error| ending == Ending::Commit || error.is_fatal());
        if let Some(error) = error {
            return Poll::Ready(Err(error.clone()));
        }
        let obstacle = match self.phase {
            Phase::Ending(goes_on) | Phase::Renewing(goes_on) if goes_on == ending => return Poll::Pending,
            // The commit got no further.
            Phase::Ending(Ending::Commit) if self.error.is_some() => None,
            Phase::Open => None,
            Phase::Ready(Some(ended)) if ended == ending => {
                self.phase = Phase::Ready(None);
                return Poll::Ready(Ok(()));
            }
            Phase::Ending(_) | Phase::Renewing(_) => Some("it is ending in another way already: await that instead"),
            Phase::New | Phase::Initializing | Phase::Ready(_) => Some("no transaction is open: begin one first"),
        };
        if let Some(obstacle) = obstacle {
            return Poll::Ready(Err(TransactionError::misuse(obstacle)));
        }
        self.phase = Phase::Ending(ending);
        Poll::Pending
    }

    pub fn send_offsets(
        &mut self,
        offsets: BTreeMap<Spot, OffsetAndMetadata>,
        group: GroupMetadata,
    ) -> Result<u64, TransactionError> {
        self.check_open()?;
        if self.offsets.len() >= OFFSETS_WAITING_MAX {
            return Err(TransactionError::misuse("too many offsets wait to be sent: await those before"));
        }
        let number = self.next_number;
        self.next_number += 1;
        self.offsets.push_back(Offsets { number, group, offsets, is_added: false });
        Ok(number)
    }

    /// Whether something may be added to it.
    pub fn check_open(&self) -> Result<(), TransactionError> {
        match (&self.error, self.phase) {
            (Some(error), _) => Err(error.clone()),
            (None, Phase::Open) => Ok(()),
            (None, _) => Err(TransactionError::misuse("no transaction is open: begin one before sending")),
        }
    }

    /// A record waits for this partition. True where that has to be added first.
    pub fn add(&mut self, topic: &Text, partition: PartitionIndex) -> bool {
        let spot = (topic.clone(), partition);
        !self.is_v2 && !self.added.contains(&spot) && !self.adding.contains(&spot) && self.pending.insert(spot)
    }

    /// Whether records that were not sent yet may go to this partition.
    pub fn admits(&self, topic: &Text, partition: PartitionIndex) -> bool {
        let is_open = matches!(self.phase, Phase::Open | Phase::Ending(Ending::Commit)) && self.error.is_none();
        is_open && (self.is_v2 || self.added.contains(&(topic.clone(), partition)))
    }

    /// Records are on their way; the versions of the request that bring them.
    pub fn produce_versions(&mut self) -> Range {
        self.is_started = true;
        if self.is_v2 { (PRODUCE_V1_MAX + 1, i16::MAX) } else { (0, PRODUCE_V1_MAX) }
    }

    /// What records are told that will not be sent any more.
    pub fn gives_up(&self) -> Option<TransactionError> {
        match (&self.error, self.phase) {
            (Some(error), _) => Some(error.clone()),
            (None, Phase::Ending(Ending::Abort)) => Some(TransactionError::aborted()),
            (None, _) => None,
        }
    }

    /// Whether the next transaction must not go on with the sequences of this one.
    pub fn needs_epoch(&self) -> bool {
        self.error.is_some() && !self.is_v2
    }

    pub fn is_fatal(&self) -> bool {
        self.error.as_ref().is_some_and(TransactionError::is_fatal)
    }

    /// Whether it would be wrong to go away now.
    pub fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending(_)) && !self.is_fatal()
    }

    /// A record of the transaction failed.
    pub fn spoil(&mut self, error: &SendError) {
        if !matches!(self.phase, Phase::Open | Phase::Ending(Ending::Commit)) {
            return;
        }
        let late = || Some("a record was not delivered in time".to_owned());
        match error {
            SendError::Refused { code, message } => self.fail(*code, message.clone(), true),
            SendError::TimedOut { .. } => self.fail(ErrorCode::REQUEST_TIMED_OUT, late(), true),
            SendError::Aborted => self.fail(ErrorCode::TRANSACTION_ABORTABLE, None, true),
            SendError::Transaction(_) => {}
        }
    }

    /// It cannot be committed, at the least. The first reason stays, unless a worse one comes.
    fn fail(&mut self, code: ErrorCode, message: Option<String>, may_abort: bool) {
        let group = match code {
            ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_ID_MAPPING => ErrorGroup::ApplicationRecoverable,
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
            | ErrorCode::CLUSTER_AUTHORIZATION_FAILED
            | ErrorCode::UNSUPPORTED_VERSION => ErrorGroup::Fatal,
            _ if may_abort => ErrorGroup::Abortable,
            _ => ErrorGroup::Fatal,
        };
        let error = TransactionError { group, code, message: message.or_else(|| self.hint(code)) };
        if self.error.is_none() || error.is_fatal() && !self.is_fatal() {
            for offsets in std::mem::take(&mut self.offsets) {
                self.sent_offsets.push_back((offsets.number, Err(error.clone())));
            }
            self.error = Some(error);
        }
    }

    /// What to look at.
    fn hint(&self, code: ErrorCode) -> Option<String> {
        let (id, timeout_ms) = (&self.id, self.timeout_ms);
        Some(match code {
            ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_EPOCH => {
                format!("another producer with transactional.id={id} was started, or the transaction timed out")
            }
            ErrorCode::INVALID_PRODUCER_ID_MAPPING => format!("the cluster has forgotten transactional.id={id}"),
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED => {
                format!("this user may not use transactional.id={id}: grant it WRITE and DESCRIBE on that")
            }
            ErrorCode::INVALID_TRANSACTION_TIMEOUT => format!(
                "transaction.timeout.ms={timeout_ms} is above the brokers' transaction.max.timeout.ms: set it to less"
            ),
            ErrorCode::ILLEGAL_GENERATION | ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_INSTANCE_ID => {
                "the group goes on without the member whose offsets these are".to_owned()
            }
            _ => return None,
        })
    }
}

/// What is asked.
impl Transaction {
    /// Asks the next thing that there is to ask. An ending of what the brokers know nothing of is done at once.
    pub fn drive(&mut self, scene: Scene<'_>, is_quiet: bool) {
        if self.asked.is_some() || scene.now < self.not_before {
            return;
        }
        let Some(step) = self.step(scene.identity, is_quiet) else { return };
        if let (Step::End(_), false) = (step, self.is_started) {
            return self.ended(scene.identity);
        }
        let (finder, found) = match (step, self.offsets.front()) {
            (Step::CommitOffsets, Some(front)) => {
                let known = self.group_coordinator.as_ref().filter(|(group, _)| *group == front.group.group_id);
                (Step::FindGroup, known.map(|(_, node)| *node))
            }
            _ => (Step::FindCoordinator, self.coordinator),
        };
        let Some(node) = found else {
            let (request, versions) = self.request(finder, &scene);
            self.asked = Some((scene.cluster.call_in(scene.now, Target::Any, request, versions), finder));
            return;
        };
        let (request, versions) = self.request(step, &scene);
        self.is_started |= matches!(step, Step::AddPartitions | Step::AddOffsets | Step::CommitOffsets);
        if step == Step::AddPartitions {
            self.adding = std::mem::take(&mut self.pending);
        }
        self.asked = Some((scene.cluster.call_in(scene.now, Target::Coordinator(node), request, versions), step));
    }

    fn request(&self, step: Step, scene: &Scene<'_>) -> (Request, Range) {
        let (ProducerId(producer_id), ProducerEpoch(producer_epoch)) = scene.identity.pair();
        let transactional_id = self.id.clone();
        let group_id = self.offsets.front().map(|offsets| offsets.group.group_id.clone()).unwrap_or_default();
        let versions = |v1_max| if self.is_v2 { (v1_max + 1, i16::MAX) } else { (0, v1_max) };
        match step {
            Step::FindCoordinator | Step::FindGroup => {
                let (key, key_type) = if step == Step::FindGroup { (group_id, 0) } else { (transactional_id, 1) };
                let coordinator_keys = vec![key.clone()];
                let request = FindCoordinatorRequest { key, key_type, coordinator_keys, ..Default::default() };
                // Version 0 knows groups alone.
                (request.into(), (key_type.into(), i16::MAX))
            }
            Step::Identify => {
                let request = InitProducerIdRequest {
                    transactional_id: Some(transactional_id),
                    transaction_timeout_ms: i32::try_from(self.timeout_ms).unwrap_or(i32::MAX),
                    producer_id,
                    producer_epoch,
                    ..Default::default()
                };
                (request.into(), (if producer_id < 0 { 0 } else { RENEW_MIN }, i16::MAX))
            }
            Step::AddPartitions => {
                let topic = |(name, partitions)| AddPartitionsToTxnTopic { name, partitions, ..Default::default() };
                let request = AddPartitionsToTxnRequest {
                    v3_and_below_transactional_id: transactional_id,
                    v3_and_below_producer_id: producer_id,
                    v3_and_below_producer_epoch: producer_epoch,
                    v3_and_below_topics: indexes_by_topic(&self.pending).map(topic).collect(),
                    ..Default::default()
                };
                (request.into(), (0, ADD_PARTITIONS_MAX))
            }
            Step::AddOffsets => {
                let rest = AddOffsetsToTxnRequest::default();
                let request =
                    AddOffsetsToTxnRequest { transactional_id, producer_id, producer_epoch, group_id, ..rest };
                (request.into(), ANY_VERSION)
            }
            Step::CommitOffsets => {
                let request =
                    TxnOffsetCommitRequest { transactional_id, producer_id, producer_epoch, ..self.commit(scene) };
                (request.into(), versions(COMMIT_OFFSETS_V1_MAX))
            }
            Step::End(ending) => {
                let committed = ending == Ending::Commit;
                let rest = EndTxnRequest::default();
                let request = EndTxnRequest { transactional_id, producer_id, producer_epoch, committed, ..rest };
                (request.into(), versions(END_V1_MAX))
            }
        }
    }

    fn step(&self, identity: &Identity, is_quiet: bool) -> Option<Step> {
        let ending = match self.phase {
            _ if self.is_fatal() => return None,
            Phase::New | Phase::Ready(_) => return None,
            Phase::Initializing | Phase::Renewing(_) => return Some(Step::Identify),
            Phase::Open => None,
            Phase::Ending(ending) => Some(ending),
        };
        let is_sound = self.error.is_none() && ending != Some(Ending::Abort);
        if is_sound && !self.is_started && matches!(identity, Identity::Spent(..)) {
            return Some(Step::Identify);
        }
        if is_sound && !self.pending.is_empty() {
            return Some(Step::AddPartitions);
        }
        if let Some(front) = self.offsets.front().filter(|_| is_sound) {
            return Some(if self.is_v2 || front.is_added { Step::CommitOffsets } else { Step::AddOffsets });
        }
        let may_end = is_quiet && (is_sound || ending == Some(Ending::Abort));
        ending.filter(|_| may_end).map(Step::End)
    }

    /// The offsets that wait first.
    fn commit(&self, scene: &Scene<'_>) -> TxnOffsetCommitRequest {
        let Some(Offsets { group, offsets, .. }) = self.offsets.front() else { return Default::default() };
        let partitions = offsets.iter().map(|(spot, committed)| {
            let partition = TxnOffsetCommitRequestPartition {
                partition_index: spot.1.0,
                committed_offset: committed.offset.0,
                committed_leader_epoch: committed.epoch_of(spot, scene.cluster),
                committed_metadata: Some(committed.metadata.clone()),
                ..Default::default()
            };
            (&spot.0, partition)
        });
        let topic = |(name, partitions)| TxnOffsetCommitRequestTopic { name, partitions, ..Default::default() };
        TxnOffsetCommitRequest {
            group_id: group.group_id.clone(),
            generation_id: group.generation,
            member_id: group.member_id.clone(),
            group_instance_id: group.instance_id.clone(),
            topics: by_topic(partitions).map(topic).collect(),
            ..Default::default()
        }
    }

    /// When there will be something to ask that is not asked for now.
    pub fn next_wake(&self) -> Option<Instant> {
        (self.asked.is_none() && self.failed > 0).then_some(self.not_before)
    }
}

/// What is answered.
impl Transaction {
    /// Takes an answer where it is to what was asked.
    pub fn answered(&mut self, scene: Scene<'_>, call: Call, result: &Result<Response, Failure>) -> bool {
        let Some((_, step)) = self.asked.take_if(|(asked, _)| *asked == call) else { return false };
        let (code, message) = match result {
            Ok(response) => match read(response, step) {
                (ErrorCode::NONE, _) => {
                    self.failed = 0;
                    self.done(scene, step, response);
                    return true;
                }
                problem => problem,
            },
            Err(Failure::Unsupported) => {
                let message = "the brokers are too old for transactions of this kind".to_owned();
                (ErrorCode::UNSUPPORTED_VERSION, Some(message))
            }
            Err(_) => (ErrorCode::COORDINATOR_NOT_AVAILABLE, None),
        };
        self.judge(scene, step, code, message);
        true
    }

    /// What was asked is done.
    fn done(&mut self, scene: Scene<'_>, step: Step, response: &Response) {
        match (step, response) {
            (Step::FindCoordinator | Step::FindGroup, found) => self.found(scene, step, found),
            (Step::Identify, Response::InitProducerId(response)) => {
                scene.identity.become_known(response.producer_id, response.producer_epoch);
                self.phase = match self.phase {
                    Phase::Initializing => Phase::Ready(None),
                    Phase::Renewing(ended) => Phase::Ready(Some(ended)),
                    phase @ (Phase::New | Phase::Ready(_) | Phase::Open | Phase::Ending(_)) => {
                        return self.phase = phase;
                    }
                };
                self.is_v2 = scene.cluster.transaction_version() >= 2;
            }
            (Step::AddPartitions, _) => self.added.append(&mut self.adding),
            (Step::AddOffsets, _) => self.offsets.front_mut().into_iter().for_each(|front| front.is_added = true),
            (Step::CommitOffsets, _) => {
                let done = self.offsets.pop_front();
                self.sent_offsets.extend(done.map(|done| (done.number, Ok(()))));
            }
            (Step::End(_), Response::EndTxn(response)) => {
                if self.is_v2 && response.producer_id >= 0 {
                    scene.identity.become_known(response.producer_id, response.producer_epoch);
                }
                self.ended(scene.identity);
            }
            // `read` takes no others.
            (Step::Identify | Step::End(_), _) => {}
        }
    }

    fn found(&mut self, scene: Scene<'_>, step: Step, response: &Response) {
        let Response::FindCoordinator(response) = response else { return };
        let Ok(node) = coordinator(response) else { return };
        if !scene.cluster.brokers().any(|broker| broker.node == node) {
            scene.cluster.refresh_soon(scene.now);
            return self.back_off(scene, ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        match (step, self.offsets.front()) {
            (Step::FindGroup, front) => {
                self.group_coordinator = front.map(|offsets| (offsets.group.group_id.clone(), node));
            }
            _ => self.coordinator = Some(node),
        }
    }

    fn ended(&mut self, identity: &Identity) {
        let Phase::Ending(ending) = self.phase else { return };
        let is_spent = matches!(identity, Identity::Spent(..));
        self.phase = if is_spent { Phase::Renewing(ending) } else { Phase::Ready(Some(ending)) };
        for offsets in std::mem::take(&mut self.offsets) {
            self.sent_offsets.push_back((offsets.number, Err(TransactionError::aborted())));
        }
        self.added.clear();
        self.pending.clear();
        self.adding.clear();
        self.is_started = false;
        self.error = None;
    }

    fn judge(&mut self, scene: Scene<'_>, step: Step, code: ErrorCode, message: Option<String>) {
        self.pending.append(&mut self.adding);
        match code {
            ErrorCode::NOT_COORDINATOR
            | ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::REQUEST_TIMED_OUT
            | ErrorCode::NETWORK_EXCEPTION => {
                match step {
                    Step::CommitOffsets | Step::FindGroup => self.group_coordinator = None,
                    _ => self.coordinator = None,
                }
                self.back_off(scene, code);
            }
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
            | ErrorCode::CONCURRENT_TRANSACTIONS
            | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::OPERATION_NOT_ATTEMPTED
            | ErrorCode::THROTTLING_QUOTA_EXCEEDED
            | ErrorCode::KAFKA_STORAGE_ERROR
            | ErrorCode::NOT_ENOUGH_REPLICAS => self.back_off(scene, code),
            // Older coordinators have no other word for it.
            ErrorCode::INVALID_PRODUCER_EPOCH => self.fail(ErrorCode::PRODUCER_FENCED, message, false),
            ErrorCode::TRANSACTION_ABORTABLE
            | ErrorCode::TOPIC_AUTHORIZATION_FAILED
            | ErrorCode::GROUP_AUTHORIZATION_FAILED
            | ErrorCode::FENCED_INSTANCE_ID
            | ErrorCode::UNKNOWN_MEMBER_ID
            | ErrorCode::ILLEGAL_GENERATION
            | ErrorCode::STALE_MEMBER_EPOCH
            | ErrorCode::OFFSET_METADATA_TOO_LARGE
            | ErrorCode::UNKNOWN_PRODUCER_ID => {
                let is_open = matches!(self.phase, Phase::Open | Phase::Ending(Ending::Commit));
                self.fail(code, message, is_open);
            }
            _ => self.fail(code, message, false),
        }
    }

    fn back_off(&mut self, scene: Scene<'_>, code: ErrorCode) {
        let wait_ms = scene.cluster.backoff_ms(self.failed);
        // It is a matter of moments, and of every transaction that follows another closely.
        let is_brief = code == ErrorCode::CONCURRENT_TRANSACTIONS;
        self.not_before = scene.now.plus_ms(if is_brief { wait_ms.min(CONCURRENT_WAIT_MS) } else { wait_ms });
        self.failed += 1;
    }
}

/// What an answer says: the one thing that went wrong, if anything.
fn read(response: &Response, step: Step) -> (ErrorCode, Option<String>) {
    let first = |codes: &mut dyn Iterator<Item = ErrorCode>| {
        // The others were not tried on its account.
        codes.filter(|code| !code.is_ok()).min_by_key(|code| *code == ErrorCode::OPERATION_NOT_ATTEMPTED)
    };
    let code = match (step, response) {
        (Step::FindCoordinator | Step::FindGroup, Response::FindCoordinator(response)) => {
            return match coordinator(response) {
                Ok(_) => (ErrorCode::NONE, None),
                Err(refused) => (refused.code, refused.message),
            };
        }
        (Step::Identify, Response::InitProducerId(response)) => response.error_code,
        (Step::AddPartitions, Response::AddPartitionsToTxn(response)) => {
            let topics = response.results_by_topic_v3_and_below.iter();
            let mut codes =
                topics.flat_map(|topic| &topic.results_by_partition).map(|one| ErrorCode(one.partition_error_code));
            first(&mut codes).unwrap_or_default()
        }
        (Step::AddOffsets, Response::AddOffsetsToTxn(response)) => response.error_code,
        (Step::CommitOffsets, Response::TxnOffsetCommit(response)) => {
            let mut codes = response.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code);
            first(&mut codes).unwrap_or_default()
        }
        (Step::End(_), Response::EndTxn(response)) => response.error_code,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    };
    (code, None)
}
