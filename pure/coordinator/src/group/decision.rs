//! What a step of the coordinator leads to, and what the phases of a group work with to say so.

use super::command::Reply;
use super::records::Record;
use super::state::Member;
use super::timers::Timers;
use super::{Config, Token};
use types::{Now, Rng, Text};

/// What a command or a time-out leads to.
#[derive(Debug, Default)]
pub struct Decision {
    /// To be appended, then replayed.
    pub records: Vec<Record>,
    /// To be sent when everything appended so far is committed, also where this decision has no records.
    pub replies: Vec<(Token, Reply)>,
    /// To be sent at once: they tell nothing that could be lost.
    pub now_replies: Vec<(Token, Reply)>,
    /// For the log.
    pub notes: Vec<Note>,
    pub(super) undo: Vec<Undo>,
}

/// What happened to a group, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub group: Text,
    pub what: String,
}

/// What a decision changed before its records were stored.
#[derive(Debug)]
pub(super) enum Undo {
    /// The group was made by a join.
    Created(Text),
    /// The group became stable.
    Assigned(Text),
    /// A static member was given a new id.
    Replaced { group: Text, new: Text, old: Text, member: Box<Member> },
}

/// What the phases of a group work with.
pub(super) struct Step<'a> {
    pub now: Now,
    pub config: &'a Config,
    pub timers: &'a mut Timers,
    pub rng: &'a mut Rng,
    pub out: &'a mut Decision,
}

impl Step<'_> {
    pub fn answer(&mut self, token: Token, reply: Reply) {
        self.out.now_replies.push((token, reply));
    }

    pub fn answer_when_stored(&mut self, token: Token, reply: Reply) {
        self.out.replies.push((token, reply));
    }

    pub fn note(&mut self, group: &Text, what: String) {
        self.out.notes.push(Note { group: group.clone(), what });
    }

    /// In the form that Java prints.
    pub fn random_uuid(&mut self) -> String {
        let (high, low) = (self.rng.next_u64(), self.rng.next_u64());
        let (version, variant) = (high & 0xfff | 0x4000, low >> 48 & 0x3fff | 0x8000);
        let (first, second) = (high >> 32, high >> 16 & 0xffff);
        format!("{first:08x}-{second:04x}-{version:04x}-{variant:04x}-{:012x}", low & 0xffff_ffff_ffff)
    }
}
