//! How many connections there may be: in all (`max.connections`) and from one address (`max.connections.per.ip`).
//! Shared by the acceptor and all shards; touched when a connection opens and when it closes, never between.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// What the settings allow.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    pub total: usize,
    pub per_ip: usize,
    /// `max.connections.per.ip.overrides`
    pub overrides: Vec<(IpAddr, usize)>,
}

#[derive(Debug)]
pub struct Connections {
    limits: ConnectionLimits,
    open: Mutex<Open>,
    one_closed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    /// Only addresses that have a connection.
    per_ip: HashMap<IpAddr, usize>,
}

/// The right of one connection to exist; given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    connections: Arc<Connections>,
    ip: IpAddr,
}

impl Connections {
    #[must_use]
    pub fn new(limits: ConnectionLimits) -> Arc<Connections> {
        Arc::new(Connections { limits, open: Mutex::default(), one_closed: Notify::new() })
    }

    /// Waits until there may be one more. True where it had to wait.
    pub async fn room(&self) -> bool {
        let mut waited = false;
        loop {
            // Asked for before looking, so that a close in between is not missed.
            let closed = self.one_closed.notified();
            if self.with(|open| open.total < self.limits.total) {
                return waited;
            }
            waited = true;
            closed.await;
        }
    }

    /// Admits a connection, or says how many its address may have.
    pub fn admit(self: &Arc<Connections>, ip: IpAddr) -> Result<Permit, usize> {
        let special = self.limits.overrides.iter().find(|(address, _)| *address == ip);
        let most = special.map_or(self.limits.per_ip, |(_, most)| *most);
        self.with(|open| {
            let count = open.per_ip.get(&ip).copied().unwrap_or(0);
            if count >= most {
                return Err(most);
            }
            open.total += 1;
            open.per_ip.insert(ip, count + 1);
            Ok(Permit { connections: Arc::clone(self), ip })
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Open) -> T) -> T {
        act(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.connections.with(|open| {
            open.total -= 1;
            if let Some(count) = open.per_ip.get_mut(&self.ip) {
                *count -= 1;
                if *count == 0 {
                    open.per_ip.remove(&self.ip);
                }
            }
        });
        self.connections.one_closed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_own_bound_and_gets_it_back() {
        let [home, guest] = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 9])];
        let limits = ConnectionLimits { total: 9, per_ip: 2, overrides: vec![(guest, 0)] };
        let connections = Connections::new(limits);
        let first = connections.admit(home).expect("one of two");
        let _second = connections.admit(home).expect("two of two");
        assert_eq!(connections.admit(home).err(), Some(2));
        assert_eq!(connections.admit(guest).err(), Some(0));
        drop(first);
        assert!(connections.admit(home).is_ok());
    }
}
