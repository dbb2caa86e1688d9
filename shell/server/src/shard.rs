//! The home of one shard: its thread, its connections, its timer and its mail. Hands inputs in and carries outputs out.
//!
//! Everything here lives on one thread, so cells and no locks; only `Mail` comes from elsewhere. Nothing here knows what
//! a request means.

use crate::buffers::Memory;
use crate::clock::Clock;
use crate::connection::Connection;
use crate::disk::LocalDisk;
use crate::limits::Permit;
use crate::link::{self, Links};
use crate::notices::Notices;
use crate::reading::End;
use broker::types::limits::LINK_RESPONSE_EXTRA_BYTES;
use broker::types::{HashMap, ShardId};
use broker::{ConnId, Input, JobDone, Level, Message, Observation, Outbox, Output, Shard, Ticket};
use bytes::Bytes;
use std::cell::{Cell, RefCell, RefMut};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Sleep;

/// What one receive call takes at most where no large request is expected.
const SCRATCH_BYTES: usize = 64 << 10;
/// How often connections that wait for memory look again.
const STALLED_RETRY: Duration = Duration::from_millis(10);
/// How long a half-received request may stand still while it is the one that others wait for.
const STANDSTILL_MAX: Duration = Duration::from_secs(10);
/// Mail taken before connections have their turn.
const MAIL_PER_TURN: usize = 64;

/// What comes to a shard from other threads. Requests between shards need no bound of their own: each belongs to a
/// request of a connection, and those are bounded.
pub enum Mail {
    Accepted { id: ConnId, socket: TcpStream, peer: SocketAddr, local: SocketAddr, permit: Permit },
    FromShard { from: ShardId, message: Message<LocalDisk> },
    JobDone { ticket: Ticket, done: JobDone<LocalDisk> },
    JobPanicked,
    Observe { reply: oneshot::Sender<Box<Observation>> },
    Stop,
}

pub type Mailbox = mpsc::UnboundedSender<Mail>;

/// What a shard's home needs beside the shard.
#[derive(Clone, Debug)]
pub struct Surroundings {
    pub clock: Clock,
    pub memory: Arc<Memory>,
    pub request_bytes_max: usize,
    /// `connections.max.idle.ms`; none where connections may idle for ever.
    pub idle_max: Option<Duration>,
    /// The mailboxes of all shards, this one's too.
    pub shards: Vec<Mailbox>,
}

pub struct Host {
    me: ShardId,
    /// For the tasks of links, which an output begins.
    itself: Weak<Host>,
    shard: RefCell<Shard<LocalDisk>>,
    outbox: RefCell<Outbox<LocalDisk>>,
    connections: RefCell<HashMap<ConnId, Rc<Connection>>>,
    links: Rc<Links>,
    /// Connections with something to send.
    dirty: RefCell<Vec<Rc<Connection>>>,
    /// Connections that wait for memory.
    stalled: RefCell<Vec<ConnId>>,
    observers: RefCell<BTreeMap<u64, oneshot::Sender<Box<Observation>>>>,
    next_observer: Cell<u64>,
    notices: RefCell<Notices>,
    timer: RefCell<Pin<Box<Sleep>>>,
    armed: Cell<Instant>,
    next_sweep: Cell<Instant>,
    moment: Cell<Instant>,
    stopped: Notify,
    /// Nothing more is handed to the shard.
    broken: Cell<bool>,
    around: Surroundings,
    pub memory: Arc<Memory>,
    pub request_bytes_max: usize,
    pub scratch: RefCell<Vec<u8>>,
}

impl Host {
    /// Must be called in the runtime of its thread.
    pub fn new(me: ShardId, shard: Shard<LocalDisk>, around: Surroundings) -> Rc<Host> {
        let now = Instant::now();
        Rc::new_cyclic(|itself| Host {
            me,
            itself: itself.clone(),
            shard: RefCell::new(shard),
            outbox: RefCell::default(),
            connections: RefCell::default(),
            links: Rc::default(),
            dirty: RefCell::default(),
            stalled: RefCell::default(),
            observers: RefCell::default(),
            next_observer: Cell::new(0),
            notices: RefCell::default(),
            timer: RefCell::new(Box::pin(tokio::time::sleep_until(now.into()))),
            armed: Cell::new(now),
            next_sweep: Cell::new(now),
            moment: Cell::new(now),
            stopped: Notify::new(),
            broken: Cell::new(false),
            memory: Arc::clone(&around.memory),
            request_bytes_max: around.request_bytes_max,
            scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
            around,
        })
    }

    /// Serves until the shard has stopped. False where it could not go on.
    pub async fn run(self: Rc<Host>, mail: mpsc::UnboundedReceiver<Mail>) -> bool {
        self.input(Input::Started);
        self.flush();
        tokio::task::spawn_local(Rc::clone(&self).keep_time());
        tokio::task::spawn_local(Rc::clone(&self).take_mail(mail));
        self.stopped.notified().await;
        !self.broken.get()
    }

    /// Ends this shard, and with it the process: going on would risk what was promised.
    fn give_up(&self) {
        self.broken.set(true);
        self.stopped.notify_one();
    }

    /// Hands one input to the shard and carries out what it says. Responses leave with the next `flush`.
    fn input(&self, input: Input<LocalDisk>) {
        if self.broken.get() {
            return;
        }
        // A panic is caught with the task of the connection it came through; the shard must not go on after it.
        let _guard = GiveUpOnPanic(self);
        let mut outbox = self.outbox.borrow_mut();
        let wake = {
            let mut shard = self.shard.borrow_mut();
            shard.handle(self.around.clock.now(), input, &mut outbox);
            shard.next_wake()
        };
        for output in outbox.outputs.drain(..) {
            self.carry_out(output);
        }
        if let Some(wake) = wake {
            self.arm(self.around.clock.moment(wake));
        }
    }

    pub fn received(&self, connection: ConnId, frame: Bytes) {
        self.input(Input::Received { connection, frame });
    }

    /// The task of a connection is over.
    pub fn ended(&self, connection: &Rc<Connection>, end: End) {
        self.connections.borrow_mut().remove(&connection.id);
        if let End(Some(reason)) = end {
            self.notices.borrow_mut().closed(Instant::now(), connection.peer, &reason);
        }
        self.input(Input::Closed { connection: connection.id });
        self.flush();
    }

    fn carry_out(&self, output: Output<LocalDisk>) {
        match output {
            Output::Send { connection, frame } => self.with(connection, |connection| {
                connection.push(frame);
                self.dirty.borrow_mut().push(Rc::clone(connection));
            }),
            Output::Close { connection, reason } => self.with(connection, |connection| connection.close(reason)),
            Output::Pause { connection } => self.with(connection, |connection| connection.set_paused(true)),
            Output::Resume { connection } => self.with(connection, |connection| connection.set_paused(false)),
            Output::Dial { link, host, port } => {
                if let Some(home) = self.itself.upgrade() {
                    self.links.dial(link, host, port, home);
                }
            }
            Output::SendLink { link, frame } => self.links.send(link, frame),
            Output::Hangup { link } => self.links.hang_up(link),
            Output::Job { ticket, job } => {
                let mailbox = self.mailbox(self.me).clone();
                tokio::task::spawn_blocking(move || {
                    let done = catch_unwind(AssertUnwindSafe(|| job.run()));
                    // Refused only while the shard is going away, and then nobody waits for the result.
                    mailbox.send(done.map_or(Mail::JobPanicked, |done| Mail::JobDone { ticket, done }))
                });
            }
            Output::ToShard { to, message } => {
                // A shard that has stopped needs no mail.
                let _ = self.mailbox(to).send(Mail::FromShard { from: self.me, message });
            }
            Output::Log { level, text } => log(level, &text),
            Output::Observed { ticket, observation } => {
                if let Some(observer) = self.observers.borrow_mut().remove(&ticket.0) {
                    // Who asked may have gone away meanwhile.
                    let _ = observer.send(observation);
                }
            }
            Output::Fatal { reason } => {
                tracing::error!("{reason}");
                self.give_up();
            }
            Output::Stopped => self.stopped.notify_one(),
        }
    }

    fn mailbox(&self, shard: ShardId) -> &Mailbox {
        &self.around.shards[usize::from(shard.0)]
    }

    /// Acts on a connection that is still there.
    fn with(&self, id: ConnId, act: impl FnOnce(&Rc<Connection>)) {
        if let Some(connection) = self.connections.borrow().get(&id) {
            act(connection);
        }
    }

    /// Lets everything leave that was said since the last time.
    pub fn flush(&self) {
        self.links.flush();
        if self.dirty.borrow().is_empty() {
            return;
        }
        // Sending says nothing to the shard, so nothing becomes dirty meanwhile.
        for connection in self.dirty.borrow_mut().drain(..) {
            connection.flush(self);
        }
    }

    /// The connection goes on when there is memory again.
    pub fn stall(&self, connection: ConnId) {
        self.stalled.borrow_mut().push(connection);
        self.arm(self.moment.get() + STALLED_RETRY);
    }

    pub fn look_at_clock(&self) {
        self.moment.set(Instant::now());
    }

    /// The time of this turn.
    pub fn moment(&self) -> Instant {
        self.moment.get()
    }

    /// Makes the timer fire at `deadline`, where it would not fire before anyway.
    fn arm(&self, deadline: Instant) {
        if deadline < self.armed.get() {
            self.armed.set(deadline);
            self.timer.borrow_mut().as_mut().reset(deadline.into());
        }
    }

    async fn keep_time(self: Rc<Host>) {
        loop {
            poll_fn(|context| {
                let mut timer: RefMut<'_, Pin<Box<Sleep>>> = self.timer.borrow_mut();
                timer.as_mut().poll(context)
            })
            .await;
            self.on_time();
        }
    }

    fn on_time(&self) {
        self.look_at_clock();
        let now = self.moment.get();
        let next_wake = || self.shard.borrow().next_wake().map(|at| self.around.clock.moment(at));
        if next_wake().is_some_and(|wake| wake <= now) {
            self.input(Input::Wake);
        }
        self.retry_stalled(now);
        if self.next_sweep.get() <= now {
            self.sweep(now);
        }
        self.flush();
        let retry = (!self.stalled.borrow().is_empty()).then(|| now + STALLED_RETRY);
        let next = [next_wake(), retry, Some(self.next_sweep.get())].into_iter().flatten().min();
        let next = next.unwrap_or(now + STALLED_RETRY);
        self.armed.set(next);
        self.timer.borrow_mut().as_mut().reset(next.into());
    }

    /// Lets those that wait for memory look again, and ends a request that stands still at their cost.
    fn retry_stalled(&self, now: Instant) {
        for id in self.stalled.take() {
            self.with(id, |connection| connection.wake());
        }
        if let Some(id) = self.memory.finisher() {
            self.with(ConnId(id), |connection| {
                if now.saturating_duration_since(connection.last_active()) > STANDSTILL_MAX {
                    let why = "its request stopped arriving while others waited for memory (queued.max.request.bytes)";
                    connection.abort(Some(String::from(why)));
                }
            });
        }
    }

    /// Closes connections that have been silent for too long. Coarse: no connection needs a timer of its own.
    fn sweep(&self, now: Instant) {
        let Some(idle_max) = self.around.idle_max else {
            return self.next_sweep.set(now + Duration::from_secs(3600));
        };
        for connection in self.connections.borrow().values() {
            if now.saturating_duration_since(connection.last_active()) > idle_max {
                // To idle between requests is no fault.
                let limit = idle_max.as_millis();
                let reason = || format!("half a request, then silence for connections.max.idle.ms ({limit})");
                connection.abort(connection.is_mid_request().then(reason));
            }
        }
        self.next_sweep.set(now + (idle_max / 8).clamp(Duration::from_millis(20), Duration::from_secs(30)));
    }

    async fn take_mail(self: Rc<Host>, mut mail: mpsc::UnboundedReceiver<Mail>) {
        while let Some(first) = mail.recv().await {
            self.look_at_clock();
            self.open_letter(first);
            for _ in 1..MAIL_PER_TURN {
                let Ok(next) = mail.try_recv() else { break };
                self.open_letter(next);
            }
            self.flush();
        }
    }

    fn open_letter(self: &Rc<Host>, mail: Mail) {
        match mail {
            Mail::Accepted { id, socket, peer, local, permit } => match tokio::net::TcpStream::from_std(socket) {
                Ok(stream) => self.open(Connection::new(id, peer, stream, permit), local),
                Err(error) => tracing::error!("cannot serve the connection from {peer}: {error}"),
            },
            Mail::FromShard { from, message } => self.input(Input::FromShard { from, message }),
            Mail::JobDone { ticket, done } => self.input(Input::JobDone { ticket, done }),
            Mail::JobPanicked => self.give_up(),
            Mail::Observe { reply } => {
                let ticket = self.next_observer.get();
                self.next_observer.set(ticket + 1);
                self.observers.borrow_mut().insert(ticket, reply);
                self.input(Input::Observe { ticket: Ticket(ticket) });
            }
            Mail::Stop => self.input(Input::Stop),
        }
    }

    /// Starts to serve a connection.
    pub fn open(self: &Rc<Host>, connection: Rc<Connection>, local: SocketAddr) {
        self.connections.borrow_mut().insert(connection.id, Rc::clone(&connection));
        self.input(Input::Opened { connection: connection.id, peer: connection.peer, local });
        tokio::task::spawn_local(connection.run(Rc::clone(self)));
    }
}

impl link::Home for Host {
    fn tell(&self, input: Input<LocalDisk>) {
        self.input(input);
    }

    fn turn_over(&self) {
        self.flush();
    }

    fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    fn scratch(&self) -> &RefCell<Vec<u8>> {
        &self.scratch
    }

    /// A batch that came in a request must come to followers in a response.
    fn response_bytes_max(&self) -> usize {
        self.request_bytes_max.saturating_add(LINK_RESPONSE_EXTRA_BYTES)
    }
}

struct GiveUpOnPanic<'a>(&'a Host);

impl Drop for GiveUpOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.give_up();
        }
    }
}

pub fn log(level: Level, text: &str) {
    match level {
        Level::Debug => tracing::debug!("{text}"),
        Level::Info => tracing::info!("{text}"),
        Level::Warn => tracing::warn!("{text}"),
        Level::Error => tracing::error!("{text}"),
    }
}
