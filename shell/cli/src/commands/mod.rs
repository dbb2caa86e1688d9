//! The commands, one module each. A command fails with one or more sentences for people.

pub mod broker;
pub mod cluster;
pub mod config;
pub mod consume;
pub mod doctor;
pub mod group;
mod moving;
pub mod perf;
pub mod produce;
pub mod serve;
pub mod topic;
