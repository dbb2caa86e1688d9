//! A consumer as a stream of its records.

use super::{Consumer, ConsumerRecords};
use crate::error::Error;
use client::{ConsumedRecord, Spot};
use futures_core::Stream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How long one poll of a stream lasts; the next one follows at once.
const POLL: Duration = Duration::from_secs(60);

type Polled<'a> = Pin<Box<dyn Future<Output = Result<ConsumerRecords, Error>> + Send + 'a>>;

/// Records one after the other, made by [`Consumer::stream`]. It ends only when the consumer does; after an error it goes
/// on with what can be read. Records of a poll that the stream was not asked for yet are lost with it.
pub struct RecordStream<'a> {
    consumer: &'a Consumer,
    ready: std::vec::IntoIter<(Spot, ConsumedRecord)>,
    polled: Polled<'a>,
    is_over: bool,
}

impl<'a> RecordStream<'a> {
    pub(super) fn new(consumer: &'a Consumer) -> RecordStream<'a> {
        let (ready, polled) = (Vec::new().into_iter(), Box::pin(consumer.poll(POLL)));
        RecordStream { consumer, ready, polled, is_over: false }
    }
}

impl Stream for RecordStream<'_> {
    type Item = Result<(Spot, ConsumedRecord), Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.is_over {
            if let Some(record) = self.ready.next() {
                return Poll::Ready(Some(Ok(record)));
            }
            let polled = ready!(self.polled.as_mut().poll(context));
            self.polled = Box::pin(self.consumer.poll(POLL));
            match polled {
                Ok(records) => self.ready = records.into_records().collect::<Vec<_>>().into_iter(),
                Err(error) => {
                    self.is_over = matches!(error, Error::Closed | Error::Refused(_));
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        Poll::Ready(None)
    }
}
