//! What may go wrong, and the order in which it does: from a seed, so that a run can be had again.

use std::fmt;
use std::time::Duration;
use types::Rng;

/// What is done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// `kill -9`, and a start at the end.
    Kill,
    /// SIGTERM, and a start at the end.
    Stop,
    /// SIGSTOP, and SIGCONT at the end.
    Pause,
    /// No packet to it or from it.
    Cut,
    /// Nothing between it and one other node; clients reach both.
    CutFromOne { other: usize },
    /// No packet reaches it; what it sends arrives.
    Deaf,
    /// What it sends does not arrive; it hears everything.
    Mute,
    /// What another node sends it does not arrive.
    DeafToOne { other: usize },
    /// A narrow link with long queues that loses packets.
    Slow { kbit: u64, loss_percent: u64 },
}

impl How {
    /// The kind, for a table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            How::Kill => "kill -9",
            How::Stop => "stop",
            How::Pause => "pause",
            How::Cut => "cut from all",
            How::CutFromOne { .. } => "cut from one",
            How::Deaf => "deaf",
            How::Mute => "mute",
            How::DeafToOne { .. } => "deaf to one",
            How::Slow { .. } => "slow link",
        }
    }
}

/// What goes wrong, with whom, for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub how: How,
    pub nodes: Vec<usize>,
    pub lasts: Duration,
    /// How long nothing else goes wrong afterwards.
    pub calm: Duration,
}

impl Fault {
    /// The next fault in a cluster of nodes `1..=nodes`.
    pub fn next(rng: &mut Rng, nodes: usize) -> Fault {
        let first = pick(rng, nodes);
        let other = 1 + (first - 1 + pick(rng, nodes.max(2) - 1)) % nodes;
        let has_others = nodes > 1;
        let how = match rng.below(16) {
            0..4 => How::Kill,
            4 | 5 => How::Stop,
            6 | 7 => How::Pause,
            8 | 9 if has_others => How::CutFromOne { other },
            8..10 => How::Kill,
            10 => How::Deaf,
            11 => How::Mute,
            12 if has_others => How::DeafToOne { other },
            12 | 13 => How::Cut,
            _ => How::Slow { kbit: 256 << rng.below(4), loss_percent: rng.below(8) },
        };
        let may_take_all = match how {
            How::Kill | How::Stop | How::Pause | How::Cut => true,
            How::CutFromOne { .. } | How::Deaf | How::Mute | How::DeafToOne { .. } | How::Slow { .. } => false,
        };
        let struck = if may_take_all && rng.one_in(6) { (1..=nodes).collect() } else { vec![first] };
        let longest = match how {
            How::Kill | How::Stop => 8_000,
            How::Pause | How::Cut | How::CutFromOne { .. } => 15_000,
            How::Deaf | How::Mute | How::DeafToOne { .. } | How::Slow { .. } => 15_000,
        };
        let lasts = if longest == 8_000 { rng.below(longest) } else { 1_000 + rng.below(longest - 1_000) };
        // Most often the cluster has time to become whole again; sometimes the next fault meets the rest of this one.
        let calm = if rng.one_in(5) { rng.below(1_000) } else { 6_000 + rng.below(6_000) };
        Fault { how, nodes: struck, lasts: Duration::from_millis(lasts), calm: Duration::from_millis(calm) }
    }

    /// Whether fewer than half of the nodes are left untouched, so that no service is owed.
    #[must_use]
    pub fn takes_majority(&self, nodes: usize) -> bool {
        (nodes - self.nodes.len()) * 2 <= nodes
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<String> = self.nodes.iter().map(|node| format!("n{node}")).collect();
        write!(f, "{} {}", nodes.join(" "), self.how.name())?;
        match self.how {
            How::CutFromOne { other } | How::DeafToOne { other } => write!(f, " (n{other})")?,
            How::Slow { kbit, loss_percent } => write!(f, " ({kbit} kbit/s, {loss_percent} % lost)")?,
            How::Kill | How::Stop | How::Pause | How::Cut | How::Deaf | How::Mute => {}
        }
        write!(f, " for {:.1} s", self.lasts.as_secs_f64())
    }
}

/// A node of `1..=nodes`.
fn pick(rng: &mut Rng, nodes: usize) -> usize {
    1 + usize::try_from(rng.below(nodes as u64)).expect("few")
}

#[cfg(test)]
mod tests {
    use super::{Fault, How};
    use std::collections::BTreeSet;
    use types::Rng;

    fn plan(seed: u64, nodes: usize) -> Vec<Fault> {
        let mut rng = Rng::new(seed);
        (0..500).map(|_| Fault::next(&mut rng, nodes)).collect()
    }

    #[test]
    fn a_seed_is_a_plan() {
        assert_eq!(plan(1, 3), plan(1, 3));
        assert_ne!(plan(1, 3), plan(2, 3));
    }

    #[test]
    fn every_kind_comes_and_most_leave_a_majority() {
        let faults = plan(1, 3);
        let kinds: BTreeSet<&str> = faults.iter().map(|fault| fault.how.name()).collect();
        assert_eq!(kinds.len(), 9);
        let all = faults.iter().filter(|fault| fault.takes_majority(3)).count();
        assert!((20..100).contains(&all), "{all}");
    }

    #[test]
    fn nobody_is_cut_from_itself_or_from_who_is_not_there() {
        for nodes in [1, 2, 3, 7] {
            for fault in plan(3, nodes) {
                assert!(fault.nodes.iter().all(|node| (1..=nodes).contains(node)));
                if let How::CutFromOne { other } | How::DeafToOne { other } = fault.how {
                    assert!((1..=nodes).contains(&other) && !fault.nodes.contains(&other), "{fault} of {nodes}");
                }
            }
        }
    }
}
