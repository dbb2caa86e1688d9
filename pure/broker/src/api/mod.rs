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
use bytes::Bytes;
use log::Disk;
use log::FileRange;
use types::codec::{DecodeError, Reader, Writer};
use wire::{
    AddRaftVoterRequest, ApiKey, BeginQuorumEpochRequest, Body, EndQuorumEpochRequest, FetchSnapshotRequest,
    RemoveRaftVoterRequest, UpdateRaftVoterRequest, VoteRequest,
};

/// The keys and versions that this broker serves, as it advertises them.
pub(crate) const SERVED: &[(ApiKey, i16, i16)] = &[
    // librdkafka reads its feature table off an advertised minimum of 0; versions 0 to 2 are answered with
    // UNSUPPORTED_VERSION, as Kafka does.
    (ApiKey::Produce, 0, 13),
    (ApiKey::Fetch, 4, 18),
    (ApiKey::ListOffsets, 1, 11),
    (ApiKey::Metadata, 0, 13),
    (ApiKey::OffsetCommit, 2, 10),
    (ApiKey::OffsetFetch, 1, 10),
    (ApiKey::FindCoordinator, 0, 6),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 6),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 5),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::AlterConfigs, 0, 2),
    (ApiKey::AlterReplicaLogDirs, 1, 2),
    (ApiKey::DescribeLogDirs, 1, 5),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::OffsetDelete, 0, 0),
    (ApiKey::DescribeCluster, 0, 2),
    (ApiKey::DescribeProducers, 0, 0),
    (ApiKey::GetTelemetrySubscriptions, 0, 0),
    (ApiKey::PushTelemetry, 0, 0),
    (ApiKey::ListConfigResources, 0, 1),
    (ApiKey::DescribeTopicPartitions, 0, 0),
    (ApiKey::ElectLeaders, 0, 2),
    (ApiKey::AlterPartitionReassignments, 0, 1),
    (ApiKey::ListPartitionReassignments, 0, 0),
    (ApiKey::UpdateFeatures, 0, 2),
    (ApiKey::UnregisterBroker, 0, 0),
    (ApiKey::DescribeQuorum, 0, 2),
    (ApiKey::AddRaftVoter, 0, 1),
    (ApiKey::RemoveRaftVoter, 0, 0),
];

/// What nodes of a cluster ask each other; not advertised, for no client asks it.
const BETWEEN_NODES: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Vote, 0, 2),
    (ApiKey::BeginQuorumEpoch, 0, 1),
    (ApiKey::EndQuorumEpoch, 0, 1),
    (ApiKey::AlterPartition, 2, 3),
    (ApiKey::Envelope, 0, 0),
    (ApiKey::FetchSnapshot, 0, 1),
    (ApiKey::BrokerRegistration, 0, 4),
    (ApiKey::BrokerHeartbeat, 0, 2),
    (ApiKey::AllocateProducerIds, 0, 0),
    (ApiKey::UpdateRaftVoter, 0, 0),
    (ApiKey::AssignReplicasToDirs, 0, 0),
];

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

/// Starts a request: its first step, or what is wrong with its bytes.
pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, body: Reader) -> Result<Step<D>, DecodeError> {
    match request.key {
        ApiKey::Produce => produce::start(shard, request, body),
        ApiKey::Fetch => fetch::start(shard, request, body),
        ApiKey::ListOffsets => list_offsets::start(shard, request, body),
        ApiKey::Metadata => metadata::start(shard, request, body),
        ApiKey::OffsetCommit => offset_commit::start(shard, request, body),
        ApiKey::OffsetFetch => offset_fetch::start(shard, request, body),
        ApiKey::FindCoordinator => find_coordinator::start(shard, request, body),
        ApiKey::JoinGroup => join_group::start(shard, request, body),
        ApiKey::Heartbeat => heartbeat::start(shard, request, body),
        ApiKey::LeaveGroup => leave_group::start(shard, request, body),
        ApiKey::SyncGroup => sync_group::start(shard, request, body),
        ApiKey::DescribeGroups => describe_groups::start(shard, request, body),
        ApiKey::ListGroups => list_groups::start(shard, request, body),
        ApiKey::ApiVersions => api_versions::start(shard, request, body),
        ApiKey::CreateTopics => create_topics::start(shard, request, body),
        ApiKey::DeleteTopics => delete_topics::start(shard, request, body),
        ApiKey::DeleteRecords => delete_records::start(shard, request, body),
        ApiKey::InitProducerId => init_producer_id::start(shard, request, body),
        ApiKey::OffsetForLeaderEpoch => offset_for_leader_epoch::start(shard, request, body),
        ApiKey::DescribeConfigs => describe_configs::start(shard, request, body),
        ApiKey::AlterConfigs => alter_configs::start(shard, request, body),
        ApiKey::IncrementalAlterConfigs => alter_configs::start_incremental(shard, request, body),
        ApiKey::AlterReplicaLogDirs => alter_replica_log_dirs::start(shard, request, body),
        ApiKey::DescribeLogDirs => describe_log_dirs::start(shard, request, body),
        ApiKey::CreatePartitions => create_partitions::start(shard, request, body),
        ApiKey::DeleteGroups => delete_groups::start(shard, request, body),
        ApiKey::OffsetDelete => offset_delete::start(shard, request, body),
        ApiKey::DescribeCluster => describe_cluster::start(shard, request, body),
        ApiKey::DescribeProducers => describe_producers::start(shard, request, body),
        ApiKey::GetTelemetrySubscriptions => telemetry::start_subscriptions(shard, request, body),
        ApiKey::PushTelemetry => telemetry::start_push(shard, request, body),
        ApiKey::ListConfigResources => list_config_resources::start(shard, request, body),
        ApiKey::DescribeTopicPartitions => describe_topic_partitions::start(shard, request, body),
        ApiKey::ElectLeaders => elect_leaders::start(shard, request, body),
        ApiKey::AlterPartitionReassignments => alter_partition_reassignments::start(shard, request, body),
        ApiKey::ListPartitionReassignments => list_partition_reassignments::start(shard, request, body),
        ApiKey::UpdateFeatures => update_features::start(shard, request, body),
        ApiKey::UnregisterBroker => unregister_broker::start(shard, request, body),
        ApiKey::DescribeQuorum => describe_quorum::start(shard, request, body),
        ApiKey::AlterPartition => alter_partition::start(shard, request, body),
        ApiKey::AssignReplicasToDirs => assign_replicas_to_dirs::start(shard, request, body),
        ApiKey::AllocateProducerIds => allocate_producer_ids::start(shard, request, body),
        ApiKey::BrokerRegistration => broker_registration::start(shard, request, body),
        ApiKey::BrokerHeartbeat => broker_heartbeat::start(shard, request, body),
        ApiKey::Envelope => envelope::start(shard, request, body),
        ApiKey::Vote => quorum::start::<D, VoteRequest>(shard, request, body),
        ApiKey::BeginQuorumEpoch => quorum::start::<D, BeginQuorumEpochRequest>(shard, request, body),
        ApiKey::EndQuorumEpoch => quorum::start::<D, EndQuorumEpochRequest>(shard, request, body),
        ApiKey::FetchSnapshot => quorum::start::<D, FetchSnapshotRequest>(shard, request, body),
        ApiKey::AddRaftVoter => quorum::start::<D, AddRaftVoterRequest>(shard, request, body),
        ApiKey::RemoveRaftVoter => quorum::start::<D, RemoveRaftVoterRequest>(shard, request, body),
        ApiKey::UpdateRaftVoter => quorum::start::<D, UpdateRaftVoterRequest>(shard, request, body),
        // `open` refuses every key that `SERVED` does not name.
        other => Ok(Step::Close(format!("{other:?} is not served"))),
    }
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
