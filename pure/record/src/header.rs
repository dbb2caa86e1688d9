//! The 61 bytes before the records of a batch, and the checksum over what follows it.

use crate::Invalid;
use std::fmt;
use types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// Bytes of a batch before its records; the last field is the record count.
pub const HEADER_BYTES: usize = 61;
/// Bytes before the part that `batch_length` counts.
const LENGTH_PREFIX_BYTES: usize = 12;
/// Where the bytes begin that the checksum covers: the attributes.
pub(crate) const CRC_FROM: usize = 21;
/// Least length of a message of the two older formats: less is no message at all.
const LEGACY_LENGTH_MIN: i32 = 14;

pub(crate) mod at {
    //! Positions of the fields.
    pub const BASE_OFFSET: usize = 0;
    pub const BATCH_LENGTH: usize = 8;
    pub const LEADER_EPOCH: usize = 12;
    pub const MAGIC: usize = 16;
    pub const CRC: usize = 17;
    pub const ATTRIBUTES: usize = 21;
    pub const LAST_OFFSET_DELTA: usize = 23;
    pub const BASE_TIMESTAMP: usize = 27;
    pub const MAX_TIMESTAMP: usize = 35;
    pub const PRODUCER_ID: usize = 43;
    pub const PRODUCER_EPOCH: usize = 51;
    pub const BASE_SEQUENCE: usize = 53;
    pub const RECORD_COUNT: usize = 57;
}

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// The codec with Kafka's id.
    pub fn from_id(id: i16) -> Result<Codec, Invalid> {
        let index = usize::try_from(id).ok();
        index.and_then(|index| Codec::ALL.get(index).copied()).ok_or(Invalid::UnknownCodec { id })
    }

    #[must_use]
    pub fn id(self) -> i16 {
        self as i16
    }

    /// The name that `compression.type` uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["none", "gzip", "snappy", "lz4", "zstd"][self as usize]
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Who dated the records: the producer, or the broker when it appended them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimestampType {
    #[default]
    CreateTime,
    LogAppendTime,
}

/// The flags of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC_MASK: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 1 << 3;
    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;

    pub fn codec(self) -> Result<Codec, Invalid> {
        Codec::from_id(self.0 & Attributes::CODEC_MASK)
    }

    #[must_use]
    pub fn timestamp_type(self) -> TimestampType {
        match self.0 & Attributes::LOG_APPEND_TIME {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        }
    }

    #[must_use]
    pub fn with_codec(self, codec: Codec) -> Attributes {
        Attributes(self.0 & !Attributes::CODEC_MASK | codec.id())
    }

    #[must_use]
    pub fn with_timestamp_type(self, kind: TimestampType) -> Attributes {
        self.with(Attributes::LOG_APPEND_TIME, kind == TimestampType::LogAppendTime)
    }

    fn with(self, bit: i16, on: bool) -> Attributes {
        Attributes(if on { self.0 | bit } else { self.0 & !bit })
    }
}

macro_rules! flags {
    ($($(#[$about:meta])* $is:ident, $with:ident = $bit:ident;)*) => {
        impl Attributes {
            $($(#[$about])*
            #[must_use]
            pub fn $is(self) -> bool {
                self.0 & Attributes::$bit != 0
            }

            #[must_use]
            pub fn $with(self, on: bool) -> Attributes {
                self.with(Attributes::$bit, on)
            })*
        }
    };
}

flags! {
    is_transactional, with_transactional = TRANSACTIONAL;
    /// Whether the batch holds markers for Kafka itself, which no consumer is shown.
    is_control, with_control = CONTROL;
    /// Whether the base timestamp says from when on the batch's tombstones may be removed (KIP-534).
    has_delete_horizon, with_delete_horizon = DELETE_HORIZON;
}

/// The fields before a batch's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub base_offset: Offset,
    /// Bytes of the batch after this field; see [`Header::size_bytes`].
    pub batch_length: i32,
    pub leader_epoch: LeaderEpoch,
    pub magic: i8,
    pub crc: u32,
    pub attributes: Attributes,
    pub last_offset_delta: i32,
    pub base_timestamp: Timestamp,
    pub max_timestamp: Timestamp,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub base_sequence: Sequence,
    pub record_count: i32,
}

impl Header {
    /// Reads the header at the front of `bytes`, of which 61 must be there; the records need not be. What it returns
    /// has a sound length and sound offsets, so that [`Header::last_offset`] cannot overflow.
    pub fn parse(bytes: &[u8]) -> Result<Header, Invalid> {
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(short_header(bytes));
        };
        let header = Header::view(head);
        header.check()?;
        Ok(header)
    }

    fn view(head: &[u8; HEADER_BYTES]) -> Header {
        Header {
            base_offset: Offset(i64::from_be_bytes(field(head, at::BASE_OFFSET))),
            batch_length: i32::from_be_bytes(field(head, at::BATCH_LENGTH)),
            leader_epoch: LeaderEpoch(i32::from_be_bytes(field(head, at::LEADER_EPOCH))),
            magic: i8::from_be_bytes(field(head, at::MAGIC)),
            crc: u32::from_be_bytes(field(head, at::CRC)),
            attributes: Attributes(i16::from_be_bytes(field(head, at::ATTRIBUTES))),
            last_offset_delta: i32::from_be_bytes(field(head, at::LAST_OFFSET_DELTA)),
            base_timestamp: Timestamp(i64::from_be_bytes(field(head, at::BASE_TIMESTAMP))),
            max_timestamp: Timestamp(i64::from_be_bytes(field(head, at::MAX_TIMESTAMP))),
            producer_id: ProducerId(i64::from_be_bytes(field(head, at::PRODUCER_ID))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(field(head, at::PRODUCER_EPOCH))),
            base_sequence: Sequence(i32::from_be_bytes(field(head, at::BASE_SEQUENCE))),
            record_count: i32::from_be_bytes(field(head, at::RECORD_COUNT)),
        }
    }

    fn check(&self) -> Result<(), Invalid> {
        check_format(self.batch_length, self.magic)?;
        let last = self.base_offset.0.checked_add(i64::from(self.last_offset_delta));
        let sound = self.base_offset.0 >= 0 && self.last_offset_delta >= 0 && self.record_count >= 0;
        if !sound || last.is_none() {
            return Err(Invalid::BadOffsets {
                base_offset: self.base_offset.0,
                last_offset_delta: self.last_offset_delta,
                record_count: self.record_count,
            });
        }
        Ok(())
    }

    /// The header's 61 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut head = [0; HEADER_BYTES];
        put(&mut head, at::BASE_OFFSET, self.base_offset.0.to_be_bytes());
        put(&mut head, at::BATCH_LENGTH, self.batch_length.to_be_bytes());
        put(&mut head, at::LEADER_EPOCH, self.leader_epoch.0.to_be_bytes());
        put(&mut head, at::MAGIC, self.magic.to_be_bytes());
        put(&mut head, at::CRC, self.crc.to_be_bytes());
        put(&mut head, at::ATTRIBUTES, self.attributes.0.to_be_bytes());
        put(&mut head, at::LAST_OFFSET_DELTA, self.last_offset_delta.to_be_bytes());
        put(&mut head, at::BASE_TIMESTAMP, self.base_timestamp.0.to_be_bytes());
        put(&mut head, at::MAX_TIMESTAMP, self.max_timestamp.0.to_be_bytes());
        put(&mut head, at::PRODUCER_ID, self.producer_id.0.to_be_bytes());
        put(&mut head, at::PRODUCER_EPOCH, self.producer_epoch.0.to_be_bytes());
        put(&mut head, at::BASE_SEQUENCE, self.base_sequence.0.to_be_bytes());
        put(&mut head, at::RECORD_COUNT, self.record_count.to_be_bytes());
        head
    }

    /// Sets the length and the checksum for the given records; everything else must be final.
    pub(crate) fn seal(&mut self, body: &[u8]) -> [u8; HEADER_BYTES] {
        let size = HEADER_BYTES - LENGTH_PREFIX_BYTES + body.len();
        self.batch_length = i32::try_from(size).expect("a batch is kept below 2 GiB while it is built");
        let mut head = self.encode();
        self.crc = crc32c_of_two(&head[CRC_FROM..], body);
        put(&mut head, at::CRC, self.crc.to_be_bytes());
        head
    }

    /// Bytes of the whole batch, header and records.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        LENGTH_PREFIX_BYTES + usize::try_from(self.batch_length).expect("a negative length is refused when parsed")
    }

    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    /// The offset after the batch.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.last_offset().next()
    }

    /// The sequence of the last record, or none where the producer counts none.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        if self.base_sequence < Sequence(0) { Sequence::NONE } else { self.base_sequence.plus(self.last_offset_delta) }
    }

    #[must_use]
    pub fn has_producer(&self) -> bool {
        self.producer_id > ProducerId::NONE
    }

    /// From when on the batch's tombstones may be removed, where that is decided.
    #[must_use]
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }
}

/// What is wrong with fewer bytes than a header has: often another format, or just too few bytes.
fn short_header(bytes: &[u8]) -> Invalid {
    if let (Some(length), Some(magic)) =
        (bytes.get(at::BATCH_LENGTH..).and_then(<[u8]>::first_chunk), bytes.get(at::MAGIC))
        && let Err(invalid) = check_format(i32::from_be_bytes(*length), magic.cast_signed())
    {
        return invalid;
    }
    Invalid::Truncated { needed: HEADER_BYTES, found: bytes.len() }
}

fn check_format(length: i32, magic: i8) -> Result<(), Invalid> {
    const LENGTH_MIN: i32 = 49;
    if length < LEGACY_LENGTH_MIN {
        return Err(Invalid::BadLength { length });
    }
    if magic != 2 {
        return Err(Invalid::BadMagic { magic });
    }
    if length < LENGTH_MIN {
        return Err(Invalid::BadLength { length });
    }
    Ok(())
}

fn field<const N: usize>(head: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    head[at..at + N].try_into().expect("every field lies within the header")
}

pub(crate) fn put<const N: usize>(head: &mut [u8; HEADER_BYTES], at: usize, value: [u8; N]) {
    head[at..at + N].copy_from_slice(&value);
}

/// CRC-32C, the checksum of batches.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// CRC-32C of two pieces that follow each other, without joining them.
pub(crate) fn crc32c_of_two(first: &[u8], second: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(first);
    digest.update(second);
    u32::try_from(digest.finalize()).expect("a CRC-32 has 32 bits")
}

/// Whether the checksum of one whole batch is right. Anything shorter than a header is not a batch.
#[must_use]
pub fn crc_matches(batch: &[u8]) -> bool {
    check_crc(batch).is_ok()
}

pub(crate) fn check_crc(batch: &[u8]) -> Result<(), Invalid> {
    let head = batch.first_chunk::<HEADER_BYTES>().ok_or_else(|| short_header(batch))?;
    let stored = u32::from_be_bytes(field(head, at::CRC));
    let computed = crc32c(&batch[CRC_FROM..]);
    if stored == computed { Ok(()) } else { Err(Invalid::BadCrc { stored, computed }) }
}
