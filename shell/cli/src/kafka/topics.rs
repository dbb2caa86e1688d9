//! kafka-topics, kafka-get-offsets and kafka-delete-records.

use super::given::Given;
use crate::commands::topic::{assignment, offset_at, replication_factor, texts};
use crate::problem::{Problem, all_done};
use crate::scope::{Scope, spots};
use crate::session::{Session, write_out};
use std::fmt::Write;
use vltava_client::{
    ConfigSource, ErrorCode, NewTopic, NodeId, Offset, OffsetAt, Partition, PartitionIndex, Resource, Spot, Text, Topic,
};

pub const TOPICS: &str = "create list describe delete alter topic= topic-id= partitions= replication-factor= \
    replica-assignment= config= if-exists if-not-exists exclude-internal under-replicated-partitions \
    unavailable-partitions under-min-isr-partitions at-min-isr-partitions topics-with-overrides";
pub const OFFSETS: &str = "topic= partitions= topic-partitions= time= exclude-internal-topics";
pub const DELETE_RECORDS: &str = "offset-json-file=";

pub async fn topics(given: &Given, session: &Session) -> Result<(), Problem> {
    let action = given.action("create list describe delete alter")?;
    if action == "create" {
        return create(given, session).await;
    }
    let pattern = given.pattern("topic")?;
    let overview = session.ask("listing topics", session.client.overview()).await?;
    let is_wanted = |topic: &&Topic| {
        let is_named = pattern.as_ref().is_none_or(|pattern| pattern.is_match(&topic.name));
        let has_id = given.one("topic-id").is_none_or(|id| topic.id.to_string() == id);
        is_named && has_id && topic.error.is_ok() && !(topic.is_internal && given.has("exclude-internal"))
    };
    let topics: Vec<&Topic> = overview.topics.iter().filter(is_wanted).collect();
    if let (true, Some(name)) = (topics.is_empty() && !given.has("if-exists"), given.one("topic"))
        && action != "list"
    {
        return Err(Problem::missing(format!(
            "Error while executing topic command : Topic '{name}' does not exist as expected"
        )));
    }
    let mut text = String::new();
    for topic in topics {
        match action {
            "list" => text.push_str(&format!("{}\n", topic.name)),
            "describe" => text.push_str(&describe(given, session, topic).await?),
            "delete" => {
                given.need("topic")?;
                let doing = format!("deleting topic `{}`", topic.name);
                session.ask(doing, session.client.delete_topic(topic.name.clone())).await?;
            }
            _ => {
                given.need("topic")?;
                let total = given.read_one("partitions")?;
                let total = total.ok_or_else(|| Problem::usage("kafka-topics: --alter wants --partitions"))?;
                let asked = session.client.create_partitions(topic.name.clone(), total, false);
                session.ask("Error while executing topic command ", asked).await?;
            }
        }
    }
    write_out(text)
}

async fn create(given: &Given, session: &Session) -> Result<(), Problem> {
    let name = given.need("topic")?;
    let nodes = given.one("replica-assignment").map(assignment).transpose().map_err(Problem::usage)?;
    let configs: Vec<_> = given.properties(&["config"]).into_iter().collect();
    let topic = NewTopic {
        name: Text::from(name),
        partitions: given.read_one("partitions")?,
        replication_factor: given.read_one("replication-factor")?,
        configs: texts(&configs),
        assignment: nodes.map_or(vec![], |nodes| nodes.to_vec()),
    };
    if name.contains(['.', '_']) {
        write_out(
            b"WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. \
              To avoid issues it is best to use either, but not both.\n",
        )?;
    }
    match session.client.create_topic(topic).await {
        Err(error) if error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS) && given.has("if-not-exists") => Ok(()),
        done => {
            done.map_err(session.while_doing("Error while executing topic command "))?;
            write_out(format!("Created topic {name}.\n"))
        }
    }
}

async fn describe(given: &Given, session: &Session, topic: &Topic) -> Result<String, Problem> {
    let asked = session.client.configs(Resource::Topic(topic.name.clone()));
    let configs = session.ask(format!("describing topic `{}`", topic.name), asked).await?;
    let min_isr = configs.iter().find(|config| config.name == "min.insync.replicas");
    let min_isr = min_isr.and_then(|config| config.value.as_ref()?.parse().ok()).unwrap_or(1);
    let own = configs.iter().filter(|config| config.source == ConfigSource::Topic);
    let own: Vec<String> =
        own.map(|config| format!("{}={}", config.name, config.value.as_deref().unwrap_or(""))).collect();
    let eligible = session.client.eligible(topic.name.clone()).await.unwrap_or_default();
    let conditions = [
        (
            "under-replicated-partitions",
            (|known, _| known.isr.len() < known.replicas.len()) as fn(&Partition, usize) -> bool,
        ),
        ("unavailable-partitions", |known, _| known.leader.is_none()),
        ("under-min-isr-partitions", |known, min| known.isr.len() < min),
        ("at-min-isr-partitions", |known, min| known.isr.len() == min),
    ];
    let asked: Vec<_> = conditions.iter().filter(|(name, _)| given.has(name)).collect();
    let mut text = String::new();
    let name = &topic.name;
    if asked.is_empty() && !(given.has("topics-with-overrides") && own.is_empty()) {
        let (id, count, replicas) = (topic.id, topic.partitions.len(), replication_factor(topic));
        let configs = own.join(",");
        text = format!(
            "Topic: {name}\tTopicId: {id}\tPartitionCount: {count}\tReplicationFactor: {replicas}\tConfigs: {configs}\n"
        );
    }
    let shown = topic.partitions.iter().filter(|_| !given.has("topics-with-overrides"));
    for known in shown.filter(|known| asked.is_empty() || asked.iter().any(|(_, is_so)| is_so(known, min_isr))) {
        let leader = known.leader.map_or("none".to_owned(), |node| node.to_string());
        let elr = eligible.iter().find(|(index, ..)| *index == known.index);
        let (elr, last) = elr.map_or(("N/A".to_owned(), "N/A".to_owned()), |(_, elr, last)| (ids(elr), ids(last)));
        let (replicas, isr) = (ids(&known.replicas), ids(&known.isr));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "\tTopic: {name}\tPartition: {}\tLeader: {leader}\tReplicas: {replicas}\tIsr: {isr}\tElr: {elr}\tLastKnownElr: {last}",
            known.index
        );
    }
    Ok(text)
}

pub fn ids(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(",")
}

pub async fn offsets(given: &Given, session: &Session) -> Result<(), Problem> {
    let at = given.one("time").map_or(Ok(OffsetAt::Latest), offset_at).map_err(Problem::usage)?;
    let mut found: Vec<Spot> = Vec::new();
    if given.has("topic-partitions") {
        let scopes: Result<Vec<Scope>, String> = given.list("topic-partitions").into_iter().map(str::parse).collect();
        found = spots(session, &scopes.map_err(Problem::usage)?).await?;
    } else {
        let pattern = given.pattern("topic")?;
        let numbers = given.list("partitions");
        let overview = session.ask("listing topics", session.client.overview()).await?;
        let named =
            overview.topics.iter().filter(|topic| pattern.as_ref().is_none_or(|pattern| pattern.is_match(&topic.name)));
        for topic in named.filter(|topic| !(topic.is_internal && given.has("exclude-internal-topics"))) {
            let indexes = topic.partitions.iter().map(|known| known.index);
            let asked = indexes.filter(|index| numbers.is_empty() || numbers.contains(&index.to_string().as_str()));
            found.extend(asked.map(|index| (topic.name.clone(), index)));
        }
    }
    if found.is_empty() {
        return Err(Problem::missing("Could not match any topic-partitions with the specified filters"));
    }
    let offsets = session.ask("asking for offsets", session.client.list_offsets(found, at)).await?;
    let line = |((topic, index), offset): (&Spot, &Option<Offset>)| Some(format!("{topic}:{index}:{}\n", (*offset)?));
    write_out(offsets.iter().filter_map(line).collect::<String>())
}

pub async fn delete_records(given: &Given, session: &Session) -> Result<(), Problem> {
    let file = given.file("offset-json-file")?;
    let wrong = || Problem::usage("--offset-json-file: each of its partitions has topic, partition and offset");
    let mut before = std::collections::BTreeMap::new();
    for known in file["partitions"].as_array().ok_or_else(wrong)? {
        let spot = spot(known).ok_or_else(wrong)?;
        let offset = known["offset"].as_i64().ok_or_else(wrong)?;
        before.insert(spot, Some(Offset(offset)).filter(|offset| offset.0 >= 0));
    }
    write_out(b"Executing records delete operation\n")?;
    let each = session.ask("deleting records", session.client.delete_records(before)).await?;
    let mut text = "Records delete operation completed:\n".to_owned();
    for (spot, result) in &each {
        let became =
            result.as_ref().map_or_else(|why| format!("error: {why}"), |start| format!("low_watermark: {start}"));
        text.push_str(&format!("partition: {}\t{became}\n", crate::survey::name(spot)));
    }
    write_out(text)?;
    all_done("these records were not deleted", each).map(drop)
}

/// A partition as Kafka's files of JSON name it.
pub fn spot(known: &serde_json::Value) -> Option<Spot> {
    let index = i32::try_from(known["partition"].as_i64()?).ok()?;
    Some((Text::from(known["topic"].as_str()?), PartitionIndex(index)))
}
