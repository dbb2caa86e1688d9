//! One connection: cuts the stream into requests, and lets the responses leave. Knows lengths, never what a request says.
//!
//! An idle connection holds no buffer. Small requests are read through the thread's scratch; once a connection has sent
//! a large one, only the next length is read that way and the rest goes straight into a buffer of the request's size.

use crate::buffers::{Incoming, copied};
use crate::limits::Permit;
use crate::outgoing::Outgoing;
use crate::shard::Host;
use broker::types::limits::UNSENT_BYTES_PER_CONNECTION_MAX;
use broker::{ConnId, Frame};
use bytes::{Buf, Bytes};
use rustix::io::readv;
use rustix::net::{RecvFlags, recv};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A connection whose last request was at least this long is expected to send such a one again.
const LARGE_BYTES: usize = 16 << 10;
/// What is read of an expected large request before its length is known.
const PEEK_BYTES: usize = 1 << 10;
/// What one connection may read before others have their turn.
const TURN_BYTES: usize = 1 << 20;
const PREFIX_BYTES: usize = 4;

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

#[derive(Default)]
struct Reading {
    /// A request of which a part has arrived.
    incoming: Option<Incoming>,
    /// What was received and not yet cut: part of a length, or requests that came while the connection was paused.
    rest: Bytes,
    /// Length of the last request.
    last_length: usize,
}

/// How a connection ended; the reason is for the operator, where there is something to say.
#[derive(Debug)]
pub struct End(pub Option<String>);

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
        let reading = self.reading.borrow();
        reading.incoming.is_some() || !reading.rest.is_empty()
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
        let read = self.read(context, host);
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

    /// Reads and hands on: pending where nothing is there or memory is short, ready where the connection has had its turn
    /// or may not read on.
    fn read(&self, context: &mut Context<'_>, host: &Host) -> Poll<Result<(), End>> {
        let reading = &mut *self.reading.borrow_mut();
        if reading.rest.len() >= PREFIX_BYTES {
            let mut rest = std::mem::take(&mut reading.rest);
            let used = self.cut(reading, &rest, host)?;
            rest.advance(used);
            reading.rest = rest;
        }
        let mut turn = 0;
        while turn < TURN_BYTES && self.may_read() && reading.rest.len() < PREFIX_BYTES {
            let may_go_on = host.memory.has_room() || reading.incoming.is_some() && host.memory.may_finish(self.id.0);
            if !may_go_on {
                host.stall(self.id);
                return Poll::Pending;
            }
            ready!(self.stream.poll_read_ready(context)).map_err(|error| lost(&error))?;
            turn += match &mut reading.incoming {
                Some(_) => self.receive_more(reading, host)?,
                None => self.receive_next(reading, host)?,
            };
        }
        Poll::Ready(Ok(()))
    }

    /// Receives through the scratch and cuts what came.
    fn receive_next(&self, reading: &mut Reading, host: &Host) -> Result<usize, End> {
        let scratch = &mut *host.scratch.borrow_mut();
        let held = reading.rest.len();
        scratch[..held].copy_from_slice(&reading.rest);
        reading.rest = Bytes::new();
        let want = if reading.last_length >= LARGE_BYTES { PEEK_BYTES } else { scratch.len() };
        let received = self.receive(&mut [IoSliceMut::new(&mut scratch[held..want])], held > 0, host)?;
        self.cut_and_keep(reading, &scratch[..held + received], host)?;
        Ok(received)
    }

    /// Receives the rest of a request where it belongs, and with the same call what the next one begins with.
    fn receive_more(&self, reading: &mut Reading, host: &Host) -> Result<usize, End> {
        let incoming = reading.incoming.as_mut().expect("the caller saw it");
        if incoming.is_full() {
            incoming.grow();
        }
        let scratch = &mut *host.scratch.borrow_mut();
        let peek = if incoming.space_is_all() { PEEK_BYTES } else { 0 };
        let space = incoming.space();
        let wanted = space.len();
        let mut into = [IoSliceMut::new(space), IoSliceMut::new(&mut scratch[..peek])];
        let received = self.receive(&mut into, true, host)?;
        incoming.received(received.min(wanted));
        if incoming.is_whole()
            && let Some(incoming) = reading.incoming.take()
        {
            host.memory.finished(self.id.0);
            let request = incoming.finish();
            reading.last_length = request.len();
            host.received(self.id, request);
            self.cut_and_keep(reading, &scratch[..received - wanted], host)?;
        }
        Ok(received)
    }

    /// Cuts what came through the scratch, and keeps what cannot be cut yet.
    fn cut_and_keep(&self, reading: &mut Reading, came: &[u8], host: &Host) -> Result<(), End> {
        let used = self.cut(reading, came, host)?;
        if used < came.len() {
            reading.rest = copied(&came[used..], &host.memory);
        }
        Ok(())
    }

    /// Hands on the whole requests at the front of `bytes`, and begins one that is there in part; the bytes used.
    fn cut(&self, reading: &mut Reading, bytes: &[u8], host: &Host) -> Result<usize, End> {
        let mut left = bytes;
        while self.may_read()
            && let Some((prefix, after)) = left.split_first_chunk::<PREFIX_BYTES>()
        {
            let length = checked_length(*prefix, host.request_bytes_max)?;
            if let Some(request) = after.get(..length) {
                left = &after[length..];
                reading.last_length = length;
                host.received(self.id, copied(request, &host.memory));
            } else {
                let mut incoming = Incoming::new(length, reading.last_length, &host.memory);
                incoming.take(after);
                reading.incoming = Some(incoming);
                left = &[];
            }
        }
        Ok(bytes.len() - left.len())
    }

    /// One receive call: the bytes that came, 0 where none were there. A short one emptied the socket, so that the next
    /// attempt waits for the system's word instead of finding out by a call.
    fn receive(&self, into: &mut [IoSliceMut<'_>], mid_request: bool, host: &Host) -> Result<usize, End> {
        let size = into.iter().map(|slice| slice.len()).sum();
        let mut got = None;
        let outcome = self.stream.try_io(Interest::READABLE, || {
            let count = match into {
                [one] => recv(&self.stream, &mut **one, RecvFlags::empty())?.1,
                several => readv(&self.stream, several)?,
            };
            got = Some(count);
            if 0 < count && count < size { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match (got, outcome) {
            (Some(0), _) => Err(End(mid_request.then(|| String::from("it ended in the middle of a request")))),
            (Some(count), _) => {
                self.last_active.set(host.moment());
                Ok(count)
            }
            (None, Err(error)) if !is_no_answer(&error) => Err(lost(&error)),
            (None, _) => Ok(0),
        }
    }
}

fn is_no_answer(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// The length that a request announces, checked before anything is allocated for it.
fn checked_length(prefix: [u8; PREFIX_BYTES], max: usize) -> Result<usize, End> {
    let announced = i32::from_be_bytes(prefix);
    match usize::try_from(announced) {
        Ok(length) if length <= max => Ok(length),
        Ok(length) => Err(End(Some(format!(
            "a request of {length} bytes is larger than socket.request.max.bytes ({max}); \
             a client that speaks TLS or HTTP to this port looks like that, too"
        )))),
        Err(_) => Err(End(Some(format!("a request cannot have a length of {announced}")))),
    }
}

fn is_peer_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected)
}

fn lost(error: &io::Error) -> End {
    End((!is_peer_gone(error)).then(|| format!("the connection failed: {error}")))
}
