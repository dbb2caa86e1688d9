//! The Rust expressions of one field: its type, its default, and how it is read, measured and written. Must never know
//! the structure around it beyond the versions in which that can be met.

use super::names;
use super::schema::{Base, Field, Versions};

/// Whether `version` lies in `range`, given that it lies in `within`; `None` where it always does.
pub fn condition(range: Versions, within: Versions) -> Option<String> {
    let Versions { low, high } = range;
    match (low <= within.low, high >= within.high) {
        (true, true) => None,
        (false, true) => Some(format!("version >= {low}")),
        (true, false) => Some(format!("version <= {high}")),
        (false, false) if low == high => Some(format!("version == {low}")),
        (false, false) => Some(format!("({low}..={high}).contains(&version)")),
    }
}

/// `body` where `condition` holds.
pub fn guarded(condition: Option<&str>, body: &str) -> String {
    match condition {
        Some(condition) => format!("if {condition} {{ {body} }}\n"),
        None => format!("{body}\n"),
    }
}

/// How a field is encoded in a structure: whether lengths are compact there (an expression).
#[derive(Clone, Copy)]
pub struct Encoding<'a> {
    pub field: &'a Field,
    pub compact: &'a str,
}

impl Base {
    fn read(&self, compact: &str) -> String {
        match self {
            Base::Fixed(fixed) if fixed.rust == "ErrorCode" => "ErrorCode(r.i16()?)".to_owned(),
            Base::Text => format!("r.text({compact})?"),
            Base::Bytes => format!("r.bytes({compact})?"),
            Base::Records => format!("Records::Bytes(r.bytes({compact})?)"),
            Base::Struct(name) => format!("{name}::decode(r, version)?"),
            _ => format!("r.{}()?", self.rust().to_ascii_lowercase()),
        }
    }

    /// Statement that writes `value`, an expression of a reference (`by_ref`) or of a place.
    fn write(&self, compact: &str, place: &str, by_ref: bool) -> String {
        let (value, reference) =
            if by_ref { (format!("*{place}"), place.to_owned()) } else { (place.to_owned(), format!("&{place}")) };
        match self {
            Base::Fixed(fixed) if fixed.rust == "ErrorCode" => format!("w.i16({place}.0);"),
            Base::Text => format!("w.put_text({compact}, Some({reference}));"),
            Base::Bytes => format!("w.bytes({compact}, {reference});"),
            Base::Records => format!("Records::encode(Some({reference}), w, {compact});"),
            Base::Struct(_) => format!("{place}.encode(w, version);"),
            _ => format!("w.{}({value});", self.rust().to_ascii_lowercase()),
        }
    }

    fn size(&self, compact: &str, place: &str, by_ref: bool) -> String {
        let reference = if by_ref { place.to_owned() } else { format!("&{place}") };
        match self {
            Base::Text => format!("size::put_text({compact}, Some({reference}))"),
            Base::Bytes => format!("size::bytes({compact}, Some({reference}))"),
            Base::Records => format!("Records::size(Some({reference}), {compact})"),
            Base::Struct(_) => format!("{place}.size(version)"),
            _ => self.fixed().expect("all other types have a fixed size").to_string(),
        }
    }
}

impl Field {
    pub fn rust_name(&self) -> String {
        names::field(&self.name)
    }

    pub fn place(&self) -> String {
        format!("self.{}", self.rust_name())
    }

    pub fn rust_type(&self) -> String {
        let one = self.base.rust();
        let plain = if self.array { format!("Vec<{one}>") } else { one.to_owned() };
        if self.nullable.is_some() { format!("Option<{plain}>") } else { plain }
    }

    pub fn is_derived_default(&self) -> bool {
        match self.nullable {
            Some(_) => self.default.as_deref() == Some("null"),
            None => self.default.is_none(),
        }
    }

    pub fn default_value(&self) -> String {
        let plain = match (&self.default, &self.base) {
            (Some(text), Base::Fixed(fixed)) if fixed.rust == "ErrorCode" => format!("ErrorCode({text})"),
            (Some(text), _) if text == "null" => return "None".to_owned(),
            (Some(text), _) => grouped(text),
            (None, _) if self.array => "Vec::new()".to_owned(),
            (None, Base::Fixed(fixed)) => fixed.zero.to_owned(),
            (None, Base::Bytes) => "Bytes::new()".to_owned(),
            (None, base) => format!("{}::default()", base.rust()),
        };
        if self.nullable.is_some() { format!("Some({plain})") } else { plain }
    }

    /// Whether the field differs from its default: a tagged field is left out otherwise.
    pub fn differs(&self) -> String {
        let place = self.place();
        if self.nullable.is_some() {
            return match (self.default.is_some(), self.array) {
                (true, _) => format!("{place}.is_some()"),
                (false, true) => format!("{place}.as_ref().is_none_or(|items| !items.is_empty())"),
                (false, false) => format!("{place} != {}", self.default_value()),
            };
        }
        match self.base.rust() {
            _ if self.array => format!("!{place}.is_empty()"),
            "bool" if self.default.is_none() => place,
            "bool" => format!("!{place}"),
            _ => format!("{place} != {}", self.default_value()),
        }
    }
}

/// A number with its digits in groups, as Rust's style has it.
fn grouped(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    if digits.len() < 6 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return text.to_owned();
    }
    let mut out = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('_');
        }
        out.push(digit);
    }
    out
}

impl Encoding<'_> {
    /// Expression that reads the field, given that it is present.
    pub fn read(&self) -> String {
        let Some(nullable) = self.field.nullable else {
            return self.read_plain();
        };
        match condition(nullable, self.field.versions) {
            None => self.read_nullable(),
            Some(when) => format!("if {when} {{ {} }} else {{ Some({}) }}", self.read_nullable(), self.read_plain()),
        }
    }

    fn read_item(&self) -> String {
        match &self.field.base {
            base @ (Base::Text | Base::Bytes) => {
                format!("|r| {}", base.read(self.compact).trim_end_matches('?'))
            }
            Base::Struct(name) => format!("|r| {name}::decode(r, version)"),
            base => format!("Reader::{}", base.rust().to_ascii_lowercase()),
        }
    }

    fn read_plain(&self) -> String {
        if self.field.array {
            return format!("r.list({}, {})?", self.compact, self.read_item());
        }
        self.field.base.read(self.compact)
    }

    fn read_nullable(&self) -> String {
        let compact = self.compact;
        if self.field.array {
            return format!("r.nullable_list({compact}, {})?", self.read_item());
        }
        match &self.field.base {
            Base::Text => format!("r.nullable_text({compact})?"),
            Base::Bytes => format!("r.nullable_bytes({compact})?"),
            Base::Records => format!("r.nullable_bytes({compact})?.map(Records::Bytes)"),
            // The mark before a structure: a signed byte in its place, a number that is not negative in a tag.
            Base::Struct(name) if self.field.tag.is_some() => {
                format!("if r.uvarint()? == 0 {{ None }} else {{ Some({name}::decode(r, version)?) }}")
            }
            Base::Struct(name) => {
                format!("if r.i8()? < 0 {{ None }} else {{ Some({name}::decode(r, version)?) }}")
            }
            other => unreachable!("the schema has no nullable {}", other.rust()),
        }
    }

    /// `body`; what stands for an empty value where the field is null although its version does not allow that.
    fn or_empty(&self, body: String, text: &str, other: &str) -> String {
        let nullable = self.field.nullable.and_then(|nullable| condition(nullable, self.field.versions));
        let Some(nullable) = nullable else { return body };
        let is_text = self.field.base == Base::Text && !self.field.array;
        let (place, empty) = (self.field.place(), if is_text { text } else { other });
        format!("if {place}.is_none() && !({nullable}) {{ {empty} }} else {{ {body} }}")
    }

    /// Statements that write the field, given that it is present.
    pub fn write(&self) -> String {
        let place = self.field.place();
        let body = if self.field.nullable.is_some() {
            self.write_nullable(&place)
        } else if self.field.array {
            format!("w.length({}, Some({place}.len())); {}", self.compact, self.write_items(&format!("&{place}")))
        } else {
            self.field.base.write(self.compact, &place, false)
        };
        let compact = self.compact;
        self.or_empty(body, &format!("w.text({compact}, \"\");"), &format!("w.length({compact}, Some(0));"))
    }

    fn write_items(&self, items: &str) -> String {
        format!("for item in {items} {{ {} }}", self.field.base.write(self.compact, "item", true))
    }

    fn write_nullable(&self, place: &str) -> String {
        let compact = self.compact;
        if self.field.array {
            let items = self.write_items(&format!("{place}.iter().flatten()"));
            return format!("w.length({compact}, {place}.as_ref().map(Vec::len)); {items}");
        }
        match &self.field.base {
            Base::Text => format!("w.put_text({compact}, {place}.as_ref());"),
            Base::Bytes => format!("w.nullable_bytes({compact}, {place}.as_deref());"),
            Base::Records => format!("Records::encode({place}.as_ref(), w, {compact});"),
            Base::Struct(_) => {
                let null = if self.field.tag.is_some() { "0" } else { "-1" };
                format!(
                    "match &{place} {{ None => w.i8({null}), Some(value) => {{ w.i8(1); value.encode(w, version); }} }}"
                )
            }
            other => unreachable!("the schema has no nullable {}", other.rust()),
        }
    }

    /// Expression of the field's size, given that it is present.
    pub fn size(&self) -> String {
        let place = self.field.place();
        let body = if self.field.nullable.is_some() {
            self.size_nullable(&place)
        } else if self.field.array {
            let length = format!("size::length({}, Some({place}.len()))", self.compact);
            format!("{length} + {}", self.size_items(&place))
        } else {
            self.field.base.size(self.compact, &place, false)
        };
        let compact = self.compact;
        self.or_empty(body, &format!("size::text({compact}, Some(\"\"))"), &format!("size::length({compact}, Some(0))"))
    }

    fn size_items(&self, items: &str) -> String {
        match self.field.base.fixed() {
            Some(1) => format!("{items}.len()"),
            Some(bytes) => format!("{bytes} * {items}.len()"),
            None => {
                let one = self.field.base.size(self.compact, "item", true);
                format!("{items}.iter().map(|item| {one}).sum::<usize>()")
            }
        }
    }

    fn size_nullable(&self, place: &str) -> String {
        let compact = self.compact;
        if self.field.array {
            let items = self.size_items("items");
            return format!(
                "size::length({compact}, {place}.as_ref().map(Vec::len)) + {place}.as_ref().map_or(0, |items| {items})"
            );
        }
        match &self.field.base {
            Base::Text => format!("size::put_text({compact}, {place}.as_ref())"),
            Base::Bytes => format!("size::bytes({compact}, {place}.as_deref())"),
            Base::Records => format!("Records::size({place}.as_ref(), {compact})"),
            Base::Struct(_) => format!("1 + {place}.as_ref().map_or(0, |value| value.size(version))"),
            other => unreachable!("the schema has no nullable {}", other.rust()),
        }
    }

    /// Whether the size is the same for every value, so that it can be summed now.
    pub fn fixed(&self) -> Option<usize> {
        if self.field.array || self.field.nullable.is_some() { None } else { self.field.base.fixed() }
    }
}
