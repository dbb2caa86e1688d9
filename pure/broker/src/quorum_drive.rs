//! The quorum's place on shard 0: hands it what happens, carries out what it wants.

use crate::call::ReplyTo;
use crate::job::{Job, JobFor};
use crate::office::Office;
use crate::peers::{Address, Lane, Question, Unanswered};
use crate::raft::{self, Question as Wired};
use crate::seam::{Level, Output};
use crate::shard::{Deadline, Shard, replan};
use crate::work::Outcome;
use log::Disk;
use quorum::{Call, Input, LeaderView, Output as Wish, Peer, Request};
use types::ErrorCode;

/// How long a question to another node may take. The quorum gives up sooner; this is for the link.
const TIMEOUT_MS: u64 = 5_000;

impl<D: Disk> Shard<D> {
    /// A node or a tool asks the quorum.
    pub(crate) fn perform_quorum(&mut self, request: Request, to: ReplyTo) -> Option<Outcome<D>> {
        let (now, token) = (self.now, self.next_id());
        let Some(controlling) = &mut self.controlling else {
            return Some(Outcome::refused(ErrorCode::NOT_CONTROLLER, ""));
        };
        controlling.asked.insert(token, to);
        controlling.quorum.handle(now, Input::Request { token, request });
        self.drive_quorum();
        self.take_done(to)
    }

    /// How the quorum stands, where this node leads it.
    pub(crate) fn describe_quorum(&self) -> Outcome<D> {
        let described = self.controlling.as_ref().and_then(|controlling| controlling.quorum.describe(self.now).ok());
        Outcome::QuorumView(described.map(Box::new))
    }

    /// Lets others take over, and writes out what a clean stop must leave.
    pub(crate) fn close_metadata(&mut self) {
        let now = self.now;
        if let Some(controlling) = &mut self.controlling {
            controlling.quorum.stop(now);
            self.drive_quorum();
        }
    }

    pub(crate) fn wake_quorum(&mut self) {
        let now = self.now;
        if let Some(controlling) = &mut self.controlling {
            controlling.woken_at = None;
            controlling.quorum.handle(now, Input::Wake);
            self.drive_quorum();
        }
    }

    pub(crate) fn quorum_job_done(&mut self, done: log::JobDone) {
        let now = self.now;
        if let Some(controlling) = &mut self.controlling {
            controlling.quorum.handle(now, Input::JobDone(done));
            self.drive_quorum();
        }
    }

    /// Carries out what the quorum wants until it wants nothing more.
    pub(crate) fn drive_quorum(&mut self) {
        while let Some(controlling) = &mut self.controlling {
            let wishes = controlling.quorum.take_outputs();
            if wishes.is_empty() {
                break;
            }
            for wish in wishes {
                self.carry_out_wish(wish);
            }
        }
        self.show_committed();
        self.plan_quorum_wake();
    }

    fn carry_out_wish(&mut self, wish: Wish<D>) {
        match wish {
            Wish::Send { to, request, token } => self.send_to_peer(&to, request, token),
            Wish::Reply { token, response } => {
                let to = self.controlling.as_mut().and_then(|controlling| controlling.asked.remove(&token));
                self.done.extend(to.map(|to| (to, Outcome::Quorum(Box::new(response)))));
            }
            Wish::Job(job) => self.start_job(JobFor::MetadataLog, Job::Log(job)),
            Wish::LoadSnapshot { records, .. } => {
                let loaded = self.controlling.as_mut().map_or(Ok(()), |controlling| controlling.load(&records));
                self.must_apply(loaded);
            }
            Wish::Committed { entries, end_offset } => {
                let applied =
                    self.controlling.as_mut().map_or(Ok(()), |controlling| controlling.commit(&entries, end_offset));
                self.must_apply(applied);
            }
            Wish::Leader(view) => self.leader_changed(view),
            Wish::BecameLeader { epoch } => {
                let (now, given) = (self.now, self.given.clone());
                if let Some(controlling) = &mut self.controlling {
                    controlling.take_office(now, &given, epoch);
                }
                self.log(Level::Info, format!("this node is the active controller, in epoch {epoch}"));
                let office = Office { holder: self.node.id, epoch: epoch.0, address: None };
                self.announce_office(Some(office));
                self.schedule_sessions();
                self.suspect_all();
                self.tick_lifecycle();
            }
            Wish::Resigned { epoch } => self.leave_office(epoch),
            Wish::Note(text) => self.log(Level::Info, format!("metadata quorum: {text}")),
            Wish::Fatal { reason } => self.out.push(Output::Fatal { reason }),
        }
    }

    /// Metadata that cannot be applied must not be passed over: what follows would be built on something else.
    fn must_apply(&mut self, applied: Result<(), String>) {
        if let Err(reason) = applied {
            self.out.push(Output::Fatal { reason: format!("the cluster's metadata cannot be applied: {reason}") });
        }
    }

    fn leader_changed(&mut self, view: LeaderView) {
        // Its own office begins when it has applied everything: `BecameLeader`.
        let other = view.leader.filter(|leader| *leader != self.node.id);
        let address = view.endpoint.map(|at| Address { host: at.host, port: at.port });
        let office = other.map(|holder| Office { holder, epoch: view.epoch.0, address });
        if let Some(Office { holder, epoch, .. }) = &office {
            self.log(Level::Info, format!("node {holder} is the active controller, in epoch {epoch}"));
        }
        self.announce_office(office);
        self.tick_lifecycle();
    }

    fn send_to_peer(&mut self, to: &Peer, request: Request, token: u64) {
        let Request { cluster_id: id, call } = request;
        let address = Address { host: to.endpoint.host.clone(), port: to.endpoint.port };
        let peer = (&address, to.node, token);
        match call {
            Call::Vote(vote) => self.ask_quorum(peer, Lane::Election, &raft::vote_request(id, &vote)),
            Call::BeginQuorumEpoch(begin) => self.ask_quorum(peer, Lane::Election, &raft::begin_request(id, &begin)),
            Call::EndQuorumEpoch(end) => self.ask_quorum(peer, Lane::Election, &raft::end_request(id, &end)),
            Call::Fetch(fetch) => self.ask_quorum(peer, Lane::Metadata, &raft::fetch_request(id, &fetch)),
            Call::FetchSnapshot(fetch) => self.ask_quorum(peer, Lane::Metadata, &raft::snapshot_request(id, &fetch)),
            Call::UpdateVoter(update) => self.ask_quorum(peer, Lane::Election, &raft::update_request(id, &update)),
            // Only tools add and remove voters.
            Call::AddVoter(_) | Call::RemoveVoter(_) => {}
        }
    }

    fn ask_quorum<C: Wired>(
        &mut self,
        (to, node, token): (&Address, Option<types::NodeId>, u64),
        lane: Lane,
        request: &C,
    ) {
        let question = Question { to, lane, version: C::VERSION, request, timeout_ms: TIMEOUT_MS };
        self.ask_peer(&question, move |shard, answer| {
            let now = shard.now;
            let Some(controlling) = &mut shard.controlling else {
                return;
            };
            let broke = matches!(answer, Err(Unanswered::Closed(_)));
            match answer.ok().and_then(C::read) {
                Some(response) => controlling.quorum.handle(now, Input::Response { token, response }),
                None => controlling.quorum.handle(now, Input::Failed { token }),
            }
            // The connection to a leader that was killed closes at once: that is worth a question whether it leads.
            if let (true, Lane::Metadata, Some(node)) = (broke, lane, node) {
                controlling.quorum.handle(now, Input::LinkClosed { node });
            }
            shard.drive_quorum();
        });
    }

    fn plan_quorum_wake(&mut self) {
        let Some(controlling) = &mut self.controlling else { return };
        // What is due in this very moment is due once the clock has moved on.
        let soonest = types::Instant(self.now.at.0 + 1);
        let next = controlling.quorum.next_wake().map(|at| at.max(soonest));
        if let Some(at) = next.filter(|at| controlling.woken_at != Some(*at)) {
            replan(&mut self.deadlines, &mut controlling.woken_at, at, Deadline::Quorum);
        }
    }
}
