//! This project's client.

use crate::{Load, Reader};
use std::collections::VecDeque;
use std::time::Duration;
use vltava_client::{
    Bytes, Client, Codec, Consumer, ConsumerOptions, Offset, PartitionIndex, ProducerOptions, ProducerRecord, Reset,
};

/// Deliveries that are waited for together.
const OPEN_MAX: usize = 50_000;

pub fn produce(load: &Load) {
    let values: Vec<Bytes> = load.values().into_iter().map(Bytes::from).collect();
    crate::run(async {
        let client = Client::connect(&load.bootstrap).await.expect("a client");
        let codec = match load.codec.as_str() {
            "none" => Codec::None,
            "zstd" => Codec::Zstd,
            other => panic!("codec {other}"),
        };
        let options = ProducerOptions { linger_ms: 5, batch_bytes: 65536, codec: (codec, 3), ..Default::default() };
        let producer = client.producer(options);
        crate::measured(load, async {
            let mut open = VecDeque::new();
            for (_, value) in (0..load.records).zip(values.iter().cycle()) {
                let topic = load.topic.as_str().into();
                let message = ProducerRecord { topic, value: Some(value.clone()), ..ProducerRecord::default() };
                open.push_back(producer.send(message).await.expect("taken"));
                if open.len() > OPEN_MAX {
                    open.pop_front().expect("many").await.expect("delivered");
                }
            }
            producer.flush().await;
            for sending in open {
                sending.await.expect("delivered");
            }
        })
        .await;
    });
}

impl Reader for Consumer {
    async fn open(load: &Load) -> Consumer {
        let client = Client::connect(&load.bootstrap).await.expect("a client");
        let consumer = client.consumer(ConsumerOptions { reset: Reset::Earliest, ..Default::default() });
        let spots = (0..load.partitions).map(|at| ((load.topic.as_str().into(), PartitionIndex(at)), Some(Offset(0))));
        consumer.assign(spots).await.expect("assigned");
        consumer
    }

    async fn read(&mut self, records: u64) -> u64 {
        let (mut seen, mut bytes) = (0, 0);
        while seen < records {
            let polled = self.poll(Duration::from_secs(30)).await.expect("records");
            assert!(!polled.partitions().is_empty(), "nothing within 30 s");
            for (_, record) in polled.iter() {
                bytes += record.value.as_ref().map_or(0, |value| value.len()) as u64;
                seen += 1;
            }
        }
        bytes
    }
}
