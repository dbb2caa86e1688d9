//! `confluent-kafka` for Rust, by the path that its documentation names for bytes at hand: nothing is serialized.

use crate::{Load, Reader};
use confluent_kafka::common::serialization::{ByteArrayDeserializer, ByteArraySerializer};
use confluent_kafka::common::{Error, TopicPartition};
use confluent_kafka::consumer::{Consumer, ConsumerConfig, KafkaConsumer};
use confluent_kafka::producer::{KafkaProducer, Producer, ProducerConfig, ProducerRecord, RecordMetadata};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub fn produce(load: &Load) {
    let values = load.values();
    let options: HashMap<String, String> = load.producer_options().into_iter().collect();
    crate::run(async {
        let config = ProducerConfig::new(&options).expect("options");
        let (keys, bytes) = (ByteArraySerializer::default(), ByteArraySerializer::default());
        let producer = KafkaProducer::<Vec<u8>, Vec<u8>>::new(config, keys, bytes).expect("a producer");
        let delivered = Arc::new(AtomicU64::new(0));
        crate::measured(load, async {
            for (_, value) in (0..load.records).zip(values.iter().cycle()) {
                let record = ProducerRecord::<&[u8], &[u8]>::new(load.topic.clone(), Some(value));
                let delivered = Arc::clone(&delivered);
                let done = move |_: Option<&RecordMetadata>, error: Option<&Error>| {
                    assert!(error.is_none(), "not delivered: {error:?}");
                    delivered.fetch_add(1, Ordering::Relaxed);
                };
                producer.send(record, Some(Box::new(done))).await.expect("taken");
            }
            producer.flush().await.expect("flushed");
            assert_eq!(delivered.load(Ordering::Relaxed), load.records);
        })
        .await;
        producer.close().await.expect("closed");
    });
}

impl Reader for KafkaConsumer<Vec<u8>, Vec<u8>> {
    async fn open(load: &Load) -> Self {
        let mut options: HashMap<String, String> = load.consumer_options().into_iter().collect();
        // The only protocol that it has; it is not spoken, because partitions are assigned by hand.
        options.insert("group.protocol".into(), "consumer".into());
        let config = ConsumerConfig::new(&options).expect("options");
        let (keys, values) = (ByteArrayDeserializer::default(), ByteArrayDeserializer::default());
        let mut consumer = KafkaConsumer::new(config, keys, values).expect("a consumer");
        let spots: Vec<_> =
            (0..load.partitions).map(|partition| TopicPartition::new(load.topic.clone(), partition)).collect();
        consumer.assign(spots.clone()).await.expect("assigned");
        consumer.seek_to_beginning(&spots).await.expect("sought");
        consumer
    }

    async fn read(&mut self, records: u64) -> u64 {
        let (mut seen, mut bytes) = (0, 0);
        while seen < records {
            for record in &self.poll(Duration::from_secs(30)).await.expect("records") {
                bytes += record.value().map_or(0, |value| value.len()) as u64;
                seen += 1;
            }
        }
        bytes
    }
}
