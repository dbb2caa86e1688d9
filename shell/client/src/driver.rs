//! Runs one engine: its sockets and its time on a task, the commands of its users on theirs, one at a time under a lock.
//!
//! Must never know what an engine is for. A user's command changes the engine at once and wakes the task only where
//! there is something to do before the task would look anyway.

use crate::clock::Clock;
use crate::dial::Dialer;
use crate::error::Error;
use crate::link::{Heard, Link};
use client::{Event, Instant, LinkId, Now, Transmit};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Sleep;

/// How long an engine that nobody uses any more may take to bring what is open to its end.
const FAREWELL_MS: u64 = 30_000;

/// An engine together with those who wait for it.
pub trait Engine: Send + 'static {
    /// What has come of it for those who wait: gathered under the lock, told without it.
    type News: Default + Send;
    fn handle(&mut self, now: Now, event: Event<'_>);
    fn poll_transmit(&mut self) -> Option<Transmit>;
    fn next_wake(&self) -> Option<Instant>;
    fn settle(&mut self, now: Now, news: &mut Self::News);
    /// Leaves `news` empty.
    fn tell(_news: &mut Self::News) {}
    /// A connection could not be made, or ended: its address and why.
    fn trouble(&mut self, _problem: &str) {}
    /// As `trouble`, where one end does not accept the other: whoever waits for it waits in vain.
    fn denied(&mut self, _problem: &str) {}
    /// Nobody is left who could command: what is open is to be brought to an end.
    fn abandon(&mut self, now: Now);
    /// Whether nothing is left to do once abandoned.
    fn is_done(&self) -> bool;
    /// The runtime is gone, and nothing will come any more: whoever waits is to be told so.
    fn end(&mut self, news: &mut Self::News);
}

/// What every engine does by itself; the second word is what it takes for the time.
macro_rules! forward {
    ($now:ident => $time:expr) => {
        fn handle(&mut self, $now: client::Now, event: client::Event<'_>) {
            self.engine.handle($time, event);
        }

        fn poll_transmit(&mut self) -> Option<client::Transmit> {
            self.engine.poll_transmit()
        }

        fn next_wake(&self) -> Option<client::Instant> {
            self.engine.next_wake()
        }
    };
}
pub(crate) use forward;

/// An engine that runs. Clones share it; when the last one is dropped it comes to its end.
pub type Shared<E> = Arc<Owner<E>>;

pub struct Owner<E: Engine>(Arc<Inner<E>>);

struct Inner<E> {
    held: Mutex<Held<E>>,
    /// Wakes the task.
    kick: Notify,
    clock: Clock,
    runtime: Handle,
    /// The last trouble with a connection, for messages of time-outs.
    trouble: Mutex<Trouble>,
}

#[derive(Default)]
struct Trouble {
    problem: Option<String>,
    /// No other connection was tried since the broker, or the client, did not accept the other.
    is_denied: bool,
}

struct Held<E> {
    engine: E,
    /// Both clocks as they were read last.
    read: Now,
    /// When the task wakes by itself, unless it is kicked.
    armed: Instant,
    is_kicked: bool,
    is_abandoned: bool,
    has_ended: bool,
}

impl<E> Inner<E> {
    /// A panic under the lock ends the task or the user in whom it happened; the others go on as well as they can.
    fn lock(&self) -> MutexGuard<'_, Held<E>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Engine> std::fmt::Debug for Owner<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner").finish_non_exhaustive()
    }
}

impl<E: Engine> Drop for Owner<E> {
    fn drop(&mut self) {
        self.0.lock().is_abandoned = true;
        self.0.kick.notify_one();
    }
}

impl<E: Engine> Owner<E> {
    /// Starts an engine's task in the runtime that is current.
    pub fn start(engine: E, clock: Clock, dialer: Dialer) -> Shared<E> {
        let held = Held {
            engine,
            read: clock.now(),
            armed: Instant(0),
            is_kicked: true,
            is_abandoned: false,
            has_ended: false,
        };
        let inner = Arc::new(Inner {
            held: Mutex::new(held),
            kick: Notify::new(),
            clock,
            runtime: Handle::current(),
            trouble: Mutex::default(),
        });
        let driver = Driver {
            inner: inner.clone(),
            dialer,
            links: BTreeMap::new(),
            heard: Vec::new(),
            news: E::News::default(),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            give_up: None,
        };
        tokio::spawn(driver.run());
        Arc::new(Owner(inner))
    }

    /// Commands the engine; the task sees to what follows from it.
    ///
    /// # Errors
    /// [`Error::Closed`] where the runtime that it ran in is gone.
    pub fn with<R>(&self, command: impl FnOnce(&mut E, Now) -> R) -> Result<R, Error> {
        self.apply(|engine, now| {
            let done = command(engine, now);
            (done, engine.next_wake())
        })
    }

    /// As `with`, for a command that knows by when the engine has to be handled on its account.
    pub fn apply<R>(&self, command: impl FnOnce(&mut E, Now) -> (R, Option<Instant>)) -> Result<R, Error> {
        let inner = &self.0;
        let mut held = inner.lock();
        if held.has_ended {
            return Err(Error::Closed);
        }
        let now = inner.clock.after(&mut held.read);
        let (done, wake) = command(&mut held.engine, now);
        let is_kick = !held.is_kicked && wake.is_some_and(|wake| wake < held.armed);
        held.is_kicked |= is_kick;
        drop(held);
        if is_kick {
            inner.kick.notify_one();
        }
        Ok(done)
    }

    pub fn trouble(&self) -> Option<String> {
        self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).problem.clone()
    }

    /// Whether there is any use in waiting for a broker.
    ///
    /// # Errors
    /// [`Error::Authentication`]
    pub fn admitted(&self) -> Result<(), Error> {
        let trouble = self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let denied = trouble.problem.clone().filter(|_| trouble.is_denied);
        denied.map_or(Ok(()), |problem| Err(Error::Authentication(problem)))
    }

    /// Waits in the engine's runtime, whichever is current.
    pub fn sleep(&self, patience: Duration) -> Sleep {
        let _inside = self.0.runtime.enter();
        tokio::time::sleep(patience)
    }
}

struct Driver<E: Engine> {
    inner: Arc<Inner<E>>,
    dialer: Dialer,
    links: BTreeMap<LinkId, Link>,
    /// What the sockets have brought and the engine has not seen.
    heard: Vec<(LinkId, Heard)>,
    news: E::News,
    timer: Pin<Box<Sleep>>,
    /// When an engine without users ends, whatever is open.
    give_up: Option<Instant>,
}

impl<E: Engine> Driver<E> {
    async fn run(mut self) {
        let inner = self.inner.clone();
        let mut kicked = pin!(inner.kick.notified());
        let (mut is_first, mut is_done) = (true, false);
        poll_fn(|context| {
            loop {
                let mut is_busy = std::mem::take(&mut is_first);
                if kicked.as_mut().poll(context).is_ready() {
                    kicked.set(inner.kick.notified());
                    is_busy = true;
                }
                is_busy |= self.timer.as_mut().poll(context).is_ready();
                self.poll_links(context);
                if is_done && self.links.values().all(Link::is_flushed) {
                    return Poll::Ready(());
                }
                if !is_busy && self.heard.is_empty() {
                    return Poll::Pending;
                }
                is_done = self.turn();
                E::tell(&mut self.news);
            }
        })
        .await;
    }

    fn poll_links(&mut self, context: &mut Context<'_>) {
        for (id, link) in &mut self.links {
            if let Poll::Ready(heard) = link.poll(context) {
                self.heard.push((*id, heard));
            }
        }
    }

    /// Lets the engine work on what has happened. True where it has come to its end.
    fn turn(&mut self) -> bool {
        let inner = self.inner.clone();
        let mut held = inner.lock();
        let now = inner.clock.now();
        held.read = now;
        held.is_kicked = false;
        if held.is_abandoned && self.give_up.is_none() {
            self.give_up = Some(now.at.plus_ms(FAREWELL_MS));
            held.engine.abandon(now);
        }
        if self.heard.is_empty() {
            held.engine.handle(now, Event::Wake);
        }
        for (id, heard) in std::mem::take(&mut self.heard) {
            self.hand_over(&mut held.engine, now, id, heard);
        }
        held.engine.settle(now, &mut self.news);
        while let Some(transmit) = held.engine.poll_transmit() {
            self.transmit(&mut held.engine, transmit);
        }
        let wake = held.engine.next_wake().into_iter().chain(self.give_up).min();
        // Never in the past, so that the others have their turn, and never out of the timer's reach.
        let soonest = Instant(now.at.0 + 1000);
        held.armed = wake.unwrap_or(Instant(u64::MAX)).clamp(soonest, now.at.plus_ms(3_600_000));
        self.timer.as_mut().reset(inner.clock.moment(held.armed));
        self.give_up.is_some_and(|give_up| held.engine.is_done() || give_up <= now.at)
    }

    fn hand_over(&mut self, engine: &mut E, now: Now, id: LinkId, heard: Heard) {
        // What the engine closed itself is no news.
        let Some(link) = self.links.get_mut(&id) else { return };
        match heard {
            Heard::Connected => engine.handle(now, Event::Connected(id)),
            Heard::Received => engine.handle(now, Event::Received(id, &mut link.inbox)),
            Heard::Identified(credentials) => engine.handle(now, Event::Identified(id, credentials)),
            Heard::Ended { why, is_denied } => {
                let problem = format!("{}: {why}", link.address);
                self.links.remove(&id);
                self.trouble(engine, problem, is_denied);
                engine.handle(now, if is_denied { Event::Denied(id) } else { Event::Closed(id) });
            }
        }
    }

    fn trouble(&self, engine: &mut E, problem: String, is_denied: bool) {
        if is_denied {
            engine.denied(&problem)
        } else {
            engine.trouble(&problem)
        }
        let problem = Some(problem);
        *self.inner.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Trouble { problem, is_denied };
    }

    fn transmit(&mut self, engine: &mut E, transmit: Transmit) {
        match transmit {
            Transmit::Connect { link, host, port } => {
                self.inner.trouble.lock().unwrap_or_else(PoisonError::into_inner).is_denied = false;
                self.links.insert(link, Link::open(host, port, self.dialer.clone()));
            }
            Transmit::Send { link, bytes } => {
                if let Some(link) = self.links.get_mut(&link) {
                    link.outbox.push_back(bytes);
                }
            }
            Transmit::Identify { link } => {
                if let Some(link) = self.links.get_mut(&link) {
                    link.identifying = Some(self.dialer.identify());
                }
            }
            Transmit::Close { link, why, is_denied } => {
                if let (Some(closed), Some(why)) = (self.links.remove(&link), why) {
                    let problem = format!("{}: {why}", closed.address);
                    self.trouble(engine, problem, is_denied);
                }
            }
        }
    }
}

impl<E: Engine> Drop for Driver<E> {
    fn drop(&mut self) {
        let mut held = self.inner.lock();
        held.has_ended = true;
        held.engine.end(&mut self.news);
        drop(held);
        E::tell(&mut self.news);
    }
}
