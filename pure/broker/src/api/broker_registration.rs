//! BrokerRegistration 0 to 4: a broker that starts makes itself known to the controller.
//!
//! 2 names log directories (KIP-858), 3 the epoch of the last registration after a clean stop (KIP-966). Ours tells a
//! killed process, whose writes the operating system kept, from a machine that went down.

use super::{ControllerWork, Disk, Outcome, Request, Shard, Step, Work};
use ::metadata::controller::{LastStop, Reply};
use ::metadata::{Broker, Endpoint};
use types::{ErrorCode, NodeId, Text};
use wire::{BrokerRegistrationRequest, BrokerRegistrationResponse};

/// What stands for the epoch of the last registration where that run did not stop cleanly: nothing it wrote is lost, or
/// its last writes may be. Kafka says -1 for both.
pub(crate) const AFTER_KILL: i64 = -2;
pub(crate) const AFTER_POWER_LOSS: i64 = -1;

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: BrokerRegistrationRequest) -> Step<D> {
    if *asked.cluster_id != *shard.node.cluster_id {
        return request.reply(&BrokerRegistrationResponse {
            error_code: ErrorCode::INCONSISTENT_CLUSTER_ID,
            broker_epoch: -1,
            ..Default::default()
        });
    }
    let last_stop = match asked.previous_broker_epoch {
        AFTER_KILL => LastStop::Killed,
        AFTER_POWER_LOSS => LastStop::PowerLost,
        _ => LastStop::Clean,
    };
    let work = Work::Controller(Box::new(ControllerWork::Register { broker: broker(asked), last_stop }));
    Step::one(work, move |shard, outcome| {
        let (error_code, broker_epoch) = match outcome {
            Outcome::Controller(Reply::RegisterBroker(Ok(epoch))) => (ErrorCode::NONE, epoch),
            other => (other.into_failure().0, -1),
        };
        shard.figures.error(request.key, error_code);
        request.reply(&BrokerRegistrationResponse { error_code, broker_epoch, ..Default::default() })
    })
}

fn broker(asked: BrokerRegistrationRequest) -> Broker {
    let endpoint = |listener: &wire::broker_registration_request::Listener| Endpoint {
        name: listener.name.detached(),
        host: listener.host.detached(),
        port: listener.port,
        security_protocol: listener.security_protocol,
    };
    let feature = |feature: &wire::broker_registration_request::Feature| {
        (feature.name.detached(), feature.min_supported_version, feature.max_supported_version)
    };
    Broker {
        id: NodeId(asked.broker_id),
        epoch: -1,
        incarnation: asked.incarnation_id,
        endpoints: asked.listeners.iter().map(endpoint).collect(),
        features: asked.features.iter().map(feature).collect(),
        rack: asked.rack.as_ref().map(Text::detached),
        fenced: true,
        in_controlled_shutdown: false,
        directories: asked.log_dirs,
        cordoned_directories: Vec::new(),
    }
}
