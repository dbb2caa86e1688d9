//! The replicas' logs as they lie on the disks of a cluster when all is over.

use crate::oracle::Id;
use client::Spot;
use log::MemoryDisk;
use record::{Batches, Record, records};
use std::collections::BTreeMap;
use std::hash::Hasher;
use types::{FixedHasher, Offset, PartitionIndex, Text};

/// No batch of a simulation is larger than this when it is decompressed.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// What lies at one offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    pub hash: u64,
    /// The number that a workload gave it, where one did.
    pub id: Option<Id>,
}

/// By partition, what a disk holds of it, of the topics that are wanted.
pub type Holdings = BTreeMap<Spot, BTreeMap<Offset, Stored>>;

pub fn holdings(disk: &MemoryDisk, is_wanted: impl Fn(&Text) -> bool) -> Holdings {
    let mut holdings = Holdings::new();
    for (path, bytes) in disk.files() {
        let Some((folder, file)) = path.split_once('/') else { continue };
        let Some((topic, index)) = folder.rsplit_once('-') else { continue };
        let (Ok(index), true) = (index.parse(), file.ends_with(".log")) else { continue };
        let spot = (Text::from(topic), PartitionIndex(index));
        if !is_wanted(&spot.0) {
            continue;
        }
        let stored = holdings.entry(spot).or_default();
        for batch in Batches::new(&bytes) {
            let (header, batch) = batch.unwrap_or_else(|error| panic!("{path} holds something else: {error:?}"));
            if header.attributes.is_control() {
                continue;
            }
            let mut all = records(batch, BATCH_BYTES_MAX).unwrap_or_else(|error| panic!("{path}: {error:?}"));
            while let Some(record) = all.next_record().unwrap_or_else(|error| panic!("{path}: {error:?}")) {
                stored.insert(record.offset, Stored { hash: hash(&record), id: id(&record) });
            }
        }
    }
    holdings
}

fn hash(record: &Record) -> u64 {
    let mut hasher = FixedHasher::default();
    hasher.write(format!("{:?} {:?}", record.key, record.value).as_bytes());
    hasher.finish()
}

/// As a consumer finds it: in the value, or of a tombstone in a header.
fn id(record: &Record) -> Option<Id> {
    let header = || record.headers.clone().find(|(name, _)| *name == b"id").and_then(|(_, value)| value);
    let bytes = record.value.map_or_else(header, Some)?;
    bytes.first_chunk::<8>().map(|bytes| Id(u64::from_be_bytes(*bytes)))
}
