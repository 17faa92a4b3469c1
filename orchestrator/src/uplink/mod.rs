//! Uplinks: the interfaces that put network containers on the LAN. One file for each kind.

pub mod companion;
mod holder;
pub mod ipv6;
mod macvlan;
mod parent;
mod search;

use std::path::Path;

use thiserror::Error;

use crate::netlink::NetlinkError;

pub use holder::{Holder, InUse, Macvlan, Place};
pub use macvlan::{Uplink, create as create_macvlan};
pub use parent::{Parent, check};
pub use search::remove_left;

/// What the uplink is called in its network container.
pub const UPLINK: &str = "lan0";

/// Why an interface cannot be the parent of an uplink, or the uplink not be made.
#[derive(Debug, Error)]
pub enum UplinkError {
    /// Not the name of an interface.
    #[error(transparent)]
    Name(#[from] landfall_api::NameError),
    /// No such interface.
    #[error("there is no interface {0} on this host\n  see what there is: ip -br link{1}")]
    Missing(String, Alike),
    /// It is down.
    #[error("the interface {0} is down\n  bring it up: ip link set {0} up")]
    Down(String),
    /// The loopback.
    #[error(
        "the interface {0} is the loopback, which is on no LAN\n  name the interface that is: ip -br link"
    )]
    Loopback(String),
    /// A child of another interface.
    #[error("the interface {0} is itself a {1}, which cannot carry another\n  name its parent: {2}")]
    Child(String, String, String),
    /// A port of a bridge.
    #[error(
        "the interface {0} is a port of the bridge {1}, which takes all its frames\n  name the bridge: {1}"
    )]
    BridgePort(String, String),
    /// A port of something else: a bond, a team.
    #[error("the interface {0} belongs to {1}, which takes all its frames\n  name that one: {1}")]
    Port(String, String),
    /// Two macvlans of one parent cannot have the same MAC address.
    #[error("{0}")]
    MacInUse(Box<InUse>),
    /// Nothing for a companion to speak from.
    #[error(
        "cannot let the host reach the address: the host has no {1} address on {0} to speak from\n  give it one, or leave --host-access away"
    )]
    NoHostAddress(String, &'static str),
    /// No IPv6 in the kernel, or no `/proc/sys` to set it up by.
    #[error(
        "cannot give the network container IPv6: has the kernel none (ipv6.disable=1)?\n  do without: --family 4"
    )]
    NoIpv6(#[source] std::io::Error),
    /// The kernel does not do it.
    #[error(transparent)]
    Kernel(#[from] NetlinkError),
}

/// Interfaces that may have been meant.
#[derive(Debug, Default)]
pub struct Alike(pub Vec<String>);

impl std::fmt::Display for Alike {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; did you mean {}?", self.0.join(" or ")) }
    }
}

/// Whether an interface is a radio, which access points do not let speak for others.
pub fn is_wireless(interface: &str) -> bool {
    Path::new("/sys/class/net").join(interface).join("phy80211").exists()
}
