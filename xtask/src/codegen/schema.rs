//! The message schema: its text form and what it means. Owns parsing and checking; must never know Rust's syntax.
//!
//! A message is a line `KIND [KEY] NAME VERSIONS [flexible VERSIONS] [on LISTENER..] [unstable]`; below it, indented by
//! two spaces for each level, a field is a line `NAME TYPE [in VERSIONS] [null [VERSIONS]] [tag N] [classic] [= DEFAULT]`.
//! A field of a structure that is not yet defined is followed by that structure's fields, one level deeper;
//! `struct NAME` defines one ahead. Left-out versions are all those of what surrounds the field.

use std::collections::BTreeSet;

/// Versions from `low` to `high`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub low: i16,
    pub high: i16,
}

impl Versions {
    fn parse(text: &str, within: Versions) -> Result<Versions, String> {
        let number = |part: &str| part.parse::<i16>().map_err(|_| format!("{text} is not a range of versions"));
        let (low, high) = match (text.strip_suffix('+'), text.split_once('-')) {
            (Some(low), _) => (number(low)?, within.high),
            (None, Some((low, high))) => (number(low)?, number(high)?),
            (None, None) => (number(text)?, number(text)?),
        };
        let range = Versions { low, high };
        if low > high || !within.covers(range) {
            return Err(format!("{text} does not lie within {}-{}", within.low, within.high));
        }
        Ok(range)
    }

    pub fn covers(self, other: Versions) -> bool {
        self.low <= other.low && other.high <= self.high
    }
}

/// A type whose values all take the same room: its word in the schema, in Rust, its size and its zero.
#[derive(Debug, PartialEq, Eq)]
pub struct Fixed {
    word: &'static str,
    pub rust: &'static str,
    pub bytes: usize,
    pub zero: &'static str,
}

const fn fixed(word: &'static str, rust: &'static str, bytes: usize, zero: &'static str) -> Fixed {
    Fixed { word, rust, bytes, zero }
}

static ERROR_CODE: Fixed = fixed("int16", "ErrorCode", 2, "ErrorCode::NONE");
static FIXED: [Fixed; 9] = [
    fixed("bool", "bool", 1, "false"),
    fixed("int8", "i8", 1, "0"),
    fixed("int16", "i16", 2, "0"),
    fixed("uint16", "u16", 2, "0"),
    fixed("int32", "i32", 4, "0"),
    fixed("uint32", "u32", 4, "0"),
    fixed("int64", "i64", 8, "0"),
    fixed("float64", "f64", 8, "0.0"),
    fixed("uuid", "Uuid", 16, "Uuid::ZERO"),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    Fixed(&'static Fixed),
    Text,
    Bytes,
    Records,
    Struct(String),
}

impl Base {
    fn parse(text: &str, field: &str) -> Base {
        match (text, FIXED.iter().find(|fixed| fixed.word == text)) {
            ("int16", _) if field == "ErrorCode" => Base::Fixed(&ERROR_CODE),
            (_, Some(fixed)) => Base::Fixed(fixed),
            ("string", _) => Base::Text,
            ("bytes", _) => Base::Bytes,
            ("records", _) => Base::Records,
            (name, None) => Base::Struct(name.to_owned()),
        }
    }

    /// Its name in Rust.
    pub fn rust(&self) -> &str {
        match self {
            Base::Fixed(fixed) => fixed.rust,
            Base::Text => "Text",
            Base::Bytes => "Bytes",
            Base::Records => "Records",
            Base::Struct(name) => name,
        }
    }

    /// The size of a value that always takes the same.
    pub fn fixed(&self) -> Option<usize> {
        if let Base::Fixed(fixed) = self { Some(fixed.bytes) } else { None }
    }
}

#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub base: Base,
    pub array: bool,
    pub versions: Versions,
    pub nullable: Option<Versions>,
    pub tag: Option<u32>,
    /// In the inflexible encoding in every version (the client id of a request header).
    pub classic: bool,
    pub default: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Struct {
    pub name: String,
    pub versions: Versions,
    pub fields: Vec<Field>,
}

#[derive(Clone, Debug)]
pub struct Message {
    /// `request`, `response`, `header`, `data`, `metadata`, `coordinator-key` or `coordinator-value`.
    pub kind: String,
    pub key: Option<i16>,
    pub versions: Versions,
    /// The first flexible version.
    pub flexible: Option<i16>,
    pub unstable: bool,
    /// The message itself, then the structures in it.
    pub structs: Vec<Struct>,
}

impl Message {
    pub fn name(&self) -> &str {
        &self.structs[0].name
    }
}

/// One line: how deep it stands and its words.
struct Line<'a> {
    number: usize,
    depth: usize,
    words: Vec<&'a str>,
}

pub fn parse(text: &str) -> Result<Vec<Message>, String> {
    let lines: Vec<Line> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(index, line)| Line {
            number: index + 1,
            depth: (line.len() - line.trim_start().len()) / 2,
            words: line.split_whitespace().collect(),
        })
        .collect();
    let mut parser = Parser { lines: &lines, at: 0 };
    let mut messages = Vec::new();
    while parser.at < lines.len() {
        let number = lines[parser.at].number;
        messages.push(parser.message().map_err(|why| {
            let near = lines.get(parser.at.saturating_sub(1)).map_or(number, |line| line.number);
            format!("line {near}: {why}")
        })?);
    }
    Ok(messages)
}

struct Parser<'a> {
    lines: &'a [Line<'a>],
    at: usize,
}

impl Parser<'_> {
    fn message(&mut self) -> Result<Message, String> {
        let mut words = self.lines[self.at].words.iter().copied().peekable();
        self.at += 1;
        let kind = words.next().ok_or("a message needs a kind")?.to_owned();
        let key = words.next_if(|word| word.parse::<i16>().is_ok()).and_then(|word| word.parse().ok());
        let name = words.next().ok_or("a message needs a name")?.to_owned();
        let all = Versions { low: 0, high: i16::MAX };
        let versions = Versions::parse(words.next().ok_or("a message needs versions")?, all)?;
        let mut message = Message { kind, key, versions, flexible: None, unstable: false, structs: vec![] };
        while let Some(word) = words.next() {
            match word {
                "flexible" => {
                    let range = words.next().ok_or("flexible needs versions")?;
                    message.flexible = Some(Versions::parse(range, versions)?.low);
                }
                // Who answers it in Kafka is for readers.
                "on" | "broker" | "controller" => {}
                "unstable" => message.unstable = true,
                _ => return Err(format!("{word} means nothing for a message")),
            }
        }
        message.structs.push(Struct { name, versions, fields: vec![] });
        message.structs[0].fields = self.fields(1, versions, &mut message.structs)?;
        check(&message)?;
        Ok(message)
    }

    fn fields(&mut self, depth: usize, within: Versions, structs: &mut Vec<Struct>) -> Result<Vec<Field>, String> {
        let mut fields: Vec<Field> = Vec::new();
        while let Some(line) = self.lines.get(self.at).filter(|line| line.depth >= depth) {
            if line.depth > depth {
                let Some(Field { base: Base::Struct(name), versions, .. }) = fields.last() else {
                    return Err("fields below a field that is no structure".to_owned());
                };
                self.structure(name.clone(), depth + 1, *versions, structs)?;
            } else if let ["struct", name] = line.words.as_slice() {
                self.at += 1;
                self.structure((*name).to_owned(), depth + 1, within, structs)?;
            } else {
                self.at += 1;
                fields.push(field(&line.words, within)?);
            }
        }
        Ok(fields)
    }

    fn structure(
        &mut self,
        name: String,
        depth: usize,
        versions: Versions,
        structs: &mut Vec<Struct>,
    ) -> Result<(), String> {
        let index = structs.len();
        structs.push(Struct { name, versions, fields: vec![] });
        structs[index].fields = self.fields(depth, versions, structs)?;
        Ok(())
    }
}

fn field(words: &[&str], within: Versions) -> Result<Field, String> {
    let [name, kind, rest @ ..] = words else {
        return Err("a field needs a name and a type".to_owned());
    };
    let base = kind.strip_prefix("[]");
    let mut field = Field {
        name: (*name).to_owned(),
        base: Base::parse(base.unwrap_or(kind), name),
        array: base.is_some(),
        versions: within,
        nullable: None,
        tag: None,
        classic: false,
        default: None,
    };
    let mut rest = rest.iter().copied().peekable();
    while let Some(word) = rest.next() {
        match word {
            "in" => field.versions = Versions::parse(rest.next().ok_or("in needs versions")?, within)?,
            "null" => {
                let range = rest.next_if(|next| next.starts_with(|first: char| first.is_ascii_digit()));
                field.nullable = Some(match range {
                    Some(range) => Versions::parse(range, field.versions)?,
                    None => field.versions,
                });
            }
            "tag" => {
                let tag = rest.next().and_then(|tag| tag.parse().ok());
                field.tag = Some(tag.ok_or("tag needs a number")?);
            }
            "classic" => field.classic = true,
            "=" => field.default = Some(rest.next().ok_or("= needs a default")?.to_owned()),
            _ => return Err(format!("{word} means nothing for a field")),
        }
    }
    Ok(field)
}

/// What the generated code relies on.
fn check(message: &Message) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for structure in &message.structs {
        if !names.insert(&structure.name) {
            return Err(format!("{} defines {} twice", message.name(), structure.name));
        }
    }
    for field in message.structs.iter().flat_map(|structure| &structure.fields) {
        let whole = || format!("{} of {}", field.name, message.name());
        if let Base::Struct(name) = &field.base
            && !names.contains(name)
        {
            return Err(format!("{}: nothing defines {name}", whole()));
        }
        if field.tag.is_some() && message.flexible.is_none_or(|first| field.versions.low < first) {
            return Err(format!("{} is tagged in a version that is not flexible", whole()));
        }
        if field.tag.is_some() && field.nullable.is_some_and(|nullable| nullable != field.versions) {
            return Err(format!("{} is tagged and nullable in some of its versions only", whole()));
        }
        if field.base == Base::Records && (field.array || field.tag.is_some()) {
            return Err(format!("{}: records stand alone, so that they can be sent from elsewhere", whole()));
        }
        let is_struct = matches!(field.base, Base::Struct(_)) && !field.array;
        if is_struct && field.nullable.is_some_and(|nullable| nullable != field.versions) {
            return Err(format!("{} is a structure that is nullable in some of its versions only", whole()));
        }
    }
    Ok(())
}
