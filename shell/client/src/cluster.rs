//! What an administrator asks about a cluster as a whole: its brokers, its quorum, and moves of replicas between brokers.
//!
//! Must never know how an answer is laid out, nor which moves are good ones.

use crate::admin::Client;
use crate::error::Error;
use client::admin::*;
use client::{ErrorCode, NodeId, Spot, Target, Text, Timestamp, Uuid};
use std::collections::BTreeMap;

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

    /// How much disk every replica on one broker takes.
    pub async fn broker_sizes(&self, node: NodeId) -> Result<Vec<ReplicaSize>, Error> {
        self.ask(Target::Node(node), DescribeAllSizes).await
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

    /// Hands partitions to the first of their replicas, and returns those of which that could not take over.
    pub async fn elect_preferred(&self, spots: Vec<Spot>) -> Result<Vec<(Spot, Refused)>, Error> {
        self.ask_patiently(Target::Any, ElectPreferred { spots, timeout_ms: self.timeout_ms() }).await
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
