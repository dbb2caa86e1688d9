//! Asks every broker again and again what it knows: who leads, who is in sync, who is the controller. What they say must
//! fit together at all times, and at the end it must be well. Where a disk was lost, the inspector is the operator too: a
//! partition may have been made while a late sign of life of that broker alone counted, and nobody else holds it.

use super::SharedOracle;
use crate::host::Host;
use client::admin::{DescribeQuorum, Question, Quorum};
use client::{Admin, Options, Target};
use std::collections::BTreeMap;
use types::{Instant, LeaderEpoch, NodeId, Now, PartitionIndex, Rng};
use wire::{
    ElectLeadersRequest, ListGroupsRequest, ListGroupsResponse, MetadataRequest, MetadataResponse, Request, Response,
};

/// How long an answer may take.
const TIMEOUT_MS: u64 = 1000;
/// How long a partition stays without a leader, with no faults, before an operator takes any leader that there is.
const UNLED_MS: u64 = 8000;
/// ElectLeaders: one that may lack what was committed, rather than none.
const UNCLEAN: i8 = 1;

pub struct Inspector {
    host: Host<Admin>,
    oracle: SharedOracle,
    rng: Rng,
    nodes: Vec<NodeId>,
    /// What is asked under which number: of whom, and when.
    asked: BTreeMap<u64, (NodeId, Instant)>,
    next_act: Instant,
    /// A disk may be lost for good in this world.
    loses_disks: bool,
    /// Since when some partition has no leader, faults being over.
    unled_since: Option<Instant>,
}

impl Inspector {
    #[must_use]
    pub fn new(options: Options, oracle: SharedOracle, nodes: Vec<NodeId>, seed: u64) -> Inspector {
        Inspector {
            host: Host::new(Admin::new(options)),
            oracle,
            rng: Rng::new(seed),
            nodes,
            asked: BTreeMap::new(),
            next_act: Instant(0),
            loses_disks: false,
            unled_since: None,
        }
    }

    #[must_use]
    pub fn losing_disks(self, loses_disks: bool) -> Inspector {
        Inspector { loses_disks, ..self }
    }

    fn act(&mut self, now: Now) {
        self.next_act = now.at.plus_ms(50 + self.rng.below(200));
        self.host.engine.cluster.want_all(now.at, true);
        if self.loses_disks && self.unled_since.is_some_and(|since| now.at >= since.plus_ms(UNLED_MS)) {
            self.unled_since = None;
            let any = ElectLeadersRequest { election_type: UNCLEAN, topic_partitions: None, ..Default::default() };
            self.host.engine.ask(now.at, Target::Controller, any, TIMEOUT_MS);
        }
        for node in self.nodes.clone() {
            if self.asked.values().any(|(asked, _)| *asked == node) {
                continue;
            }
            let all = MetadataRequest { topics: None, allow_auto_topic_creation: false, ..Default::default() };
            let groups = ListGroupsRequest::default();
            let questions: [Request; 3] = [all.into(), DescribeQuorum.request(), groups.into()];
            for question in questions {
                let number = self.host.engine.ask(now.at, Target::Node(node), question, TIMEOUT_MS);
                self.asked.insert(number, (node, now.at));
            }
        }
    }

    fn answers(&mut self) {
        while let Some((number, result)) = self.host.engine.poll() {
            let Some((node, asked_at)) = self.asked.remove(&number) else { continue };
            match result {
                Ok(Response::Metadata(response)) => self.metadata(node, asked_at, &response),
                Ok(Response::ListGroups(response)) => self.groups(node, asked_at, &response),
                Ok(other) => {
                    if let Ok(quorum) = DescribeQuorum.read(other) {
                        self.quorum(&quorum);
                    }
                }
                Err(_) => {}
            }
        }
    }

    fn metadata(&mut self, node: NodeId, asked_at: Instant, response: &MetadataResponse) {
        let mut problems = Vec::new();
        let mut oracle = self.oracle.borrow_mut();
        for other in self.nodes.iter().filter(|other| !response.brokers.iter().any(|known| known.node_id == other.0)) {
            problems.push(format!("broker {other} is not there"));
        }
        for topic in &response.topics {
            let name = topic.name.clone().unwrap_or_default();
            for partition in &topic.partitions {
                let spot = (name.clone(), PartitionIndex(partition.partition_index));
                if partition.leader_id >= 0 {
                    let (epoch, leader) = (LeaderEpoch(partition.leader_epoch), NodeId(partition.leader_id));
                    oracle.led(topic.topic_id, &spot, epoch, leader);
                }
                let is_excused =
                    |replica: &i32| oracle.excused.as_ref().is_some_and(|excused| excused.covers(*replica, &spot));
                let is_missing = |replica: &i32| !partition.isr_nodes.contains(replica) && !is_excused(replica);
                if partition.leader_id < 0 || partition.replica_nodes.iter().any(is_missing) {
                    let (leader, isr) = (partition.leader_id, &partition.isr_nodes);
                    problems.push(format!("{name}-{} has leader {leader} and in sync {isr:?}", spot.1));
                }
            }
        }
        let is_unled =
            response.topics.iter().flat_map(|topic| &topic.partitions).any(|partition| partition.leader_id < 0);
        let since = self.unled_since.unwrap_or(asked_at);
        self.unled_since = (is_unled && oracle.is_healing).then_some(since);
        oracle.views.insert((node, "metadata"), (asked_at, problems));
    }

    fn groups(&mut self, node: NodeId, asked_at: Instant, response: &ListGroupsResponse) {
        let mut problems = Vec::new();
        if !response.error_code.is_ok() {
            problems.push(format!("its groups: {}", response.error_code));
        }
        let settled = ["Stable", "Empty", "Dead"];
        for group in response.groups.iter().filter(|group| !settled.contains(&&*group.group_state)) {
            problems.push(format!("{} is {}", group.group_id, group.group_state));
        }
        self.oracle.borrow_mut().views.insert((node, "groups"), (asked_at, problems));
    }

    fn quorum(&mut self, quorum: &Quorum) {
        if let Some(leader) = quorum.leader {
            self.oracle.borrow_mut().presided(quorum.epoch, leader);
        }
    }
}

asks!(Inspector);
