//! What an administrator can ask: a question knows its request and how to read the answer.
//!
//! Must never know to whom a question goes or whether it is asked again.

use crate::Spot;
use std::collections::BTreeMap;
use types::{ErrorCode, PartitionIndex, Text};
use wire::{Request, Response};

/// One request to one broker, and the meaning of its response.
pub trait Question {
    type Answer;
    fn request(&self) -> Request;
    /// Reads the response to `request`.
    fn read(&self, response: Response) -> Result<Self::Answer, Refused>;
}

/// An answer that says no more than whether it is done: all of it, or of the one thing that is in its list.
macro_rules! done {
    ($response:ident $(, $list:ident)?) => {
        type Answer = ();

        fn read(&self, response: Response) -> Result<(), Refused> {
            let Response::$response(response) = response else { return Err(Refused::foreign()) };
            let known = &response;
            $(let known = known.$list.first().ok_or_else(Refused::foreign)?;)?
            Refused::check(known.error_code, known.error_message.as_ref())
        }
    };
}
pub(super) use done;

/// What became of each partition that was asked about.
pub type Each<T> = Vec<(Spot, Result<T, Refused>)>;

/// What an answer says of each partition, by the names of its fields: the topics, and in each of them its name, its
/// partitions and their numbers.
macro_rules! each {
    ($topics:expr, $name:ident, $partitions:ident, $index:ident, |$known:ident| $said:expr) => {{
        let mut each = Vec::new();
        for topic in &$topics {
            each.extend(topic.$partitions.iter().map(|$known| (spot(&topic.$name, $known.$index), $said)));
        }
        each
    }};
}
pub(super) use each;

/// What is said of partitions by topic, as requests list them.
pub(crate) fn by_topic<'a, P>(
    partitions: impl IntoIterator<Item = (&'a Text, P)>,
) -> impl Iterator<Item = (Text, Vec<P>)> {
    let mut topics: BTreeMap<&Text, Vec<P>> = BTreeMap::new();
    for (name, partition) in partitions {
        topics.entry(name).or_default().push(partition);
    }
    topics.into_iter().map(|(name, partitions)| (name.clone(), partitions))
}

/// As `by_topic`, where the numbers of the partitions are all there is to say.
pub(crate) fn indexes_by_topic<'a>(
    spots: impl IntoIterator<Item = &'a Spot>,
) -> impl Iterator<Item = (Text, Vec<i32>)> {
    by_topic(spots.into_iter().map(|(name, partition)| (name, partition.0)))
}

/// A partition as a response names it.
pub(crate) fn spot(topic: &Text, partition: i32) -> Spot {
    (topic.detached(), PartitionIndex(partition))
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
                | ErrorCode::STALE_MEMBER_EPOCH
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
