//! `vltava group reset-offsets`: where a group without members is to go on. Shows the plan; --execute carries it out.

use super::{committed, occupied};
use crate::problem::{Problem, nearest};
use crate::scope::{Scope, moment, span, spots};
use crate::session::{Session, Unit};
use crate::table::{Table, count};
use clap::Args;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use vltava_client::{ErrorCode, Offset, OffsetAt, PartitionIndex, Spot, Text, Timestamp};

/// Partitions of one request: small enough for any limit, and for a bar that moves.
const AT_ONCE: usize = 500;

/// Set where a group goes on. It must have no members at the moment.
///
/// Without --execute only the plan is shown. An offset that is not there becomes the nearest one that is.
#[derive(Debug, Args)]
#[command(
    after_help = "A file for --from-file has lines of `topic,partition,offset`, as --backup writes them and Kafka's tool
exports them.

Examples:
  vltava group reset-offsets readers rivers --to-earliest
  vltava group reset-offsets readers rivers:0,2 --shift-by -100 --execute
  vltava group reset-offsets readers --all-topics --to-datetime 2026-11-26T10:00 --backup before.csv --execute
  vltava group reset-offsets readers --from-file before.csv --execute"
)]
pub struct Reset {
    group: String,
    #[arg(value_name = "TOPIC[:PARTITIONS]", required_unless_present_any = ["all_topics", "from_file"])]
    scopes: Vec<Scope>,
    /// All that the group has committed
    #[arg(long, conflicts_with = "scopes")]
    all_topics: bool,
    #[command(flatten)]
    aim: Aim,
    /// Do it
    #[arg(long)]
    execute: bool,
    /// Only show the plan (the default)
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// Write the offsets as they are to this file first
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
}

/// Where to.
#[derive(Clone, Debug, Default, Args)]
#[group(required = true, multiple = false)]
pub struct Aim {
    /// The first record there is
    #[arg(long)]
    pub to_earliest: bool,
    /// After the last record there is
    #[arg(long)]
    pub to_latest: bool,
    /// Where it is now: commits that anew, and what is out of range is corrected
    #[arg(long)]
    pub to_current: bool,
    /// This offset
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub to_offset: Option<i64>,
    /// The first record of this moment or later: 2026-11-26T10:00:00.000 (UTC, or with a zone), ms since 1970, -90m
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    pub to_datetime: Option<Timestamp>,
    /// The first record that is not older than this: 90m, 7d, PT90M
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub by_duration: Option<i64>,
    /// So many records further on, or back where it is negative
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub shift_by: Option<i64>,
    /// What this file says
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scopes", "all_topics"])]
    pub from_file: Option<PathBuf>,
}

/// What becomes of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub from: Option<Offset>,
    pub to: Offset,
    end: Offset,
    /// What was asked for is not there.
    is_clamped: bool,
}

pub type Plan = BTreeMap<Spot, Change>;

impl Reset {
    pub async fn run(&self, session: &Session) -> Result<(), Problem> {
        let mut notes = Vec::new();
        check_group(session, &self.group, &mut notes).await?;
        let plan = plan(session, &self.group, &self.scopes, &self.aim).await?;
        if let Some(file) = &self.backup {
            let lines =
                plan.iter().filter_map(|(spot, change)| Some(format!("{},{},{}\n", spot.0, spot.1, change.from?)));
            std::fs::write(file, lines.collect::<String>())
                .map_err(|error| Problem::failed(format!("--backup {}: {error}", file.display())))?;
        }
        if self.execute {
            execute(session, &self.group, &plan).await?;
        }
        self.print(session, &plan, &notes)
    }

    fn print(&self, session: &Session, plan: &Plan, notes: &[String]) -> Result<(), Problem> {
        let mut table = Table::new("topic, >partition, >from, >to, >lag, -clamped, +NOTE");
        for ((topic, partition), change) in plan {
            let note = match (change.is_clamped, change.from) {
                (true, _) => "the nearest offset that is there",
                (false, Some(from)) if from == change.to => "as it is",
                (false, _) => "",
            };
            let (from, lag) = (change.from.map(|offset| offset.0), change.end.minus(change.to));
            table.row(json!([topic.as_str(), partition.0, from, change.to.0, lag, change.is_clamped, note]));
        }
        let text = || {
            let notes: String = notes.iter().map(|note| format!("note: {note}\n")).collect();
            let (offsets, group) = (count(plan.len(), "offset"), &self.group);
            let end = match (plan.is_empty(), self.execute) {
                (true, _) => format!("group {group} has committed nothing: name topics"),
                (false, true) => format!("set {offsets} of group {group}"),
                (false, false) => format!("nothing is changed yet: --execute sets {offsets}"),
            };
            format!("{notes}{}{end}\n", if plan.is_empty() { String::new() } else { table.to_string() })
        };
        let json = || json!({ "group": self.group, "done": self.execute, "notes": notes, "partitions": table.json() });
        session.print(json, text)
    }
}

/// Whether the group's offsets can be set.
pub async fn check_group(session: &Session, group: &str, notes: &mut Vec<String>) -> Result<(), Problem> {
    match session.client.group(group).await {
        Ok(known) if !known.members.is_empty() => Err(occupied(&known)),
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(ErrorCode::GROUP_ID_NOT_FOUND) => {
            let known = session.ask("listing groups", session.client.groups()).await?;
            let meant = nearest(group, known.iter().map(|known| known.id.as_str()));
            let meant = meant.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
            notes.push(format!("there is no group `{group}` yet, and this makes it{meant}"));
            Ok(())
        }
        Err(error) => Err(session.while_doing(format!("describing group `{group}`"))(error)),
    }
}

/// What is to be set.
pub async fn plan(session: &Session, group: &str, scopes: &[Scope], aim: &Aim) -> Result<Plan, Problem> {
    let current = committed(session, group).await?;
    let filed = aim.from_file.as_deref().map(|file| read_file(file, group)).transpose()?;
    let spots: BTreeSet<Spot> = match &filed {
        Some(filed) => filed.keys().cloned().collect(),
        None if scopes.is_empty() => current.keys().cloned().collect(),
        None => spots(session, scopes).await?.into_iter().collect(),
    };
    let bar = session.bar(Some(spots.len() as u64), Unit::Things).with_message("looking offsets up");
    let spots: Vec<Spot> = spots.into_iter().collect();
    let mut plan = Plan::new();
    for some in spots.chunks(AT_ONCE) {
        let ask = async |at| {
            let asked = session.client.list_offsets(some.iter().cloned(), at);
            session.ask("asking where partitions begin and end", asked).await
        };
        let (starts, ends) = (ask(OffsetAt::Earliest).await?, ask(OffsetAt::Latest).await?);
        let ago = aim.by_duration.map(|ms| Timestamp(session.client.wall().0.saturating_sub(ms).max(0)));
        let at = match aim.to_datetime.or(ago) {
            Some(time) => ask(OffsetAt::Time(time)).await?,
            None => BTreeMap::new(),
        };
        for spot in some {
            let known = |offsets: &BTreeMap<Spot, Option<Offset>>| offsets.get(spot).copied().flatten();
            let (start, end) = (known(&starts).unwrap_or(Offset(0)), known(&ends).unwrap_or(Offset(0)));
            let from = current.get(spot).copied();
            let wanted = match aim {
                Aim { to_earliest: true, .. } => start,
                Aim { to_latest: true, .. } => end,
                Aim { to_offset: Some(offset), .. } => Offset(*offset),
                // Nothing is that new: on with what comes.
                Aim { to_datetime: Some(_), .. } | Aim { by_duration: Some(_), .. } => known(&at).unwrap_or(end),
                Aim { shift_by: Some(by), .. } => match from {
                    Some(from) => Offset(from.0.saturating_add(*by)),
                    None => return Err(nothing_committed(group, spot, "--shift-by")),
                },
                _ => match filed.as_ref().map_or(from, |filed| filed.get(spot).copied()) {
                    Some(offset) => offset,
                    None => return Err(nothing_committed(group, spot, "--to-current")),
                },
            };
            let to = wanted.clamp(start, end);
            plan.insert(spot.clone(), Change { from, to, end, is_clamped: to != wanted });
        }
        bar.inc(some.len() as u64);
    }
    bar.finish_and_clear();
    Ok(plan)
}

fn nothing_committed(group: &str, spot: &Spot, option: &str) -> Problem {
    Problem::failed(format!(
        "group `{group}` has committed nothing of {}, so that {option} means nothing there: use --to-earliest or --to-latest",
        crate::survey::name(spot)
    ))
}

/// Commits a plan, a part at a time. What was set stays set where a later part fails.
pub async fn execute(session: &Session, group: &str, plan: &Plan) -> Result<(), Problem> {
    let bar = session.bar(Some(plan.len() as u64), Unit::Things).with_message("setting offsets");
    let all: Vec<(Spot, Offset)> = plan.iter().map(|(spot, change)| (spot.clone(), change.to)).collect();
    for (place, some) in all.chunks(AT_ONCE).enumerate() {
        let doing = format!("setting offsets of group `{group}`, of which {} are set", place * AT_ONCE);
        session.ask(doing, session.client.alter_offsets(group, some.iter().cloned().collect())).await?;
        bar.inc(some.len() as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Reads `topic,partition,offset`, or `group,topic,partition,offset` of which other groups' lines are passed over.
fn read_file(file: &Path, group: &str) -> Result<BTreeMap<Spot, Offset>, Problem> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Problem::usage(format!("--from-file {}: {error}", file.display())))?;
    let mut offsets = BTreeMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split(',').map(|word| word.trim().trim_matches('"')).collect();
        let words = match words.as_slice() {
            [of, rest @ ..] if rest.len() == 3 && *of != group => continue,
            [_, rest @ ..] if rest.len() == 3 => rest,
            all => all,
        };
        let offset = match words {
            [topic, partition, offset] => partition
                .parse()
                .ok()
                .zip(offset.parse().ok())
                .map(|(partition, offset)| ((Text::from(*topic), PartitionIndex(partition)), Offset(offset))),
            _ => None,
        };
        let (spot, offset) = offset.filter(|(_, offset)| offset.0 >= 0).ok_or_else(|| {
            let place = format!("--from-file {}: line {}", file.display(), number + 1);
            Problem::usage(format!("{place}: `{line}` is not `topic,partition,offset`"))
        })?;
        offsets.insert(spot, offset);
    }
    Ok(offsets)
}
