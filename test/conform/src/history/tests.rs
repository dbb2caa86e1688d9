//! One history for each anomaly, and those that look alike and are none.

use super::{Anomaly, History, event};
use Anomaly::{AbortedRead, Backwards, CommitLost, Duplicate, Gap, Inconsistent, Lost, Phantom, Reordered, Skipped};

/// A step is `WHO EVENT ..` and happens after the one before it. Steps are separated by `;`.
fn line(at: usize, step: &str) -> String {
    let words: Vec<&str> = step.split_whitespace().collect();
    let (who, event) = (words[0], words[1]);
    let pair = |word: &str, by: char| word.split_once(by).map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a pair");
    let rest = match event {
        "send" if words.len() > 3 => format!(r#""number":{},"transaction":"{}""#, words[2], words[3]),
        "acked" => {
            let (number, offset) = pair(words[2], '@');
            format!(r#""number":{number},"offset":{offset}"#)
        }
        "send" | "failed" | "unknown" => format!(r#""number":{}"#, words[2]),
        "ended" => format!(r#""transaction":"{}","committed":{}"#, words[2], words[3] == "committed"),
        "assigned" if words.len() > 2 => format!(r#""group":"{}""#, words[2]),
        "assigned" | "revoked" => r#""nothing":0"#.to_owned(),
        "polled" => {
            let record = |word: &&str| {
                let ((offset, value), what) = (pair(word, '='), *word);
                let (who, number) = value.split_once(':').unwrap_or_else(|| panic!("no value: {what}"));
                format!(r#"[{offset},"{who}",{number}]"#)
            };
            format!(r#""records":[{}]"#, words[2..].iter().map(record).collect::<Vec<_>>().join(","))
        }
        "committing" | "committed" => format!(r#""group":"{}","offset":{}"#, words[2], words[3]),
        "bounds" => format!(r#""start":{},"end":{}"#, words[2], words[3]),
        other => panic!("no such step: {other}"),
    };
    format!(r#"{{"at":{at},"who":"{who}","event":"{event}","topic":"t","partition":0,{rest}}}"#)
}

#[track_caller]
fn check(steps: &str, expected: &[Anomaly]) {
    let mut history = History::default();
    for (at, step) in steps.split(';').enumerate() {
        history.add(&event::parse(&line(at, step)).expect("a line of the format"));
    }
    let findings = history.judge();
    assert_eq!(findings.kinds(), expected, "{findings}");
}

/// Two records of one producer that are acknowledged.
const TWO: &str = "p send 0; p send 1; p acked 0@0; p acked 1@1;";

#[test]
fn what_is_whole_has_no_findings() {
    check(&format!("{TWO} a assigned; a polled 0=p:0 1=p:1; a bounds 0 2"), &[]);
    check(&format!("{TWO} c assigned g; c polled 0=p:0; c polled 1=p:1; a polled 0=p:0 1=p:1; a bounds 0 2"), &[]);
    check("p send 0; p acked 0@null; a polled 0=p:0; a bounds 0 1", &[]);
    // Nobody knows whether it was stored: both are fine.
    check("p send 0; p unknown 0; a bounds 0 0", &[]);
    check("p send 0; p unknown 0; a polled 0=p:0; a bounds 0 1", &[]);
}

#[test]
fn lost_writes() {
    check(&format!("{TWO} a polled 0=p:0; a bounds 0 1"), &[Lost]);
    check("p send 0; p acked 0@null; a bounds 0 0", &[Lost]);
    // Another record stands in its place, whoever tells of it first.
    check("p send 0; q send 0; p acked 0@0; a polled 0=q:0; a bounds 0 1", &[Lost, Inconsistent]);
    check("a polled 0=q:0; a bounds 0 1; p send 0; q send 0; p acked 0@0", &[Lost, Inconsistent]);
    // Others have read it, which does not help.
    check(&format!("{TWO} c polled 0=p:0 1=p:1; a polled 0=p:0; a bounds 0 1"), &[Lost]);
}

#[test]
fn duplicates() {
    check("p send 0; p acked 0@0; a polled 0=p:0 1=p:0; a bounds 0 2", &[Duplicate]);
    check("p send 0; p acked 0@1; q send 0; a polled 0=p:0 1=q:0", &[Duplicate, Inconsistent]);
}

#[test]
fn reordering() {
    check("p send 0; p send 1; a polled 0=p:1 1=p:0", &[Reordered]);
    // Both in flight: any order will do. One acknowledged before the other is sent: it stands before it.
    check("p send 0; q send 0; p acked 0@1; q acked 0@0", &[]);
    check("p send 0; p acked 0@1; q send 0; q acked 0@0", &[Reordered]);
}

#[test]
fn two_values_for_one_offset() {
    check("p send 0; q send 0; p acked 0@0; q acked 0@0", &[Inconsistent]);
    check("p send 0; q send 0; c polled 0=p:0; d polled 0=q:0", &[Inconsistent]);
}

#[test]
fn records_from_nowhere() {
    check("c polled 0=p:0", &[Phantom]);
    check("p send 0; p failed 0; c polled 0=p:0", &[Phantom]);
}

#[test]
fn gaps() {
    check("p send 0; a assigned; a polled 1=p:0; a bounds 0 2", &[Gap]);
    check("p send 0; p send 1; c assigned; c polled 0=p:0 2=p:1", &[Gap]);
    // A transaction's marker takes an offset, and so does what was aborted.
    check("p send 0 x; p send 1 y; p ended x committed; p ended y committed; c polled 0=p:0 2=p:1", &[]);
}

#[test]
fn polls_that_go_back() {
    check(&format!("{TWO} c assigned; c polled 0=p:0 1=p:1; c polled 0=p:0"), &[Backwards]);
    check(&format!("{TWO} c assigned; c polled 0=p:0 1=p:1; c revoked; c assigned; c polled 0=p:0"), &[]);
}

#[test]
fn skipped_records() {
    let three = format!("{TWO} p send 2; p acked 2@2;");
    check(&format!("{three} c assigned; c polled 0=p:0 2=p:2"), &[Skipped]);
    // The group has both members' records; this one misses what lies between them.
    let audit = "a assigned; a polled 0=p:0 1=p:1 2=p:2; a bounds 0 3";
    check(&format!("{three} c assigned g; c polled 0=p:0; d assigned g; d polled 2=p:2; {audit}"), &[Skipped]);
    check(&format!("{three} c assigned g; c polled 0=p:0 1=p:1; d assigned g; d polled 1=p:1 2=p:2; {audit}"), &[]);
    check(&format!("{three} c assigned g; {audit}"), &[Skipped]);
}

#[test]
fn aborted_records() {
    check("p send 0 x; p acked 0@0; p ended x aborted; c polled 0=p:0", &[AbortedRead]);
    check("p send 0 x; p acked 0@0; p ended x aborted; a bounds 0 2", &[]);
    check("p send 0 x; p acked 0@0; p ended x committed; a bounds 0 2", &[Lost]);
    check("p send 0 x; p acked 0@0; p ended x aborted; q send 0; c assigned; c polled 2=q:0", &[]);
}

#[test]
fn commits() {
    let read = format!("{TWO} c assigned g; c polled 0=p:0 1=p:1; c committing g 2;");
    check(&format!("{read} c committed g 2; d assigned g; d polled 0=p:0"), &[CommitLost]);
    // It was assigned before the commit was known to be done.
    check(&format!("{read} d assigned g; c committed g 2; d polled 0=p:0"), &[]);
    // An older commit, of which nobody was told, may be carried out late.
    let late = format!("{TWO} c assigned g; c polled 0=p:0; c committing g 1; c polled 1=p:1; c committing g 2;");
    check(&format!("{late} c committed g 2; d assigned g; d polled 1=p:1"), &[]);
    check(&format!("{late} c committed g 1; c committed g 2; d assigned g; d polled 1=p:1"), &[]);
    // The first is done before the second begins, which is done before anybody asks.
    let both = format!("{TWO} c committing g 1; c committed g 1; c committing g 2; c committed g 2;");
    check(&format!("{both} d assigned g; d polled 1=p:1"), &[CommitLost]);
    // It was committed twice, and of one nobody was told.
    let twice =
        format!("{TWO} c committing g 1; c committing g 1; c committed g 1; c committing g 2; c committed g 2;");
    check(&format!("{twice} d assigned g; d polled 1=p:1"), &[]);
}

#[test]
fn lines_that_say_nothing_are_refused() {
    for line in ["", "{}", r#"{"at":1,"who":"p","event":"send","topic":"t"}"#, r#"{"at":1,"who":"p","event":"sing"}"#] {
        assert!(event::parse(line).is_err(), "{line}");
    }
}
