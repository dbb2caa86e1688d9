//! The control records of the metadata log: what the quorum writes for itself between the records of the controller.
//! Kafka's formats: LeaderChangeMessage 0, SnapshotHeaderRecord, SnapshotFooterRecord, KRaftVersionRecord, VotersRecord.

use crate::message::{Endpoint, ReplicaKey};
use crate::voters::{Voter, VoterSet};
use bytes::Bytes;
use record::{Builder, ControlType, Record, Template};
use types::codec::{DecodeError, Reader, TaggedFields, Writer};
use types::{NodeId, Text, Timestamp};

/// The version of the quorum's protocol that has directory ids and voters in the log.
const KRAFT_VERSION: i16 = 1;
/// The name under which a voter's endpoint stands in the log.
const LISTENER: Text = Text::from_static("CONTROLLER");

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    LeaderChange { leader: NodeId, voters: Vec<ReplicaKey>, granting: Vec<ReplicaKey> },
    SnapshotHeader { last_timestamp: Timestamp },
    SnapshotFooter,
    KRaftVersion,
    Voters(VoterSet),
}

impl Control {
    fn kind(&self) -> ControlType {
        match self {
            Control::LeaderChange { .. } => ControlType::LeaderChange,
            Control::SnapshotHeader { .. } => ControlType::SnapshotHeader,
            Control::SnapshotFooter => ControlType::SnapshotFooter,
            Control::KRaftVersion => ControlType::KRaftVersion,
            Control::Voters(_) => ControlType::KRaftVoters,
        }
    }

    fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        match self {
            Control::LeaderChange { leader, voters, granting } => {
                // Version 0, which leaves out the directories: Kafka's own tools read no other.
                writer.i16(0);
                writer.i32(leader.0);
                for replicas in [voters, granting] {
                    writer.length(true, Some(replicas.len()));
                    for replica in replicas {
                        writer.i32(replica.id.0);
                        writer.uvarint(0);
                    }
                }
            }
            Control::SnapshotHeader { last_timestamp } => {
                writer.i16(0);
                writer.i64(last_timestamp.0);
            }
            Control::SnapshotFooter => writer.i16(0),
            Control::KRaftVersion => {
                writer.i16(0);
                writer.i16(KRAFT_VERSION);
            }
            Control::Voters(voters) => {
                writer.i16(0);
                writer.length(true, Some(voters.len()));
                voters.iter().for_each(|voter| encode_voter(&mut writer, voter));
            }
        }
        writer.uvarint(0);
        writer.buffer.freeze()
    }
}

fn encode_voter(writer: &mut Writer, voter: &Voter) {
    writer.i32(voter.id.0);
    writer.uuid(voter.directory);
    writer.length(true, Some(1));
    writer.put_text(true, Some(&LISTENER));
    writer.put_text(true, Some(&voter.endpoint.host));
    writer.u16(voter.endpoint.port);
    writer.uvarint(0);
    writer.i16(0);
    writer.i16(KRAFT_VERSION);
    writer.uvarint(0);
    writer.uvarint(0);
}

/// One control batch with these records.
pub(crate) fn batch(template: Template, timestamp: Timestamp, records: &[Control]) -> Bytes {
    let mut builder = Builder::new(Template { control: true, ..template });
    for record in records {
        builder.append(timestamp, Some(&record.kind().key()), Some(&record.encode()), &[]);
    }
    builder.finish()
}

/// The voter set that a record of a control batch names; none where it is another record.
pub(crate) fn voters(record: &Record<'_>) -> Result<Option<VoterSet>, DecodeError> {
    if ControlType::of(record) != Some(ControlType::KRaftVoters) {
        return Ok(None);
    }
    let mut reader = Reader::new(Bytes::copy_from_slice(record.value.unwrap_or_default()));
    let version = reader.i16()?;
    if version != 0 {
        return Err(DecodeError::UnknownVersion { version });
    }
    Ok(Some(VoterSet::new(reader.list(true, decode_voter)?)))
}

fn decode_voter(reader: &mut Reader) -> Result<Voter, DecodeError> {
    let id = NodeId(reader.i32()?);
    let directory = reader.uuid()?;
    let endpoints = reader.list(true, |reader| {
        let _name = reader.text(true)?;
        let endpoint = Endpoint { host: reader.text(true)?, port: reader.u16()? };
        TaggedFields::decode(reader)?;
        Ok(endpoint)
    })?;
    let _versions = (reader.i16()?, reader.i16()?);
    TaggedFields::decode(reader)?;
    TaggedFields::decode(reader)?;
    // Kafka's voters have an endpoint for each controller listener; any of them will do.
    let nowhere = Endpoint { host: Text::default(), port: 0 };
    Ok(Voter { id, directory, endpoint: endpoints.into_iter().next().unwrap_or(nowhere) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::{
        KRaftVersionRecord, LeaderChangeMessage, SnapshotFooterRecord, SnapshotHeaderRecord, VotersRecord,
    };
    use kafka_protocol::protocol::{Decodable, Encodable};
    use types::Uuid;

    /// What an independent reader makes of our bytes, which it would have written alike.
    fn read<M: Decodable + Encodable>(control: &Control, version: i16) -> M {
        let ours = control.encode();
        let mut rest = ours.clone();
        let message = M::decode(&mut rest, version).expect("it reads what we wrote");
        assert!(rest.is_empty());
        let mut theirs = bytes::BytesMut::new();
        message.encode(&mut theirs, version).expect("it writes what it read");
        assert_eq!(ours, theirs);
        message
    }

    #[test]
    fn records_are_kafkas() {
        let key = |id, byte| ReplicaKey { id: NodeId(id), directory: Uuid([byte; 16]) };
        let change =
            Control::LeaderChange { leader: NodeId(2), voters: vec![key(1, 7), key(2, 8)], granting: vec![key(2, 8)] };
        // The independent writer puts directories where version 0 has none, so that it can only be read.
        let mut bytes = change.encode();
        let read_change = LeaderChangeMessage::decode(&mut bytes, 0).expect("it reads what we wrote");
        assert!(bytes.is_empty());
        assert_eq!((read_change.version, read_change.leader_id.0), (0, 2));
        assert_eq!((read_change.voters[0].voter_id, read_change.voters[1].voter_id), (1, 2));
        assert_eq!(read_change.granting_voters[0].voter_id, 2);
        let header: SnapshotHeaderRecord = read(&Control::SnapshotHeader { last_timestamp: Timestamp(77) }, 0);
        assert_eq!((header.version, header.last_contained_log_timestamp), (0, 77));
        assert_eq!(read::<SnapshotFooterRecord>(&Control::SnapshotFooter, 0).version, 0);
        assert_eq!(read::<KRaftVersionRecord>(&Control::KRaftVersion, 0).k_raft_version, 1);
        let endpoint = Endpoint { host: Text::from("n3"), port: 9093 };
        let voters = VoterSet::new([Voter { id: NodeId(3), directory: Uuid([9; 16]), endpoint }]);
        let read_voters: VotersRecord = read(&Control::Voters(voters.clone()), 0);
        assert_eq!(read_voters.voters[0].endpoints[0].host.as_str(), "n3");
        assert_eq!(read_voters.voters[0].endpoints[0].port, 9093);
        assert_eq!(read_voters.voters[0].k_raft_version_feature.max_supported_version, 1);
        let batch = batch(Template::default(), Timestamp(5), &[change, Control::Voters(voters.clone())]);
        let mut records = record::records(&batch, 1 << 20).expect("one batch");
        let mut found = Vec::new();
        while let Some(record) = records.next_record().expect("whole records") {
            found.push(super::voters(&record).expect("sound voters"));
        }
        assert_eq!(found, [None, Some(voters)]);
    }
}
