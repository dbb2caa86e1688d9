//! kafka-console-producer and kafka-console-consumer: their options in the words of `vltava produce` and `consume`.

use super::given::Given;
use crate::commands::{consume::Consume, produce::Produce};
use crate::problem::Problem;
use clap::{Args, Command, FromArgMatches};
use std::collections::BTreeMap;

pub const PRODUCER: &str = "topic= property= reader-property= producer-property= command-property= producer.config= \
    compression-codec? request-required-acks=";
pub const CONSUMER: &str = "topic= partition= offset= group= from-beginning max-messages= timeout-ms= property= \
    formatter-property= consumer-property= command-property= consumer.config= isolation-level=";

pub fn producer(given: &Given) -> Result<(), Problem> {
    let mut line = given.properties(&["property", "reader-property"]);
    let mut options = given.properties(&["producer-property", "command-property"]);
    let mut words = vec![given.need("topic")?.to_owned(), "--quiet".to_owned(), "--create".to_owned()];
    let mut add = |name: &str, value: String| words.extend([name.to_owned(), value]);
    for (asked, separator, option) in [
        ("parse.key", "key.separator", "--key-separator"),
        ("parse.headers", "headers.delimiter", "--headers-separator"),
    ] {
        let text = line.remove(separator).unwrap_or("\\t".to_owned());
        if line.remove(asked).is_some_and(|value| value == "true") {
            add(option, text);
        }
    }
    let codec = given.one("compression-codec").or(given.has("compression-codec").then_some("gzip"));
    let acks = given.one("request-required-acks").map(ToOwned::to_owned);
    let wanted = [
        ("--null-marker", line.remove("null.marker")),
        ("--compression", codec.map(ToOwned::to_owned).or(options.remove("compression.type"))),
        ("--acks", acks.or(options.remove("acks"))),
        ("--command-config", given.one("producer.config").map(ToOwned::to_owned)),
    ];
    wanted.into_iter().filter_map(|(name, value)| Some((name, value?))).for_each(|(name, value)| add(name, value));
    // Lines without a separator have no key here.
    line.remove("ignore.error");
    native::<Produce>(given, words, line, options)?.run()
}

pub fn consumer(given: &Given) -> Result<(), Problem> {
    let mut line = given.properties(&["property", "formatter-property"]);
    let mut options = given.properties(&["consumer-property", "command-property"]);
    let parts = [
        ("print.timestamp", "CreateTime:%T"),
        ("print.partition", "Partition:%p"),
        ("print.offset", "Offset:%o"),
        ("print.headers", "%H"),
        ("print.key", "%k"),
        ("print.value", "%v"),
    ];
    let mut is_shown = |name: &str| line.remove(name).map_or(name == "print.value", |value| value == "true");
    let shown: Vec<&str> = parts.into_iter().filter(|(name, _)| is_shown(name)).map(|(_, part)| part).collect();
    let between = line.remove("key.separator").unwrap_or("\t".to_owned()).replace('\\', "\\\\").replace('%', "%%");
    let mut words =
        vec![given.need("topic")?.to_owned(), "--tally".to_owned(), "--format".to_owned(), shown.join(&between)];
    let given_one = |name: &str| given.one(name).map(ToOwned::to_owned);
    let wanted = [
        ("--null-marker", Some(line.remove("null.literal").unwrap_or("null".to_owned()))),
        ("--delimiter", line.remove("line.separator")),
        ("--partition", given_one("partition")),
        ("--offset", given_one("offset")),
        ("--max-messages", given_one("max-messages")),
        ("--idle-ms", given_one("timeout-ms")),
        ("--group", given_one("group").or(options.remove("group.id"))),
        ("--command-config", given_one("consumer.config")),
    ];
    words.extend(wanted.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?])).flatten());
    if given_one("isolation-level").or(options.remove("isolation.level")).is_some_and(|level| level == "read_committed")
    {
        words.push("--read-committed".to_owned());
    }
    if given.has("from-beginning") || options.remove("auto.offset.reset").is_some_and(|reset| reset == "earliest") {
        words.push("--from-beginning".to_owned());
    }
    native::<Consume>(given, words, line, options)?.run()
}

/// Reads words as those of a native command. No property of lines may be left that nothing was made of; options are the
/// client's.
fn native<C: Args + FromArgMatches>(
    given: &Given,
    mut words: Vec<String>,
    line: BTreeMap<String, String>,
    options: BTreeMap<String, String>,
) -> Result<C, Problem> {
    if let Some(name) = line.keys().next() {
        return Err(Problem::usage(format!("the property {name} means nothing here: leave it out")));
    }
    words.extend(options.into_iter().flat_map(|(name, value)| ["-X".to_owned(), format!("{name}={value}")]));
    for (ours, theirs) in [("--bootstrap", "bootstrap-server"), ("--command-config", "command-config")] {
        words.extend(given.one(theirs).into_iter().flat_map(|value| [ours.to_owned(), value.to_owned()]));
    }
    let command = C::augment_args(Command::new("vltava").no_binary_name(true));
    let read = command.try_get_matches_from(words).and_then(|found| C::from_arg_matches(&found));
    read.map_err(|error| Problem::usage(error.to_string().trim_start_matches("error: ").trim_end().to_owned()))
}
