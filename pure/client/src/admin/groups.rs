//! Questions about groups: who coordinates one, which there are, who is in them, and removing them.

use super::question::{Question, Refused};
use crate::Spot;
use crate::consumer::decode_assignment;
use types::{ErrorCode, NodeId, PartitionIndex, Text};
use wire::leave_group_request::MemberIdentity;
use wire::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest,
    FindCoordinatorResponse, LeaveGroupRequest, ListGroupsRequest, Request, Response,
};

/// Which node coordinates a group.
#[derive(Clone, Debug)]
pub struct FindCoordinator(pub Text);

impl Question for FindCoordinator {
    type Answer = NodeId;

    fn request(&self) -> Request {
        // Older versions have the one field, newer the other.
        let (key, coordinator_keys) = (self.0.clone(), vec![self.0.clone()]);
        FindCoordinatorRequest { key, key_type: 0, coordinator_keys, ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<NodeId, Refused> {
        let Response::FindCoordinator(response) = response else { return Err(Refused::foreign()) };
        coordinator(&response)
    }
}

/// The one coordinator that was asked for, as older and newer brokers name it.
pub(crate) fn coordinator(response: &FindCoordinatorResponse) -> Result<NodeId, Refused> {
    Refused::check(response.error_code, response.error_message.as_ref())?;
    let Some(found) = response.coordinators.first() else { return Ok(NodeId(response.node_id)) };
    Refused::check(found.error_code, found.error_message.as_ref())?;
    Ok(NodeId(found.node_id))
}

/// The groups that the broker which is asked coordinates.
#[derive(Clone, Copy, Debug)]
pub struct ListGroups;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedGroup {
    pub id: String,
    /// Kafka's word for what the group is doing, such as Stable or Empty.
    pub state: String,
    /// Kafka's word for the protocol of its members, such as Classic.
    pub kind: String,
    /// What the members are: `consumer` for consumers.
    pub protocol_type: String,
}

impl Question for ListGroups {
    type Answer = Vec<ListedGroup>;

    fn request(&self) -> Request {
        ListGroupsRequest::default().into()
    }

    fn read(&self, response: Response) -> Result<Vec<ListedGroup>, Refused> {
        let Response::ListGroups(response) = response else { return Err(Refused::foreign()) };
        Refused::check(response.error_code, None)?;
        let group = |known: &wire::list_groups_response::ListedGroup| ListedGroup {
            id: known.group_id.to_string(),
            state: known.group_state.to_string(),
            kind: known.group_type.to_string(),
            protocol_type: known.protocol_type.to_string(),
        };
        Ok(response.groups.iter().map(group).collect())
    }
}

/// Asks a group's coordinator about its members.
#[derive(Clone, Debug)]
pub struct DescribeGroup(pub Text);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub id: String,
    /// Kafka's word for what the group is doing, such as Stable or Empty; Dead where there is no such group.
    pub state: String,
    pub protocol_type: String,
    /// The assignment strategy that the members agreed on.
    pub assignor: String,
    pub members: Vec<GroupMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    pub id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub host: String,
    pub assignment: Vec<Spot>,
}

impl Question for DescribeGroup {
    type Answer = Group;

    fn request(&self) -> Request {
        DescribeGroupsRequest { groups: vec![self.0.clone()], ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Group, Refused> {
        let Response::DescribeGroups(response) = response else { return Err(Refused::foreign()) };
        let group = response.groups.first().ok_or_else(Refused::foreign)?;
        Refused::check(group.error_code, group.error_message.as_ref())?;
        let member = |known: &wire::describe_groups_response::DescribedGroupMember| GroupMember {
            id: known.member_id.to_string(),
            instance_id: known.group_instance_id.as_ref().map(Text::to_string),
            client_id: known.client_id.to_string(),
            host: known.client_host.to_string(),
            assignment: decode_assignment(&known.member_assignment).unwrap_or_default().into_iter().collect(),
        };
        Ok(Group {
            id: group.group_id.to_string(),
            state: group.group_state.to_string(),
            protocol_type: group.protocol_type.to_string(),
            assignor: group.protocol_data.to_string(),
            members: group.members.iter().map(member).collect(),
        })
    }
}

/// Asks a group's coordinator about its members, where the group is one of the consumer protocol (KIP-848).
#[derive(Clone, Debug)]
pub struct DescribeConsumerGroup(pub Text);

impl Question for DescribeConsumerGroup {
    type Answer = Group;

    fn request(&self) -> Request {
        ConsumerGroupDescribeRequest { group_ids: vec![self.0.clone()], ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Group, Refused> {
        let Response::ConsumerGroupDescribe(response) = response else { return Err(Refused::foreign()) };
        let group = response.groups.first().ok_or_else(Refused::foreign)?;
        Refused::check(group.error_code, group.error_message.as_ref())?;
        let member = |known: &wire::consumer_group_describe_response::Member| GroupMember {
            id: known.member_id.to_string(),
            instance_id: known.instance_id.as_ref().map(Text::to_string),
            client_id: known.client_id.to_string(),
            host: known.client_host.to_string(),
            assignment: known.assignment.topic_partitions.iter().flat_map(spots).collect(),
        };
        Ok(Group {
            id: group.group_id.to_string(),
            state: group.group_state.to_string(),
            protocol_type: "consumer".to_owned(),
            assignor: group.assignor_name.to_string(),
            members: group.members.iter().map(member).collect(),
        })
    }
}

fn spots(topic: &wire::consumer_group_describe_response::TopicPartitions) -> impl Iterator<Item = Spot> {
    let name = topic.topic_name.detached();
    topic.partitions.iter().map(move |partition| (name.clone(), PartitionIndex(*partition)))
}

/// Puts members out of a group: by member id, or the static ones by instance id. They may come back.
#[derive(Clone, Debug)]
pub struct RemoveMembers {
    pub group: Text,
    /// Member id, empty for a static member, and instance id.
    pub members: Vec<(Text, Option<Text>)>,
}

impl Question for RemoveMembers {
    /// Those that could not be put out.
    type Answer = Vec<(String, Refused)>;

    fn request(&self) -> Request {
        let member = |(member_id, group_instance_id): &(Text, Option<Text>)| MemberIdentity {
            member_id: member_id.clone(),
            group_instance_id: group_instance_id.clone(),
            reason: Some(Text::from_static("an administrator removed it")),
            ..Default::default()
        };
        // Older versions know a single member.
        let member_id = self.members.first().map_or(Text::default(), |(member_id, _)| member_id.clone());
        let members = self.members.iter().map(member).collect();
        LeaveGroupRequest { group_id: self.group.clone(), member_id, members, ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<Self::Answer, Refused> {
        let Response::LeaveGroup(response) = response else { return Err(Refused::foreign()) };
        Refused::check(response.error_code, None)?;
        let failed = response.members.iter().filter_map(|known| {
            let name = known.group_instance_id.as_ref().unwrap_or(&known.member_id).to_string();
            Some((name, Refused::check(known.error_code, None).err()?))
        });
        Ok(failed.collect())
    }
}

/// Asks a group's coordinator to forget it and its offsets.
#[derive(Clone, Debug)]
pub struct DeleteGroup(pub Text);

impl Question for DeleteGroup {
    type Answer = ();

    fn request(&self) -> Request {
        DeleteGroupsRequest { groups_names: vec![self.0.clone()], ..Default::default() }.into()
    }

    fn read(&self, response: Response) -> Result<(), Refused> {
        let Response::DeleteGroups(response) = response else { return Err(Refused::foreign()) };
        let code = response.results.first().map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |result| result.error_code);
        Refused::check(code, None)
    }
}
