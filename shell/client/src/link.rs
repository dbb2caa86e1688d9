//! One socket of an engine: connects, hands over what comes and sends what it is given. Must never know a request.

use crate::dial::{Dialer, Stream};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::{Error, IoSlice, Result};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncReadExt, AsyncWrite};

/// Room for what comes, where the engine has not made more for an answer that it awaits.
const READ_BYTES: usize = 64 << 10;
/// Pieces of requests that one system call takes.
const SLICES_MAX: usize = 64;

/// What happened at a socket; an end has its cause in words.
#[derive(Debug)]
pub enum Heard {
    Connected,
    /// There is more in the inbox than before.
    Received,
    Ended(String),
}

enum State {
    Connecting(Pin<Box<dyn Future<Output = Result<Stream>> + Send>>),
    Open(Stream),
    Ended,
}

/// A socket; dropping it closes it. What waits to be sent is bounded by what the engine lets out: a producer's
/// `max.in.flight.requests.per.connection`, else a few requests.
pub struct Link {
    /// Where it goes; troubles begin with this.
    pub address: String,
    pub inbox: BytesMut,
    pub outbox: VecDeque<Bytes>,
    state: State,
    /// What was written may wait within the stream.
    is_unsent: bool,
}

impl Link {
    pub fn open(host: String, port: u16, dialer: Dialer) -> Link {
        let address = address(&host, port);
        let connecting = async move { dialer.dial(&host, port).await };
        let state = State::Connecting(Box::pin(connecting));
        Link { address, inbox: BytesMut::new(), outbox: VecDeque::new(), state, is_unsent: false }
    }

    /// Whether nothing waits that could still be sent.
    pub fn is_flushed(&self) -> bool {
        !self.is_unsent && self.outbox.is_empty() || !matches!(self.state, State::Open(_))
    }

    /// Sends what the socket takes, and reads once.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Heard> {
        let heard = match &mut self.state {
            State::Ended => return Poll::Pending,
            State::Connecting(connecting) => ready!(connecting.as_mut().poll(context)).map(|stream| {
                self.state = State::Open(stream);
                Heard::Connected
            }),
            State::Open(_) => match self.write(context) {
                Poll::Ready(Err(error)) => Err(error),
                Poll::Ready(Ok(())) | Poll::Pending => ready!(self.read(context)),
            },
        };
        Poll::Ready(heard.unwrap_or_else(|error| {
            self.state = State::Ended;
            Heard::Ended(error.to_string())
        }))
    }

    fn read(&mut self, context: &mut Context<'_>) -> Poll<Result<Heard>> {
        let State::Open(stream) = &mut self.state else { return Poll::Pending };
        // What has begun to come is moved to a larger buffer only where that must be.
        let spare = self.inbox.capacity() - self.inbox.len();
        if spare == 0 || self.inbox.is_empty() && spare < READ_BYTES / 4 {
            self.inbox.reserve(READ_BYTES);
        }
        let count = ready!(pin!(stream.read_buf(&mut self.inbox)).poll(context))?;
        if count == 0 {
            return Poll::Ready(Err(Error::other("the broker closed the connection")));
        }
        Poll::Ready(Ok(Heard::Received))
    }

    fn write(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let State::Open(stream) = &mut self.state else { return Poll::Pending };
        while !self.outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut count = 0;
            for (slice, bytes) in slices.iter_mut().zip(&self.outbox) {
                *slice = IoSlice::new(bytes);
                count += 1;
            }
            let written = ready!(Pin::new(&mut *stream).poll_write_vectored(context, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(Error::from(std::io::ErrorKind::WriteZero)));
            }
            self.is_unsent = true;
            advance(&mut self.outbox, written);
        }
        if self.is_unsent {
            ready!(Pin::new(stream).poll_flush(context))?;
            self.is_unsent = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// Takes off the front what has been sent.
fn advance(outbox: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(first) = outbox.front_mut() {
        if first.len() > written {
            first.advance(written);
            return;
        }
        written -= first.len();
        outbox.pop_front();
    }
}

/// How an address is shown.
pub fn address(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}
