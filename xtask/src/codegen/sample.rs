//! Tests of the generated code: the schema as data, from which random bytes of every message are made without the code
//! under test, and the checks that read and rewrite them.

use super::names;
use super::schema::{Base, Field, Message, Versions};
use super::structs::HEADER;
use std::fmt::Write;

/// `sample.rs`: the schema as data behind the walk over it.
pub fn module(messages: &[Message]) -> String {
    let mut out = format!("{HEADER}\n{}", include_str!("sample/walk.rs.in"));
    out.push_str("pub static MESSAGES: &[Message] = &[\n");
    for message in messages {
        let _ = writeln!(
            out,
            "Message {{ name: {:?}, versions: {}..={}, flexible: {}, structs: &[",
            message.name(),
            message.versions.low,
            message.versions.high,
            message.flexible.unwrap_or(i16::MAX),
        );
        for structure in &message.structs {
            out.push_str("&[");
            for field in &structure.fields {
                let _ = write!(out, "{},", row(message, field));
            }
            out.push_str("],\n");
        }
        out.push_str("] },\n");
    }
    out.push_str("];\n");
    out
}

fn row(message: &Message, field: &Field) -> String {
    let kind = match &field.base {
        Base::Fixed(fixed) if fixed.rust == "bool" => "Bool".to_owned(),
        Base::Fixed(fixed) => format!("Fixed({})", fixed.bytes),
        Base::Text => "Text".to_owned(),
        Base::Bytes | Base::Records => "Bytes".to_owned(),
        Base::Struct(name) => {
            let index = message.structs.iter().position(|structure| structure.name == *name);
            format!("Struct({})", index.expect("the schema is checked"))
        }
    };
    let Versions { low, high } = field.versions;
    let mut row = format!("field({kind}, {low}, {high})");
    if field.array {
        row.push_str(".list()");
    }
    if let Some(Versions { low, high }) = field.nullable {
        let _ = write!(row, ".null({low}, {high})");
    }
    if field.default.as_deref() == Some("null") {
        row.push_str(".null_default()");
    }
    if let Some(tag) = field.tag {
        let _ = write!(row, ".tag({tag})");
    }
    if field.classic {
        row.push_str(".classic()");
    }
    row
}

/// `tests.rs`: each message's own part is small, for there are hundreds; the checks are compiled once.
pub fn tests(messages: &[Message]) -> String {
    let mut out = format!("{HEADER}\n{}", include_str!("sample/tests.rs.in"));
    for message in messages {
        let _ = writeln!(out, "case!({}::{}),", names::snake(message.name()), message.name());
    }
    out.push_str("];\n");
    out
}
