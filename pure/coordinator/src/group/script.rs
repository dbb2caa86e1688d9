//! The text language of the tests: each line is what a client does, each line of the result what somebody is told.
//!
//! `CLIENT VERB [GROUP] [name=value ...]`; a client remembers its group, member id and generation. Member ids are
//! printed as the client's name and a count (`a1`), and written so.

use super::command::{
    CommitPartition, CommitTopic, DeleteGroups, DescribeGroups, Described, FetchTopic, FetchedPartition, Heartbeat,
    Join, JoinReply, Leave, Leaver, ListGroups, OffsetCommit, OffsetDelete, OffsetFetch, Sync,
};
use super::records::{Key, read_group, read_key, read_offset};
use super::*;
use bytes::{BufMut, Bytes, BytesMut};
use expect_test::Expect;
use std::fmt::Write;
use types::{LeaderEpoch, Timestamp};

pub(super) fn check(script: &str, expected: Expect) {
    check_after("", script, expected);
}

/// Expects what is said after a beginning that other tests are about.
pub(super) fn check_after(beginning: &str, script: &str, expected: Expect) {
    let mut world = World::new();
    world.run(beginning);
    world.said.clear();
    world.run(script);
    expected.assert_eq(&world.said);
}

#[derive(Default)]
struct Client {
    group: Text,
    member: Text,
    generation: Generation,
    instance: Option<Text>,
    ids: usize,
}

struct World {
    coordinator: Coordinator,
    config: Config,
    now: Now,
    log: Vec<Record>,
    printed: usize,
    fails: bool,
    clients: BTreeMap<String, Client>,
    waiting: BTreeMap<Token, String>,
    next_token: Token,
    aliases: BTreeMap<Text, String>,
    said: String,
}

struct Line<'a> {
    words: Vec<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl Line<'_> {
    fn has(&self, flag: &str) -> bool {
        self.words.contains(&flag)
    }

    fn number<T: std::str::FromStr>(&self, name: &str, default: T) -> T {
        self.options.get(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }
}

/// A consumer's subscription to topics joined by `+`.
fn subscription(topics: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    let topics: Vec<&str> = topics.split('+').filter(|topic| !topic.is_empty()).collect();
    bytes.put_i16(0);
    bytes.put_i32(i32::try_from(topics.len()).unwrap());
    for topic in topics {
        bytes.put_i16(i16::try_from(topic.len()).unwrap());
        bytes.put_slice(topic.as_bytes());
    }
    bytes.put_i32(-1);
    bytes.freeze()
}

impl World {
    fn new() -> World {
        let config = Config { offsets_retention_check_interval_ms: 60_000, ..Config::default() };
        let mut world = World {
            coordinator: Coordinator::new(config.clone(), Rng::new(1)),
            config,
            now: Now { at: Instant(0), wall: Timestamp(1_000_000) },
            log: Vec::new(),
            printed: 0,
            fails: false,
            clients: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next_token: 0,
            aliases: BTreeMap::new(),
            said: String::new(),
        };
        let decision = world.coordinator.loaded(world.now);
        world.store(decision);
        world
    }

    fn run(&mut self, script: &str) {
        script.lines().map(str::trim).filter(|line| !line.is_empty()).for_each(|line| self.step(line));
    }

    fn say(&mut self, line: impl AsRef<str>) {
        writeln!(self.said, "{}", line.as_ref().trim_end()).unwrap();
    }

    fn step(&mut self, text: &str) {
        let mut words: Vec<&str> = Vec::new();
        let mut options = BTreeMap::new();
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some((name, value)) => {
                    options.insert(name, value);
                }
                None => words.push(word),
            }
        }
        let line = Line { words, options };
        match *line.words.first().unwrap_or(&"") {
            "wait" => self.wait(line.words[1].parse().unwrap()),
            "crash" => self.crash(),
            "fail" => self.fails = true,
            "records" => self.print_records(),
            "counts" => self.say(format!("{:?}", self.coordinator.counts())),
            "set" => self.configure(&line),
            "topic-deleted" => {
                let topic = DeletedTopic { name: line.words[1].into(), id: uuid(line.number("id", 0)) };
                let decision = self.coordinator.topics_deleted(self.now, &[topic]);
                self.store(decision);
            }
            "unload" => {
                let replies = self.coordinator.unloaded();
                replies.into_iter().for_each(|(token, reply)| self.hear(token, &reply));
            }
            "fetch" | "list" | "describe" | "delete" | "delete-offsets" | "remove" => {
                let command = self.admin_command(&line);
                self.send("admin", command);
            }
            client => {
                let command = self.client_command(client, &line);
                self.send(client, command);
            }
        }
    }

    fn configure(&mut self, line: &Line) {
        self.config.max_size = line.number("max_size", self.config.max_size);
        self.config.message_bytes_max = line.number("message_bytes", self.config.message_bytes_max);
        self.config.offsets_retention_ms = line.number("retention", self.config.offsets_retention_ms);
        self.coordinator.configure(self.config.clone());
    }

    fn send(&mut self, client: &str, command: Command) {
        self.next_token += 1;
        self.waiting.insert(self.next_token, client.to_owned());
        let decision = self.coordinator.decide(self.now, self.next_token, command);
        self.store(decision);
    }

    fn store(&mut self, decision: Decision) {
        let decision = if self.fails && !decision.records.is_empty() {
            self.fails = false;
            let now_replies = decision.now_replies.clone();
            let mut refused = self.coordinator.failed(self.now, decision, ErrorCode::KAFKA_STORAGE_ERROR);
            refused.now_replies.splice(0..0, now_replies);
            refused
        } else {
            decision
        };
        for record in &decision.records {
            self.coordinator.replay(&record.key, record.value.as_ref()).unwrap();
        }
        self.log.extend(decision.records);
        self.coordinator.check();
        let replies: Vec<_> = decision.now_replies.iter().chain(&decision.replies).collect();
        replies.iter().for_each(|(token, reply)| self.learn(*token, reply));
        replies.iter().for_each(|(token, reply)| self.hear(*token, reply));
    }

    fn wait(&mut self, ms: u64) {
        let end = self.now.at.plus_ms(ms);
        while let Some(wake) = self.coordinator.next_wake().filter(|wake| *wake <= end) {
            self.advance(wake.max(self.now.at));
            let decision = self.coordinator.tick(self.now);
            self.store(decision);
        }
        self.advance(end);
    }

    fn advance(&mut self, to: Instant) {
        self.now.wall.0 += i64::try_from(to.ms_since(self.now.at)).unwrap();
        self.now.at = to;
    }

    fn crash(&mut self) {
        self.waiting.clear();
        self.coordinator = Coordinator::new(self.config.clone(), Rng::new(self.next_token + 100));
        for record in &self.log {
            self.coordinator.replay(&record.key, record.value.as_ref()).unwrap();
        }
        let decision = self.coordinator.loaded(self.now);
        self.store(decision);
    }

    /// A member id as the script writes it.
    fn member_id(&self, alias: &str) -> Text {
        let known = self.aliases.iter().find(|(_, name)| *name == alias);
        known.map_or_else(|| alias.into(), |(id, _)| id.clone())
    }

    fn alias(&self, id: &Text) -> String {
        self.aliases.get(id).cloned().unwrap_or_else(|| id.to_string())
    }

    fn client_command(&mut self, name: &str, line: &Line) -> Command {
        let overridden = line.options.get("member").map(|alias| self.member_id(alias));
        let newcomer = || Client { generation: Generation::NONE, ..Client::default() };
        let client = self.clients.entry(name.to_owned()).or_insert_with(newcomer);
        if let Some(instance) = line.options.get("instance") {
            client.instance = Some((*instance).into());
        }
        let instance = client.instance.clone();
        let member = overridden.unwrap_or_else(|| client.member.clone());
        let generation = Generation(line.number("generation", client.generation.0));
        if let Some(group) = line.words.get(2).filter(|word| !word.starts_with('v')) {
            client.group = if *group == "''" { Text::default() } else { (*group).into() };
        }
        let group = client.group.clone();
        match line.words[1] {
            "join" => Command::Join(join(name, line, group, member, instance)),
            "sync" => {
                let reserved = ["member", "generation", "type", "protocol", "instance"];
                let given = line.options.iter().filter(|(name, _)| !reserved.contains(name));
                let assigned = |(alias, to): (&&str, &&str)| (self.member_id(alias), Bytes::from((*to).to_owned()));
                let assignments = given.map(assigned).collect();
                let text = |name: &str| line.options.get(name).map(|value| (*value).into());
                let (protocol_type, protocol) = (text("type"), text("protocol"));
                Command::Sync(Sync { group, generation, member, instance, protocol_type, protocol, assignments })
            }
            "heartbeat" => Command::Heartbeat(Heartbeat { group, generation, member, instance }),
            "leave" => {
                let reason = line.options.get("reason").map(|reason| (*reason).into());
                Command::Leave(Leave { group, members: vec![Leaver { member, instance, reason }] })
            }
            "commit" => Command::OffsetCommit(OffsetCommit {
                group,
                generation,
                member,
                instance,
                retention_ms: line.options.get("keep").map(|ms| ms.parse().unwrap()),
                knows_group_id_not_found: line.has("v9"),
                topics: offsets(line),
            }),
            verb => panic!("no such verb: {verb}"),
        }
    }

    fn admin_command(&self, line: &Line) -> Command {
        let group: Text = line.words.get(1).map(|group| (*group).into()).unwrap_or_default();
        let texts = |name: &str| -> Vec<Text> {
            line.options.get(name).into_iter().flat_map(|value| value.split(',')).map(Text::from).collect()
        };
        let partitions = line.words.iter().skip(2).filter_map(|word| {
            let (topic, partition) = word.split_once(':')?;
            Some((Text::from(topic), PartitionIndex(partition.parse().ok()?)))
        });
        match line.words[0] {
            "fetch" => {
                let one = |(name, at)| FetchTopic { name, id: uuid(line.number("id", 0)), partitions: vec![at] };
                let topics = (!line.has("*")).then(|| partitions.map(one).collect());
                Command::OffsetFetch(OffsetFetch { group, topics })
            }
            "list" => Command::ListGroups(ListGroups { states: texts("states"), types: texts("types") }),
            "describe" => {
                let knows_group_id_not_found = line.has("v6");
                Command::DescribeGroups(DescribeGroups { groups: vec![group], knows_group_id_not_found })
            }
            "delete" => {
                let groups = line.words[1..].iter().map(|group| Text::from(*group)).collect();
                Command::DeleteGroups(DeleteGroups { groups })
            }
            "delete-offsets" => {
                let topics = partitions.map(|(topic, at)| (topic, vec![at])).collect();
                Command::OffsetDelete(OffsetDelete { group, topics })
            }
            _ => {
                let by_instance = texts("instances")
                    .into_iter()
                    .map(|instance| Leaver { instance: Some(instance), ..Leaver::default() });
                let by_member = texts("members")
                    .into_iter()
                    .map(|alias| Leaver { member: self.member_id(&alias), ..Leaver::default() });
                Command::Leave(Leave { group, members: by_instance.chain(by_member).collect() })
            }
        }
    }

    /// Remembers what a join is told, and names its member id.
    fn learn(&mut self, token: Token, reply: &Reply) {
        let Reply::Join(reply) = reply else { return };
        if !reply.error.is_ok() && reply.error != ErrorCode::MEMBER_ID_REQUIRED {
            return;
        }
        let name = &self.waiting[&token];
        let client = self.clients.get_mut(name).expect("only clients join");
        if !self.aliases.contains_key(&reply.member) {
            client.ids += 1;
            self.aliases.insert(reply.member.clone(), format!("{name}{}", client.ids));
        }
        client.member = reply.member.clone();
        client.generation = reply.generation;
    }

    fn hear(&mut self, token: Token, reply: &Reply) {
        let name = self.waiting.remove(&token).expect("each request is answered once");
        let text = match reply {
            Reply::Join(reply) => self.joined(reply),
            Reply::Sync(reply) => {
                let assignment = String::from_utf8_lossy(&reply.assignment);
                format!("sync {} assignment={assignment}", text(reply.error))
            }
            Reply::Heartbeat(error) => format!("heartbeat {}", text(*error)),
            Reply::Leave(reply) => {
                let each = |left: &super::command::LeftMember| {
                    let who = if left.member.is_empty() { left.instance.clone() } else { Some(left.member.clone()) };
                    format!("{} {}", self.alias(&who.unwrap_or_default()), text(left.error))
                };
                let members: Vec<String> = reply.members.iter().map(each).collect();
                format!("leave {} [{}]", text(reply.error), members.join(", "))
            }
            Reply::OffsetCommit(reply) => {
                let each = reply.topics.iter().flat_map(|topic| {
                    topic.partitions.iter().map(|(at, error)| format!("{}:{at} {}", topic.name, text(*error)))
                });
                format!("commit {}", each.collect::<Vec<_>>().join(", "))
            }
            Reply::OffsetFetch(reply) => {
                let each = reply
                    .topics
                    .iter()
                    .flat_map(|topic| topic.partitions.iter().map(|at| format!("{}:{}", topic.name, fetched(at))));
                format!("fetch {} {}", text(reply.error), each.collect::<Vec<_>>().join(", "))
            }
            Reply::OffsetDelete(reply) => {
                let each = reply.topics.iter().flat_map(|(topic, partitions)| {
                    partitions.iter().map(move |(at, error)| format!("{topic}:{at} {}", text(*error)))
                });
                format!("delete-offsets {} {}", text(reply.error), each.collect::<Vec<_>>().join(", "))
            }
            Reply::ListGroups(groups) => {
                let each =
                    groups.iter().map(|g| format!("{} {}({}) {}", g.group, g.state, g.protocol_type, g.group_type));
                format!("list {}", each.collect::<Vec<_>>().join(", "))
            }
            Reply::DescribeGroups(groups) => groups.iter().map(|group| self.described(group)).collect(),
            Reply::DeleteGroups(groups) => {
                let each = groups.iter().map(|(group, error)| format!("{group} {}", text(*error)));
                format!("delete {}", each.collect::<Vec<_>>().join(", "))
            }
        };
        self.say(format!("{name}: {text}"));
    }

    fn joined(&self, reply: &JoinReply) -> String {
        let member = self.alias(&reply.member);
        if !reply.error.is_ok() {
            return format!("join {} {member}", text(reply.error)).trim_end().to_owned();
        }
        let members = reply.members.iter().map(|member| self.alias(&member.member)).collect::<Vec<_>>().join(" ");
        let skip = if reply.skip_assignment { " skip-assignment" } else { "" };
        let protocol = reply.protocol.clone().unwrap_or_default();
        let (generation, leader) = (reply.generation.0, self.alias(&reply.leader));
        format!(
            "join ok {member} generation={generation} protocol={protocol} leader={leader} members=[{members}]{skip}"
        )
    }

    fn described(&self, group: &Described) -> String {
        let members = group.members.iter().map(|m| {
            let instance = m.instance.as_ref().map(|instance| format!("/{instance}")).unwrap_or_default();
            let (metadata, assignment) = (m.metadata.len(), String::from_utf8_lossy(&m.assignment));
            format!("{}{instance}@{} metadata={metadata} assignment={assignment}", self.alias(&m.member), m.client_host)
        });
        let members: Vec<String> = members.collect();
        let message = group.message.clone().unwrap_or_default();
        let (error, state, kind) = (text(group.error), group.state, &group.protocol_type);
        format!("describe {error} {} {state} {kind}/{} [{}] {message}", group.group, group.protocol, members.join(", "))
    }

    fn print_records(&mut self) {
        for record in self.log.split_off(self.printed) {
            let line = match (read_key(&record.key).unwrap(), &record.value) {
                (Key::Offset { group, topic, partition }, Some(value)) => {
                    let at = read_offset(value).unwrap();
                    let expiry = at.expires_at.map(|at| format!(" until={at}")).unwrap_or_default();
                    format!("{group} {topic}:{partition} = {} at={}{expiry}", at.offset, at.committed_at)
                }
                (Key::Offset { group, topic, partition }, None) => format!("{group} {topic}:{partition} deleted"),
                (Key::Group(id), Some(value)) => {
                    let group = read_group(&id, value).unwrap();
                    let members = group.members().keys().map(|id| self.alias(id)).collect::<Vec<_>>().join(" ");
                    let kind = group.protocol_type.unwrap_or_default();
                    format!("{id} generation={} type={kind} members=[{members}]", group.generation.0)
                }
                (Key::Group(id), None) => format!("{id} deleted"),
                (Key::Other, _) => "other".to_owned(),
            };
            self.say(format!("record {line}"));
            self.log.push(record);
        }
        self.printed = self.log.len();
    }
}

fn join(name: &str, line: &Line, group: Text, member: Text, instance: Option<Text>) -> Join {
    let protocols = line.options.get("protocols").unwrap_or(&"range:t");
    let protocol = |text: &str| {
        let (name, topics) = text.split_once(':').unwrap_or((text, ""));
        let garbage = topics == "garbage";
        (Text::from(name), if garbage { Bytes::from_static(b"garbage") } else { subscription(topics) })
    };
    Join {
        group,
        member,
        instance,
        client_id: name.into(),
        client_host: "/host".into(),
        session_timeout_ms: line.number("session", 10_000),
        rebalance_timeout_ms: line.number("rebalance", 60_000),
        protocol_type: (*line.options.get("type").unwrap_or(&"consumer")).into(),
        protocols: protocols.split(',').filter(|text| !text.is_empty()).map(protocol).collect(),
        reason: line.options.get("reason").map(|reason| (*reason).into()),
        requires_known_member: line.has("v4") || line.has("v9"),
        can_skip_assignment: line.has("v9"),
    }
}

/// `t:0=5` words as a commit.
fn offsets(line: &Line) -> Vec<CommitTopic> {
    let given = line.options.iter().filter_map(|(name, value)| {
        let (topic, partition) = name.split_once(':')?;
        let (offset, metadata) = value.split_once('/').unwrap_or((value, ""));
        let metadata = match metadata.parse() {
            Ok(length) => "m".repeat(length),
            Err(_) => metadata.to_owned(),
        };
        let partition = CommitPartition {
            partition: PartitionIndex(partition.parse().unwrap()),
            offset: Offset(offset.parse().unwrap()),
            leader_epoch: LeaderEpoch(-1),
            metadata: metadata.into(),
        };
        Some(CommitTopic { name: topic.into(), id: uuid(line.number("id", 0)), partitions: vec![partition] })
    });
    given.collect()
}

fn uuid(number: u8) -> Uuid {
    Uuid([number; 16])
}

fn text(error: ErrorCode) -> String {
    if error.is_ok() { "ok".to_owned() } else { error.name().unwrap_or("?").to_owned() }
}

fn fetched(at: &FetchedPartition) -> String {
    let metadata = if at.metadata.is_empty() { String::new() } else { format!("/{}", at.metadata) };
    format!("{}={}{metadata}", at.partition, at.offset)
}
