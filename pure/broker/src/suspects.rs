//! Brokers that may be dead: the connection of their heartbeats closed, or the node that was the controller is gone.
//!
//! A killed process closes its connections at once, long before its session runs out. So the controller asks such a
//! broker whether it lives, and fences it where it cannot be reached. A false alarm costs a move of leaderships and
//! nothing else: a fenced leader cannot commit anything, because the others of its ISR follow a newer leader epoch, and
//! its next heartbeat makes it a broker like any other again.
//!
//! Until the controller has spoken, a broker names none as leader to clients to whom its own connection has just ended.

use crate::peers::{Lane, Question};
use crate::seam::{ConnId, Level, Message, Output};
use crate::shard::Shard;
use log::Disk;
use metadata::Image;
use types::{NodeId, ShardId};
use wire::ApiVersionsRequest;

/// How long a suspect may take to say anything.
const ANSWER_MS: u64 = 800;
/// How long a broker is doubted at most: long enough for an election of the quorum and of the partitions' leaders.
const DOUBT_MS: u64 = 500;
/// How long clients are told of a broker after it was fenced or began to leave. One that librdkafka misses in an answer
/// is torn down at once, and the partitions that move away from it in the same answer then wait for a timer of a second.
const KNOWN_MS: u64 = 2000;

impl<D: Disk> Shard<D> {
    /// This connection carries the heartbeats of a broker.
    pub(crate) fn note_heartbeat(&mut self, connection: ConnId, broker: NodeId, epoch: i64) {
        let is_known = self.image.broker(broker).is_some();
        if let Some(session) = self.sessions.get_mut(&connection).filter(|_| is_known) {
            session.heartbeats.insert(broker, epoch);
        }
    }

    /// A connection that carried heartbeats is closed.
    pub(crate) fn heartbeats_ended(&mut self, broker: NodeId, epoch: i64) {
        if !self.is_active_controller() || self.stopping {
            return;
        }
        if self.me == ShardId(0) {
            self.heartbeats_lost(broker, epoch);
        } else {
            self.out.push(Output::ToShard { to: ShardId(0), message: Message::Suspect { broker, epoch } });
        }
    }

    /// A connection to or from a broker that worked has ended, on this shard. Clients lost theirs in the same moment
    /// and ask who leads now. One that is told of the dead leader once more may not ask again for two seconds; one that
    /// is told of none asks again sooner.
    pub(crate) fn doubt(&mut self, broker: NodeId) {
        self.tell_other_shards(|| Message::Doubt { broker });
        self.note_doubt(broker);
    }

    pub(crate) fn note_doubt(&mut self, broker: NodeId) {
        self.doubted.insert(broker, self.now.at.plus_ms(DOUBT_MS));
    }

    pub(crate) fn is_doubted(&self, broker: NodeId) -> bool {
        self.doubted.get(&broker).is_some_and(|until| self.now.at < *until)
    }

    /// A broker has changed in the image, which was `before`.
    pub(crate) fn note_leaving(&mut self, broker: NodeId, before: &Image) {
        let was_alive = before.broker(broker).is_some_and(metadata::Broker::is_alive);
        if was_alive && self.image.broker(broker).is_some_and(|broker| !broker.is_alive()) {
            self.left.insert(broker, self.now.at.plus_ms(KNOWN_MS));
            if self.is_waited_for() {
                self.tick_lifecycle_in(0);
            }
        }
    }

    pub(crate) fn left_lately(&self, broker: NodeId) -> bool {
        self.left.get(&broker).is_some_and(|until| self.now.at < *until)
    }

    pub(crate) fn heartbeats_lost(&mut self, broker: NodeId, epoch: i64) {
        if let Some(active) = self.controlling.as_mut().and_then(|controlling| controlling.active.as_mut()) {
            active.lost.insert(broker);
        }
        self.doubt(broker);
        self.suspect(broker, epoch);
    }

    /// A new controller has heard of nobody yet.
    pub(crate) fn suspect_all(&mut self) {
        let Some(controlling) = &self.controlling else {
            return;
        };
        let others = controlling.image().brokers().filter(|broker| !broker.fenced && broker.id != self.node.id);
        let others: Vec<(NodeId, i64)> = others.map(|broker| (broker.id, broker.epoch)).collect();
        for (broker, epoch) in others {
            self.suspect(broker, epoch);
        }
    }

    /// Asks a broker whether it lives; fences it where it does not say so and has not been heard of since.
    pub(crate) fn suspect(&mut self, broker: NodeId, epoch: i64) {
        let since = self.now.at;
        let Some(controlling) = &self.controlling else {
            return;
        };
        let known = controlling.image().broker(broker).filter(|known| known.epoch == epoch && !known.fenced);
        let Some(endpoint) = known.and_then(|known| known.endpoints.first()) else {
            return;
        };
        let to = crate::peers::Address { host: endpoint.host.clone(), port: endpoint.port };
        let request = ApiVersionsRequest::default();
        let at = to.clone();
        let question = Question { to: &at, lane: Lane::Probe, version: 0, request: &request, timeout_ms: ANSWER_MS };
        self.ask_peer(&question, move |shard, answer| {
            let Err(why) = answer else {
                return shard.hang_up(Lane::Probe, &to);
            };
            let heard = shard
                .controlling
                .as_ref()
                .and_then(|controlling| controlling.active.as_ref()?.heard.get(&broker).copied());
            if heard.is_none_or(|heard| heard <= since) {
                shard.log(Level::Warn, format!("broker {broker} is gone ({why}): it is fenced"));
                shard.fence(broker, epoch);
            }
        });
    }
}
