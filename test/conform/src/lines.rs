//! Varied lines that look like what people send: JSON events, server logs, CSV and prose in several scripts.
//!
//! The same seed gives the same lines. No line is empty, holds a line end, or occurs twice.

use std::fmt::Write;
use types::Rng;

const NAMES: &[&str] = &["Božena", "Jiří", "Søren", "Zoë", "王芳", "Олена", "Ngọc", "محمد", "Łukasz", "Ana"];
const WORDS: &[&str] = &[
    "river",
    "řeka",
    "ποταμός",
    "川",
    "नदी",
    "נהר",
    "bridge",
    "Vyšehrad",
    "payment",
    "refund",
    "🚋",
    "naïve",
    "Größe",
    "\t",
    "\"quoted\"",
    "back\\slash",
    "null",
    "0x1F",
    "a,b;c|d",
    "%s",
    "  spaced  ",
    "Ω≈ç√",
    "é",
    "e\u{301}",
    "\u{200b}",
];
const PATHS: &[&str] = &["/", "/api/v2/orders", "/search?q=%C5%99eka", "/static/app.js", "/login", "/health"];
const LEVELS: &[&str] = &["TRACE", "DEBUG", "INFO", "WARN", "ERROR"];

/// An endless source of lines.
pub struct Lines {
    rng: Rng,
    number: u64,
}

impl Lines {
    #[must_use]
    pub fn new(seed: u64) -> Lines {
        Lines { rng: Rng::new(seed), number: 0 }
    }

    /// Appends the next line to `line`, without a line end.
    pub fn next(&mut self, line: &mut String) {
        self.number += 1;
        match self.rng.below(20) {
            0..8 => self.event(line),
            8..14 => self.request(line),
            14..17 => self.table(line),
            17..19 => self.prose(line, 12),
            // Now and then one that fills a batch by itself.
            _ if self.rng.one_in(200) => self.prose(line, 6_000),
            _ => self.prose(line, 120),
        }
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[usize::try_from(self.rng.below(from.len() as u64)).expect("an index")]
    }

    fn event(&mut self, line: &mut String) {
        let (id, amount, cents) = (self.number, self.rng.below(100_000), self.rng.below(100));
        let (name, word, flag) = (self.pick(NAMES), self.pick(&WORDS[..10]), self.rng.below(2) == 0);
        write!(
            line,
            r#"{{"id":{id},"user":{{"name":"{name}","vip":{flag}}},"type":"{word}","amount":{amount}.{cents:02},"items":["#
        )
        .expect("a String takes every write");
        for index in 0..self.rng.below(6) {
            let comma = if index == 0 { "" } else { "," };
            write!(line, r#"{comma}{{"sku":"{:016x}","n":{}}}"#, self.rng.next_u64(), self.rng.below(9))
                .expect("it does");
        }
        line.push_str(r#"],"note":null}"#);
    }

    fn request(&mut self, line: &mut String) {
        let (id, path, level) = (self.number, self.pick(PATHS), self.pick(LEVELS));
        let (host, status, bytes) = (self.rng.below(255), 200 + self.rng.below(4) * 101, self.rng.below(1 << 20));
        let (minute, second) = (self.rng.below(60), self.rng.below(60));
        write!(
            line,
            "2026-11-23T17:{minute:02}:{second:02}.{:03}Z {level:5} 10.0.{host}.7 - \"GET {path} HTTP/1.1\" {status} {bytes} rid={id:08x}",
            id % 1000
        )
        .expect("a String takes every write");
    }

    fn table(&mut self, line: &mut String) {
        let id = self.number;
        write!(line, "{id},{},\"{}\"", self.pick(NAMES), self.pick(PATHS)).expect("a String takes every write");
        for _ in 0..self.rng.below(12) {
            write!(line, ",{}.{:04}", self.rng.below(1_000), self.rng.below(10_000)).expect("it does");
        }
    }

    fn prose(&mut self, line: &mut String, words_max: u64) {
        write!(line, "{}", self.number).expect("a String takes every write");
        for _ in 0..=self.rng.below(words_max) {
            line.push(' ');
            line.push_str(self.pick(WORDS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;
    use std::collections::BTreeSet;

    #[test]
    fn lines_repeat_under_a_seed_and_differ_from_each_other() {
        let all = |seed| {
            let mut lines = Lines::new(seed);
            let next = |_| {
                let mut line = String::new();
                lines.next(&mut line);
                line
            };
            (0..10_000).map(next).collect::<Vec<_>>()
        };
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
        let different: BTreeSet<String> = all(1).into_iter().collect();
        assert_eq!(different.len(), 10_000);
        assert!(different.iter().all(|line| !line.is_empty() && !line.contains(['\n', '\r'])));
    }
}
