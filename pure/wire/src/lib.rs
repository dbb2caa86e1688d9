//! Frames, headers and every message of Kafka's protocol, generated from `schema/`. Owns how bytes become messages and
//! back; must never know what a broker does with them. Called by `broker/api` and by the client.

mod generated;
mod records;

pub use generated::*;
pub use records::Records;
