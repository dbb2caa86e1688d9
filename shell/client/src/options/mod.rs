//! The options of clients under Kafka's names: from a map, a `.properties` file or typed structs, checked before anything
//! is started. Must never know a socket; what an option means is its row's in the table.

mod properties;
mod table;
mod value;

use crate::clock::seed;
use crate::dial::Dialer;
use crate::error::Error;
use crate::security::{Login, Security, Source, TokenSupplier};
use client::{Acks, Codec, ConsumerOptions, GroupOptions, GroupProtocol, Options, ProducerOptions, SaslMechanism};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
pub use table::{ADMIN, CONSUMER, Definition, PRODUCER};

/// What a client is made of. Its `options` may be changed, or given as a whole: `Config::from`.
///
/// ```
/// use vltava_client::{AdminConfig, ConsumerConfig, ProducerConfig};
///
/// # fn main() -> Result<(), vltava_client::Error> {
/// // A producer: who has to have a record, how they are put together, how long it all may take.
/// ProducerConfig::from_map([
///     ("bootstrap.servers", "one:9092,two:9092"),
///     ("acks", "all"),
///     ("linger.ms", "20"),
///     ("compression.type", "zstd"),
///     ("delivery.timeout.ms", "60000"),
/// ])?;
/// // A consumer: its group, where it begins, how much it fetches.
/// ConsumerConfig::from_text("group.id=readers\nauto.offset.reset=earliest\nfetch.max.bytes=1048576")?;
/// // Connections: names, time-outs, waits after failures.
/// AdminConfig::from_map([("client.id", "me"), ("request.timeout.ms", "5000"), ("reconnect.backoff.max.ms", "500")])?;
/// // SASL; `sasl.jaas.config` says the same in Java's words.
/// AdminConfig::from_map([
///     ("security.protocol", "SASL_SSL"),
///     ("sasl.mechanism", "SCRAM-SHA-512"),
///     ("sasl.username", "alice"),
///     ("sasl.password", "secret"),
/// ])?;
/// // TLS with an authority of one's own; ssl.keystore.location names this client's key and certificates.
/// let tls = [("security.protocol", "SSL"), ("ssl.truststore.type", "PEM"), ("ssl.truststore.location", "ca.pem")];
/// assert!(AdminConfig::from_map(tls).is_err_and(|error| error.to_string().contains("ca.pem: No such file")));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Config<O> {
    pub options: O,
    pub(crate) dialer: Dialer,
}

pub type ProducerConfig = Config<ProducerOptions>;
pub type ConsumerConfig = Config<ConsumerOptions>;
pub type AdminConfig = Config<Options>;

impl<O> From<O> for Config<O> {
    fn from(options: O) -> Config<O> {
        Config { options, dialer: Dialer::default() }
    }
}

#[allow(private_bounds)]
impl<O: Kind> Config<O> {
    /// Takes options by Kafka's names; what is not named has its default.
    ///
    /// # Errors
    /// [`Error::BadOption`] for a name that is not known, a value that is not valid, an option that this client does not
    /// act upon, and options that contradict each other. It says what to write instead.
    pub fn from_map<K: AsRef<str>, V: AsRef<str>>(
        options: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Config<O>, Error> {
        let mut settings = Settings::read(O::CLIENTS, options)?;
        let mut dialer = settings.dialer.clone();
        let security = std::mem::take(&mut settings.security);
        security.secure(&mut dialer, &settings.given).map_err(Error::BadOption)?;
        Ok(Config { options: O::build(settings).map_err(Error::BadOption)?, dialer })
    }

    /// As `from_map`, from the text of a `.properties` file.
    pub fn from_text(text: &str) -> Result<Config<O>, Error> {
        Config::from_map(properties::parse(text).map_err(Error::BadOption)?)
    }

    /// As `from_map`, from a `.properties` file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Config<O>, Error> {
        Config::from_map(read_properties(path)?)
    }

    /// With tokens for `sasl.mechanism=OAUTHBEARER` that the program brings, such as an `async` closure's.
    ///
    /// # Errors
    /// [`Error::BadOption`] where the options have another mechanism.
    pub fn token_supplier(mut self, supplier: impl TokenSupplier) -> Result<Config<O>, Error> {
        match self.dialer.login.as_mut().and_then(Arc::get_mut) {
            Some(login) if login.mechanism == SaslMechanism::OAuthBearer => {
                login.source = Source::Supplier(Arc::new(supplier))
            }
            _ => {
                let why = "tokens are for OAUTHBEARER: set sasl.mechanism=OAUTHBEARER and security.protocol=SASL_SSL";
                return Err(Error::BadOption(why.to_owned()));
            }
        }
        Ok(self)
    }

    /// What a client is started with.
    pub(crate) fn ready(mut self, cluster: impl Fn(&mut O) -> &mut Options) -> Result<(O, Dialer), Error> {
        let cluster = cluster(&mut self.options);
        if cluster.bootstrap.is_empty() {
            return Err(Error::BadOption("bootstrap.servers is empty: set it to HOST:PORT of a broker".to_owned()));
        }
        if let Some(Login { source: Source::Missing, .. }) = self.dialer.login.as_deref() {
            let why = "sasl.mechanism=OAUTHBEARER has no token: set sasl.oauthbearer.token.endpoint.url, or use `token_supplier`";
            return Err(Error::BadOption(why.to_owned()));
        }
        cluster.sasl = self.dialer.login.as_ref().map(|login| login.mechanism);
        cluster.seed = seed();
        Ok((self.options, self.dialer))
    }
}

/// The names and values in a `.properties` file.
///
/// # Errors
/// [`Error::BadOption`] where it cannot be read.
pub fn read_properties(path: impl AsRef<Path>) -> Result<Vec<(String, String)>, Error> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    text.and_then(|text| properties::parse(&text)).map_err(|why| Error::BadOption(format!("{}: {why}", path.display())))
}

/// The options of one kind of client.
trait Kind: Sized {
    const CLIENTS: u8;
    fn build(settings: Settings) -> Result<Self, String>;
}

impl Kind for Options {
    const CLIENTS: u8 = ADMIN;

    fn build(settings: Settings) -> Result<Options, String> {
        Ok(settings.cluster)
    }
}

impl Kind for ProducerOptions {
    const CLIENTS: u8 = PRODUCER;

    fn build(settings: Settings) -> Result<ProducerOptions, String> {
        let level = match settings.producer.codec.0 {
            Codec::Gzip => settings.levels[0],
            Codec::Lz4 => settings.levels[1],
            Codec::Zstd => settings.levels[2],
            Codec::None | Codec::Snappy => 0,
        };
        let Settings { cluster, producer, given, .. } = settings;
        let codec = (producer.codec.0, level);
        let mut producer = ProducerOptions { cluster, codec, ..producer };
        agree(&mut producer, &given)?;
        Ok(producer)
    }
}

/// Sees to it that a producer's options do not contradict each other. What was not given yields to what was.
fn agree(producer: &mut ProducerOptions, given: &BTreeSet<&'static str>) -> Result<(), String> {
    let is_transactional = producer.transactional_id.is_some();
    if is_transactional && !producer.idempotent {
        return Err("transactional.id needs enable.idempotence=true: set that, or leave it out".to_owned());
    }
    let obstacles = [
        (producer.acks != Acks::All, "acks is not all: set acks=all"),
        (producer.cluster.retries_max == 0, "retries is 0: set retries to 1 or more, or leave it out"),
        (producer.in_flight_max > 5, "max.in.flight.requests.per.connection is above 5: set 5 or less"),
    ];
    let is_wanted = is_transactional || given.contains("enable.idempotence") && producer.idempotent;
    let wish = if is_transactional { "transactional.id" } else { "enable.idempotence=true" };
    for (_, why) in obstacles.iter().filter(|(stands, _)| *stands) {
        if is_wanted {
            return Err(format!(
                "{wish} cannot be kept while {why}, or enable.idempotence=false and no transactional.id"
            ));
        }
        producer.idempotent = false;
    }
    let least_ms = producer.linger_ms.saturating_add(producer.cluster.request_timeout_ms);
    if producer.delivery_timeout_ms < least_ms {
        if given.contains("delivery.timeout.ms") {
            let given = producer.delivery_timeout_ms;
            return Err(format!(
                "delivery.timeout.ms={given} leaves no time for linger.ms and request.timeout.ms together: \
                 set it to {least_ms} or more, or those to less"
            ));
        }
        producer.delivery_timeout_ms = least_ms;
    }
    Ok(())
}

impl Kind for ConsumerOptions {
    const CLIENTS: u8 = CONSUMER;

    fn build(settings: Settings) -> Result<ConsumerOptions, String> {
        let Settings { cluster, consumer, mut group, given, .. } = settings;
        let (other, of_one) = match group.protocol {
            GroupProtocol::Classic => ("consumer", &["group.remote.assignor"][..]),
            GroupProtocol::Consumer => {
                ("classic", &["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"][..])
            }
        };
        if let Some(name) = of_one.iter().find(|name| given.contains(*name)) {
            return Err(format!("{name} has a meaning with group.protocol={other} alone: leave it out, or set that"));
        }
        let (heartbeat, session) = (group.heartbeat_ms, group.session_timeout_ms);
        if heartbeat >= session {
            return Err(format!(
                "heartbeat.interval.ms={heartbeat} is not below session.timeout.ms={session}: set it to {} or less",
                session / 3
            ));
        }
        if group.id.is_empty() && given.contains("enable.auto.commit") && settings.auto_commits {
            return Err("enable.auto.commit=true needs a group to commit for: set group.id".to_owned());
        }
        group.auto_commit_ms = settings.auto_commits.then_some(settings.auto_commit_ms);
        let group = Some(group).filter(|group| !group.id.is_empty());
        let allow_auto_create_topics = consumer.cluster.allow_auto_create_topics;
        Ok(ConsumerOptions { cluster: Options { allow_auto_create_topics, ..cluster }, group, ..consumer })
    }
}

/// What the rows of the table set.
#[derive(Debug)]
struct Settings {
    cluster: Options,
    producer: ProducerOptions,
    consumer: ConsumerOptions,
    group: GroupOptions,
    dialer: Dialer,
    security: Security,
    /// Of gzip, lz4 and zstd.
    levels: [i32; 3],
    auto_commits: bool,
    auto_commit_ms: u64,
    /// The names that were set.
    given: BTreeSet<&'static str>,
}

impl Settings {
    fn new() -> Settings {
        // Kafka's consumers may create topics; the typed options are more careful.
        let mut consumer = ConsumerOptions::default();
        consumer.cluster.allow_auto_create_topics = true;
        Settings {
            cluster: Options::default(),
            producer: ProducerOptions::default(),
            consumer,
            group: GroupOptions::default(),
            dialer: Dialer::default(),
            security: Security::default(),
            levels: [Codec::Gzip, Codec::Lz4, Codec::Zstd].map(Codec::default_level),
            auto_commits: true,
            auto_commit_ms: 5000,
            given: BTreeSet::new(),
        }
    }

    /// Takes options of one kind of client.
    fn read<K: AsRef<str>, V: AsRef<str>>(
        clients: u8,
        options: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Settings, Error> {
        let mut settings = Settings::new();
        for (name, value) in options {
            settings.set(clients, name.as_ref().trim(), value.as_ref().trim()).map_err(Error::BadOption)?;
        }
        Ok(settings)
    }

    fn set(&mut self, clients: u8, name: &str, value: &str) -> Result<(), String> {
        let Some(row) = table::TABLE.iter().find(|row| row.name == name && row.clients & clients != 0) else {
            return Err(unknown(clients, name));
        };
        self.given.insert(row.name);
        row.set(self, value).map_err(|problem| format!("{name}={value}: {problem}"))
    }
}

/// Why there is no option of this name.
fn unknown(clients: u8, name: &str) -> String {
    let refused = table::REFUSED.iter().find(|(beginning, whose, _)| {
        whose & clients != 0 && (name == *beginning || beginning.ends_with('.') && name.starts_with(beginning))
    });
    if let Some((_, _, reason)) = refused {
        return format!("{name}: {reason}");
    }
    if table::TABLE.iter().any(|row| row.name == name) {
        return format!("{name} is not an option of this kind of client: leave it out");
    }
    let names = table::TABLE.iter().filter(|row| row.clients & clients != 0).map(|row| row.name);
    let nearest =
        names.max_by(|one, other| strsim::jaro_winkler(name, one).total_cmp(&strsim::jaro_winkler(name, other)));
    format!("there is no option {name}: did you mean {}?", nearest.unwrap_or_default())
}

/// Every option that this kind of client ([`PRODUCER`], [`CONSUMER`] or [`ADMIN`]) takes.
pub fn definitions(clients: u8) -> impl Iterator<Item = &'static Definition> {
    table::TABLE.iter().filter(move |row| row.clients & clients != 0)
}

#[cfg(test)]
mod tests;
