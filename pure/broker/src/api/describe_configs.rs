//! DescribeConfigs 1 to 4: every value, where it came from and what else could have decided.
//!
//! 3 has types and documentation (KIP-569), 4 is flexible.

use super::{Disk, Request, Shard, Step};
use ::metadata::config::{ConfigEntry, Resource, ResourceKind, describe};
use types::{ErrorCode, Text};
use wire::describe_configs_request::DescribeConfigsResource;
use wire::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym};
use wire::{DescribeConfigsRequest, DescribeConfigsResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: DescribeConfigsRequest) -> Step<D> {
    let mut results = Vec::with_capacity(asked.resources.len());
    for resource in &asked.resources {
        let mut result = one(shard, resource);
        for config in &mut result.configs {
            if !asked.include_synonyms {
                config.synonyms.clear();
            }
            if !asked.include_documentation {
                config.documentation = None;
            }
        }
        shard.figures.error(request.key, result.error_code);
        results.push(result);
    }
    request.reply(&DescribeConfigsResponse { results, ..Default::default() })
}

fn one<D: Disk>(shard: &Shard<D>, asked: &DescribeConfigsResource) -> DescribeConfigsResult {
    let mut result = DescribeConfigsResult {
        resource_type: asked.resource_type,
        resource_name: asked.resource_name.clone(),
        ..Default::default()
    };
    let Some(kind) = ResourceKind::from_code(asked.resource_type) else {
        result.error_code = ErrorCode::INVALID_REQUEST;
        result.error_message = Some(Text::from(format!("resource type {} is unknown", asked.resource_type)));
        return result;
    };
    let resource = Resource::new(kind, asked.resource_name.clone());
    // An empty list of names means all of them, like none.
    let keys = asked.configuration_keys.as_deref().filter(|keys| !keys.is_empty());
    match describe(&resource, &shard.image, &shard.settings.values, keys) {
        Ok(entries) => result.configs = entries.into_iter().map(config).collect(),
        Err(refused) => {
            result.error_code = refused.code;
            result.error_message = Some(Text::from(refused.message));
        }
    }
    result
}

fn config(entry: ConfigEntry) -> DescribeConfigsResourceResult {
    let synonym = |synonym: ::metadata::config::Synonym| DescribeConfigsSynonym {
        name: Text::from_static(synonym.name),
        value: synonym.value,
        source: synonym.source.code(),
        ..Default::default()
    };
    DescribeConfigsResourceResult {
        name: Text::from_static(entry.name),
        value: entry.value,
        read_only: entry.read_only,
        config_source: entry.source.code(),
        is_sensitive: entry.sensitive,
        synonyms: entry.synonyms.into_iter().map(synonym).collect(),
        config_type: entry.kind.code(),
        documentation: Some(Text::from_static(entry.documentation)),
        ..Default::default()
    }
}
