//! The second port: `/metrics` for Prometheus and `/health` for whoever starts and watches the broker.
//!
//! Runs on the first shard's thread; asks every shard for its figures by mail and never touches one directly.

use crate::buffers::Memory;
use crate::config::Config;
use crate::http_port::BoundedListener;
use crate::listen;
use crate::metrics::{self, Process};
use crate::shard::{Mail, Mailbox};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use broker::Observation;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long a shard may take to answer before the broker is called unhealthy.
const ANSWER_MAX: Duration = Duration::from_secs(2);
const PROMETHEUS_TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where figures come from.
struct Sources {
    shards: Vec<Mailbox>,
    memory: Arc<Memory>,
}

/// Opens the port. Where nobody asked for a certain one, a port that cannot be had is only a warning.
pub fn bind(config: &Config) -> Result<Option<TcpListener>, String> {
    let Some(http) = &config.http else { return Ok(None) };
    match listen::bind(&http.address.host, http.address.port, config.sockets) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if http.is_set => Err(format!("vltava.http.listen: cannot listen on {}: {error}", http.address)),
        Err(error) => {
            tracing::warn!("no /metrics and /health: cannot listen on {}: {error} (vltava.http.listen)", http.address);
            Ok(None)
        }
    }
}

/// Serves for as long as the process runs.
pub async fn serve(listener: TcpListener, shards: Vec<Mailbox>, memory: Arc<Memory>) {
    let router = Router::new()
        .route("/metrics", get(metrics_page))
        .route("/health", get(health_page))
        .with_state(Arc::new(Sources { shards, memory }));
    let served = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => axum::serve(BoundedListener::new(listener), router).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::error!("metrics and health are no longer served: {error}");
    }
}

async fn metrics_page(State(sources): State<Arc<Sources>>) -> impl IntoResponse {
    match observe(&sources.shards).await {
        Some(shards) => {
            let process = Process { request_memory_bytes: sources.memory.held() };
            (StatusCode::OK, [(header::CONTENT_TYPE, PROMETHEUS_TEXT)], metrics::text(shards, process))
        }
        None => (StatusCode::SERVICE_UNAVAILABLE, [(header::CONTENT_TYPE, "text/plain")], unhealthy()),
    }
}

async fn health_page(State(sources): State<Arc<Sources>>) -> impl IntoResponse {
    match observe(&sources.shards).await {
        Some(_) => (StatusCode::OK, String::from("healthy\n")),
        None => (StatusCode::SERVICE_UNAVAILABLE, unhealthy()),
    }
}

fn unhealthy() -> String {
    format!("a shard did not answer within {} ms\n", ANSWER_MAX.as_millis())
}

/// The figures of all shards, or none where one does not answer in time.
async fn observe(shards: &[Mailbox]) -> Option<Vec<Observation>> {
    let mut answers = Vec::new();
    for shard in shards {
        let (reply, answer) = oneshot::channel();
        shard.send(Mail::Observe { reply }).ok()?;
        answers.push(answer);
    }
    let mut observations = Vec::new();
    for answer in answers {
        observations.push(*timeout(ANSWER_MAX, answer).await.ok()?.ok()?);
    }
    Some(observations)
}
