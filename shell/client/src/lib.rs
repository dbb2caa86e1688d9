//! A client of Kafka in Rust alone: an administrator, producers and consumers, asynchronous over tokio.
//!
//! Owns sockets, clocks and tasks for the engines of `pure/client`, and the names under which people call them. Must
//! never know a message of the protocol. Options have Kafka's names, and Kafka's defaults where nothing else is said.
//!
//! ```no_run
//! use vltava_client::{Client, ConsumerOptions, ProducerRecord, NewTopic, OffsetAt, ProducerOptions};
//!
//! # async fn example() -> Result<(), vltava_client::Error> {
//! let client = Client::connect("127.0.0.1:9092").await?;
//! client.create_topic(NewTopic { name: "rivers".into(), partitions: Some(3), ..NewTopic::default() }).await?;
//!
//! let producer = client.producer(ProducerOptions::default());
//! let message = ProducerRecord { topic: "rivers".into(), value: Some("Vltava".into()), ..ProducerRecord::default() };
//! let place = producer.send(message).await?.await?;
//! producer.close().await;
//!
//! let consumer = client.consumer(ConsumerOptions::default());
//! consumer.assign([(("rivers".into(), place.partition), place.offset)]).await?;
//! for (spot, record) in consumer.poll(std::time::Duration::from_secs(1)).await?.iter() {
//!     println!("{spot:?} {record:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Everything runs in tasks of the tokio runtime that is current when it is made; that needs its time and network
//! drivers. A `Client`, a `Producer` or a `Consumer` that is dropped ends its task and closes its connections.

mod admin;
mod clock;
mod cluster;
mod consumer;
mod dial;
mod driver;
mod error;
mod link;
mod options;
mod producer;
mod records;
mod security;
pub mod serial;

pub use admin::{Client, addresses};
pub use bytes::Bytes;
/// The name that [`ProducerRecord`] had.
pub use client::admin::{
    ActiveProducer, Config, ConfigChange, ConfigSource, Each, Eligible, Feature, FeatureChange, Features, Group,
    GroupMember, ListedGroup, LogDir, NewTopic, OffsetAt, Overview, Quorum, QuorumReplica, Reassignment, Refused,
    Registered, ReplicaSize, Resource, Roster, VoterListener,
};
pub use client::{
    Acks, Assignment, Assignor, Broker, Codec, Consumed, ConsumedRecord, ConsumerMetrics, ConsumerOptions, ErrorCode,
    ErrorGroup, GroupMetadata, GroupOptions, GroupProtocol, LeaderEpoch, Member, Members, NodeId, Offset,
    OffsetAndMetadata, Options, Partition, PartitionAssignor, PartitionIndex, Partitioner, Partitioning,
    ProducerMetrics, ProducerOptions, ProducerRecord, Reset, Spot, Text, Timestamp, TimestampType, Topic, TopicId,
    TransactionError, Uuid, partition_of_key,
};
pub use consumer::{Consumer, ConsumerRecords, RebalanceListener, RecordStream, Told};
pub use error::Error;
pub use options::{
    ADMIN, AdminConfig, CONSUMER, Config as ClientConfig, ConsumerConfig, Definition, PRODUCER, ProducerConfig,
    definitions, read_properties,
};
pub use producer::{Producer, RecordMetadata, Sending};
pub use security::{Token, TokenSupplier};
