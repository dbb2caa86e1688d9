//! `vltava cluster`: how the cluster is, evening it out, what moves, and who votes on its metadata.

mod describe;
mod elect;
mod features;
mod voters;

use super::moving::{Moving, Plan, notes};
use crate::plan::{Cluster as Plannable, Move, balance};
use crate::problem::Problem;
use crate::session::Session;
use crate::survey::{Survey, name, some};
use crate::table::Table;
use crate::throttle;
use clap::Args;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use vltava_client::{NodeId, Reassignment, Spot};

actions! {
    /// Describe and balance the cluster, elect leaders, and change features and who votes on the metadata.
    Cluster {
        Describe(describe::Describe),
        Balance(Balance),
        Moves(Moves),
        ElectLeaders(elect::ElectLeaders),
        Features(features::Features),
        AddVoter(voters::AddVoter),
        RemoveVoter(voters::RemoveVoter),
    }
}

/// Move replicas and leaders so that all living brokers have as many as each other.
#[derive(Debug, Args)]
#[command(
    after_help = "Racks are respected, and no more is moved than that takes: a new broker gets its share. Then the preferred \
leaders are elected. Ctrl-C begins no further move and leaves those that are under way; the same command goes on later.

Examples:
  vltava cluster balance --dry-run
  vltava cluster balance --throttle 50MB/s"
)]
struct Balance {
    #[command(flatten)]
    moving: Moving,
}

/// Show the moves of replicas that are under way, or take them back.
#[derive(Debug, Args)]
struct Moves {
    /// Take them all back, and throttles away
    #[arg(long)]
    cancel: bool,
}

impl Balance {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let survey = Survey::take(session).await?;
        let plannable = survey.plannable();
        let moves = balance(&plannable);
        let mut notes = notes(&survey);
        let living: BTreeSet<i32> = plannable.brokers.keys().copied().collect();
        let away: BTreeSet<i32> =
            survey.known().into_iter().map(|node| node.0).filter(|id| !living.contains(id)).collect();
        if !away.is_empty() {
            let names = some(away.iter().map(i32::to_string));
            notes.push(format!("not alive, and left as they are: brokers {names}; `vltava broker drain` empties one"));
        }
        let elect = elections(&survey, &plannable, &moves);
        let title = "balance the cluster".to_owned();
        let plan = Plan { title, moves, elect, notes, again: "vltava cluster balance".to_owned() };
        plan.run(session, &survey, &self.moving).await
    }
}

/// Partitions that do not move and are led by another than the first of their replicas, though that one is in sync.
fn elections(survey: &Survey, plannable: &Plannable, moves: &[Move]) -> Vec<Spot> {
    let moved: BTreeSet<(&str, i32)> = moves.iter().map(|known| (known.topic.as_str(), known.index)).collect();
    let waits = survey.partitions().filter(|(spot, _, known)| {
        let first = known.replicas.first();
        let can_lead = first.is_some_and(|first| known.isr.contains(first) && plannable.brokers.contains_key(&first.0));
        can_lead && known.leader != first.copied() && !moved.contains(&(&*spot.0, spot.1.0))
    });
    waits.map(|(spot, _, _)| spot).collect()
}

impl Moves {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let moving = session.ask("asking which moves go on", session.client.reassignments()).await?;
        if self.cancel {
            return self.cancel(session, &moving).await;
        }
        let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect::<Vec<_>>();
        let mut table = Table::new("topic, >partition, replicas, adding, removing");
        for ((topic, partition), known) in &moving {
            let (adding, removing) = (ids(&known.adding), ids(&known.removing));
            table.row(json!([topic.as_str(), partition.0, ids(&known.target()), adding, removing]));
        }
        session.show(&table, "nothing is being moved")
    }

    async fn cancel(&self, session: &Session, moving: &BTreeMap<Spot, Reassignment>) -> Result<(), Problem> {
        let mut refused = Vec::new();
        if !moving.is_empty() {
            let targets = moving.keys().map(|spot| (spot.clone(), None)).collect();
            refused = session.ask("taking back moves", session.client.reassign(targets)).await?;
            // What came to its end meanwhile cannot be taken back, and need not be.
            refused.retain(|(_, why)| why.code != vltava_client::ErrorCode::NO_REASSIGNMENT_IN_PROGRESS);
        }
        // Who was throttled is not known any more: a topic or broker without the settings is not changed by this.
        let survey = Survey::take(session).await?;
        let topics = survey.overview.topics.iter().map(|topic| topic.name.to_string()).collect();
        let kept = throttle::clear(session, &survey.living(), &topics).await;
        for why in &kept {
            eprintln!("warning: a throttle could not be taken away: {why}");
        }
        if !refused.is_empty() {
            let names = some(refused.iter().map(|(spot, why)| format!("{} ({why})", name(spot))));
            return Err(Problem::failed(format!("these moves were not taken back: {names}")));
        }
        let count = moving.len();
        session.print(|| json!({ "cancelled": count }), || format!("took back {count} moves\n"))
    }
}
