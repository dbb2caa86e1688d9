//! What a log directory remembers between runs: recovery points, start offsets and high watermarks in Kafka's checkpoint
//! files, and the mark of a clean stop. Shard 0 writes them for all shards.

use crate::boot::{CLEAN_SHUTDOWN, CLEANED, HIGH_WATERMARKS, RECOVERY_POINTS, START_OFFSETS, TOPICS, encode_ids};
use crate::call::{SlotId, Step};
use crate::seam::{ConnId, Level, Message, Output};
use crate::shard::{Deadline, Shard};
use crate::work::{Outcome, Work};
use log::checkpoint::{Offsets, encode_offsets};
use log::{Disk, ErrorKind, Log};
use types::{Offset, ShardId, Text, TopicPartition};

/// How soon a moved start offset is written down.
const SOON_MS: u64 = 10;
/// Calls of the broker itself are nobody's request.
pub(crate) const NOBODY: SlotId = SlotId { connection: ConnId(u64::MAX), number: 0 };

/// What checkpoint files say of one partition.
#[derive(Clone, Debug)]
pub struct CheckpointRow {
    /// The number of its log directory, which has checkpoint files of its own.
    pub directory: usize,
    pub topic: Text,
    pub partition: TopicPartition,
    pub recovery_point: Offset,
    pub log_start_offset: Offset,
    pub high_watermark: Offset,
    pub cleaned_to: Offset,
}

impl CheckpointRow {
    pub(crate) fn of<D: Disk>(
        log: &Log<D>,
        high_watermark: Offset,
        directory: usize,
        topic: Text,
        partition: TopicPartition,
    ) -> CheckpointRow {
        CheckpointRow {
            directory,
            topic,
            partition,
            recovery_point: log.synced_offset(),
            log_start_offset: log.start_offset(),
            high_watermark,
            cleaned_to: log.cleaned_synced(),
        }
    }
}

/// How far a clean stop has come, on shard 0.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    rows: Vec<CheckpointRow>,
    shards: u16,
    unrecovered: bool,
}

impl<D: Disk> Shard<D> {
    /// Gathers the offsets of all shards and writes them down.
    pub(crate) fn checkpoint(&mut self) {
        let at = self.now.at.plus_ms(self.settings.checkpoint_ms());
        self.deadlines.insert((at, Deadline::Checkpoint));
        self.checkpoint_once();
    }

    pub(crate) fn checkpoint_once(&mut self) {
        let works = (0..self.node.shards).map(|number| Work::Checkpoint { shard: ShardId(number) }).collect();
        let step = Step::all(works, |shard: &mut Shard<D>, outcomes| {
            let rows = outcomes.into_iter().filter_map(|outcome| match outcome {
                Outcome::Checkpoint(rows) => Some(rows),
                _ => None,
            });
            shard.write_checkpoints(&rows.flatten().collect::<Vec<_>>());
            Step::Silent
        });
        self.run(NOBODY, step);
    }

    /// A start offset has moved: it is written down soon, so that what was deleted stays so after a crash.
    pub(crate) fn checkpoint_soon(&mut self) {
        if self.me == ShardId(0) {
            self.deadlines.insert((self.now.at.plus_ms(SOON_MS), Deadline::CheckpointOnce));
        } else {
            self.out.push(Output::ToShard { to: ShardId(0), message: Message::CheckpointSoon });
        }
    }

    fn write_checkpoints(&mut self, rows: &[CheckpointRow]) {
        for directory in self.online_directories().collect::<Vec<_>>() {
            self.write_checkpoints_in(directory, rows);
        }
    }

    fn write_checkpoints_in(&mut self, directory: usize, rows: &[CheckpointRow]) {
        let offsets = |of: fn(&CheckpointRow) -> Offset| -> Offsets {
            let here = rows.iter().filter(|row| row.directory == directory);
            here.map(|row| ((row.topic.clone(), row.partition.partition), of(row))).collect()
        };
        let above_zero = |offsets: Offsets| offsets.into_iter().filter(|(_, offset)| *offset > Offset::ZERO).collect();
        let here = rows.iter().filter(|row| row.directory == directory);
        let topics = here.map(|row| (row.topic.clone(), row.partition.topic)).collect();
        // Whose the offsets are comes last: with an older one a new topic's offsets are not believed, which is safe.
        let files = [
            (RECOVERY_POINTS, encode_offsets(&offsets(|row| row.recovery_point))),
            (START_OFFSETS, encode_offsets(&above_zero(offsets(|row| row.log_start_offset)))),
            (CLEANED, encode_offsets(&above_zero(offsets(|row| row.cleaned_to)))),
            (HIGH_WATERMARKS, encode_offsets(&offsets(|row| row.high_watermark))),
            (TOPICS, encode_ids(&topics)),
        ];
        for (name, bytes) in files {
            if let Err(error) = self.disk(directory).write_small(name, &bytes, false) {
                self.log(Level::Warn, format!("a checkpoint could not be written: {error}"));
                if error.kind == ErrorKind::Failed {
                    return self.disk_failed(directory, &error.message);
                }
            }
        }
    }

    /// Writes down what a quick start needs, then says that this shard has stopped.
    pub(crate) fn stop(&mut self) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        self.close_partitions();
        self.close_metadata();
        let rows = self.checkpoint_rows();
        // A log in the last step of a move is closed in one place and opened in another.
        let recovered = self.recovered && !self.is_swapping();
        if self.me == ShardId(0) {
            self.shard_closed(rows, recovered);
        } else {
            let message = Message::Closed { rows, recovered };
            self.out.push(Output::ToShard { to: ShardId(0), message });
            self.out.push(Output::Stopped);
        }
    }

    /// A shard has stopped; with the last one the mark of a clean stop is set, unless something was not recovered yet:
    /// then the next start must look at it as this one would have.
    pub(crate) fn shard_closed(&mut self, rows: Vec<CheckpointRow>, recovered: bool) {
        self.closing.rows.extend(rows);
        self.closing.unrecovered |= !recovered;
        self.closing.shards += 1;
        if self.closing.shards < self.node.shards {
            return;
        }
        let rows = std::mem::take(&mut self.closing.rows);
        self.write_checkpoints(&rows);
        let clean = !self.closing.unrecovered;
        for directory in self.online_directories().filter(|_| clean).collect::<Vec<_>>() {
            if let Err(error) = self.disk(directory).write_small(CLEAN_SHUTDOWN, b"{\"version\":0}", false) {
                self.log(Level::Warn, format!("the mark of a clean stop could not be written: {error}"));
            }
        }
        self.out.push(Output::Stopped);
    }
}
