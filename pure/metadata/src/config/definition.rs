//! What a configuration is: its name, type, default, valid values, and whether this version acts on it.

use types::Text;

/// The type of a value, as DescribeConfigs numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
    Class = 8,
    Password = 9,
}

impl Kind {
    /// The number that DescribeConfigs carries.
    #[must_use]
    pub fn code(self) -> i8 {
        self as i8
    }
}

/// Which values of its type a configuration takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Valid {
    Any,
    AtLeast(i64),
    Between(i64, i64),
    /// 1 to 9, or -1 for the codec's own default.
    GzipLevel,
    Fraction(f64, f64),
    OneOf(&'static [&'static str]),
    OneOfIgnoringCase(&'static [&'static str]),
    /// Every element of the list is one of these.
    ListOf(&'static [&'static str]),
    NotEmpty,
    /// `*`, or `partition:broker` pairs.
    ThrottledReplicas,
    /// `earliest`, `latest` or `by_duration:` with an ISO 8601 duration.
    OffsetReset,
    /// `selector=pattern` pairs that choose clients (KIP-714).
    ClientMatch,
}

/// When a changed broker configuration takes effect (KIP-226).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateMode {
    /// At the next start.
    ReadOnly,
    /// At once, set for one broker.
    PerBroker,
    /// At once, set for one broker or for all.
    ClusterWide,
}

/// Whether this version does what the configuration asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Active,
    /// Validated, stored and described, without effect.
    NotActive {
        why: &'static str,
    },
}

/// The default of a configuration that has none.
pub(super) const NULL: &str = "null";

/// One configuration of one kind of resource.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    pub name: &'static str,
    pub kind: Kind,
    /// Kafka's default; `NULL` where it has none.
    pub(super) kafka_default: &'static str,
    pub valid: Valid,
    pub mode: UpdateMode,
    pub status: Status,
    pub doc: &'static str,
    /// Not described to clients, as Kafka does not.
    pub internal: bool,
}

macro_rules! constructors {
    ($($name:ident = $kind:ident),*) => {
        $(pub(super) const fn $name(name: &'static str, default: &'static str) -> Definition {
            Definition {
                name,
                kind: Kind::$kind,
                kafka_default: default,
                valid: Valid::Any,
                mode: UpdateMode::ReadOnly,
                status: Status::Active,
                doc: "",
                internal: false,
            }
        })*
    };
}

constructors!(
    boolean = Boolean,
    string = String,
    int = Int,
    short = Short,
    long = Long,
    double = Double,
    list = List,
    class = Class,
    password = Password
);

impl Definition {
    pub(super) const fn doc(mut self, doc: &'static str) -> Definition {
        self.doc = doc;
        self
    }

    pub(super) const fn inactive(mut self, why: &'static str) -> Definition {
        self.status = Status::NotActive { why };
        self.doc = why;
        self
    }

    pub(super) const fn at_least(mut self, low: i64) -> Definition {
        self.valid = Valid::AtLeast(low);
        self
    }

    pub(super) const fn between(mut self, low: i64, high: i64) -> Definition {
        self.valid = Valid::Between(low, high);
        self
    }

    pub(super) const fn valid(mut self, valid: Valid) -> Definition {
        self.valid = valid;
        self
    }

    pub(super) const fn cluster_wide(mut self) -> Definition {
        self.mode = UpdateMode::ClusterWide;
        self
    }

    pub(super) const fn per_broker(mut self) -> Definition {
        self.mode = UpdateMode::PerBroker;
        self
    }

    pub(super) const fn internal(mut self) -> Definition {
        self.internal = true;
        self
    }

    /// The value where nothing is set: Kafka's, or ours where `OUR_DEFAULTS` says so.
    #[must_use]
    pub fn default(&self) -> Option<&'static str> {
        let ours = super::OUR_DEFAULTS.iter().find(|ours| ours.name == self.name);
        Some(ours.map_or(self.kafka_default, |ours| ours.value)).filter(|value| *value != NULL)
    }

    /// Its value is a secret, so it is never described.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// Reads and validates a value; the error is a sentence for the user, in Kafka's words.
    pub fn parse(&self, given: &str) -> Result<Value, String> {
        let given = given.trim();
        let value = match self.kind {
            Kind::Boolean if given.eq_ignore_ascii_case("true") => Value::Boolean(true),
            Kind::Boolean if given.eq_ignore_ascii_case("false") => Value::Boolean(false),
            Kind::Boolean => return Err(self.refuse(given, "Expected value to be either true or false")),
            Kind::Int => Value::Integer(self.number::<i32>(given)?.into()),
            Kind::Short => Value::Integer(self.number::<i16>(given)?.into()),
            Kind::Long => Value::Integer(self.number::<i64>(given)?),
            Kind::Double => Value::Real(self.number::<f64>(given)?),
            Kind::List => Value::List(split(given).map(Text::from).collect()),
            Kind::String | Kind::Class | Kind::Password => Value::Text(Text::from(given)),
        };
        self.check(given, &value)?;
        Ok(value)
    }

    fn number<T: std::str::FromStr>(&self, given: &str) -> Result<T, String> {
        // Kafka's word for the type is its name in capitals.
        let kind = format!("{:?}", self.kind).to_uppercase();
        given.parse().map_err(|_| self.refuse(given, &format!("Not a number of type {kind}")))
    }

    fn refuse(&self, given: &str, reason: &str) -> String {
        format!("Invalid value {given} for configuration {}: {reason}", self.name)
    }

    fn check(&self, given: &str, value: &Value) -> Result<(), String> {
        let range = |low: f64, high: f64, at: f64| {
            let reason = if at < low || at.is_nan() {
                format!("Value must be at least {low}")
            } else if at > high {
                format!("Value must be no more than {high}")
            } else {
                return Ok(());
            };
            Err(self.refuse(given, &reason))
        };
        match (self.valid, value) {
            (Valid::AtLeast(low) | Valid::Between(low, _), Value::Integer(at)) if *at < low => {
                Err(self.refuse(given, &format!("Value must be at least {low}")))
            }
            (Valid::Between(_, high), Value::Integer(at)) if *at > high => {
                Err(self.refuse(given, &format!("Value must be no more than {high}")))
            }
            (Valid::GzipLevel, Value::Integer(at)) if *at != -1 && !(1..=9).contains(at) => {
                Err(self.refuse(given, "Value must be between 1 and 9 or equal to -1"))
            }
            (Valid::Fraction(low, high), Value::Real(at)) => range(low, high, *at),
            (Valid::Any, Value::Real(at)) => range(f64::NEG_INFINITY, f64::INFINITY, *at),
            (Valid::OneOf(known), Value::Text(text)) if !known.contains(&text.as_str()) => {
                Err(self.refuse(given, &format!("String must be one of: {}", known.join(", "))))
            }
            (Valid::OneOfIgnoringCase(known), Value::Text(text))
                if !known.iter().any(|word| word.eq_ignore_ascii_case(text)) =>
            {
                let known = known.join(", ");
                Err(self.refuse(given, &format!("String must be one of (case insensitive): {known}")))
            }
            (Valid::ListOf(known), Value::List(words)) => {
                match words.iter().find(|word| !known.contains(&word.as_str())) {
                    Some(word) => Err(self.refuse(word, &format!("String must be one of: {}", known.join(", ")))),
                    None => Ok(()),
                }
            }
            (Valid::NotEmpty, Value::Text(text)) if text.is_empty() => {
                Err(self.refuse(given, "String must be non-empty"))
            }
            (Valid::ThrottledReplicas, Value::List(words)) if !are_throttled_replicas(words) => {
                let shape = "the literal '*' or a list of replicas in the following format: \
                    [partitionId]:[brokerId],[partitionId]:[brokerId],...";
                Err(self.refuse(&format!("[{given}]"), &format!("{} must be {shape}", self.name)))
            }
            (Valid::OffsetReset, Value::Text(text)) if !is_offset_reset(text) => {
                Err(self.refuse(given, "the strategy must be latest, earliest or by_duration:PnDTnHnMn.nS"))
            }
            (Valid::ClientMatch, Value::List(words)) => crate::telemetry::check_patterns(words),
            _ => Ok(()),
        }
    }
}

/// The elements of a list as Kafka splits it.
pub(crate) fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn are_throttled_replicas(words: &[Text]) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let is_pair =
        |word: &Text| word.split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker));
    matches!(words, [star] if star == "*") || words.iter().all(is_pair)
}

fn is_offset_reset(text: &str) -> bool {
    text == "latest"
        || text == "earliest"
        || text.strip_prefix("by_duration:P").is_some_and(|rest| {
            rest.len() > 1 && rest.bytes().all(|symbol| symbol.is_ascii_digit() || b"DTHMS.".contains(&symbol))
        })
}

/// A value after it was read by its type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Boolean(bool),
    Integer(i64),
    Real(f64),
    Text(Text),
    List(Vec<Text>),
}

/// What a value is where its type is known; another type panics: names are written in code, so the first test that comes
/// by finds it.
macro_rules! typed {
    ($($name:ident: $kind:ident => $plain:ty, $word:literal;)*) => {
        impl Value {
            $(pub(super) fn $name(&self, of: &str) -> &$plain {
                match self {
                    Value::$kind(value) => value,
                    other => panic!("{of} is not {}: {other:?}", $word),
                }
            })*
        }
    };
}

typed! {
    boolean: Boolean => bool, "a BOOLEAN";
    integer: Integer => i64, "a number";
    real: Real => f64, "a DOUBLE";
    text: Text => Text, "a STRING";
    list: List => [Text], "a LIST";
}
