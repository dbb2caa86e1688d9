//! The seam of a simulated client: it is told what its connections bring, and says what to do with them.

use bytes::Bytes;
use types::{Instant, Now};

/// A connection as the one numbers it who opened it: a client, or a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

#[derive(Debug)]
pub enum ActorInput {
    /// The time that `next_wake` named has come; also the very first input.
    Wake,
    Connected(LinkId),
    /// Bytes as the network cut them.
    Received(LinkId, Bytes),
    /// The connection is gone, or never came about.
    Closed(LinkId),
}

#[derive(Debug)]
pub enum ActorOutput {
    Connect { link: LinkId, host: String },
    Send { link: LinkId, bytes: Bytes },
    Close { link: LinkId },
}

pub trait Actor {
    fn handle(&mut self, now: Now, input: ActorInput, out: &mut Vec<ActorOutput>);
    fn next_wake(&self) -> Option<Instant>;
}

impl<T: Actor + ?Sized> Actor for Box<T> {
    fn handle(&mut self, now: Now, input: ActorInput, out: &mut Vec<ActorOutput>) {
        (**self).handle(now, input, out);
    }

    fn next_wake(&self) -> Option<Instant> {
        (**self).next_wake()
    }
}
