//! What nodes of the metadata quorum say to each other, between its own words and the wire's. Each message of Kafka's
//! names topics and partitions; ours is always the one partition of the metadata log.

mod epochs;
mod fetch;
mod snapshot;
mod vote;
mod voters;

use quorum::{Call, Endpoint, LeaderView, Response};
use types::{LeaderEpoch, NodeId, Text, Uuid};

/// Kafka's fixed name and id of the metadata log.
pub(crate) const METADATA_TOPIC: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
pub(crate) const METADATA_NAME: Text = Text::from_static(metadata::names::CLUSTER_METADATA);
/// The name that listeners have where the protocol wants one.
pub(crate) const LISTENER: Text = Text::from_static("CONTROLLER");

/// A request that names the cluster which it is for.
pub(crate) trait InCluster {
    fn cluster_id(&self) -> Option<Text>;
}

macro_rules! in_cluster {
    ($($request:ident)*) => {
        $(impl InCluster for wire::$request {
            fn cluster_id(&self) -> Option<Text> {
                self.cluster_id.clone()
            }
        })*
    };
}

in_cluster!(VoteRequest BeginQuorumEpochRequest EndQuorumEpochRequest FetchRequest FetchSnapshotRequest);
in_cluster!(AddRaftVoterRequest RemoveRaftVoterRequest UpdateRaftVoterRequest);

/// A request of the wire that is a call to the quorum.
pub(crate) trait Question: wire::Call + InCluster {
    /// Versions that we ask with: the newest.
    const VERSION: i16;
    /// The call; none where the request does not name the metadata log.
    fn call(&self) -> Option<Call>;
    /// The wire's form of the quorum's answer.
    fn answer(&self, response: Response) -> Self::Response;
    /// The quorum's form of another node's answer.
    fn read(answer: Self::Response) -> Option<Response>;
}

fn leader_view(id: i32, epoch: i32, endpoint: Option<(Text, u16)>) -> LeaderView {
    LeaderView {
        leader: (id >= 0).then_some(NodeId(id)),
        epoch: LeaderEpoch(epoch),
        endpoint: endpoint.map(|(host, port)| Endpoint { host: host.detached(), port }),
    }
}

/// Where the leader is reached, as an answer of the wire says it.
macro_rules! node_endpoints {
    ($leader:expr, $node:ident) => {{
        let (leader, endpoint) = (&$leader, $leader.endpoint.as_ref());
        let node = endpoint.map(|at| $node {
            node_id: leader_id(leader),
            host: at.host.clone(),
            port: at.port.into(),
            ..Default::default()
        });
        node.into_iter().collect()
    }};
}
use node_endpoints;

fn leader_id(view: &LeaderView) -> i32 {
    view.leader.map_or(-1, |leader| leader.0)
}

pub(crate) use epochs::{begin_request, end_request};
pub(crate) use fetch::{fetch_request, is_of_metadata};
pub(crate) use snapshot::snapshot_request;
pub(crate) use vote::vote_request;
pub(crate) use voters::update_request;
