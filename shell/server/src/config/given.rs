//! Where settings are given, weakest first: the file, the environment, the flags, `--set`. Each keeps the words that
//! name its place, so that an error can say where to look.

use super::Options;
use super::properties;
use broker::config::{ResourceKind, find, nearest};

const PREFIX: &str = "VLTAVA_";
/// Settings of our own carry this before a name that Kafka does not know.
const OWN: &str = "vltava.";

/// One setting as somebody gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub name: String,
    pub value: String,
    pub place: String,
}

/// All that was given, weakest first, or every problem found.
pub fn gather(options: &Options, environment: &[(String, String)]) -> Result<Vec<Given>, Vec<String>> {
    let mut problems = Vec::new();
    let mut given = from_file(options).unwrap_or_else(|problem| {
        problems.push(problem);
        Vec::new()
    });
    given.extend(from_environment(environment));
    given.extend(from_flags(options));
    given.extend(from_sets(options, &mut problems));
    problems.extend(given.iter().filter_map(refusal));
    if problems.is_empty() { Ok(given) } else { Err(problems) }
}

/// Why a setting cannot be taken, with its place.
fn refusal(given: &Given) -> Option<String> {
    let Given { name, value, place } = given;
    if let Some(definition) = find(ResourceKind::Broker, name) {
        return definition.parse(value).err().map(|problem| format!("{place}: {problem}"));
    }
    Some(match nearest(ResourceKind::Broker, name) {
        Some(meant) => format!("{place}: there is no setting {name}; did you mean {meant}?"),
        None => format!("{place}: there is no setting {name}"),
    })
}

fn from_file(options: &Options) -> Result<Vec<Given>, String> {
    let Some(path) = &options.config else { return Ok(Vec::new()) };
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read --config {shown}: {error}"))?;
    let properties = properties::parse(&text).map_err(|problem| format!("{shown}, {problem}"))?;
    let given = properties.into_iter().map(|property| Given {
        name: property.name,
        value: property.value,
        place: format!("{shown}, line {}", property.line),
    });
    Ok(given.collect())
}

/// `VLTAVA_LOG_RETENTION_MS` is `log.retention.ms`.
fn from_environment(environment: &[(String, String)]) -> Vec<Given> {
    let own = environment.iter().filter(|(variable, _)| variable.starts_with(PREFIX) && !is_foreign(variable));
    let given = own.map(|(variable, value)| {
        let plain = variable[PREFIX.len()..].to_ascii_lowercase().replace('_', ".");
        let ours = format!("{OWN}{plain}");
        let is_ours = find(ResourceKind::Broker, &plain).is_none() && find(ResourceKind::Broker, &ours).is_some();
        Given {
            name: if is_ours { ours } else { plain },
            value: value.clone(),
            place: format!("the environment variable {variable}"),
        }
    });
    given.collect()
}

/// Variables with our prefix that are not settings: the log level, where clients connect, and what Kubernetes tells
/// every container of a pod about a service that is called `vltava`.
fn is_foreign(variable: &str) -> bool {
    let name = &variable[PREFIX.len()..];
    name == "LOG" || name == "BOOTSTRAP" || name == "PORT" || name.starts_with("PORT_") || name.starts_with("SERVICE_")
}

fn from_flags(options: &Options) -> Vec<Given> {
    let path = |path: &std::path::PathBuf| path.display().to_string();
    let flags = [
        ("node.id", "--node-id", options.node_id.map(|id| id.to_string())),
        ("listeners", "--listen", options.listen.as_ref().map(|address| format!("PLAINTEXT://{address}"))),
        ("controller.quorum.voters", "--voters", options.voters.clone()),
        ("controller.quorum.bootstrap.servers", "--join", options.join.clone()),
        ("log.dirs", "--data-dir", options.data_dir.as_ref().map(path)),
    ];
    let given = flags
        .into_iter()
        .filter_map(|(name, flag, value)| Some(Given { name: name.to_owned(), value: value?, place: flag.to_owned() }));
    given.collect()
}

fn from_sets(options: &Options, problems: &mut Vec<String>) -> Vec<Given> {
    let mut given = Vec::new();
    for set in &options.set {
        match set.split_once('=') {
            Some((name, value)) => given.push(Given {
                name: name.trim().to_owned(),
                value: value.trim().to_owned(),
                place: format!("--set {}", name.trim()),
            }),
            None => problems.push(format!("--set {set}: expected key=value")),
        }
    }
    given
}
