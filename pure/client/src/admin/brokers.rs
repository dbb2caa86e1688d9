//! Questions about brokers: which there are, living or fenced, what lies on one, which features they have, and
//! forgetting one that is gone.

use super::question::{Question, Refused, done, indexes_by_topic, spot};
use crate::Spot;
use crate::metadata::Broker;
use std::collections::BTreeMap;
use types::{ErrorCode, NodeId, Text};
use wire::describe_log_dirs_request::DescribableLogDirTopic;
use wire::update_features_request::FeatureUpdateKey;
use wire::{
    ApiVersionsRequest, DescribeClusterRequest, DescribeLogDirsRequest, Request, Response, UnregisterBrokerRequest,
    UpdateFeaturesRequest,
};

/// All brokers that are registered, those too that are fenced, where the broker that is asked can tell (KIP-1073).
#[derive(Clone, Copy, Debug)]
pub struct DescribeCluster;

/// The brokers of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    pub cluster_id: Text,
    /// Whom to ask for changes; with a quorum of controllers this may be any broker, which forwards.
    pub controller: Option<NodeId>,
    /// In the order of their ids.
    pub brokers: Vec<Registered>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    pub broker: Broker,
    /// It does not send heartbeats, or has not caught up yet: it leads nothing and no client is sent to it.
    pub is_fenced: bool,
}

impl Question for DescribeCluster {
    type Answer = Roster;

    fn request(&self) -> Request {
        DescribeClusterRequest { include_fenced_brokers: true, ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Roster, Refused> {
        let Response::DescribeCluster(response) = response else { return Err(Refused::foreign()) };
        Refused::check(response.error_code, response.error_message.as_ref())?;
        let registered = |known: &wire::describe_cluster_response::DescribeClusterBroker| Registered {
            broker: Broker {
                node: NodeId(known.broker_id),
                host: known.host.to_string(),
                port: u16::try_from(known.port).unwrap_or(0),
                rack: known.rack.as_ref().map(Text::detached),
            },
            is_fenced: known.is_fenced,
        };
        let mut brokers: Vec<Registered> = response.brokers.iter().map(registered).collect();
        brokers.sort_by_key(|registered| registered.broker.node);
        Ok(Roster {
            cluster_id: response.cluster_id.detached(),
            controller: Some(NodeId(response.controller_id)).filter(|node| node.0 >= 0),
            brokers,
        })
    }
}

/// The log directories of the broker that is asked, and what of these partitions, or of all, lies in them.
#[derive(Clone, Debug)]
pub struct DescribeLogDirs(pub Option<Vec<Spot>>);

/// A log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDir {
    pub path: String,
    /// Why nothing of it can be read, where that is so.
    pub error: ErrorCode,
    /// Of its disk, where the broker tells (KIP-827).
    pub total_bytes: Option<u64>,
    pub usable_bytes: Option<u64>,
    pub replicas: Vec<ReplicaSize>,
}

/// A replica on the broker that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSize {
    pub spot: Spot,
    pub size_bytes: u64,
    /// Records that it has not yet: of its leader, or of the replica that it is to take the place of.
    pub offset_lag: i64,
    /// On its way to this directory from another, where it still serves.
    pub is_future: bool,
}

impl Question for DescribeLogDirs {
    type Answer = Vec<LogDir>;

    fn request(&self) -> Request {
        let topic = |(topic, partitions)| DescribableLogDirTopic { topic, partitions, ..Default::default() };
        let topics = self.0.as_ref().map(|spots| indexes_by_topic(spots).map(topic).collect());
        DescribeLogDirsRequest { topics, ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Vec<LogDir>, Refused> {
        let Response::DescribeLogDirs(response) = response else { return Err(Refused::foreign()) };
        Refused::check(response.error_code, None)?;
        let dir = |dir: &wire::describe_log_dirs_response::DescribeLogDirsResult| LogDir {
            path: dir.log_dir.to_string(),
            error: dir.error_code,
            total_bytes: u64::try_from(dir.total_bytes).ok(),
            usable_bytes: u64::try_from(dir.usable_bytes).ok(),
            replicas: dir.topics.iter().flat_map(replicas).collect(),
        };
        Ok(response.results.iter().map(dir).collect())
    }
}

fn replicas(topic: &wire::describe_log_dirs_response::DescribeLogDirsTopic) -> impl Iterator<Item = ReplicaSize> {
    topic.partitions.iter().map(|known| ReplicaSize {
        spot: spot(&topic.name, known.partition_index),
        size_bytes: u64::try_from(known.partition_size).unwrap_or(0),
        offset_lag: known.offset_lag,
        is_future: known.is_future_key,
    })
}

/// The features of the broker that is asked, and the levels that the cluster has settled on (KIP-584).
#[derive(Clone, Copy, Debug)]
pub struct DescribeFeatures;

/// Settled levels, and what the broker could do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// How often levels have changed, where the cluster tells.
    pub epoch: Option<i64>,
    pub features: BTreeMap<String, Feature>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feature {
    /// The lowest and the highest level of this broker.
    pub supported: (i16, i16),
    /// The cluster's level; 0 is without the feature.
    pub level: i16,
}

impl Question for DescribeFeatures {
    type Answer = Features;

    fn request(&self) -> Request {
        ApiVersionsRequest {
            client_software_name: Text::from_static("vltava"),
            client_software_version: Text::from_static(env!("CARGO_PKG_VERSION")),
            ..Default::default()
        }
        .into()
    }

    fn read(&self, response: Response) -> Result<Features, Refused> {
        let Response::ApiVersions(response) = response else { return Err(Refused::foreign()) };
        Refused::check(response.error_code, None)?;
        let mut features: BTreeMap<String, Feature> = BTreeMap::new();
        for known in &response.supported_features {
            let supported = (known.min_version, known.max_version);
            features.insert(known.name.to_string(), Feature { supported, level: 0 });
        }
        for known in &response.finalized_features {
            features.entry(known.name.to_string()).or_default().level = known.max_version_level;
        }
        let epoch = Some(response.finalized_features_epoch).filter(|epoch| *epoch >= 0);
        Ok(Features { epoch, features })
    }
}

/// Settles on other levels of features.
#[derive(Clone, Debug)]
pub struct UpdateFeatures {
    pub levels: Vec<(Text, i16)>,
    pub change: FeatureChange,
    /// Only says whether it could be done.
    pub validate_only: bool,
    /// How long the broker may take.
    pub timeout_ms: i32,
}

/// Which way levels may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureChange {
    Upgrade,
    /// Down, where no metadata is lost.
    SafeDowngrade,
    /// Down, though metadata may be lost.
    UnsafeDowngrade,
}

impl Question for UpdateFeatures {
    type Answer = ();

    fn request(&self) -> Request {
        let upgrade_type = match self.change {
            FeatureChange::Upgrade => 1,
            FeatureChange::SafeDowngrade => 2,
            FeatureChange::UnsafeDowngrade => 3,
        };
        let update = |(feature, level): &(Text, i16)| FeatureUpdateKey {
            feature: feature.clone(),
            max_version_level: *level,
            // Older versions have the one field, newer the other.
            allow_downgrade: self.change != FeatureChange::Upgrade,
            upgrade_type,
            ..Default::default()
        };
        let (feature_updates, validate_only) = (self.levels.iter().map(update).collect(), self.validate_only);
        UpdateFeaturesRequest { timeout_ms: self.timeout_ms, feature_updates, validate_only, ..Default::default() }
            .into()
    }

    fn read(&self, response: Response) -> Result<(), Refused> {
        let Response::UpdateFeatures(response) = response else { return Err(Refused::foreign()) };
        Refused::check(response.error_code, response.error_message.as_ref())?;
        let mut results = response.results.iter();
        results.try_for_each(|known| Refused::check(known.error_code, known.error_message.as_ref()))
    }
}

/// Forgets a broker that will not come back.
#[derive(Clone, Copy, Debug)]
pub struct UnregisterBroker(pub NodeId);

impl Question for UnregisterBroker {
    done!(UnregisterBroker);

    fn request(&self) -> Request {
        UnregisterBrokerRequest { broker_id: self.0.0, ..Default::default() }.into()
    }
}
