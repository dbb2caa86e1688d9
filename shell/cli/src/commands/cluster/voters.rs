//! `vltava cluster add-voter` and `remove-voter`: who votes on the cluster's metadata.

use crate::problem::Problem;
use crate::session::{Session, Trial};
use clap::Args;
use serde_json::json;
use vltava_client::{Error, ErrorCode, NodeId, Quorum, QuorumReplica, Roster, Text, Uuid, VoterListener};

/// Let a node vote on the cluster's metadata that follows it already.
#[derive(Debug, Args)]
#[command(after_help = "A quorum wants an odd number of voters: three bear the loss of one, five of two.

Examples:
  vltava cluster add-voter 2
  vltava cluster add-voter 4 --host 10.0.0.4:9093 --listener CONTROLLER")]
pub struct AddVoter {
    #[arg(value_name = "ID")]
    node: i32,
    /// Where the other voters reach it [the address that it tells clients]
    #[arg(long, value_name = "HOST:PORT")]
    host: Option<String>,
    /// Name of the listener at that address [that of the other voters]
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Id of its directory, where it is not yet seen to follow [as the cluster knows it]
    #[arg(long, value_name = "ID", value_parser = directory)]
    directory: Option<Uuid>,
}

/// Take a node's vote on the cluster's metadata away; it goes on as an observer.
#[derive(Debug, Args)]
pub struct RemoveVoter {
    #[arg(value_name = "ID")]
    node: i32,
    /// Id of its directory, where several vote under this id [as the cluster knows it]
    #[arg(long, value_name = "ID", value_parser = directory)]
    directory: Option<Uuid>,
    #[command(flatten)]
    trial: Trial,
}

fn directory(text: &str) -> Result<Uuid, String> {
    Uuid::parse(text).ok_or_else(|| "give it as `vltava cluster describe` shows it".to_owned())
}

impl AddVoter {
    pub async fn run(&self, session: &Session) -> Result<(), Problem> {
        let node = NodeId(self.node);
        let quorum = quorum(session).await?;
        let directory = match self.directory {
            Some(directory) => directory,
            None => self.follower(&quorum)?.directory,
        };
        let listener = self.listener(session, &quorum).await?;
        let (name, address) = (listener.name.to_string(), format!("{}:{}", listener.host, listener.port));
        let added = session.client.add_voter(node, directory, vec![listener]).await;
        added.map_err(|error| explain(session, &format!("letting node {node} vote"), directory, &error))?;
        session.print(
            || json!({ "node": node.0, "directory": directory.to_string(), "address": address, "voter": true }),
            || format!("node {node} votes now, and is reached at {address} ({name})\n"),
        )
    }

    /// The node among those that follow.
    fn follower<'q>(&self, quorum: &'q Quorum) -> Result<&'q QuorumReplica, Problem> {
        let node = NodeId(self.node);
        if quorum.voters.iter().any(|voter| voter.node == node) {
            return Err(Problem::failed(format!("node {node} votes already")));
        }
        let mut found = quorum.observers.iter().filter(|observer| observer.node == node);
        let Some(first) = found.next() else {
            return Err(Problem::missing(format!(
                "node {node} does not follow the cluster's metadata: start it so that it joins this cluster, and try again"
            )));
        };
        // A node whose folder was emptied follows under a new directory; the old one goes away after a while.
        if found.next().is_some() {
            return Err(Problem::usage(format!(
                "node {node} follows under several directories: say with --directory which of them \
                 (`vltava cluster describe`)"
            )));
        }
        Ok(first)
    }

    async fn listener(&self, session: &Session, quorum: &Quorum) -> Result<VoterListener, Problem> {
        let theirs = quorum.listeners.values().flatten().next();
        let name = match (&self.listener, theirs) {
            (Some(name), _) => Text::from(name.as_str()),
            (None, Some(theirs)) => theirs.name.clone(),
            (None, None) => Text::from_static("CONTROLLER"),
        };
        if let Some(given) = &self.host {
            let parsed = vltava_client::addresses(given).ok().filter(|parsed| parsed.len() == 1);
            let Some((host, port)) = parsed.and_then(|parsed| parsed.into_iter().next()) else {
                return Err(Problem::usage(format!("--host `{given}` is no address: give HOST:PORT")));
            };
            return Ok(VoterListener { name, host: Text::from(host.as_str()), port });
        }
        let roster = session.ask("asking where the node is", session.client.roster()).await?;
        let known = roster.brokers.iter().find(|registered| registered.broker.node.0 == self.node);
        let Some(known) = known.filter(|registered| !registered.broker.host.is_empty()) else {
            let node = self.node;
            return Err(Problem::usage(format!(
                "node {node} is no broker whose address is known: give --host HOST:PORT"
            )));
        };
        if !share_addresses(quorum, &roster) {
            return Err(Problem::usage(format!(
                "the voters of this cluster are reached at other addresses than clients are told: give --host HOST:PORT \
                 with that of node {}'s controller",
                self.node
            )));
        }
        Ok(VoterListener { name, host: Text::from(known.broker.host.as_str()), port: known.broker.port })
    }
}

/// Whether voters reach each other where clients reach them. A cluster takes up a voter under a client's address too, and
/// then cannot reach it as a voter.
fn share_addresses(quorum: &Quorum, roster: &Roster) -> bool {
    let is_client_address = |node: &NodeId, listener: &VoterListener| {
        let broker = roster.brokers.iter().map(|registered| &registered.broker).find(|broker| broker.node == *node);
        broker.is_none_or(|broker| (&*listener.host, listener.port) == (broker.host.as_str(), broker.port))
    };
    let mut voters = quorum.listeners.iter();
    !quorum.listeners.is_empty()
        && voters.all(|(node, listeners)| listeners.iter().any(|listener| is_client_address(node, listener)))
}

impl RemoveVoter {
    pub async fn run(&self, session: &Session) -> Result<(), Problem> {
        let node = NodeId(self.node);
        let quorum = quorum(session).await?;
        let voters: Vec<&QuorumReplica> = quorum.voters.iter().filter(|voter| voter.node == node).collect();
        let directory = match (self.directory, voters.as_slice()) {
            (Some(directory), _) => directory,
            (None, [voter]) => voter.directory,
            (None, []) => {
                let names: Vec<String> = quorum.voters.iter().map(|voter| voter.node.to_string()).collect();
                let message = format!("node {node} does not vote: those that do are {}", names.join(", "));
                return Err(Problem::missing(message));
            }
            (None, _) => {
                return Err(Problem::usage(format!(
                    "several directories vote as node {node}: say which with --directory"
                )));
            }
        };
        if quorum.voters.len() == 1 {
            return Err(Problem::failed(format!("node {node} is the only one that votes: let another vote first")));
        }
        if !self.trial.dry_run {
            let removed = session.client.remove_voter(node, directory).await;
            let doing = format!("taking the vote of node {node} away");
            removed.map_err(|error| explain(session, &doing, directory, &error))?;
        }
        let json = json!({ "node": node.0, "directory": directory.to_string() });
        session.did(self.trial, ["remove", "removed"], &format!("the vote of node {node}"), json)
    }
}

async fn quorum(session: &Session) -> Result<Quorum, Problem> {
    session.client.quorum().await.map_err(session.while_doing("asking who votes on the metadata"))
}

/// Says what to do where the cluster's words do not.
fn explain(session: &Session, doing: &str, directory: Uuid, error: &Error) -> Problem {
    let mut problem = session.while_doing(doing)(error.clone());
    // Where directories are unknown the quorum is the one that each node's settings list.
    if error.code().is_some() && (directory.is_zero() || error.code() == Some(ErrorCode::UNSUPPORTED_VERSION)) {
        problem.message.push_str("; where controller.quorum.voters fixes the voters, raise kraft.version to 1 first");
    }
    problem
}
