//! The nodes and the network between them: does to them what a fault says, and undoes it.

use super::fault::{Fault, How};
use super::net::{End, Net};
use super::node::{Node, PORT, Product};
use std::path::{Path, PathBuf};

pub struct Cluster {
    net: Net,
    nodes: Vec<Node>,
}

impl Cluster {
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Starts so many nodes on empty folders and waits for them.
    pub fn start(nodes: usize, product: &Product, folder: &Path) -> Result<Cluster, String> {
        let net = Net::new(nodes)?;
        let nodes = (1..=nodes).map(|number| Node::new(number, nodes, product, folder)).collect::<Result<_, _>>()?;
        let mut cluster = Cluster { net, nodes };
        cluster.nodes.iter_mut().try_for_each(Node::wait_until_open)?;
        Ok(cluster)
    }

    #[must_use]
    pub fn bootstrap(&self) -> String {
        let address = |number| format!("{}:{PORT}", End::Node(number).address());
        (1..=self.nodes.len()).map(address).collect::<Vec<_>>().join(",")
    }

    fn node(&mut self, number: usize) -> &mut Node {
        &mut self.nodes[number - 1]
    }

    /// A node that ended by itself is the error.
    pub fn check(&mut self) -> Result<(), String> {
        self.nodes.iter_mut().try_for_each(Node::check)
    }

    pub fn strike(&mut self, fault: &Fault) -> Result<(), String> {
        for number in fault.nodes.iter().copied() {
            match fault.how {
                How::Kill => self.node(number).kill(),
                How::Stop => self.node(number).signal("TERM")?,
                How::Pause => self.node(number).signal("STOP")?,
                How::Slow { kbit, .. } => self.net.narrow(number, kbit)?,
                How::Cut | How::CutFromOne { .. } | How::Deaf | How::Mute | How::DeafToOne { .. } => {}
            }
            self.net.lose(&self.ways(fault.how, number), loss(fault.how))?;
        }
        if fault.how == How::Stop {
            self.stopped(fault)?;
        }
        Ok(())
    }

    /// Waits for nodes that were told to stop. The last of a majority has nobody to hand its leaderships to: then it may
    /// take for ever, and is killed.
    fn stopped(&mut self, fault: &Fault) -> Result<(), String> {
        let may_hang = fault.takes_majority(self.nodes.len());
        for number in fault.nodes.iter().copied() {
            self.node(number).wait_stopped().or_else(|what| if may_hang { Ok(()) } else { Err(what) })?;
        }
        Ok(())
    }

    /// Undoes a fault; a node that was down takes connections again when this returns.
    pub fn heal(&mut self, fault: &Fault) -> Result<(), String> {
        for number in fault.nodes.iter().copied() {
            self.net.lose(&self.ways(fault.how, number), 0)?;
            match fault.how {
                How::Kill | How::Stop => self.node(number).spawn()?,
                How::Pause => self.node(number).signal("CONT")?,
                How::Slow { .. } => self.net.widen(number)?,
                How::Cut | How::CutFromOne { .. } | How::Deaf | How::Mute | How::DeafToOne { .. } => {}
            }
        }
        self.nodes.iter_mut().try_for_each(Node::wait_until_open)
    }

    /// The ways on which a fault loses packets.
    fn ways(&self, how: How, number: usize) -> Vec<(End, End)> {
        let node = End::Node(number);
        let others = self.net.others(node).into_iter();
        match how {
            How::Kill | How::Stop | How::Pause => Vec::new(),
            How::Cut | How::Slow { .. } => others.flat_map(|other| [(node, other), (other, node)]).collect(),
            How::Deaf => others.map(|other| (other, node)).collect(),
            How::Mute => others.map(|other| (node, other)).collect(),
            How::CutFromOne { other } => vec![(node, End::Node(other)), (End::Node(other), node)],
            How::DeafToOne { other } => vec![(End::Node(other), node)],
        }
    }

    /// Stops all nodes, one after the other.
    pub fn stop(&mut self) -> Result<(), String> {
        for node in &mut self.nodes {
            node.signal("TERM")?;
        }
        for node in &mut self.nodes {
            // Without the others the last ones may wait for ever.
            let _ = node.wait_stopped();
        }
        match self.nodes.iter().position(Node::panics) {
            Some(index) => Err(format!("n{} says in its log that it panicked", index + 1)),
            None => Ok(()),
        }
    }

    #[must_use]
    pub fn data(&self) -> Vec<PathBuf> {
        self.nodes.iter().map(Node::data).collect()
    }
}

/// How many packets of a hundred a fault loses on its ways.
fn loss(how: How) -> u64 {
    match how {
        How::Kill | How::Stop | How::Pause => 0,
        How::Slow { loss_percent, .. } => loss_percent,
        How::Cut | How::CutFromOne { .. } | How::Deaf | How::Mute | How::DeafToOne { .. } => 100,
    }
}
