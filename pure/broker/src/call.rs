//! How a request waits: for one answer from each of its works, or for the first of them.
//!
//! A request is started by its file in `api/`, which returns a `Step`. A step that is a `Call` names works (each owned
//! by one shard) and what to do with their outcomes, which is a step again. Works of this shard run at once; those of
//! others go over as one message for each shard. Nothing here knows what a work means.

use crate::seam::{ConnId, Frame, Message, Output};
use crate::shard::Shard;
use crate::work::{CallId, Outcome, Work};
use log::Disk;
use std::collections::BTreeMap;
use types::{Instant, ShardId};

/// The place of one request in its connection's order of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId {
    pub connection: ConnId,
    pub number: u64,
}

/// What is next for a request.
pub(crate) enum Step<D: Disk> {
    Reply(Frame<D::File>),
    /// Done, and the client expects no answer (acks=0).
    Silent,
    /// The request cannot be answered: close the connection, for this reason.
    Close(String),
    Call(Call<D>),
}

pub(crate) type Then<D> = Box<dyn FnOnce(&mut Shard<D>, Vec<Outcome<D>>) -> Step<D> + Send>;

pub(crate) struct Call<D: Disk> {
    pub works: Vec<Work>,
    pub until: Until,
    /// Gets one outcome for each work, in their order; `Outcome::Pending` for those that were not waited for.
    pub then: Then<D>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Every work has its outcome.
    All,
    /// One work has its outcome, or the time has come.
    First(Instant),
}

impl<D: Disk> Step<D> {
    /// Waits for all works, then goes on.
    pub fn all(
        works: Vec<Work>,
        then: impl FnOnce(&mut Shard<D>, Vec<Outcome<D>>) -> Step<D> + Send + 'static,
    ) -> Step<D> {
        Step::Call(Call { works, until: Until::All, then: Box::new(then) })
    }

    /// Waits for one work, then goes on.
    pub fn one(work: Work, then: impl FnOnce(&mut Shard<D>, Outcome<D>) -> Step<D> + Send + 'static) -> Step<D> {
        Step::all(vec![work], move |shard, outcomes| {
            then(shard, outcomes.into_iter().next().expect("one work has one outcome"))
        })
    }
}

/// Whom a work's outcome belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    pub shard: ShardId,
    pub call: CallId,
    pub index: u32,
}

/// A request that waits.
pub(crate) struct Pending<D: Disk> {
    slot: SlotId,
    outcomes: Vec<Outcome<D>>,
    missing: usize,
    until: Until,
    then: Then<D>,
    /// Other shards that still work for it.
    remote: Vec<ShardId>,
}

impl<D: Disk> Shard<D> {
    /// Carries a request on until it is answered or must wait.
    pub(crate) fn run(&mut self, slot: SlotId, mut step: Step<D>) {
        loop {
            match step {
                Step::Reply(frame) => return self.answer(slot, Some(frame)),
                Step::Silent => return self.answer(slot, None),
                Step::Close(reason) => return self.drop_connection(slot.connection, Some(reason)),
                Step::Call(call) => match self.begin(slot, call) {
                    Some(next) => step = next,
                    None => return,
                },
            }
        }
    }

    /// Starts the works of a call; the next step where none of them has to wait.
    fn begin(&mut self, slot: SlotId, call: Call<D>) -> Option<Step<D>> {
        let id = self.next_call();
        let mut outcomes = Vec::with_capacity(call.works.len());
        let mut missing = 0;
        let mut remote: BTreeMap<ShardId, Vec<(u32, Work)>> = BTreeMap::new();
        for (index, work) in (0..).zip(call.works) {
            let owner = self.owner(&work);
            let outcome = if owner == self.me {
                self.perform(work, ReplyTo { shard: self.me, call: id, index })
            } else {
                remote.entry(owner).or_default().push((index, work));
                None
            };
            missing += usize::from(outcome.is_none());
            outcomes.push(outcome.unwrap_or(Outcome::Pending));
        }
        let ready = match call.until {
            Until::All => missing == 0,
            Until::First(_) => outcomes.is_empty() || missing < outcomes.len(),
        };
        if ready {
            if missing > 0 {
                self.forget_waits(id);
            }
            return Some((call.then)(self, outcomes));
        }
        let shards = remote.keys().copied().collect();
        for (to, works) in remote {
            self.out.push(Output::ToShard { to, message: Message::Call { call: id, works } });
        }
        if let Until::First(deadline) = call.until {
            self.deadlines.insert((deadline, crate::shard::Deadline::Call(id)));
        }
        self.pending
            .insert(id, Pending { slot, outcomes, missing, until: call.until, then: call.then, remote: shards });
        self.slot_waits_for(slot, id);
        None
    }

    /// An outcome of a work that this shard waited for, or did for another.
    pub(crate) fn deliver(&mut self, to: ReplyTo, outcome: Outcome<D>) {
        if to.shard != self.me {
            let outcomes = vec![(to.index, outcome)];
            self.out.push(Output::ToShard { to: to.shard, message: Message::Return { call: to.call, outcomes } });
            return;
        }
        let Some(pending) = self.pending.get_mut(&to.call) else {
            return;
        };
        let place = &mut pending.outcomes[to.index as usize];
        if matches!(place, Outcome::Pending) {
            pending.missing -= 1;
        }
        *place = outcome;
        if pending.missing == 0 || pending.until != Until::All {
            self.finish(to.call);
        }
    }

    /// The time of a call that waited for its first outcome has come, or it has all it waited for.
    pub(crate) fn finish(&mut self, id: CallId) {
        let Some(pending) = self.pending.remove(&id) else {
            return;
        };
        self.end_waits(id, &pending);
        if pending.outcomes.iter().any(Outcome::lost_controller) && self.ask_next_controller(pending.slot) {
            return;
        }
        let step = (pending.then)(self, pending.outcomes);
        self.run(pending.slot, step);
    }

    /// The connection of a waiting request is gone: nothing waits for it any longer.
    pub(crate) fn abandon(&mut self, id: CallId) {
        if let Some(pending) = self.pending.remove(&id) {
            self.end_waits(id, &pending);
        }
    }

    fn end_waits(&mut self, id: CallId, pending: &Pending<D>) {
        if let Until::First(deadline) = pending.until {
            self.deadlines.remove(&(deadline, crate::shard::Deadline::Call(id)));
        }
        if pending.missing > 0 {
            self.forget_waits(id);
            for to in &pending.remote {
                self.out.push(Output::ToShard { to: *to, message: Message::Cancel { call: id } });
            }
        }
    }

    /// Another shard asks for works of this one.
    pub(crate) fn serve(&mut self, from: ShardId, call: CallId, works: Vec<(u32, Work)>) {
        let mut outcomes = Vec::with_capacity(works.len());
        for (index, work) in works {
            if let Some(outcome) = self.perform(work, ReplyTo { shard: from, call, index }) {
                outcomes.push((index, outcome));
            }
        }
        if !outcomes.is_empty() {
            self.out.push(Output::ToShard { to: from, message: Message::Return { call, outcomes } });
        }
    }

    /// Another shard has done works for a call of this one.
    pub(crate) fn returned(&mut self, call: CallId, outcomes: Vec<(u32, Outcome<D>)>) {
        for (index, outcome) in outcomes {
            self.deliver(ReplyTo { shard: self.me, call, index }, outcome);
        }
    }
}
