//! Random values of every structure, for tests: only what the version carries differs from its default.

use super::expressions::{condition, guarded};
use super::schema::{Base, Field, Message, Struct};
use super::structs::HEADER;
use std::fmt::Write;

const HELPERS: &str = "
use super::prelude::*;
use types::Rng;

/// Half of the numbers are small or at an edge, where mistakes live.
fn number(rng: &mut Rng) -> u64 {
    match rng.below(6) {
        0 => 0,
        1 => u64::MAX,
        2 => rng.below(300),
        _ => rng.next_u64(),
    }
}

fn text(rng: &mut Rng) -> Text {
    let letters = ['a', 'Z', '0', '-', '\\u{e9}', '\\u{10348}'];
    let length = if rng.one_in(40) { 200 } else { rng.below(9) };
    let letter = |_| letters[usize::try_from(rng.below(6)).expect(\"below 6\")];
    Text::from((0..length).map(letter).collect::<String>())
}

fn bytes(rng: &mut Rng) -> Bytes {
    let length = if rng.one_in(40) { 200 } else { rng.below(9) };
    (0..length).map(|_| rng.next_u64().to_le_bytes()[0]).collect()
}

fn uuid(rng: &mut Rng) -> Uuid {
    Uuid::random(rng)
}

fn list<T>(rng: &mut Rng, mut item: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    let length = if rng.one_in(8) { 4 } else { rng.below(3) };
    (0..length).map(|_| item(rng)).collect()
}

fn nullable<T>(rng: &mut Rng, null: bool, item: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    if null && rng.one_in(3) { None } else { Some(item(rng)) }
}

fn unknown(rng: &mut Rng) -> TaggedFields {
    let mut fields = TaggedFields::default();
    if rng.one_in(8) {
        for tag in 0..rng.below(3) {
            fields.push(u32::try_from(1000 + tag * 1000).expect(\"a small tag\"), bytes(rng));
        }
    }
    fields
}
";

pub fn module(messages: &[Message]) -> String {
    let mut out = format!("{HEADER}{HELPERS}");
    for message in messages {
        for (index, structure) in message.structs.iter().enumerate() {
            let module = super::names::snake(message.name());
            if index > 0 {
                let _ = write!(out, "\nimpl super::{module}::{} {{", structure.name);
            } else {
                let _ = write!(out, "\nimpl super::{} {{", structure.name);
            }
            out.push_str("pub fn arbitrary(rng: &mut Rng, version: i16) -> Self {\n");
            body(message, structure, &module, &mut out);
            out.push_str("} }\n");
        }
    }
    out
}

fn body(message: &Message, structure: &Struct, module: &str, out: &mut String) {
    let flexible = message.flexible.filter(|first| *first <= structure.versions.high);
    if structure.fields.is_empty() && flexible.is_none() {
        out.push_str("Self::default()\n");
        return;
    }
    out.push_str("let mut it = Self::default();\n");
    for field in &structure.fields {
        let when = condition(field.versions, structure.versions);
        let value = value(field, module);
        out.push_str(&guarded(when.as_deref(), &format!("it.{} = {value};", field.rust_name())));
    }
    if let Some(first) = flexible {
        let when = (first > structure.versions.low).then(|| format!("version >= {first}"));
        out.push_str(&guarded(when.as_deref(), "it.unknown_tagged_fields = unknown(rng);"));
    }
    out.push_str("it\n");
}

fn value(field: &Field, module: &str) -> String {
    let one = match &field.base {
        Base::Bool => "rng.one_in(2)".to_owned(),
        Base::ErrorCode => "ErrorCode(number(rng) as i16)".to_owned(),
        Base::Float64 => "number(rng) as f64".to_owned(),
        Base::Int8 => "number(rng) as i8".to_owned(),
        Base::Int16 => "number(rng) as i16".to_owned(),
        Base::Uint16 => "number(rng) as u16".to_owned(),
        Base::Int32 => "number(rng) as i32".to_owned(),
        Base::Uint32 => "number(rng) as u32".to_owned(),
        Base::Int64 => "number(rng) as i64".to_owned(),
        Base::Uuid => "uuid(rng)".to_owned(),
        Base::Text => "text(rng)".to_owned(),
        Base::Bytes => "bytes(rng)".to_owned(),
        Base::Records => "Records::Bytes(bytes(rng))".to_owned(),
        Base::Struct(name) => format!("super::{module}::{name}::arbitrary(rng, version)"),
    };
    let plain = if field.array { format!("list(rng, |rng| {one})") } else { one };
    let Some(nullable) = field.nullable else {
        return plain;
    };
    let null = condition(nullable, field.versions).unwrap_or_else(|| "true".to_owned());
    format!("nullable(rng, {null}, |rng| {plain})")
}
