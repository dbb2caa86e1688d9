//! Which replicas of a topic a replication throttle is for (KIP-73).

use super::definition::Value;
use super::{Overrides, ResourceKind, find};
use std::collections::BTreeSet;
use types::{NodeId, PartitionIndex};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThrottledReplicas {
    None,
    All,
    Listed(BTreeSet<(PartitionIndex, NodeId)>),
}

impl ThrottledReplicas {
    /// What was set for a topic under `name`: `*`, or `partition:broker` pairs.
    #[must_use]
    pub fn of(set: &Overrides, name: &str) -> ThrottledReplicas {
        let definition = find(ResourceKind::Topic, name).expect("names are written in code");
        // What another version wrote and this one finds invalid counts as not set.
        let Some(Ok(Value::List(words))) = set.get(name).map(|text| definition.parse(text)) else {
            return ThrottledReplicas::None;
        };
        if words.iter().any(|word| word == "*") {
            return ThrottledReplicas::All;
        }
        let pair = |word: &str| {
            let (partition, broker) = word.split_once(':')?;
            Some((PartitionIndex(partition.parse().ok()?), NodeId(broker.parse().ok()?)))
        };
        let pairs: BTreeSet<_> = words.iter().filter_map(|word| pair(word)).collect();
        if pairs.is_empty() { ThrottledReplicas::None } else { ThrottledReplicas::Listed(pairs) }
    }

    #[must_use]
    pub fn contains(&self, partition: PartitionIndex, broker: NodeId) -> bool {
        match self {
            ThrottledReplicas::None => false,
            ThrottledReplicas::All => true,
            ThrottledReplicas::Listed(pairs) => pairs.contains(&(partition, broker)),
        }
    }
}
