//! `vltava doctor`: goes where a client would be told to go, and names the setting at fault where it does not get there.

mod advice;
mod dial;

use crate::health::Health;
use crate::problem::Problem;
use crate::session::{Connection, Session};
use crate::survey::{name, some};
use crate::table::Table;
use advice::{Finding, Weight};
use clap::Args;
use dial::{Dial, dial};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use vltava_client::{Error, NodeId, Overview, Quorum, Spot, Timestamp};

/// No address is waited for longer.
const DIAL_SECONDS_MAX: u64 = 5;
/// Clocks that differ by more make trouble with timestamps, time-outs of transactions and retention.
const SKEW_MS_MAX: i64 = 2000;
/// A voter that has not been heard of for longer is not there.
const SILENCE_MS_MAX: i64 = 10_000;

/// Check that clients reach every broker, and that the cluster is well.
///
/// Asks a broker for the addresses of all brokers, as every client does first, and dials each of them from here: name,
/// port, protocol, and who answers there.
#[derive(Debug, Args)]
#[command(after_help = "It tells what a client sees from this machine: run it where the clients run.

Examples:
  vltava doctor --bootstrap kafka.example.com:9092
  vltava doctor --json")]
pub struct Doctor {
    #[command(flatten)]
    connection: Connection,
}

/// All that was seen.
#[derive(Default)]
struct Report {
    /// The addresses that were given.
    asked: Vec<Dial>,
    overview: Option<Overview>,
    quorum: Option<Quorum>,
    brokers: BTreeMap<NodeId, Dial>,
    findings: Vec<Finding>,
}

impl Doctor {
    pub fn run(mut self) -> Result<(), Problem> {
        self.connection.gather()?;
        let config = self.connection.config("vltava-doctor", 1000, self.connection.options.clone());
        let config = config.map_err(|error| Problem::of("reading options", &self.connection.bootstrap, &error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.examine(config.options.bootstrap))
    }

    async fn examine(self, addresses: Vec<(String, u16)>) -> Result<(), Problem> {
        let patience = Duration::from_secs(self.connection.timeout.min(DIAL_SECONDS_MAX));
        let mut report = Report::default();
        for (host, port) in addresses {
            report.asked.push(dial(&self.connection, (&host, port), None, patience).await);
        }
        report.findings.extend(report.asked.iter().filter_map(advice::of_bootstrap));
        let client = report.asked.iter_mut().find_map(|dial| dial.client.take());
        if let Some(client) = client {
            let session = Session { client, connection: self.connection.clone() };
            report.look(&session, patience).await?;
        }
        let text = if self.connection.json { format!("{}\n", report.json()) } else { report.text() };
        crate::session::write_out(text)?;
        match report.problems() {
            0 => Ok(()),
            1 => Err(Problem::failed("1 problem was found")),
            count => Err(Problem::failed(format!("{count} problems were found"))),
        }
    }
}

impl Report {
    async fn look(&mut self, session: &Session, patience: Duration) -> Result<(), Problem> {
        let doing = || session.while_doing("asking who the brokers are");
        let overview = session.client.overview().await.map_err(doing())?;
        let roster = session.client.roster().await.map_err(doing())?;
        for broker in &overview.brokers {
            let dial = dial(&session.connection, (&broker.host, broker.port), Some(broker.node), patience).await;
            let first = self.asked.iter().find(|asked| asked.failure().is_none());
            self.findings.extend(advice::of_broker(broker.node, &dial, first, overview.cluster_id.as_deref()));
            self.brokers.insert(broker.node, dial);
        }
        for registered in &roster.brokers {
            let node = registered.broker.node;
            if registered.is_fenced || !overview.brokers.iter().any(|broker| broker.node == node) {
                let what = "it is fenced: it sends no heartbeats to the controller, or has not caught up yet";
                let fix = "start it, or see its log; `vltava broker unregister` forgets one that is gone for good";
                self.findings.push(Finding::problem(format!("broker {node}"), what).fix(fix));
            }
        }
        self.quorum(session, &overview).await;
        // What cannot be asked while brokers are away is no finding of its own.
        if let Ok(health) = Health::of(session, &overview).await {
            self.health(&health);
        }
        self.overview = Some(overview);
        Ok(())
    }

    async fn quorum(&mut self, session: &Session, overview: &Overview) {
        let before = session.client.wall();
        let quorum = match session.client.quorum().await {
            Ok(quorum) => quorum,
            Err(Error::Unsupported) => {
                if overview.controller.is_none() {
                    self.findings.push(no_controller());
                }
                return;
            }
            Err(error) => {
                let finding = Finding::problem("the controller", format!("it does not answer: {error}"));
                let fix = "see the logs of the nodes that vote: too few of them may be up";
                return self.findings.push(finding.fix(fix));
            }
        };
        if quorum.leader.is_none() {
            self.findings.push(no_controller());
        }
        self.clocks(&quorum, before, session.client.wall());
        self.quorum = Some(quorum);
    }

    /// The leader says of itself when it answered, and of the others when it last heard of them.
    fn clocks(&mut self, quorum: &Quorum, before: Timestamp, after: Timestamp) {
        let leader = quorum.voters.iter().find(|voter| Some(voter.node) == quorum.leader);
        let Some((leader, now)) = leader.and_then(|leader| Some((leader.node, leader.last_fetch?))) else { return };
        let skew_ms = if now < before { now.0 - before.0 } else { (now.0 - after.0).max(0) };
        if skew_ms.abs() > SKEW_MS_MAX {
            let side = if skew_ms > 0 { "ahead of" } else { "behind" };
            let what = format!("its clock is {:.1} s {side} this machine's", skew_ms.abs() as f64 / 1000.0);
            let fix = "set both by NTP: records' timestamps and retention go by these clocks";
            self.findings.push(Finding::problem(format!("controller {leader}"), what).fix(fix));
        }
        for voter in quorum.voters.iter().filter(|voter| voter.node != leader) {
            let silence_ms = voter.last_fetch.map(|at| now.0.saturating_sub(at.0));
            if silence_ms.is_none_or(|silence_ms| silence_ms > SILENCE_MS_MAX) {
                let since = silence_ms.map_or("at all".to_owned(), |ms| format!("for {} s", ms / 1000));
                let what = format!("it votes on the metadata, and has not fetched any {since}");
                let fix = "start it, or take its vote away with `vltava cluster remove-voter`";
                self.findings.push(Finding::problem(format!("node {}", voter.node), what).fix(fix));
            }
        }
    }

    fn health(&mut self, health: &Health) {
        let ailments = [
            (&health.leaderless, "have no leader: they can be neither written nor read"),
            (&health.under_min_isr, "have fewer replicas in sync than min.insync.replicas: acks=all is refused"),
            (&health.under_replicated, "are under-replicated: some replicas are not in sync"),
        ];
        for (spots, what) in ailments {
            if !spots.is_empty() {
                let names = some(spots.iter().map(|spot: &Spot| name(spot)));
                let what = format!("{} of {} {what}: {names}", spots.len(), health.partitions);
                let fix = "`vltava cluster describe` shows which brokers are away or behind";
                self.findings.push(Finding::problem("partitions", what).fix(fix));
            }
        }
    }

    fn problems(&self) -> usize {
        self.findings.iter().filter(|finding| finding.weight == Weight::Problem).count()
    }

    fn json(&self) -> Value {
        let cluster = self.overview.as_ref().and_then(|overview| overview.cluster_id.as_ref());
        let broker = |(node, dial): (&NodeId, &Dial)| {
            let mut value = dial.json();
            value["broker"] = json!(node.0);
            value
        };
        json!({
            "healthy": self.problems() == 0,
            "cluster": cluster.map(ToString::to_string),
            "bootstrap": self.asked.iter().map(Dial::json).collect::<Value>(),
            "brokers": self.brokers.iter().map(broker).collect::<Value>(),
            "findings": self.findings.iter().map(Finding::json).collect::<Value>(),
        })
    }

    fn text(&self) -> String {
        let mut table = Table::new("dialed, address, >name, >connect, >answer, result");
        let rows = self.asked.iter().map(|dial| ("bootstrap".to_owned(), dial));
        let rows = rows.chain(self.brokers.iter().map(|(node, dial)| (format!("broker {node}"), dial)));
        for (who, dial) in rows {
            let [name, connect, answer] = dial.timings();
            let result = dial.failure().map_or("ok", |failure| failure.word());
            table.row(json!([who, dial.address(), name, connect, answer, result]));
        }
        let mut text = table.to_string();
        if let Some(cluster) = self.overview.as_ref().and_then(|overview| overview.cluster_id.as_ref()) {
            text = format!("cluster {cluster}\n\n{text}");
        }
        text.push('\n');
        self.findings.iter().for_each(|finding| text.push_str(&finding.text()));
        if self.findings.is_empty() {
            text.push_str("all is well\n");
        }
        text
    }
}

fn no_controller() -> Finding {
    let fix = "more than half of the nodes that vote must be up and reach each other: see their logs";
    Finding::problem("the controller", "there is none: nothing in the cluster can be changed").fix(fix)
}
