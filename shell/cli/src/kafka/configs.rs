//! kafka-configs.

use super::given::Given;
use crate::commands::config::sources;
use crate::problem::Problem;
use crate::session::{Session, write_out};
use vltava_client::{Config, ConfigChange, ConfigSource, Resource, Text};

pub const CONFIGS: &str = "describe alter all entity-type= entity-name= entity-default add-config= add-config-file= \
    delete-config= topic= broker= broker-defaults broker-logger= group= client-metrics=";

/// Kafka's plural of a kind of entity, what one of them is called, and the resource of a name.
type Kind = (&'static str, &'static str, fn(Text) -> Resource);

const KINDS: [Kind; 5] = [
    ("topics", "topic", Resource::Topic),
    ("brokers", "broker", Resource::Broker),
    ("broker-loggers", "broker-logger", Resource::BrokerLogger),
    ("groups", "group", Resource::Group),
    ("client-metrics", "client-metric", Resource::ClientMetrics),
];

pub async fn configs(given: &Given, session: &Session) -> Result<(), Problem> {
    let action = given.action("describe alter")?;
    let short = KINDS.iter().find(|(many, one, _)| given.has(one) || (given.has(many) && *many == "client-metrics"));
    let kind = match short {
        Some(kind) => kind,
        None if given.has("broker-defaults") => &KINDS[1],
        None => {
            let word = given.need("entity-type")?;
            KINDS.iter().find(|(many, ..)| *many == word).ok_or_else(|| {
                Problem::usage(format!("kafka-configs: --entity-type {word} is not known here: there are topics, brokers, broker-loggers, groups and client-metrics"))
            })?
        }
    };
    let (_, one, make) = kind;
    let name = given.one("entity-name").or(given.one(one)).or(given.one(kind.0));
    let is_default = given.has("entity-default") || given.has("broker-defaults");
    let resources: Vec<Resource> = match name {
        _ if is_default => vec![make(Text::default())],
        Some(name) => vec![make(Text::from(name))],
        None if action == "alter" => {
            return Err(Problem::usage("kafka-configs: --alter wants --entity-name or --entity-default"));
        }
        None => {
            let known = session.ask("listing what has settings", session.client.config_resources()).await?;
            let of_kind =
                |known: &Resource| std::mem::discriminant(known) == std::mem::discriminant(&make(Text::default()));
            let all = known.into_iter().filter(of_kind);
            // The tool shows the brokers' defaults last.
            all.chain((kind.0 == "brokers").then(|| make(Text::default()))).collect()
        }
    };
    let mut text = String::new();
    for resource in resources {
        let (_, name) = crate::commands::config::words(&resource);
        let is_default = matches!(&resource, Resource::Broker(name) if name.is_empty());
        let doing = session.while_doing(format!("asking for the settings of {one} `{name}`"));
        if action == "alter" {
            session.client.alter_configs(resource.clone(), changes(given)?, false).await.map_err(doing)?;
            text.push_str(&match is_default {
                true => "Completed updating default config for brokers in the cluster.\n".to_owned(),
                false => format!("Completed updating config for {one} {name}.\n"),
            });
            continue;
        }
        let head = match (is_default, given.has("all")) {
            (true, _) => "Default configs for brokers in the cluster are:".to_owned(),
            (false, true) => format!("All configs for {one} {name} are:"),
            (false, false) => format!("Dynamic configs for {one} {name} are:"),
        };
        text.push_str(&format!("{head}\n"));
        let known = session.client.configs(resource.clone()).await.map_err(doing)?;
        let is_own = |config: &&Config| given.has("all") || is_own(&resource, config.source);
        known.iter().filter(is_own).for_each(|config| text.push_str(&line(config)));
    }
    write_out(text)
}

fn is_own(resource: &Resource, source: ConfigSource) -> bool {
    match resource {
        Resource::Topic(_) => source == ConfigSource::Topic,
        Resource::Broker(name) if name.is_empty() => source == ConfigSource::AllBrokers,
        Resource::Broker(_) => source == ConfigSource::Broker,
        Resource::BrokerLogger(_) => source == ConfigSource::BrokerLogger,
        Resource::ClientMetrics(_) => source == ConfigSource::ClientMetrics,
        Resource::Group(_) => source == ConfigSource::Group,
    }
}

fn line(config: &Config) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or("null".to_owned());
    let synonym = |(name, of, source): &(String, Option<String>, ConfigSource)| {
        format!("{}:{name}={}", sources(*source).1, value(of))
    };
    let synonyms = config.synonyms.iter().map(synonym).collect::<Vec<_>>().join(", ");
    format!("  {}={} sensitive={} synonyms={{{synonyms}}}\n", config.name, value(&config.value), config.sensitive)
}

/// What `--add-config a=1,b=[2,3]` and its companions say.
fn changes(given: &Given) -> Result<Vec<(Text, ConfigChange)>, Problem> {
    let mut pairs: Vec<String> = Vec::new();
    let mut is_open = false;
    for part in given.all("add-config").flat_map(|all| all.split(',')) {
        match pairs.last_mut() {
            Some(last) if is_open => last.push_str(&format!(",{part}")),
            _ => pairs.push(part.trim().to_owned()),
        }
        is_open = pairs.last().is_some_and(|pair| pair.contains("=[") && !pair.ends_with(']'));
    }
    if let Some(file) = given.one("add-config-file") {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Problem::usage(format!("--add-config-file {file}: {error}")))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        pairs.extend(lines.map(ToOwned::to_owned));
    }
    let mut changes = Vec::new();
    for pair in &pairs {
        let (name, value) =
            pair.split_once('=').ok_or_else(|| Problem::usage(format!("`{pair}` is not name=value")))?;
        let value = value.strip_prefix('[').and_then(|value| value.strip_suffix(']')).unwrap_or(value).trim();
        changes.push((Text::from(name.trim()), ConfigChange::Set(Text::from(value))));
    }
    changes.extend(given.list("delete-config").into_iter().map(|name| (Text::from(name), ConfigChange::Delete)));
    match changes.is_empty() {
        true => Err(Problem::usage("kafka-configs: --alter wants --add-config, --add-config-file or --delete-config")),
        false => Ok(changes),
    }
}
