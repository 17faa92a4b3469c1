//! What an interface is to have of IPv6, and what of it is in use.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use landfall_api::Origin;

use super::slaac::End;

/// What the interface is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// The ways out, the best one first.
    pub routers: Vec<Ipv6Addr>,
    /// What is reached without a router.
    pub on_link: Vec<Ipv6Net>,
    /// In octets; none leaves it as the link's.
    pub mtu: Option<u32>,
}

/// An address to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// It, and the length of its subnet's prefix.
    pub net: Ipv6Net,
    /// Where it comes from.
    pub origin: Origin,
    /// Until when it is to be used for new connections; none is for ever.
    pub preferred: End,
    /// Until when it is good; none is for ever.
    pub valid: End,
}

/// What is in use of IPv6.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// The addresses that passed their check.
    pub addresses: Vec<Address>,
    /// The ways out, the best one first.
    pub routers: Vec<Ipv6Addr>,
    /// The name servers.
    pub dns: Vec<Ipv6Addr>,
}

impl InUse {
    /// Whether only lifetimes differ.
    pub fn is_like(&self, other: &Self) -> bool {
        let nets = |in_use: &Self| -> Vec<(Ipv6Net, Origin)> {
            in_use.addresses.iter().map(|address| (address.net, address.origin)).collect()
        };
        nets(self) == nets(other) && self.routers == other.routers && self.dns == other.dns
    }
}
