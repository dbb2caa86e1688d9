//! The facts of every configuration: name, type, Kafka's default, valid values, and what it does here or why it does
//! nothing yet. Settings of Vltava's own have the prefix `vltava.` and belong in the file of their subject.

mod client_metrics;
mod cluster;
mod group;
mod groups;
mod log;
mod security;
mod server;
mod tiering;
mod topic;

use super::definition::Definition;

/// Configurations of the broker, by subject.
pub const BROKER: &[&[Definition]] =
    &[server::TABLE, log::TABLE, groups::TABLE, cluster::TABLE, security::TABLE, tiering::TABLE];
pub const TOPIC: &[&[Definition]] = &[topic::TABLE];
pub const GROUP: &[&[Definition]] = &[group::TABLE];
pub const CLIENT_METRICS: &[&[Definition]] = &[client_metrics::TABLE];

const CODECS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
const POLICIES: &[&str] = &["compact", "delete"];
const TIMESTAMP_TYPES: &[&str] = &["CreateTime", "LogAppendTime"];

// Why a configuration has no effect.
const THREADS: &str = "Not active: one thread for each core owns its connections and partitions; there are no pools.";
const JVM: &str = "Not active: it configures the Java broker, its plug-in classes or its metrics.";
const SECURITY: &str = "Not active: TLS, SASL and authorisation are not built yet; every listener is PLAINTEXT.";
const TRANSACTIONS: &str = "Not active: transactions are not built yet.";
const TIERING: &str = "Not active: tiered storage is not built yet.";
const GROUP_PROTOCOLS: &str = "Not active: consumer (KIP-848), share and streams groups are not built yet.";
const QUOTAS: &str = "Not active: quotas are not built yet.";
const CLEANER_RATE: &str = "Not active: compaction is not slowed down.";
const PURGATORY: &str = "Not active: waiting requests belong to their partition; there is no purgatory to purge.";
const COORDINATOR_BATCHES: &str = "Not active: a coordinator writes and loads its records in bounded pieces at once.";
const CLEANER_IO: &str = "Not active: compaction streams segments through buffers of a fixed size.";
const QUORUM: &str =
    "Not active: every node is a broker and a controller here, and its quorum does without this setting.";
const REPLICATION: &str = "Not active: replication does without this setting here.";
const DIRECTORIES: &str =
    "Not active: a directory that failed is told as soon as there is a controller, and all others get replicas.";
const QUEUE: &str = "Not active: requests wait in their connection, bounded by queued.max.request.bytes.";
