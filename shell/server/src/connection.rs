//! One connection that a client opened: its requests come in, its responses leave. Never knows what a request says.

use crate::buffers::Memory;
use crate::limits::Permit;
use crate::outgoing::Outgoing;
use crate::reading::{End, Reading, Taker, is_peer_gone, lost};
use crate::shard::Host;
use broker::types::limits::UNSENT_BYTES_PER_CONNECTION_MAX;
use broker::{ConnId, Frame};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::net::TcpStream;

pub struct Connection {
    pub id: ConnId,
    pub peer: SocketAddr,
    stream: TcpStream,
    reading: RefCell<Reading>,
    outgoing: RefCell<Outgoing>,
    /// Bytes of `outgoing` that are charged to the memory of the process.
    charged: Cell<usize>,
    waker: RefCell<Option<Waker>>,
    /// The core wants no further request for now.
    paused: Cell<bool>,
    /// To be closed once everything has left.
    closing: Cell<bool>,
    end: RefCell<Option<End>>,
    last_active: Cell<Instant>,
    _permit: Permit,
}

/// What follows one turn of a connection.
enum Turn {
    /// There is more to read, after the others.
    Again,
    End(End),
}

impl Connection {
    pub fn new(id: ConnId, peer: SocketAddr, stream: TcpStream, permit: Permit) -> Rc<Connection> {
        Rc::new(Connection {
            id,
            peer,
            stream,
            reading: RefCell::default(),
            outgoing: RefCell::default(),
            charged: Cell::new(0),
            waker: RefCell::default(),
            paused: Cell::new(false),
            closing: Cell::new(false),
            end: RefCell::default(),
            last_active: Cell::new(Instant::now()),
            _permit: permit,
        })
    }

    /// Serves the connection until it ends.
    pub async fn run(self: Rc<Connection>, host: Rc<Host>) {
        let end = loop {
            match poll_fn(|context| self.turn(context, &host)).await {
                Turn::Again => tokio::task::yield_now().await,
                Turn::End(end) => break end,
            }
        };
        host.memory.release(self.charged.take());
        host.memory.finished(self.id.0);
        host.ended(&self, end);
    }

    pub fn push(&self, frame: Frame<crate::file::LocalFile>) {
        self.outgoing.borrow_mut().push(frame);
    }

    pub fn set_paused(&self, paused: bool) {
        self.paused.set(paused);
        if !paused {
            self.wake();
        }
    }

    /// Closes once what was pushed has left.
    pub fn close(&self, reason: Option<String>) {
        self.closing.set(true);
        self.end.borrow_mut().get_or_insert(End(reason));
        self.wake();
    }

    /// Closes at once; what waits to leave is dropped.
    pub fn abort(&self, reason: Option<String>) {
        *self.outgoing.borrow_mut() = Outgoing::default();
        self.close(reason);
    }

    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    pub fn last_active(&self) -> Instant {
        self.last_active.get()
    }

    /// True where a request has arrived in part only.
    pub fn is_mid_request(&self) -> bool {
        self.reading.borrow().is_mid_frame()
    }

    /// Sends what the socket takes; the task of the connection sees to the rest.
    pub fn flush(&self, host: &Host) {
        let mut outgoing = self.outgoing.borrow_mut();
        if outgoing.is_empty() {
            return;
        }
        self.last_active.set(host.moment());
        if let Err(error) = outgoing.flush(&self.stream) {
            *outgoing = Outgoing::default();
            self.closing.set(true);
            // A peer that is gone is no news.
            let reason = (!is_peer_gone(&error)).then(|| format!("sending failed: {error}"));
            self.end.borrow_mut().get_or_insert(End(reason));
        }
        let (before, now) = (self.charged.replace(outgoing.in_memory()), outgoing.in_memory());
        if now > before {
            host.memory.charge(now - before);
        } else {
            host.memory.release(before - now);
        }
        if !outgoing.is_empty() || self.closing.get() {
            self.wake();
        }
    }

    fn turn(&self, context: &mut Context<'_>, host: &Host) -> Poll<Turn> {
        self.remember(context.waker());
        host.look_at_clock();
        while !self.outgoing.borrow().is_empty() {
            match self.stream.poll_write_ready(context) {
                Poll::Ready(Ok(())) => self.flush(host),
                Poll::Ready(Err(error)) => return Poll::Ready(Turn::End(lost(&error))),
                Poll::Pending => break,
            }
        }
        if self.closing.get() {
            let all_left = self.outgoing.borrow().is_empty();
            return if all_left { self.ended() } else { Poll::Pending };
        }
        let read = self.reading.borrow_mut().read(context, &Served { connection: self, host });
        host.flush();
        match read {
            Poll::Ready(Err(end)) => Poll::Ready(Turn::End(end)),
            // What kept it from reading may just have left.
            Poll::Ready(Ok(())) if self.may_read() => Poll::Ready(Turn::Again),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    fn ended(&self) -> Poll<Turn> {
        Poll::Ready(Turn::End(self.end.take().unwrap_or(End(None))))
    }

    fn remember(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    fn may_read(&self) -> bool {
        let unsent = self.outgoing.borrow().unsent();
        !self.paused.get() && !self.closing.get() && unsent <= UNSENT_BYTES_PER_CONNECTION_MAX as u64
    }
}

/// A connection while its shard's home reads from it.
struct Served<'a> {
    connection: &'a Connection,
    host: &'a Host,
}

impl Taker for Served<'_> {
    const FRAME: &'static str = "request";

    fn stream(&self) -> &TcpStream {
        &self.connection.stream
    }

    fn memory(&self) -> &Arc<Memory> {
        &self.host.memory
    }

    fn scratch(&self) -> &RefCell<Vec<u8>> {
        &self.host.scratch
    }

    fn may_read(&self) -> bool {
        self.connection.may_read()
    }

    fn has_memory(&self, is_mid_frame: bool) -> bool {
        let memory = &self.host.memory;
        let has_memory = memory.has_room() || is_mid_frame && memory.may_finish(self.connection.id.0);
        if !has_memory {
            self.host.stall(self.connection.id);
        }
        has_memory
    }

    fn checked_length(&self, announced: i32) -> Result<usize, End> {
        let max = self.host.request_bytes_max;
        match usize::try_from(announced) {
            Ok(length) if length <= max => Ok(length),
            Ok(length) => Err(End(Some(format!(
                "a request of {length} bytes is larger than socket.request.max.bytes ({max}); \
                 a client that speaks TLS or HTTP to this port looks like that, too"
            )))),
            Err(_) => Err(End(Some(format!("a request cannot have a length of {announced}")))),
        }
    }

    /// As much as it has proven to send.
    fn trusted_bytes(&self, _length: usize, last_length: usize) -> usize {
        last_length
    }

    fn take(&self, frame: Bytes) {
        self.host.memory.finished(self.connection.id.0);
        self.host.received(self.connection.id, frame);
    }

    fn heard(&self) {
        self.connection.last_active.set(self.host.moment());
    }
}
