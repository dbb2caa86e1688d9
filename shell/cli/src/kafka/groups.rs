//! kafka-consumer-groups.

use super::given::Given;
use crate::commands::group::progress::Progress;
use crate::commands::group::reset::{Aim, check_group, execute, plan};
use crate::commands::group::{group, groups as listed};
use crate::problem::Problem;
use crate::scope::{Scope, moment, span, spots};
use crate::session::{Session, write_out};
use vltava_client::GroupMember;

pub const GROUPS: &str = "list describe delete reset-offsets delete-offsets group= all-groups state? type? members offsets \
    verbose topic= all-topics to-earliest to-latest to-current to-offset= to-datetime= by-duration= shift-by= \
    from-file= execute dry-run export";

pub async fn groups(given: &Given, session: &Session) -> Result<(), Problem> {
    let action = given.action("list describe delete reset-offsets delete-offsets")?;
    if action == "list" {
        return list(given, session).await;
    }
    let mut names: Vec<String> = given.all("group").map(ToOwned::to_owned).collect();
    if given.has("all-groups") {
        names = listed(session, &[], &[]).await?.into_iter().map(|group| group.id).collect();
    }
    if names.is_empty() {
        given.need("group")?;
    }
    let mut deleted = Vec::new();
    for name in &names {
        match action {
            "describe" => describe(given, session, name).await?,
            "reset-offsets" => reset(given, session, name).await?,
            "delete-offsets" => delete_offsets(given, session, name).await?,
            _ => {
                let what = "Error: Deletion of some consumer groups failed:";
                let doing = format!("{what}\n* Group '{name}' could not be deleted");
                session.ask(doing, session.client.delete_group(name.as_str())).await?;
                deleted.push(format!("'{name}'"));
            }
        }
    }
    if deleted.is_empty() {
        return Ok(());
    }
    let names = deleted.join(", ");
    write_out(format!("Deletion of requested consumer groups ({names}) was successful.\n"))
}

async fn list(given: &Given, session: &Session) -> Result<(), Problem> {
    let owned = |name: &str| given.list(name).into_iter().map(ToOwned::to_owned).collect::<Vec<_>>();
    let groups = listed(session, &owned("state"), &owned("type")).await?;
    let (has_state, has_type) = (given.has("state"), given.has("type"));
    let mut rows = vec![["GROUP", "TYPE", "STATE"].map(ToOwned::to_owned)];
    rows.extend(groups.into_iter().map(|group| [group.id, group.kind, group.state]));
    let row = |[id, kind, state]: [String; 3]| match (has_type, has_state) {
        (true, true) => vec![id, kind, state],
        (true, false) => vec![id, kind],
        (false, true) => vec![id, state],
        (false, false) => vec![id],
    };
    let mut rows: Vec<Vec<String>> = rows.into_iter().map(row).collect();
    if !has_state && !has_type {
        rows.remove(0);
        return write_out(rows.iter().map(|row| format!("{}\n", row[0])).collect::<String>());
    }
    let width = rows.iter().map(|row| row[0].len()).chain([15]).max().unwrap_or(0) + 10;
    write_out(columns(&[width, 20, 20][..rows[0].len()], &rows))
}

/// Lines of cells, each at least as wide as given and as its column, as Kafka's tool aligns them.
fn columns(least: &[usize], rows: &[Vec<String>]) -> String {
    let width =
        |(place, least): (usize, &usize)| rows.iter().map(|row| row[place].len()).chain([*least]).max().unwrap_or(0);
    let widths: Vec<usize> = least.iter().enumerate().map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join(" ") + "\n"
    };
    rows.iter().map(line).collect()
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(ToOwned::to_owned).to_vec()
}

async fn describe(given: &Given, session: &Session, name: &str) -> Result<(), Problem> {
    let progress = Progress::of(session, group(session, name).await?).await?;
    let known = &progress.group;
    let text = if given.has("state") {
        let node = progress.coordinator;
        let overview = session.ask("asking where the coordinator is", session.client.overview()).await?;
        let broker = overview.brokers.iter().find(|broker| broker.node == node);
        let place = broker.map_or(String::new(), |broker| format!("{}:{}  ({node})", broker.host, broker.port));
        let (assignor, count) = (known.assignor.as_str(), known.members.len().to_string());
        let titles = row(["GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS"]);
        columns(&[15, 25, 20, 20, 0], &[titles, row([name, &place, assignor, &known.state, &count])])
    } else if given.has("members") {
        members(given, name, &known.members)
    } else {
        let titles = "GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST CLIENT-ID";
        let mut rows = vec![titles.split(' ').map(ToOwned::to_owned).collect()];
        for ((topic, partition), numbers, reader) in progress.rows() {
            let [committed, end, lag] =
                numbers.map(|number| number.map_or("-".to_owned(), |number| number.to_string()));
            let reader = reader.map_or(["-"; 3], |member| [&member.id, &member.host, &member.client_id]);
            let partition = partition.to_string();
            rows.push(row([name, topic, &partition, &committed, &end, &lag, reader[0], reader[1], reader[2]]));
        }
        columns(&[15, 15, 10, 15, 15, 15, 15, 15, 0], &rows)
    };
    let idle = match (known.members.is_empty(), given.has("members")) {
        (true, _) if !given.has("state") => format!("\nConsumer group '{name}' has no active members.\n"),
        _ => String::new(),
    };
    let text = if known.members.is_empty() && given.has("members") { String::new() } else { format!("\n{text}") };
    write_out(format!("{idle}{text}"))
}

fn members(given: &Given, name: &str, members: &[GroupMember]) -> String {
    let is_static = members.iter().any(|member| member.instance_id.is_some());
    let titles = ["GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS"];
    let verbose = ["CURRENT-EPOCH", "CURRENT-ASSIGNMENT", "TARGET-EPOCH", "TARGET-ASSIGNMENT"];
    let mut rows = vec![[row(titles), row(verbose)].concat()];
    for member in members {
        let mut topics: std::collections::BTreeMap<&str, Vec<String>> = std::collections::BTreeMap::new();
        for (topic, partition) in &member.assignment {
            topics.entry(topic).or_default().push(partition.to_string());
        }
        let topics = topics.into_iter().map(|(topic, numbers)| format!("{topic}:{}", numbers.join(",")));
        let (count, assignment) = (member.assignment.len().to_string(), topics.collect::<Vec<_>>().join(";"));
        let instance = member.instance_id.as_deref().unwrap_or("");
        let bare = row([name, &member.id, instance, &member.host, &member.client_id, &count]);
        rows.push([bare, row(["-", &assignment, "-", "-"])].concat());
    }
    let mut least = vec![15, 15, 17, 15, 15, 15, 15, 20, 15, 20];
    for (places, is_left_out) in [(6..10, !given.has("verbose")), (2..3, !is_static)] {
        if is_left_out {
            least.drain(places.clone());
            rows.iter_mut().for_each(|row| drop(row.drain(places.clone())));
        }
    }
    columns(&least, &rows)
}

/// What `--topic` names, as the tool has it: `rivers`, `rivers:0,1`.
fn scopes(given: &Given) -> Result<Vec<Scope>, Problem> {
    given.all("topic").map(str::parse).collect::<Result<_, String>>().map_err(Problem::usage)
}

async fn reset(given: &Given, session: &Session, name: &str) -> Result<(), Problem> {
    let usage = |option: &str, why: String| Problem::usage(format!("--{option}: {why}"));
    let aim = Aim {
        to_earliest: given.has("to-earliest"),
        to_latest: given.has("to-latest"),
        to_current: given.has("to-current"),
        to_offset: given.read_one("to-offset")?,
        to_datetime: given.one("to-datetime").map(moment).transpose().map_err(|why| usage("to-datetime", why))?,
        by_duration: given.one("by-duration").map(span).transpose().map_err(|why| usage("by-duration", why))?,
        shift_by: given.read_one("shift-by")?,
        from_file: given.one("from-file").map(Into::into),
    };
    given.action("to-earliest to-latest to-current to-offset to-datetime by-duration shift-by from-file")?;
    if aim.from_file.is_none() {
        given.action("topic all-topics")?;
    }
    check_group(session, name, &mut Vec::new()).await?;
    let plan = plan(session, name, &scopes(given)?, &aim).await?;
    if given.has("execute") && !given.has("dry-run") {
        execute(session, name, &plan).await?;
    } else if !given.has("dry-run") {
        eprintln!("WARN: No action will be performed as the --execute option is missing.");
    }
    if given.has("export") {
        let group = if given.all("group").count() == 1 { String::new() } else { format!("{name},") };
        let lines =
            plan.iter().map(|((topic, partition), change)| format!("{group}{topic},{partition},{}\n", change.to));
        return write_out(lines.collect::<String>() + "\n");
    }
    let mut rows = vec![row(["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"])];
    for ((topic, partition), change) in &plan {
        rows.push(row([name, topic, &partition.to_string(), &change.to.to_string()]));
    }
    write_out(format!("\n{}", columns(&[15, 15, 10, 0], &rows)))
}

async fn delete_offsets(given: &Given, session: &Session, name: &str) -> Result<(), Problem> {
    given.need("topic")?;
    let spots = spots(session, &scopes(given)?).await?;
    let each =
        session.ask(format!("deleting offsets of group `{name}`"), session.client.delete_offsets(name, spots)).await?;
    let failed = each.iter().filter(|(_, result)| result.is_err()).count();
    let head = match failed {
        0 => format!("Request succeeded for deleting offsets from group {name}."),
        _ => "Encountered some partition-level error, see the follow-up details:".to_owned(),
    };
    let mut rows = vec![row(["TOPIC", "PARTITION", "STATUS"])];
    for ((topic, partition), result) in &each {
        let status = result.as_ref().map_or_else(|why| format!("Error: {why}"), |()| "Successful".to_owned());
        rows.push(row([topic, &partition.to_string(), &status]));
    }
    write_out(format!("{head}\n\n{}", columns(&[15, 10, 15], &rows)))?;
    if failed == 0 { Ok(()) } else { Err(Problem::failed(format!("{failed} offsets were not deleted"))) }
}
