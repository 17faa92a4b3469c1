//! The address families that are asked for. Pure.

use clap::ValueEnum;
use landfall_api::Family;

/// Which families a target is to answer under addresses of, and which of them are waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Families {
    /// IPv4
    #[default]
    #[value(name = "4")]
    V4,
    /// IPv6
    #[value(name = "6")]
    V6,
    /// Both, and done as soon as one of them answers
    Any,
    /// Both, and done when both answer
    Both,
}

impl Families {
    /// What the agent is told: it goes for both in either case.
    pub fn wanted(self) -> Family {
        match self {
            Self::V4 => Family::V4,
            Self::V6 => Family::V6,
            Self::Any | Self::Both => Family::Both,
        }
    }

    /// Whether that is enough.
    pub fn are_content(self, has_v4: bool, has_v6: bool) -> bool {
        match self {
            Self::V4 => has_v4,
            Self::V6 => has_v6,
            Self::Any => has_v4 || has_v6,
            Self::Both => has_v4 && has_v6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_enough_unless_both_are_asked_for() {
        let enough = |families: Families| {
            [(true, false), (false, true), (true, true), (false, false)]
                .map(|(v4, v6)| families.are_content(v4, v6))
        };
        assert_eq!(enough(Families::V4), [true, false, true, false]);
        assert_eq!(enough(Families::V6), [false, true, true, false]);
        assert_eq!(enough(Families::Any), [true, true, true, false]);
        assert_eq!(enough(Families::Both), [false, false, true, false]);
    }
}
