//! The quorum's own keys: Vote 0 to 2, BeginQuorumEpoch and EndQuorumEpoch 0 and 1, Fetch of the metadata log,
//! FetchSnapshot 0 and 1, AddRaftVoter 0 and 1, RemoveRaftVoter 0, UpdateRaftVoter 0. Shard 0 answers them all.

use super::{Disk, Outcome, Request, Shard, Step, Work};
use crate::raft::Question;

pub(crate) fn start<D: Disk, Q>(_: &mut Shard<D>, request: Request, asked: Q) -> Step<D>
where
    Q: Question + Send + 'static,
{
    let Some(call) = asked.call() else {
        return Step::Close(format!("a {} request that does not name the metadata log", request.key));
    };
    let work = Work::Quorum(Box::new(quorum::Request { cluster_id: asked.cluster_id(), call }));
    Step::one(work, move |_, outcome| match outcome {
        Outcome::Quorum(response) => request.reply(&asked.answer(*response)),
        // Only while the node stops.
        other => Step::Close(format!("the quorum does not answer: {}", other.into_failure().0)),
    })
}
