//! Questions about brokers: which there are, living or fenced, what lies on one, and forgetting one that is gone.

use super::question::{Question, Refused};
use super::topics::{ReplicaSize, read_sizes};
use crate::metadata::Broker;
use types::{NodeId, Text};
use wire::{DescribeClusterRequest, DescribeLogDirsRequest, Request, Response, UnregisterBrokerRequest};

/// All brokers that are registered, those too that are fenced, where the broker that is asked can tell (KIP-1073).
#[derive(Clone, Copy, Debug)]
pub struct DescribeCluster;

/// The brokers of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    pub cluster_id: Text,
    /// Whom to ask for changes; with a quorum of controllers this may be any broker, which forwards.
    pub controller: Option<NodeId>,
    /// In the order of their ids.
    pub brokers: Vec<Registered>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    pub broker: Broker,
    /// It does not send heartbeats, or has not caught up yet: it leads nothing and no client is sent to it.
    pub is_fenced: bool,
}

impl Question for DescribeCluster {
    type Answer = Roster;

    fn request(&self) -> Request {
        DescribeClusterRequest { include_fenced_brokers: true, ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Roster, Refused> {
        let Response::DescribeCluster(response) = response else { return Err(Refused::foreign()) };
        Refused::check(response.error_code, response.error_message.as_ref())?;
        let registered = |known: &wire::describe_cluster_response::DescribeClusterBroker| Registered {
            broker: Broker {
                node: NodeId(known.broker_id),
                host: known.host.to_string(),
                port: u16::try_from(known.port).unwrap_or(0),
                rack: known.rack.as_ref().map(Text::detached),
            },
            is_fenced: known.is_fenced,
        };
        let mut brokers: Vec<Registered> = response.brokers.iter().map(registered).collect();
        brokers.sort_by_key(|registered| registered.broker.node);
        Ok(Roster {
            cluster_id: response.cluster_id.detached(),
            controller: Some(NodeId(response.controller_id)).filter(|node| node.0 >= 0),
            brokers,
        })
    }
}

/// How much data every replica takes on the broker that is asked.
#[derive(Clone, Copy, Debug)]
pub struct DescribeAllSizes;

impl Question for DescribeAllSizes {
    type Answer = Vec<ReplicaSize>;

    fn request(&self) -> Request {
        DescribeLogDirsRequest { topics: None, ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Vec<ReplicaSize>, Refused> {
        read_sizes(response)
    }
}

/// Forgets a broker that will not come back.
#[derive(Clone, Copy, Debug)]
pub struct UnregisterBroker(pub NodeId);

impl Question for UnregisterBroker {
    type Answer = ();

    fn request(&self) -> Request {
        UnregisterBrokerRequest { broker_id: self.0.0, ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<(), Refused> {
        let Response::UnregisterBroker(response) = response else { return Err(Refused::foreign()) };
        Refused::check(response.error_code, response.error_message.as_ref())
    }
}
