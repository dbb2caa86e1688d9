//! Judges a history of sends and polls: what clients did and were told, one JSON object for each line.
//!
//! Every line has `at` (microseconds of one clock), `who` (one life of one client) and `event`; most have `topic` and
//! `partition`. The lines of one `who` are in the order in which things happened to it; the rest is put in order by `at`.
//!
//! | `event` | further | says |
//! |---|---|---|
//! | `send` | `number`, `transaction`? | is about to send; a producer's numbers go up in each partition |
//! | `acked` | `number`, `offset` | stored there; `null` where the producer was not told the offset |
//! | `failed` | `number` | certainly not stored |
//! | `unknown` | `number` | stored or not; so is a send that nothing more is said of |
//! | `ended` | `transaction`, `committed` | how a transaction ended; without it, unknown |
//! | `assigned`, `revoked` | `group`? | reads the partition from here on, or no longer |
//! | `polled` | `records`: `[offset, who, number]`.. | was handed these, in this order |
//! | `committing`, `committed` | `group`, `offset` | is about to commit, and was told that it is done |
//! | `bounds` | `start`, `end` | the partition begins and ends there, and this client has read all of it |
//!
//! Owns the facts and what contradicts them. Must never know which broker or client they are of.

pub mod event;
mod group;
mod names;
mod partition;
mod ranges;
#[cfg(test)]
mod tests;

use event::{Event, Place, What};
use group::Group;
use names::{Name, Names};
use partition::{Case, Fate, Partition, Value, Whole};
use ranges::Ranges;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// What can be wrong with a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Anomaly {
    /// An acknowledged record is not there.
    Lost,
    /// One record is there twice.
    Duplicate,
    /// A later record stands before an earlier one.
    Reordered,
    /// An offset had two values.
    Inconsistent,
    /// A record that nobody sent, or whose sender was told that it is not stored.
    Phantom,
    /// An offset without a record, where there are no transactions whose markers would take it.
    Gap,
    /// A consumer was handed an offset that it was past already.
    Backwards,
    /// A consumer or a whole group was never handed a record.
    Skipped,
    /// A record of an aborted transaction was handed out.
    AbortedRead,
    /// A group went on below what it had committed.
    CommitLost,
}

/// What is wrong, with an example or some of each kind.
#[derive(Default)]
pub struct Findings {
    counts: BTreeMap<Anomaly, u64>,
    examples: Vec<String>,
}

impl Findings {
    const EXAMPLES_MAX: u64 = 5;

    fn add(&mut self, anomaly: Anomaly, text: impl FnOnce() -> String) {
        let count = self.counts.entry(anomaly).or_default();
        *count += 1;
        if *count <= Findings::EXAMPLES_MAX {
            self.examples.push(format!("{anomaly:?}: {}", text()));
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    #[must_use]
    pub fn kinds(&self) -> Vec<Anomaly> {
        self.counts.keys().copied().collect()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (anomaly, count) in &self.counts {
            writeln!(f, "{anomaly:?}: {count}")?;
        }
        self.examples.iter().try_for_each(|example| writeln!(f, "  {example}"))
    }
}

/// A partition of a topic.
type Spot = (Name, i32);

/// All that was done and told.
#[derive(Default)]
pub struct History {
    names: Names,
    partitions: BTreeMap<Spot, Partition>,
    groups: BTreeMap<(Name, Spot), Group>,
    /// By transaction: whether it was committed.
    outcomes: HashMap<Name, bool>,
    /// Where each client reads on, and in which group.
    readers: BTreeMap<(Name, Spot), Reader>,
    bounds: Vec<(Name, Spot, i64, i64)>,
    findings: Findings,
    pub figures: Figures,
}

#[derive(Default)]
struct Reader {
    group: Option<Name>,
    assigned_at: u64,
    /// Nothing was handed out since the partition was assigned.
    next: Option<i64>,
    seen: Ranges,
}

/// How much a history holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub sent: u64,
    pub acked: u64,
    pub failed: u64,
    pub polled: u64,
    pub committed: u64,
    pub assigned: u64,
}

impl History {
    /// Adds all histories of a folder: the files that end in `.jsonl`.
    pub fn read_folder(&mut self, folder: &Path, mut each: impl FnMut(&Event)) -> Result<(), String> {
        let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
        paths.sort();
        paths.iter().try_for_each(|path| self.read(path, &mut each))
    }

    /// Adds the lines of a file. A last line without an end is what a killed client left: it is passed over.
    pub fn read(&mut self, path: &Path, mut each: impl FnMut(&Event)) -> Result<(), String> {
        let world = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut lines = BufReader::new(File::open(path).map_err(world)?);
        let mut line = String::new();
        for number in 1_u64.. {
            line.clear();
            if lines.read_line(&mut line).map_err(world)? == 0 || !line.ends_with('\n') {
                break;
            }
            let event = event::parse(&line).map_err(|what| format!("{}:{number}: {what}", path.display()))?;
            each(&event);
            self.add(&event);
        }
        Ok(())
    }

    pub fn add(&mut self, event: &Event) {
        let who = self.names.of(&event.who);
        let at = event.at;
        match &event.what {
            What::Send { place, number, transaction } => {
                self.figures.sent += 1;
                let transaction = transaction.as_ref().map(|name| self.names.of(name));
                self.partition(place).send(Value { who, number: *number }, at, transaction);
            }
            What::Acked { place, number, offset } => {
                self.figures.acked += 1;
                let value = Value { who, number: *number };
                self.partition(place).fate(value, Fate::Acked { at });
                if let Some(offset) = offset {
                    self.saw(who, place, *offset, value);
                }
            }
            What::Failed { place, number } => {
                self.figures.failed += 1;
                self.partition(place).fate(Value { who, number: *number }, Fate::Failed);
            }
            What::Unknown { place, number } => {
                self.figures.failed += 1;
                self.partition(place).fate(Value { who, number: *number }, Fate::Unknown);
            }
            What::Ended { transaction, committed } => {
                let transaction = self.names.of(transaction);
                self.outcomes.insert(transaction, *committed);
            }
            What::Assigned { place, group } => {
                self.figures.assigned += 1;
                let group = group.as_ref().map(|group| self.names.of(group));
                let key = (who, self.spot(place));
                // A group that is handed nothing is judged too.
                if let Some(group) = group {
                    self.groups.entry((group, key.1)).or_default();
                }
                let reader = self.readers.entry(key).or_default();
                (reader.group, reader.assigned_at, reader.next) = (group, at, None);
            }
            What::Revoked { place } => {
                let key = (who, self.spot(place));
                self.readers.entry(key).or_default().next = None;
            }
            What::Polled { place, records } => self.polled(who, place, records),
            What::Committing { place, group, offset } => self.group(group, place).committing(who, *offset, at),
            What::Committed { place, group, offset } => {
                self.figures.committed += 1;
                self.group(group, place).committed(who, *offset, at);
            }
            What::Bounds { place, start, end } => {
                let spot = self.spot(place);
                self.bounds.push((who, spot, *start, *end));
            }
        }
    }

    fn spot(&mut self, place: &Place) -> Spot {
        (self.names.of(&place.topic), place.partition)
    }

    fn partition(&mut self, place: &Place) -> &mut Partition {
        let spot = self.spot(place);
        self.partitions.entry(spot).or_default()
    }

    fn group(&mut self, group: &str, place: &Place) -> &mut Group {
        let key = (self.names.of(group), self.spot(place));
        self.groups.entry(key).or_default()
    }

    /// Somebody was told that a value stands at an offset.
    fn saw(&mut self, who: Name, place: &Place, offset: i64, value: Value) {
        let spot = self.spot(place);
        let partition = self.partitions.entry(spot).or_default();
        let names = &self.names;
        if let Some(other) = Some(partition.value_at(offset, value)).filter(|other| *other != value) {
            let text = || format!("{place} has {} at {offset}, and {}", value.show(names), other.show(names));
            self.findings.add(Anomaly::Inconsistent, text);
            partition.disputed.insert((offset, who), value);
        }
        if let Some(other) = Some(partition.offset_of(value, offset)).filter(|other| *other != offset) {
            let text = || format!("{place} has {} at {other} and at {offset}", value.show(names));
            self.findings.add(Anomaly::Duplicate, text);
        }
    }

    fn polled(&mut self, who: Name, place: &Place, records: &[event::Record]) {
        let spot = self.spot(place);
        for record in records {
            self.figures.polled += 1;
            let value = Value { who: self.names.of(&record.who), number: record.number };
            self.saw(who, place, record.offset, value);
            let reader = self.readers.entry((who, spot)).or_default();
            let (next, after) = (reader.next.unwrap_or(record.offset), record.offset.saturating_add(1));
            if record.offset < next {
                let text =
                    || format!("{} was at {next} of {place} and is handed {}", self.names.name(who), record.offset);
                self.findings.add(Anomaly::Backwards, text);
            }
            let partition = self.partitions.entry(spot).or_default();
            partition.handed_out.add(record.offset, after);
            if record.offset > next {
                partition.jumps.push((who, next, record.offset));
            }
            if let Some(group) = reader.group {
                let group = self.groups.entry((group, spot)).or_default();
                group.seen.add(record.offset, after);
                if reader.next.is_none() {
                    group.starts.push((reader.assigned_at, who, record.offset));
                }
            }
            reader.seen.add(record.offset, after);
            reader.next = Some(after);
        }
    }

    /// What contradicts itself, once every line is there.
    #[must_use]
    pub fn judge(mut self) -> Findings {
        let mut findings = std::mem::take(&mut self.findings);
        let names = &self.names;
        let case = |spot: &Spot| Case {
            place: Place { topic: names.name(spot.0).to_owned(), partition: spot.1 },
            names,
            outcomes: &self.outcomes,
        };
        for (spot, partition) in &self.partitions {
            partition.judge(&case(spot), &mut findings);
        }
        for (who, spot, start, end) in &self.bounds {
            let case = case(spot);
            let nothing = Ranges::default();
            let read = self.readers.get(&(*who, *spot)).map_or(&nothing, |reader| &reader.seen);
            if let Some(partition) = self.partitions.get(spot) {
                let whole = Whole { who: *who, read, start: *start, end: *end };
                partition.judge_end(&case, &whole, &mut findings);
            }
            for ((name, _), group) in self.groups.iter().filter(|((_, of), _)| of == spot) {
                for offset in read.missing_from(&group.seen) {
                    let text = || format!("group {} was never handed {offset} of {}", names.name(*name), case.place);
                    findings.add(Anomaly::Skipped, text);
                }
            }
        }
        for ((name, spot), group) in &self.groups {
            group.judge(&format!("group {} in {}", names.name(*name), case(spot).place), names, &mut findings);
        }
        findings
    }
}
