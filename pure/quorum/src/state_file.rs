//! The file `quorum-state`: the epoch that the node is in, whom it voted for there, and who leads. Kafka's JSON, version 1.
//! What it says is durable before anybody hears of it, so that no node votes twice in an epoch.

use crate::message::ReplicaKey;
use log::{Disk, ErrorKind};
use types::{LeaderEpoch, NodeId, Uuid};

const NAME: &str = "quorum-state";
const BYTES_MAX: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    pub epoch: LeaderEpoch,
    pub voted: Option<ReplicaKey>,
    pub leader: Option<NodeId>,
}

impl Saved {
    pub const NEW: Saved = Saved { epoch: LeaderEpoch(0), voted: None, leader: None };

    fn encode(&self) -> String {
        let id = |node: Option<NodeId>| node.map_or(-1, |node| node.0);
        let directory = self.voted.map_or(Uuid::ZERO, |voted| voted.directory);
        format!(
            r#"{{"leaderId":{},"leaderEpoch":{},"votedId":{},"votedDirectoryId":"{directory}","data_version":1}}"#,
            id(self.leader),
            self.epoch,
            id(self.voted.map(|voted| voted.id)),
        )
    }

    fn decode(text: &str) -> Option<Saved> {
        let version: i32 = number(text, "data_version")?;
        if !(0..=1).contains(&version) {
            return None;
        }
        let node = |name| Some(Some(NodeId(number(text, name)?)).filter(|node| node.0 >= 0));
        let directory = match version {
            0 => Uuid::ZERO,
            _ => Uuid::parse(value(text, "votedDirectoryId")?.strip_prefix('"')?.get(..22)?)?,
        };
        Some(Saved {
            epoch: LeaderEpoch(number(text, "leaderEpoch")?),
            voted: node("votedId")?.map(|id| ReplicaKey { id, directory }),
            leader: node("leaderId")?,
        })
    }
}

/// What stands behind a key. The file is flat and names no key twice.
fn value<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, after) = text.split_once(&format!("\"{name}\""))?;
    Some(after.trim_start().strip_prefix(':')?.trim_start())
}

fn number(text: &str, name: &str) -> Option<i32> {
    let value = value(text, name)?;
    value[..value.find([',', '}'])?].trim().parse().ok()
}

pub(crate) fn load<D: Disk>(disk: &D, folder: &str) -> Result<Saved, String> {
    let path = format!("{folder}/{NAME}");
    match disk.read_small(&path, BYTES_MAX) {
        Ok(bytes) => std::str::from_utf8(&bytes).ok().and_then(Saved::decode).ok_or_else(|| {
            format!(
                "{} does not say which epoch this node voted in. Remove the node from the quorum and start it with an \
                 empty folder.",
                disk.describe(&path)
            )
        }),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(Saved::NEW),
        Err(error) => Err(error.to_string()),
    }
}

pub(crate) fn store<D: Disk>(disk: &D, folder: &str, saved: &Saved) -> Result<(), String> {
    let path = format!("{folder}/{NAME}");
    disk.write_small(&path, saved.encode().as_bytes(), true).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_kafkas() {
        let voted = Some(ReplicaKey { id: NodeId(3), directory: Uuid([1; 16]) });
        let saved = Saved { epoch: LeaderEpoch(7), voted, leader: None };
        let text = saved.encode();
        assert_eq!(
            text,
            r#"{"leaderId":-1,"leaderEpoch":7,"votedId":3,"votedDirectoryId":"AQEBAQEBAQEBAQEBAQEBAQ","data_version":1}"#
        );
        assert_eq!(Saved::decode(&text), Some(saved));
        let old = r#"{"clusterId":"","leaderId":2,"leaderEpoch":5,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":1}],"data_version":0}"#;
        assert_eq!(Saved::decode(old), Some(Saved { epoch: LeaderEpoch(5), voted: None, leader: Some(NodeId(2)) }));
        assert_eq!(Saved::decode(&text[..40]), None);
    }
}
