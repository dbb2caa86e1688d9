//! ListGroups 0 to 5.
//!
//! 3 is flexible, 4 filters by state (KIP-518), 5 by type (KIP-848).

use super::{Disk, Outcome, Request, Shard, Step, Work};
use ::metadata::names::CONSUMER_OFFSETS;
use coordinator::group::command::{Command, ListGroups, Reply};
use types::{ErrorCode, PartitionIndex, Text};
use wire::list_groups_response::ListedGroup;
use wire::{ListGroupsRequest, ListGroupsResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: ListGroupsRequest) -> Step<D> {
    let filter = ListGroups {
        states: asked.states_filter.iter().map(Text::detached).collect(),
        types: asked.types_filter.iter().map(Text::detached).collect(),
    };
    let partitions = shard.image.topic_by_name(CONSUMER_OFFSETS).map_or(0, |topic| topic.partition_count());
    let works = (0..partitions)
        .map(PartitionIndex)
        .map(|partition| Work::Group { partition, command: Box::new(Command::ListGroups(filter.clone())) })
        .collect();
    Step::all(works, move |shard, outcomes| {
        let mut response = ListGroupsResponse::default();
        for outcome in outcomes {
            match outcome {
                Outcome::Group(Reply::ListGroups(groups)) => response.groups.extend(groups.into_iter().map(listed)),
                other => response.error_code = other.into_failure().0,
            }
        }
        if response.error_code == ErrorCode::NOT_COORDINATOR {
            // Some other broker lists the groups of that partition.
            response.error_code = ErrorCode::NONE;
        }
        shard.figures.error(request.key, response.error_code);
        request.reply(&response)
    })
}

fn listed(group: coordinator::group::command::Listed) -> ListedGroup {
    ListedGroup {
        group_id: group.group,
        protocol_type: group.protocol_type,
        group_state: Text::from_static(group.state),
        group_type: Text::from_static(group.group_type),
        ..Default::default()
    }
}
