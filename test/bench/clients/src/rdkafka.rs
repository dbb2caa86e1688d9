//! librdkafka by its most used binding.

use crate::{Load, Reader};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Default)]
struct Counter(AtomicU64);

impl ClientContext for Counter {}

impl ProducerContext for Counter {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        result.as_ref().expect("delivered");
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn config(options: Vec<(String, String)>) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in options {
        config.set(name, value);
    }
    config
}

pub fn produce(load: &Load) {
    let values = load.values();
    let producer: BaseProducer<Counter> =
        config(load.producer_options()).create_with_context(Counter::default()).expect("a producer");
    crate::run(crate::measured(load, async {
        for (number, value) in (0..load.records).zip(values.iter().cycle()) {
            let mut record = BaseRecord::<(), [u8]>::to(&load.topic).payload(value);
            while let Err((error, back)) = producer.send(record) {
                assert!(
                    matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)),
                    "not taken: {error}"
                );
                producer.poll(Duration::from_millis(1));
                record = back;
            }
            if number % 64 == 0 {
                producer.poll(Duration::ZERO);
            }
        }
        producer.flush(Duration::from_secs(60)).expect("flushed");
        while producer.context().0.load(Ordering::Relaxed) < load.records {
            producer.poll(Duration::from_millis(10));
        }
    }));
}

impl Reader for BaseConsumer {
    async fn open(load: &Load) -> BaseConsumer {
        let consumer: BaseConsumer = config(load.consumer_options()).create().expect("a consumer");
        let mut spots = TopicPartitionList::new();
        for partition in 0..load.partitions {
            spots.add_partition_offset(&load.topic, partition, Offset::Beginning).expect("an offset");
        }
        consumer.assign(&spots).expect("assigned");
        consumer
    }

    async fn read(&mut self, records: u64) -> u64 {
        let (mut seen, mut bytes) = (0, 0);
        while seen < records {
            if let Some(message) = self.poll(Duration::from_secs(30)) {
                bytes += message.expect("a record").payload().map_or(0, <[u8]>::len) as u64;
                seen += 1;
            }
        }
        bytes
    }
}
