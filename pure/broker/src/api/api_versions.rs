//! ApiVersions 0 to 4: what this broker serves, and the finalised features.
//!
//! Version 3 is flexible and names the client's software (KIP-511); 4 fixes features with a minimum of 0 (KIP-1022).
//! The response's header is of version 0 always, and a version that is not known is answered in version 0, so that a
//! newer client can find out what to speak.

use super::{Disk, Request, SERVED, Shard, Step};
use ::metadata::controller::SUPPORTED_FEATURES;
use bytes::Bytes;
use types::{ErrorCode, Text};
use wire::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use wire::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: ApiVersionsRequest) -> Step<D> {
    if request.version >= 3 {
        if !is_software_name(&asked.client_software_name) || !is_software_name(&asked.client_software_version) {
            let response = ApiVersionsResponse { error_code: ErrorCode::INVALID_REQUEST, ..Default::default() };
            return request.reply(&response);
        }
        if let Some(session) = shard.sessions.get_mut(&request.slot.connection) {
            session.peer.software_name = asked.client_software_name.detached();
            session.peer.software_version = asked.client_software_version.detached();
        }
    }
    let features = shard.image.features();
    let response = ApiVersionsResponse {
        api_keys: served(),
        supported_features: SUPPORTED_FEATURES
            .iter()
            // A minimum of 0 confuses clients below version 4.
            .filter(|(_, min, _)| request.version >= 4 || *min > 0)
            .map(|(name, min, max)| SupportedFeatureKey {
                name: Text::from_static(name),
                min_version: *min,
                max_version: *max,
                ..Default::default()
            })
            .collect(),
        finalized_features_epoch: 0,
        finalized_features: features
            .map(|(name, level)| FinalizedFeatureKey {
                name: name.clone(),
                max_version_level: level,
                min_version_level: level,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    request.reply(&response)
}

/// The answer to a version that is not known.
pub(crate) fn unsupported(correlation_id: i32) -> Bytes {
    let response =
        ApiVersionsResponse { error_code: ErrorCode::UNSUPPORTED_VERSION, api_keys: served(), ..Default::default() };
    wire::encode_response(correlation_id, 0, &response).buffer.freeze()
}

fn served() -> Vec<ApiVersion> {
    let entry = |(key, min, max): &(ApiKey, i16, i16)| ApiVersion {
        api_key: *key as i16,
        min_version: *min,
        max_version: *max,
        ..Default::default()
    };
    SERVED.iter().map(entry).collect()
}

/// Letters, digits, dots and dashes, beginning and ending with a letter or digit (KIP-511).
fn is_software_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(inner)
}
