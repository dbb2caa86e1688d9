//! DescribeLogDirs 1 to 5: how much each partition takes in each log directory, and how much room there is.
//!
//! 2 is flexible, 3 has an error for the whole (KIP-784), 4 the sizes of the volume (KIP-827), 5 says whether a
//! directory is cordoned.

use super::{Disk, Outcome, Request, Shard, Step, Work};
use crate::directories::directory_error;
use std::collections::{BTreeMap, BTreeSet};
use types::{PartitionIndex, ShardId, Text};
use wire::describe_log_dirs_response::{DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic};
use wire::{DescribeLogDirsRequest, DescribeLogDirsResponse};

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: DescribeLogDirsRequest) -> Step<D> {
    let wanted: Option<BTreeSet<(Text, PartitionIndex)>> = asked.topics.map(|topics| {
        let pairs = topics.into_iter().flat_map(|topic| {
            let name = topic.topic;
            topic.partitions.into_iter().map(move |index| (name.clone(), PartitionIndex(index)))
        });
        pairs.collect()
    });
    let works = (0..shard.node.shards).map(|number| Work::Sizes { shard: ShardId(number) }).collect();
    Step::all(works, move |shard, outcomes| {
        let mut found: BTreeMap<usize, Topics> = BTreeMap::new();
        let sizes = outcomes.into_iter().filter_map(|outcome| match outcome {
            Outcome::Sizes(sizes) => Some(sizes),
            _ => None,
        });
        for size in sizes.flatten() {
            if wanted.as_ref().is_none_or(|wanted| wanted.contains(&(size.topic.clone(), size.partition))) {
                let topics = found.entry(size.directory).or_default();
                topics.entry(size.topic).or_default().push(DescribeLogDirsPartition {
                    partition_index: size.partition.0,
                    partition_size: i64::try_from(size.size_bytes).unwrap_or(i64::MAX),
                    offset_lag: size.lag,
                    is_future_key: size.is_future,
                    ..Default::default()
                });
            }
        }
        let all = 0..shard.directories.len();
        let results = all.map(|directory| result(shard, directory, found.remove(&directory).unwrap_or_default()));
        request.reply(&DescribeLogDirsResponse { results: results.collect(), ..Default::default() })
    })
}

type Topics = BTreeMap<Text, Vec<DescribeLogDirsPartition>>;

fn result<D: Disk>(shard: &Shard<D>, directory: usize, topics: Topics) -> DescribeLogDirsResult {
    let log_dir = shard.directories[directory].path.clone();
    let error_code = directory_error(shard, directory);
    if !error_code.is_ok() {
        return DescribeLogDirsResult { error_code, log_dir, total_bytes: -1, usable_bytes: -1, ..Default::default() };
    }
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let space = shard.disk(directory).space().ok();
    let topic = |(name, partitions)| DescribeLogDirsTopic { name, partitions, ..Default::default() };
    DescribeLogDirsResult {
        log_dir,
        topics: topics.into_iter().map(topic).collect(),
        total_bytes: space.map_or(-1, |space| bytes(space.total_bytes)),
        usable_bytes: space.map_or(-1, |space| bytes(space.usable_bytes)),
        ..Default::default()
    }
}
