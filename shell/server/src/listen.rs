//! Listening sockets, and the acceptor that deals their connections out to the shards in turn.

use crate::connection::Connection;
use crate::limits::{Connections, Permit};
use crate::notices::Notices;
use crate::platform;
use crate::shard::{Host, Mail, Mailbox};
use broker::ConnId;
use rustix::net::sockopt;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpSocket, TcpStream};

/// Pause after an error of the acceptor that will not go away at once, such as too many open files.
const RETRY: Duration = Duration::from_millis(100);

/// How sockets are set up.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    pub backlog: u32,
    /// None leaves the size to the system, which adapts it to the connection.
    pub receive_buffer_bytes: Option<u32>,
    pub send_buffer_bytes: Option<u32>,
}

/// Opens a listening socket. An empty host means every address, of both families where there are two.
pub fn bind(host: &str, port: u16, options: SocketOptions) -> io::Result<TcpListener> {
    if host.is_empty() {
        let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        return match bind_to(both, options) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => bind_to(([0, 0, 0, 0], port).into(), options),
            other => other,
        };
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut last = io::Error::other("the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match bind_to(address, options) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_to(address: SocketAddr, options: SocketOptions) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    if address.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED) {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    // What is set here every accepted socket inherits, so that accepting one costs no further calls.
    socket.set_nodelay(true)?;
    platform::keep_alive(&socket)?;
    if let Some(bytes) = options.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(address)?;
    rustix::net::listen(&socket, i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.as_fd().try_clone_to_owned()?.into())
}

/// The address that this machine has towards others, as far as its routes tell: nothing is sent to find it out. Its own
/// address to itself where there are no others.
pub fn primary_address() -> IpAddr {
    // Addresses for documentation (RFC 5737, RFC 3849), which nobody has: the default route leads there.
    let elsewhere: [(IpAddr, IpAddr); 2] = [
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
    ];
    let towards = |(every, other): (IpAddr, IpAddr)| {
        let socket = UdpSocket::bind((every, 0)).ok()?;
        socket.connect((other, 9)).ok()?;
        socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
    };
    elsewhere.into_iter().find_map(towards).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Deals connections out. Lives on the first shard's thread and serves its share there at once.
pub struct Acceptor {
    pub host: Rc<Host>,
    pub shards: Vec<Mailbox>,
    pub connections: Arc<Connections>,
    next_id: Cell<u64>,
    notices: RefCell<Notices>,
}

impl Acceptor {
    pub fn new(host: Rc<Host>, shards: Vec<Mailbox>, connections: Arc<Connections>) -> Rc<Acceptor> {
        Rc::new(Acceptor { host, shards, connections, next_id: Cell::new(0), notices: RefCell::default() })
    }

    /// Accepts for as long as the process runs.
    pub async fn run(self: Rc<Acceptor>, listener: TcpListener) {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!("cannot accept connections: {error}"),
        };
        let bound = listener.local_addr().ok().filter(|address| !address.ip().is_unspecified());
        loop {
            if self.connections.room().await {
                tracing::warn!("there were max.connections connections; new ones had to wait until one closed");
            }
            match listener.accept().await {
                Ok((stream, peer)) => self.accepted(stream, canonical(peer), bound),
                // A client that gave up before it was served.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    let help = "raise the limit of open files (ulimit -n) or lower max.connections";
                    let now = Instant::now();
                    self.notices.borrow_mut().say(now, &format!("cannot accept connections: {error}; {help}"));
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn accepted(&self, stream: TcpStream, peer: SocketAddr, bound: Option<SocketAddr>) {
        let permit = match self.connections.admit(peer.ip()) {
            Ok(permit) => permit,
            Err(most) => {
                let cause = format!("its address has {most} connections already (max.connections.per.ip)");
                return self.notices.borrow_mut().closed(Instant::now(), peer, &cause);
            }
        };
        // A peer that is gone already has no addresses any more.
        let Some(local) = bound.or_else(|| stream.local_addr().ok().map(canonical)) else { return };
        let id = ConnId(self.next_id.get() + 1);
        self.next_id.set(id.0);
        self.deal(id, stream, peer, local, permit);
    }

    fn deal(&self, id: ConnId, stream: TcpStream, peer: SocketAddr, local: SocketAddr, permit: Permit) {
        let shard = usize::try_from(id.0 % self.shards.len() as u64).unwrap_or(0);
        if shard == 0 {
            return self.host.open(Connection::new(id, peer, stream, permit), local);
        }
        if let Ok(socket) = stream.into_std() {
            // A shard that has stopped serves nobody.
            let _ = self.shards[shard].send(Mail::Accepted { id, socket, peer, local, permit });
        }
    }
}

/// The address as people write it: an IPv4 peer of a socket for both families is an IPv4 address.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
