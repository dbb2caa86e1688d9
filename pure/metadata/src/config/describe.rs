//! DescribeConfigs: every value of a resource, where it came from, and what else could have decided.

use super::definition::{Definition, Kind, UpdateMode};
use super::{Overrides, Resource, ResourceKind, Settings, Source, definitions, topic};
use crate::Refused;
use crate::image::Image;
use crate::refused::refuse;
use types::{ErrorCode, Text};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: &'static str,
    /// Absent where there is no value, and where it is a secret.
    pub value: Option<Text>,
    pub source: Source,
    pub read_only: bool,
    pub sensitive: bool,
    pub kind: Kind,
    pub documentation: &'static str,
    /// Everything that could decide, strongest first; the first one does.
    pub synonyms: Vec<Synonym>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    pub name: &'static str,
    pub value: Option<Text>,
    pub source: Source,
}

/// The configurations of a resource; of those named, where names are given. `settings` are those of the broker that
/// answers, under its dynamic configurations.
pub fn describe(
    resource: &Resource,
    image: &Image,
    settings: &Settings,
    names: Option<&[Text]>,
) -> Result<Vec<ConfigEntry>, Refused> {
    check(resource, image, settings)?;
    let empty = Overrides::new();
    let set = image.overrides(resource).unwrap_or(&empty);
    let wanted = |definition: &&Definition| match names {
        Some(names) => names.iter().any(|name| *name == definition.name),
        None => !definition.internal,
    };
    let entries = definitions(resource.kind).filter(wanted).map(|definition| match resource.kind {
        ResourceKind::Topic => topic_entry(settings, set, definition),
        ResourceKind::Broker | ResourceKind::BrokerLogger => broker_entry(settings, resource, definition),
        ResourceKind::ClientMetrics => dynamic_entry(set, definition, Source::ClientMetrics, Vec::new()),
        ResourceKind::Group => group_entry(settings, set, definition),
    });
    // For all brokers together, only what was set for them is described.
    let all_brokers = resource.kind == ResourceKind::Broker && resource.name.is_empty();
    Ok(entries.filter(|entry| !all_brokers || entry.source == Source::DynamicDefaultBroker).collect())
}

fn check(resource: &Resource, image: &Image, settings: &Settings) -> Result<(), Refused> {
    let (name, own) = (&resource.name, settings.node_id().0);
    let message = match resource.kind {
        ResourceKind::Topic => {
            crate::names::validate_topic(name)?;
            if image.topic_by_name(name).is_none() {
                return refuse!(UNKNOWN_TOPIC_OR_PARTITION, "The topic '{name}' does not exist.");
            }
            return Ok(());
        }
        ResourceKind::Broker if !name.is_empty() && name.parse() != Ok(own) => {
            format!("Unexpected broker id, expected {own} or empty string, but received {name}")
        }
        // No logger can be changed at run time, so there is none to describe; that is an answer, not an error.
        ResourceKind::BrokerLogger if name.parse() != Ok(own) => {
            "Loggers are those of a broker: name its id".to_owned()
        }
        ResourceKind::ClientMetrics if name.is_empty() => {
            "Client metrics subscription name must not be empty".to_owned()
        }
        ResourceKind::Group if name.is_empty() => "Group name must not be empty".to_owned(),
        _ => return Ok(()),
    };
    Err(Refused::new(ErrorCode::INVALID_REQUEST, message))
}

/// The values of a topic as creation answers them: described without synonyms.
pub(crate) fn topic_entries(settings: &Settings, set: &Overrides) -> Vec<ConfigEntry> {
    let described = definitions(ResourceKind::Topic).filter(|definition| !definition.internal);
    described.map(|definition| topic_entry(settings, set, definition)).collect()
}

fn topic_entry(settings: &Settings, set: &Overrides, definition: &Definition) -> ConfigEntry {
    let names = topic::synonyms(definition.name).iter().map(|beside| beside.name);
    let mut beside = topic::values_beside(settings, &names.collect::<Vec<_>>());
    if beside.is_empty()
        && let Some(value) = definition.default()
    {
        beside.push((definition.name, Source::Default, Text::from_static(value)));
    }
    let value = topic::effective_text(settings, set, definition);
    ConfigEntry { value, ..dynamic_entry(set, definition, Source::DynamicTopic, beside) }
}

fn group_entry(settings: &Settings, set: &Overrides, definition: &Definition) -> ConfigEntry {
    let broker =
        definitions(ResourceKind::Broker).find(|broker| broker.name.strip_prefix("group.") == Some(definition.name));
    let beside = broker.map(|broker| topic::values_beside(settings, &[broker.name])).unwrap_or_default();
    dynamic_entry(set, definition, Source::Group, beside)
}

/// An entry whose own value, if it is set, wins over the values beside it.
fn dynamic_entry(
    set: &Overrides,
    definition: &Definition,
    source: Source,
    beside: Vec<(&'static str, Source, Text)>,
) -> ConfigEntry {
    let own = set.get(definition.name).map(|value| (definition.name, source, value.clone()));
    let default = definition.default().map(Text::from_static);
    let default = default.filter(|_| beside.is_empty()).map(|value| (definition.name, Source::Default, value));
    let decides: Vec<_> = own.into_iter().chain(beside).chain(default).collect();
    entry(definition, false, decides)
}

fn broker_entry(settings: &Settings, resource: &Resource, definition: &Definition) -> ConfigEntry {
    let mut decides = topic::values_beside(settings, &topic::broker_synonyms(definition.name));
    if resource.name.is_empty() {
        decides.retain(|(_, source, _)| *source == Source::DynamicDefaultBroker);
    }
    // The value is its own; the names beside it only say what would decide in its stead.
    let value = settings.effective_text(definition);
    decides.retain(|_| value.is_some());
    let entry = entry(definition, definition.mode == UpdateMode::ReadOnly, decides);
    if resource.name.is_empty() {
        return entry;
    }
    ConfigEntry { value: value.filter(|_| !entry.sensitive), ..entry }
}

fn entry(definition: &Definition, read_only: bool, decides: Vec<(&'static str, Source, Text)>) -> ConfigEntry {
    let sensitive = definition.is_sensitive();
    let shown = |value: Text| (!sensitive).then_some(value);
    let synonyms: Vec<_> =
        decides.into_iter().map(|(name, source, value)| Synonym { name, value: shown(value), source }).collect();
    let first = synonyms.first();
    ConfigEntry {
        name: definition.name,
        value: first.and_then(|first| first.value.clone()),
        source: first.map_or(Source::Default, |first| first.source),
        read_only,
        sensitive,
        kind: definition.kind,
        documentation: definition.doc,
        synonyms,
    }
}
