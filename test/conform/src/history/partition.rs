//! What is known of one partition: which value stands at which offset, and what became of each send.

use super::event::Place;
use super::names::{Name, Names};
use super::ranges::Ranges;
use super::{Anomaly, Findings};
use std::collections::{BTreeMap, HashMap};

/// What a record carries: its sender, and the sender's number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    pub who: Name,
    pub number: u64,
}

impl Value {
    pub fn show(self, names: &Names) -> String {
        format!("{}:{}", names.name(self.who), self.number)
    }
}

/// What its sender knows of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Acked { at: u64 },
    Failed,
    Unknown,
}

struct Sent {
    at: u64,
    transaction: Option<Name>,
    fate: Fate,
}

/// Which partition is judged, and what is known beside it.
pub struct Case<'history> {
    pub place: Place,
    pub names: &'history Names,
    pub outcomes: &'history HashMap<Name, bool>,
}

impl Case<'_> {
    fn must_be_seen(&self, transaction: Option<Name>) -> bool {
        transaction.is_none_or(|transaction| self.outcomes.get(&transaction) == Some(&true))
    }
}

/// Who has read all of a partition, and from where to where that is.
pub struct Whole<'history> {
    pub who: Name,
    pub read: &'history Ranges,
    pub start: i64,
    pub end: i64,
}

#[derive(Default)]
pub struct Partition {
    values: BTreeMap<i64, Value>,
    offsets: HashMap<Value, i64>,
    sends: BTreeMap<Value, Sent>,
    /// Acknowledgements may be read before the sends they belong to.
    early: HashMap<Value, Fate>,
    /// What any consumer was handed.
    pub handed_out: Ranges,
    /// Who was handed no record between two offsets, the first of which was next.
    pub jumps: Vec<(Name, i64, i64)>,
    /// Who was told of another value at an offset than the first who was told of one.
    pub disputed: HashMap<(i64, Name), Value>,
    has_transactions: bool,
}

impl Partition {
    pub fn send(&mut self, value: Value, at: u64, transaction: Option<Name>) {
        self.has_transactions |= transaction.is_some();
        let fate = self.early.remove(&value).unwrap_or(Fate::Unknown);
        self.sends.insert(value, Sent { at, transaction, fate });
    }

    pub fn fate(&mut self, value: Value, fate: Fate) {
        match self.sends.get_mut(&value) {
            Some(sent) => sent.fate = fate,
            None => {
                self.early.insert(value, fate);
            }
        }
    }

    /// A value was seen at an offset: what was seen there first.
    pub fn value_at(&mut self, offset: i64, value: Value) -> Value {
        *self.values.entry(offset).or_insert(value)
    }

    /// A value was seen at an offset: where it was seen first.
    pub fn offset_of(&mut self, value: Value, offset: i64) -> i64 {
        *self.offsets.entry(value).or_insert(offset)
    }

    pub fn judge(&self, case: &Case, findings: &mut Findings) {
        self.judge_values(case, findings);
        self.judge_order(case, findings);
        let (place, names) = (&case.place, case.names);
        for (who, next, at) in &self.jumps {
            let is_passed = |value: &Value| case.must_be_seen(self.sends.get(value).and_then(|sent| sent.transaction));
            if let Some((offset, value)) = self.values.range(*next..*at).find(|(_, value)| is_passed(value)) {
                let (who, value) = (names.name(*who), value.show(names));
                let text = || format!("{who} went from {next} to {at} of {place}, over {value} at {offset}");
                findings.add(Anomaly::Skipped, text);
            } else if !self.has_transactions {
                let text = || format!("{} went from {next} to {at} of {place}", names.name(*who));
                findings.add(Anomaly::Gap, text);
            }
        }
    }

    /// Each record was sent, and may be seen.
    fn judge_values(&self, case: &Case, findings: &mut Findings) {
        let (place, names) = (&case.place, case.names);
        for (offset, value) in &self.values {
            let what = || format!("{} at {offset} of {place}", value.show(names));
            let Some(sent) = self.sends.get(value) else {
                findings.add(Anomaly::Phantom, || format!("nobody sent {}", what()));
                continue;
            };
            if sent.fate == Fate::Failed {
                findings.add(Anomaly::Phantom, || format!("its sender was told that it failed: {}", what()));
            }
            let is_aborted = sent.transaction.is_some_and(|name| case.outcomes.get(&name) == Some(&false));
            if is_aborted && self.handed_out.contains(*offset) {
                findings.add(Anomaly::AbortedRead, what);
            }
        }
    }

    /// A sender's numbers go up, and what was sent after an acknowledgement stands after what was acknowledged.
    fn judge_order(&self, case: &Case, findings: &mut Findings) {
        let (place, names) = (&case.place, case.names);
        let mut last: HashMap<Name, (u64, i64)> = HashMap::new();
        for (offset, value) in &self.values {
            let before = last.insert(value.who, (value.number, *offset));
            if let Some((number, at)) = before.filter(|(number, _)| *number > value.number) {
                let text = || format!("{place} has {} at {offset}, after {number} at {at}", value.show(names));
                findings.add(Anomaly::Reordered, text);
            }
        }
        let mut earliest: Option<(u64, i64)> = None;
        for (offset, value) in self.values.iter().rev() {
            let Some(sent) = self.sends.get(value) else { continue };
            if let Some((_, above)) = earliest.filter(|(acked_at, _)| *acked_at < sent.at) {
                let text =
                    || format!("{place} has {} at {offset}, sent when {above} was acknowledged", value.show(names));
                findings.add(Anomaly::Reordered, text);
            }
            if let Fate::Acked { at } = sent.fate {
                earliest = Some(earliest.map_or((at, *offset), |known| known.min((at, *offset))));
            }
        }
    }

    /// Everything was read: is everything there?
    pub fn judge_end(&self, case: &Case, whole: &Whole, findings: &mut Findings) {
        let (place, names) = (&case.place, case.names);
        if !self.has_transactions {
            for (from, to) in whole.read.gaps(whole.start, whole.end) {
                findings.add(Anomaly::Gap, || format!("{place} has nothing from {from} to {to}"));
            }
        }
        let found = |offset: i64| {
            let disputed = self.disputed.get(&(offset, whole.who));
            disputed.or_else(|| self.values.get(&offset)).filter(|_| whole.read.contains(offset))
        };
        for (value, sent) in &self.sends {
            let is_acked = matches!(sent.fate, Fate::Acked { .. });
            if !is_acked || !case.must_be_seen(sent.transaction) {
                continue;
            }
            let offset = self.offsets.get(value).copied();
            if offset.and_then(found) != Some(value) {
                let text = || format!("{place} does not have {}, acknowledged at {offset:?}", value.show(names));
                findings.add(Anomaly::Lost, text);
            }
        }
    }
}
