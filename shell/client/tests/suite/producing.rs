//! The producer: options, deliveries, partitioners and what becomes of records that cannot be delivered.

use crate::harness::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use vltava_client::serial::{TypedConsumer, TypedProducer, json, number, read_json, read_number};
use vltava_client::{
    Client, ConfigChange, ConsumerOptions, Error, ErrorCode, Offset, PartitionIndex, Partitioner, Partitioning,
    Producer, ProducerConfig, ProducerRecord, Resource, Timestamp, Topic,
};

fn config(bootstrap: &str, options: &[(&str, &str)]) -> ProducerConfig {
    let all = options.iter().copied().chain([("bootstrap.servers", bootstrap)]);
    ProducerConfig::from_map(all).expect("the options of the test are valid")
}

#[test]
fn a_record_comes_back_with_all_that_it_had() {
    with_cluster(async |bootstrap| {
        let mut codecs = vec!["none", "gzip", "snappy", "lz4", "zstd"];
        for codec in codecs.clone() {
            let producer = Producer::new(config(&bootstrap, &[("compression.type", codec)]))?;
            let record = ProducerRecord::new(topic(), "value").key("key").partition(1);
            let record = record.timestamp(Timestamp(1_700_000_000_000)).header("codec", codec.as_bytes().to_vec());
            let stored = match producer.send(record).await?.await {
                Err(refused) if is_outside() && refused.code() == Some(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE) => {
                    assert_eq!(codecs.pop(), Some(codec), "Kafka before 2.1 knows the others");
                    continue;
                }
                stored => stored?,
            };
            assert_eq!((stored.topic, stored.partition), (topic(), PartitionIndex(1)));
            assert_eq!((stored.serialized_key_size, stored.serialized_value_size), (Some(3), Some(5)));
            assert_eq!(stored.timestamp, Timestamp(1_700_000_000_000));
            producer.close().await;
        }
        let client = Client::connect(&bootstrap).await?;
        let consumer = client.consumer(ConsumerOptions::default());
        consumer.assign([(spot(1), Some(Offset(0)))]).await?;
        let read = read(&consumer, codecs.len()).await?;
        let told: Vec<_> = read.iter().map(|record| record.headers[0].1.clone().expect("a value")).collect();
        assert_eq!(told, codecs);
        assert!(read.iter().all(|record| record.key == Some("key".into()) && record.value == Some("value".into())));
        Ok(())
    });
}

#[test]
fn many_records_keep_their_order_under_memory_that_is_short() {
    with_cluster(async |bootstrap| {
        let options = [("buffer.memory", "65536"), ("batch.size", "4096"), ("linger.ms", "0")];
        let producer = Producer::new(config(&bootstrap, &options))?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..5000 {
            let seen = seen.clone();
            let note = move |stored: Result<_, Error>| seen.lock().expect("nobody panics").push(stored);
            producer.send_with(record(0, "a record of some length, so that memory runs out"), note).await;
        }
        producer.flush().await;
        let seen = std::mem::take(&mut *seen.lock().expect("nobody panics"));
        let offsets: Vec<_> = seen.into_iter().map(|stored| stored.map(|stored| stored.offset)).collect();
        assert_eq!(offsets, (0..5000).map(|at| Ok(Some(Offset(at)))).collect::<Vec<_>>());
        let metrics = producer.metrics();
        assert_eq!((metrics.records_delivered, metrics.records_failed, metrics.bytes_buffered), (5000, 0, 0));
        assert!(metrics.requests_sent > 5, "{metrics:?}");
        Ok(())
    });
}

/// What is too large as a whole goes in parts, and each record is told where it went.
#[test]
fn a_batch_that_is_too_large_goes_in_parts() {
    with_cluster(async |bootstrap| {
        let client = Client::connect(&bootstrap).await?;
        let set = vec![("max.message.bytes".into(), ConfigChange::Set("400".into()))];
        if if_known(client.alter_configs(Resource::Topic(topic()), set, false).await)?.is_none() {
            return Ok(());
        }
        let options = [("linger.ms", "1000"), ("compression.type", "lz4"), ("delivery.timeout.ms", "60000")];
        let producer = Producer::new(config(&bootstrap, &options))?;
        let mut offset = 0;
        // Apache Kafka answers before its logs know.
        while producer.metrics().batches_split == 0 {
            let mut sent = Vec::new();
            for number in 0..20_u32 {
                let value: Vec<u8> = (0..60_u32).map(|at| (at * 31 + number * 17).to_le_bytes()[0]).collect();
                sent.push(producer.send(ProducerRecord::new(topic(), value).partition(0)).await?);
            }
            producer.flush().await;
            for record in sent {
                assert_eq!(record.await?.offset, Some(Offset(offset)));
                offset += 1;
            }
        }
        let metrics = BTreeMap::from(producer.metrics().named());
        assert_eq!(metrics["record-error-total"].to_bits(), 0.0_f64.to_bits(), "{metrics:?}");
        assert!(metrics["batch-split-total"] >= 1.0 && metrics["record-queue-time-max"] < 900.0, "{metrics:?}");
        Ok(())
    });
}

#[derive(Debug)]
struct Home;

impl Partitioner for Home {
    fn partition(&self, record: &ProducerRecord, topic: &Topic) -> Result<PartitionIndex, String> {
        match record.key.as_deref() {
            None => Err("a record needs a key".to_owned()),
            Some(b"Pangyo") => Ok(PartitionIndex(0)),
            Some(_) => Ok(PartitionIndex(i32::try_from(topic.partitions.len()).unwrap_or(1) - 1)),
        }
    }
}

#[test]
fn partitioners_choose_and_refuse() {
    with_cluster(async |bootstrap| {
        let mut own = config(&bootstrap, &[]);
        own.options.partitioning = Partitioning::Custom(Arc::new(Home));
        let producer = Producer::new(own)?;
        for (key, partition) in [("Pangyo", 0), ("Brno", 1), ("Pangyo", 0)] {
            let stored = producer.send(ProducerRecord::new(topic(), "x").key(key)).await?.await?;
            assert_eq!(stored.partition, PartitionIndex(partition), "{key}");
        }
        let refused = producer.send(ProducerRecord::new(topic(), "x")).await.expect_err("it has no key");
        assert_eq!(refused.code(), Some(ErrorCode::INVALID_RECORD));
        assert!(refused.to_string().contains("a record needs a key"), "{refused}");
        let turns = Producer::new(config(&bootstrap, &[("partitioner.class", "RoundRobinPartitioner")]))?;
        let mut chosen = Vec::new();
        for _ in 0..4 {
            chosen.push(turns.send(ProducerRecord::new(topic(), "x").key("same")).await?.await?.partition.0);
        }
        assert!(chosen == [0, 1, 0, 1] || chosen == [1, 0, 1, 0], "{chosen:?}");
        assert_eq!(turns.partitions_for(topic()).await?.len(), 2);
        Ok(())
    });
}

#[test]
fn what_cannot_be_sent_says_why() {
    with_cluster(async |bootstrap| {
        let producer = Producer::new(config(&bootstrap, &[("max.block.ms", "300"), ("max.request.size", "1000")]))?;
        let large = producer.send(record(0, "x").key(vec![0; 2000])).await.expect_err("it is too large");
        assert_eq!(large.code(), Some(ErrorCode::MESSAGE_TOO_LARGE));
        assert!(large.to_string().contains("max.request.size is 1000"), "{large}");
        let nowhere = producer.send(record(7, "x")).await.expect_err("there is no such partition");
        assert!(nowhere.to_string().contains("no partition 7 of topic"), "{nowhere}");
        // Nobody listens there: it is given up when the producer is closed.
        let dead =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr()).expect("a free port");
        let producer = Producer::new(config(&dead.to_string(), &[("max.block.ms", "200")]))?;
        let lost = producer.send(record(0, "x")).await.expect_err("nothing is known of the topic");
        assert!(lost.to_string().contains("Connection refused"), "{lost}");
        assert_eq!(producer.close_within(Duration::from_secs(5)).await, Ok(()));
        Ok(())
    });
}

#[test]
fn types_are_sent_and_read() {
    with_cluster(async |bootstrap| {
        let producer = TypedProducer::new(Producer::new(config(&bootstrap, &[]))?, number::<i64>, json::<Vec<&str>>);
        let record = ProducerRecord { topic: topic(), partition: Some(PartitionIndex(0)), ..ProducerRecord::default() };
        producer.send(record, Some(&7_i64), Some(&vec!["Vltava", "Labe"])).await?.await?;
        let client = Client::connect(&bootstrap).await?;
        let consumer = client.consumer(ConsumerOptions::default());
        consumer.assign([(spot(0), Some(Offset(0)))]).await?;
        let read = read(&consumer, 1).await?;
        assert_eq!(read[0].key.as_deref(), Some(&7_i64.to_be_bytes()[..]));
        assert_eq!(read[0].value.as_deref(), Some(&br#"["Vltava","Labe"]"#[..]));
        consumer.seek(spot(0), Offset(0)).await?;
        let typed = TypedConsumer::new(consumer, read_number::<i64>, read_json::<Vec<String>>);
        let read = typed.poll(PATIENCE).await?;
        assert_eq!((read[0].key, &read[0].value[..]), (Some(7), &["Vltava".to_owned(), "Labe".to_owned()][..]));
        produce(&client, vec![ProducerRecord::new(topic(), "no JSON").partition(0)]).await?;
        let bad = typed.poll(PATIENCE).await.expect_err("it is no JSON");
        assert!(bad.to_string().starts_with("partition 0, offset 1: "), "{bad}");
        assert_eq!(typed.poll(PATIENCE).await.expect_err("nobody has gone on"), bad);
        Ok(())
    });
}
