//! `vltava cluster describe`: brokers, controller, quorum and the health of partitions.

use crate::commands::broker;
use crate::health::Health;
use crate::problem::Problem;
use crate::session::Session;
use crate::survey::{Survey, name, some};
use crate::table::Table;
use clap::Args;
use serde_json::{Value, json};
use vltava_client::{Error, Quorum, QuorumReplica, Spot, Timestamp};

/// Show brokers, the controller, who votes on the metadata, and partitions that are not well.
#[derive(Debug, Args)]
#[command(after_help = "LAG is in records of the metadata; CAUGHT UP is how long ago a node had all of it.

Examples:
  vltava cluster describe
  vltava cluster describe --json")]
pub struct Describe;

impl Describe {
    pub async fn run(&self, session: &Session) -> Result<(), Problem> {
        let survey = Survey::take(session).await?;
        let health = Health::of(session, &survey.overview).await?;
        let quorum = match session.client.quorum().await {
            Err(Error::Unsupported) => None,
            done => Some(done.map_err(session.while_doing("asking who votes on the metadata"))?),
        };
        let view = View { survey: &survey, health: &health, quorum: quorum.as_ref() };
        session.print(|| view.json(), || view.text())
    }
}

struct View<'a> {
    survey: &'a Survey,
    health: &'a Health,
    quorum: Option<&'a Quorum>,
}

impl View<'_> {
    /// The active controller: the quorum's leader, where the cluster tells; brokers name any of them to clients.
    fn controller(&self) -> Option<i32> {
        match self.quorum {
            Some(quorum) => quorum.leader.map(|node| node.0),
            None => self.survey.overview.controller.map(|node| node.0),
        }
    }

    fn fenced(&self) -> usize {
        let living = self.survey.living();
        self.survey.roster.brokers.iter().filter(|registered| !living.contains(&registered.broker.node)).count()
    }

    fn json(&self) -> Value {
        let quorum = self.quorum.map(|quorum| {
            json!({ "leader": quorum.leader.map(|node| node.0), "epoch": quorum.epoch.0,
                "high_watermark": quorum.high_watermark.0, "nodes": voters(quorum).json() })
        });
        json!({
            "cluster": self.survey.roster.cluster_id.to_string(),
            "controller": self.controller(),
            "brokers": broker::table(self.survey).json(),
            "quorum": quorum,
            "health": self.health.json(),
            "moving": self.survey.moving.len(),
        })
    }

    fn text(&self) -> String {
        let fenced = match self.fenced() {
            0 => String::new(),
            count => format!(", {count} of them fenced"),
        };
        let controller = self.controller().map_or("none".to_owned(), |id| id.to_string());
        let epoch = self.quorum.map_or(String::new(), |quorum| format!(", epoch {}", quorum.epoch));
        let mut text = format!(
            "cluster     {}\ncontroller  {controller}{epoch}\nbrokers     {}{fenced}\npartitions  {}{}\n",
            self.survey.roster.cluster_id,
            self.survey.roster.brokers.len(),
            self.health.partitions,
            if self.is_well() { ", all in sync" } else { "" },
        );
        for (label, spots) in self.ailments() {
            text.push_str(&format!("            {} {label}: {}\n", spots.len(), some(spots.iter().map(name))));
        }
        if !self.survey.moving.is_empty() {
            text.push_str(&format!("            {} on the move: `vltava cluster moves`\n", self.survey.moving.len()));
        }
        text.push_str(&format!("\n{}", broker::table(self.survey)));
        if let Some(quorum) = self.quorum {
            text.push_str(&format!("\n{}", voters(quorum)));
        }
        text
    }

    fn is_well(&self) -> bool {
        self.ailments().next().is_none()
    }

    fn ailments(&self) -> impl Iterator<Item = (&'static str, &Vec<Spot>)> {
        let all = [
            ("under-replicated", &self.health.under_replicated),
            ("under min.insync.replicas", &self.health.under_min_isr),
            ("without a leader", &self.health.leaderless),
        ];
        all.into_iter().filter(|(_, spots)| !spots.is_empty())
    }
}

fn voters(quorum: &Quorum) -> Table {
    let columns = ">node, role=QUORUM, >lag, +CAUGHT UP, directory, -end_offset, -last_caught_up";
    let mut table = Table::new(columns);
    let leader = quorum.voters.iter().find(|voter| Some(voter.node) == quorum.leader);
    // By the leader's clock, with which the others' moments were taken.
    let now = leader.and_then(|leader| leader.last_fetch);
    let mut add = |role: &str, known: &QuorumReplica| {
        let role = if Some(known.node) == quorum.leader { "leader" } else { role };
        let directory = (!known.directory.is_zero()).then(|| known.directory.to_string());
        let (end, caught_up) = (known.end.map(|end| end.0), known.last_caught_up.map(|at| at.0));
        let (lag, ago) = (quorum.lag(known), ago(known.last_caught_up, now));
        table.row(json!([known.node.0, role, lag, ago, directory, end, caught_up]));
    };
    quorum.voters.iter().for_each(|known| add("voter", known));
    quorum.observers.iter().for_each(|known| add("observer", known));
    table
}

fn ago(at: Option<Timestamp>, now: Option<Timestamp>) -> String {
    match at.zip(now) {
        None => "-".to_owned(),
        Some((at, now)) => {
            let ms = now.0.saturating_sub(at.0).max(0);
            if ms < 10_000 { format!("{ms} ms") } else { format!("{} s", ms / 1000) }
        }
    }
}
