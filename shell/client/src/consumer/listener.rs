//! Whom a consumer tells what its group gives it and takes from it.

use super::Consumer;
use client::Spot;
use std::pin::Pin;

/// What a listener does; nothing else is polled meanwhile.
pub type Told<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Called from within [`Consumer::poll`], and from `unsubscribe` and `close`. It may commit, seek and pause through the
/// consumer, but not poll.
pub trait RebalanceListener: Send + Sync {
    /// These partitions were added; with cooperative strategies there may be others that stay.
    fn assigned<'a>(&'a mut self, _consumer: &'a Consumer, _spots: &'a [Spot]) -> Told<'a> {
        Box::pin(std::future::ready(()))
    }

    /// These partitions go to others when this is done: what was read of them can be committed now.
    fn revoked<'a>(&'a mut self, _consumer: &'a Consumer, _spots: &'a [Spot]) -> Told<'a> {
        Box::pin(std::future::ready(()))
    }

    /// These partitions are others' already: what was read of them cannot be committed any more. Does what `revoked` does
    /// where nothing else is said.
    fn lost<'a>(&'a mut self, consumer: &'a Consumer, spots: &'a [Spot]) -> Told<'a> {
        self.revoked(consumer, spots)
    }
}

/// Does nothing.
impl RebalanceListener for () {}

impl std::fmt::Debug for dyn RebalanceListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RebalanceListener")
    }
}
