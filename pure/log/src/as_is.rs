//! Appending what another replica wrote: batches keep their bytes, offsets and epochs. A follower's log becomes its
//! leader's, byte for byte.

use crate::append::{Incoming, RELATIVE_MAX};
use crate::producers::read_marker;
use crate::{Disk, Error, Log};
use record::{Batches, Header, Invalid};
use std::ops::Range;
use types::{ErrorCode, LeaderEpoch, Now, Offset, Timestamp};

/// One batch among the bytes that came.
struct Piece {
    header: Header,
    range: Range<usize>,
}

impl<D: Disk> Log<D> {
    /// Appends whole batches as they are, with one write for each segment they go to; returns how many bytes that were. A
    /// batch that is cut off at the end is left out. Offsets may leave gaps, for compaction does, but never go back.
    pub fn append_as_is(&mut self, now: Now, records: &[u8]) -> Result<usize, Error> {
        let start = self.start;
        let pieces = self.pieces(records)?;
        let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return Ok(0) };
        let bytes = last.range.end;
        let begins_before = first.header.base_offset < self.end;
        if begins_before {
            // The leader's log starts within a batch, which it sends whole: it begins this log.
            self.truncate_fully_and_start_at(now, first.header.base_offset)?;
        }
        self.make()?;
        let mut rest = &pieces[..];
        while !rest.is_empty() {
            let (group, after) = rest.split_at(self.fitting(rest));
            self.append_group(now, group, records)?;
            rest = after;
        }
        if begins_before {
            self.start = start;
            self.high_watermark = start;
            // What was durable up to the start ends where the batch begins now.
            let job = self.start_sync();
            self.sync_done(job.run())?;
        }
        Ok(bytes)
    }

    /// The whole batches at the front of `records`, checked.
    fn pieces(&self, records: &[u8]) -> Result<Vec<Piece>, Error> {
        let empty = self.start == self.end;
        let mut next = self.end;
        let mut epoch = self.latest_epoch().unwrap_or(LeaderEpoch::NONE);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut batches = Batches::new(records);
        loop {
            let from = batches.position();
            let (header, batch) = match batches.next() {
                Some(Ok(found)) => found,
                None | Some(Err(Invalid::Truncated { .. })) => return Ok(pieces),
                Some(Err(why)) => return Err(corrupt(&format!("it is no batch: {why}"), next)),
            };
            if !record::crc_matches(batch) {
                return Err(corrupt("its checksum is wrong", header.base_offset));
            }
            let spans_start = empty && pieces.is_empty() && header.next_offset() > next;
            if header.base_offset < next && !spans_start {
                return Err(corrupt(&format!("the log ends at {next}"), header.base_offset));
            }
            if header.leader_epoch < epoch {
                let why = format!("its leader epoch {} is older than {epoch} before it", header.leader_epoch);
                return Err(corrupt(&why, header.base_offset));
            }
            if header.next_offset().minus(next) > RELATIVE_MAX {
                return Err(corrupt(&format!("it is too far from {next}, where the log ends"), header.base_offset));
            }
            next = header.next_offset();
            epoch = header.leader_epoch;
            pieces.push(Piece { header, range: from..batches.position() });
        }
    }

    /// How many of the batches, one at least, go to one segment.
    fn fitting(&self, pieces: &[Piece]) -> usize {
        let active = self.active_ref();
        let (whole, used) = (self.config.segment_bytes as usize, active.bytes as usize);
        let stays = used > 0 && used + pieces[0].range.len() <= whole;
        let (room, base) = if stays { (whole - used, active.base) } else { (whole, self.end) };
        let from = pieces[0].range.start;
        let fits =
            |piece: &&Piece| piece.range.end - from <= room && piece.header.next_offset().minus(base) <= RELATIVE_MAX;
        pieces.iter().take_while(fits).count().max(1)
    }

    fn append_group(&mut self, now: Now, group: &[Piece], records: &[u8]) -> Result<(), Error> {
        let (first, last) = (&group[0], &group[group.len() - 1]);
        let bytes = &records[first.range.start..last.range.end];
        let incoming = Incoming {
            newest: group.iter().map(|piece| piece.header.max_timestamp).max().unwrap_or(Timestamp::NONE),
            bytes: u32::try_from(bytes.len()).map_err(|_| corrupt("it is too large", first.header.base_offset))?,
            next: last.header.next_offset(),
        };
        let end = self.end;
        let (mut news, mut after) = (self.epochs_stale, end);
        for Piece { header, .. } in group {
            news |= self.epochs.learn(header.leader_epoch, after, header.base_offset);
            after = header.next_offset();
        }
        // Before the records, as a leader does it; what has no record is forgotten when the log is opened.
        let stored = if news { self.write_epochs() } else { Ok(()) };
        if let Err(error) = stored.and_then(|()| self.write(now, &[bytes], incoming)) {
            self.epochs_stale |= self.epochs.truncate_end(end);
            return Err(error);
        }
        for piece in group {
            let header = &piece.header;
            let is_marker = header.attributes.is_control() && header.has_producer();
            let marker = if is_marker { read_marker(&records[piece.range.clone()]) } else { None };
            self.note(header, marker, now.wall)?;
        }
        Ok(())
    }
}

/// The bytes are not what a leader has; they may be when they are fetched again.
fn corrupt(why: &str, at: Offset) -> Error {
    let message = format!("the batch at offset {at} that the leader sent is not appended: {why}");
    Error::refused(ErrorCode::CORRUPT_MESSAGE, message)
}
