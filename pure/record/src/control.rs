//! Control records: what Kafka writes into a partition for itself, which no consumer is shown.

use crate::{Builder, Codec, Record, Template};
use bytes::Bytes;
use types::{Sequence, Timestamp};

/// What a control record says, by the type in its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlType {
    Abort,
    Commit,
    LeaderChange,
    SnapshotHeader,
    SnapshotFooter,
    KRaftVersion,
    KRaftVoters,
    /// A type that this version does not know; readers pass over it.
    Unknown(i16),
}

impl ControlType {
    /// The type of a record of a control batch, where its key is one of a control record.
    #[must_use]
    pub fn of(record: &Record<'_>) -> Option<ControlType> {
        let (version, rest) = record.key?.split_first_chunk::<2>()?;
        if i16::from_be_bytes(*version) < 0 {
            return None;
        }
        Some(match i16::from_be_bytes(*rest.first_chunk::<2>()?) {
            0 => ControlType::Abort,
            1 => ControlType::Commit,
            2 => ControlType::LeaderChange,
            3 => ControlType::SnapshotHeader,
            4 => ControlType::SnapshotFooter,
            5 => ControlType::KRaftVersion,
            6 => ControlType::KRaftVoters,
            other => ControlType::Unknown(other),
        })
    }

    fn id(self) -> i16 {
        match self {
            ControlType::Abort => 0,
            ControlType::Commit => 1,
            ControlType::LeaderChange => 2,
            ControlType::SnapshotHeader => 3,
            ControlType::SnapshotFooter => 4,
            ControlType::KRaftVersion => 5,
            ControlType::KRaftVoters => 6,
            ControlType::Unknown(id) => id,
        }
    }

    /// The key of such a record: key version 0, then the type.
    #[must_use]
    pub fn key(self) -> [u8; 4] {
        let [high, low] = self.id().to_be_bytes();
        [0, 0, high, low]
    }
}

/// The end of a transaction, as its marker says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTransaction {
    pub commit: bool,
    /// The epoch of the transaction coordinator that decided.
    pub coordinator_epoch: i32,
}

impl EndTransaction {
    /// Reads a marker of a control batch; `None` where the record is another one.
    #[must_use]
    pub fn of(record: &Record<'_>) -> Option<EndTransaction> {
        let commit = match ControlType::of(record)? {
            ControlType::Commit => true,
            ControlType::Abort => false,
            ControlType::LeaderChange
            | ControlType::SnapshotHeader
            | ControlType::SnapshotFooter
            | ControlType::KRaftVersion
            | ControlType::KRaftVoters
            | ControlType::Unknown(_) => return None,
        };
        let value = record.value?.first_chunk::<6>()?;
        let coordinator_epoch = i32::from_be_bytes(*value.last_chunk().expect("six bytes hold four"));
        Some(EndTransaction { commit, coordinator_epoch })
    }

    /// The batch that ends the transaction of the template's producer: one record, never compressed or numbered.
    #[must_use]
    pub fn batch(self, template: Template, timestamp: Timestamp) -> Bytes {
        let kind = if self.commit { ControlType::Commit } else { ControlType::Abort };
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        let mut builder = Builder::new(Template {
            codec: Codec::None,
            base_sequence: Sequence::NONE,
            transactional: true,
            control: true,
            ..template
        });
        builder.append(timestamp, Some(&kind.key()), Some(&value), &[]);
        builder.finish()
    }
}
