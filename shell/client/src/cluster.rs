//! What an administrator asks about a cluster as a whole: its brokers, its quorum, and moves of replicas between brokers.
//!
//! Must never know how an answer is laid out, nor which moves are good ones.

use crate::admin::Client;
use crate::error::Error;
use client::admin::*;
use client::{ErrorCode, NodeId, PartitionIndex, Spot, Target, Text, Timestamp, Topic, Uuid};
use std::collections::{BTreeMap, BTreeSet};

impl Client {
    /// All brokers, the fenced ones too where the cluster can tell.
    pub async fn roster(&self) -> Result<Roster, Error> {
        match self.ask(Target::Any, DescribeCluster).await {
            Err(Error::Unsupported) => {}
            done => return done,
        }
        let overview = self.overview().await?;
        let brokers = overview.brokers.into_iter().map(|broker| Registered { broker, is_fenced: false }).collect();
        let cluster_id = overview.cluster_id.unwrap_or_default();
        Ok(Roster { cluster_id, controller: overview.controller, brokers })
    }

    /// The voters and observers of the cluster's metadata.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the cluster has no quorum that could be asked about.
    pub async fn quorum(&self) -> Result<Quorum, Error> {
        self.ask_patiently(Target::Any, DescribeQuorum).await
    }

    /// Lets a node vote that follows the metadata already.
    pub async fn add_voter(&self, node: NodeId, directory: Uuid, listeners: Vec<VoterListener>) -> Result<(), Error> {
        let cluster_id = self.overview().await?.cluster_id;
        let timeout_ms = self.timeout_ms();
        self.ask_patiently(Target::Any, AddVoter { cluster_id, node, directory, listeners, timeout_ms }).await
    }

    /// Takes a node's vote away; it goes on as an observer.
    pub async fn remove_voter(&self, node: NodeId, directory: Uuid) -> Result<(), Error> {
        let cluster_id = self.overview().await?.cluster_id;
        self.ask_patiently(Target::Any, RemoveVoter { cluster_id, node, directory }).await
    }

    /// Forgets a broker that will not come back.
    pub async fn unregister_broker(&self, node: NodeId) -> Result<(), Error> {
        self.ask_patiently(Target::Any, UnregisterBroker(node)).await
    }

    /// The log directories of one broker, and what of these partitions, or of all, lies in them.
    pub async fn log_dirs(&self, node: NodeId, spots: Option<Vec<Spot>>) -> Result<Vec<LogDir>, Error> {
        self.ask(Target::Node(node), DescribeLogDirs(spots)).await
    }

    /// Moves replicas of one broker to other log directories of it; what became of each.
    pub async fn alter_log_dirs(&self, node: NodeId, to: BTreeMap<Spot, String>) -> Result<Each<()>, Error> {
        self.ask(Target::Node(node), AlterReplicaLogDirs(to)).await
    }

    /// How much disk every replica on one broker takes; one on its way to another directory is not counted twice.
    pub async fn broker_sizes(&self, node: NodeId) -> Result<Vec<ReplicaSize>, Error> {
        Ok(replicas(self.log_dirs(node, None).await?).collect())
    }

    /// How much disk each replica of a topic takes, on every broker that has one and is there.
    pub async fn replica_sizes(&self, topic: &Topic) -> Result<Vec<(NodeId, ReplicaSize)>, Error> {
        let mut nodes: BTreeSet<NodeId> = topic.partitions.iter().flat_map(|known| known.replicas.clone()).collect();
        let overview = self.ask(Target::Any, DescribeTopics { names: Some(Vec::new()) }).await?;
        nodes.retain(|node| overview.brokers.iter().any(|broker| broker.node == *node));
        let spots: Vec<Spot> = topic.partitions.iter().map(|known| (topic.name.clone(), known.index)).collect();
        let mut sizes = Vec::new();
        for node in nodes {
            let found = self.log_dirs(node, Some(spots.clone())).await?;
            sizes.extend(replicas(found).map(|size| (node, size)));
        }
        Ok(sizes)
    }

    /// Which replicas may lead a topic's partitions though they are not in sync (KIP-966).
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the cluster has no such replicas.
    pub async fn eligible(&self, topic: impl Into<Text>) -> Result<Vec<Eligible>, Error> {
        let (topic, mut all, mut from) = (topic.into(), Vec::new(), Some(PartitionIndex(0)));
        while let Some(begin) = from {
            let (found, next) = self.ask(Target::Any, DescribeEligible { topic: topic.clone(), from: begin }).await?;
            all.extend(found);
            from = next;
        }
        Ok(all)
    }

    /// The cluster's features: their levels, and what a broker could do.
    pub async fn features(&self) -> Result<Features, Error> {
        self.ask(Target::Any, DescribeFeatures).await
    }

    /// Settles on other levels of features; with `validate_only` it only says whether it could.
    pub async fn update_features(
        &self,
        levels: Vec<(Text, i16)>,
        change: FeatureChange,
        validate_only: bool,
    ) -> Result<(), Error> {
        let timeout_ms = self.timeout_ms();
        self.ask_patiently(Target::Controller, UpdateFeatures { levels, change, validate_only, timeout_ms }).await
    }

    /// Starts moving partitions to these brokers, the preferred leader first; None takes back a move that goes on.
    /// Returns once the cluster has taken it up, with the partitions for which it was refused.
    pub async fn reassign(&self, targets: BTreeMap<Spot, Option<Vec<NodeId>>>) -> Result<Vec<(Spot, Refused)>, Error> {
        let timeout_ms = self.timeout_ms();
        self.ask_patiently(Target::Any, AlterReassignments { targets, timeout_ms }).await
    }

    /// The moves that go on.
    pub async fn reassignments(&self) -> Result<BTreeMap<Spot, Reassignment>, Error> {
        self.ask_patiently(Target::Any, ListReassignments { timeout_ms: self.timeout_ms() }).await
    }

    /// Elects the preferred leaders, or with `unclean` any that lives; of all partitions where none are named. What
    /// became of each, with `ELECTION_NOT_NEEDED` where there was nothing to do.
    pub async fn elect_leaders(&self, unclean: bool, spots: Option<Vec<Spot>>) -> Result<Each<()>, Error> {
        self.ask_patiently(Target::Any, ElectLeaders { unclean, spots, timeout_ms: self.timeout_ms() }).await
    }

    /// Whether whoever answers at the bootstrap address is this node; else what it said. Ask it of a client that was
    /// just connected to one address, before anything that goes to a certain node.
    pub async fn is_node(&self, node: NodeId) -> Result<Result<(), String>, Error> {
        // A broker answers for its own settings and for no other's.
        let question = DescribeConfigs(Resource::Broker(Text::from(node.0.to_string().as_str())));
        let configs = match self.ask(Target::Any, question).await {
            Err(Error::Refused(refused)) if refused.code == ErrorCode::INVALID_REQUEST => {
                return Ok(Err(refused.to_string()));
            }
            done => done?,
        };
        let id = configs.into_iter().find(|config| config.name == "node.id").and_then(|config| config.value);
        Ok(match id.filter(|id| *id != node.0.to_string()) {
            Some(other) => Err(format!("its node.id is {other}")),
            None => Ok(()),
        })
    }

    /// This machine's clock, as brokers' moments are given.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.now().wall
    }
}

fn replicas(dirs: Vec<LogDir>) -> impl Iterator<Item = ReplicaSize> {
    dirs.into_iter().flat_map(|dir| dir.replicas).filter(|replica| !replica.is_future)
}
