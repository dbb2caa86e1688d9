//! What a configuration belongs to, and where a value came from.

use std::collections::BTreeMap;
use types::Text;

/// Values that were set for one resource, by name.
pub type Overrides = BTreeMap<Text, Text>;

/// Kinds of resources, as the wire and ConfigRecord number them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i8)]
pub enum ResourceKind {
    Topic = 2,
    Broker = 4,
    BrokerLogger = 8,
    ClientMetrics = 16,
    Group = 32,
}

impl ResourceKind {
    pub const ALL: [ResourceKind; 5] = [
        ResourceKind::Topic,
        ResourceKind::Broker,
        ResourceKind::BrokerLogger,
        ResourceKind::ClientMetrics,
        ResourceKind::Group,
    ];

    #[must_use]
    pub fn from_code(code: i8) -> Option<ResourceKind> {
        ResourceKind::ALL.into_iter().find(|kind| kind.code() == code)
    }

    #[must_use]
    pub fn code(self) -> i8 {
        self as i8
    }
}

/// One topic, broker, group or subscription. The broker of the empty name stands for all brokers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    pub kind: ResourceKind,
    pub name: Text,
}

impl Resource {
    #[must_use]
    pub fn new(kind: ResourceKind, name: impl Into<Text>) -> Resource {
        Resource { kind, name: name.into() }
    }

    #[must_use]
    pub fn topic(name: impl Into<Text>) -> Resource {
        Resource::new(ResourceKind::Topic, name)
    }
}

/// Where a value came from, as DescribeConfigs numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum Source {
    DynamicTopic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
    ClientMetrics = 7,
    Group = 8,
}

impl Source {
    #[must_use]
    pub fn code(self) -> i8 {
        self as i8
    }
}
