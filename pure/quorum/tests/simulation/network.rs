//! Messages on their way.

use quorum::{Request, Response};
use std::collections::BTreeSet;
use types::{NodeId, Rng};

/// One run of one node.
pub type Place = (NodeId, u64);

#[derive(Clone)]
pub enum Message {
    /// The token is the network's own.
    Request {
        token: u64,
        request: Request,
    },
    Response {
        token: u64,
        response: Response,
    },
    Failed {
        token: u64,
    },
    LinkClosed {
        node: NodeId,
    },
}

pub struct Network {
    /// One of so many messages is lost; 0 loses none.
    pub loss: u64,
    pub repeats: u64,
    pub delay_us_max: u64,
    /// Nothing comes from the first to the second.
    pub cut: BTreeSet<(NodeId, NodeId)>,
}

impl Network {
    pub fn new() -> Network {
        Network { loss: 0, repeats: 0, delay_us_max: 1000, cut: BTreeSet::new() }
    }

    /// When a message arrives: never, once or twice. In microseconds from now.
    pub fn arrivals(&self, rng: &mut Rng, from: NodeId, to: NodeId) -> Vec<u64> {
        if self.cut.contains(&(from, to)) || self.loss > 0 && rng.one_in(self.loss) {
            return Vec::new();
        }
        let mut arrivals = vec![100 + rng.below(self.delay_us_max)];
        if self.repeats > 0 && rng.one_in(self.repeats) {
            arrivals.push(100 + rng.below(self.delay_us_max * 20));
        }
        arrivals
    }
}
