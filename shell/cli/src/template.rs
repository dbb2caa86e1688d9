//! How a record is printed: by a template, or as a line of JSON. Must never know where records come from.

use serde_json::{Map, Value, json};
use std::io::Write;
use vltava_client::{Bytes, ConsumedRecord, Spot};

/// What a template may hold.
const HELP: &str = "%k %v %h %t %p %o %T %% and \\n \\t \\\\; `vltava consume --help` says what they are";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Key,
    Value,
    Headers,
    Topic,
    Partition,
    Offset,
    Timestamp,
}

/// A template such as `%p %o %k=%v`; each record ends with a new line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

impl Template {
    pub fn parse(text: &str) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            let part = match (letter, if matches!(letter, '%' | '\\') { letters.next() } else { None }) {
                ('%', Some('k')) => Part::Key,
                ('%', Some('v' | 's')) => Part::Value,
                ('%', Some('h')) => Part::Headers,
                ('%', Some('t')) => Part::Topic,
                ('%', Some('p')) => Part::Partition,
                ('%', Some('o')) => Part::Offset,
                ('%', Some('T')) => Part::Timestamp,
                ('%', Some('%')) => {
                    plain.push('%');
                    continue;
                }
                ('%', other) => {
                    let other = other.map_or(String::new(), String::from);
                    return Err(format!("%{other} means nothing here; there are {HELP}"));
                }
                ('\\', escaped) => {
                    plain.push_str(match escaped {
                        Some('n') => "\n",
                        Some('t') => "\t",
                        Some('\\') => "\\",
                        _ => return Err(format!("a backslash stands before n, t or another one; there are {HELP}")),
                    });
                    continue;
                }
                (letter, _) => {
                    plain.push(letter);
                    continue;
                }
            };
            parts.push(Part::Text(std::mem::take(&mut plain).into_bytes()));
            parts.push(part);
        }
        plain.push('\n');
        parts.push(Part::Text(plain.into_bytes()));
        parts.retain(|part| *part != Part::Text(Vec::new()));
        Ok(Template(parts))
    }

    pub fn print(&self, (topic, partition): &Spot, record: &ConsumedRecord, out: &mut Vec<u8>) {
        for part in &self.0 {
            let shown = match part {
                Part::Text(text) => Ok(text.as_slice()),
                Part::Key => Ok(record.key.as_deref().unwrap_or_default()),
                Part::Value => Ok(record.value.as_deref().unwrap_or_default()),
                Part::Topic => Ok(topic.as_str().as_bytes()),
                Part::Headers => Err(headers(record)),
                Part::Partition => Err(partition.to_string()),
                Part::Offset => Err(record.offset.to_string()),
                Part::Timestamp => Err(record.timestamp.to_string()),
            };
            // Writing to a vector cannot fail.
            let _ = match shown {
                Ok(bytes) => out.write_all(bytes),
                Err(text) => out.write_all(text.as_bytes()),
            };
        }
    }
}

fn headers(record: &ConsumedRecord) -> String {
    let header = |(name, value): &(vltava_client::Text, Option<Bytes>)| match value {
        Some(value) => format!("{name}={}", String::from_utf8_lossy(value)),
        None => name.to_string(),
    };
    record.headers.iter().map(header).collect::<Vec<_>>().join(",")
}

/// One line of JSON. Bytes that are no text stand in base64 under a name that says so.
pub fn json_line((topic, partition): &Spot, record: &ConsumedRecord, out: &mut Vec<u8>) {
    let mut line = Map::new();
    line.insert("topic".to_owned(), json!(topic.as_str()));
    line.insert("partition".to_owned(), json!(partition.0));
    line.insert("offset".to_owned(), json!(record.offset.0));
    line.insert("timestamp".to_owned(), json!(record.timestamp.0));
    put_bytes(&mut line, "key", record.key.as_deref());
    put_bytes(&mut line, "value", record.value.as_deref());
    let header = |(name, value): &(vltava_client::Text, Option<Bytes>)| {
        let mut header = Map::new();
        header.insert("name".to_owned(), json!(name.as_str()));
        put_bytes(&mut header, "value", value.as_deref());
        Value::Object(header)
    };
    line.insert("headers".to_owned(), record.headers.iter().map(header).collect());
    // Writing to a vector cannot fail.
    let _ = writeln!(out, "{}", Value::Object(line));
}

fn put_bytes(line: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(std::str::from_utf8) {
        None => line.insert(name.to_owned(), Value::Null),
        Some(Ok(text)) => line.insert(name.to_owned(), json!(text)),
        Some(Err(_)) => line.insert(format!("{name}_base64"), json!(base64(bytes.unwrap_or_default()))),
    };
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use vltava_client::{Offset, PartitionIndex, Timestamp};

    fn record(value: &'static [u8]) -> ConsumedRecord {
        let headers = vec![("a".into(), Some("b".into())), ("c".into(), None)];
        let (key, value) = (None, Some(Bytes::from_static(value)));
        ConsumedRecord { offset: Offset(7), timestamp: Timestamp(9), key, value, headers }
    }

    fn print(template: &str) -> Result<String, String> {
        let mut out = Vec::new();
        Template::parse(template)?.print(&("t".into(), PartitionIndex(1)), &record(b"Labe"), &mut out);
        Ok(String::from_utf8(out).expect("all of it is text"))
    }

    #[test]
    fn templates_are_filled_in() {
        assert_eq!(print("%t/%p@%o %T [%k]\\t%v %h 100%%"), Ok("t/1@7 9 []\tLabe a=b,c 100%\n".to_owned()));
        assert_eq!(print(""), Ok("\n".to_owned()));
        for bad in ["%x", "%", "\\q", "\\"] {
            assert!(print(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn json_keeps_bytes_that_are_no_text() {
        for (value, shown) in [(&b"x"[..], r#""value":"x""#), (b"\xff\xfe", r#""value_base64":"//4=""#)] {
            let mut out = Vec::new();
            json_line(&("t".into(), PartitionIndex(1)), &record(value), &mut out);
            let line = String::from_utf8(out).expect("JSON is text");
            assert!(line.contains(shown) && line.contains(r#""key":null"#), "{line}");
        }
        for (plain, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(plain.as_bytes()), text);
        }
    }
}
