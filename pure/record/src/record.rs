//! One record inside a batch: its frame, its fields, its headers.

use crate::varint::Cursor;
use types::{Offset, Timestamp};

/// A record, its fields borrowed from the batch or from what was decompressed of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: Offset,
    /// When the producer made it, or when the broker appended it where the batch says so.
    pub timestamp: Timestamp,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// The headers of a record, which were checked when the record was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    count: i32,
    encoded: &'a [u8],
}

impl<'a> Headers<'a> {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many headers are still to come.
    #[must_use]
    pub fn count(&self) -> i32 {
        self.count
    }

    /// The count and all headers as the record has them.
    pub(crate) fn encoded(&self) -> (i32, &'a [u8]) {
        (self.count, self.encoded)
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.count == 0 {
            return None;
        }
        let mut cursor = Cursor { rest: self.encoded };
        let header = read_header(&mut cursor).expect("headers are checked when the record is read");
        self.encoded = cursor.rest;
        self.count -= 1;
        Some(header)
    }
}

#[inline(always)]
fn read_header<'a>(cursor: &mut Cursor<'a>) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let key = cursor.nullable_bytes()??;
    Some((key, cursor.nullable_bytes()?))
}

/// Where the record at the front of some bytes ends.
pub(crate) enum Frame {
    /// The record's fields lie in this range.
    Whole { start: usize, end: usize },
    /// The bytes end within the record, which as far as is known needs `needed` bytes.
    Short { needed: usize },
    /// No record begins so.
    Bad,
}

/// Longest encoding of a 32-bit length.
const LENGTH_BYTES_MAX: usize = 5;
/// Least bytes of a record's fields: attributes, two deltas, two lengths and the header count.
const FIELDS_BYTES_MIN: usize = 6;

#[inline(always)]
pub(crate) fn frame(bytes: &[u8]) -> Frame {
    let mut cursor = Cursor { rest: bytes };
    let Some(length) = cursor.varint() else {
        let cut_off = bytes.len() < LENGTH_BYTES_MAX && bytes.iter().all(|byte| *byte >= 0x80);
        return if cut_off { Frame::Short { needed: bytes.len() + 1 } } else { Frame::Bad };
    };
    let start = bytes.len() - cursor.rest.len();
    match usize::try_from(length) {
        Ok(length) if length >= FIELDS_BYTES_MIN => {
            let end = start + length;
            if end <= bytes.len() { Frame::Whole { start, end } } else { Frame::Short { needed: end } }
        }
        _ => Frame::Bad,
    }
}

/// The fields of a record as the batch has them, relative to its header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// Reads the fields of one record, which must fill `bytes` to the last one.
#[inline(always)]
pub(crate) fn fields(bytes: &[u8]) -> Option<Fields<'_>> {
    let mut cursor = Cursor { rest: bytes };
    let _attributes = cursor.byte()?;
    let timestamp_delta = cursor.varlong()?;
    let offset_delta = cursor.varint()?;
    let key = cursor.nullable_bytes()?;
    let value = cursor.nullable_bytes()?;
    let count = cursor.varint()?;
    let headers = Headers { count, encoded: cursor.rest };
    if count != 0 {
        skip_headers(&mut cursor, count)?;
    }
    cursor.rest.is_empty().then_some(Fields { timestamp_delta, offset_delta, key, value, headers })
}

/// A hostile count ends at the first header that the bytes do not hold, so the loop is bounded by them.
fn skip_headers(cursor: &mut Cursor<'_>, count: i32) -> Option<()> {
    if count < 0 {
        return None;
    }
    for _ in 0..count {
        read_header(cursor)?;
    }
    Some(())
}
