//! `vltava group`: which groups there are, how far each has read and who is in it.

use crate::problem::{Problem, nearest};
use crate::session::{Connection, Session};
use crate::table::Table;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use vltava_client::{ErrorCode, Group as Known, GroupMember, Offset, OffsetAt, Spot};

/// List, describe and delete consumer groups.
#[derive(Debug, Args)]
pub struct Group {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List groups and what they are doing.
    List(List),
    Describe(Describe),
    /// Delete groups that have no members, and their offsets.
    Delete(Delete),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    connection: Connection,
}

/// Show a group's members, what each reads, and how far behind the group is.
#[derive(Debug, Args)]
#[command(
    after_help = "COMMITTED is the offset at which the group goes on, END that after the last record, LAG what is between.

Examples:
  vltava group describe readers
  vltava group describe readers --json"
)]
struct Describe {
    group: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct Delete {
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Group {
    pub fn run(self) -> Result<(), Problem> {
        match self.action {
            Action::List(list) => list.connection.clone().run(async |session| list.run(&session).await),
            Action::Describe(describe) => describe.connection.clone().run(async |session| describe.run(&session).await),
            Action::Delete(delete) => delete.connection.clone().run(async |session| delete.run(&session).await),
        }
    }
}

impl List {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let groups = session.client.groups().await.map_err(session.while_doing("listing groups"))?;
        let table = || {
            let mut table = Table::new(&["GROUP", "STATE", "PROTOCOL"]);
            for group in &groups {
                let kind = if group.kind.is_empty() { "-" } else { &group.kind };
                table.row(vec![group.id.clone(), group.state.clone(), kind.to_owned()]);
            }
            if table.is_empty() { "there are no groups\n".to_owned() } else { table.to_string() }
        };
        let as_json = |group: &vltava_client::ListedGroup| json!({ "group": group.id, "state": group.state, "protocol": group.kind, "type": group.protocol_type });
        session.print(|| groups.iter().map(as_json).collect(), table)
    }
}

impl Describe {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let group = match session.client.group(self.group.as_str()).await {
            Ok(group) => group,
            Err(error) if error.code() == Some(ErrorCode::GROUP_ID_NOT_FOUND) => {
                return Err(missing(session, &self.group).await?);
            }
            Err(error) => return Err(session.while_doing(format!("describing group `{}`", self.group))(error)),
        };
        let doing = || session.while_doing(format!("asking how far group `{}` has read", self.group));
        let committed = session.client.committed_offsets(self.group.as_str()).await.map_err(doing())?;
        let spots = group.members.iter().flat_map(|member| member.assignment.clone()).chain(committed.keys().cloned());
        let ends = session.client.list_offsets(spots, OffsetAt::Latest).await.map_err(doing())?;
        let progress = Progress { group: &group, committed, ends };
        session.print(|| progress.json(), || progress.text())
    }
}

/// How far a group is.
struct Progress<'a> {
    group: &'a Known,
    committed: BTreeMap<Spot, Offset>,
    ends: BTreeMap<Spot, Option<Offset>>,
}

impl Progress<'_> {
    /// For each partition: what is committed, where it ends, how much lies between, and who reads it.
    fn rows(&self) -> impl Iterator<Item = (&Spot, [Option<i64>; 3], Option<&GroupMember>)> {
        self.ends.iter().map(|(spot, end)| {
            let (committed, end) = (self.committed.get(spot).map(|offset| offset.0), end.map(|offset| offset.0));
            let lag = committed.zip(end).map(|(committed, end)| end.saturating_sub(committed).max(0));
            let reader = self.group.members.iter().find(|member| member.assignment.contains(spot));
            (spot, [committed, end, lag], reader)
        })
    }

    fn lag(&self) -> i64 {
        self.rows().filter_map(|(_, [_, _, lag], _)| lag).sum()
    }

    fn json(&self) -> Value {
        let partition =
            |((topic, partition), [committed, end, lag], reader): (&Spot, [Option<i64>; 3], Option<&GroupMember>)| {
                json!({ "topic": topic.as_str(), "partition": partition.0, "committed": committed, "end_offset": end,
                "lag": lag, "member": reader.map(|member| &member.id) })
            };
        let member = |member: &GroupMember| {
            let assignment: Vec<Value> = member
                .assignment
                .iter()
                .map(|(topic, partition)| json!({ "topic": topic.as_str(), "partition": partition.0 }))
                .collect();
            json!({ "member": member.id, "instance": member.instance_id, "client": member.client_id,
                "host": member.host, "assignment": assignment })
        };
        json!({
            "group": self.group.id,
            "state": self.group.state,
            "type": self.group.protocol_type,
            "assignor": self.group.assignor,
            "lag": self.lag(),
            "members": self.group.members.iter().map(member).collect::<Value>(),
            "partitions": self.rows().map(partition).collect::<Value>(),
        })
    }

    fn text(&self) -> String {
        let group = self.group;
        let assignor = if group.assignor.is_empty() { "-" } else { &group.assignor };
        let mut text = format!(
            "group     {}\nstate     {}\nassignor  {assignor}\nmembers   {}\nlag       {}\n",
            group.id,
            group.state,
            group.members.len(),
            self.lag()
        );
        let or_dash = |value: Option<i64>| value.map_or("-".to_owned(), |value| value.to_string());
        let mut partitions = Table::new(&["TOPIC", ">PARTITION", ">COMMITTED", ">END", ">LAG", "MEMBER"]);
        for ((topic, partition), [committed, end, lag], reader) in self.rows() {
            let reader = reader.map_or("-".to_owned(), |member| member.id.clone());
            partitions.row(vec![
                topic.to_string(),
                partition.to_string(),
                or_dash(committed),
                or_dash(end),
                or_dash(lag),
                reader,
            ]);
        }
        let mut members = Table::new(&["MEMBER", "CLIENT", "HOST", ">PARTITIONS"]);
        for member in &group.members {
            let count = member.assignment.len().to_string();
            members.row(vec![member.id.clone(), member.client_id.clone(), member.host.clone(), count]);
        }
        for table in [partitions, members].iter().filter(|table| !table.is_empty()) {
            text.push_str(&format!("\n{table}"));
        }
        text
    }
}

impl Delete {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        for group in &self.groups {
            match session.client.delete_group(group.as_str()).await {
                Err(error) if error.code() == Some(ErrorCode::GROUP_ID_NOT_FOUND) => {
                    return Err(missing(session, group).await?);
                }
                done => done.map_err(session.while_doing(format!("deleting group `{group}`")))?,
            }
            session.print(|| json!({ "group": group, "deleted": true }), || format!("deleted group {group}\n"))?;
        }
        Ok(())
    }
}

/// There is no such group: names the one that may be meant.
async fn missing(session: &Session, group: &str) -> Result<Problem, Problem> {
    let groups = session.client.groups().await.map_err(session.while_doing("listing groups"))?;
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
