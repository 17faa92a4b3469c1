//! The values that a spec gives about DHCP as numbers or text of their own.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Visitor},
};

use super::{DhcpError, LONGEST_OPTION};
use crate::{MacAddr, MacAddrError};

/// The code of an option, 1 to 254.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct OptionCode(u8);

impl OptionCode {
    /// The code as it is on the wire.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for OptionCode {
    type Error = DhcpError;

    fn try_from(code: u8) -> Result<Self, DhcpError> {
        if (1..=254).contains(&code) { Ok(Self(code)) } else { Err(DhcpError::Code(code)) }
    }
}

impl From<OptionCode> for u8 {
    fn from(code: OptionCode) -> Self {
        code.0
    }
}

/// A number, or, as the key of a JSON object, its digits.
impl<'de> Deserialize<'de> for OptionCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = OptionCode;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an option code, 1 to 254")
            }

            fn visit_u64<E: de::Error>(self, code: u64) -> Result<OptionCode, E> {
                u8::try_from(code).unwrap_or(0).try_into().map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OptionCode, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Number)
    }
}

impl FromStr for OptionCode {
    type Err = DhcpError;

    fn from_str(text: &str) -> Result<Self, DhcpError> {
        text.parse::<u8>().unwrap_or(0).try_into()
    }
}

/// 1 to 255 octets, written in hexadecimal: `01:0a:ff` or `010aff`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Octets(Vec<u8>);

impl Octets {
    /// The octets.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for Octets {
    type Error = DhcpError;

    fn try_from(octets: Vec<u8>) -> Result<Self, DhcpError> {
        let octets = Self(octets);
        if (1..=LONGEST_OPTION).contains(&octets.0.len()) {
            Ok(octets)
        } else {
            Err(DhcpError::Octets(octets.to_string()))
        }
    }
}

impl FromStr for Octets {
    type Err = DhcpError;

    fn from_str(text: &str) -> Result<Self, DhcpError> {
        let refused = || DhcpError::Octets(text.escape_debug().to_string());
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        let is_hex = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
        let are_pairs = !text.contains(':') || text.split(':').all(|pair| pair.len() == 2);
        if !is_hex || !are_pairs {
            return Err(refused());
        }
        let octet = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
        let octets = digits.as_chunks::<2>().0.iter().map(octet).collect::<Option<Vec<u8>>>();
        octets.ok_or_else(refused)?.try_into().map_err(|_| refused())
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets: Vec<String> = self.0.iter().map(|octet| format!("{octet:02x}")).collect();
        f.pad(&octets.join(":"))
    }
}

/// Which identifier a client sends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ClientId {
    /// As `Mac`, but without one where nobody answers to it.
    #[default]
    Default,
    /// The hardware type and the MAC address.
    Mac,
    /// An IAID and a DUID made from the MAC address (RFC 4361).
    Duid,
    /// None: the server goes by the hardware address.
    None,
    /// These octets.
    Octets(Octets),
}

impl FromStr for ClientId {
    type Err = DhcpError;

    fn from_str(text: &str) -> Result<Self, DhcpError> {
        match text {
            "default" => Ok(Self::Default),
            "mac" => Ok(Self::Mac),
            "duid" => Ok(Self::Duid),
            "none" => Ok(Self::None),
            // "the minimum length is 2" (RFC 2132, section 9.14)
            _ => match text.parse::<Octets>() {
                Ok(octets) if octets.0.len() >= 2 => Ok(Self::Octets(octets)),
                Ok(_) | Err(_) => Err(DhcpError::ClientId(text.escape_debug().to_string())),
            },
        }
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.pad("default"),
            Self::Mac => f.pad("mac"),
            Self::Duid => f.pad("duid"),
            Self::None => f.pad("none"),
            Self::Octets(octets) => octets.fmt(f),
        }
    }
}

/// A server that is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Server {
    /// The one with this identifier (option 54).
    Identifier(Ipv4Addr),
    /// Whatever comes from this MAC address.
    Mac(MacAddr),
}

impl FromStr for Server {
    type Err = DhcpError;

    fn from_str(text: &str) -> Result<Self, DhcpError> {
        let mac = |_| text.parse().map(Self::Mac);
        let refused = |_: MacAddrError| DhcpError::Server(text.escape_debug().to_string());
        text.parse().map(Self::Identifier).or_else(mac).map_err(refused)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identifier(address) => address.fmt(f),
            Self::Mac(mac) => mac.fmt(f),
        }
    }
}

/// What is written as text.
macro_rules! text {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = DhcpError;

            fn try_from(text: String) -> Result<Self, DhcpError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}

text!(Octets, ClientId, Server);
