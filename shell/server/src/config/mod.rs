//! What this broker is told: the command line, the environment and a file of Kafka's names become one checked `Config`.
//!
//! Names, types, defaults and suggestions are the registry's (`broker::config`); this module owns places, addresses and
//! directories.

mod address;
mod given;
mod properties;
mod quorum;

pub use address::Address;

use crate::limits::ConnectionLimits;
use crate::listen::{SocketOptions, primary_address};
use crate::logging::Format;
use crate::platform;
use broker::config::Settings;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How far above the port of the first listener metrics are served where nothing else is set: several brokers on one
/// machine then do not get in each other's way.
const HTTP_PORT_STEP: u16 = 10_000;

/// What the command line says. All of it may be left out.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub node_id: Option<i32>,
    pub listen: Option<String>,
    pub peer_listen: Option<String>,
    pub voters: Option<String>,
    pub join: Option<String>,
    pub data_dir: Option<PathBuf>,
    pub config: Option<PathBuf>,
    /// `key=value`, strongest of all.
    pub set: Vec<String>,
}

/// Everything a broker needs to start.
#[derive(Clone, Debug)]
pub struct Config {
    pub settings: Settings,
    pub listeners: Vec<Listener>,
    /// Where other nodes connect, where that is a place of its own; every listener serves them.
    pub peer: Option<Listener>,
    /// The nodes that a new cluster begins with.
    pub voters: Vec<(i32, Address)>,
    /// Nodes of a cluster that runs, to be joined.
    pub join: Vec<Address>,
    pub data_dirs: Vec<PathBuf>,
    /// None where nothing is to be served there.
    pub http: Option<Http>,
    pub limits: ConnectionLimits,
    pub sockets: SocketOptions,
    pub request_bytes_max: usize,
    pub queued_bytes_max: usize,
    pub idle_max: Option<Duration>,
    /// One for each core where it is not set.
    pub shards: Option<u16>,
    /// Whether SIGTERM and SIGINT stop the broker.
    pub signals: bool,
    pub log_format: Format,
    /// What was given and has no effect: one sentence each.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub name: String,
    pub address: Address,
}

impl Listener {
    pub fn bound(&self, address: SocketAddr) -> broker::Listener {
        let host = &self.address.host;
        let is_every = host.is_empty() || host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
        let host = if is_every { primary_address().to_string() } else { host.clone() };
        broker::Listener { name: self.name.as_str().into(), host: host.into(), port: address.port() }
    }
}

/// Where metrics and health are served.
#[derive(Clone, Debug)]
pub struct Http {
    pub address: Address,
    /// Somebody asked for it, so that it is an error where it cannot be had.
    pub is_set: bool,
}

impl Config {
    /// Reads everything that was given; the error lists every problem, each with its place.
    pub fn read(options: &Options, environment: &[(String, String)]) -> Result<Config, Vec<String>> {
        let given = given::gather(options, environment)?;
        let settings = Settings::read(given.iter().map(|given| (given.name.as_str(), given.value.as_str())))?;
        let idle = |(name, why): (&str, &'static str)| {
            let why = why.strip_prefix("Not active: ").unwrap_or(why);
            format!("{name} is accepted and has no effect: {why}")
        };
        let mut notes: Vec<String> = settings.inactive().map(idle).collect();
        let (listeners, controllers) = listeners(&settings).map_err(|problem| vec![problem])?;
        let peer = quorum::peer(options, controllers).map_err(|problem| vec![problem])?;
        let voters = quorum::voters(&settings)?;
        let join = quorum::join(&settings)?;
        notes.extend(quorum::misplaced(&settings, &voters, listeners.iter().chain(&peer)));
        let http = http(&settings, &listeners).map_err(|problem| vec![problem])?;
        let data_dirs = data_dirs(&settings, environment).map_err(|problem| vec![problem])?;
        Ok(Config {
            listeners,
            peer,
            voters,
            join,
            data_dirs,
            http,
            limits: limits(&settings).map_err(|problem| vec![problem])?,
            sockets: sockets(&settings),
            request_bytes_max: bytes(&settings, "socket.request.max.bytes").unwrap_or(usize::MAX),
            queued_bytes_max: bytes(&settings, "queued.max.request.bytes").unwrap_or(usize::MAX),
            idle_max: u64::try_from(settings.i64("connections.max.idle.ms")).ok().map(Duration::from_millis),
            shards: None,
            signals: false,
            log_format: log_format(&settings).map_err(|problem| vec![problem])?,
            notes,
            settings,
        })
    }

    /// The listeners as other nodes find them: at the ports they really have, and at this machine's primary address
    /// where they listen at every address.
    #[must_use]
    pub fn bound(&self, addresses: &[SocketAddr]) -> Vec<broker::Listener> {
        self.listeners.iter().zip(addresses).map(|(listener, address)| listener.bound(*address)).collect()
    }
}

/// The listeners for clients, and those of `controller.listener.names`.
fn listeners(settings: &Settings) -> Result<(Vec<Listener>, Vec<Listener>), String> {
    let (mut clients, mut controllers) = (Vec::new(), Vec::new());
    for entry in settings.list("listeners") {
        let (name, address) = address::parse_listener(entry).map_err(|wrong| format!("listeners: {wrong}"))?;
        let is_controller = settings.list("controller.listener.names").iter().any(|controller| *controller == *name);
        let protocols = settings.text("listener.security.protocol.map").map_or("", |map| map.as_str());
        let protocol = protocols.split(',').filter_map(|pair| pair.trim().split_once(':'));
        let protocol = protocol.filter(|(known, _)| *known == name).map(|(_, protocol)| protocol).next();
        match protocol {
            Some("PLAINTEXT") => {}
            // Kafka maps these to PLAINTEXT, too, where nobody says anything.
            None if name == "PLAINTEXT" || is_controller => {}
            None => return Err(format!("listeners: {name} has no protocol in listener.security.protocol.map")),
            Some(other) => return Err(format!("listeners: {entry} wants {other}, but only PLAINTEXT is there yet")),
        }
        let listener = Listener { name, address };
        if is_controller { controllers.push(listener) } else { clients.push(listener) }
    }
    if clients.is_empty() {
        return Err("listeners: there is none for clients".to_owned());
    }
    Ok((clients, controllers))
}

fn http(settings: &Settings, listeners: &[Listener]) -> Result<Option<Http>, String> {
    match settings.text("vltava.http.listen").map(|text| text.as_str()) {
        Some("none") => Ok(None),
        Some(text) => {
            let address = Address::parse(text).map_err(|wrong| format!("vltava.http.listen: {wrong}"))?;
            Ok(Some(Http { address, is_set: true }))
        }
        None => {
            let Some(first) = listeners.first() else { return Ok(None) };
            let port = match first.address.port {
                0 => Some(0),
                port => port.checked_add(HTTP_PORT_STEP),
            };
            let host = first.address.host.clone();
            Ok(port.map(|port| Http { address: Address { host, port }, is_set: false }))
        }
    }
}

/// The data directories: as set, or the one where this system keeps data of services and users. Never under /tmp.
fn data_dirs(settings: &Settings, environment: &[(String, String)]) -> Result<Vec<PathBuf>, String> {
    let set = [settings.list("log.dirs"), settings.list("log.dir")].into_iter().find(|list| !list.is_empty());
    if let Some(set) = set {
        return Ok(set.iter().map(|path| PathBuf::from(path.as_str())).collect());
    }
    let variable = |name: &str| {
        let found = environment.iter().find(|(variable, _)| variable == name);
        found.map(|(_, value)| Path::new(value)).filter(|path| path.is_absolute())
    };
    platform::data_dir(variable("XDG_DATA_HOME"), variable("HOME"))
        .map(|only| vec![only])
        .ok_or_else(|| "there is no home folder to keep data in; choose a folder with --data-dir".to_owned())
}

fn limits(settings: &Settings) -> Result<ConnectionLimits, String> {
    let name = "max.connections.per.ip.overrides";
    let pairs = settings.text(name).map_or("", |text| text.as_str()).split(',').map(str::trim);
    let mut overrides = Vec::new();
    for pair in pairs.filter(|pair| !pair.is_empty()) {
        let wrong = || format!("{name}: `{pair}` is not ADDRESS:COUNT");
        let (host, count) = pair.rsplit_once(':').ok_or_else(wrong)?;
        let count = count.parse().map_err(|_| wrong())?;
        let addresses = std::net::ToSocketAddrs::to_socket_addrs(&(host, 0))
            .map_err(|error| format!("{name}: cannot find the address of {host}: {error}"))?;
        overrides.extend(addresses.map(|address| (address.ip().to_canonical(), count)));
    }
    Ok(ConnectionLimits {
        total: bytes(settings, "max.connections").unwrap_or(usize::MAX),
        per_ip: bytes(settings, "max.connections.per.ip").unwrap_or(usize::MAX),
        overrides,
    })
}

fn sockets(settings: &Settings) -> SocketOptions {
    let size = |name| u32::try_from(settings.i64(name)).ok().filter(|size| *size > 0);
    SocketOptions {
        backlog: size("socket.listen.backlog.size").unwrap_or(1024),
        receive_buffer_bytes: size("socket.receive.buffer.bytes"),
        send_buffer_bytes: size("socket.send.buffer.bytes"),
    }
}

fn log_format(settings: &Settings) -> Result<Format, String> {
    let text = settings.text("vltava.log.format").map_or("text", |text| text.as_str());
    text.parse().map_err(|wrong| format!("vltava.log.format: {wrong}"))
}

/// A count that is not negative; -1 stands for no limit.
fn bytes(settings: &Settings, name: &str) -> Option<usize> {
    usize::try_from(settings.i64(name)).ok()
}
