//! Snapshots of the metadata: files `<end offset>-<epoch>.checkpoint` beside the log, in Kafka's format (KIP-630): a header
//! with the voters, the records of the controller, a footer that says it is whole.

use crate::control::{self, Control};
use crate::message::SnapshotId;
use crate::voters::VoterSet;
use bytes::Bytes;
use log::{Disk, ErrorKind};
use record::{Batches, Builder, ControlType, Template};
use types::{LeaderEpoch, Offset, Timestamp};

const SUFFIX: &str = ".checkpoint";
/// A batch of a snapshot is ended when it has this many bytes.
const BATCH_BYTES: usize = 1 << 20;
/// No snapshot is larger.
pub(crate) const BYTES_MAX: usize = 1 << 30;

/// A snapshot that was read.
#[derive(Debug)]
pub(crate) struct Content {
    pub id: SnapshotId,
    pub voters: Option<VoterSet>,
    /// The controller's records.
    pub records: Vec<Bytes>,
}

pub(crate) fn path(folder: &str, id: SnapshotId) -> String {
    format!("{folder}/{:020}-{:010}{SUFFIX}", id.end_offset.0, id.epoch.0)
}

fn parse(name: &str) -> Option<SnapshotId> {
    let (offset, epoch) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(offset, 20) || !digits(epoch, 10) {
        return None;
    }
    Some(SnapshotId { end_offset: Offset(offset.parse().ok()?), epoch: LeaderEpoch(epoch.parse().ok()?) })
}

/// The snapshots of a folder, the oldest first.
pub(crate) fn list<D: Disk>(disk: &D, folder: &str) -> Result<Vec<SnapshotId>, String> {
    match disk.list(folder) {
        Ok(names) => {
            let mut ids: Vec<SnapshotId> = names.iter().filter_map(|name| parse(name)).collect();
            ids.sort();
            Ok(ids)
        }
        Err(error) if error.kind == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    }
}

pub(crate) fn encode(
    id: SnapshotId,
    voters: &VoterSet,
    last_timestamp: Timestamp,
    records: impl IntoIterator<Item = Bytes>,
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut next = Offset::ZERO;
    let template = |base_offset| Template { base_offset, leader_epoch: id.epoch, ..Template::default() };
    let mut header = vec![Control::SnapshotHeader { last_timestamp }];
    if !voters.is_empty() {
        header.extend([Control::KRaftVersion, Control::Voters(voters.clone())]);
    }
    out.extend_from_slice(&control::batch(template(next), last_timestamp, &header));
    next = next.plus(i64::try_from(header.len()).expect("three at most"));
    let mut builder = Builder::new(template(next));
    for record in records {
        builder.append(last_timestamp, None, Some(&record), &[]);
        if builder.size_bytes() >= BATCH_BYTES {
            next = next.plus(i64::from(builder.count()));
            out.extend_from_slice(&std::mem::replace(&mut builder, Builder::new(template(next))).finish());
        }
    }
    if !builder.is_empty() {
        next = next.plus(i64::from(builder.count()));
        out.extend_from_slice(&builder.finish());
    }
    out.extend_from_slice(&control::batch(template(next), last_timestamp, &[Control::SnapshotFooter]));
    out
}

/// Reads a snapshot; one without its footer is not whole.
pub(crate) fn decode(id: SnapshotId, bytes: &[u8]) -> Result<Content, String> {
    let mut content = Content { id, voters: None, records: Vec::new() };
    let mut kinds = Vec::new();
    for batch in Batches::new(bytes) {
        let (header, batch) = batch.map_err(|error| error.to_string())?;
        if !record::crc_matches(batch) {
            return Err(format!("the checksum of the batch at {} is wrong", header.base_offset));
        }
        let limit = types::limits::DECOMPRESSED_BATCH_BYTES_MAX;
        let mut records = record::records(batch, limit).map_err(|error| error.to_string())?;
        while let Some(record) = records.next_record().map_err(|error| error.to_string())? {
            if !header.attributes.is_control() {
                content.records.push(Bytes::copy_from_slice(record.value.unwrap_or_default()));
                continue;
            }
            kinds.extend(ControlType::of(&record));
            if let Some(voters) = control::voters(&record).map_err(|error| error.to_string())? {
                content.voters = Some(voters);
            }
        }
    }
    if kinds.first() != Some(&ControlType::SnapshotHeader) || kinds.last() != Some(&ControlType::SnapshotFooter) {
        return Err("it has no header or no footer".to_owned());
    }
    Ok(content)
}

/// Reads the snapshot of a file.
pub(crate) fn load<D: Disk>(disk: &D, folder: &str, id: SnapshotId) -> Result<Content, String> {
    let path = path(folder, id);
    let bytes = disk.read_small(&path, BYTES_MAX).map_err(|error| error.to_string())?;
    decode(id, &bytes).map_err(|why| format!("{} is corrupt: {why}", disk.describe(&path)))
}

/// Removes all snapshots but this one.
pub(crate) fn remove_others<D: Disk>(disk: &D, folder: &str, kept: SnapshotId) -> Result<(), String> {
    for id in list(disk, folder)?.into_iter().filter(|id| *id != kept) {
        disk.remove(&path(folder, id)).map_err(|error| error.to_string())?;
    }
    Ok(())
}
