//! Cuts the stream of a connection into frames, one way for requests and responses. Knows lengths, never what a frame says.
//!
//! An idle stream holds no buffer. Small frames are read through the thread's scratch; once a large one has come, only
//! the next length is read that way and the rest goes straight into a buffer of the frame's size.

use crate::buffers::{Incoming, Memory, copied};
use bytes::{Buf, Bytes};
use rustix::io::readv;
use rustix::net::{RecvFlags, recv};
use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A stream whose last frame was at least this long is expected to bring such a one again.
const LARGE_BYTES: usize = 16 << 10;
/// What is read of an expected large frame before its length is known.
const PEEK_BYTES: usize = 1 << 10;
/// What one stream may read before others have their turn.
const TURN_BYTES: usize = 1 << 20;
pub const PREFIX_BYTES: usize = 4;

/// How a connection ended; the reason is for the operator, where there is something to say.
#[derive(Debug)]
pub struct End(pub Option<String>);

/// Who takes the frames of a stream.
pub trait Taker {
    /// What a frame is to people.
    const FRAME: &'static str;

    fn stream(&self) -> &TcpStream;
    fn memory(&self) -> &Arc<Memory>;
    fn scratch(&self) -> &RefCell<Vec<u8>>;
    /// Whether the next frame is wanted now.
    fn may_read(&self) -> bool;
    /// Whether there is memory to read on; where not, the taker sees to it that the stream is looked at again.
    fn has_memory(&self, is_mid_frame: bool) -> bool;
    /// Checks an announced length before anything is allocated for it.
    fn checked_length(&self, announced: i32) -> Result<usize, End>;
    /// How much of a frame is allocated before its bytes arrive, where the last one was `last_length` long.
    fn trusted_bytes(&self, length: usize, last_length: usize) -> usize;
    fn take(&self, frame: Bytes);
    /// Bytes have come.
    fn heard(&self);
}

#[derive(Default)]
pub struct Reading {
    /// A frame of which a part has arrived.
    incoming: Option<Incoming>,
    /// What was received and not yet cut: part of a length, or frames that came while none was wanted.
    rest: Bytes,
    /// Length of the last frame.
    last_length: usize,
}

impl Reading {
    /// True where a frame has arrived in part only.
    pub fn is_mid_frame(&self) -> bool {
        self.incoming.is_some() || !self.rest.is_empty()
    }

    /// Reads and hands on: pending where nothing is there or memory is short, ready where the stream has had its turn
    /// or may not read on.
    pub fn read<T: Taker>(&mut self, context: &mut Context<'_>, taker: &T) -> Poll<Result<(), End>> {
        if self.rest.len() >= PREFIX_BYTES {
            let mut rest = std::mem::take(&mut self.rest);
            let used = self.cut(&rest, taker)?;
            rest.advance(used);
            self.rest = rest;
        }
        let mut turn = 0;
        while turn < TURN_BYTES && taker.may_read() && self.rest.len() < PREFIX_BYTES {
            if !taker.has_memory(self.incoming.is_some()) {
                return Poll::Pending;
            }
            ready!(taker.stream().poll_read_ready(context)).map_err(|error| lost(&error))?;
            turn += match &mut self.incoming {
                Some(_) => self.receive_more(taker)?,
                None => self.receive_next(taker)?,
            };
        }
        Poll::Ready(Ok(()))
    }

    /// Receives through the scratch and cuts what came.
    fn receive_next<T: Taker>(&mut self, taker: &T) -> Result<usize, End> {
        let scratch = &mut *taker.scratch().borrow_mut();
        let held = self.rest.len();
        scratch[..held].copy_from_slice(&self.rest);
        self.rest = Bytes::new();
        let want = if self.last_length >= LARGE_BYTES { PEEK_BYTES } else { scratch.len() };
        let received = receive(taker, &mut [IoSliceMut::new(&mut scratch[held..want])], held > 0)?;
        self.cut_and_keep(&scratch[..held + received], taker)?;
        Ok(received)
    }

    /// Receives the rest of a frame where it belongs, and with the same call what the next one begins with.
    fn receive_more<T: Taker>(&mut self, taker: &T) -> Result<usize, End> {
        let incoming = self.incoming.as_mut().expect("the caller saw it");
        if incoming.is_full() {
            incoming.grow();
        }
        let scratch = &mut *taker.scratch().borrow_mut();
        let peek = if incoming.space_is_all() { PEEK_BYTES } else { 0 };
        let space = incoming.space();
        let wanted = space.len();
        let mut into = [IoSliceMut::new(space), IoSliceMut::new(&mut scratch[..peek])];
        let received = receive(taker, &mut into, true)?;
        incoming.received(received.min(wanted));
        if incoming.is_whole()
            && let Some(incoming) = self.incoming.take()
        {
            let frame = incoming.finish();
            self.last_length = frame.len();
            taker.take(frame);
            self.cut_and_keep(&scratch[..received - wanted], taker)?;
        }
        Ok(received)
    }

    /// Cuts what came through the scratch, and keeps what cannot be cut yet.
    fn cut_and_keep<T: Taker>(&mut self, came: &[u8], taker: &T) -> Result<(), End> {
        let used = self.cut(came, taker)?;
        if used < came.len() {
            self.rest = copied(&came[used..], taker.memory());
        }
        Ok(())
    }

    /// Hands on the whole frames at the front of `bytes`, and begins one that is there in part; the bytes used.
    fn cut<T: Taker>(&mut self, bytes: &[u8], taker: &T) -> Result<usize, End> {
        let mut left = bytes;
        while taker.may_read()
            && let Some((prefix, after)) = left.split_first_chunk::<PREFIX_BYTES>()
        {
            let length = taker.checked_length(i32::from_be_bytes(*prefix))?;
            if let Some(frame) = after.get(..length) {
                left = &after[length..];
                self.last_length = length;
                taker.take(copied(frame, taker.memory()));
            } else {
                let trusted = taker.trusted_bytes(length, self.last_length);
                let mut incoming = Incoming::new(length, trusted, taker.memory());
                incoming.take(after);
                self.incoming = Some(incoming);
                left = &[];
            }
        }
        Ok(bytes.len() - left.len())
    }
}

/// One receive call: the bytes that came, 0 where none were there. A short one emptied the socket, so that the next
/// attempt waits for the system's word instead of finding out by a call.
fn receive<T: Taker>(taker: &T, into: &mut [IoSliceMut<'_>], is_mid_frame: bool) -> Result<usize, End> {
    let stream = taker.stream();
    let size = into.iter().map(|slice| slice.len()).sum();
    let mut got = None;
    let outcome = stream.try_io(Interest::READABLE, || {
        let count = match into {
            [one] => recv(stream, &mut **one, RecvFlags::empty())?.1,
            several => readv(stream, several)?,
        };
        got = Some(count);
        if 0 < count && count < size { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match (got, outcome) {
        (Some(0), _) => Err(End(is_mid_frame.then(|| format!("it ended in the middle of a {}", T::FRAME)))),
        (Some(count), _) => {
            taker.heard();
            Ok(count)
        }
        (None, Err(error)) if !is_no_answer(&error) => Err(lost(&error)),
        (None, _) => Ok(0),
    }
}

fn is_no_answer(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

pub fn is_peer_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected)
}

pub fn lost(error: &io::Error) -> End {
    End((!is_peer_gone(error)).then(|| format!("the connection failed: {error}")))
}
