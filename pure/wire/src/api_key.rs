//! The API keys: their numbers, names, versions and headers. Owns what each version of a request is; must never know
//! which of them a broker answers.

use crate::generated::for_each_key;
use std::fmt;
use std::ops::RangeInclusive;

/// What the schema says about one key.
#[derive(Clone, Copy)]
struct Facts {
    name: &'static str,
    min: i16,
    max: i16,
    flexible: i16,
    unstable: bool,
}

macro_rules! keys {
    ($($key:ident $request:ident $response:ident =
        $number:literal, $min:literal..=$max:literal, $flexible:literal, $unstable:literal;)*) => {
        /// A kind of request. Numbers 4 to 7 belonged to brokers with ZooKeeper and are gone.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey { $($key = $number),* }

        impl ApiKey {
            /// In the order of their numbers.
            pub const ALL: &[ApiKey] = &[$(ApiKey::$key),*];

            #[must_use]
            pub const fn from_number(number: i16) -> Option<ApiKey> {
                match number {
                    $($number => Some(ApiKey::$key),)*
                    _ => None,
                }
            }

            const fn facts(self) -> Facts {
                match self {
                    $(ApiKey::$key => Facts {
                        name: stringify!($key),
                        min: $min,
                        max: $max,
                        flexible: $flexible,
                        unstable: $unstable,
                    },)*
                }
            }
        }
    };
}

for_each_key!(keys);

impl ApiKey {
    #[must_use]
    pub const fn number(self) -> i16 {
        self as i16
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// All versions of the schema, an unstable last one among them.
    #[must_use]
    pub const fn versions(self) -> RangeInclusive<i16> {
        let facts = self.facts();
        facts.min..=facts.max
    }

    /// Whether the last version may still change, so that only who asks for it gets it.
    #[must_use]
    pub const fn last_is_unstable(self) -> bool {
        self.facts().unstable
    }

    /// Whether a version has compact lengths and tagged fields (KIP-482).
    #[must_use]
    pub const fn is_flexible(self, version: i16) -> bool {
        version >= self.facts().flexible
    }

    #[must_use]
    pub const fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The answer to ApiVersions keeps the oldest header: its reader cannot know yet what the broker speaks (KIP-511).
    #[must_use]
    pub const fn response_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) && !matches!(self, ApiKey::ApiVersions) { 1 } else { 0 }
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_some_keys() {
        assert_eq!(ApiKey::ALL.len(), 89);
        assert_eq!(ApiKey::from_number(18), Some(ApiKey::ApiVersions));
        assert_eq!(ApiKey::from_number(7), None);
        assert_eq!(ApiKey::from_number(-1), None);
        assert_eq!(ApiKey::Fetch.versions(), 4..=18);
        assert_eq!([8, 9].map(|version| ApiKey::Produce.is_flexible(version)), [false, true]);
        assert!(!ApiKey::SaslHandshake.is_flexible(i16::MAX - 1));
        assert_eq!(ApiKey::SaslHandshake.request_header_version(1), 1);
        assert_eq!(ApiKey::ApiVersions.request_header_version(3), 2);
        assert_eq!(ApiKey::ApiVersions.response_header_version(3), 0);
        assert_eq!(ApiKey::Metadata.response_header_version(9), 1);
        for key in ApiKey::ALL {
            assert_eq!(ApiKey::from_number(key.number()), Some(*key));
        }
    }
}
