//! A MAC address (EUI-48).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A MAC address, written as six hexadecimal octets with colons: `02:42:ac:11:00:02`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr(pub [u8; 6]);

/// The text is not six hexadecimal octets joined by colons.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{0}' is no MAC address: six hexadecimal octets joined by colons, as in 02:42:ac:11:00:02")]
pub struct MacAddrError(String);

impl MacAddr {
    /// The broadcast address.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether an interface may carry it: not a group address, not all zeros.
    pub fn is_usable(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl FromStr for MacAddr {
    type Err = MacAddrError;

    fn from_str(text: &str) -> Result<Self, MacAddrError> {
        let octet = |part: &str| {
            let is_octet = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            is_octet.then(|| u8::from_str_radix(part, 16).ok()).flatten()
        };
        let octets = text.split(':').map(octet).collect::<Option<Vec<u8>>>();
        octets
            .and_then(|octets| octets.try_into().ok())
            .map(Self)
            .ok_or_else(|| MacAddrError(text.escape_debug().to_string()))
    }
}

impl TryFrom<String> for MacAddr {
    type Error = MacAddrError;

    fn try_from(text: String) -> Result<Self, MacAddrError> {
        text.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets = self.0.map(|octet| format!("{octet:02x}"));
        f.pad(&octets.join(":"))
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_address_are_one() {
        let mac: MacAddr = "02:42:AC:11:00:fe".parse().expect("six octets");
        assert_eq!(mac, MacAddr([0x02, 0x42, 0xac, 0x11, 0x00, 0xfe]));
        assert_eq!(mac.to_string(), "02:42:ac:11:00:fe");
    }

    #[test]
    fn anything_but_six_octets_is_refused() {
        for bad in
            ["", "02:42", "02:42:ac:11:00", "02:42:ac:11:00:02:03", "02-42-ac-11-00-02", "+2:42:ac:11:00:02"]
        {
            assert!(bad.parse::<MacAddr>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_group_address_is_not_usable() {
        assert!(MacAddr([2, 0, 0, 0, 0, 1]).is_usable());
        assert!(!MacAddr([3, 0, 0, 0, 0, 1]).is_usable());
        assert!(!MacAddr([0; 6]).is_usable());
    }
}
