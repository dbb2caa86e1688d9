//! Why bytes are not a batch, and why a client's append is refused.

use crate::Codec;
use std::fmt;
use types::ErrorCode;

/// Why bytes are not what a batch should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// The bytes end within a batch: `needed` bytes would be the least.
    Truncated { needed: usize, found: usize },
    /// A batch length that no batch of this magic can have.
    BadLength { length: i32 },
    /// A magic other than 2.
    BadMagic { magic: i8 },
    /// Offsets that are negative, run backwards or overflow, or a negative count.
    BadOffsets { base_offset: i64, last_offset_delta: i32, record_count: i32 },
    /// The checksum does not match.
    BadCrc { stored: u32, computed: u32 },
    /// A codec id that Kafka does not define.
    UnknownCodec { id: i16 },
    /// The compressed bytes do not decompress.
    BadCompression { codec: Codec },
    /// More bytes than the limit come out of the compressed ones.
    TooLarge { limit_bytes: usize },
    /// A record that does not have the format of a record; counted from 0.
    BadRecord { index: i32 },
    /// Bytes that are left over after the last record.
    Trailing,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Invalid::Truncated { needed, found } => {
                write!(f, "the bytes end within a batch: {found} are there, {needed} are needed")
            }
            Invalid::BadLength { length } => write!(f, "{length} is no length of a batch"),
            Invalid::BadMagic { magic } => {
                write!(f, "the batch has message format (magic) {magic}; only magic 2 is supported")
            }
            Invalid::BadOffsets { base_offset, last_offset_delta, record_count } => write!(
                f,
                "base offset {base_offset}, last offset delta {last_offset_delta} and record count {record_count} \
                 do not fit together"
            ),
            Invalid::BadCrc { stored, computed } => {
                write!(f, "the batch's checksum is {stored:#010x}, but its bytes have {computed:#010x}")
            }
            Invalid::UnknownCodec { id } => write!(f, "the batch names compression codec {id}, which does not exist"),
            Invalid::BadCompression { codec } => write!(f, "the batch's {codec} data does not decompress"),
            Invalid::TooLarge { limit_bytes } => write!(f, "the batch decompresses to more than {limit_bytes} bytes"),
            Invalid::BadRecord { index } => write!(f, "record {index} of the batch is malformed"),
            Invalid::Trailing => f.write_str("bytes are left over after the batch's last record"),
        }
    }
}

impl std::error::Error for Invalid {}

impl Invalid {
    /// What Kafka answers to a producer whose batch is invalid in this way.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Invalid::BadMagic { magic: 0 | 1 }
            | Invalid::Truncated { .. }
            | Invalid::BadOffsets { .. }
            | Invalid::BadRecord { .. }
            // The checksum was right, so the producer itself compressed it so: sending it again would not help.
            | Invalid::BadCompression { .. }
            | Invalid::Trailing => ErrorCode::INVALID_RECORD,
            Invalid::BadMagic { .. } | Invalid::BadLength { .. } | Invalid::BadCrc { .. } => ErrorCode::CORRUPT_MESSAGE,
            Invalid::UnknownCodec { .. } => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
            Invalid::TooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
        }
    }
}

/// Why a batch is not appended, as the producer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub code: ErrorCode,
    pub message: String,
    /// Which records are at fault, by their index in the batch, where single records are.
    pub record_errors: Vec<(i32, String)>,
}

impl Rejected {
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Rejected {
        Rejected { code, message: message.into(), record_errors: Vec::new() }
    }
}

impl From<Invalid> for Rejected {
    fn from(invalid: Invalid) -> Rejected {
        Rejected::new(invalid.code(), invalid.to_string())
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Rejected {}
