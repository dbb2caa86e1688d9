//! Groups as metrics see them.

use super::Coordinator;
use super::state::Group;
use types::{Offset, PartitionIndex, Text};

/// One group at one moment.
#[derive(Clone, Copy)]
pub struct GroupView<'a> {
    group: &'a Group,
}

impl<'a> GroupView<'a> {
    #[must_use]
    pub fn id(&self) -> &'a Text {
        &self.group.id
    }

    #[must_use]
    pub fn state(&self) -> &'static str {
        self.group.state().name()
    }

    #[must_use]
    pub fn members(&self) -> usize {
        self.group.members().len()
    }

    /// What it has committed.
    pub fn committed(&self) -> impl Iterator<Item = (&'a Text, PartitionIndex, Offset)> {
        let group = self.group;
        group.offsets.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(index, committed)| (topic, *index, committed.offset))
        })
    }
}

impl Coordinator {
    /// All groups, for metrics.
    pub fn views(&self) -> impl Iterator<Item = GroupView<'_>> {
        self.groups.values().map(|group| GroupView { group })
    }
}
