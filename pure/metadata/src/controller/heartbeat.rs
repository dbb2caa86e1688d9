//! Heartbeats: a broker is unfenced once it has caught up, leaves in good order, and says which directories failed.
//!
//! Almost every heartbeat changes nothing; such a one looks at one registration and no partition.

use super::brokers::{fence, hand_over, registered, registration_change, unfence};
use super::change::{Rules, walk};
use super::{Heartbeat, HeartbeatReply};
use crate::Refused;
use crate::config::Settings;
use crate::generated::{BrokerRegistrationChangeRecord, Record};
use crate::image::{Broker, Image, Partition};
use types::{NodeId, Uuid};

pub(super) fn heartbeat(
    image: &Image,
    settings: &Settings,
    beat: &Heartbeat,
) -> Result<(Vec<Record>, HeartbeatReply), Refused> {
    let broker = registered(image, beat.broker, beat.epoch)?;
    let is_caught_up = beat.metadata_offset.0 >= broker.epoch;
    let (mut records, broker) = directories(image, settings, broker, beat);
    let image = &super::after(image, &records);
    let (changes, is_fenced, should_shut_down) = match (broker.fenced, beat.want_shutdown) {
        (true, true) => (Vec::new(), true, true),
        (true, false) => {
            // One that is leaving comes back by a new registration only.
            let comes = is_caught_up && !beat.want_fence && !broker.in_controlled_shutdown;
            if comes { (unfence(image, settings, &broker), false, false) } else { (Vec::new(), true, false) }
        }
        (false, false) if beat.want_fence => (fence(image, settings, &broker), true, false),
        (false, false) => (Vec::new(), false, false),
        (false, true) => shut_down(image, settings, &broker, beat),
    };
    records.extend(changes);
    Ok((records, HeartbeatReply { is_caught_up, is_fenced, should_shut_down }))
}

/// Records, whether the broker is fenced by them, and whether it may stop.
fn shut_down(image: &Image, settings: &Settings, broker: &Broker, beat: &Heartbeat) -> (Vec<Record>, bool, bool) {
    if beat.want_fence || (!broker.in_controlled_shutdown && image.leaderships(broker.id) == 0) {
        return (fence(image, settings, broker), true, true);
    }
    let mut records = Vec::new();
    if image.leaderships(broker.id) > 0 || !broker.in_controlled_shutdown {
        records = hand_over(image, settings, broker.id);
    }
    if !records.is_empty() || !broker.in_controlled_shutdown {
        // Said again with each change that follows, so that it is known which record the others must have seen.
        records.push(registration_change(broker, 0, 1));
    }
    if records.is_empty() && beat.others_know {
        return (fence(image, settings, broker), true, true);
    }
    (records, false, false)
}

/// What a heartbeat says of directories, and the broker under it.
fn directories(image: &Image, settings: &Settings, broker: &Broker, beat: &Heartbeat) -> (Vec<Record>, Broker) {
    let mut next = broker.clone();
    next.directories.retain(|directory| !beat.offline_directories.contains(directory));
    if let Some(cordoned) = &beat.cordoned_directories {
        next.cordoned_directories.clone_from(cordoned);
    }
    let failed = next.directories != broker.directories;
    let cordons = next.cordoned_directories != broker.cordoned_directories;
    if !failed && !cordons {
        return (Vec::new(), next);
    }
    let mut records = vec![Record::BrokerRegistrationChange(BrokerRegistrationChangeRecord {
        broker_id: broker.id.0,
        broker_epoch: broker.epoch,
        // An empty list would mean "as before". A broker without any directory stops anyway.
        log_dirs: if failed { next.directories.clone() } else { Vec::new() },
        cordoned_log_dirs: cordons.then(|| next.cordoned_directories.clone()),
        ..Default::default()
    })];
    if failed {
        records.extend(leave_directories(image, settings, &next, &beat.offline_directories));
    }
    (records, next)
}

/// Replicas in directories that failed leave their ISRs.
pub(super) fn leave_directories(image: &Image, settings: &Settings, broker: &Broker, failed: &[Uuid]) -> Vec<Record> {
    let rules = Rules::new(image, settings).without(broker.id);
    let is_lost = |partition: &Partition| {
        let holds = partition.isr.contains(&broker.id) || partition.leader == Some(broker.id);
        holds && partition.directory(broker.id).is_some_and(|directory| failed.contains(&directory))
    };
    walk(&rules, is_lost, |change| change.leave_isr(broker.id))
}

impl Partition {
    /// The directory of a node's replica.
    pub(super) fn directory(&self, node: NodeId) -> Option<Uuid> {
        let position = self.replicas.iter().position(|replica| *replica == node)?;
        self.directories.get(position).copied()
    }
}
