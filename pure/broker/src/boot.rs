//! Starting: from a log directory and settings to the shards of a broker.
//!
//! Everything here happens once, before the first input, and may wait for the disk: the directory's identity, what the
//! last run left, the metadata log, this broker's registration. The partitions' own logs are opened later, by jobs.

use crate::apply::{put_aside, topic_of_folder};
use crate::checkpoint::CheckpointRow;
use crate::controller::Controlling;
use crate::directories::{Directory, HOME, Missing};
use crate::lifecycle::Lifecycle;
use crate::node::{Listener, Node};
use crate::office::Office;
use crate::seam::Level;
use crate::shard::{Parts, Shard};
use log::checkpoint::{Offsets, decode_offsets};
use log::{Disk, Trust};
use metadata::config::Settings;
use metadata::controller::{LastStop, SUPPORTED_FEATURES};
use metadata::names::CLUSTER_METADATA;
use metadata::{Broker, Endpoint, Image};
use quorum::Quorum;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;
use types::{NodeId, Now, Offset, Rng, ShardId, Text, TopicId, TopicPartition, Uuid};

const META_PROPERTIES: &str = "meta.properties";
/// There after a clean stop only.
pub(crate) const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
/// The ids of all log directories by their paths: one that is missing is not one that is gone.
const DIRECTORIES: &str = ".vltava_directories";
/// The run of the operating system that this directory was last used in.
const LAST_BOOT: &str = ".vltava_boot";
pub(crate) const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
pub(crate) const START_OFFSETS: &str = "log-start-offset-checkpoint";
pub(crate) const CLEANED: &str = "cleaner-offset-checkpoint";
pub(crate) const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
/// The ids of the topics that the checkpoints are of, which name them only: a deleted topic's name may be another's now.
pub(crate) const TOPICS: &str = ".vltava_topics";
/// A checkpoint of 100,000 partitions with the longest names fits.
const SMALL_FILE_BYTES_MAX: usize = 64 << 20;

/// What a broker starts from.
pub struct Start<D: Disk> {
    /// The log directories, with the reason those that cannot be used. The one with the metadata log must be there.
    pub disks: Vec<Result<D, Missing>>,
    pub settings: Settings,
    pub shards: u16,
    /// From the operating system's random source: ids are made with it.
    pub seed: u64,
    pub now: Now,
    pub listeners: Vec<Listener>,
    /// Where other nodes reach this one, if not at the first of the listeners.
    pub peer: Option<Listener>,
    /// Who votes in a new cluster: id, host and port of each, this node among them. None: this node alone.
    pub voters: Vec<(NodeId, Text, u16)>,
    /// Nodes of a cluster that this one joins.
    pub join: Vec<(Text, u16)>,
    /// The id of the cluster that is joined; needed where the directories are new (`ask_cluster_id`).
    pub join_cluster_id: Option<Text>,
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

/// What the last run left behind in one directory.
#[derive(Clone, Debug)]
pub(crate) struct LastRun {
    pub trust: Trust,
    recovery_points: Offsets,
    start_offsets: Offsets,
    cleaned: Offsets,
    high_watermarks: Offsets,
    /// None where it was not this broker that wrote the checkpoints, but Kafka.
    topics: Option<BTreeMap<Text, TopicId>>,
}

/// Makes the shards of a broker.
pub fn boot<D: Disk>(start: Start<D>) -> Result<Booted<D>, BootError> {
    let mut rng = Rng::new(start.seed);
    let (settings, now) = (start.settings.clone(), start.now);
    let Opened { identity, directories, last_stop, mut notes } = open_directories(&start, &mut rng)?;
    let trust = directories[HOME].last_run.trust;
    let disk = directories[HOME].disk.clone().expect("the home is there");
    let node = Node {
        id: identity.node_id,
        cluster_id: identity.cluster_id.clone(),
        directory_id: identity.directory_id,
        shards: start.shards.max(1),
        advertised: advertised(&settings)?,
        rack: settings.text("broker.rack").cloned(),
        peer_name: Text::from(format!("vltava-node-{}", identity.node_id)),
        listeners: start.listeners.clone(),
    };
    let broker = registration(&node, &directories, &mut rng);
    let metadata = |reason| BootError(format!("the metadata log in {} cannot be used: {reason}", disk.describe("")));
    let config = quorum_config(&start, &node);
    let quorum_rng = Rng::new(rng.next_u64());
    let quorum = Quorum::open(disk.clone(), config, now, trust, quorum_rng).map_err(metadata)?;
    let mut controlling = Controlling::new(quorum, node.id, broker.incarnation);
    let mut life = Lifecycle::new(broker, last_stop, identity.is_new && joins_quorum(&start));
    let mut told = Vec::new();
    let alone = controlling.settle_alone(now, &settings, &mut told).map_err(metadata)?;
    if alone {
        let epoch =
            controlling.register_alone(now, &settings, life.registration_alone(), &mut rng).map_err(metadata)?;
        life.registered_alone(epoch);
    }
    notes.extend(told.into_iter().map(|text| (Level::Info, text)));
    if trust == Trust::PowerLost && controlling.image().topic_count() > 0 {
        notes.push((
            Level::Warn,
            "the last run did not end cleanly: logs are checked from their recovery points".into(),
        ));
    }
    let image = Arc::new(if alone { controlling.show_alone() } else { Image::default() });
    let office = alone.then(|| Office { holder: node.id, epoch: controlling.quorum.epoch().0, address: None });
    let (node, directories) = (Arc::new(node), Arc::new(directories));
    let mut front = Some((Box::new(controlling), Box::new(life)));
    let shards = (0..node.shards).map(|number| {
        let (controlling, lifecycle) = front.take().unzip();
        Shard::new(Parts {
            me: ShardId(number),
            now,
            node: node.clone(),
            image: image.clone(),
            image_known: alone,
            office: office.clone(),
            given: settings.clone(),
            directories: directories.clone(),
            seed: rng.next_u64(),
            controlling,
            lifecycle,
        })
    });
    Ok(Booted { shards: shards.collect(), node_id: identity.node_id, cluster_id: identity.cluster_id, notes })
}

/// The log directories of a node that starts; the home is the first.
struct Opened<D: Disk> {
    identity: Identity,
    directories: Vec<Directory<D>>,
    last_stop: LastStop,
    notes: Vec<(Level, String)>,
}

fn open_directories<D: Disk>(start: &Start<D>, rng: &mut Rng) -> Result<Opened<D>, BootError> {
    let home = home(&start.disks)?;
    let disk = start.disks[home].clone().map_err(|missing| BootError(missing.reason))?;
    let identity = identity(start, &disk, rng)?;
    let home_run = last_run(&disk).map_err(|error| BootError(error.message))?;
    mark_running(&disk).map_err(|error| BootError(error.message))?;
    let path = Text::from(disk.describe(""));
    let mut last_stop = last_stop(home_run.trust);
    let mut directories =
        vec![Directory { id: identity.directory_id, path, disk: Some(disk.clone()), last_run: home_run }];
    let mut notes = Vec::new();
    let known = read_ids(&disk, DIRECTORIES).unwrap_or_default();
    for (_, other) in start.disks.iter().enumerate().filter(|(at, _)| *at != home) {
        let attached = attach(other.clone(), &identity, &known, rng)?;
        match attached.missing {
            Some(missing) => notes.push((Level::Error, format!("a log directory is offline: {}", missing.reason))),
            None if attached.is_new => {}
            // What is said of a node is true of all its directories.
            None => last_stop = last_stop.max(self::last_stop(attached.directory.last_run.trust)),
        }
        directories.push(attached.directory);
    }
    check_ids(&directories)?;
    for directory in directories.iter().filter(|known| known.last_run.trust == Trust::PowerLost) {
        let Some(disk) = &directory.disk else { continue };
        notes.extend(nameless(disk).iter().map(|folder| put_aside(disk, folder, rng.next_u64())));
    }
    write_directories(&disk, &directories, &known).map_err(|error| BootError(error.message))?;
    Ok(Opened { identity, directories, last_stop, notes })
}

/// The folders of partitions that do not say of which topic. A power loss can take that, as long as no sync has covered
/// anything in them: they may be what a deleted topic left, and a later one of that name must not take them for its own. A
/// disk that does not answer is left to the opening of its logs, which says what is wrong with it.
fn nameless<D: Disk>(disk: &D) -> Vec<String> {
    let mut folders = disk.list("").unwrap_or_default();
    folders.retain(|folder| {
        let (topic, index) = folder.rsplit_once('-').unwrap_or_default();
        topic != CLUSTER_METADATA && index.parse::<u32>().is_ok() && topic_of_folder(disk, folder) == Ok(None)
    });
    folders
}

/// Whether a new node asks to vote by itself: where it joins a cluster, unless the operator says otherwise.
fn joins_quorum<D: Disk>(start: &Start<D>) -> bool {
    let name = "controller.quorum.auto.join.enable";
    !start.join.is_empty() && (!start.settings.is_set(name) || start.settings.boolean(name))
}

/// The address that other nodes are told to reach this one at.
fn peer_endpoint<D: Disk>(start: &Start<D>) -> quorum::Endpoint {
    let own = start.voters.iter().find(|(id, ..)| *id == start.settings.node_id());
    match (own, start.peer.as_ref().or(start.listeners.first())) {
        (Some((_, host, port)), _) => quorum::Endpoint { host: host.clone(), port: *port },
        (None, Some(listener)) => quorum::Endpoint { host: listener.host.clone(), port: listener.port },
        (None, None) => quorum::Endpoint { host: Text::from_static("localhost"), port: 0 },
    }
}

fn quorum_config<D: Disk>(start: &Start<D>, node: &Node) -> quorum::Config {
    let ms = |name: &str| u64::try_from(start.settings.i64(name)).unwrap_or(1).max(1);
    let mut config = quorum::Config::new(node.id, node.directory_id, node.cluster_id.clone(), peer_endpoint(start));
    let voter = |(id, host, port): &(NodeId, Text, u16)| quorum::Voter {
        id: *id,
        directory: if *id == node.id { node.directory_id } else { Uuid::ZERO },
        endpoint: quorum::Endpoint { host: host.clone(), port: *port },
    };
    config.voters = start.voters.iter().map(voter).collect();
    if config.voters.is_empty() && start.join.is_empty() {
        let endpoint = config.endpoint.clone();
        config.voters = vec![quorum::Voter { id: node.id, directory: node.directory_id, endpoint }];
    }
    config.bootstrap =
        start.join.iter().map(|(host, port)| quorum::Endpoint { host: host.clone(), port: *port }).collect();
    config.election_timeout_ms = ms("controller.quorum.election.timeout.ms");
    config.fetch_timeout_ms = ms("controller.quorum.fetch.timeout.ms");
    config.election_backoff_max_ms = ms("controller.quorum.election.backoff.max.ms");
    config.request_timeout_ms = ms("controller.quorum.request.timeout.ms");
    config.retry_backoff_ms = ms("controller.quorum.retry.backoff.ms");
    config.fetch_bytes_max = u32::try_from(ms("controller.quorum.fetch.max.bytes")).unwrap_or(u32::MAX);
    config.segment_bytes = u32::try_from(ms("metadata.log.segment.bytes")).unwrap_or(u32::MAX);
    config
}

/// The directory with the metadata log, or the first one of a new node. One that cannot be read may be it: beginning
/// another log then would make this node forget its cluster.
fn home<D: Disk>(disks: &[Result<D, Missing>]) -> Result<usize, BootError> {
    let folder = format!("{CLUSTER_METADATA}-0");
    let has_log = |disk: &Result<D, Missing>| disk.as_ref().is_ok_and(|disk| disk.exists(&folder));
    if let Some(at) = disks.iter().position(has_log) {
        return Ok(at);
    }
    match disks.iter().find_map(|disk| disk.as_ref().err()) {
        Some(missing) => Err(BootError(missing.reason.clone())),
        None => Ok(HOME),
    }
}

/// A directory besides the home, and whether it is new.
struct Attached<D: Disk> {
    directory: Directory<D>,
    is_new: bool,
    missing: Option<Missing>,
}

/// Opens a directory besides the home. One whose disk fails is offline; one of another node or cluster is a mistake.
fn attach<D: Disk>(
    disk: Result<D, Missing>,
    home: &Identity,
    known: &BTreeMap<Text, Uuid>,
    rng: &mut Rng,
) -> Result<Attached<D>, BootError> {
    let offline = |missing: Missing| {
        let id = known.get(&missing.path).copied().unwrap_or(Uuid::ZERO);
        let directory = Directory { id, path: missing.path.clone(), disk: None, last_run: LastRun::none() };
        Attached { directory, is_new: false, missing: Some(missing) }
    };
    let disk = match disk {
        Ok(disk) => disk,
        Err(missing) => return Ok(offline(missing)),
    };
    let path = Text::from(disk.describe(""));
    let is_new = !disk.exists(META_PROPERTIES);
    let own = if is_new {
        let own = Identity { directory_id: Uuid::random(rng), ..home.clone() };
        own.write(&disk).map(|()| Ok(own))
    } else {
        read_properties(&disk).map(|text| Identity::parse(&text, &disk, home.node_id, rng))
    };
    let opened = own.and_then(|own| {
        let last_run = last_run(&disk)?;
        mark_running(&disk)?;
        Ok((own, last_run))
    });
    match opened {
        Err(error) => Ok(offline(Missing { path, reason: error.message })),
        Ok((own, last_run)) => {
            let own = own?;
            if own.cluster_id != home.cluster_id {
                let (known, ours) = (own.cluster_id, &home.cluster_id);
                return Err(BootError(format!(
                    "{path} belongs to cluster {known}, but this node is of cluster {ours}"
                )));
            }
            let directory = Directory { id: own.directory_id, path, disk: Some(disk), last_run };
            Ok(Attached { directory, is_new, missing: None })
        }
    }
}

/// What a file says that has `ID NAME` in each line; none where it is not there.
fn read_ids<D: Disk>(disk: &D, name: &str) -> Option<BTreeMap<Text, Uuid>> {
    let bytes = disk.read_small(name, SMALL_FILE_BYTES_MAX).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let pairs = text.lines().filter_map(|line| {
        let (id, name) = line.split_once(' ')?;
        Some((Text::from(name), Uuid::parse(id)?))
    });
    Some(pairs.collect())
}

pub(crate) fn encode_ids(ids: &BTreeMap<Text, Uuid>) -> Vec<u8> {
    ids.iter().map(|(name, id)| format!("{id} {name}\n")).collect::<String>().into_bytes()
}

/// Written where there is more than the home, and where something has changed.
fn write_directories<D: Disk>(
    home: &D,
    directories: &[Directory<D>],
    known: &BTreeMap<Text, Uuid>,
) -> Result<(), log::DiskError> {
    let ids = directories.iter().filter(|directory| !directory.id.is_zero());
    let now: BTreeMap<Text, Uuid> = ids.map(|directory| (directory.path.clone(), directory.id)).collect();
    if now == *known || (known.is_empty() && directories.len() == 1) {
        return Ok(());
    }
    home.write_small(DIRECTORIES, &encode_ids(&now), true)
}

fn check_ids<D: Disk>(directories: &[Directory<D>]) -> Result<(), BootError> {
    for (at, directory) in directories.iter().enumerate() {
        let twin = directories[..at].iter().find(|other| other.id == directory.id && !directory.id.is_zero());
        if let Some(twin) = twin {
            let (one, other) = (&twin.path, &directory.path);
            return Err(BootError(format!(
                "{one} and {other} are the same log directory: a directory must not be copied, for its id goes with it"
            )));
        }
    }
    Ok(())
}

fn last_stop(trust: Trust) -> LastStop {
    match trust {
        Trust::Stopped => LastStop::Clean,
        Trust::Killed => LastStop::Killed,
        Trust::PowerLost => LastStop::PowerLost,
    }
}

/// Who this log directory belongs to.
#[derive(Clone)]
struct Identity {
    node_id: NodeId,
    cluster_id: Text,
    directory_id: Uuid,
    /// Made at this start.
    is_new: bool,
}

impl Identity {
    fn write<D: Disk>(&self, disk: &D) -> Result<(), log::DiskError> {
        let text = format!(
            "version=1\ncluster.id={}\nnode.id={}\ndirectory.id={}\n",
            self.cluster_id, self.node_id, self.directory_id
        );
        disk.write_small(META_PROPERTIES, text.as_bytes(), true)
    }

    fn parse<D: Disk>(text: &str, disk: &D, node_id: NodeId, rng: &mut Rng) -> Result<Identity, BootError> {
        let path = disk.describe(META_PROPERTIES);
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
        Ok(Identity { node_id, cluster_id: Text::from(property("cluster.id")?), directory_id, is_new: false })
    }
}

fn read_properties<D: Disk>(disk: &D) -> Result<String, log::DiskError> {
    let bytes = disk.read_small(META_PROPERTIES, SMALL_FILE_BYTES_MAX)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads `meta.properties` of the home, or makes it in a new directory.
fn identity<D: Disk>(start: &Start<D>, disk: &D, rng: &mut Rng) -> Result<Identity, BootError> {
    let node_id = start.settings.node_id();
    if !disk.exists(META_PROPERTIES) {
        let cluster_id = match &start.join_cluster_id {
            Some(joined) => joined.clone(),
            None => new_cluster_id(&start.voters, rng),
        };
        let identity = Identity { node_id, cluster_id, directory_id: Uuid::random(rng), is_new: true };
        identity.write(disk).map_err(|error| BootError(error.message))?;
        return Ok(identity);
    }
    let text = read_properties(disk).map_err(|error| BootError(error.message))?;
    Identity::parse(&text, disk, node_id, rng)
}

/// A new cluster's id. The first voters of one start with empty directories and must agree on it before they have said a
/// word to each other, so it follows from who and where they are.
fn new_cluster_id(voters: &[(NodeId, Text, u16)], rng: &mut Rng) -> Text {
    if voters.len() < 2 {
        return Uuid::random(rng).to_string().into();
    }
    let mut sorted: Vec<String> = voters.iter().map(|(id, host, port)| format!("{id}@{host}:{port}")).collect();
    sorted.sort();
    let mut hasher = types::FixedHasher::default();
    hasher.write(sorted.join(",").as_bytes());
    Uuid::random(&mut Rng::new(hasher.finish())).to_string().into()
}

impl LastRun {
    /// Of a directory that cannot be read.
    fn none() -> LastRun {
        let none = Offsets::new;
        let (recovery_points, start_offsets, cleaned, high_watermarks) = (none(), none(), none(), none());
        LastRun { trust: Trust::PowerLost, recovery_points, start_offsets, cleaned, high_watermarks, topics: None }
    }

    /// What it knew of a partition in this directory.
    pub fn row(&self, directory: usize, topic: &Text, partition: TopicPartition) -> CheckpointRow {
        let key = (topic.clone(), partition.partition);
        let is_its = self.topics.as_ref().is_none_or(|topics| topics.get(topic) == Some(&partition.topic));
        let known = |offsets: &Offsets| offsets.get(&key).copied().filter(|_| is_its).unwrap_or(Offset::ZERO);
        CheckpointRow {
            directory,
            recovery_point: known(&self.recovery_points),
            log_start_offset: known(&self.start_offsets),
            high_watermark: known(&self.high_watermarks),
            cleaned_to: known(&self.cleaned),
            topic: topic.clone(),
            partition,
        }
    }
}

fn last_run<D: Disk>(disk: &D) -> Result<LastRun, log::DiskError> {
    let read = |name: &str| match disk.exists(name) {
        true => disk.read_small(name, SMALL_FILE_BYTES_MAX),
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
    let high_watermarks = decode_offsets(&read(HIGH_WATERMARKS)?).unwrap_or_default();
    let topics = read_ids(disk, TOPICS);
    Ok(LastRun { trust, recovery_points, start_offsets, cleaned, high_watermarks, topics })
}

/// From here on a crash is a crash: the mark of a clean stop goes before anything is written.
fn mark_running<D: Disk>(disk: &D) -> Result<(), log::DiskError> {
    disk.remove(CLEAN_SHUTDOWN)
}

/// What a power loss left is recovered and durable: from here on the page cache is trusted. Before, a start that comes
/// after this one must not trust it either. Not durable: where it is lost the next start trusts less.
pub(crate) fn mark_recovered<D: Disk>(disk: &D) -> Result<(), log::DiskError> {
    disk.write_small(LAST_BOOT, disk.boot_id().to_string().as_bytes(), false)
}

fn registration<D: Disk>(node: &Node, directories: &[Directory<D>], rng: &mut Rng) -> Broker {
    let endpoint = |listener: &Listener| Endpoint {
        name: listener.name.clone(),
        host: node.advertised.as_ref().map_or_else(|| listener.host.clone(), |(host, _)| host.clone()),
        port: node.advertised.as_ref().map_or(listener.port, |(_, port)| *port),
        security_protocol: 0,
    };
    Broker {
        id: node.id,
        epoch: -1,
        incarnation: Uuid::random(rng),
        endpoints: node.listeners.iter().map(endpoint).collect(),
        features: SUPPORTED_FEATURES.iter().map(|(name, min, max)| (Text::from_static(name), *min, *max)).collect(),
        rack: node.rack.clone(),
        fenced: true,
        in_controlled_shutdown: false,
        directories: directories.iter().map(|known| known.id).filter(|id| !id.is_zero()).collect(),
        cordoned_directories: Vec::new(),
    }
}

/// Whether a node with these log directories has never run.
pub fn is_new<D: Disk>(disks: &[Result<D, Missing>]) -> bool {
    home(disks).is_ok_and(|home| disks[home].as_ref().is_ok_and(|disk| !disk.exists(META_PROPERTIES)))
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
