//! One run of a broker, from start to stop or kill: a thread with its sockets around a shard that knows no world.

use crate::clock::Clock;
use crate::network::Network;
use broker::log::DiskFile;
use broker::log::MemoryDisk;
use broker::types::ShardId;
use broker::{ConnId, Frame, Input, Level, LinkId, Observation, Outbox, Output, Shard, Ticket};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc, watch};

/// `socket.request.max.bytes` by default, and what a node of a cluster answers at most.
const FRAME_BYTES_MAX: u64 = 100 << 20;
/// Longer than any test runs.
const FAR: Duration = Duration::from_secs(86_400);

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As by SIGTERM: with all that makes the next start quick.
    Stop,
    /// As by SIGKILL: at once.
    Kill,
}

/// What the test wants of the thread.
enum Order {
    End(End),
    Observe(SyncSender<Box<Observation>>),
}

/// A broker's thread, seen from outside.
#[derive(Debug)]
pub struct Run {
    thread: std::thread::JoinHandle<()>,
    orders: mpsc::UnboundedSender<Order>,
}

impl Run {
    pub fn begin(
        shard: Shard<MemoryDisk>,
        listener: TcpListener,
        clock: Clock,
        network: Network,
    ) -> Result<Run, String> {
        let (orders, ordered) = mpsc::unbounded_channel();
        let named = std::thread::Builder::new().name("test-broker".into());
        let thread = named.spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
            let runtime = runtime.expect("the system gives a runtime");
            runtime.block_on(async {
                listener.set_nonblocking(true).expect("a listener can");
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener of this system");
                Rc::new(Host::new(shard, clock, network)).run(listener, ordered).await;
            });
        });
        Ok(Run { thread: thread.map_err(|error| format!("cannot start a thread: {error}"))?, orders })
    }

    /// The broker's own figures; none where it is over.
    pub fn observe(&self) -> Option<Box<Observation>> {
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        self.orders.send(Order::Observe(tell)).ok()?;
        told.recv().ok()
    }

    /// Ends it, and returns when no connection is left.
    pub fn end(self, how: End) {
        // A thread that is over already ended by itself; its panic is told below.
        let _ = self.orders.send(Order::End(how));
        if let Err(panic) = self.thread.join()
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// What leaves on a connection or a link.
type Leaving = mpsc::UnboundedSender<Bytes>;

/// A link that is to be opened.
struct Dial {
    link: LinkId,
    host: String,
    port: u16,
    left: mpsc::UnboundedReceiver<Bytes>,
}

struct Connection {
    leaving: Leaving,
    paused: watch::Sender<bool>,
}

struct Host {
    shard: RefCell<Shard<MemoryDisk>>,
    waiting: RefCell<VecDeque<Input<MemoryDisk>>>,
    busy: Cell<bool>,
    connections: RefCell<HashMap<ConnId, Connection>>,
    links: RefCell<HashMap<LinkId, Leaving>>,
    dials: RefCell<Vec<Dial>>,
    /// Those who asked for figures, in the order of their asking.
    observers: RefCell<VecDeque<SyncSender<Box<Observation>>>>,
    clock: Clock,
    network: Network,
    /// Something came in, so that the next wake may be another.
    turned: Notify,
    stopped: Notify,
}

impl Host {
    fn new(shard: Shard<MemoryDisk>, clock: Clock, network: Network) -> Host {
        Host {
            shard: RefCell::new(shard),
            waiting: RefCell::default(),
            busy: Cell::new(false),
            connections: RefCell::default(),
            links: RefCell::default(),
            dials: RefCell::default(),
            observers: RefCell::default(),
            clock,
            network,
            turned: Notify::new(),
            stopped: Notify::new(),
        }
    }

    async fn run(self: Rc<Host>, listener: tokio::net::TcpListener, mut orders: mpsc::UnboundedReceiver<Order>) {
        self.input(Input::Started);
        tokio::task::spawn_local(self.clone().accept(listener));
        let mut changes = self.clock.watch();
        loop {
            for dial in self.dials.take() {
                tokio::task::spawn_local(self.clone().link(dial));
            }
            let wake = self.shard.borrow().next_wake();
            let wait = wake.and_then(|at| self.clock.until(at)).unwrap_or(FAR);
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::End(End::Stop)) => self.input(Input::Stop),
                    Some(Order::End(End::Kill)) | None => return,
                    Some(Order::Observe(tell)) => {
                        self.observers.borrow_mut().push_back(tell);
                        self.input(Input::Observe { ticket: Ticket(0) });
                    }
                },
                () = self.stopped.notified() => return,
                () = self.turned.notified() => {}
                _ = changes.changed() => {}
                () = tokio::time::sleep(wait) => self.input(Input::Wake),
            }
        }
    }

    /// Hands an input to the shard and carries out what it says; what comes of that is handed in next.
    fn input(&self, input: Input<MemoryDisk>) {
        self.waiting.borrow_mut().push_back(input);
        if self.busy.replace(true) {
            return;
        }
        let mut outbox = Outbox::default();
        loop {
            let Some(input) = self.waiting.borrow_mut().pop_front() else { break };
            self.shard.borrow_mut().handle(self.clock.now(), input, &mut outbox);
            for output in outbox.outputs.drain(..) {
                self.carry_out(output);
            }
        }
        self.busy.set(false);
        self.turned.notify_one();
    }

    fn carry_out(&self, output: Output<MemoryDisk>) {
        match output {
            Output::Send { connection, frame } => self.send(connection, &frame),
            // What was sent before has its place in the queue: the writer ends with the queue, and the reader with it.
            Output::Close { connection, reason } => {
                if let Some(reason) = reason {
                    tracing::info!("a connection is closed: {reason}");
                }
                self.connections.borrow_mut().remove(&connection);
            }
            Output::Pause { connection } => self.pause(connection, true),
            Output::Resume { connection } => self.pause(connection, false),
            Output::Dial { link, host, port } => {
                let (leaving, left) = mpsc::unbounded_channel();
                self.links.borrow_mut().insert(link, leaving);
                self.dials.borrow_mut().push(Dial { link, host: host.to_string(), port, left });
            }
            Output::SendLink { link, frame } => {
                if let Some(leaving) = self.links.borrow().get(&link) {
                    // Refused only where the link is over; that is being told.
                    let _ = leaving.send(frame);
                }
            }
            Output::Hangup { link } => drop(self.links.borrow_mut().remove(&link)),
            Output::Job { ticket, job } => {
                self.waiting.borrow_mut().push_back(Input::JobDone { ticket, done: job.run() });
            }
            Output::ToShard { message, .. } => {
                self.waiting.borrow_mut().push_back(Input::FromShard { from: ShardId(0), message });
            }
            Output::Log { level, text } => log(level, &text),
            Output::Observed { observation, .. } => {
                if let Some(tell) = self.observers.borrow_mut().pop_front() {
                    // Who asked may have gone away.
                    let _ = tell.send(observation);
                }
            }
            Output::Fatal { reason } => panic!("the broker cannot go on: {reason}"),
            Output::Stopped => self.stopped.notify_one(),
        }
    }

    fn send<F: DiskFile>(&self, connection: ConnId, frame: &Frame<F>) {
        match frame.read_whole() {
            Ok(bytes) => {
                if let Some(connection) = self.connections.borrow().get(&connection) {
                    // Refused only where the connection is over; that is being told.
                    let _ = connection.leaving.send(bytes);
                }
            }
            // As where a disk fails below sendfile: half an answer helps nobody.
            Err(error) => {
                tracing::warn!("an answer cannot be read from the disk: {error}");
                self.connections.borrow_mut().remove(&connection);
            }
        }
    }

    fn pause(&self, connection: ConnId, pause: bool) {
        if let Some(connection) = self.connections.borrow().get(&connection) {
            connection.paused.send_replace(pause);
        }
    }

    async fn accept(self: Rc<Host>, listener: tokio::net::TcpListener) {
        let mut next = 0;
        loop {
            let Ok((socket, peer)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let Ok(local) = socket.local_addr() else { continue };
            if !self.network.refuses() {
                next += 1;
                tokio::task::spawn_local(self.clone().serve(ConnId(next), socket, peer, local));
            }
        }
    }

    async fn serve(self: Rc<Host>, id: ConnId, socket: TcpStream, peer: SocketAddr, local: SocketAddr) {
        let _ = socket.set_nodelay(true);
        let (leaving, left) = mpsc::unbounded_channel();
        let (paused, mut pauses) = watch::channel(false);
        self.connections.borrow_mut().insert(id, Connection { leaving, paused });
        self.input(Input::Opened { connection: id, peer, local });
        let (mut from, to) = socket.into_split();
        let reading = async {
            // An error: the shard has closed the connection, and what was sent before still leaves.
            while pauses.wait_for(|paused| !paused).await.is_ok() {
                let Some(frame) = receive(&mut from).await else { return };
                self.network.pass().await;
                self.input(Input::Received { connection: id, frame });
            }
            std::future::pending::<()>().await;
        };
        self.until_over(reading, to, left).await;
        self.connections.borrow_mut().remove(&id);
        self.input(Input::Closed { connection: id });
    }

    async fn link(self: Rc<Host>, Dial { link, host, port, left }: Dial) {
        let dialed = tokio::time::timeout(Duration::from_secs(2), TcpStream::connect((host.as_str(), port))).await;
        let reason = match dialed {
            Ok(Ok(socket)) => match socket.local_addr() {
                Ok(local) => {
                    let _ = socket.set_nodelay(true);
                    self.input(Input::LinkOpened { link, local });
                    let (mut from, to) = socket.into_split();
                    let reading = async {
                        while let Some(frame) = receive(&mut from).await {
                            self.network.pass().await;
                            if self.links.borrow().contains_key(&link) {
                                self.input(Input::LinkReceived { link, frame });
                            }
                        }
                    };
                    self.until_over(reading, to, left).await;
                    "the other end closed the connection".to_owned()
                }
                Err(error) => error.to_string(),
            },
            Ok(Err(error)) => format!("{host}:{port}: {error}"),
            Err(_) => format!("{host}:{port} does not answer"),
        };
        // One that was hung up is not spoken of again.
        if self.links.borrow_mut().remove(&link).is_some() {
            self.input(Input::LinkClosed { link, reason });
        }
    }

    /// Sends what is to leave, until the other end, the shard or the test ends the connection.
    async fn until_over(
        &self,
        reading: impl Future<Output = ()>,
        mut to: impl AsyncWrite + Unpin,
        mut left: mpsc::UnboundedReceiver<Bytes>,
    ) {
        let writing = async {
            while let Some(bytes) = left.recv().await {
                self.network.pass().await;
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = reading => {}
            () = writing => {}
            () = self.network.hung_up() => {}
        }
    }
}

/// One whole frame without its length; none where the connection has ended or says nonsense.
async fn receive(from: &mut (impl AsyncRead + Unpin)) -> Option<Bytes> {
    let length = u64::try_from(from.read_i32().await.ok()?).ok().filter(|length| *length <= FRAME_BYTES_MAX)?;
    let mut frame = Vec::new();
    // Grows with what arrives, not with what the length promises.
    from.take(length).read_to_end(&mut frame).await.ok()?;
    (frame.len() as u64 == length).then(|| frame.into())
}

fn log(level: Level, text: &str) {
    match level {
        Level::Debug => tracing::debug!("{text}"),
        Level::Info => tracing::info!("{text}"),
        Level::Warn => tracing::warn!("{text}"),
        Level::Error => tracing::error!("{text}"),
    }
}
