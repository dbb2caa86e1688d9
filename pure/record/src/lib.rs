//! Record batches of Kafka's magic 2: the header's view, checksums, validation, compression, records and building.
//!
//! Owns every byte of a batch and its meaning. Must never know a file, a position in a segment, a partition or an API
//! version. Called by the log, the replica, the coordinators, the metadata log and the client engine.

mod batches;
mod builder;
mod clean;
mod codec;
mod control;
mod error;
mod header;
mod record;
mod records;
mod validate;
mod varint;

pub use batches::Batches;
pub use builder::{Builder, Template, halve, with_producer};
pub use clean::{Cleaned, Cleaning, clean, empty_batch};
pub use control::{ControlType, EndTransaction};
pub use error::{Invalid, Rejected};
pub use header::{Attributes, Codec, HEADER_BYTES, Header, TimestampType, crc_matches, crc32c};
pub use record::{Headers, Record};
pub use records::{Records, records, shared_records};
pub use validate::{Batch, Rules, validate};
