//! What one group did in one partition: what it was handed, where its members began, what they committed.

use super::names::{Name, Names};
use super::ranges::Ranges;
use super::{Anomaly, Findings};
use std::collections::BTreeSet;

#[derive(Default)]
pub struct Group {
    pub seen: Ranges,
    /// When a member was assigned the partition, who, and what it was handed first.
    pub starts: Vec<(u64, Name, i64)>,
    /// When a commit was known to be done, and its offset.
    committed: Vec<(u64, i64)>,
    /// Commits that nobody was told the end of: they may be carried out, now or much later.
    in_doubt: BTreeSet<(Name, i64)>,
    highest: i64,
}

impl Group {
    pub fn committing(&mut self, who: Name, offset: i64) {
        self.in_doubt.insert((who, offset));
        self.highest = self.highest.max(offset);
    }

    pub fn committed(&mut self, who: Name, offset: i64, at: u64) {
        self.in_doubt.remove(&(who, offset));
        self.committed.push((at, offset));
        self.highest = self.highest.max(offset);
    }

    pub fn judge(&self, name: &str, names: &Names, findings: &mut Findings) {
        let mut committed = self.committed.clone();
        committed.sort_unstable();
        // From here on: the highest that was committed by then.
        let mut highest = 0;
        for entry in &mut committed {
            highest = highest.max(entry.1);
            entry.1 = highest;
        }
        for (assigned_at, who, start) in &self.starts {
            let before = committed.partition_point(|(at, _)| at < assigned_at);
            let known = before.checked_sub(1).map_or(0, |last| committed[last].1);
            let is_late = self.in_doubt.iter().any(|(_, offset)| offset == start);
            if *start < known && !is_late {
                let text = || format!("{name}: {known} was committed, and {} begins at {start}", names.name(*who));
                findings.add(Anomaly::CommitLost, text);
            }
        }
    }
}
