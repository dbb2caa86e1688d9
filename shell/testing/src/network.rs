//! What a test does to the connections of a broker.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The network before one broker. Clones are the same network.
#[derive(Clone, Debug)]
pub struct Network {
    state: Arc<Mutex<State>>,
    changes: watch::Sender<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    latency: Duration,
    is_cut: bool,
    refuses: bool,
}

impl Network {
    pub(crate) fn new() -> Network {
        Network { state: Arc::default(), changes: watch::Sender::new(0) }
    }

    /// Each answer leaves so much later.
    pub fn set_latency(&self, latency: Duration) {
        self.change(|state| state.latency = latency);
    }

    /// Nothing comes through any more, in either direction, and connections stay open: as behind a pulled cable.
    pub fn cut(&self) {
        self.change(|state| state.is_cut = true);
    }

    /// The opposite of [`Network::cut`]: what waited meanwhile arrives.
    pub fn heal(&self) {
        self.change(|state| state.is_cut = false);
    }

    /// New connections are closed as soon as they are made.
    pub fn refuse_connections(&self, refuse: bool) {
        self.change(|state| state.refuses = refuse);
    }

    /// Closes all connections of clients and other brokers, once.
    pub fn hang_up(&self) {
        self.changes.send_modify(|hang_ups| *hang_ups += 1);
    }

    fn change(&self, how: impl FnOnce(&mut State)) {
        how(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changes.send_modify(|_| {});
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn refuses(&self) -> bool {
        self.state().refuses
    }

    /// Waits for as long as the network is cut, and then for its latency.
    pub(crate) async fn pass(&self) {
        let mut changes = self.changes.subscribe();
        while self.state().is_cut {
            if changes.changed().await.is_err() {
                return;
            }
        }
        let latency = self.state().latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
    }

    /// Returns with the next `hang_up`.
    pub(crate) async fn hung_up(&self) {
        let mut changes = self.changes.subscribe();
        let before = *changes.borrow_and_update();
        // A network that is gone hangs up.
        let _ = changes.wait_for(|hang_ups| *hang_ups != before).await;
    }
}
