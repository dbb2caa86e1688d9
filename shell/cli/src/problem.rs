//! What went wrong, in a sentence for people that names what to do, and as the exit code for scripts.

use crate::survey::{name, some};
use std::process::ExitCode;
use vltava_client::{Each, Error, ErrorCode, Spot};

/// Kafka's tools, and what the exit codes mean; shown by `--help`.
pub const END_OF_HELP: &str =
    "Kafka's own tools take Kafka's own options: vltava kafka-topics, kafka-console-producer, \
kafka-console-consumer, kafka-consumer-groups, kafka-configs, kafka-get-offsets, kafka-delete-records, \
kafka-reassign-partitions, kafka-leader-election, kafka-log-dirs; links of these names to this program do as well.

Exit codes: 0 done; 1 refused or failed, or done in part; 2 wrong words on the \
command line; 3 no broker answers; 4 there is no such topic, partition, group, broker or setting.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Failed,
    Usage,
    Unreachable,
    Missing,
}

#[derive(Clone, Debug)]
pub struct Problem {
    pub kind: Kind,
    pub message: String,
}

impl Problem {
    pub fn failed(message: impl Into<String>) -> Problem {
        Problem { kind: Kind::Failed, message: message.into() }
    }

    pub fn usage(message: impl Into<String>) -> Problem {
        Problem { kind: Kind::Usage, message: message.into() }
    }

    pub fn missing(message: impl Into<String>) -> Problem {
        Problem { kind: Kind::Missing, message: message.into() }
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Unreachable => 3,
            Kind::Missing => 4,
        })
    }

    /// Of what was tried, over a connection to `bootstrap`.
    pub fn of(doing: &str, bootstrap: &str, error: &Error) -> Problem {
        match error {
            Error::BadAddress(given) => {
                Problem::usage(format!("--bootstrap `{given}` is no address: give HOST:PORT, such as 127.0.0.1:9092"))
            }
            Error::Unreachable { problems } => Problem {
                kind: Kind::Unreachable,
                message: format!(
                    "no broker answers at {bootstrap} ({}): start one with `vltava serve`, or name another with \
                     --bootstrap HOST:PORT",
                    // One that stands alone need not name its address again.
                    problems.join("; ").trim_start_matches(&format!("{bootstrap}: "))
                ),
            },
            Error::TimedOut { problem } | Error::Disconnected { problem } => {
                let message = format!("{doing}: {error}{}", elsewhere(bootstrap, problem.as_deref()));
                Problem { kind: Kind::Unreachable, message }
            }
            Error::Refused(refused) => {
                let hint = hint(refused.code, refused.message.is_some());
                Problem::failed(format!("{doing}: {refused}{hint}"))
            }
            Error::BadOption(problem) => Problem::usage(problem),
            // Whatever else there is says itself what to do.
            _ => Problem::failed(format!("{doing}: {error}")),
        }
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Problem {
        Problem::failed(error.to_string())
    }
}

/// What became of partitions, where all went well; else the problem names those that were refused.
pub fn all_done<T>(failed: &str, each: Each<T>) -> Result<Vec<(Spot, T)>, Problem> {
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for (spot, result) in each {
        match result {
            Ok(value) => done.push((spot, value)),
            Err(why) => {
                let hint = hint(why.code, why.message.is_some());
                refused.push(format!("{} ({why}{hint})", name(&spot)));
            }
        }
    }
    if refused.is_empty() { Ok(done) } else { Err(Problem::failed(format!("{failed}: {}", some(refused.into_iter())))) }
}

/// The usual cause where the bootstrap address answers and then nothing does.
fn elsewhere(bootstrap: &str, problem: Option<&str>) -> &'static str {
    let is_other = |problem: &str| !bootstrap.split(',').any(|address| problem.starts_with(address.trim()));
    if problem.is_some_and(is_other) {
        ": the broker names this address to its clients, and it cannot be reached from here; set advertised.listeners \
         of the broker to one that can"
    } else {
        ""
    }
}

/// What to do, where the broker's own words do not say it.
fn hint(code: ErrorCode, has_words: bool) -> String {
    let hint = match code {
        ErrorCode::TOPIC_ALREADY_EXISTS => "with --if-not-exists that is no error",
        ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC => "a member of the group reads it: stop its consumers first",
        ErrorCode::UNKNOWN_MEMBER_ID => "the group has members: stop its consumers first",
        ErrorCode::NON_EMPTY_GROUP => "stop its consumers first",
        ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE if !has_words => {
            "raise the topic's limit with `vltava topic alter TOPIC --config max.message.bytes=N`"
        }
        ErrorCode::NOT_ENOUGH_REPLICAS | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND => {
            "fewer replicas are in sync than min.insync.replicas of the topic asks for"
        }
        ErrorCode::KAFKA_STORAGE_ERROR => "the broker cannot write to its disk: see its log",
        ErrorCode::OFFSET_OUT_OF_RANGE => "`vltava topic describe TOPIC` shows where the partition begins and ends",
        ErrorCode::TOPIC_AUTHORIZATION_FAILED
        | ErrorCode::GROUP_AUTHORIZATION_FAILED
        | ErrorCode::CLUSTER_AUTHORIZATION_FAILED => "the broker's ACLs do not allow this client to do so",
        _ => return String::new(),
    };
    format!("; {hint}")
}

/// The known name that is most like the given one, where one is so like it that it may be meant.
pub fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = given.to_lowercase();
    let close = known.map(|name| (strsim::levenshtein(&plain, &name.to_lowercase()), name)).min()?;
    (close.0 <= (given.chars().count() / 3).max(1)).then_some(close.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_meant_are_found() {
        let known = ["rivers", "lakes", "__consumer_offsets"];
        for (given, meant) in
            [("rivrs", Some("rivers")), ("River", Some("rivers")), ("lake", Some("lakes")), ("x", None)]
        {
            assert_eq!(nearest(given, known.into_iter()), meant, "{given}");
        }
        assert_eq!(nearest("x", std::iter::empty()), None);
    }
}
