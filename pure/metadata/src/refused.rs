//! A refusal that goes back to the client who asked.

use types::ErrorCode;

/// Longest message in bytes: it may quote what the client sent, and old versions of answers cannot carry more than
/// 32 KiB.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Kafka's error code, and a sentence that says what to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub code: ErrorCode,
    pub message: String,
}

/// Says no: `refuse!(INVALID_REQUEST, "why, with {values}")`.
macro_rules! refuse {
    ($code:ident, $($message:tt)+) => {
        Err($crate::Refused::new(types::ErrorCode::$code, format_args!($($message)+).to_string()))
    };
}
pub(crate) use refuse;

impl Refused {
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Refused {
        let mut message = message.into();
        if message.len() > MESSAGE_BYTES_MAX {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
            message.push_str("...");
        }
        Refused { code, message }
    }
}
