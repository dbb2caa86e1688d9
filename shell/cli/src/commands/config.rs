//! `vltava config`: the settings of topics, brokers, groups and subscriptions to clients' metrics.

use crate::problem::{Problem, nearest};
use crate::session::{Session, Trial, pair};
use crate::table::Table;
use clap::Args;
use serde_json::{Value, json};
use vltava_client::{Config as Setting, ConfigChange, ConfigSource, Resource, Text};

actions! {
    /// Describe and alter settings of topics, brokers, groups and clients' metrics.
    Config {
        List(List),
        Describe(Describe),
        Alter(Alter),
        Delete(Delete),
    }
}

/// List what has settings: topics, brokers, groups and subscriptions to metrics.
#[derive(Debug, Args)]
struct List;

/// Whose settings.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
struct Entity {
    /// Of a topic
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Of a broker, or with `default` what holds for all brokers
    #[arg(long, value_name = "ID")]
    broker: Option<String>,
    /// How much a broker logs
    #[arg(long, value_name = "ID")]
    broker_logger: Option<String>,
    /// Of a group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Of a subscription to clients' metrics (KIP-714)
    #[arg(long, value_name = "NAME")]
    client_metrics: Option<String>,
}

/// Show settings that are not the defaults, or those that are named.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vltava config describe --topic rivers
  vltava config describe --broker 1 --all
  vltava config describe --topic rivers retention.ms")]
struct Describe {
    #[command(flatten)]
    entity: Entity,
    /// These, and what they mean
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// All settings, not only those that are set
    #[arg(long, conflicts_with = "names")]
    all: bool,
}

/// Set settings; the others stay as they are.
#[derive(Debug, Args)]
#[command(after_help = "NAME+=VALUE adds to a list, NAME-=VALUE takes away from it.

Examples:
  vltava config alter --topic rivers retention.ms=3600000 cleanup.policy+=compact
  vltava config alter --broker default log.retention.hours=72 --dry-run")]
struct Alter {
    #[command(flatten)]
    entity: Entity,
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
    #[command(flatten)]
    trial: Trial,
}

/// Put settings back to what holds where nothing is set.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vltava config delete --topic rivers retention.ms")]
struct Delete {
    #[command(flatten)]
    entity: Entity,
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    trial: Trial,
}

impl Entity {
    /// What is meant, where that is there.
    async fn resource(&self, session: &Session) -> Result<Resource, Problem> {
        let text = |name: &String| Text::from(name.as_str());
        if let Some(name) = &self.topic {
            return Ok(Resource::Topic(session.topic(name).await?.name));
        }
        if let Some(id) = self.broker.as_ref().or(self.broker_logger.as_ref()) {
            if self.broker.is_some() && id == "default" {
                return Ok(Resource::Broker(Text::default()));
            }
            let known = session.ask("asking which brokers there are", session.client.overview()).await?;
            let ids: Vec<String> = known.brokers.iter().map(|broker| broker.node.to_string()).collect();
            if !ids.contains(id) {
                let ids = ids.join(", ");
                return Err(Problem::missing(format!(
                    "no broker {id} is alive: there are {ids}, and `default` for all"
                )));
            }
            return Ok(if self.broker.is_some() {
                Resource::Broker(text(id))
            } else {
                Resource::BrokerLogger(text(id))
            });
        }
        let metrics = self.client_metrics.as_ref().map(|name| Resource::ClientMetrics(text(name)));
        let group = self.group.as_ref().map(|name| Resource::Group(text(name)));
        Ok(metrics.or(group).expect("one of them is required"))
    }
}

/// What kind of thing has settings, and its name.
pub fn words(resource: &Resource) -> (&'static str, &str) {
    match resource {
        Resource::Topic(name) => ("topic", name),
        Resource::Broker(name) if name.is_empty() => ("broker", "default"),
        Resource::Broker(name) => ("broker", name),
        Resource::BrokerLogger(name) => ("broker-logger", name),
        Resource::ClientMetrics(name) => ("client-metrics", name),
        Resource::Group(name) => ("group", name),
    }
}

/// Where a value comes from: in words for people, and in Kafka's own.
pub fn sources(source: ConfigSource) -> (&'static str, &'static str) {
    match source {
        ConfigSource::Topic => ("topic", "DYNAMIC_TOPIC_CONFIG"),
        ConfigSource::Broker => ("broker", "DYNAMIC_BROKER_CONFIG"),
        ConfigSource::AllBrokers => ("all brokers", "DYNAMIC_DEFAULT_BROKER_CONFIG"),
        ConfigSource::BrokerFile => ("broker's file", "STATIC_BROKER_CONFIG"),
        ConfigSource::Default => ("default", "DEFAULT_CONFIG"),
        ConfigSource::BrokerLogger => ("broker's logger", "DYNAMIC_BROKER_LOGGER_CONFIG"),
        ConfigSource::ClientMetrics => ("client metrics", "DYNAMIC_CLIENT_METRICS_CONFIG"),
        ConfigSource::Group => ("group", "DYNAMIC_GROUP_CONFIG"),
        ConfigSource::Other(_) => ("other", "UNKNOWN"),
    }
}

pub fn source(source: ConfigSource) -> &'static str {
    sources(source).0
}

/// A value for people.
pub fn shown(config: &Setting) -> &str {
    if config.sensitive { "(hidden)" } else { config.value.as_deref().unwrap_or("") }
}

impl List {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let resources = session.ask("asking what has settings", session.client.config_resources()).await?;
        let mut table = Table::new("kind, name");
        for (kind, name) in resources.iter().map(words) {
            table.row(json!([kind, name]));
        }
        session.show(&table, "nothing has settings")
    }
}

impl Alter {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        alter(session, &self.entity, self.settings.iter().map(change).collect(), self.trial).await
    }
}

impl Delete {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let changes = self.names.iter().map(|name| (Text::from(name.as_str()), ConfigChange::Delete));
        alter(session, &self.entity, changes.collect(), self.trial).await
    }
}

impl Describe {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let resource = self.entity.resource(session).await?;
        let (kind, name) = words(&resource);
        let known =
            session.ask(format!("describing {kind} `{name}`"), session.client.configs(resource.clone())).await?;
        if let Some(none) = self.names.iter().find(|name| !known.iter().any(|config| config.name == **name)) {
            let meant = nearest(none, known.iter().map(|config| config.name.as_str()));
            let hint = meant.map_or("--all shows those it has".to_owned(), |meant| format!("did you mean `{meant}`?"));
            return Err(Problem::missing(format!("a {kind} has no setting `{none}`: {hint}")));
        }
        let is_wanted = |config: &&Setting| match self.names.is_empty() {
            true => self.all || config.source != ConfigSource::Default,
            false => self.names.contains(&config.name),
        };
        let settings: Vec<&Setting> = known.iter().filter(is_wanted).collect();
        if !self.names.is_empty() && !session.connection.json {
            return session.print(|| Value::Null, || settings.iter().map(|config| explain(config)).collect());
        }
        let mut table = Table::new("name, value, source=FROM, -sensitive, -read_only, -synonyms");
        for config in settings {
            let synonym = |(name, value, from): &(String, Option<String>, ConfigSource)| json!({ "name": name, "value": value, "source": source(*from) });
            let (value, source) = (if config.sensitive { None } else { Some(shown(config)) }, source(config.source));
            let synonyms: Value = config.synonyms.iter().map(synonym).collect();
            table.row(json!([config.name, value, source, config.sensitive, config.read_only, synonyms]));
        }
        session.show(&table, &format!("{kind} {name} has no settings of its own: --all shows the defaults"))
    }
}

fn explain(config: &Setting) -> String {
    let mut text = format!("{}={}  ({})\n", config.name, shown(config), source(config.source));
    for (name, value, from) in config.synonyms.iter().skip(1) {
        text.push_str(&format!("  else {name}={}  ({})\n", value.as_deref().unwrap_or(""), source(*from)));
    }
    let meaning = config.documentation.iter().filter(|text| !text.is_empty());
    text.extend(meaning.map(|meaning| format!("  {meaning}\n")));
    text
}

fn change((name, value): &(String, String)) -> (Text, ConfigChange) {
    let value = Text::from(value.as_str());
    match (name.strip_suffix('+'), name.strip_suffix('-')) {
        (Some(name), _) => (Text::from(name), ConfigChange::Append(value)),
        (_, Some(name)) => (Text::from(name), ConfigChange::Subtract(value)),
        (None, None) => (Text::from(name.as_str()), ConfigChange::Set(value)),
    }
}

async fn alter(
    session: &Session,
    entity: &Entity,
    changes: Vec<(Text, ConfigChange)>,
    trial: Trial,
) -> Result<(), Problem> {
    let resource = entity.resource(session).await?;
    let (kind, name) = words(&resource);
    let altered = session.client.alter_configs(resource.clone(), changes, trial.dry_run);
    session.ask(format!("altering {kind} `{name}`"), altered).await?;
    session.did(trial, ["alter", "altered"], &format!("{kind} {name}"), json!({ "kind": kind, "name": name }))
}
