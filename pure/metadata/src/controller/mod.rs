//! The controller: every change of the cluster is decided here, as records and a reply.
//!
//! Owns the image as it will be once everything decided so far is committed, so that a decision sees those before it.
//! Must never know how records are stored or when they commit. The caller appends `Decision::records` as one atomic
//! batch and sends the reply when they are committed; where an append fails, it makes a new controller from the
//! committed image. Called by the broker's shard 0.

mod brokers;
mod change;
mod command;
mod configs;
mod delete;
mod directories;
mod elections;
mod features;
mod heartbeat;
mod isr;
mod liveness;
mod partitions;
mod reassignments;
mod topics;

use crate::config::{Overrides, Resource, ResourceKind, Settings};
use crate::delta::Delta;
use crate::generated::Record;
use crate::image::Image;
use crate::refused::Refused;
use std::collections::BTreeSet;
use types::{Rng, Text};

pub use brokers::PRODUCER_IDS_PER_BLOCK;
pub use command::{
    AlteredIsrs, Command, ConfigChange, CreatedTopic, ElectionKind, FeatureUpdate, Heartbeat, HeartbeatReply,
    IsrChange, LastStop, NewPartitions, NewTopic, PartitionState, ProducerIds, Reassignment, Registration, Reply,
    TopicName, UpgradeType,
};
pub use features::SUPPORTED_FEATURES;
pub use liveness::Liveness;

#[derive(Clone, Debug)]
pub struct Decision {
    /// To be appended as one batch; none where nothing changes.
    pub records: Vec<Record>,
    pub reply: Reply,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Controller {
    image: Image,
    /// As the operator gave them.
    given: Settings,
    /// Under the dynamic configurations of the image.
    settings: Settings,
}

impl Controller {
    #[must_use]
    pub fn new(image: Image, given: Settings) -> Controller {
        let settings = given.with_dynamic(&image);
        Controller { image, given, settings }
    }

    /// The image under everything decided so far, committed or not.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Decides, and counts on the records being committed.
    pub fn decide(&mut self, command: &Command, rng: &mut Rng) -> Decision {
        let (records, reply) = self.answer(command, rng);
        self.apply(&records);
        Decision { records, reply }
    }

    fn answer(&self, command: &Command, rng: &mut Rng) -> (Vec<Record>, Reply) {
        let (image, settings) = (&self.image, &self.settings);
        match command {
            Command::CreateTopics { topics, validate_only } => {
                let (records, created) = topics::create(image, settings, topics, rng);
                (kept(records, *validate_only), Reply::CreateTopics(created))
            }
            Command::DeleteTopics { topics } => {
                let (records, deleted) = delete::delete(image, settings, topics);
                (records, Reply::DeleteTopics(deleted))
            }
            Command::CreatePartitions { topics, validate_only } => {
                let (records, created) = partitions::create(image, topics, rng);
                (kept(records, *validate_only), Reply::CreatePartitions(created))
            }
            Command::AlterConfigs { changes, validate_only } => {
                let (records, altered) = configs::alter(image, settings, changes);
                (kept(records, *validate_only), Reply::AlterConfigs(altered))
            }
            Command::AllocateProducerIds { broker, epoch } => {
                split(brokers::allocate_producer_ids(image, *broker, *epoch), Reply::AllocateProducerIds)
            }
            Command::RegisterBroker(registration) => {
                split(brokers::register(image, settings, registration), Reply::RegisterBroker)
            }
            Command::Heartbeat(beat) => split(heartbeat::heartbeat(image, settings, beat), Reply::Heartbeat),
            Command::FenceBroker { broker, epoch } => {
                let current = image.broker(*broker).filter(|broker| broker.epoch == *epoch && !broker.fenced);
                let records = current.map(|broker| brokers::fence(image, settings, broker));
                (records.unwrap_or_default(), Reply::FenceBroker)
            }
            Command::UnregisterBroker { broker } => {
                let records = brokers::unregister(image, settings, *broker);
                split(records.map(|records| (records, ())), Reply::UnregisterBroker)
            }
            Command::AlterPartition { broker, epoch, partitions } => {
                split(isr::alter(image, settings, *broker, *epoch, partitions), Reply::AlterPartition)
            }
            Command::ElectLeaders { kind, partitions } => {
                let (records, elected) = elections::elect(image, settings, *kind, partitions.as_deref());
                (records, Reply::ElectLeaders(elected))
            }
            Command::BalanceLeaders => {
                let (records, more) = elections::balance(image, settings);
                let moved = records.len();
                (records, Reply::BalanceLeaders { moved, more })
            }
            Command::RetryElections => (elections::reconsider(image, settings), Reply::RetryElections),
            Command::AlterPartitionReassignments { partitions, allow_replication_factor_change } => {
                let allowed = *allow_replication_factor_change;
                let (records, reassigned) = reassignments::alter(image, settings, partitions, allowed);
                (records, Reply::AlterPartitionReassignments(reassigned))
            }
            Command::UpdateFeatures { updates, validate_only } => {
                let records = features::update(image, settings, updates);
                split(records.map(|records| (kept(records, *validate_only), ())), Reply::UpdateFeatures)
            }
            Command::AssignReplicasToDirs { broker, epoch, assignments } => {
                let assigned = directories::assign(image, settings, *broker, *epoch, assignments);
                split(assigned, Reply::AssignReplicasToDirs)
            }
        }
    }

    /// A topic that is created because a client asked for it: an internal one with its own shape, any other with the
    /// defaults. `voters` is how many nodes the quorum has: so many brokers are to be expected.
    #[must_use]
    pub fn auto_topic(&self, name: &Text, voters: usize) -> NewTopic {
        topics::auto(&self.image, &self.settings, name, voters)
    }

    fn apply(&mut self, records: &[Record]) {
        let mut delta = Delta::default();
        for record in records {
            self.image.apply(record, &mut delta).expect("a decision fits the image that it was made on");
        }
        if delta.configs.iter().any(|resource| resource.kind == ResourceKind::Broker) {
            self.settings = self.given.with_dynamic(&self.image);
        }
    }
}

/// A refusal has no records.
fn split<T>(
    answer: Result<(Vec<Record>, T), Refused>,
    reply: impl FnOnce(Result<T, Refused>) -> Reply,
) -> (Vec<Record>, Reply) {
    match answer {
        Ok((records, answered)) => (records, reply(Ok(answered))),
        Err(refused) => (Vec::new(), reply(Err(refused))),
    }
}

/// The image once these are applied, for a decision that goes on from there.
fn after(image: &Image, records: &[Record]) -> Image {
    let mut next = image.clone();
    let mut delta = Delta::default();
    for record in records {
        next.apply(record, &mut delta).expect("a decision fits the image that it was made on");
    }
    next
}

/// Those that are named more than once.
fn repeated<K: Ord + Clone>(named: impl IntoIterator<Item = K>) -> BTreeSet<K> {
    let mut seen = BTreeSet::new();
    named.into_iter().filter(|one| !seen.insert(one.clone())).collect()
}

fn kept(records: Vec<Record>, validate_only: bool) -> Vec<Record> {
    if validate_only { Vec::new() } else { records }
}

/// The records that change a resource's configurations from `current` to `next`.
fn config_changes(resource: &Resource, current: &Overrides, next: &Overrides) -> Vec<Record> {
    let record = |name, value| crate::snapshot::config_record(resource.kind, &resource.name, name, value);
    let removed = current.keys().filter(|name| !next.contains_key(*name)).map(|name| record(name, None));
    let set = next.iter().filter(|(name, value)| current.get(*name) != Some(value));
    removed.chain(set.map(|(name, value)| record(name, Some(value)))).collect()
}

#[cfg(test)]
mod tests;
