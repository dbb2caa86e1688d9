//! A producer at work: sends records to some topics, in bursts, and reports what it is told of each.

use super::SharedOracle;
use crate::actor::{Actor, ActorInput, ActorOutput};
use crate::host::{Engine, Host};
use crate::oracle::{Id, Sent};
use bytes::{BufMut, Bytes, BytesMut};
use client::{Acks, Event, NotTaken, Place, Producer, ProducerOptions, ProducerRecord, SendError};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use types::{ErrorCode, Instant, Now, PartitionIndex, Rng, Text};

/// `max.block.ms`: together with `delivery.timeout.ms` less than a story takes to heal.
const BLOCK_MS: u64 = 5000;
/// Records that wait to be taken, before it waits itself.
const WAITING_MAX: usize = 100;
/// How often a probe sends, at most so many milliseconds apart.
const PROBE_MS: u64 = 40;

pub struct Sender {
    number: usize,
    /// Its batches keep the numbers of their records.
    host: Host<Producer<Vec<u64>>>,
    oracle: SharedOracle,
    rng: Rng,
    acks: Acks,
    once: bool,
    /// Topics to send to.
    topics: Vec<Text>,
    /// Milliseconds between bursts, at most.
    pace_ms: u64,
    left: u64,
    next_burst: Instant,
    open: BTreeMap<u64, Open>,
    /// What the producer has not taken yet, and until when it may.
    waiting: VecDeque<(ProducerRecord, u64, Instant)>,
    wait_ms: u64,
    /// It begins when faults are over: all that it sends must get through.
    is_proof: bool,
    /// It goes on until it is told to stop, with records for each partition in turn.
    is_probe: bool,
}

/// A record that has no answer yet.
struct Open {
    id: Id,
    topic: Text,
    sent_at: Instant,
}

impl Sender {
    /// One that shows that the cluster is well again.
    #[must_use]
    pub fn proof(
        number: usize,
        options: ProducerOptions,
        oracle: SharedOracle,
        topics: Vec<Text>,
        seed: u64,
    ) -> Sender {
        let (left, wait_ms) = (10 * topics.len() as u64, options.delivery_timeout_ms);
        Sender { is_proof: true, left, wait_ms, ..Sender::new(number, options, oracle, topics, seed) }
    }

    /// One that shows how soon each partition takes records, as long as the oracle lets it.
    #[must_use]
    pub fn probe(self) -> Sender {
        Sender { is_probe: true, left: u64::MAX, pace_ms: PROBE_MS, ..self }
    }

    #[must_use]
    pub fn new(number: usize, options: ProducerOptions, oracle: SharedOracle, topics: Vec<Text>, seed: u64) -> Sender {
        let mut rng = Rng::new(seed);
        Sender {
            number,
            acks: options.acks,
            once: options.idempotent && options.acks == Acks::All,
            waiting: VecDeque::new(),
            wait_ms: BLOCK_MS,
            host: Host::new(Producer::new(options)),
            oracle,
            topics,
            pace_ms: 1 + rng.below(60),
            left: 20 + rng.below(300),
            next_burst: Instant(0),
            open: BTreeMap::new(),
            is_proof: false,
            is_probe: false,
            rng,
        }
    }

    /// One that works through several times as long a story.
    #[must_use]
    pub fn lasting(self) -> Sender {
        Sender { left: 3 * self.left, pace_ms: 3 * self.pace_ms, ..self }
    }

    fn burst(&mut self, now: Now) {
        if self.is_probe {
            return self.probe_all(now);
        }
        let count = 1 + self.rng.below(8);
        for _ in 0..count.min(self.left) {
            if self.waiting.len() < WAITING_MAX {
                self.left -= 1;
                self.send(now);
            }
        }
        self.hand_over(now);
        if self.rng.one_in(10) {
            self.host.engine.flush(now);
        }
    }

    fn probe_all(&mut self, now: Now) {
        if !self.oracle.borrow().is_probing {
            self.left = 0;
            return;
        }
        for topic in self.topics.clone() {
            let count = self.oracle.borrow().partitions.get(&topic).copied().unwrap_or(0);
            (0..count).for_each(|index| self.send_to(now, topic.clone(), Some(PartitionIndex(index))));
        }
        self.hand_over(now);
    }

    fn send(&mut self, now: Now) {
        let pick = usize::try_from(self.rng.below(self.topics.len() as u64)).expect("few");
        let topic = self.topics[pick].clone();
        self.send_to(now, topic, None);
    }

    fn send_to(&mut self, now: Now, topic: Text, partition: Option<PartitionIndex>) {
        let mut oracle = self.oracle.borrow_mut();
        let nature = oracle.natures.get(&topic).copied().unwrap_or_default();
        let count = oracle.partitions.get(&topic).copied().unwrap_or(1);
        let key = (nature.compacted || self.rng.one_in(3)).then(|| format!("k{}", self.rng.below(20)).into_bytes());
        let is_tombstone = nature.compacted && self.rng.one_in(8);
        let sent = Sent { topic: topic.clone(), key: key.clone(), is_tombstone, once: self.once };
        let id = oracle.send(sent);
        let number = Bytes::copy_from_slice(&id.0.to_be_bytes());
        let mut message =
            ProducerRecord { topic: topic.clone(), key: key.map(Bytes::from), ..ProducerRecord::default() };
        if is_tombstone {
            message.headers.push((Text::from_static("id"), Some(number)));
        } else {
            let mut value = BytesMut::from(&number[..]);
            let length = usize::try_from(self.rng.below(300)).expect("small");
            value.put_bytes(b'.', length);
            message.value = Some(value.freeze());
        }
        message.partition = partition;
        if partition.is_none() && self.rng.one_in(3) {
            let partition = self.rng.below(u64::from(count.unsigned_abs()));
            message.partition = Some(PartitionIndex(i32::try_from(partition).expect("few")));
        }
        self.open.insert(id.0, Open { id, topic, sent_at: now.at });
        *oracle.open.entry(self.number).or_default() = self.open.len();
        drop(oracle);
        self.waiting.push_back((message, id.0, now.at.plus_ms(self.wait_ms)));
    }

    /// Hands over what waits, in the order of each topic.
    fn hand_over(&mut self, now: Now) {
        let mut held_up = BTreeSet::new();
        for (message, number, deadline) in std::mem::take(&mut self.waiting) {
            let taken = match held_up.contains(&message.topic) {
                true => Err(NotTaken::Full),
                false => self.host.engine.send(now, &message).map(|taken| taken.ticket.push(number)),
            };
            match taken {
                Ok(()) => {}
                Err(NotTaken::Refused(error)) => self.delivered(number, Err(error)),
                Err(NotTaken::Full | NotTaken::Unknown(_)) if deadline <= now.at => {
                    self.delivered(number, Err(SendError::TimedOut { was_sent: false }));
                }
                Err(NotTaken::Full | NotTaken::Unknown(_)) => {
                    held_up.insert(message.topic.clone());
                    self.waiting.push_back((message, number, deadline));
                }
            }
        }
        self.host.engine.handle(now, Event::Wake);
    }

    fn deliveries(&mut self) {
        while let Some(delivery) = self.host.engine.poll_delivery() {
            assert_eq!(i32::try_from(delivery.ticket.len()), Ok(delivery.count), "a record has no number");
            for (index, number) in (0..).zip(&delivery.ticket) {
                self.delivered(*number, delivery.result(index));
            }
        }
    }

    fn delivered(&mut self, number: u64, result: Result<Place, SendError>) {
        let Open { id, topic, sent_at } = self.open.remove(&number).expect("each record is reported once");
        let mut oracle = self.oracle.borrow_mut();
        oracle.open.insert(self.number, self.open.len());
        match result {
            Ok(place) => {
                let by_all = self.acks == Acks::All;
                let spot = (topic, place.partition);
                oracle.acknowledged(&spot, place.offset, id, by_all);
                if self.is_probe {
                    let newest = oracle.taken.entry(spot).or_default();
                    *newest = sent_at.max(*newest);
                }
            }
            Err(error) => {
                oracle.figures.failed += 1;
                assert!(!self.is_proof, "{topic}: a record is refused by a cluster that is well: {error:?}");
                let fleeting = oracle.natures.get(&topic).is_none_or(|nature| nature.fleeting);
                assert!(fleeting || is_expected(&error), "{topic}: a record is refused: {error:?}");
            }
        }
    }
}

/// Whether a producer that does nothing wrong may be told this while the world breaks.
fn is_expected(error: &SendError) -> bool {
    match error {
        SendError::TimedOut { .. } => true,
        SendError::Aborted | SendError::Transaction(_) => false,
        SendError::Refused { code, .. } => *code == ErrorCode::KAFKA_STORAGE_ERROR,
    }
}

impl Actor for Sender {
    fn handle(&mut self, now: Now, input: ActorInput, out: &mut Vec<ActorOutput>) {
        self.host.input(now, input);
        if self.oracle.borrow().is_healing && !self.is_proof {
            self.left = 0;
        }
        if self.left > 0 && now.at >= self.next_burst {
            self.burst(now);
            self.next_burst = now.at.plus_ms(self.rng.below(self.pace_ms) + 1);
        } else if !self.waiting.is_empty() {
            self.hand_over(now);
        }
        self.deliveries();
        self.host.output(out);
    }

    fn next_wake(&self) -> Option<Instant> {
        let burst = (self.left > 0).then_some(self.next_burst);
        let waiting = self.waiting.iter().map(|(_, _, deadline)| *deadline);
        Engine::next_wake(&self.host.engine).into_iter().chain(burst).chain(waiting).min()
    }
}
