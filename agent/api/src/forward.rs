//! What is forwarded: a protocol, a public port or range, and where in a target it leads.

use std::{borrow::Cow, fmt, net::Ipv4Addr, num::NonZeroU16, str::FromStr};

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

/// Where a forward leads: an address, and the ports there if they are not the public ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The target's address, on a network that the agent shares with it.
    pub address: Ipv4Addr,
    /// The ports there, as many as the public ones; none if they are the same.
    pub port: Option<PortRange>,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

impl Serialize for Destination {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Destination {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let (address, port) = match text.split_once(':') {
            Some((address, port)) => (address, Some(port.parse().map_err(de::Error::custom)?)),
            None => (&*text, None),
        };
        let address = address.parse().map_err(|_| {
            let text = text.escape_debug();
            de::Error::custom(format!(
                "'{text}' is no destination: ADDRESS or ADDRESS:PORT, as in 172.17.0.2:8080"
            ))
        })?;
        Ok(Self { address, port })
    }
}

/// One forward: what arrives at the public port goes to the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawForward")]
pub struct Forward {
    protocol: Protocol,
    port: PortRange,
    to: Destination,
}

/// Why two ends do not make a forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ForwardError {
    /// A range must lead to a range of the same size.
    #[error("{public} has {} ports and {private} has {}: as many must come out as go in", .public.count(), .private.count())]
    SizesDiffer {
        /// The public ports.
        public: PortRange,
        /// The target's ports.
        private: PortRange,
    },
}

impl Forward {
    /// A forward of `port` to `to`. Private ports that equal the public ones are left out of the destination.
    ///
    /// # Errors
    /// If the destination names more ports than the public range has, or fewer.
    pub fn new(protocol: Protocol, port: PortRange, to: Destination) -> Result<Self, ForwardError> {
        match to.port {
            Some(private) if private.count() != port.count() => {
                Err(ForwardError::SizesDiffer { public: port, private })
            }
            private => {
                let to = Destination { port: private.filter(|private| *private != port), ..to };
                Ok(Self { protocol, port, to })
            }
        }
    }

    /// The protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The public port or ports.
    pub fn port(&self) -> PortRange {
        self.port
    }

    /// Where it leads. Its ports, if any, are as many as the public ones and differ from them.
    pub fn to(&self) -> Destination {
        self.to
    }

    /// Whether a packet could belong to both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.protocol == other.protocol && self.port.overlaps(other.port)
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} -> {}", self.port, self.protocol, self.to)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawForward {
    protocol: Protocol,
    port: PortRange,
    to: Destination,
}

impl TryFrom<RawForward> for Forward {
    type Error = ForwardError;

    fn try_from(RawForward { protocol, port, to }: RawForward) -> Result<Self, ForwardError> {
        Self::new(protocol, port, to)
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
    fn a_range_leads_to_as_many_ports() {
        let address = Ipv4Addr::new(172, 17, 0, 2);
        let range = |text: &str| text.parse::<PortRange>().expect(text);
        let to = |port: &str| Destination { address, port: Some(range(port)) };
        let forward = Forward::new(Protocol::Tcp, range("8000-8001"), to("80-81")).expect("two to two");
        assert_eq!(forward.to_string(), "8000-8001/tcp -> 172.17.0.2:80-81");
        let error = Forward::new(Protocol::Tcp, range("8000-8002"), to("80-81")).expect_err("three to two");
        assert_eq!(
            error.to_string(),
            "8000-8002 has 3 ports and 80-81 has 2: as many must come out as go in"
        );
    }

    #[test]
    fn the_same_private_port_is_no_remap() {
        let to = Destination { address: Ipv4Addr::LOCALHOST, port: Some("80".parse().expect("a port")) };
        let forward = Forward::new(Protocol::Tcp, "80".parse().expect("a port"), to).expect("one to one");
        assert_eq!(forward.to().port, None);
    }

    #[test]
    fn forwards_overlap_within_a_protocol_only() {
        let to = Destination { address: Ipv4Addr::LOCALHOST, port: None };
        let forward =
            |protocol, port: &str| Forward::new(protocol, port.parse().expect(port), to).expect(port);
        let range = forward(Protocol::Tcp, "80-90");
        assert!(range.overlaps(&forward(Protocol::Tcp, "90-100")));
        assert!(!range.overlaps(&forward(Protocol::Tcp, "91")));
        assert!(!range.overlaps(&forward(Protocol::Udp, "80")));
    }
}
