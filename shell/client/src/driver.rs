//! Runs one engine: sockets, time and its users' commands in, requests out. Must never know what an engine is for.

use crate::clock::Clock;
use crate::link::{Link, Notice};
use client::{Event, Instant, LinkId, Now, Transmit};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Notices that wait for the engine: sockets are not read further while it is busy.
const NOTICES_MAX: usize = 16;
/// Commands that are carried out before sockets have their turn again.
const COMMANDS_AT_ONCE_MAX: usize = 512;

/// An engine together with those who wait for it.
pub trait Engine: Send + 'static {
    type Command: Send + 'static;
    fn command(&mut self, now: Now, command: Self::Command);
    fn handle(&mut self, now: Now, event: Event);
    fn poll_transmit(&mut self) -> Option<Transmit>;
    fn next_wake(&self) -> Option<Instant>;
    /// Hands out what has come of it to those who wait.
    fn settle(&mut self, now: Now);
    /// A connection could not be made, or ended: its address and why.
    fn trouble(&mut self, problem: &str);
    /// Whether another command can be taken.
    fn has_room(&self) -> bool {
        true
    }
    /// Nobody is left who could command: what is open is to be brought to an end.
    fn abandon(&mut self, now: Now);
    /// Whether nothing is left to do once abandoned.
    fn is_done(&self) -> bool;
}

/// The last trouble with a connection, for messages of time-outs.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    pub fn last(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, problem: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem.to_owned());
    }
}

/// Starts an engine's task; it ends when the sender of commands is dropped and the engine has come to its end.
pub fn start<E: Engine>(engine: E, clock: Clock, room: usize) -> (mpsc::Sender<E::Command>, Trouble) {
    let (sender, commands) = mpsc::channel(room);
    let (notify, notices) = mpsc::channel(NOTICES_MAX);
    let trouble = Trouble::default();
    let driver = Driver { engine, clock, commands, notices, notify, links: HashMap::new(), trouble: trouble.clone() };
    tokio::spawn(driver.run());
    (sender, trouble)
}

struct Driver<E: Engine> {
    engine: E,
    clock: Clock,
    commands: mpsc::Receiver<E::Command>,
    notices: mpsc::Receiver<Notice>,
    notify: mpsc::Sender<Notice>,
    links: HashMap<LinkId, Link>,
    trouble: Trouble,
}

impl<E: Engine> Driver<E> {
    async fn run(mut self) {
        let mut abandoned = false;
        loop {
            self.engine.settle(self.clock.now());
            self.transmit();
            if abandoned && self.engine.is_done() {
                return;
            }
            let has_room = !abandoned && self.engine.has_room();
            let wake = self.wake();
            tokio::select! {
                command = self.commands.recv(), if has_room => match command {
                    Some(command) => self.command(command),
                    None => {
                        abandoned = true;
                        self.engine.abandon(self.clock.now());
                    }
                },
                Some(notice) = self.notices.recv() => self.notice(notice),
                () = tokio::time::sleep_until(wake) => self.engine.handle(self.clock.now(), Event::Wake),
            }
        }
    }

    fn command(&mut self, first: E::Command) {
        let now = self.clock.now();
        self.engine.command(now, first);
        for _ in 0..COMMANDS_AT_ONCE_MAX {
            if !self.engine.has_room() {
                return;
            }
            let Ok(command) = self.commands.try_recv() else { return };
            self.engine.command(now, command);
        }
    }

    fn notice(&mut self, notice: Notice) {
        let now = self.clock.now();
        match notice {
            Notice::Happened(event) => self.engine.handle(now, event),
            Notice::Ended(link, why) => {
                // What the engine closed itself is no trouble, nor news.
                if self.links.remove(&link).is_some() {
                    self.trouble.note(&why);
                    self.engine.trouble(&why);
                    self.engine.handle(now, Event::Closed(link));
                }
            }
        }
    }

    fn transmit(&mut self) {
        while let Some(transmit) = self.engine.poll_transmit() {
            match transmit {
                Transmit::Connect { link, host, port } => {
                    self.links.insert(link, Link::open(link, host, port, self.notify.clone()));
                }
                Transmit::Send { link, bytes } => {
                    if let Some(link) = self.links.get(&link) {
                        link.send(bytes);
                    }
                }
                Transmit::Close { link } => {
                    if let Some(closed) = self.links.remove(&link) {
                        let why = format!("{}: it does not answer in time, or not in Kafka's protocol", closed.address);
                        self.trouble.note(&why);
                        self.engine.trouble(&why);
                    }
                }
            }
        }
    }

    /// When the engine wants to be woken: never in the past, so that the others have their turn.
    fn wake(&self) -> tokio::time::Instant {
        let soonest = tokio::time::Instant::now() + Duration::from_millis(1);
        let idle = soonest + Duration::from_secs(3600);
        self.engine.next_wake().map_or(idle, |at| self.clock.moment(at).clamp(soonest, idle))
    }
}
