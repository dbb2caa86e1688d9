//! Words that every room shares: ids, offsets, epochs, time, error codes, byte readers and limits.
//!
//! Owns no behaviour of Kafka beyond these definitions. Must never know a message, a file or a connection.

pub mod codec;
mod error;
mod ids;
pub mod limits;
mod rng;
mod text;
mod time;

pub use error::ErrorCode;
pub use ids::{
    BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch, PartitionIndex, ProducerEpoch, ProducerId, Sequence,
    ShardId, TopicId, TopicPartition, Uuid,
};
pub use rng::Rng;
pub use text::Text;
pub use time::{Instant, Now, Timestamp};

/// A hash map whose hasher is fixed, so that a run repeats under a seed. For look-ups only: never iterate it.
#[allow(clippy::disallowed_types)]
pub type HashMap<K, V> = std::collections::HashMap<K, V, std::hash::BuildHasherDefault<FixedHasher>>;

/// A structure each field of which stands beside its default.
#[macro_export]
macro_rules! with_defaults {
    ($(#[$about:meta])* pub struct $name:ident { $($(#[$what:meta])* pub $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[$about])*
        pub struct $name {
            $($(#[$what])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $($field: $default,)* }
            }
        }
    };
}

/// FNV-1a, 64 bit: short keys, no secret. Not for keys that an attacker chooses in bulk.
#[derive(Clone, Copy)]
pub struct FixedHasher(u64);

impl Default for FixedHasher {
    fn default() -> Self {
        FixedHasher(0xcbf2_9ce4_8422_2325)
    }
}

impl std::hash::Hasher for FixedHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}
