//! How a record is printed and read: by a template, or as a line of JSON. Must never know where records come from.

use base64ct::{Base64, Base64Unpadded, Encoding};
use serde_json::{Map, Value, json};
use std::io::Write;
use vltava_client::{Bytes, ConsumedRecord, PartitionIndex, ProducerRecord, Spot, Text, Timestamp};

/// What a template may hold.
const HELP: &str =
    "%k %v %K %S %h %H %t %p %o %T %% and \\n \\r \\t \\0 \\xHH \\\\; `vltava consume --help` says what they are";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Key,
    Value,
    KeySize,
    ValueSize,
    /// Four bytes, the most significant first, as kcat prints them.
    ValueSizeBinary,
    Headers,
    /// As kafka-console-consumer prints them.
    ConsoleHeaders,
    Topic,
    Partition,
    Offset,
    Timestamp,
}

/// A template such as `%p %o %k=%v`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    null: Vec<u8>,
}

impl Template {
    pub fn parse(text: &str) -> Result<Template, String> {
        let (mut parts, mut plain) = (Vec::new(), Vec::new());
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            if !matches!(letter, '%' | '\\') {
                plain.extend(letter.encode_utf8(&mut [0; 4]).bytes());
                continue;
            }
            let named = letters.next();
            let part = match (letter, named) {
                ('%', Some('k')) => Part::Key,
                ('%', Some('v' | 's')) => Part::Value,
                ('%', Some('K')) => Part::KeySize,
                ('%', Some('S')) => Part::ValueSize,
                ('%', Some('R')) => Part::ValueSizeBinary,
                ('%', Some('h')) => Part::Headers,
                ('%', Some('H')) => Part::ConsoleHeaders,
                ('%', Some('t')) => Part::Topic,
                ('%', Some('p')) => Part::Partition,
                ('%', Some('o')) => Part::Offset,
                ('%', Some('T')) => Part::Timestamp,
                ('%', Some('%')) => Part::Text(b"%".to_vec()),
                ('\\', Some('n')) => Part::Text(b"\n".to_vec()),
                ('\\', Some('r')) => Part::Text(b"\r".to_vec()),
                ('\\', Some('t')) => Part::Text(b"\t".to_vec()),
                ('\\', Some('0')) => Part::Text(b"\0".to_vec()),
                ('\\', Some('\\')) => Part::Text(b"\\".to_vec()),
                ('\\', Some('x')) => {
                    let digits: String = letters.by_ref().take(2).collect();
                    let byte = u8::from_str_radix(&digits, 16).map_err(|_| format!("\\x{digits} is no byte"))?;
                    Part::Text(vec![byte])
                }
                (sign, other) => {
                    let other = other.map_or(String::new(), String::from);
                    return Err(format!("{sign}{other} means nothing here; there are {HELP}"));
                }
            };
            if let Part::Text(text) = part {
                plain.extend(text);
            } else {
                parts.extend([Part::Text(std::mem::take(&mut plain)), part]);
            }
        }
        parts.push(Part::Text(plain));
        parts.retain(|part| *part != Part::Text(Vec::new()));
        Ok(Template { parts, null: Vec::new() })
    }

    /// Ends each record with this, unless the template does so itself.
    pub fn ended(mut self, end: &[u8]) -> Template {
        if !matches!(self.parts.last(), Some(Part::Text(text)) if text.ends_with(end)) {
            self.parts.push(Part::Text(end.to_vec()));
        }
        self
    }

    /// Prints this for a key or value that is null.
    pub fn with_null(self, null: &[u8]) -> Template {
        Template { null: null.to_vec(), ..self }
    }

    pub fn print(&self, (topic, partition): &Spot, record: &ConsumedRecord, out: &mut Vec<u8>) {
        let size =
            |part: &Option<Bytes>| part.as_ref().map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        for part in &self.parts {
            // Writing to a vector cannot fail.
            let _ = match part {
                Part::Text(text) => out.write_all(text),
                Part::Key => out.write_all(record.key.as_deref().unwrap_or(&self.null)),
                Part::Value => out.write_all(record.value.as_deref().unwrap_or(&self.null)),
                Part::KeySize => write!(out, "{}", size(&record.key)),
                Part::ValueSize => write!(out, "{}", size(&record.value)),
                Part::ValueSizeBinary => out.write_all(&size(&record.value).to_be_bytes()),
                Part::Headers => out.write_all(headers(record, "=").as_bytes()),
                Part::ConsoleHeaders if record.headers.is_empty() => out.write_all(b"NO_HEADERS"),
                Part::ConsoleHeaders => out.write_all(headers(record, ":").as_bytes()),
                Part::Topic => out.write_all(topic.as_str().as_bytes()),
                Part::Partition => write!(out, "{partition}"),
                Part::Offset => write!(out, "{}", record.offset),
                Part::Timestamp => write!(out, "{}", record.timestamp),
            };
        }
    }
}

fn headers(record: &ConsumedRecord, is: &str) -> String {
    let header = |(name, value): &(vltava_client::Text, Option<Bytes>)| match value {
        Some(value) => format!("{name}{is}{}", String::from_utf8_lossy(value)),
        None => name.to_string(),
    };
    record.headers.iter().map(header).collect::<Vec<_>>().join(",")
}

/// One line of JSON. Bytes that are no text stand in base64 under a name that says so.
pub fn json_line((topic, partition): &Spot, record: &ConsumedRecord, out: &mut Vec<u8>) {
    let (offset, timestamp) = (record.offset.0, record.timestamp.0);
    let mut line =
        json!({ "topic": topic.as_str(), "partition": partition.0, "offset": offset, "timestamp": timestamp });
    put_bytes(&mut line, "key", record.key.as_deref());
    put_bytes(&mut line, "value", record.value.as_deref());
    let header = |(name, value): &(vltava_client::Text, Option<Bytes>)| {
        let mut header = json!({ "name": name.as_str() });
        put_bytes(&mut header, "value", value.as_deref());
        header
    };
    line["headers"] = record.headers.iter().map(header).collect();
    // Writing to a vector cannot fail.
    let _ = writeln!(out, "{line}");
}

fn put_bytes(line: &mut Value, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(std::str::from_utf8) {
        None => line[name] = Value::Null,
        Some(Ok(text)) => line[name] = json!(text),
        Some(Err(_)) => line[format!("{name}_base64")] = json!(Base64::encode_string(bytes.unwrap_or_default())),
    }
}

/// Reads what `json_line` prints; what is left out is as in the given record.
pub fn from_json(line: &[u8], mut record: ProducerRecord) -> Result<ProducerRecord, String> {
    let Value::Object(fields) = serde_json::from_slice(line).map_err(|error| error.to_string())? else {
        return Err("it is no JSON object".to_owned());
    };
    let number = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or_else(|| format!("{name} is no number")),
    };
    record.key = take_bytes(&fields, "key")?.or(record.key);
    record.value = take_bytes(&fields, "value")?;
    record.timestamp = number("timestamp")?.map(Timestamp).or(record.timestamp);
    if record.partition.is_none()
        && let Some(partition) = number("partition")?
    {
        let partition = i32::try_from(partition).map_err(|_| "partition is too large")?;
        record.partition = Some(PartitionIndex(partition));
    }
    for header in fields.get("headers").and_then(Value::as_array).into_iter().flatten() {
        let header = header.as_object().ok_or("a header is an object with name and value")?;
        let name = header.get("name").and_then(Value::as_str).ok_or("a header has no name")?;
        record.headers.push((Text::from(name), take_bytes(header, "value")?));
    }
    Ok(record)
}

fn take_bytes(fields: &Map<String, Value>, name: &str) -> Result<Option<Bytes>, String> {
    let encoded = format!("{name}_base64");
    match (fields.get(name), fields.get(&encoded).and_then(Value::as_str)) {
        (_, Some(text)) => match Base64Unpadded::decode_vec(text.trim_end_matches('=')) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(_) => Err(format!("{encoded} is no base64")),
        },
        (None | Some(Value::Null), None) => Ok(None),
        (Some(Value::String(text)), None) => Ok(Some(text.clone().into())),
        // Values that are JSON themselves need not be put in quotes.
        (Some(other), None) => Ok(Some(other.to_string().into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vltava_client::{LeaderEpoch, Offset, TimestampType};

    fn record(value: &'static [u8]) -> ConsumedRecord {
        let headers = vec![("a".into(), Some("b".into())), ("c".into(), None)];
        let (key, value) = (None, Some(Bytes::from_static(value)));
        let (timestamp_type, leader_epoch) = (TimestampType::CreateTime, LeaderEpoch(0));
        ConsumedRecord { offset: Offset(7), timestamp: Timestamp(9), timestamp_type, leader_epoch, key, value, headers }
    }

    fn print(template: &str) -> Result<String, String> {
        let mut out = Vec::new();
        Template::parse(template)?.ended(b"\n").print(&("t".into(), PartitionIndex(1)), &record(b"Labe"), &mut out);
        Ok(String::from_utf8(out).expect("all of it is text"))
    }

    #[test]
    fn templates_are_filled_in() {
        assert_eq!(print("%t/%p@%o %T [%k]\\t%v %h 100%%"), Ok("t/1@7 9 []\tLabe a=b,c 100%\n".to_owned()));
        assert_eq!(print("%K %S %s\\x21\\n"), Ok("-1 4 Labe!\n".to_owned()));
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
        let read = from_json(
            br#"{"key_base64":"//4=","value":{"a":1},"headers":[{"name":"h","value":null}]}"#,
            ProducerRecord::default(),
        );
        let read = read.expect("it is well-formed");
        assert_eq!((read.key, read.value), (Some(b"\xff\xfe"[..].into()), Some(r#"{"a":1}"#.into())));
        assert_eq!(read.headers, [("h".into(), None)]);
        assert!(from_json(b"[]", ProducerRecord::default()).is_err());
        for (plain, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            for text in [text, text.trim_end_matches('=')] {
                let line = format!(r#"{{"key_base64":"{text}"}}"#);
                let read = from_json(line.as_bytes(), ProducerRecord::default()).expect("it is well-formed");
                assert_eq!(read.key, Some(plain.into()));
            }
        }
    }
}
