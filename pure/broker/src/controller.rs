//! The controller's place on shard 0: its log, its machine, and what waits for its records to be committed.
//!
//! The metadata log is a partition like any other, `__cluster_metadata-0`, whose records count once they are synced.
//! Decisions are made on the image as it will be; the image that everybody sees follows when they are committed.

use crate::call::ReplyTo;
use crate::job::{Job, JobFor};
use crate::seam::{Level, Message, Output};
use crate::shard::Shard;
use crate::work::{ControllerWork, Outcome};
use bytes::Bytes;
use log::{Disk, Identity, Log, Recovery, Trust};
use metadata::config::Settings;
use metadata::controller::{Command, Controller, Reply};
use metadata::names::CLUSTER_METADATA;
use metadata::{Image, Record, wire_version};
use record::{Batches, Builder, Template};
use replica::{Acks, Isolation, Origin, Read, Replica};
use std::collections::VecDeque;
use std::sync::Arc;
use types::{ErrorCode, LeaderEpoch, NodeId, Now, Offset, Rng, ShardId, Uuid};

/// Kafka's fixed id of the metadata topic.
const METADATA_TOPIC: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
/// At most so many bytes of the metadata log are read at once at start.
const REPLAY_BYTES: u32 = 8 << 20;

pub(crate) struct Controlling<D: Disk> {
    replica: Replica<D>,
    machine: Controller,
    /// Under everything committed.
    image: Image,
    waiting: VecDeque<Decided>,
}

/// What was decided and is not committed yet.
struct Decided {
    end_offset: Offset,
    records: Vec<Record>,
    to: Option<ReplyTo>,
    reply: Reply,
}

/// Why the metadata log cannot be used.
pub(crate) type Unusable = String;

impl<D: Disk> Controlling<D> {
    /// Opens the metadata log and replays it; everything in it is made durable first.
    pub fn open(disk: &D, given: &Settings, now: Now, trust: Trust) -> Result<Controlling<D>, Unusable> {
        let folder = format!("{CLUSTER_METADATA}-0");
        let identity = Identity { folder: folder.as_str().into(), topic: METADATA_TOPIC };
        let config = Arc::new(log::Config {
            flush_messages: 1,
            retention_ms: None,
            retention_bytes: None,
            ..log::Config::default()
        });
        let log = if disk.exists(&folder) {
            let disk = disk.clone();
            let (recovery_point, start_offset) = (Offset::ZERO, Offset::ZERO);
            let cleaned_to = Offset::ZERO;
            let recovery = Recovery { disk, identity, config, now, trust, recovery_point, start_offset, cleaned_to };
            recovery.run().map_err(|error| error.to_string())?.0
        } else {
            Log::create(disk.clone(), identity, config, now)
        };
        let epoch = LeaderEpoch(log.latest_epoch().map_or(0, |epoch| epoch.0.saturating_add(1)));
        let mut replica = Replica::lead(log, NodeId(0), epoch);
        sync_now(&mut replica, now);
        let image = replay(&mut replica, now)?;
        let machine = Controller::new(image.clone(), given.clone());
        Ok(Controlling { replica, machine, image, waiting: VecDeque::new() })
    }

    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The number of the next record, which numbers a registration.
    pub fn end_offset(&self) -> Offset {
        self.replica.log().map_or(Offset::ZERO, Log::end_offset)
    }

    /// The machine as if what failed had never been decided: committed and waiting records count, no others.
    fn rebuilt(&self, given: &Settings) -> Controller {
        let mut image = self.image.clone();
        for decided in &self.waiting {
            image.apply_all(&decided.records).expect("they were decided on this image");
        }
        Controller::new(image, given.clone())
    }

    /// Decides and commits at once, waiting for the disk: for the start, when nothing else goes on.
    pub fn decide_now(&mut self, command: &Command, now: Now, rng: &mut Rng) -> Result<(), Unusable> {
        let decision = self.machine.decide(command, rng);
        append(&mut self.replica, now, &decision.records).map_err(|(code, message)| format!("{code}: {message}"))?;
        sync_now(&mut self.replica, now);
        if self.replica.high_watermark() < self.end_offset() {
            return Err("it could not be synced".to_owned());
        }
        self.image.apply_all(&decision.records).map_err(|error| error.to_string())?;
        Ok(())
    }
}

/// Appends records as one batch, so that they are there together or not at all.
fn append<D: Disk>(replica: &mut Replica<D>, now: Now, records: &[Record]) -> Result<(), (ErrorCode, String)> {
    if records.is_empty() {
        return Ok(());
    }
    let mut builder = Builder::new(Template::default());
    for record in records {
        let value = record.encode(wire_version(record));
        builder.append(now.wall, None, Some(&value), &[]);
    }
    replica
        .append(now, builder.finish(), Origin::Controller, Acks::Leader)
        .map(|_| ())
        .map_err(|rejected| (rejected.code, rejected.message))
}

fn sync_now<D: Disk>(replica: &mut Replica<D>, now: Now) {
    if let Some(job) = replica.start_sync(now.at) {
        let synced = job.run();
        replica.sync_done(now, synced);
    }
}

fn replay<D: Disk>(replica: &mut Replica<D>, now: Now) -> Result<Image, Unusable> {
    let mut image = Image::default();
    let mut offset = replica.log().map_or(Offset::ZERO, Log::start_offset);
    let end = replica.log().map_or(Offset::ZERO, Log::end_offset);
    while offset < end {
        let read = Read { offset, max_bytes: REPLAY_BYTES, isolation: Isolation::LogEnd, ..Read::default() };
        let slice = replica.read(now, &read).map_err(|failure| failure.to_string())?;
        let bytes = crate::job::read_ranges(&slice.pieces).map_err(|error| error.to_string())?;
        let next = replay_batches(&mut image, &bytes, offset)?;
        if next == offset {
            return Err(format!("there is no whole batch at offset {offset} of the metadata log"));
        }
        offset = next;
    }
    Ok(image)
}

fn replay_batches(image: &mut Image, bytes: &Bytes, from: Offset) -> Result<Offset, Unusable> {
    let mut next = from;
    for batch in Batches::new(bytes) {
        let Ok((header, batch)) = batch else {
            break;
        };
        next = header.last_offset().next();
        if header.attributes.is_control() {
            continue;
        }
        let limit = types::limits::DECOMPRESSED_BATCH_BYTES_MAX;
        let mut records = record::records(batch, limit).map_err(|error| error.to_string())?;
        let mut decoded = Vec::new();
        while let Some(record) = records.next_record().map_err(|error| error.to_string())? {
            let value = Bytes::copy_from_slice(record.value.unwrap_or_default());
            decoded.push(
                Record::decode(value).map_err(|error| {
                    format!("the metadata record at offset {} cannot be read: {error}", record.offset)
                })?,
            );
        }
        image.apply_all(&decoded).map_err(|error| error.to_string())?;
    }
    Ok(next)
}

impl<D: Disk> Shard<D> {
    pub(crate) fn perform_controller(&mut self, work: ControllerWork, to: ReplyTo) -> Option<Outcome<D>> {
        let Some(controlling) = &mut self.controlling else {
            return Some(Outcome::refused(ErrorCode::NOT_CONTROLLER, ""));
        };
        let command = match work {
            ControllerWork::Decide(command) => command,
            ControllerWork::AutoCreate(names) => {
                // Somebody else may have asked for the same before this came here.
                let missing = names.iter().filter(|name| controlling.machine.image().topic_by_name(name).is_none());
                let topics = missing.map(|name| controlling.machine.auto_topic(name, 1)).collect();
                Command::CreateTopics { topics, validate_only: false }
            }
        };
        let decision = controlling.machine.decide(&command, &mut self.rng);
        if decision.records.is_empty() && controlling.waiting.is_empty() {
            return Some(Outcome::Controller(decision.reply));
        }
        if let Err((code, message)) = append(&mut controlling.replica, self.now, &decision.records) {
            let rebuilt = controlling.rebuilt(&self.given);
            controlling.machine = rebuilt;
            return Some(Outcome::refused(code, message));
        }
        let end_offset = controlling.end_offset();
        let decided = Decided { end_offset, records: decision.records, to: Some(to), reply: decision.reply };
        controlling.waiting.push_back(decided);
        self.sync_metadata();
        None
    }

    fn sync_metadata(&mut self) {
        let now = self.now.at;
        if let Some(controlling) = &mut self.controlling
            && controlling.replica.needs_sync(now)
            && let Some(job) = controlling.replica.start_sync(now)
        {
            self.start_job(JobFor::MetadataLog, Job::Log(log::Job::Sync(job)));
        }
    }

    pub(crate) fn metadata_job_done(&mut self, done: log::JobDone) {
        let now = self.now;
        let Some(controlling) = &mut self.controlling else {
            return;
        };
        let mut jobs = Vec::new();
        controlling.replica.job_done(now, done, &mut jobs);
        if let Some(reason) = controlling.replica.offline_reason() {
            let reason = format!("the metadata log cannot be written: {reason}");
            self.out.push(Output::Fatal { reason });
            return;
        }
        for job in jobs {
            self.start_job(JobFor::MetadataLog, Job::Log(job));
        }
        self.publish_committed();
        self.sync_metadata();
    }

    /// Everybody sees what is committed; then those who asked for it are told.
    fn publish_committed(&mut self) {
        let Some(controlling) = &mut self.controlling else {
            return;
        };
        let committed = controlling.replica.high_watermark();
        let mut records = Vec::new();
        let mut replies = Vec::new();
        while controlling.waiting.front().is_some_and(|first| first.end_offset <= committed) {
            let decided = controlling.waiting.pop_front().expect("it was just looked at");
            records.extend(decided.records);
            replies.extend(decided.to.map(|to| (to, decided.reply)));
        }
        let delta = controlling.image.apply_all(&records).expect("decisions fit the image that they were made on");
        let (image, delta) = (Arc::new(controlling.image.clone()), Arc::new(delta));
        if !delta.is_empty() {
            for number in (0..self.node.shards).map(ShardId).filter(|shard| *shard != self.me) {
                let message = Message::Image { image: image.clone(), delta: delta.clone() };
                self.out.push(Output::ToShard { to: number, message });
            }
            self.apply_image(image, &delta);
        }
        for (to, reply) in replies {
            self.done.push((to, Outcome::Controller(reply)));
        }
    }

    /// Writes out what a clean stop must leave of the metadata log.
    pub(crate) fn close_metadata(&mut self) {
        if let Some(controlling) = &mut self.controlling {
            controlling.replica.stop();
            if let Some(reason) = controlling.replica.offline_reason() {
                let text = format!("the metadata log could not be closed: {reason}");
                self.log(Level::Error, text);
            }
        }
    }
}
