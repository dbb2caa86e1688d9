//! The replicas' logs as they lie on the disks of a cluster when all is over.

use crate::oracle::{Id, Nature};
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
    /// Of the record; where nothing rewrites batches, of all bytes of its batch, which are the same in every replica.
    pub hash: u64,
    /// The number that a workload gave it, where one did.
    pub id: Option<Id>,
}

/// By partition, what a broker holds of it, of the topics that are of a known nature.
pub type Holdings = BTreeMap<Spot, BTreeMap<Offset, Stored>>;

pub fn holdings(disks: &[MemoryDisk], nature: impl Fn(&Text) -> Option<Nature>) -> Holdings {
    let mut holdings = Holdings::new();
    let mut places = BTreeMap::new();
    for (number, (path, bytes)) in
        disks.iter().enumerate().flat_map(|(at, disk)| disk.files().into_iter().map(move |file| (at, file)))
    {
        let Some((folder, file)) = path.split_once('/') else { continue };
        let Some((topic, index)) = folder.rsplit_once('-') else { continue };
        let (Ok(index), true) = (index.parse(), file.ends_with(".log")) else { continue };
        let spot = (Text::from(topic), PartitionIndex(index));
        let Some(nature) = nature(&spot.0) else { continue };
        let place = *places.entry(spot.clone()).or_insert(number);
        assert_eq!(place, number, "{folder} is in two directories of a broker");
        let stored = holdings.entry(spot).or_default();
        for batch in Batches::new(&bytes) {
            let (header, batch) = batch.unwrap_or_else(|error| panic!("{path} holds something else: {error:?}"));
            if header.attributes.is_control() {
                continue;
            }
            let all_bytes = (!nature.compacted).then(|| hash_of(batch));
            let mut all = records(batch, BATCH_BYTES_MAX).unwrap_or_else(|error| panic!("{path}: {error:?}"));
            while let Some(record) = all.next_record().unwrap_or_else(|error| panic!("{path}: {error:?}")) {
                stored.insert(
                    record.offset,
                    Stored { hash: all_bytes.unwrap_or_else(|| hash(&record)), id: id(&record) },
                );
            }
        }
    }
    holdings
}

fn hash(record: &Record) -> u64 {
    hash_of(format!("{:?} {:?}", record.key, record.value).as_bytes())
}

fn hash_of(bytes: &[u8]) -> u64 {
    let mut hasher = FixedHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

/// As a consumer finds it: in the value, or of a tombstone in a header.
fn id(record: &Record) -> Option<Id> {
    let header = || record.headers.clone().find(|(name, _)| *name == b"id").and_then(|(_, value)| value);
    let bytes = record.value.map_or_else(header, Some)?;
    bytes.first_chunk::<8>().map(|bytes| Id(u64::from_be_bytes(*bytes)))
}
