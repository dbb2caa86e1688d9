//! DescribeCluster 0 to 2.
//!
//! 1 asks for brokers or controllers (KIP-919), 2 includes fenced brokers (KIP-1073).

use super::metadata::CLUSTER_OPERATIONS;
use super::{Disk, Request, Shard, Step, reached};
use crate::node::Reachable;
use ::metadata::{Broker, Endpoint};
use types::{ErrorCode, Text};
use wire::describe_cluster_response::DescribeClusterBroker;
use wire::{DescribeClusterRequest, DescribeClusterResponse};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: DescribeClusterRequest) -> Step<D> {
    if request.version >= 1 && asked.endpoint_type != BROKERS {
        let (error_code, message) = match asked.endpoint_type {
            CONTROLLERS => (ErrorCode::MISMATCHED_ENDPOINT_TYPE, "this is a broker's address: ask it for brokers"),
            _ => (ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, "endpoint types are 1 (brokers) and 2 (controllers)"),
        };
        let response = DescribeClusterResponse {
            error_code,
            error_message: Some(Text::from_static(message)),
            ..Default::default()
        };
        return request.reply(&response);
    }
    let broker = |broker: Reachable| reached!(broker, DescribeClusterBroker { broker_id });
    let mut brokers: Vec<_> = shard.reachable_brokers(request.slot.connection).into_iter().map(broker).collect();
    if asked.include_fenced_brokers {
        let fenced = shard.image.brokers().filter(|known| !brokers.iter().any(|listed| listed.broker_id == known.id.0));
        let fenced: Vec<DescribeClusterBroker> = fenced.filter_map(fenced_broker).collect();
        brokers.extend(fenced);
    }
    request.reply(&DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: shard.node.cluster_id.clone(),
        controller_id: shard.controller_id().0,
        brokers,
        cluster_authorized_operations: if asked.include_cluster_authorized_operations {
            CLUSTER_OPERATIONS
        } else {
            i32::MIN
        },
        ..Default::default()
    })
}

/// One that does not serve, where it said it would be reached.
fn fenced_broker(broker: &Broker) -> Option<DescribeClusterBroker> {
    let Endpoint { host, port, .. } = broker.endpoints.first()?.clone();
    let reachable = Reachable { id: broker.id, host, port, rack: broker.rack.clone() };
    let known = reached!(reachable, DescribeClusterBroker { broker_id });
    Some(DescribeClusterBroker { is_fenced: broker.fenced, ..known })
}
