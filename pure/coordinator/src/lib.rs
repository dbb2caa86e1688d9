//! Coordinators: state machines over the records of an internal topic. A command decides records and replies, replayed
//! records make the state; nothing else changes what survives a restart.
//!
//! Owns the meaning of groups and their offsets (later transactions and shares). Must never know connections, API
//! versions, logs or files: the broker appends the records and sends the replies.

pub mod generated;
pub mod group;
