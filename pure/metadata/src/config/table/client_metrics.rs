//! Configurations of one client metrics subscription (KIP-714).

use super::super::definition::{Definition, Valid, int, list};

pub const TABLE: &[Definition] = &[
    int("interval.ms", "300000")
        .between(100, 3_600_000)
        .doc("How often the chosen clients push, from 100 ms to an hour."),
    list("match", "")
        .valid(Valid::ClientMatch)
        .doc("Which clients are chosen, as selector=pattern pairs that must all match; none chooses every client."),
    list("metrics", "").doc("Prefixes of the names of the metrics that are asked for; * asks for all."),
];
