//! What one group did in one partition: what it was handed, where its members began, what they committed.

use super::names::{Name, Names};
use super::ranges::Ranges;
use super::{Anomaly, Findings};
use std::collections::{HashMap, VecDeque};

#[derive(Default)]
pub struct Group {
    pub seen: Ranges,
    /// When a member was assigned the partition, who, and what it was handed first.
    pub starts: Vec<(u64, Name, i64)>,
    commits: Vec<Commit>,
    /// By client and offset: which commits nobody was told the end of.
    open: HashMap<(Name, i64), VecDeque<usize>>,
}

struct Commit {
    offset: i64,
    from: u64,
    /// Never, for one that nobody was told the end of: it may be carried out now or much later.
    done: u64,
}

impl Group {
    pub fn committing(&mut self, who: Name, offset: i64, at: u64) {
        self.open.entry((who, offset)).or_default().push_back(self.commits.len());
        self.commits.push(Commit { offset, from: at, done: u64::MAX });
    }

    /// Of several equal commits the oldest is taken to be done: which of them stays in doubt cannot be known.
    pub fn committed(&mut self, who: Name, offset: i64, at: u64) {
        let oldest = self.open.get_mut(&(who, offset)).and_then(VecDeque::pop_front);
        match oldest.and_then(|index| self.commits.get_mut(index)) {
            Some(commit) => commit.done = at,
            None => self.commits.push(Commit { offset, from: at, done: at }),
        }
    }

    /// A member begins at a commit that no later one has surely replaced.
    pub fn judge(&self, name: &str, names: &Names, findings: &mut Findings) {
        for (assigned_at, who, start) in &self.starts {
            let done = self.commits.iter().filter(|commit| commit.done < *assigned_at);
            let Some(replaced) = done.map(|commit| commit.from).max() else { continue };
            let standing = self.commits.iter().filter(|commit| commit.done >= replaced);
            let lowest = standing.map(|commit| commit.offset).min();
            if let Some(lowest) = lowest.filter(|lowest| start < lowest) {
                let text = || format!("{name}: {lowest} was committed, and {} begins at {start}", names.name(*who));
                findings.add(Anomaly::CommitLost, text);
            }
        }
    }
}
