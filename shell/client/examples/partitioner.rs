//! A partitioner of one's own: the key `Pangyo` goes to partition 0, other keys by their hash as with Kafka's own, and a
//! record without a key is not sent.
//!
//! `cargo run -p vltava-client --example partitioner -- 127.0.0.1:9092 cities Pangyo Brno`

use std::sync::Arc;
use vltava_client::{
    Error, PartitionIndex, Partitioner, Partitioning, Producer, ProducerConfig, ProducerRecord, Topic, partition_of_key,
};

#[derive(Debug)]
struct HomeFirst;

impl Partitioner for HomeFirst {
    fn partition(&self, record: &ProducerRecord, topic: &Topic) -> Result<PartitionIndex, String> {
        match record.key.as_deref() {
            None => Err("a record of this topic needs a key".to_owned()),
            Some(b"Pangyo") => Ok(PartitionIndex(0)),
            Some(key) => Ok(partition_of_key(key, i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX))),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().collect();
    let [_, bootstrap, topic, keys @ ..] = &words[..] else { panic!("usage: partitioner HOST:PORT TOPIC KEY...") };
    let mut config = ProducerConfig::from_map([("bootstrap.servers", bootstrap)])?;
    config.options.partitioning = Partitioning::Custom(Arc::new(HomeFirst));
    let producer = Producer::new(config)?;
    for key in keys {
        let stored = producer.send(ProducerRecord::new(topic.as_str(), "a city").key(key.clone())).await?.await?;
        println!("{key}: partition {}", stored.partition);
    }
    let refused = producer.send(ProducerRecord::new(topic.as_str(), "a city without a name")).await;
    println!("without a key: {}", refused.expect_err("it has no key"));
    producer.close().await;
    Ok(())
}
