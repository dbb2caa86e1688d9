//! The world of one broker: threads, sockets, the disk, time, configuration, metrics over HTTP.
//!
//! Everything that Kafka means is in `broker`; here is what the operating system means. Nothing here may look into a
//! request or a segment.

pub mod config;
pub mod disk;
pub mod logging;

mod buffers;
mod clock;
mod connection;
mod file;
mod http;
mod http_port;
mod join;
mod limits;
mod link;
mod listen;
mod metrics;
mod notices;
mod outgoing;
mod platform;
mod reading;
mod resolve;
mod server;
mod shard;

pub use server::Server;
