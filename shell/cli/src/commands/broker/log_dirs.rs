//! `vltava broker log-dirs` and `move-replicas`: the log directories of brokers, and what lies in which.

use super::known;
use crate::problem::{Problem, all_done};
use crate::scope::{Scope, spots};
use crate::session::{Session, Trial};
use crate::survey::{Survey, name, some};
use crate::table::{Table, count};
use clap::Args;
use serde_json::json;
use std::collections::BTreeSet;
use vltava_client::{NodeId, ReplicaSize, Spot};

/// Show log directories, how full their disks are, and what lies in them.
#[derive(Debug, Args)]
pub struct LogDirs {
    /// Only of these brokers
    #[arg(value_name = "ID")]
    brokers: Vec<i32>,
    /// Each replica too
    #[arg(long)]
    replicas: bool,
}

/// Move replicas of a broker to another of its log directories.
#[derive(Debug, Args)]
#[command(
    after_help = "They serve while they are copied; `vltava broker log-dirs ID --replicas` shows what is still to come.

Examples:
  vltava broker move-replicas 1 rivers:0,2 --to /disk2/vltava"
)]
pub struct MoveReplicas {
    #[arg(value_name = "ID")]
    broker: i32,
    #[arg(required = true, value_name = "TOPIC[:PARTITIONS]")]
    scopes: Vec<Scope>,
    /// The directory, as log-dirs shows it
    #[arg(long, value_name = "DIR")]
    to: String,
    #[command(flatten)]
    trial: Trial,
}

impl LogDirs {
    pub async fn run(&self, session: &Session) -> Result<(), Problem> {
        let survey = Survey::take(session).await?;
        self.brokers.iter().try_for_each(|id| known(&survey, NodeId(*id)))?;
        let mut all = Vec::new();
        for node in survey.living().into_iter().filter(|node| self.brokers.is_empty() || self.brokers.contains(&node.0))
        {
            let doing = format!("asking broker {node} for its log directories");
            let dirs = session.ask(doing, session.client.log_dirs(node, None)).await?;
            all.extend(dirs.into_iter().map(|dir| (node, dir)));
        }
        let sizes = "#size_bytes, #usable_bytes=FREE, #total_bytes=DISK";
        let mut dirs = Table::new(&format!("broker, log_dir=DIRECTORY, error, +REPLICAS, {sizes}, -replicas"));
        let columns = ">broker, topic, >partition, #size_bytes, >offset_lag=LAG, is_future=COMING, log_dir=DIRECTORY";
        let mut replicas = Table::new(columns);
        for (node, dir) in &all {
            let bytes = dir.replicas.iter().map(|known| known.size_bytes).fold(0, u64::saturating_add);
            let mut here = Table::new("topic, partition, size_bytes, offset_lag, is_future");
            for ReplicaSize { spot: (topic, part), size_bytes, offset_lag, is_future } in &dir.replicas {
                here.row(json!([topic.as_str(), part.0, size_bytes, offset_lag, is_future]));
                replicas.row(json!([node.0, topic.as_str(), part.0, size_bytes, offset_lag, is_future, dir.path]));
            }
            let error = (!dir.error.is_ok()).then(|| dir.error.to_string());
            let (count, free, disk) = (dir.replicas.len(), dir.usable_bytes, dir.total_bytes);
            dirs.row(json!([node.0, dir.path, error, count, bytes, free, disk, here.json()]));
        }
        let text =
            || if self.replicas && !replicas.is_empty() { format!("{dirs}\n{replicas}") } else { dirs.to_string() };
        session.print(|| dirs.json(), text)
    }
}

impl MoveReplicas {
    pub async fn run(&self, session: &Session) -> Result<(), Problem> {
        let survey = Survey::take(session).await?;
        let node = NodeId(self.broker);
        known(&survey, node)?;
        let spots = spots(session, &self.scopes).await?;
        let here = survey.partitions().filter(|(_, _, known)| known.replicas.contains(&node));
        let here: BTreeSet<Spot> = here.map(|(spot, _, _)| spot).collect();
        if let Some(none) = spots.iter().find(|spot| !here.contains(*spot)) {
            return Err(Problem::missing(format!("broker {node} has no replica of {}", name(none))));
        }
        let doing = || session.while_doing(format!("moving replicas of broker {node}"));
        let dirs = session.client.log_dirs(node, Some(vec![])).await.map_err(doing())?;
        if !dirs.iter().any(|dir| dir.path == self.to) {
            let dirs = some(dirs.iter().map(|dir| dir.path.clone()));
            return Err(Problem::missing(format!("broker {node} has no log directory {}: there are {dirs}", self.to)));
        }
        let names: Vec<String> = spots.iter().map(name).collect();
        if !self.trial.dry_run {
            let to = spots.into_iter().map(|spot| (spot, self.to.clone())).collect();
            let each = session.client.alter_log_dirs(node, to).await.map_err(doing())?;
            all_done("these replicas are not moved", each)?;
        }
        let what = format!("{} of broker {node} to {}", count(names.len(), "replica"), self.to);
        let json = json!({ "broker": node.0, "to": self.to, "replicas": names });
        session.did(self.trial, ["move", "moving"], &what, json)
    }
}
