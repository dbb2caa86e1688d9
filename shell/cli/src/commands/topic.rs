//! `vltava topic`: which topics there are, making, changing and deleting them.

use crate::problem::Problem;
use crate::session::{Connection, Session, pair};
use crate::table::{Table, size};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use vltava_client::{
    Config, ConfigSource, ErrorCode, NewTopic, NodeId, Offset, OffsetAt, Partition, PartitionIndex, ReplicaSize,
    Resource, Spot, Text, Topic as Known,
};

/// Create, list, describe, alter and delete topics.
#[derive(Debug, Args)]
pub struct Topic {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(Create),
    List(List),
    Describe(Describe),
    Alter(Alter),
    Delete(Delete),
}

/// Create topics.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vltava topic create rivers --partitions 12
  vltava topic create latest --config cleanup.policy=compact --config compression.type=zstd")]
struct Create {
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// How many partitions [num.partitions of the broker]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// How many brokers keep each partition [default.replication.factor of the broker]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// A setting of the topic; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    /// Pass over topics that are there already
    #[arg(long)]
    if_not_exists: bool,
    #[command(flatten)]
    connection: Connection,
}

/// List topics.
#[derive(Debug, Args)]
struct List {
    /// Those too that the cluster made for itself
    #[arg(long)]
    internal: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Show a topic's partitions, sizes and the settings that are its own.
#[derive(Debug, Args)]
#[command(after_help = "START and END are the offsets of the first record and after the last; SIZE is of all replicas.

Examples:
  vltava topic describe rivers
  vltava topic describe rivers --all-configs --json")]
struct Describe {
    topic: String,
    /// All settings and where they come from, not only those that are the topic's own
    #[arg(long)]
    all_configs: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Change a topic's settings or add partitions.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vltava topic alter rivers --config retention.ms=3600000 --delete-config max.message.bytes
  vltava topic alter rivers --partitions 24")]
struct Alter {
    topic: String,
    /// Set a setting; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    /// Back to the broker's default; may be repeated
    #[arg(long, value_name = "KEY")]
    delete_config: Vec<String>,
    /// How many partitions there are to be in all; keys then go to other partitions than before
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    #[command(flatten)]
    connection: Connection,
}

/// Delete topics and their data.
#[derive(Debug, Args)]
struct Delete {
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Pass over topics that are not there
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Topic {
    pub fn run(self) -> Result<(), Problem> {
        match self.action {
            Action::Create(create) => create.connection.clone().run(async |session| create.run(&session).await),
            Action::List(list) => list.connection.clone().run(async |session| list.run(&session).await),
            Action::Describe(describe) => describe.connection.clone().run(async |session| describe.run(&session).await),
            Action::Alter(alter) => alter.connection.clone().run(async |session| alter.run(&session).await),
            Action::Delete(delete) => delete.connection.clone().run(async |session| delete.run(&session).await),
        }
    }
}

impl Create {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        for name in &self.topics {
            let topic = NewTopic {
                name: Text::from(name.as_str()),
                partitions: self.partitions,
                replication_factor: self.replication_factor,
                configs: texts(&self.config),
            };
            let made = session.client.create_topic(topic).await;
            let is_there = made.as_ref().is_err_and(|error| error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS));
            let created = !(is_there && self.if_not_exists);
            if created {
                made.map_err(session.while_doing(format!("creating topic `{name}`")))?;
            }
            let known = session.topic(name).await?;
            let (partitions, replicas) = (known.partitions.len(), replication_factor(&known));
            session.print(
                || json!({ "topic": name, "created": created, "partitions": partitions, "replication_factor": replicas }),
                || {
                    let done = if created { "created topic" } else { "it is there already: topic" };
                    format!("{done} {name}, {}, {}\n", count(partitions, "partition"), count(replicas, "replica"))
                },
            )?;
        }
        Ok(())
    }
}

impl List {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let overview = session.client.overview().await.map_err(session.while_doing("listing topics"))?;
        let topics: Vec<&Known> = overview.topics.iter().filter(|topic| self.internal || !topic.is_internal).collect();
        let as_json = |topic: &&Known| {
            json!({ "topic": topic.name.as_str(), "id": topic.id.to_string(), "partitions": topic.partitions.len(),
                "replication_factor": replication_factor(topic), "internal": topic.is_internal })
        };
        let table = || {
            let mut table = Table::new(&["TOPIC", ">PARTITIONS", ">REPLICAS"]);
            for topic in &topics {
                let (partitions, replicas) = (topic.partitions.len(), replication_factor(topic));
                table.row(vec![topic.name.to_string(), partitions.to_string(), replicas.to_string()]);
            }
            if table.is_empty() {
                "there are no topics: `vltava topic create` makes one\n".to_owned()
            } else {
                table.to_string()
            }
        };
        session.print(|| topics.iter().map(as_json).collect(), table)
    }
}

impl Describe {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let topic = session.topic(&self.topic).await?;
        let doing = || session.while_doing(format!("describing topic `{}`", self.topic));
        let configs = session.client.configs(Resource::Topic(topic.name.clone())).await.map_err(doing())?;
        let configs = configs.into_iter().filter(|config| self.all_configs || config.source == ConfigSource::Topic);
        let configs: Vec<Config> = configs.collect();
        let spots = || topic.partitions.iter().filter(|known| known.leader.is_some()).map(|known| spot(&topic, known));
        let starts = session.client.list_offsets(spots(), OffsetAt::Earliest).await.map_err(doing())?;
        let ends = session.client.list_offsets(spots(), OffsetAt::Latest).await.map_err(doing())?;
        // A replica's broker may be down: the rest is shown all the same.
        let sizes = session.client.replica_sizes(&topic).await.unwrap_or_default();
        let detail = Detail { topic: &topic, configs: &configs, starts, ends, sizes: &sizes };
        session.print(|| detail.json(), || detail.text(self.all_configs))
    }
}

/// All that is shown of a topic.
struct Detail<'a> {
    topic: &'a Known,
    configs: &'a [Config],
    starts: BTreeMap<Spot, Option<Offset>>,
    ends: BTreeMap<Spot, Option<Offset>>,
    sizes: &'a [(NodeId, ReplicaSize)],
}

impl Detail<'_> {
    fn size_of(&self, partition: PartitionIndex) -> Option<u64> {
        let replicas = self.sizes.iter().filter(|(_, replica)| replica.spot.1 == partition);
        replicas.map(|(_, replica)| replica.size_bytes).reduce(u64::saturating_add)
    }

    fn offsets(&self, partition: &Partition) -> (Option<i64>, Option<i64>) {
        let at = |offsets: &BTreeMap<Spot, Option<Offset>>| {
            offsets.get(&spot(self.topic, partition)).copied().flatten().map(|offset| offset.0)
        };
        (at(&self.starts), at(&self.ends))
    }

    fn json(&self) -> Value {
        let config = |config: &Config| {
            json!({ "name": config.name, "value": config.value, "source": source(config.source),
                "sensitive": config.sensitive })
        };
        let partition = |known: &Partition| {
            let (start, end) = self.offsets(known);
            json!({ "partition": known.index.0, "leader": known.leader.map(|node| node.0), "replicas": ids(&known.replicas),
                "isr": ids(&known.isr), "start_offset": start, "end_offset": end, "size_bytes": self.size_of(known.index) })
        };
        json!({
            "topic": self.topic.name.as_str(),
            "id": self.topic.id.to_string(),
            "internal": self.topic.is_internal,
            "replication_factor": replication_factor(self.topic),
            "configs": self.configs.iter().map(config).collect::<Value>(),
            "partitions": self.topic.partitions.iter().map(partition).collect::<Value>(),
        })
    }

    fn text(&self, with_sources: bool) -> String {
        let total = self.sizes.iter().map(|(_, replica)| replica.size_bytes).fold(0, u64::saturating_add);
        let mut text = format!(
            "topic     {}\nid        {}\nreplicas  {}\nsize      {}\n",
            self.topic.name,
            self.topic.id,
            replication_factor(self.topic),
            size(total)
        );
        let mut label = "configs ";
        for config in self.configs {
            let value = if config.sensitive { "(hidden)" } else { config.value.as_deref().unwrap_or("") };
            let from = if with_sources { format!("  ({})", source(config.source)) } else { String::new() };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{label}  {}={value}{from}", config.name);
            label = "        ";
        }
        if self.configs.is_empty() {
            text.push_str("configs   none of its own\n");
        }
        let mut table = Table::new(&[">PARTITION", ">LEADER", "REPLICAS", "ISR", ">START", ">END", ">SIZE"]);
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        for known in &self.topic.partitions {
            let (start, end) = self.offsets(known);
            table.row(vec![
                known.index.to_string(),
                known.leader.map_or("none".to_owned(), |node| node.to_string()),
                list(&known.replicas),
                list(&known.isr),
                or_dash(start.map(|offset| offset.to_string())),
                or_dash(end.map(|offset| offset.to_string())),
                or_dash(self.size_of(known.index).map(size)),
            ]);
        }
        format!("{text}\n{table}")
    }
}

impl Alter {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        if self.config.is_empty() && self.delete_config.is_empty() && self.partitions.is_none() {
            return Err(Problem::usage("nothing to alter: give --config, --delete-config or --partitions"));
        }
        let topic = session.topic(&self.topic).await?;
        let doing = || session.while_doing(format!("altering topic `{}`", self.topic));
        // The settings first: they are refused as a whole, while partitions cannot be taken away again.
        if !self.config.is_empty() || !self.delete_config.is_empty() {
            let delete = self.delete_config.iter().map(|name| Text::from(name.as_str())).collect();
            let resource = Resource::Topic(topic.name.clone());
            session.client.alter_configs(resource, texts(&self.config), delete).await.map_err(doing())?;
        }
        if let Some(total) = self.partitions {
            session.client.create_partitions(topic.name.clone(), total).await.map_err(doing())?;
        }
        session.print(|| json!({ "topic": self.topic, "altered": true }), || format!("altered topic {}\n", self.topic))
    }
}

impl Delete {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        for name in &self.topics {
            let done = session.client.delete_topic(name.as_str()).await;
            let is_missing =
                done.as_ref().is_err_and(|error| error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
            if is_missing && !self.if_exists {
                // Names the one that may have been meant.
                session.topic(name).await?;
            }
            if !is_missing {
                done.map_err(session.while_doing(format!("deleting topic `{name}`")))?;
            }
            let text =
                || if is_missing { format!("there is no topic {name}\n") } else { format!("deleted topic {name}\n") };
            session.print(|| json!({ "topic": name, "deleted": !is_missing }), text)?;
        }
        Ok(())
    }
}

fn spot(topic: &Known, partition: &Partition) -> Spot {
    (topic.name.clone(), partition.index)
}

fn texts(pairs: &[(String, String)]) -> Vec<(Text, Text)> {
    pairs.iter().map(|(name, value)| (Text::from(name.as_str()), Text::from(value.as_str()))).collect()
}

fn replication_factor(topic: &Known) -> usize {
    topic.partitions.first().map_or(0, |partition| partition.replicas.len())
}

fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

fn ids(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|node| node.0).collect()
}

fn list(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(",")
}

fn source(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Topic => "topic",
        ConfigSource::Broker => "broker",
        ConfigSource::AllBrokers => "all brokers",
        ConfigSource::BrokerFile => "broker's file",
        ConfigSource::Default => "default",
        ConfigSource::Group => "group",
        ConfigSource::Other(_) => "other",
    }
}
