//! How far a group has read of what there is, for people and for programs.

use super::committed;
use crate::problem::Problem;
use crate::session::Session;
use crate::table::Table;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use vltava_client::{Group as Known, GroupMember, NodeId, Offset, OffsetAt, Spot};

/// How far a group is.
pub struct Progress {
    pub group: Known,
    pub coordinator: NodeId,
    committed: BTreeMap<Spot, Offset>,
    ends: BTreeMap<Spot, Option<Offset>>,
}

impl Progress {
    pub async fn of(session: &Session, group: Known) -> Result<Progress, Problem> {
        let committed = committed(session, &group.id).await?;
        let doing = || session.while_doing(format!("asking how far group `{}` has read", group.id));
        let spots = group.members.iter().flat_map(|member| member.assignment.clone()).chain(committed.keys().cloned());
        let spots: BTreeSet<Spot> = spots.collect();
        let topics = session.client.overview().await.map_err(doing())?.topics;
        let is_led = |(name, index): &Spot| {
            let topic = topics.iter().find(|topic| topic.name == *name);
            topic.and_then(|topic| topic.partition(*index)).is_some_and(|known| known.leader.is_some())
        };
        let (led, other): (Vec<Spot>, Vec<Spot>) = spots.into_iter().partition(is_led);
        let mut ends = session.client.list_offsets(led, OffsetAt::Latest).await.map_err(doing())?;
        ends.extend(other.into_iter().map(|spot| (spot, None)));
        let coordinator = session.client.coordinator(group.id.as_str()).await.map_err(doing())?;
        Ok(Progress { group, coordinator, committed, ends })
    }

    /// For each partition: what is committed, where it ends, how much lies between, and who reads it.
    pub fn rows(&self) -> impl Iterator<Item = (&Spot, [Option<i64>; 3], Option<&GroupMember>)> {
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

    fn partitions(&self) -> Table {
        let mut table = Table::new("topic, >partition, >committed, >end_offset=END, >lag, member");
        for ((topic, partition), [committed, end, lag], reader) in self.rows() {
            table.row(json!([topic.as_str(), partition.0, committed, end, lag, reader.map(|member| &member.id)]));
        }
        table
    }

    fn members(&self) -> Table {
        let mut table = Table::new("member, client, host, +PARTITIONS, -instance, -assignment");
        for member in &self.group.members {
            let spots = member.assignment.iter();
            let spots: Value =
                spots.map(|(topic, part)| json!({ "topic": topic.as_str(), "partition": part.0 })).collect();
            let (count, instance) = (member.assignment.len(), &member.instance_id);
            table.row(json!([member.id, member.client_id, member.host, count, instance, spots]));
        }
        table
    }

    pub fn json(&self) -> Value {
        json!({ "group": self.group.id, "state": self.group.state, "type": self.group.protocol_type,
            "assignor": self.group.assignor, "coordinator": self.coordinator.0, "lag": self.lag(),
            "members": self.members().json(), "partitions": self.partitions().json() })
    }

    pub fn text(&self) -> String {
        let Progress { group, coordinator, .. } = self;
        let assignor = if group.assignor.is_empty() { "-" } else { &group.assignor };
        let (members, lag) = (group.members.len(), self.lag());
        let mut text = format!(
            "group        {}\nstate        {}\nassignor     {assignor}\ncoordinator  {coordinator}\nmembers      {members}\n\
             lag          {lag}\n",
            group.id, group.state,
        );
        for table in [self.partitions(), self.members()].iter().filter(|table| !table.is_empty()) {
            text.push_str(&format!("\n{table}"));
        }
        text
    }
}
