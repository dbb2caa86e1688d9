//! The records inside one batch, one after the other, decompressed only as far as they are read.

use crate::record::{Frame, fields, frame};
use crate::{Codec, HEADER_BYTES, Header, Invalid, Record, TimestampType, codec};
use bytes::Bytes;
use std::io::Read;
use types::{Offset, Timestamp};

/// Opens the records of one whole batch. What is compressed is decompressed as it is read, and never more than
/// `limit_bytes` of it.
pub fn records(batch: &[u8], limit_bytes: usize) -> Result<Records<'_>, Invalid> {
    let header = Header::parse(batch)?;
    let needed = header.size_bytes();
    let body = batch.get(HEADER_BYTES..needed).ok_or(Invalid::Truncated { needed, found: batch.len() })?;
    Records::new(&header, body, limit_bytes)
}

/// As [`records`], for reading on later: gives the bytes too of which keys and values are slices, decompressed where the
/// batch is compressed.
pub fn shared_records(batch: &Bytes, limit_bytes: usize) -> Result<(Bytes, Records<'static>), Invalid> {
    let header = Header::parse(batch)?;
    let needed = header.size_bytes();
    let found = batch.len();
    let body = batch.get(HEADER_BYTES..needed).ok_or(Invalid::Truncated { needed, found })?;
    let body = match header.attributes.codec()? {
        Codec::None => batch.slice(HEADER_BYTES..needed),
        codec => Bytes::from(codec::decompress(codec, body, limit_bytes)?),
    };
    Ok((body.clone(), Records::from(&header, Source::Shared { body, position: 0 })))
}

/// Reads the records of one batch in order. A record borrows from the reader, for compressed records pass through a
/// window of bounded size.
pub struct Records<'a> {
    source: Source<'a>,
    base_offset: Offset,
    last_offset_delta: i32,
    /// The least delta that the next record may have: offsets only go up.
    next_delta: i32,
    base_timestamp: Timestamp,
    /// The time of all records, where the broker dated them.
    append_time: Option<Timestamp>,
    index: i32,
    count: i32,
}

impl<'a> Records<'a> {
    pub(crate) fn new(header: &Header, body: &'a [u8], limit_bytes: usize) -> Result<Records<'a>, Invalid> {
        let source = match header.attributes.codec()? {
            Codec::None => Source::Plain(body),
            codec => Source::Stream(Stream::new(codec, body, limit_bytes)?),
        };
        Ok(Records::from(header, source))
    }

    /// The records of a batch whose body is decompressed already.
    pub(crate) fn plain(header: &Header, body: &'a [u8]) -> Records<'a> {
        Records::from(header, Source::Plain(body))
    }

    fn from(header: &Header, source: Source<'a>) -> Records<'a> {
        let append_time = match header.attributes.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(header.max_timestamp),
        };
        Records {
            source,
            base_offset: header.base_offset,
            last_offset_delta: header.last_offset_delta,
            next_delta: 0,
            base_timestamp: header.base_timestamp,
            append_time,
            index: 0,
            count: header.record_count,
        }
    }

    /// How many records the header still promises.
    #[must_use]
    pub fn remaining(&self) -> i32 {
        self.count - self.index
    }

    /// The next record; `None` after the last one, when nothing is left over. An error is final.
    #[inline]
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, Invalid> {
        let index = self.index;
        if index == self.count {
            self.source.finish()?;
            return Ok(None);
        }
        self.index += 1;
        let bad = Invalid::BadRecord { index };
        let fields = self.source.next_frame(bad).and_then(|bytes| fields(bytes).ok_or(bad))?;
        if fields.offset_delta < self.next_delta || fields.offset_delta > self.last_offset_delta {
            return Err(bad);
        }
        self.next_delta = fields.offset_delta.saturating_add(1);
        Ok(Some(Record {
            offset: Offset(self.base_offset.0 + i64::from(fields.offset_delta)),
            timestamp: match self.append_time {
                None => Timestamp(self.base_timestamp.0.wrapping_add(fields.timestamp_delta)),
                Some(time) => time,
            },
            key: fields.key,
            value: fields.value,
            headers: fields.headers,
        }))
    }
}

enum Source<'a> {
    Plain(&'a [u8]),
    Shared { body: Bytes, position: usize },
    Stream(Stream<'a>),
}

impl Source<'_> {
    #[inline(always)]
    fn next_frame(&mut self, bad: Invalid) -> Result<&[u8], Invalid> {
        match self {
            Source::Plain(rest) => {
                let Frame::Whole { start, end } = frame(rest) else { return Err(bad) };
                let (record, tail) = rest.split_at(end);
                *rest = tail;
                Ok(&record[start..])
            }
            Source::Shared { body, position } => {
                let first = *position;
                let Frame::Whole { start, end } = frame(&body[first..]) else { return Err(bad) };
                *position = first + end;
                Ok(&body[first + start..first + end])
            }
            Source::Stream(stream) => stream.next_frame(bad),
        }
    }

    fn finish(&mut self) -> Result<(), Invalid> {
        let done = match self {
            Source::Plain(rest) => rest.is_empty(),
            Source::Shared { body, position } => *position == body.len(),
            Source::Stream(stream) => stream.start == stream.end && !stream.fill()?,
        };
        if done { Ok(()) } else { Err(Invalid::Trailing) }
    }
}

/// First size of the window through which decompressed bytes pass; it doubles only where one record fills it.
const WINDOW_BYTES: usize = 16 << 10;

/// Decompressed bytes that pass through a window.
struct Stream<'a> {
    codec: Codec,
    reader: Box<dyn Read + Send + 'a>,
    limit_bytes: usize,
    /// How much may still come out of the reader.
    left: usize,
    window: Vec<u8>,
    start: usize,
    end: usize,
}

impl<'a> Stream<'a> {
    fn new(codec: Codec, body: &'a [u8], limit_bytes: usize) -> Result<Stream<'a>, Invalid> {
        let reader = codec::reader(codec, body, limit_bytes)?;
        let window = vec![0; WINDOW_BYTES];
        Ok(Stream { codec, reader, limit_bytes, left: limit_bytes, window, start: 0, end: 0 })
    }

    fn next_frame(&mut self, bad: Invalid) -> Result<&[u8], Invalid> {
        loop {
            match frame(&self.window[self.start..self.end]) {
                Frame::Whole { start, end } => {
                    let first = self.start;
                    self.start += end;
                    return Ok(&self.window[first + start..first + end]);
                }
                Frame::Bad => return Err(bad),
                // A length beyond the limit is known to fail before all of it is decompressed.
                Frame::Short { needed } if needed > self.limit_bytes => {
                    return Err(Invalid::TooLarge { limit_bytes: self.limit_bytes });
                }
                Frame::Short { .. } => {
                    if !self.fill()? {
                        return Err(bad);
                    }
                }
            }
        }
    }

    /// Reads on; false at the end. The window grows only when data has filled it, never on the word of a length.
    fn fill(&mut self) -> Result<bool, Invalid> {
        self.window.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.window.len() {
            self.window.resize(self.window.len() * 2, 0);
        }
        let read = self.reader.read(&mut self.window[self.end..]);
        let count = read.map_err(|error| codec::invalid(self.codec, self.limit_bytes, &error))?;
        let too_large = Invalid::TooLarge { limit_bytes: self.limit_bytes };
        self.left = self.left.checked_sub(count).ok_or(too_large)?;
        self.end += count;
        Ok(count > 0)
    }
}
