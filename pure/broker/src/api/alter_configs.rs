//! AlterConfigs 0 to 2, which replaces all of a resource's values, and IncrementalAlterConfigs 0 and 1, which changes
//! some (KIP-339). The last version of each is flexible.

use super::{Disk, Outcome, Request, Shard, Step, Work, told};
use ::metadata::Refused;
use ::metadata::config::{Operation, Resource, ResourceKind};
use ::metadata::controller::{Command, ConfigChange, Reply};
use types::{ErrorCode, Text};
use wire::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    alter_configs_response, incremental_alter_configs_response,
};

/// A resource as the request named it, and what is to become of it.
struct Asked {
    kind: i8,
    name: Text,
    change: ConfigChange,
}

/// What became of it.
struct Answered {
    kind: i8,
    name: Text,
    error_code: ErrorCode,
    error_message: Option<Text>,
}

/// What became of each, as an answer says it: the two answers are the same but for their names.
macro_rules! responses {
    ($answered:ident, $module:ident) => {{
        let response = |answered: Answered| $module::AlterConfigsResourceResponse {
            error_code: answered.error_code,
            error_message: answered.error_message,
            resource_type: answered.kind,
            resource_name: answered.name,
            ..Default::default()
        };
        $answered.into_iter().map(response).collect()
    }};
}

pub(crate) fn start<D: Disk>(_: &mut Shard<D>, request: Request, asked: AlterConfigsRequest) -> Step<D> {
    let resource = |resource: wire::alter_configs_request::AlterConfigsResource| {
        let pair = |config: wire::alter_configs_request::AlterableConfig| {
            (config.name.detached(), config.value.as_ref().map(Text::detached))
        };
        let change = ConfigChange::Replace(resource.configs.into_iter().map(pair).collect());
        Asked { kind: resource.resource_type, name: resource.resource_name.detached(), change }
    };
    let changes = asked.resources.into_iter().map(resource).collect();
    alter(request, changes, asked.validate_only, |request, answered| {
        let responses = responses!(answered, alter_configs_response);
        request.reply(&AlterConfigsResponse { responses, ..Default::default() })
    })
}

pub(crate) fn start_incremental<D: Disk>(
    _: &mut Shard<D>,
    request: Request,
    asked: IncrementalAlterConfigsRequest,
) -> Step<D> {
    let resource = |resource: wire::incremental_alter_configs_request::AlterConfigsResource| {
        let operation = |config: wire::incremental_alter_configs_request::AlterableConfig| {
            let value = config.value.as_ref().map(Text::detached);
            Ok((config.name.detached(), Operation::read(config.config_operation, &config.name, value)?))
        };
        let operations: Result<Vec<_>, Refused> = resource.configs.into_iter().map(operation).collect();
        let change = operations.map_or_else(ConfigChange::Refused, ConfigChange::Incremental);
        Asked { kind: resource.resource_type, name: resource.resource_name.detached(), change }
    };
    let changes = asked.resources.into_iter().map(resource).collect();
    alter(request, changes, asked.validate_only, |request, answered| {
        let responses = responses!(answered, incremental_alter_configs_response);
        request.reply(&IncrementalAlterConfigsResponse { responses, ..Default::default() })
    })
}

fn alter<D: Disk>(
    request: Request,
    asked: Vec<Asked>,
    validate_only: bool,
    reply: fn(&Request, Vec<Answered>) -> Step<D>,
) -> Step<D> {
    let mut refused = Vec::new();
    let mut changes = Vec::with_capacity(asked.len());
    for Asked { kind, name, change } in asked {
        match ResourceKind::from_code(kind) {
            Some(known) => changes.push((Resource::new(known, name), change)),
            None => {
                let error_message = Some(Text::from(format!("resource type {kind} is unknown")));
                refused.push(Answered { kind, name, error_code: ErrorCode::INVALID_REQUEST, error_message });
            }
        }
    }
    let resources: Vec<Resource> = changes.iter().map(|(resource, _)| resource.clone()).collect();
    let alter = Work::controller(Command::AlterConfigs { changes, validate_only });
    Step::one(alter, move |shard: &mut Shard<D>, outcome| {
        let results = match outcome {
            Outcome::Controller(Reply::AlterConfigs(results)) => results,
            other => other.refuse_all(resources),
        };
        let mut answered: Vec<Answered> =
            results.into_iter().map(|(resource, result)| answer(resource, result)).collect();
        answered.extend(refused);
        for entry in &answered {
            shard.figures.error(request.key, entry.error_code);
        }
        reply(&request, answered)
    })
}

fn answer(resource: Resource, result: Result<(), Refused>) -> Answered {
    let (error_code, error_message) = told(result);
    Answered { kind: resource.kind.code(), name: resource.name, error_code, error_message }
}
