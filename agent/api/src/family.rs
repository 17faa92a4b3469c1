//! Which address families an uplink takes part in.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The families that an uplink is to have addresses of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4 only.
    #[default]
    V4,
    /// IPv6 only.
    V6,
    /// Both, each for itself: neither waits for the other.
    Both,
}

impl Family {
    const ALL: [Self; 3] = [Self::V4, Self::V6, Self::Both];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "4",
            Self::V6 => "6",
            Self::Both => "both",
        }
    }

    /// The family that is written so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.as_str() == name)
    }

    /// Whether it is as a spec need not say.
    pub fn is_v4(&self) -> bool {
        *self == Self::V4
    }

    /// Whether there are to be IPv4 addresses.
    pub fn has_v4(self) -> bool {
        self != Self::V6
    }

    /// Whether there are to be IPv6 addresses.
    pub fn has_v6(self) -> bool {
        self != Self::V4
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Family {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::V4 => serializer.serialize_u8(4),
            Self::V6 => serializer.serialize_u8(6),
            Self::Both => serializer.serialize_str(self.as_str()),
        }
    }
}

/// YAML has a number where no quotes are.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written<'a> {
    Number(u64),
    Text(#[serde(borrow)] Cow<'a, str>),
}

impl<'de> Deserialize<'de> for Family {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Written::deserialize(deserializer)? {
            Written::Number(number) => number.to_string().into(),
            Written::Text(text) => text,
        };
        let unknown =
            || de::Error::custom(format!("'{}' is no address family: 4, 6 or both", text.escape_debug()));
        Self::named(&text).ok_or_else(unknown)
    }
}
