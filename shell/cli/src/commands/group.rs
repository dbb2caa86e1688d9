//! `vltava group`: which groups there are, how far each has read and who is in it, and moving or forgetting what they have
//! committed.

pub mod progress;
pub mod reset;

use crate::problem::{Problem, nearest};
use crate::scope::{Scope, spots};
use crate::session::{Session, Trial};
use crate::survey::{name, some};
use crate::table::{Table, count};
use clap::Args;
use progress::Progress;
use serde_json::json;
use std::collections::BTreeMap;
use vltava_client::{Error, ErrorCode, Group as Known, ListedGroup, Offset, Spot, Text};

actions! {
    /// List, describe, reset and delete consumer groups.
    Group {
        List(List),
        Describe(Describe),
        ResetOffsets(reset::Reset),
        DeleteOffsets(DeleteOffsets),
        RemoveMembers(RemoveMembers),
        Delete(Delete),
    }
}

/// List groups and what they are doing.
#[derive(Debug, Args)]
struct List {
    /// Only those in this state, such as Stable or Empty; may be repeated
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<String>,
    /// Only those of this protocol, such as classic or consumer; may be repeated
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    r#type: Vec<String>,
}

/// Show members of groups, what each reads, and how far behind the groups are.
#[derive(Debug, Args)]
#[command(
    after_help = "COMMITTED is the offset at which the group goes on, END that after the last record, LAG what is between.

Examples:
  vltava group describe readers
  vltava group describe readers --json"
)]
struct Describe {
    #[arg(required_unless_present = "all", value_name = "GROUP")]
    groups: Vec<String>,
    /// All groups
    #[arg(long, conflicts_with = "groups")]
    all: bool,
}

/// Forget what a group has committed of topics that none of its members reads.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vltava group delete-offsets readers rivers --dry-run
  vltava group delete-offsets readers rivers:0,2")]
struct DeleteOffsets {
    group: String,
    #[arg(required = true, value_name = "TOPIC[:PARTITIONS]")]
    scopes: Vec<Scope>,
    #[command(flatten)]
    trial: Trial,
}

/// Put members out of a group. A consumer that still runs comes back; static members are gone at once.
#[derive(Debug, Args)]
struct RemoveMembers {
    group: String,
    /// Members by their ids
    #[arg(required_unless_present_any = ["instance", "all"], value_name = "MEMBER")]
    members: Vec<String>,
    /// A static member by its group.instance.id; may be repeated
    #[arg(long, value_name = "ID")]
    instance: Vec<String>,
    /// All members
    #[arg(long, conflicts_with_all = ["members", "instance"])]
    all: bool,
    #[command(flatten)]
    trial: Trial,
}

/// Delete groups that have no members, and their offsets.
#[derive(Debug, Args)]
struct Delete {
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    #[command(flatten)]
    trial: Trial,
}

/// The groups in one of these states and of one of these protocols, where any are named.
pub async fn groups(session: &Session, states: &[String], kinds: &[String]) -> Result<Vec<ListedGroup>, Problem> {
    let is_among =
        |given: &[String], is: &str| given.is_empty() || given.iter().any(|one| one.eq_ignore_ascii_case(is));
    let mut groups = session.ask("listing groups", session.client.groups()).await?;
    groups.retain(|group| is_among(states, &group.state) && is_among(kinds, &group.kind));
    Ok(groups)
}

impl List {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let groups = groups(session, &self.state, &self.r#type).await?;
        let mut table = Table::new("group, state, protocol, -type");
        for group in &groups {
            table.row(json!([group.id, group.state, group.kind, group.protocol_type]));
        }
        session.show(&table, "there are no groups")
    }
}

impl Describe {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let mut names = self.groups.clone();
        if self.all {
            names = groups(session, &[], &[]).await?.into_iter().map(|group| group.id).collect();
        }
        for (place, name) in names.iter().enumerate() {
            let progress = Progress::of(session, group(session, name).await?).await?;
            let gap = if place > 0 { "\n" } else { "" };
            session.print(|| progress.json(), || format!("{gap}{}", progress.text()))?;
        }
        Ok(())
    }
}

impl DeleteOffsets {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let committed = committed(session, &self.group).await?;
        let mut spots = spots(session, &self.scopes).await?;
        spots.retain(|spot| committed.contains_key(spot));
        let names: Vec<String> = spots.iter().map(name).collect();
        if !self.trial.dry_run && !spots.is_empty() {
            let doing = format!("deleting offsets of group `{}`", self.group);
            let each = session.ask(doing, session.client.delete_offsets(self.group.as_str(), spots)).await?;
            crate::problem::all_done("these offsets were not deleted", each)?;
        }
        let what = format!("{} of group {}: {}", count(names.len(), "offset"), self.group, some(names.iter().cloned()));
        let json = json!({ "group": self.group, "partitions": names });
        session.did(self.trial, ["delete", "deleted"], what.trim_end_matches(": "), json)
    }
}

impl RemoveMembers {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let known = group(session, &self.group).await?;
        let given = self.members.iter().chain(&self.instance);
        let mut members = Vec::new();
        for name in given {
            let found =
                known.members.iter().find(|member| member.id == *name || member.instance_id.as_ref() == Some(name));
            members.push(found.ok_or_else(|| {
                Problem::missing(format!(
                    "group `{}` has no member `{name}`: `vltava group describe {}` shows those it has",
                    self.group, self.group
                ))
            })?);
        }
        if self.all {
            members = known.members.iter().collect();
        }
        let ids: Vec<&String> =
            members.iter().map(|member| member.instance_id.as_ref().unwrap_or(&member.id)).collect();
        if !self.trial.dry_run && !members.is_empty() {
            let text = |name: &String| Text::from(name.as_str());
            let removed = members.iter().map(|member| match &member.instance_id {
                Some(instance) => (Text::default(), Some(text(instance))),
                None => (text(&member.id), None),
            });
            let doing = format!("removing members of group `{}`", self.group);
            let asked = session.client.remove_members(self.group.as_str(), removed.collect());
            let failed = session.ask(doing, asked).await?;
            if !failed.is_empty() {
                let names = some(failed.iter().map(|(name, why)| format!("{name} ({why})")));
                return Err(Problem::failed(format!("these members were not removed: {names}")));
            }
        }
        let what = format!("{} of group {}", count(ids.len(), "member"), self.group);
        let json = json!({ "group": self.group, "members": ids });
        session.did(self.trial, ["remove", "removed"], &what, json)
    }
}

impl Delete {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        for name in &self.groups {
            if self.trial.dry_run {
                let known = group(session, name).await?;
                if !known.members.is_empty() {
                    return Err(occupied(&known));
                }
            } else {
                match session.client.delete_group(name.as_str()).await {
                    Err(error) if error.code() == Some(ErrorCode::GROUP_ID_NOT_FOUND) => {
                        return Err(missing(session, name).await?);
                    }
                    done => done.map_err(session.while_doing(format!("deleting group `{name}`")))?,
                }
            }
            session.did(self.trial, ["delete", "deleted"], &format!("group {name}"), json!({ "group": name }))?;
        }
        Ok(())
    }
}

/// A group that is there, or the one that may have been meant.
pub async fn group(session: &Session, name: &str) -> Result<Known, Problem> {
    match session.client.group(name).await {
        Err(error) if error.code() == Some(ErrorCode::GROUP_ID_NOT_FOUND) => Err(missing(session, name).await?),
        done => done.map_err(session.while_doing(format!("describing group `{name}`"))),
    }
}

/// What a group has committed, so far as its topics are there.
pub async fn committed(session: &Session, group: &str) -> Result<BTreeMap<Spot, Offset>, Problem> {
    let committed = session.client.committed_offsets(group).await;
    match committed {
        Err(Error::Refused(refused)) if refused.code == ErrorCode::GROUP_ID_NOT_FOUND => Ok(BTreeMap::new()),
        done => done.map_err(session.while_doing(format!("asking how far group `{group}` has read"))),
    }
}

/// Its offsets are its members' to change.
pub fn occupied(group: &Known) -> Problem {
    Problem::failed(format!(
        "group `{}` has {}: stop its consumers first, or take them out with `vltava group remove-members {} --all`",
        group.id,
        count(group.members.len(), "member"),
        group.id
    ))
}

/// There is no such group: names the one that may be meant.
async fn missing(session: &Session, group: &str) -> Result<Problem, Problem> {
    let groups = session.ask("listing groups", session.client.groups()).await?;
    let hint = match nearest(group, groups.iter().map(|known| known.id.as_str())) {
        // It is there, but of another protocol than the question was about.
        Some(same) if same == group => {
            "it is neither of the classic nor of the consumer protocol, and no other is described".to_owned()
        }
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "`vltava group list` shows those there are".to_owned(),
    };
    Ok(Problem::missing(format!("there is no group `{group}`: {hint}")))
}
