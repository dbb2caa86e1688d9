//! The values that a topic's logs enforce: what was set for the topic, else the broker's setting beside it.

use super::definition::{Definition, Value};
use super::{Overrides, ResourceKind, Settings, Source, find};
use types::Text;

/// A broker setting beside a topic configuration, and how many of the latter's unit one of it is.
pub(super) struct Beside {
    pub name: &'static str,
    factor: i64,
}

impl Beside {
    /// In the unit of the topic configuration. A negative time means "for ever" in every unit.
    fn convert(&self, value: i64) -> i64 {
        if value < 0 && self.factor > 1 { -1 } else { value.saturating_mul(self.factor) }
    }
}

const fn same(name: &'static str) -> Beside {
    Beside { name, factor: 1 }
}
const fn minutes(name: &'static str) -> Beside {
    Beside { name, factor: 60_000 }
}
const fn hours(name: &'static str) -> Beside {
    Beside { name, factor: 3_600_000 }
}

/// Which broker settings decide where a topic configuration is not set; the first that has a value wins.
const SYNONYMS: &[(&str, &[Beside])] = &[
    ("cleanup.policy", &[same("log.cleanup.policy")]),
    ("compression.gzip.level", &[same("compression.gzip.level")]),
    ("compression.lz4.level", &[same("compression.lz4.level")]),
    ("compression.type", &[same("compression.type")]),
    ("compression.zstd.level", &[same("compression.zstd.level")]),
    ("delete.retention.ms", &[same("log.cleaner.delete.retention.ms")]),
    ("file.delete.delay.ms", &[same("log.segment.delete.delay.ms")]),
    ("flush.messages", &[same("log.flush.interval.messages")]),
    ("flush.ms", &[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")]),
    ("index.interval.bytes", &[same("log.index.interval.bytes")]),
    ("local.retention.bytes", &[same("log.local.retention.bytes")]),
    ("local.retention.ms", &[same("log.local.retention.ms")]),
    ("max.compaction.lag.ms", &[same("log.cleaner.max.compaction.lag.ms")]),
    ("max.message.bytes", &[same("message.max.bytes")]),
    ("message.timestamp.after.max.ms", &[same("log.message.timestamp.after.max.ms")]),
    ("message.timestamp.before.max.ms", &[same("log.message.timestamp.before.max.ms")]),
    ("message.timestamp.type", &[same("log.message.timestamp.type")]),
    ("min.cleanable.dirty.ratio", &[same("log.cleaner.min.cleanable.ratio")]),
    ("min.compaction.lag.ms", &[same("log.cleaner.min.compaction.lag.ms")]),
    ("min.insync.replicas", &[same("min.insync.replicas")]),
    ("preallocate", &[same("log.preallocate")]),
    ("retention.bytes", &[same("log.retention.bytes")]),
    ("retention.ms", &[same("log.retention.ms"), minutes("log.retention.minutes"), hours("log.retention.hours")]),
    ("segment.bytes", &[same("log.segment.bytes")]),
    ("segment.index.bytes", &[same("log.index.size.max.bytes")]),
    ("segment.jitter.ms", &[same("log.roll.jitter.ms"), hours("log.roll.jitter.hours")]),
    ("segment.ms", &[same("log.roll.ms"), hours("log.roll.hours")]),
    ("unclean.leader.election.enable", &[same("unclean.leader.election.enable")]),
];

pub(super) fn synonyms(topic_config: &str) -> &'static [Beside] {
    SYNONYMS.iter().find(|(name, _)| *name == topic_config).map_or(&[], |(_, beside)| beside)
}

/// The broker settings that decide where this one is not set, strongest first and itself before them.
pub(super) fn broker_synonyms(name: &'static str) -> Vec<&'static str> {
    let families = SYNONYMS.iter().map(|(_, beside)| *beside).filter(|beside| beside.len() > 1);
    let family = families.into_iter().find(|beside| beside.iter().any(|member| member.name == name));
    let names = family.unwrap_or_default().iter().map(|member| member.name).skip_while(|member| *member != name);
    std::iter::once(name).chain(names.skip(1)).collect()
}

/// The text of a topic configuration: the topic's own value, else the broker's.
pub(super) fn effective_text(settings: &Settings, set: &Overrides, definition: &Definition) -> Option<Text> {
    set.get(definition.name).cloned().or_else(|| default_text(settings, definition))
}

fn default_text(settings: &Settings, definition: &Definition) -> Option<Text> {
    let beside = synonyms(definition.name);
    if beside.is_empty() {
        return definition.default().map(Text::from_static);
    }
    beside.iter().find_map(|beside| {
        let broker = find(ResourceKind::Broker, beside.name).expect("every synonym is a broker configuration");
        let text = settings.effective_text(broker)?;
        if beside.factor == 1 {
            return Some(text);
        }
        let value = settings.optional_i64(beside.name)?;
        Some(Text::from(beside.convert(value).to_string()))
    })
}

/// Every value beside a topic configuration, strongest first: by source, then by name.
pub(super) fn values_beside(settings: &Settings, names: &[&'static str]) -> Vec<(&'static str, Source, Text)> {
    let mut found: Vec<_> = names
        .iter()
        .filter_map(|name| find(ResourceKind::Broker, name))
        .flat_map(|broker| settings.sources(broker).into_iter().map(|(source, text)| (broker.name, source, text)))
        .collect();
    found.sort_by_key(|(_, source, _)| *source);
    found
}

/// What becomes of old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    pub delete: bool,
    pub compact: bool,
}

/// How batches are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As the producer sent them.
    Producer,
    Uncompressed,
    Gzip {
        level: i32,
    },
    Snappy,
    Lz4 {
        level: i32,
    },
    Zstd {
        level: i32,
    },
}

/// A topic's configuration: each of its values beside where it is read from.
macro_rules! topic_config {
    ($(#[$about:meta])* pub struct $name:ident { $($(#[$what:meta])* pub $field:ident: $type:ty = $read:expr,)* }) => {
        $(#[$about])*
        pub struct $name {
            $($(#[$what])* pub $field: $type,)*
        }

        impl $name {
            /// The values under `settings` where `set` was set for the topic.
            #[must_use]
            pub fn effective(settings: &Settings, set: &Overrides) -> $name {
                $(let $field: fn(&Values<'_>) -> $type = $read;)*
                let values = Values { settings, set };
                $name { $($field: $field(&values),)* }
            }
        }
    };
}

topic_config! {
    /// The values that a topic's logs enforce, in milliseconds and bytes; `i64::MAX` is never, -1 is no limit.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct TopicConfig {
        pub cleanup_policy: CleanupPolicy = |values| values.cleanup_policy(),
        pub compression: Compression = |values| values.compression(),
        pub delete_retention_ms: i64 = |values| values.i64("delete.retention.ms"),
        pub file_delete_delay_ms: i64 = |values| values.i64("file.delete.delay.ms"),
        pub flush_messages: i64 = |values| values.i64("flush.messages"),
        pub flush_ms: i64 = |values| values.i64("flush.ms"),
        pub index_interval_bytes: i32 = |values| values.i32("index.interval.bytes"),
        pub max_compaction_lag_ms: i64 = |values| values.i64("max.compaction.lag.ms"),
        pub max_message_bytes: i32 = |values| values.i32("max.message.bytes"),
        pub message_timestamp_after_max_ms: i64 = |values| values.i64("message.timestamp.after.max.ms"),
        pub message_timestamp_before_max_ms: i64 = |values| values.i64("message.timestamp.before.max.ms"),
        /// LogAppendTime in place of CreateTime.
        pub log_append_time: bool = |values| values.text("message.timestamp.type") == "LogAppendTime",
        pub min_cleanable_dirty_ratio: f64 = |values| values.f64("min.cleanable.dirty.ratio"),
        pub min_compaction_lag_ms: i64 = |values| values.i64("min.compaction.lag.ms"),
        pub min_insync_replicas: i32 = |values| values.i32("min.insync.replicas"),
        pub preallocate: bool = |values| values.boolean("preallocate"),
        pub retention_bytes: i64 = |values| values.i64("retention.bytes"),
        pub retention_ms: i64 = |values| values.i64("retention.ms"),
        pub segment_bytes: i32 = |values| values.segment_bytes(),
        pub segment_index_bytes: i32 = |values| values.i32("segment.index.bytes"),
        pub segment_jitter_ms: i64 = |values| values.i64("segment.jitter.ms"),
        pub segment_ms: i64 = |values| values.i64("segment.ms"),
        pub unclean_leader_election: bool = |values| values.boolean("unclean.leader.election.enable"),
    }
}

impl TopicConfig {
    /// `effective` of this value alone.
    #[must_use]
    pub fn min_insync_replicas(settings: &Settings, set: &Overrides) -> i32 {
        Values { settings, set }.i32("min.insync.replicas")
    }

    /// `effective` of this value alone.
    #[must_use]
    pub fn unclean_leader_election(settings: &Settings, set: &Overrides) -> bool {
        Values { settings, set }.boolean("unclean.leader.election.enable")
    }
}

struct Values<'a> {
    settings: &'a Settings,
    set: &'a Overrides,
}

impl Values<'_> {
    fn optional(&self, name: &str) -> Option<Value> {
        let definition = || find(ResourceKind::Topic, name).expect("the names above are in the registry");
        // A stored value that this version finds invalid (another version wrote it) counts as not set.
        if let Some(value) = self.set.get(name).and_then(|text| definition().parse(text).ok()) {
            return Some(value);
        }
        match synonyms(name) {
            [] => definition().parse(definition().default()?).ok(),
            beside => beside.iter().find_map(|beside| match self.settings.optional(beside.name)?.clone() {
                Value::Integer(value) => Some(Value::Integer(beside.convert(value))),
                value => Some(value),
            }),
        }
    }

    fn value(&self, name: &str) -> Value {
        self.optional(name).unwrap_or_else(|| panic!("{name} may be unset"))
    }

    fn i64(&self, name: &str) -> i64 {
        *self.value(name).integer(name)
    }

    fn i32(&self, name: &str) -> i32 {
        i32::try_from(self.i64(name)).expect("asked of INT configurations alone")
    }

    fn f64(&self, name: &str) -> f64 {
        *self.value(name).real(name)
    }

    fn boolean(&self, name: &str) -> bool {
        self.optional(name) == Some(Value::Boolean(true))
    }

    fn text(&self, name: &str) -> Text {
        self.value(name).text(name).clone()
    }

    fn cleanup_policy(&self) -> CleanupPolicy {
        let policy = self.value("cleanup.policy");
        let has = |word: &str| policy.list("cleanup.policy").iter().any(|known| *known == *word);
        CleanupPolicy { delete: has("delete"), compact: has("compact") }
    }

    fn segment_bytes(&self) -> i32 {
        let internal = self.optional("internal.segment.bytes").is_some();
        self.i32(if internal { "internal.segment.bytes" } else { "segment.bytes" })
    }

    fn compression(&self) -> Compression {
        match self.text("compression.type").as_str() {
            "uncompressed" => Compression::Uncompressed,
            "gzip" => Compression::Gzip { level: self.i32("compression.gzip.level") },
            "snappy" => Compression::Snappy,
            "lz4" => Compression::Lz4 { level: self.i32("compression.lz4.level") },
            "zstd" => Compression::Zstd { level: self.i32("compression.zstd.level") },
            _ => Compression::Producer,
        }
    }
}
