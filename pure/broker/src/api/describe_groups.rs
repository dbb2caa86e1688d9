//! DescribeGroups 0 to 6.
//!
//! 3 has authorised operations (KIP-430), 4 static members (KIP-345), 5 is flexible, 6 says that a group is not found
//! (KIP-1043).

use super::metadata::GROUP_OPERATIONS;
use super::{Disk, Outcome, Request, Shard, Step};
use coordinator::group::command::{Command, DescribeGroups, Described, DescribedMember, Reply};
use types::Text;
use wire::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use wire::{DescribeGroupsRequest, DescribeGroupsResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: DescribeGroupsRequest) -> Step<D> {
    let knows_group_id_not_found = request.version >= 6;
    let describe = |group: &Text| {
        let groups = vec![group.detached()];
        shard.group_work(group, Command::DescribeGroups(DescribeGroups { groups, knows_group_id_not_found }))
    };
    let works = asked.groups.iter().map(describe).collect();
    Step::all(works, move |shard, outcomes| {
        let mut groups = Vec::with_capacity(outcomes.len());
        for (group_id, outcome) in asked.groups.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Group(Reply::DescribeGroups(described)) => {
                    groups.extend(described.into_iter().map(described_group));
                }
                other => {
                    let (error_code, message) = other.into_failure();
                    let error_message = Some(Text::from(message));
                    let authorized_operations = i32::MIN;
                    groups.push(DescribedGroup {
                        error_code,
                        error_message,
                        group_id,
                        authorized_operations,
                        ..Default::default()
                    });
                }
            }
        }
        if asked.include_authorized_operations {
            for group in groups.iter_mut().filter(|group| group.error_code.is_ok()) {
                group.authorized_operations = GROUP_OPERATIONS;
            }
        }
        for group in &groups {
            shard.figures.error(request.key, group.error_code);
        }
        request.reply(&DescribeGroupsResponse { groups, ..Default::default() })
    })
}

fn described_group(group: Described) -> DescribedGroup {
    let member = |member: DescribedMember| DescribedGroupMember {
        member_id: member.member,
        group_instance_id: member.instance,
        client_id: member.client_id,
        client_host: member.client_host,
        member_metadata: member.metadata,
        member_assignment: member.assignment,
        ..Default::default()
    };
    DescribedGroup {
        error_code: group.error,
        error_message: group.message.map(Text::from),
        group_id: group.group,
        group_state: Text::from_static(group.state),
        protocol_type: group.protocol_type,
        protocol_data: group.protocol,
        members: group.members.into_iter().map(member).collect(),
        authorized_operations: i32::MIN,
        ..Default::default()
    }
}
