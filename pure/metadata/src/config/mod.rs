//! Every configuration that Kafka 4.3 knows, by kind of resource: one registry for the server's settings, for
//! DescribeConfigs, for the validation of changes and for the values that a log enforces.
//!
//! Owns names, types, defaults, validation and where a value came from. Must never know files, the command line or
//! the environment that settings came from, nor the wire.

mod definition;
mod describe;
mod resource;
mod settings;
mod table;
mod throttled;
mod topic;
mod validate;

pub(crate) use definition::split;
pub use definition::{Definition, Kind, Status, UpdateMode, Valid, Value};
pub(crate) use describe::topic_entries;
pub use describe::{ConfigEntry, Synonym, describe};
pub use resource::{Overrides, Resource, ResourceKind, Source};
pub use settings::Settings;
pub use throttled::ThrottledReplicas;
pub use topic::{CleanupPolicy, Compression, TopicConfig};
pub use validate::{Operation, alter, replace, validate};

/// A default that differs from Kafka's, and why.
#[derive(Clone, Copy, Debug)]
pub struct OurDefault {
    pub name: &'static str,
    pub value: &'static str,
    pub why: &'static str,
}

const fn ours(name: &'static str, value: &'static str, why: &'static str) -> OurDefault {
    OurDefault { name, value, why }
}

/// Every default that differs from Kafka's. (`offsets.topic.replication.factor` keeps its 3; the topic is created
/// with fewer replicas where there are fewer brokers.)
pub const OUR_DEFAULTS: &[OurDefault] = &[
    ours("controller.listener.names", "CONTROLLER", "required in Kafka; here a node needs no configuration"),
    ours("group.coordinator.rebalance.protocols", "classic", "the other group protocols are not built yet"),
    ours("group.initial.rebalance.delay.ms", "250", "twelve times sooner, yet clients know their topics by then"),
    ours("log.dir", definition::NULL, "the server chooses a directory that survives a reboot, never one under /tmp"),
    ours("log.retention.check.interval.ms", "30000", "the check is cheap here, so retention acts ten times sooner"),
    ours("node.id", "1", "required in Kafka; here a node needs no configuration"),
    ours("process.roles", "broker,controller", "required in Kafka; here every node is both"),
    ours("queued.max.request.bytes", "134217728", "memory for requests is always bounded"),
    ours("socket.listen.backlog.size", "1024", "a burst of connections is not delayed by a resent SYN"),
    ours("socket.receive.buffer.bytes", "-1", "the operating system sizes buffers by the connection"),
    ours("socket.send.buffer.bytes", "-1", "the operating system sizes buffers by the connection"),
];

/// All configurations of a kind of resource.
pub fn definitions(kind: ResourceKind) -> impl Iterator<Item = &'static Definition> {
    let tables: &[&[Definition]] = match kind {
        ResourceKind::Broker => table::BROKER,
        ResourceKind::Topic => table::TOPIC,
        ResourceKind::Group => table::GROUP,
        ResourceKind::ClientMetrics => table::CLIENT_METRICS,
        ResourceKind::BrokerLogger => &[],
    };
    tables.iter().copied().flatten()
}

#[must_use]
pub fn find(kind: ResourceKind, name: &str) -> Option<&'static Definition> {
    definitions(kind).find(|known| known.name == name)
}

/// The known name that a user most likely meant: the one fewest edits away, if those are few for its length.
#[must_use]
pub fn nearest(kind: ResourceKind, name: &str) -> Option<&'static str> {
    let close = definitions(kind).filter(|known| known.name.len().abs_diff(name.len()) <= name.len() / 3 + 1);
    let (edits, nearest) = close.map(|known| (strsim::levenshtein(name, known.name), known.name)).min()?;
    (edits <= name.len() / 3 + 1).then_some(nearest)
}

#[cfg(test)]
mod tests;
