//! Where the agent is: in a network namespace of its own, or in its target's.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Where a forward leads that stays in the agent's own namespace.
pub const HERE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// The same for what comes over IPv6.
pub const HERE6: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

/// The routing table of the uplink in a namespace that is shared, and the table of no wire.
pub const SHARED_TABLE: u32 = 0x6c66_1000;

/// How the names of interfaces begin over which the host itself reaches the addresses of an uplink.
pub const COMPANION: &str = "lh";

/// Whose routing rules and routes these are, as `ip rule` shows it: a number that nobody else is known to use.
pub const ROUTE_PROTOCOL: u8 = 108;

/// Whose network namespace the agent is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Namespace {
    /// Its own: what it forwards leads out of it again, and nothing else passes.
    #[default]
    Own,
    /// That of its target, which has interfaces, routes and rules of its own: the agent takes none of them away.
    Shared,
}

impl Namespace {
    /// Whether it is as a spec need not say.
    pub fn is_own(&self) -> bool {
        *self == Self::Own
    }
}
