//! Names that can only be built valid.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text is not the name it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Not what the kernel's `dev_valid_name` accepts.
    #[error("'{0}' is no interface name: 1 to 15 bytes without '/', ':' or white space, and not '.' or '..'")]
    Interface(String),
    /// Not a host name as RFC 1123, section 2.1 has it.
    #[error(
        "'{0}' is no host name: labels of 1 to 63 letters, digits and inner hyphens, joined by dots, up to 253"
    )]
    Host(String),
}

/// The name of a network interface, valid by the kernel's own rule (`dev_valid_name`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InterfaceName(String);

/// A host name (RFC 1123, section 2.1), with or without a domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

fn is_interface_name(text: &str) -> bool {
    let forbidden = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    (1..=15).contains(&text.len()) && text != "." && text != ".." && !text.contains(forbidden)
}

fn is_host_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The conversions that both names share: parse at the edge, print as given.
macro_rules! name {
    ($name:ident, $is_valid:ident, $error:path) => {
        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                if $is_valid(&text) { Ok(Self(text)) } else { Err($error(text.escape_debug().to_string())) }
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                text.to_owned().try_into()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(InterfaceName, is_interface_name, NameError::Interface);
name!(HostName, is_host_name, NameError::Host);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_name_is_what_the_kernel_takes() {
        for good in ["lan0", "eth0.100", "a", "fifteen-bytes-x", "br-0", "@"] {
            assert_eq!(good.parse::<InterfaceName>().expect(good).as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "a b", "a:b", "sixteen-bytes-xx", "a\n"] {
            assert!(bad.parse::<InterfaceName>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_host_name_is_letters_digits_and_inner_hyphens() {
        for good in ["web", "web-1", "1web", "web.example.org", &"a".repeat(63)] {
            assert!(good.parse::<HostName>().is_ok(), "{good:?} was refused");
        }
        for bad in ["", "-web", "web-", "we_b", "web.", ".web", "a..b", "wéb", "$(id)", &"a".repeat(64)] {
            assert!(bad.parse::<HostName>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_refused_name_is_shown_without_its_control_characters() {
        let error = "a\u{1b}[2J".parse::<HostName>().expect_err("not a host name");
        assert!(error.to_string().starts_with("'a\\u{1b}[2J' is no host name"), "{error}");
    }
}
