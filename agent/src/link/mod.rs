//! The uplink in the kernel: watches it come and go, and gives it its address and routes. Decides nothing.

mod configure;
mod route;
mod watch;

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use landfall_api::{InterfaceName, MacAddr};
use rtnetlink::Error as Netlink;
use thiserror::Error;

pub use watch::Links;

/// The uplink as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its MTU in octets.
    pub mtu: u32,
    /// Whether frames can pass.
    pub carrier: Carrier,
}

/// Whether frames can pass (`IFF_UP` and `IFF_LOWER_UP`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// They can.
    Up,
    /// They cannot.
    Down,
}

/// What the uplink is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The address and the length of its subnet's prefix.
    pub address: Ipv4Net,
    /// How long the kernel keeps the address if nobody extends it; none for ever.
    pub lifetime: Option<Duration>,
    /// In octets; none leaves it as it is.
    pub mtu: Option<u32>,
    /// The LAN's routers, the preferred one first.
    pub routers: Vec<Ipv4Addr>,
    /// Other routes: the destination, and the router, which is 0.0.0.0 if the destination is on the link.
    pub routes: Vec<(Ipv4Net, Ipv4Addr)>,
}

/// Why the kernel did not do what was asked.
#[derive(Debug, Error)]
pub enum LinkError {
    /// No netlink socket.
    #[error("cannot open a netlink socket")]
    Socket(#[source] std::io::Error),
    /// The kernel closed it.
    #[error("the kernel does not tell about interfaces any more")]
    Closed,
    /// The kernel refused.
    #[error("cannot {attempt} on {interface}")]
    Refused {
        /// What was asked for.
        attempt: String,
        /// Of which interface.
        interface: InterfaceName,
        /// What the kernel said.
        #[source]
        source: Netlink,
    },
}

/// What an acting function of this module was about to do, for its error.
trait Attempt<T> {
    fn attempt(self, interface: &InterfaceName, attempt: impl FnOnce() -> String) -> Result<T, LinkError>;
}

impl<T> Attempt<T> for Result<T, Netlink> {
    fn attempt(self, interface: &InterfaceName, attempt: impl FnOnce() -> String) -> Result<T, LinkError> {
        self.map_err(|source| LinkError::Refused {
            attempt: attempt(),
            interface: interface.clone(),
            source,
        })
    }
}
