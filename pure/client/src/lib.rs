//! The client engines: what a producer, a consumer and an administrator of Kafka do, without sockets or clocks.
//!
//! Owns versions, correlation, metadata, batching, retries, fetching and group membership. Must never know a socket, a
//! thread or the time: a driver feeds `handle(now, event)`, carries out what `poll_transmit` gives and comes back at
//! `next_wake`. Driven by `vltava-client` over tokio and by the simulator.

pub mod admin;
mod cluster;
mod consumer;
mod link;
mod metadata;
mod producer;
mod protocol;
mod sasl;

pub use admin::Admin;
pub use cluster::{Call, Cluster, Failure, Options, Target};
pub use consumer::{
    Assignment, Assignor, CommitError, Consumed, ConsumedRecord, Consumer, ConsumerEvent, ConsumerMetrics,
    ConsumerOptions, GroupMetadata, GroupOptions, GroupProtocol, Member, Members, OffsetAndMetadata, PartitionAssignor,
    Position, Reset, Spot,
};
pub use metadata::{Broker, Partition, Topic};
pub use producer::{
    Acks, Delivery, Ending, ErrorGroup, NotTaken, Partitioner, Partitioning, Place, Producer, ProducerMetrics,
    ProducerOptions, ProducerRecord, SendError, Taken, TransactionError, partition_of_key,
};
pub use record::{Codec, TimestampType};
pub use sasl::{Credentials, SaslMechanism};

pub use types::{ErrorCode, Instant, LeaderEpoch, NodeId, Now, Offset, PartitionIndex, Text, Timestamp, TopicId, Uuid};

use bytes::{Bytes, BytesMut};

/// A connection, as the engine that asked for it numbers it; a number is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What happened to an engine.
#[derive(Debug)]
pub enum Event<'a> {
    Connected(LinkId),
    /// All bytes of the connection that have come and were not taken yet, cut anywhere. What is whole is taken off the
    /// front without a copy; where the rest of it is longer than the buffer, room for that is reserved.
    Received(LinkId, &'a mut BytesMut),
    /// Who this client is, as `Transmit::Identify` asked.
    Identified(LinkId, Credentials),
    /// The connection is gone, or never came about.
    Closed(LinkId),
    /// The connection is gone because one end does not accept the other: to try again changes nothing.
    Denied(LinkId),
    /// The time that `next_wake` named has come.
    Wake,
}

/// What the driver is to do for an engine.
#[derive(Debug)]
pub enum Transmit {
    Connect {
        link: LinkId,
        host: String,
        port: u16,
    },
    /// The next bytes, a part of a request or all of it.
    Send {
        link: LinkId,
        bytes: Bytes,
    },
    /// Credentials are wanted: answered by `Identified`, `Closed` or `Denied`.
    Identify {
        link: LinkId,
    },
    Close {
        link: LinkId,
        /// Why, where it is more than that nobody needs it.
        why: Option<String>,
        /// The broker does not let this client in.
        is_denied: bool,
    },
}
