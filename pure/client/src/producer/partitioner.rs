//! Which partition a record goes to: the choices that Kafka's own producers make, so that keys meet their kind.

use super::ProducerRecord;
use crate::metadata::Topic;
use std::fmt::Debug;
use std::sync::Arc;
use types::{PartitionIndex, Rng};

/// Chooses partitions, in place of those that are built in.
///
/// It is asked while the producer is held, once for each record that names no partition: it must not block.
pub trait Partitioner: Debug + Send + Sync {
    /// The partition of a record: one that the topic has.
    ///
    /// # Errors
    /// Why the record is not to be sent.
    fn partition(&self, record: &ProducerRecord, topic: &Topic) -> Result<PartitionIndex, String>;
}

/// `partitioner.class`
#[derive(Clone, Debug, Default)]
pub enum Partitioning {
    /// By the hash of the key; records without one stay with a partition for a batch (KIP-480, KIP-794).
    #[default]
    Default,
    /// All records stay with a partition for a batch, whatever their keys.
    UniformSticky,
    /// To one partition after the other, whatever their keys.
    RoundRobin,
    Custom(Arc<dyn Partitioner>),
}

/// Where records go that are not bound to a partition: to one until a batch of it is full, then to another.
#[derive(Debug, Default)]
pub struct Sticky {
    partition: Option<PartitionIndex>,
    /// What has gone there since it was chosen.
    bytes: usize,
}

impl Sticky {
    /// Where the next record goes, unless another partition is to be chosen.
    pub fn stay(
        &mut self,
        size: usize,
        batch_bytes: usize,
        has_room: impl Fn(PartitionIndex) -> bool,
    ) -> Option<PartitionIndex> {
        // Only a batch that has begun to fill is left when it is full, so that no partition gets more than the others.
        let stays = |at: &PartitionIndex| self.bytes < batch_bytes || self.bytes < 2 * batch_bytes && has_room(*at);
        let partition = self.partition.filter(stays)?;
        self.bytes += size;
        Some(partition)
    }

    /// Begins with a partition: the more likely, the fewer batches wait in it. `None` stands for one that is not to be
    /// chosen; where that is said of all, any of them is.
    pub fn leave(&mut self, size: usize, waiting: &[Option<usize>], rng: &mut Rng) -> PartitionIndex {
        let longest = waiting.iter().flatten().max();
        let weight = |length: &Option<usize>| match (longest, length) {
            (Some(longest), Some(length)) => longest + 1 - length,
            (Some(_), None) => 0,
            (None, _) => 1,
        };
        let total: usize = waiting.iter().map(weight).sum();
        let mut rest = rng.below(total as u64);
        let chosen = waiting.iter().position(|length| {
            let weight = weight(length) as u64;
            let is_chosen = rest < weight;
            rest = rest.saturating_sub(weight);
            is_chosen
        });
        let partition = PartitionIndex(chosen.and_then(|at| i32::try_from(at).ok()).unwrap_or(0));
        (self.partition, self.bytes) = (Some(partition), size);
        partition
    }
}

/// The partition of a key among `count`.
pub fn of_key(key: &[u8], count: i32) -> PartitionIndex {
    let positive = i32::try_from(murmur2(key) & 0x7fff_ffff).expect("31 bits fit");
    PartitionIndex(positive % count.max(1))
}

/// MurmurHash2, 32 bit, little-endian, with the seed that Kafka chose.
fn murmur2(bytes: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let length = u32::try_from(bytes.len()).expect("a key is smaller than a request");
    let mut hash = SEED ^ length;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut mixed = u32::from_le_bytes(word.try_into().expect("four bytes each")).wrapping_mul(MIX);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(MIX) ^ mixed.wrapping_mul(MIX);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_kafka() {
        // Values that Kafka's documentation of its tests gives for its own hash.
        for (key, hash) in [("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536)]
        {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
        assert!((0..7).contains(&of_key(b"key", 7).0));
    }

    /// The same walk over a million keys with Kafka 4.3.1's `BuiltInPartitioner.partitionForKey` ended in this number:
    /// lengths below 41 and bytes by chance, partitions of 1, 2, 7, 16, 1000 and 100000 in turn, hashed by FNV-1a.
    #[test]
    fn a_million_keys_go_where_the_java_client_sends_them() {
        let (mut rng, mut hash) = (Rng::new(480), 0xcbf2_9ce4_8422_2325_u64);
        for turn in 0..1_000_000 {
            let length = rng.below(41);
            let key: Vec<u8> = (0..length).map(|_| rng.below(256).to_le_bytes()[0]).collect();
            let partition = of_key(&key, [1, 2, 7, 16, 1000, 100_000][turn % 6]);
            hash = (hash ^ u64::from(partition.0.cast_unsigned())).wrapping_mul(0x0100_0000_01b3);
        }
        assert_eq!(hash, 0x0b8a_9a97_73ce_321c);
    }

    #[test]
    fn a_partition_is_left_when_a_batch_of_it_is_full() {
        let (mut sticky, mut rng) = (Sticky::default(), Rng::new(3));
        assert_eq!(sticky.stay(40, 100, |_| true), None);
        let first = sticky.leave(40, &[Some(0); 8], &mut rng);
        assert_eq!([sticky.stay(40, 100, |_| true), sticky.stay(40, 100, |_| true)], [Some(first); 2]);
        // 120 bytes of 100: it goes on only with a batch that has begun.
        assert_eq!(sticky.stay(40, 100, |_| true), Some(first));
        assert_eq!(sticky.stay(40, 100, |_| false), None);
    }

    #[test]
    fn short_queues_are_chosen_more_often() {
        let (mut sticky, mut rng) = (Sticky::default(), Rng::new(3));
        let mut chosen = [0; 4];
        for _ in 0..9000 {
            let at = sticky.leave(1, &[Some(0), Some(5), None, Some(3)], &mut rng);
            chosen[usize::try_from(at.0).unwrap()] += 1;
        }
        // Weights of 6, 1, none and 3.
        assert!((5100..5700).contains(&chosen[0]) && (800..1000).contains(&chosen[1]), "{chosen:?}");
        assert_eq!(chosen[2], 0);
        assert!((0..4).contains(&sticky.leave(1, &[None; 4], &mut rng).0));
    }
}
