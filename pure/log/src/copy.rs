//! One log as the copy of another of the same partition, in another log directory: it keeps to what that one has, and takes
//! its place.

use crate::{Disk, Error, Log};
use types::Now;

impl<D: Disk> Log<D> {
    /// Gives up what `original` does not have: the largest epoch that both know decides, as between a follower and its leader
    /// (KIP-279). Begins where that one begins.
    pub fn agree_with(&mut self, now: Now, original: &Log<D>) -> Result<(), Error> {
        while let Some(epoch) = self.latest_epoch() {
            match original.epoch_end_offset(epoch) {
                Some((known, end)) if known == epoch && end >= self.end => break,
                Some((known, end)) => {
                    // As it was noted, though all of it may be deleted here: less must be left each time.
                    let own = self.epochs.end_offset(known, self.end).map_or(self.start, |(_, end)| end);
                    self.truncate_to(now, own.min(end))?;
                }
                None => self.truncate_fully_and_start_at(now, original.start)?,
            }
        }
        // One that has no record knows no epoch either.
        if self.end < original.start || self.end > original.end {
            self.truncate_fully_and_start_at(now, original.start)?;
        }
        self.remember_start()?;
        self.set_start_offset(original.start);
        if self.made && self.end == original.end && self.epochs != original.epochs {
            // Where compaction took an epoch's first batches, those that are left say that it began later: an old
            // follower would be told to keep what was never committed.
            self.epochs = original.epochs.clone();
            self.write_epochs()?;
        }
        self.set_high_watermark(original.high_watermark.min(self.end));
        Ok(())
    }

    /// Goes on in the place of `original`, whose records it has all, in the folder that its own was renamed to. What is known
    /// of producers may come from records that are deleted by now, so it is not in the copy.
    pub fn take_over(&mut self, original: &Log<D>, folder: &str) {
        self.identity.folder = folder.into();
        self.folder_synced = self.made;
        self.start = original.start;
        self.producers = original.producers.clone();
        if self.made {
            // The next tick writes them down.
            self.unsnapshotted_bytes = u64::MAX / 2;
        }
    }
}
