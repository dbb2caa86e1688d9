//! What the cluster looks like at one moment: brokers, partitions, sizes and moves that go on. Gathers, and decides
//! nothing.

use crate::plan;
use crate::problem::Problem;
use crate::session::Session;
use std::collections::{BTreeMap, BTreeSet};
use vltava_client::{Error, NodeId, Overview, Partition, Reassignment, Roster, Spot, Topic};

#[derive(Debug)]
pub struct Survey {
    pub roster: Roster,
    pub overview: Overview,
    /// Moves that go on.
    pub moving: BTreeMap<Spot, Reassignment>,
    /// How large each replica is; without those of brokers that did not say.
    pub sizes: BTreeMap<(Spot, NodeId), u64>,
    /// Living brokers that did not say how large their replicas are.
    pub silent: Vec<NodeId>,
}

impl Survey {
    pub async fn take(session: &Session) -> Result<Survey, Problem> {
        let doing = || session.while_doing("looking at the cluster");
        let roster = session.client.roster().await.map_err(doing())?;
        let overview = session.client.overview().await.map_err(doing())?;
        let moving = match session.client.reassignments().await {
            Err(Error::Unsupported) => BTreeMap::new(),
            done => done.map_err(doing())?,
        };
        let mut survey = Survey { roster, overview, moving, sizes: BTreeMap::new(), silent: Vec::new() };
        for node in survey.living() {
            match session.client.broker_sizes(node).await {
                Ok(found) => survey.sizes.extend(found.into_iter().map(|size| ((size.spot, node), size.size_bytes))),
                Err(_) => survey.silent.push(node),
            }
        }
        Ok(survey)
    }

    /// Brokers that can take replicas.
    pub fn living(&self) -> BTreeSet<NodeId> {
        let fenced = |node: &NodeId| {
            self.roster.brokers.iter().any(|registered| registered.broker.node == *node && registered.is_fenced)
        };
        self.overview.brokers.iter().map(|broker| broker.node).filter(|node| !fenced(node)).collect()
    }

    /// All brokers that are registered or have a replica.
    pub fn known(&self) -> BTreeSet<NodeId> {
        let registered = self.roster.brokers.iter().map(|registered| registered.broker.node);
        registered.chain(self.partitions().flat_map(|(_, _, known)| known.replicas.iter().copied())).collect()
    }

    /// Every partition of which the cluster knows.
    pub fn partitions(&self) -> impl Iterator<Item = (Spot, &Topic, &Partition)> {
        let topics = self.overview.topics.iter().filter(|topic| topic.error.is_ok());
        topics.flat_map(|topic| {
            topic.partitions.iter().map(move |known| ((topic.name.clone(), known.index), topic, known))
        })
    }

    /// How many replicas a broker has, how many partitions it leads, and the size of what it has.
    pub fn share(&self, node: NodeId) -> (usize, usize, u64) {
        let replicas = self.partitions().filter(|(_, _, known)| known.replicas.contains(&node)).count();
        let leads = self.partitions().filter(|(_, _, known)| known.leader == Some(node)).count();
        let sizes = self.sizes.iter().filter(|((_, holder), _)| *holder == node).map(|(_, size)| *size);
        (replicas, leads, sizes.fold(0, u64::saturating_add))
    }

    /// Partitions that nobody leads: nothing can be copied from them.
    pub fn leaderless(&self) -> Vec<Spot> {
        self.partitions().filter(|(_, _, known)| known.leader.is_none()).map(|(spot, _, _)| spot).collect()
    }

    /// What a plan is made from: partitions as they will lie once the moves that go on are done. Those without a leader
    /// are left out.
    pub fn plannable(&self) -> plan::Cluster {
        let living = self.living();
        let brokers = self.overview.brokers.iter().filter(|broker| living.contains(&broker.node));
        let brokers = brokers.map(|broker| (broker.node.0, broker.rack.as_ref().map(ToString::to_string))).collect();
        let led = self.partitions().filter(|(_, _, known)| known.leader.is_some());
        let partitions = led.map(|(spot, topic, known)| {
            let replicas = match self.moving.get(&spot) {
                Some(moving) => moving.target(),
                None => known.replicas.clone(),
            };
            // A replica that is behind, or is being made, is smaller than what there is to copy.
            let size = |node: &NodeId| self.sizes.get(&(spot.clone(), *node)).copied().unwrap_or(0);
            plan::Partition {
                topic: topic.name.to_string(),
                index: known.index.0,
                replicas: replicas.iter().map(|node| node.0).collect(),
                bytes: known.replicas.iter().map(size).max().unwrap_or(0),
            }
        });
        plan::Cluster { brokers, partitions: partitions.collect() }
    }
}

/// As `topic-3`.
pub fn name(spot: &Spot) -> String {
    format!("{}-{}", spot.0, spot.1)
}

/// The first few, and how many more there are.
pub fn some(names: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 5;
    let count = names.len();
    let shown: Vec<String> = names.take(SHOWN).collect();
    match count.saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
