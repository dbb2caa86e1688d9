//! Who reads which partition: computed by the group's leader, the same by every client library that names the strategy.

use super::Spot;
use std::collections::{BTreeMap, BTreeSet};
use types::{PartitionIndex, Text};

/// `partition.assignment.strategy`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Neighbouring partitions of each topic; everybody lets go of everything for a rebalance.
    Range,
    /// As even as possible with as few moves as possible; only what moves is let go of (KIP-429).
    CooperativeSticky,
}

impl Assignor {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Range => "range",
            Assignor::CooperativeSticky => "cooperative-sticky",
        }
    }

    #[must_use]
    pub fn is_cooperative(self) -> bool {
        self == Assignor::CooperativeSticky
    }
}

/// What a member of the group said about itself when it joined.
#[derive(Clone, Debug, Default)]
pub struct Member {
    pub topics: BTreeSet<Text>,
    pub owned: Vec<Spot>,
    /// In which generation it owned them.
    pub generation: i32,
}

pub type Members = BTreeMap<Text, Member>;
pub type Assignment = BTreeMap<Text, Vec<Spot>>;

/// Assigns all partitions of the topics (by name, their counts) to members by their ids.
pub fn assign(assignor: Assignor, members: &Members, topics: &BTreeMap<Text, i32>) -> Assignment {
    match assignor {
        Assignor::Range => range(members, topics),
        Assignor::CooperativeSticky => sticky(members, topics),
    }
}

fn range(members: &Members, topics: &BTreeMap<Text, i32>) -> Assignment {
    let mut assignment: Assignment = members.keys().map(|id| (id.clone(), Vec::new())).collect();
    for (topic, count) in topics {
        let takers: Vec<&Text> =
            members.iter().filter(|(_, member)| member.topics.contains(topic)).map(|(id, _)| id).collect();
        let Ok(total @ 1..) = i32::try_from(takers.len()) else { continue };
        let (each, more) = (count / total, count % total);
        let mut next = 0;
        for (place, taker) in (0..).zip(takers) {
            let end = next + each + i32::from(place < more);
            let spots = (next..end).map(|index| (topic.clone(), PartitionIndex(index)));
            assignment.entry(taker.clone()).or_default().extend(spots);
            next = end;
        }
    }
    assignment
}

fn sticky(members: &Members, topics: &BTreeMap<Text, i32>) -> Assignment {
    let owners = owners(members, topics);
    let mut target: Assignment = members.keys().map(|id| (id.clone(), Vec::new())).collect();
    for (spot, owner) in &owners {
        target.entry(owner.clone()).or_default().push(spot.clone());
    }
    let all = topics.iter().flat_map(|(topic, count)| (0..*count).map(|index| (topic.clone(), PartitionIndex(index))));
    for spot in all.filter(|spot| !owners.contains_key(spot)) {
        let takers = target.iter().filter(|(id, _)| members[*id].topics.contains(&spot.0));
        let least = takers.min_by_key(|(_, has)| has.len()).map(|(id, _)| id.clone());
        if let Some(id) = least {
            target.entry(id).or_default().push(spot);
        }
    }
    while move_one(members, &mut target) {}
    // What moves is given to nobody yet: its owner lets go of it first, and then the group meets again.
    for (id, has) in &mut target {
        has.retain(|spot| owners.get(spot).is_none_or(|owner| owner == id));
    }
    target
}

/// Who owns what already: the latest generation's word counts, and nobody's where two of one generation claim it.
fn owners(members: &Members, topics: &BTreeMap<Text, i32>) -> BTreeMap<Spot, Text> {
    let mut claims: BTreeMap<Spot, (i32, Option<Text>)> = BTreeMap::new();
    for (id, member) in members {
        for spot in &member.owned {
            let is_there = topics.get(&spot.0).is_some_and(|count| spot.1.0 < *count);
            if !is_there || !member.topics.contains(&spot.0) {
                continue;
            }
            let claim = claims.entry(spot.clone()).or_insert((i32::MIN, None));
            if member.generation > claim.0 {
                *claim = (member.generation, Some(id.clone()));
            } else if member.generation == claim.0 {
                claim.1 = None;
            }
        }
    }
    claims.into_iter().filter_map(|(spot, (_, owner))| Some((spot, owner?))).collect()
}

/// Moves one partition from who has two more than another that may take it. False where none can be moved.
fn move_one(members: &Members, target: &mut Assignment) -> bool {
    let mut by_load: Vec<Text> = target.keys().cloned().collect();
    by_load.sort_by_key(|id| (target[id].len(), id.clone()));
    for poor in &by_load {
        for rich in by_load.iter().rev() {
            if target[rich].len() < target[poor].len() + 2 {
                break;
            }
            let takes = |spot: &Spot| members[poor].topics.contains(&spot.0);
            if let Some(at) = target[rich].iter().rposition(takes) {
                let spot = target.get_mut(rich).expect("it is listed").remove(at);
                target.get_mut(poor).expect("it is listed").push(spot);
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str) -> Text {
        Text::from(name)
    }

    fn show(assignment: &Assignment) -> String {
        let one = |(id, spots): (&Text, &Vec<Spot>)| {
            let spots: Vec<String> = spots.iter().map(|(topic, index)| format!("{topic}{index}")).collect();
            format!("{id}: {}", spots.join(" "))
        };
        assignment.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    fn member(topics: &[&str], owned: &[(&str, i32)]) -> Member {
        Member {
            topics: topics.iter().map(|topic| text(topic)).collect(),
            owned: owned.iter().map(|(topic, index)| (text(topic), PartitionIndex(*index))).collect(),
            generation: 1,
        }
    }

    #[test]
    fn range_gives_neighbours() {
        let members = Members::from([
            (text("x"), member(&["a", "b"], &[])),
            (text("y"), member(&["a", "b"], &[])),
            (text("z"), member(&["b"], &[])),
        ]);
        let topics = BTreeMap::from([(text("a"), 3), (text("b"), 2)]);
        assert_eq!(show(&assign(Assignor::Range, &members, &topics)), "x: a0 a1 b0, y: a2 b1, z: ");
    }

    #[test]
    fn sticky_moves_in_two_steps_and_no_more_than_it_must() {
        let topics = BTreeMap::from([(text("a"), 4)]);
        let owned = [("a", 0), ("a", 1), ("a", 2), ("a", 3)];
        let mut members = Members::from([(text("x"), member(&["a"], &owned)), (text("y"), member(&["a"], &[]))]);
        let first = assign(Assignor::CooperativeSticky, &members, &topics);
        assert_eq!(show(&first), "x: a0 a1, y: ");
        members.insert(text("x"), member(&["a"], &owned[..2]));
        let second = assign(Assignor::CooperativeSticky, &members, &topics);
        assert_eq!(show(&second), "x: a0 a1, y: a2 a3");
    }
}
