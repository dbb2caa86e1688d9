//! A cluster under random commands, with a model of its logs: whoever is elected holds every committed record, unless
//! the election was unclean or the power loss of all who held it took it away.

use super::cluster::Scene;
use super::invariants::enough;
use super::*;
use crate::{Partition, Topic};
use std::collections::BTreeMap;
use types::TopicPartition;

const BROKERS: i32 = 5;
/// A few seconds' worth.
const SEEDS: u64 = 40;

/// What the replicas of all partitions hold: each record is a number of its own.
#[derive(Default)]
struct Logs {
    logs: BTreeMap<(TopicPartition, NodeId), Vec<u64>>,
    committed: BTreeMap<TopicPartition, Vec<u64>>,
    /// Logs whose end a power loss took, until they are in sync again.
    damaged: BTreeSet<(TopicPartition, NodeId)>,
    next: u64,
}

fn partitions(image: &Image) -> Vec<(Arc<Topic>, TopicPartition, Partition)> {
    let of = |topic: &Arc<Topic>| {
        let (topic, id) = (topic.clone(), topic.id);
        let numbered = (0..).map(PartitionIndex).zip(topic.partitions.clone());
        numbered.map(move |(partition, it)| (topic.clone(), TopicPartition { topic: id, partition }, (*it).clone()))
    };
    image.topics().flat_map(of).collect()
}

impl Logs {
    fn log(&mut self, of: TopicPartition, node: NodeId) -> &mut Vec<u64> {
        self.logs.entry((of, node)).or_default()
    }

    /// Leaders write, followers fetch, and what enough of them hold is committed.
    fn run(&mut self, image: &Image, rng: &mut Rng) {
        for (topic, of, partition) in partitions(image) {
            let Some(leader) = partition.leader else { continue };
            for _ in 0..rng.below(3) {
                self.next += 1;
                let record = self.next;
                self.log(of, leader).push(record);
            }
            let leading = self.log(of, leader).clone();
            for node in partition.replicas.iter().filter(|node| **node != leader) {
                let alive = image.broker(*node).is_some_and(|broker| !broker.fenced);
                if alive && !rng.one_in(3) {
                    let log = self.log(of, *node);
                    let same = log.iter().zip(&leading).take_while(|(one, other)| one == other).count();
                    let fetched = usize::try_from(rng.below(4)).expect("few");
                    *log = leading[..leading.len().min(same + fetched)].to_vec();
                }
            }
            if partition.isr.len() < enough(image, &topic, &partition) {
                continue;
            }
            let shared = partition.isr.iter().map(|node| {
                let log = self.logs.get(&(of, *node)).map_or(&[][..], Vec::as_slice);
                log.iter().zip(&leading).take_while(|(one, other)| one == other).count()
            });
            let shared = shared.min().unwrap_or(0);
            let committed = self.committed.entry(of).or_default();
            if shared > committed.len() {
                assert_eq!(leading[..committed.len()], *committed, "{of:?} of leader {leader}");
                *committed = leading[..shared].to_vec();
            }
        }
    }

    fn lose_power(&mut self, node: NodeId, rng: &mut Rng) {
        for ((of, holder), log) in &mut self.logs {
            if *holder == node {
                log.truncate(usize::try_from(rng.below(log.len() as u64 + 1)).expect("a length"));
                self.damaged.insert((*of, node));
            }
        }
    }

    /// Looks at who leads now.
    fn check(&mut self, before: &Image, after: &Image, seed: u64, command: &Command) {
        for (_, of, partition) in partitions(after) {
            let Some(leader) = partition.leader else { continue };
            let previous = before.partition(of);
            if previous.is_some_and(|previous| previous.leader_epoch == partition.leader_epoch) {
                continue;
            }
            let log = self.log(of, leader).clone();
            let committed = self.committed.entry(of).or_default();
            let lost = self.damaged.remove(&(of, leader));
            if lost && !partition.recovering {
                // Only where nobody else held everything may one lead that lost its end.
                let held = previous.iter().flat_map(|it| it.isr.iter().chain(&it.eligible_leader_replicas));
                let others: Vec<_> = held.filter(|node| **node != leader).collect();
                assert!(others.is_empty(), "seed {seed}: {leader} leads {of:?} before {others:?}, by {command:?}");
            }
            if lost || partition.recovering {
                let same = log.iter().zip(committed.iter()).take_while(|(one, other)| one == other).count();
                committed.truncate(same);
            } else {
                assert!(log.starts_with(committed), "seed {seed}: {leader} leads {of:?} without all, by {command:?}");
            }
        }
    }

    /// Whether a follower holds all that counts, as its leader sees it.
    fn is_in_sync(&mut self, of: TopicPartition, node: NodeId, leader: NodeId) -> bool {
        let committed = self.committed.get(&of).map_or(0, Vec::len);
        let log = self.log(of, node).clone();
        log.len() >= committed && self.log(of, leader).starts_with(&log)
    }
}

/// A wish of a leader that a real one could have.
fn wish(scene: &mut Scene, logs: &mut Logs) -> Option<Command> {
    let all = partitions(&scene.cluster.committed);
    let rng = &mut scene.cluster.rng;
    let (topic, of, partition) = all.get(usize::try_from(rng.below(all.len() as u64)).ok()?)?;
    let leader = partition.leader?;
    let mut isr = Vec::new();
    for node in &partition.replicas {
        let stays = partition.isr.contains(node) && (*node == leader || !rng.one_in(4));
        let joins = !partition.isr.contains(node) && logs.is_in_sync(*of, *node, leader) && !partition.recovering;
        if stays || joins {
            isr.push(node.0);
        }
    }
    let name = format!("{}-{}", topic.name, of.partition);
    let (leader, mut change) = scene.wish(&name, &isr);
    change.recovering = partition.recovering && scene.cluster.rng.one_in(2);
    let joined = change.isr.iter().map(|(node, _)| *node).filter(|node| !partition.isr.contains(node));
    let eligible = |node: &NodeId| scene.cluster.committed.broker(*node).is_some_and(Broker::is_alive);
    if joined.clone().all(|node| eligible(&node)) {
        for node in joined {
            logs.damaged.remove(&(*of, node));
        }
    }
    let epoch = scene.epoch(leader.0);
    Some(Command::AlterPartition { broker: leader, epoch, partitions: vec![change] })
}

fn random_partition(scene: &mut Scene) -> Option<(Text, PartitionIndex)> {
    let all = partitions(&scene.cluster.committed);
    let chosen = usize::try_from(scene.cluster.rng.below(all.len() as u64)).ok()?;
    all.get(chosen).map(|(topic, of, _)| (topic.name.clone(), of.partition))
}

fn random_command(scene: &mut Scene, logs: &mut Logs) -> Option<Command> {
    let id = 1 + i32::try_from(scene.cluster.rng.below(5)).expect("small");
    let roll = scene.cluster.rng.below(40);
    Some(match roll {
        0..4 => {
            let last_stop = [LastStop::Clean, LastStop::Killed, LastStop::Killed, LastStop::PowerLost]
                [usize::try_from(roll).expect("small")];
            if last_stop == LastStop::PowerLost {
                logs.lose_power(NodeId(id), &mut scene.cluster.rng);
            }
            Command::RegisterBroker(Box::new(scene.registration(id, last_stop)))
        }
        4..14 => {
            let mut beat = scene.beat(id);
            beat.want_shutdown = scene.cluster.rng.one_in(8);
            beat.want_fence = scene.cluster.rng.one_in(20);
            beat.others_know = scene.cluster.rng.one_in(2);
            Command::Heartbeat(beat)
        }
        14..18 => Command::FenceBroker { broker: NodeId(id), epoch: scene.epoch(id) },
        18..28 => wish(scene, logs)?,
        28 => Command::BalanceLeaders,
        29..32 => {
            let kind = if scene.cluster.rng.one_in(6) { ElectionKind::Unclean } else { ElectionKind::Preferred };
            Command::ElectLeaders { kind, partitions: Some(vec![random_partition(scene)?]) }
        }
        32..35 => {
            let (topic, partition) = random_partition(scene)?;
            let rng = &mut scene.cluster.rng;
            let mut left: Vec<i32> = (1..=BROKERS).collect();
            let wanted = 1 + rng.below(3);
            let mut take = |_| NodeId(left.remove(usize::try_from(rng.below(left.len() as u64)).expect("small")));
            let target: Vec<NodeId> = (0..wanted).map(&mut take).collect();
            let replicas = (!scene.cluster.rng.one_in(4)).then_some(target);
            let partitions = vec![Reassignment { topic, partition, replicas }];
            Command::AlterPartitionReassignments { partitions, allow_replication_factor_change: true }
        }
        35 => {
            let (topic, _) = random_partition(scene)?;
            let minimum = (1 + scene.cluster.rng.below(3)).to_string();
            let changes = vec![(Resource::topic(topic), set("min.insync.replicas", &minimum))];
            Command::AlterConfigs { changes, validate_only: false }
        }
        36 => {
            let name = format!("t{}", scene.cluster.rng.below(6));
            Command::CreateTopics { topics: vec![topic(&name, 2, 3)], validate_only: false }
        }
        37 if scene.cluster.rng.one_in(4) => {
            let name = Text::from("eligible.leader.replicas.version");
            let (level, upgrade_type) = match scene.cluster.rng.one_in(3) {
                true => (0, UpgradeType::SafeDowngrade),
                false => (1, UpgradeType::Upgrade),
            };
            Command::UpdateFeatures { updates: vec![FeatureUpdate { name, level, upgrade_type }], validate_only: false }
        }
        38 if scene.cluster.rng.one_in(4) => Command::UnregisterBroker { broker: NodeId(id) },
        _ => Command::RetryElections,
    })
}

#[test]
fn whoever_is_elected_holds_what_is_committed() {
    for seed in 0..SEEDS {
        let mut scene = Scene::of(BROKERS);
        scene.cluster.rng = Rng::new(seed);
        let minimum = set("min.insync.replicas", "2");
        scene.play("create r 1,2,3 2,3,4 5,4,3; create s 1,2 3,1; create a 1");
        scene.cluster.alter(Resource::topic("r"), minimum);
        let mut logs = Logs::default();
        for _ in 0..250 {
            let before = scene.cluster.committed.clone();
            let Some(command) = random_command(&mut scene, &mut logs) else { continue };
            scene.decide(command.clone());
            let after = scene.cluster.committed.clone();
            logs.check(&before, &after, seed, &command);
            logs.run(&after, &mut scene.cluster.rng);
        }
    }
}
