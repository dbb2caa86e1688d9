//! A broker in your tests: the real one, in this process, on a free port, with its disk in memory.
//!
//! It starts in milliseconds, leaves nothing behind, and bears what a test does to it: time that is moved, a process
//! that is killed, a disk that fails or loses power, connections that break. Any Kafka client may be its client.
//!
//! ```
//! use vltava_testing::TestBroker;
//!
//! let broker = TestBroker::start();
//! println!("bootstrap.servers={}", broker.bootstrap_servers());
//! ```
//!
//! Owns what stands around the broker's core here: a thread, sockets, a clock that obeys. Must never know what a
//! request means.

mod clock;
mod cluster;
mod host;
mod network;

pub use broker::log::{ErrorKind, Fault, MemoryDisk, Operation};
pub use clock::Clock;
pub use cluster::TestCluster;
pub use network::Network;

use broker::config::Settings;
use broker::types::{NodeId, Text};
use host::{End, Run};
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

/// How long a broker that starts again waits for its port.
const PORT_MAX: Duration = Duration::from_secs(5);

/// How a broker is to be; [`TestBroker::start`] takes all as it is by default.
#[derive(Clone, Debug, Default)]
pub struct Options {
    settings: Vec<(String, String)>,
    clock: Option<Clock>,
    stands: bool,
}

impl Options {
    #[must_use]
    pub fn new() -> Options {
        Options::default()
    }

    /// A setting of the broker by Kafka's name, such as `num.partitions`. Unlike elsewhere, a first member of a group
    /// does not wait for others unless `group.initial.rebalance.delay.ms` says so.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Options {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The broker's time begins to pass only with [`Clock::advance`] or [`Clock::go`].
    #[must_use]
    pub fn standing_clock(mut self) -> Options {
        self.stands = true;
        self
    }

    /// Starts the broker.
    ///
    /// # Panics
    /// Where a setting is unknown or invalid (the message names it), or the system gives no port or thread.
    #[must_use]
    pub fn start(self) -> TestBroker {
        let mut broker = TestBroker::prepare(NodeId(1), self);
        broker.restart();
        broker
    }
}

/// A broker. It ends, and all its data with it, when this is dropped.
#[derive(Debug)]
pub struct TestBroker {
    node: NodeId,
    settings: Vec<(String, String)>,
    /// Id and port of each node of a cluster.
    voters: Vec<(NodeId, u16)>,
    address: SocketAddr,
    /// Bound until the broker first starts, so that nobody else takes the port.
    listener: Option<TcpListener>,
    disk: MemoryDisk,
    clock: Clock,
    network: Network,
    run: Option<Run>,
}

impl TestBroker {
    /// Starts a broker with Kafka's defaults.
    ///
    /// # Panics
    /// Where the system gives no port or no thread.
    #[must_use]
    pub fn start() -> TestBroker {
        Options::new().start()
    }

    fn prepare(node: NodeId, options: Options) -> TestBroker {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let seed = RandomState::new().hash_one(node.0);
        TestBroker {
            node,
            settings: options.settings,
            voters: Vec::new(),
            address: listener.local_addr().expect("a bound socket has an address"),
            listener: Some(listener),
            disk: MemoryDisk::new(seed),
            clock: options.clock.unwrap_or_else(|| Clock::new(options.stands)),
            network: Network::new(),
            run: None,
        }
    }

    /// What clients want for `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        self.address.to_string()
    }

    /// Its time.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Its connections.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Its disk: [`MemoryDisk::inject`] makes operations fail, [`MemoryDisk::set_capacity_bytes`] lets it be full.
    #[must_use]
    pub fn disk(&self) -> &MemoryDisk {
        &self.disk
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.run.is_some()
    }

    /// Stops it cleanly, as by SIGTERM. The data stays.
    pub fn stop(&mut self) {
        self.end(End::Stop);
    }

    /// Kills it, as by SIGKILL. What was written stays, synced or not.
    pub fn kill(&mut self) {
        self.end(End::Kill);
    }

    /// Kills it, and takes from its disk what was not synced.
    pub fn lose_power(&mut self) {
        self.end(End::Kill);
        self.disk.lose_power();
    }

    fn end(&mut self, how: End) {
        if let Some(run) = self.run.take() {
            run.end(how);
        }
    }

    /// Starts it again, at the same address with the same disk; one that runs is killed first.
    ///
    /// # Panics
    /// Where a setting is unknown or invalid, the port was taken meanwhile, or the data cannot be used (after a fault).
    pub fn restart(&mut self) {
        self.kill();
        let listener = self.listener.take().unwrap_or_else(|| bind_again(self.address));
        let run = self.boot(listener).unwrap_or_else(|reason| panic!("the broker does not start: {reason}"));
        self.run = Some(run);
    }

    fn boot(&self, listener: TcpListener) -> Result<Run, String> {
        let node = self.node.0.to_string();
        let given = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let ours = [("group.initial.rebalance.delay.ms", "0")].into_iter();
        let here = || Text::from(self.address.ip().to_string());
        let booted = broker::boot(broker::Start {
            disks: vec![Ok(self.disk.clone())],
            settings: Settings::read(ours.chain(given).chain([("node.id", node.as_str())]))
                .map_err(|errors| errors.join("; "))?,
            shards: 1,
            seed: RandomState::new().hash_one(Instant::now()),
            now: self.clock.now(),
            listeners: vec![broker::Listener { name: "PLAINTEXT".into(), host: here(), port: self.address.port() }],
            peer: None,
            voters: self.voters.iter().map(|(id, port)| (*id, here(), *port)).collect(),
            join: Vec::new(),
            join_cluster_id: None,
        })
        .map_err(|error| error.to_string())?;
        let shard = booted.shards.into_iter().next().expect("one was asked for");
        Run::begin(shard, listener, self.clock.clone(), self.network.clone())
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The system may hold a port for a moment after its last user.
fn bind_again(address: SocketAddr) -> TcpListener {
    let end = Instant::now() + PORT_MAX;
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return listener,
            Err(error) => assert!(Instant::now() < end, "the broker's port {address} cannot be had again: {error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
