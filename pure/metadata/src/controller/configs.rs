//! AlterConfigs and IncrementalAlterConfigs.

use super::elections::reconsider;
use super::{ConfigChange, config_changes, repeated};
use crate::Refused;
use crate::config::{self, Overrides, Resource, ResourceKind, Settings};
use crate::generated::Record;
use crate::image::Image;
use crate::names;
use crate::refused::refuse;
use types::{ErrorCode, NodeId};

type Altered = Vec<(Resource, Result<(), Refused>)>;

/// A resource fails or changes as a whole; one failure leaves the others alone.
pub(super) fn alter(
    image: &Image,
    settings: &Settings,
    changes: &[(Resource, ConfigChange)],
) -> (Vec<Record>, Altered) {
    let repeated = repeated(changes.iter().map(|(resource, _)| resource));
    let mut records = Vec::new();
    let mut altered = Altered::new();
    for (resource, change) in changes {
        let result = if repeated.contains(resource) {
            Err(Refused::new(ErrorCode::INVALID_REQUEST, "Each resource must appear at most once."))
        } else {
            alter_one(image, settings, resource, change).map(|changed| records.extend(changed))
        };
        altered.push((resource.clone(), result));
    }
    if records.iter().any(decides_leaders) {
        // Both in one batch: whoever sees the new configuration sees what follows from it for the partitions.
        let image = super::after(image, &records);
        records.extend(reconsider(&image, &settings.with_dynamic(&image)));
    }
    (records, altered)
}

/// Whether a change of configuration may change who leads, or who is eligible to.
fn decides_leaders(record: &Record) -> bool {
    let Record::Config(config) = record else {
        return false;
    };
    ["min.insync.replicas", "unclean.leader.election.enable"].contains(&config.name.as_str())
}

fn alter_one(
    image: &Image,
    settings: &Settings,
    resource: &Resource,
    change: &ConfigChange,
) -> Result<Vec<Record>, Refused> {
    check(image, resource)?;
    let nothing = Overrides::new();
    let current = image.overrides(resource).unwrap_or(&nothing);
    let next = match change {
        ConfigChange::Refused(refused) => return Err(refused.clone()),
        ConfigChange::Replace(given) => config::replace(settings, resource, given)?,
        ConfigChange::Incremental(operations) => config::alter(settings, resource, current, operations)?,
    };
    let resource = Resource { kind: resource.kind, name: resource.name.detached() };
    Ok(config_changes(&resource, current, &next))
}

/// Longest name of a group or of a subscription in bytes.
const NAME_BYTES_MAX: usize = 1024;

/// Whether there is such a resource.
fn check(image: &Image, resource: &Resource) -> Result<(), Refused> {
    let name = &resource.name;
    match resource.kind {
        ResourceKind::Group | ResourceKind::ClientMetrics if name.len() > NAME_BYTES_MAX => {
            refuse!(INVALID_REQUEST, "The name is longer than {NAME_BYTES_MAX} bytes.")
        }
        ResourceKind::Topic if name.is_empty() => refuse!(INVALID_REQUEST, "Default topic resources are not allowed."),
        ResourceKind::Topic => {
            names::validate_topic(name)?;
            if image.topic_by_name(name).is_none() {
                return refuse!(UNKNOWN_TOPIC_OR_PARTITION, "The topic '{name}' does not exist.");
            }
            Ok(())
        }
        ResourceKind::Broker if name.is_empty() => Ok(()),
        ResourceKind::Broker => match name.parse::<i32>() {
            Err(_) => refuse!(INVALID_REQUEST, "Unable to parse broker name as a base 10 number."),
            Ok(id) if id < 0 => refuse!(INVALID_REQUEST, "Invalid negative broker ID."),
            Ok(id) if image.broker(NodeId(id)).is_none() => {
                refuse!(BROKER_ID_NOT_REGISTERED, "No broker with id {id} found.")
            }
            Ok(_) => Ok(()),
        },
        ResourceKind::BrokerLogger => refuse!(INVALID_REQUEST, "Log levels are set when the broker is started."),
        ResourceKind::ClientMetrics if name.is_empty() => refuse!(INVALID_REQUEST, "Subscription name can't be empty"),
        ResourceKind::Group if name.is_empty() => refuse!(INVALID_REQUEST, "Default group resources are not allowed."),
        ResourceKind::ClientMetrics | ResourceKind::Group => Ok(()),
    }
}
