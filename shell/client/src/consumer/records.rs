//! What a poll returns: records by their partitions.

use client::{Consumed, ConsumedRecord, Spot};

/// Records of several partitions, in order within each. Keys, values and headers are slices of what was fetched.
#[derive(Clone, Debug, Default)]
pub struct ConsumerRecords(pub(super) Vec<Consumed>);

impl ConsumerRecords {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many records there are in all.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.iter().map(|consumed| consumed.records.len()).sum()
    }

    /// What there is of each partition, and where it is read on.
    #[must_use]
    pub fn partitions(&self) -> &[Consumed] {
        &self.0
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Spot, &ConsumedRecord)> {
        self.0.iter().flat_map(|consumed| consumed.records.iter().map(move |record| (&consumed.spot, record)))
    }
}

impl ConsumerRecords {
    pub(super) fn into_records(self) -> impl Iterator<Item = (Spot, ConsumedRecord)> {
        let one = |Consumed { spot, records, .. }| records.into_iter().map(move |record| (Spot::clone(&spot), record));
        self.0.into_iter().flat_map(one)
    }
}

impl IntoIterator for ConsumerRecords {
    type Item = Consumed;
    type IntoIter = std::vec::IntoIter<Consumed>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
