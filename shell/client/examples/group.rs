//! A member of a group that commits what it has dealt with before it asks for more: after a crash records may come twice,
//! and none is lost. Start it several times, and the members share the partitions.
//!
//! `cargo run -p vltava-client --example group -- 127.0.0.1:9092 readers rivers`

use std::time::Duration;
use vltava_client::{Consumer, ConsumerConfig, Error, ErrorCode};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().collect();
    let [_, bootstrap, group, topic] = &words[..] else { panic!("usage: group HOST:PORT GROUP TOPIC") };
    let consumer = Consumer::new(ConsumerConfig::from_map([
        ("bootstrap.servers", bootstrap.as_str()),
        ("group.id", group),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
        ("partition.assignment.strategy", "cooperative-sticky"),
    ])?)?;
    consumer.subscribe([topic.as_str().into()]).await?;
    loop {
        let records = consumer.poll(Duration::from_secs(1)).await?;
        if records.is_empty() {
            continue;
        }
        for consumed in records {
            for record in consumed.records {
                let value = record.value.unwrap_or_default();
                println!("{}-{} {}: {}", consumed.spot.0, consumed.spot.1, record.offset, value.escape_ascii());
            }
        }
        match consumer.commit_sync().await {
            // The group has taken partitions away meanwhile: who has them now gets these records once more.
            Err(error) if error.code() == Some(ErrorCode::ILLEGAL_GENERATION) => eprintln!("not committed: {error}"),
            done => done?,
        }
    }
}
