//! What a batch must be before a leader appends it, and what the leader changes in it.
//!
//! The records stay in the buffer that they came in, unless the topic wants another codec: what else must change lies
//! in the header, of which the append gets a copy of its own.

use crate::header::{at, check_crc, put};
use crate::{Codec, HEADER_BYTES, Header, Invalid, Records, Rejected, TimestampType, codec};
use bytes::Bytes;
use types::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use types::{ErrorCode, LeaderEpoch, Offset, Timestamp, with_defaults};

/// A batch that may be appended: its header as it is to be written, and its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub header: Header,
    /// The header's bytes.
    pub head: [u8; HEADER_BYTES],
    /// What follows the header.
    pub body: Bytes,
}

impl Batch {
    /// Takes one whole batch whose header was parsed from its front.
    fn new(header: Header, bytes: &Bytes) -> Batch {
        let head = *bytes.first_chunk().expect("a header was parsed from these bytes");
        Batch { header, head, body: bytes.slice(HEADER_BYTES..) }
    }

    /// Gives the batch its place in the log. The checksum covers neither field.
    pub fn place(&mut self, base_offset: Offset, leader_epoch: LeaderEpoch) {
        self.header.base_offset = base_offset;
        self.header.leader_epoch = leader_epoch;
        put(&mut self.head, at::BASE_OFFSET, base_offset.0.to_be_bytes());
        put(&mut self.head, at::LEADER_EPOCH, leader_epoch.0.to_be_bytes());
    }

    #[must_use]
    pub fn size_bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }
}

with_defaults! {
    /// What a topic and the sender of a batch demand of it. The defaults are what the broker demands of its own batches:
    /// that they are whole.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Rules {
        /// Whether a producer sent it, rather than a coordinator or the controller.
        pub client: bool = false,
        /// `max.message.bytes`: the most bytes of one batch.
        pub max_message_bytes: usize = usize::MAX,
        /// `message.timestamp.type`.
        pub timestamp_type: TimestampType = TimestampType::CreateTime,
        /// `message.timestamp.before.max.ms`.
        pub before_max_ms: i64 = i64::MAX,
        /// `message.timestamp.after.max.ms`.
        pub after_max_ms: i64 = i64::MAX,
        /// Whether the topic is compacted, so that every record needs a key.
        pub compacted: bool = false,
        /// `compression.type` with its level; none where the producer's codec stays.
        pub target_codec: Option<(Codec, i32)> = None,
        pub now: Timestamp = Timestamp::NONE,
        /// The most bytes that one batch may decompress to.
        pub decompressed_bytes_max: usize = DECOMPRESSED_BATCH_BYTES_MAX,
    }
}

impl Rules {
    fn is_out_of_range(&self, timestamp: Timestamp) -> bool {
        self.timestamp_type == TimestampType::CreateTime
            && timestamp != Timestamp::NONE
            && (self.now.0.saturating_sub(timestamp.0) > self.before_max_ms
                || timestamp.0.saturating_sub(self.now.0) > self.after_max_ms)
    }

    fn check_size(&self, size: usize) -> Result<(), Rejected> {
        if size <= self.max_message_bytes {
            return Ok(());
        }
        let message = format!(
            "the batch has {size} bytes, but the topic's max.message.bytes is {}: raise that or lower the producer's \
             batch size",
            self.max_message_bytes
        );
        Err(Rejected::new(ErrorCode::MESSAGE_TOO_LARGE, message))
    }
}

/// Checks the records that one request brings for one partition, and returns their batches ready to be placed. A
/// producer may bring exactly one batch.
pub fn validate(records: Bytes, rules: &Rules) -> Result<Vec<Batch>, Rejected> {
    let mut rest = records;
    let mut batches = Vec::with_capacity(1);
    loop {
        let header = Header::parse(&rest)?;
        let needed = header.size_bytes();
        rules.check_size(needed)?;
        if needed > rest.len() {
            return Err(Invalid::Truncated { needed, found: rest.len() }.into());
        }
        batches.push(validate_batch(header, &rest.split_to(needed), rules)?);
        if rest.is_empty() {
            return Ok(batches);
        }
        if rules.client {
            return Err(invalid("a produce request holds exactly one batch for each partition"));
        }
    }
}

fn invalid(message: impl Into<String>) -> Rejected {
    Rejected::new(ErrorCode::INVALID_RECORD, message)
}

fn validate_batch(header: Header, bytes: &Bytes, rules: &Rules) -> Result<Batch, Rejected> {
    check_crc(bytes)?;
    if header.record_count == 0 || i64::from(header.last_offset_delta) + 1 != i64::from(header.record_count) {
        let count = header.record_count;
        return Err(invalid(format!("last offset delta {} does not fit {count} records", header.last_offset_delta)));
    }
    if rules.client {
        check_sender(&header)?;
    }
    let codec = header.attributes.codec()?;
    let mut batch = Batch::new(header, bytes);
    // Control batches stay as their writer made them.
    let target = rules.target_codec.filter(|(target, _)| *target != codec && !header.attributes.is_control());
    match target {
        Some((target, level)) => recode(&mut batch, codec, (target, level), rules)?,
        None => check_body(&mut batch, codec, rules)?,
    }
    if rules.timestamp_type == TimestampType::LogAppendTime {
        batch.header.attributes = batch.header.attributes.with_timestamp_type(TimestampType::LogAppendTime);
        batch.header.max_timestamp = rules.now;
    }
    if batch.header != header || target.is_some() {
        batch.head = batch.header.seal(&batch.body);
        rules.check_size(batch.size_bytes())?;
    }
    Ok(batch)
}

/// What only the broker itself may write.
fn check_sender(header: &Header) -> Result<(), Rejected> {
    if header.base_offset != Offset::ZERO {
        return Err(invalid(format!("a producer's batch begins at offset 0, not {}", header.base_offset)));
    }
    if header.attributes.is_control() {
        return Err(invalid("producers may not write control records"));
    }
    if header.has_producer() && header.base_sequence.0 < 0 {
        let (sequence, id) = (header.base_sequence, header.producer_id);
        return Err(invalid(format!("sequence {sequence} is not valid for producer id {id}")));
    }
    if header.attributes.timestamp_type() == TimestampType::LogAppendTime {
        let message = "producers may not set the timestamp type to LogAppendTime";
        return Err(Rejected::new(ErrorCode::INVALID_TIMESTAMP, message));
    }
    Ok(())
}

/// Checks the records of a batch that keeps its codec. A compressed one is opened only where its header gives cause,
/// or where every record must have a key.
fn check_body(batch: &mut Batch, codec: Codec, rules: &Rules) -> Result<(), Rejected> {
    let header = batch.header;
    let compressed = codec != Codec::None;
    let suspect = rules.is_out_of_range(header.base_timestamp) || rules.is_out_of_range(header.max_timestamp);
    if compressed && !rules.compacted && !suspect {
        return Ok(());
    }
    let open = || Records::new(&header, &batch.body, rules.decompressed_bytes_max);
    let survey = Survey::of(open()?)?;
    if survey.needs_judgement(rules) {
        judge(open()?, rules)?;
    }
    if !compressed {
        batch.header.max_timestamp = survey.max_timestamp;
    }
    Ok(())
}

/// Checks the records and compresses them anew.
fn recode(batch: &mut Batch, from: Codec, (to, level): (Codec, i32), rules: &Rules) -> Result<(), Rejected> {
    let plain = match from {
        Codec::None => batch.body.clone(),
        _ => Bytes::from(codec::decompress(from, &batch.body, rules.decompressed_bytes_max)?),
    };
    let survey = Survey::of(Records::plain(&batch.header, &plain))?;
    if survey.needs_judgement(rules) {
        judge(Records::plain(&batch.header, &plain), rules)?;
    }
    batch.header.max_timestamp = survey.max_timestamp;
    batch.header.attributes = batch.header.attributes.with_codec(to);
    batch.body = match to {
        Codec::None => plain,
        _ => {
            let mut body = Vec::with_capacity(plain.len() / 2);
            codec::compress(to, level, &plain, &mut body);
            Bytes::from(body)
        }
    };
    Ok(())
}

/// What one pass over the records of a batch tells; made without an allocation.
struct Survey {
    /// Of those records that have a timestamp.
    min_timestamp: Timestamp,
    max_timestamp: Timestamp,
    keyless: bool,
}

impl Survey {
    /// Reads all records. Their offsets are without gaps: they only go up, and there are as many as fit the batch.
    #[inline]
    fn of(mut records: Records<'_>) -> Result<Survey, Invalid> {
        let mut survey = Survey { min_timestamp: Timestamp(i64::MAX), max_timestamp: Timestamp::NONE, keyless: false };
        while let Some(record) = records.next_record()? {
            if record.timestamp != Timestamp::NONE {
                survey.min_timestamp = survey.min_timestamp.min(record.timestamp);
            }
            survey.max_timestamp = survey.max_timestamp.max(record.timestamp);
            survey.keyless |= record.key.is_none();
        }
        Ok(survey)
    }

    fn needs_judgement(&self, rules: &Rules) -> bool {
        rules.compacted && self.keyless
            || rules.is_out_of_range(self.min_timestamp)
            || rules.is_out_of_range(self.max_timestamp)
    }
}

/// Most records that one refusal names.
const RECORD_ERRORS_MAX: usize = 1000;

/// Names the records that the topic does not take, if there are any after all (a record may lack a timestamp).
fn judge(mut records: Records<'_>, rules: &Rules) -> Result<(), Rejected> {
    let mut rejected = Rejected::new(ErrorCode::INVALID_RECORD, "");
    let mut index = 0;
    let mut faults: usize = 0;
    while let Some(record) = records.next_record()? {
        let keyless = rules.compacted && record.key.is_none();
        if keyless || rules.is_out_of_range(record.timestamp) {
            faults += 1;
            // One wrong timestamp makes the whole refusal one of timestamps, as in Kafka.
            if !keyless {
                rejected.code = ErrorCode::INVALID_TIMESTAMP;
            }
            if rejected.record_errors.len() < RECORD_ERRORS_MAX {
                rejected.record_errors.push((index, fault(record.timestamp, keyless, rules)));
            }
        }
        index += 1;
    }
    let Some((first, why)) = rejected.record_errors.first() else {
        return Ok(());
    };
    rejected.message = format!("{faults} of {index} records are refused, the first is record {first}: {why}");
    Err(rejected)
}

fn fault(timestamp: Timestamp, keyless: bool, rules: &Rules) -> String {
    if keyless {
        return "the topic is compacted, so every record needs a key".to_owned();
    }
    format!(
        "timestamp {timestamp} is outside of the range from {} to {} that message.timestamp.before.max.ms and \
         message.timestamp.after.max.ms allow",
        rules.now.0.saturating_sub(rules.before_max_ms),
        rules.now.0.saturating_add(rules.after_max_ms)
    )
}
