//! What holds for every partition after every decision.

use super::*;
use crate::config::TopicConfig;
use crate::{Partition, Topic};
use std::sync::LazyLock;

/// What became of the image by a command.
pub(super) fn check(before: &Image, after: &Image, command: &Command) {
    for topic in after.topics() {
        let previous = before.topic(topic.id);
        for (index, partition) in topic.partitions.iter().enumerate() {
            let of = format!("{}-{index} after {command:?}: {partition:?}", topic.name);
            is_whole(after, topic, partition, &of);
            if let Some(previous) = previous.and_then(|topic| topic.partitions.get(index)) {
                follows(before, previous, partition, command, &of);
            }
        }
    }
    let mut leads = std::collections::BTreeMap::<NodeId, usize>::new();
    let partitions = after.topics().flat_map(|topic| &topic.partitions);
    for leader in partitions.filter_map(|partition| partition.leader) {
        *leads.entry(leader).or_default() += 1;
    }
    for id in (0..12).map(NodeId) {
        assert_eq!(after.leaderships(id), leads.get(&id).copied().unwrap_or(0), "leaderships of {id}");
    }
    let mut replayed = Image::default();
    replayed.apply_all(&after.snapshot()).expect("a snapshot is consistent");
    assert_eq!(&replayed, after, "the snapshot is not the image after {command:?}");
}

fn is_whole(image: &Image, topic: &Topic, partition: &Partition, of: &str) {
    let distinct = |nodes: &[NodeId]| nodes.iter().collect::<BTreeSet<_>>().len() == nodes.len();
    let within = |nodes: &[NodeId]| distinct(nodes) && nodes.iter().all(|node| partition.replicas.contains(node));
    assert!(distinct(&partition.replicas) && !partition.replicas.is_empty(), "replicas of {of}");
    assert!(within(&partition.isr) && within(&partition.eligible_leader_replicas), "isr and elr of {of}");
    assert!(within(&partition.adding_replicas) && within(&partition.removing_replicas), "reassignment of {of}");
    assert_eq!(partition.directories.len(), partition.replicas.len(), "directories of {of}");
    let eligible = &partition.eligible_leader_replicas;
    assert!(eligible.iter().all(|node| !partition.isr.contains(node)), "eligible and in sync: {of}");
    let removed = &partition.removing_replicas;
    assert!(removed.iter().all(|node| !partition.adding_replicas.contains(node)), "added and removed: {of}");
    if let Some(leader) = partition.leader {
        assert!(partition.isr.contains(&leader), "the leader is not in sync: {of}");
        assert!(image.broker(leader).is_some_and(|broker| !broker.fenced), "the leader is dead: {of}");
        assert!(partition.last_known_elr.is_empty(), "a last leader beside a leader: {of}");
    }
    if image.feature("eligible.leader.replicas.version").unwrap_or(0) == 0 {
        assert!(eligible.is_empty() && !partition.isr.is_empty(), "without eligible replicas: {of}");
        return;
    }
    assert_eq!(partition.leader.is_none(), partition.isr.is_empty(), "a leader and in-sync replicas go together: {of}");
    let fenced = |node: &NodeId| image.broker(*node).is_none_or(|broker| broker.fenced);
    assert!(!partition.isr.iter().any(fenced), "a dead broker is in sync: {of}");
    assert!(eligible.is_empty() || partition.isr.len() < enough(image, topic, partition), "too many eligible: {of}");
}

/// So many in-sync replicas make a record committed.
pub(super) fn enough(image: &Image, topic: &Topic, partition: &Partition) -> usize {
    let nothing = Overrides::new();
    let set = image.overrides(&Resource::topic(topic.name.clone())).unwrap_or(&nothing);
    static DEFAULTS: LazyLock<Settings> = LazyLock::new(Settings::default);
    let minimum = TopicConfig::min_insync_replicas(&DEFAULTS, set);
    partition.replicas.len().min(usize::try_from(minimum).expect("at least 1"))
}

fn follows(image: &Image, before: &Partition, after: &Partition, command: &Command, of: &str) {
    if before == after {
        return;
    }
    assert_eq!(after.partition_epoch, before.partition_epoch + 1, "one record for one decision: {of}");
    assert!(after.leader_epoch.0 - before.leader_epoch.0 <= 1 && after.leader_epoch >= before.leader_epoch, "{of}");
    if before.leader != after.leader {
        assert!(after.leader_epoch > before.leader_epoch, "a new leader in the old epoch: {of}");
    }
    let Some(leader) = after.leader else { return };
    if !before.isr.contains(&leader) && !before.eligible_leader_replicas.contains(&leader) {
        let joins = matches!(command, Command::AlterPartition { .. });
        let held = !before.isr.is_empty() || !before.eligible_leader_replicas.is_empty();
        let last = !held && before.last_known_elr.contains(&leader);
        assert!(joins || last || is_unclean(image, command), "an unclean leader: {of}, before {before:?}");
    }
}

fn is_unclean(image: &Image, command: &Command) -> bool {
    let allowed = |(_, set): (&Resource, &Overrides)| {
        set.get("unclean.leader.election.enable").is_some_and(|value| value.as_str() == "true")
    };
    let asked = match command {
        Command::ElectLeaders { kind, .. } => *kind == ElectionKind::Unclean,
        Command::AlterConfigs { .. } => true,
        _ => false,
    };
    asked || image.configured().any(allowed)
}
