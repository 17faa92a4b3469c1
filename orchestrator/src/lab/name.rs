//! What a practice LAN is called, and what its interface and network namespace are called after it.
//! Knows the kernel's limits on names; refuses to know whether such a thing exists.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// What is left of the 15 bytes of an interface name (`IFNAMSIZ` less its NUL) beside `lf-`.
const MAX: usize = 12;

/// The name of a practice LAN: letters, digits, `-` and `_`, at most 12 of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// Why a text is no [`Name`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error("expected 1 to {MAX} letters, digits, `-` or `_`")]
pub struct InvalidName;

impl Name {
    /// The host's end of the LAN, `lf-NAME`: the parent interface for `landfall up`.
    pub fn interface(&self) -> String {
        format!("lf-{self}")
    }

    /// The network namespace, `landfall-NAME`, as `ip netns` lists it.
    pub fn namespace(&self) -> String {
        format!("landfall-{self}")
    }

    /// What a command line needs to mean this LAN: nothing for the default one.
    pub fn option(&self) -> String {
        if *self == Self::default() { String::new() } else { format!(" --name {self}") }
    }
}

impl Default for Name {
    fn default() -> Self {
        Self("lab".to_owned())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
        let valid = (1..=MAX).contains(&text.len()) && text.bytes().all(allowed);
        valid.then(|| Self(text.to_owned())).ok_or(InvalidName)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leaves_room_for_the_interface() {
        let longest: Name = "a-practice_1".parse().expect("12 characters");
        assert_eq!(longest.interface().len(), 15);
        for invalid in ["", "a-practice_12", "a/b", "a b", "..", "é"] {
            assert_eq!(invalid.parse::<Name>(), Err(InvalidName), "{invalid:?}");
        }
    }

    #[test]
    fn the_default_name_needs_no_option() {
        let given: Name = "x".parse().expect("a name");
        assert_eq!((Name::default().option(), given.option()), (String::new(), " --name x".to_owned()));
    }
}
