//! What was given to one of Kafka's tools. Must never know what a tool does with it.

use crate::problem::{Problem, nearest};
use crate::session::Connection;
use regex_lite::Regex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::str::FromStr;

pub struct Given {
    tool: &'static str,
    known: Vec<&'static str>,
    options: BTreeMap<&'static str, Vec<String>>,
}

impl Given {
    pub fn read(tool: &'static str, known: &[&'static str], words: &[String]) -> Result<Given, Problem> {
        let known: Vec<&'static str> = known.iter().flat_map(|known| known.split_whitespace()).collect();
        let mut given = Given { tool, known, options: BTreeMap::new() };
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let Some(long) = word.strip_prefix("--") else {
                return Err(Problem::usage(format!("{tool}: `{word}` is no option: they begin with --")));
            };
            let (name, inline) =
                long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value.to_owned())));
            let found = given.known.iter().find(|known| known.trim_end_matches(['=', '?']) == name).copied();
            let Some(found) = found else {
                let names = given.known.iter().map(|known| known.trim_end_matches(['=', '?']));
                let hint = nearest(name, names)
                    .map_or("--help lists them".to_owned(), |meant| format!("did you mean --{meant}?"));
                return Err(Problem::usage(format!("{tool} has no option --{name} here: {hint}")));
            };
            let next = (inline.is_none() && found.ends_with(['=', '?']))
                .then(|| words.next_if(|next| found.ends_with('=') || !next.starts_with("--")))
                .flatten();
            let value = inline.or(next.cloned());
            if found.ends_with('=') && value.is_none() {
                return Err(Problem::usage(format!("{tool}: --{name} wants a value")));
            }
            given.options.entry(found.trim_end_matches(['=', '?'])).or_default().extend(value);
        }
        Ok(given)
    }

    pub fn help(&self) -> String {
        let option = |known: &&'static str| match known.trim_end_matches(['=', '?']) {
            name if known.ends_with('=') => format!("  --{name} VALUE\n"),
            name if known.ends_with('?') => format!("  --{name} [VALUE]\n"),
            name => format!("  --{name}\n"),
        };
        format!(
            "vltava {} takes these of Kafka's options:\n{}",
            self.tool,
            self.known.iter().map(option).collect::<String>()
        )
    }

    pub fn connection(&self) -> Connection {
        let bootstrap = self.one("bootstrap-server").unwrap_or_default().to_owned();
        let command_config = self.one("command-config").map(Into::into);
        Connection { bootstrap, options: Vec::new(), command_config, timeout: 30, json: false }
    }

    pub fn has(&self, name: &str) -> bool {
        self.options.contains_key(name)
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.options.get(name).into_iter().flatten().map(String::as_str)
    }

    /// All values, of which each may be several with commas between them.
    pub fn list(&self, name: &str) -> Vec<&str> {
        self.all(name).flat_map(|values| values.split(',')).map(str::trim).filter(|value| !value.is_empty()).collect()
    }

    pub fn one(&self, name: &str) -> Option<&str> {
        self.all(name).last()
    }

    pub fn need(&self, name: &str) -> Result<&str, Problem> {
        self.one(name).ok_or_else(|| Problem::usage(format!("{}: --{name} is missing", self.tool)))
    }

    pub fn read_one<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let wrong = |value: &str| Problem::usage(format!("{}: --{name} {value} is not understood", self.tool));
        self.one(name).map(|value| value.parse().map_err(|_| wrong(value))).transpose()
    }

    /// The one of these, which have blanks between them, that was given.
    pub fn action(&self, names: &'static str) -> Result<&'static str, Problem> {
        let mut found = names.split(' ').filter(|name| self.has(name));
        match (found.next(), found.next()) {
            (Some(name), None) => Ok(name),
            _ => {
                let names = names.replace(' ', ", --");
                Err(Problem::usage(format!("{}: give exactly one of --{names}", self.tool)))
            }
        }
    }

    /// What `--topic` and its like choose: a regular expression, or several with commas between them.
    pub fn pattern(&self, name: &str) -> Result<Option<Regex>, Problem> {
        let wrong = |value: &str| Problem::usage(format!("{}: --{name} {value} is no regular expression", self.tool));
        let read = |value: &str| Regex::new(&format!("^(?:{})$", value.replace(',', "|"))).map_err(|_| wrong(value));
        self.one(name).map(read).transpose()
    }

    /// The JSON in the file that an option names.
    pub fn file(&self, name: &str) -> Result<Value, Problem> {
        let file = self.need(name)?;
        let wrong = |why: String| Problem::usage(format!("--{name} {file}: {why}"));
        let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
    }

    /// Properties as `name=value`, with commas or the option again between them.
    pub fn properties(&self, names: &[&str]) -> BTreeMap<String, String> {
        let all = names.iter().flat_map(|name| self.all(name));
        all.filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}
