//! From a command to the group that it is for, and the refusals that need no group.

use super::command::{Command, Join, JoinReply, LeaveReply, OffsetDeleteReply, OffsetFetchReply, Reply, SyncReply};
use super::state::Group;
use super::{Config, Step, Token, Undo, admin, leave, offsets, records};
use std::collections::BTreeMap;
use types::limits::{GROUP_PROTOCOLS_MAX, GROUP_TEXT_BYTES_MAX, GROUPS_PER_PARTITION_MAX};
use types::{ErrorCode, Text};

pub(super) fn decide(groups: &mut BTreeMap<Text, Group>, step: &mut Step, token: Token, command: Command) {
    match command {
        Command::Join(command) => join(groups, step, token, command),
        Command::Sync(command) => match groups.get_mut(&command.group) {
            Some(group) => group.sync(step, token, command),
            None => step.answer(token, Reply::Sync(SyncReply::refused(ErrorCode::UNKNOWN_MEMBER_ID))),
        },
        Command::Heartbeat(command) => {
            let group = groups.get_mut(&command.group);
            let error = group.map_or(ErrorCode::UNKNOWN_MEMBER_ID, |group| group.heartbeat(step, &command));
            step.answer(token, Reply::Heartbeat(error));
        }
        Command::Leave(command) => {
            let reply = match groups.get_mut(&command.group) {
                Some(group) => group.leave(step, command),
                None => leave::from_unknown_group(command),
            };
            step.answer_when_stored(token, Reply::Leave(reply));
        }
        Command::OffsetCommit(command) => {
            let reply = offsets::commit(step, groups.get_mut(&command.group), command);
            step.answer_when_stored(token, Reply::OffsetCommit(reply));
        }
        Command::OffsetFetch(command) => {
            let reply = offsets::fetch(groups.get(&command.group), command.topics);
            step.answer_when_stored(token, Reply::OffsetFetch(reply));
        }
        Command::OffsetDelete(command) => {
            let reply = offsets::delete(step, groups.get(&command.group), command);
            step.answer_when_stored(token, Reply::OffsetDelete(reply));
        }
        Command::ListGroups(command) => {
            step.answer_when_stored(token, Reply::ListGroups(admin::list(groups.values(), &command)));
        }
        Command::DescribeGroups(command) => {
            let knows = command.knows_group_id_not_found;
            let describe = |id: Text| admin::describe(id.clone(), groups.get(&id), knows);
            let described = command.groups.into_iter().map(describe).collect();
            step.answer_when_stored(token, Reply::DescribeGroups(described));
        }
        Command::DeleteGroups(command) => {
            let records = &mut step.out.records;
            let delete = |id: Text| (id.clone(), admin::delete(groups.get(&id), records));
            let deleted = command.groups.into_iter().map(delete).collect();
            step.answer_when_stored(token, Reply::DeleteGroups(deleted));
        }
    }
}

/// A join may make the group; that is stored, so that every later record finds it.
fn join(groups: &mut BTreeMap<Text, Group>, step: &mut Step, token: Token, join: Join) {
    let is_new = !groups.contains_key(&join.group);
    if let Some(error) = refuse_join(step.config, &join, is_new, groups.len()) {
        return step.answer(token, Reply::Join(JoinReply::refused(join.member, error)));
    }
    let id = join.group.detached();
    let group = groups.entry(id.clone()).or_insert_with_key(Group::new);
    group.join(step, token, join);
    if !is_new {
        return;
    }
    if group.members().is_empty() && group.pending.is_empty() {
        groups.remove(&id);
        return;
    }
    assert!(step.out.records.is_empty(), "a group's first rebalance takes time");
    step.out.records.push(records::new_group(&id, step.now.wall));
    step.out.undo.push(Undo::Created(id));
    let known_by_its_record = std::mem::take(&mut step.out.now_replies);
    step.out.replies.extend(known_by_its_record);
}

fn refuse_join(config: &Config, join: &Join, is_new: bool, groups: usize) -> Option<ErrorCode> {
    let texts = [&join.member, &join.client_id, &join.client_host, &join.protocol_type];
    let names = join.protocols.iter().map(|(name, _)| name);
    let is_long = |text: &Text| text.len() > GROUP_TEXT_BYTES_MAX;
    if !(config.session_timeout_min_ms..=config.session_timeout_max_ms).contains(&join.session_timeout_ms) {
        Some(ErrorCode::INVALID_SESSION_TIMEOUT)
    } else if texts.into_iter().chain(&join.instance).chain(names).any(is_long)
        || join.protocols.len() > GROUP_PROTOCOLS_MAX
    {
        Some(ErrorCode::INVALID_REQUEST)
    } else if is_new && !join.member.is_empty() {
        Some(ErrorCode::UNKNOWN_MEMBER_ID)
    } else if is_new && groups >= GROUPS_PER_PARTITION_MAX {
        Some(ErrorCode::GROUP_MAX_SIZE_REACHED)
    } else {
        None
    }
}

/// Old clients commit and fetch under the empty group id; a group with members has a name.
pub(super) fn is_group_id_refused(command: &Command) -> bool {
    let (group, may_be_empty) = match command {
        Command::Join(command) => (&command.group, false),
        Command::Sync(command) => (&command.group, false),
        Command::Heartbeat(command) => (&command.group, false),
        Command::Leave(command) => (&command.group, false),
        Command::OffsetDelete(command) => (&command.group, false),
        Command::OffsetCommit(command) => (&command.group, true),
        Command::OffsetFetch(command) => (&command.group, true),
        Command::ListGroups(_) | Command::DescribeGroups(_) | Command::DeleteGroups(_) => return false,
    };
    group.len() > GROUP_TEXT_BYTES_MAX || (group.is_empty() && !may_be_empty)
}

pub(super) fn refuse(command: Command, error: ErrorCode) -> Reply {
    match command {
        Command::Join(command) => Reply::Join(JoinReply::refused(command.member, error)),
        Command::Sync(_) => Reply::Sync(SyncReply::refused(error)),
        Command::Heartbeat(_) => Reply::Heartbeat(error),
        Command::Leave(_) => Reply::Leave(LeaveReply { error, members: Vec::new() }),
        Command::OffsetCommit(command) => Reply::OffsetCommit(offsets::answer_all(&command.topics, error)),
        Command::OffsetFetch(_) => Reply::OffsetFetch(OffsetFetchReply { error, topics: Vec::new() }),
        Command::OffsetDelete(_) => Reply::OffsetDelete(OffsetDeleteReply { error, topics: Vec::new() }),
        Command::ListGroups(_) | Command::DescribeGroups(_) | Command::DeleteGroups(_) => {
            unreachable!("these name no single group")
        }
    }
}
