//! What others may see of the quorum: for DescribeQuorum, for metrics, for the checkers of the simulation.

use crate::message::{Endpoint, LeaderView, SnapshotId};
use crate::quorum::Quorum;
use crate::role::{Progress, Role};
use crate::voters::{Voter, VoterSet};
use log::Disk;
use types::{LeaderEpoch, NodeId, Now, Offset, Timestamp, Uuid};

/// How far one replica of the metadata log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaView {
    pub id: NodeId,
    pub directory: Uuid,
    pub log_end_offset: Offset,
    pub last_fetch: Timestamp,
    pub last_caught_up: Timestamp,
}

/// The answer of DescribeQuorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub leader: NodeId,
    pub epoch: LeaderEpoch,
    pub high_watermark: Offset,
    pub voters: Vec<ReplicaView>,
    pub observers: Vec<ReplicaView>,
    /// Where the voters are reached.
    pub nodes: Vec<(NodeId, Endpoint)>,
}

fn replica(id: NodeId, directory: Uuid, progress: Option<&Progress>) -> ReplicaView {
    ReplicaView {
        id,
        directory,
        log_end_offset: progress.map_or(Offset::NONE, |progress| progress.offset),
        last_fetch: progress.map_or(Timestamp::NONE, |progress| progress.fetched_wall),
        last_caught_up: progress.map_or(Timestamp::NONE, |progress| progress.caught_up_wall),
    }
}

impl<D: Disk> Quorum<D> {
    /// What the leader knows of all; another node knows only whom to ask.
    pub fn describe(&self, now: Now) -> Result<Description, LeaderView> {
        let Role::Leader(leading) = &self.role else { return Err(self.view()) };
        let me = self.key();
        let own = ReplicaView {
            id: me.id,
            directory: me.directory,
            log_end_offset: self.journal.end(),
            last_fetch: now.wall,
            last_caught_up: now.wall,
        };
        let of_voter = |voter: &Voter| match voter.id == me.id {
            true => own.clone(),
            false => {
                let progress = leading.progress_of(voter).map(|(_, progress)| progress);
                replica(voter.id, voter.directory, progress)
            }
        };
        let set = self.journal.voters();
        let observers = leading.progress.iter().filter(|(key, _)| !set.contains(**key));
        let mut observers: Vec<ReplicaView> =
            observers.map(|(key, progress)| replica(key.id, key.directory, Some(progress))).collect();
        if !self.is_voter() {
            observers.push(own.clone());
        }
        Ok(Description {
            leader: me.id,
            epoch: self.epoch,
            high_watermark: self.high_watermark,
            voters: set.iter().map(of_voter).collect(),
            observers,
            nodes: set.iter().map(|voter| (voter.id, voter.endpoint.clone())).collect(),
        })
    }

    #[must_use]
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// The epoch that this node leads and may append in.
    #[must_use]
    pub fn leading_epoch(&self) -> Option<LeaderEpoch> {
        let confirmed = matches!(&self.role, Role::Leader(leading) if leading.confirmed);
        confirmed.then_some(self.epoch)
    }

    /// What the node is: Kafka's name of it, in small letters.
    #[must_use]
    pub fn state(&self) -> &'static str {
        if self.is_voter() || matches!(self.role, Role::Leader(_)) { self.role.name() } else { "observer" }
    }

    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Everything below was handed out in `Committed` or `LoadSnapshot`.
    #[must_use]
    pub fn applied(&self) -> Offset {
        self.applied
    }

    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        self.journal.start()
    }

    /// The newest snapshot.
    #[must_use]
    pub fn snapshot_id(&self) -> Option<SnapshotId> {
        self.journal.snapshot()
    }

    #[must_use]
    pub fn log_end_offset(&self) -> Offset {
        self.journal.end()
    }

    /// The epoch of the last record.
    #[must_use]
    pub fn last_epoch(&self) -> LeaderEpoch {
        self.journal.last_epoch()
    }

    /// The newest voter set in the log, committed or not.
    #[must_use]
    pub fn voters(&self) -> &VoterSet {
        self.journal.voters()
    }
}
