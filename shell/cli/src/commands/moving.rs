//! What draining and balancing have in common: showing a plan, what it costs, carrying it out, and saying what came of it.

use crate::plan::{Move, busiest_bytes};
use crate::problem::Problem;
use crate::reassign::{Outcome, Work};
use crate::session::{Session, write_out};
use crate::survey::{Survey, some};
use crate::table::{Table, size};
use crate::throttle::{Rate, rate};
use clap::Args;
use serde_json::{Value, json};
use vltava_client::Spot;

/// What is assumed of a broker where no throttle says it: one gigabit link.
const USUAL_RATE: Rate = Rate(100_000_000);
/// Moves that are shown before they are made; a dry run shows all.
const SHOWN_MAX: usize = 20;

/// How to move.
#[derive(Clone, Debug, Args)]
pub struct Moving {
    /// Only show the plan
    #[arg(long)]
    dry_run: bool,
    /// Most that each broker copies in a second, such as 50MB/s
    #[arg(long, value_name = "RATE", value_parser = rate)]
    throttle: Option<Rate>,
}

impl Moving {
    pub fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

/// A plan, and what the command has to say about it.
pub struct Plan {
    /// What it is for, such as `drain broker 3`.
    pub title: String,
    pub moves: Vec<Move>,
    /// Partitions that may need another leader besides.
    pub elect: Vec<Spot>,
    pub notes: Vec<String>,
    /// The command that goes on where this one was stopped.
    pub again: String,
}

impl Plan {
    pub async fn run(self, session: &Session, survey: &Survey, how: &Moving) -> Result<(), Problem> {
        let has_nothing = self.moves.is_empty() && self.elect.is_empty() && survey.moving.is_empty();
        if how.dry_run || has_nothing {
            return session.print(|| self.json(how, None), || self.text(how, usize::MAX));
        }
        if !session.connection.json {
            write_out(self.text(how, SHOWN_MAX))?;
        }
        let work = Work {
            session,
            moves: self.moves.clone(),
            throttle: how.throttle,
            living: survey.living(),
            under_way: survey.moving.keys().cloned().collect(),
            elect: self.elect.clone(),
            again: self.again(how),
        };
        let outcome = work.run().await?;
        session.print(|| self.json(how, Some(&outcome)), || done(&outcome))
    }

    fn again(&self, how: &Moving) -> String {
        how.throttle.map_or(self.again.clone(), |rate| format!("{} --throttle {rate}", self.again))
    }

    fn bytes(&self) -> u64 {
        self.moves.iter().map(Move::bytes_copied).fold(0, u64::saturating_add)
    }

    fn seconds(&self, how: &Moving) -> u64 {
        busiest_bytes(&self.moves).div_ceil(how.throttle.unwrap_or(USUAL_RATE).0)
    }

    fn table(&self, shown: usize) -> Table {
        let mut table = Table::new("topic, >partition, from, to, #bytes=COPIES");
        for known in self.moves.iter().take(shown) {
            table.row(json!([known.topic, known.index, known.from, known.to, known.bytes_copied()]));
        }
        table
    }

    fn json(&self, how: &Moving, outcome: Option<&Outcome>) -> Value {
        let mut value = json!({
            "plan": self.title,
            "moves": self.table(usize::MAX).json(),
            "bytes": self.bytes(),
            "estimated_seconds": self.seconds(how),
            "throttle_bytes_per_second": how.throttle.map(|rate| rate.0),
            "elections": self.elect.len(),
            "notes": self.notes,
            "done": outcome.is_some() || !how.dry_run,
        });
        if let Some(outcome) = outcome {
            value["warnings"] = json!(outcome.warnings);
        }
        value
    }

    fn text(&self, how: &Moving, shown: usize) -> String {
        let mut text: String = self.notes.iter().map(|note| format!("note: {note}\n")).collect();
        if self.moves.is_empty() {
            let nothing = if self.elect.is_empty() { "nothing to move" } else { "nothing to move but leaders" };
            text.push_str(&format!("{}: {nothing}\n", self.title));
            return text;
        }
        let table = self.table(shown);
        text.push_str(&table.to_string());
        if let Some(more) = self.moves.len().checked_sub(shown).filter(|more| *more > 0) {
            text.push_str(&format!("and {more} more, which --dry-run shows\n"));
        }
        let pace = match how.throttle {
            Some(rate) => format!("at the throttle of {rate} for each broker"),
            None => format!("at {USUAL_RATE} for each broker, if they manage that; --throttle bounds it"),
        };
        let (partitions, bytes, time) = (self.moves.len(), size(self.bytes()), duration(self.seconds(how)));
        text.push_str(&format!("{}: {partitions} partitions, {bytes} to copy, about {time} {pace}\n", self.title));
        text
    }
}

fn done(outcome: &Outcome) -> String {
    let text: String = outcome.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    let awaited = match outcome.awaited {
        0 => String::new(),
        count => format!(", and {count} that were under way before"),
    };
    format!("{text}done: {} partitions moved{awaited}\n", outcome.moved)
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// What every plan should say about the state of the cluster.
pub fn notes(survey: &Survey) -> Vec<String> {
    let mut notes = Vec::new();
    if !survey.moving.is_empty() {
        let count = survey.moving.len();
        notes.push(format!("{count} moves are under way already; they are taken into account and waited for"));
    }
    let leaderless = survey.leaderless();
    if !leaderless.is_empty() {
        let names = some(leaderless.iter().map(crate::survey::name));
        notes.push(format!("these have no leader, and cannot be copied: {names}"));
    }
    for node in &survey.silent {
        notes.push(format!("broker {node} did not say how large its replicas are"));
    }
    notes
}
