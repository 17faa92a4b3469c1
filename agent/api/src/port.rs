//! Transport protocols with ports, and ranges of these.

use std::{fmt, num::NonZeroU16, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// A transport protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 9260.
    Sctp,
}

/// The text names no protocol that can be forwarded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{0}' is no protocol that can be forwarded: tcp, udp or sctp")]
pub struct ProtocolError(String);

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// The name, as the kernel, Docker and nftables write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        let named = Self::ALL.into_iter().find(|protocol| protocol.as_str() == text);
        named.ok_or_else(|| ProtocolError(text.escape_debug().to_string()))
    }
}

/// One port, or several in a row: `80`, `8000-8100`. Never empty, never port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: NonZeroU16,
    last: NonZeroU16,
}

/// Why a text is no port and no range of ports.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PortRangeError {
    /// Not a number from 1 to 65535.
    #[error("'{0}' is no port: a number from 1 to 65535, or a range like 8000-8100")]
    NotAPort(String),
    /// The range ends before it begins.
    #[error("the range {first}-{last} ends before it begins; write {last}-{first}")]
    Backwards {
        /// The port the range was to begin with.
        first: NonZeroU16,
        /// The port the range was to end with.
        last: NonZeroU16,
    },
}

impl PortRange {
    /// The ports `first` to `last`, both included.
    ///
    /// # Errors
    /// If `last` comes before `first`.
    pub fn new(first: NonZeroU16, last: NonZeroU16) -> Result<Self, PortRangeError> {
        if first <= last { Ok(Self { first, last }) } else { Err(PortRangeError::Backwards { first, last }) }
    }

    /// The first port.
    pub fn first(self) -> u16 {
        self.first.get()
    }

    /// The last port, which may be the first one.
    pub fn last(self) -> u16 {
        self.last.get()
    }

    /// How many ports it holds: 1 to 65535.
    pub fn count(self) -> u16 {
        self.last() - self.first() + 1
    }

    /// Whether the two have a port in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// The same ports in as few ranges as possible, in order.
    pub fn merge(mut ranges: Vec<Self>) -> Vec<Self> {
        ranges.sort_unstable();
        let mut merged: Vec<Self> = Vec::new();
        for range in ranges {
            match merged.last_mut().and_then(|last| Some((last.joined(range)?, last))) {
                Some((both, last)) => *last = both,
                None => merged.push(range),
            }
        }
        merged
    }

    /// The range of the ports of both, if there are none between them.
    fn joined(self, other: Self) -> Option<Self> {
        let gap = self.first().max(other.first()).saturating_sub(self.last().min(other.last()));
        (gap <= 1).then(|| Self { first: self.first.min(other.first), last: self.last.max(other.last) })
    }

    /// Each port as a range of its own, in order.
    pub fn each(self) -> impl Iterator<Item = Self> {
        self.ports().filter_map(NonZeroU16::new).map(Self::from)
    }

    /// Each port, in order.
    pub fn ports(self) -> impl Iterator<Item = u16> {
        self.first()..=self.last()
    }
}

impl From<NonZeroU16> for PortRange {
    fn from(port: NonZeroU16) -> Self {
        Self { first: port, last: port }
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        let not_a_port = || PortRangeError::NotAPort(text.escape_debug().to_string());
        let port = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| digits.parse().ok()).flatten().ok_or_else(not_a_port)
        };
        match text.split_once('-') {
            Some((first, last)) => Self::new(port(first)?, port(last)?),
            None => port(text).map(Self::from),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl Serialize for PortRange {
    /// A number for one port, a text for a range.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.first == self.last {
            serializer.serialize_u16(self.first())
        } else {
            serializer.collect_str(self)
        }
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = PortRange;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port from 1 to 65535, or a range like 8000-8100")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PortRange, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<PortRange, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<PortRange, E> {
                self.visit_str(&number.to_string())
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_range_reads_as_it_prints() {
        for text in ["1", "80", "65535", "8000-8100"] {
            assert_eq!(text.parse::<PortRange>().expect(text).to_string(), text);
        }
        assert_eq!("80-80".parse::<PortRange>(), "80".parse());
    }

    #[test]
    fn a_bad_port_is_named() {
        for bad in ["0", "65536", "x", "", "-1", "80-", "-80", "+80", "80-65536", "0-80", "8 0"] {
            let error = bad.parse::<PortRange>().expect_err(bad);
            assert_eq!(error, PortRangeError::NotAPort(bad.to_owned()));
        }
        let error = "90-80".parse::<PortRange>().expect_err("backwards");
        assert_eq!(error.to_string(), "the range 90-80 ends before it begins; write 80-90");
    }

    #[test]
    fn ranges_without_a_gap_between_them_become_one() {
        let merged = |texts: &[&str]| -> Vec<String> {
            let ranges = texts.iter().map(|text| text.parse::<PortRange>().expect(text)).collect();
            PortRange::merge(ranges).iter().map(ToString::to_string).collect()
        };
        assert_eq!(merged(&["81", "80"]), ["80-81"]);
        assert_eq!(merged(&["80-90", "85-95", "82", "90"]), ["80-95"]);
        assert_eq!(merged(&["82-90", "80", "92", "65535"]), ["80", "82-90", "92", "65535"]);
        assert_eq!(merged(&["1-65535", "7"]), ["1-65535"]);
        assert_eq!(merged(&[]), [""; 0]);
    }
}
