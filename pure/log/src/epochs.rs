//! Which offset each leader epoch began at, and the `leader-epoch-checkpoint` file that remembers it.

use types::{LeaderEpoch, Offset};

/// Epochs in ascending order with the offset of their first record, both strictly rising.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Epochs {
    entries: Vec<(LeaderEpoch, Offset)>,
    /// While a log is opened, what may or may not be so.
    doubted: Vec<(LeaderEpoch, Offset)>,
}

impl Epochs {
    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|(epoch, _)| *epoch)
    }

    /// Notes that `epoch` begins at `start`. True where that was news.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if epoch < LeaderEpoch(0) || self.latest().is_some_and(|latest| latest >= epoch) {
            return false;
        }
        // An epoch without a record gives way to the one that begins at the same offset.
        while self.entries.last().is_some_and(|(_, known)| *known >= start) {
            self.entries.pop();
        }
        self.entries.push((epoch, start));
        true
    }

    /// Notes the epoch of a batch at `base` where the one before it ended at `after`. Compaction may have taken the epoch's
    /// first batches, so it began at `base` at the latest: where it is doubted to have begun, or else right at `after`. One
    /// that seems to begin late would let an old follower keep what was never committed; one that seems to begin early makes
    /// it fetch some records again. What was noted beside an epoch of the epochs before it is of the same history, though
    /// nothing of them may be left.
    pub(crate) fn learn(&mut self, epoch: LeaderEpoch, after: Offset, base: Offset) -> bool {
        let after = after.min(base);
        let fits = |(known, start): &&(LeaderEpoch, Offset)| *known <= epoch && (after..=base).contains(start);
        let noted: Vec<_> = self.doubted.iter().filter(fits).copied().collect();
        match noted.last() {
            Some((known, _)) if *known == epoch => {
                noted.into_iter().fold(false, |news, (known, start)| self.assign(known, start) || news)
            }
            Some(_) | None => self.assign(epoch, after),
        }
    }

    /// What begins at or after `end` was perhaps truncated since it was written down: it must be learned again.
    pub(crate) fn doubt(&mut self, end: Offset) {
        self.doubted = self.entries.split_off(self.entries.partition_point(|(_, start)| *start < end));
    }

    /// Nothing more is learned of what was doubted.
    pub(crate) fn settle(&mut self) {
        self.doubted = Vec::new();
    }

    /// The largest epoch at or below `asked` with the offset after its last record, as OffsetForLeaderEpoch answers.
    /// `end` is the log's end.
    pub(crate) fn end_offset(&self, asked: LeaderEpoch, end: Offset) -> Option<(LeaderEpoch, Offset)> {
        if asked < LeaderEpoch(0) {
            return None;
        }
        if self.latest() == Some(asked) {
            return Some((asked, end));
        }
        let next = self.entries.partition_point(|(epoch, _)| *epoch <= asked);
        let (_, next_start) = self.entries.get(next)?;
        // Below the oldest known epoch nothing is known of the epoch asked for, yet it ended where that one begins.
        let epoch = next.checked_sub(1).map_or(asked, |at| self.entries[at].0);
        Some((epoch, *next_start))
    }

    /// The epoch of the record at `offset`.
    pub(crate) fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let above = self.entries.partition_point(|(_, start)| *start <= offset);
        above.checked_sub(1).map(|at| self.entries[at].0)
    }

    /// Forgets what begins at or after `end`. True where something did.
    pub(crate) fn truncate_end(&mut self, end: Offset) -> bool {
        let kept = self.entries.partition_point(|(_, start)| *start < end);
        let news = kept < self.entries.len();
        self.entries.truncate(kept);
        news
    }

    /// Forgets epochs that ended at or before `start`. True where there were some.
    pub(crate) fn truncate_start(&mut self, start: Offset) -> bool {
        let gone = self.entries.partition_point(|(_, known)| *known <= start).saturating_sub(1);
        self.entries.drain(..gone).len() > 0
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// The checkpoint's text: a version, a count, and a line for each epoch.
    pub(crate) fn encode(&self) -> Vec<u8> {
        crate::checkpoint::encode(self.entries.iter().map(|(epoch, start)| format!("{epoch} {start}")))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Epochs> {
        let mut epochs = Epochs::default();
        for line in crate::checkpoint::decode(bytes)? {
            let (epoch, start) = line.split_once(' ')?;
            epochs.assign(LeaderEpoch(epoch.parse().ok()?), Offset(start.parse().ok()?));
        }
        Some(epochs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> Epochs {
        let mut out = Epochs::default();
        for (epoch, start) in entries {
            out.assign(LeaderEpoch(*epoch), Offset(*start));
        }
        out
    }

    #[test]
    fn answers_exactly_for_past_and_future_epochs() {
        let known = epochs(&[(2, 0), (4, 10), (7, 25)]);
        let ask = |epoch| known.end_offset(LeaderEpoch(epoch), Offset(40)).map(|(epoch, end)| (epoch.0, end.0));
        assert_eq!(ask(-1), None);
        assert_eq!(ask(1), Some((1, 0)));
        assert_eq!(ask(2), Some((2, 10)));
        assert_eq!(ask(3), Some((2, 10)));
        assert_eq!(ask(6), Some((4, 25)));
        assert_eq!(ask(7), Some((7, 40)));
        assert_eq!(ask(8), None);
        assert_eq!(Epochs::default().end_offset(LeaderEpoch(0), Offset(9)), None);
    }

    #[test]
    fn checkpoint_is_kafkas_text() {
        let known = epochs(&[(2, 0), (4, 10)]);
        assert_eq!(known.encode(), b"0\n2\n2 0\n4 10\n");
        assert_eq!(Epochs::decode(b"0\n2\n2 0\n4 10\n"), Some(known));
        assert_eq!(Epochs::decode(b"0\n2\n2 0\n"), None);
        assert_eq!(Epochs::decode(b"1\n0\n"), None);
    }

    #[test]
    fn truncation_keeps_the_epoch_that_spans_the_cut() {
        let mut known = epochs(&[(2, 0), (4, 10), (7, 25)]);
        assert!(known.truncate_start(Offset(12)));
        assert_eq!(known, epochs(&[(4, 10), (7, 25)]));
        assert!(known.truncate_end(Offset(25)));
        assert_eq!(known, epochs(&[(4, 10)]));
        assert!(!known.truncate_start(Offset(12)));
        assert_eq!(known.at(Offset(13)), Some(LeaderEpoch(4)));
        assert_eq!(known.at(Offset(3)), None);
    }

    #[test]
    fn an_epoch_without_records_is_replaced() {
        assert_eq!(epochs(&[(1, 5), (2, 5)]), epochs(&[(2, 5)]));
        assert_eq!(epochs(&[(3, 5), (2, 9)]), epochs(&[(3, 5)]));
    }
}
