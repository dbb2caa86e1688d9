//! Frames, headers and every message of Kafka's protocol, generated from `schema/`. Owns how bytes become messages and
//! back; must never know what a broker does with them. Called by `broker/api` and by the client.

mod api_key;
mod body;
mod frame;
mod generated;
#[cfg(test)]
mod oracle_tests;
mod records;

pub use api_key::ApiKey;
pub use body::{Body, Call, Request, Response};
pub use frame::{
    LENGTH_BYTES, announced_length, encode_request, encode_request_around, encode_response, split_message,
};
pub use generated::*;
pub use records::Records;
