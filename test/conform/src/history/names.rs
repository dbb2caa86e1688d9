//! Each name once: a history says the same few names a million times.

use std::collections::HashMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(u32);

#[derive(Default)]
pub struct Names {
    known: HashMap<String, Name>,
    all: Vec<String>,
}

impl Names {
    pub fn of(&mut self, name: &str) -> Name {
        if let Some(known) = self.known.get(name) {
            return *known;
        }
        let new = Name(u32::try_from(self.all.len()).expect("far fewer names than lines"));
        self.known.insert(name.to_owned(), new);
        self.all.push(name.to_owned());
        new
    }

    pub fn name(&self, name: Name) -> &str {
        &self.all[name.0 as usize]
    }
}
