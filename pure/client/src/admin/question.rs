//! What an administrator can ask: a question knows its request and how to read the answer.
//!
//! Must never know to whom a question goes or whether it is asked again.

use types::{ErrorCode, Text};
use wire::{Request, Response};

/// One request to one broker, and the meaning of its response.
pub trait Question {
    type Answer;
    fn request(&self) -> Request;
    /// Reads the response to `request`.
    fn read(&self, response: Response) -> Result<Self::Answer, Refused>;
}

/// A broker's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub code: ErrorCode,
    /// What the broker said about it.
    pub message: Option<String>,
}

impl Refused {
    /// The response is one to another request: never for what `Admin` gives back.
    pub(super) fn foreign() -> Refused {
        Refused { code: ErrorCode::UNKNOWN_SERVER_ERROR, message: Some("the response is of another kind".to_owned()) }
    }

    pub(super) fn check(code: ErrorCode, message: Option<&Text>) -> Result<(), Refused> {
        if code.is_ok() { Ok(()) } else { Err(Refused { code, message: message.map(Text::to_string) }) }
    }

    /// Whether the same question may be answered a moment later, or by another broker.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self.code,
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
                | ErrorCode::COORDINATOR_NOT_AVAILABLE
                | ErrorCode::NOT_COORDINATOR
                | ErrorCode::NOT_CONTROLLER
                | ErrorCode::NOT_LEADER_OR_FOLLOWER
                | ErrorCode::LEADER_NOT_AVAILABLE
                | ErrorCode::FENCED_LEADER_EPOCH
                | ErrorCode::UNKNOWN_LEADER_EPOCH
                | ErrorCode::OFFSET_NOT_AVAILABLE
        )
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{message} ({})", self.code),
            None => write!(f, "{}", self.code),
        }
    }
}
