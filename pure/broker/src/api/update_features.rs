//! UpdateFeatures 0 to 2 (KIP-584): finalises levels of features.
//!
//! 1 can be tried without being done and names the kind of change, 2 answers for all updates at once (KIP-1022).

use super::{Disk, Outcome, Request, Shard, Step, Work};
use ::metadata::controller::{Command, FeatureUpdate, Reply, UpgradeType};
use types::{ErrorCode, Text};
use wire::update_features_response::UpdatableFeatureResult;
use wire::{UpdateFeaturesRequest, UpdateFeaturesResponse};

pub(crate) fn start<D: Disk>(_: &mut Shard<D>, request: Request, asked: UpdateFeaturesRequest) -> Step<D> {
    let mut updates = Vec::with_capacity(asked.feature_updates.len());
    for update in &asked.feature_updates {
        let upgrade_type = match request.version {
            0 if update.allow_downgrade => Some(UpgradeType::SafeDowngrade),
            0 => Some(UpgradeType::Upgrade),
            _ => UpgradeType::from_code(update.upgrade_type),
        };
        let Some(upgrade_type) = upgrade_type else {
            let response = UpdateFeaturesResponse {
                error_code: ErrorCode::INVALID_REQUEST,
                error_message: Some(Text::from_static("upgrade types are 1, 2 and 3")),
                ..Default::default()
            };
            return request.reply(&response);
        };
        let (name, level) = (update.feature.detached(), update.max_version_level);
        updates.push(FeatureUpdate { name, level, upgrade_type });
    }
    let names: Vec<Text> = updates.iter().map(|update| update.name.clone()).collect();
    let command = Command::UpdateFeatures { updates, validate_only: asked.validate_only };
    Step::one(Work::controller(command), move |shard, outcome| {
        let mut response = UpdateFeaturesResponse::default();
        match outcome {
            Outcome::Controller(Reply::UpdateFeatures(Ok(()))) => {
                // From 2 on there is one answer for all.
                if request.version < 2 {
                    let result = |feature| UpdatableFeatureResult { feature, ..Default::default() };
                    response.results = names.into_iter().map(result).collect();
                }
            }
            other => (response.error_code, response.error_message) = other.into_answer(),
        }
        shard.figures.error(request.key, response.error_code);
        request.reply(&response)
    })
}
