//! Building a batch record by record.

use crate::varint::{length, write, write_nullable};
use crate::{Attributes, Codec, HEADER_BYTES, Header, Invalid, Record, TimestampType, codec, records};
use bytes::Bytes;
use types::codec::size;
use types::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp, with_defaults};

with_defaults! {
    /// What a batch says besides its records.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Template {
        pub base_offset: Offset = Offset::ZERO,
        pub leader_epoch: LeaderEpoch = LeaderEpoch::NONE,
        pub codec: Codec = Codec::None,
        /// The codec's own scale; see `Codec::default_level`.
        pub level: i32 = 0,
        /// Set where the broker dates the records: one time for all of them.
        pub append_time: Option<Timestamp> = None,
        /// From when on the batch's tombstones may be removed; set by compaction.
        pub delete_horizon: Option<Timestamp> = None,
        pub producer_id: ProducerId = ProducerId::NONE,
        pub producer_epoch: ProducerEpoch = ProducerEpoch::NONE,
        pub base_sequence: Sequence = Sequence::NONE,
        pub transactional: bool = false,
        pub control: bool = false,
    }
}

impl Template {
    /// The template of a batch that stands: what is built from it differs in its records alone.
    #[must_use]
    pub fn of(header: &Header, codec: Codec) -> Template {
        let append_time = match header.attributes.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(header.max_timestamp),
        };
        Template {
            base_offset: header.base_offset,
            leader_epoch: header.leader_epoch,
            codec,
            level: codec.default_level(),
            append_time,
            delete_horizon: header.delete_horizon(),
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            transactional: header.attributes.is_transactional(),
            control: header.attributes.is_control(),
        }
    }

    fn attributes(&self) -> Attributes {
        let kind = if self.append_time.is_some() { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
        Attributes::default()
            .with_codec(self.codec)
            .with_timestamp_type(kind)
            .with_transactional(self.transactional)
            .with_control(self.control)
            .with_delete_horizon(self.delete_horizon.is_some())
    }
}

/// The same batch under another producer, epoch and sequence.
pub fn with_producer(
    batch: &[u8],
    id: ProducerId,
    epoch: ProducerEpoch,
    base_sequence: Sequence,
) -> Result<Bytes, Invalid> {
    let mut header = Header::parse(batch)?;
    let needed = header.size_bytes();
    let body = batch.get(HEADER_BYTES..needed).ok_or(Invalid::Truncated { needed, found: batch.len() })?;
    header.producer_id = id;
    header.producer_epoch = epoch;
    header.base_sequence = base_sequence;
    let mut whole = header.seal(body).to_vec();
    whole.extend_from_slice(body);
    Ok(Bytes::from(whole))
}

/// The records of a batch in two, in their order and with their sequences, as a broker takes them that takes no more at
/// once. It must hold at least two.
pub fn halve(batch: &[u8], level: i32) -> Result<[Bytes; 2], Invalid> {
    let header = Header::parse(batch)?;
    let first = header.record_count / 2;
    let template = Template { level, ..Template::of(&header, header.attributes.codec()?) };
    let follows = |sequence: Sequence| if header.has_producer() { sequence.plus(first) } else { sequence };
    let base_offset = template.base_offset.plus(first.into());
    let second = Template { base_sequence: follows(template.base_sequence), base_offset, ..template };
    let mut halves = [template, second].map(Builder::new);
    let mut records = records(batch, DECOMPRESSED_BATCH_BYTES_MAX)?;
    while let Some(record) = records.next_record()? {
        halves[usize::from(record.offset >= base_offset)].append_record(&record);
    }
    Ok(halves.map(|mut half| {
        half.template.base_offset = template.base_offset;
        half.finish()
    }))
}

/// Most bytes of the plain records of one batch: half of what its length field can say, so that a codec that makes
/// the batch longer does no harm.
const PLAIN_BYTES_MAX: usize = 1 << 30;

/// Builds one batch.
#[derive(Clone, Debug)]
pub struct Builder {
    template: Template,
    /// Room for the header, then the records.
    buffer: Vec<u8>,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    last_offset_delta: i32,
    count: i32,
}

impl Builder {
    #[must_use]
    pub fn new(template: Template) -> Builder {
        Builder {
            template,
            buffer: vec![0; HEADER_BYTES],
            base_timestamp: template.delete_horizon.unwrap_or(Timestamp::NONE),
            max_timestamp: Timestamp::NONE,
            last_offset_delta: -1,
            count: 0,
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Records so far.
    #[must_use]
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Bytes of the batch as it is now, before compression.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Names the producer and the sequence of the first record, which a producer knows only when it sends.
    pub fn set_producer(&mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: Sequence) {
        self.template.producer_id = id;
        self.template.producer_epoch = epoch;
        self.template.base_sequence = base_sequence;
    }

    /// Appends a record at the next offset.
    pub fn append<'r>(
        &mut self,
        timestamp: Timestamp,
        key: Option<&'r [u8]>,
        value: Option<&'r [u8]>,
        headers: &[(&'r [u8], Option<&'r [u8]>)],
    ) {
        let mut encoded = Vec::new();
        for (name, value) in headers {
            write_nullable(&mut encoded, Some(name));
            write_nullable(&mut encoded, *value);
        }
        let count = i32::try_from(headers.len()).expect("no record has so many headers");
        self.push(self.last_offset_delta + 1, timestamp, key, value, (count, &encoded));
    }

    /// Appends a record as it is, at its own offset, which must lie behind all others of the batch.
    pub fn append_record(&mut self, record: &Record<'_>) {
        let delta = record.offset.minus(self.template.base_offset);
        let delta = i32::try_from(delta).expect("a batch spans less than 2^31 offsets");
        assert!(delta > self.last_offset_delta, "offset {} goes back in its batch", record.offset);
        self.push(delta, record.timestamp, record.key, record.value, record.headers.encoded());
    }

    fn push(
        &mut self,
        offset_delta: i32,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        (header_count, headers): (i32, &[u8]),
    ) {
        if self.count == 0 && self.template.delete_horizon.is_none() {
            self.base_timestamp = timestamp;
        }
        let timestamp_delta = timestamp.0.wrapping_sub(self.base_timestamp.0);
        let (offset_delta_long, header_count) = (i64::from(offset_delta), i64::from(header_count));
        let numbers = size::varlong(timestamp_delta) + size::varlong(offset_delta_long) + size::varlong(header_count);
        let fields = 1 + numbers + nullable_size(key) + nullable_size(value) + headers.len();
        let buffer = &mut self.buffer;
        write(buffer, length(fields));
        let start = buffer.len();
        buffer.push(0);
        write(buffer, timestamp_delta);
        write(buffer, offset_delta_long);
        write_nullable(buffer, key);
        write_nullable(buffer, value);
        write(buffer, header_count);
        buffer.extend_from_slice(headers);
        debug_assert_eq!(buffer.len() - start, fields);
        assert!(self.buffer.len() <= PLAIN_BYTES_MAX, "a batch is ended before it holds 1 GiB");
        self.last_offset_delta = offset_delta;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.count += 1;
    }

    /// The whole batch. It must hold a record: a batch without records is `clean`'s to make.
    #[must_use]
    pub fn finish(self) -> Bytes {
        let last = self.last_offset_delta;
        self.finish_at(last)
    }

    /// The whole batch, which ends at the given offset whether or not a record is there.
    pub(crate) fn finish_at(self, last_offset_delta: i32) -> Bytes {
        assert!(self.count > 0, "a batch holds at least one record");
        let mut header = self.header(last_offset_delta);
        let mut buffer = self.buffer;
        if self.template.codec != Codec::None {
            let plain = std::mem::replace(&mut buffer, vec![0; HEADER_BYTES]);
            codec::compress(self.template.codec, self.template.level, &plain[HEADER_BYTES..], &mut buffer);
        }
        let head = header.seal(&buffer[HEADER_BYTES..]);
        buffer[..HEADER_BYTES].copy_from_slice(&head);
        Bytes::from(buffer)
    }

    fn header(&self, last_offset_delta: i32) -> Header {
        let template = &self.template;
        Header {
            base_offset: template.base_offset,
            batch_length: 0,
            leader_epoch: template.leader_epoch,
            magic: 2,
            crc: 0,
            attributes: template.attributes(),
            last_offset_delta,
            base_timestamp: self.base_timestamp,
            max_timestamp: template.append_time.unwrap_or(self.max_timestamp),
            producer_id: template.producer_id,
            producer_epoch: template.producer_epoch,
            base_sequence: template.base_sequence,
            record_count: self.count,
        }
    }
}

/// Bytes of a field behind its length.
fn nullable_size(value: Option<&[u8]>) -> usize {
    value.map_or(1, |bytes| size::varlong(length(bytes.len())) + bytes.len())
}
