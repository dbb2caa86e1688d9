//! Looks at everything when all is over: asks where each partition begins and ends, and reads it from the beginning.

use super::SharedOracle;
use crate::actor::{Actor, ActorInput, ActorOutput};
use crate::host::{Engine, Host};
use client::{Admin, Consumer, ConsumerEvent, ConsumerOptions, Options, Reset, Spot, Target};
use std::collections::{BTreeMap, BTreeSet};
use types::{Instant, Now, Offset, PartitionIndex, Text};
use wire::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::{ListOffsetsRequest, Response};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Where does each partition begin and end?
    Asking,
    Reading,
    /// Where do they begin now? What was deleted meanwhile, by a request that was late, is not missing.
    AskingAgain,
    Done,
}

const EARLIEST: i64 = -2;
const LATEST: i64 = -1;

pub struct Auditor {
    asker: Host<Admin>,
    reader: Host<Consumer>,
    oracle: SharedOracle,
    topics: Vec<Text>,
    /// What is asked under which number: the partition, which of its ends, and when.
    asked: BTreeMap<u64, (Spot, i64, Instant)>,
    starts: BTreeMap<Spot, Offset>,
    ends: BTreeMap<Spot, Offset>,
    positions: BTreeMap<Spot, Offset>,
    next_try: Instant,
    stage: Stage,
}

impl Auditor {
    #[must_use]
    pub fn new(options: &Options, oracle: SharedOracle, topics: Vec<Text>) -> Auditor {
        let reader = ConsumerOptions { cluster: options.clone(), reset: Reset::Earliest, ..ConsumerOptions::default() };
        Auditor {
            asker: Host::new(Admin::new(options.clone())),
            reader: Host::beside(Consumer::new(reader), 1),
            oracle,
            topics,
            asked: BTreeMap::new(),
            starts: BTreeMap::new(),
            ends: BTreeMap::new(),
            positions: BTreeMap::new(),
            next_try: Instant(0),
            stage: Stage::Asking,
        }
    }

    /// Every partition there is, once all that are expected are known; those that came during the reading are left out.
    fn spots(&mut self, now: Now) -> Option<BTreeSet<Spot>> {
        if self.stage == Stage::AskingAgain {
            return Some(self.ends.keys().cloned().collect());
        }
        let mut spots = BTreeSet::new();
        for topic in &self.topics {
            self.asker.engine.cluster.want(now.at, topic);
            let known = self.asker.engine.cluster.topic(topic).filter(|known| known.error.is_ok());
            let count = known.map_or(0, |known| known.partitions.len());
            let expected = self.oracle.borrow().partitions.get(topic).copied().unwrap_or(1);
            if i32::try_from(count).is_ok_and(|count| count < expected) {
                return None;
            }
            spots.extend((0..).take(count).map(|index| (topic.clone(), PartitionIndex(index))));
        }
        Some(spots)
    }

    /// Asks for what is not known yet.
    fn ask(&mut self, now: Now) {
        let Some(spots) = self.spots(now) else { return };
        for spot in &spots {
            for (which, known) in [(EARLIEST, &self.starts), (LATEST, &self.ends)] {
                let is_asked = self.asked.values().any(|asked| asked.0 == *spot && asked.1 == which);
                if known.contains_key(spot) || is_asked {
                    continue;
                }
                let topic = self.asker.engine.cluster.topic(&spot.0);
                let leader = topic.and_then(|topic| topic.partition(spot.1)?.leader);
                let Some(leader) = leader else { continue };
                let request = list_offsets(spot, which);
                let number = self.asker.engine.ask(now.at, Target::Node(leader), request, 2000);
                self.asked.insert(number, (spot.clone(), which, now.at));
            }
        }
        let is_known = spots.iter().all(|spot| self.starts.contains_key(spot) && self.ends.contains_key(spot));
        if is_known && self.asked.is_empty() {
            self.know(now, spots);
        }
    }

    /// Everything that was asked is answered.
    fn know(&mut self, now: Now, spots: BTreeSet<Spot>) {
        let mut oracle = self.oracle.borrow_mut();
        if self.stage == Stage::Asking {
            self.stage = Stage::Reading;
            oracle.ends = spots.iter().map(|spot| (spot.clone(), (self.starts[spot], self.ends[spot]))).collect();
            self.reader.engine.assign(now, spots.into_iter().map(|spot| (spot, None)));
            return;
        }
        for (spot, begin) in &mut oracle.ends {
            begin.0 = begin.0.max(self.starts[spot]);
        }
        oracle.is_audited = true;
        self.stage = Stage::Done;
    }

    fn answers(&mut self, now: Now) {
        while let Some((number, result)) = self.asker.engine.poll() {
            let Some((spot, which, asked_at)) = self.asked.remove(&number) else { continue };
            let Ok(Response::ListOffsets(response)) = result else { continue };
            for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
                if partition.error_code.is_ok() {
                    if which == LATEST {
                        self.oracle.borrow_mut().ended(now.at, &spot, Offset(partition.offset), asked_at);
                    }
                    let known = if which == EARLIEST { &mut self.starts } else { &mut self.ends };
                    known.insert(spot.clone(), Offset(partition.offset));
                }
            }
        }
    }

    fn read(&mut self, now: Now) {
        for consumed in
            std::iter::repeat_with(|| self.reader.engine.poll(now)).take_while(|polled| !polled.is_empty()).flatten()
        {
            let mut oracle = self.oracle.borrow_mut();
            let from = self.positions.get(&consumed.spot).copied();
            oracle.consumed(now.at, from, &consumed);
            for record in &consumed.records {
                oracle.remains(&consumed.spot, record);
            }
            let begin = oracle.ends.get_mut(&consumed.spot).expect("it was asked about");
            begin.0 = begin.0.max(consumed.log_start_offset);
            self.positions.insert(consumed.spot.clone(), consumed.position);
        }
        while let Some(event) = self.reader.engine.poll_event() {
            if let ConsumerEvent::Stuck { spot, position, code } = event {
                panic!("{}-{} cannot be read at {position}: {code}", spot.0, spot.1);
            }
        }
        let engine = &self.reader.engine;
        let is_read = |(spot, end): (&Spot, &Offset)| engine.position(spot).is_some_and(|at| at >= *end);
        if self.stage == Stage::Reading && self.ends.iter().all(is_read) {
            self.stage = Stage::AskingAgain;
            self.starts.clear();
        }
    }

    fn is_asking(&self) -> bool {
        matches!(self.stage, Stage::Asking | Stage::AskingAgain)
    }
}

fn list_offsets(spot: &Spot, which: i64) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition {
        partition_index: spot.1.0,
        current_leader_epoch: -1,
        timestamp: which,
        ..Default::default()
    };
    let topic = ListOffsetsTopic { name: spot.0.clone(), partitions: vec![partition], ..Default::default() };
    ListOffsetsRequest { replica_id: -1, topics: vec![topic], timeout_ms: 2000, ..Default::default() }
}

impl Actor for Auditor {
    fn handle(&mut self, now: Now, input: ActorInput, out: &mut Vec<ActorOutput>) {
        match input {
            ActorInput::Wake => {
                self.asker.input(now, ActorInput::Wake);
                self.reader.input(now, ActorInput::Wake);
            }
            ActorInput::Connected(link) | ActorInput::Received(link, _) | ActorInput::Closed(link) => {
                let is_asker = link.0 >> 40 == 0;
                if is_asker { self.asker.input(now, input) } else { self.reader.input(now, input) }
            }
        }
        self.answers(now);
        if self.is_asking() && now.at >= self.next_try {
            self.next_try = now.at.plus_ms(20);
            self.ask(now);
        }
        self.read(now);
        self.asker.output(out);
        self.reader.output(out);
    }

    fn next_wake(&self) -> Option<Instant> {
        let asks = self.is_asking().then_some(self.next_try);
        let asker = Engine::next_wake(&self.asker.engine);
        asker.into_iter().chain(Engine::next_wake(&self.reader.engine)).chain(asks).min()
    }
}
