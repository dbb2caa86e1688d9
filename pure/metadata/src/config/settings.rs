//! The settings of one broker: what its operator gave, what was set dynamically for it and for all brokers, and the
//! value that follows for every configuration.

use super::definition::{Definition, Status, Value};
use super::{Overrides, Resource, ResourceKind, Source, definitions, find, nearest};
use crate::image::Image;
use std::collections::BTreeMap;
use types::{NodeId, Text};

/// The order in which values win.
const LAYERS: [Source; 3] = [Source::DynamicBroker, Source::DynamicDefaultBroker, Source::StaticBroker];

/// Validated settings. A getter of a name that is not in the registry, or of another type, panics: names are written
/// in code, so the first test that comes by finds it.
#[derive(Clone, Debug)]
pub struct Settings {
    layers: [BTreeMap<&'static str, Text>; 3],
    effective: BTreeMap<&'static str, Option<Value>>,
}

impl Default for Settings {
    fn default() -> Settings {
        let mut settings = Settings { layers: Default::default(), effective: BTreeMap::new() };
        settings.resolve();
        settings
    }
}

impl Settings {
    /// Takes what the operator gave; later values of a name win. The error lists every problem, each a sentence that
    /// names the setting.
    pub fn read<'a>(given: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Settings, Vec<String>> {
        let mut settings = Settings::default();
        let mut problems = Vec::new();
        for (name, value) in given {
            match find(ResourceKind::Broker, name) {
                None => problems.push(unknown(name)),
                Some(definition) => match definition.parse(value) {
                    Err(problem) => problems.push(problem),
                    Ok(_) => drop(settings.layers[2].insert(definition.name, Text::from(value.trim()))),
                },
            }
        }
        settings.resolve();
        settings.check(&mut problems);
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    /// The same settings under the dynamic configurations of `image`.
    #[must_use]
    pub fn with_dynamic(&self, image: &Image) -> Settings {
        let mut settings = self.clone();
        let own = image.overrides(&Resource::new(ResourceKind::Broker, self.node_id().0.to_string()));
        let all = image.overrides(&Resource::new(ResourceKind::Broker, ""));
        for (layer, overrides) in [(0, own), (1, all)] {
            settings.layers[layer] = known(overrides);
        }
        settings.resolve();
        settings
    }

    /// What was given and has no effect, with the reason: to be said once at the start.
    pub fn inactive(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.layers[2].keys().filter_map(|name| match find(ResourceKind::Broker, name)?.status {
            Status::Active => None,
            Status::NotActive { why } => Some((*name, why)),
        })
    }

    /// The number of this node: `node.id`, or `broker.id` as it was called before.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        let old = self.i64("broker.id");
        let id = if old >= 0 && !self.is_set("node.id") { old } else { self.i64("node.id") };
        NodeId(i32::try_from(id).expect("validated as INT"))
    }

    /// Whether anything but the default decides.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.layers.iter().any(|layer| layer.contains_key(name))
    }

    #[must_use]
    pub fn boolean(&self, name: &str) -> bool {
        *self.value(name).boolean(name)
    }

    #[must_use]
    pub fn i64(&self, name: &str) -> i64 {
        self.optional_i64(name).unwrap_or_else(|| panic!("{name} may be unset"))
    }

    /// A number that may be unset.
    #[must_use]
    pub fn optional_i64(&self, name: &str) -> Option<i64> {
        Some(*self.optional(name)?.integer(name))
    }

    #[must_use]
    pub fn f64(&self, name: &str) -> f64 {
        *self.value(name).real(name)
    }

    #[must_use]
    pub fn text(&self, name: &str) -> Option<&Text> {
        Some(self.optional(name)?.text(name))
    }

    /// The elements of a list; none where it is unset.
    #[must_use]
    pub fn list(&self, name: &str) -> &[Text] {
        self.optional(name).map_or(&[], |value| value.list(name))
    }

    fn value(&self, name: &str) -> &Value {
        self.optional(name).unwrap_or_else(|| panic!("{name} may be unset"))
    }

    pub(super) fn optional(&self, name: &str) -> Option<&Value> {
        self.effective.get(name).unwrap_or_else(|| panic!("no configuration is called {name}")).as_ref()
    }

    /// Every value of a name, strongest first, with the default last.
    pub(super) fn sources(&self, definition: &Definition) -> Vec<(Source, Text)> {
        let set = LAYERS.iter().zip(&self.layers);
        let mut found: Vec<_> =
            set.filter_map(|(source, layer)| Some((*source, layer.get(definition.name)?.clone()))).collect();
        found.extend(definition.default().map(|value| (Source::Default, Text::from_static(value))));
        found
    }

    /// The text of the value that decides.
    pub(super) fn effective_text(&self, definition: &Definition) -> Option<Text> {
        self.sources(definition).into_iter().next().map(|(_, value)| value)
    }

    fn resolve(&mut self) {
        let resolved = definitions(ResourceKind::Broker).map(|definition| {
            let text = self.effective_text(definition);
            let value = text.map(|text| definition.parse(&text).expect("defaults and settings are validated"));
            (definition.name, value)
        });
        self.effective = resolved.collect();
    }

    /// What no single value can be refused for.
    fn check(&self, problems: &mut Vec<String>) {
        let old = self.i64("broker.id");
        if old >= 0 && self.is_set("node.id") && old != self.i64("node.id") {
            problems.push("node.id and broker.id are two names of one setting and must not differ".to_owned());
        }
        for name in ["log.dir", "log.dirs"] {
            let list = self.list(name);
            if let Some(twice) = list.iter().enumerate().find(|(at, path)| list[..*at].contains(path)) {
                problems.push(format!("{name} names {} twice", twice.1));
            }
        }
        let (low, high) =
            (self.i64("log.cleaner.min.compaction.lag.ms"), self.i64("log.cleaner.max.compaction.lag.ms"));
        if low > high {
            problems.push(format!(
                "log.cleaner.min.compaction.lag.ms ({low}) is above log.cleaner.max.compaction.lag.ms ({high})"
            ));
        }
        if self.i64("group.min.session.timeout.ms") > self.i64("group.max.session.timeout.ms") {
            problems.push("group.min.session.timeout.ms is above group.max.session.timeout.ms".to_owned());
        }
    }
}

fn unknown(name: &str) -> String {
    if name.starts_with("listener.name.") {
        return format!("{name}: settings of single listeners are not supported; every listener is PLAINTEXT");
    }
    match nearest(ResourceKind::Broker, name) {
        Some(meant) => format!("unknown setting {name}; did you mean {meant}?"),
        None => format!("unknown setting {name}"),
    }
}

/// Those dynamic values that this version knows and finds valid; a newer version may have written others.
fn known(overrides: Option<&Overrides>) -> BTreeMap<&'static str, Text> {
    let given = overrides.into_iter().flatten();
    let valid = given.filter_map(|(name, value)| {
        let definition = find(ResourceKind::Broker, name)?;
        definition.parse(value).ok()?;
        Some((definition.name, value.clone()))
    });
    valid.collect()
}
