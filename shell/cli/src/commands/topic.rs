//! `vltava topic`: which topics there are, making, changing and deleting them.

use super::config::{shown, source};
use crate::problem::Problem;
use crate::scope::{Scope, moment, spots};
use crate::session::{Session, Trial, pair};
use crate::table::{Table, count, size};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use vltava_client::{
    Config, ConfigChange, ConfigSource, ErrorCode, NewTopic, NodeId, Offset, OffsetAt, Partition, PartitionIndex,
    ReplicaSize, Resource, Spot, Text, Topic as Known,
};

actions! {
    /// Create, list, describe, alter and delete topics.
    Topic {
        Create(Create),
        List(List),
        Describe(Describe),
        Alter(Alter),
        Offsets(Offsets),
        DeleteRecords(DeleteRecords),
        Producers(Producers),
        Delete(Delete),
    }
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
    /// The brokers of each partition, such as 1:2,2:3: partition 0 on 1 and 2, partition 1 on 2 and 3
    #[arg(long, value_name = "IDS", value_parser = assignment, conflicts_with_all = ["partitions", "replication_factor"])]
    replica_assignment: Option<Assignment>,
    /// A setting of the topic; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    /// Pass over topics that are there already
    #[arg(long)]
    if_not_exists: bool,
    #[command(flatten)]
    trial: Trial,
}

/// The brokers of each partition.
type Assignment = std::sync::Arc<Vec<Vec<NodeId>>>;

/// Reads `1:2,2:3`.
pub fn assignment(text: &str) -> Result<Assignment, String> {
    let node = |id: &str| id.trim().parse().map(NodeId).map_err(|_| "give it as 1:2,2:3".to_owned());
    text.split(',').map(|nodes| nodes.split(':').map(node).collect()).collect::<Result<_, _>>().map(Assignment::new)
}

/// List topics.
#[derive(Debug, Args)]
struct List {
    /// Those too that the cluster made for itself
    #[arg(long)]
    internal: bool,
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
    trial: Trial,
}

/// Show offsets of partitions: where they end, or where a moment is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vltava topic offsets rivers
  vltava topic offsets rivers:0,1 lakes --time earliest
  vltava topic offsets rivers --time 2026-11-26T10:00")]
struct Offsets {
    #[arg(required = true, value_name = "TOPIC[:PARTITIONS]")]
    scopes: Vec<Scope>,
    /// earliest, latest, max-timestamp, earliest-local, latest-tiered, or a moment (UTC, ms since 1970, -90m)
    #[arg(long, value_name = "TIME", default_value = "latest", value_parser = offset_at, allow_hyphen_values = true)]
    time: OffsetAt,
}

/// Delete the oldest records of partitions.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vltava topic delete-records rivers:0 --before 1000 --dry-run
  vltava topic delete-records rivers --all")]
struct DeleteRecords {
    #[arg(required = true, value_name = "TOPIC[:PARTITIONS]")]
    scopes: Vec<Scope>,
    /// All records below this offset
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..), required_unless_present = "all")]
    before: Option<i64>,
    /// All that is committed at the moment
    #[arg(long, conflicts_with = "before")]
    all: bool,
    #[command(flatten)]
    trial: Trial,
}

/// Show who has written to partitions lately.
#[derive(Debug, Args)]
struct Producers {
    #[arg(required = true, value_name = "TOPIC[:PARTITIONS]")]
    scopes: Vec<Scope>,
}

/// Reads a word for a place in a partition.
pub fn offset_at(text: &str) -> Result<OffsetAt, String> {
    Ok(match text {
        "earliest" | "-2" => OffsetAt::Earliest,
        "latest" | "-1" => OffsetAt::Latest,
        "max-timestamp" | "-3" => OffsetAt::MaxTimestamp,
        "earliest-local" | "-4" => OffsetAt::EarliestLocal,
        "latest-tiered" | "-5" => OffsetAt::LatestTiered,
        other => OffsetAt::Time(moment(other)?),
    })
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
    trial: Trial,
}

impl Create {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        for name in &self.topics {
            let topic = NewTopic {
                name: Text::from(name.as_str()),
                partitions: self.partitions,
                replication_factor: self.replication_factor,
                configs: texts(&self.config),
                assignment: self.replica_assignment.as_ref().map_or(vec![], |nodes| nodes.to_vec()),
            };
            let made = match self.trial.dry_run {
                true => session.client.try_create_topic(topic, true).await,
                false => session.client.create_topic(topic).await,
            };
            let is_there = made.as_ref().is_err_and(|error| error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS));
            let created = !(is_there && self.if_not_exists);
            if created {
                made.map_err(session.while_doing(format!("creating topic `{name}`")))?;
            }
            if created && self.trial.dry_run {
                session.did(self.trial, ["create", "created"], &format!("topic {name}"), json!({ "topic": name }))?;
                continue;
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
        let overview = session.ask("listing topics", session.client.overview()).await?;
        let topics = overview.topics.iter().filter(|topic| self.internal || !topic.is_internal);
        let mut table = Table::new("topic, >partitions, >replication_factor=REPLICAS, -id, -internal");
        for topic in topics {
            let (partitions, replicas) = (topic.partitions.len(), replication_factor(topic));
            let (name, id) = (topic.name.as_str(), topic.id.to_string());
            table.row(json!([name, partitions, replicas, id, topic.is_internal]));
        }
        session.show(&table, "there are no topics: `vltava topic create` makes one")
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

    fn partitions(&self) -> Table {
        let columns = ">partition, >leader, replicas, isr, >start_offset=START, >end_offset=END, #size_bytes";
        let mut table = Table::new(columns);
        for known in &self.topic.partitions {
            let (start, end) = self.offsets(known);
            let (leader, bytes) = (known.leader.map(|node| node.0), self.size_of(known.index));
            table.row(json!([known.index.0, leader, ids(&known.replicas), ids(&known.isr), start, end, bytes]));
        }
        table
    }

    fn json(&self) -> Value {
        let config = |config: &Config| {
            json!({ "name": config.name, "value": config.value, "source": source(config.source),
                "sensitive": config.sensitive })
        };
        json!({
            "topic": self.topic.name.as_str(),
            "id": self.topic.id.to_string(),
            "internal": self.topic.is_internal,
            "replication_factor": replication_factor(self.topic),
            "configs": self.configs.iter().map(config).collect::<Value>(),
            "partitions": self.partitions().json(),
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
            let value = shown(config);
            let from = if with_sources { format!("  ({})", source(config.source)) } else { String::new() };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{label}  {}={value}{from}", config.name);
            label = "        ";
        }
        if self.configs.is_empty() {
            text.push_str("configs   none of its own\n");
        }
        format!("{text}\n{}", self.partitions())
    }
}

impl Alter {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        if self.config.is_empty() && self.delete_config.is_empty() && self.partitions.is_none() {
            return Err(Problem::usage("nothing to alter: give --config, --delete-config or --partitions"));
        }
        let topic = session.topic(&self.topic).await?;
        let doing = || session.while_doing(format!("altering topic `{}`", self.topic));
        let is_trial = self.trial.dry_run;
        // The settings first: they are refused as a whole, while partitions cannot be taken away again.
        if !self.config.is_empty() || !self.delete_config.is_empty() {
            let set = texts(&self.config).into_iter().map(|(name, value)| (name, ConfigChange::Set(value)));
            let delete = self.delete_config.iter().map(|name| (Text::from(name.as_str()), ConfigChange::Delete));
            let (resource, changes) = (Resource::Topic(topic.name.clone()), set.chain(delete).collect());
            session.client.alter_configs(resource, changes, is_trial).await.map_err(doing())?;
        }
        if let Some(total) = self.partitions {
            session.client.create_partitions(topic.name.clone(), total, is_trial).await.map_err(doing())?;
        }
        session.did(self.trial, ["alter", "altered"], &format!("topic {}", self.topic), json!({ "topic": self.topic }))
    }
}

impl Offsets {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let spots = spots(session, &self.scopes).await?;
        let found = session.ask("asking for offsets", session.client.list_offsets(spots, self.time)).await?;
        let mut table = Table::new("topic, >partition, >offset");
        for ((topic, partition), offset) in &found {
            table.row(json!([topic.as_str(), partition.0, offset.map(|offset| offset.0)]));
        }
        session.show(&table, "there is no such partition")
    }
}

impl DeleteRecords {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let spots = spots(session, &self.scopes).await?;
        let doing = || session.while_doing("deleting records");
        let starts = session.client.list_offsets(spots.clone(), OffsetAt::Earliest).await.map_err(doing())?;
        let mut after = session.client.list_offsets(spots.clone(), OffsetAt::Latest).await.map_err(doing())?;
        if let Some(before) = self.before.map(Offset) {
            let short = after.iter().find_map(|(spot, end)| Some((spot, end.filter(|end| *end < before)?)));
            if let Some((spot, end)) = short {
                let name = crate::survey::name(spot);
                return Err(Problem::failed(format!("{name} ends at {end}: --before {before} is not there yet")));
            }
            let left = |(spot, start): (&Spot, &Option<Offset>)| (spot.clone(), start.map(|start| start.max(before)));
            after = starts.iter().map(left).collect();
        }
        if !self.trial.dry_run {
            let before = spots.into_iter().map(|spot| (spot, self.before.map(Offset))).collect();
            let each = session.client.delete_records(before).await.map_err(doing())?;
            let done = crate::problem::all_done("these records were not deleted", each)?;
            after = done.into_iter().map(|(spot, start)| (spot, Some(start))).collect();
        }
        let title = if self.trial.dry_run { "WOULD DELETE" } else { "DELETED" };
        let mut table = Table::new(&format!("topic, >partition, >start_offset=START, >offsets={title}, -deleted"));
        for (spot, start) in &starts {
            let start = start.unwrap_or(Offset(0));
            let now = after.get(spot).copied().flatten().unwrap_or(start);
            table.row(json!([spot.0.as_str(), spot.1.0, now.0, now.minus(start), !self.trial.dry_run]));
        }
        session.show(&table, "there is no such partition")
    }
}

impl Producers {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let spots = spots(session, &self.scopes).await?;
        let each = session.ask("asking who writes", session.client.producers(spots)).await?;
        let each = crate::problem::all_done("these partitions do not say who writes", each)?;
        let mut table = Table::new(
            "topic, >partition, >producer_id=PRODUCER, >epoch, >last_sequence=SEQUENCE, \
             -last_timestamp, +LAST WRITE, >transaction_start=TRANSACTION",
        );
        for ((topic, partition), producer) in each.iter().flat_map(|(spot, all)| all.iter().map(move |one| (spot, one)))
        {
            let (since, at) = (producer.transaction_start.map(|offset| offset.0), producer.last_timestamp.0);
            let (topic, id, epoch) = (topic.as_str(), producer.id, producer.epoch);
            let moment = jiff::Timestamp::from_millisecond(at).map_or(at.to_string(), |at| at.to_string());
            table.row(json!([topic, partition.0, id, epoch, producer.last_sequence, at, moment, since]));
        }
        session.show(&table, "nobody has written lately")
    }
}

impl Delete {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        for name in &self.topics {
            let done = match self.trial.dry_run {
                true => session.client.topic(name.as_str()).await.map(drop),
                false => session.client.delete_topic(name.as_str()).await,
            };
            let is_missing =
                done.as_ref().is_err_and(|error| error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
            if is_missing && !self.if_exists {
                // Names the one that may have been meant.
                session.topic(name).await?;
            }
            if !is_missing {
                done.map_err(session.while_doing(format!("deleting topic `{name}`")))?;
            }
            if is_missing {
                let text = || format!("there is no topic {name}\n");
                session.print(|| json!({ "topic": name, "deleted": false }), text)?;
            } else {
                session.did(self.trial, ["delete", "deleted"], &format!("topic {name}"), json!({ "topic": name }))?;
            }
        }
        Ok(())
    }
}

fn spot(topic: &Known, partition: &Partition) -> Spot {
    (topic.name.clone(), partition.index)
}

pub fn texts(pairs: &[(String, String)]) -> Vec<(Text, Text)> {
    pairs.iter().map(|(name, value)| (Text::from(name.as_str()), Text::from(value.as_str()))).collect()
}

pub fn replication_factor(topic: &Known) -> usize {
    topic.partitions.first().map_or(0, |partition| partition.replicas.len())
}

fn ids(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|node| node.0).collect()
}
