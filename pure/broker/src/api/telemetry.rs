//! GetTelemetrySubscriptions 0 and PushTelemetry 0: clients' own metrics (KIP-714).
//!
//! What a client pushes is checked against its subscription and counted; nothing reads its contents yet.

use super::{Disk, Request, Shard, Step};
use ::metadata::telemetry::{Client, Subscription, Subscriptions};
use types::{ErrorCode, Uuid};
use wire::{
    GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse, PushTelemetryRequest, PushTelemetryResponse,
};

/// zstd, lz4, gzip, snappy, in the order that we prefer, by the numbers that batches use.
const COMPRESSION_TYPES: [i8; 4] = [4, 3, 1, 2];

pub(crate) fn start_subscriptions<D: Disk>(
    shard: &mut Shard<D>,
    request: Request,
    asked: GetTelemetrySubscriptionsRequest,
) -> Step<D> {
    let instance =
        if asked.client_instance_id.is_zero() { Uuid::random(&mut shard.rng) } else { asked.client_instance_id };
    let subscription = subscription(shard, &request, instance);
    request.reply(&GetTelemetrySubscriptionsResponse {
        client_instance_id: instance,
        subscription_id: subscription.id,
        accepted_compression_types: COMPRESSION_TYPES.to_vec(),
        push_interval_ms: subscription.push_interval_ms,
        telemetry_max_bytes: shard.settings.telemetry_max_bytes(),
        delta_temporality: true,
        requested_metrics: subscription.metrics,
        ..Default::default()
    })
}

pub(crate) fn start_push<D: Disk>(shard: &mut Shard<D>, request: Request, asked: PushTelemetryRequest) -> Step<D> {
    let max_bytes = usize::try_from(shard.settings.telemetry_max_bytes()).unwrap_or(0);
    let error_code = if asked.client_instance_id.is_zero() {
        ErrorCode::INVALID_REQUEST
    } else if subscription(shard, &request, asked.client_instance_id).id != asked.subscription_id {
        ErrorCode::UNKNOWN_SUBSCRIPTION_ID
    } else if asked.compression_type != 0 && !COMPRESSION_TYPES.contains(&asked.compression_type) {
        ErrorCode::UNSUPPORTED_COMPRESSION_TYPE
    } else if asked.metrics.len() > max_bytes {
        ErrorCode::TELEMETRY_TOO_LARGE
    } else {
        shard.figures.telemetry_bytes += asked.metrics.len() as u64;
        ErrorCode::NONE
    };
    shard.figures.error(request.key, error_code);
    request.reply(&PushTelemetryResponse { error_code, ..Default::default() })
}

fn subscription<D: Disk>(shard: &Shard<D>, request: &Request, instance_id: Uuid) -> Subscription {
    let mut client =
        Client { instance_id, client_id: request.client_id.clone().unwrap_or_default(), ..Client::default() };
    if let Some(session) = shard.sessions.get(&request.slot.connection) {
        client.software_name = session.peer.software_name.clone();
        client.software_version = session.peer.software_version.clone();
        client.source_address = session.peer.address.ip().to_canonical().to_string();
        client.source_port = session.peer.address.port();
    }
    // Few clients ask, and rarely: compiling the patterns anew is cheaper than keeping them in step.
    Subscriptions::new(&shard.image).of(&client)
}
