//! One group for each sink: every sink gets all records and keeps its own place, so that one that is slow, or fails, keeps
//! no other waiting and goes on where it was.
//!
//! `cargo run -p vltava-client --example sinks -- 127.0.0.1:9092 rivers archive search billing`

use std::time::Duration;
use vltava_client::{ConsumedRecord, Consumer, ConsumerConfig, Error};

/// Copies a topic into one sink, until that fails.
async fn fill(bootstrap: String, topic: String, sink: String) -> Result<(), Error> {
    let consumer = Consumer::new(ConsumerConfig::from_map([
        ("bootstrap.servers", bootstrap.as_str()),
        ("group.id", &format!("sink-{sink}")),
        ("client.id", &sink),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
    ])?)?;
    consumer.subscribe([topic.as_str().into()]).await?;
    loop {
        let records = consumer.poll(Duration::from_secs(1)).await?;
        if records.is_empty() {
            continue;
        }
        for consumed in records {
            consumed.records.iter().for_each(|record| store(&sink, record));
        }
        consumer.commit_sync().await?;
    }
}

fn store(sink: &str, record: &ConsumedRecord) {
    println!("{sink}: {}", record.value.as_deref().unwrap_or_default().escape_ascii());
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let words: Vec<String> = std::env::args().collect();
    let [_, bootstrap, topic, sinks @ ..] = &words[..] else { panic!("usage: sinks HOST:PORT TOPIC SINK...") };
    let tasks: Vec<_> =
        sinks.iter().map(|sink| (sink, tokio::spawn(fill(bootstrap.clone(), topic.clone(), sink.clone())))).collect();
    for (sink, task) in tasks {
        if let Ok(Err(error)) = task.await {
            eprintln!("{sink} stops: {error}");
        }
    }
}
