//! One file for each API key: decode, turn into works of the shards that own what is asked for, encode the answer.
//!
//! Generated wire types end here. What is in `SERVED` works; what is not there is not advertised.

mod allocate_producer_ids;
mod alter_configs;
mod alter_partition;
mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod api_versions;
mod assign_replicas_to_dirs;
mod broker_heartbeat;
mod broker_registration;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod elect_leaders;
mod envelope;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leaders;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod quorum;
mod sync_group;
mod telemetry;
mod topics;
mod unregister_broker;
mod update_features;

pub(crate) use broker_registration::{AFTER_KILL, AFTER_POWER_LOSS};
pub(crate) use envelope::refuse_envelope;

use crate::call::{SlotId, Step};
use crate::seam::{Frame, Part};
use crate::session::Request;
use crate::shard::Shard;
use crate::work::{ControllerWork, Outcome, PartitionOp, Work};
use bytes::Bytes;
use log::{Disk, FileRange};
use types::codec::{DecodeError, Reader, Writer};
use types::{ErrorCode, Text};
use wire::{ApiKey, Body};

/// Makes tables of what is served, each key with its versions, and `start`, which takes a request to its key's file.
macro_rules! serve {
    ($(
        $(#[$why:meta])* $visible:vis const $table:ident = [
            $(($key:ident, $min:literal, $max:literal) => $start:expr,)*
        ];
    )*) => {
        $($(#[$why])* $visible const $table: &[(ApiKey, i16, i16)] = &[$((ApiKey::$key, $min, $max)),*];)*

        /// Starts a request: its first step, or what is wrong with its bytes.
        pub(crate) fn start<D: Disk>(
            shard: &mut Shard<D>,
            request: Request,
            body: Reader,
        ) -> Result<Step<D>, DecodeError> {
            match request.key {
                $($(ApiKey::$key => $start(shard, request, body),)*)*
                // `open` refuses every key that no table names.
                other => Ok(Step::Close(format!("{other:?} is not served"))),
            }
        }
    };
}

serve! {
    /// The keys and versions that this broker serves, as it advertises them.
    pub(crate) const SERVED = [
        // librdkafka reads its feature table off an advertised minimum of 0; versions 0 to 2 are answered with
        // UNSUPPORTED_VERSION, as Kafka does.
        (Produce, 0, 13) => produce::start,
        (Fetch, 4, 18) => decoded(fetch::start),
        (ListOffsets, 1, 11) => decoded(list_offsets::start),
        (Metadata, 0, 13) => decoded(metadata::start),
        (OffsetCommit, 2, 10) => decoded(offset_commit::start),
        (OffsetFetch, 1, 10) => decoded(offset_fetch::start),
        (FindCoordinator, 0, 6) => decoded(find_coordinator::start),
        (JoinGroup, 0, 9) => decoded(join_group::start),
        (Heartbeat, 0, 4) => decoded(heartbeat::start),
        (LeaveGroup, 0, 5) => decoded(leave_group::start),
        (SyncGroup, 0, 5) => decoded(sync_group::start),
        (DescribeGroups, 0, 6) => decoded(describe_groups::start),
        (ListGroups, 0, 5) => decoded(list_groups::start),
        (ApiVersions, 0, 4) => decoded(api_versions::start),
        (CreateTopics, 2, 7) => decoded(create_topics::start),
        (DeleteTopics, 1, 6) => decoded(delete_topics::start),
        (DeleteRecords, 0, 2) => decoded(delete_records::start),
        (InitProducerId, 0, 5) => decoded(init_producer_id::start),
        (OffsetForLeaderEpoch, 2, 4) => decoded(offset_for_leader_epoch::start),
        (DescribeConfigs, 1, 4) => decoded(describe_configs::start),
        (AlterConfigs, 0, 2) => decoded(alter_configs::start),
        (AlterReplicaLogDirs, 1, 2) => decoded(alter_replica_log_dirs::start),
        (DescribeLogDirs, 1, 5) => decoded(describe_log_dirs::start),
        (CreatePartitions, 0, 3) => decoded(create_partitions::start),
        (DeleteGroups, 0, 2) => decoded(delete_groups::start),
        (IncrementalAlterConfigs, 0, 1) => decoded(alter_configs::start_incremental),
        (OffsetDelete, 0, 0) => decoded(offset_delete::start),
        (DescribeCluster, 0, 2) => decoded(describe_cluster::start),
        (DescribeProducers, 0, 0) => decoded(describe_producers::start),
        (GetTelemetrySubscriptions, 0, 0) => decoded(telemetry::start_subscriptions),
        (PushTelemetry, 0, 0) => decoded(telemetry::start_push),
        (ListConfigResources, 0, 1) => decoded(list_config_resources::start),
        (DescribeTopicPartitions, 0, 0) => decoded(describe_topic_partitions::start),
        (ElectLeaders, 0, 2) => decoded(elect_leaders::start),
        (AlterPartitionReassignments, 0, 1) => decoded(alter_partition_reassignments::start),
        (ListPartitionReassignments, 0, 0) => decoded(list_partition_reassignments::start),
        (UpdateFeatures, 0, 2) => decoded(update_features::start),
        (UnregisterBroker, 0, 0) => decoded(unregister_broker::start),
        (DescribeQuorum, 0, 2) => decoded(describe_quorum::start),
        (AddRaftVoter, 0, 1) => decoded(quorum::start::<D, wire::AddRaftVoterRequest>),
        (RemoveRaftVoter, 0, 0) => decoded(quorum::start::<D, wire::RemoveRaftVoterRequest>),
    ];

    /// What nodes of a cluster ask each other; not advertised, for no client asks it.
    const BETWEEN_NODES = [
        (Vote, 0, 2) => decoded(quorum::start::<D, wire::VoteRequest>),
        (BeginQuorumEpoch, 0, 1) => decoded(quorum::start::<D, wire::BeginQuorumEpochRequest>),
        (EndQuorumEpoch, 0, 1) => decoded(quorum::start::<D, wire::EndQuorumEpochRequest>),
        (AlterPartition, 2, 3) => decoded(alter_partition::start),
        (Envelope, 0, 0) => envelope::start,
        (FetchSnapshot, 0, 1) => decoded(quorum::start::<D, wire::FetchSnapshotRequest>),
        (BrokerRegistration, 0, 4) => decoded(broker_registration::start),
        (BrokerHeartbeat, 0, 2) => decoded(broker_heartbeat::start),
        (AllocateProducerIds, 0, 0) => decoded(allocate_producer_ids::start),
        (UpdateRaftVoter, 0, 0) => decoded(quorum::start::<D, wire::UpdateRaftVoterRequest>),
        (AssignReplicasToDirs, 0, 0) => decoded(assign_replicas_to_dirs::start),
    ];
}

/// What nearly every key begins with: reading the body.
fn decoded<D: Disk, M: wire::Call>(
    start: fn(&mut Shard<D>, Request, M) -> Step<D>,
) -> impl FnOnce(&mut Shard<D>, Request, Reader) -> Result<Step<D>, DecodeError> {
    move |shard, request, body| {
        let asked = request.decode(body)?;
        Ok(start(shard, request, asked))
    }
}

/// Whether a request is answered before this node has seen the cluster's metadata: what nodes ask each other, and who
/// this is. Anything else would be answered from an empty cluster, so it waits.
pub(crate) fn is_served_early(key: i16) -> bool {
    let early = [ApiKey::ApiVersions, ApiKey::Fetch, ApiKey::DescribeCluster];
    let between = BETWEEN_NODES.iter().map(|(between, ..)| between);
    // What is not served at all is refused at once.
    !SERVED.iter().any(|(served, ..)| *served as i16 == key) || between.chain(&early).any(|other| *other as i16 == key)
}

/// Why a request does not start.
pub(crate) enum Refused {
    Close(String),
    /// It is answered without being decoded.
    Answer {
        key: ApiKey,
        frame: Bytes,
    },
}

/// Reads a request's header; the reader is left at its body.
pub(crate) fn open(slot: SlotId, frame: Bytes) -> Result<(Request, Reader), Refused> {
    let bytes = frame.len();
    let mut reader = Reader::new(frame);
    let malformed = |error: DecodeError| Refused::Close(format!("a malformed request header: {error}"));
    let mut start = reader.clone();
    let (code, version) = (start.i16().map_err(malformed)?, start.i16().map_err(malformed)?);
    let served = SERVED.iter().chain(BETWEEN_NODES).find(|(key, ..)| *key as i16 == code);
    let Some((key, min, max)) = served.copied() else {
        let name = ApiKey::from_number(code).map_or("which Kafka does not have".to_owned(), |key| format!("({key})"));
        return Err(Refused::Close(format!("API key {code} {name} is not served")));
    };
    if version < min || version > max {
        if key == ApiKey::ApiVersions {
            let correlation_id = start.i32().map_err(malformed)?;
            return Err(Refused::Answer { key, frame: api_versions::unsupported(correlation_id) });
        }
        return Err(Refused::Close(format!("{key:?} version {version} is not served, only {min} to {max}")));
    }
    let (_, header) = wire::RequestHeader::read(&mut reader).map_err(malformed)?;
    let request = Request {
        slot,
        key,
        version,
        correlation_id: header.correlation_id,
        client_id: header.client_id,
        bytes,
        sealed: None,
    };
    Ok((request, reader))
}

/// A request about partitions: one work and one answer for each, by topic and in the order of the request.
fn of_each<D: Disk, P: Send + 'static, R: 'static, M: Body + 'static>(
    request: Request,
    topics: Vec<(Text, Vec<P>)>,
    work: impl Fn(&Text, &P) -> Work,
    answer: fn(P, Outcome<D>) -> (ErrorCode, R),
    reply: fn(Vec<(Text, Vec<R>)>) -> M,
) -> Step<D> {
    let works = topics.iter().flat_map(|(name, parts)| parts.iter().map(|part| work(name, part))).collect();
    Step::all(works, move |shard, outcomes| {
        let mut outcomes = outcomes.into_iter();
        let mut one = |part| {
            let (code, answer) = answer(part, outcomes.next().unwrap_or(Outcome::Pending));
            shard.figures.error(request.key, code);
            answer
        };
        let answered = topics.into_iter().map(|(name, parts)| (name, parts.into_iter().map(&mut one).collect()));
        request.reply(&reply(answered.collect()))
    })
}

/// A broker as an answer names it, whatever the answer calls its id.
macro_rules! reached {
    ($broker:expr, $kind:ident { $id:ident }) => {{
        let Reachable { id, host, port, rack } = $broker;
        $kind { $id: id.0, host, port: i32::from(port), rack, ..Default::default() }
    }};
}
use reached;

/// What became of a thing, as answers say it.
fn told(result: Result<(), ::metadata::Refused>) -> (ErrorCode, Option<Text>) {
    result.map_or_else(|refused| (refused.code, Some(Text::from(refused.message))), |()| (ErrorCode::NONE, None))
}

impl Request {
    /// Decodes the body. Bytes left over are passed by, as Kafka does: librdkafka leaves three behind Metadata 13.
    pub fn decode<M: wire::Call>(&self, mut body: Reader) -> Result<M, DecodeError> {
        M::decode(&mut body, self.version)
    }

    pub fn reply<D: Disk>(&self, response: &dyn Body) -> Step<D> {
        self.reply_with(response, &[])
    }

    /// Encodes the answer; its spliced records are the ranges of `files` that their slots name.
    pub fn reply_with<D: Disk>(&self, response: &dyn Body, files: &[Vec<FileRange<D::File>>]) -> Step<D> {
        let writer = wire::encode_response(self.correlation_id, self.version, response);
        match &self.sealed {
            Some(envelope) => Step::Reply(Frame::of(envelope::seal(envelope, writer))),
            None => Step::Reply(splice(writer, files)),
        }
    }
}

/// Puts the ranges of files where the writer left room for them.
fn splice<F: log::DiskFile>(writer: Writer, files: &[Vec<FileRange<F>>]) -> Frame<F> {
    let mut buffer = writer.buffer.freeze();
    if writer.splices.is_empty() {
        return Frame::of(buffer);
    }
    let mut taken = 0;
    let mut frame = Frame::of(Bytes::new());
    for splice in writer.splices {
        let bytes = buffer.split_to(splice.at - taken);
        taken = splice.at;
        if frame.head.is_empty() {
            frame.head = bytes;
        } else if !bytes.is_empty() {
            frame.rest.push(Part::Bytes(bytes));
        }
        for range in &files[splice.slot as usize] {
            frame.rest.push(Part::File { file: range.file.clone(), position: range.position, length: range.length });
        }
    }
    if !buffer.is_empty() {
        frame.rest.push(Part::Bytes(buffer));
    }
    frame
}
