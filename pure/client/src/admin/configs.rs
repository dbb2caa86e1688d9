//! Questions about settings of topics, brokers and groups.

use super::question::{Question, Refused, done};
use types::Text;
use wire::describe_configs_request::DescribeConfigsResource;
use wire::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::{DescribeConfigsRequest, IncrementalAlterConfigsRequest, ListConfigResourcesRequest, Request, Response};

/// Whose settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    Topic(Text),
    /// A broker by its node id, or the default of all where the name is empty.
    Broker(Text),
    /// How much a broker logs, by its node id.
    BrokerLogger(Text),
    /// A subscription to the metrics of clients (KIP-714).
    ClientMetrics(Text),
    Group(Text),
}

impl Resource {
    fn on_wire(&self) -> (i8, Text) {
        match self {
            Resource::Topic(name) => (2, name.clone()),
            Resource::Broker(name) => (4, name.clone()),
            Resource::BrokerLogger(name) => (8, name.clone()),
            Resource::ClientMetrics(name) => (16, name.clone()),
            Resource::Group(name) => (32, name.clone()),
        }
    }

    fn from_wire(kind: i8, name: Text) -> Option<Resource> {
        let make = match kind {
            2 => Resource::Topic,
            4 => Resource::Broker,
            8 => Resource::BrokerLogger,
            16 => Resource::ClientMetrics,
            32 => Resource::Group,
            _ => return None,
        };
        Some(make(name))
    }
}

/// Asks what has settings of its own. Brokers before Kafka 4.1 only know of subscriptions to metrics.
#[derive(Clone, Copy, Debug)]
pub struct ListConfigResources;

impl Question for ListConfigResources {
    type Answer = Vec<Resource>;

    fn request(&self) -> Request {
        ListConfigResourcesRequest::default().into()
    }

    fn read(&self, response: Response) -> Result<Vec<Resource>, Refused> {
        let Response::ListConfigResources(response) = response else { return Err(Refused::foreign()) };
        Refused::check(response.error_code, None)?;
        let known = response.config_resources.iter();
        let mut resources: Vec<Resource> = known
            .filter_map(|known| Resource::from_wire(known.resource_type, known.resource_name.detached()))
            .collect();
        resources.sort();
        Ok(resources)
    }
}

/// Where the value of a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    Topic,
    Broker,
    AllBrokers,
    BrokerFile,
    Default,
    BrokerLogger,
    ClientMetrics,
    Group,
    Other(i8),
}

/// A setting as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub name: String,
    /// None where it is a secret or has no value.
    pub value: Option<String>,
    pub source: ConfigSource,
    pub read_only: bool,
    pub sensitive: bool,
    /// All that could have decided, the first of which did.
    pub synonyms: Vec<(String, Option<String>, ConfigSource)>,
    pub documentation: Option<String>,
}

#[derive(Clone, Debug)]
pub struct DescribeConfigs(pub Resource);

impl Question for DescribeConfigs {
    type Answer = Vec<Config>;

    fn request(&self) -> Request {
        let (resource_type, resource_name) = self.0.on_wire();
        let resource = DescribeConfigsResource { resource_type, resource_name, ..Default::default() };
        let resource = DescribeConfigsResource { configuration_keys: None, ..resource };
        let resources = vec![resource];
        DescribeConfigsRequest { resources, include_synonyms: true, include_documentation: true, ..Default::default() }
            .into()
    }

    fn read(&self, response: Response) -> Result<Vec<Config>, Refused> {
        let Response::DescribeConfigs(response) = response else { return Err(Refused::foreign()) };
        let result = response.results.first().ok_or_else(Refused::foreign)?;
        Refused::check(result.error_code, result.error_message.as_ref())?;
        let synonym = |known: &wire::describe_configs_response::DescribeConfigsSynonym| {
            (known.name.to_string(), known.value.as_ref().map(Text::to_string), source(known.source))
        };
        let config = |known: &wire::describe_configs_response::DescribeConfigsResourceResult| Config {
            name: known.name.to_string(),
            value: known.value.as_ref().map(Text::to_string),
            source: source(known.config_source),
            read_only: known.read_only,
            sensitive: known.is_sensitive,
            synonyms: known.synonyms.iter().map(synonym).collect(),
            documentation: known.documentation.as_ref().map(Text::to_string),
        };
        let mut configs: Vec<Config> = result.configs.iter().map(config).collect();
        configs.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(configs)
    }
}

fn source(number: i8) -> ConfigSource {
    match number {
        1 => ConfigSource::Topic,
        2 => ConfigSource::Broker,
        3 => ConfigSource::AllBrokers,
        4 => ConfigSource::BrokerFile,
        5 => ConfigSource::Default,
        6 => ConfigSource::BrokerLogger,
        7 => ConfigSource::ClientMetrics,
        8 => ConfigSource::Group,
        other => ConfigSource::Other(other),
    }
}

/// What to do with a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    Set(Text),
    /// Back to what holds where nothing is set.
    Delete,
    /// Add to a list.
    Append(Text),
    /// Take from a list.
    Subtract(Text),
}

/// Changes some settings and leaves the others (KIP-339).
#[derive(Clone, Debug)]
pub struct AlterConfigs {
    pub resource: Resource,
    pub changes: Vec<(Text, ConfigChange)>,
    /// Only says whether it could be done.
    pub validate_only: bool,
}

impl Question for AlterConfigs {
    done!(IncrementalAlterConfigs, responses);

    fn request(&self) -> Request {
        let change = |(name, change): &(Text, ConfigChange)| {
            let (config_operation, value) = match change {
                ConfigChange::Set(value) => (0, Some(value.clone())),
                ConfigChange::Delete => (1, None),
                ConfigChange::Append(value) => (2, Some(value.clone())),
                ConfigChange::Subtract(value) => (3, Some(value.clone())),
            };
            AlterableConfig { name: name.clone(), config_operation, value, ..Default::default() }
        };
        let (resource_type, resource_name) = self.resource.on_wire();
        let configs = self.changes.iter().map(change).collect();
        let resource = AlterConfigsResource { resource_type, resource_name, configs, ..Default::default() };
        let validate_only = self.validate_only;
        IncrementalAlterConfigsRequest { resources: vec![resource], validate_only, ..Default::default() }.into()
    }
}
