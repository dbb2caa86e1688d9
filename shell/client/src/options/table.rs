//! Every option of Kafka's clients by its name: what it means, what stands where it is not set, and what it sets; or
//! why it is refused. What an option does is for the fields that it sets to say.

use super::Settings;
use super::value::*;
use crate::admin::addresses;
use crate::security::{Kind as StoreKind, Secret, tls};
use client::{Acks, Assignor, Codec, GroupProtocol, Partitioning, Reset, SaslMechanism, Text};

/// Whose options these are.
pub const PRODUCER: u8 = 1;
pub const CONSUMER: u8 = 2;
pub const ADMIN: u8 = 4;
const ALL: u8 = PRODUCER | CONSUMER | ADMIN;

/// An option of Kafka's clients.
#[derive(Clone, Copy)]
pub struct Definition {
    pub name: &'static str,
    pub clients: u8,
    /// As it would be written.
    pub default: &'static str,
    pub help: &'static str,
    kind: Kind,
}

type Field<T> = fn(&mut Settings) -> &mut T;

/// What an option's text is read as, and where that goes.
#[derive(Clone, Copy)]
enum Kind {
    Ms(Field<u64>),
    /// A number of bytes.
    Bytes(Field<usize>),
    /// A number in a range.
    Number(Field<i32>, i32, i32),
    Boolean(Field<bool>),
    /// The size of a socket's buffer; -1 is the system's own.
    Buffer(Field<Option<u32>>),
    Text(Field<String>),
    /// As `Text`, and never shown.
    Hidden(Field<Secret>),
    Other(fn(&mut Settings, &str) -> Result<(), String>),
}

impl Definition {
    pub(super) fn set(&self, settings: &mut Settings, text: &str) -> Result<(), String> {
        match self.kind {
            Kind::Ms(field) => put(field(settings), number(text, 0..=u64::MAX >> 1)),
            Kind::Bytes(field) => put(field(settings), number(text, 0..=usize::MAX >> 1)),
            Kind::Number(field, least, most) => put(field(settings), number(text, least..=most)),
            Kind::Boolean(field) => put(field(settings), choice(text, &[("true", true), ("false", false)])),
            Kind::Buffer(field) if text == "-1" => put(field(settings), Ok(None)),
            Kind::Buffer(field) => put(field(settings), number(text, 0..=i32::MAX.cast_unsigned()).map(Some)),
            Kind::Text(field) => put(field(settings), Ok(text.to_owned())),
            Kind::Hidden(field) => put(field(settings), Ok(Secret(text.to_owned()))),
            Kind::Other(set) => set(settings, text),
        }
    }
}

const fn row(name: &'static str, clients: u8, default: &'static str, kind: Kind, help: &'static str) -> Definition {
    Definition { name, clients, default, help, kind }
}

use Kind::{Boolean, Buffer, Bytes, Hidden, Ms, Number, Other, Text as Words};

#[rustfmt::skip]
pub const TABLE: &[Definition] = &[
    // What all clients have.
    row("bootstrap.servers", ALL, "", Other(|s, v| put(&mut s.cluster.bootstrap, addresses(v).map_err(|e| e.to_string()))),
        "Members of the cluster, as HOST:PORT,HOST:PORT"),
    row("client.id", ALL, "vltava", Other(|s, v| put(&mut s.cluster.client_id, Ok(v.to_owned()))),
        "How brokers name this client in logs, metrics and quotas"),
    row("client.dns.lookup", ALL, "use_all_dns_ips", Other(|_, v| only(v, &["use_all_dns_ips"],
        "canonical names are of use with Kerberos alone, which is not spoken: leave this option out")),
        "All addresses of a name are tried, in their order"),
    row("request.timeout.ms", ALL, "30000", Ms(|s| &mut s.cluster.request_timeout_ms), "How long an answer may take"),
    row("default.api.timeout.ms", CONSUMER | ADMIN, "60000", Ms(|s| &mut s.cluster.api_timeout_ms), "How long a call may take"),
    row("retry.backoff.ms", ALL, "100", Ms(|s| &mut s.cluster.retry_backoff_ms.0), "The wait after a failure"),
    row("retry.backoff.max.ms", ALL, "1000", Ms(|s| &mut s.cluster.retry_backoff_ms.1), "The wait after many"),
    row("reconnect.backoff.ms", ALL, "50", Ms(|s| &mut s.cluster.reconnect_backoff_ms.0), "The wait to dial again"),
    row("reconnect.backoff.max.ms", ALL, "1000", Ms(|s| &mut s.cluster.reconnect_backoff_ms.1), "The same after many failures"),
    row("socket.connection.setup.timeout.ms", ALL, "10000", Ms(|s| &mut s.cluster.connect_timeout_ms),
        "How long a connection may take to come about"),
    row("socket.connection.setup.timeout.max.ms", ALL, "30000", Ms(|s| &mut s.cluster.connect_timeout_ms_max),
        "The same after many failures"),
    row("connections.max.idle.ms", ALL, "540000", Other(|s, v| put(&mut s.cluster.connection_idle_ms_max,
        if v == "-1" { Ok(u64::MAX) } else { number(v, 0..=u64::MAX) })),
        "After how long a connection is closed that nobody needs; -1 is never"),
    row("metadata.max.age.ms", ALL, "300000", Ms(|s| &mut s.cluster.metadata_max_age_ms),
        "After how long the cluster is asked anew what it is"),
    row("metadata.max.idle.ms", PRODUCER, "300000", Ms(|s| &mut s.producer.metadata_idle_ms_max),
        "After how long a topic is no longer asked about"),
    row("metadata.recovery.strategy", ALL, "rebootstrap", Other(|s, v| put(&mut s.cluster.rebootstraps,
        choice(v, &[("rebootstrap", true), ("none", false)]))),
        "Whether bootstrap.servers are asked again where no broker that is known answers"),
    row("send.buffer.bytes", ALL, "-1", Buffer(|s| &mut s.dialer.send_buffer_bytes), "SO_SNDBUF; -1 is the system's own"),
    row("receive.buffer.bytes", ALL, "-1", Buffer(|s| &mut s.dialer.receive_buffer_bytes), "SO_RCVBUF; -1 is the system's own"),
    row("retries", PRODUCER | ADMIN, "2147483647", Other(|s, v| put(&mut s.cluster.retries_max, number(v, 0..=u32::MAX >> 1))),
        "How often a request is made again"),
    row("enable.metrics.push", ALL, "false", Other(|_, v| only(v, &["false"], "metrics are not pushed: read `metrics()`")),
        "Whether brokers are sent this client's metrics (KIP-714)"),
    // Who brokers are, and who this client is to them.
    row("security.protocol", ALL, "PLAINTEXT", Other(|s, v| put(&mut s.security.protocol, choice(v, &[("PLAINTEXT", (false, false)),
        ("SSL", (true, false)), ("SASL_PLAINTEXT", (false, true)), ("SASL_SSL", (true, true))]))),
        "Whether TLS is spoken, and whether the client says who it is (SASL)"),
    row("ssl.truststore.location", ALL, "", Words(|s| &mut s.security.tls.truststore.location),
        "A file of authorities that brokers' certificates are signed by; the system's own where there is none"),
    row("ssl.truststore.type", ALL, "JKS", Other(|s, v| put(&mut s.security.tls.truststore.kind, kind(v))), "PEM or PKCS12"),
    row("ssl.truststore.password", ALL, "", Hidden(|s| &mut s.security.tls.truststore.password), "Of a PKCS #12 file"),
    row("ssl.truststore.certificates", ALL, "", Hidden(|s| &mut s.security.tls.truststore.certificates),
        "Authorities as PEM, in place of a file"),
    row("ssl.keystore.location", ALL, "", Words(|s| &mut s.security.tls.keystore.location),
        "A file with this client's key and certificates"),
    row("ssl.keystore.type", ALL, "JKS", Other(|s, v| put(&mut s.security.tls.keystore.kind, kind(v))), "PEM or PKCS12"),
    row("ssl.keystore.password", ALL, "", Hidden(|s| &mut s.security.tls.keystore.password), "Of a PKCS #12 file"),
    row("ssl.keystore.key", ALL, "", Hidden(|s| &mut s.security.tls.keystore.key), "The key as PEM, in place of a file"),
    row("ssl.keystore.certificate.chain", ALL, "", Hidden(|s| &mut s.security.tls.keystore.certificates), "Its certificates"),
    row("ssl.key.password", ALL, "", Hidden(|s| &mut s.security.tls.key_password), "Of an encrypted key in PEM"),
    row("ssl.endpoint.identification.algorithm", ALL, "https", Other(|s, v| put(&mut s.security.tls.names_are_checked,
        choice(v, &[("https", true), ("", false)]))), "Whether a broker's certificate has to be for its host; empty is no"),
    row("ssl.enabled.protocols", ALL, "TLSv1.2,TLSv1.3", Other(|s, v| put(&mut s.security.tls.versions, tls::versions(v))),
        "Versions that may be spoken"),
    row("ssl.cipher.suites", ALL, "", Other(|s, v| put(&mut s.security.tls.suites, tls::suites(v))),
        "Suites that may be used; all that are sound where none are named"),
    row("sasl.mechanism", ALL, "GSSAPI", Other(|s, v| put(&mut s.security.sasl.mechanism, mechanism(v))),
        "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"),
    row("sasl.jaas.config", ALL, "", Hidden(|s| &mut s.security.sasl.jaas),
        "The user: org.apache.kafka.common.security.scram.ScramLoginModule required username=\"..\" password=\"..\";"),
    row("sasl.username", ALL, "", Words(|s| &mut s.security.sasl.username), "The user, without sasl.jaas.config"),
    row("sasl.password", ALL, "", Hidden(|s| &mut s.security.sasl.password), "The user's password"),
    row("sasl.oauthbearer.token.endpoint.url", ALL, "", Words(|s| &mut s.security.sasl.token_url),
        "Where tokens are: an OAuth server's, or file:///PATH"),
    row("sasl.oauthbearer.client.credentials.client.id", ALL, "", Words(|s| &mut s.security.sasl.client_id),
        "Who asks the OAuth server"),
    row("sasl.oauthbearer.client.credentials.client.secret", ALL, "", Hidden(|s| &mut s.security.sasl.client_secret),
        "The secret of who asks"),
    row("sasl.oauthbearer.scope", ALL, "", Words(|s| &mut s.security.sasl.scope), "What the token is asked to be good for"),
    // What producers have.
    row("acks", PRODUCER, "all", Other(|s, v| put(&mut s.producer.acks,
        choice(v, &[("all", Acks::All), ("-1", Acks::All), ("1", Acks::Leader), ("0", Acks::None)]))),
        "Who must have a record: all replicas in sync, the leader (1), nobody (0)"),
    row("enable.idempotence", PRODUCER, "true", Boolean(|s| &mut s.producer.idempotent), "Each record once and in order"),
    row("batch.size", PRODUCER, "16384", Bytes(|s| &mut s.producer.batch_bytes), "Bytes gathered for one partition"),
    row("linger.ms", PRODUCER, "5", Ms(|s| &mut s.producer.linger_ms), "How long a batch waits to be filled"),
    row("buffer.memory", PRODUCER, "33554432", Bytes(|s| &mut s.producer.buffer_bytes), "Bytes that may wait for delivery"),
    row("max.block.ms", PRODUCER, "60000", Ms(|s| &mut s.producer.block_ms_max), "The wait for memory, or for a topic"),
    row("max.request.size", PRODUCER, "1048576", Bytes(|s| &mut s.producer.request_bytes_max), "Bytes of a request at most"),
    row("delivery.timeout.ms", PRODUCER, "120000", Ms(|s| &mut s.producer.delivery_timeout_ms), "When a record fails"),
    row("max.in.flight.requests.per.connection", PRODUCER, "5", Other(|s, v| put(&mut s.producer.in_flight_max,
        number(v, 1..=i32::MAX as usize))), "How many requests may wait for their answers at one broker"),
    row("compression.type", PRODUCER, "none", Other(|s, v| put(&mut s.producer.codec.0,
        choice(v, &Codec::ALL.map(|codec| (codec.name(), codec))))), "How batches are compressed"),
    row("compression.gzip.level", PRODUCER, "-1", Number(|s| &mut s.levels[0], -1, 9), "1 is fast, 9 small, -1 gzip's own"),
    row("compression.lz4.level", PRODUCER, "9", Number(|s| &mut s.levels[1], 1, 17), "1 is fast, 17 small"),
    row("compression.zstd.level", PRODUCER, "3", Number(|s| &mut s.levels[2], -131_072, 22), "-131072 is fast, 22 small"),
    row("key.serializer", PRODUCER, "bytes", Other(serializer), "Keys are bytes as they are; a TypedProducer makes them"),
    row("value.serializer", PRODUCER, "bytes", Other(serializer), "The same for values"),
    row("partitioner.class", PRODUCER, "", Other(partitioner), "How partitions are chosen: by key, else batch by batch"),
    row("partitioner.ignore.keys", PRODUCER, "false", Boolean(|s| &mut s.producer.ignores_keys), "Keys do not choose"),
    row("partitioner.adaptive.partitioning.enable", PRODUCER, "true", Boolean(|s| &mut s.producer.is_adaptive),
        "Whether partitions with fewer waiting batches are chosen more often"),
    row("partitioner.availability.timeout.ms", PRODUCER, "0", Ms(|s| &mut s.producer.availability_timeout_ms),
        "After how long a partition is not chosen whose broker takes nothing; 0 is never"),
    row("transactional.id", PRODUCER, "", Other(|s, v| put(&mut s.producer.transactional_id,
        Ok(Some(Text::from(v)).filter(|id| !id.is_empty())))), "The name under which its transactions outlive it"),
    row("transaction.timeout.ms", PRODUCER, "60000", Ms(|s| &mut s.producer.transaction_timeout_ms),
        "After how long a transaction that goes on is aborted"),
    // What consumers have.
    row("key.deserializer", CONSUMER, "bytes", Other(serializer), "Keys are bytes as they are; a TypedConsumer reads them"),
    row("value.deserializer", CONSUMER, "bytes", Other(serializer), "The same for values"),
    row("group.id", CONSUMER, "", Other(|s, v| put(&mut s.group.id, Ok(Text::from(v)))), "The group that it is a member of"),
    row("group.instance.id", CONSUMER, "", Other(|s, v| put(&mut s.group.instance_id,
        Ok(Some(Text::from(v)).filter(|id| !id.is_empty())))), "A name that it keeps across restarts (static membership)"),
    row("group.protocol", CONSUMER, "classic", Other(|s, v| put(&mut s.group.protocol,
        choice(v, &[("classic", GroupProtocol::Classic), ("consumer", GroupProtocol::Consumer)]))),
        "Who assigns: a member, when all have met (classic), or the coordinator, step by step (consumer)"),
    row("group.remote.assignor", CONSUMER, "", Other(|s, v| put(&mut s.group.remote_assignor,
        Ok(Some(Text::from(v)).filter(|name| !name.is_empty())))), "By which rules the coordinator assigns; empty is its first"),
    row("session.timeout.ms", CONSUMER, "45000", Ms(|s| &mut s.group.session_timeout_ms), "When its place is lost"),
    row("heartbeat.interval.ms", CONSUMER, "3000", Ms(|s| &mut s.group.heartbeat_ms), "How often it says that it lives"),
    row("max.poll.interval.ms", CONSUMER, "300000", Ms(|s| &mut s.group.poll_interval_max_ms), "The time between two polls"),
    row("enable.auto.commit", CONSUMER, "true", Boolean(|s| &mut s.auto_commits), "What was polled is committed by itself"),
    row("auto.commit.interval.ms", CONSUMER, "5000", Ms(|s| &mut s.auto_commit_ms), "How often that happens"),
    row("partition.assignment.strategy", CONSUMER, "range,cooperative-sticky", Other(|s, v| put(&mut s.group.assignors,
        v.split(',').map(|name| assignor(name.trim())).collect())), "Who gets which partition: the first that all know"),
    row("max.poll.records", CONSUMER, "500", Other(|s, v| put(&mut s.consumer.poll_records_max,
        number(v, 1..=i32::MAX as usize))), "Records of one poll at most"),
    row("check.crcs", CONSUMER, "true", Boolean(|s| &mut s.consumer.check_crcs), "Whether checksums are looked at"),
    row("client.rack", CONSUMER, "", Other(|s, v| put(&mut s.consumer.rack, Ok(Text::from(v)))), "Where it is: nearer replicas are read"),
    row("exclude.internal.topics", CONSUMER, "true", Boolean(|s| &mut s.consumer.exclude_internal_topics),
        "Whether patterns leave Kafka's own topics out"),
    row("auto.offset.reset", CONSUMER, "latest", Other(|s, v| put(&mut s.consumer.reset, reset(v))),
        "Where to begin where nothing is committed"),
    row("isolation.level", CONSUMER, "read_uncommitted", Other(|s, v| put(&mut s.consumer.read_committed,
        choice(v, &[("read_uncommitted", false), ("read_committed", true)]))),
        "Whether open and aborted transactions are seen"),
    row("fetch.min.bytes", CONSUMER, "1", Number(|s| &mut s.consumer.fetch_min_bytes, 0, i32::MAX), "Bytes worth an answer"),
    row("fetch.max.wait.ms", CONSUMER, "500", Number(|s| &mut s.consumer.fetch_wait_ms, 0, i32::MAX), "The wait for them"),
    row("fetch.max.bytes", CONSUMER, "52428800", Number(|s| &mut s.consumer.fetch_bytes_max, 0, i32::MAX), "Bytes of one answer"),
    row("max.partition.fetch.bytes", CONSUMER, "1048576", Number(|s| &mut s.consumer.partition_bytes_max, 0, i32::MAX),
        "Bytes of one partition in one answer"),
    row("allow.auto.create.topics", CONSUMER, "true", Boolean(|s| &mut s.consumer.cluster.allow_auto_create_topics),
        "Whether asking for a topic may create it"),
];

/// What Kafka's clients have and these do not: names or their beginnings, whose they are, and what to do instead.
#[rustfmt::skip]
pub const REFUSED: &[(&str, u8, &str)] = &[
    ("interceptor.classes", ALL, "Java classes cannot be loaded: wrap `send` and `poll` in your own code"),
    ("metric.reporters", ALL, "Java classes cannot be loaded: read `metrics()` of the client"),
    ("metrics.", ALL, "metrics are counts and are not sampled: leave this option out and read `metrics()`"),
    ("config.providers", ALL, "Java classes cannot be loaded: fill values in before the options are read"),
    ("bootstrap.controllers", ADMIN, "brokers answer every request or pass it on: give bootstrap.servers"),
    ("metadata.recovery.rebootstrap.trigger.ms", ALL,
        "bootstrap.servers are tried as soon as no known broker answers: leave this option out"),
    ("transaction.two.phase.commit.enable", PRODUCER, "two-phase commit (KIP-939) is not spoken: leave this option out"),
    ("sasl.kerberos.", ALL, "Kerberos is not spoken: use SCRAM-SHA-512 or OAUTHBEARER"),
    ("sasl.login.", ALL, "Java classes cannot be loaded, and tokens are renewed by themselves: leave this option out"),
    ("sasl.client.callback.handler.class", ALL, "Java classes cannot be loaded: bring tokens by `token_supplier`"),
    ("sasl.oauthbearer.", ALL, "tokens come from sasl.oauthbearer.token.endpoint.url or `token_supplier`: leave this option out"),
    ("ssl.protocol", ALL, "ssl.enabled.protocols says which versions may be spoken: leave this option out"),
    ("ssl.provider", ALL, "Java classes cannot be loaded: TLS is rustls"),
    ("ssl.engine.factory.class", ALL, "Java classes cannot be loaded: TLS is rustls"),
    ("ssl.keymanager.algorithm", ALL, "TLS is rustls: leave this option out"),
    ("ssl.trustmanager.algorithm", ALL, "TLS is rustls: leave this option out"),
    ("ssl.secure.random.implementation", ALL, "TLS is rustls: leave this option out"),
    ("ssl.ca.location", ALL, "in Kafka's words it is ssl.truststore.location, with ssl.truststore.type=PEM"),
    ("ssl.certificate.location", ALL, "in Kafka's words key and certificates are in one file, ssl.keystore.location"),
    ("ssl.key.location", ALL, "in Kafka's words key and certificates are in one file, ssl.keystore.location"),
    ("sasl.mechanisms", ALL, "in Kafka's words it is sasl.mechanism"),
    ("security.providers", ALL, "Java classes cannot be loaded: TLS is rustls"),
    ("share.", CONSUMER, "share groups are not read: leave this option out"),
];

/// Takes no other value, whose reason is given.
fn only(text: &str, words: &[&str], why: &str) -> Result<(), String> {
    if words.contains(&text) { Ok(()) } else { Err(why.to_owned()) }
}

fn assignor(name: &str) -> Result<Assignor, String> {
    let why = "it is none of range, roundrobin, sticky and cooperative-sticky; give one of your own as an \
               `Assignor::Custom` in `GroupOptions::assignors`";
    Assignor::parse(name).ok_or_else(|| why.to_owned())
}

fn reset(text: &str) -> Result<Reset, String> {
    match text.strip_prefix("by_duration:") {
        Some(span) => duration_ms(span).map(Reset::ByDuration),
        None => choice(text, &[("latest", Reset::Latest), ("earliest", Reset::Earliest), ("none", Reset::None)])
            .map_err(|why| format!("{why}, or `by_duration:` with a span such as PT1H")),
    }
}

/// Serializers and deserializers of Java, by what they do to bytes: nothing.
fn serializer(_: &mut Settings, name: &str) -> Result<(), String> {
    let name = name.rsplit('.').next().unwrap_or_default();
    let why = "Java classes cannot be loaded: leave it out, and make a `serial::TypedProducer` or `serial::TypedConsumer` with functions";
    only(name, &["bytes", "ByteArraySerializer", "BytesSerializer", "ByteArrayDeserializer", "BytesDeserializer"], why)
}

fn kind(text: &str) -> Result<Option<StoreKind>, String> {
    choice(text, &[("JKS", None), ("PKCS12", Some(StoreKind::Pkcs12)), ("PEM", Some(StoreKind::Pem))])
}

fn mechanism(text: &str) -> Result<Option<SaslMechanism>, String> {
    let [one, two, three, four] = SaslMechanism::ALL.map(|mechanism| (mechanism.name(), Some(mechanism)));
    // What Kafka has where nothing is said; it is refused once SASL is to be spoken.
    choice(text, &[one, two, three, four, ("GSSAPI", None)])
}

fn partitioner(settings: &mut Settings, name: &str) -> Result<(), String> {
    settings.producer.partitioning = match name.rsplit('.').next().unwrap_or_default() {
        "" | "DefaultPartitioner" => Partitioning::Default,
        "UniformStickyPartitioner" => Partitioning::UniformSticky,
        "RoundRobinPartitioner" => Partitioning::RoundRobin,
        _ => {
            let why = "it is none of DefaultPartitioner, UniformStickyPartitioner and RoundRobinPartitioner; give one of \
                       your own as a `Partitioner` in `ProducerOptions::partitioning`";
            return Err(why.to_owned());
        }
    };
    Ok(())
}
