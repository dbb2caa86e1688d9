//! Kafka's own tools by their names: their options in, their output out, so that scripts go on working. Each runs as
//! `vltava kafka-topics ..`, and so does this program under such a name, with or without `.sh`.

mod configs;
mod console;
mod given;
mod groups;
mod moves;
mod topics;

use crate::problem::Problem;
use crate::session::Connection;
use given::Given;

/// Every tool has these.
const SHARED: &str = "bootstrap-server= command-config= help version";

/// The tools, and their options: `name=` takes a value, `name?` may take one.
const TOOLS: [(&str, &str); 10] = [
    ("kafka-topics", topics::TOPICS),
    ("kafka-get-offsets", topics::OFFSETS),
    ("kafka-delete-records", topics::DELETE_RECORDS),
    ("kafka-consumer-groups", groups::GROUPS),
    ("kafka-configs", configs::CONFIGS),
    ("kafka-console-producer", console::PRODUCER),
    ("kafka-console-consumer", console::CONSUMER),
    ("kafka-reassign-partitions", moves::REASSIGN),
    ("kafka-leader-election", moves::ELECTION),
    ("kafka-log-dirs", moves::LOG_DIRS),
];

/// Runs a tool where the program, or its first word, is named so.
pub fn run(words: &[String]) -> Option<Result<(), Problem>> {
    let named = words.iter().take(2).enumerate().find_map(|(place, word)| {
        let name = word.rsplit('/').next()?;
        let name = name.strip_suffix(".sh").unwrap_or(name);
        Some((place, TOOLS.iter().find(|(tool, _)| *tool == name)?))
    });
    let (place, (tool, known)) = named?;
    Some(tool_run(tool, known, &words[place + 1..]))
}

fn tool_run(tool: &'static str, known: &'static str, words: &[String]) -> Result<(), Problem> {
    let given = Given::read(tool, &[known, SHARED], words)?;
    if given.has("help") || given.has("version") {
        let version = env!("CARGO_PKG_VERSION");
        let text = if given.has("version") { format!("{version}\n") } else { given.help() };
        return crate::session::write_out(text);
    }
    let connection = given.connection();
    match tool {
        "kafka-console-producer" => return console::producer(&given),
        "kafka-console-consumer" => return console::consumer(&given),
        _ => {}
    }
    Connection::run(connection, async |session| match tool {
        "kafka-topics" => topics::topics(&given, session).await,
        "kafka-get-offsets" => topics::offsets(&given, session).await,
        "kafka-delete-records" => topics::delete_records(&given, session).await,
        "kafka-consumer-groups" => groups::groups(&given, session).await,
        "kafka-configs" => configs::configs(&given, session).await,
        "kafka-reassign-partitions" => moves::reassign(&given, session).await,
        "kafka-leader-election" => moves::election(&given, session).await,
        _ => moves::log_dirs(&given, session).await,
    })
}
