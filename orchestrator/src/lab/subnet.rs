//! The addresses of a practice LAN: its router and the pool that its DHCP server gives from.
//! Pure; refuses to know who holds which.

use std::{fmt, net::Ipv4Addr, ops::RangeInclusive, str::FromStr};

use ipnet::Ipv4Net;
use thiserror::Error;

/// An IPv4 network that has room for the pool: a /8 to a /24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet(Ipv4Net);

/// Why a text or a network is no [`Subnet`].
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidSubnet {
    /// It is not `ADDRESS/LENGTH`.
    #[error("expected a network such as 10.77.0.0/24")]
    NotANetwork,
    /// It is the address of a host.
    #[error("has host bits set; did you mean {network}?")]
    HostBits {
        /// The same without them.
        network: Ipv4Net,
    },
    /// The pool does not fit, or it is most of the Internet.
    #[error("a /{length} does not fit; expected a /8 to a /24")]
    Length {
        /// The prefix length.
        length: u8,
    },
}

impl Subnet {
    /// The address of the router, which is also the DHCP server: the network's first.
    pub fn router(self) -> Ipv4Addr {
        self.nth(1)
    }

    /// The addresses that the DHCP server gives: the network's 100th to its 250th.
    pub fn pool(self) -> RangeInclusive<Ipv4Addr> {
        self.nth(100)..=self.nth(250)
    }

    /// The network mask (option 1).
    pub fn mask(self) -> Ipv4Addr {
        self.0.netmask()
    }

    /// The router's address and the length of the network's prefix.
    pub fn router_net(self) -> Ipv4Net {
        Ipv4Net::new_assert(self.router(), self.0.prefix_len())
    }

    fn nth(self, n: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.0.network().to_bits() + n)
    }
}

impl Default for Subnet {
    fn default() -> Self {
        Self(Ipv4Net::new_assert(Ipv4Addr::new(10, 77, 0, 0), 24))
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl TryFrom<Ipv4Net> for Subnet {
    type Error = InvalidSubnet;

    fn try_from(network: Ipv4Net) -> Result<Self, InvalidSubnet> {
        let length = network.prefix_len();
        match (8..=24).contains(&length) {
            false => Err(InvalidSubnet::Length { length }),
            true if network != network.trunc() => Err(InvalidSubnet::HostBits { network: network.trunc() }),
            true => Ok(Self(network)),
        }
    }
}

impl FromStr for Subnet {
    type Err = InvalidSubnet;

    fn from_str(text: &str) -> Result<Self, InvalidSubnet> {
        text.parse::<Ipv4Net>().map_err(|_| InvalidSubnet::NotANetwork)?.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_router_and_the_pool_lie_in_the_network() {
        let subnet: Subnet = "10.1.0.0/16".parse().expect("a subnet");
        assert_eq!(subnet.router_net().to_string(), "10.1.0.1/16");
        assert_eq!(subnet.pool(), Ipv4Addr::new(10, 1, 0, 100)..=Ipv4Addr::new(10, 1, 0, 250));
        assert_eq!(subnet.mask(), Ipv4Addr::new(255, 255, 0, 0));
    }

    #[test]
    fn a_network_that_cannot_hold_the_pool_is_refused() {
        let network = Ipv4Net::new_assert(Ipv4Addr::new(10, 77, 0, 0), 24);
        for (text, error) in [
            ("10.77.0.0", InvalidSubnet::NotANetwork),
            ("10.77.0.9/24", InvalidSubnet::HostBits { network }),
            ("10.77.0.0/25", InvalidSubnet::Length { length: 25 }),
            ("0.0.0.0/0", InvalidSubnet::Length { length: 0 }),
        ] {
            assert_eq!(text.parse::<Subnet>(), Err(error), "{text}");
        }
    }
}
