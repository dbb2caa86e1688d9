//! This node: who it is, where clients reach it, and its settings as they stand now.

use crate::seam::ConnId;
use crate::shard::Shard;
use log::Disk;
use metadata::config::Settings;
use types::{NodeId, Text, Uuid};

/// Where the server listens for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub name: Text,
    pub host: Text,
    pub port: u16,
}

/// What does not change while the process runs.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: NodeId,
    pub cluster_id: Text,
    /// Of the log directory with the metadata log.
    pub directory_id: Uuid,
    pub shards: u16,
    pub listeners: Vec<Listener>,
    /// What clients are told to connect to, where it is set; else they come back to where they came.
    pub advertised: Option<(Text, u16)>,
    pub rack: Option<Text>,
    /// What it calls itself where it asks other nodes.
    pub peer_name: Text,
}

/// A broker as one client can reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reachable {
    pub id: NodeId,
    pub host: Text,
    pub port: u16,
    pub rack: Option<Text>,
}

/// The settings of this broker under its dynamic configurations.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub values: Settings,
}

impl Live {
    pub fn unsigned(&self, name: &str) -> u64 {
        u64::try_from(self.values.i64(name)).unwrap_or(0)
    }

    pub fn describe_partitions_max(&self) -> usize {
        usize::try_from(self.unsigned("max.request.partition.size.limit")).unwrap_or(usize::MAX)
    }

    /// How often what time alone brings about is looked for: retention and compaction are one walk.
    pub fn maintenance_ms(&self) -> u64 {
        self.unsigned("log.retention.check.interval.ms").min(self.unsigned("log.cleaner.backoff.ms")).max(1)
    }

    pub fn group_config(&self) -> coordinator::group::Config {
        let int = |name: &str| i32::try_from(self.values.i64(name)).unwrap_or(i32::MAX);
        coordinator::group::Config {
            session_timeout_min_ms: int("group.min.session.timeout.ms"),
            session_timeout_max_ms: int("group.max.session.timeout.ms"),
            initial_rebalance_delay_ms: self.unsigned("group.initial.rebalance.delay.ms"),
            max_size: usize::try_from(self.unsigned("group.max.size")).unwrap_or(usize::MAX),
            offset_metadata_bytes_max: usize::try_from(self.unsigned("offset.metadata.max.bytes"))
                .unwrap_or(usize::MAX),
            offsets_retention_ms: self.values.i64("offsets.retention.minutes").saturating_mul(60_000),
            offsets_retention_check_interval_ms: self.unsigned("offsets.retention.check.interval.ms").max(1),
            ..coordinator::group::Config::default()
        }
    }

    /// How often recovery points are written down.
    pub fn checkpoint_ms(&self) -> u64 {
        self.unsigned("log.flush.offset.checkpoint.interval.ms").max(1)
    }

    pub fn telemetry_max_bytes(&self) -> i32 {
        i32::try_from(self.values.i64("telemetry.max.bytes")).unwrap_or(i32::MAX)
    }
}

impl<D: Disk> Shard<D> {
    /// The brokers that are alive, as the client of this connection can reach them.
    pub(crate) fn reachable_brokers(&self, connection: ConnId) -> Vec<Reachable> {
        self.as_reached(connection, metadata::Broker::is_alive)
    }

    /// As clients are to know them: also those that were alive a moment ago.
    pub(crate) fn known_brokers(&self, connection: ConnId) -> Vec<Reachable> {
        self.as_reached(connection, |broker| broker.is_alive() || self.left_lately(broker.id))
    }

    fn as_reached(&self, connection: ConnId, shown: impl Fn(&metadata::Broker) -> bool) -> Vec<Reachable> {
        let local = self.sessions.get(&connection).map(|session| session.peer.local);
        let own = |rack| {
            let (host, port) = match (&self.node.advertised, local) {
                (Some((host, port)), _) => (host.clone(), *port),
                (None, Some(local)) => (Text::from(local.ip().to_canonical().to_string()), local.port()),
                (None, None) => (Text::from_static("localhost"), 0),
            };
            Reachable { id: self.node.id, host, port, rack }
        };
        let mut brokers = Vec::new();
        for broker in self.image.brokers().filter(|broker| shown(broker)) {
            if broker.id == self.node.id {
                brokers.push(own(broker.rack.clone()));
            } else if let Some(endpoint) = broker.endpoints.first() {
                let (host, port) = (endpoint.host.clone(), endpoint.port);
                brokers.push(Reachable { id: broker.id, host, port, rack: broker.rack.clone() });
            }
        }
        // Before its own registration is committed a broker knows itself all the same.
        if !brokers.iter().any(|broker| broker.id == self.node.id) {
            brokers.push(own(self.node.rack.clone()));
        }
        brokers
    }

    /// The peer's address as Kafka shows it to people.
    pub(crate) fn client_host(&self, connection: ConnId) -> Text {
        let peer = self.sessions.get(&connection).map(|session| session.peer.address.ip().to_canonical());
        peer.map_or_else(Text::default, |ip| Text::from(format!("/{ip}")))
    }
}
