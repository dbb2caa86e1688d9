//! DeleteGroups 0 to 2.
//!
//! 2 is flexible.

use super::{Disk, Outcome, Request, Shard, Step};
use coordinator::group::command::{Command, DeleteGroups, Reply};
use std::collections::BTreeSet;
use types::Text;
use wire::delete_groups_response::DeletableGroupResult;
use wire::{DeleteGroupsRequest, DeleteGroupsResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, mut asked: DeleteGroupsRequest) -> Step<D> {
    let mut seen = BTreeSet::new();
    asked.groups_names.retain(|group| seen.insert(group.clone()));
    let delete = |group: &Text| {
        let groups = vec![group.detached()];
        shard.group_work(group, Command::DeleteGroups(DeleteGroups { groups }))
    };
    let works = asked.groups_names.iter().map(delete).collect();
    Step::all(works, move |shard, outcomes| {
        let mut results = Vec::with_capacity(outcomes.len());
        for (group_id, outcome) in asked.groups_names.into_iter().zip(outcomes) {
            let error_code = match outcome {
                Outcome::Group(Reply::DeleteGroups(deleted)) => deleted.first().map_or_else(Default::default, |d| d.1),
                other => other.into_failure().0,
            };
            shard.figures.error(request.key, error_code);
            results.push(DeletableGroupResult { group_id, error_code, ..Default::default() });
        }
        request.reply(&DeleteGroupsResponse { results, ..Default::default() })
    })
}
