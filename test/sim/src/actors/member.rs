//! A group's member at work: subscribes, reads, commits, stops reading now and then, leaves and comes back, or dies.

use super::SharedOracle;
use crate::actor::{Actor, ActorInput, ActorOutput};
use crate::host::{Engine, Host};
use crate::oracle::Fate;
use client::{CommitError, Consumer, ConsumerEvent, ConsumerOptions, Failure, Spot};
use std::collections::BTreeMap;
use types::{ErrorCode, Instant, Now, Offset, Rng, Text};

/// Makes the options of a member, anew for each of its lives.
pub type Recipe = Box<dyn Fn(&mut Rng) -> ConsumerOptions>;

pub struct GroupMember {
    number: usize,
    lives: usize,
    host: Host<Consumer>,
    oracle: SharedOracle,
    rng: Rng,
    recipe: Recipe,
    group: Text,
    topics: Vec<Text>,
    /// Where this member reads on, as far as it knows.
    positions: BTreeMap<Spot, Offset>,
    next_act: Instant,
    reads_from: Instant,
    is_born: bool,
    is_static: bool,
    leaving: bool,
}

impl GroupMember {
    #[must_use]
    pub fn new(number: usize, recipe: Recipe, oracle: SharedOracle, topics: Vec<Text>, seed: u64) -> GroupMember {
        let mut rng = Rng::new(seed);
        let options = recipe(&mut rng);
        let group = options.group.as_ref().map(|group| group.id.clone()).unwrap_or_default();
        let is_static = options.group.as_ref().is_some_and(|group| group.instance_id.is_some());
        GroupMember {
            number,
            lives: 0,
            host: Host::new(Consumer::new(options)),
            oracle,
            rng,
            recipe,
            group,
            topics,
            positions: BTreeMap::new(),
            next_act: Instant(0),
            reads_from: Instant(0),
            is_born: false,
            is_static,
            leaving: false,
        }
    }

    /// Something a client may do at any time.
    fn act(&mut self, now: Now, out: &mut Vec<ActorOutput>) {
        self.next_act = now.at.plus_ms(20 + self.rng.below(400));
        if !self.is_born {
            self.is_born = true;
            self.host.engine.subscribe(now, self.topics.iter().cloned());
            return;
        }
        if self.leaving {
            if self.host.engine.is_closed() {
                self.leaving = false;
                self.rebirth(out);
            }
            return;
        }
        if self.oracle.borrow().is_healing {
            self.reads_from = Instant(0);
            return;
        }
        match self.rng.below(24) {
            0 => {
                self.leaving = true;
                self.host.engine.close(now);
            }
            1 => self.rebirth(out),
            // Who stays away for too long loses its place.
            2 | 3 => {
                self.reads_from = now.at.plus_ms(self.rng.below(500));
                self.host.engine.end_poll(now);
            }
            4..8 => {
                let offsets = self.host.engine.positions();
                if !offsets.is_empty() {
                    self.host.engine.commit(now, offsets);
                }
            }
            _ => {}
        }
    }

    /// Another process takes this one's place, which the group is not told.
    fn rebirth(&mut self, out: &mut Vec<ActorOutput>) {
        let options = (self.recipe)(&mut self.rng);
        self.in_doubt();
        self.host.replace(Consumer::new(options), out);
        self.positions.clear();
        self.lives += 1;
        self.is_born = false;
    }

    /// Commits under way may be carried out after the process is gone.
    fn in_doubt(&mut self) {
        for offsets in self.host.engine.open_commits() {
            self.oracle.borrow_mut().committed(Instant(0), &self.group, &offsets, Fate::Open);
        }
    }

    fn events(&mut self, now: Now) {
        while let Some(event) = self.host.engine.poll_event() {
            let mut oracle = self.oracle.borrow_mut();
            match event {
                ConsumerEvent::Assigned { generation, all, .. } => {
                    // A static member that comes back is the same member (KIP-345).
                    let life = if self.is_static { 0 } else { self.lives };
                    oracle.assigned(&self.group, self.number + 1000 * life, generation, &all);
                }
                ConsumerEvent::Revoked { spots } | ConsumerEvent::Lost { spots } => {
                    self.positions.retain(|spot, _| !spots.contains(spot));
                    self.host.engine.release(now);
                }
                ConsumerEvent::PollOverdue { .. } => {}
                ConsumerEvent::Committed { offsets, result, .. } => match result {
                    Ok(()) => oracle.committed(now.at, &self.group, &offsets, Fate::Done),
                    Err(CommitError::Failed(Failure::NotSent) | CommitError::NoMember) => {}
                    Err(_) => oracle.committed(now.at, &self.group, &offsets, Fate::Open),
                },
                ConsumerEvent::Found { spot, committed, asked_at } => {
                    oracle.found(&self.group, &spot, committed, asked_at);
                    self.positions.remove(&spot);
                }
                ConsumerEvent::Stuck { spot, position, code } => {
                    panic!("{}-{} cannot be read at {position}: {code}", spot.0, spot.1)
                }
                ConsumerEvent::NoOffset { spot } | ConsumerEvent::Truncated { spot, .. } => {
                    panic!("{}-{} is read by nobody who has no reset policy", spot.0, spot.1)
                }
                // A crash may bring back the member that this one took the place of; its operator starts it again.
                ConsumerEvent::Refused { code, .. } => {
                    assert!(code == ErrorCode::FENCED_INSTANCE_ID, "{} refuses a member: {code}", self.group);
                    self.leaving = true;
                }
            }
        }
    }

    fn read(&mut self, now: Now) {
        loop {
            let polled = self.host.engine.poll(now);
            if polled.is_empty() {
                return;
            }
            for consumed in polled {
                let from = self.positions.get(&consumed.spot).copied();
                let mut oracle = self.oracle.borrow_mut();
                oracle.consumed(now.at, from, &consumed);
                self.positions.insert(consumed.spot.clone(), consumed.position);
            }
        }
    }
}

impl Actor for GroupMember {
    fn handle(&mut self, now: Now, input: ActorInput, out: &mut Vec<ActorOutput>) {
        self.host.input(now, input);
        self.events(now);
        if now.at >= self.next_act {
            self.act(now, out);
        }
        if now.at >= self.reads_from {
            self.read(now);
        }
        self.events(now);
        let positions = self.host.engine.positions();
        self.oracle.borrow_mut().group_positions.insert((self.group.clone(), self.number), positions);
        self.host.output(out);
    }

    fn next_wake(&self) -> Option<Instant> {
        Engine::next_wake(&self.host.engine).into_iter().chain([self.next_act]).min()
    }
}
