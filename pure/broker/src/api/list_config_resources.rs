//! ListConfigResources 0 and 1: what has configurations (KIP-1142). 0 lists client-metrics subscriptions only.

use super::{Disk, Request, Shard, Step};
use ::metadata::config::ResourceKind;
use types::ErrorCode;
use wire::list_config_resources_response::ConfigResource;
use wire::{ListConfigResourcesRequest, ListConfigResourcesResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: ListConfigResourcesRequest) -> Step<D> {
    let kinds = if request.version == 0 {
        Some(vec![ResourceKind::ClientMetrics])
    } else if asked.resource_types.is_empty() {
        Some(ResourceKind::ALL.to_vec())
    } else {
        asked.resource_types.iter().map(|code| ResourceKind::from_code(*code)).collect()
    };
    let Some(kinds) = kinds else {
        let error_code = ErrorCode::UNSUPPORTED_VERSION;
        shard.figures.error(request.key, error_code);
        return request.reply(&ListConfigResourcesResponse { error_code, ..Default::default() });
    };
    let resources = kinds.into_iter().flat_map(|kind| shard.image.config_resources(kind));
    let config_resources = resources
        .map(|resource| ConfigResource {
            resource_type: resource.kind.code(),
            resource_name: resource.name,
            ..Default::default()
        })
        .collect();
    request.reply(&ListConfigResourcesResponse { config_resources, ..Default::default() })
}
