//! Ids, offsets and epochs. Each is its own type, so that one can never be passed for another.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// The number of a record in its partition; the first is 0.
    Offset(i64)
);
number!(
    /// The term of a partition's leader; -1 where none is known.
    LeaderEpoch(i32)
);
number!(
    /// The version of what the controller decided about a partition: its leader, its ISR, its replicas.
    PartitionEpoch(i32)
);
number!(
    /// One registration of a broker with the controller; -1 where none is known.
    BrokerEpoch(i64)
);
number!(
    /// A node of the cluster, as `node.id` names it.
    NodeId(i32)
);
number!(
    /// A partition's number in its topic; the first is 0.
    PartitionIndex(i32)
);
number!(
    /// An idempotent or transactional producer; -1 where there is none.
    ProducerId(i64)
);
number!(
    /// The incarnation of a producer id; -1 where there is none.
    ProducerEpoch(i16)
);
number!(
    /// A producer's sequence number in one partition; wraps from `i32::MAX` to 0; -1 where there is none.
    Sequence(i32)
);
number!(
    /// One of the broker's shards, counted from 0. Shard 0 also hosts the controller.
    ShardId(u16)
);

impl Offset {
    pub const ZERO: Offset = Offset(0);
    /// What Kafka's wire uses for "no offset".
    pub const NONE: Offset = Offset(-1);

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

impl LeaderEpoch {
    pub const NONE: LeaderEpoch = LeaderEpoch(-1);
}

impl PartitionEpoch {
    pub const NONE: PartitionEpoch = PartitionEpoch(-1);
}

impl BrokerEpoch {
    pub const NONE: BrokerEpoch = BrokerEpoch(-1);
}

impl ProducerId {
    pub const NONE: ProducerId = ProducerId(-1);
}

impl ProducerEpoch {
    pub const NONE: ProducerEpoch = ProducerEpoch(-1);
}

impl Sequence {
    pub const NONE: Sequence = Sequence(-1);

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

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

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
        if text.len() != 22 {
            return None;
        }
        let mut bits: u32 = 0;
        let mut held = 0;
        let mut bytes = [0; 16];
        let mut at = 0;
        for symbol in text.bytes() {
            let value = ALPHABET.iter().position(|known| *known == symbol)?;
            bits = bits << 6 | u32::try_from(value).ok()?;
            held += 6;
            if held >= 8 {
                held -= 8;
                if at < 16 {
                    bytes[at] = u8::try_from(bits >> held & 0xff).ok()?;
                    at += 1;
                }
                bits &= (1 << held) - 1;
            }
        }
        (at == 16 && bits == 0).then_some(Uuid(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.chunks(3) {
            let mut group = [0; 3];
            group[..chunk.len()].copy_from_slice(chunk);
            let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
            for place in 0..=chunk.len() {
                let symbol = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
                f.write_str(char::from(symbol).encode_utf8(&mut [0; 4]))?;
            }
        }
        Ok(())
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
