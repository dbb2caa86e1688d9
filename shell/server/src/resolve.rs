//! Addresses of names, found on threads of their own: a name server that does not answer holds up neither a shard nor its
//! jobs, which matters most while a network is cut.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tokio::sync::oneshot;

/// Lookups that may wait at a time in this process; the system ends each by itself after a while.
const LOOKUPS_MAX: usize = 16;

static LOOKUPS: AtomicUsize = AtomicUsize::new(0);

/// The addresses of a host, in the order in which they are to be tried.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let lookup = Lookup::begin().ok_or_else(|| io::Error::other("too many lookups of names wait for an answer"))?;
    let (tell, found) = oneshot::channel();
    let host = host.to_owned();
    thread::Builder::new().name("resolver".to_owned()).spawn(move || {
        let _lookup = lookup;
        // Who asked may have given up.
        let _ = tell.send((host.as_str(), port).to_socket_addrs().map(Iterator::collect));
    })?;
    found.await.unwrap_or_else(|_| Err(io::Error::other("the lookup broke off")))
}

/// One of the lookups that may wait.
struct Lookup;

impl Lookup {
    fn begin() -> Option<Lookup> {
        let more = |count| (count < LOOKUPS_MAX).then_some(count + 1);
        LOOKUPS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok().then_some(Lookup)
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        LOOKUPS.fetch_sub(1, Ordering::Relaxed);
    }
}
