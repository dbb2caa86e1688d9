//! What can go wrong for who uses the client, in words that name what to look at.

use client::admin::Refused;
use client::{ErrorCode, ErrorGroup, Failure, Offset, Spot, TransactionError};
use std::fmt;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The bootstrap servers are not what they should be, before anything was tried.
    BadAddress(String),
    /// No broker could be connected to; what each address said.
    Unreachable { problems: Vec<String> },
    /// A broker does not let this client in, or the client does not trust the broker: its address, and what to change.
    Authentication(String),
    /// A broker answered, and said no.
    Refused(Refused),
    /// No answer in time; what was asked may have been done. The last trouble with a connection, if there was any.
    TimedOut { problem: Option<String> },
    /// The connection broke before the answer; what was asked may have been done.
    Disconnected { problem: Option<String> },
    /// The broker is too old, or too new, for this question.
    Unsupported,
    /// An option is not known, not valid, not acted upon or contradicts another; it says what to write instead.
    BadOption(String),
    /// A key or value cannot be made into bytes, or bytes into one.
    Serialization(String),
    /// A transaction got no further; its group says what helps.
    Transaction(TransactionError),
    /// The client, producer or consumer has ended.
    Closed,
    /// What topics are to match is no regular expression; why.
    BadPattern(String),
    /// The consumer does not read this partition.
    NotAssigned { spot: Spot },
    /// Nothing says where to begin: nothing is committed, and `auto.offset.reset` is none.
    NoOffset { spot: Spot },
    /// The partition does not have this offset any more, or not yet, and `auto.offset.reset` is none.
    OutOfRange { spot: Spot, position: Offset },
    /// What was read before this position is not in the log any more, from `diverged_at` on where that is known, and
    /// `auto.offset.reset` is none.
    Truncated { spot: Spot, position: Offset, diverged_at: Option<Offset> },
    /// What is at this position cannot be read: it is corrupt, or may not be read by this client.
    Unreadable { spot: Spot, position: Offset, code: ErrorCode },
}

impl Error {
    /// The broker's error code, where it gave one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Error::Refused(refused) => Some(refused.code),
            Error::Transaction(error) => Some(error.code),
            Error::BadAddress(_)
            | Error::BadOption(_)
            | Error::Serialization(_)
            | Error::Unreachable { .. }
            | Error::Authentication(_)
            | Error::TimedOut { .. }
            | Error::Disconnected { .. }
            | Error::Unsupported
            | Error::Closed
            | Error::BadPattern(_)
            | Error::NotAssigned { .. }
            | Error::Truncated { .. } => None,
            Error::NoOffset { .. } | Error::OutOfRange { .. } => Some(ErrorCode::OFFSET_OUT_OF_RANGE),
            Error::Unreadable { code, .. } => Some(*code),
        }
    }

    /// What helps against an error of a transaction (KIP-1050).
    #[must_use]
    pub fn group(&self) -> Option<ErrorGroup> {
        if let Error::Transaction(error) = self {
            return Some(error.group);
        }
        matches!(self, Error::TimedOut { .. } | Error::Disconnected { .. }).then_some(ErrorGroup::Retriable)
    }

    pub(crate) fn of_code(code: ErrorCode) -> Error {
        Error::Refused(Refused { code, message: None })
    }

    pub(crate) fn refused(code: ErrorCode, why: &str) -> Error {
        Error::Refused(Refused { code, message: Some(why.to_owned()) })
    }

    pub(crate) fn of_failure(failure: Failure, problem: Option<String>) -> Error {
        match failure {
            Failure::NotSent | Failure::TimedOut | Failure::Unanswered => Error::TimedOut { problem },
            Failure::Disconnected => Error::Disconnected { problem },
            Failure::Unsupported => Error::Unsupported,
            Failure::Denied => Error::Authentication(problem.unwrap_or_default()),
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        Error::Refused(refused)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::BadAddress(given) => write!(f, "`{given}` is not a list of HOST:PORT"),
            Error::Unreachable { problems } => write!(f, "no broker can be reached: {}", problems.join("; ")),
            Error::Refused(refused) => refused.fmt(f),
            Error::Transaction(error) => error.fmt(f),
            Error::TimedOut { problem: Some(problem) } => write!(f, "no answer in time ({problem})"),
            Error::TimedOut { problem: None } => f.write_str("no answer in time"),
            Error::Disconnected { problem: Some(problem) } => write!(f, "the connection broke ({problem})"),
            Error::Disconnected { problem: None } => f.write_str("the connection broke"),
            Error::Unsupported => {
                f.write_str("the broker does not know this request, or not all that it asks: it may be too old for it")
            }
            Error::BadOption(problem) | Error::Serialization(problem) | Error::Authentication(problem) => {
                f.write_str(problem)
            }
            Error::Closed => f.write_str("it is closed"),
            Error::BadPattern(why) => write!(f, "no pattern of topics: {why}"),
            Error::NotAssigned { spot: (topic, partition) } => {
                write!(f, "{topic}-{partition} is not read by this consumer: assign it, or wait for the group to do so")
            }
            Error::NoOffset { spot: (topic, partition) } => write!(
                f,
                "nothing says where to begin in {topic}-{partition}: nothing is committed, and auto.offset.reset is none; \
                 seek, or set auto.offset.reset to earliest or latest"
            ),
            Error::OutOfRange { spot: (topic, partition), position } => write!(
                f,
                "{topic}-{partition} has no offset {position}, and auto.offset.reset is none; seek to one that it has"
            ),
            Error::Truncated { spot: (topic, partition), position, diverged_at } => {
                write!(
                    f,
                    "{topic}-{partition} was cut back: what was read before offset {position} is not there any more"
                )?;
                diverged_at.map_or(Ok(()), |at| write!(f, ", from offset {at} on"))?;
                f.write_str("; seek to where to read on")
            }
            Error::Unreadable { spot: (topic, partition), position, code } => {
                write!(f, "{topic}-{partition} cannot be read at offset {position} ({code}); seek past it to go on")
            }
        }
    }
}

impl std::error::Error for Error {}
