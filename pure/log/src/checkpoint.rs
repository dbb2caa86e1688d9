//! Kafka's checkpoint files: text with a version, a count and a line for each entry. Those in the root name the offset of
//! each partition; `partition.metadata` ties a folder to its topic's id.

use std::collections::BTreeMap;
use types::{Offset, PartitionIndex, Text, Uuid};

/// Offsets by topic name and partition, as a checkpoint of the root holds them.
pub type Offsets = BTreeMap<(Text, PartitionIndex), Offset>;

pub(crate) fn encode(lines: impl Iterator<Item = String>) -> Vec<u8> {
    let mut count: usize = 0;
    let mut body = String::new();
    for line in lines {
        count += 1;
        body.push_str(&line);
        body.push('\n');
    }
    format!("0\n{count}\n{body}").into_bytes()
}

/// The lines of a checkpoint whose version and count are right.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<&str>> {
    let mut lines = std::str::from_utf8(bytes).ok()?.lines();
    if lines.next()? != "0" {
        return None;
    }
    let count: usize = lines.next()?.trim().parse().ok()?;
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    (lines.len() == count).then_some(lines)
}

/// The text of `recovery-point-offset-checkpoint` and its kin: `topic partition offset` in each line.
#[must_use]
pub fn encode_offsets(offsets: &Offsets) -> Vec<u8> {
    encode(offsets.iter().map(|((topic, partition), offset)| format!("{topic} {partition} {offset}")))
}

#[must_use]
pub fn decode_offsets(bytes: &[u8]) -> Option<Offsets> {
    let mut out = Offsets::new();
    for line in decode(bytes)? {
        let mut words = line.split(' ');
        let topic = Text::from(words.next()?);
        let partition = PartitionIndex(words.next()?.parse().ok()?);
        out.insert((topic, partition), Offset(words.next()?.parse().ok()?));
    }
    Some(out)
}

pub(crate) fn encode_partition_metadata(topic: Uuid) -> Vec<u8> {
    format!("version: 0\ntopic_id: {topic}\n").into_bytes()
}

/// The topic id that a folder's `partition.metadata` names.
#[must_use]
pub fn decode_partition_metadata(bytes: &[u8]) -> Option<Uuid> {
    let mut lines = std::str::from_utf8(bytes).ok()?.lines();
    lines.next()?.strip_prefix("version: 0")?;
    Uuid::parse(lines.next()?.strip_prefix("topic_id: ")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_checkpoints_are_kafkas_text() {
        let mut offsets = Offsets::new();
        offsets.insert((Text::from("b"), PartitionIndex(0)), Offset(7));
        offsets.insert((Text::from("a"), PartitionIndex(11)), Offset(42));
        let text = encode_offsets(&offsets);
        assert_eq!(text, b"0\n2\na 11 42\nb 0 7\n");
        assert_eq!(decode_offsets(&text), Some(offsets));
        assert_eq!(decode_offsets(b"0\n1\na 11\n"), None);
    }

    #[test]
    fn partition_metadata_is_kafkas_text() {
        let text = encode_partition_metadata(Uuid([1; 16]));
        assert_eq!(text, b"version: 0\ntopic_id: AQEBAQEBAQEBAQEBAQEBAQ\n");
        assert_eq!(decode_partition_metadata(&text), Some(Uuid([1; 16])));
    }
}
