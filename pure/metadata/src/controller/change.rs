//! How one partition changes: from what is wanted of its replicas to its leader, its ISR and its eligible leader
//! replicas (KIP-966).
//!
//! Owns who may lead. Everything that changes a partition goes through here, so that these hold for all of them:
//! a leader is in the ISR; the ISR lies within the replicas; a replica that leaves an ISR which falls below
//! min.insync.replicas stays eligible, since from then on nothing is committed without it; and nobody else leads
//! unless an unclean election was asked for.

use crate::config::{Overrides, Resource, Settings, TopicConfig};
use crate::generated::{PartitionChangeRecord, Record};
use crate::image::{Broker, Image, LEADER_STAYS, Partition, Topic};
use types::{NodeId, TopicId};

/// The feature that keeps replicas eligible outside the ISR.
pub(super) const ELIGIBLE_REPLICAS: &str = "eligible.leader.replicas.version";

/// The cluster as a change sees it.
pub(super) struct Rules<'a> {
    pub image: &'a Image,
    settings: &'a Settings,
    keeps_eligible: bool,
    /// Counts as dead, whatever the image says.
    gone: Option<NodeId>,
    /// Counts as living, and as it is here.
    arrived: Option<&'a Broker>,
}

/// The configurations of one topic that decide.
pub(super) struct TopicRules {
    pub id: TopicId,
    min_isr: usize,
    pub unclean: bool,
}

impl<'a> Rules<'a> {
    pub fn new(image: &'a Image, settings: &'a Settings) -> Rules<'a> {
        let keeps_eligible = image.feature(ELIGIBLE_REPLICAS).is_some_and(|level| level > 0);
        Rules { image, settings, keeps_eligible, gone: None, arrived: None }
    }

    /// As if this node were dead.
    pub fn without(self, node: NodeId) -> Rules<'a> {
        Rules { gone: Some(node), ..self }
    }

    /// As if this broker lived, as it is here.
    pub fn with(self, broker: &'a Broker) -> Rules<'a> {
        Rules { arrived: Some(broker), ..self }
    }

    pub fn topic(&self, topic: &Topic) -> TopicRules {
        let nothing = Overrides::new();
        let set = self.image.overrides(&Resource::topic(topic.name.clone())).unwrap_or(&nothing);
        TopicRules {
            id: topic.id,
            min_isr: usize::try_from(TopicConfig::min_insync_replicas(self.settings, set)).unwrap_or(1),
            unclean: TopicConfig::unclean_leader_election(self.settings, set),
        }
    }

    fn broker(&self, node: NodeId) -> Option<&Broker> {
        match self.arrived {
            Some(arrived) if arrived.id == node => Some(arrived),
            _ if self.gone == Some(node) => None,
            _ => self.image.broker(node),
        }
    }

    pub fn is_alive(&self, node: NodeId) -> bool {
        self.broker(node).is_some_and(Broker::is_alive)
    }

    /// Whether it is alive, and the directory of its replica is not known to be lost.
    pub fn may_lead(&self, partition: &Partition, node: NodeId) -> bool {
        self.broker(node).is_some_and(|broker| broker.is_alive() && broker.has_directory(partition))
    }
}

/// Which leader is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Election {
    /// The present one if it can stay, else the first that holds everything committed.
    Online,
    /// The first replica if it is in sync.
    Preferred,
    /// Where nobody holds everything committed, anybody.
    Unclean,
}

/// A change in the making: say in `after` what is wanted, then ask for the record.
pub(super) struct Change<'a> {
    rules: &'a Rules<'a>,
    topic: &'a TopicRules,
    before: &'a Partition,
    pub after: Partition,
    pub election: Election,
    /// The leader starts a new epoch even where it stays.
    pub new_epoch: bool,
    /// No change at all where it would leave the partition without the leader that it has.
    pub stays_led: bool,
    /// Does not hold what it held.
    damaged: Option<NodeId>,
}

impl<'a> Change<'a> {
    pub fn new(rules: &'a Rules<'a>, topic: &'a TopicRules, before: &'a Partition) -> Change<'a> {
        let election = if topic.unclean { Election::Unclean } else { Election::Online };
        let after = before.clone();
        Change { rules, topic, before, after, election, new_epoch: false, stays_led: false, damaged: None }
    }

    /// The partition as it is.
    pub fn before(&self) -> &Partition {
        self.before
    }

    pub fn leave_isr(&mut self, node: NodeId) {
        self.after.isr.retain(|member| *member != node);
    }

    /// The end of its log may be gone. It no longer counts as holding everything, unless nobody else does: then what
    /// it has is the best there is.
    pub fn lost_end(&mut self, node: NodeId) {
        let mut holders = self.before.isr.iter().chain(&self.before.eligible_leader_replicas);
        if holders.any(|holder| *holder != node) {
            self.leave_isr(node);
            self.damaged = Some(node);
        }
    }

    /// All of its log is gone. Where nobody else holds the records, nobody leads until an operator decides.
    pub fn lost_log(&mut self, node: NodeId) {
        self.leave_isr(node);
        self.after.last_known_elr.retain(|member| *member != node);
        self.damaged = Some(node);
    }

    /// The record that makes the change; None where nothing changes.
    pub fn record(mut self, index: i32) -> Option<Record> {
        self.complete_reassignment();
        if !self.rules.keeps_eligible && self.after.isr.is_empty() {
            // Without eligible replicas the ISR remembers who held everything last.
            self.after.isr.clone_from(&self.before.isr);
        }
        self.leave_dead();
        self.count_eligible();
        self.elect();
        self.remember_leader();
        if self.stays_led && self.before.leader.is_some() && self.after.leader.is_none() {
            return None;
        }
        // A replica that was taken away must not go on under the epoch that it followed in.
        let dropped = self.before.replicas.iter().any(|replica| !self.after.replicas.contains(replica));
        self.new_epoch |= dropped;
        self.difference(index)
    }

    /// A reassignment is done when all that are added are in sync, and somebody who stays is.
    fn complete_reassignment(&mut self) {
        let after = &mut self.after;
        if !after.is_reassigning() {
            return;
        }
        let stays = |node: &NodeId| !after.removing_replicas.contains(node);
        let isr: Vec<NodeId> = after.isr.iter().copied().filter(stays).collect();
        if isr.is_empty() || !after.adding_replicas.iter().all(|added| isr.contains(added)) {
            return;
        }
        let placed = after.replicas.iter().copied().zip(after.directories.iter().copied());
        let (replicas, directories) = placed.filter(|(replica, _)| stays(replica)).unzip();
        (after.replicas, after.directories, after.isr) = (replicas, directories, isr);
        after.removing_replicas.clear();
        after.adding_replicas.clear();
    }

    /// Where anybody in the ISR lives, the dead leave it: a leader must not wait for them.
    fn leave_dead(&mut self) {
        let lives = |node: &NodeId| self.rules.broker(*node).is_some_and(|broker| !broker.fenced);
        if self.after.isr.iter().any(lives) {
            self.after.isr.retain(lives);
        }
    }

    /// Who holds everything committed without being in the ISR.
    fn count_eligible(&mut self) {
        let enough = self.topic.min_isr.min(self.after.replicas.len());
        let (before, after) = (self.before, &mut self.after);
        after.eligible_leader_replicas.clear();
        if !self.rules.keeps_eligible || after.isr.len() >= enough {
            return;
        }
        for node in before.eligible_leader_replicas.iter().chain(&before.isr) {
            let counts = after.replicas.contains(node) && !after.isr.contains(node) && self.damaged != Some(*node);
            if counts && !after.eligible_leader_replicas.contains(node) {
                after.eligible_leader_replicas.push(*node);
            }
        }
    }

    fn elect(&mut self) {
        let wins = |node: &NodeId, among: &[NodeId]| among.contains(node) && self.rules.may_lead(&self.after, *node);
        let first = |among: &[NodeId]| self.after.replicas.iter().copied().find(|node| wins(node, among));
        let isr = &self.after.isr;
        let preferred = self.after.replicas.first().filter(|_| self.election == Election::Preferred);
        let in_sync = [preferred, self.before.leader.as_ref()].into_iter().flatten().copied();
        let in_sync = in_sync.into_iter().find(|node| wins(node, isr)).or_else(|| first(isr));
        if let Some(leader) = in_sync.or_else(|| self.leaving_leader()) {
            self.after.leader = Some(leader);
        } else if let Some(leader) = first(&self.after.eligible_leader_replicas) {
            self.after.leader = Some(leader);
            self.after.isr = vec![leader];
            self.count_eligible();
        } else if let Some(leader) = self.unclean_leader() {
            self.after.leader = Some(leader);
            self.after.isr = vec![leader];
            self.after.eligible_leader_replicas.clear();
            self.after.recovering = true;
        } else {
            self.after.leader = None;
        }
    }

    /// A leader that shuts down and that nobody in the ISR can replace goes on until it is gone.
    fn leaving_leader(&self) -> Option<NodeId> {
        let leader = self.before.leader.filter(|leader| self.after.isr.contains(leader))?;
        self.rules.broker(leader).is_some_and(|broker| !broker.fenced).then_some(leader)
    }

    /// One who may lack committed records: the last leader where nobody is known to hold them, else anybody.
    fn unclean_leader(&self) -> Option<NodeId> {
        let after = &self.after;
        let may_lead = |node: &NodeId| self.rules.may_lead(after, *node);
        let nobody = after.isr.is_empty() && after.eligible_leader_replicas.is_empty();
        let last = after.last_known_elr.first().copied().filter(|last| nobody && after.replicas.contains(last));
        let anybody = || after.replicas.iter().copied().find(may_lead);
        last.filter(may_lead).or_else(|| (self.election == Election::Unclean).then(anybody).flatten())
    }

    fn remember_leader(&mut self) {
        let after = &mut self.after;
        if after.leader.is_some() || !self.rules.keeps_eligible {
            after.last_known_elr.clear();
        } else if after.isr.is_empty()
            && let Some(leader) = self.before.leader
            && self.damaged != Some(leader)
        {
            after.last_known_elr = vec![leader];
        }
    }

    fn difference(&self, index: i32) -> Option<Record> {
        let (before, after) = (self.before, &self.after);
        if before == after && !self.new_epoch {
            return None;
        }
        let changed = |before: &[NodeId], after: &[NodeId]| {
            (before != after).then(|| after.iter().map(|node| node.0).collect::<Vec<i32>>())
        };
        let replicas = changed(&before.replicas, &after.replicas);
        let moved = replicas.is_some() || before.directories != after.directories;
        let recovery_changes = before.recovering != after.recovering;
        let leader_changes = self.new_epoch || before.leader != after.leader;
        Some(Record::PartitionChange(PartitionChangeRecord {
            partition_id: index,
            topic_id: self.topic.id,
            isr: changed(&before.isr, &after.isr),
            leader: if leader_changes { after.leader.map_or(-1, |leader| leader.0) } else { LEADER_STAYS },
            replicas,
            removing_replicas: changed(&before.removing_replicas, &after.removing_replicas),
            adding_replicas: changed(&before.adding_replicas, &after.adding_replicas),
            leader_recovery_state: if recovery_changes { i8::from(after.recovering) } else { -1 },
            directories: moved.then(|| after.directories.clone()),
            eligible_leader_replicas: changed(&before.eligible_leader_replicas, &after.eligible_leader_replicas),
            last_known_elr: changed(&before.last_known_elr, &after.last_known_elr),
            ..Default::default()
        }))
    }
}

/// Goes through all partitions: those that `concerns` names are prepared, and changed where that leads to a change.
pub(super) fn walk<'a>(
    rules: &'a Rules<'a>,
    concerns: impl Fn(&Partition) -> bool,
    prepare: impl Fn(&mut Change<'_>),
) -> Vec<Record> {
    let mut records = Vec::new();
    for topic in rules.image.topics() {
        let mut topic_rules = None;
        for (index, partition) in (0..).zip(&topic.partitions).filter(|(_, partition)| concerns(partition)) {
            let topic_rules = topic_rules.get_or_insert_with(|| rules.topic(topic));
            let mut change = Change::new(rules, topic_rules, partition);
            prepare(&mut change);
            records.extend(change.record(index));
        }
    }
    records
}
