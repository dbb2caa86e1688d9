//! The end of offsets by their retention (KIP-211), and of groups that have neither offsets nor members.

use super::state::{Group, State};
use super::{Config, Record, Step, Timer, records};
use std::collections::BTreeMap;
use std::ops::Bound;
use types::{Text, Timestamp};

/// Records that one look for expired offsets writes at most, unless one group alone has more.
const EXPIRED_RECORDS_MAX: usize = 1_000;
/// Groups that one look for expired offsets visits before other work goes on.
const EXPIRY_GROUPS_MAX: usize = 500;

/// Visits groups from where the last look ended; ends offsets, and groups that have neither offsets nor members.
pub(super) fn expire(groups: &BTreeMap<Text, Group>, step: &mut Step, until: &mut Option<Text>) {
    let from = until.take().map_or(Bound::Unbounded, Bound::Excluded);
    for (visited, (id, group)) in groups.range((from, Bound::Unbounded)).enumerate() {
        if visited >= EXPIRY_GROUPS_MAX || step.out.records.len() >= EXPIRED_RECORDS_MAX {
            return step.timers.set(Timer::Retention, step.now.at);
        }
        let has_none_left = group.expire_offsets(step.config, step.now.wall, &mut step.out.records);
        if has_none_left && group.state() == State::Empty && group.pending.is_empty() {
            step.note(id, "it has neither members nor offsets and is deleted".to_owned());
            step.out.records.push(records::group_tombstone(id));
        }
        *until = Some(id.clone());
    }
    *until = None;
    step.timers.set(Timer::Retention, step.now.at.plus_ms(step.config.offsets_retention_check_interval_ms));
}

impl Group {
    /// Tombstones of what its retention has ended for; true where no offset is left after that.
    pub fn expire_offsets(&self, config: &Config, now: Timestamp, into: &mut Vec<Record>) -> bool {
        let is_simple = self.protocol_type.is_none();
        let is_empty = self.state() == State::Empty;
        let is_known = self.state() == State::Stable && self.uses_consumer_protocol() && self.subscribed.is_some();
        if !is_simple && !is_empty && !is_known {
            return self.offsets.is_empty();
        }
        // The retention of a group that had members begins when the last one is gone.
        let emptied_at = self.since.filter(|_| !is_simple && is_empty);
        self.delete_offsets_where(into, |topic, committed| {
            let from = emptied_at.unwrap_or(committed.committed_at);
            let until = committed.expires_at.unwrap_or(Timestamp(from.0.saturating_add(config.offsets_retention_ms)));
            now >= until && !self.is_subscribed(topic)
        })
    }
}
