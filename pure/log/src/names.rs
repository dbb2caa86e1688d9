//! Names of a partition's files, as Kafka has them: the offset of the first record in 20 digits, and a suffix.

use types::Offset;

pub(crate) const LOG: &str = "log";
pub(crate) const INDEX: &str = "index";
pub(crate) const TIMEINDEX: &str = "timeindex";
pub(crate) const TXNINDEX: &str = "txnindex";
pub(crate) const SNAPSHOT: &str = "snapshot";
/// Waits for `file.delete.delay.ms` to be removed.
pub(crate) const DELETED: &str = ".deleted";
/// The folder of a partition that was deleted ends so.
pub const DELETED_FOLDER: &str = "-delete";
/// A segment that compaction is still writing.
pub(crate) const CLEANED: &str = ".cleaned";
/// A segment that compaction finished and that takes the place of those it covers.
pub(crate) const SWAP: &str = ".swap";
pub(crate) const LEADER_EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";

/// The files of one segment; the first is the one that decides whether the segment exists.
pub(crate) const SEGMENT_SUFFIXES: [&str; 5] = [LOG, INDEX, TIMEINDEX, TXNINDEX, SNAPSHOT];

pub(crate) fn path(folder: &str, base: Offset, suffix: &str) -> String {
    format!("{folder}/{:020}.{suffix}", base.0)
}

/// The offset and the suffix of `00000000000000000042.log`; the suffix keeps an ending such as `.deleted`.
pub(crate) fn parse(name: &str) -> Option<(Offset, &str)> {
    let (digits, suffix) = name.split_once('.')?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((Offset(digits.parse().ok()?), suffix))
}
