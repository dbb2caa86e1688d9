//! Groups and offsets as records of `__consumer_offsets`, in the versions that Kafka 4.3 writes and all that it reads.

use super::command::Generation;
use super::state::{Committed, Group, Member};
use crate::generated::group_metadata_value::MemberMetadata;
use crate::generated::{
    GroupMetadataKey, GroupMetadataValue, LegacyOffsetCommitKey, OffsetCommitKey, OffsetCommitValue,
};
use bytes::Bytes;
use std::fmt;
use types::codec::{DecodeError, Reader, Writer};
use types::{LeaderEpoch, Offset, PartitionIndex, Text, Timestamp};

/// The version of a group's value; what it adds later needs no more.
const GROUP_VERSION: i16 = 3;
/// Carries the topic's id.
const OFFSET_VERSION: i16 = 4;
/// The only one that carries an expiry of its own.
const EXPIRING_OFFSET_VERSION: i16 = 1;
/// Bytes that a batch adds to a record at most: lengths, deltas and attributes.
const RECORD_OVERHEAD_BYTES: usize = 32;

/// A record to be appended; without a value it deletes its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

impl Record {
    /// What it takes in a batch, at most.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len) + RECORD_OVERHEAD_BYTES
    }
}

/// Whether these fit into one batch, so that they are stored together or not at all.
pub(super) fn fit_one_batch(records: &[Record], message_bytes_max: usize) -> bool {
    records.iter().map(Record::size_bytes).sum::<usize>() + record::HEADER_BYTES <= message_bytes_max
}

/// A record that is not what its key says; the partition cannot be served before somebody looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt(String);

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Corrupt {}

impl From<DecodeError> for Corrupt {
    fn from(error: DecodeError) -> Corrupt {
        Corrupt(error.to_string())
    }
}

pub(super) enum Key {
    Offset {
        group: Text,
        topic: Text,
        partition: PartitionIndex,
    },
    Group(Text),
    /// Of a kind of group that this coordinator does not serve yet.
    Other,
}

macro_rules! encode {
    ($prefix:expr, $message:expr, $version:expr) => {{
        let mut writer = Writer::with_capacity(2 + $message.size($version));
        writer.i16($prefix);
        $message.encode(&mut writer, $version);
        writer.buffer.freeze()
    }};
}

fn offset_key(group: &Text, topic: &Text, partition: PartitionIndex) -> Bytes {
    let key = OffsetCommitKey { group: group.clone(), topic: topic.clone(), partition: partition.0 };
    encode!(OffsetCommitKey::KEY, key, 0)
}

fn group_key(group: &Text) -> Bytes {
    let key = GroupMetadataKey { group: group.clone() };
    encode!(GroupMetadataKey::KEY, key, 0)
}

pub(super) fn offset(group: &Text, topic: &Text, partition: PartitionIndex, committed: &Committed) -> Record {
    let version = if committed.expires_at.is_some() { EXPIRING_OFFSET_VERSION } else { OFFSET_VERSION };
    let value = OffsetCommitValue {
        offset: committed.offset.0,
        leader_epoch: committed.leader_epoch.0,
        metadata: committed.metadata.clone(),
        commit_timestamp: committed.committed_at.0,
        expire_timestamp: committed.expires_at.unwrap_or(Timestamp::NONE).0,
        topic_id: committed.topic,
        ..OffsetCommitValue::default()
    };
    Record { key: offset_key(group, topic, partition), value: Some(encode!(version, value, version)) }
}

pub(super) fn offset_tombstone(group: &Text, topic: &Text, partition: PartitionIndex) -> Record {
    Record { key: offset_key(group, topic, partition), value: None }
}

pub(super) fn group_tombstone(group: &Text) -> Record {
    Record { key: group_key(group), value: None }
}

/// A group with its members, as it stands.
pub(super) fn group_metadata(group: &Group) -> Record {
    let member = |(id, member): (&Text, &Member)| MemberMetadata {
        member_id: id.clone(),
        group_instance_id: member.instance.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: group.protocol.as_ref().and_then(|name| member.metadata(name)).cloned().unwrap_or_default(),
        assignment: member.assignment.clone(),
        ..MemberMetadata::default()
    };
    let value = GroupMetadataValue {
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        generation: group.generation.0,
        protocol: group.protocol.clone(),
        leader: group.leader.clone(),
        current_state_timestamp: group.since.unwrap_or(Timestamp::NONE).0,
        members: group.members().iter().map(member).collect(),
        ..GroupMetadataValue::default()
    };
    Record { key: group_key(&group.id), value: Some(encode!(GROUP_VERSION, value, GROUP_VERSION)) }
}

/// A group that somebody has asked to join: it has had no generation yet.
pub(super) fn new_group(group: &Text, now: Timestamp) -> Record {
    let value = GroupMetadataValue {
        protocol: None,
        leader: None,
        current_state_timestamp: now.0,
        ..GroupMetadataValue::default()
    };
    Record { key: group_key(group), value: Some(encode!(GROUP_VERSION, value, GROUP_VERSION)) }
}

pub(super) fn read_key(key: &Bytes) -> Result<Key, Corrupt> {
    let mut reader = Reader::new(key.clone());
    let key = match reader.i16()? {
        LegacyOffsetCommitKey::KEY | OffsetCommitKey::KEY => {
            let key = OffsetCommitKey::decode(&mut reader, 0)?;
            let partition = PartitionIndex(key.partition);
            Key::Offset { group: key.group.detached(), topic: key.topic.detached(), partition }
        }
        GroupMetadataKey::KEY => Key::Group(GroupMetadataKey::decode(&mut reader, 0)?.group.detached()),
        _ => return Ok(Key::Other),
    };
    reader.finish()?;
    Ok(key)
}

pub(super) fn read_offset(value: &Bytes) -> Result<Committed, Corrupt> {
    let mut reader = Reader::new(value.clone());
    let version = reader.i16()?;
    let value = OffsetCommitValue::decode(&mut reader, version)?;
    Ok(Committed {
        offset: Offset(value.offset),
        leader_epoch: LeaderEpoch(value.leader_epoch),
        metadata: value.metadata.detached(),
        committed_at: Timestamp(value.commit_timestamp),
        expires_at: Some(Timestamp(value.expire_timestamp)).filter(|at| *at != Timestamp::NONE),
        topic: value.topic_id,
    })
}

pub(super) fn read_group(id: &Text, value: &Bytes) -> Result<Group, Corrupt> {
    let mut reader = Reader::new(value.clone());
    let version = reader.i16()?;
    let value = GroupMetadataValue::decode(&mut reader, version)?;
    let protocol = value.protocol.as_ref().map(Text::detached);
    let mut group = Group::new(id);
    for member in value.members {
        let name = member.member_id.detached();
        let Some(protocol) = protocol.clone() else { return Err(Corrupt(format!("group {id} has no protocol"))) };
        if !group.restore(name.clone(), read_member(&member, protocol)) {
            return Err(Corrupt(format!("group {id} has member {name} or its instance id twice")));
        }
    }
    group.since = Some(Timestamp(value.current_state_timestamp)).filter(|at| *at != Timestamp::NONE);
    group.generation = Generation(value.generation);
    group.protocol_type = Some(value.protocol_type.detached()).filter(|name| !name.is_empty());
    group.protocol = protocol;
    if let Some(leader) = value.leader.filter(|leader| group.member(leader).is_some()) {
        group.leader = Some(leader.detached());
    }
    group.find_subscribed();
    Ok(group)
}

fn read_member(member: &MemberMetadata, protocol: Text) -> Member {
    let has_rebalance_timeout = member.rebalance_timeout != -1;
    Member {
        instance: member.group_instance_id.as_ref().map(Text::detached),
        client_id: member.client_id.detached(),
        client_host: member.client_host.detached(),
        session_timeout_ms: member.session_timeout,
        rebalance_timeout_ms: if has_rebalance_timeout { member.rebalance_timeout } else { member.session_timeout },
        protocols: vec![(protocol, Bytes::copy_from_slice(&member.subscription))],
        assignment: Bytes::copy_from_slice(&member.assignment),
        joining: None,
        syncing: None,
        is_new: false,
        knows_generation: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Uuid;

    const GROUP: &str = "00030008636f6e73756d657200000005000572616e676500016d00000000000003e80000000100016d00016900016300022f68\
                         0000ea60000027100000000d000000000001000174ffffffff0000000178";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn bytes(hex: &str) -> Bytes {
        let digits: Vec<u8> = hex.chars().map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap()).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// What Kafka 4.3.1 itself writes for the same.
    #[test]
    fn records_are_kafkas_byte_for_byte() {
        let (group, topic, at) = ("g".into(), "t".into(), PartitionIndex(3));
        let mut committed = Committed {
            offset: Offset(42),
            leader_epoch: LeaderEpoch(7),
            metadata: "note".into(),
            committed_at: Timestamp(1_000),
            expires_at: None,
            topic: Uuid([1; 16]),
        };
        let check = |record: Record, key: &str, value: Option<&str>| {
            assert_eq!((hex(&record.key).as_str(), record.value.map(|value| hex(&value)).as_deref()), (key, value));
        };
        let key = "000100016700017400000003";
        let value = "0004000000000000002a00000007056e6f746500000000000003e80100100101010101010101\
                     0101010101010101";
        check(offset(&group, &topic, at, &committed), key, Some(value));
        committed.expires_at = Some(Timestamp(2_000));
        let value = "0001000000000000002a00046e6f746500000000000003e800000000000007d0";
        check(offset(&group, &topic, at, &committed), key, Some(value));
        check(offset_tombstone(&group, &topic, at), key, None);
        let key = "0002000167";
        check(group_tombstone(&group), key, None);
        check(new_group(&group, Timestamp(1_000)), key, Some("0003000000000000ffffffff00000000000003e800000000"));
        let read = read_group(&group, &bytes(GROUP)).unwrap();
        check(group_metadata(&read), key, Some(GROUP));
        assert!(read.is_subscribed(&"t".into()) && !read.is_subscribed(&"u".into()));
    }

    #[test]
    fn damaged_records_are_refused() {
        let group = "g".into();
        for end in 0..bytes(GROUP).len() {
            assert!(read_group(&group, &bytes(GROUP).slice(..end)).is_err());
        }
        let member = &GROUP[2 * 38..];
        let twice = format!("{}00000002{member}{member}", &GROUP[..2 * 34]);
        assert_eq!(
            read_group(&group, &bytes(&twice)).unwrap_err().to_string(),
            "group g has member m or its instance id twice"
        );
        assert!(read_key(&bytes("00010001670001740000000300")).is_err());
        assert!(matches!(read_key(&bytes("0003000167")), Ok(Key::Other)));
    }
}
