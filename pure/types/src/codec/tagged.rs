//! Tagged fields (KIP-482): what a flexible version may carry beside its positional fields. Owns their order and their
//! bounds; must never know which tags a message has.

use super::{DecodeError, Reader, Result, Writer, size};
use bytes::Bytes;
use std::ops::RangeInclusive;

/// Tagged fields that this version of the schema does not know, kept so that they can be passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaggedFields(Option<Box<Unknown>>);

/// In the order of their tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Unknown(Vec<(u32, Bytes)>);

impl TaggedFields {
    /// In the order of their tags.
    pub fn iter(&self) -> impl Iterator<Item = &(u32, Bytes)> {
        self.0.iter().flat_map(|fields| &fields.0)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |fields| fields.0.len())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Adds a field, whose tag must be above all that are there.
    pub fn push(&mut self, tag: u32, value: Bytes) {
        let fields = &mut self.0.get_or_insert_default().0;
        assert!(fields.last().is_none_or(|(last, _)| *last < tag), "tagged fields ascend");
        fields.push((tag, value));
    }

    /// Reads the tagged fields of a structure that knows none.
    pub fn decode(reader: &mut Reader) -> Result<TaggedFields> {
        let mut fields = TaggedFields::default();
        let mut tags = Tags::open(reader)?;
        while let Some(tag) = tags.next(reader)? {
            fields.push(tag, tags.take(reader)?);
        }
        Ok(fields)
    }

    /// The size of all fields beside `known` others, with their count but without the others themselves.
    #[must_use]
    pub fn size(&self, known: u32) -> usize {
        let fields: usize = self.iter().map(|(tag, value)| size::tagged(*tag, value.len())).sum();
        size::uvarint(self.count(known)) + fields
    }

    /// Writes the count of all fields: these and `known` others, which the caller writes between `encode_range`s.
    pub fn encode_count(&self, writer: &mut Writer, known: u32) {
        writer.uvarint(self.count(known));
    }

    /// Writes the fields of some tags, so that the caller can write what it knows in its place among them.
    pub fn encode_range(&self, writer: &mut Writer, tags: RangeInclusive<u32>) {
        for (tag, value) in self.iter().filter(|(tag, _)| tags.contains(tag)) {
            writer.tag(*tag, value.len());
            writer.slice(value);
        }
    }

    /// Writes the tagged fields of a structure that knows none.
    pub fn encode(&self, writer: &mut Writer) {
        self.encode_count(writer, 0);
        self.encode_range(writer, 0..=u32::MAX);
    }

    fn count(&self, known: u32) -> u32 {
        known + u32::try_from(self.len()).expect("a message holds fewer than 2^32 fields")
    }
}

impl Writer {
    /// The head of a tagged field of `bytes` bytes.
    pub fn tag(&mut self, tag: u32, bytes: usize) {
        self.uvarint(tag);
        self.uvarint(super::wire_length(bytes));
    }
}

/// A walk over the tagged fields of one structure.
#[derive(Debug)]
pub struct Tags {
    left: u32,
    /// The lowest tag that may come next; `None` after the highest there is.
    floor: Option<u32>,
    /// Where the field that was returned last ends.
    end: usize,
}

impl Tags {
    pub fn open(reader: &mut Reader) -> Result<Tags> {
        let left = reader.uvarint()?;
        Ok(Tags { left, floor: Some(0), end: reader.position() })
    }

    /// The next tag, whose value the caller reads in full before it asks for another one.
    pub fn next(&mut self, reader: &mut Reader) -> Result<Option<u32>> {
        let at = reader.position();
        if at != self.end {
            return Err(DecodeError::BadTag { at });
        }
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let tag = reader.uvarint()?;
        if self.floor.is_none_or(|floor| tag < floor) {
            return Err(DecodeError::BadTag { at });
        }
        self.floor = tag.checked_add(1);
        let length = usize::try_from(reader.uvarint()?).map_err(|_| DecodeError::BadTag { at })?;
        if length > reader.remaining() {
            return Err(DecodeError::Truncated { at });
        }
        self.end = reader.position() + length;
        Ok(Some(tag))
    }

    /// The value of the tag that was returned last.
    pub fn take(&self, reader: &mut Reader) -> Result<Bytes> {
        reader.take(self.end - reader.position())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &'static [u8]) -> Result<TaggedFields> {
        let mut reader = Reader::new(Bytes::from_static(bytes));
        let fields = TaggedFields::decode(&mut reader)?;
        reader.finish()?;
        Ok(fields)
    }

    #[test]
    fn unknown_fields_pass_through() {
        let bytes: &[u8] = &[2, 1, 2, 7, 8, 5, 0];
        let fields = decode(bytes).unwrap();
        assert_eq!(fields.len(), 2);
        let mut writer = Writer::default();
        fields.encode(&mut writer);
        assert_eq!(writer.buffer, bytes);
        assert_eq!(fields.size(0), bytes.len());
    }

    #[test]
    fn malformed_fields_are_refused() {
        assert_eq!(decode(&[2, 5, 0, 5, 0]), Err(DecodeError::BadTag { at: 3 }), "a tag twice");
        assert_eq!(decode(&[1, 5, 2, 0]), Err(DecodeError::Truncated { at: 1 }), "a size beyond the end");
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Err(DecodeError::Truncated { at: 5 }), "a count beyond");
    }
}
