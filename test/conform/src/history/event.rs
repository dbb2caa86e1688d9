//! The lines of a history. Owns their format; must never judge them.

use serde_json::Value;
use std::fmt;

/// One line: what happened to whom, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub at: u64,
    pub who: String,
    pub what: What,
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub topic: String,
    pub partition: i32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A record as a consumer was handed it: its offset, and the sender and number that its value names.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub offset: i64,
    pub who: String,
    pub number: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Send { place: Place, number: u64, transaction: Option<String> },
    Acked { place: Place, number: u64, offset: Option<i64> },
    Failed { place: Place, number: u64 },
    Unknown { place: Place, number: u64 },
    Ended { transaction: String, committed: bool },
    Assigned { place: Place, group: Option<String> },
    Revoked { place: Place },
    Polled { place: Place, records: Vec<Record> },
    Committing { place: Place, group: String, offset: i64 },
    Committed { place: Place, group: String, offset: i64 },
    Bounds { place: Place, start: i64, end: i64 },
}

/// Reads a line; the error says what is missing or wrong in it.
pub fn parse(line: &str) -> Result<Event, String> {
    let line: Value = serde_json::from_str(line).map_err(|error| format!("no JSON: {error}"))?;
    let fields = Fields(&line);
    let number = || fields.unsigned("number");
    let offset = |name| fields.signed(name);
    let what = match fields.text("event")?.as_str() {
        "send" => {
            What::Send { place: fields.place()?, number: number()?, transaction: fields.text("transaction").ok() }
        }
        "acked" => What::Acked { place: fields.place()?, number: number()?, offset: offset("offset").ok() },
        "failed" => What::Failed { place: fields.place()?, number: number()? },
        "unknown" => What::Unknown { place: fields.place()?, number: number()? },
        "ended" => {
            let committed = line["committed"].as_bool().ok_or("no `committed`")?;
            What::Ended { transaction: fields.text("transaction")?, committed }
        }
        "assigned" => What::Assigned { place: fields.place()?, group: fields.text("group").ok() },
        "revoked" => What::Revoked { place: fields.place()? },
        "polled" => What::Polled { place: fields.place()?, records: fields.records()? },
        "committing" => {
            What::Committing { place: fields.place()?, group: fields.text("group")?, offset: offset("offset")? }
        }
        "committed" => {
            What::Committed { place: fields.place()?, group: fields.text("group")?, offset: offset("offset")? }
        }
        "bounds" => What::Bounds { place: fields.place()?, start: offset("start")?, end: offset("end")? },
        unknown => return Err(format!("an event that nobody knows: {unknown}")),
    };
    Ok(Event { at: fields.unsigned("at")?, who: fields.text("who")?, what })
}

struct Fields<'line>(&'line Value);

impl Fields<'_> {
    fn text(&self, name: &str) -> Result<String, String> {
        self.0[name].as_str().map(str::to_owned).ok_or_else(|| format!("no `{name}`"))
    }

    fn unsigned(&self, name: &str) -> Result<u64, String> {
        self.0[name].as_u64().ok_or_else(|| format!("no `{name}`"))
    }

    fn signed(&self, name: &str) -> Result<i64, String> {
        self.0[name].as_i64().ok_or_else(|| format!("no `{name}`"))
    }

    fn place(&self) -> Result<Place, String> {
        let partition = i32::try_from(self.signed("partition")?).map_err(|_| "no such partition")?;
        Ok(Place { topic: self.text("topic")?, partition })
    }

    fn records(&self) -> Result<Vec<Record>, String> {
        let records = self.0["records"].as_array().ok_or("no `records`")?;
        let record = |record: &Value| {
            let (offset, who, number) = (record[0].as_i64()?, record[1].as_str()?.to_owned(), record[2].as_u64()?);
            Some(Record { offset, who, number })
        };
        records.iter().map(|one| record(one).ok_or_else(|| format!("no record: {one}"))).collect()
    }
}
