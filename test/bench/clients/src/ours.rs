//! This project's client.

use crate::Load;
use std::collections::VecDeque;
use std::time::Duration;
use vltava_client::{
    Bytes, Client, Codec, Consumer, ConsumerOptions, Message, Offset, PartitionIndex, Polled, ProducerOptions, Reset,
};

/// Deliveries that are waited for together.
const OPEN_MAX: usize = 50_000;

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work);
}

pub fn produce(load: &Load) {
    let values: Vec<Bytes> = load.values().into_iter().map(Bytes::from).collect();
    run(async {
        let client = Client::connect(&load.bootstrap).await.expect("a client");
        let codec = match load.codec.as_str() {
            "none" => Codec::None,
            "zstd" => Codec::Zstd,
            other => panic!("codec {other}"),
        };
        let options = ProducerOptions { linger_ms: 5, batch_bytes: 65536, codec: (codec, 3), ..Default::default() };
        let producer = client.producer(options);
        crate::measured_async(load, load.records, async {
            let mut open = VecDeque::new();
            for (_, value) in (0..load.records).zip(values.iter().cycle()) {
                let topic = load.topic.as_str().into();
                let message = Message { topic, value: Some(value.clone()), ..Message::default() };
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

async fn consumer(load: &Load) -> Consumer {
    let client = Client::connect(&load.bootstrap).await.expect("a client");
    let consumer = client.consumer(ConsumerOptions { reset: Reset::Earliest, ..Default::default() });
    let spots = (0..load.partitions).map(|at| ((load.topic.as_str().into(), PartitionIndex(at)), Some(Offset(0))));
    consumer.assign(spots).await.expect("assigned");
    consumer
}

async fn read(consumer: &mut Consumer, records: u64) -> u64 {
    let (mut seen, mut bytes) = (0, 0);
    while seen < records {
        match consumer.poll(Duration::from_secs(30)).await.expect("records").expect("within 30 s") {
            Polled::Records(some) => {
                for record in &some.records {
                    bytes += record.value.as_ref().map_or(0, |value| value.len()) as u64;
                    seen += 1;
                }
            }
            Polled::Event(event) => assert!(!format!("{event:?}").contains("Stuck"), "{event:?}"),
        }
    }
    bytes
}

pub fn consume(load: &Load) {
    run(async {
        crate::measured_async(load, load.records, async {
            let bytes = read(&mut consumer(load).await, load.records).await;
            assert_eq!(bytes, load.records * load.record_bytes as u64, "every byte that was sent");
        })
        .await;
    });
}

pub fn hold(load: &Load) {
    run(async {
        let mut consumers = Vec::new();
        for _ in 0..load.consumers {
            consumers.push(consumer(load).await);
        }
        for consumer in &mut consumers {
            read(consumer, 1000).await;
        }
        std::mem::forget(consumers);
    });
}
