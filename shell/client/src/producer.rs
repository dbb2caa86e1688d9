//! A producer: records in, delivery results out. Must never know how a batch is laid out.

use crate::clock::Clock;
use crate::driver::{Engine, Shared};
use crate::error::Error;
use client::admin::Refused;
use client::{Delivery, Event, Instant, Message, NotTaken, Now, Place, ProducerOptions, SendError, Transmit};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;

/// Sends records, in batches and in the order of each partition; with the default options each is stored once.
///
/// Made by [`Client::producer`](crate::Client::producer). Cloning it is cheap; all clones send in one order. When the
/// last one is dropped, what was taken is still sent while the runtime lives; [`Producer::close`] waits for that.
#[derive(Clone, Debug)]
pub struct Producer {
    shared: Shared<Sender>,
    /// Tells that a record may be taken that was not.
    room: Arc<Notify>,
    block: Duration,
}

impl Producer {
    pub(crate) fn start(options: ProducerOptions, clock: Clock) -> Producer {
        let room = Arc::new(Notify::new());
        let block = Duration::from_millis(options.block_ms_max);
        let sender =
            Sender { engine: client::Producer::new(options), room: room.clone(), metadata_epoch: 0, trouble: None };
        Producer { shared: Shared::start(sender, clock), room, block }
    }

    /// Takes a record, waiting while `buffer.memory` is full or the topic is not known yet. What becomes of the record
    /// is the returned future's to tell; it need not be awaited for the record to be sent. Dropping the future of this
    /// call before it is done means that the record is not sent.
    ///
    /// # Errors
    /// [`Error::TimedOut`] where it would have to wait longer than `max.block.ms`, [`Error::Refused`] for a record that
    /// is too large or whose topic cannot be written to, [`Error::Closed`] where the runtime is shutting down. The
    /// returned future fails with [`Error::Refused`] where the broker does not take the record, and with
    /// [`Error::TimedOut`] after `delivery.timeout.ms` (two minutes where nothing else is set).
    pub async fn send(&self, message: Message) -> Result<Sending, Error> {
        // A loop that never has to wait would keep this thread from its other tasks.
        tokio::task::consume_budget().await;
        match self.offer(&message)? {
            Ok(sending) => Ok(sending),
            Err(_) => self.send_when_possible(&message).await,
        }
    }

    async fn send_when_possible(&self, message: &Message) -> Result<Sending, Error> {
        let mut give_up = pin!(self.shared.sleep(self.block));
        loop {
            let mut room = pin!(self.room.notified());
            room.as_mut().enable();
            let reason = match self.offer(message)? {
                Ok(sending) => return Ok(sending),
                Err(reason) => reason,
            };
            tokio::select! {
                () = room => {}
                () = give_up.as_mut() => return Err(self.blocked(message, &reason)),
            }
        }
    }

    fn offer(&self, message: &Message) -> Result<Result<Sending, NotTaken>, Error> {
        let offered = self.shared.apply(|sender, now| match sender.engine.send(now, message) {
            Ok(taken) => {
                let sending = Sending { batch: taken.ticket.clone(), index: taken.index, waiting: None };
                (Ok(sending), taken.wake)
            }
            Err(reason) => (Err(reason), Some(now.at)),
        })?;
        match offered {
            Err(NotTaken::Refused(error)) => Err(failed(error, None)),
            other => Ok(other),
        }
    }

    /// What a record waited for in vain.
    fn blocked(&self, message: &Message, reason: &NotTaken) -> Error {
        let topic = &message.topic;
        let what = match (reason, message.partition) {
            (NotTaken::Unknown(code), _) if !code.is_ok() => return Error::of_code(*code),
            (NotTaken::Unknown(_), Some(partition)) => format!("no partition {partition} of topic `{topic}` is known"),
            (NotTaken::Unknown(_), None) => format!("nothing is known of topic `{topic}`"),
            (NotTaken::Full | NotTaken::Refused(_), _) => "buffer.memory is full".to_owned(),
        };
        let cause = self.shared.trouble().map_or_else(String::new, |trouble| format!("; {trouble}"));
        Error::TimedOut { problem: Some(format!("{what} after max.block.ms ({} ms){cause}", self.block.as_millis())) }
    }

    /// Sends what waits for company, and returns once everything taken before has been delivered or has failed.
    pub async fn flush(&self) {
        let open = self.shared.with(|sender, now| {
            sender.engine.flush(now);
            sender.engine.open().cloned().collect::<Vec<_>>()
        });
        // An engine that has ended has nothing left.
        for batch in open.unwrap_or_default() {
            let _ = Sending { batch, index: 0, waiting: None }.await;
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
    batch: Arc<Batch>,
    index: i32,
    /// Which of the batch's wakers is this one's.
    waiting: Option<usize>,
}

impl Future for Sending {
    type Output = Result<Place, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let sending = &mut *self;
        if sending.batch.outcome.get().is_none() {
            let mut wakers = sending.batch.wakers();
            // The outcome is set before the wakers are looked at.
            if sending.batch.outcome.get().is_none() {
                match sending.waiting {
                    Some(at) => wakers[at].clone_from(context.waker()),
                    None => {
                        sending.waiting = Some(wakers.len());
                        wakers.push(context.waker().clone());
                    }
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(match sending.batch.outcome.get() {
            Some(Ok(place)) => Ok(place.plus(sending.index)),
            Some(Err(error)) => Err(error.clone()),
            None => Err(Error::Closed),
        })
    }
}

/// What became of a batch, for all who hold one of its records.
#[derive(Debug, Default)]
struct Batch {
    outcome: OnceLock<Result<Place, Error>>,
    wakers: Mutex<Vec<Waker>>,
}

impl Batch {
    fn wakers(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resolve(&self, outcome: Result<Place, Error>) {
        // A batch has one end.
        let _ = self.outcome.set(outcome);
        let wakers = std::mem::take(&mut *self.wakers());
        wakers.into_iter().for_each(Waker::wake);
    }
}

fn failed(error: SendError, trouble: Option<&str>) -> Error {
    match error {
        SendError::Refused { code, message } => Error::Refused(Refused { code, message }),
        SendError::TimedOut { .. } => Error::TimedOut { problem: trouble.map(ToOwned::to_owned) },
    }
}

struct Sender {
    engine: client::Producer<Arc<Batch>>,
    room: Arc<Notify>,
    metadata_epoch: u64,
    trouble: Option<String>,
}

impl Engine for Sender {
    type News = Vec<(Arc<Batch>, Result<Place, Error>)>;

    fn handle(&mut self, now: Now, event: Event<'_>) {
        self.engine.handle(now, event);
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.engine.poll_transmit()
    }

    fn next_wake(&self) -> Option<Instant> {
        self.engine.next_wake()
    }

    fn settle(&mut self, _now: Now, news: &mut Self::News) {
        let before = (news.len(), self.metadata_epoch);
        while let Some(Delivery { ticket, result, .. }) = self.engine.poll_delivery() {
            news.push((ticket, result.map_err(|error| failed(error, self.trouble.as_deref()))));
        }
        self.metadata_epoch = self.engine.cluster().metadata_epoch();
        if before != (news.len(), self.metadata_epoch) {
            self.room.notify_waiters();
        }
    }

    fn tell(news: &mut Self::News) {
        for (batch, outcome) in news.drain(..) {
            batch.resolve(outcome);
        }
    }

    fn trouble(&mut self, problem: &str) {
        self.trouble = Some(problem.to_owned());
    }

    fn abandon(&mut self, now: Now) {
        self.engine.flush(now);
    }

    fn is_done(&self) -> bool {
        self.engine.is_idle()
    }

    fn end(&mut self, news: &mut Self::News) {
        news.extend(self.engine.open().map(|batch| (batch.clone(), Err(Error::Closed))));
        self.room.notify_waiters();
    }
}
