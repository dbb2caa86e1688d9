//! Which partition a key goes to: the choice that Kafka's own producers make, so that keys meet their kind.

use types::{PartitionIndex, Rng};

/// Where records without a key go: to one partition until a batch of it is full, then to another (KIP-480, KIP-794).
#[derive(Debug, Default)]
pub struct Sticky {
    partition: Option<PartitionIndex>,
    /// What has gone there since it was chosen.
    bytes: usize,
}

impl Sticky {
    /// The partition, among `count`, of a record of this size.
    pub fn next(
        &mut self,
        (count, size): (i32, usize),
        batch_bytes: usize,
        has_room: impl Fn(PartitionIndex) -> bool,
        rng: &mut Rng,
    ) -> PartitionIndex {
        // Only a batch that has begun to fill is left when it is full, so that no partition gets more than the others.
        let stays = |at: &PartitionIndex| {
            at.0 < count && (self.bytes < batch_bytes || self.bytes < 2 * batch_bytes && has_room(*at))
        };
        let partition = self.partition.filter(stays).unwrap_or_else(|| {
            self.bytes = 0;
            PartitionIndex(i32::try_from(rng.below(u64::from(count.unsigned_abs()))).unwrap_or(0))
        });
        self.partition = Some(partition);
        self.bytes += size;
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
}
