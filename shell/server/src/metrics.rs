//! The figures of all shards as text for Prometheus. Knows names and units; what is counted, the core decides.

use broker::types::{Offset, PartitionIndex, Text};
use broker::{GroupFigures, KeyFigures, Observation, bucket_bound_us};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;

/// What is told beside the figures of the shards.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Bytes held by requests and by answers that wait for slow readers.
    pub request_memory_bytes: usize,
}

/// All figures in the text format of OpenMetrics.
#[must_use]
pub fn text(shards: Vec<Observation>, process: Process) -> String {
    let mut registry = Registry::with_prefix("vltava");
    registry.register_collector(Box::new(Figures { shards, process }));
    let mut page = String::new();
    text::encode(&mut page, &registry).expect("writing to a string does not fail");
    page
}

#[derive(Debug)]
struct Figures {
    shards: Vec<Observation>,
    process: Process,
}

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page { encoder };
        self.requests(&mut page)?;
        self.totals(&mut page)?;
        self.partitions(&mut page)?;
        self.groups(&mut page)
    }
}

type Labels<'a, const N: usize> = [(&'a str, String); N];

/// Writes one metric after the other.
struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Page<'_> {
    /// One number for each set of labels.
    fn family<const N: usize>(
        &mut self,
        (name, help, kind): (&str, &str, MetricType),
        values: impl Iterator<Item = (Labels<'static, N>, u64)>,
    ) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            write(&mut metric.encode_family(&labels)?, kind, value)?;
        }
        Ok(())
    }

    fn single(&mut self, (name, help, kind): (&str, &str, MetricType), value: u64) -> fmt::Result {
        write(&mut self.encoder.encode_descriptor(name, help, None, kind)?, kind, value)
    }
}

fn write(metric: &mut MetricEncoder<'_>, kind: MetricType, value: u64) -> fmt::Result {
    match kind {
        MetricType::Counter => metric.encode_counter::<Labels<'_, 0>, _, u64>(&value, None),
        _ => metric.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX)),
    }
}

const COUNTER: MetricType = MetricType::Counter;
const GAUGE: MetricType = MetricType::Gauge;

impl Figures {
    fn sum(&self, figure: impl Fn(&Observation) -> u64) -> u64 {
        self.shards.iter().map(figure).sum()
    }

    fn requests(&self, page: &mut Page<'_>) -> fmt::Result {
        let mut keys: BTreeMap<String, KeyFigures> = BTreeMap::new();
        for (key, figures) in self.shards.iter().flat_map(|shard| &shard.keys) {
            add(keys.entry(key.to_string()).or_default(), figures);
        }
        let each = |figure: fn(&KeyFigures) -> u64| {
            let labelled = move |(key, figures): (&String, &KeyFigures)| ([("api", key.clone())], figure(figures));
            keys.iter().map(labelled)
        };
        page.family(("requests", "Requests received", COUNTER), each(|key| key.requests))?;
        page.family(("request_bytes", "Bytes of requests received", COUNTER), each(|key| key.request_bytes))?;
        page.family(("response_bytes", "Bytes of responses sent", COUNTER), each(|key| key.response_bytes))?;
        let mut errors: BTreeMap<(String, String), u64> = BTreeMap::new();
        for ((key, code), count) in self.shards.iter().flat_map(|shard| &shard.errors) {
            *errors.entry((key.to_string(), format!("{code:?}"))).or_default() += count;
        }
        let errors = errors.into_iter().map(|((api, error), count)| ([("api", api), ("error", error)], count));
        page.family(("request_errors", "Error codes in responses", COUNTER), errors)?;
        let help = "Time from a request's arrival to its response";
        let mut metric =
            page.encoder.encode_descriptor("request_duration_seconds", help, None, MetricType::Histogram)?;
        for (key, figures) in &keys {
            let buckets: Vec<(f64, u64)> = figures.latency.iter().enumerate().map(bucket).collect();
            let count = figures.latency.iter().sum();
            let labels = [("api", key.as_str())];
            let mut one = metric.encode_family(&labels)?;
            one.encode_histogram::<Labels<'_, 0>>(seconds(figures.latency_us_sum), count, &buckets, None)?;
        }
        Ok(())
    }

    fn totals(&self, page: &mut Page<'_>) -> fmt::Result {
        let appended = self.sum(|shard| shard.bytes_appended);
        page.single(("appended_bytes", "Bytes of batches appended to logs", COUNTER), appended)?;
        let fetched = self.sum(|shard| shard.bytes_fetched);
        page.single(("fetched_bytes", "Bytes of batches sent to consumers", COUNTER), fetched)?;
        let telemetry = self.sum(|shard| shard.telemetry_bytes);
        page.single(("client_telemetry_bytes", "Bytes of metrics pushed by clients", COUNTER), telemetry)?;
        let connections = self.sum(|shard| shard.connections as u64);
        page.single(("connections", "Open connections", GAUGE), connections)?;
        let waiting = self.sum(|shard| shard.waiting_requests as u64);
        page.single(("waiting_requests", "Requests that wait for their answer", GAUGE), waiting)?;
        let brokers = self.shards.first().map_or(0, |shard| shard.brokers as u64);
        page.single(("brokers_alive", "Brokers of the cluster that are alive, as this one knows it", GAUGE), brokers)?;
        let held = self.process.request_memory_bytes as u64;
        page.single(("request_memory_bytes", "Bytes held by requests and unsent responses", GAUGE), held)
    }

    fn partitions(&self, page: &mut Page<'_>) -> fmt::Result {
        let each = |figure: fn(&broker::PartitionFigures) -> u64| {
            let all = self.shards.iter().flat_map(|shard| &shard.partitions);
            all.map(move |partition| (of_partition(&partition.topic, partition.partition), figure(partition)))
        };
        page.family(("log_size_bytes", "Bytes of the log", GAUGE), each(|one| one.size_bytes))?;
        page.family(("log_start_offset", "First offset of the log", GAUGE), each(|one| number(one.log_start_offset)))?;
        page.family(("log_end_offset", "Next offset of the log", GAUGE), each(|one| number(one.log_end_offset)))?;
        page.family(("high_watermark", "First uncommitted offset", GAUGE), each(|one| number(one.high_watermark)))?;
        page.family(("partition_offline", "1 where the log cannot be used", GAUGE), each(|one| one.offline.into()))
    }

    fn groups(&self, page: &mut Page<'_>) -> fmt::Result {
        let groups = || self.shards.iter().flat_map(|shard| &shard.groups);
        let of_group = |group: &GroupFigures| [("group", group.group.to_string()), ("state", group.state.to_owned())];
        let members = groups().map(|group| (of_group(group), group.members as u64));
        page.family(("group_members", "Members of the group, with its state", GAUGE), members)?;
        let partitions = self.shards.iter().flat_map(|shard| &shard.partitions);
        let ends: BTreeMap<(&Text, PartitionIndex), Offset> =
            partitions.map(|one| ((&one.topic, one.partition), one.high_watermark)).collect();
        let lags = groups().flat_map(|group| {
            group.committed.iter().filter_map(|(topic, partition, committed)| {
                let lag = number(*ends.get(&(topic, *partition))?).saturating_sub(number(*committed));
                let [topic, partition] = of_partition(topic, *partition);
                Some(([("group", group.group.to_string()), topic, partition], lag))
            })
        });
        page.family(("group_lag", "Records committed by producers and not yet by the group", GAUGE), lags)
    }
}

fn of_partition(topic: &Text, partition: PartitionIndex) -> Labels<'static, 2> {
    [("topic", topic.to_string()), ("partition", partition.to_string())]
}

fn number(offset: Offset) -> u64 {
    u64::try_from(offset.0).unwrap_or(0)
}

fn add(sum: &mut KeyFigures, one: &KeyFigures) {
    sum.requests += one.requests;
    sum.request_bytes += one.request_bytes;
    sum.response_bytes += one.response_bytes;
    sum.latency_us_sum += one.latency_us_sum;
    for (sum, one) in sum.latency.iter_mut().zip(one.latency) {
        *sum += one;
    }
}

fn bucket((index, count): (usize, &u64)) -> (f64, u64) {
    (bucket_bound_us(index).map_or(f64::MAX, seconds), *count)
}

#[expect(clippy::cast_precision_loss, reason = "a metric needs no more digits than a float has")]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_shards_add_up() {
        let mut one = Observation { connections: 2, ..Observation::default() };
        let topic = Text::from("orders");
        one.partitions.push(broker::PartitionFigures {
            topic: topic.clone(),
            high_watermark: Offset(10),
            ..broker::PartitionFigures::default()
        });
        let mut other = Observation { connections: 1, ..Observation::default() };
        other.groups.push(GroupFigures {
            group: Text::from("billing"),
            state: "Stable",
            members: 3,
            committed: vec![(topic, PartitionIndex(0), Offset(4))],
        });
        let page = text(vec![one, other], Process { request_memory_bytes: 7 });
        for line in [
            "vltava_connections 3",
            "vltava_high_watermark{topic=\"orders\",partition=\"0\"} 10",
            "vltava_group_members{group=\"billing\",state=\"Stable\"} 3",
            "vltava_group_lag{group=\"billing\",topic=\"orders\",partition=\"0\"} 6",
            "vltava_request_memory_bytes 7",
        ] {
            assert!(page.lines().any(|known| known == line), "{line} is missing in\n{page}");
        }
    }
}
