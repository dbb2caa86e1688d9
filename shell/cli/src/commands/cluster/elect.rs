//! `vltava cluster elect-leaders`: hands partitions to their preferred leaders, or to whoever is left.

use crate::problem::{Problem, all_done};
use crate::scope::{Scope, spots};
use crate::session::{Session, Trial};
use crate::survey::{Survey, name, some};
use crate::table::count;
use clap::Args;
use serde_json::json;
use std::collections::BTreeSet;
use vltava_client::{ErrorCode, Spot};

/// Let the first replica of each partition lead it, where it is in sync.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vltava cluster elect-leaders
  vltava cluster elect-leaders rivers:3 --unclean --dry-run")]
pub struct ElectLeaders {
    /// Only these partitions, not all
    #[arg(value_name = "TOPIC[:PARTITIONS]", required_if_eq("unclean", "true"))]
    scopes: Vec<Scope>,
    /// Where nobody leads, let any living replica do so, though acknowledged records may be lost
    #[arg(long)]
    unclean: bool,
    #[command(flatten)]
    trial: Trial,
}

impl ElectLeaders {
    pub async fn run(&self, session: &Session) -> Result<(), Problem> {
        let survey = Survey::take(session).await?;
        let asked: BTreeSet<Spot> = spots(session, &self.scopes).await?.into_iter().collect();
        let is_due = |known: &vltava_client::Partition| match self.unclean {
            true => known.leader.is_none(),
            false => known.leader != known.replicas.first().copied(),
        };
        let due =
            survey.partitions().filter(|(spot, _, known)| (asked.is_empty() || asked.contains(spot)) && is_due(known));
        let due: Vec<Spot> = due.map(|(spot, _, _)| spot).collect();
        let names: Vec<String> = due.iter().map(name).collect();
        if !self.trial.dry_run && !due.is_empty() {
            let mut each =
                session.ask("electing leaders", session.client.elect_leaders(self.unclean, Some(due))).await?;
            each.retain(|(_, result)| !result.as_ref().is_err_and(|why| why.code == ErrorCode::ELECTION_NOT_NEEDED));
            all_done("these partitions got no other leader", each)?;
        }
        let what = format!("leaders of {}: {}", count(names.len(), "partition"), some(names.iter().cloned()));
        session.did(self.trial, ["elect", "elected"], what.trim_end_matches(": "), json!({ "partitions": names }))
    }
}
