//! Membership by heartbeats (KIP-848): the coordinator says what this member is to have, and is told what it has.
//!
//! Shares offsets, revoking and leaving with the classic protocol. Must never know an assignor's rules: it names one.

use super::{Failure, Fetcher, Group, Phase, Scene, Spot, millis};
use crate::admin::{indexes_by_topic, spot};
use crate::cluster::{Call, Cluster, Target};
use std::collections::{BTreeMap, BTreeSet};
use types::{ErrorCode, NodeId, Text, TopicId, Uuid};
use wire::consumer_group_heartbeat_request::TopicPartitions;
use wire::*;

const UNKNOWN_PROTOCOL: Text =
    Text::from_static("its brokers do not know group.protocol=consumer: set group.protocol=classic");

#[derive(Debug, Default)]
pub struct Heartbeats {
    /// What names of topics are to match.
    pub pattern: Option<Text>,
    /// The coordinator looks for topics that match, and names this member itself where it does not.
    is_matched_there: bool,
    /// What the coordinator was told last, unless it may not have heard.
    told: Option<Told>,
    /// What this member is to have, as the coordinator said last.
    target: Option<BTreeMap<TopicId, Vec<i32>>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Told {
    topics: BTreeSet<Text>,
    pattern: Option<Text>,
    owned: BTreeSet<Spot>,
}

impl Heartbeats {
    /// The member is none any more, or not yet.
    pub fn forget(&mut self) {
        *self = Heartbeats { pattern: self.pattern.take(), ..Heartbeats::default() };
    }
}

impl Group {
    pub(super) fn drive_by_heartbeats(&mut self, scene: &mut Scene, node: NodeId, fetcher: &mut Fetcher) {
        match self.phase {
            Phase::Outside if self.is_polled && self.is_subscribed() => return self.enter(scene, node),
            Phase::Settling if self.commits.is_empty() => {
                self.phase = Phase::Stable;
                self.reconcile(scene, node, fetcher);
            }
            // Whoever gets what was let go of goes on from what is being committed.
            Phase::Settling => return,
            Phase::Stable => {
                self.reconcile(scene, node, fetcher);
                self.auto_commit_if_due(scene, node, fetcher);
            }
            Phase::Outside
            | Phase::Revoking
            | Phase::Joining(_)
            | Phase::Planning(_)
            | Phase::Syncing(_)
            | Phase::Leaving(_)
            | Phase::Left => {}
        }
        let told = self.to_tell();
        let is_news = self.heartbeats.told.as_ref() != Some(&told);
        let is_due = is_news || self.next_heartbeat <= scene.now.at;
        if self.generation >= 0 && self.heartbeat.is_none() && is_due {
            self.heartbeat = Some(self.tell(scene, node, self.generation, is_news.then_some(&told)));
            self.heartbeats.told = Some(told);
        }
    }

    fn enter(&mut self, scene: &mut Scene, node: NodeId) {
        self.heartbeats.forget();
        // The first version of this request, of brokers before Kafka 4.0, has no patterns, and names members there.
        let is_newer = scene.cluster.version(ApiKey::ConsumerGroupHeartbeat).is_some_and(|version| version >= 1);
        self.heartbeats.is_matched_there = is_newer;
        if is_newer && self.member_id.is_empty() {
            let (high, low) = (scene.cluster.rng.next_u64(), scene.cluster.rng.next_u64());
            let id = Uuid((u128::from(high) << 64 | u128::from(low)).to_be_bytes());
            self.member_id = Text::from(id.to_string().as_str());
        }
        let told = self.to_tell();
        let call = self.tell(scene, node, 0, Some(&told));
        self.heartbeats.told = Some(told);
        self.heartbeat = Some(call);
        self.phase = Phase::Joining(call);
    }

    fn to_tell(&self) -> Told {
        let pattern = self.heartbeats.pattern.clone().filter(|_| self.heartbeats.is_matched_there);
        let topics = if pattern.is_some() { BTreeSet::new() } else { self.topics.clone() };
        Told { topics, pattern, owned: self.owned.clone() }
    }

    /// A heartbeat, with everything about this member where there is news.
    fn tell(&self, scene: &mut Scene, node: NodeId, member_epoch: i32, news: Option<&Told>) -> Call {
        let owned = |cluster: &Cluster, told: &Told| {
            let id = |topic: &Text| Some(cluster.topic(topic)?.id);
            let owned = indexes_by_topic(&told.owned);
            let owned = owned.filter_map(|(topic, partitions)| Some((id(&topic)?, partitions)));
            let of_topic =
                |(topic_id, partitions)| TopicPartitions { topic_id, partitions, ..TopicPartitions::default() };
            owned.map(of_topic).collect()
        };
        let had_pattern = self.heartbeats.told.as_ref().is_some_and(|told| told.pattern.is_some());
        let request = ConsumerGroupHeartbeatRequest {
            group_id: self.options.id.clone(),
            member_id: self.member_id.clone(),
            member_epoch,
            instance_id: self.options.instance_id.clone(),
            rack_id: news.map(|_| self.rack.clone()).filter(|rack| !rack.is_empty()),
            rebalance_timeout_ms: news.map_or(-1, |_| millis(self.options.poll_interval_max_ms)),
            subscribed_topic_names: news.map(|told| told.topics.iter().cloned().collect()),
            // None leaves a pattern as it was; an empty one takes it back.
            subscribed_topic_regex: news.and_then(|told| told.pattern.clone().or(had_pattern.then(Text::default))),
            server_assignor: news.and_then(|_| self.options.remote_assignor.clone()),
            topic_partitions: news.map(|told| owned(scene.cluster, told)),
            ..Default::default()
        };
        scene.cluster.call(scene.now.at, Target::Coordinator(node), request)
    }

    /// Leaves for good, or as one that keeps its name for when it comes back.
    pub(super) fn say_last_heartbeat(&self, scene: &mut Scene, node: NodeId) -> Call {
        self.tell(scene, node, if self.options.instance_id.is_some() { -2 } else { -1 }, None)
    }

    /// Comes nearer to what the coordinator wants: first lets go, then takes. The user polls, or it waits.
    fn reconcile(&mut self, scene: &mut Scene, node: NodeId, fetcher: &mut Fetcher) {
        let Some(target) = self.heartbeats.target.as_ref().filter(|_| self.is_polled) else { return };
        let mut wanted = BTreeSet::new();
        for (id, indexes) in target {
            match scene.cluster.topic_by_id(*id) {
                Some(topic) => wanted.extend(indexes.iter().map(|index| spot(&topic.name, *index))),
                // What is not known yet is taken later.
                None => scene.cluster.refresh_soon(scene.now.at),
            }
        }
        let surplus: BTreeSet<Spot> = self.owned.difference(&wanted).cloned().collect();
        if !surplus.is_empty() {
            self.auto_commit(scene, node, fetcher);
            return self.revoke(scene, surplus);
        }
        let added: Vec<Spot> = wanted.difference(&self.owned).cloned().collect();
        if !added.is_empty() {
            for (topic, _) in &added {
                scene.cluster.want(scene.now.at, topic);
            }
            self.take(scene, added, wanted.into_iter().collect());
        }
    }

    pub(super) fn beaten(&mut self, scene: &mut Scene, fetcher: &mut Fetcher, result: &Result<Response, Failure>) {
        let is_joining = matches!(self.phase, Phase::Joining(_));
        if is_joining {
            self.phase = Phase::Outside;
        }
        let response = match result {
            Ok(Response::ConsumerGroupHeartbeat(response)) => response,
            Err(Failure::Unsupported) => {
                return self.refused(scene, fetcher, ErrorCode::UNSUPPORTED_VERSION, Some(UNKNOWN_PROTOCOL));
            }
            other => {
                self.heartbeats.told = None;
                let code = other.as_ref().map(|_| ErrorCode::UNKNOWN_SERVER_ERROR).map_err(|failure| *failure);
                return self.judge(scene, fetcher, code);
            }
        };
        match response.error_code {
            ErrorCode::NONE => {}
            code @ ErrorCode::UNSUPPORTED_VERSION if response.error_message.is_none() => {
                return self.refused(scene, fetcher, code, Some(UNKNOWN_PROTOCOL));
            }
            code @ (ErrorCode::FENCED_MEMBER_EPOCH | ErrorCode::UNKNOWN_MEMBER_ID) => {
                self.judge(scene, fetcher, Ok(code));
                // Whoever is fenced again and again does not ask at once.
                return self.back_off(scene);
            }
            code @ (ErrorCode::INVALID_REQUEST
            | ErrorCode::UNSUPPORTED_VERSION
            | ErrorCode::UNSUPPORTED_ASSIGNOR
            | ErrorCode::INVALID_REGULAR_EXPRESSION
            | ErrorCode::UNRELEASED_INSTANCE_ID
            | ErrorCode::GROUP_MAX_SIZE_REACHED
            | ErrorCode::TOPIC_AUTHORIZATION_FAILED) => {
                return self.refused(scene, fetcher, code, response.error_message.as_ref().map(Text::detached));
            }
            code => {
                self.heartbeats.told = None;
                return self.judge(scene, fetcher, Ok(code));
            }
        }
        let now = scene.now.at;
        self.failed = 0;
        if is_joining {
            self.phase = Phase::Stable;
            self.next_auto_commit = now.plus_ms(self.options.auto_commit_ms.unwrap_or(0));
        }
        if let Some(id) = &response.member_id {
            self.member_id = id.detached();
        }
        self.generation = response.member_epoch;
        self.next_heartbeat = now.plus_ms(u64::try_from(response.heartbeat_interval_ms).unwrap_or(0).max(1));
        if let Some(assignment) = &response.assignment {
            let topics = assignment.topic_partitions.iter().map(|topic| (topic.topic_id, topic.partitions.clone()));
            self.heartbeats.target = Some(topics.collect());
        }
    }
}
