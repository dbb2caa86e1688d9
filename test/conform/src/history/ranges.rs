//! A set of offsets, kept as the ranges that it is made of.

use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub struct Ranges {
    /// Where each range begins, and the first offset after it. They neither touch nor overlap.
    ends: BTreeMap<i64, i64>,
}

impl Ranges {
    /// Adds what lies from `start` up to `end`, which is not part of it.
    pub fn add(&mut self, start: i64, end: i64) {
        let (mut start, mut end) = (start, end);
        while let Some((from, to)) = self.ends.range(..=end).next_back().map(|(from, to)| (*from, *to)) {
            if to < start {
                break;
            }
            self.ends.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        self.ends.insert(start, end);
    }

    pub fn contains(&self, offset: i64) -> bool {
        self.ends.range(..=offset).next_back().is_some_and(|(_, end)| offset < *end)
    }

    /// The ranges of this set.
    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> {
        self.ends.iter().map(|(start, end)| (*start, *end))
    }

    /// What this set has and `other` has not.
    pub fn missing_from(&self, other: &Ranges) -> impl Iterator<Item = i64> {
        let gaps = self.iter().flat_map(|(start, end)| other.gaps(start, end));
        gaps.flat_map(|(start, end)| start..end)
    }

    /// The parts of the range that are not in this set.
    pub fn gaps(&self, start: i64, end: i64) -> Vec<(i64, i64)> {
        let mut gaps = Vec::new();
        let mut at = start;
        let before = self.ends.range(..=start).next_back().map_or(start, |(from, _)| *from);
        for (from, to) in self.ends.range(before..end.max(before)) {
            if *from > at {
                gaps.push((at, *from));
            }
            at = at.max(*to);
        }
        if at < end {
            gaps.push((at, end));
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::Ranges;

    #[test]
    fn ranges_join_and_know_their_gaps() {
        let mut ranges = Ranges::default();
        for (start, end) in [(4, 6), (0, 2), (8, 9), (2, 3), (5, 8)] {
            ranges.add(start, end);
        }
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(0, 3), (4, 9)]);
        assert!(ranges.contains(2) && !ranges.contains(3) && ranges.contains(8) && !ranges.contains(9));
        assert_eq!(ranges.gaps(1, 12), [(3, 4), (9, 12)]);
        assert_eq!(ranges.gaps(4, 9), []);
        let mut other = Ranges::default();
        other.add(1, 5);
        assert_eq!(ranges.missing_from(&other).collect::<Vec<_>>(), [0, 5, 6, 7, 8]);
    }
}
