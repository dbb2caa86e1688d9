//! A refusal that goes back to the client who asked.

use types::ErrorCode;

/// Kafka's error code, and a sentence that says what to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub code: ErrorCode,
    pub message: String,
}

impl Refused {
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Refused {
        Refused { code, message: message.into() }
    }
}
