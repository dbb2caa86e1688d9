//! A few seeds of each kind, every one twice; `vltava-sim` runs more of them.

use sim_suite::{Kind, attempt, known_seeds};

fn check(kind: Option<Kind>, seed: u64) {
    let outcome = attempt(seed, kind, true, false).unwrap_or_else(|failed| panic!("{}", failed.line()));
    let figures = outcome.figures;
    assert!(figures.sent > 0 && figures.acknowledged + figures.failed == figures.sent, "seed {seed}: {figures:?}");
}

#[test]
fn no_promise_is_broken() {
    for kind in [Kind::Calm, Kind::Kills, Kind::PowerLosses, Kind::FullDisk, Kind::BadDisk] {
        (0..4).for_each(|seed| check(Some(kind), seed));
    }
    // Of clusters more, for their worlds differ more: these have one to five brokers and up to three directories each.
    (0..10).for_each(|seed| check(Some(Kind::Cluster), seed));
}

#[test]
fn what_was_broken_once_holds() {
    for (seed, kind) in known_seeds() {
        check(kind, seed);
    }
}
