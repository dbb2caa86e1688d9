//! What this broker asks of the active controller where that is another node: registration, heartbeats, changes of ISRs,
//! producer ids, topics that are created because a client asked for them. Kafka's own requests carry it.

use crate::call::ReplyTo;
use crate::lifecycle::previous_epoch;
use crate::peers::{Address, Lane, Question, Unanswered};
use crate::shard::Shard;
use crate::work::{ControllerWork, Outcome};
use log::Disk;
use metadata::controller::{
    Command, CreatedTopic, Heartbeat, HeartbeatReply, IsrChange, LastStop, PartitionState, ProducerIds, Reply,
};
use metadata::{Broker, Image, Refused};
use replica::IsrProposal;
use std::collections::BTreeMap;
use types::{ErrorCode, LeaderEpoch, NodeId, PartitionIndex, ProducerId, Text, TopicId, TopicPartition, Uuid};
use wire::alter_partition_request::{BrokerState, PartitionData, TopicData};
use wire::assign_replicas_to_dirs_request::{
    DirectoryData, PartitionData as PlacedPartition, TopicData as PlacedTopic,
};
use wire::broker_registration_request::{Feature, Listener};
use wire::create_topics_request::CreatableTopic;
use wire::{
    AllocateProducerIdsRequest, AlterPartitionRequest, AlterPartitionResponse, AssignReplicasToDirsRequest,
    AssignReplicasToDirsResponse, BrokerHeartbeatRequest, BrokerRegistrationRequest, CreateTopicsRequest,
    CreateTopicsResponse,
};

const TIMEOUT_MS: u64 = 10_000;
/// Shorter than a session, so that a controller that is silent is asked again in time.
const HEARTBEAT_TIMEOUT_MS: u64 = 3_000;

pub(crate) trait Remote<D: Disk> {
    /// Asks the active controller; the outcome comes later.
    fn ask_controller(&mut self, work: ControllerWork, to: ReplyTo) -> Option<Outcome<D>>;
    /// The command that brings proposals of this broker's leaders before the controller.
    fn alter_partition(&self, image: &Image, proposals: Vec<(TopicPartition, IsrProposal)>) -> Command;
}

impl<D: Disk> Remote<D> for Shard<D> {
    fn ask_controller(&mut self, work: ControllerWork, to: ReplyTo) -> Option<Outcome<D>> {
        let Some(at) = self.controller_address() else {
            return Some(Outcome::refused(ErrorCode::NOT_CONTROLLER, "no node is the controller at the moment"));
        };
        match work {
            ControllerWork::Register { broker, last_stop } => self.ask_to_register(&at, &broker, last_stop, to),
            ControllerWork::Decide(Command::Heartbeat(heartbeat)) => self.send_heartbeat(&at, heartbeat, to),
            ControllerWork::Decide(Command::AllocateProducerIds { broker, epoch }) => {
                self.ask_for_producer_ids(&at, broker, epoch, to);
            }
            ControllerWork::Decide(Command::AssignReplicasToDirs { broker, epoch, assignments }) => {
                self.ask_for_directories(&at, broker, epoch, &assignments, to);
            }
            ControllerWork::AlterPartition(proposals) => {
                let image = self.image.clone();
                if let Command::AlterPartition { broker, epoch, partitions } = self.alter_partition(&image, proposals) {
                    self.ask_for_isrs(&at, broker, epoch, &partitions, to);
                }
            }
            ControllerWork::AutoCreate(names) => self.ask_for_topics(&at, &names, to),
            // Clients' requests are sent on as they are; one that came here anyway came too late.
            ControllerWork::Decide(_) => return Some(Outcome::refused(ErrorCode::NOT_CONTROLLER, "")),
        }
        None
    }

    fn alter_partition(&self, image: &Image, proposals: Vec<(TopicPartition, IsrProposal)>) -> Command {
        let change = |(partition, proposal): (TopicPartition, IsrProposal)| IsrChange {
            partition,
            leader_epoch: proposal.leader_epoch,
            partition_epoch: proposal.partition_epoch.0,
            isr: proposal.isr.iter().map(|(id, epoch)| (*id, (epoch.0 >= 0).then_some(epoch.0))).collect(),
            recovering: false,
        };
        Command::AlterPartition {
            broker: self.node.id,
            epoch: image.broker(self.node.id).map_or(-1, |broker| broker.epoch),
            partitions: proposals.into_iter().map(change).collect(),
        }
    }
}

fn refusal<D: Disk>(code: ErrorCode) -> Outcome<D> {
    Outcome::refused(code, "")
}

impl<D: Disk> Shard<D> {
    fn ask_to_register(&mut self, at: &Address, broker: &Broker, last_stop: LastStop, to: ReplyTo) {
        let listener = |endpoint: &metadata::Endpoint| Listener {
            name: endpoint.name.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
            security_protocol: endpoint.security_protocol,
            ..Default::default()
        };
        let feature = |(name, min, max): &(Text, i16, i16)| Feature {
            name: name.clone(),
            min_supported_version: *min,
            max_supported_version: *max,
            ..Default::default()
        };
        let request = BrokerRegistrationRequest {
            broker_id: broker.id.0,
            cluster_id: self.node.cluster_id.clone(),
            incarnation_id: broker.incarnation,
            listeners: broker.endpoints.iter().map(listener).collect(),
            features: broker.features.iter().map(feature).collect(),
            rack: broker.rack.clone(),
            log_dirs: broker.directories.clone(),
            // It may be another broker's, which asked this one for the controller.
            previous_broker_epoch: previous_epoch(last_stop),
            ..Default::default()
        };
        self.ask_active(at, Lane::Controller, 4, &request, to, |answer| match answer.error_code {
            ErrorCode::NONE => Outcome::Controller(Reply::RegisterBroker(Ok(answer.broker_epoch))),
            code @ ErrorCode::NOT_CONTROLLER => refusal(code),
            code => Outcome::Controller(Reply::RegisterBroker(Err(Refused::new(code, "")))),
        });
    }

    fn send_heartbeat(&mut self, at: &Address, heartbeat: Heartbeat, to: ReplyTo) {
        let request = BrokerHeartbeatRequest {
            broker_id: heartbeat.broker.0,
            broker_epoch: heartbeat.epoch,
            current_metadata_offset: heartbeat.metadata_offset.0,
            want_fence: heartbeat.want_fence,
            want_shut_down: heartbeat.want_shutdown,
            offline_log_dirs: heartbeat.offline_directories,
            cordoned_log_dirs: heartbeat.cordoned_directories,
            ..Default::default()
        };
        self.ask_active(at, Lane::Heartbeat, 1, &request, to, |answer| match answer.error_code {
            ErrorCode::NONE => Outcome::Controller(Reply::Heartbeat(Ok(HeartbeatReply {
                is_caught_up: answer.is_caught_up,
                is_fenced: answer.is_fenced,
                should_shut_down: answer.should_shut_down,
            }))),
            code => refusal(code),
        });
    }

    fn ask_for_producer_ids(&mut self, at: &Address, broker: NodeId, epoch: i64, to: ReplyTo) {
        let request = AllocateProducerIdsRequest { broker_id: broker.0, broker_epoch: epoch, ..Default::default() };
        self.ask_active(at, Lane::Controller, 0, &request, to, |answer| match answer.error_code {
            ErrorCode::NONE => {
                let (first, count) = (ProducerId(answer.producer_id_start), answer.producer_id_len);
                Outcome::Controller(Reply::AllocateProducerIds(Ok(ProducerIds { first, count })))
            }
            code => refusal(code),
        });
    }

    fn ask_for_isrs(&mut self, at: &Address, broker: NodeId, epoch: i64, changes: &[IsrChange], to: ReplyTo) {
        let mut topics: Vec<TopicData> = Vec::new();
        for change in changes {
            let data = isr_data(change);
            match topics.last_mut() {
                Some(last) if last.topic_id == change.partition.topic => last.partitions.push(data),
                Some(_) | None => topics.push(TopicData {
                    topic_id: change.partition.topic,
                    partitions: vec![data],
                    ..Default::default()
                }),
            }
        }
        let request = AlterPartitionRequest { broker_id: broker.0, broker_epoch: epoch, topics, ..Default::default() };
        self.ask_active(at, Lane::Controller, 3, &request, to, altered);
    }

    fn ask_for_directories(
        &mut self,
        at: &Address,
        broker: NodeId,
        epoch: i64,
        assignments: &[(TopicPartition, Uuid)],
        to: ReplyTo,
    ) {
        let mut directories: BTreeMap<Uuid, BTreeMap<TopicId, Vec<PlacedPartition>>> = BTreeMap::new();
        for (partition, directory) in assignments {
            let placed = PlacedPartition { partition_index: partition.partition.0, ..Default::default() };
            directories.entry(*directory).or_default().entry(partition.topic).or_default().push(placed);
        }
        let topic = |(topic_id, partitions)| PlacedTopic { topic_id, partitions, ..Default::default() };
        let directory = |(id, topics): (Uuid, BTreeMap<_, _>)| DirectoryData {
            id,
            topics: topics.into_iter().map(topic).collect(),
            ..Default::default()
        };
        let request = AssignReplicasToDirsRequest {
            broker_id: broker.0,
            broker_epoch: epoch,
            directories: directories.into_iter().map(directory).collect(),
            ..Default::default()
        };
        self.ask_active(at, Lane::Controller, 0, &request, to, assigned);
    }

    fn ask_for_topics(&mut self, at: &Address, names: &[Text], to: ReplyTo) {
        // Without a number of anything the controller gives an internal topic the shape that it is to have.
        let topic = |name: &Text| CreatableTopic {
            name: name.clone(),
            num_partitions: -1,
            replication_factor: -1,
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: names.iter().map(topic).collect(),
            timeout_ms: i32::try_from(TIMEOUT_MS).unwrap_or(i32::MAX),
            ..Default::default()
        };
        self.ask_active(at, Lane::Controller, 7, &request, to, created);
    }

    fn ask_active<C: wire::Call>(
        &mut self,
        at: &Address,
        lane: Lane,
        version: i16,
        request: &C,
        to: ReplyTo,
        read: impl FnOnce(C::Response) -> Outcome<D> + Send + 'static,
    ) {
        let timeout_ms = if lane == Lane::Heartbeat { HEARTBEAT_TIMEOUT_MS } else { TIMEOUT_MS };
        let question = Question { to: at, lane, version, request, timeout_ms };
        self.ask_peer(&question, move |shard, answer: Result<C::Response, Unanswered>| {
            let outcome = match answer {
                Ok(response) => read(response),
                Err(why) => Outcome::refused(ErrorCode::NOT_CONTROLLER, format!("the controller: {why}")),
            };
            shard.done.push((to, outcome));
        });
    }
}

fn isr_data(change: &IsrChange) -> PartitionData {
    let state = |(id, epoch): &(NodeId, Option<i64>)| BrokerState {
        broker_id: id.0,
        broker_epoch: epoch.unwrap_or(-1),
        ..Default::default()
    };
    PartitionData {
        partition_index: change.partition.partition.0,
        leader_epoch: change.leader_epoch.0,
        new_isr_with_epochs: change.isr.iter().map(state).collect(),
        leader_recovery_state: i8::from(change.recovering),
        partition_epoch: change.partition_epoch,
        ..Default::default()
    }
}

fn assigned<D: Disk>(answer: AssignReplicasToDirsResponse) -> Outcome<D> {
    if !answer.error_code.is_ok() {
        return refusal(answer.error_code);
    }
    let mut answers = Vec::new();
    for directory in answer.directories {
        for topic in directory.topics {
            for part in topic.partitions {
                let partition =
                    TopicPartition { topic: topic.topic_id, partition: PartitionIndex(part.partition_index) };
                answers.push((partition, directory.id, part.error_code));
            }
        }
    }
    Outcome::Controller(Reply::AssignReplicasToDirs(Ok(answers)))
}

fn altered<D: Disk>(answer: AlterPartitionResponse) -> Outcome<D> {
    if !answer.error_code.is_ok() {
        return refusal(answer.error_code);
    }
    let parts = answer.topics.into_iter().flat_map(|topic| {
        topic.partitions.into_iter().map(move |part| {
            let partition = TopicPartition { topic: topic.topic_id, partition: PartitionIndex(part.partition_index) };
            let state = PartitionState {
                leader: (part.leader_id >= 0).then_some(NodeId(part.leader_id)),
                leader_epoch: LeaderEpoch(part.leader_epoch),
                isr: part.isr.iter().copied().map(NodeId).collect(),
                recovering: part.leader_recovery_state > 0,
                partition_epoch: part.partition_epoch,
            };
            (partition, if part.error_code.is_ok() { Ok(state) } else { Err(part.error_code) })
        })
    });
    Outcome::Controller(Reply::AlterPartition(Ok(parts.collect())))
}

fn created<D: Disk>(answer: CreateTopicsResponse) -> Outcome<D> {
    let topic = |topic: wire::create_topics_response::CreatableTopicResult| {
        let result = match topic.error_code {
            ErrorCode::NONE => Ok(CreatedTopic {
                id: topic.topic_id,
                partitions: topic.num_partitions,
                replication_factor: topic.replication_factor,
                configs: Vec::new(),
            }),
            code => Err(Refused::new(code, topic.error_message.map(|text| text.to_string()).unwrap_or_default())),
        };
        (topic.name, result)
    };
    Outcome::Controller(Reply::CreateTopics(answer.topics.into_iter().map(topic).collect()))
}
