//! What administrators ask: which groups there are, what one consists of, and that it be gone.

use super::command::{Described, DescribedMember, ListGroups, Listed};
use super::state::{Group, Member, State};
use super::{Record, records};
use bytes::Bytes;
use types::{ErrorCode, Text};

/// The type of all groups of this coordinator.
const GROUP_TYPE: &str = "classic";

pub(super) fn list<'a>(groups: impl Iterator<Item = &'a Group>, filter: &ListGroups) -> Vec<Listed> {
    let passes = |wanted: &[Text], name: &str| wanted.is_empty() || wanted.iter().any(|w| w.eq_ignore_ascii_case(name));
    if !passes(&filter.types, GROUP_TYPE) {
        return Vec::new();
    }
    let listed = |group: &Group| Listed {
        group: group.id.clone(),
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        state: group.state().name(),
        group_type: GROUP_TYPE,
    };
    groups.filter(|group| passes(&filter.states, group.state().name())).map(listed).collect()
}

/// Subscriptions are shown where the protocol stands.
pub(super) fn describe(id: Text, group: Option<&Group>, knows_group_id_not_found: bool) -> Described {
    let Some(group) = group else { return unknown(id, knows_group_id_not_found) };
    let protocol = group.protocol.clone().filter(|_| group.state() == State::Stable);
    let described = |(id, member): (&Text, &Member)| DescribedMember {
        member: id.clone(),
        instance: member.instance.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        metadata: protocol.as_ref().and_then(|name| member.metadata(name)).cloned().unwrap_or(Bytes::new()),
        assignment: member.assignment.clone(),
    };
    let members = group.members().iter().map(described).collect();
    Described {
        error: ErrorCode::NONE,
        message: None,
        group: id,
        state: group.state().name(),
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        protocol: protocol.unwrap_or_default(),
        members,
    }
}

fn unknown(id: Text, is_error: bool) -> Described {
    Described {
        error: if is_error { ErrorCode::GROUP_ID_NOT_FOUND } else { ErrorCode::NONE },
        message: is_error.then(|| format!("Group {id} not found.")),
        group: id,
        state: State::Dead.name(),
        protocol_type: Text::default(),
        protocol: Text::default(),
        members: Vec::new(),
    }
}

/// Tombstones of a group without members and of all its offsets.
pub(super) fn delete(group: Option<&Group>, into: &mut Vec<Record>) -> ErrorCode {
    match group {
        None => ErrorCode::GROUP_ID_NOT_FOUND,
        Some(group) if group.state() != State::Empty => ErrorCode::NON_EMPTY_GROUP,
        Some(group) => {
            group.delete_offsets(into);
            into.push(records::group_tombstone(&group.id));
            ErrorCode::NONE
        }
    }
}
