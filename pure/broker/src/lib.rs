//! The broker: connections' requests in, answers and effects out, on shards that never wait.
//!
//! Owns what Kafka's API means over the rooms below it. Must never know a socket, a thread, a path or the time of day:
//! everything comes in through `Shard::handle` and goes out through its `Outbox`. Called by `shell/server` and by the
//! simulator.

mod api;
mod apply;
mod boot;
mod call;
mod changes;
mod checkpoint;
mod controller;
mod controller_remote;
mod directories;
mod fetch_session;
mod forward;
mod groups;
mod isr;
mod job;
mod join;
mod lifecycle;
mod moves;
mod node;
mod observe;
mod office;
mod partitions;
mod peers;
mod quorum_drive;
mod raft;
mod replication;
mod seam;
mod session;
mod shard;
mod suspects;
mod throttle;
mod wait;
mod work;

/// The rooms whose types the seam speaks, for those who stand on the broker alone.
pub use {log, types};

pub use boot::{BootError, Booted, Start, boot, is_new};
pub use checkpoint::CheckpointRow;
pub use directories::Missing;
pub use job::{Job, JobDone};
pub use join::{ask_cluster_id, read_cluster_id};
pub use metadata::config;
pub use metadata::config::Settings;
pub use moves::Swap;
pub use node::Listener;
pub use observe::{GroupFigures, KeyFigures, LATENCY_BUCKETS, Observation, PartitionFigures, bucket_bound_us};
pub use office::Office;
pub use peers::Address;
pub use seam::{ConnId, Frame, Input, Level, LinkId, Message, Outbox, Output, Part, Ticket};
pub use shard::Shard;
pub use work::{CallId, ControllerWork, Outcome, PartitionOp, ReplicaSize, Work};
