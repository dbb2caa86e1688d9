//! kafka-reassign-partitions, kafka-leader-election and kafka-log-dirs.

use super::given::Given;
use super::topics::{ids, spot};
use crate::plan::{Move, balance};
use crate::problem::Problem;
use crate::session::{Session, write_out};
use crate::survey::{Survey, name};
use crate::throttle::{self, rate};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use vltava_client::{ErrorCode, NodeId, PartitionIndex, Spot, Text};

pub const REASSIGN: &str = "generate execute verify cancel list topics-to-move-json-file= broker-list= \
    reassignment-json-file= throttle= additional preserve-throttles";
pub const ELECTION: &str = "election-type= topic= partition= all-topic-partitions path-to-json-file=";
pub const LOG_DIRS: &str = "describe topic-list= broker-list=";

pub async fn reassign(given: &Given, session: &Session) -> Result<(), Problem> {
    let action = given.action("generate execute verify cancel list")?;
    let survey = Survey::take(session).await?;
    match action {
        "generate" => generate(given, &survey),
        "list" => list(&survey),
        "execute" => execute(given, session, &survey).await,
        "cancel" => cancel(given, session, &survey).await,
        _ => verify(given, session, &survey).await,
    }
}

/// The partitions of a reassignment as Kafka's files hold them.
fn file_of(partitions: impl Iterator<Item = (Spot, Vec<i32>)>) -> Value {
    let partition = |((topic, index), replicas): (Spot, Vec<i32>)| json!({ "topic": topic.as_str(), "partition": index.0, "log_dirs": vec!["any"; replicas.len()], "replicas": replicas });
    json!({ "version": 1, "partitions": partitions.map(partition).collect::<Value>() })
}

fn current(survey: &Survey, is_wanted: impl Fn(&Spot) -> bool) -> Value {
    let replicas = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
    let known = survey.partitions().filter(|(spot, ..)| is_wanted(spot));
    file_of(known.map(|(spot, _, known)| (spot, replicas(&known.replicas))))
}

fn targets(given: &Given) -> Result<BTreeMap<Spot, Vec<NodeId>>, Problem> {
    let file = given.file("reassignment-json-file")?;
    let one = |known: &Value| {
        let nodes = known["replicas"].as_array()?.iter().map(|id| i32::try_from(id.as_i64()?).ok().map(NodeId));
        Some((spot(known)?, nodes.collect::<Option<Vec<_>>>()?))
    };
    let all = file["partitions"].as_array().and_then(|all| all.iter().map(one).collect::<Option<BTreeMap<_, _>>>());
    let wrong = "--reassignment-json-file: each of its partitions has topic, partition and replicas";
    all.ok_or_else(|| Problem::usage(wrong))
}

/// Proposes what `vltava cluster balance` would do with these topics on these brokers.
fn generate(given: &Given, survey: &Survey) -> Result<(), Problem> {
    let file = given.file("topics-to-move-json-file")?;
    let topics: BTreeSet<&str> =
        file["topics"].as_array().into_iter().flatten().filter_map(|known| known["topic"].as_str()).collect();
    let brokers: BTreeSet<i32> = given.list("broker-list").iter().filter_map(|id| id.parse().ok()).collect();
    let mut plannable = survey.plannable();
    plannable.partitions.retain(|known| topics.contains(known.topic.as_str()));
    plannable.brokers.retain(|id, _| brokers.contains(id));
    if plannable.partitions.is_empty() || plannable.brokers.is_empty() {
        return Err(Problem::missing(
            "none of these topics and brokers is there: see `vltava topic list` and `vltava broker list`",
        ));
    }
    let width = plannable.brokers.len();
    for (place, known) in plannable.partitions.iter_mut().enumerate() {
        let stays: Vec<i32> = known.replicas.iter().copied().filter(|id| brokers.contains(id)).collect();
        let others =
            plannable.brokers.keys().copied().cycle().skip(place % width).take(width).filter(|id| !stays.contains(id));
        let count = known.replicas.len();
        let all: Vec<i32> = stays.iter().copied().chain(others).take(count).collect();
        if all.len() < count {
            return Err(Problem::failed(format!(
                "--broker-list names {width} brokers, and {}-{} has {count} replicas",
                known.topic, known.index
            )));
        }
        known.replicas = all;
    }
    let moved: BTreeMap<(String, i32), Vec<i32>> =
        balance(&plannable).into_iter().map(|Move { topic, index, to, .. }| ((topic, index), to)).collect();
    let proposed = plannable.partitions.iter().map(|known| {
        let to = moved.get(&(known.topic.clone(), known.index)).unwrap_or(&known.replicas);
        ((Text::from(known.topic.as_str()), PartitionIndex(known.index)), to.clone())
    });
    let (now, next) = (current(survey, |(topic, _)| topics.contains(topic.as_str())), file_of(proposed));
    write_out(format!(
        "Current partition replica assignment\n{now}\n\nProposed partition reassignment configuration\n{next}\n"
    ))
}

fn list(survey: &Survey) -> Result<(), Problem> {
    let line = |(spot, known): (&Spot, &vltava_client::Reassignment)| {
        let part = |word: &str, nodes: &[NodeId]| {
            if nodes.is_empty() { String::new() } else { format!(" {word}: {}.", ids(nodes)) }
        };
        let name = name(spot);
        let (replicas, adding, removing) =
            (ids(&known.replicas), part("adding", &known.adding), part("removing", &known.removing));
        format!("{name}: replicas: {replicas}.{adding}{removing}\n")
    };
    let text = match survey.moving.is_empty() {
        true => "No partition reassignments found.\n".to_owned(),
        false => format!("Current partition reassignments:\n{}", survey.moving.iter().map(line).collect::<String>()),
    };
    write_out(text)
}

async fn execute(given: &Given, session: &Session, survey: &Survey) -> Result<(), Problem> {
    let targets = targets(given)?;
    if !survey.moving.is_empty() && !given.has("additional") {
        return Err(Problem::failed(
            "Cannot execute because there is an existing partition assignment.  Use --additional to override this and \
             create a new partition assignment in addition to the existing one.",
        ));
    }
    let now = current(survey, |spot| targets.contains_key(spot));
    let mut text = format!(
        "Current partition replica assignment\n\n{now}\n\nSave this to use as the --reassignment-json-file option during rollback\n"
    );
    if let Some(limit) = given.one("throttle") {
        let limit = rate(limit).map_err(Problem::usage)?;
        let moves = survey.partitions().filter_map(|(spot, _, known)| {
            let list = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
            let (topic, to) = (spot.0.to_string(), list(targets.get(&spot)?));
            Some(Move { topic, index: spot.1.0, from: list(&known.replicas), to, bytes: 0 })
        });
        let refused = throttle::set(session, limit, &survey.living(), &moves.collect::<Vec<_>>()).await;
        text.push_str(&match refused.first() {
            None => format!("The inter-broker throttle limit was set to {} B/s\n", limit.0),
            Some(why) => format!("The throttle was not set: {why}\n"),
        });
    }
    let names = targets.keys().map(name).collect::<Vec<_>>().join(",");
    let plural = if targets.len() == 1 { "" } else { "s" };
    let asked = targets.into_iter().map(|(spot, nodes)| (spot, Some(nodes))).collect();
    let refused = session.ask("moving replicas", session.client.reassign(asked)).await?;
    refuse("Error reassigning partition(s)", &refused)?;
    text.push_str(&format!("Successfully started partition reassignment{plural} for {names}\n"));
    write_out(text)
}

fn refuse(what: &str, refused: &[(Spot, vltava_client::Refused)]) -> Result<(), Problem> {
    let lines: Vec<String> = refused.iter().map(|(spot, why)| format!("{}: {why}", name(spot))).collect();
    if lines.is_empty() { Ok(()) } else { Err(Problem::failed(format!("{what}:\n{}", lines.join("\n")))) }
}

async fn cancel(given: &Given, session: &Session, survey: &Survey) -> Result<(), Problem> {
    let going: Vec<Spot> = targets(given)?.into_keys().filter(|spot| survey.moving.contains_key(spot)).collect();
    let names = going.iter().map(name).collect::<Vec<_>>().join(",");
    let asked = going.iter().map(|spot| (spot.clone(), None)).collect();
    let refused = session.ask("taking back moves", session.client.reassign(asked)).await?;
    refuse("Error cancelling partition reassignments", &refused)?;
    let text = match going.len() {
        0 => "None of the specified partition reassignments are active.\n".to_owned(),
        1 => format!("Successfully cancelled partition reassignment for: {names}\n"),
        _ => format!("Successfully cancelled partition reassignments for: {names}\n"),
    };
    clear(given, session, survey, targets(given)?.into_keys(), text).await
}

async fn verify(given: &Given, session: &Session, survey: &Survey) -> Result<(), Problem> {
    let targets = targets(given)?;
    let mut text = "Status of partition reassignment:\n".to_owned();
    let mut is_done = true;
    for (spot, nodes) in &targets {
        let known = survey.partitions().find(|(known, ..)| known == spot);
        let (is_moving, name) = (survey.moving.contains_key(spot), name(spot));
        is_done &= !is_moving;
        text.push_str(&match known {
            _ if is_moving => format!("Reassignment of partition {name} is still in progress.\n"),
            Some((_, _, known)) if known.replicas == *nodes => {
                format!("Reassignment of partition {name} is completed.\n")
            }
            Some((_, _, known)) => format!(
                "There is no active reassignment of partition {name}, but the replica set is {} rather than {}.\n",
                ids(&known.replicas),
                ids(nodes)
            ),
            None => format!("Reassignment of partition {name} is failed: there is no such partition.\n"),
        });
    }
    if !is_done {
        return write_out(text);
    }
    clear(given, session, survey, targets.into_keys(), text).await
}

/// Takes throttles away, unless they are to stay.
async fn clear(
    given: &Given,
    session: &Session,
    survey: &Survey,
    spots: impl Iterator<Item = Spot>,
    mut text: String,
) -> Result<(), Problem> {
    if !given.has("preserve-throttles") {
        let topics: BTreeSet<String> = spots.map(|(topic, _)| topic.to_string()).collect();
        let living = survey.living();
        let list = |thing: &str, names: Vec<String>| {
            format!("{thing}{} {}", if names.len() == 1 { "" } else { "s" }, names.join(","))
        };
        let brokers = list("broker", living.iter().map(NodeId::to_string).collect());
        let names = list("topic", topics.iter().cloned().collect());
        throttle::clear(session, &living, &topics).await;
        text.push_str(&format!(
            "\nClearing broker-level throttles on {brokers}\nClearing topic-level throttles on {names}\n"
        ));
    }
    write_out(text)
}

pub async fn election(given: &Given, session: &Session) -> Result<(), Problem> {
    let kind = given.need("election-type")?.to_uppercase();
    let is_unclean = match kind.as_str() {
        "PREFERRED" => false,
        "UNCLEAN" => true,
        _ => return Err(Problem::usage("--election-type is preferred or unclean")),
    };
    let spots = if given.has("all-topic-partitions") {
        None
    } else if given.has("path-to-json-file") {
        let file = given.file("path-to-json-file")?;
        let spots = file["partitions"].as_array().and_then(|all| all.iter().map(spot).collect::<Option<Vec<_>>>());
        let wrong = || Problem::usage("--path-to-json-file: each of its partitions has topic and partition");
        Some(spots.ok_or_else(wrong)?)
    } else {
        let partition = given.read_one("partition")?.ok_or_else(|| Problem::usage("--partition is missing"))?;
        Some(vec![(Text::from(given.need("topic")?), PartitionIndex(partition))])
    };
    let each = session.ask("electing leaders", session.client.elect_leaders(is_unclean, spots)).await?;
    let (mut elected, mut needless, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for (spot, result) in each {
        match result {
            Ok(()) => elected.push(name(&spot)),
            Err(why) if why.code == ErrorCode::ELECTION_NOT_NEEDED => needless.push(name(&spot)),
            Err(why) => failed.push((spot, why)),
        }
    }
    let mut text = String::new();
    if !elected.is_empty() {
        let elected = elected.join(", ");
        text.push_str(&format!("Successfully completed leader election ({kind}) for partitions {elected}\n"));
    }
    if !needless.is_empty() {
        text.push_str(&format!("Valid replica already elected for partitions {}\n", needless.join(", ")));
    }
    write_out(text)?;
    refuse("Error completing leader election", &failed)
}

pub async fn log_dirs(given: &Given, session: &Session) -> Result<(), Problem> {
    given.action("describe")?;
    let overview = session.ask("asking which brokers there are", session.client.overview()).await?;
    let (topics, asked) = (given.list("topic-list"), given.list("broker-list"));
    let mut brokers = Vec::new();
    let mut names = Vec::new();
    for node in overview.brokers.iter().map(|broker| broker.node) {
        if !asked.is_empty() && !asked.contains(&node.to_string().as_str()) {
            continue;
        }
        let doing = format!("asking broker {node} for its log directories");
        let dirs = session.ask(doing, session.client.log_dirs(node, None)).await?;
        let dirs = dirs.iter().map(|dir| {
            let here = dir.replicas.iter().filter(|known| topics.is_empty() || topics.contains(&known.spot.0.as_str()));
            let replica = |known: &vltava_client::ReplicaSize| {
                json!({ "partition": name(&known.spot), "size": known.size_bytes, "offsetLag": known.offset_lag, "isFuture": known.is_future })
            };
            let error = (!dir.error.is_ok()).then(|| dir.error.to_string());
            json!({ "partitions": here.map(replica).collect::<Value>(), "error": error, "logDir": dir.path })
        });
        brokers.push(json!({ "broker": node.0, "logDirs": dirs.collect::<Value>() }));
        names.push(node.to_string());
    }
    let (names, found) = (names.join(","), json!({ "brokers": brokers, "version": 1 }));
    write_out(format!(
        "Querying brokers for log directories information\nReceived log directory information from brokers {names}\n{found}\n"
    ))
}
