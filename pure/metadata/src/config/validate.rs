//! Changes of configurations: what a resource's values become, and whether they may.

use super::definition::{Definition, UpdateMode, split};
use super::{Overrides, Resource, ResourceKind, Settings, TopicConfig, find, nearest, topic};
use crate::Refused;
use crate::refused::refuse;
use types::{ErrorCode, Text};

/// One step of IncrementalAlterConfigs on one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Set(Text),
    /// Back to the default.
    Delete,
    /// Adds the elements that a list does not hold yet.
    Append(Text),
    Subtract(Text),
}

impl Operation {
    /// Reads the operation as the wire carries it.
    pub fn read(code: i8, name: &str, value: Option<Text>) -> Result<Operation, Refused> {
        let value = || value.ok_or_else(|| null_value(name));
        match code {
            0 => Ok(Operation::Set(value()?)),
            1 => Ok(Operation::Delete),
            2 => Ok(Operation::Append(value()?)),
            3 => Ok(Operation::Subtract(value()?)),
            _ => Err(Refused::new(ErrorCode::INVALID_REQUEST, format!("Unknown operation {code} on {name}"))),
        }
    }
}

/// The values of a resource after `operations`, validated as a whole.
pub fn alter(
    settings: &Settings,
    resource: &Resource,
    current: &Overrides,
    operations: &[(Text, Operation)],
) -> Result<Overrides, Refused> {
    refuse_duplicates(operations.iter().map(|(name, _)| name))?;
    let mut values = current.clone();
    for (name, operation) in operations {
        // What is not set may be unset, whatever it is.
        if *operation == Operation::Delete {
            values.remove(name);
            continue;
        }
        let definition = known(resource, name)?;
        // A request's text is a slice of the request: what is kept gets its own buffer.
        match operation {
            Operation::Set(value) => drop(values.insert(name.detached(), Text::from(value.trim()))),
            Operation::Delete => (),
            Operation::Append(value) | Operation::Subtract(value) => {
                let verb = if matches!(operation, Operation::Append(_)) { "APPEND" } else { "SUBTRACT" };
                if definition.kind != super::Kind::List {
                    return refuse!(INVALID_CONFIG, "Can't {verb} to key {name} because its type is not LIST.");
                }
                check_length(name, value)?;
                let base = values.get(name).cloned().or_else(|| default_text(settings, resource, definition));
                let list = change_list(&base.unwrap_or_default(), value, matches!(operation, Operation::Append(_)));
                values.insert(name.detached(), Text::from(list));
            }
        }
    }
    validate(settings, resource, &values)?;
    let set = operations.iter().filter(|(_, operation)| *operation != Operation::Delete);
    check_dynamic(resource, set.map(|(name, _)| name))?;
    Ok(values)
}

/// The values of a resource after AlterConfigs, which drops what it does not name.
pub fn replace(settings: &Settings, resource: &Resource, given: &[(Text, Option<Text>)]) -> Result<Overrides, Refused> {
    refuse_duplicates(given.iter().map(|(name, _)| name))?;
    let mut values = Overrides::new();
    for (name, value) in given {
        known(resource, name)?;
        let value = value.as_ref().ok_or_else(|| null_value(name))?;
        values.insert(name.detached(), Text::from(value.trim()));
    }
    validate(settings, resource, &values)?;
    check_dynamic(resource, given.iter().map(|(name, _)| name))?;
    Ok(values)
}

/// Longest value in bytes: what old versions of DescribeConfigs can carry.
const VALUE_BYTES_MAX: usize = 32_767;

/// Checks all values that a resource would have.
pub fn validate(settings: &Settings, resource: &Resource, values: &Overrides) -> Result<(), Refused> {
    for (name, value) in values {
        check_length(name, value)?;
        let definition = known(resource, name)?;
        definition.parse(value).map_err(|problem| Refused::new(invalid_value(resource.kind, name), problem))?;
    }
    match resource.kind {
        ResourceKind::Topic => validate_topic(settings, values),
        ResourceKind::Group => validate_group(settings, values),
        ResourceKind::Broker | ResourceKind::BrokerLogger | ResourceKind::ClientMetrics => Ok(()),
    }
}

/// What Kafka calls a value that its type or its range forbids.
fn invalid_value(kind: ResourceKind, name: &str) -> ErrorCode {
    match kind {
        ResourceKind::ClientMetrics if name == "match" => ErrorCode::INVALID_CONFIG,
        ResourceKind::Broker | ResourceKind::BrokerLogger | ResourceKind::ClientMetrics => ErrorCode::INVALID_REQUEST,
        ResourceKind::Topic | ResourceKind::Group => ErrorCode::INVALID_CONFIG,
    }
}

/// A group's own times stay within the bounds that its broker sets for every group of the kind.
fn validate_group(settings: &Settings, values: &Overrides) -> Result<(), Refused> {
    for (name, value) in values {
        let (Some((kind, rest)), Ok(value)) = (name.split_once('.'), value.parse::<i64>()) else { continue };
        for (bound, allows) in [("min", i64::le as fn(&i64, &i64) -> bool), ("max", i64::ge)] {
            let limit = format!("group.{kind}.{bound}.{rest}");
            if find(ResourceKind::Broker, &limit).is_some() && !allows(&settings.i64(&limit), &value) {
                let message = format!("{name} is {value}, but {limit} is {}", settings.i64(&limit));
                return Err(Refused::new(ErrorCode::INVALID_CONFIG, message));
            }
        }
    }
    Ok(())
}

fn check_length(name: &str, value: &str) -> Result<(), Refused> {
    if value.len() > VALUE_BYTES_MAX {
        return refuse!(INVALID_CONFIG, "The value of {name} is longer than {VALUE_BYTES_MAX} bytes.");
    }
    Ok(())
}

fn validate_topic(settings: &Settings, values: &Overrides) -> Result<(), Refused> {
    let refuse = |message: String| Err(Refused::new(ErrorCode::INVALID_CONFIG, message));
    let config = TopicConfig::effective(settings, values);
    let (low, high) = (config.min_compaction_lag_ms, config.max_compaction_lag_ms);
    if low > high {
        return refuse(format!(
            "conflict topic config setting min.compaction.lag.ms ({low}) > max.compaction.lag.ms ({high})"
        ));
    }
    if values.get("remote.storage.enable").is_some_and(|value| value.trim().eq_ignore_ascii_case("true")) {
        return refuse(
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log \
             storage."
                .to_owned(),
        );
    }
    Ok(())
}

fn known(resource: &Resource, name: &str) -> Result<&'static Definition, Refused> {
    find(resource.kind, name).ok_or_else(|| {
        let what = match resource.kind {
            ResourceKind::Topic => "topic config name",
            ResourceKind::Broker | ResourceKind::BrokerLogger => "broker config name",
            ResourceKind::ClientMetrics => "client metrics configuration",
            ResourceKind::Group => "group config name",
        };
        let hint = nearest(resource.kind, name).map(|meant| format!(" (did you mean {meant}?)"));
        let code = match resource.kind {
            ResourceKind::ClientMetrics => ErrorCode::INVALID_REQUEST,
            _ => ErrorCode::INVALID_CONFIG,
        };
        Refused::new(code, format!("Unknown {what}: {name}{}", hint.unwrap_or_default()))
    })
}

/// Broker configurations change at run time only where Kafka says so.
fn check_dynamic<'a>(resource: &Resource, names: impl Iterator<Item = &'a Text>) -> Result<(), Refused> {
    if resource.kind != ResourceKind::Broker {
        return Ok(());
    }
    for name in names {
        let reason = match known(resource, name)?.mode {
            UpdateMode::ReadOnly => "Cannot update these configs dynamically",
            UpdateMode::PerBroker if resource.name.is_empty() => {
                "Cannot update these configs at default cluster level, broker id must be specified"
            }
            UpdateMode::PerBroker | UpdateMode::ClusterWide => continue,
        };
        return Err(Refused::new(ErrorCode::INVALID_REQUEST, format!("{reason}: [{name}]")));
    }
    Ok(())
}

fn refuse_duplicates<'a>(names: impl Iterator<Item = &'a Text>) -> Result<(), Refused> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return refuse!(INVALID_REQUEST, "Error due to duplicate config keys: {name}");
        }
    }
    Ok(())
}

fn null_value(name: &str) -> Refused {
    Refused::new(ErrorCode::INVALID_REQUEST, format!("Null value not supported for : {name}"))
}

fn default_text(settings: &Settings, resource: &Resource, definition: &Definition) -> Option<Text> {
    match resource.kind {
        ResourceKind::Topic => topic::effective_text(settings, &Overrides::new(), definition),
        ResourceKind::Broker => settings.effective_text(definition),
        ResourceKind::BrokerLogger | ResourceKind::ClientMetrics | ResourceKind::Group => {
            definition.default().map(Text::from_static)
        }
    }
}

fn change_list(base: &str, change: &str, append: bool) -> String {
    let mut words: Vec<&str> = split(base).collect();
    for word in split(change) {
        match words.iter().position(|known| *known == word) {
            None if append => words.push(word),
            Some(at) if !append => drop(words.remove(at)),
            None | Some(_) => (),
        }
    }
    words.join(",")
}
