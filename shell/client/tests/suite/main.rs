//! The client against a real broker: what the command line does not show. `VLTAVA_CLIENT_BOOTSTRAP=HOST:PORT` runs it
//! against another cluster, Apache Kafka's for instance.

mod basics;
mod consuming;
mod harness;
mod producing;
mod transactions;
