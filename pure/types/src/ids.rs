//! Ids, offsets and epochs. Each is its own type, so that one can never be passed for another.

use base64ct::{Base64UrlUnpadded, Encoding};
use std::fmt;

/// Numbers, each with what stands for "none" on the wire where there is such a thing.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($inner:ty) $(none = $none:literal)?;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        $(impl $name {
            /// What Kafka's wire uses where there is none.
            pub const NONE: $name = $name($none);
        })?

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

numbers! {
    /// The number of a record in its partition; the first is 0.
    Offset(i64) none = -1;
    /// The term of a partition's leader; -1 where none is known.
    LeaderEpoch(i32) none = -1;
    /// The version of what the controller decided about a partition: its leader, its ISR, its replicas.
    PartitionEpoch(i32) none = -1;
    /// One registration of a broker with the controller; -1 where none is known.
    BrokerEpoch(i64) none = -1;
    /// A node of the cluster, as `node.id` names it.
    NodeId(i32);
    /// A partition's number in its topic; the first is 0.
    PartitionIndex(i32);
    /// An idempotent or transactional producer; -1 where there is none.
    ProducerId(i64) none = -1;
    /// The incarnation of a producer id; -1 where there is none.
    ProducerEpoch(i16) none = -1;
    /// A producer's sequence number in one partition; wraps from `i32::MAX` to 0; -1 where there is none.
    Sequence(i32) none = -1;
    /// One of the broker's shards, counted from 0. Shard 0 also hosts the controller.
    ShardId(u16);
}

impl Offset {
    pub const ZERO: Offset = Offset(0);

    /// The offset `count` further on. Offsets are checked where they enter, so an overflow is a broken promise.
    #[must_use]
    pub fn plus(self, count: i64) -> Offset {
        Offset(self.0.checked_add(count).expect("an offset that was validated cannot overflow"))
    }

    #[must_use]
    pub fn next(self) -> Offset {
        self.plus(1)
    }

    /// How many offsets lie from `earlier` to this one (negative where this one is earlier).
    #[must_use]
    pub fn minus(self, earlier: Offset) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Sequence {
    /// The sequence `count` records further on, wrapping from `i32::MAX` to 0 as Kafka does.
    #[must_use]
    pub fn plus(self, count: i32) -> Sequence {
        match self.0.checked_add(count) {
            Some(sum) => Sequence(sum),
            None => Sequence(count - (i32::MAX - self.0) - 1),
        }
    }

    /// The sequence `count` records before, wrapping from 0 to `i32::MAX`.
    #[must_use]
    pub fn minus(self, count: i32) -> Sequence {
        if self.0 >= count { Sequence(self.0 - count) } else { Sequence(i32::MAX - (count - self.0) + 1) }
    }
}

/// 128 bits that name a topic, a directory or a member; shown as Kafka does, in URL-safe base64 without padding.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// The id of a topic, which a topic of the same name created later does not share (KIP-516).
pub type TopicId = Uuid;

impl Uuid {
    pub const ZERO: Uuid = Uuid([0; 16]);

    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Uuid::ZERO
    }

    /// A random version 4 UUID that Kafka's tools accept (none begins with a dash when shown).
    #[must_use]
    pub fn random(rng: &mut crate::Rng) -> Uuid {
        loop {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&rng.next_u64().to_be_bytes());
            bytes[8..].copy_from_slice(&rng.next_u64().to_be_bytes());
            bytes[6] = bytes[6] & 0x0f | 0x40;
            bytes[8] = bytes[8] & 0x3f | 0x80;
            if bytes[0] >> 2 != 62 {
                return Uuid(bytes);
            }
        }
    }

    /// Reads the 22 characters that `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Uuid> {
        let mut bytes = [0; 16];
        (Base64UrlUnpadded::decode(text, &mut bytes).ok()?.len() == 16).then_some(Uuid(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Base64UrlUnpadded::encode(&self.0, &mut [0; 22]).expect("16 bytes are 22 letters"))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One partition of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: TopicId,
    pub partition: PartitionIndex,
}

impl TopicPartition {
    /// The shard that owns this partition: the same on every start with the same number of shards.
    #[must_use]
    pub fn shard(self, shards: u16) -> ShardId {
        // Neighbouring partitions of one topic go to different shards in turn, so that one topic uses every core.
        let mut base = 0xcbf2_9ce4_8422_2325_u64;
        for byte in self.topic.0 {
            base = (base ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let spread = (base >> 33).wrapping_add(u64::from(self.partition.0.unsigned_abs()));
        ShardId(u16::try_from(spread % u64::from(shards.max(1))).expect("a remainder below a u16 fits one"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_text_round_trips() {
        let mut rng = crate::Rng::new(7);
        for _ in 0..100 {
            let uuid = Uuid::random(&mut rng);
            let text = uuid.to_string();
            assert_eq!(text.len(), 22);
            assert_eq!(Uuid::parse(&text), Some(uuid));
        }
        assert_eq!(Uuid::parse("AAAAAAAAAAAAAAAAAAAAAA"), Some(Uuid::ZERO));
        assert_eq!(Uuid::parse("short"), None);
    }

    #[test]
    fn sequence_wraps_to_zero() {
        assert_eq!(Sequence(i32::MAX).plus(1), Sequence(0));
        assert_eq!(Sequence(i32::MAX - 1).plus(3), Sequence(1));
        assert_eq!(Sequence(5).plus(3), Sequence(8));
        assert_eq!(Sequence(8).minus(3), Sequence(5));
        assert_eq!(Sequence(1).minus(3), Sequence(i32::MAX - 1));
    }

    #[test]
    fn partitions_of_a_topic_spread_evenly() {
        let topic = Uuid([3; 16]);
        let mut count = [0; 4];
        for index in 0..100 {
            count[usize::from(TopicPartition { topic, partition: PartitionIndex(index) }.shard(4).0)] += 1;
        }
        assert_eq!(count, [25; 4]);
    }
}
