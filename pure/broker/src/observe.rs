//! The figures of one shard, for metrics. Plain counters: who shows them, and how, is the shell's business.

use std::collections::BTreeMap;
use types::{ErrorCode, Offset, PartitionIndex, Text};
use wire::ApiKey;

/// Upper bounds in microseconds of the latency histogram's buckets: powers of two from 16 us to 67 s, then no bound.
pub const LATENCY_BUCKETS: usize = 24;

/// The upper bound of a bucket; `None` for the last.
#[must_use]
pub fn bucket_bound_us(bucket: usize) -> Option<u64> {
    (bucket + 1 < LATENCY_BUCKETS).then(|| 16 << bucket)
}

/// Requests of one API key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFigures {
    pub requests: u64,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub latency_us_sum: u64,
    /// Answers by latency; see `bucket_bound_us`.
    pub latency: [u64; LATENCY_BUCKETS],
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionFigures {
    pub topic: Text,
    pub partition: PartitionIndex,
    pub log_start_offset: Offset,
    pub high_watermark: Offset,
    pub log_end_offset: Offset,
    pub size_bytes: u64,
    pub offline: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupFigures {
    pub group: Text,
    pub state: &'static str,
    pub members: usize,
    /// What the group has committed; the lag is the partition's high watermark less this.
    pub committed: Vec<(Text, PartitionIndex, Offset)>,
}

/// All that one shard knows of itself at one moment.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    pub keys: BTreeMap<ApiKey, KeyFigures>,
    pub errors: BTreeMap<(ApiKey, ErrorCode), u64>,
    pub connections: usize,
    pub waiting_requests: usize,
    /// Brokers of the cluster that are alive, as far as this shard knows.
    pub brokers: usize,
    pub bytes_appended: u64,
    pub bytes_fetched: u64,
    pub telemetry_bytes: u64,
    pub partitions: Vec<PartitionFigures>,
    pub groups: Vec<GroupFigures>,
}

/// The running counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub keys: BTreeMap<ApiKey, KeyFigures>,
    pub errors: BTreeMap<(ApiKey, ErrorCode), u64>,
    pub bytes_appended: u64,
    pub bytes_fetched: u64,
    pub telemetry_bytes: u64,
}

impl Figures {
    pub fn request(&mut self, key: ApiKey, bytes: usize) {
        let figures = self.keys.entry(key).or_default();
        figures.requests += 1;
        figures.request_bytes += bytes as u64;
    }

    pub fn answered(&mut self, key: ApiKey, latency_us: u64, bytes: u64) {
        let figures = self.keys.entry(key).or_default();
        figures.response_bytes += bytes;
        figures.latency_us_sum += latency_us;
        let bucket = (64 - (latency_us >> 4).leading_zeros() as usize).min(LATENCY_BUCKETS - 1);
        figures.latency[bucket] += 1;
    }

    pub fn error(&mut self, key: ApiKey, code: ErrorCode) {
        if !code.is_ok() {
            *self.errors.entry((key, code)).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_falls_in_the_bucket_that_bounds_it() {
        let mut figures = Figures::default();
        for (latency_us, bucket) in [(0, 0), (15, 0), (16, 1), (31, 1), (32, 2), (1 << 40, LATENCY_BUCKETS - 1)] {
            figures.answered(ApiKey::Fetch, latency_us, 1);
            assert!(figures.keys[&ApiKey::Fetch].latency[bucket] > 0, "{latency_us}");
            assert!(bucket_bound_us(bucket).is_none_or(|bound| latency_us < bound));
        }
    }
}
