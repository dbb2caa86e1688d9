//! CreateTopics, and the topics that are created because a client asked for them.

use super::{CreatedTopic, NewTopic, config_changes, repeated};
use crate::Refused;
use crate::config::{Overrides, Resource, Settings, replace, topic_entries};
use crate::generated::{Record, TopicRecord};
use crate::image::{Image, Partition};
use crate::names::{self, collision_key};
use crate::placement::{new_partition, place};
use crate::refused::refuse;
use crate::snapshot::partition_record;
use std::collections::{BTreeMap, BTreeSet};
use types::limits::{PARTITIONS_PER_TOPIC_MAX, TOPICS_PER_REQUEST_MAX};
use types::{ErrorCode, NodeId, PartitionIndex, Rng, Text, TopicId};

type Created = Vec<(Text, Result<CreatedTopic, Refused>)>;

pub(super) fn create(image: &Image, settings: &Settings, topics: &[NewTopic], rng: &mut Rng) -> (Vec<Record>, Created) {
    let mut batch = Batch {
        image,
        settings,
        repeated: repeated(topics.iter().map(|topic| &topic.name)),
        taken: BTreeMap::new(),
        room: Room::default(),
        records: Vec::new(),
    };
    let mut answered = BTreeSet::new();
    let mut created = Created::new();
    for topic in topics.iter().filter(|topic| answered.insert(&topic.name)) {
        let result = if topics.len() > TOPICS_PER_REQUEST_MAX {
            refuse!(POLICY_VIOLATION, "A request may name {TOPICS_PER_REQUEST_MAX} topics at most.")
        } else {
            batch.add(topic, rng)
        };
        created.push((topic.name.clone(), result));
    }
    (batch.records, created)
}

/// An internal topic of as many replicas as asked for, where there are or are to be brokers for them: one node must
/// work without a setting, and a cluster of three that is just starting must not begin with a topic on one.
pub(super) fn auto(image: &Image, settings: &Settings, name: &Text, voters: usize) -> NewTopic {
    let defaults = NewTopic { name: name.clone(), partitions: -1, replication_factor: -1, ..NewTopic::default() };
    let Some(shape) = internal(settings, name) else {
        return defaults;
    };
    let brokers = i64::try_from(image.brokers().count().max(voters)).unwrap_or(i64::MAX).max(1);
    let replicas = settings.i64(shape.replication_factor).min(brokers);
    NewTopic {
        partitions: i32::try_from(settings.i64(shape.partitions)).expect("an INT configuration"),
        replication_factor: i16::try_from(replicas).expect("a SHORT configuration"),
        configs: shape.configs.into_iter().map(|(name, value)| (Text::from_static(name), Some(value))).collect(),
        living_only: true,
        ..defaults
    }
}

/// How an internal topic is made.
struct Internal {
    /// Names of settings.
    partitions: &'static str,
    replication_factor: &'static str,
    configs: Vec<(&'static str, Text)>,
}

fn internal(settings: &Settings, name: &Text) -> Option<Internal> {
    // Kafka allows smaller segments here than for other topics; our own must pass the same validation.
    let segment_bytes = |name: &str| Text::from(settings.i64(name).max(1 << 20).to_string());
    if *name == names::CONSUMER_OFFSETS {
        let codec = match settings.i64("offsets.topic.compression.codec") {
            1 => "gzip",
            2 => "snappy",
            3 => "lz4",
            4 => "zstd",
            _ => "producer",
        };
        return Some(Internal {
            partitions: "offsets.topic.num.partitions",
            replication_factor: "offsets.topic.replication.factor",
            configs: vec![
                ("cleanup.policy", Text::from_static("compact")),
                ("compression.type", Text::from_static(codec)),
                ("segment.bytes", segment_bytes("offsets.topic.segment.bytes")),
            ],
        });
    }
    None
}

/// The configurations that a new topic is to have; where one is named twice, its last value counts.
fn given_configs(topic: &NewTopic) -> Result<Vec<(Text, Option<Text>)>, Refused> {
    let mut given = BTreeMap::new();
    for (name, value) in &topic.configs {
        if value.is_none() {
            return refuse!(INVALID_CONFIG, "Null value not supported for topic configs: {name}");
        }
        given.insert(name.clone(), value.clone());
    }
    Ok(given.into_iter().collect())
}

/// The topics of one request, each decided in the light of those before it.
struct Batch<'a> {
    image: &'a Image,
    settings: &'a Settings,
    repeated: BTreeSet<&'a Text>,
    /// The topics that this request creates, by their collision keys.
    taken: BTreeMap<Text, Text>,
    room: Room,
    records: Vec<Record>,
}

impl Batch<'_> {
    fn add(&mut self, topic: &NewTopic, rng: &mut Rng) -> Result<CreatedTopic, Refused> {
        if self.repeated.contains(&topic.name) {
            return refuse!(INVALID_REQUEST, "Duplicate topic name.");
        }
        self.check_name(&topic.name)?;
        let resource = Resource::topic(topic.name.detached());
        let set = replace(self.settings, &resource, &given_configs(topic)?)?;
        let partitions = if topic.assignments.is_empty() { self.automatic(topic, rng)? } else { self.manual(topic)? };
        let replicas = partitions.first().map_or(0, |partition| partition.replicas.len());
        let created = CreatedTopic {
            id: self.new_id(rng),
            partitions: i32::try_from(partitions.len()).expect("at most PARTITIONS_PER_TOPIC_MAX"),
            replication_factor: i16::try_from(replicas).unwrap_or(i16::MAX),
            configs: topic_entries(self.settings, &set),
        };
        let head = TopicRecord { name: resource.name.clone(), topic_id: created.id, ..Default::default() };
        self.records.push(Record::Topic(head));
        self.records.extend(config_changes(&resource, &Overrides::new(), &set));
        let numbered = (0..).zip(&partitions);
        self.records.extend(numbered.map(|(index, partition)| partition_record(created.id, index, partition)));
        self.taken.extend(collision_key(&topic.name).map(|key| (key, topic.name.clone())));
        Ok(created)
    }

    fn check_name(&self, name: &Text) -> Result<(), Refused> {
        if *name == names::CLUSTER_METADATA {
            return refuse!(INVALID_REQUEST, "Creation of internal topic {name} is prohibited.");
        }
        names::validate_topic(name)?;
        if self.image.topic_by_name(name).is_some() {
            return refuse!(TOPIC_ALREADY_EXISTS, "Topic '{name}' already exists.");
        }
        let taken = || self.taken.get(&collision_key(name)?);
        if let Some(existing) = self.image.colliding_topic(name).or_else(taken) {
            return refuse!(INVALID_TOPIC_EXCEPTION, "Topic '{name}' collides with existing topic: {existing}");
        }
        Ok(())
    }

    fn new_id(&self, rng: &mut Rng) -> TopicId {
        loop {
            let id = TopicId::random(rng);
            if self.image.topic(id).is_none() {
                return id;
            }
        }
    }

    fn automatic(&mut self, topic: &NewTopic, rng: &mut Rng) -> Result<Vec<Partition>, Refused> {
        let replication_factor = match topic.replication_factor {
            -1 => i16::try_from(self.settings.i64("default.replication.factor")).unwrap_or(i16::MAX),
            given if given > 0 => given,
            _ => {
                let message = "Replication factor must be larger than 0, or -1 to use the default value.";
                return Err(Refused::new(ErrorCode::INVALID_REPLICATION_FACTOR, message));
            }
        };
        let count = match topic.partitions {
            -1 => i32::try_from(self.settings.i64("num.partitions")).expect("an INT configuration"),
            given if given > 0 => given,
            _ => {
                return refuse!(INVALID_PARTITIONS, "Number of partitions was set to an invalid non-positive value.");
            }
        };
        self.room.take(count, count)?;
        let placed = place(self.image, count, replication_factor, topic.living_only, rng)?;
        let partitions = placed.into_iter().map(|replicas| new_partition(self.image, replicas));
        Ok(partitions.map(|partition| partition.expect("each is given a living broker")).collect())
    }

    fn manual(&mut self, topic: &NewTopic) -> Result<Vec<Partition>, Refused> {
        for (is_default, name) in
            [(topic.replication_factor == -1, "replication factor"), (topic.partitions == -1, "numPartitions")]
        {
            if !is_default {
                let message = format!("A manual partition assignment was specified, but {name} was not set to -1.");
                return Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
            }
        }
        let mut assigned: BTreeMap<PartitionIndex, Partition> = BTreeMap::new();
        let mut replicas_of_first = None;
        for (index, replicas) in &topic.assignments {
            let replicas_expected = *replicas_of_first.get_or_insert(replicas.len());
            let partition = assign(self.image, *index, replicas, replicas_expected)?;
            if assigned.insert(*index, partition).is_some() {
                let message = format!("Found multiple manual partition assignments for partition {index}");
                return Err(Refused::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
            }
        }
        let count = i32::try_from(assigned.len()).unwrap_or(i32::MAX);
        self.room.take(count, count)?;
        if !assigned.keys().map(|index| index.0).eq(0..count) {
            return refuse!(INVALID_REPLICA_ASSIGNMENT, "partitions should be a consecutive 0-based integer sequence");
        }
        Ok(assigned.into_values().collect())
    }
}

/// How many more partitions a request may create. What is too much is refused before anything is reserved for it.
pub(super) struct Room(i32);

impl Default for Room {
    fn default() -> Room {
        Room(PARTITIONS_PER_TOPIC_MAX)
    }
}

impl Room {
    /// Takes room for `added` partitions of a topic that will have `total`.
    pub(super) fn take(&mut self, total: i32, added: i32) -> Result<(), Refused> {
        if total > PARTITIONS_PER_TOPIC_MAX {
            let message = format!("A topic may have {PARTITIONS_PER_TOPIC_MAX} partitions at most, not {total}.");
            return Err(Refused::new(ErrorCode::INVALID_PARTITIONS, message));
        }
        if added > self.0 {
            return refuse!(POLICY_VIOLATION, "A request may create {PARTITIONS_PER_TOPIC_MAX} partitions at most.");
        }
        self.0 -= added;
        Ok(())
    }
}

/// A partition whose replicas the client chose.
pub(super) fn assign(
    image: &Image,
    index: PartitionIndex,
    replicas: &[NodeId],
    replicas_expected: usize,
) -> Result<Partition, Refused> {
    let wrong = |message: String| Err(Refused::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
    check_replicas(image, replicas)?;
    if replicas.len() != replicas_expected {
        let count = replicas.len();
        return wrong(format!(
            "The manual partition assignment includes a partition with {count} replica(s), but this is not consistent \
             with previous partitions, which have {replicas_expected} replica(s)."
        ));
    }
    new_partition(image, replicas.to_vec()).ok_or_else(|| {
        let message = format!(
            "All brokers specified in the manual partition assignment for partition {index} are fenced or in \
             controlled shutdown."
        );
        Refused::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message)
    })
}

/// Whether these can be the replicas of one partition.
pub(super) fn check_replicas(image: &Image, replicas: &[NodeId]) -> Result<(), Refused> {
    let wrong = |message: String| Err(Refused::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
    if replicas.is_empty() {
        return wrong("The manual partition assignment includes an empty replica list.".to_owned());
    }
    let mut seen = BTreeSet::new();
    for replica in replicas {
        if !seen.insert(*replica) {
            return wrong(format!("The manual partition assignment includes the broker {replica} more than once."));
        }
        if image.broker(*replica).is_none() {
            return wrong(format!(
                "The manual partition assignment includes broker {replica}, but no such broker is registered."
            ));
        }
    }
    Ok(())
}
