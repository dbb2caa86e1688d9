//! Brokers come and go: registration, fencing, unregistration, and blocks of producer ids.

use super::change::{Change, Rules, walk};
use super::features::SUPPORTED_FEATURES;
use super::{LastStop, ProducerIds, Registration};
use crate::Refused;
use crate::config::Settings;
use crate::generated::{BrokerRegistrationChangeRecord, ProducerIdsRecord, Record, UnregisterBrokerRecord};
use crate::image::{Broker, Image, LOST, Partition};
use crate::refused::refuse;
use crate::snapshot::{METADATA_VERSION, broker_record, feature_record};
use types::{ErrorCode, NodeId, ProducerId, Text};

/// How many producer ids a broker is given at once.
pub const PRODUCER_IDS_PER_BLOCK: i32 = 1000;

/// The registration that a broker acts under.
pub(super) fn registered(image: &Image, id: NodeId, epoch: i64) -> Result<&Broker, Refused> {
    let Some(broker) = image.broker(id) else {
        return refuse!(BROKER_ID_NOT_REGISTERED, "Broker {id} is not registered.");
    };
    if broker.epoch != epoch {
        return refuse!(STALE_BROKER_EPOCH, "Expected broker epoch {}, but broker {id} gave {epoch}.", broker.epoch);
    }
    Ok(broker)
}

pub(super) fn allocate_producer_ids(
    image: &Image,
    broker: NodeId,
    epoch: i64,
) -> Result<(Vec<Record>, ProducerIds), Refused> {
    registered(image, broker, epoch)?;
    let first = image.next_producer_id();
    let next = first.0.checked_add(PRODUCER_IDS_PER_BLOCK.into()).expect("blocks of 1,000 do not use up 2^63 ids");
    let record =
        ProducerIdsRecord { broker_id: broker.0, broker_epoch: epoch, next_producer_id: next, ..Default::default() };
    let block = ProducerIds { first: ProducerId(first.0), count: PRODUCER_IDS_PER_BLOCK };
    Ok((vec![Record::ProducerIds(record)], block))
}

/// A broker starts. The first one of a cluster finalises its features. What the broker's last run leaves behind is
/// settled first: it leads nothing and is in no ISR until it lives again.
pub(super) fn register(
    image: &Image,
    settings: &Settings,
    registration: &Registration,
) -> Result<(Vec<Record>, i64), Refused> {
    let broker = &registration.broker;
    let previous = image.broker(broker.id);
    check(image, registration, previous)?;
    if let Some(previous) = previous.filter(|previous| previous.incarnation == broker.incarnation) {
        // The same run says again who it is: it goes on as it was.
        let (fenced, in_controlled_shutdown) = (previous.fenced, previous.in_controlled_shutdown);
        let same = Broker { epoch: previous.epoch, fenced, in_controlled_shutdown, ..broker.clone() };
        return Ok((vec![broker_record(&same)], previous.epoch));
    }
    let mut records = first_features(image);
    if broker.is_alive() {
        records.push(broker_record(broker));
        records.extend(arrive(image, settings, broker, registration.last_stop));
    } else {
        records.extend(restart(image, settings, broker, registration.last_stop));
        records.push(broker_record(broker));
    }
    Ok((records, broker.epoch))
}

fn check(image: &Image, registration: &Registration, previous: Option<&Broker>) -> Result<(), Refused> {
    let broker = &registration.broker;
    let other_run = previous.filter(|previous| previous.incarnation != broker.incarnation);
    if other_run.is_some_and(|previous| registration.replaces_living && !previous.in_controlled_shutdown) {
        let message = format!("Another broker is registered with that broker id: {}.", broker.id);
        return Err(Refused::new(ErrorCode::DUPLICATE_BROKER_REGISTRATION, message));
    }
    for (name, level) in image.features() {
        let range = broker.features.iter().find(|(supported, _, _)| supported == name);
        let (low, high) = range.map_or((0, 0), |(_, low, high)| (*low, *high));
        if !(low..=high).contains(&level) {
            let message = format!(
                "Unable to register because the broker does not support finalized version {level} of {name}. The \
                 broker wants a version between {low} and {high}, inclusive."
            );
            return Err(Refused::new(ErrorCode::UNSUPPORTED_VERSION, message));
        }
    }
    if broker.endpoints.is_empty() {
        return refuse!(INVALID_REGISTRATION, "Broker {} has no listener.", broker.id);
    }
    for other in image.brokers().filter(|other| other.id != broker.id) {
        if let Some(shared) = broker.directories.iter().find(|directory| other.directories.contains(*directory)) {
            let message = format!(
                "Broker {} has the log directory {shared} of broker {}: a data directory must not be copied to another \
                 node.",
                broker.id, other.id
            );
            return Err(Refused::new(ErrorCode::INVALID_REGISTRATION, message));
        }
    }
    Ok(())
}

fn first_features(image: &Image) -> Vec<Record> {
    if image.feature(METADATA_VERSION).is_some() {
        return Vec::new();
    }
    let newest = SUPPORTED_FEATURES.iter().filter(|(_, _, high)| *high > 0);
    newest.map(|(name, _, high)| feature_record(&Text::from_static(name), *high)).collect()
}

/// A broker registers fenced: what it led is led by others, and what it lost it no longer counts for.
fn restart(image: &Image, settings: &Settings, broker: &Broker, last_stop: LastStop) -> Vec<Record> {
    let id = broker.id;
    let was_fenced = image.broker(id).is_none_or(|previous| previous.fenced);
    let rules = Rules::new(image, settings).without(id);
    walk(
        &rules,
        |partition| holds(partition, id) || partition.leader == Some(id) || partition.last_known_elr.contains(&id),
        |change| {
            note_losses(change, broker, last_stop);
            if !was_fenced {
                change.leave_isr(id);
            }
        },
    )
}

/// A broker registers and lives at once. It leads what it led before, in a new epoch unless it stopped cleanly:
/// what the crash cut off its logs must not be confused with what is written now.
fn arrive(image: &Image, settings: &Settings, broker: &Broker, last_stop: LastStop) -> Vec<Record> {
    let id = broker.id;
    let rules = Rules::new(image, settings).with(broker);
    let is_settled = |partition: &Partition| {
        last_stop == LastStop::Clean && partition.leader == Some(id) && broker.has_directory(partition)
    };
    let concerns = |partition: &Partition| {
        let unled = partition.leader.is_none_or(|leader| !rules.is_alive(leader));
        (unled || partition.replicas.contains(&id)) && !is_settled(partition)
    };
    walk(&rules, concerns, |change| {
        note_losses(change, broker, last_stop);
        change.new_epoch = last_stop != LastStop::Clean && change.before().leader == Some(id);
    })
}

fn note_losses(change: &mut Change<'_>, broker: &Broker, last_stop: LastStop) {
    let is_lost = change.before().directory(broker.id) == Some(LOST);
    if !is_lost && !broker.has_directory(change.before()) {
        change.lost_log(broker.id);
    } else if is_lost || last_stop == LastStop::PowerLost {
        change.lost_end(broker.id);
    }
}

fn holds(partition: &Partition, id: NodeId) -> bool {
    partition.isr.contains(&id) || partition.eligible_leader_replicas.contains(&id)
}

/// A heartbeat found that a broker may live: it leads what nobody leads and it holds.
pub(super) fn unfence(image: &Image, settings: &Settings, broker: &Broker) -> Vec<Record> {
    let alive = Broker { fenced: false, ..broker.clone() };
    let rules = Rules::new(image, settings).with(&alive);
    let mut records = vec![registration_change(broker, -1, 0)];
    records.extend(walk(&rules, |partition| partition.leader.is_none(), |_| ()));
    records
}

/// A broker is dead: others lead what it led, and it leaves every ISR.
pub(super) fn fence(image: &Image, settings: &Settings, broker: &Broker) -> Vec<Record> {
    let mut records = leave(image, settings, broker.id);
    records.push(registration_change(broker, 1, 0));
    records
}

fn leave(image: &Image, settings: &Settings, id: NodeId) -> Vec<Record> {
    let rules = Rules::new(image, settings).without(id);
    let concerns = |partition: &Partition| partition.isr.contains(&id) || partition.leader == Some(id);
    walk(&rules, concerns, |change| change.leave_isr(id))
}

/// Moves away what others can lead, and leaves ISRs where others remain.
pub(super) fn hand_over(image: &Image, settings: &Settings, id: NodeId) -> Vec<Record> {
    let rules = Rules::new(image, settings).without(id);
    let concerns = |partition: &Partition| partition.isr.contains(&id) && partition.isr.len() > 1;
    walk(&rules, concerns, |change| {
        change.stays_led = true;
        change.leave_isr(id);
    })
}

/// `fenced` and `leaving` are 1 for yes, -1 for no, 0 for "as it is".
pub(super) fn registration_change(broker: &Broker, fenced: i8, leaving: i8) -> Record {
    Record::BrokerRegistrationChange(BrokerRegistrationChangeRecord {
        broker_id: broker.id.0,
        broker_epoch: broker.epoch,
        fenced,
        in_controlled_shutdown: leaving,
        ..Default::default()
    })
}

pub(super) fn unregister(image: &Image, settings: &Settings, id: NodeId) -> Result<Vec<Record>, Refused> {
    let Some(broker) = image.broker(id) else {
        return refuse!(BROKER_ID_NOT_REGISTERED, "Broker ID {id} is not currently registered");
    };
    let mut records = leave(image, settings, id);
    let (broker_id, broker_epoch) = (id.0, broker.epoch);
    records.push(Record::UnregisterBroker(UnregisterBrokerRecord { broker_id, broker_epoch, ..Default::default() }));
    Ok(records)
}
