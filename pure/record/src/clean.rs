//! Compaction of one batch: which of its records stay, and what the batch looks like without the others.
//!
//! A rebuilt batch keeps its first and last offset, producer, epochs, codec and timestamps, so that neither offsets nor
//! producer state notice. Which record is the latest of its key, and which producers are active, the log knows.

use crate::{Builder, Codec, HEADER_BYTES, Header, Invalid, Record, Template, records};
use bytes::Bytes;
use types::Timestamp;

/// What one pass of the cleaner makes of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cleaned {
    /// It stays byte for byte.
    Kept,
    /// It stays with fewer records, or with a delete horizon that it did not have.
    Rewritten(Bytes),
    /// Only its header stays, for the sake of its producer's state or of the offsets.
    Emptied(Bytes),
    /// Nothing stays.
    Dropped,
}

/// How the cleaner sees a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleaning {
    pub now: Timestamp,
    /// `delete.retention.ms`: how long tombstones and markers stay after the pass that first meets them.
    pub delete_retention_ms: i64,
    /// The batch's transaction was aborted; or for a marker: no record of its transaction is left.
    pub discard: bool,
    /// The header must stay even without records: it is the last batch of an active producer or of this pass.
    pub retain_empty: bool,
    /// The most bytes that the batch may decompress to.
    pub limit_bytes: usize,
}

/// Cleans one whole batch, whose checksum was checked. `is_latest` is asked once for each data record, in order: whether
/// no later record has its key.
///
/// A tombstone (a null value) stays until the batch's delete horizon, which the first pass sets to `delete_retention_ms`
/// from now (KIP-534), so that every consumer has the time to see it; likewise the marker of a transaction whose
/// records are all gone.
pub fn clean(
    batch: &[u8],
    cleaning: &Cleaning,
    is_latest: impl FnMut(&Record<'_>) -> bool,
) -> Result<Cleaned, Invalid> {
    let header = Header::parse(batch)?;
    let control = header.attributes.is_control();
    let past_horizon = header.delete_horizon().is_some_and(|horizon| cleaning.now >= horizon);
    if header.record_count == 0 || cleaning.discard && (!control || past_horizon) {
        return Ok(without_records(&header, cleaning));
    }
    let choice = match control {
        true => Choice { stays: Vec::new(), removed: false, tombstones: false },
        false => Choice::of(batch, cleaning, past_horizon, is_latest)?,
    };
    if !control && !choice.stays.contains(&true) {
        return Ok(without_records(&header, cleaning));
    }
    let sets_horizon = header.delete_horizon().is_none() && (choice.tombstones || control && cleaning.discard);
    if !choice.removed && !sets_horizon {
        return Ok(Cleaned::Kept);
    }
    let mut template = Template::of(&header, header.attributes.codec()?);
    if sets_horizon {
        template.delete_horizon = Some(Timestamp(cleaning.now.0.saturating_add(cleaning.delete_retention_ms)));
    }
    rebuild(batch, &header, template, &choice.stays, cleaning.limit_bytes)
}

/// Which records of a batch stay, in order.
struct Choice {
    stays: Vec<bool>,
    removed: bool,
    /// Whether a record that stays is a tombstone.
    tombstones: bool,
}

impl Choice {
    fn of(
        batch: &[u8],
        cleaning: &Cleaning,
        past_horizon: bool,
        mut is_latest: impl FnMut(&Record<'_>) -> bool,
    ) -> Result<Choice, Invalid> {
        let mut choice = Choice { stays: Vec::new(), removed: false, tombstones: false };
        let mut reader = records(batch, cleaning.limit_bytes)?;
        while let Some(record) = reader.next_record()? {
            let tombstone = record.value.is_none();
            let stays = is_latest(&record) && !(tombstone && past_horizon);
            choice.removed |= !stays;
            choice.tombstones |= stays && tombstone;
            choice.stays.push(stays);
        }
        Ok(choice)
    }
}

/// Builds the batch from the records that stay; records beyond the end of `stays` do.
fn rebuild(
    batch: &[u8],
    header: &Header,
    template: Template,
    stays: &[bool],
    limit_bytes: usize,
) -> Result<Cleaned, Invalid> {
    let mut builder = Builder::new(template);
    let mut reader = records(batch, limit_bytes)?;
    let mut index = 0;
    while let Some(record) = reader.next_record()? {
        if stays.get(index).copied().unwrap_or(true) {
            builder.append_record(&record);
        }
        index += 1;
    }
    Ok(Cleaned::Rewritten(builder.finish_at(header.last_offset_delta)))
}

fn without_records(header: &Header, cleaning: &Cleaning) -> Cleaned {
    match (cleaning.retain_empty, header.record_count) {
        (false, _) => Cleaned::Dropped,
        (true, 0) => Cleaned::Kept,
        (true, _) => Cleaned::Emptied(empty_batch(header)),
    }
}

/// The batch of this header with all its records gone: its offsets and its producer's last sequence remain.
#[must_use]
pub fn empty_batch(header: &Header) -> Bytes {
    let attributes = header.attributes.with_codec(Codec::None).with_delete_horizon(false);
    let mut empty = Header { attributes, base_timestamp: header.max_timestamp, record_count: 0, ..*header };
    let head: [u8; HEADER_BYTES] = empty.seal(&[]);
    Bytes::copy_from_slice(&head)
}
