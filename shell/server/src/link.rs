//! Links: connections that a shard opens to other nodes. Requests leave, responses come back whole.
//!
//! Lives on its shard's thread, as connections do. Knows lengths, never what a request says, and never tries again: a
//! link ends once, with a reason, and what follows is the core's to decide.

use crate::buffers::Memory;
use crate::disk::LocalDisk;
use crate::outgoing::Outgoing;
use crate::platform;
use crate::reading::{End, Reading, Taker};
use crate::resolve::resolve;
use broker::types::limits::UNSENT_BYTES_PER_LINK_MAX;
use broker::types::{HashMap, Text};
use broker::{Frame, Input, LinkId};
use bytes::Bytes;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// How long a dial may take, the lookup of the name included.
const DIAL_MAX: Duration = Duration::from_secs(2);

/// The home of links: where they read, and who is told.
pub trait Home {
    fn tell(&self, input: Input<LocalDisk>);
    /// A turn is over: what was said meanwhile may leave.
    fn turn_over(&self);
    fn memory(&self) -> &Arc<Memory>;
    fn scratch(&self) -> &RefCell<Vec<u8>>;
    fn response_bytes_max(&self) -> usize;
}

/// The links of one shard.
#[derive(Default)]
pub struct Links {
    open: RefCell<HashMap<LinkId, (Rc<Link>, AbortHandle)>>,
    /// Links with something to send.
    dirty: RefCell<Vec<Rc<Link>>>,
}

impl Links {
    /// Must be called in the runtime of the shard's thread.
    pub fn dial<H: Home + 'static>(self: &Rc<Links>, id: LinkId, host: Text, port: u16, home: Rc<H>) {
        let link = Rc::new(Link {
            id,
            stream: OnceCell::new(),
            reading: RefCell::default(),
            outgoing: RefCell::default(),
            waker: RefCell::default(),
            is_over: Cell::new(false),
            failure: RefCell::default(),
        });
        let task = Rc::clone(self).run(Rc::clone(&link), (host, port), home);
        let handle = tokio::task::spawn_local(task).abort_handle();
        self.open.borrow_mut().insert(id, (link, handle));
    }

    /// Puts a request among those that leave with the next `flush`.
    pub fn send(&self, id: LinkId, frame: Bytes) {
        if let Some((link, _)) = self.open.borrow().get(&id) {
            link.push(frame);
            self.dirty.borrow_mut().push(Rc::clone(link));
        }
    }

    /// Ends a link without a word.
    pub fn hang_up(&self, id: LinkId) {
        if let Some((link, task)) = self.open.borrow_mut().remove(&id) {
            // It may be this very task that hands on a response now: the mark stops it before the next one.
            link.is_over.set(true);
            task.abort();
        }
    }

    /// Lets everything leave that was said since the last time.
    pub fn flush(&self) {
        for link in self.dirty.borrow_mut().drain(..) {
            link.flush();
        }
    }

    async fn run<H: Home>(self: Rc<Links>, link: Rc<Link>, to: (Text, u16), home: Rc<H>) {
        let reason = match timeout(DIAL_MAX, dial(&to.0, to.1)).await {
            Ok(Ok(stream)) => link.serve(stream, &*home).await,
            Ok(Err(reason)) => reason,
            Err(_) => format!("{}:{} did not answer within {} s", to.0, to.1, DIAL_MAX.as_secs()),
        };
        if !link.is_over.replace(true) {
            self.open.borrow_mut().remove(&link.id);
            home.tell(Input::LinkClosed { link: link.id, reason });
            home.turn_over();
        }
    }
}

struct Link {
    id: LinkId,
    /// Once it stands.
    stream: OnceCell<TcpStream>,
    reading: RefCell<Reading>,
    outgoing: RefCell<Outgoing>,
    waker: RefCell<Option<Waker>>,
    /// Nothing more is told of it.
    is_over: Cell<bool>,
    /// Why it cannot go on.
    failure: RefCell<Option<String>>,
}

impl Link {
    /// Serves the link until it ends; says why it did.
    async fn serve<H: Home>(&self, stream: TcpStream, home: &H) -> String {
        let local = match stream.local_addr() {
            Ok(local) => local,
            Err(error) => return format!("the connection failed: {error}"),
        };
        self.stream.set(stream).expect("a link is dialed once");
        home.tell(Input::LinkOpened { link: self.id, local });
        home.turn_over();
        loop {
            match poll_fn(|context| self.turn(context, home)).await {
                Ok(()) => tokio::task::yield_now().await,
                Err(reason) => return reason,
            }
        }
    }

    fn push(&self, frame: Bytes) {
        let mut outgoing = self.outgoing.borrow_mut();
        // Asked before it is added, so that one large request can always leave.
        if outgoing.in_memory() > UNSENT_BYTES_PER_LINK_MAX {
            drop(outgoing);
            return self
                .fail(format!("the other end takes nothing while {UNSENT_BYTES_PER_LINK_MAX} bytes wait for it"));
        }
        outgoing.push(Frame::of(frame));
    }

    /// Sends what the socket takes; the task of the link sees to the rest.
    fn flush(&self) {
        let Some(stream) = self.stream.get() else { return };
        let sent = self.outgoing.borrow_mut().flush(stream);
        match sent {
            Ok(()) if self.outgoing.borrow().is_empty() => {}
            Ok(()) => self.wake(),
            Err(error) => self.fail(format!("sending failed: {error}")),
        }
    }

    /// Ends it with its next turn, for this is no moment to tell the shard anything.
    fn fail(&self, reason: String) {
        *self.outgoing.borrow_mut() = Outgoing::default();
        self.failure.borrow_mut().get_or_insert(reason);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Sends and reads: ready where others are to have their turn first, or with the reason of its end.
    fn turn<H: Home>(&self, context: &mut Context<'_>, home: &H) -> Poll<Result<(), String>> {
        self.remember(context.waker());
        let stream = self.stream.get().expect("it is served once it stands");
        while !self.outgoing.borrow().is_empty() {
            match stream.poll_write_ready(context) {
                Poll::Ready(Ok(())) => self.flush(),
                Poll::Ready(Err(error)) => self.fail(format!("the connection failed: {error}")),
                Poll::Pending => break,
            }
        }
        let read = match &*self.failure.borrow() {
            Some(reason) => return Poll::Ready(Err(reason.clone())),
            None => self.reading.borrow_mut().read(context, &Heard { link: self, stream, home }),
        };
        home.turn_over();
        match read {
            Poll::Ready(Err(End(reason))) => {
                Poll::Ready(Err(reason.unwrap_or_else(|| "the other end closed it".into())))
            }
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn remember(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }
}

/// A link while it is read from.
struct Heard<'a, H> {
    link: &'a Link,
    stream: &'a TcpStream,
    home: &'a H,
}

impl<H: Home> Taker for Heard<'_, H> {
    const FRAME: &'static str = "response";

    fn stream(&self) -> &TcpStream {
        self.stream
    }

    fn memory(&self) -> &Arc<Memory> {
        self.home.memory()
    }

    fn scratch(&self) -> &RefCell<Vec<u8>> {
        self.home.scratch()
    }

    fn may_read(&self) -> bool {
        !self.link.is_over.get()
    }

    /// Responses were asked for, and nodes that wait for each other's memory would never go on.
    fn has_memory(&self, _is_mid_frame: bool) -> bool {
        true
    }

    fn checked_length(&self, announced: i32) -> Result<usize, End> {
        let max = self.home.response_bytes_max();
        match usize::try_from(announced) {
            Ok(length) if length <= max => Ok(length),
            Ok(length) => Err(End(Some(format!(
                "it sent a response of {length} bytes, but socket.request.max.bytes allows {max}"
            )))),
            Err(_) => Err(End(Some(format!("it sent a response with a length of {announced}")))),
        }
    }

    /// All of it: one buffer for one response.
    fn trusted_bytes(&self, length: usize, _last_length: usize) -> usize {
        length
    }

    fn take(&self, frame: Bytes) {
        self.home.tell(Input::LinkReceived { link: self.link.id, frame });
    }

    fn heard(&self) {}
}

/// Tries the addresses of a host in turn, each for its share of the time.
async fn dial(host: &str, port: u16) -> Result<TcpStream, String> {
    let addresses = resolve(host, port).await.map_err(|error| format!("cannot find {host}: {error}"))?;
    let share = DIAL_MAX / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut reason = format!("{host} has no address");
    for address in addresses {
        reason = match timeout(share, connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => format!("cannot connect to {host} at {address}: {error}"),
            Err(_) => format!("{host} at {address} did not answer within {} ms", share.as_millis()),
        };
    }
    Err(reason)
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(true)?;
    platform::notice_silence(&socket)?;
    let stream = socket.connect(address).await?;
    // Where nobody listens at a port of our own machine, TCP may connect a socket to itself.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
