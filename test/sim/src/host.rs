//! Runs a client engine as an actor's hands: what the network brings goes in, what the engine wants goes out.

use crate::actor::{ActorInput, ActorOutput, LinkId};
use bytes::BytesMut;
use client::{Admin, Consumer, Event, Producer, Transmit};
use std::collections::BTreeMap;
use types::{Instant, Now};

pub trait Engine {
    fn handle(&mut self, now: Now, event: Event<'_>);
    fn poll_transmit(&mut self) -> Option<Transmit>;
    fn next_wake(&self) -> Option<Instant>;
}

impl<T: Default> Engine for Producer<T> {
    fn handle(&mut self, now: Now, event: Event<'_>) {
        self.handle(now, event);
    }
    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.poll_transmit()
    }
    fn next_wake(&self) -> Option<Instant> {
        self.next_wake()
    }
}

impl Engine for Consumer {
    fn handle(&mut self, now: Now, event: Event<'_>) {
        self.handle(now, event);
    }
    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.poll_transmit()
    }
    fn next_wake(&self) -> Option<Instant> {
        self.next_wake()
    }
}

impl Engine for Admin {
    fn handle(&mut self, now: Now, event: Event<'_>) {
        self.handle(now.at, event);
    }
    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.poll_transmit()
    }
    fn next_wake(&self) -> Option<Instant> {
        self.next_wake()
    }
}

/// More links than any engine opens in one life.
const LINKS_MAX: u64 = 1_000_000;

/// An engine, replaced by a new one where its process is to die.
pub struct Host<E> {
    pub engine: E,
    /// Where the numbers of this engine's links begin: engines count from 0, the network once.
    base: u64,
    /// What has come over each open link and was not taken yet.
    open: BTreeMap<u64, BytesMut>,
}

impl<E: Engine> Host<E> {
    pub fn new(engine: E) -> Host<E> {
        Host::beside(engine, 0)
    }

    /// As `new`, for an actor that has several: each with its own place.
    pub fn beside(engine: E, place: u64) -> Host<E> {
        Host { engine, base: place << 40, open: BTreeMap::new() }
    }

    pub fn input(&mut self, now: Now, input: ActorInput) {
        let base = self.base;
        let ours = |link: LinkId| {
            let number = link.0.checked_sub(base).filter(|number| *number < LINKS_MAX);
            number.map(client::LinkId)
        };
        let event = match input {
            ActorInput::Wake => Some(Event::Wake),
            ActorInput::Connected(link) => ours(link).map(Event::Connected),
            ActorInput::Received(link, bytes) => self.open.get_mut(&link.0).and_then(|inbox| {
                inbox.extend_from_slice(&bytes);
                ours(link).map(|link| Event::Received(link, inbox))
            }),
            ActorInput::Closed(link) => {
                self.open.remove(&link.0);
                ours(link).map(Event::Closed)
            }
        };
        if let Some(event) = event {
            self.engine.handle(now, event);
        }
    }

    pub fn output(&mut self, out: &mut Vec<ActorOutput>) {
        while let Some(transmit) = self.engine.poll_transmit() {
            out.push(match transmit {
                Transmit::Connect { link, host, .. } => {
                    let link = LinkId(self.base + link.0);
                    self.open.insert(link.0, BytesMut::new());
                    ActorOutput::Connect { link, host }
                }
                Transmit::Send { link, bytes } => ActorOutput::Send { link: LinkId(self.base + link.0), bytes },
                Transmit::Identify { .. } => panic!("no simulated broker asks who its clients are"),
                Transmit::Close { link, .. } => {
                    let link = LinkId(self.base + link.0);
                    self.open.remove(&link.0);
                    ActorOutput::Close { link }
                }
            });
        }
    }

    /// The process that holds the engine dies, and another takes its place.
    pub fn replace(&mut self, engine: E, out: &mut Vec<ActorOutput>) {
        self.engine = engine;
        self.base += LINKS_MAX;
        for link in std::mem::take(&mut self.open).into_keys() {
            out.push(ActorOutput::Close { link: LinkId(link) });
        }
    }
}
