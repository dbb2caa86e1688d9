//! Names of topics: what they may be, and which are internal.

use crate::Refused;
use types::limits::TOPIC_NAME_BYTES_MAX;
use types::{ErrorCode, Text};

/// The topic of committed offsets and of groups.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// The topic of transactions.
pub const TRANSACTION_STATE: &str = "__transaction_state";
/// The topic of share groups' state.
pub const SHARE_GROUP_STATE: &str = "__share_group_state";
/// The metadata log, which is not a topic that clients may touch.
pub const CLUSTER_METADATA: &str = "__cluster_metadata";

/// Whether the cluster keeps its own records in this topic.
#[must_use]
pub fn is_internal(topic: &str) -> bool {
    [CONSUMER_OFFSETS, TRANSACTION_STATE, SHARE_GROUP_STATE].contains(&topic)
}

/// Checks a topic's name by Kafka's rules.
pub fn validate_topic(name: &str) -> Result<(), Refused> {
    let problem = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if name == "." || name == ".." {
        format!("'{name}' is not allowed")
    } else if name.len() > TOPIC_NAME_BYTES_MAX {
        format!("the length of '{name}' is longer than the max allowed length {TOPIC_NAME_BYTES_MAX}")
    } else if !name.bytes().all(|symbol| symbol.is_ascii_alphanumeric() || b"._-".contains(&symbol)) {
        format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
    } else {
        return Ok(());
    };
    Err(Refused::new(ErrorCode::INVALID_TOPIC_EXCEPTION, format!("Topic name is invalid: {problem}")))
}

/// What a topic is called in metrics, where a dot and an underscore are the same. Two topics of one such name collide.
/// None where the name holds neither.
#[must_use]
pub(crate) fn collision_key(name: &str) -> Option<Text> {
    name.contains(['.', '_']).then(|| Text::from(name.replace('.', "_")))
}
