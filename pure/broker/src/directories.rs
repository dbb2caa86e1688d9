//! The log directories of this node (KIP-112, KIP-858): where a replica goes, who tells the controller where it is, and what
//! becomes of the replicas of a directory whose disk has failed.
//!
//! The first directory is the home: it holds the metadata log, and nothing goes on without it. A replica is told by the
//! number of its directory, which is the same for all shards; each shard knows by itself which directories have failed.

use crate::boot::LastRun;
use crate::call::Step;
use crate::checkpoint::NOBODY;
use crate::partitions::{Hosted, State};
use crate::seam::{Level, Message};
use crate::shard::{Deadline, Shard};
use crate::work::{Outcome, Work};
use log::Disk;
use metadata::LOST;
use metadata::controller::{Command, Reply};
use std::collections::BTreeSet;
use types::{ErrorCode, ShardId, Text, TopicPartition, Uuid};

/// The directory of the metadata log.
pub(crate) const HOME: usize = 0;
/// Most replicas that the controller is told of at once (Kafka's own bound).
const ASSIGNMENTS_MAX: usize = 2_250;
/// How soon the controller is told again of what it did not take.
const RETRY_MS: u64 = 500;

/// A log directory that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub path: Text,
    pub reason: String,
}

pub(crate) struct Directory<D: Disk> {
    /// Zero where it was never read by a node of this home.
    pub id: Uuid,
    pub path: Text,
    /// None where it could not be used when the broker started.
    pub disk: Option<D>,
    pub last_run: LastRun,
}

/// Replicas whose directory the controller does not know yet.
#[derive(Default)]
pub(crate) struct Assignments {
    standing: BTreeSet<TopicPartition>,
    asking: bool,
}

impl<D: Disk> Shard<D> {
    pub(crate) fn disk(&self, directory: usize) -> &D {
        self.directories[directory].disk.as_ref().expect("replicas are opened in directories that are there")
    }

    pub(crate) fn is_online(&self, directory: usize) -> bool {
        !self.failed.contains(&directory)
    }

    pub(crate) fn online_directories(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.directories.len()).filter(|directory| self.is_online(*directory))
    }

    /// Those that serve nothing, as the controller knows them.
    pub(crate) fn failed_ids(&self) -> Vec<Uuid> {
        let ids = self.failed.iter().map(|directory| self.directories[*directory].id);
        ids.filter(|id| !id.is_zero()).collect()
    }

    /// Where the cluster believes this node's replica to be; zero where it does not know.
    fn assigned(&self, partition: TopicPartition) -> Uuid {
        let known = self.image.partition(partition);
        let place = known.and_then(|known| {
            let at = known.replicas.iter().position(|id| *id == self.node.id)?;
            known.directories.get(at).copied()
        });
        place.unwrap_or(Uuid::ZERO)
    }

    fn directory_by_id(&self, id: Uuid) -> Option<usize> {
        self.directories.iter().position(|directory| !id.is_zero() && directory.id == id)
    }

    /// Which of several folders of one replica is the replica: the one that the cluster knows of.
    pub(crate) fn rightful(&self, partition: TopicPartition, found: &[usize]) -> Option<usize> {
        let assigned = self.directory_by_id(self.assigned(partition)).filter(|directory| found.contains(directory));
        assigned.or(found.first().copied())
    }

    /// Where a replica that is in no directory is to be made; the error is the directory that cannot be read and may have
    /// it.
    pub(crate) fn place(&self, partition: TopicPartition) -> Result<usize, usize> {
        let assigned = self.assigned(partition);
        if let Some(preferred) = self.preferred.get(&partition).filter(|directory| self.is_online(**directory)) {
            return Ok(*preferred);
        }
        let missing = (0..self.directories.len()).find(|directory| !self.is_online(*directory));
        // At a start there may have been no time to tell where a replica was made, or whence it was to move.
        let in_doubt = assigned.is_zero() || self.futures.contains_key(&partition);
        if let Some(missing) = missing.filter(|_| self.is_opening && in_doubt) {
            return Err(missing);
        }
        let lost = match self.directory_by_id(assigned) {
            Some(directory) if self.is_online(directory) => return Ok(directory),
            Some(directory) => Some(directory),
            None if assigned.is_zero() => None,
            None => missing,
        };
        lost.map_or_else(|| Ok(self.emptiest()), Err)
    }

    /// The directory with the fewest replicas of this shard; shards begin with different ones.
    fn emptiest(&self) -> usize {
        let count = self.directories.len();
        let load = |directory: &usize| {
            let hosted = self.partitions.hosted.values().filter(|hosted| hosted.directory == *directory).count();
            (hosted, (directory + count - usize::from(self.me.0) % count) % count)
        };
        if count == 1 { HOME } else { self.online_directories().min_by_key(load).unwrap_or(HOME) }
    }

    /// Has the controller told where a replica is, where it believes something else.
    pub(crate) fn consider_directory(&mut self, partition: TopicPartition) {
        if self.wanted_assignment(partition).is_some() {
            self.assignments.standing.insert(partition);
        }
    }

    fn wanted_assignment(&self, partition: TopicPartition) -> Option<Uuid> {
        let (directory, assigned) = (self.home_of(partition)?, self.assigned(partition));
        let id = if self.is_lost(partition) { LOST } else { self.directories[directory].id };
        // Where there is no choice, nobody has to be told.
        let is_known = id == assigned || (assigned.is_zero() && self.directories.len() == 1 && id != LOST);
        let is_ours = self.image.partition(partition)?.replicas.contains(&self.node.id);
        (!is_known && is_ours && !id.is_zero()).then_some(id)
    }

    /// Whether a replica serves nothing until the next start though its directory is well.
    fn is_lost(&self, partition: TopicPartition) -> bool {
        let Some(Hosted { directory, state: State::Open(replica), .. }) = self.partitions.hosted.get(&partition) else {
            return false;
        };
        replica.offline_reason().is_some() && self.is_online(*directory) && !self.reopen.contains(&partition)
    }

    /// Whether the cluster knows that a replica is or comes there.
    pub(crate) fn is_told(&self, partition: TopicPartition, directory: usize) -> bool {
        let id = self.directories[directory].id;
        id.is_zero() || self.assigned(partition) == id
    }

    pub(crate) fn send_assignments(&mut self) {
        if self.assignments.asking || self.assignments.standing.is_empty() || self.stopping {
            return;
        }
        let Some(epoch) = self.image.broker(self.node.id).map(|broker| broker.epoch) else {
            return;
        };
        let standing: Vec<TopicPartition> = self.assignments.standing.iter().copied().take(ASSIGNMENTS_MAX).collect();
        let mut assignments = Vec::new();
        for partition in standing {
            match self.wanted_assignment(partition) {
                Some(directory) => assignments.push((partition, directory)),
                None => drop(self.assignments.standing.remove(&partition)),
            }
        }
        if assignments.is_empty() {
            return;
        }
        self.assignments.asking = true;
        let command = Command::AssignReplicasToDirs { broker: self.node.id, epoch, assignments };
        self.run(
            NOBODY,
            Step::one(Work::controller(command), |shard: &mut Shard<D>, outcome| shard.assigned_by(outcome)),
        );
    }

    fn assigned_by(&mut self, outcome: Outcome<D>) -> Step<D> {
        match outcome {
            Outcome::Controller(Reply::AssignReplicasToDirs(Ok(answers))) => {
                // What was refused is told again, later, where the image still asks for it; the others need not wait.
                self.assignments.asking = answers.iter().any(|(_, _, code)| !code.is_ok());
                for (partition, ..) in answers.iter().filter(|(_, _, code)| code.is_ok()) {
                    self.assignments.standing.remove(partition);
                }
            }
            other => {
                let code = other.into_failure().0;
                let text = format!("the controller is told again in which directories replicas are: {code}");
                self.log(Level::Debug, text);
            }
        }
        // What stands is told again, and what the image does not show by then.
        self.deadlines.insert((self.now.at.plus_ms(RETRY_MS), Deadline::Assignments));
        Step::Silent
    }

    pub(crate) fn retry_assignments(&mut self) {
        self.assignments.asking = false;
    }

    /// A disk does not do what it must. That of the home is another matter: its partition alone is offline, and where the
    /// metadata log cannot be written the broker ends.
    pub(crate) fn disk_failed(&mut self, directory: usize, reason: &str) {
        if directory == HOME || self.failed.contains(&directory) {
            return;
        }
        self.tell_other_shards(|| Message::DirectoryFailed { directory, reason: reason.to_owned() });
        let path = &self.directories[directory].path;
        let text = format!("the log directory {path} has failed, and the replicas in it are offline: {reason}");
        self.log(Level::Error, text);
        self.directory_failed(directory, reason);
    }

    /// All replicas in the directory are offline until the broker starts again and finds it whole.
    pub(crate) fn directory_failed(&mut self, directory: usize, reason: &str) {
        if !self.failed.insert(directory) {
            return;
        }
        self.end_moves_of(directory);
        let mut down = Vec::new();
        for (partition, hosted) in &mut self.partitions.hosted {
            if let State::Open(replica) = &mut hosted.state
                && hosted.directory == directory
            {
                replica.go_offline(reason.to_owned());
                down.push(*partition);
            }
        }
        for partition in down {
            self.offline.insert(partition);
            self.stop_following(partition);
            self.touch(partition);
        }
        if self.me == ShardId(0) {
            self.tell_failure();
        }
    }

    /// Why a replica that may be in this directory serves nothing.
    pub(crate) fn lost_words(&self, directory: usize) -> String {
        format!("its log directory cannot be used ({})", self.directories[directory].path)
    }
}

/// What a directory answers for as a whole.
pub(crate) fn directory_error<D: Disk>(shard: &Shard<D>, directory: usize) -> ErrorCode {
    if shard.is_online(directory) { ErrorCode::NONE } else { ErrorCode::KAFKA_STORAGE_ERROR }
}
