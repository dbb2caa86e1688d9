//! Moves replicas between the log directories of their brokers, and asks where they are: each is in one directory, and at
//! the end no directory is offline and no move is under way.

use super::SharedOracle;
use crate::broker::ROOTS;
use crate::host::Host;
use client::{Admin, Options, Target};
use std::collections::{BTreeMap, BTreeSet};
use types::{ErrorCode, Instant, NodeId, Now, Rng, Text};
use wire::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use wire::{
    AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, DescribeLogDirsRequest, DescribeLogDirsResponse, Response,
};

/// How long an answer may take.
const TIMEOUT_MS: u64 = 1000;

pub struct Mover {
    host: Host<Admin>,
    oracle: SharedOracle,
    rng: Rng,
    nodes: Vec<NodeId>,
    topics: Vec<Text>,
    /// Who is asked under which number where its replicas are, and when.
    looking: BTreeMap<u64, (NodeId, Instant)>,
    next_act: Instant,
}

impl Mover {
    #[must_use]
    pub fn new(options: Options, oracle: SharedOracle, nodes: Vec<NodeId>, topics: Vec<Text>, seed: u64) -> Mover {
        Mover {
            host: Host::new(Admin::new(options)),
            oracle,
            rng: Rng::new(seed),
            nodes,
            topics,
            looking: BTreeMap::new(),
            next_act: Instant(0),
        }
    }

    fn act(&mut self, now: Now) {
        self.next_act = now.at.plus_ms(50 + self.rng.below(300));
        self.host.engine.cluster.want_all(now.at, true);
        for node in self.nodes.clone() {
            if self.looking.values().all(|(asked, _)| *asked != node) {
                let question = DescribeLogDirsRequest { topics: None, ..Default::default() };
                let number = self.host.engine.ask(now.at, Target::Node(node), question, TIMEOUT_MS);
                self.looking.insert(number, (node, now.at));
            }
        }
        if !self.oracle.borrow().is_healing {
            self.move_some(now);
        }
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.rng.below(from.len() as u64)).expect("few")].clone()
    }

    fn move_some(&mut self, now: Now) {
        let (node, path) = (self.pick(&self.nodes.clone()), self.pick(&ROOTS));
        let mut topic = AlterReplicaLogDirTopic { name: self.pick(&self.topics.clone()), ..Default::default() };
        topic.partitions = (0..6).filter(|_| self.rng.one_in(3)).collect();
        let wanted = AlterReplicaLogDir { path: Text::from_static(path), topics: vec![topic], ..Default::default() };
        let request = AlterReplicaLogDirsRequest { dirs: vec![wanted], ..Default::default() };
        self.host.engine.ask(now.at, Target::Node(node), request, TIMEOUT_MS);
    }

    fn answers(&mut self) {
        while let Some((number, result)) = self.host.engine.poll() {
            match (self.looking.remove(&number), result) {
                (Some((node, asked_at)), Ok(Response::DescribeLogDirs(response))) => {
                    self.places(node, asked_at, &response);
                }
                (_, Ok(Response::AlterReplicaLogDirs(response))) => check_answer(&response),
                (_, Ok(_) | Err(_)) => {}
            }
        }
    }

    fn places(&mut self, node: NodeId, asked_at: Instant, response: &DescribeLogDirsResponse) {
        let mut problems = Vec::new();
        let mut known = BTreeSet::new();
        let mut oracle = self.oracle.borrow_mut();
        let failed = oracle.excused.as_ref().filter(|excused| excused.node == node).map(|excused| excused.root);
        for directory in &response.results {
            let path = &directory.log_dir;
            if !directory.error_code.is_ok() && failed != Some(path.trim_end_matches('/')) {
                problems.push(format!("{path}: {}", directory.error_code));
            }
            for topic in &directory.topics {
                for part in &topic.partitions {
                    let (index, is_future) = (part.partition_index, part.is_future_key);
                    let is_first = known.insert((topic.name.clone(), index, is_future));
                    // One shard may know a topic that was deleted and made anew when another knows the earlier one.
                    let is_stable = oracle.natures.get(&topic.name).is_some_and(|nature| !nature.fleeting);
                    assert!(
                        is_first || !is_stable,
                        "{node} has {}-{index} in two directories: {response:?}",
                        topic.name
                    );
                    if is_future {
                        problems.push(format!("{}-{index} still moves to {path}", topic.name));
                    }
                }
            }
        }
        oracle.views.insert((node, "directories"), (asked_at, problems));
    }
}

/// A move may be refused, for what it is of may be gone, opened, offline or about to end another move.
fn check_answer(response: &AlterReplicaLogDirsResponse) {
    let known = [
        ErrorCode::NONE,
        ErrorCode::LOG_DIR_NOT_FOUND,
        ErrorCode::REPLICA_NOT_AVAILABLE,
        ErrorCode::KAFKA_STORAGE_ERROR,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    ];
    let mut answers = response.results.iter().flat_map(|topic| &topic.partitions);
    assert!(answers.all(|answer| known.contains(&answer.error_code)), "a move is refused: {response:?}");
}

asks!(Mover);
