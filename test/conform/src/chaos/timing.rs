//! How long the service stood still at each fault, and how fast all was well after the last one: from the histories.

use crate::history::event::{Event, What};
use std::collections::BTreeMap;
use std::time::Duration;

/// A fault of the run: from when to when it lasted, in microseconds of the histories' clock.
#[derive(Clone, Debug)]
pub struct Window {
    pub name: &'static str,
    pub from: u64,
    pub healed: u64,
    /// A majority was left, and the fault before was over for long enough: service is owed.
    pub is_owed: bool,
}

/// After a fault is healed its effects may still show.
const AFTERMATH_US: u64 = 3_000_000;

#[derive(Default)]
pub struct Timing {
    /// When the last fault was healed.
    healed: u64,
    /// By producer and partition: the last number that was sent before that.
    sent: BTreeMap<(String, i32), u64>,
    /// By partition: every acknowledgement.
    acked: BTreeMap<i32, Vec<u64>>,
    /// By partition: the offset up to which records were sent before, and when the last of them was acknowledged.
    due: BTreeMap<i32, (i64, u64)>,
    groups: BTreeMap<String, String>,
    /// By group and partition: when how far was read.
    polled: BTreeMap<(String, i32), Vec<(u64, i64)>>,
}

impl Timing {
    #[must_use]
    pub fn new(healed: u64) -> Timing {
        Timing { healed, ..Timing::default() }
    }

    /// Takes the next line of a history.
    pub fn add(&mut self, event: &Event) {
        match &event.what {
            What::Send { place, number, .. } if event.at <= self.healed => {
                self.sent.insert((event.who.clone(), place.partition), *number);
            }
            What::Acked { place, number, offset } => {
                self.acked.entry(place.partition).or_default().push(event.at);
                let last = self.sent.get(&(event.who.clone(), place.partition));
                if last.is_some_and(|last| number <= last) {
                    let due = self.due.entry(place.partition).or_default();
                    *due = (due.0.max(offset.unwrap_or(0)), due.1.max(event.at));
                }
            }
            What::Assigned { group: Some(group), .. } => {
                self.groups.insert(event.who.clone(), group.clone());
            }
            What::Polled { place, records } => {
                let group = self.groups.get(&event.who);
                if let (Some(group), Some(record)) = (group, records.last()) {
                    self.polled.entry((group.clone(), place.partition)).or_default().push((event.at, record.offset));
                }
            }
            What::Send { .. }
            | What::Failed { .. }
            | What::Unknown { .. }
            | What::Ended { .. }
            | What::Assigned { group: None, .. }
            | What::Revoked { .. }
            | What::Committing { .. }
            | What::Committed { .. }
            | What::Bounds { .. } => {}
        }
    }

    /// How long after the last fault all that was sent before was acknowledged.
    #[must_use]
    pub fn answered_after(&self) -> Duration {
        let last = self.due.values().map(|(_, at)| *at).max().unwrap_or(self.healed);
        Duration::from_micros(last.saturating_sub(self.healed))
    }

    /// By group: how long after the last fault it had read all that was sent before; nothing where it never has.
    #[must_use]
    pub fn caught_up_after(&self) -> BTreeMap<String, Option<Duration>> {
        let mut after: BTreeMap<String, Option<Duration>> = BTreeMap::new();
        for group in self.groups.values() {
            let reached = self.due.iter().map(|(partition, (offset, _))| {
                let polled = self.polled.get(&(group.clone(), *partition))?;
                polled.iter().filter(|(_, read)| read >= offset).map(|(at, _)| *at).min()
            });
            let last = reached.collect::<Option<Vec<u64>>>().and_then(|all| all.into_iter().max());
            let waited = last.map(|at| Duration::from_micros(at.saturating_sub(self.healed)));
            after.insert(group.clone(), waited);
        }
        after
    }

    /// By kind of fault: the longest time between two acknowledgements of one partition, for each such fault.
    #[must_use]
    pub fn stood_still(&mut self, windows: &[Window]) -> BTreeMap<&'static str, Vec<Duration>> {
        self.acked.values_mut().for_each(|times| times.sort_unstable());
        let mut longest: BTreeMap<&'static str, Vec<Duration>> = BTreeMap::new();
        for window in windows.iter().filter(|window| window.is_owed) {
            let gaps = self.acked.values().map(|times| gap(times, window.from, window.healed + AFTERMATH_US));
            longest.entry(window.name).or_default().push(Duration::from_micros(gaps.max().unwrap_or(0)));
        }
        longest.values_mut().for_each(|gaps| gaps.sort_unstable());
        longest
    }
}

/// The longest time between two of these, of which the second is after `from` and the first before `to`.
fn gap(times: &[u64], from: u64, to: u64) -> u64 {
    let first = times.partition_point(|at| *at < from).saturating_sub(1);
    let pairs = times[first..].windows(2).take_while(|pair| pair[0] < to);
    pairs.map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Timing, Window, gap};
    use crate::history::event;
    use std::time::Duration;

    #[test]
    fn a_gap_counts_where_it_touches_the_fault() {
        let times = [10, 20, 70, 80, 200];
        assert_eq!(gap(&times, 30, 60), 50);
        assert_eq!(gap(&times, 75, 79), 10);
        assert_eq!(gap(&times, 75, 90), 120);
        assert_eq!(gap(&times, 300, 400), 0);
    }

    #[test]
    fn what_was_sent_before_the_end_of_the_last_fault_is_due() {
        let mut timing = Timing::new(1_000_000);
        let mut add = |at: u64, who: &str, rest: &str| {
            let line = format!(r#"{{"at":{at},"who":"{who}","topic":"t","partition":0,{rest}}}"#);
            timing.add(&event::parse(&line).expect("a line of the format"));
        };
        add(900_000, "p", r#""event":"send","number":0"#);
        add(1_100_000, "p", r#""event":"send","number":1"#);
        add(1_500_000, "p", r#""event":"acked","number":0,"offset":7"#);
        add(4_000_000, "p", r#""event":"acked","number":1,"offset":8"#);
        add(100, "c", r#""event":"assigned","group":"g""#);
        add(1_400_000, "c", r#""event":"polled","records":[[6,"p",0]]"#);
        add(2_000_000, "c", r#""event":"polled","records":[[7,"p",0]]"#);
        assert_eq!(timing.answered_after(), Duration::from_millis(500));
        assert_eq!(timing.caught_up_after()["g"], Some(Duration::from_millis(1000)));
        let window = Window { name: "kill", from: 2_000_000, healed: 3_000_000, is_owed: true };
        assert_eq!(timing.stood_still(&[window])["kill"], [Duration::from_millis(2500)]);
    }
}
