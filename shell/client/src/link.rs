//! One socket of an engine: connects, hands over what comes and sends what it is given. Must never know a request.

use crate::dial::{Dialer, Identifying, Stream};
use crate::security::tls::explain;
use bytes::{Buf, Bytes, BytesMut};
use client::Credentials;
use std::collections::VecDeque;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncReadExt, AsyncWrite};

/// Room for what comes, where the engine has not made more for an answer that it awaits.
const READ_BYTES: usize = 64 << 10;
/// Pieces of requests that one system call takes.
const SLICES_MAX: usize = 64;

/// What happened at a socket; an end has its cause in words, and may be one that another try would not change.
#[derive(Debug)]
pub enum Heard {
    Connected,
    /// There is more in the inbox than before.
    Received,
    Identified(Credentials),
    Ended {
        why: String,
        is_denied: bool,
    },
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
    /// The credentials that were asked for.
    pub identifying: Option<Identifying>,
    /// What it may mean that the broker ends the connection before its first answer, before its second...
    hints: Vec<&'static str>,
}

impl Link {
    pub fn open(host: String, port: u16, dialer: Dialer) -> Link {
        let address = address(&host, port);
        let tls = "; where it wants TLS, set security.protocol to SSL or SASL_SSL";
        let sasl = "; where it wants to know who this client is, set security.protocol to SASL_SSL or SASL_PLAINTEXT";
        // Last comes first. The protocol's first question is answered to anybody, in TLS where that is spoken.
        let hints = [(sasl, dialer.login.is_some()), (tls, dialer.tls.is_some())];
        let hints = hints.map(|(hint, is_known)| if is_known { "" } else { hint }).to_vec();
        let connecting = async move { dialer.dial(&host, port).await };
        let state = State::Connecting(Box::pin(connecting));
        Link {
            address,
            inbox: BytesMut::new(),
            outbox: VecDeque::new(),
            state,
            is_unsent: false,
            identifying: None,
            hints,
        }
    }

    /// Whether nothing waits that could still be sent.
    pub fn is_flushed(&self) -> bool {
        !self.is_unsent && self.outbox.is_empty() || !matches!(self.state, State::Open(_))
    }

    /// Sends what the socket takes, and reads once.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Heard> {
        if let Some(Poll::Ready(found)) = self.identifying.as_mut().map(|finding| finding.as_mut().poll(context)) {
            self.identifying = None;
            return Poll::Ready(found.map_or_else(|error| self.ended(error), Heard::Identified));
        }
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
        Poll::Ready(heard.unwrap_or_else(|error| self.ended(error)))
    }

    fn ended(&mut self, error: Error) -> Heard {
        let hint = match (&self.state, error.kind()) {
            (State::Open(_), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                self.hints.last().copied().unwrap_or_default()
            }
            _ => "",
        };
        self.state = State::Ended;
        let error = explain(error);
        // The system has the same word for what another try may change.
        let is_denied = error.kind() == ErrorKind::PermissionDenied && error.raw_os_error().is_none();
        Heard::Ended { why: format!("{error}{hint}"), is_denied }
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
            return Poll::Ready(Err(Error::new(ErrorKind::UnexpectedEof, "the broker closed the connection")));
        }
        self.hints.pop();
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
