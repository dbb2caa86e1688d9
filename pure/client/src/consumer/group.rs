//! Membership of a classic group: joining, being assigned partitions, staying alive, committing offsets, leaving.
//!
//! Owns the member's place in the group. Must never know what is read; it tells the fetcher which partitions, and from
//! where.

use super::assignor::{self, Member, Members};
use super::fetcher::Fetcher;
use super::{CommitError, ConsumerEvent, GroupOptions, Spot};
use crate::cluster::{Call, Cluster, Failure, Target};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use types::codec::{Reader, Writer};
use types::{ErrorCode, Instant, LeaderEpoch, NodeId, Offset, PartitionIndex, Text};
use wire::find_coordinator_response::Coordinator;
use wire::join_group_request::JoinGroupRequestProtocol;
use wire::leave_group_request::MemberIdentity;
use wire::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use wire::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics};
use wire::sync_group_request::SyncGroupRequestAssignment;
use wire::*;

type Events = VecDeque<ConsumerEvent>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not in the group, or to join it again.
    Outside,
    /// What was read is being committed before joining.
    Settling,
    Joining(Call),
    /// This member leads and waits for metadata of what the others subscribe to, at most until then.
    Planning(Instant),
    Syncing(Call),
    Stable,
    Leaving(Call),
    Left,
}

#[derive(Debug)]
struct Commit {
    number: Option<u64>,
    offsets: BTreeMap<Spot, Offset>,
}

#[derive(Debug)]
pub struct Group {
    options: GroupOptions,
    topics: BTreeSet<Text>,
    phase: Phase,
    coordinator: Option<NodeId>,
    finding: Option<Call>,
    member_id: Text,
    generation: i32,
    owned: BTreeSet<Spot>,
    heartbeat: Option<Call>,
    next_heartbeat: Instant,
    next_auto_commit: Instant,
    commits: BTreeMap<Call, Commit>,
    /// Assigned partitions whose committed offsets are not known yet, and the question under way.
    unplaced: BTreeSet<Spot>,
    placing: Option<(Call, Instant)>,
    /// What the members said of themselves, where this one leads; and the partition counts it planned with.
    members: Members,
    planned: BTreeMap<Text, i32>,
    not_before: Instant,
    failed: u32,
    closing: bool,
    now: Instant,
}

impl Group {
    pub fn new(options: GroupOptions) -> Group {
        Group {
            options,
            topics: BTreeSet::new(),
            phase: Phase::Outside,
            coordinator: None,
            finding: None,
            member_id: Text::default(),
            generation: -1,
            owned: BTreeSet::new(),
            heartbeat: None,
            next_heartbeat: Instant(0),
            next_auto_commit: Instant(0),
            commits: BTreeMap::new(),
            unplaced: BTreeSet::new(),
            placing: None,
            members: Members::new(),
            planned: BTreeMap::new(),
            not_before: Instant(0),
            failed: 0,
            closing: false,
            now: Instant(0),
        }
    }

    pub fn subscribe(&mut self, topics: BTreeSet<Text>) {
        if self.topics != topics {
            self.topics = topics;
            if self.phase == Phase::Stable {
                self.phase = Phase::Outside;
            }
        }
    }

    pub fn close(&mut self) {
        self.closing = true;
    }

    pub fn open_commits(&self) -> Vec<BTreeMap<Spot, Offset>> {
        self.commits.values().map(|commit| commit.offsets.clone()).collect()
    }

    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Left
    }

    pub fn next_wake(&self) -> Option<Instant> {
        let stable = (self.phase == Phase::Stable).then_some(self.next_heartbeat);
        let auto = self.options.auto_commit_ms.filter(|_| self.phase == Phase::Stable).map(|_| self.next_auto_commit);
        let planning = if let Phase::Planning(until) = self.phase { Some(until) } else { None };
        let times = [Some(self.not_before), stable, auto, planning];
        times.into_iter().flatten().filter(|at| *at > self.now).min()
    }

    pub fn drive(&mut self, now: Instant, cluster: &mut Cluster, fetcher: &mut Fetcher, events: &mut Events) {
        self.now = now;
        let is_idle = self.topics.is_empty() && self.member_id.is_empty() && self.commits.is_empty();
        if self.phase == Phase::Left || is_idle && !self.closing || now < self.not_before {
            return;
        }
        let Some(node) = self.find(now, cluster) else {
            if self.closing && self.member_id.is_empty() {
                self.phase = Phase::Left;
            }
            return;
        };
        if self.closing {
            return self.leave(now, cluster, node, fetcher, events);
        }
        match self.phase {
            Phase::Outside => self.settle(now, cluster, node, fetcher, events),
            Phase::Settling if self.commits.is_empty() => self.join(now, cluster, node),
            Phase::Planning(until) => self.plan(now, cluster, node, until),
            Phase::Stable => self.stay(now, cluster, node, fetcher, events),
            Phase::Settling | Phase::Joining(_) | Phase::Syncing(_) | Phase::Leaving(_) | Phase::Left => {}
        }
        self.place(now, cluster, node);
    }

    /// The coordinator's node; asks who it is where nobody knows.
    fn find(&mut self, now: Instant, cluster: &mut Cluster) -> Option<NodeId> {
        if let Some(node) = self.coordinator {
            return Some(node);
        }
        if self.finding.is_none() {
            let request = FindCoordinatorRequest {
                key: self.options.id.clone(),
                key_type: 0,
                coordinator_keys: vec![self.options.id.clone()],
                ..Default::default()
            };
            self.finding = Some(cluster.call(now, Target::Any, request));
        }
        None
    }

    /// Commits what was read, so that whoever reads on begins there; and lets go of it, unless that is cooperative.
    fn settle(
        &mut self,
        now: Instant,
        cluster: &mut Cluster,
        node: NodeId,
        fetcher: &mut Fetcher,
        events: &mut Events,
    ) {
        if self.topics.is_empty() {
            return;
        }
        self.auto_commit(now, cluster, node, fetcher);
        if !self.options.assignor.is_cooperative() {
            self.let_go(self.owned.clone(), fetcher, events);
        }
        self.phase = Phase::Settling;
        if self.commits.is_empty() {
            self.join(now, cluster, node);
        }
    }

    fn let_go(&mut self, spots: BTreeSet<Spot>, fetcher: &mut Fetcher, events: &mut Events) {
        if spots.is_empty() {
            return;
        }
        for spot in &spots {
            fetcher.unassign(spot);
            self.owned.remove(spot);
            self.unplaced.remove(spot);
        }
        events.push_back(ConsumerEvent::Revoked { spots: spots.into_iter().collect() });
    }

    /// The group does not know this member, or not in this generation: what it had is no longer its.
    fn lose(&mut self, fetcher: &mut Fetcher, events: &mut Events) {
        let spots: Vec<Spot> = std::mem::take(&mut self.owned).into_iter().collect();
        spots.iter().for_each(|spot| fetcher.unassign(spot));
        self.unplaced.clear();
        if !spots.is_empty() {
            events.push_back(ConsumerEvent::Lost { spots });
        }
        self.generation = -1;
        self.phase = Phase::Outside;
    }

    fn join(&mut self, now: Instant, cluster: &mut Cluster, node: NodeId) {
        let subscription = Member {
            topics: self.topics.clone(),
            owned: self.owned.iter().cloned().collect(),
            generation: self.generation,
        };
        let protocol = JoinGroupRequestProtocol {
            name: Text::from_static(self.options.assignor.name()),
            metadata: encode_subscription(&subscription),
            ..Default::default()
        };
        let request = JoinGroupRequest {
            group_id: self.options.id.clone(),
            session_timeout_ms: millis(self.options.session_timeout_ms),
            rebalance_timeout_ms: millis(self.options.rebalance_timeout_ms),
            member_id: self.member_id.clone(),
            group_instance_id: self.options.instance_id.clone(),
            protocol_type: Text::from_static("consumer"),
            protocols: vec![protocol],
            ..Default::default()
        };
        // The answer comes when all members have joined or were given up.
        let timeout_ms = self.options.rebalance_timeout_ms.saturating_add(5000);
        let timeout_ms = timeout_ms.max(cluster.options.request_timeout_ms);
        self.phase = Phase::Joining(cluster.call_for(now, Target::Coordinator(node), request, timeout_ms));
    }

    fn plan(&mut self, now: Instant, cluster: &mut Cluster, node: NodeId, until: Instant) {
        let topics = self.planned_topics();
        let unknown = topics.iter().filter(|topic| !cluster.want(now, topic)).count();
        if unknown > 0 && now < until {
            return;
        }
        self.planned = counts(cluster, &topics);
        let assignment = assignor::assign(self.options.assignor, &self.members, &self.planned);
        let one = |(member_id, spots): (&Text, &Vec<Spot>)| SyncGroupRequestAssignment {
            member_id: member_id.clone(),
            assignment: encode_assignment(spots),
            ..Default::default()
        };
        let assignments = assignment.iter().map(one).collect();
        self.sync(now, cluster, node, assignments);
    }

    /// What all members subscribe to, where this one leads.
    fn planned_topics(&self) -> BTreeSet<Text> {
        self.members.values().flat_map(|member| member.topics.iter().cloned()).collect()
    }

    fn sync(
        &mut self,
        now: Instant,
        cluster: &mut Cluster,
        node: NodeId,
        assignments: Vec<SyncGroupRequestAssignment>,
    ) {
        let request = SyncGroupRequest {
            group_id: self.options.id.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.options.instance_id.clone(),
            protocol_type: Some(Text::from_static("consumer")),
            protocol_name: Some(Text::from_static(self.options.assignor.name())),
            assignments,
            ..Default::default()
        };
        let timeout_ms = self.options.rebalance_timeout_ms.max(cluster.options.request_timeout_ms);
        self.phase = Phase::Syncing(cluster.call_for(now, Target::Coordinator(node), request, timeout_ms));
    }

    fn stay(&mut self, now: Instant, cluster: &mut Cluster, node: NodeId, fetcher: &mut Fetcher, events: &mut Events) {
        if !self.members.is_empty() && self.planned != counts(cluster, &self.planned_topics()) {
            // There are other partitions than were planned with: the group meets again.
            self.members.clear();
            self.phase = Phase::Outside;
            return self.settle(now, cluster, node, fetcher, events);
        }
        if self.heartbeat.is_none() && now >= self.next_heartbeat {
            let request = HeartbeatRequest {
                group_id: self.options.id.clone(),
                generation_id: self.generation,
                member_id: self.member_id.clone(),
                group_instance_id: self.options.instance_id.clone(),
                ..Default::default()
            };
            self.heartbeat = Some(cluster.call(now, Target::Coordinator(node), request));
            self.next_heartbeat = now.plus_ms(self.options.heartbeat_ms);
        }
        if now >= self.next_auto_commit {
            self.auto_commit(now, cluster, node, fetcher);
        }
    }

    fn leave(&mut self, now: Instant, cluster: &mut Cluster, node: NodeId, fetcher: &mut Fetcher, events: &mut Events) {
        if matches!(self.phase, Phase::Leaving(_)) || !self.commits.is_empty() {
            return;
        }
        if !self.owned.is_empty() {
            self.auto_commit(now, cluster, node, fetcher);
            self.let_go(self.owned.clone(), fetcher, events);
            if !self.commits.is_empty() {
                return;
            }
        }
        // A static member keeps its place.
        if self.member_id.is_empty() || self.options.instance_id.is_some() {
            self.phase = Phase::Left;
            return;
        }
        let member = MemberIdentity { member_id: self.member_id.clone(), ..Default::default() };
        let request = LeaveGroupRequest {
            group_id: self.options.id.clone(),
            member_id: self.member_id.clone(),
            members: vec![member],
            ..Default::default()
        };
        self.phase = Phase::Leaving(cluster.call(now, Target::Coordinator(node), request));
    }
}

/// Offsets.
impl Group {
    fn auto_commit(&mut self, now: Instant, cluster: &mut Cluster, node: NodeId, fetcher: &Fetcher) {
        let Some(interval_ms) = self.options.auto_commit_ms else { return };
        self.next_auto_commit = now.plus_ms(interval_ms);
        let mut offsets = fetcher.positions();
        offsets.retain(|spot, _| self.owned.contains(spot) && !self.unplaced.contains(spot));
        if !offsets.is_empty() && self.generation >= 0 {
            self.send_commit(now, cluster, node, Commit { number: None, offsets });
        }
    }

    pub fn commit(
        &mut self,
        now: Instant,
        cluster: &mut Cluster,
        number: Option<u64>,
        offsets: BTreeMap<Spot, Offset>,
        events: &mut Events,
    ) {
        let may = self.topics.is_empty() || self.generation >= 0;
        match self.find(now, cluster) {
            Some(node) if may => self.send_commit(now, cluster, node, Commit { number, offsets }),
            _ => events.push_back(ConsumerEvent::Committed { number, offsets, result: Err(CommitError::NoMember) }),
        }
    }

    fn send_commit(&mut self, now: Instant, cluster: &mut Cluster, node: NodeId, commit: Commit) {
        let mut topics: BTreeMap<Text, OffsetCommitRequestTopic> = BTreeMap::new();
        for ((name, partition), offset) in &commit.offsets {
            let topic = cluster.topic(name);
            let topic_id = topic.map_or(types::Uuid::ZERO, |topic| topic.id);
            let known = topic.and_then(|topic| topic.partition(*partition));
            let new = || OffsetCommitRequestTopic { name: name.clone(), topic_id, ..Default::default() };
            topics.entry(name.clone()).or_insert_with(new).partitions.push(OffsetCommitRequestPartition {
                partition_index: partition.0,
                committed_offset: offset.0,
                // Leaders from before it may not have what is committed here: who goes on from it must not ask them.
                committed_leader_epoch: known.map_or(-1, |known| known.leader_epoch.0),
                committed_metadata: Some(Text::default()),
                ..Default::default()
            });
        }
        let request = OffsetCommitRequest {
            group_id: self.options.id.clone(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.options.instance_id.clone(),
            retention_time_ms: -1,
            topics: topics.into_values().collect(),
            ..Default::default()
        };
        let call = cluster.call(now, Target::Coordinator(node), request);
        self.commits.insert(call, commit);
    }

    /// Asks for the committed offsets of partitions that were just assigned.
    fn place(&mut self, now: Instant, cluster: &mut Cluster, node: NodeId) {
        if self.unplaced.is_empty() || self.placing.is_some() {
            return;
        }
        let mut by_topic: BTreeMap<Text, Vec<i32>> = BTreeMap::new();
        for (name, partition) in &self.unplaced {
            by_topic.entry(name.clone()).or_default().push(partition.0);
        }
        let old = |(name, indexes): (&Text, &Vec<i32>)| OffsetFetchRequestTopic {
            name: name.clone(),
            partition_indexes: indexes.clone(),
            ..Default::default()
        };
        let new = |(name, indexes): (&Text, &Vec<i32>)| OffsetFetchRequestTopics {
            name: name.clone(),
            topic_id: cluster.topic(name).map_or(types::Uuid::ZERO, |topic| topic.id),
            partition_indexes: indexes.clone(),
            ..Default::default()
        };
        let group = OffsetFetchRequestGroup {
            group_id: self.options.id.clone(),
            member_epoch: -1,
            topics: Some(by_topic.iter().map(new).collect()),
            ..Default::default()
        };
        let request = OffsetFetchRequest {
            group_id: self.options.id.clone(),
            topics: Some(by_topic.iter().map(old).collect()),
            groups: vec![group],
            require_stable: true,
            ..Default::default()
        };
        self.placing = Some((cluster.call(now, Target::Coordinator(node), request), now));
    }

    fn placed(
        &mut self,
        cluster: &mut Cluster,
        response: &OffsetFetchResponse,
        asked_at: Instant,
        fetcher: &mut Fetcher,
        events: &mut Events,
    ) -> ErrorCode {
        let mut found: Vec<(Spot, i64, i32, ErrorCode)> = Vec::new();
        let mut code = response.error_code;
        for topic in &response.topics {
            for one in &topic.partitions {
                let spot = (topic.name.clone(), PartitionIndex(one.partition_index));
                found.push((spot, one.committed_offset, one.committed_leader_epoch, one.error_code));
            }
        }
        for group in &response.groups {
            code = group.error_code;
            for topic in &group.topics {
                let by_id = || cluster.topic_by_id(topic.topic_id).map(|known| known.name.clone());
                let name = if topic.name.is_empty() { by_id() } else { Some(topic.name.clone()) };
                let Some(name) = name else { continue };
                for one in &topic.partitions {
                    let spot = (name.clone(), PartitionIndex(one.partition_index));
                    found.push((spot, one.committed_offset, one.committed_leader_epoch, one.error_code));
                }
            }
        }
        for (spot, offset, epoch, error) in found {
            if !error.is_ok() {
                code = error;
            } else if code.is_ok() && self.unplaced.remove(&spot) {
                let committed = Some(Offset(offset)).filter(|offset| offset.0 >= 0);
                events.push_back(ConsumerEvent::Found { spot: spot.clone(), committed, asked_at });
                cluster.saw_epoch(&spot, LeaderEpoch(epoch));
                fetcher.assign(spot, committed);
            }
        }
        code
    }
}

/// What is answered.
impl Group {
    pub fn answered(
        &mut self,
        now: Instant,
        cluster: &mut Cluster,
        fetcher: &mut Fetcher,
        (call, result): (Call, Result<Response, Failure>),
        events: &mut Events,
    ) {
        if self.finding == Some(call) {
            self.finding = None;
            return self.found(now, cluster, &result);
        }
        if self.heartbeat == Some(call) {
            self.heartbeat = None;
            let code = match &result {
                Ok(Response::Heartbeat(response)) => Ok(response.error_code),
                Ok(_) => Ok(ErrorCode::UNKNOWN_SERVER_ERROR),
                Err(failure) => Err(*failure),
            };
            // Whether the heartbeat of a generation that has passed failed says nothing.
            if self.phase == Phase::Stable || code.is_err() {
                self.judge(now, cluster, fetcher, code, events);
            }
            return;
        }
        if let Some(commit) = self.commits.remove(&call) {
            return self.committed(now, cluster, fetcher, commit, &result, events);
        }
        if let Some((_, asked_at)) = self.placing.take_if(|(asked, _)| *asked == call) {
            let code = match &result {
                Ok(Response::OffsetFetch(response)) => Ok(self.placed(cluster, response, asked_at, fetcher, events)),
                Ok(_) => Ok(ErrorCode::UNKNOWN_SERVER_ERROR),
                Err(failure) => Err(*failure),
            };
            return self.judge(now, cluster, fetcher, code, events);
        }
        match self.phase {
            Phase::Joining(asked) if asked == call => self.joined(now, cluster, fetcher, &result, events),
            Phase::Syncing(asked) if asked == call => self.synced(now, cluster, fetcher, &result, events),
            Phase::Leaving(asked) if asked == call => self.phase = Phase::Left,
            _ => {}
        }
    }

    fn found(&mut self, now: Instant, cluster: &mut Cluster, result: &Result<Response, Failure>) {
        if let Ok(Response::FindCoordinator(response)) = result {
            let old = Coordinator { node_id: response.node_id, error_code: response.error_code, ..Default::default() };
            let found = response.coordinators.first().unwrap_or(&old);
            let node = NodeId(found.node_id);
            if found.error_code.is_ok() && cluster.brokers().any(|broker| broker.node == node) {
                self.coordinator = Some(node);
                self.failed = 0;
                return;
            }
            cluster.refresh_soon(now);
        }
        self.back_off(now, cluster);
    }

    fn back_off(&mut self, now: Instant, cluster: &mut Cluster) {
        self.not_before = now.plus_ms(cluster.backoff_ms(self.failed));
        self.failed += 1;
    }

    /// What an answer of the coordinator means for this member's place.
    fn judge(
        &mut self,
        now: Instant,
        cluster: &mut Cluster,
        fetcher: &mut Fetcher,
        code: Result<ErrorCode, Failure>,
        events: &mut Events,
    ) {
        let is_waiting = matches!(self.phase, Phase::Joining(_) | Phase::Syncing(_) | Phase::Planning(_));
        match code {
            Ok(ErrorCode::NONE) => self.failed = 0,
            Ok(ErrorCode::REBALANCE_IN_PROGRESS) if self.phase == Phase::Stable => self.phase = Phase::Outside,
            Ok(ErrorCode::REBALANCE_IN_PROGRESS) => {}
            Ok(ErrorCode::ILLEGAL_GENERATION) if !is_waiting => self.lose(fetcher, events),
            Ok(ErrorCode::UNKNOWN_MEMBER_ID) if !is_waiting => {
                self.member_id = Text::default();
                self.lose(fetcher, events);
            }
            Ok(
                code @ (ErrorCode::FENCED_INSTANCE_ID
                | ErrorCode::GROUP_AUTHORIZATION_FAILED
                | ErrorCode::INVALID_GROUP_ID),
            ) => self.refused(fetcher, code, events),
            Ok(ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE) | Err(_) => {
                self.coordinator = None;
                self.back_off(now, cluster);
            }
            Ok(_) => self.back_off(now, cluster),
        }
    }

    fn refused(&mut self, fetcher: &mut Fetcher, code: ErrorCode, events: &mut Events) {
        self.lose(fetcher, events);
        self.phase = Phase::Left;
        events.push_back(ConsumerEvent::Refused { code });
    }

    fn committed(
        &mut self,
        now: Instant,
        cluster: &mut Cluster,
        fetcher: &mut Fetcher,
        commit: Commit,
        result: &Result<Response, Failure>,
        events: &mut Events,
    ) {
        let code = match result {
            Ok(Response::OffsetCommit(response)) => {
                let mut codes =
                    response.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
                Ok(codes.find(|code| !code.is_ok()).unwrap_or(ErrorCode::NONE))
            }
            Ok(_) => Ok(ErrorCode::UNKNOWN_SERVER_ERROR),
            Err(failure) => Err(*failure),
        };
        let result = match code {
            Ok(ErrorCode::NONE) => Ok(()),
            Ok(code) => Err(CommitError::Refused(code)),
            Err(failure) => Err(CommitError::Failed(failure)),
        };
        events.push_back(ConsumerEvent::Committed { number: commit.number, offsets: commit.offsets, result });
        // An error of one partition says nothing about the member.
        let is_about_member = matches!(
            code,
            Err(_)
                | Ok(ErrorCode::ILLEGAL_GENERATION
                    | ErrorCode::UNKNOWN_MEMBER_ID
                    | ErrorCode::FENCED_INSTANCE_ID
                    | ErrorCode::NOT_COORDINATOR
                    | ErrorCode::COORDINATOR_NOT_AVAILABLE
                    | ErrorCode::REBALANCE_IN_PROGRESS)
        );
        if is_about_member && !self.topics.is_empty() {
            self.judge(now, cluster, fetcher, code, events);
        }
    }

    fn joined(
        &mut self,
        now: Instant,
        cluster: &mut Cluster,
        fetcher: &mut Fetcher,
        result: &Result<Response, Failure>,
        events: &mut Events,
    ) {
        self.phase = Phase::Outside;
        let response = match result {
            Ok(Response::JoinGroup(response)) => response,
            Ok(_) => return self.back_off(now, cluster),
            Err(failure) => return self.judge(now, cluster, fetcher, Err(*failure), events),
        };
        match response.error_code {
            ErrorCode::NONE => {}
            ErrorCode::MEMBER_ID_REQUIRED => {
                self.member_id = response.member_id.detached();
                self.phase = Phase::Settling;
                return;
            }
            code @ (ErrorCode::INCONSISTENT_GROUP_PROTOCOL
            | ErrorCode::INVALID_SESSION_TIMEOUT
            | ErrorCode::GROUP_MAX_SIZE_REACHED) => return self.refused(fetcher, code, events),
            code => return self.judge(now, cluster, fetcher, Ok(code), events),
        }
        self.failed = 0;
        self.member_id = response.member_id.detached();
        self.generation = response.generation_id;
        self.members.clear();
        self.planned.clear();
        let Some(node) = self.coordinator else { return };
        if response.leader == response.member_id {
            let member = |one: &wire::join_group_response::JoinGroupResponseMember| {
                (one.member_id.detached(), decode_subscription(&one.metadata).unwrap_or_default())
            };
            self.members = response.members.iter().map(member).collect();
            if !response.skip_assignment {
                let until = now.plus_ms(1000);
                self.phase = Phase::Planning(until);
                return self.plan(now, cluster, node, until);
            }
            // A static leader that comes back keeps the assignment of before, and watches for more partitions (KIP-814).
            self.planned = counts(cluster, &self.planned_topics());
        }
        self.sync(now, cluster, node, Vec::new());
    }

    fn synced(
        &mut self,
        now: Instant,
        cluster: &mut Cluster,
        fetcher: &mut Fetcher,
        result: &Result<Response, Failure>,
        events: &mut Events,
    ) {
        self.phase = Phase::Outside;
        let response = match result {
            Ok(Response::SyncGroup(response)) if response.error_code.is_ok() => response,
            Ok(Response::SyncGroup(response)) => {
                return self.judge(now, cluster, fetcher, Ok(response.error_code), events);
            }
            Ok(_) => return self.back_off(now, cluster),
            Err(failure) => return self.judge(now, cluster, fetcher, Err(*failure), events),
        };
        self.phase = Phase::Stable;
        self.failed = 0;
        self.next_heartbeat = now.plus_ms(self.options.heartbeat_ms);
        self.next_auto_commit = now.plus_ms(self.options.auto_commit_ms.unwrap_or(0));
        let assigned = decode_assignment(&response.assignment).unwrap_or_default();
        let revoked: BTreeSet<Spot> = self.owned.difference(&assigned).cloned().collect();
        let added: Vec<Spot> = assigned.difference(&self.owned).cloned().collect();
        let must_rejoin = !revoked.is_empty();
        if must_rejoin && let Some(node) = self.coordinator {
            self.auto_commit(now, cluster, node, fetcher);
        }
        self.let_go(revoked, fetcher, events);
        self.unplaced.extend(added.iter().cloned());
        self.owned.clone_from(&assigned);
        // A question asked for an earlier assignment may have an answer that is out of date by now.
        self.placing = None;
        let all = assigned.into_iter().collect();
        events.push_back(ConsumerEvent::Assigned { generation: self.generation, added, all });
        if must_rejoin {
            self.phase = Phase::Outside;
        }
    }
}

fn millis(ms: u64) -> i32 {
    i32::try_from(ms).unwrap_or(i32::MAX)
}

/// How many partitions each topic has that is known.
fn counts(cluster: &Cluster, topics: &BTreeSet<Text>) -> BTreeMap<Text, i32> {
    let count = |name: &Text| {
        let topic = cluster.topic(name).filter(|topic| !topic.partitions.is_empty())?;
        Some((name.clone(), i32::try_from(topic.partitions.len()).ok()?))
    };
    topics.iter().filter_map(count).collect()
}

/// The version of what members tell each other; lower ones have fewer fields.
const SUBSCRIPTION_VERSION: i16 = 3;
const ASSIGNMENT_VERSION: i16 = 0;

fn by_topic<'a>(spots: impl IntoIterator<Item = &'a Spot>) -> BTreeMap<Text, Vec<i32>> {
    let mut topics: BTreeMap<Text, Vec<i32>> = BTreeMap::new();
    for (name, partition) in spots {
        topics.entry(name.clone()).or_default().push(partition.0);
    }
    topics
}

fn encode_subscription(member: &Member) -> bytes::Bytes {
    use wire::consumer_protocol_subscription::TopicPartition;
    let owned = by_topic(&member.owned).into_iter();
    let subscription = ConsumerProtocolSubscription {
        topics: member.topics.iter().cloned().collect(),
        owned_partitions: owned.map(|(topic, partitions)| TopicPartition { topic, partitions }).collect(),
        generation_id: member.generation,
        ..Default::default()
    };
    let mut writer = Writer::with_capacity(2 + subscription.size(SUBSCRIPTION_VERSION));
    writer.i16(SUBSCRIPTION_VERSION);
    subscription.encode(&mut writer, SUBSCRIPTION_VERSION);
    writer.buffer.freeze()
}

fn decode_subscription(bytes: &bytes::Bytes) -> Option<Member> {
    let mut reader = Reader::new(bytes.clone());
    let version = reader.i16().ok()?.min(ConsumerProtocolSubscription::MAX);
    let subscription = ConsumerProtocolSubscription::decode(&mut reader, version).ok()?;
    let owned = subscription
        .owned_partitions
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic.detached(), PartitionIndex(*index))));
    Some(Member {
        topics: subscription.topics.iter().map(Text::detached).collect(),
        owned: owned.collect(),
        generation: subscription.generation_id,
    })
}

fn encode_assignment(spots: &[Spot]) -> bytes::Bytes {
    use wire::consumer_protocol_assignment::TopicPartition;
    let topics = by_topic(spots).into_iter();
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: topics.map(|(topic, partitions)| TopicPartition { topic, partitions }).collect(),
        ..Default::default()
    };
    let mut writer = Writer::with_capacity(2 + assignment.size(ASSIGNMENT_VERSION));
    writer.i16(ASSIGNMENT_VERSION);
    assignment.encode(&mut writer, ASSIGNMENT_VERSION);
    writer.buffer.freeze()
}

pub fn decode_assignment(bytes: &bytes::Bytes) -> Option<BTreeSet<Spot>> {
    let mut reader = Reader::new(bytes.clone());
    let version = reader.i16().ok()?.min(ConsumerProtocolAssignment::MAX);
    let assignment = ConsumerProtocolAssignment::decode(&mut reader, version).ok()?;
    let spots = assignment
        .assigned_partitions
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic.detached(), PartitionIndex(*index))));
    Some(spots.collect())
}
