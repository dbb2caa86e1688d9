//! The whole-process simulator: brokers and clients in one thread, under one seed.
//!
//! Owns the clock, the network, the scheduling of shards and jobs, the faults, the workloads and what is checked about
//! them. Everything that it runs is the real thing; only time, chance and the world around it are made up. Must never
//! know how a broker does what it does: it looks at it through its inputs and outputs and through clients.

pub mod actor;
mod actors;
mod broker;
mod clock;
mod cluster;
mod host;
pub mod network;
pub mod node;
mod oracle;
mod replicas;
mod runner;
mod scenario;
mod schedule;
mod trace;
pub mod world;

#[cfg(test)]
mod echo;
#[cfg(test)]
mod relay;

pub use oracle::Figures;
pub use runner::{Failed, attempt, known_seeds};
pub use scenario::{Kind, Outcome};
