//! Changes of the voters (KIP-853): one at a time, so that every majority of the set before meets every majority of the set
//! after. A set counts as soon as it is in the log.

use crate::control::Control;
use crate::message::{
    AddVoter, Call, ChangeResponse, EpochResponse, FetchResponse, FetchSnapshotResponse, RemoveVoter, Response,
    UpdateVoter, VoteResponse,
};
use crate::quorum::{Output, Quorum};
use crate::role::{Change, ChangeKind, Role};
use crate::voters::{Voter, VoterSet};
use bytes::Bytes;
use log::Disk;
use types::{ErrorCode, Now};

/// How long a change without a time of its own is waited for.
const CHANGE_MS: u64 = 30_000;

/// Why a change does not begin.
type Refused = (ErrorCode, String);

impl<D: Disk> Quorum<D> {
    pub(crate) fn on_add_voter(&mut self, now: Now, token: u64, add: &AddVoter) {
        let voters = self.check_add(now, add);
        self.change(now, ChangeKind::Add, voters, (token, add.timeout_ms, add.when_committed));
    }

    fn check_add(&mut self, now: Now, add: &AddVoter) -> Result<VoterSet, Refused> {
        self.may_change()?;
        let (voters, id) = (self.journal.voters(), add.voter.id);
        if add.voter.directory.is_zero() {
            return Err((ErrorCode::INVALID_REQUEST, format!("voter {id} needs the id of its directory")));
        }
        if voters.get(id).is_some() {
            let message = format!("node {id} is a voter already; one that got a new disk is removed first");
            return Err((ErrorCode::DUPLICATE_VOTER, message));
        }
        // A voter that must first catch up would let commits wait for it.
        let Role::Leader(leading) = &self.role else { return Err((ErrorCode::NOT_LEADER_OR_FOLLOWER, String::new())) };
        let caught_up = leading.progress.get(&add.voter).and_then(|progress| progress.caught_up_at);
        if caught_up.is_none_or(|at| now.at.ms_since(at) > self.config.fetch_timeout_ms) {
            let message = format!("node {id} has not caught up with the metadata log as an observer; try again");
            return Err((ErrorCode::REQUEST_TIMED_OUT, message));
        }
        Ok(voters.with(Voter { id, directory: add.voter.directory, endpoint: add.endpoint.clone() }))
    }

    pub(crate) fn on_remove_voter(&mut self, now: Now, token: u64, remove: &RemoveVoter) {
        let voters = self.check_remove(remove);
        self.change(now, ChangeKind::Remove, voters, (token, CHANGE_MS, true));
    }

    fn check_remove(&mut self, remove: &RemoveVoter) -> Result<VoterSet, Refused> {
        self.may_change()?;
        let (voters, id) = (self.journal.voters(), remove.voter.id);
        if voters.get(id).is_none_or(|voter| voter.directory != remove.voter.directory) {
            let message = format!("node {id} with directory {} is no voter", remove.voter.directory);
            return Err((ErrorCode::VOTER_NOT_FOUND, message));
        }
        if voters.len() == 1 {
            return Err((ErrorCode::INVALID_REQUEST, "the last voter cannot be removed".to_owned()));
        }
        Ok(voters.without(id))
    }

    pub(crate) fn on_update_voter(&mut self, now: Now, token: u64, update: &UpdateVoter) {
        let voters = self.check_update(update);
        self.change(now, ChangeKind::Update, voters, (token, CHANGE_MS, true));
    }

    fn check_update(&mut self, update: &UpdateVoter) -> Result<VoterSet, Refused> {
        match self.check_epoch(update.current_epoch) {
            ErrorCode::NONE => {}
            error => return Err((error, String::new())),
        }
        self.may_change()?;
        let (voters, id) = (self.journal.voters(), update.voter.id);
        if !voters.contains(update.voter) {
            let message = format!("node {id} with directory {} is no voter", update.voter.directory);
            return Err((ErrorCode::VOTER_NOT_FOUND, message));
        }
        Ok(voters.with(Voter { id, directory: update.voter.directory, endpoint: update.endpoint.clone() }))
    }

    /// A leader may change the voters when its own epoch is committed and no other change is under way.
    fn may_change(&mut self) -> Result<(), Refused> {
        let Some(leading) = self.leading() else {
            return Err((ErrorCode::NOT_LEADER_OR_FOLLOWER, String::new()));
        };
        if !leading.confirmed || leading.change.is_some() || self.has_uncommitted_voters() {
            let message = "another change of the voters is not committed yet; try again";
            return Err((ErrorCode::REQUEST_TIMED_OUT, message.to_owned()));
        }
        Ok(())
    }

    pub(crate) fn has_uncommitted_voters(&self) -> bool {
        self.journal.voters_offset().is_some_and(|offset| offset >= self.high_watermark)
    }

    fn change(&mut self, now: Now, kind: ChangeKind, voters: Result<VoterSet, Refused>, to: (u64, u64, bool)) {
        let (token, timeout_ms, when_committed) = to;
        let voters = match voters {
            Ok(voters) => voters,
            Err((error, message)) => return self.reply_change(token, kind, error, &message),
        };
        if voters == *self.journal.voters() {
            self.reply_change(token, kind, ErrorCode::NONE, "");
            return;
        }
        let offset = self.journal.end();
        if when_committed && let Some(leading) = self.leading() {
            leading.change = Some(Change { offset, token, kind, until: now.at.plus_ms(timeout_ms) });
        }
        match self.append_control(now, &[Control::Voters(voters)]) {
            Ok(()) if when_committed => {}
            Ok(()) => self.reply_change(token, kind, ErrorCode::NONE, ""),
            Err(trouble) => {
                if let Some(leading) = self.leading() {
                    leading.change = None;
                }
                self.reply_change(token, kind, ErrorCode::KAFKA_STORAGE_ERROR, "the metadata log cannot be written");
                self.trouble(trouble);
            }
        }
        // A set that got smaller may have a majority for more.
        self.advance(now);
    }

    /// What follows from the commit of a voter set.
    pub(crate) fn settle_voters(&mut self, now: Now) {
        let high_watermark = self.high_watermark;
        let uncommitted = self.has_uncommitted_voters();
        let Some(leading) = self.leading().filter(|leading| leading.confirmed) else { return };
        if let Some(change) = leading.change.take_if(|change| change.offset < high_watermark) {
            self.reply_change(change.token, change.kind, ErrorCode::NONE, "");
        }
        if !uncommitted && !self.is_voter() {
            self.resign(now);
        }
        self.learn_directories(now);
    }

    /// Writes down which disks the voters keep their logs on, as soon as they are known: from then on no other disk votes
    /// for them. Also where this node itself is reached elsewhere now.
    pub(crate) fn learn_directories(&mut self, now: Now) {
        if self.has_uncommitted_voters() {
            return;
        }
        let (me, own) = (self.key(), self.config.endpoint.clone());
        let Role::Leader(leading) = &self.role else { return };
        if !leading.confirmed {
            return;
        }
        let before = self.journal.voters();
        let mut after = before.clone();
        for voter in before.iter() {
            if voter.id == me.id {
                after = after.with(Voter { id: me.id, directory: me.directory, endpoint: own.clone() });
            } else if voter.directory.is_zero()
                && let Some((key, _)) = leading.progress_of(voter)
            {
                after = after.with(Voter { directory: key.directory, ..voter.clone() });
            }
        }
        if after != *before
            && let Err(trouble) = self.append_control(now, &[Control::Voters(after)])
        {
            self.trouble(trouble);
        }
    }

    pub(crate) fn expire_change(&mut self, now: Now) {
        let Some(leading) = self.leading() else { return };
        if let Some(change) = leading.change.take_if(|change| change.until <= now.at) {
            let message = "the change is in the log and not committed yet";
            self.reply_change(change.token, change.kind, ErrorCode::REQUEST_TIMED_OUT, message);
        }
    }

    pub(crate) fn reply_change(&mut self, token: u64, kind: ChangeKind, error: ErrorCode, message: &str) {
        let changed = ChangeResponse { error, message: message.to_owned(), leader: self.view() };
        let response = match kind {
            ChangeKind::Add => Response::AddVoter(changed),
            ChangeKind::Remove => Response::RemoveVoter(changed),
            ChangeKind::Update => Response::UpdateVoter(changed),
        };
        self.push(Output::Reply { token, response });
    }

    /// The answer to a call that is refused whatever it says.
    pub(crate) fn refusal(&self, call: &Call, error: ErrorCode) -> Response {
        let leader = self.view();
        let message = match error {
            ErrorCode::INCONSISTENT_CLUSTER_ID => format!("this is cluster {}", self.config.cluster_id),
            _ => String::new(),
        };
        match call {
            Call::Vote(_) => Response::Vote(VoteResponse { error, leader, granted: false }),
            Call::BeginQuorumEpoch(_) => Response::BeginQuorumEpoch(EpochResponse { error, leader }),
            Call::EndQuorumEpoch(_) => Response::EndQuorumEpoch(EpochResponse { error, leader }),
            Call::Fetch(_) => Response::Fetch(FetchResponse {
                error,
                leader,
                high_watermark: types::Offset::NONE,
                log_start_offset: types::Offset::NONE,
                diverging: None,
                snapshot: None,
                records: Bytes::new(),
            }),
            Call::FetchSnapshot(fetch) => Response::FetchSnapshot(FetchSnapshotResponse {
                error,
                leader,
                snapshot: fetch.snapshot,
                size: 0,
                position: fetch.position,
                bytes: Bytes::new(),
            }),
            Call::AddVoter(_) => Response::AddVoter(ChangeResponse { error, message, leader }),
            Call::RemoveVoter(_) => Response::RemoveVoter(ChangeResponse { error, message, leader }),
            Call::UpdateVoter(_) => Response::UpdateVoter(ChangeResponse { error, message, leader }),
        }
    }
}
