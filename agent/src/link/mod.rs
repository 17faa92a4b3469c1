//! The uplink in the kernel: watches it come and go, and gives it its address and routes.
//!
//! Knows netlink and nothing of leases. `route` decides, the others act.

mod address;
mod configure;
mod inside;
mod ipv6;
mod route;
mod rule;
mod watch;

use std::{io, net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use landfall_api::{InterfaceName, MacAddr};
use rtnetlink::Error as Netlink;
use thiserror::Error;

pub use inside::Inside;
pub use ipv6::{Ipv6Changes, Ipv6Configuration};
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

/// What else there is beside the uplink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// The MAC addresses of the other interfaces.
    pub macs: Vec<MacAddr>,
    /// Their IPv4 addresses.
    pub addresses: Vec<Ipv4Net>,
}

/// Whether frames can pass (`IFF_UP` and `IFF_LOWER_UP`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// They can.
    Up,
    /// They cannot.
    Down,
}

/// Whether the kernel forwards what comes over an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// It does.
    On,
    /// It does not.
    Off,
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
    Socket(#[source] io::Error),
    /// The kernel closed it.
    #[error("the kernel does not tell about interfaces any more")]
    Closed,
    /// The interface is gone, or was set down by someone else. The watch tells the same.
    #[error("cannot {attempt} on {interface}: it is gone or down")]
    Unavailable {
        /// What was asked for.
        attempt: String,
        /// Of which interface.
        interface: InterfaceName,
    },
    /// The agent may not.
    #[error("not permitted to {attempt} on {interface}; the agent needs CAP_NET_ADMIN")]
    NotPermitted {
        /// What was asked for.
        attempt: String,
        /// Of which interface.
        interface: InterfaceName,
    },
    /// The kernel refused for another reason.
    #[error("cannot {attempt} on {interface}")]
    Refused {
        /// What was asked for.
        attempt: String,
        /// Of which interface.
        interface: InterfaceName,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// What an acting function of this module was about to do, for its error.
trait Attempt<T> {
    fn attempt(self, interface: &InterfaceName, attempt: impl FnOnce() -> String) -> Result<T, LinkError>;
}

impl<T> Attempt<T> for Result<T, Netlink> {
    fn attempt(self, interface: &InterfaceName, attempt: impl FnOnce() -> String) -> Result<T, LinkError> {
        self.map_err(|error| {
            let (interface, attempt) = (interface.clone(), attempt());
            match errno(&error) {
                // Every router of a plan can be reached, unless the link is down.
                Some(libc::ENODEV | libc::ENXIO | libc::ENETDOWN | libc::ENETUNREACH) => {
                    LinkError::Unavailable { attempt, interface }
                }
                Some(libc::EPERM | libc::EACCES) => LinkError::NotPermitted { attempt, interface },
                Some(errno) => {
                    LinkError::Refused { attempt, interface, source: io::Error::from_raw_os_error(errno) }
                }
                None => LinkError::Refused { attempt, interface, source: io::Error::other(error) },
            }
        })
    }
}

/// The kernel's error number, if it is the kernel that refused.
fn errno(error: &Netlink) -> Option<i32> {
    if let Netlink::NetlinkError(message) = error { Some(-message.raw_code()) } else { None }
}

/// Being asked to remove what is gone already is no failure.
fn absent_is_fine(error: Netlink) -> Result<(), Netlink> {
    match errno(&error) {
        Some(libc::EADDRNOTAVAIL | libc::ENOENT | libc::ESRCH | libc::ENODEV) => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroI32;

    use rtnetlink::packet_core::ErrorMessage;

    use super::*;

    #[test]
    fn an_error_says_what_was_attempted_on_which_interface_and_what_to_do() {
        let said = |errno: i32| {
            let mut message = ErrorMessage::default();
            message.code = NonZeroI32::new(-errno);
            let name = "lan0".parse().expect("a name");
            let result: Result<(), _> = Err(Netlink::NetlinkError(message));
            result.attempt(&name, || "set the address 10.0.0.5/24".into()).expect_err("an error").to_string()
        };
        assert_eq!(said(libc::ENODEV), "cannot set the address 10.0.0.5/24 on lan0: it is gone or down");
        assert_eq!(
            said(libc::EPERM),
            "not permitted to set the address 10.0.0.5/24 on lan0; the agent needs CAP_NET_ADMIN"
        );
        assert_eq!(said(libc::EEXIST), "cannot set the address 10.0.0.5/24 on lan0");
    }
}
