//! One broker in this process: its threads from start to stop.

use crate::buffers::Memory;
use crate::clock::Clock;
use crate::config::{Config, Listener};
use crate::disk::{LocalDisk, Unclaimed};
use crate::http;
use crate::join;
use crate::limits::Connections;
use crate::listen::{self, Acceptor};
use crate::shard::{self, Host, Mail, Mailbox, Surroundings};
use broker::Shard;
use broker::types::{NodeId, ShardId};
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc as threads;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Threads for what waits for the disk, for each shard; they come with the work and go when there is none.
const JOB_THREADS: usize = 4;
const JOB_THREAD_KEPT: Duration = Duration::from_secs(5);
/// Tasks that run before the system is asked for news of sockets.
const TASKS_BETWEEN_EVENTS: u32 = 16;
/// How long the shards may take to stop.
/// A node of a cluster first has its leaderships moved away; alone it stops at once.
const STOP_MAX: Duration = Duration::from_secs(8);

/// A broker that runs.
#[derive(Debug)]
pub struct Server {
    data_dirs: Vec<PathBuf>,
    addresses: Vec<SocketAddr>,
    peer: Option<SocketAddr>,
    http: Option<SocketAddr>,
    shards: Vec<Mailbox>,
    news: threads::Receiver<News>,
}

/// What threads tell the one that started them.
#[derive(Debug)]
enum News {
    /// The operator wants the broker to stop.
    Signal(&'static str),
    Stopped,
    /// A thread is over without having stopped: a bug, and the process must not go on without it.
    Died(ShardId),
}

impl Server {
    /// Starts a broker; it serves when this returns. The error is for the operator.
    pub fn start(config: Config) -> Result<Server, String> {
        raise_open_files();
        let mut listeners = bind_all(&config)?;
        let addresses: Vec<SocketAddr> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let peer_listener = config.peer.as_ref().map(|peer| bind(peer, "--peer-listen", &config)).transpose()?;
        let peer = peer_listener.as_ref().and_then(|listener| listener.local_addr().ok());
        listeners.extend(peer_listener);
        let disks = config.data_dirs.iter().map(|path| claim(path)).collect::<Result<Vec<_>, String>>()?;
        let data_dirs = disks
            .iter()
            .zip(&config.data_dirs)
            .map(|(disk, given)| disk.as_ref().map_or_else(|_| given.clone(), |disk| disk.root().to_owned()));
        let data_dirs = data_dirs.collect();
        let clock = Clock::start();
        let shards = config.shards.unwrap_or_else(cores);
        let join_cluster_id = match !config.join.is_empty() && broker::is_new(&disks) {
            true => Some(join::cluster_id(&config.join)?),
            false => None,
        };
        let booted = broker::boot(broker::Start {
            disks,
            settings: config.settings.clone(),
            shards,
            seed: RandomState::new().hash_one(Instant::now()),
            now: clock.now(),
            listeners: config.bound(&addresses),
            peer: config.peer.as_ref().zip(peer).map(|(listener, address)| listener.bound(address)),
            voters: config.voters.iter().map(|(id, at)| (NodeId(*id), at.host.as_str().into(), at.port)).collect(),
            join_cluster_id,
            join: config.join.iter().map(|at| (at.host.as_str().into(), at.port)).collect(),
        })
        .map_err(|error| error.to_string())?;
        for note in &config.notes {
            tracing::warn!("{note}");
        }
        for (level, text) in booted.notes {
            shard::log(level, &text);
        }
        let http = http::bind(&config)?;
        let http_address = http.as_ref().and_then(|listener| listener.local_addr().ok());
        let (mailboxes, mails): (Vec<_>, Vec<_>) = booted.shards.iter().map(|_| mpsc::unbounded_channel()).unzip();
        let around = Surroundings {
            clock,
            memory: Memory::new(config.queued_bytes_max),
            request_bytes_max: config.request_bytes_max,
            idle_max: config.idle_max,
            shards: mailboxes.clone(),
        };
        let mut front =
            Some(Front { listeners, http, connections: Connections::new(config.limits), signals: config.signals });
        let (tell, news) = threads::channel();
        for (index, (shard, mail)) in booted.shards.into_iter().zip(mails).enumerate() {
            let me = ShardId(u16::try_from(index).expect("as many shards as were asked for"));
            let thread = Thread { me, shard, mail, around: around.clone(), front: front.take(), tell: tell.clone() };
            let named = thread::Builder::new().name(format!("shard-{index}"));
            named.spawn(move || thread.run()).map_err(|error| format!("cannot start a thread: {error}"))?;
        }
        Ok(Server { data_dirs, addresses, peer, http: http_address, shards: mailboxes, news })
    }

    #[must_use]
    pub fn data_dirs(&self) -> &[PathBuf] {
        &self.data_dirs
    }

    /// Where clients are served, one address for each listener.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where other nodes connect, where that is a place of its own.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Where metrics and health are served, if they are.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Waits for the signal to stop, and stops.
    pub fn wait(self) -> Result<(), String> {
        match self.news.recv() {
            Ok(News::Signal(name)) => {
                tracing::info!("stopping: {name}");
                self.stop()
            }
            Ok(News::Died(shard)) => Err(died(shard)),
            Ok(News::Stopped) | Err(_) => Ok(()),
        }
    }

    /// Stops in bounded time; the error says what did not end by itself.
    pub fn stop(self) -> Result<(), String> {
        for mailbox in &self.shards {
            // A shard that is gone needs no telling.
            let _ = mailbox.send(Mail::Stop);
        }
        let end = Instant::now() + STOP_MAX;
        let mut waiting = self.shards.len();
        while waiting > 0 {
            match self.news.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(News::Stopped) => waiting -= 1,
                Ok(News::Signal(_)) => {}
                Ok(News::Died(shard)) => return Err(died(shard)),
                Err(_) => {
                    return Err(format!("{waiting} shards did not stop in time; the next start will check their logs"));
                }
            }
        }
        Ok(())
    }
}

fn died(shard: ShardId) -> String {
    format!("shard {shard} could not go on; the lines above say why. The next start checks the data as after a crash")
}

/// What only the first shard's thread has.
struct Front {
    listeners: Vec<TcpListener>,
    http: Option<TcpListener>,
    connections: Arc<Connections>,
    signals: bool,
}

struct Thread {
    me: ShardId,
    shard: Shard<LocalDisk>,
    mail: mpsc::UnboundedReceiver<Mail>,
    around: Surroundings,
    front: Option<Front>,
    tell: threads::Sender<News>,
}

impl Thread {
    fn run(self) {
        let mut ending = Ending { me: self.me, tell: self.tell.clone(), clean: false };
        match runtime() {
            Ok(runtime) => {
                ending.clean = runtime.block_on(self.serve());
                // Jobs that still run lose nothing: what they have not done is done at the next start.
                runtime.shutdown_background();
            }
            Err(error) => tracing::error!("cannot start the runtime of shard {}: {error}", ending.me),
        }
    }

    /// False where the shard could not go on.
    async fn serve(self) -> bool {
        let (shards, memory) = (self.around.shards.clone(), self.around.memory.clone());
        let host = Host::new(self.me, self.shard, self.around);
        if let Some(front) = self.front {
            let acceptor = Acceptor::new(host.clone(), shards.clone(), front.connections);
            for listener in front.listeners {
                tokio::task::spawn_local(acceptor.clone().run(listener));
            }
            if let Some(listener) = front.http {
                tokio::task::spawn_local(http::serve(listener, shards, memory));
            }
            if front.signals {
                tokio::task::spawn_local(watch_signals(self.tell));
            }
        }
        host.run(self.mail).await
    }
}

/// Tells how a thread ended, even where it unwinds from a panic.
struct Ending {
    me: ShardId,
    tell: threads::Sender<News>,
    clean: bool,
}

impl Drop for Ending {
    fn drop(&mut self) {
        // Nobody listens any more where the process is ending anyway.
        let _ = self.tell.send(if self.clean { News::Stopped } else { News::Died(self.me) });
    }
}

async fn watch_signals(tell: threads::Sender<News>) {
    let both = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match both {
        Ok(both) => both,
        Err(error) => return tracing::error!("cannot watch for signals: {error}"),
    };
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    let _ = tell.send(News::Signal(name));
}

fn runtime() -> std::io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .event_interval(TASKS_BETWEEN_EVENTS)
        .max_blocking_threads(JOB_THREADS)
        .thread_keep_alive(JOB_THREAD_KEPT)
        .thread_name("job")
        .build_local(LocalOptions::default())
}

/// One shard for each core that this process may use.
fn cores() -> u16 {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from(cores).unwrap_or(u16::MAX)
}

/// Segments and connections are files: takes all that the system grants without asking.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // macOS grants no more than this where it claims to have no limit.
    let modest = limit.current.map(|current| current.max(10_240));
    let raise = |current| setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum });
    if limit.current != limit.maximum && raise(limit.maximum).is_err() && raise(modest).is_err() {
        tracing::debug!("cannot raise the limit of open files above {:?}", limit.current);
    }
}

/// A log directory that cannot be used is the broker's to judge; one that another broker uses is a mistake.
fn claim(path: &Path) -> Result<Result<LocalDisk, broker::Missing>, String> {
    match LocalDisk::claim(path) {
        Ok(disk) => Ok(Ok(disk)),
        Err(Unclaimed::Taken(reason)) => Err(reason),
        Err(Unclaimed::Unusable(reason)) => {
            // As it would be called if it were there.
            let folder = path.parent().zip(path.file_name());
            let full = folder.and_then(|(parent, name)| Some(parent.canonicalize().ok()?.join(name)));
            let full = full.or_else(|| std::path::absolute(path).ok()).unwrap_or_else(|| path.to_owned());
            Ok(Err(broker::Missing { path: full.display().to_string().into(), reason }))
        }
    }
}

fn bind_all(config: &Config) -> Result<Vec<TcpListener>, String> {
    config.listeners.iter().map(|listener| bind(listener, "--listen", config)).collect()
}

fn bind(Listener { address, .. }: &Listener, flag: &str, config: &Config) -> Result<TcpListener, String> {
    listen::bind(&address.host, address.port, config.sockets).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => {
            format!("port {} is in use already; choose another with {flag} HOST:PORT (or `listeners`)", address.port)
        }
        _ => format!("cannot listen on {address} ({flag}, or `listeners`): {error}"),
    })
}
