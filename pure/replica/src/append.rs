//! Appending as the leader: validate, append, and see how far that is committed.

use crate::Replica;
use bytes::Bytes;
use log::{Config, Disk};
use record::{Batches, Rejected, Rules, TimestampType};
use types::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use types::{ErrorCode, Now, Offset, Timestamp};

pub use log::Origin;

/// How long a producer that skips a sequence is told to send again, once the lead was taken from another broker, which may
/// owe it an answer for what is missing, or batches were refused. Told that it is out of order, librdkafka begins a new
/// epoch and repeats in it what is stored. Kafka's `request.timeout.ms` for producers.
pub(crate) const PATIENCE_MS: u64 = 30_000;

/// Where records went, as a producer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    /// The offset after the last record: committed when the high watermark reaches it.
    pub end_offset: Offset,
    /// Set where the topic dates its records when they are appended.
    pub log_append_time: Timestamp,
    pub log_start_offset: Offset,
    /// The producer sent them again; nothing was written.
    pub duplicate: bool,
}

/// Whom a producer wants to have its records before it is told so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// The leader, or nobody: acks=1 and acks=0.
    Leader,
    /// Every replica in sync, of which there must be `min.insync.replicas`: acks=all.
    All,
}

fn within_i64(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn rules(config: &Config, now: Now, by: Origin) -> Rules {
    let unchecked = Rules { now: now.wall, ..Rules::default() };
    match by {
        Origin::Controller | Origin::Coordinator => unchecked,
        Origin::Client => Rules {
            client: true,
            max_message_bytes: config.max_message_bytes as usize,
            timestamp_type: config.timestamp_type,
            before_max_ms: within_i64(config.timestamp_before_max_ms),
            after_max_ms: within_i64(config.timestamp_after_max_ms),
            compacted: config.cleanup.compact,
            target_codec: config.compression,
            decompressed_bytes_max: DECOMPRESSED_BATCH_BYTES_MAX,
            ..unchecked
        },
    }
}

impl<D: Disk> Replica<D> {
    /// Appends a record set as it came from the wire (or was built by a coordinator). Nothing of it is copied before the
    /// write, unless the topic wants another codec.
    pub fn append(&mut self, now: Now, records: Bytes, by: Origin, acks: Acks) -> Result<Appended, Rejected> {
        let epoch = self.leader_epoch;
        let (log, leading) = self.leading().map_err(|failure| Rejected::new(failure.code, failure.message))?;
        if acks == Acks::All && leading.has_too_few(log.config()) {
            let message = format!(
                "{} replicas are in sync, fewer than min.insync.replicas={} asks for",
                leading.isr.len(),
                log.config().min_insync_replicas
            );
            log.refuse(Batches::new(&records).flatten().map(|(header, _)| header));
            leading.patient_until = now.at.plus_ms(PATIENCE_MS);
            return Err(Rejected::new(ErrorCode::NOT_ENOUGH_REPLICAS, message));
        }
        let mut batches = record::validate(records, &rules(log.config(), now, by))?;
        let dated_here = log.config().timestamp_type == TimestampType::LogAppendTime && by == Origin::Client;
        let appended = match log.append(now, &mut batches, epoch, by) {
            Ok(appended) => appended,
            Err(error) => {
                let is_patient = by == Origin::Client && now.at < leading.patient_until;
                let mut failure = self.failure(error);
                if is_patient && failure.code == ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER {
                    failure.code = ErrorCode::NOT_ENOUGH_REPLICAS;
                }
                return Err(Rejected::new(failure.code, failure.message));
            }
        };
        let log_start_offset = log.start_offset();
        if !appended.duplicate {
            self.unsynced_since.get_or_insert(now.at);
            self.waiters.grow();
            self.advance();
        }
        Ok(Appended {
            base_offset: appended.base_offset,
            end_offset: appended.last_offset.next(),
            log_append_time: if dated_here { appended.max_timestamp } else { Timestamp::NONE },
            log_start_offset,
            duplicate: appended.duplicate,
        })
    }
}
