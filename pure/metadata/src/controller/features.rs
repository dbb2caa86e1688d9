//! Features of the cluster, and UpdateFeatures.

use super::change::ELIGIBLE_REPLICAS;
use super::elections::{forget_eligible, keep_eligible};
use super::{FeatureUpdate, UpgradeType};
use crate::Refused;
use crate::config::Settings;
use crate::generated::Record;
use crate::image::Image;
use crate::refused::refuse;
use crate::snapshot::{METADATA_VERSION, feature_record};
use std::collections::BTreeSet;

/// The level of metadata.version of Kafka 4.3 (4.3-IV0), which our records are written at.
const METADATA_VERSION_LEVEL: i16 = 30;
/// The feature that lets the quorum's voters change while it runs.
const KRAFT_VERSION: &str = "kraft.version";

/// Features with the lowest and highest level that a broker supports. A highest level of 0 is a feature that clients
/// may ask about and that is not there.
pub const SUPPORTED_FEATURES: &[(&str, i16, i16)] = &[
    (METADATA_VERSION, 7, METADATA_VERSION_LEVEL),
    (KRAFT_VERSION, 0, 1),
    (ELIGIBLE_REPLICAS, 0, 1),
    ("group.version", 0, 0),
    ("transaction.version", 0, 0),
];

/// All updates are made, or none.
pub(super) fn update(image: &Image, settings: &Settings, updates: &[FeatureUpdate]) -> Result<Vec<Record>, Refused> {
    let mut named = BTreeSet::new();
    let mut records = Vec::new();
    for update in updates {
        if !named.insert(&update.name) {
            return refuse!(INVALID_REQUEST, "The feature {} was named more than once.", update.name);
        }
        if check(image, update)? {
            records.push(feature_record(&update.name.detached(), update.level));
        }
    }
    let before = image.feature(ELIGIBLE_REPLICAS).unwrap_or(0);
    let image = super::after(image, &records);
    let level = image.feature(ELIGIBLE_REPLICAS).unwrap_or(0);
    if level < before {
        records.extend(forget_eligible(&image, settings));
    } else if level > before {
        records.extend(keep_eligible(&image, settings));
    }
    Ok(records)
}

/// Whether the update changes anything.
fn check(image: &Image, update: &FeatureUpdate) -> Result<bool, Refused> {
    let (name, level) = (&update.name, update.level);
    let all = "The update failed for all features since the following feature had an error:";
    let refuse = |reason: String| {
        refuse!(INVALID_UPDATE_VERSION, "{all} Invalid update version {level} for feature {name}. {reason}")
    };
    let current = image.feature(name).unwrap_or(0);
    if level < 0 {
        return refuse("A feature version cannot be less than 0.".to_owned());
    }
    let Some((_, low, high)) = SUPPORTED_FEATURES.iter().find(|(known, _, _)| *name == *known) else {
        return refuse("Local controller does not support this feature.".to_owned());
    };
    if !(*low..=*high).contains(&level) {
        return refuse(format!("Local controller only supports versions {low}-{high}"));
    }
    for broker in image.brokers() {
        let range = broker.features.iter().find(|(supported, _, _)| supported == name);
        let (low, high) = range.map_or((0, 0), |(_, low, high)| (*low, *high));
        if !(low..=high).contains(&level) {
            return refuse(format!("Broker {} only supports versions {low}-{high}", broker.id));
        }
    }
    let upgrades = update.upgrade_type == UpgradeType::Upgrade;
    if level < current && upgrades {
        let reason = "Can't downgrade the version of this feature without setting the upgrade type to either safe or \
                      unsafe downgrade.";
        return refuse(reason.to_owned());
    }
    if level > current && !upgrades {
        return refuse("Can't downgrade to a newer version.".to_owned());
    }
    if level < current && *name != ELIGIBLE_REPLICAS {
        // What is in the metadata log already could not be said in an older version.
        return refuse!(
            INVALID_UPDATE_VERSION,
            "{all} Unsupported {name} downgrade from {current} to {level}. Refusing to perform the requested downgrade \
             because it might delete metadata information."
        );
    }
    Ok(level != current)
}
