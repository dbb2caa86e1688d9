//! What a node is told of its cluster: where others reach it, the nodes that a new cluster begins with, or nodes of one
//! to join. Each error names what to change.

use super::address::{self, Address};
use super::{Listener, Options};
use broker::config::Settings;
use broker::types::NodeId;
use std::net::IpAddr;

const VOTERS: &str = "--voters (controller.quorum.voters)";
const JOIN: &str = "--join (controller.quorum.bootstrap.servers)";

/// The listener for other nodes: the flag's, or else the controller's of a configuration as Kafka has it.
pub fn peer(options: &Options, controllers: Vec<Listener>) -> Result<Option<Listener>, String> {
    if let Some(text) = options.peer_listen.as_deref() {
        let address = Address::parse(text).map_err(|wrong| format!("--peer-listen: {wrong}"))?;
        let name = controllers.into_iter().next().map_or_else(|| "CONTROLLER".to_owned(), |listener| listener.name);
        return Ok(Some(Listener { name, address }));
    }
    let mut controllers = controllers.into_iter();
    match (controllers.next(), controllers.next()) {
        (Some(first), Some(second)) => Err(format!(
            "listeners: {} and {} are both in controller.listener.names; leave one there",
            first.name, second.name
        )),
        (first, _) => Ok(first),
    }
}

/// The nodes that a new cluster begins with.
pub fn voters(settings: &Settings) -> Result<Vec<(i32, Address)>, Vec<String>> {
    let mut problems = Vec::new();
    let mut voters: Vec<(i32, Address)> = Vec::new();
    for entry in settings.list("controller.quorum.voters") {
        match address::parse_voter(entry).and_then(|voter| reachable(&voter.1, entry).map(|()| voter)) {
            Ok((id, _)) if id < 0 => problems.push(format!("{VOTERS}: a node's number is not negative, but `{entry}`")),
            Ok((id, _)) if voters.iter().any(|(known, _)| *known == id) => {
                problems.push(format!("{VOTERS} names node {id} twice; give each node a number of its own"));
            }
            Ok((id, address)) => {
                if let Some((other, _)) = voters.iter().find(|(_, known)| *known == address) {
                    problems.push(format!("{VOTERS} names nodes {other} and {id} at one address, {address}"));
                }
                voters.push((id, address));
            }
            Err(wrong) => problems.push(format!("{VOTERS}: {wrong}")),
        }
    }
    let NodeId(me) = settings.node_id();
    match voters.as_slice() {
        [(id, address)] if *id != me => problems.push(format!(
            "{VOTERS} names node {id} alone, but this is node {me} (--node-id); to join its cluster say --join {address}"
        )),
        [_, _, ..] if !settings.is_set("node.id") && !settings.is_set("broker.id") => {
            let ids: Vec<String> = voters.iter().map(|(id, _)| id.to_string()).collect();
            problems.push(format!("{VOTERS} names nodes {}: say with --node-id which of them this is", ids.join(", ")));
        }
        _ => {}
    }
    if problems.is_empty() { Ok(voters) } else { Err(problems) }
}

/// Nodes of a cluster that runs.
pub fn join(settings: &Settings) -> Result<Vec<Address>, Vec<String>> {
    let entries = settings.list("controller.quorum.bootstrap.servers");
    if !entries.is_empty() && !settings.list("controller.quorum.voters").is_empty() {
        return Err(vec![format!(
            "{VOTERS} begins a new cluster and {JOIN} joins one that runs: leave out one of them"
        )]);
    }
    let mut problems = Vec::new();
    let mut join = Vec::new();
    for entry in entries {
        match Address::parse(entry).and_then(|address| reachable(&address, entry).map(|()| address)) {
            Ok(address) => join.push(address),
            Err(wrong) => problems.push(format!("{JOIN}: {wrong}")),
        }
    }
    if problems.is_empty() { Ok(join) } else { Err(problems) }
}

/// Whether an address can be dialed at all.
fn reachable(address: &Address, entry: &str) -> Result<(), String> {
    if address.port == 0 {
        return Err(format!(
            "`{entry}` has port 0, where nobody can be reached; name the port that the node listens at"
        ));
    }
    let is_every = address.host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
    if address.host.is_empty() || is_every {
        return Err(format!("`{entry}` names no host; name the one that other nodes reach it by"));
    }
    Ok(())
}

/// Says where the voters' address of this node is at a port that it does not listen at: right only behind something that
/// forwards it.
pub fn misplaced<'a>(
    settings: &Settings,
    voters: &[(i32, Address)],
    mut listeners: impl Iterator<Item = &'a Listener>,
) -> Option<String> {
    let NodeId(me) = settings.node_id();
    let (_, own) = voters.iter().find(|(id, _)| *id == me)?;
    let listens = listeners.any(|listener| listener.address.port == own.port || listener.address.port == 0);
    (!listens).then(|| {
        format!(
            "{VOTERS} says that this node is at {own}, but it does not listen at port {}: unless something forwards it, \
             add --peer-listen :{}",
            own.port, own.port
        )
    })
}
