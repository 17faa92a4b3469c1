//! Who may begin connections to a forward, and how often.

use std::{borrow::Cow, fmt, net::IpAddr, num::NonZeroU32, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// An address or a network that connections may come from: `192.168.1.5`, `10.0.0.0/8`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(IpNet);

/// Why a text is no source.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SourceError {
    /// Neither of the two.
    #[error("'{0}' is no address and no network: write 192.168.1.5, 10.0.0.0/8 or 2001:db8::/32")]
    NotANetwork(String),
    /// It could be meant either way.
    #[error("{0} is an address within a network: write {address} or {network}", address = .0.addr(), network = .0.trunc())]
    Ambiguous(IpNet),
}

impl Source {
    /// As a network, without bits below its prefix.
    pub fn network(self) -> IpNet {
        self.0
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let alone = text.parse::<IpAddr>().ok().map(IpNet::from);
        let Some(network) = alone.or_else(|| text.parse().ok()) else {
            return Err(SourceError::NotANetwork(text.escape_debug().to_string()));
        };
        if network == network.trunc() { Ok(Self(network)) } else { Err(SourceError::Ambiguous(network)) }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// How many connections may begin in a time: `10/second`. As many at once, and then as many again in that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: NonZeroU32,
    per: Unit,
}

/// The time that a rate is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// 1 s.
    Second,
    /// 60 s.
    Minute,
    /// 3,600 s.
    Hour,
    /// 86,400 s.
    Day,
}

/// The text is no rate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{0}' is no rate: a number from 1 to {most} per second, minute, hour or day, as in 10/second", most = Rate::MOST)]
pub struct RateError(String);

impl Unit {
    const ALL: [Self; 4] = [Self::Second, Self::Minute, Self::Hour, Self::Day];

    /// As nftables writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

impl Rate {
    /// The kernel's own limits are above it, whatever the unit.
    const MOST: u32 = 1_000_000;

    /// How many, at least one.
    pub fn count(self) -> u32 {
        self.count.get()
    }

    /// In which time.
    pub fn per(self) -> Unit {
        self.per
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let read = || {
            let (count, unit) = text.split_once('/')?;
            let count = count.bytes().all(|b| b.is_ascii_digit()).then(|| count.parse().ok())??;
            let per = Unit::ALL.into_iter().find(|known| known.as_str() == unit)?;
            (NonZeroU32::get(count) <= Self::MOST).then_some(Self { count, per })
        };
        read().ok_or_else(|| RateError(text.escape_debug().to_string()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per.as_str())
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_reads_as_it_prints() {
        for text in ["10.0.0.0/8", "192.168.1.5", "0.0.0.0/0", "2001:db8::/32", "fe80::1", "::/0"] {
            assert_eq!(text.parse::<Source>().expect(text).to_string(), text);
        }
        assert_eq!("192.168.1.5/32".parse::<Source>(), "192.168.1.5".parse());
    }

    #[test]
    fn a_bad_source_is_named_with_what_may_be_meant() {
        let said = |text: &str| text.parse::<Source>().expect_err(text).to_string();
        assert_eq!(
            said("10.1.2.3/8"),
            "10.1.2.3/8 is an address within a network: write 10.1.2.3 or 10.0.0.0/8"
        );
        for bad in ["", "lan", "10.0.0.0/33", "10.0.0", ":::1", "fe80::1%lan0", "10.0.0.0/8 "] {
            let wanted = format!(
                "'{bad}' is no address and no network: write 192.168.1.5, 10.0.0.0/8 or 2001:db8::/32"
            );
            assert_eq!(said(bad), wanted);
        }
    }

    #[test]
    fn a_rate_reads_as_it_prints() {
        for text in ["10/second", "1/minute", "1000000/hour", "7/day"] {
            assert_eq!(text.parse::<Rate>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_bad_rate_is_named() {
        for bad in
            ["", "10", "0/second", "-1/second", "+1/second", "/second", "10/s", "1000001/day", "1.5/second"]
        {
            let said = bad.parse::<Rate>().expect_err(bad).to_string();
            assert!(said.starts_with(&format!("'{bad}' is no rate: ")), "{said}");
        }
    }
}
