//! Starting: from a log directory and settings to the shards of a broker.
//!
//! Everything here happens once, before the first input, and may wait for the disk: the directory's identity, what the
//! last run left, the metadata log, this broker's registration. The partitions' own logs are opened later, by jobs.

use crate::controller::Controlling;
use crate::node::{Listener, Node};
use crate::seam::Level;
use crate::shard::{Parts, Shard};
use log::checkpoint::{Offsets, decode_offsets};
use log::{Disk, Trust};
use metadata::config::Settings;
use metadata::controller::{Command, LastStop, Registration, SUPPORTED_FEATURES};
use metadata::{Broker, Endpoint};
use std::fmt;
use std::sync::Arc;
use types::{NodeId, Now, Rng, ShardId, Text, Uuid};

const META_PROPERTIES: &str = "meta.properties";
/// There after a clean stop only.
pub(crate) const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
/// The run of the operating system that this directory was last used in.
const LAST_BOOT: &str = ".vltava_boot";
pub(crate) const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
pub(crate) const START_OFFSETS: &str = "log-start-offset-checkpoint";
pub(crate) const CLEANED: &str = "cleaner-offset-checkpoint";
pub(crate) const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
/// A checkpoint of 100,000 partitions with the longest names fits.
const SMALL_FILE_BYTES_MAX: usize = 64 << 20;

/// What a broker starts from.
pub struct Start<D: Disk> {
    pub disk: D,
    pub settings: Settings,
    pub shards: u16,
    /// From the operating system's random source: ids are made with it.
    pub seed: u64,
    pub now: Now,
    pub listeners: Vec<Listener>,
    /// Where other nodes connect, where that is a place of its own.
    pub peer: Option<Listener>,
    /// The nodes that a new cluster begins with; none for a node that begins alone or joins.
    pub voters: Vec<(NodeId, Text, u16)>,
    /// Nodes of a running cluster, to be joined.
    pub join: Vec<(Text, u16)>,
}

/// A broker about to run: each shard gets `Input::Started` first.
pub struct Booted<D: Disk> {
    pub shards: Vec<Shard<D>>,
    pub node_id: NodeId,
    pub cluster_id: Text,
    /// For the operator.
    pub notes: Vec<(Level, String)>,
}

/// Why a broker cannot start; says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootError(pub String);

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BootError {}

/// What the last run left behind.
#[derive(Clone, Debug)]
pub(crate) struct LastRun {
    pub trust: Trust,
    pub recovery_points: Offsets,
    pub start_offsets: Offsets,
    pub cleaned: Offsets,
}

/// Makes the shards of a broker.
pub fn boot<D: Disk>(start: Start<D>) -> Result<Booted<D>, BootError> {
    let Start { disk, settings, shards, seed, now, listeners, peer, voters, join } = start;
    alone(settings.node_id(), &voters, &join)?;
    let mut rng = Rng::new(seed);
    let identity = identity(&disk, &settings, &mut rng)?;
    let last_run = last_run(&disk)?;
    let metadata = |reason| BootError(format!("the metadata log in {} cannot be used: {reason}", disk.describe("")));
    let mut controlling = Controlling::open(&disk, &settings, now, last_run.trust).map_err(metadata)?;
    let node = Node {
        id: identity.node_id,
        cluster_id: identity.cluster_id.clone(),
        directory_id: identity.directory_id,
        shards: shards.max(1),
        advertised: advertised(&settings)?,
        rack: settings.text("broker.rack").cloned(),
        listeners,
        peer,
    };
    let broker = registration(&node, controlling.end_offset().0, &mut rng);
    let last_stop = match last_run.trust {
        Trust::Stopped => LastStop::Clean,
        Trust::Killed => LastStop::Killed,
        Trust::PowerLost => LastStop::PowerLost,
    };
    let registration = Registration { broker, last_stop, replaces_living: false };
    controlling.decide_now(&Command::RegisterBroker(Box::new(registration)), now, &mut rng).map_err(metadata)?;
    mark_running(&disk)?;

    let mut notes = Vec::new();
    if last_run.trust == Trust::PowerLost && controlling.image().topic_count() > 0 {
        notes.push((
            Level::Warn,
            "the last run did not end cleanly: logs are checked from their recovery points".into(),
        ));
    }
    let image = Arc::new(controlling.image().clone());
    let (node, last_run) = (Arc::new(node), Arc::new(last_run));
    let mut controlling = Some(Box::new(controlling));
    let shards = (0..node.shards).map(|number| {
        Shard::new(Parts {
            me: ShardId(number),
            now,
            node: node.clone(),
            image: image.clone(),
            given: settings.clone(),
            last_run: last_run.clone(),
            disk: disk.clone(),
            seed: rng.next_u64(),
            controlling: controlling.take(),
        })
    });
    Ok(Booted { shards: shards.collect(), node_id: identity.node_id, cluster_id: identity.cluster_id, notes })
}

/// A quorum of several nodes is not there: to serve alone what was meant to be shared would make as many clusters as
/// there are nodes.
fn alone(me: NodeId, voters: &[(NodeId, Text, u16)], join: &[(Text, u16)]) -> Result<(), BootError> {
    let others = voters.iter().filter(|(id, ..)| *id != me).count() + join.len();
    if others > 0 {
        let message = "clusters of several nodes are not there yet: start without --voters and --join".to_owned();
        return Err(BootError(message));
    }
    Ok(())
}

/// Who this log directory belongs to.
struct Identity {
    node_id: NodeId,
    cluster_id: Text,
    directory_id: Uuid,
}

/// Reads `meta.properties`, or makes it in a new directory.
fn identity<D: Disk>(disk: &D, settings: &Settings, rng: &mut Rng) -> Result<Identity, BootError> {
    let node_id = settings.node_id();
    if !disk.exists(META_PROPERTIES) {
        let identity =
            Identity { node_id, cluster_id: Uuid::random(rng).to_string().into(), directory_id: Uuid::random(rng) };
        let text = format!(
            "version=1\ncluster.id={}\nnode.id={}\ndirectory.id={}\n",
            identity.cluster_id, identity.node_id, identity.directory_id
        );
        disk.write_small(META_PROPERTIES, text.as_bytes(), true).map_err(|error| BootError(error.message))?;
        return Ok(identity);
    }
    let path = disk.describe(META_PROPERTIES);
    let bytes = disk.read_small(META_PROPERTIES, SMALL_FILE_BYTES_MAX).map_err(|error| BootError(error.message))?;
    let text = String::from_utf8_lossy(&bytes);
    let property = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(str::trim).ok_or_else(|| BootError(format!("{path} has no {name}")))
    };
    let known = property("node.id")?;
    if known != node_id.to_string() {
        let message = format!(
            "{path} belongs to node {known}, but this node's id is {node_id}: start with --node-id {known}, \
             or with another --data-dir"
        );
        return Err(BootError(message));
    }
    let directory_id = property("directory.id").ok().and_then(Uuid::parse).unwrap_or_else(|| Uuid::random(rng));
    Ok(Identity { node_id, cluster_id: Text::from(property("cluster.id")?), directory_id })
}

fn last_run<D: Disk>(disk: &D) -> Result<LastRun, BootError> {
    let read = |name: &str| match disk.exists(name) {
        true => disk.read_small(name, SMALL_FILE_BYTES_MAX).map_err(|error| BootError(error.message)),
        false => Ok(Vec::new()),
    };
    let boot = read(LAST_BOOT)?;
    let trust = if boot != disk.boot_id().to_string().as_bytes() {
        Trust::PowerLost
    } else if disk.exists(CLEAN_SHUTDOWN) {
        Trust::Stopped
    } else {
        Trust::Killed
    };
    // A checkpoint that cannot be read is as good as none: more is scanned.
    let recovery_points = decode_offsets(&read(RECOVERY_POINTS)?).unwrap_or_default();
    let start_offsets = decode_offsets(&read(START_OFFSETS)?).unwrap_or_default();
    let cleaned = decode_offsets(&read(CLEANED)?).unwrap_or_default();
    Ok(LastRun { trust, recovery_points, start_offsets, cleaned })
}

/// From here on a crash is a crash: the mark of a clean stop goes before anything is written.
fn mark_running<D: Disk>(disk: &D) -> Result<(), BootError> {
    disk.remove(CLEAN_SHUTDOWN).map_err(|error| BootError(error.message))
}

/// What a power loss left is recovered and durable: from here on the page cache is trusted. Before, a start that comes
/// after this one must not trust it either. Not durable: where it is lost the next start trusts less.
pub(crate) fn mark_recovered<D: Disk>(disk: &D) -> Result<(), log::DiskError> {
    disk.write_small(LAST_BOOT, disk.boot_id().to_string().as_bytes(), false)
}

fn registration(node: &Node, epoch: i64, rng: &mut Rng) -> Broker {
    let endpoint = |listener: &Listener| Endpoint {
        name: listener.name.clone(),
        host: node.advertised.as_ref().map_or_else(|| listener.host.clone(), |(host, _)| host.clone()),
        port: node.advertised.as_ref().map_or(listener.port, |(_, port)| *port),
        security_protocol: 0,
    };
    Broker {
        id: node.id,
        epoch,
        incarnation: Uuid::random(rng),
        endpoints: node.listeners.iter().map(endpoint).collect(),
        features: SUPPORTED_FEATURES.iter().map(|(name, min, max)| (Text::from_static(name), *min, *max)).collect(),
        rack: node.rack.clone(),
        fenced: false,
        in_controlled_shutdown: false,
        directories: vec![node.directory_id],
        cordoned_directories: Vec::new(),
    }
}

/// The first of `advertised.listeners` that is for clients, as `NAME://host:port`.
fn advertised(settings: &Settings) -> Result<Option<(Text, u16)>, BootError> {
    let is_controllers = |entry: &&Text| {
        let name = entry.split_once("://").map_or("", |(name, _)| name);
        settings.list("controller.listener.names").iter().any(|controller| **controller == *name)
    };
    let Some(first) = settings.list("advertised.listeners").iter().find(|entry| !is_controllers(entry)) else {
        return Ok(None);
    };
    let bad = || BootError(format!("advertised.listeners={first} is not NAME://host:port"));
    let address = first.split_once("://").map_or(first.as_str(), |(_, address)| address);
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(bad());
    }
    Ok(Some((Text::from(host), port.parse().map_err(|_| bad())?)))
}
