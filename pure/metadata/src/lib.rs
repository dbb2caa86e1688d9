//! The cluster's metadata: records of the metadata log, the image that they add up to, the controller's decisions,
//! and the configurations of everything.
//!
//! Owns what the cluster is and who may change it how. Must never know a connection, a wire message or a file: the
//! broker appends what the controller decides to the metadata log and applies what was committed to its image.

pub mod config;
pub mod controller;
mod delta;
mod generated;
mod image;
pub mod names;
mod placement;
mod refused;
mod snapshot;
pub mod telemetry;

pub use delta::{Delta, TopicChange};
pub use generated::{
    BrokerRegistrationChangeRecord, ConfigRecord, FeatureLevelRecord, PartitionChangeRecord, PartitionRecord,
    ProducerIdsRecord, Record, RegisterBrokerRecord, RemoveTopicRecord, TopicRecord, register_broker_record,
};
pub use image::{Broker, Endpoint, Image, Inconsistent, LOST, Leadership, Partition, Topic, wire_version};
pub use refused::Refused;
