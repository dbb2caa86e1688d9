//! The node in the quorum: its state, what goes in and what comes out, and the steps from one role to another.

use crate::journal::{Entry, FOLDER, Journal, Trouble};
use crate::message::{Call, Endpoint, LeaderView, ReplicaKey, Request, Response, SnapshotId};
use crate::role::{Following, Role, Waiting};
use crate::state_file::{self, Saved};
use crate::voters::{Voter, VoterSet};
use bytes::Bytes;
use log::{Disk, Job, JobDone, Trust};
use std::collections::BTreeMap;
use types::{ErrorCode, Instant, LeaderEpoch, NodeId, Now, Offset, Rng, Text, Uuid};

#[derive(Clone, Debug)]
pub struct Config {
    pub node: NodeId,
    /// Of the disk that holds the metadata log.
    pub directory: Uuid,
    pub cluster_id: Text,
    /// Where the other voters reach this node.
    pub endpoint: Endpoint,
    /// Who votes as long as the log does not say it.
    pub voters: Vec<Voter>,
    /// Whom to ask for the leader where no voters are known.
    pub bootstrap: Vec<Endpoint>,
    /// `controller.quorum.election.timeout.ms`.
    pub election_timeout_ms: u64,
    /// `controller.quorum.fetch.timeout.ms`.
    pub fetch_timeout_ms: u64,
    /// `controller.quorum.election.backoff.max.ms`.
    pub election_backoff_max_ms: u64,
    /// `controller.quorum.request.timeout.ms`.
    pub request_timeout_ms: u64,
    /// `controller.quorum.retry.backoff.ms`.
    pub retry_backoff_ms: u64,
    /// How long a leader keeps a fetch that it has nothing new for.
    pub fetch_max_wait_ms: u64,
    pub fetch_bytes_max: u32,
    /// `metadata.log.segment.bytes`.
    pub segment_bytes: u32,
}

impl Config {
    /// A node with the usual times, which knows nobody.
    #[must_use]
    pub fn new(node: NodeId, directory: Uuid, cluster_id: Text, endpoint: Endpoint) -> Config {
        Config {
            node,
            directory,
            cluster_id,
            endpoint,
            voters: Vec::new(),
            bootstrap: Vec::new(),
            election_timeout_ms: 1000,
            fetch_timeout_ms: 2000,
            election_backoff_max_ms: 1000,
            request_timeout_ms: 1000,
            retry_backoff_ms: 50,
            fetch_max_wait_ms: 500,
            fetch_bytes_max: 1 << 20,
            segment_bytes: 64 << 20,
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A node or a tool asks; the answer carries the token.
    Request { token: u64, request: Request },
    /// The answer to a request that went out with the token.
    Response { token: u64, response: Response },
    /// The request with the token will not be answered: nobody listens, or the connection closed.
    Failed { token: u64 },
    /// The connection to a node closed. A leader that is killed is noticed so at once.
    LinkClosed { node: NodeId },
    /// A job is done.
    JobDone(JobDone),
    /// It is `next_wake`.
    Wake,
}

/// Whom a request goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Not known where only an address is.
    pub node: Option<NodeId>,
    pub endpoint: Endpoint,
}

/// What to do.
pub enum Output<D: Disk> {
    /// Send it; `Response` or `Failed` follows.
    Send { to: Peer, request: Request, token: u64 },
    /// Answer the request that came with the token.
    Reply { token: u64, response: Response },
    /// Run it elsewhere; `JobDone` follows.
    Job(Job<D>),
    /// What the snapshot holds is the state, in place of all that was applied.
    LoadSnapshot { id: SnapshotId, records: Vec<Bytes> },
    /// These records are committed: in order, each once, from the snapshot or the log's start on. Between them are
    /// records of the quorum itself, so that there may be none, and `end_offset` says where they end.
    Committed { entries: Vec<Entry>, end_offset: Offset },
    /// Who leads has changed.
    Leader(LeaderView),
    /// This node leads, and all that was committed before was applied; it may append now.
    BecameLeader { epoch: LeaderEpoch },
    /// It does not lead this epoch any more: what it appended and what is not committed may be lost or not.
    Resigned { epoch: LeaderEpoch },
    /// For the operator.
    Note(String),
    /// Nothing more can be done with this log.
    Fatal { reason: String },
}

/// Why nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendError {
    NotLeader,
    /// It may succeed later, or in smaller pieces.
    Refused(String),
}

/// What a request that was sent is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Vote {
        pre_vote: bool,
    },
    Begin,
    End,
    Fetch,
    Snapshot,
    /// A fetch of a node that looks for the leader.
    Probe,
    Update,
}

impl Purpose {
    fn is_answered_by(self, response: &Response) -> bool {
        match self {
            Purpose::Vote { .. } => matches!(response, Response::Vote(_)),
            Purpose::Begin => matches!(response, Response::BeginQuorumEpoch(_)),
            Purpose::End => matches!(response, Response::EndQuorumEpoch(_)),
            Purpose::Fetch | Purpose::Probe => matches!(response, Response::Fetch(_)),
            Purpose::Snapshot => matches!(response, Response::FetchSnapshot(_)),
            Purpose::Update => matches!(response, Response::UpdateVoter(_)),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub node: Option<NodeId>,
    pub purpose: Purpose,
    /// In which it was sent.
    pub epoch: LeaderEpoch,
    pub deadline: Instant,
}

/// One node of the metadata quorum.
pub struct Quorum<D: Disk> {
    pub(crate) config: Config,
    pub(crate) disk: D,
    pub(crate) journal: Journal<D>,
    pub(crate) rng: Rng,
    pub(crate) epoch: LeaderEpoch,
    /// For whom, in this epoch.
    pub(crate) voted: Option<ReplicaKey>,
    pub(crate) leader: Option<NodeId>,
    pub(crate) leader_endpoint: Option<Endpoint>,
    pub(crate) role: Role,
    pub(crate) high_watermark: Offset,
    /// Everything below was handed out.
    pub(crate) applied: Offset,
    pub(crate) sent: BTreeMap<u64, Sent>,
    next_token: u64,
    pub(crate) outputs: Vec<Output<D>>,
    tick_at: Instant,
    /// Nothing is done any more.
    pub(crate) failed: bool,
    /// Elections lost in a row.
    pub(crate) lost_elections: u32,
    /// When this node last stood up against a leader that it followed.
    pub(crate) doubted_at: Option<Instant>,
    /// Which of the known addresses is asked next for the leader.
    pub(crate) probes: usize,
    told: (Option<NodeId>, LeaderEpoch),
}

/// A follower waits at most so long after its link closed, so that those of one leader do not stand up together.
pub(crate) const HINT_JITTER_MS: u64 = 40;
/// A node that starts tries to be elected so soon: who follows a leader will not let it, so that it disturbs nobody.
const START_MS: u64 = 20;
const START_JITTER_MS: u64 = 200;
const TICK_MS: u64 = 1000;
const STEPS_MAX: usize = 8;

impl<D: Disk> Quorum<D> {
    /// Opens what the disk holds. A node that is the only voter leads at once, and its log is committed and handed out.
    pub fn open(disk: D, config: Config, now: Now, trust: Trust, rng: Rng) -> Result<Quorum<D>, String> {
        let voters = VoterSet::new(config.voters.iter().cloned());
        let opened = Journal::open(disk.clone(), voters, config.segment_bytes, now, trust)?;
        let journal = opened.journal;
        let mut saved = state_file::load(&disk, FOLDER)?;
        if saved.epoch < journal.last_epoch() {
            saved = Saved { epoch: journal.last_epoch(), ..Saved::NEW };
        }
        let start = journal.start();
        let mut quorum = Quorum {
            config,
            disk,
            journal,
            rng,
            epoch: saved.epoch,
            voted: saved.voted,
            leader: None,
            leader_endpoint: None,
            role: Role::Unattached(Waiting { deadline: now.at, probe_at: now.at }),
            high_watermark: start,
            applied: start,
            sent: BTreeMap::new(),
            next_token: 0,
            outputs: opened.notes.into_iter().map(Output::Note).collect(),
            tick_at: now.at.plus_ms(TICK_MS),
            failed: false,
            lost_elections: 0,
            doubted_at: None,
            probes: 0,
            told: (None, LeaderEpoch::NONE),
        };
        quorum
            .outputs
            .extend(opened.snapshot.map(|content| Output::LoadSnapshot { id: content.id, records: content.records }));
        quorum.begin(now, saved);
        Ok(quorum)
    }

    fn begin(&mut self, now: Now, saved: Saved) {
        let alone = self.is_voter() && self.journal.voters().len() == 1;
        if alone {
            self.start_election(now);
            if let Some(at) = self.outputs.iter().position(|output| matches!(output, Output::Job(_)))
                && let Output::Job(job) = self.outputs.remove(at)
            {
                self.job_done(now, job.run());
            }
            return;
        }
        let wait_ms = START_MS + self.rng.below(START_JITTER_MS);
        let waiting = Waiting { deadline: now.at.plus_ms(wait_ms), probe_at: now.at };
        match saved.leader {
            Some(leader) if leader == self.config.node => self.role = Role::Resigned(waiting),
            Some(leader) => {
                self.leader = Some(leader);
                self.role = Role::Follower(Following::new(leader, now.at, self.config.fetch_timeout_ms));
            }
            None => self.role = Role::Unattached(waiting),
        }
        self.announce();
    }

    /// Takes what happened. What is to be done comes out of `take_outputs`.
    pub fn handle(&mut self, now: Now, input: Input) {
        if self.failed {
            return;
        }
        match input {
            Input::Request { token, request } => self.on_request(now, token, request),
            Input::Response { token, response } => {
                if let Some(sent) = self.sent.remove(&token) {
                    self.on_response(now, token, sent, response);
                }
            }
            Input::Failed { token } => {
                if let Some(sent) = self.sent.remove(&token) {
                    self.on_failed(now, token, sent);
                }
            }
            Input::LinkClosed { node } => self.on_link_closed(now, node),
            Input::JobDone(done) => self.job_done(now, done),
            Input::Wake => {}
        }
        self.drive(now);
    }

    pub fn take_outputs(&mut self) -> Vec<Output<D>> {
        std::mem::take(&mut self.outputs)
    }

    fn on_request(&mut self, now: Now, token: u64, request: Request) {
        if request.cluster_id.is_some_and(|id| id != self.config.cluster_id) {
            let response = self.refusal(&request.call, ErrorCode::INCONSISTENT_CLUSTER_ID);
            self.push(Output::Reply { token, response });
            return;
        }
        match request.call {
            Call::Vote(vote) => self.on_vote(now, token, &vote),
            Call::BeginQuorumEpoch(begin) => self.on_begin(now, token, begin),
            Call::EndQuorumEpoch(end) => self.on_end(now, token, &end),
            Call::Fetch(fetch) => self.on_fetch(now, token, fetch),
            Call::FetchSnapshot(fetch) => self.on_fetch_snapshot(now, token, &fetch),
            Call::AddVoter(add) => self.on_add_voter(now, token, &add),
            Call::RemoveVoter(remove) => self.on_remove_voter(now, token, &remove),
            Call::UpdateVoter(update) => self.on_update_voter(now, token, &update),
        }
    }

    fn on_response(&mut self, now: Now, token: u64, sent: Sent, response: Response) {
        if !sent.purpose.is_answered_by(&response) {
            self.on_failed(now, token, sent);
            return;
        }
        match response {
            Response::Vote(vote) => self.on_voted(now, sent, &vote),
            Response::BeginQuorumEpoch(told) | Response::EndQuorumEpoch(told) => self.observe(now, &told.leader),
            // A node that looks for the leader follows what it is told, and fetches then.
            Response::Fetch(fetched) if sent.purpose == Purpose::Probe => self.observe(now, &fetched.leader),
            Response::Fetch(fetched) => self.on_fetched(now, token, sent, &fetched),
            Response::FetchSnapshot(piece) => self.on_piece(now, token, sent, &piece),
            Response::UpdateVoter(changed) | Response::AddVoter(changed) | Response::RemoveVoter(changed) => {
                self.observe(now, &changed.leader);
            }
        }
    }

    fn on_failed(&mut self, now: Now, token: u64, sent: Sent) {
        match sent.purpose {
            Purpose::Vote { pre_vote } => self.vote_failed(now, sent, pre_vote),
            Purpose::Fetch | Purpose::Snapshot => self.fetch_failed(now, token),
            Purpose::Begin | Purpose::End | Purpose::Probe | Purpose::Update => {}
        }
    }

    fn job_done(&mut self, now: Now, done: JobDone) {
        let mut jobs = Vec::new();
        if let Err(trouble) = self.journal.job_done(now, done, &mut jobs) {
            self.trouble(trouble);
        }
        self.outputs.extend(jobs.into_iter().map(Output::Job));
        self.advance(now);
        self.synced(now);
    }

    /// What is due by the clock, after every input.
    fn drive(&mut self, now: Now) {
        let late: Vec<u64> =
            self.sent.iter().filter(|(_, sent)| sent.deadline <= now.at).map(|(token, _)| *token).collect();
        for token in late {
            if let Some(sent) = self.sent.remove(&token) {
                self.on_failed(now, token, sent);
            }
        }
        if now.at >= self.tick_at && !self.failed {
            self.tick_at = now.at.plus_ms(TICK_MS);
            let mut jobs = Vec::new();
            if let Err(trouble) = self.journal.tick(now, &mut jobs) {
                self.trouble(trouble);
            }
            self.outputs.extend(jobs.into_iter().map(Output::Job));
        }
        // One step may make another one due, such as the fetch of a node that just found its leader.
        for _ in 0..STEPS_MAX {
            self.drive_election(now);
            self.drive_follower(now);
            self.drive_leader(now);
            if self.role_wake().is_none_or(|at| at > now.at) {
                break;
            }
        }
        self.sync();
    }

    /// When `Wake` is due.
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        if self.failed {
            return None;
        }
        let sent = self.sent.values().map(|sent| sent.deadline).min();
        [Some(self.tick_at), sent, self.role_wake()].into_iter().flatten().min()
    }

    /// Where this node is reached.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.config.endpoint
    }

    /// Whether this node with this disk votes.
    #[must_use]
    pub fn is_voter(&self) -> bool {
        self.journal.voters().contains(self.key())
    }

    pub(crate) fn key(&self) -> ReplicaKey {
        ReplicaKey { id: self.config.node, directory: self.config.directory }
    }

    pub(crate) fn push(&mut self, output: Output<D>) {
        // A promise that could not be kept on disk must not be heard of.
        if !self.failed {
            self.outputs.push(output);
        }
    }

    pub(crate) fn send(&mut self, now: Now, to: Peer, call: Call, purpose: Purpose, timeout_ms: u64) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        let deadline = now.at.plus_ms(timeout_ms);
        self.sent.insert(token, Sent { node: to.node, purpose, epoch: self.epoch, deadline });
        let request = Request { cluster_id: Some(self.config.cluster_id.clone()), call };
        self.push(Output::Send { to, request, token });
        token
    }

    pub(crate) fn fatal(&mut self, reason: String) {
        self.push(Output::Fatal { reason });
        self.failed = true;
    }

    /// True where it was fatal.
    pub(crate) fn trouble(&mut self, trouble: Trouble) -> bool {
        match trouble {
            Trouble::Fatal(reason) => {
                self.fatal(format!("the metadata log cannot be used: {reason}"));
                true
            }
            Trouble::Later(why) => {
                self.push(Output::Note(why));
                false
            }
        }
    }

    /// Writes down epoch, vote and leader, durably. Waits for the disk.
    pub(crate) fn persist(&mut self) {
        let saved = Saved { epoch: self.epoch, voted: self.voted, leader: self.leader };
        if let Err(error) = state_file::store(&self.disk, FOLDER, &saved) {
            self.fatal(format!("this node cannot write down its vote: {error}"));
        }
    }

    pub(crate) fn sync(&mut self) {
        if let Some(job) = self.journal.start_sync() {
            self.push(Output::Job(job));
        }
    }

    /// Tells the owner of a new leader or epoch.
    pub(crate) fn announce(&mut self) {
        if self.told != (self.leader, self.epoch) {
            self.told = (self.leader, self.epoch);
            let view = self.view();
            self.push(Output::Leader(view));
        }
    }

    /// What this node knows of the leader.
    #[must_use]
    pub fn view(&self) -> LeaderView {
        let of_voter = |id| self.journal.voters().get(id).map(|voter| voter.endpoint.clone());
        let endpoint = match self.leader {
            Some(id) if id == self.config.node => Some(self.config.endpoint.clone()),
            Some(id) => self.leader_endpoint.clone().or_else(|| of_voter(id)),
            None => None,
        };
        LeaderView { leader: self.leader, epoch: self.epoch, endpoint }
    }

    /// Takes note of what another node says of the leader.
    pub(crate) fn observe(&mut self, now: Now, view: &LeaderView) {
        let leader = view.leader.filter(|leader| *leader != self.config.node);
        if view.epoch > self.epoch {
            self.leave(now);
            self.epoch = view.epoch;
            self.voted = None;
            match leader {
                Some(leader) => self.follow(now, leader, view.endpoint.clone()),
                None => {
                    let wait_ms = self.election_wait_ms();
                    self.wait(now, wait_ms);
                }
            }
            self.persist();
        } else if view.epoch == self.epoch
            && let Some(leader) = leader
        {
            match &self.role {
                Role::Unattached(_) | Role::Prospective(_) | Role::Candidate(_) => {
                    self.follow(now, leader, view.endpoint.clone());
                    self.persist();
                }
                Role::Follower(following) if following.leader == leader => {
                    if view.endpoint.is_some() {
                        self.leader_endpoint.clone_from(&view.endpoint);
                    }
                }
                Role::Follower(_) | Role::Leader(_) | Role::Resigned(_) => {
                    let (epoch, own) = (self.epoch, self.leader.unwrap_or(self.config.node));
                    self.fatal(format!("nodes {own} and {leader} both lead epoch {epoch} of the metadata quorum"));
                }
            }
        }
    }

    pub(crate) fn follow(&mut self, now: Now, leader: NodeId, endpoint: Option<Endpoint>) {
        self.leave(now);
        self.leader = Some(leader);
        self.leader_endpoint = endpoint;
        self.role = Role::Follower(Following::new(leader, now.at, self.config.fetch_timeout_ms));
        self.announce();
    }

    /// Waits for a leader, and tries to become it after `wait_ms`.
    pub(crate) fn wait(&mut self, now: Now, wait_ms: u64) {
        self.leave(now);
        self.leader = None;
        self.leader_endpoint = None;
        self.role = Role::Unattached(Waiting { deadline: now.at.plus_ms(wait_ms), probe_at: now.at });
        self.announce();
    }

    pub(crate) fn election_wait_ms(&mut self) -> u64 {
        self.config.election_timeout_ms + self.rng.below(self.config.election_timeout_ms)
    }

    /// Before another role is taken.
    pub(crate) fn leave(&mut self, now: Now) {
        if matches!(self.role, Role::Leader(_)) {
            self.resign_as(now, false);
        }
    }

    /// Ends cleanly: a leader lets others take over. Send what `take_outputs` gives before the end.
    pub fn stop(&mut self, now: Now) {
        if self.failed {
            return;
        }
        self.resign(now);
        if let Err(trouble) = self.journal.stop() {
            self.trouble(trouble);
        }
    }
}
