//! The commands, one module each. A command fails with one or more sentences for people.

pub mod serve;
