//! `vltava broker`: which brokers there are, what lies on them, emptying one, and forgetting one.

mod log_dirs;

use super::moving::{Moving, Plan, notes};
use crate::plan::{Cramped, Move, drain};
use crate::problem::Problem;
use crate::session::{Session, Trial};
use crate::survey::{Survey, some};
use crate::table::Table;
use clap::Args;
use serde_json::json;
use vltava_client::{NodeId, Registered};

actions! {
    /// List brokers and what lies on them, drain and forget brokers.
    Broker {
        List(List),
        LogDirs(log_dirs::LogDirs),
        MoveReplicas(log_dirs::MoveReplicas),
        Drain(Drain),
        Unregister(Unregister),
    }
}

/// List brokers, and how much each has and leads.
#[derive(Debug, Args)]
struct List;

/// Move every replica and leadership of a broker to the others.
#[derive(Debug, Args)]
#[command(
    after_help = "Racks are respected, and the brokers that stay get an even share. Ctrl-C begins no further move and leaves \
those that are under way; the same command goes on later. New topics may still be placed on the broker until it stops.

Examples:
  vltava broker drain 3 --dry-run
  vltava broker drain 3 --throttle 50MB/s"
)]
struct Drain {
    #[arg(value_name = "ID")]
    broker: i32,
    /// Where all other brokers have a partition already, keep one replica less of it
    #[arg(long)]
    allow_fewer_replicas: bool,
    #[command(flatten)]
    moving: Moving,
}

/// Forget a broker that will not come back; it must be gone and hold no replica.
#[derive(Debug, Args)]
struct Unregister {
    #[arg(value_name = "ID")]
    broker: i32,
    #[command(flatten)]
    trial: Trial,
}

impl List {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let survey = Survey::take(session).await?;
        session.show(&table(&survey), "there are no brokers")
    }
}

/// The brokers.
pub fn table(survey: &Survey) -> Table {
    let columns = ">broker, +ADDRESS, -host, -port, rack, state, >replicas, >leaders, #size_bytes";
    let mut table = Table::new(columns);
    for registered in &survey.roster.brokers {
        let broker = &registered.broker;
        let (replicas, leaders, bytes) = survey.share(broker.node);
        let is_known = survey.living().contains(&broker.node) && !survey.silent.contains(&broker.node);
        let address = if broker.host.is_empty() { String::new() } else { format!("{}:{}", broker.host, broker.port) };
        let (rack, bytes) = (broker.rack.as_deref(), is_known.then_some(bytes));
        let (id, state) = (broker.node.0, state(survey, registered));
        table.row(json!([id, address, broker.host, broker.port, rack, state, replicas, leaders, bytes]));
    }
    table
}

fn state(survey: &Survey, registered: &Registered) -> &'static str {
    if registered.is_fenced || !survey.living().contains(&registered.broker.node) { "fenced" } else { "alive" }
}

impl Drain {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let survey = Survey::take(session).await?;
        let leaving = NodeId(self.broker);
        known(&survey, leaving)?;
        if survey.living().iter().all(|node| *node == leaving) {
            return Err(Problem::failed(format!(
                "there is no other broker that is alive and could take what broker {leaving} has: start one first"
            )));
        }
        let (moves, cramped) = drain(&survey.plannable(), self.broker);
        let mut notes = notes(&survey);
        if !cramped.is_empty() {
            self.permit(&moves, &cramped, &mut notes)?;
        }
        let again = format!("vltava broker drain {leaving}");
        let again = if self.allow_fewer_replicas { format!("{again} --allow-fewer-replicas") } else { again };
        let plan = Plan { title: format!("drain broker {leaving}"), moves, elect: vec![], notes, again };
        plan.run(session, &survey, &self.moving).await?;
        if !self.moving.is_dry_run() { self.leftovers(session).await } else { Ok(()) }
    }

    /// Whether a replica less is what is wanted.
    fn permit(&self, moves: &[Move], cramped: &[Cramped], notes: &mut Vec<String>) -> Result<(), Problem> {
        debug_assert!(moves.len() >= cramped.iter().filter(|known| !known.left.is_empty()).count());
        let names = some(cramped.iter().map(|known| format!("{}-{}", known.topic, known.index)));
        let count = cramped.len();
        if !self.allow_fewer_replicas {
            return Err(Problem::failed(format!(
                "{count} partitions have a replica on every broker that is alive, so that none could take that of broker \
                 {}: {names}; start another broker first, or give --allow-fewer-replicas to keep one replica less of them",
                self.broker
            )));
        }
        notes.push(format!("of {count} partitions there will be one replica less: {names}"));
        Ok(())
    }

    /// What came to the broker, or stayed there, while it was drained.
    async fn leftovers(&self, session: &Session) -> Result<(), Problem> {
        let survey = Survey::take(session).await?;
        let leaving = NodeId(self.broker);
        let here = survey.partitions().filter(|(_, _, known)| known.replicas.contains(&leaving));
        let here: Vec<String> = here.map(|(spot, _, _)| crate::survey::name(&spot)).collect();
        if here.is_empty() {
            let votes =
                session.client.quorum().await.is_ok_and(|quorum| {
                    quorum.voters.len() > 1 && quorum.voters.iter().any(|voter| voter.node == leaving)
                });
            if votes {
                eprintln!(
                    "broker {leaving} is empty, and still votes on the cluster's metadata: before it goes for good, \
                     `vltava cluster remove-voter {leaving}`"
                );
            }
            return Ok(());
        }
        let why = if survey.leaderless().iter().any(|spot| here.contains(&crate::survey::name(spot))) {
            format!("those without a leader lie nowhere else that is alive: start broker {leaving} again to save them")
        } else {
            "run the command once more".to_owned()
        };
        let (count, names) = (here.len(), some(here.into_iter()));
        Err(Problem::failed(format!("broker {leaving} still has {count} replicas: {names}; {why}")))
    }
}

impl Unregister {
    async fn run(&self, session: &Session) -> Result<(), Problem> {
        let survey = Survey::take(session).await?;
        let node = NodeId(self.broker);
        known(&survey, node)?;
        if survey.living().contains(&node) {
            return Err(Problem::failed(format!("broker {node} is alive, and would register again: stop it first")));
        }
        let (replicas, _, _) = survey.share(node);
        if replicas > 0 {
            return Err(Problem::failed(format!(
                "broker {node} still has {replicas} replicas: `vltava broker drain {node}` puts them elsewhere"
            )));
        }
        if !self.trial.dry_run {
            session.ask(format!("forgetting broker {node}"), session.client.unregister_broker(node)).await?;
        }
        session.did(self.trial, ["forget", "unregistered"], &format!("broker {node}"), json!({ "broker": node.0 }))
    }
}

/// Refuses a broker of which nobody knows.
fn known(survey: &Survey, node: NodeId) -> Result<(), Problem> {
    let known = survey.known();
    if known.contains(&node) {
        return Ok(());
    }
    let names: Vec<String> = known.iter().map(NodeId::to_string).collect();
    Err(Problem::missing(format!("there is no broker {node}: the cluster has {}", names.join(", "))))
}
