//! Membership of a classic group: joining, being assigned partitions, staying alive, committing offsets, leaving.
//!
//! Owns the member's place in the group. Must never know what is read; it tells the fetcher which partitions, and from
//! where. A rebalance begins only while the user polls: what was handed over is dealt with by then.

mod heartbeats;

use super::assignor::{Assignor, Member, Members};
use super::buffer::Position;
use super::fetcher::Fetcher;
use super::offsets::{self, Commit, OffsetAndMetadata};
use super::protocol::{decode_assignment, decode_subscription, encode_assignment, encode_subscription};
use super::{CommitError, ConsumerEvent, GroupOptions, GroupProtocol, Scene, Spot};
use crate::admin::{Refused, coordinator};
use crate::cluster::{Call, Cluster, Failure, Target};
use heartbeats::Heartbeats;
use std::collections::{BTreeMap, BTreeSet};
use types::{ErrorCode, Instant, NodeId, Offset, Text};
use wire::join_group_request::JoinGroupRequestProtocol;
use wire::leave_group_request::MemberIdentity;
use wire::sync_group_request::SyncGroupRequestAssignment;
use wire::*;

/// Commits that may wait for the coordinator to be found.
const HELD_COMMITS_MAX: usize = 100;
/// How long a leader waits to hear of topics that others subscribe to.
const PLANNING_MS: u64 = 1000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Not in the group, or to join it again.
    #[default]
    Outside,
    /// What is to be let go of is the user's until it is released.
    Revoking,
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

/// A member as a transaction has to name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    pub group_id: Text,
    pub generation: i32,
    pub member_id: Text,
    pub instance_id: Option<Text>,
}

#[derive(Debug, Default)]
pub struct Group {
    options: GroupOptions,
    rack: Text,
    topics: BTreeSet<Text>,
    /// What was subscribed to when this member joined.
    joined_for: BTreeSet<Text>,
    phase: Phase,
    coordinator: Option<NodeId>,
    finding: Option<Call>,
    member_id: Text,
    generation: i32,
    /// The strategy that the group has chosen.
    assignor: Assignor,
    owned: BTreeSet<Spot>,
    /// What of it is another's in the group's present plan; and what the user was asked to let go of.
    surplus: BTreeSet<Spot>,
    revoking: BTreeSet<Spot>,
    /// What it was assigned last, also when it is let go of.
    previous: BTreeSet<Spot>,
    previous_generation: i32,
    /// What the newer protocol needs beside.
    heartbeats: Heartbeats,
    heartbeat: Option<Call>,
    next_heartbeat: Instant,
    next_auto_commit: Instant,
    commits: BTreeMap<Call, Commit>,
    held: Vec<(Commit, Instant)>,
    /// Partitions whose committed offsets are not known yet, and the question under way.
    unplaced: BTreeSet<Spot>,
    placing: Option<(Call, Instant)>,
    /// What the members said of themselves, where this one leads; and the partition counts it planned with.
    members: Members,
    planned: BTreeMap<Text, i32>,
    /// The user chose what is read, and the group has no say in it.
    is_manual: bool,
    not_before: Instant,
    failed: u32,
    closing: bool,
    /// Whether the user polls, and when that was so last.
    is_polled: bool,
    polled_at: Instant,
    now: Instant,
}

/// What the user decides.
impl Group {
    pub fn new(options: GroupOptions, rack: Text) -> Group {
        Group { options, rack, generation: -1, previous_generation: -1, ..Group::default() }
    }

    pub fn subscribe(&mut self, topics: BTreeSet<Text>) {
        self.topics = topics;
        self.is_manual = false;
    }

    /// Leaves without ending: a later subscription joins anew.
    pub fn unsubscribe(&mut self, scene: &mut Scene, fetcher: &mut Fetcher) {
        if let Some(node) = self.coordinator.filter(|_| !self.member_id.is_empty() || self.is_manual) {
            self.auto_commit(scene, node, fetcher);
            self.say_goodbye(scene, node);
        }
        self.topics.clear();
        self.unplaced.clear();
        self.is_manual = false;
        self.member_id = Text::default();
        self.owned.clear();
        self.lose(scene, fetcher);
    }

    /// Reads these without being a member, from where the group is.
    pub fn assign(&mut self, now: Instant, unplaced: BTreeSet<Spot>) {
        self.unplaced = unplaced;
        self.placing = None;
        self.is_manual = true;
        self.next_auto_commit = now.plus_ms(self.options.auto_commit_ms.unwrap_or(0));
    }

    /// Whether the place of a partition was still to be asked for; it is not any more.
    pub fn is_placed_by_hand(&mut self, spot: &Spot) -> bool {
        self.unplaced.remove(spot)
    }

    /// Whose topics match, where the coordinator looks for them.
    pub fn set_pattern(&mut self, pattern: Option<Text>) {
        self.heartbeats.pattern = pattern.filter(|_| self.is_newer());
    }

    fn is_newer(&self) -> bool {
        self.options.protocol == GroupProtocol::Consumer
    }

    pub fn is_subscribed(&self) -> bool {
        !self.topics.is_empty() || self.heartbeats.pattern.is_some()
    }

    /// True where that is news.
    pub fn begin_poll(&mut self) -> bool {
        !std::mem::replace(&mut self.is_polled, true)
    }

    pub fn end_poll(&mut self, now: Instant) {
        self.is_polled = false;
        self.polled_at = now;
    }

    pub fn is_revoking(&self) -> bool {
        self.phase == Phase::Revoking
    }

    pub fn release(&mut self, fetcher: &mut Fetcher) {
        if self.phase == Phase::Revoking {
            let spots = std::mem::take(&mut self.revoking);
            self.let_go(&spots, fetcher);
            self.phase = Phase::Settling;
        }
    }

    pub fn close(&mut self) {
        self.closing = true;
    }

    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Left
    }

    pub fn metadata(&self) -> GroupMetadata {
        GroupMetadata {
            group_id: self.options.id.clone(),
            generation: self.generation,
            member_id: self.member_id.clone(),
            instance_id: self.options.instance_id.clone(),
        }
    }

    pub fn open_commits(&self) -> Vec<BTreeMap<Spot, Offset>> {
        self.commits.values().map(Commit::offsets).collect()
    }

    pub fn commit(&mut self, scene: &mut Scene, commit: Commit) {
        let until = scene.now.at.plus_ms(scene.cluster.options.request_timeout_ms);
        if self.is_subscribed() && self.generation < 0 {
            return commit.done(scene.events, Err(CommitError::NoMember));
        }
        match self.find(scene) {
            Some(node) => self.send_commit(scene, node, commit),
            None if self.held.len() < HELD_COMMITS_MAX => self.held.push((commit, until)),
            None => commit.done(scene.events, Err(CommitError::Failed(Failure::NotSent))),
        }
    }
}

/// What is to be done next.
impl Group {
    pub fn next_wake(&self) -> Option<Instant> {
        let beats = self.generation >= 0 && self.heartbeat.is_none();
        let may_commit = self.is_polled && (self.phase == Phase::Stable || self.is_manual);
        let commits = self.options.auto_commit_ms.filter(|_| may_commit);
        let planning = if let Phase::Planning(until) = self.phase { Some(until) } else { None };
        let times = [
            Some(self.not_before),
            beats.then_some(self.next_heartbeat),
            commits.map(|_| self.next_auto_commit),
            planning,
            self.overdue_at(),
        ];
        let held = self.held.iter().map(|(_, until)| *until);
        times.into_iter().flatten().chain(held).filter(|at| *at > self.now).min()
    }

    /// When the user will have stayed away for too long.
    fn overdue_at(&self) -> Option<Instant> {
        let is_away = !self.is_polled && !self.closing && !self.member_id.is_empty();
        is_away.then(|| self.polled_at.plus_ms(self.options.poll_interval_max_ms))
    }

    pub fn drive(&mut self, scene: &mut Scene, fetcher: &mut Fetcher) {
        let now = scene.now.at;
        self.now = now;
        if self.phase == Phase::Left {
            return;
        }
        if self.overdue_at().is_some_and(|at| at <= now) {
            self.step_back(scene, fetcher);
        }
        for (commit, _) in self.held.extract_if(.., |(_, until)| *until <= now) {
            commit.done(scene.events, Err(CommitError::Failed(Failure::NotSent)));
        }
        let has_nothing = !self.is_subscribed() && self.member_id.is_empty() && self.unplaced.is_empty();
        let commits = !self.commits.is_empty() || !self.held.is_empty() || self.commits_by_itself();
        let is_idle = has_nothing && !commits;
        if is_idle && !self.closing || now < self.not_before {
            return;
        }
        let Some(node) = self.find(scene) else {
            if self.closing && self.member_id.is_empty() && self.held.is_empty() && !self.commits_by_itself() {
                self.phase = Phase::Left;
            }
            return;
        };
        for (commit, _) in std::mem::take(&mut self.held) {
            self.send_commit(scene, node, commit);
        }
        if self.closing {
            return self.leave(scene, node, fetcher);
        }
        match self.phase {
            Phase::Outside if self.is_manual => self.auto_commit_if_due(scene, node, fetcher),
            _ if self.is_newer() => self.drive_by_heartbeats(scene, node, fetcher),
            Phase::Outside if self.is_polled => self.settle(scene, node, fetcher),
            Phase::Outside | Phase::Revoking => self.beat(scene, node),
            Phase::Settling if self.commits.is_empty() => self.join(scene, node),
            Phase::Planning(until) => self.plan(scene, node, until),
            Phase::Stable => self.stay(scene, node, fetcher),
            Phase::Settling | Phase::Joining(_) | Phase::Syncing(_) | Phase::Leaving(_) | Phase::Left => {}
        }
        self.place(scene, node);
    }

    /// The coordinator's node; asks who it is where nobody knows.
    fn find(&mut self, scene: &mut Scene) -> Option<NodeId> {
        if self.coordinator.is_none() && self.finding.is_none() {
            let request = FindCoordinatorRequest {
                key: self.options.id.clone(),
                key_type: 0,
                coordinator_keys: vec![self.options.id.clone()],
                ..Default::default()
            };
            self.finding = Some(scene.cluster.call(scene.now.at, Target::Any, request));
        }
        self.coordinator
    }

    /// Whether members keep what they have through a rebalance: where all strategies that this one names are such.
    fn is_cooperative(&self) -> bool {
        self.options.assignors.iter().all(Assignor::is_cooperative)
    }

    /// Commits what was read, so that whoever reads on begins there; and has the user let go of what it may not keep.
    fn settle(&mut self, scene: &mut Scene, node: NodeId, fetcher: &mut Fetcher) {
        if self.topics.is_empty() {
            return;
        }
        self.auto_commit(scene, node, fetcher);
        let mut spots = std::mem::take(&mut self.surplus);
        let keeps = self.is_cooperative();
        spots.extend(self.owned.iter().filter(|spot| !keeps || !self.topics.contains(&spot.0)).cloned());
        spots.retain(|spot| self.owned.contains(spot));
        if !spots.is_empty() {
            return self.revoke(scene, spots);
        }
        self.phase = Phase::Settling;
        if self.commits.is_empty() {
            self.join(scene, node);
        }
    }

    /// Has the user let go of these.
    fn revoke(&mut self, scene: &mut Scene, spots: BTreeSet<Spot>) {
        self.phase = Phase::Revoking;
        scene.events.push_back(ConsumerEvent::Revoked { spots: spots.iter().cloned().collect() });
        self.revoking = spots;
    }

    /// Takes what was added to what this member has.
    fn take(&mut self, scene: &mut Scene, added: Vec<Spot>, all: Vec<Spot>) {
        self.unplaced.extend(added.iter().cloned());
        self.owned.extend(added.iter().cloned());
        // A question asked for an earlier assignment may have an answer that is out of date by now.
        self.placing = None;
        scene.events.push_back(ConsumerEvent::Assigned { generation: self.generation, added, all });
    }

    fn let_go(&mut self, spots: &BTreeSet<Spot>, fetcher: &mut Fetcher) {
        for spot in spots {
            fetcher.unassign(spot);
            self.owned.remove(spot);
            self.unplaced.remove(spot);
        }
    }

    /// The group does not know this member, or not in this generation: what it had is no longer its.
    fn lose(&mut self, scene: &mut Scene, fetcher: &mut Fetcher) {
        let spots: Vec<Spot> = std::mem::take(&mut self.owned).into_iter().collect();
        spots.iter().for_each(|spot| fetcher.unassign(spot));
        self.unplaced.clear();
        self.surplus.clear();
        self.revoking.clear();
        // Nobody has to hand over what is lost.
        scene.events.retain(|event| !matches!(event, ConsumerEvent::Revoked { .. }));
        if !spots.is_empty() {
            scene.events.push_back(ConsumerEvent::Lost { spots });
        }
        self.heartbeats.forget();
        self.heartbeat = None;
        self.generation = -1;
        self.phase = Phase::Outside;
    }

    /// Leaves because the user stays away: others are to have what it does not read. A static member keeps its place
    /// until its session ends.
    fn step_back(&mut self, scene: &mut Scene, fetcher: &mut Fetcher) {
        if let Some(node) = self.coordinator {
            self.say_goodbye(scene, node);
        }
        self.member_id = Text::default();
        scene.events.push_back(ConsumerEvent::PollOverdue { interval_ms: self.options.poll_interval_max_ms });
        self.lose(scene, fetcher);
    }

    fn join(&mut self, scene: &mut Scene, node: NodeId) {
        let protocol = |assignor: &Assignor| {
            let member = Member {
                topics: self.topics.clone(),
                owned: self.owned.iter().cloned().collect(),
                generation: self.generation,
                rack: Some(self.rack.clone()).filter(|rack| !rack.is_empty()),
                user_data: assignor.user_data(&self.topics, &self.previous, self.previous_generation),
                ..Member::default()
            };
            let name = Text::from(assignor.name());
            JoinGroupRequestProtocol { name, metadata: encode_subscription(&member), ..Default::default() }
        };
        let request = JoinGroupRequest {
            group_id: self.options.id.clone(),
            session_timeout_ms: millis(self.options.session_timeout_ms),
            rebalance_timeout_ms: millis(self.options.poll_interval_max_ms),
            member_id: self.member_id.clone(),
            group_instance_id: self.options.instance_id.clone(),
            protocol_type: Text::from_static("consumer"),
            protocols: self.options.assignors.iter().map(protocol).collect(),
            ..Default::default()
        };
        self.joined_for.clone_from(&self.topics);
        // The answer comes when all members have joined or were given up.
        let timeout_ms = self.options.poll_interval_max_ms.saturating_add(5000);
        let timeout_ms = timeout_ms.max(scene.cluster.options.request_timeout_ms);
        let call = scene.cluster.call_for(scene.now.at, Target::Coordinator(node), request, timeout_ms);
        self.phase = Phase::Joining(call);
    }

    fn plan(&mut self, scene: &mut Scene, node: NodeId, until: Instant) {
        let topics = self.planned_topics();
        let now = scene.now.at;
        let unknown = topics.iter().filter(|topic| !scene.cluster.want(now, topic)).count();
        if unknown > 0 && now < until {
            return;
        }
        self.planned = counts(scene.cluster, &topics);
        let assignment = self.assignor.assign(&self.members, &self.planned);
        let one = |(member_id, spots): (&Text, &Vec<Spot>)| SyncGroupRequestAssignment {
            member_id: member_id.clone(),
            assignment: encode_assignment(spots),
            ..Default::default()
        };
        let assignments = assignment.iter().map(one).collect();
        self.sync(scene, node, assignments);
    }

    /// What all members subscribe to, where this one leads.
    fn planned_topics(&self) -> BTreeSet<Text> {
        self.members.values().flat_map(|member| member.topics.iter().cloned()).collect()
    }

    fn sync(&mut self, scene: &mut Scene, node: NodeId, assignments: Vec<SyncGroupRequestAssignment>) {
        let request = SyncGroupRequest {
            group_id: self.options.id.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.options.instance_id.clone(),
            protocol_type: Some(Text::from_static("consumer")),
            protocol_name: Some(Text::from(self.assignor.name())),
            assignments,
            ..Default::default()
        };
        let timeout_ms = self.options.poll_interval_max_ms.max(scene.cluster.options.request_timeout_ms);
        let call = scene.cluster.call_for(scene.now.at, Target::Coordinator(node), request, timeout_ms);
        self.phase = Phase::Syncing(call);
    }

    fn stay(&mut self, scene: &mut Scene, node: NodeId, fetcher: &mut Fetcher) {
        let is_outgrown = !self.members.is_empty() && self.planned != counts(scene.cluster, &self.planned_topics());
        // There are other partitions than were planned with, or other wishes: the group meets again.
        if is_outgrown || self.joined_for != self.topics {
            self.members.clear();
            self.phase = Phase::Outside;
            if self.is_polled {
                return self.settle(scene, node, fetcher);
            }
        }
        self.beat(scene, node);
        self.auto_commit_if_due(scene, node, fetcher);
    }

    fn beat(&mut self, scene: &mut Scene, node: NodeId) {
        if self.generation < 0 || self.heartbeat.is_some() || scene.now.at < self.next_heartbeat {
            return;
        }
        let request = HeartbeatRequest {
            group_id: self.options.id.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.options.instance_id.clone(),
            ..Default::default()
        };
        self.heartbeat = Some(scene.cluster.call(scene.now.at, Target::Coordinator(node), request));
        self.next_heartbeat = scene.now.at.plus_ms(self.options.heartbeat_ms);
    }

    fn leave(&mut self, scene: &mut Scene, node: NodeId, fetcher: &mut Fetcher) {
        if matches!(self.phase, Phase::Leaving(_)) || !self.commits.is_empty() {
            return;
        }
        if !self.owned.is_empty() || self.is_manual {
            self.auto_commit(scene, node, fetcher);
            self.is_manual = false;
            let spots = std::mem::take(&mut self.owned);
            self.let_go(&spots, fetcher);
            if !spots.is_empty() {
                scene.events.push_back(ConsumerEvent::Revoked { spots: spots.into_iter().collect() });
            }
            if !self.commits.is_empty() {
                return;
            }
        }
        self.phase = self.say_goodbye(scene, node).map_or(Phase::Left, Phase::Leaving);
    }

    /// A static member of the classic protocol says nothing, and keeps its place.
    fn say_goodbye(&mut self, scene: &mut Scene, node: NodeId) -> Option<Call> {
        if self.member_id.is_empty() {
            return None;
        }
        if self.is_newer() {
            return Some(self.say_last_heartbeat(scene, node));
        }
        if self.options.instance_id.is_some() {
            return None;
        }
        let member = MemberIdentity { member_id: self.member_id.clone(), ..Default::default() };
        let request = LeaveGroupRequest {
            group_id: self.options.id.clone(),
            member_id: self.member_id.clone(),
            members: vec![member],
            ..Default::default()
        };
        Some(scene.cluster.call(scene.now.at, Target::Coordinator(node), request))
    }
}

/// Offsets.
impl Group {
    /// Whether positions of what the user assigned are committed.
    fn commits_by_itself(&self) -> bool {
        self.is_manual && self.options.auto_commit_ms.is_some()
    }

    fn auto_commit_if_due(&mut self, scene: &mut Scene, node: NodeId, fetcher: &Fetcher) {
        if self.is_polled && scene.now.at >= self.next_auto_commit {
            self.auto_commit(scene, node, fetcher);
        }
    }

    fn auto_commit(&mut self, scene: &mut Scene, node: NodeId, fetcher: &Fetcher) {
        let Some(interval_ms) = self.options.auto_commit_ms else { return };
        self.next_auto_commit = scene.now.at.plus_ms(interval_ms);
        let positions = fetcher.positions().into_iter();
        let is_owned = |spot: &Spot| self.is_manual || self.owned.contains(spot);
        let owned = positions.filter(|(spot, _)| is_owned(spot) && !self.unplaced.contains(spot));
        let offsets: BTreeMap<Spot, OffsetAndMetadata> =
            owned.map(|(spot, position)| (spot, position.offset.into())).collect();
        if !offsets.is_empty() && (self.is_manual || self.generation >= 0) {
            self.send_commit(scene, node, Commit { number: None, offsets });
        }
    }

    fn send_commit(&mut self, scene: &mut Scene, node: NodeId, commit: Commit) {
        let request = OffsetCommitRequest {
            group_id: self.options.id.clone(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.options.instance_id.clone(),
            retention_time_ms: -1,
            topics: offsets::topics(scene.cluster, &commit.offsets),
            ..Default::default()
        };
        let call = scene.cluster.call(scene.now.at, Target::Coordinator(node), request);
        self.commits.insert(call, commit);
    }

    /// Asks for the committed offsets of partitions that were just assigned.
    fn place(&mut self, scene: &mut Scene, node: NodeId) {
        if self.unplaced.is_empty() || self.placing.is_some() {
            return;
        }
        let member = Some((self.member_id.clone(), self.generation)).filter(|_| self.is_newer() && !self.is_manual);
        let request = offsets::question(scene.cluster, &self.options.id, member, &self.unplaced);
        let now = scene.now.at;
        self.placing = Some((scene.cluster.call(now, Target::Coordinator(node), request), now));
    }

    fn placed(
        &mut self,
        scene: &mut Scene,
        response: &OffsetFetchResponse,
        asked_at: Instant,
        fetcher: &mut Fetcher,
    ) -> ErrorCode {
        let by_id = |id| scene.cluster.topic_by_id(id).map(|known| known.name.clone());
        let (found, code) = offsets::answer(response, by_id);
        for (spot, position) in found {
            if !self.unplaced.remove(&spot) {
                continue;
            }
            let position = Some(position).filter(|position| position.offset >= Offset::ZERO);
            let committed = position.map(|position| position.offset);
            scene.events.push_back(ConsumerEvent::Found { spot: spot.clone(), committed, asked_at });
            if let Some(Position { epoch, .. }) = position {
                scene.cluster.saw_epoch(&spot, epoch);
            }
            fetcher.assign(spot, position);
        }
        // Whoever left some out is not asked again at once.
        if code.is_ok() && !self.unplaced.is_empty() { ErrorCode::COORDINATOR_LOAD_IN_PROGRESS } else { code }
    }
}

/// What is answered.
impl Group {
    pub fn answered(
        &mut self,
        scene: &mut Scene,
        fetcher: &mut Fetcher,
        call: Call,
        result: &Result<Response, Failure>,
    ) {
        if self.finding == Some(call) {
            self.finding = None;
            return self.found(scene, result);
        }
        if self.heartbeat == Some(call) {
            self.heartbeat = None;
            if self.is_newer() {
                return self.beaten(scene, fetcher, result);
            }
            let code = result.as_ref().map_err(|failure| *failure).map(error_code);
            // Whether the heartbeat of a generation that has passed failed says nothing.
            if matches!(self.phase, Phase::Stable | Phase::Outside | Phase::Revoking) || code.is_err() {
                self.judge(scene, fetcher, code);
            }
            return;
        }
        if let Some(commit) = self.commits.remove(&call) {
            return self.committed(scene, fetcher, commit, result);
        }
        if let Some((_, asked_at)) = self.placing.take_if(|(asked, _)| *asked == call) {
            let code = match result {
                Ok(Response::OffsetFetch(response)) => Ok(self.placed(scene, response, asked_at, fetcher)),
                other => other.as_ref().map_err(|failure| *failure).map(error_code),
            };
            return self.judge(scene, fetcher, code);
        }
        match self.phase {
            Phase::Joining(asked) if asked == call => self.joined(scene, fetcher, result),
            Phase::Syncing(asked) if asked == call => self.synced(scene, fetcher, result),
            Phase::Leaving(asked) if asked == call => self.phase = Phase::Left,
            _ => {}
        }
    }

    fn found(&mut self, scene: &mut Scene, result: &Result<Response, Failure>) {
        if let Ok(Response::FindCoordinator(response)) = result {
            match coordinator(response) {
                Ok(node) if scene.cluster.brokers().any(|broker| broker.node == node) => {
                    self.coordinator = Some(node);
                    self.failed = 0;
                    return;
                }
                Err(Refused { code: code @ ErrorCode::GROUP_AUTHORIZATION_FAILED, message })
                    if self.is_subscribed() =>
                {
                    self.phase = Phase::Left;
                    let message = message.map(Text::from);
                    return scene.events.push_back(ConsumerEvent::Refused { code, message });
                }
                Ok(_) | Err(_) => {}
            }
            scene.cluster.refresh_soon(scene.now.at);
        }
        self.back_off(scene);
    }

    fn back_off(&mut self, scene: &mut Scene) {
        self.not_before = scene.now.at.plus_ms(scene.cluster.backoff_ms(self.failed));
        self.failed += 1;
    }

    /// What an answer of the coordinator means for this member's place.
    fn judge(&mut self, scene: &mut Scene, fetcher: &mut Fetcher, code: Result<ErrorCode, Failure>) {
        let is_waiting = matches!(self.phase, Phase::Joining(_) | Phase::Syncing(_) | Phase::Planning(_));
        match code {
            Ok(ErrorCode::NONE) => self.failed = 0,
            Ok(ErrorCode::REBALANCE_IN_PROGRESS) if self.phase == Phase::Stable => self.phase = Phase::Outside,
            Ok(ErrorCode::REBALANCE_IN_PROGRESS) => {}
            Ok(ErrorCode::ILLEGAL_GENERATION | ErrorCode::FENCED_MEMBER_EPOCH) if !is_waiting => {
                self.lose(scene, fetcher)
            }
            Ok(ErrorCode::UNKNOWN_MEMBER_ID) if !is_waiting => {
                self.member_id = Text::default();
                self.lose(scene, fetcher);
            }
            Ok(
                code @ (ErrorCode::FENCED_INSTANCE_ID
                | ErrorCode::GROUP_AUTHORIZATION_FAILED
                | ErrorCode::INVALID_GROUP_ID),
            ) => self.refused(scene, fetcher, code, None),
            Ok(ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE) | Err(_) => {
                self.coordinator = None;
                self.back_off(scene);
            }
            Ok(_) => self.back_off(scene),
        }
    }

    fn refused(&mut self, scene: &mut Scene, fetcher: &mut Fetcher, code: ErrorCode, message: Option<Text>) {
        self.lose(scene, fetcher);
        self.phase = Phase::Left;
        scene.events.push_back(ConsumerEvent::Refused { code, message });
    }

    fn committed(
        &mut self,
        scene: &mut Scene,
        fetcher: &mut Fetcher,
        commit: Commit,
        result: &Result<Response, Failure>,
    ) {
        let code = result.as_ref().map_err(|failure| *failure).map(error_code);
        let result = match code {
            Ok(ErrorCode::NONE) => Ok(()),
            Ok(code) => Err(CommitError::Refused(code)),
            Err(failure) => Err(CommitError::Failed(failure)),
        };
        commit.done(scene.events, result);
        // An error of one partition says nothing about the member.
        let is_about_member = matches!(
            code,
            Err(_)
                | Ok(ErrorCode::ILLEGAL_GENERATION
                    | ErrorCode::FENCED_MEMBER_EPOCH
                    | ErrorCode::UNKNOWN_MEMBER_ID
                    | ErrorCode::FENCED_INSTANCE_ID
                    | ErrorCode::NOT_COORDINATOR
                    | ErrorCode::COORDINATOR_NOT_AVAILABLE
                    | ErrorCode::REBALANCE_IN_PROGRESS)
        );
        let is_known = !matches!(code, Err(_) | Ok(ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE));
        if is_about_member && !(self.is_manual && is_known) {
            self.judge(scene, fetcher, code);
        }
    }

    fn joined(&mut self, scene: &mut Scene, fetcher: &mut Fetcher, result: &Result<Response, Failure>) {
        self.phase = Phase::Outside;
        let response = match result {
            Ok(Response::JoinGroup(response)) => response,
            Ok(_) => return self.back_off(scene),
            Err(Failure::Unsupported) => {
                let why = "its brokers do not know group.instance.id, which came with Kafka 2.3: leave it out";
                return self.refused(scene, fetcher, ErrorCode::UNSUPPORTED_VERSION, Some(why.into()));
            }
            Err(failure) => return self.judge(scene, fetcher, Err(*failure)),
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
            | ErrorCode::GROUP_MAX_SIZE_REACHED) => return self.refused(scene, fetcher, code, None),
            code => return self.judge(scene, fetcher, Ok(code)),
        }
        let chosen = response.protocol_name.as_deref().unwrap_or_default();
        let Some(assignor) = self.options.assignors.iter().find(|assignor| assignor.name() == chosen) else {
            return self.refused(scene, fetcher, ErrorCode::INCONSISTENT_GROUP_PROTOCOL, None);
        };
        self.assignor = assignor.clone();
        self.failed = 0;
        self.member_id = response.member_id.detached();
        self.generation = response.generation_id;
        self.members.clear();
        self.planned.clear();
        let Some(node) = self.coordinator else { return };
        if response.leader == response.member_id {
            let member = |one: &wire::join_group_response::JoinGroupResponseMember| {
                let told = decode_subscription(&one.metadata, one.group_instance_id.as_ref());
                (one.member_id.detached(), told.unwrap_or_default())
            };
            self.members = response.members.iter().map(member).collect();
            if !response.skip_assignment {
                let until = scene.now.at.plus_ms(PLANNING_MS);
                self.phase = Phase::Planning(until);
                return self.plan(scene, node, until);
            }
            // A static leader that comes back keeps the assignment of before, and watches for more partitions (KIP-814).
            self.planned = counts(scene.cluster, &self.planned_topics());
        }
        self.sync(scene, node, Vec::new());
    }

    fn synced(&mut self, scene: &mut Scene, fetcher: &mut Fetcher, result: &Result<Response, Failure>) {
        self.phase = Phase::Outside;
        let response = match result {
            Ok(Response::SyncGroup(response)) if response.error_code.is_ok() => response,
            Ok(Response::SyncGroup(response)) => return self.judge(scene, fetcher, Ok(response.error_code)),
            Ok(_) => return self.back_off(scene),
            Err(failure) => return self.judge(scene, fetcher, Err(*failure)),
        };
        let now = scene.now.at;
        self.failed = 0;
        self.next_heartbeat = now.plus_ms(self.options.heartbeat_ms);
        self.next_auto_commit = now.plus_ms(self.options.auto_commit_ms.unwrap_or(0));
        let assigned = decode_assignment(&response.assignment).unwrap_or_default();
        let added: Vec<Spot> = assigned.difference(&self.owned).cloned().collect();
        // What another is to have is let go of first, and then the group meets again.
        self.surplus = self.owned.difference(&assigned).cloned().collect();
        self.phase = if self.surplus.is_empty() { Phase::Stable } else { Phase::Outside };
        self.previous.clone_from(&assigned);
        self.previous_generation = self.generation;
        self.take(scene, added, assigned.into_iter().collect());
    }
}

/// The error of the answer, or the first one of a partition.
fn error_code(response: &Response) -> ErrorCode {
    match response {
        Response::Heartbeat(response) => response.error_code,
        Response::OffsetCommit(response) => {
            let codes = response.topics.iter().flat_map(|topic| &topic.partitions).map(|known| known.error_code);
            codes.into_iter().find(|code| !code.is_ok()).unwrap_or(ErrorCode::NONE)
        }
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
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
