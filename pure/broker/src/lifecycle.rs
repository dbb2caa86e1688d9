//! This broker's life in its cluster, on shard 0: it registers, says that it lives, and before it stops it has its
//! leaderships moved away.

use crate::api::{AFTER_KILL, AFTER_POWER_LOSS};
use crate::call::Step;
use crate::checkpoint::NOBODY;
use crate::seam::{Level, Message};
use crate::shard::{Deadline, Shard, replan};
use crate::work::{ControllerWork, Outcome, Work};
use log::Disk;
use metadata::Broker;
use metadata::controller::{Command, Heartbeat, HeartbeatReply, LastStop, Registration, Reply};
use types::{ErrorCode, Instant, Offset, ShardId};

/// How soon a question to the controller that failed is asked again.
const RETRY_MS: u64 = 50;
/// How often a broker that starts or leaves asks whether it may go on.
const IMPATIENT_MS: u64 = 20;
/// How long a broker that is told to stop waits for its leaderships to move away.
const LEAVING_MAX_MS: u64 = 6_000;

pub(crate) struct Lifecycle {
    /// As it registers; its epoch is not yet known.
    pub broker: Broker,
    pub last_stop: LastStop,
    /// Under which it is registered.
    pub epoch: Option<i64>,
    pub fenced: bool,
    pub asking: bool,
    /// There was news while it asked: perhaps it asks by way of one who is not the controller any more, and only a
    /// connection of its own tells the controller of its death at once.
    pub again: bool,
    pub leaving_until: Option<Instant>,
    pub tick_at: Option<Instant>,
    /// It has just joined and does not vote yet.
    pub wants_vote: bool,
    /// How many directories had failed when it last said so.
    pub failures_told: usize,
}

impl Lifecycle {
    pub fn new(broker: Broker, last_stop: LastStop, wants_vote: bool) -> Lifecycle {
        Lifecycle {
            broker,
            last_stop,
            epoch: None,
            fenced: true,
            asking: false,
            again: false,
            leaving_until: None,
            tick_at: None,
            wants_vote,
            failures_told: 0,
        }
    }

    /// A lone node needs nobody to believe in it: it serves from its registration on.
    pub fn registration_alone(&self) -> Registration {
        let broker = Broker { fenced: false, ..self.broker.clone() };
        Registration { broker, last_stop: self.last_stop, replaces_living: false }
    }

    pub fn registered_alone(&mut self, epoch: i64) {
        self.epoch = Some(epoch);
        self.fenced = false;
    }
}

/// What stands in a registration for how the last run ended.
pub(crate) fn previous_epoch(last_stop: LastStop) -> i64 {
    match last_stop {
        LastStop::Clean => 0,
        LastStop::Killed => AFTER_KILL,
        LastStop::PowerLost => AFTER_POWER_LOSS,
    }
}

impl<D: Disk> Shard<D> {
    /// Does what is next in this broker's life, unless an answer is waited for.
    pub(crate) fn tick_lifecycle(&mut self) {
        let Some(life) = &mut self.lifecycle else {
            return;
        };
        if life.asking || self.stopping {
            life.again = true;
            return;
        }
        if life.leaving_until.is_some_and(|until| until <= self.now.at) {
            return self.leave_now();
        }
        if self.office.is_none() {
            return self.tick_lifecycle_in(RETRY_MS);
        }
        (life.asking, life.again) = (true, false);
        life.failures_told = self.failed.len();
        let work = match life.epoch {
            None => ControllerWork::Register { broker: life.broker.clone(), last_stop: life.last_stop },
            Some(epoch) => ControllerWork::Decide(Command::Heartbeat(self.heartbeat(epoch))),
        };
        let step = Step::one(Work::Controller(Box::new(work)), |shard: &mut Shard<D>, outcome| {
            if let Some(life) = &mut shard.lifecycle {
                life.asking = false;
            }
            shard.lifecycle_answered(outcome);
            Step::Silent
        });
        self.run(NOBODY, step);
    }

    fn heartbeat(&self, epoch: i64) -> Heartbeat {
        let applied = self.controlling.as_ref().map_or(Offset::NONE, |controlling| controlling.applied_offset());
        Heartbeat {
            broker: self.node.id,
            epoch,
            metadata_offset: applied,
            // Before it has seen the cluster's metadata it can promise nothing.
            want_fence: !self.image_known,
            want_shutdown: self.lifecycle.as_ref().is_some_and(|life| life.leaving_until.is_some()),
            offline_directories: self.failed_ids(),
            cordoned_directories: None,
            others_know: false,
        }
    }

    fn lifecycle_answered(&mut self, outcome: Outcome<D>) {
        let Some(life) = &mut self.lifecycle else {
            return;
        };
        match outcome {
            Outcome::Controller(Reply::RegisterBroker(Ok(epoch))) => {
                life.epoch = Some(epoch);
                life.fenced = true;
                self.log(Level::Info, format!("registered with the cluster under epoch {epoch}"));
                self.tick_lifecycle_in(0);
            }
            Outcome::Controller(Reply::RegisterBroker(Err(refused))) => {
                let text = format!("the cluster does not take this broker yet: {}: {}", refused.code, refused.message);
                self.log(Level::Warn, text);
                self.tick_lifecycle_in(RETRY_MS * 10);
            }
            Outcome::Controller(Reply::Heartbeat(Ok(reply))) => self.heard_back(reply),
            other => {
                let code = other.into_failure().0;
                if matches!(code, ErrorCode::STALE_BROKER_EPOCH | ErrorCode::BROKER_ID_NOT_REGISTERED) {
                    life.epoch = None;
                    self.log(
                        Level::Warn,
                        format!("the cluster has forgotten this broker ({code}): it registers again"),
                    );
                }
                self.tick_lifecycle_in(RETRY_MS);
            }
        }
    }

    fn heard_back(&mut self, reply: HeartbeatReply) {
        let interval_ms = self.settings.unsigned("broker.heartbeat.interval.ms").max(1);
        let Some(life) = &mut self.lifecycle else {
            return;
        };
        if life.fenced && !reply.is_fenced {
            life.fenced = false;
            self.out.log(Level::Info, "the cluster counts on this broker".to_owned());
        }
        life.fenced = reply.is_fenced;
        let leaving = life.leaving_until.is_some();
        if leaving && reply.should_shut_down {
            return self.leave_now();
        }
        let hurries = leaving || reply.is_fenced || life.again || life.failures_told < self.failed.len();
        let hurries = hurries || self.is_waited_for();
        self.tick_lifecycle_in(if hurries { IMPATIENT_MS } else { interval_ms });
    }

    /// Another broker wants to stop, and may do so once heartbeats have told that everybody knows who leads instead.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.image.brokers().any(|broker| broker.in_controlled_shutdown && !broker.fenced && broker.id != self.node.id)
    }

    /// A directory has failed: who leads there must not wait for the next sign of life.
    pub(crate) fn tell_failure(&mut self) {
        self.tick_lifecycle_in(0);
    }

    pub(crate) fn tick_lifecycle_in(&mut self, ms: u64) {
        let at = self.now.at.plus_ms(ms).max(Instant(self.now.at.0 + 1));
        let Some(life) = &mut self.lifecycle else {
            return;
        };
        replan(&mut self.deadlines, &mut life.tick_at, at, Deadline::Lifecycle);
    }

    /// The operator wants the broker to stop: what it leads moves to others first, where there are any.
    pub(crate) fn stop_asked(&mut self) {
        if self.me != ShardId(0) {
            // Shard 0 says when.
            return;
        }
        let others = self.image.alive_brokers().any(|broker| broker.id != self.node.id)
            && self.settings.values.boolean("controlled.shutdown.enable");
        let now = self.now.at;
        match &mut self.lifecycle {
            Some(life) if others && life.epoch.is_some() && !life.fenced => {
                life.leaving_until.get_or_insert(now.plus_ms(LEAVING_MAX_MS));
                self.tick_lifecycle();
            }
            Some(_) | None => self.leave_now(),
        }
    }

    fn leave_now(&mut self) {
        self.tell_other_shards(|| Message::Stop);
        self.stop();
    }
}
