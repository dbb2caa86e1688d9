//! Who is in sync: what leaders of this shard propose goes to the controller, and what it says comes back to them.
//!
//! All proposals that stand go as one question, one question at a time: a broker that loses a peer changes thousands of
//! partitions, and the controller decides them in one batch.

use crate::call::Step;
use crate::checkpoint::NOBODY;
use crate::seam::Level;
use crate::shard::{Deadline, Shard};
use crate::work::{ControllerWork, Outcome, Work};
use log::Disk;
use metadata::controller::{PartitionState, Reply};
use replica::{IsrProposal, IsrState};
use std::collections::BTreeMap;
use types::{BrokerEpoch, ErrorCode, NodeId, PartitionEpoch, TopicPartition};

/// How soon a proposal that could not be brought before a controller is brought again.
const RETRY_MS: u64 = 100;

#[derive(Default)]
pub(crate) struct Proposals {
    standing: BTreeMap<TopicPartition, IsrProposal>,
    asking: bool,
}

impl<D: Disk> Shard<D> {
    /// A leader's followers may have come or gone: asks it whether its ISR should change.
    pub(crate) fn consider_isr(&mut self, partition: TopicPartition) {
        let now = self.now.at;
        let lag_max_ms = self.settings.unsigned("replica.lag.time.max.ms");
        let image = &self.image;
        let Some(known) = image.partition(partition) else {
            return;
        };
        let run_of = |id: NodeId| {
            let eligible = image.broker(id).filter(|broker| broker.is_alive() && broker.has_directory(known));
            eligible.map(|broker| BrokerEpoch(broker.epoch))
        };
        let Some(replica) = self.partitions.replica(partition) else {
            return;
        };
        if let Some(proposal) = replica.isr_proposal(now, lag_max_ms, run_of) {
            self.proposals.standing.insert(partition, proposal);
        }
    }

    /// Looks at all leaders with followers, for time alone makes a follower late.
    pub(crate) fn consider_all_isrs(&mut self) {
        let led = |(partition, replica): (TopicPartition, &replica::Replica<D>)| {
            (replica.is_leader() && self.image.partition(partition).is_some_and(|state| state.replicas.len() > 1))
                .then_some(partition)
        };
        let led: Vec<TopicPartition> = self.partitions.open_replicas().filter_map(led).collect();
        for partition in led {
            self.consider_isr(partition);
        }
        let after_ms = (self.settings.unsigned("replica.lag.time.max.ms") / 4).clamp(100, 1_000);
        self.deadlines.insert((self.now.at.plus_ms(after_ms), Deadline::Isr));
    }

    /// Brings what stands before the controller.
    pub(crate) fn send_proposals(&mut self) {
        if self.proposals.asking || self.proposals.standing.is_empty() || self.stopping {
            return;
        }
        self.proposals.asking = true;
        let standing = std::mem::take(&mut self.proposals.standing);
        let asked: Vec<(TopicPartition, IsrProposal)> = standing.into_iter().collect();
        let work = Work::Controller(Box::new(ControllerWork::AlterPartition(asked.clone())));
        let step = Step::one(work, move |shard: &mut Shard<D>, outcome| {
            shard.proposals.asking = false;
            shard.proposed(asked, outcome);
            Step::Silent
        });
        self.run(NOBODY, step);
    }

    fn proposed(&mut self, asked: Vec<(TopicPartition, IsrProposal)>, outcome: Outcome<D>) {
        let mut answers: BTreeMap<TopicPartition, _> = match outcome {
            Outcome::Controller(Reply::AlterPartition(Ok(answers))) => answers.into_iter().collect(),
            other => {
                let code = other.into_failure().0;
                asked.iter().map(|(partition, _)| (*partition, Err(code))).collect()
            }
        };
        let mut again = false;
        for (partition, proposal) in asked {
            let answer = answers.remove(&partition).unwrap_or(Err(ErrorCode::REQUEST_TIMED_OUT));
            again |= answer.is_err();
            self.take_isr(partition, &proposal, answer);
        }
        if again {
            self.deadlines.insert((self.now.at.plus_ms(RETRY_MS), Deadline::Isr));
        }
    }

    fn take_isr(
        &mut self,
        partition: TopicPartition,
        proposal: &IsrProposal,
        answer: Result<PartitionState, ErrorCode>,
    ) {
        let now = self.now.at;
        if let Err(code) = &answer {
            let text = format!("{}: the controller does not change the ISR: {code}", self.title(partition));
            self.log(Level::Debug, text);
        }
        let Some(replica) = self.partitions.replica(partition) else {
            return;
        };
        let state = answer.map(|state| IsrState {
            isr: state.isr,
            leader_epoch: state.leader_epoch,
            partition_epoch: PartitionEpoch(state.partition_epoch),
        });
        replica.proposal_done(now, proposal, state);
        self.touch(partition);
    }
}
