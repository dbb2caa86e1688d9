//! Questions about settings of topics, brokers and groups.

use super::question::{Question, Refused};
use types::Text;
use wire::describe_configs_request::DescribeConfigsResource;
use wire::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::{DescribeConfigsRequest, IncrementalAlterConfigsRequest, Request, Response};

/// Whose settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    Topic(Text),
    /// A broker by its node id, or the default of all where the name is empty.
    Broker(Text),
    Group(Text),
}

impl Resource {
    fn on_wire(&self) -> (i8, Text) {
        match self {
            Resource::Topic(name) => (2, name.clone()),
            Resource::Broker(name) => (4, name.clone()),
            Resource::Group(name) => (32, name.clone()),
        }
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
}

#[derive(Clone, Debug)]
pub struct DescribeConfigs(pub Resource);

impl Question for DescribeConfigs {
    type Answer = Vec<Config>;

    fn request(&self) -> Request {
        let (resource_type, resource_name) = self.0.on_wire();
        let resource = DescribeConfigsResource { resource_type, resource_name, ..Default::default() };
        let resource = DescribeConfigsResource { configuration_keys: None, ..resource };
        DescribeConfigsRequest { resources: vec![resource], ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Vec<Config>, Refused> {
        let Response::DescribeConfigs(response) = response else { return Err(Refused::foreign()) };
        let result = response.results.first().ok_or_else(Refused::foreign)?;
        Refused::check(result.error_code, result.error_message.as_ref())?;
        let config = |known: &wire::describe_configs_response::DescribeConfigsResourceResult| Config {
            name: known.name.to_string(),
            value: known.value.as_ref().map(Text::to_string),
            source: source(known.config_source),
            read_only: known.read_only,
            sensitive: known.is_sensitive,
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
        8 => ConfigSource::Group,
        other => ConfigSource::Other(other),
    }
}

/// Changes some settings and leaves the others (KIP-339).
#[derive(Clone, Debug)]
pub struct AlterConfigs {
    pub resource: Resource,
    pub set: Vec<(Text, Text)>,
    /// Back to what holds where nothing is set.
    pub delete: Vec<Text>,
}

impl Question for AlterConfigs {
    type Answer = ();

    fn request(&self) -> Request {
        let set = self.set.iter().map(|(name, value)| AlterableConfig {
            name: name.clone(),
            config_operation: 0,
            value: Some(value.clone()),
            ..Default::default()
        });
        let delete = self.delete.iter().map(|name| AlterableConfig {
            name: name.clone(),
            config_operation: 1,
            value: None,
            ..Default::default()
        });
        let (resource_type, resource_name) = self.resource.on_wire();
        let configs = set.chain(delete).collect();
        let resource = AlterConfigsResource { resource_type, resource_name, configs, ..Default::default() };
        IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<(), Refused> {
        let Response::IncrementalAlterConfigs(response) = response else { return Err(Refused::foreign()) };
        let result = response.responses.first().ok_or_else(Refused::foreign)?;
        Refused::check(result.error_code, result.error_message.as_ref())
    }
}
