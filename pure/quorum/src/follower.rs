//! Following a leader: fetching its log, cutting back what went another way, taking its snapshot. A fetch says from where
//! on records are wanted, and promises that everything below is durable, so it waits for the sync.

use crate::journal::Trouble;
use crate::message::{
    Call, EpochEnd, Fetch, FetchResponse, FetchSnapshot, FetchSnapshotResponse, LeaderView, SnapshotId, UpdateVoter,
};
use crate::quorum::{HINT_JITTER_MS, Output, Peer, Purpose, Quorum, Sent};
use crate::role::{Download, Following, Role};
use crate::snapshot;
use log::Disk;
use types::{ErrorCode, NodeId, Now, Offset};

/// A closed link makes a node doubt its leader at most so often.
const HINT_PAUSE_MS: u64 = 300;
/// How often a voter that moved says so.
const UPDATE_MS: u64 = 1000;

impl<D: Disk> Quorum<D> {
    fn following(&mut self) -> Option<&mut Following> {
        match &mut self.role {
            Role::Follower(following) => Some(following),
            Role::Unattached(_) | Role::Prospective(_) | Role::Candidate(_) | Role::Leader(_) | Role::Resigned(_) => {
                None
            }
        }
    }

    pub(crate) fn drive_follower(&mut self, now: Now) {
        // What was fetched last counts only when it is durable.
        if self.failed || self.journal.synced() < self.journal.end() {
            return;
        }
        let endpoint = self.view().endpoint;
        let (Some(following), Some(endpoint)) = (self.following(), endpoint) else { return };
        if following.fetching.is_some() || following.fetch_at > now.at {
            return;
        }
        let to = Peer { node: Some(following.leader), endpoint };
        let download = following.download.as_ref().map(|download| (download.id, download.bytes.len() as u64));
        let (call, purpose) = match download {
            Some((snapshot, position)) => (
                Call::FetchSnapshot(FetchSnapshot {
                    replica: self.key(),
                    current_epoch: self.epoch,
                    snapshot,
                    position,
                    max_bytes: self.config.fetch_bytes_max,
                }),
                Purpose::Snapshot,
            ),
            None => (Call::Fetch(self.next_fetch()), Purpose::Fetch),
        };
        let timeout_ms = self.config.fetch_max_wait_ms + self.config.request_timeout_ms;
        let token = self.send(now, to.clone(), call, purpose, timeout_ms);
        if let Some(following) = self.following() {
            following.fetching = Some(token);
        }
        self.update_voter(now, to);
    }

    pub(crate) fn next_fetch(&self) -> Fetch {
        Fetch {
            replica: self.key(),
            current_epoch: self.epoch,
            offset: self.journal.end(),
            last_epoch: self.journal.last_epoch(),
            high_watermark: self.high_watermark,
            max_wait_ms: self.config.fetch_max_wait_ms,
            max_bytes: self.config.fetch_bytes_max,
        }
    }

    /// Tells the leader where this voter is reached, where the log says something else.
    fn update_voter(&mut self, now: Now, leader: Peer) {
        let key = self.key();
        let moved = |voter: &crate::Voter| voter.directory == key.directory && voter.endpoint != self.config.endpoint;
        if !self.journal.voters().get(key.id).is_some_and(moved) {
            return;
        }
        let Some(following) = self.following() else { return };
        if following.update_at > now.at || following.heard_at.is_none() {
            return;
        }
        following.update_at = now.at.plus_ms(UPDATE_MS);
        let call = Call::UpdateVoter(UpdateVoter {
            current_epoch: self.epoch,
            voter: key,
            endpoint: self.config.endpoint.clone(),
        });
        let timeout_ms = self.config.request_timeout_ms;
        self.send(now, leader, call, Purpose::Update, timeout_ms);
    }

    pub(crate) fn on_fetched(&mut self, now: Now, token: u64, sent: Sent, fetched: &FetchResponse) {
        self.observe(now, &fetched.leader);
        if !self.is_answer(now, token, sent, fetched.error, &fetched.leader) {
            return;
        }
        let result = match (fetched.diverging, fetched.snapshot) {
            (Some(theirs), _) => self.cut_back(now, theirs),
            (None, Some(id)) => {
                self.begin_download(id);
                Ok(())
            }
            // Only here the logs are known to be one up to this one's end, so that the high watermark means the same in both.
            (None, None) => self.journal.append_fetched(now, &fetched.records, self.epoch).map(|()| {
                self.learn_high_watermark(now, fetched.high_watermark);
            }),
        };
        if let Err(trouble) = result {
            self.retry_fetch(now);
            self.trouble(trouble);
        }
    }

    /// Whether this answers the fetch that is under way, and answers it well; otherwise all is done.
    fn is_answer(&mut self, now: Now, token: u64, sent: Sent, error: ErrorCode, leader: &LeaderView) -> bool {
        let epoch = self.epoch;
        let deadline = now.at.plus_ms(self.config.fetch_timeout_ms);
        let Some(following) = self.following().filter(|following| following.fetching == Some(token)) else {
            return false;
        };
        following.fetching = None;
        following.fetch_at = now.at;
        if sent.epoch != epoch {
            return false;
        }
        if error.is_ok() {
            following.heard_at = Some(now.at);
            following.deadline = deadline;
            self.lost_elections = 0;
            return true;
        }
        following.download = None;
        if error == ErrorCode::NOT_LEADER_OR_FOLLOWER && leader.epoch == epoch && leader.leader.is_none() {
            // The leader resigned, and what would have said so was lost.
            let wait_ms = self.rng.below(HINT_JITTER_MS);
            self.wait(now, wait_ms);
            return false;
        }
        if error == ErrorCode::INCONSISTENT_CLUSTER_ID {
            let cluster = self.config.cluster_id.clone();
            self.push(Output::Note(format!("the leader belongs to another cluster than this node ({cluster})")));
        }
        self.retry_fetch(now);
        false
    }

    fn retry_fetch(&mut self, now: Now) {
        let fetch_at = now.at.plus_ms(self.config.retry_backoff_ms);
        if let Some(following) = self.following() {
            following.fetch_at = fetch_at;
        }
    }

    /// The logs went different ways: what this one has beyond the common part was never committed.
    fn cut_back(&mut self, now: Now, theirs: EpochEnd) -> Result<(), Trouble> {
        let end = self.journal.common_end(theirs);
        if end < self.high_watermark {
            return Err(Trouble::Fatal(format!(
                "the leader's log differs from this one at offset {end}, below the high watermark {}",
                self.high_watermark
            )));
        }
        if end == self.journal.end() {
            return Err(Trouble::Later(format!("the leader says that the log differs, but not below its end {end}")));
        }
        self.journal.truncate(now, end)
    }

    fn learn_high_watermark(&mut self, now: Now, leaders: Offset) {
        let known = leaders.min(self.journal.end());
        if known > self.high_watermark {
            self.high_watermark = known;
            self.journal.set_high_watermark(known);
            self.deliver(now);
        }
    }

    pub(crate) fn fetch_failed(&mut self, now: Now, token: u64) {
        if let Some(following) = self.following()
            && following.fetching == Some(token)
        {
            following.fetching = None;
            self.retry_fetch(now);
            self.doubt(now);
        }
    }

    pub(crate) fn on_link_closed(&mut self, now: Now, node: NodeId) {
        if self.following().is_some_and(|following| following.leader == node) {
            self.doubt(now);
        }
    }

    /// The leader may be gone. Asking the others whether they would elect this node is harmless: as long as they hear the
    /// leader they refuse.
    fn doubt(&mut self, now: Now) {
        let jitter = self.rng.below(HINT_JITTER_MS);
        let earliest = self.doubted_at.map_or(now.at, |at| at.plus_ms(HINT_PAUSE_MS)).max(now.at);
        if let Some(following) = self.following() {
            following.heard_at = None;
            following.deadline = following.deadline.min(earliest.plus_ms(jitter));
        }
    }

    /// A sync ended: the next fetch may promise what it covers. The time it took is not the leader's silence.
    pub(crate) fn synced(&mut self, now: Now) {
        let deadline = now.at.plus_ms(self.config.fetch_timeout_ms);
        if let Some(following) = self.following()
            && following.heard_at.is_some()
            && following.fetching.is_none()
        {
            following.deadline = following.deadline.max(deadline);
        }
    }

    fn begin_download(&mut self, id: SnapshotId) {
        if let Some(following) = self.following() {
            following.download = Some(Download { id, bytes: Vec::new() });
        }
    }

    pub(crate) fn on_piece(&mut self, now: Now, token: u64, sent: Sent, piece: &FetchSnapshotResponse) {
        self.observe(now, &piece.leader);
        if !self.is_answer(now, token, sent, piece.error, &piece.leader) {
            return;
        }
        let Some(following) = self.following() else { return };
        let Some(download) = &mut following.download else { return };
        let fits = piece.snapshot == download.id
            && piece.position == download.bytes.len() as u64
            && !piece.bytes.is_empty()
            && piece.size <= snapshot::BYTES_MAX as u64;
        if !fits {
            following.download = None;
            self.retry_fetch(now);
            return;
        }
        download.bytes.extend_from_slice(&piece.bytes);
        if download.bytes.len() as u64 >= piece.size
            && let Some(whole) = following.download.take()
        {
            self.install(now, &whole);
        }
    }

    fn install(&mut self, now: Now, download: &Download) {
        let id = download.id;
        let result = match snapshot::decode(id, &download.bytes) {
            Err(why) => Err(Trouble::Later(format!("the snapshot that the leader sent cannot be read: {why}"))),
            Ok(_) if id.end_offset < self.high_watermark => Err(Trouble::Later(format!(
                "the leader sent a snapshot that ends at {}, below the high watermark {}",
                id.end_offset, self.high_watermark
            ))),
            Ok(content) => self.journal.install(now, &content, &download.bytes).map(|()| content.records),
        };
        match result {
            Ok(records) => {
                self.high_watermark = id.end_offset;
                self.applied = id.end_offset;
                self.journal.set_high_watermark(id.end_offset);
                self.push(Output::LoadSnapshot { id, records });
            }
            Err(trouble) => {
                self.retry_fetch(now);
                self.trouble(trouble);
            }
        }
    }
}
