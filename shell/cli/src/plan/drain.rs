//! Empties one broker: each of its replicas goes to the broker that has the least and stands in the best rack.

use super::{Cluster, Id, Layout, Move, leaders};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// A partition of which no other living broker could take the replica: all have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cramped {
    pub topic: String,
    pub index: i32,
    /// The brokers that stay.
    pub left: Vec<Id>,
}

/// Moves all replicas of `leaving` to other living brokers. Those that fit nowhere are named; their partitions have a
/// replica less in the plan, where one is left.
pub fn drain(cluster: &Cluster, leaving: Id) -> (Vec<Move>, Vec<Cramped>) {
    let mut layout = Layout::new(cluster);
    let mut cramped = Vec::new();
    let mut touched: Vec<usize> =
        (0..layout.replicas.len()).filter(|at| layout.replicas[*at].contains(&leaving)).collect();
    // The large ones first, so that the small ones even out what they left.
    touched.sort_by_key(|at| (Reverse(cluster.partitions[*at].bytes), *at));
    for at in &touched {
        let best = candidates(&layout, *at, leaving).min_by_key(|id| {
            let (count, bytes) = layout.load[id];
            (Reverse(layout.racks_after(*at, leaving, *id)), count, layout.of_topic(*at, *id), bytes, *id)
        });
        if let Some(best) = best {
            layout.swap(*at, leaving, best);
            continue;
        }
        let left: Vec<Id> = layout.replicas[*at].iter().copied().filter(|id| *id != leaving).collect();
        if !left.is_empty() {
            layout.drop(*at, leaving);
        }
        let known = &cluster.partitions[*at];
        cramped.push(Cramped { topic: known.topic.clone(), index: known.index, left });
    }
    cramped.sort_by(|one, other| (&one.topic, one.index).cmp(&(&other.topic, other.index)));
    let touched: BTreeSet<usize> = touched.into_iter().collect();
    leaders::even(&mut layout, |at| touched.contains(&at), Some(leaving));
    (layout.moves(), cramped)
}

fn candidates(layout: &Layout<'_>, at: usize, leaving: Id) -> impl Iterator<Item = Id> {
    let others = layout.cluster.brokers.keys().copied().filter(move |id| *id != leaving);
    others.filter(move |id| !layout.replicas[at].contains(id))
}
