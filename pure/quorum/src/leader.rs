//! Leading: the first record of the epoch, serving fetches, the high watermark, giving up without a majority.

use crate::control::{self, Control};
use crate::journal::{Fit, Trouble};
use crate::message::{
    BeginQuorumEpoch, Call, EndQuorumEpoch, EpochEnd, Fetch, FetchResponse, FetchSnapshot, FetchSnapshotResponse,
    ReplicaKey, Response, SnapshotId,
};
use crate::quorum::{AppendError, Output, Peer, Purpose, Quorum};
use crate::role::{Leading, Parked, Progress, Role, Waiting};
use crate::voters::Voter;
use bytes::Bytes;
use log::Disk;
use record::{Builder, Template};
use std::collections::BTreeMap;
use types::limits::{METADATA_FETCHES_PARKED_MAX, METADATA_OBSERVERS_MAX};
use types::{ErrorCode, Instant, LeaderEpoch, NodeId, Now, Offset, Timestamp, Uuid};

/// An observer that has not fetched for so long is gone.
const OBSERVER_MS: u64 = 300_000;

impl Leading {
    fn new(epoch_start: Offset, since: Instant) -> Leading {
        Leading {
            epoch_start,
            since,
            confirmed: false,
            progress: BTreeMap::new(),
            parked: Vec::new(),
            begin_at: BTreeMap::new(),
            change: None,
        }
    }

    /// How far a voter got. Only the disk that the voter set names counts; where none is named yet, the one that fetched
    /// last.
    pub fn progress_of(&self, voter: &Voter) -> Option<(ReplicaKey, &Progress)> {
        let id = voter.id;
        let all = ReplicaKey { id, directory: Uuid::ZERO }..=ReplicaKey { id, directory: Uuid([0xff; 16]) };
        let own =
            self.progress.range(all).filter(|(key, _)| voter.directory.is_zero() || voter.directory == key.directory);
        own.max_by_key(|(_, progress)| progress.fetched_at).map(|(key, progress)| (*key, progress))
    }

    fn fetched_at(&self, voter: &Voter) -> Instant {
        self.progress_of(voter).map_or(self.since, |(_, progress)| progress.fetched_at)
    }
}

impl<D: Disk> Quorum<D> {
    pub(crate) fn leading(&mut self) -> Option<&mut Leading> {
        match &mut self.role {
            Role::Leader(leading) => Some(leading),
            Role::Unattached(_) | Role::Prospective(_) | Role::Candidate(_) | Role::Follower(_) | Role::Resigned(_) => {
                None
            }
        }
    }

    /// The election is won. The epoch begins with a record of its own, and with the voters where the log does not name
    /// them yet.
    pub(crate) fn lead(&mut self, now: Now) {
        let granting = match &self.role {
            Role::Candidate(ballot) => ballot.granted.clone(),
            Role::Unattached(_) | Role::Prospective(_) | Role::Follower(_) | Role::Leader(_) | Role::Resigned(_) => {
                return;
            }
        };
        self.leader = Some(self.config.node);
        self.leader_endpoint = None;
        self.lost_elections = 0;
        self.role = Role::Leader(Box::new(Leading::new(self.journal.end(), now.at)));
        self.announce();
        let keys: Vec<ReplicaKey> = self.journal.voters().iter().map(Voter::key).collect();
        let granting = keys.iter().copied().filter(|key| granting.contains(&key.id)).collect();
        let mut records = vec![Control::LeaderChange { leader: self.config.node, voters: keys, granting }];
        if self.journal.voters_unwritten() {
            let mut voters = self.journal.voters().clone();
            if let Some(own) = voters.get(self.config.node).cloned() {
                let (directory, endpoint) = (self.config.directory, self.config.endpoint.clone());
                voters = voters.with(Voter { directory, endpoint, ..own });
            }
            records.extend([Control::KRaftVersion, Control::Voters(voters)]);
        }
        if let Err(trouble) = self.append_control(now, &records)
            && !self.trouble(trouble)
        {
            self.resign(now);
        }
    }

    pub(crate) fn append_control(&mut self, now: Now, records: &[Control]) -> Result<(), Trouble> {
        let batch = control::batch(Template::default(), now.wall, records);
        self.journal.append(now, batch, self.epoch)?;
        self.serve_parked(now);
        self.sync();
        Ok(())
    }

    /// Appends the controller's records as one batch: they are committed together or not at all. `epoch` is that of
    /// `BecameLeader`. Returns where they end; they are committed when `Committed` reaches it.
    pub fn append(&mut self, now: Now, epoch: LeaderEpoch, records: &[Bytes]) -> Result<Offset, AppendError> {
        if self.failed || epoch != self.epoch || !self.leading().is_some_and(|leading| leading.confirmed) {
            return Err(AppendError::NotLeader);
        }
        let mut builder = Builder::new(Template::default());
        for record in records {
            builder.append(now.wall, None, Some(record), &[]);
        }
        if builder.is_empty() {
            return Ok(self.journal.end());
        }
        match self.journal.append(now, builder.finish(), epoch) {
            Ok(()) => {
                self.serve_parked(now);
                self.sync();
                Ok(self.journal.end())
            }
            Err(Trouble::Later(why)) => Err(AppendError::Refused(why)),
            Err(fatal @ Trouble::Fatal(_)) => {
                self.trouble(fatal);
                Err(AppendError::NotLeader)
            }
        }
    }

    pub(crate) fn on_fetch(&mut self, now: Now, token: u64, fetch: Fetch) {
        let error = self.check_epoch(fetch.current_epoch);
        if !error.is_ok() {
            let leader = self.heard_view(now);
            self.reply_fetch(token, FetchResponse { error, leader, ..self.empty_fetch() });
            return;
        }
        match self.journal.fit(fetch.offset, fetch.last_epoch) {
            Fit::Diverging(end) => self.reply_diverging(token, end),
            Fit::Snapshot(id) => {
                self.reply_fetch(token, FetchResponse { snapshot: Some(id), ..self.empty_fetch() });
            }
            Fit::Valid => {
                self.note_fetch(now, fetch.replica, Some(fetch.offset));
                self.advance(now);
                self.learn_directories(now);
                self.answer_or_park(now, token, fetch);
            }
        }
    }

    fn reply_diverging(&mut self, token: u64, end: EpochEnd) {
        self.reply_fetch(token, FetchResponse { diverging: Some(end), ..self.empty_fetch() });
    }

    /// Whether this node leads the epoch that the asker is in.
    pub(crate) fn check_epoch(&mut self, asked: LeaderEpoch) -> ErrorCode {
        if asked < self.epoch {
            ErrorCode::FENCED_LEADER_EPOCH
        } else if asked > self.epoch {
            ErrorCode::UNKNOWN_LEADER_EPOCH
        } else if self.leading().is_none() {
            ErrorCode::NOT_LEADER_OR_FOLLOWER
        } else {
            ErrorCode::NONE
        }
    }

    fn empty_fetch(&self) -> FetchResponse {
        FetchResponse {
            error: ErrorCode::NONE,
            leader: self.view(),
            high_watermark: self.high_watermark,
            log_start_offset: self.journal.start(),
            diverging: None,
            snapshot: None,
            records: Bytes::new(),
        }
    }

    fn reply_fetch(&mut self, token: u64, response: FetchResponse) {
        self.push(Output::Reply { token, response: Response::Fetch(response) });
    }

    /// Notes that a replica fetched, and that it holds everything below `offset`.
    fn note_fetch(&mut self, now: Now, replica: ReplicaKey, offset: Option<Offset>) {
        let end = self.journal.end();
        let voter = self.journal.voters().contains(replica);
        let me = self.config.node;
        let Some(leading) = self.leading().filter(|_| replica.id != me && replica.id >= NodeId(0)) else { return };
        if !leading.progress.contains_key(&replica) && !voter && leading.progress.len() >= METADATA_OBSERVERS_MAX {
            return;
        }
        let new = Progress {
            offset: Offset::NONE,
            fetched_at: now.at,
            fetched_wall: now.wall,
            caught_up_at: None,
            caught_up_wall: Timestamp::NONE,
            leader_end: end,
        };
        let progress = leading.progress.entry(replica).or_insert(new);
        if let Some(offset) = offset {
            if offset >= end {
                (progress.caught_up_at, progress.caught_up_wall) = (Some(now.at), now.wall);
            } else if offset >= progress.leader_end && progress.offset != Offset::NONE {
                (progress.caught_up_at, progress.caught_up_wall) = (Some(progress.fetched_at), progress.fetched_wall);
            }
            // An older fetch may arrive late; what it promised before still holds.
            progress.offset = progress.offset.max(offset);
            progress.leader_end = end;
        }
        (progress.fetched_at, progress.fetched_wall) = (now.at, now.wall);
    }

    fn answer_or_park(&mut self, now: Now, token: u64, fetch: Fetch) {
        let news = self.has_news(&fetch);
        let wait_ms = fetch.max_wait_ms.min(self.config.fetch_max_wait_ms);
        match self.leading() {
            Some(leading) if !news && wait_ms > 0 && leading.parked.len() < METADATA_FETCHES_PARKED_MAX => {
                leading.parked.push(Parked { token, fetch, until: now.at.plus_ms(wait_ms) });
            }
            Some(_) => self.answer_fetch(token, &fetch),
            None => {
                let error = ErrorCode::NOT_LEADER_OR_FOLLOWER;
                self.reply_fetch(token, FetchResponse { error, ..self.empty_fetch() });
            }
        }
    }

    fn has_news(&self, fetch: &Fetch) -> bool {
        self.journal.end() > fetch.offset || self.high_watermark > fetch.high_watermark
    }

    fn answer_fetch(&mut self, token: u64, fetch: &Fetch) {
        let mut response = self.empty_fetch();
        let max_bytes = fetch.max_bytes.min(self.config.fetch_bytes_max);
        if max_bytes > 0 {
            match self.journal.read(fetch.offset, self.journal.end(), max_bytes) {
                Ok(records) => response.records = records,
                Err(trouble) => {
                    self.trouble(trouble);
                    response.error = ErrorCode::KAFKA_STORAGE_ERROR;
                }
            }
        }
        self.reply_fetch(token, response);
    }

    /// Answers the fetches that have waited for what there is now.
    pub(crate) fn serve_parked(&mut self, now: Now) {
        let Some(leading) = self.leading() else { return };
        for parked in std::mem::take(&mut leading.parked) {
            if parked.until <= now.at || self.has_news(&parked.fetch) {
                self.answer_fetch(parked.token, &parked.fetch);
            } else if let Some(leading) = self.leading() {
                leading.parked.push(parked);
            }
        }
    }

    pub(crate) fn on_fetch_snapshot(&mut self, now: Now, token: u64, fetch: &FetchSnapshot) {
        let mut response = FetchSnapshotResponse {
            error: self.check_epoch(fetch.current_epoch),
            leader: self.view(),
            snapshot: fetch.snapshot,
            size: 0,
            position: fetch.position,
            bytes: Bytes::new(),
        };
        if response.error.is_ok() {
            self.note_fetch(now, fetch.replica, None);
            let max_bytes = fetch.max_bytes.min(self.config.fetch_bytes_max);
            match self.journal.snapshot_piece(fetch.snapshot, fetch.position, max_bytes) {
                Ok(Some((size, bytes))) => {
                    (response.size, response.bytes) = (size, bytes);
                    if fetch.position >= size {
                        response.error = ErrorCode::POSITION_OUT_OF_RANGE;
                    }
                }
                Ok(None) => response.error = ErrorCode::SNAPSHOT_NOT_FOUND,
                Err(trouble) => {
                    self.trouble(trouble);
                    response.error = ErrorCode::KAFKA_STORAGE_ERROR;
                }
            }
        }
        self.push(Output::Reply { token, response: Response::FetchSnapshot(response) });
    }

    /// The high watermark is what a majority of the voters holds durably, and counts only once that reaches into this
    /// leader's own epoch: what is before could still be replaced by a leader that lacks it.
    pub(crate) fn advance(&mut self, now: Now) {
        let (me, synced, end) = (self.key(), self.journal.synced(), self.journal.end());
        let Role::Leader(leading) = &self.role else { return };
        let voters = self.journal.voters();
        let mut held: Vec<Offset> = voters
            .iter()
            .map(|voter| match voter.id == me.id && voters.contains(me) {
                true => synced,
                false => leading.progress_of(voter).map_or(Offset::NONE, |(_, progress)| progress.offset),
            })
            .collect();
        held.sort_by(|a, b| b.cmp(a));
        let Some(common) = held.get(voters.majority() - 1).map(|offset| (*offset).min(end)) else { return };
        if common > leading.epoch_start && common > self.high_watermark {
            self.high_watermark = common;
            self.journal.set_high_watermark(common);
            self.deliver(now);
            self.serve_parked(now);
        }
    }

    /// Hands out what is committed and was not yet.
    pub(crate) fn deliver(&mut self, now: Now) {
        while self.applied < self.high_watermark && !self.failed {
            match self.journal.entries(self.applied, self.high_watermark) {
                Ok((entries, end_offset)) => {
                    self.applied = end_offset;
                    self.push(Output::Committed { entries, end_offset });
                }
                Err(Trouble::Fatal(why) | Trouble::Later(why)) => {
                    self.fatal(format!("the metadata log cannot be read: {why}"));
                }
            }
        }
        let (epoch, high_watermark) = (self.epoch, self.high_watermark);
        if let Some(leading) = self.leading()
            && !leading.confirmed
            && high_watermark > leading.epoch_start
        {
            leading.confirmed = true;
            self.push(Output::BecameLeader { epoch });
        }
        self.settle_voters(now);
    }

    /// Stops leading; those who hold most of the log are asked to take over.
    pub fn resign(&mut self, now: Now) {
        if self.leading().is_some() {
            self.resign_as(now, true);
            self.announce();
        }
    }

    pub(crate) fn resign_as(&mut self, now: Now, tell: bool) {
        let wait_ms = self.election_wait_ms();
        let deadline = now.at.plus_ms(wait_ms);
        let next = Role::Resigned(Waiting { deadline, probe_at: deadline });
        let before = std::mem::replace(&mut self.role, next);
        let Role::Leader(leading) = before else {
            self.role = before;
            return;
        };
        self.leader = None;
        if leading.confirmed {
            let epoch = self.epoch;
            self.push(Output::Resigned { epoch });
        }
        let error = ErrorCode::NOT_LEADER_OR_FOLLOWER;
        for parked in &leading.parked {
            self.reply_fetch(parked.token, FetchResponse { error, ..self.empty_fetch() });
        }
        if let Some(change) = leading.change {
            self.reply_change(change.token, change.kind, error, "the leader changed; the change may still happen");
        }
        if tell {
            self.tell_end(now, &leading);
        }
    }

    fn tell_end(&mut self, now: Now, leading: &Leading) {
        let me = self.config.node;
        let others: Vec<Voter> = self.journal.voters().iter().filter(|voter| voter.id != me).cloned().collect();
        let held = |voter: &Voter| leading.progress_of(voter).map_or(Offset::NONE, |(_, progress)| progress.offset);
        let key = |voter: &Voter| leading.progress_of(voter).map_or(voter.key(), |(key, _)| key);
        let mut best: Vec<&Voter> = others.iter().collect();
        best.sort_by_key(|voter| std::cmp::Reverse(held(voter)));
        let end = EndQuorumEpoch {
            leader: me,
            epoch: self.epoch,
            preferred: best.into_iter().map(key).collect(),
            endpoint: Some(self.config.endpoint.clone()),
        };
        for voter in others {
            let to = Peer { node: Some(voter.id), endpoint: voter.endpoint };
            let timeout_ms = self.config.request_timeout_ms;
            self.send(now, to, Call::EndQuorumEpoch(end.clone()), Purpose::End, timeout_ms);
        }
    }

    pub(crate) fn drive_leader(&mut self, now: Now) {
        if self.quorum_deadline().is_some_and(|deadline| deadline <= now.at) {
            self.push(Output::Note("this node stops leading: no majority of the voters fetches from it".to_owned()));
            self.resign(now);
        }
        self.begin_epochs(now);
        let Some(leading) = self.leading() else { return };
        if leading.parked.iter().any(|parked| parked.until <= now.at) {
            self.serve_parked(now);
        }
        self.expire_change(now);
        let voters = self.journal.voters().clone();
        if let Some(leading) = self.leading() {
            let gone = |progress: &Progress| now.at.ms_since(progress.fetched_at) > OBSERVER_MS;
            leading.progress.retain(|key, progress| voters.contains(*key) || !gone(progress));
        }
    }

    /// When the leader gives up, where no more voters fetch until then. The others elect a new one meanwhile.
    fn quorum_deadline(&self) -> Option<Instant> {
        let Role::Leader(leading) = &self.role else { return None };
        let (me, voters) = (self.config.node, self.journal.voters());
        let own = usize::from(self.is_voter());
        let mut fetched: Vec<Instant> =
            voters.iter().filter(|voter| voter.id != me).map(|voter| leading.fetched_at(voter)).collect();
        fetched.sort_by(|a, b| b.cmp(a));
        let needed = voters.majority() - own;
        let oldest = fetched.get(needed.checked_sub(1)?)?;
        Some(oldest.plus_ms(self.config.fetch_timeout_ms * 3 / 2))
    }

    /// Tells the voters that do not fetch who leads.
    fn begin_epochs(&mut self, now: Now) {
        let interval_ms = self.config.fetch_timeout_ms / 2;
        let (me, epoch, own) = (self.config.node, self.epoch, self.config.endpoint.clone());
        let voters: Vec<Voter> = self.journal.voters().iter().filter(|voter| voter.id != me).cloned().collect();
        for voter in voters {
            let Some(leading) = self.leading() else { return };
            if leading.begin_at.get(&voter.id).is_some_and(|at| *at > now.at) {
                continue;
            }
            let fetched = leading.progress_of(&voter).map(|(_, progress)| progress.fetched_at.plus_ms(interval_ms));
            if let Some(next) = fetched.filter(|next| *next > now.at) {
                leading.begin_at.insert(voter.id, next);
                continue;
            }
            leading.begin_at.insert(voter.id, now.at.plus_ms(interval_ms));
            let begin = BeginQuorumEpoch { voter: voter.key(), leader: me, epoch, endpoint: Some(own.clone()) };
            let to = Peer { node: Some(voter.id), endpoint: voter.endpoint };
            let timeout_ms = self.config.request_timeout_ms;
            self.send(now, to, Call::BeginQuorumEpoch(begin), Purpose::Begin, timeout_ms);
        }
    }

    /// When the role has something to do by the clock.
    pub(crate) fn role_wake(&self) -> Option<Instant> {
        match &self.role {
            Role::Unattached(waiting) | Role::Resigned(waiting) => match self.may_stand() {
                true => Some(waiting.deadline.min(waiting.probe_at)),
                false => Some(waiting.probe_at),
            },
            Role::Prospective(ballot) | Role::Candidate(ballot) => {
                ballot.due.values().copied().chain([ballot.deadline]).min()
            }
            Role::Follower(following) => {
                let may_fetch = following.fetching.is_none() && self.journal.synced() >= self.journal.end();
                let fetch_at = (may_fetch && self.view().endpoint.is_some()).then_some(following.fetch_at);
                let durable = self.journal.synced() >= self.journal.end();
                fetch_at.into_iter().chain(durable.then_some(following.deadline)).min()
            }
            Role::Leader(leading) => {
                let me = self.config.node;
                let others = self.journal.voters().iter().filter(|voter| voter.id != me);
                let begin = others.map(|voter| leading.begin_at.get(&voter.id).copied().unwrap_or(leading.since)).min();
                let parked = leading.parked.iter().map(|parked| parked.until).min();
                let change = leading.change.map(|change| change.until);
                [begin, parked, change, self.quorum_deadline()].into_iter().flatten().min()
            }
        }
    }

    /// Writes a snapshot of everything below `end_offset`, which must be applied: where a `Committed` ended. The log
    /// below it is let go. Waits for the disk.
    pub fn snapshot(
        &mut self,
        now: Now,
        end_offset: Offset,
        records: impl IntoIterator<Item = Bytes>,
    ) -> Result<SnapshotId, String> {
        if self.failed || end_offset > self.applied || end_offset <= self.journal.start() {
            return Err(format!("no snapshot can end at {end_offset}"));
        }
        self.journal.write_snapshot(now, end_offset, records).map_err(|trouble| match trouble {
            Trouble::Later(why) => why,
            Trouble::Fatal(why) => {
                self.fatal(format!("the metadata log cannot be used: {why}"));
                why
            }
        })
    }
}
