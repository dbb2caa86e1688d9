//! Reading and writing Kafka's primitive encodings, for messages, for the records of internal topics and for files.
//!
//! A reader trusts nothing: every length is compared with what remains before anything is reserved. A writer is given
//! its full size first, so that it reserves once.

mod tagged;

pub use tagged::{TaggedFields, Tags};

use crate::{Text, Uuid};
use bytes::{BufMut, Bytes, BytesMut};
use std::fmt;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// A length or a field reaches past the end; `at` is the position in bytes.
    Truncated { at: usize },
    /// A length below what its field allows.
    BadLength { at: usize, length: i64 },
    /// A variable-length number that does not end in time.
    BadVarint { at: usize },
    /// A text that is not UTF-8.
    BadText { at: usize },
    /// A null where the field may not be null in this version.
    UnexpectedNull { at: usize },
    /// Tagged fields out of order, or a tag's size that does not match.
    BadTag { at: usize },
    /// Bytes left over after the last field.
    Trailing { at: usize, count: usize },
    /// A version that the message does not have.
    UnknownVersion { version: i16 },
    /// A number that names no message.
    UnknownKey { key: i64 },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Truncated { at } => write!(f, "the message ends within the field at byte {at}"),
            DecodeError::BadLength { at, length } => write!(f, "length {length} at byte {at} is not valid"),
            DecodeError::BadVarint { at } => write!(f, "the number at byte {at} is too long"),
            DecodeError::BadText { at } => write!(f, "the text at byte {at} is not UTF-8"),
            DecodeError::UnexpectedNull { at } => write!(f, "the field at byte {at} must not be null"),
            DecodeError::BadTag { at } => write!(f, "the tagged field at byte {at} is malformed"),
            DecodeError::Trailing { at, count } => write!(f, "{count} bytes are left over at byte {at}"),
            DecodeError::UnknownVersion { version } => write!(f, "the message has no version {version}"),
            DecodeError::UnknownKey { key } => write!(f, "no message has the number {key}"),
        }
    }
}

impl std::error::Error for DecodeError {}

type Result<T> = std::result::Result<T, DecodeError>;

/// Reads from shared bytes; byte fields and texts are slices of them.
#[derive(Clone, Debug)]
pub struct Reader {
    buffer: Bytes,
    at: usize,
}

macro_rules! fixed {
    ($($name:ident -> $kind:ty),*) => {
        $(#[inline]
        pub fn $name(&mut self) -> Result<$kind> {
            const SIZE: usize = size_of::<$kind>();
            let end = self.at + SIZE;
            let Some(bytes) = self.buffer.get(self.at..end) else {
                return Err(DecodeError::Truncated { at: self.at });
            };
            self.at = end;
            Ok(<$kind>::from_be_bytes(bytes.try_into().expect("the slice has the number's size")))
        })*
    };
}

impl Reader {
    #[must_use]
    pub fn new(buffer: Bytes) -> Reader {
        Reader { buffer, at: 0 }
    }

    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    #[must_use]
    pub fn remaining(&self) -> usize {
        self.buffer.len() - self.at
    }

    fixed!(i8 -> i8, u8 -> u8, i16 -> i16, u16 -> u16, i32 -> i32, u32 -> u32, i64 -> i64, f64 -> f64);

    #[inline]
    pub fn bool(&mut self) -> Result<bool> {
        Ok(self.u8()? != 0)
    }

    pub fn uuid(&mut self) -> Result<Uuid> {
        let at = self.at;
        let bytes = self.buffer.get(at..at + 16).ok_or(DecodeError::Truncated { at })?;
        self.at += 16;
        Ok(Uuid(bytes.try_into().expect("the slice has 16 bytes")))
    }

    /// An unsigned variable-length number of at most 32 bits.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32> {
        let start = self.at;
        let mut value: u32 = 0;
        for step in 0..5 {
            let byte = self.u8()?;
            if step == 4 && byte > 0x0f {
                return Err(DecodeError::BadVarint { at: start });
            }
            value |= u32::from(byte & 0x7f) << (7 * step);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::BadVarint { at: start })
    }

    /// A zigzag variable-length number of at most 32 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<i32> {
        let raw = self.uvarint()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    /// A zigzag variable-length number of at most 64 bits.
    pub fn varlong(&mut self) -> Result<i64> {
        let start = self.at;
        let mut value: u64 = 0;
        for step in 0..10 {
            let byte = self.u8()?;
            if step == 9 && byte > 1 {
                return Err(DecodeError::BadVarint { at: start });
            }
            value |= u64::from(byte & 0x7f) << (7 * step);
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(DecodeError::BadVarint { at: start })
    }

    /// The next `length` bytes, shared.
    pub fn take(&mut self, length: usize) -> Result<Bytes> {
        if length > self.remaining() {
            return Err(DecodeError::Truncated { at: self.at });
        }
        let slice = self.buffer.slice(self.at..self.at + length);
        self.at += length;
        Ok(slice)
    }

    /// Length of a nullable byte field: compact (length + 1 as uvarint) or classic (i32, -1 is null).
    fn bytes_length(&mut self, compact: bool) -> Result<Option<usize>> {
        let at = self.at;
        let length = if compact { i64::from(self.uvarint()?) - 1 } else { i64::from(self.i32()?) };
        self.checked_length(at, length)
    }

    fn text_length(&mut self, compact: bool) -> Result<Option<usize>> {
        let at = self.at;
        let length = if compact { i64::from(self.uvarint()?) - 1 } else { i64::from(self.i16()?) };
        // Kafka bounds compact texts too, and an older version could not carry a longer one.
        if length > i64::from(i16::MAX) {
            return Err(DecodeError::BadLength { at, length });
        }
        self.checked_length(at, length)
    }

    fn checked_length(&self, at: usize, length: i64) -> Result<Option<usize>> {
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| DecodeError::BadLength { at, length })?;
        if length > self.remaining() {
            return Err(DecodeError::Truncated { at });
        }
        Ok(Some(length))
    }

    pub fn nullable_bytes(&mut self, compact: bool) -> Result<Option<Bytes>> {
        self.bytes_length(compact)?.map(|length| self.take(length)).transpose()
    }

    pub fn bytes(&mut self, compact: bool) -> Result<Bytes> {
        let at = self.at;
        self.nullable_bytes(compact)?.ok_or(DecodeError::UnexpectedNull { at })
    }

    pub fn nullable_text(&mut self, compact: bool) -> Result<Option<Text>> {
        let at = self.at;
        match self.text_length(compact)? {
            Some(length) => Ok(Some(Text::from_bytes(self.take(length)?).map_err(|_| DecodeError::BadText { at })?)),
            None => Ok(None),
        }
    }

    pub fn text(&mut self, compact: bool) -> Result<Text> {
        let at = self.at;
        self.nullable_text(compact)?.ok_or(DecodeError::UnexpectedNull { at })
    }

    /// The count of a nullable array. Every element takes at least one byte, so a count above what remains is refused
    /// before anything is reserved for it.
    pub fn nullable_array(&mut self, compact: bool) -> Result<Option<usize>> {
        self.bytes_length(compact)
    }

    pub fn array(&mut self, compact: bool) -> Result<usize> {
        let at = self.at;
        self.nullable_array(compact)?.ok_or(DecodeError::UnexpectedNull { at })
    }

    /// An array whose elements `item` reads.
    pub fn list<T>(&mut self, compact: bool, item: impl FnMut(&mut Reader) -> Result<T>) -> Result<Vec<T>> {
        let count = self.array(compact)?;
        self.items(count, item)
    }

    pub fn nullable_list<T>(
        &mut self,
        compact: bool,
        item: impl FnMut(&mut Reader) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        self.nullable_array(compact)?.map(|count| self.items(count, item)).transpose()
    }

    fn items<T>(&mut self, count: usize, mut item: impl FnMut(&mut Reader) -> Result<T>) -> Result<Vec<T>> {
        let mut items = Vec::with_capacity(self.reserve(count, size_of::<T>()));
        for read in 0..count {
            if read == items.capacity() {
                // Doubles, but never beyond the count.
                items.reserve_exact(read.min(count - read));
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// How many elements to reserve for an array of `count` whose elements take `element` bytes in memory: never more
    /// memory than eight times what remains of the message.
    #[must_use]
    pub fn reserve(&self, count: usize, element: usize) -> usize {
        count.min(self.remaining().saturating_mul(8) / element.max(1) + 1)
    }

    /// Fails where bytes are left over.
    pub fn finish(&self) -> Result<()> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(DecodeError::Trailing { at: self.at, count }),
        }
    }
}

/// Bytes that are left out of a writer's buffer and sent from elsewhere (a range of a segment file).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Where in the buffer the bytes belong.
    pub at: usize,
    pub length: usize,
    /// Which of the caller's sources they are.
    pub slot: u32,
}

/// Writes into one buffer that was reserved for the size computed before.
#[derive(Debug, Default)]
pub struct Writer {
    pub buffer: BytesMut,
    pub splices: Vec<Splice>,
}

macro_rules! put {
    ($($name:ident $put:ident),*) => {
        $(#[inline]
        pub fn $name(&mut self, value: $name) {
            self.buffer.$put(value);
        })*
    };
}

impl Writer {
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Writer {
        Writer { buffer: BytesMut::with_capacity(bytes), splices: Vec::new() }
    }

    put!(i8 put_i8, u8 put_u8, i16 put_i16, u16 put_u16, i32 put_i32, u32 put_u32, i64 put_i64, f64 put_f64);

    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.buffer.put_u8(u8::from(value));
    }

    pub fn uuid(&mut self, value: Uuid) {
        self.buffer.put_slice(&value.0);
    }

    #[inline]
    pub fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.put_u8(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(value.to_le_bytes()[0]);
    }

    #[inline]
    pub fn varint(&mut self, value: i32) {
        self.uvarint(zigzag(value));
    }

    pub fn varlong(&mut self, value: i64) {
        let mut raw = zigzag_long(value);
        while raw >= 0x80 {
            self.buffer.put_u8(raw.to_le_bytes()[0] | 0x80);
            raw >>= 7;
        }
        self.buffer.put_u8(raw.to_le_bytes()[0]);
    }

    pub fn slice(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    /// Leaves out `length` bytes here, which are sent from the caller's source `slot`.
    pub fn splice(&mut self, length: usize, slot: u32) {
        if length > 0 {
            self.splices.push(Splice { at: self.buffer.len(), length, slot });
        }
    }

    /// The length of a byte field or the count of an array; `None` is null.
    pub fn length(&mut self, compact: bool, length: Option<usize>) {
        if compact {
            self.uvarint(length.map_or(0, |count| wire_length(count) + 1));
        } else {
            self.i32(length.map_or(-1, |count| wire_length(count).cast_signed()));
        }
    }

    pub fn nullable_bytes(&mut self, compact: bool, value: Option<&[u8]>) {
        self.length(compact, value.map(<[u8]>::len));
        if let Some(bytes) = value {
            self.slice(bytes);
        }
    }

    pub fn bytes(&mut self, compact: bool, value: &[u8]) {
        self.nullable_bytes(compact, Some(value));
    }

    pub fn nullable_text(&mut self, compact: bool, value: Option<&str>) {
        self.text_bytes(compact, value.map(str::as_bytes));
    }

    pub fn text(&mut self, compact: bool, value: &str) {
        self.nullable_text(compact, Some(value));
    }

    /// As `nullable_text`, without another look at whether the bytes are UTF-8.
    pub fn put_text(&mut self, compact: bool, value: Option<&Text>) {
        self.text_bytes(compact, value.map(|text| &text.as_bytes()[..]));
    }

    fn text_bytes(&mut self, compact: bool, value: Option<&[u8]>) {
        if compact {
            return self.nullable_bytes(true, value);
        }
        self.i16(value.map_or(-1, |text| {
            i16::try_from(text.len()).expect("a text longer than 32,767 bytes is refused before it is encoded")
        }));
        self.slice(value.unwrap_or_default());
    }
}

fn wire_length(count: usize) -> u32 {
    u32::try_from(count).ok().filter(|n| *n < 1 << 31).expect("a field of 2 GiB is refused before it is encoded")
}

fn zigzag(value: i32) -> u32 {
    (value << 1 ^ value >> 31).cast_unsigned()
}

fn zigzag_long(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

/// Sizes in bytes, to be summed before a writer is made.
pub mod size {
    /// Of an unsigned variable-length number.
    #[must_use]
    #[inline]
    pub fn uvarint(value: u32) -> usize {
        (38 - (value | 1).leading_zeros() as usize) / 7
    }

    #[must_use]
    #[inline]
    pub fn varint(value: i32) -> usize {
        uvarint(super::zigzag(value))
    }

    #[must_use]
    #[inline]
    pub fn varlong(value: i64) -> usize {
        (70 - (super::zigzag_long(value) | 1).leading_zeros() as usize) / 7
    }

    /// Of a tagged field whose value takes `bytes`, with its head.
    #[must_use]
    pub fn tagged(tag: u32, bytes: usize) -> usize {
        uvarint(tag) + uvarint(super::wire_length(bytes)) + bytes
    }

    /// Of the length or count before a byte field or an array.
    #[must_use]
    #[inline]
    pub fn length(compact: bool, length: Option<usize>) -> usize {
        if compact { length.map_or(1, |count| uvarint(super::wire_length(count) + 1)) } else { 4 }
    }

    #[must_use]
    #[inline]
    pub fn bytes(compact: bool, value: Option<&[u8]>) -> usize {
        length(compact, value.map(<[u8]>::len)) + value.map_or(0, <[u8]>::len)
    }

    #[must_use]
    #[inline]
    pub fn text(compact: bool, value: Option<&str>) -> usize {
        text_bytes(compact, value.map(str::len))
    }

    /// Of what `Writer::put_text` writes.
    #[must_use]
    #[inline]
    pub fn put_text(compact: bool, value: Option<&crate::Text>) -> usize {
        text_bytes(compact, value.map(|text| text.as_bytes().len()))
    }

    #[inline]
    fn text_bytes(compact: bool, bytes: Option<usize>) -> usize {
        bytes.unwrap_or(0) + if compact { length(true, bytes) } else { 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_at_their_computed_size() {
        for value in [0, 1, -1, 63, 64, -64, -65, 8191, 8192, i32::MAX, i32::MIN] {
            let mut writer = Writer::default();
            writer.varint(value);
            assert_eq!(writer.buffer.len(), size::varint(value), "{value}");
            assert_eq!(Reader::new(writer.buffer.freeze()).varint(), Ok(value));
        }
        for value in [0, -1, 1 << 40, i64::MAX, i64::MIN, 300] {
            let mut writer = Writer::default();
            writer.varlong(value);
            assert_eq!(writer.buffer.len(), size::varlong(value), "{value}");
            assert_eq!(Reader::new(writer.buffer.freeze()).varlong(), Ok(value));
        }
        for value in [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, u32::MAX] {
            let mut writer = Writer::default();
            writer.uvarint(value);
            assert_eq!(writer.buffer.len(), size::uvarint(value), "{value}");
            assert_eq!(Reader::new(writer.buffer.freeze()).uvarint(), Ok(value));
        }
    }

    #[test]
    fn lengths_beyond_the_end_are_refused() {
        let claims_two_gib = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff]);
        assert_eq!(Reader::new(claims_two_gib.clone()).bytes(false), Err(DecodeError::Truncated { at: 0 }));
        assert_eq!(Reader::new(claims_two_gib).array(false), Err(DecodeError::Truncated { at: 0 }));
        let negative = Bytes::from_static(&[0xff, 0xff, 0xff, 0xfe]);
        assert_eq!(Reader::new(negative).bytes(false), Err(DecodeError::BadLength { at: 0, length: -2 }));
        let endless = Bytes::from_static(&[0xff; 6]);
        assert_eq!(Reader::new(endless).uvarint(), Err(DecodeError::BadVarint { at: 0 }));
    }

    #[test]
    fn texts_and_nulls() {
        let mut writer = Writer::default();
        writer.text(true, "vltava");
        writer.nullable_text(false, None);
        writer.nullable_bytes(true, None);
        let mut reader = Reader::new(writer.buffer.freeze());
        assert_eq!(reader.text(true).unwrap(), "vltava");
        assert_eq!(reader.nullable_text(false), Ok(None));
        assert_eq!(reader.nullable_bytes(true), Ok(None));
        assert_eq!(reader.finish(), Ok(()));
    }
}
