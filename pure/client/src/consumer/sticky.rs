//! The sticky strategies: as even as possible, with as few moves as possible.
//!
//! What a member has it says in its subscription where it is cooperative (KIP-429), else in data of the strategy's own.

use super::Spot;
use super::assignor::{Assignment, Member, Members, nobody_has_any, partitions};
use crate::admin::indexes_by_topic;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use types::codec::{Reader, Writer};
use types::{PartitionIndex, Text};

pub fn assign(members: &Members, topics: &BTreeMap<Text, i32>, is_cooperative: bool) -> Assignment {
    let owners = owners(members, topics, is_cooperative);
    let mut target = nobody_has_any(members);
    for (spot, owner) in &owners {
        target.entry(owner.clone()).or_default().push(spot.clone());
    }
    for spot in partitions(topics).filter(|spot| !owners.contains_key(spot)) {
        let takers = target.iter().filter(|(id, _)| members[*id].topics.contains(&spot.0));
        let least = takers.min_by_key(|(_, has)| has.len()).map(|(id, _)| id.clone());
        if let Some(id) = least {
            target.entry(id).or_default().push(spot);
        }
    }
    while move_one(members, &mut target) {}
    // What moves is given to nobody yet: its owner lets go of it first, and then the group meets again.
    if is_cooperative {
        for (id, has) in &mut target {
            has.retain(|spot| owners.get(spot).is_none_or(|owner| owner == id));
        }
    }
    target
}

/// Who has what already: the latest generation's word counts, and nobody's where two of one generation claim it.
fn owners(members: &Members, topics: &BTreeMap<Text, i32>, is_cooperative: bool) -> BTreeMap<Spot, Text> {
    let mut claims: BTreeMap<Spot, (i32, Option<Text>)> = BTreeMap::new();
    for (id, member) in members {
        let (owned, generation) = claim(member, is_cooperative);
        for spot in owned {
            let is_there = topics.get(&spot.0).is_some_and(|count| spot.1.0 >= 0 && spot.1.0 < *count);
            if !is_there || !member.topics.contains(&spot.0) {
                continue;
            }
            let claim = claims.entry(spot).or_insert((i32::MIN, None));
            if generation > claim.0 {
                *claim = (generation, Some(id.clone()));
            } else if generation == claim.0 && claim.1.as_ref() != Some(id) {
                claim.1 = None;
            }
        }
    }
    claims.into_iter().filter_map(|(spot, (_, owner))| Some((spot, owner?))).collect()
}

/// What a member says it has, and in which generation it got it.
fn claim(member: &Member, is_cooperative: bool) -> (Vec<Spot>, i32) {
    let told = member.user_data.as_ref();
    if !is_cooperative {
        return told.and_then(decode).unwrap_or_default();
    }
    // Members whose subscriptions have no generation yet say it here; librdkafka after all that they have.
    let own = told.filter(|_| member.generation < 0);
    let short = own.and_then(|data| Some(i32::from_be_bytes(data.as_ref().try_into().ok()?)));
    let generation = short.or_else(|| Some(decode(own?)?.1)).unwrap_or(member.generation);
    (member.owned.clone(), generation)
}

/// What a member of the eager strategy remembers: topics with their partitions, then the generation.
pub fn user_data(previous: &BTreeSet<Spot>, generation: i32) -> Option<Bytes> {
    if previous.is_empty() {
        return None;
    }
    let topics: Vec<_> = indexes_by_topic(previous).collect();
    let mut writer = Writer::with_capacity(64);
    writer.length(false, Some(topics.len()));
    for (topic, partitions) in topics {
        writer.text(false, &topic);
        writer.length(false, Some(partitions.len()));
        partitions.into_iter().for_each(|index| writer.i32(index));
    }
    writer.i32(generation);
    Some(writer.buffer.freeze())
}

fn decode(data: &Bytes) -> Option<(Vec<Spot>, i32)> {
    let mut reader = Reader::new(data.clone());
    let topics = reader.list(false, |reader| Ok((reader.text(false)?, reader.list(false, Reader::i32)?))).ok()?;
    let generation = if reader.remaining() == 0 { -1 } else { reader.i32().ok()? };
    let spots = |(topic, indexes): (Text, Vec<i32>)| {
        let topic = topic.detached();
        indexes.into_iter().map(move |index| (topic.clone(), PartitionIndex(index)))
    };
    Some((topics.into_iter().flat_map(spots).collect(), generation))
}

/// Moves one partition from who has two more than another that may take it. False where none can be moved.
fn move_one(members: &Members, target: &mut Assignment) -> bool {
    let mut by_load: Vec<(usize, &Text)> = target.iter().map(|(id, has)| (has.len(), id)).collect();
    by_load.sort_unstable();
    let found = by_load.iter().find_map(|(least, poor)| {
        let richer = by_load.iter().rev().take_while(|(load, _)| *load >= least + 2);
        let takes = |spot: &Spot| members[*poor].topics.contains(&spot.0);
        richer.into_iter().find_map(|(_, rich)| Some(((*rich).clone(), target[*rich].iter().rposition(takes)?, *poor)))
    });
    let Some((rich, at, poor)) = found.map(|(rich, at, poor)| (rich, at, poor.clone())) else { return false };
    let spot = target.get_mut(&rich).expect("it is listed").remove(at);
    target.get_mut(&poor).expect("it is listed").push(spot);
    true
}
