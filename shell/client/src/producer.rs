//! A producer: records in, delivery results out. Must never know a batch.

use crate::clock::Clock;
use crate::driver::{self, Engine, Trouble};
use crate::error::Error;
use client::admin::Refused;
use client::{Event, Instant, Message, Now, Place, ProducerOptions, SendError, Transmit};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::{mpsc, oneshot};

/// Records on their way to the engine; what it holds is bounded by `buffer.memory`.
const COMMANDS_MAX: usize = 1024;

/// Sends records, in batches and in the order of each partition; with the default options each is stored once.
///
/// Made by [`Client::producer`](crate::Client::producer). Cloning it is cheap; all clones send in one order. When the
/// last one is dropped, what was taken is still sent while the runtime lives; [`Producer::close`] waits for that.
#[derive(Clone, Debug)]
pub struct Producer {
    commands: mpsc::Sender<Command>,
    trouble: Trouble,
}

impl Producer {
    pub(crate) fn start(options: ProducerOptions, clock: Clock) -> Producer {
        let engine = Sender { engine: client::Producer::new(options), open: HashMap::new(), next: 0, flushed: vec![] };
        let (commands, trouble) = driver::start(engine, clock, COMMANDS_MAX);
        Producer { commands, trouble }
    }

    /// Takes a record, waiting while `buffer.memory` is full. What becomes of the record is the returned future's to
    /// tell; it need not be awaited for the record to be sent.
    ///
    /// # Errors
    /// [`Error::Closed`] where the runtime is shutting down. The returned future fails with [`Error::Refused`] where
    /// the broker does not take the record (too large, for instance) and with [`Error::TimedOut`] after
    /// `delivery.timeout.ms` (two minutes where nothing else is set).
    pub async fn send(&self, message: Message) -> Result<Sending, Error> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Send(Box::new((message, reply)))).await.map_err(|_| Error::Closed)?;
        Ok(Sending { answer, trouble: self.trouble.clone() })
    }

    /// Sends what waits for company, and returns once everything taken before has been delivered or has failed.
    pub async fn flush(&self) {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Flush(reply)).await.is_ok() {
            // An engine that has ended has nothing left.
            let _ = answer.await;
        }
    }

    /// Flushes and ends the producer.
    pub async fn close(self) {
        self.flush().await;
    }
}

/// The delivery of one record: resolves to its place, or to why it has none.
#[derive(Debug)]
pub struct Sending {
    answer: oneshot::Receiver<Result<Place, SendError>>,
    trouble: Trouble,
}

impl Future for Sending {
    type Output = Result<Place, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(context).map(|answered| match answered {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(SendError::Refused { code, message })) => Err(Error::Refused(Refused { code, message })),
            Ok(Err(SendError::TimedOut { .. })) => Err(Error::TimedOut { problem: self.trouble.last() }),
            Err(_) => Err(Error::Closed),
        })
    }
}

type Reply = oneshot::Sender<Result<Place, SendError>>;

#[derive(Debug)]
enum Command {
    Send(Box<(Message, Reply)>),
    Flush(oneshot::Sender<()>),
}

struct Sender {
    engine: client::Producer,
    open: HashMap<u64, Reply>,
    next: u64,
    flushed: Vec<oneshot::Sender<()>>,
}

impl Engine for Sender {
    type Command = Command;

    fn command(&mut self, now: Now, command: Command) {
        match command {
            Command::Send(sent) => {
                let (message, reply) = *sent;
                self.open.insert(self.next, reply);
                self.engine.send(now, message, self.next);
                self.next += 1;
            }
            Command::Flush(reply) => {
                self.engine.flush(now);
                self.flushed.push(reply);
            }
        }
    }

    fn handle(&mut self, now: Now, event: Event) {
        self.engine.handle(now, event);
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.engine.poll_transmit()
    }

    fn next_wake(&self) -> Option<Instant> {
        self.engine.next_wake()
    }

    fn settle(&mut self, _now: Now) {
        while let Some(delivery) = self.engine.poll_delivery() {
            if let Some(reply) = self.open.remove(&delivery.tag) {
                // Who no longer waits does not care.
                let _ = reply.send(delivery.result);
            }
        }
        if self.engine.is_idle() {
            for reply in self.flushed.drain(..) {
                let _ = reply.send(());
            }
        }
    }

    fn trouble(&mut self, _problem: &str) {}

    fn has_room(&self) -> bool {
        self.engine.has_room()
    }

    fn abandon(&mut self, now: Now) {
        self.engine.flush(now);
    }

    fn is_done(&self) -> bool {
        self.engine.is_idle()
    }
}
