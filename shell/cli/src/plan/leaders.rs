//! Evens preferred leaders out by the order of replicas alone, which copies nothing.

use super::{Id, Layout};
use std::collections::{BTreeMap, VecDeque};

/// Makes the living brokers lead as many partitions as each other, as far as their replicas allow it. Only partitions that
/// `may_change` get another order, and nothing is handed to the one that is leaving.
pub fn even(layout: &mut Layout<'_>, may_change: impl Fn(usize) -> bool, leaving: Option<Id>) {
    revive(layout, &may_change);
    while let Some(path) = path(layout, &may_change, leaving) {
        for (at, to) in path {
            lead(&mut layout.replicas[at], to);
        }
    }
}

/// Who is not alive leads nothing: the first that is alive is put first.
fn revive(layout: &mut Layout<'_>, may_change: &impl Fn(usize) -> bool) {
    for at in (0..layout.replicas.len()).filter(|at| may_change(*at)) {
        let alive = layout.replicas[at].iter().copied().find(|id| layout.load.contains_key(id));
        if let Some(first) = alive {
            lead(&mut layout.replicas[at], first);
        }
    }
}

/// Puts one of the replicas first and leaves the others in their order.
fn lead(replicas: &mut [Id], first: Id) {
    if let Some(place) = replicas.iter().position(|id| *id == first) {
        replicas[..=place].rotate_right(1);
    }
}

/// A chain of hand-overs, each a partition and who is to lead it, from a broker that leads many to one that leads at least
/// two fewer; those between lead as many as before.
fn path(layout: &Layout<'_>, may_change: &impl Fn(usize) -> bool, leaving: Option<Id>) -> Option<Vec<(usize, Id)>> {
    let mut counts: BTreeMap<Id, usize> = layout.load.keys().map(|id| (*id, 0)).collect();
    let mut led: BTreeMap<Id, Vec<usize>> = BTreeMap::new();
    for (at, replicas) in layout.replicas.iter().enumerate() {
        let Some(first) = replicas.first() else { continue };
        if let Some(count) = counts.get_mut(first) {
            *count += 1;
        }
        if may_change(at) {
            led.entry(*first).or_default().push(at);
        }
    }
    let mut order: Vec<(usize, Id)> = counts.iter().map(|(id, count)| (*count, *id)).collect();
    order.sort_by_key(|(count, id)| (std::cmp::Reverse(*count), *id));
    let is_open = |id: Id| counts.contains_key(&id) && Some(id) != leaving;
    order.into_iter().find_map(|(most, from)| {
        let came_by = reach(layout, &led, from, is_open);
        let to = came_by.keys().copied().filter(|id| counts[id] + 2 <= most).min_by_key(|id| (counts[id], *id))?;
        Some(trace(&came_by, from, to))
    })
}

/// Whom hand-overs can reach from one broker, and the last of them: the partition and who led it.
fn reach(
    layout: &Layout<'_>,
    led: &BTreeMap<Id, Vec<usize>>,
    from: Id,
    is_open: impl Fn(Id) -> bool,
) -> BTreeMap<Id, (usize, Id)> {
    let mut came_by = BTreeMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(leader) = queue.pop_front() {
        for at in led.get(&leader).into_iter().flatten() {
            for id in layout.replicas[*at].iter().copied().filter(|id| *id != from && is_open(*id)) {
                came_by.entry(id).or_insert_with(|| {
                    queue.push_back(id);
                    (*at, leader)
                });
            }
        }
    }
    came_by
}

fn trace(came_by: &BTreeMap<Id, (usize, Id)>, from: Id, to: Id) -> Vec<(usize, Id)> {
    let mut path = Vec::new();
    let mut at = to;
    while at != from {
        let (partition, leader) = came_by[&at];
        path.push((partition, at));
        at = leader;
    }
    path
}
