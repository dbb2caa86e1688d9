//! The `.snapshot` files: what the log knew of its producers when it ended at the offset in the file's name, in Kafka's
//! format, so that a start needs to read only what came after.
//!
//! Kafka's format has one batch for each producer. A producer's earlier batches are written as entries of their own
//! before its last one: Kafka keeps the last entry of a producer id, this log keeps all of them.

use crate::producers::{Kept, Producer, Producers};
use record::crc32c;
use types::codec::{DecodeError, Reader, Writer};
use types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

const VERSION: i16 = 1;
/// Version and checksum; the checksum covers what follows them.
const HEAD_BYTES: usize = 6;
const ENTRY_BYTES: usize = 46;
/// A snapshot larger than this is not one.
pub(crate) const BYTES_MAX: usize = 256 << 20;

pub(crate) fn encode(producers: &Producers) -> Vec<u8> {
    let count: usize = producers.iter().map(|(_, producer)| producer.batches.len().max(1)).sum();
    let mut body = Writer::with_capacity(4 + count * ENTRY_BYTES);
    body.length(false, Some(count));
    for (id, producer) in producers.iter() {
        for kept in &producer.batches {
            encode_entry(&mut body, id, producer, kept);
        }
        if producer.batches.is_empty() {
            let none = Kept {
                last_sequence: Sequence::NONE,
                last_offset: Offset::NONE,
                offset_delta: 0,
                timestamp: producer.last_timestamp,
            };
            encode_entry(&mut body, id, producer, &none);
        }
    }
    let mut out = Writer::with_capacity(HEAD_BYTES + body.buffer.len());
    out.i16(VERSION);
    out.u32(crc32c(&body.buffer));
    out.slice(&body.buffer);
    out.buffer.into()
}

fn encode_entry(out: &mut Writer, id: ProducerId, producer: &Producer, kept: &Kept) {
    out.i64(id.0);
    out.i16(producer.epoch.0);
    out.i32(kept.last_sequence.0);
    out.i64(kept.last_offset.0);
    out.i32(kept.offset_delta);
    out.i64(kept.timestamp.0);
    out.i32(producer.coordinator_epoch);
    out.i64(producer.transaction_start.unwrap_or(Offset::NONE).0);
}

/// `None` where the bytes are not a whole snapshot.
pub(crate) fn decode(bytes: Vec<u8>) -> Option<Producers> {
    let stored = u32::from_be_bytes(bytes.get(2..HEAD_BYTES)?.try_into().ok()?);
    if bytes[..2] != VERSION.to_be_bytes() || crc32c(&bytes[HEAD_BYTES..]) != stored {
        return None;
    }
    let mut reader = Reader::new(bytes.into());
    reader.take(HEAD_BYTES).ok()?;
    let count = reader.array(false).ok()?;
    let mut producers = Producers::default();
    for _ in 0..count {
        let (id, producer) = decode_entry(&mut reader).ok()?;
        producers.load(id, producer);
    }
    Some(producers)
}

fn decode_entry(reader: &mut Reader) -> Result<(ProducerId, Producer), DecodeError> {
    let id = ProducerId(reader.i64()?);
    let mut producer = Producer::new(ProducerEpoch(reader.i16()?));
    let kept = Kept {
        last_sequence: Sequence(reader.i32()?),
        last_offset: Offset(reader.i64()?),
        offset_delta: reader.i32()?,
        timestamp: Timestamp(reader.i64()?),
    };
    if kept.last_offset >= Offset::ZERO {
        producer.batches.push(kept);
    }
    producer.last_timestamp = kept.timestamp;
    producer.coordinator_epoch = reader.i32()?;
    producer.transaction_start = Some(Offset(reader.i64()?)).filter(|start| *start >= Offset::ZERO);
    Ok((id, producer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kafkas() {
        let mut producers = Producers::default();
        let mut producer = Producer::new(ProducerEpoch(2));
        producer.batches.push(Kept {
            last_sequence: Sequence(9),
            last_offset: Offset(41),
            offset_delta: 4,
            timestamp: Timestamp(1000),
        });
        producer.last_timestamp = Timestamp(1000);
        producer.transaction_start = Some(Offset(37));
        producers.load(ProducerId(7), producer);
        let bytes = encode(&producers);
        let mut expected = vec![0, 1];
        let body = [
            &1_i32.to_be_bytes()[..],
            &7_i64.to_be_bytes(),
            &2_i16.to_be_bytes(),
            &9_i32.to_be_bytes(),
            &41_i64.to_be_bytes(),
            &4_i32.to_be_bytes(),
            &1000_i64.to_be_bytes(),
            &(-1_i32).to_be_bytes(),
            &37_i64.to_be_bytes(),
        ]
        .concat();
        expected.extend(crc32c(&body).to_be_bytes());
        expected.extend(&body);
        assert_eq!(bytes, expected);
        let again = decode(bytes.clone()).expect("it was just written");
        assert_eq!(encode(&again), bytes);
        assert_eq!(again.first_open(), Some(Offset(37)));
        for at in 0..bytes.len() {
            let mut torn = bytes.clone();
            torn[at] ^= 4;
            assert!(decode(torn).is_none(), "{at}");
            assert!(decode(bytes[..at].to_vec()).is_none(), "{at}");
        }
    }
}
