//! The whole quorum under a seed: nodes with disks that lose power, a network that loses, delays, repeats and cuts one way,
//! voters that come and go, lose their disks and get them exchanged. `checker` knows nothing of Raft: it sees what was handed out and judges.
//!
//! `VLTAVA_QUORUM_SEEDS=from..to cargo test -p vltava-quorum --test simulation` runs other seeds.

mod chaos;
mod checker;
mod network;
mod node;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use world::World;

/// How many seeds run with every test.
const SEEDS: u64 = 60;

#[expect(clippy::disallowed_methods, reason = "which seeds run is for the one who runs the tests")]
fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("VLTAVA_QUORUM_SEEDS") else { return 0..SEEDS };
    let (from, to) = text.split_once("..").expect("VLTAVA_QUORUM_SEEDS=from..to");
    from.parse().expect("a number")..to.parse().expect("a number")
}

#[test]
fn nothing_committed_is_lost() {
    let mut failed = Vec::new();
    let mut totals = world::Totals::default();
    for seed in seeds() {
        match catch_unwind(AssertUnwindSafe(|| World::new(seed).run())) {
            Ok(run) => totals.add(&run),
            Err(_) => {
                eprintln!("VLTAVA_QUORUM_SEEDS={seed}..{} cargo test -p vltava-quorum --test simulation", seed + 1);
                failed.push(seed);
            }
        }
    }
    eprintln!("{totals:?}");
    assert!(failed.is_empty(), "failed seeds: {failed:?}");
}

#[test]
fn a_seed_repeats() {
    let run = |seed| format!("{:?}", World::new(seed).run());
    assert_eq!(run(7), run(7));
}
