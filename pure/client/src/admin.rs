//! The administrator's engine: single requests to whoever can answer them, made again while that may help.

mod brokers;
mod configs;
mod groups;
mod moves;
mod offsets;
mod question;
mod quorum;
mod records;
mod topics;

pub use brokers::{
    DescribeCluster, DescribeFeatures, DescribeLogDirs, Feature, FeatureChange, Features, LogDir, Registered,
    ReplicaSize, Roster, UnregisterBroker, UpdateFeatures,
};
pub use configs::{AlterConfigs, Config, ConfigChange, ConfigSource, DescribeConfigs, ListConfigResources, Resource};
pub(crate) use groups::coordinator;
pub use groups::{
    DeleteGroup, DescribeConsumerGroup, DescribeGroup, FindCoordinator, Group, GroupMember, ListGroups, ListedGroup,
    RemoveMembers,
};
pub use moves::{AlterReassignments, AlterReplicaLogDirs, ElectLeaders, ListReassignments, Reassignment};
pub use offsets::{AlterOffsets, CommittedOffsets, DeleteOffsets, ListOffsets, OffsetAt};
pub use question::{Each, Question, Refused};
pub(crate) use question::{by_topic, indexes_by_topic, spot};
pub use quorum::{AddVoter, DescribeQuorum, Quorum, QuorumReplica, RemoveVoter, VoterListener};
pub use records::{ActiveProducer, DeleteRecords, DescribeProducers};
pub use topics::{
    CreatePartitions, CreateTopic, DeleteTopic, DescribeEligible, DescribeTopics, Eligible, NewTopic, Overview,
};

use crate::cluster::{Call, Cluster, Failure, Options, Target};
use crate::{Event, Transmit};
use std::collections::BTreeMap;
use std::collections::VecDeque;
use types::Instant;

/// What questions make and read; opaque outside.
pub use wire::{Request, Response};

#[derive(Debug)]
struct Open {
    task: u64,
    target: Target,
    request: Request,
    attempt: u32,
    deadline: Instant,
}

#[derive(Debug)]
pub struct Admin {
    pub cluster: Cluster,
    open: BTreeMap<Call, Open>,
    /// What is to be tried again, and when.
    again: Vec<(Instant, Open)>,
    done: VecDeque<(u64, Result<Response, Failure>)>,
    tasks: u64,
}

impl Admin {
    #[must_use]
    pub fn new(options: Options) -> Admin {
        Admin {
            cluster: Cluster::new(options),
            open: BTreeMap::new(),
            again: Vec::new(),
            done: VecDeque::new(),
            tasks: 0,
        }
    }

    /// Asks; the answer comes out of `poll` under the returned number. What never reached a broker is tried again until
    /// `timeout_ms` have passed; what may have reached one is not.
    pub fn ask(&mut self, now: Instant, target: Target, request: impl Into<Request>, timeout_ms: u64) -> u64 {
        let task = self.tasks;
        self.tasks += 1;
        let deadline = now.plus_ms(timeout_ms);
        self.start(now, Open { task, target, request: request.into(), attempt: 0, deadline });
        task
    }

    fn start(&mut self, now: Instant, open: Open) {
        let left_ms = open.deadline.ms_since(now).max(1);
        let call = self.cluster.call_for(now, open.target, open.request.clone(), left_ms);
        self.open.insert(call, open);
    }

    pub fn poll(&mut self) -> Option<(u64, Result<Response, Failure>)> {
        self.done.pop_front()
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.cluster.poll_transmit()
    }

    pub fn handle(&mut self, now: Instant, event: Event) {
        self.cluster.handle(now, event);
        for (call, result) in self.cluster.take_answers() {
            let Some(mut open) = self.open.remove(&call) else { continue };
            let is_unsent = result.as_ref().is_err_and(|failure| *failure == Failure::NotSent);
            if is_unsent && now < open.deadline && open.attempt < self.cluster.options.retries_max {
                open.attempt += 1;
                let at = now.plus_ms(self.cluster.backoff_ms(open.attempt));
                self.again.push((at, open));
            } else {
                self.done.push_back((open.task, result));
            }
        }
        for (at, open) in std::mem::take(&mut self.again) {
            if at <= now { self.start(now, open) } else { self.again.push((at, open)) }
        }
    }

    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        self.cluster.next_wake().into_iter().chain(self.again.iter().map(|(at, _)| *at)).min()
    }
}
