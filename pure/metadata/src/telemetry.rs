//! Which client pushes which of its metrics how often (KIP-714), as the client metrics resources say.
//!
//! Owns subscriptions and their matching. Must never know a pushed payload: metrics of clients go to the shell.

use crate::config::{ResourceKind, split};
use crate::image::Image;
use regex_lite::Regex;
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use types::{FixedHasher, Text, Uuid};

/// How often a client pushes where nothing chooses it.
const INTERVAL_MS_DEFAULT: i32 = 300_000;
/// The name that asks for every metric.
const ALL_METRICS: &str = "*";
/// Longest pattern that is compiled, in bytes.
const PATTERN_BYTES_MAX: usize = 1024;

/// A client, as its connection and its requests describe it.
#[derive(Clone, Debug, Default)]
pub struct Client {
    pub instance_id: Uuid,
    pub client_id: Text,
    pub software_name: Text,
    pub software_version: Text,
    pub source_address: String,
    pub source_port: u16,
}

/// What a pattern looks at.
type Selector = fn(&Client) -> String;

const SELECTORS: [(&str, Selector); 6] = [
    ("client_instance_id", |client| client.instance_id.to_string()),
    ("client_id", |client| client.client_id.to_string()),
    ("client_software_name", |client| client.software_name.to_string()),
    ("client_software_version", |client| client.software_version.to_string()),
    ("client_source_address", |client| client.source_address.clone()),
    ("client_source_port", |client| client.source_port.to_string()),
];

/// What one client is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Another number when anything below changes.
    pub id: i32,
    /// Prefixes of names; none asks for nothing, `*` for everything.
    pub metrics: Vec<Text>,
    pub push_interval_ms: i32,
}

#[derive(Clone, Debug)]
struct Rule {
    patterns: Vec<(Selector, Regex)>,
    metrics: Vec<Text>,
    interval_ms: i32,
}

/// All subscriptions of the cluster, compiled; to be made anew when client metrics configurations change.
#[derive(Clone, Debug, Default)]
pub struct Subscriptions(Vec<Rule>);

impl Subscriptions {
    #[must_use]
    pub fn new(image: &Image) -> Subscriptions {
        let resources = image.configured().filter(|(resource, _)| resource.kind == ResourceKind::ClientMetrics);
        let rules = resources.filter_map(|(_, set)| {
            let value = |name: &str| set.get(name).map_or("", |value| value.as_str());
            Some(Rule {
                // What was stored was validated; a pattern that another version allowed chooses nobody.
                patterns: split(value("match")).map(read_pattern).collect::<Option<_>>()?,
                metrics: split(value("metrics")).map(Text::from).collect(),
                interval_ms: value("interval.ms").trim().parse().unwrap_or(INTERVAL_MS_DEFAULT),
            })
        });
        Subscriptions(rules.collect())
    }

    /// Everything that is asked of `client` by those subscriptions that choose it.
    #[must_use]
    pub fn of(&self, client: &Client) -> Subscription {
        let chosen = self
            .0
            .iter()
            .filter(|rule| rule.patterns.iter().all(|(selector, pattern)| pattern.is_match(&selector(client))));
        let mut metrics = BTreeSet::new();
        let mut push_interval_ms = INTERVAL_MS_DEFAULT;
        for rule in chosen {
            metrics.extend(rule.metrics.iter().cloned());
            push_interval_ms = push_interval_ms.min(rule.interval_ms);
        }
        if metrics.contains(ALL_METRICS) {
            metrics = BTreeSet::from([Text::from_static(ALL_METRICS)]);
        }
        let mut hasher = FixedHasher::default();
        (&metrics, push_interval_ms, client.instance_id).hash(&mut hasher);
        let [a, b, c, d, ..] = hasher.finish().to_be_bytes();
        Subscription { id: i32::from_be_bytes([a, b, c, d]), metrics: metrics.into_iter().collect(), push_interval_ms }
    }
}

/// A `selector=pattern` pair; the pattern must match the whole value.
fn read_pattern(pair: &str) -> Option<(Selector, Regex)> {
    let (selector, pattern) = pair.split_once('=')?;
    let pattern = pattern.trim();
    if pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX || pattern.contains('=') {
        return None;
    }
    let (_, selector) = SELECTORS.iter().find(|(name, _)| *name == selector.trim())?;
    Some((*selector, Regex::new(&format!("^(?:{pattern})$")).ok()?))
}

/// Whether every element of a `match` configuration can be read.
pub(crate) fn check_patterns(pairs: &[Text]) -> Result<(), String> {
    match pairs.iter().find(|pair| read_pattern(pair).is_none()) {
        Some(pair) => Err(format!("Illegal client matching pattern: {pair}")),
        None => Ok(()),
    }
}
