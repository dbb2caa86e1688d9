//! Sends lines from standard input, and says of each what became of it without waiting for it.
//!
//! `cargo run -p vltava-client --example callback -- 127.0.0.1:9092 rivers < lines.txt`

use std::io::BufRead;
use vltava_client::{Error, Producer, ProducerConfig, ProducerRecord};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().collect();
    let [_, bootstrap, topic] = &words[..] else { panic!("usage: callback HOST:PORT TOPIC") };
    let options = [("bootstrap.servers", bootstrap.as_str()), ("compression.type", "zstd"), ("linger.ms", "20")];
    let producer = Producer::new(ProducerConfig::from_map(options)?)?;
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("standard input can be read");
        let record = ProducerRecord::new(topic.as_str(), line);
        // Waits only where `buffer.memory` is full.
        let say = |stored: Result<vltava_client::RecordMetadata, Error>| match stored {
            Ok(at) => println!("partition {} offset {:?}", at.partition, at.offset),
            Err(error) => eprintln!("not stored: {error}"),
        };
        producer.send_with(record, say).await;
    }
    // All callbacks have run once this returns.
    producer.close().await;
    Ok(())
}
