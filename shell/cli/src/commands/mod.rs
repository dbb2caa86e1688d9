//! The commands, one module each. A command fails with one or more sentences for people.

pub mod consume;
pub mod group;
pub mod produce;
pub mod serve;
pub mod topic;
