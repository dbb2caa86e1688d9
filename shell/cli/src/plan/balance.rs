//! Evens replicas out over the living brokers: one at a time from who has many to who has few, until the difference is
//! one.

use super::{Cluster, Id, Layout, Move, leaders};
use std::cmp::Reverse;

/// Moves no more replicas than it takes to make the living brokers even, then leaders, which costs no copying. What lies
/// on brokers that are not alive stays there: to empty those is a drain.
pub fn balance(cluster: &Cluster) -> Vec<Move> {
    let mut layout = Layout::new(cluster);
    while let Some((at, from, to)) = next(&layout) {
        layout.swap(at, from, to);
    }
    leaders::even(&mut layout, |_| true, None);
    layout.moves()
}

/// The best single move: from the fullest broker that can give to the emptiest that can take.
fn next(layout: &Layout<'_>) -> Option<(usize, Id, Id)> {
    let mut order: Vec<(usize, Id)> = layout.load.iter().map(|(id, (count, _))| (*count, *id)).collect();
    order.sort_by_key(|(count, id)| (Reverse(*count), *id));
    for (most, from) in &order {
        for (least, to) in order.iter().rev().filter(|(least, _)| least + 2 <= *most) {
            debug_assert!(least < most, "the difference shrinks with each move, so that this ends");
            if let Some(at) = choose(layout, *from, *to) {
                return Some((at, *from, *to));
            }
        }
    }
    None
}

/// The partition that may go with the most gain: of a topic of which the one has more than the other, in more racks than
/// before, small.
fn choose(layout: &Layout<'_>, from: Id, to: Id) -> Option<usize> {
    let may_go = |at: &usize| {
        let replicas = &layout.replicas[*at];
        replicas.contains(&from) && !replicas.contains(&to) && {
            let before = layout.racks(replicas.iter().copied());
            layout.racks_after(*at, from, to) >= before
        }
    };
    let surplus = |at: usize| {
        // Compared as a sum, so that a deficit needs no sign.
        layout.of_topic(at, from) + layout.cluster.partitions.len() - layout.of_topic(at, to)
    };
    let candidates = (0..layout.replicas.len()).filter(may_go);
    candidates.min_by_key(|at| {
        let racks = layout.racks_after(*at, from, to);
        (Reverse(surplus(*at)), Reverse(racks), layout.cluster.partitions[*at].bytes, *at)
    })
}
